//! Layers 1 and 2: which shapes could a change concern?

use crate::change::Op;
use crate::classify::{Context, OldRow};
use crate::filing::Filing;
use crate::index::Slot;
use crate::shapes::Tags;
use crate::state::State;

/// Where an answer that took more than one call's budget goes on.
#[derive(Debug)]
pub struct Cursor {
    /// The candidates, and how many of them are done.
    pub(crate) slots: Vec<Slot>,
    pub(crate) done: usize,
    /// False: finding them would have taken too long.
    pub(crate) collected: bool,
    /// A slot whose shape came later than this is not meant.
    pub(crate) serial: u64,
}

/// About how many units of the budget it takes to find the candidates, where that may be many.
pub(crate) fn units(state: &State, change: &Context<'_>) -> u64 {
    let rows = [&change.new, &change.old].into_iter().flatten();
    rows.map(|row| state.conditions.infix_units(row.row())).sum()
}

/// Leaves in `out` every slot whose shape the change may belong to, each once.
///
/// `tracking`: membership is written after the answer, so that every shape that holds the row's old
/// key must be looked at, whatever its clause says of the row. How much work it was to find them, in
/// units of the budget.
pub(crate) fn collect(
    state: &State,
    change: &Context<'_>,
    tracking: bool,
    out: &mut Vec<Slot>,
) -> u64 {
    let shapes = &state.shapes;
    if change.op == Op::Truncate || change.op == Op::Relation {
        out.extend(shapes.live().iter());
        return 0;
    }
    let rows = [&change.new, &change.old].into_iter().flatten();
    let units = rows.map(|row| state.conditions.look_up(row.row(), out)).sum();
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
        return units;
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
    units
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
