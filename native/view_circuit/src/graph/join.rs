//! Equi-join of two arrangements.
//!
//! It is bilinear: the change of `A join B` is `dA join B + A join dB + dA join dB`, with both
//! integrals as they were before the step. NULL joins nothing.

use shape_expr::EvalError;

use super::arrangement::{AHEAD, Arrangement, Group};
use super::{Evaluator, KeyedDelta, NodeId};
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;

/// The output's change, each pair of rows made to one by `put`. It may name a row more than once.
pub(super) fn change(
    [left, right]: [&Arrangement; 2],
    [left_delta, right_delta]: [&KeyedDelta; 2],
    evaluator: &mut Evaluator,
    failed: impl Fn(EvalError) -> (NodeId, EvalError),
    put: impl Fn(&Row, &Row, &mut Evaluator) -> Result<Row, (NodeId, EvalError)>,
) -> Result<Delta, (NodeId, EvalError)> {
    let mut out = Delta::with_capacity(left_delta.len() + right_delta.len());
    let width = |row: &Row, other: Option<&Group>| {
        row.len() + other.and_then(|group| group.rows().next()).map_or(0, |(other, _)| other.len())
    };
    let both = !left_delta.is_empty() && !right_delta.is_empty();
    let mut by_key: Option<Map<&Key, Vec<(&Row, i64)>>> = both.then(Map::default);
    for part in right_delta.chunks(AHEAD) {
        left.fetch(part);
        for (key, row, weight) in part.iter().filter(|(key, ..)| !key.has_null()) {
            let group = left.get(key);
            let rows = 1 + group.map_or(0, Group::len);
            evaluator.work.rows(rows, width(row, group)).map_err(&failed)?;
            for (other, w) in group.into_iter().flat_map(Group::rows) {
                out.push((put(other, row, evaluator)?, w * weight));
            }
            if let Some(by_key) = &mut by_key {
                by_key.entry(key).or_default().push((row, *weight));
            }
        }
    }
    for part in left_delta.chunks(AHEAD) {
        right.fetch(part);
        for (key, row, weight) in part.iter().filter(|(key, ..)| !key.has_null()) {
            let (group, new) = (right.get(key), by_key.as_ref().and_then(|by_key| by_key.get(key)));
            let rows = 1 + group.map_or(0, Group::len) + new.map_or(0, Vec::len);
            evaluator.work.rows(rows, width(row, group)).map_err(&failed)?;
            for (other, w) in group.into_iter().flat_map(Group::rows) {
                out.push((put(row, other, evaluator)?, weight * w));
            }
            for (other, w) in new.into_iter().flatten() {
                out.push((put(row, other, evaluator)?, weight * w));
            }
        }
    }
    Ok(out)
}

/// The whole output.
pub(super) fn whole(left: &Arrangement, right: &Arrangement) -> Delta {
    let mut out = Delta::new();
    for (key, group) in left.groups().filter(|(key, _)| !key.has_null()) {
        let Some(others) = right.get(&key) else { continue };
        for (row, weight) in group.rows() {
            out.extend(others.rows().map(|(other, w)| (row.beside(other), weight * w)));
        }
    }
    out
}
