//! What the calling thread has worked so far, for the benchmarks: on a machine with neighbours the time
//! on the clock says as much about them as about a call.

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static HERE: u8 = const { 0 };
}

/// `{thread, nanoseconds}`: which thread called, and the processor time that it has used. The difference
/// of two answers is a call's own time, where both name the same thread.
#[rustler::nif]
fn thread_clock() -> (u64, u64) {
    // No two threads that live have it at the same place.
    let thread = HERE.with(|here| std::ptr::from_ref(here).addr() as u64);
    let time = clock_gettime(ClockId::ThreadCPUTime);
    (thread, time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}
