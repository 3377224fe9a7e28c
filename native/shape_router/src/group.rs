//! Several changes at once: all are read before the first is answered, so that the cache misses of one
//! change's look-ups pass while others are read.

use crate::answer::{Answering, Effects, Out, Request};
use crate::budget::Budget;
use crate::change::Change;
use crate::classify::RouteOptions;
use crate::error::Error;
use crate::membership::Membership;
use crate::metrics::Tally;
use crate::router::{Router, check};
use crate::scratch::Scratch;
use bumpalo::collections::Vec as BumpVec;

/// So many changes are worth being given to [`Router::route_group`] at once: enough to hide a cache miss,
/// few enough that what is read of the first is not forgotten when the last is.
pub const GROUP: usize = 16;

impl Router {
    /// Routes changes one after the other, as [`Router::route`] does; each answer lies in the scratch
    /// when `answered` is called with it. How many were answered: fewer than there are where the budget
    /// is exhausted, or the next change needs a call of its own, which may end with a cursor.
    ///
    /// # Errors
    /// As [`Router::route`], with the number of the change; none is answered then.
    pub fn route_group(
        &self,
        changes: &[Change<'_>],
        options: RouteOptions,
        scratch: &mut Scratch,
        budget: &mut Budget,
        mut answered: impl FnMut(&Answered<'_>),
    ) -> Result<usize, (usize, Error)> {
        self.check_open().map_err(|error| (0, error))?;
        for (index, change) in changes.iter().enumerate() {
            check(change).map_err(|error| (index, error))?;
        }
        scratch.reset();
        let started = self.counters.start(&mut scratch.meter);
        let state = self.state.read();
        let Scratch { arena, slots, routed, missing, meter } = scratch;
        let mut group = BumpVec::with_capacity_in(changes.len(), arena);
        for change in changes {
            let membership = Membership::new(&state.base, None);
            let request = Request { change, options, membership, transaction: None };
            let answering = Answering::new(arena, &state, request);
            answering.prefetch();
            group.push(answering);
        }
        let serial = state.shapes.serial();
        // The candidates of change n end at `ends[n]`. Their records are on their way when the first of
        // them is looked at.
        let mut ends = BumpVec::with_capacity_in(changes.len(), arena);
        let mut candidates = BumpVec::new_in(arena);
        for answering in &group {
            // What is unusually much is found by a call of its own.
            if answering.is_too_much(budget) || budget.is_exhausted() || candidates.len() > MANY {
                break;
            }
            slots.clear();
            answering.collect(slots, budget);
            candidates.extend_from_slice(slots);
            ends.push(candidates.len());
        }
        let (mut start, mut total, mut count) = (0, Tally::default(), 0);
        for (answering, &end) in group.iter_mut().zip(&ends) {
            routed.clear();
            missing.clear();
            let mut none = Effects::default();
            let out = Out { routed, missing, effects: &mut none };
            let list = &candidates[start..end];
            let mut tally = Tally::default();
            let walked = answering.walk(list, 0, serial, budget, out, &mut tally);
            if walked.done < list.len() {
                break;
            }
            answered(&Answered { routed, missing });
            total.add(&tally);
            start = end;
            count += 1;
        }
        drop(group);
        drop(state);
        self.counters.record_group(meter, count as u64, &total, started);
        Ok(count)
    }
}

/// So many candidates of a group's changes are found before they are looked at.
const MANY: usize = 4096;

/// An answer of a group.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Ascending by id, each once.
    pub routed: &'a [crate::scratch::Routed],
    /// See [`Scratch::missing`].
    pub missing: &'a [usize],
}
