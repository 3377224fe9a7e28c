//! Equi-join of two arrangements.
//!
//! It is bilinear: the change of `A join B` is `dA join B + A join dB + dA join dB`, with both
//! integrals as they were before the step. NULL joins nothing.

use super::KeyedDelta;
use super::arrangement::Arrangement;
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;

fn pair(left: &Row, right: &Row) -> Row {
    left.iter().chain(right.iter()).cloned().collect()
}

/// The output's change. It may name a row more than once.
pub(super) fn change(
    [left, right]: [&Arrangement; 2],
    [left_delta, right_delta]: [&KeyedDelta; 2],
) -> Delta {
    let mut out = Delta::new();
    let mut by_key: Map<&Key, Vec<(&Row, i64)>> = Map::default();
    for (key, row, weight) in right_delta {
        if key.has_null() {
            continue;
        }
        let group = left.get(key).into_iter().flat_map(|group| group.rows());
        out.extend(group.map(|(other, w)| (pair(other, row), w * weight)));
        if !left_delta.is_empty() {
            by_key.entry(key).or_default().push((row, *weight));
        }
    }
    for (key, row, weight) in left_delta {
        if key.has_null() {
            continue;
        }
        let group = right.get(key).into_iter().flat_map(|group| group.rows());
        out.extend(group.map(|(other, w)| (pair(row, other), weight * w)));
        let new = by_key.get(key).into_iter().flatten();
        out.extend(new.map(|(other, w)| (pair(row, other), weight * w)));
    }
    out
}

/// The whole output.
pub(super) fn whole(left: &Arrangement, right: &Arrangement) -> Delta {
    let mut out = Delta::new();
    for (key, group) in left.groups().filter(|(key, _)| !key.has_null()) {
        let Some(others) = right.get(key) else { continue };
        for (row, weight) in group.rows() {
            out.extend(others.rows().map(|(other, w)| (pair(row, other), weight * w)));
        }
    }
    out
}
