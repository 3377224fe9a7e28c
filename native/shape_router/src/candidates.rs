//! Layers 1 and 2: which shapes could a change concern?

use crate::change::{Change, Op};
use crate::classify::{Context, OldRow, Rows};
use crate::filing::Filing;
use crate::index::Slot;
use crate::shapes::Tags;
use crate::state::State;

/// Where an answer that took more than one call's budget goes on. In a box: most answers are whole, and
/// say so in few bytes.
#[derive(Debug)]
pub struct Cursor(pub(crate) Box<Rest>);

/// What is left of an answer.
#[derive(Debug)]
pub(crate) struct Rest {
    /// The candidates, and how many of them are done.
    pub slots: Vec<Slot>,
    pub done: usize,
    /// False: finding them would have taken too long.
    pub collected: bool,
    /// A slot whose shape came later than this is not meant.
    pub serial: u64,
}

/// About how many units of the budget it takes to find the candidates, where that may be many.
pub(crate) fn units(state: &State, rows: &Rows<'_>) -> u64 {
    if !state.conditions.has_infixes() {
        return 0;
    }
    rows.each().map(|row| state.conditions.infix_units(row)).sum()
}

/// Layer 1: whether shapes beside those that an index finds could be concerned. Where that is not so, and
/// no index finds one, nothing more needs to be known of the change.
#[inline]
pub(crate) fn only_indexed(state: &State, change: &Change<'_>, tracking: bool) -> bool {
    let rows_tell = match change.op {
        Op::Insert => true,
        Op::Update | Op::Delete => change.old.is_some(),
        Op::Truncate | Op::Relation => false,
    };
    let shapes = &state.shapes;
    rows_tell && !tracking && shapes.scan().len() == 0 && shapes.stale().len() == 0
}

/// Appends the slots that are filed under one of the rows' values. How much work it was to find them, in
/// units of the budget.
#[inline]
pub(crate) fn look_up(state: &State, op: Op, rows: &Rows<'_>, out: &mut Vec<Slot>) -> u64 {
    if op == Op::Truncate || op == Op::Relation {
        return 0;
    }
    let conditions = &state.conditions;
    let work: u64 = rows.each().map(|row| conditions.look_up(row, out)).sum();
    work + look_up_sets(state, rows, out)
}

/// Appends the slots that are filed under a set that holds one of the rows' values.
#[inline]
pub(crate) fn look_up_sets(state: &State, rows: &Rows<'_>, out: &mut Vec<Slot>) -> u64 {
    let members = &state.conditions.members;
    match rows.sets {
        Some(view) if !members.is_empty() => {
            rows.each().map(|row| members.look_up(*view, row, out)).sum()
        }
        _ => 0,
    }
}

/// Makes of the slots that were [looked up](look_up) every slot whose shape the change may belong to,
/// each once.
///
/// `tracking`: membership is written after the answer, so that every shape that holds the row's old
/// key must be looked at, whatever its clause says of the row.
pub(crate) fn complete(state: &State, change: &Context<'_>, tracking: bool, out: &mut Vec<Slot>) {
    let shapes = &state.shapes;
    if change.op == Op::Truncate || change.op == Op::Relation {
        out.extend(shapes.live().iter());
        return;
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
        let never = |tags: Tags| tags.filing() == Filing::Never && !tags.stale();
        let rest = shapes.live().iter().filter(|&s| !shapes.tags(s).is_some_and(never));
        out.extend(rest);
        return;
    }
    distinct(out);
    let ignored = change.op == Op::Update && change.options.old_row == OldRow::Ignore;
    // A shape that was removed may still be named by the membership.
    let is = |slot: Slot, keep: fn(Tags) -> bool| shapes.tags(slot).is_some_and(keep);
    if old_unknown && !ignored {
        out.retain(|&s| is(s, |t| t.known() && !t.stale() && !t.filing().is_scan()));
        out.extend(shapes.unknown().iter());
        out.extend(shapes.scan().iter().filter(|&s| is(s, Tags::known)));
    } else {
        out.retain(|&s| is(s, |t| !t.stale() && !t.filing().is_scan()));
        shapes.scan().append_to(out);
    }
    out.extend(shapes.stale().iter());
}

/// Puts slots in order and leaves each once. Many of them are not sorted but marked in a set of bits,
/// which takes about a nanosecond each.
fn distinct(slots: &mut Vec<Slot>) {
    const FEW: usize = 2048;
    let (Some(&least), Some(&most)) = (slots.iter().min(), slots.iter().max()) else { return };
    let words = ((most - least) / 64 + 1) as usize;
    if slots.len() < FEW || words > slots.len() {
        slots.sort_unstable();
        slots.dedup();
        return;
    }
    let mut bits = vec![0u64; words];
    for slot in slots.iter().map(|slot| slot - least) {
        bits[slot as usize / 64] |= 1 << (slot % 64);
    }
    slots.clear();
    for (word, &set) in bits.iter().enumerate() {
        let mut left = set;
        while left != 0 {
            slots.push(least + word as u32 * 64 + left.trailing_zeros());
            left &= left - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::distinct;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_are_left_once_each(
            mut slots in proptest::collection::vec(0u32..9000, 0..6000),
            base in prop_oneof![Just(0), Just(u32::MAX - 9000)],
        ) {
            slots.iter_mut().for_each(|slot| *slot += base);
            let mut expected = slots.clone();
            expected.sort_unstable();
            expected.dedup();
            distinct(&mut slots);
            prop_assert_eq!(slots, expected);
        }
    }
}
