//! The protocol between readers that take no lock and a writer that has it.
//!
//! As long as a lock is *biased*, a reader (1) stores the lock's address in a hazard, (2) issues a
//! barrier, (3) looks whether the lock still is biased: then it may read, else it takes the lock as
//! others do. A writer, who has the lock already, (1) ends the bias, (2) issues a barrier, (3) waits
//! until no hazard names the lock. Of the two barriers one comes first: if the reader's, the hazard is
//! seen; if the writer's, the reader sees that the bias ended.
//!
//! `tests/read_mostly_model.rs` compiles this file with loom's atomics.

use super::atomic::{AtomicBool, Hazard, Ordering, light};

/// Whether the reader may read; then the hazard names the lock until it is released.
#[inline(always)]
pub(super) fn enter(hazard: &Hazard, bias: &AtomicBool, lock: *const ()) -> bool {
    // Release, so that whoever sees this has seen what this thread read before under another hazard.
    hazard.store(lock.cast_mut(), Ordering::Release);
    light();
    // Acquire: whoever set the bias had the lock, and so saw what the last writer wrote.
    if bias.load(Ordering::Acquire) {
        return true;
    }
    hazard.store(std::ptr::null_mut(), Ordering::Release);
    false
}

/// Ends the bias, if there is one. Before it writes, the caller issues the heavy barrier and waits until
/// no hazard names the lock.
pub(super) fn revoke(bias: &AtomicBool) -> bool {
    if !bias.load(Ordering::Relaxed) {
        return false;
    }
    bias.store(false, Ordering::Relaxed);
    true
}

/// Begins a bias. The caller has the lock for reading.
pub(super) fn restore(bias: &AtomicBool) {
    bias.store(true, Ordering::Release);
}
