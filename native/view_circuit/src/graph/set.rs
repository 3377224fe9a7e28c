//! INTERSECT and EXCEPT: rows of the first arrangement by how often they are in the second, all columns
//! being the key.
//!
//! Of rows that are equal but written differently the first one of the left side is shown, as by
//! [`distinct`](super::distinct).

use shape_expr::{EvalError, Owned};

use super::KeyedDelta;
use super::arrangement::{Arrangement, Group};
use super::distinct::{Weighted, first};
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;
use crate::work::Work;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SetOperation {
    /// Rows of both sides; otherwise those of the left only.
    pub intersect: bool,
    /// As many copies as there are, numbered from 1 in a column of their own.
    pub all: bool,
}

/// One key's rows on either side.
struct Sides<'d> {
    left: Option<&'d Row>,
    counts: [i64; 2],
}

impl SetOperation {
    /// How many copies come out, and of which row.
    fn copies<'d>(self, sides: &Sides<'d>) -> (i64, Option<&'d Row>) {
        let [left, right] = sides.counts;
        let copies = match (self.intersect, self.all) {
            (true, true) => left.min(right),
            (false, true) => (left - right).max(0),
            (true, false) => i64::from(left > 0 && right > 0),
            (false, false) => i64::from(left > 0 && right == 0),
        };
        (copies, sides.left)
    }

    fn row(self, row: &Row, copy: i64) -> Row {
        match self.all {
            true => row.iter().cloned().chain([Owned::from(copy)]).collect(),
            false => row.clone(),
        }
    }
}

fn sides<'d>(
    groups: [Option<&'d Group>; 2],
    [left_more, right_more]: [&[(&'d Row, i64)]; 2],
) -> Sides<'d> {
    let count = |group: Option<&Group>, more: &[(&Row, i64)]| {
        let known = group.into_iter().flat_map(Group::rows).map(|(_, weight)| weight);
        known.chain(more.iter().map(|(_, weight)| *weight)).sum()
    };
    let [left, right] = groups;
    let counts = [count(left, left_more), count(right, right_more)];
    let mut rows: Weighted<'d> = left.into_iter().flat_map(Group::rows).collect();
    rows.extend_from_slice(left_more);
    Sides { left: first(rows), counts }
}

/// The output's change.
pub(super) fn change(
    operation: SetOperation,
    indexes: [&Arrangement; 2],
    [left_delta, right_delta]: [&KeyedDelta; 2],
    work: &mut Work,
) -> Result<Delta, EvalError> {
    let mut changed: Map<&Key, [Weighted<'_>; 2]> = Map::default();
    for (side, delta) in [left_delta, right_delta].into_iter().enumerate() {
        for (key, row, weight) in delta {
            changed.entry(key).or_default()[side].push((row, *weight));
        }
    }
    let mut out = Delta::new();
    for (key, [left, right]) in &changed {
        let groups = indexes.map(|index| index.get(key));
        let known: usize = groups.iter().flatten().map(|group| group.len()).sum();
        work.rows(known + left.len() + right.len(), key.values().len())?;
        let (before, old) = operation.copies(&sides(groups, [&[], &[]]));
        let (after, new) = operation.copies(&sides(groups, [left, right]));
        // Copies that stay as they are cancel out.
        let kept = if old == new { before.min(after) } else { 0 };
        work.rows(((before - kept) + (after - kept)) as usize, key.values().len())?;
        for copy in kept + 1..=before {
            out.extend(old.map(|row| (operation.row(row, copy), -1)));
        }
        for copy in kept + 1..=after {
            out.extend(new.map(|row| (operation.row(row, copy), 1)));
        }
    }
    Ok(out)
}

/// The whole output.
pub(super) fn whole(operation: SetOperation, left: &Arrangement, right: &Arrangement) -> Delta {
    let mut out = Delta::new();
    for (key, group) in left.groups() {
        let groups = [Some(group), right.get(&key)];
        let (copies, row) = operation.copies(&sides(groups, [&[], &[]]));
        let row = |copy| row.map(|row| (operation.row(row, copy), 1));
        out.extend((1..=copies).filter_map(row));
    }
    out
}
