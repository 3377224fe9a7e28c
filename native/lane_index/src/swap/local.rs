//! The hazards of each thread.
//!
//! A thread has a record with a few hazards, which it finds without a lock and keeps until it ends;
//! then another thread may take it over. Records are never freed: there are as many as there were
//! threads at the same time. A guard that finds no hazard free in its thread's record takes a further
//! record for as long as it lives.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::barrier;
use super::hazard::{self, Hazard};

const HAZARDS: usize = 8;
const ALL_FREE: u32 = (1 << HAZARDS) - 1;

/// Two cache lines, which processors fetch as a pair, so that threads do not disturb each other.
#[repr(align(128))]
struct Record {
    hazards: [Hazard; HAZARDS],
    /// Some thread, or some guard, has it.
    taken: AtomicBool,
    /// Only for who has it: one bit for each hazard that is not in use.
    free: Cell<u32>,
    /// Only for who has it: how often a hazard was taken.
    count: Cell<u32>,
    /// Only for who has it: it is a guard's, not a thread's.
    is_extra: Cell<bool>,
    next: AtomicPtr<Record>,
}

// SAFETY: the cells are for whoever has the record alone, which `taken` sees to; the rest is atomic.
unsafe impl Sync for Record {}

/// All records there are, the newest first. They are only added.
static RECORDS: AtomicPtr<Record> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    /// The record of this thread. It needs no destructor, and so no check of whether it had one.
    static RECORD: Cell<Option<&'static Record>> = const { Cell::new(None) };
    static LEASE: Lease = const { Lease };
}

/// Gives the record of a thread back when the thread ends.
struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(record) = RECORD.take().filter(|record| record.free.get() == ALL_FREE) {
            record.give_back();
        }
    }
}

fn all() -> impl Iterator<Item = &'static Record> {
    let at = |record: *mut Record| {
        // SAFETY: null, or a record that was leaked, whole before it was put in the list.
        unsafe { record.as_ref() }
    };
    let first = at(RECORDS.load(Ordering::Acquire));
    std::iter::successors(first, move |record| at(record.next.load(Ordering::Acquire)))
}

impl Record {
    fn take() -> &'static Record {
        barrier::prepare();
        let is_mine = |record: &&Record| {
            let taken = &record.taken;
            taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        if let Some(record) = all().find(is_mine) {
            return record;
        }
        let record: &'static mut Record = Box::leak(Box::new(Record {
            hazards: Default::default(),
            taken: AtomicBool::new(true),
            free: Cell::new(ALL_FREE),
            count: Cell::new(0),
            is_extra: Cell::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        let mut first = RECORDS.load(Ordering::Relaxed);
        loop {
            *record.next.get_mut() = first;
            // Whoever sees it in the list sees all of it. SeqCst orders it before the reader's barrier.
            let added =
                RECORDS.compare_exchange(first, record, Ordering::SeqCst, Ordering::Relaxed);
            match added {
                Ok(_) => return record,
                Err(other) => first = other,
            }
        }
    }

    fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

/// A hazard in use. It belongs to the thread that took it.
pub(crate) struct Slot {
    record: &'static Record,
    at: u32,
    /// A record is not for another thread.
    here: std::marker::PhantomData<*const ()>,
}

impl Slot {
    #[inline(always)]
    pub(crate) fn take() -> Self {
        match RECORD.get() {
            Some(record) if record.free.get() != 0 => Self::take_of(record),
            _ => Self::take_slowly(),
        }
    }

    #[inline(always)]
    fn take_of(record: &'static Record) -> Self {
        let free = record.free.get();
        // `free` has a bit; the mask spares the check of a bound.
        let at = free.trailing_zeros() & (HAZARDS as u32 - 1);
        record.free.set(free & !(1 << at));
        record.count.set(record.count.get().wrapping_add(1));
        Self { record, at, here: std::marker::PhantomData }
    }

    #[cold]
    #[inline(never)]
    fn take_slowly() -> Self {
        let record = Record::take();
        // A thread that ends already keeps none, since it could not give it back.
        let is_first = RECORD.get().is_none() && LEASE.try_with(|_| ()).is_ok();
        if is_first {
            RECORD.set(Some(record));
        }
        record.is_extra.set(!is_first);
        Self::take_of(record)
    }

    #[inline(always)]
    pub(crate) fn hazard(&self) -> &Hazard {
        &self.record.hazards[self.at as usize]
    }

    /// How many hazards were taken of the same record, this one included.
    #[inline(always)]
    pub(crate) fn count(&self) -> u32 {
        self.record.count.get()
    }
}

impl Drop for Slot {
    #[inline(always)]
    fn drop(&mut self) {
        hazard::release(self.hazard());
        let record = self.record;
        record.free.set(record.free.get() | 1 << self.at);
        if record.is_extra.get() {
            record.give_back();
        }
    }
}

/// Whether a reader says that it reads `value`. To be asked after [`barrier::heavy`].
pub(crate) fn is_held(value: *const ()) -> bool {
    all().any(|record| record.hazards.iter().any(|hazard| hazard::names(hazard, value)))
}

/// How many records there are.
#[cfg(test)]
pub(super) fn records() -> usize {
    all().count()
}
