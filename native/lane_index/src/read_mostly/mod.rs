//! A reader-writer lock whose readers do not disturb each other.
//!
//! The readers of an ordinary one all write to the same counter, so that its cache line wanders from
//! processor to processor: the more of them read at the same time, the longer each waits. Here a reader
//! writes to a line of its own thread, as the readers of an index's view do. The price is paid by
//! writers: the first one after a time of reading waits for a barrier on all processors, some
//! microseconds. After it readers take the ordinary lock for a while, so that many writes in a row pay
//! once.
//!
//! The idea is that of biased locks for readers (BRAVO, Dice and Kogan 2019).
//!
//! ```
//! use lane_index::ReadMostly;
//!
//! let list = ReadMostly::new(vec![1, 2]);
//! list.write().push(3);
//! assert_eq!(list.read().len(), 3);
//! ```

mod bias;
/// What the protocol is made of; its model puts loom's in place.
mod atomic {
    pub(super) use crate::swap::{Hazard, light};
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
}

use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::swap::{Slot, heavy, is_held};

/// So many readers take the ordinary lock after a writer, before they are spared it again: a fraction of
/// the time that ending the next bias takes.
const PATIENCE: u32 = 128;

/// A value that many read at the same time and few write.
///
/// A thread that reads it must neither read it again nor write it before it is done.
pub struct ReadMostly<T> {
    /// Readers may go without the lock.
    biased: AtomicBool,
    /// Readers that took the lock since the bias ended.
    readers: AtomicU32,
    lock: RwLock<T>,
}

/// Access of a reader; it stays in its thread.
pub struct ReadGuard<'a, T>(Held<'a, T>);

enum Held<'a, T> {
    /// The hazard in the slot keeps writers out.
    Biased {
        value: &'a T,
        _slot: Slot,
    },
    Locked(RwLockReadGuard<'a, T>),
}

impl<T> ReadMostly<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self {
            biased: AtomicBool::new(false),
            readers: AtomicU32::new(0),
            lock: RwLock::new(value),
        }
    }

    fn address(&self) -> *const () {
        ptr::from_ref(&self.biased).cast()
    }

    /// Waits until nobody writes.
    #[inline(always)]
    pub fn read(&self) -> ReadGuard<'_, T> {
        if self.biased.load(Ordering::Relaxed) {
            let slot = Slot::take();
            if bias::enter(slot.hazard(), &self.biased, self.address()) {
                // SAFETY: a writer has ended the bias and then seen no hazard that names this lock
                // before it writes, and `enter` has seen the bias after the hazard was set; the slot
                // names the lock as long as the reference lives.
                let value = unsafe { &*self.lock.data_ptr() };
                return ReadGuard(Held::Biased { value, _slot: slot });
            }
        }
        self.read_locked()
    }

    #[inline(never)]
    fn read_locked(&self) -> ReadGuard<'_, T> {
        let guard = self.lock.read();
        if !self.biased.load(Ordering::Relaxed)
            && self.readers.fetch_add(1, Ordering::Relaxed) >= PATIENCE
        {
            bias::restore(&self.biased);
        }
        ReadGuard(Held::Locked(guard))
    }

    /// Waits until nobody reads or writes.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        let guard = self.lock.write();
        if bias::revoke(&self.biased) {
            self.readers.store(0, Ordering::Relaxed);
            // Where the system refuses the barrier for once, nothing is known of the readers yet.
            while !heavy() {
                std::thread::yield_now();
            }
            let mut turns = 0_u32;
            while is_held(self.address()) {
                turns += 1;
                if turns < 64 { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
        guard
    }

    /// The value, of which nobody else has a reference.
    pub fn get_mut(&mut self) -> &mut T {
        self.lock.get_mut()
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        match &self.0 {
            Held::Biased { value, .. } => value,
            Held::Locked(guard) => guard,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;

    /// Two halves that a writer changes one after the other.
    #[derive(Default)]
    struct Pair {
        low: usize,
        high: usize,
    }

    #[test]
    fn no_reader_sees_half_of_a_write() {
        let (lock, done) = (ReadMostly::new(Pair::default()), AtomicBool::new(false));
        let (seen, mut number) = (AtomicUsize::new(0), 0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        // Most reads without the lock, some with it, after each write.
                        let pair = lock.read();
                        assert_eq!(pair.low, pair.high);
                        seen.fetch_max(pair.low, Ordering::Relaxed);
                    }
                });
            }
            // Until somebody has read between two of them: threads may be slow to start.
            while number < 5_000 || seen.load(Ordering::Relaxed) == 0 {
                number += 1;
                let mut pair = lock.write();
                pair.low = number;
                std::hint::spin_loop();
                pair.high = number;
                drop(pair);
                match number {
                    5_000.. => std::thread::sleep(std::time::Duration::from_millis(1)),
                    _ if number % 16 == 0 => std::thread::yield_now(),
                    _ => {}
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(lock.read().low, number);
    }

    #[test]
    fn many_reads_in_a_row_go_without_the_lock_and_a_write_ends_that() {
        let lock = ReadMostly::new(7);
        for _ in 0..=PATIENCE {
            assert!(matches!(lock.read().0, Held::Locked(_)));
        }
        assert!(matches!(lock.read().0, Held::Biased { .. }));
        *lock.write() = 8;
        let guard = lock.read();
        assert!(matches!(guard.0, Held::Locked(_)) && *guard == 8);
    }

    #[test]
    fn a_writer_waits_for_readers_without_the_lock() {
        let (lock, ready) = (ReadMostly::new(0), Barrier::new(2));
        (0..=PATIENCE).for_each(|_| drop(lock.read()));
        std::thread::scope(|scope| {
            let reader = lock.read();
            assert!(matches!(reader.0, Held::Biased { .. }));
            scope.spawn(|| {
                ready.wait();
                *lock.write() = 1;
            });
            ready.wait();
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(*reader, 0);
            drop(reader);
        });
        assert_eq!(*lock.read(), 1);
    }
}
