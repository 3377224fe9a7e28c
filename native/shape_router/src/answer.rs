//! A change's answer: candidates walked within a budget, each through the gate.

use crate::budget::Budget;
use crate::candidates::{self, Cursor};
use crate::change::{Change, Op};
use crate::classify::{Class, Context, RouteOptions};
use crate::index::Slot;
use crate::key::KeyHash;
use crate::membership::{Held, Membership};
use crate::metrics::Tally;
use crate::router::Progress;
use crate::scratch::{Routed, Scratch};
use crate::state::State;
use crate::transaction::Transaction;
use bumpalo::Bump;
use shape_expr::Vm;

/// What an evaluation raises that goes beyond its limits.
const LIMIT_EXCEEDED: &str = "54000";

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
}

/// Answers a change, or as much of it as the budget allows, into `scratch`.
pub(crate) fn answer<'a>(
    state: &'a State,
    request: Request<'a>,
    scratch: &'a mut Scratch,
    budget: &mut Budget,
    cursor: Option<Cursor>,
    effects: &mut Effects,
) -> (Progress, Tally) {
    let Scratch { arena, slots, routed, missing } = scratch;
    let mut answering = Answering::new(arena, state, request);
    answering.tally.first = cursor.is_none();
    let serial = cursor.as_ref().map_or(state.shapes.serial(), |c| c.serial);
    let mut resumed = cursor.filter(|c| c.collected).map(|c| (c.slots, c.done));
    let (list, start): (&[Slot], usize) = match &mut resumed {
        Some((list, done)) => (list, *done),
        None => {
            if answering.is_too_much(budget) {
                answering.tally.more = true;
                let cursor = Cursor { slots: Vec::new(), done: 0, collected: false, serial };
                return (Progress::Heavy(cursor), answering.tally);
            }
            answering.collect(slots, budget);
            (slots, 0)
        }
    };
    let out = Out { routed, missing, effects };
    let Walked { done, heavy } = answering.walk(list, start, serial, budget, out);
    let tally = &mut answering.tally;
    if done == list.len() {
        return (Progress::Done, *tally);
    }
    tally.more = true;
    let rest = match resumed {
        Some((list, _)) => Cursor { slots: list, done, collected: true, serial },
        None => Cursor { slots: slots[done..].to_vec(), done: 0, collected: true, serial },
    };
    (if heavy { Progress::Heavy(rest) } else { Progress::More(rest) }, *tally)
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
    pub tally: Tally,
}

impl<'a> Answering<'a> {
    pub fn new(arena: &'a Bump, state: &'a State, request: Request<'a>) -> Self {
        let Request { change, options, membership, transaction } = request;
        let tracking = transaction.is_some();
        let context = Context::prepare(arena, state, change, options, membership, tracking);
        let tally = Tally { first: true, ..Tally::default() };
        Self { state, change, transaction, context, tally }
    }

    /// Reads what the look-ups need of the rows, and asks for what they will read.
    pub fn prefetch(&self) {
        for row in [&self.context.new, &self.context.old].into_iter().flatten() {
            self.state.conditions.prefetch(row.row());
        }
    }

    /// Whether finding the candidates could take longer than a call on a normal scheduler may.
    pub fn is_too_much(&self, budget: &Budget) -> bool {
        !budget.is_patient()
            && candidates::units(self.state, &self.context) > Budget::SCHEDULER_SLICE
    }

    /// Leaves the candidates in `slots`.
    pub fn collect(&self, slots: &mut Vec<Slot>, budget: &mut Budget) {
        if relation_concerns_nobody(self.state, self.change) {
            return;
        }
        let tracking = self.transaction.is_some();
        let units = candidates::collect(self.state, &self.context, tracking, slots);
        // Of so many that no cache holds them, each took about 5 ns to find, to sort and to check.
        let a_unit = if slots.len() > 4096 { 2 } else { 32 };
        budget.spend(2 + units + slots.len() as u64 / a_unit);
    }

    /// Looks at the candidates from `start` on, as far as the budget goes.
    pub fn walk(
        &mut self,
        list: &[Slot],
        start: usize,
        serial: u64,
        budget: &mut Budget,
        out: Out<'_>,
    ) -> Walked {
        let Self { state, change, transaction, context, tally } = self;
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
            if tracking && (shape.known || state.track) {
                let default = shape.known.then_some(Held::No);
                for (key, held) in context.effects(&decision).into_iter().flatten() {
                    let now = context.membership.get(key, slot, &shape).or(default);
                    if now != Some(held) && (now.is_some() || held != Held::Maybe) {
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

fn relation_concerns_nobody(state: &State, change: &Change<'_>) -> bool {
    match (change.op, change.relation) {
        (Op::Relation, Some(now)) => !state.difference(now).is_any(),
        (Op::Relation, None) => true,
        _ => false,
    }
}
