//! The protocol between readers, who say what they read, and the reaper, who asks.
//!
//! A reader (1) stores the pointer in a hazard, (2) issues a barrier, (3) loads again what is current
//! and begins anew if that is another pointer. Whoever frees (1) has replaced what was current, (2)
//! issues a barrier, (3) looks at all hazards. Of the two barriers one comes first: if the reader's, the
//! hazard is seen; if the other, the reader sees the replacement.
//!
//! `tests/view_guard_model.rs` compiles this file with loom's atomics.

use std::ptr;

use super::atomic::{AtomicPtr, Ordering, light};

/// What a reader says it reads; null for nothing.
pub(crate) type Hazard = AtomicPtr<()>;

/// Sets `hazard` to what `current` points to, and returns that: it is not freed before `release`.
#[inline(always)]
pub(super) fn protect<T>(hazard: &Hazard, current: &AtomicPtr<T>) -> *mut T {
    let mut pointer = current.load(Ordering::Relaxed);
    loop {
        // Release, so that whoever sees this has seen what this thread did before with another value.
        hazard.store(pointer.cast(), Ordering::Release);
        light();
        let again = current.load(Ordering::Acquire);
        if again == pointer {
            return pointer;
        }
        pointer = again;
    }
}

/// Says that the value is read no more.
#[inline(always)]
pub(super) fn release(hazard: &Hazard) {
    hazard.store(ptr::null_mut(), Ordering::Release);
}

/// Whether `hazard` names the value. Whoever asks has issued the heavy barrier after the value had been
/// replaced; then a `false` of every hazard means that it is never read again.
pub(super) fn names(hazard: &Hazard, value: *const ()) -> bool {
    ptr::eq(hazard.load(Ordering::Acquire), value)
}
