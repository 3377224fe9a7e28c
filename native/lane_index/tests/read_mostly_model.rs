//! Readers that take no lock, readers that do, and a writer, under every interleaving that loom finds.
//!
//! The protocol is the crate's own, compiled with loom's atomics in the place of the standard library's.
//! The light barrier, which costs a reader nothing where the operating system issues it for the writer,
//! is a full one here, as it is on other systems: what the two together do is the same.

#[path = "../src/read_mostly/bias.rs"]
mod bias;

/// What `bias` finds as its parent's `atomic`.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};

    pub(super) type Hazard = loom::sync::atomic::AtomicPtr<()>;

    pub(super) fn light() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
use loom::sync::{Arc, RwLock};
use loom::thread;

/// As the crate's lock, with loom's parts.
struct Lock {
    biased: AtomicBool,
    lock: RwLock<()>,
    hazards: [AtomicPtr<()>; 2],
    /// Loom notices where somebody reads it while somebody writes.
    value: UnsafeCell<usize>,
}

impl Lock {
    fn biased() -> Arc<Self> {
        let none = || AtomicPtr::new(ptr::null_mut());
        Arc::new(Self {
            biased: AtomicBool::new(true),
            lock: RwLock::new(()),
            hazards: [none(), none()],
            value: UnsafeCell::new(0),
        })
    }

    fn address(&self) -> *const () {
        ptr::from_ref(self).cast()
    }

    fn get(&self) -> usize {
        // SAFETY: what the protocol is for; loom checks it.
        self.value.with(|value| unsafe { *value })
    }

    /// `restores`: the reader that finds the lock without a bias gives it one.
    fn read(&self, reader: usize, restores: bool) -> usize {
        let hazard = &self.hazards[reader];
        if self.biased.load(Ordering::Relaxed) && bias::enter(hazard, &self.biased, self.address())
        {
            let value = self.get();
            hazard.store(ptr::null_mut(), Ordering::Release);
            return value;
        }
        let guard = self.lock.read().expect("nobody panics");
        if restores {
            bias::restore(&self.biased);
        }
        let value = self.get();
        drop(guard);
        value
    }

    fn write(&self) {
        let guard = self.lock.write().expect("nobody panics");
        if bias::revoke(&self.biased) {
            fence(Ordering::SeqCst);
            let is_named = |hazard: &AtomicPtr<()>| {
                ptr::eq(hazard.load(Ordering::Acquire).cast_const(), self.address())
            };
            while self.hazards.iter().any(is_named) {
                thread::yield_now();
            }
        }
        // SAFETY: as in `get`.
        self.value.with_mut(|value| unsafe { *value += 1 });
        drop(guard);
    }
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

#[test]
fn nobody_reads_while_somebody_writes() {
    model(|| {
        let lock = Lock::biased();
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || lock.read(reader, false))
            })
            .collect();
        lock.write();
        assert_eq!(lock.get(), 1);
        for reader in readers {
            assert!(reader.join().expect("a reader") <= 1);
        }
    });
}

#[test]
fn a_bias_that_begins_again_is_seen_with_what_was_written() {
    model(|| {
        let lock = Lock::biased();
        let reader = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || {
                let first = lock.read(0, true);
                assert!(first <= lock.read(0, true));
            })
        };
        lock.write();
        lock.write();
        assert_eq!(lock.read(1, true), 2);
        reader.join().expect("a reader");
    });
}
