//! A change's answer: candidates walked within a budget, each through the gate.

use crate::budget::Budget;
use crate::candidates::{self, Cursor, Rest};
use crate::change::{Change, Op};
use crate::classify::{Class, Context, RouteOptions, Rows};
use crate::index::Slot;
use crate::key::KeyHash;
use crate::membership::{Held, Membership};
use crate::metrics::Tally;
use crate::router::Progress;
use crate::scratch::{Routed, Scratch};
use crate::sets::Staged;
use crate::state::State;
use crate::transaction::Transaction;
use bumpalo::Bump;
use shape_expr::Vm;

/// What an evaluation raises that goes beyond its limits.
const LIMIT_EXCEEDED: &str = "54000";

/// Candidates that are not gone through on a scheduler at hand: each takes about 5 ns before it is looked at.
const MANY: usize = 100_000;

/// What a transaction's change does besides being answered.
#[derive(Default)]
pub(crate) struct Effects {
    /// Which keys shapes hold from now on.
    pub held: Vec<(KeyHash, Slot, Held)>,
    /// Shapes whose membership is no longer known: a row came in under an unknown key.
    pub lost: Vec<Slot>,
}

/// What a change is routed with.
pub(crate) struct Request<'a> {
    pub change: &'a Change<'a>,
    pub options: RouteOptions,
    pub membership: Membership<'a>,
    /// Some: the effects on membership are wanted, and what a shape's snapshot shows is skipped.
    pub transaction: Option<Transaction>,
    /// What transactions did to sets that are not acknowledged; `None`: only what is counts.
    pub staged: Option<&'a Staged>,
}

/// Answers a change, or as much of it as the budget allows, into `scratch`; `tally` is empty before.
#[inline]
pub(crate) fn answer<'a>(
    state: &'a State,
    request: Request<'a>,
    scratch: &'a mut Scratch,
    budget: &mut Budget,
    cursor: Option<Cursor>,
    effects: &mut Effects,
    tally: &mut Tally,
) -> Progress {
    let Scratch { arena, slots, routed, missing, .. } = scratch;
    let rows = Rows::new(arena, state, request.change, request.staged);
    tally.first = cursor.is_none();
    let serial = cursor.as_ref().map_or(state.shapes.serial(), |c| c.0.serial);
    let mut resumed = cursor.filter(|c| c.0.collected).map(|c| (c.0.slots, c.0.done));
    if resumed.is_none() {
        if is_too_much(state, &rows, budget) {
            tally.more = true;
            let rest = Rest { slots: Vec::new(), done: 0, collected: false, serial };
            return Progress::Heavy(Cursor(Box::new(rest)));
        }
        budget.spend(2 + candidates::look_up(state, request.change.op, &rows, slots));
        if slots.len() > MANY && !budget.is_patient() {
            // To sort and to check them alone takes more than a slice.
            slots.clear();
            tally.more = true;
            let rest = Rest { slots: Vec::new(), done: 0, collected: false, serial };
            return Progress::Heavy(Cursor(Box::new(rest)));
        }
        let tracking = request.transaction.is_some();
        if slots.is_empty() && candidates::only_indexed(state, request.change, tracking) {
            return Progress::Done;
        }
    }
    let mut answering = Answering::new(arena, state, request, rows);
    let (list, start): (&[Slot], usize) = match &mut resumed {
        Some((list, done)) => (list, *done),
        None => {
            answering.complete(slots, budget);
            (slots, 0)
        }
    };
    let out = Out { routed, missing, effects };
    let Walked { done, heavy } = answering.walk(list, start, serial, budget, out, tally);
    if done == list.len() {
        return Progress::Done;
    }
    tally.more = true;
    let rest = match resumed {
        Some((list, _)) => Rest { slots: list, done, collected: true, serial },
        None => Rest { slots: slots[done..].to_vec(), done: 0, collected: true, serial },
    };
    let cursor = Cursor(Box::new(rest));
    if heavy { Progress::Heavy(cursor) } else { Progress::More(cursor) }
}

/// Where an answer goes.
pub(crate) struct Out<'o> {
    pub routed: &'o mut Vec<Routed>,
    pub missing: &'o mut Vec<usize>,
    pub effects: &'o mut Effects,
}

/// How far candidates were walked, and whether the next one takes more than a slice by itself.
pub(crate) struct Walked {
    pub done: usize,
    pub heavy: bool,
}

