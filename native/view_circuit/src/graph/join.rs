//! Equi-join of two arrangements.
//!
//! It is bilinear: the change of `A join B` is `dA join B + A join dB + dA join dB`, with both
//! integrals as they were before the step. NULL joins nothing.

use shape_expr::EvalError;

use super::KeyedDelta;
use super::arrangement::{Arrangement, Group};
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;
use crate::work::Work;

fn pair(left: &Row, right: &Row) -> Row {
    left.iter().chain(right.iter()).cloned().collect()
}

/// The output's change. It may name a row more than once.
pub(super) fn change(
    [left, right]: [&Arrangement; 2],
    [left_delta, right_delta]: [&KeyedDelta; 2],
    work: &mut Work,
) -> Result<Delta, EvalError> {
    let mut out = Delta::new();
    let width = |row: &Row, other: Option<&Group>| {
        row.len() + other.and_then(|group| group.rows().next()).map_or(0, |(other, _)| other.len())
    };
    let mut by_key: Map<&Key, Vec<(&Row, i64)>> = Map::default();
    for (key, row, weight) in right_delta {
        if key.has_null() {
            continue;
        }
        let group = left.get(key);
        work.rows(1 + group.map_or(0, Group::len), width(row, group))?;
        let group = group.into_iter().flat_map(Group::rows);
        out.extend(group.map(|(other, w)| (pair(other, row), w * weight)));
        if !left_delta.is_empty() {
            by_key.entry(key).or_default().push((row, *weight));
        }
    }
    for (key, row, weight) in left_delta {
        if key.has_null() {
            continue;
        }
        let (group, new) = (right.get(key), by_key.get(key));
        let rows = 1 + group.map_or(0, Group::len) + new.map_or(0, Vec::len);
        work.rows(rows, width(row, group))?;
        let group = group.into_iter().flat_map(Group::rows);
        out.extend(group.map(|(other, w)| (pair(row, other), weight * w)));
        out.extend(new.into_iter().flatten().map(|(other, w)| (pair(row, other), weight * w)));
    }
    Ok(out)
}

/// The whole output.
pub(super) fn whole(left: &Arrangement, right: &Arrangement) -> Delta {
    let mut out = Delta::new();
    for (key, group) in left.groups().filter(|(key, _)| !key.has_null()) {
        let Some(others) = right.get(&key) else { continue };
        for (row, weight) in group.rows() {
            out.extend(others.rows().map(|(other, w)| (pair(row, other), weight * w)));
        }
    }
    out
}
