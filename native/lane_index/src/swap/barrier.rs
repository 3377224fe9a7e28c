//! A pair of memory barriers of which one is free.
//!
//! Where the operating system can interrupt all threads of the process to issue a barrier there
//! (Linux, `membarrier`), readers only have to keep the compiler from reordering, and the reaper asks
//! for the barrier; elsewhere both sides issue a full one.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// Readers issue full barriers.
static FULL: AtomicBool = AtomicBool::new(true);

/// Finds out once what the system can do. Whoever issues one of the barriers has been here before, so
/// that it is the same for all.
pub(super) fn prepare() {
    static PREPARED: OnceLock<()> = OnceLock::new();
    PREPARED.get_or_init(|| {
        if register() {
            FULL.store(false, Ordering::SeqCst);
        }
    });
}

/// The barrier of readers.
#[inline(always)]
pub(crate) fn light() {
    if FULL.load(Ordering::Relaxed) {
        fence(Ordering::SeqCst);
    } else {
        compiler_fence(Ordering::SeqCst);
    }
}

/// The barrier of whoever frees. `false` where the system refused: then nothing may be concluded about
/// what readers see.
pub(crate) fn heavy() -> bool {
    prepare();
    fence(Ordering::SeqCst);
    FULL.load(Ordering::SeqCst) || issue()
}

#[cfg(target_os = "linux")]
fn register() -> bool {
    use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};
    membarrier_query().contains(MembarrierQuery::PRIVATE_EXPEDITED)
        && membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok()
        && issue()
}

#[cfg(target_os = "linux")]
fn issue() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn register() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn issue() -> bool {
    true
}
