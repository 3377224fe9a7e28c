//! Layers 1 and 2: which shapes could a change concern?

use crate::change::Op;
use crate::classify::{Context, OldRow};
use crate::index::{ConditionIndex, Slot};
use crate::router::State;
use shape_expr::{Row, Value};

/// Where an answer that took more than one call's budget goes on.
#[derive(Debug)]
pub struct Cursor {
    /// The candidates, and how many of them are done.
    pub(crate) slots: Vec<Slot>,
    pub(crate) done: usize,
    /// A slot whose shape came later than this is not meant.
    pub(crate) serial: u64,
}

/// Leaves in `out` every slot whose shape the change may belong to, each once.
///
/// `tracking`: membership is written after the answer, so that every shape that holds the row's old
/// key must be looked at, whatever its clause says of the row.
pub(crate) fn collect(state: &State, change: &Context<'_>, tracking: bool, out: &mut Vec<Slot>) {
    let shapes = &state.shapes;
    if change.op == Op::Truncate || change.op == Op::Relation {
        out.extend_from_slice(shapes.live());
        return;
    }
    for row in [&change.new, &change.old].into_iter().flatten() {
        by_conditions(state, row, out);
    }
    let old_unknown = change.old.is_none() && change.op != Op::Insert;
    let everything = old_unknown && change.key_old.is_none();
    if tracking || old_unknown {
        for key in [change.key_old, change.key_new].into_iter().flatten() {
            change.membership.slots(key, out);
        }
    }
    if everything {
        // Nothing tells which row it was: any shape may have held it.
        out.clear();
        let never = |s: &&Slot| shapes.get(**s).is_some_and(|s| s.filing.is_never() && !s.stale);
        out.extend(shapes.live().iter().filter(|s| !never(s)));
        return;
    }
    out.sort();
    out.dedup();
    let ignored = change.op == Op::Update && change.options.old_row == OldRow::Ignore;
    // A shape that was removed may still be named by the membership.
    let is =
        |slot: Slot, keep: fn(&crate::shapes::Shape) -> bool| shapes.get(slot).is_some_and(&keep);
    if old_unknown && !ignored {
        out.retain(|&s| is(s, |shape| shape.known && !shape.stale && !shape.filing.is_scan()));
        out.extend_from_slice(shapes.unknown());
        out.extend(shapes.scan().iter().filter(|s| is(**s, |shape| shape.known)));
    } else {
        out.retain(|&s| is(s, |shape| !shape.stale && !shape.filing.is_scan()));
        out.extend_from_slice(shapes.scan());
    }
    out.extend_from_slice(shapes.stale());
}

/// The shapes that are filed under one of a row's values; where a value is unknown or unreadable,
/// all that are filed under its column.
fn by_conditions(state: &State, row: &Row<'_>, out: &mut Vec<Slot>) {
    for &column in state.conditions.indexed() {
        let Some(index) = state.conditions.index(column) else { continue };
        match row.value(column) {
            Ok(Value::Null) => {}
            Ok(Value::Unknown) | Err(_) => index.all(out),
            Ok(value) => index.get(state.conditions.hash(&value), out),
        }
    }
}
