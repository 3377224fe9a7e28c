//! Several changes at once: what is looked up by one hash is looked up for all of them together, so that
//! the cache misses of one pass while others are read.

use crate::answer::{Answering, Effects, Out, Request, is_too_much};
use crate::budget::Budget;
use crate::candidates;
use crate::change::{Change, Op};
use crate::classify::{RouteOptions, Rows};
use crate::error::Error;
use crate::index::Slot;
use crate::membership::Membership;
use crate::metrics::Tally;
use crate::router::{Router, check};
use crate::scratch::Scratch;
use crate::state::State;
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use shape_expr::Value;

/// So many changes are worth being given to [`Router::route_group`] at once: enough to hide a cache miss,
/// few enough that what is read of the first is not forgotten when the last is.
pub const GROUP: usize = 16;

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
        for (index, change) in changes.iter().enumerate() {
            check(change).map_err(|error| (index, error))?;
        }
        scratch.reset();
        let started = self.counters.start(&mut scratch.meter);
        let state = self.open_state().map_err(|error| (0, error))?;
        let Scratch { arena, slots, routed, missing, meter } = scratch;
        let arena = &*arena;
        let mut group = Group::new(arena, changes.len());
        group.read(arena, &state, changes, slots, budget);
        group.look_up(&state, changes, slots);
        group.settle(&state);
        let Group { rows, found, whole } = group;
        let serial = state.shapes.serial();
        let (mut start, mut total, mut count) = (0, Tally::default(), 0);
        for (number, rows) in rows.into_iter().take(whole).enumerate() {
            slots.clear();
            let own = found[start..].iter().take_while(|found| found.change() == number);
            slots.extend(own.map(|found| found.slot()));
            start += slots.len();
            routed.clear();
            missing.clear();
            let change = &changes[number];
            if !(slots.is_empty() && candidates::only_indexed(&state, change, false)) {
                let membership = Membership::new(&state.base, None);
                let request =
                    Request { change, options, membership, transaction: None, staged: None };
                let mut answering = Answering::new(arena, &state, request, rows);
                answering.complete(slots, budget);
                let (mut none, mut tally) = (Effects::default(), Tally::default());
                let out = Out { routed, missing, effects: &mut none };
                let walked = answering.walk(slots, 0, serial, budget, out, &mut tally);
                if walked.done < slots.len() {
                    break;
                }
                total.add(&tally);
            }
            answered(&Answered { routed, missing });
            count += 1;
        }
        self.counters.record_group(meter, count as u64, &total, started);
        Ok(count)
    }
}

/// A slot that was found, with the number of the change that it was found for: in order they are those
/// of the first change, then those of the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found(u64);

impl Found {
    fn new(change: usize, slot: Slot) -> Self {
        Self((change as u64) << 32 | u64::from(slot))
    }
    fn change(self) -> usize {
        (self.0 >> 32) as usize
    }
    fn slot(self) -> Slot {
        self.0 as Slot
    }
}

/// Changes whose candidates are being sought.
struct Group<'a> {
    rows: BumpVec<'a, Rows<'a>>,
    found: BumpVec<'a, Found>,
    /// So many of the changes are sought to the end; the next one needs a call of its own.
    whole: usize,
}

impl<'a> Group<'a> {
    fn new(arena: &'a Bump, changes: usize) -> Self {
        let rows = BumpVec::with_capacity_in(changes, arena);
        let found = BumpVec::with_capacity_in(2 * changes, arena);
        Self { rows, found, whole: 0 }
    }

    /// Takes in the changes, as many as the budget allows, and looks up what has to be looked up by itself.
    fn read(
        &mut self,
        arena: &'a Bump,
        state: &'a State,
        changes: &'a [Change<'a>],
        slots: &mut Vec<Slot>,
        budget: &mut Budget,
    ) {
        for (number, change) in changes.iter().enumerate() {
            let rows = Rows::new(arena, state, change, None);
            let is_much = self.found.len() > MANY || budget.is_exhausted();
            if is_much || is_too_much(state, &rows, budget) {
                break;
            }
            let mut units = 2;
            if has_rows(change) {
                slots.clear();
                for row in rows.each() {
                    units += state.conditions.look_up_apart(row, slots);
                }
                units += candidates::look_up_sets(state, &rows, slots);
                self.add(number, slots);
            }
            budget.spend(units);
            self.rows.push(rows);
        }
        self.whole = self.rows.len();
    }

    /// Looks up what is looked up by one hash, for all changes together.
    fn look_up(&mut self, state: &State, changes: &[Change<'_>], slots: &mut Vec<Slot>) {
        let arena = self.rows.bump();
        let mut hashes = BumpVec::with_capacity_in(2 * self.rows.len(), arena);
        let mut owners = BumpVec::with_capacity_in(2 * self.rows.len(), arena);
        let secret = state.conditions.secret();
        for (column, index) in state.conditions.only_equal() {
            hashes.clear();
            owners.clear();
            for (number, change) in changes.iter().enumerate().take(self.whole) {
                if !has_rows(change) {
                    continue;
                }
                let mut last = None;
                let mut unknown = false;
                for row in self.rows[number].each() {
                    match row.value(column) {
                        Ok(Value::Null) => {}
                        Ok(Value::Unknown) | Err(_) => unknown = true,
                        Ok(value) => {
                            // Most updates leave the column alone.
                            let hash = secret.hash(&value);
                            if last.replace(hash) != Some(hash) {
                                hashes.push(hash);
                                owners.push(number);
                            }
                        }
                    }
                }
                if unknown {
                    slots.clear();
                    index.all(slots);
                    if !self.add_few(number, slots) {
                        break;
                    }
                }
            }
            index.get_batch_while(&hashes, slots, |at, slots| self.add_few(owners[at], slots));
        }
    }

    fn add(&mut self, change: usize, slots: &[Slot]) {
        self.found.extend(slots.iter().map(|&slot| Found::new(change, slot)));
    }

    /// Adds slots of a change, unless they are too many: then that change is not answered, nor those
    /// after it.
    fn add_few(&mut self, change: usize, slots: &[Slot]) -> bool {
        let fits = self.found.len() + slots.len() <= 2 * MANY;
        if fits {
            self.add(change, slots);
        } else {
            self.whole = self.whole.min(change);
        }
        fits
    }

    /// Puts what was found in order, each once, and asks for the records of the shapes.
    fn settle(&mut self, state: &State) {
        self.found.sort_unstable();
        self.found.dedup();
        self.found.iter().for_each(|found| state.shapes.prefetch(found.slot()));
    }
}

/// Whether the change is one of rows.
fn has_rows(change: &Change<'_>) -> bool {
    !matches!(change.op, Op::Truncate | Op::Relation)
}
