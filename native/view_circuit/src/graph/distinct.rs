//! Rows once each: the rows of an arrangement, one for each key.
//!
//! Rows under one key are equal by PostgreSQL's `=`, though they may be written differently (`1.0` and
//! `1.00`). Which of them PostgreSQL shows depends on its plan; here it is the first in the order of
//! [`Row::exact_cmp`], so that the result depends on the rows alone.

use shape_expr::EvalError;

use super::KeyedDelta;
use super::arrangement::{Arrangement, Group};
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;
use crate::work::Work;

/// Rows under one key and their weights, or by how much they change.
pub(super) type Weighted<'d> = smallvec::SmallVec<[(&'d Row, i64); 2]>;

/// The output's change.
pub(super) fn change(
    index: &Arrangement,
    delta: &KeyedDelta,
    work: &mut Work,
) -> Result<Delta, EvalError> {
    let mut out = Delta::new();
    let mut changed: Map<&Key, Weighted<'_>> = Map::default();
    for (key, row, weight) in delta {
        changed.entry(key).or_default().push((row, *weight));
    }
    for (key, mut rows) in changed {
        let group = index.get(key);
        work.rows(rows.len() + group.map_or(0, Group::len), key.values().len())?;
        let before = group.and_then(|group| first(group.rows().collect()));
        rows.extend(group.into_iter().flat_map(Group::rows));
        let after = first(rows);
        if before != after {
            out.extend(before.map(|row| (row.clone(), -1)));
            out.extend(after.map(|row| (row.clone(), 1)));
        }
    }
    Ok(out)
}

/// The whole output.
pub(super) fn whole(index: &Arrangement) -> Delta {
    let rows = index.groups().filter_map(|(_, group)| first(group.rows().collect()));
    rows.map(|row| (row.clone(), 1)).collect()
}

/// The first row that is there once weights of equal rows are added up.
pub(super) fn first<'d>(mut rows: Weighted<'d>) -> Option<&'d Row> {
    if let [(row, weight)] = rows.as_slice() {
        return (*weight > 0).then_some(row);
    }
    rows.sort_unstable_by(|(a, _), (b, _)| a.exact_cmp(b));
    let mut alike = rows.chunk_by(|(a, _), (b, _)| a == b);
    let present = |rows: &&[(&'d Row, i64)]| rows.iter().map(|(_, weight)| weight).sum::<i64>() > 0;
    alike.find(present).and_then(|rows| rows.first()).map(|(row, _)| *row)
}
