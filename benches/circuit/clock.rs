//! Time that the processor spends on this program. On a machine with neighbours a step of some
//! milliseconds is interrupted, one of some microseconds seldom: by the clock on the wall the long ones
//! would look worse than they are.

use rustix::time::{ClockId, clock_gettime};

/// Seconds of processor time, all threads together.
pub fn processor() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