/// A change that is being answered.
pub(crate) struct Answering<'a> {
    state: &'a State,
    change: &'a Change<'a>,
    transaction: Option<Transaction>,
    context: Context<'a>,
}

impl<'a> Answering<'a> {
    // Inlined, as `Context::prepare` is: what they make is large, and would be copied at every return.
    #[inline(always)]
    pub fn new(arena: &'a Bump, state: &'a State, request: Request<'a>, rows: Rows<'a>) -> Self {
        let Request { change, options, membership, transaction, .. } = request;
        let tracking = transaction.is_some();
        let context = Context::prepare(arena, state, change, rows, options, membership, tracking);
        Self { state, change, transaction, context }
    }

    /// Makes the candidates of the slots that were looked up.
    pub fn complete(&self, slots: &mut Vec<Slot>, budget: &mut Budget) {
        if relation_concerns_nobody(self.state, self.change) {
            return;
        }
        let tracking = self.transaction.is_some();
        candidates::complete(self.state, &self.context, tracking, slots);
        // Of so many that no cache holds them, each took about 5 ns to find, to sort and to check.
        let a_unit = if slots.len() > 4096 { 2 } else { 32 };
        budget.spend(slots.len() as u64 / a_unit);
    }

    /// Looks at the candidates from `start` on, as far as the budget goes.
    pub fn walk(
        &mut self,
        list: &[Slot],
        start: usize,
        serial: u64,
        budget: &mut Budget,
        out: Out<'_>,
        tally: &mut Tally,
    ) -> Walked {
        let Self { state, change, transaction, context } = self;
        let (state, change, tracking) = (*state, *change, transaction.is_some());
        let vm = &mut Vm::new(budget.evaluation());
        let (mut done, mut heavy) = (start, false);
        for &slot in &list[start..] {
            if budget.is_exhausted() {
                break;
            }
            done += 1;
            let Some(shape) = state.shapes.get(slot).filter(|shape| shape.serial <= serial) else {
                continue;
            };
            if transaction.is_some_and(|t| shape.has_seen(&t)) {
                continue;
            }
            if change.op == Op::Relation {
                tally.candidates += 1;
                out.routed.push(Routed { id: shape.id, class: Class::Unknown });
                tally.matches += 1;
                budget.spend(3);
                continue;
            }
            let decision = context.decide(slot, &shape, vm);
            if !budget.is_patient()
                && decision.error.is_some_and(|e| e.sqlstate() == LIMIT_EXCEEDED)
            {
                done -= 1;
                heavy = true;
                break;
            }
            tally.candidates += 1;
            let named = decision.class.is_some();
            if let Some(mut class) = decision.class {
                if class == Class::Insert && change.op == Op::Update && context.options.classify {
                    if out.missing.is_empty() {
                        context.missing(state, out.missing);
                    }
                    if !out.missing.is_empty() {
                        class = Class::InsertMissing;
                    }
                }
                tally.unknown += u64::from(class == Class::Unknown);
                tally.matches += 1;
                out.routed.push(Routed { id: shape.id, class });
            }
            tally.eval_errors += u64::from(decision.error.is_some());
            if tracking && shape.is_tracked(state.track) {
                let default = shape.known.then_some(Held::No);
                for (key, held) in context.effects(&decision).into_iter().flatten() {
                    let now = context.membership.get(key, slot, &shape).or(default);
                    // Nothing is learned of a key by being looked at without being named: which other
                    // candidates there are depends on where clauses are filed, and that may be
                    // elsewhere once the router was opened again and the transaction comes again.
                    let learns = named && held != Held::Maybe;
                    if now != Some(held) && (now.is_some() || learns) {
                        out.effects.held.push((key, slot, held));
                        budget.spend(10);
                    }
                }
                if shape.known && context.loses_track(&decision) {
                    out.effects.lost.push(slot);
                }
            }
            budget.spend(3 + vm.take_fuel());
        }
        out.routed.sort_unstable();
        Walked { done, heavy }
    }
}

/// Whether finding the candidates could take longer than a call on a normal scheduler may.
pub(crate) fn is_too_much(state: &State, rows: &Rows<'_>, budget: &Budget) -> bool {
    !budget.is_patient() && candidates::units(state, rows) > Budget::SCHEDULER_SLICE
}

fn relation_concerns_nobody(state: &State, change: &Change<'_>) -> bool {
    match (change.op, change.relation) {
        (Op::Relation, Some(now)) => !state.difference(now).is_any(),
        (Op::Relation, None) => true,
        _ => false,
    }
}
