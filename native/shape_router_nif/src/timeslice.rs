//! A call's work counts against the turn of the process that called.
//!
//! The VM counts a call of a NIF like any other call, whatever it does: a process that routes one change
//! after the other would have its scheduler for thousands of them, where others wait for their turn.

use rustler::{Env, schedule::consume_timeslice};
use shape_router::Budget;

/// A turn is about 1 ms.
const TURN: u64 = 2 * Budget::SCHEDULER_SLICE;

/// Takes what a call has spent from its process's turn. Calls that take less than a hundredth of one are
/// left to the VM's own count. Off the normal schedulers it does nothing.
#[inline]
pub(crate) fn taken(env: Env<'_>, budget: &Budget) {
    let percent = budget.spent().saturating_mul(100) / TURN;
    if percent > 0 {
        consume_timeslice(env, percent.min(100) as i32);
    }
}

/// What reading a change and telling its answer take besides finding it, in units of the budget.
pub(crate) const READING: u64 = 40;
