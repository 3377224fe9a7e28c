//! A value that is replaced as a whole under readers that never wait.
//!
//! A reader writes down what it is about to read in a slot of its own thread, a *hazard*; what was
//! replaced is freed by the reaper, once no hazard names it. Why not `arc-swap`, which this took the
//! place of: its load and its release are each a locked instruction, which the cache misses of one
//! look-up and the next cannot overlap across, so that look-ups one after the other took two to three
//! times as long. Here a reader only stores to its own cache line, and the reaper has the operating
//! system issue the memory barrier that readers save (`membarrier`).
//!
//! The protocol is in `hazard`, which `tests/view_guard_model.rs` compiles with loom's atomics.

mod barrier;
mod hazard;
mod local;
/// The atomics of the protocol; its model puts loom's in place.
mod atomic {
    pub(super) use super::barrier::light;
    pub(super) use std::sync::atomic::{AtomicPtr, Ordering};
}

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::reaper;
pub(crate) use barrier::{heavy, light};
pub(crate) use hazard::Hazard;
pub(crate) use local::{Slot, is_held};

/// A value that is replaced as a whole. It owns one reference of what it holds.
pub(crate) struct Swap<T: Send + Sync + 'static> {
    /// Of `Arc::into_raw`.
    current: AtomicPtr<T>,
    owns: PhantomData<Arc<T>>,
}

/// Access to a value that was current when it was loaded. It stays with its thread, and is meant for
/// the time of a call: what it holds is not freed meanwhile.
pub(crate) struct Guard<'a, T> {
    value: NonNull<T>,
    slot: Slot,
    of: PhantomData<&'a T>,
}

impl<T: Send + Sync + 'static> Swap<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            current: AtomicPtr::new(Arc::into_raw(Arc::new(value)).cast_mut()),
            owns: PhantomData,
        }
    }

    /// What is current now.
    #[inline(always)]
    pub(crate) fn load(&self) -> Guard<'_, T> {
        let slot = Slot::take();
        let value = hazard::protect(slot.hazard(), &self.current);
        // SAFETY: `current` is never null: it comes from `Arc::into_raw`.
        let value = unsafe { NonNull::new_unchecked(value) };
        Guard { value, slot, of: PhantomData }
    }

    /// A reference to what is current now, for as long as it is needed and for any thread. Whoever lets
    /// go of it never frees the value: this holds another reference, and after it the reaper does.
    pub(crate) fn load_full(&self) -> Arc<T> {
        let guard = self.load();
        // SAFETY: the pointer comes from `Arc::into_raw`, and the reference behind it is alive: this or
        // the reaper has it, and the reaper lets go of it only after it has seen no hazard that names
        // it, and then no reference but its own. This one is counted while the hazard is set.
        unsafe {
            Arc::increment_strong_count(guard.value.as_ptr());
            Arc::from_raw(guard.value.as_ptr())
        }
    }

    /// Puts `next` in place of what is current, which the reaper frees when nobody reads it any more.
    pub(crate) fn replace(&self, next: T) {
        let next = Arc::into_raw(Arc::new(next)).cast_mut();
        let old = self.current.swap(next, Ordering::AcqRel);
        // SAFETY: the pointer comes from `Arc::into_raw`, and the reference that this owned is handed on
        // once: nobody else takes the same pointer out.
        reaper::retire(unsafe { Arc::from_raw(old) });
    }
}

impl<T: Send + Sync + 'static> Drop for Swap<T> {
    fn drop(&mut self) {
        // SAFETY: as in `replace`. Guards borrow `self`, so that there are none.
        drop(unsafe { Arc::from_raw(*self.current.get_mut()) });
    }
}

impl<T> Guard<'_, T> {
    /// Whether this is the one load of its thread in so many that is to be timed.
    #[inline(always)]
    pub(crate) fn is_sampled(&self, every: u32) -> bool {
        self.slot.count().is_multiple_of(every)
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the value is an `Arc`'s, alive while the hazard in `slot` names it: the reaper frees
        // nothing that a hazard names, and `protect` has seen that the value was current after the
        // hazard was set.
        unsafe { self.value.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::time::{Duration, Instant};

    /// A value that tells whether it is alive, and counts those that are.
    struct Alive {
        number: usize,
        check: usize,
        count: Arc<AtomicUsize>,
    }

    impl Alive {
        fn new(number: usize, count: &Arc<AtomicUsize>) -> Self {
            count.fetch_add(1, Ordering::SeqCst);
            Self { number, check: !number, count: Arc::clone(count) }
        }
    }

    impl Drop for Alive {
        fn drop(&mut self) {
            self.check = self.number;
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn wait_for(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not come to be");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_was_replaced_is_freed_and_no_reader_meets_it() {
        let count = Arc::new(AtomicUsize::new(0));
        let swap = Swap::new(Alive::new(0, &count));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Relaxed) {
                        let (outer, inner) = (swap.load(), swap.load_full());
                        for alive in [&*outer, &inner] {
                            assert_eq!(alive.check, !alive.number, "read after it was freed");
                        }
                        assert!(last <= outer.number && outer.number <= inner.number);
                        last = inner.number;
                    }
                });
            }
            for number in 1..20_000 {
                swap.replace(Alive::new(number, &count));
            }
            done.store(true, Ordering::Relaxed);
        });
        wait_for(|| count.load(Ordering::SeqCst) == 1);
        drop(swap);
        assert_eq!(count.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn more_guards_than_a_thread_has_slots_each_hold_their_value() {
        let count = Arc::new(AtomicUsize::new(0));
        let swap = Swap::new(Alive::new(0, &count));
        let mut guards = vec![];
        for number in 1..50 {
            guards.push(swap.load());
            swap.replace(Alive::new(number, &count));
        }
        // Two rounds of the reaper: whatever it can free, it has freed by then.
        let marker = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let other = Swap::new(Alive::new(0, &marker));
            other.replace(Alive::new(1, &marker));
            wait_for(|| marker.load(Ordering::SeqCst) == 1);
        }
        assert_eq!(count.load(Ordering::SeqCst), 50);
        for (number, guard) in guards.iter().enumerate() {
            assert_eq!((guard.number, guard.check), (number, !number));
        }
        // In no order that is like a stack's.
        guards.swap_remove(3);
        guards.clear();
        wait_for(|| count.load(Ordering::SeqCst) == 1);
    }

    #[test]
    fn threads_that_end_leave_their_records_to_others() {
        let swap = Swap::new(0_usize);
        let before = local::records();
        for _ in 0..200 {
            std::thread::scope(|scope| {
                scope.spawn(|| assert_eq!(*swap.load(), 0));
            });
        }
        // Other tests of the same process have threads of their own.
        assert!(local::records() < before + 100, "{} after {before}", local::records());
    }
}
