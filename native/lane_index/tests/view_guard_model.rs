//! Readers who say what they read and a reaper who frees what nobody does, under every interleaving
//! that loom finds.
//!
//! The protocol is the crate's own, compiled with loom's atomics in the place of the standard library's.
//! The light barrier, which costs a reader nothing where the operating system issues it for the reaper,
//! is a full one here, as it is on other systems: what the two together do is the same.

#[path = "../src/swap/hazard.rs"]
#[allow(dead_code)]
mod hazard;

/// What `hazard` finds as its parent's `atomic`.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicPtr, Ordering};

    pub(super) fn light() {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

use std::ptr;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
use loom::thread;

/// What is read: loom notices where somebody reads it while it is freed, or after.
struct Value {
    number: UnsafeCell<usize>,
    /// References that readers took for longer than a guard lives.
    counted: AtomicUsize,
}

const FREED: usize = usize::MAX;

impl Value {
    fn new(number: usize) -> *mut Value {
        Box::into_raw(Box::new(Value {
            number: UnsafeCell::new(number),
            counted: AtomicUsize::new(0),
        }))
    }

    fn read(value: *mut Value) -> usize {
        // SAFETY: the boxes of a model are freed at its end; "freeing" only writes to the cell.
        let number = unsafe { (*value).number.with(|number| *number) };
        assert_ne!(number, FREED, "read after it was freed");
        number
    }
}

struct Index {
    current: AtomicPtr<Value>,
    hazards: [AtomicPtr<()>; 2],
}

impl Index {
    fn new() -> (Arc<Self>, *mut Value) {
        let first = Value::new(0);
        let none = || AtomicPtr::new(ptr::null_mut());
        let index = Self { current: AtomicPtr::new(first), hazards: [none(), none()] };
        (Arc::new(index), first)
    }

    /// A guard, or a counted reference taken under one.
    fn look_up(&self, reader: usize, counted: bool) -> usize {
        let hazard = &self.hazards[reader];
        let value = hazard::protect(hazard, &self.current);
        if counted {
            // SAFETY: as in `Value::read`.
            let count = unsafe { &(*value).counted };
            count.fetch_add(1, Ordering::Relaxed);
            hazard::release(hazard);
            let number = Value::read(value);
            count.fetch_sub(1, Ordering::Release);
            number
        } else {
            let number = Value::read(value);
            hazard::release(hazard);
            number
        }
    }

    fn replace(&self, next: *mut Value) -> *mut Value {
        self.current.swap(next, Ordering::AcqRel)
    }

    /// As the reaper does it: again and again until nobody reads it.
    fn free(&self, value: *mut Value) {
        loop {
            fence(Ordering::SeqCst);
            let is_held = self.hazards.iter().any(|hazard| hazard::names(hazard, value.cast()));
            // SAFETY: as in `Value::read`.
            if !is_held && unsafe { (*value).counted.load(Ordering::Acquire) } == 0 {
                break;
            }
            thread::yield_now();
        }
        // SAFETY: as above; loom checks that nobody else is in the cell.
        unsafe { (*value).number.with_mut(|number| *number = FREED) };
    }
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

fn drop_all(values: impl IntoIterator<Item = *mut Value>) {
    for value in values {
        // SAFETY: they come from `Box::into_raw`, and the threads that read them have ended.
        drop(unsafe { Box::from_raw(value) });
    }
}

#[test]
fn what_a_guard_names_is_not_freed() {
    model(|| {
        let (index, first) = Index::new();
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let index = Arc::clone(&index);
                thread::spawn(move || index.look_up(reader, false))
            })
            .collect();
        let second = Value::new(1);
        index.free(index.replace(second));
        for reader in readers {
            assert!(reader.join().expect("a reader") <= 1);
        }
        drop_all([first, second]);
    });
}

#[test]
fn what_is_counted_under_a_guard_is_not_freed() {
    model(|| {
        let (index, first) = Index::new();
        let reader = {
            let index = Arc::clone(&index);
            thread::spawn(move || index.look_up(0, true))
        };
        let second = Value::new(1);
        index.free(index.replace(second));
        assert!(reader.join().expect("a reader") <= 1);
        drop_all([first, second]);
    });
}

#[test]
fn a_reader_never_goes_back_in_time() {
    model(|| {
        let (index, first) = Index::new();
        let reader = {
            let index = Arc::clone(&index);
            thread::spawn(move || {
                let before = index.look_up(0, false);
                assert!(before <= index.look_up(0, false));
            })
        };
        let (second, third) = (Value::new(1), Value::new(2));
        index.free(index.replace(second));
        index.free(index.replace(third));
        assert_eq!(index.look_up(1, false), 2, "a change that was made is seen");
        reader.join().expect("the reader");
        drop_all([first, second, third]);
    });
}
