//! Semi-joins and anti-joins: rows by whether their keys are in another arrangement. `IN`, `NOT IN`,
//! `EXISTS`, `NOT EXISTS`, and the truth of the first and the third as a column.
//!
//! A row stays or goes as its key's truth does, so the change is `dL * truth after + L * (truth after -
//! truth before)`, and the second part looks only at keys whose truth changes.

use shape_expr::{EvalError, Owned};

use super::KeyedDelta;
use super::arrangement::{Arrangement, Group};
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;
use crate::work::Work;

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Existence {
    /// It stays where its key is there: IN and EXISTS.
    Semi,
    /// It stays where its key is not there, a key of NULL being nowhere: NOT EXISTS.
    Anti,
    /// It stays where it is certain that its key is not there: NOT IN, by whose rule a NULL on either
    /// side may be anything.
    NotIn,
    /// It stays, with one more column: is the key there?
    Mark {
        /// By the rule of IN, whose answer may be NULL; otherwise by that of EXISTS.
        by_in: bool,
    },
}

impl Existence {
    fn minds_null(self) -> bool {
        matches!(self, Existence::NotIn | Existence::Mark { by_in: true })
    }

    /// What comes out for a row whose key has this truth.
    fn output(self, row: &Row, truth: Option<bool>) -> Option<Row> {
        let stays = match self {
            Existence::Semi => truth == Some(true),
            Existence::Anti => truth != Some(true),
            Existence::NotIn => truth == Some(false),
            Existence::Mark { .. } => {
                let mark = truth.map_or(Owned::NULL, Owned::from);
                return Some(row.iter().cloned().chain([mark]).collect());
            }
        };
        stays.then(|| row.clone())
    }

    /// Do rows come out differently?
    fn differs(self, before: Option<bool>, after: Option<bool>) -> bool {
        match self {
            Existence::Semi | Existence::Anti => (before == Some(true)) != (after == Some(true)),
            Existence::NotIn => (before == Some(false)) != (after == Some(false)),
            Existence::Mark { .. } => before != after,
        }
    }
}

/// Which keys there are, at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moment {
    any: bool,
    null: bool,
}

fn truth(minds_null: bool, key: &Key, present: bool, moment: Moment) -> Option<bool> {
    match (key.has_null(), minds_null) {
        (true, false) => Some(false),
        (true, true) if moment.any => None,
        (true, true) => Some(false),
        (false, _) if present => Some(true),
        (false, true) if moment.null => None,
        (false, _) => Some(false),
    }
}

/// The output's change.
pub(super) fn change(
    kind: Existence,
    [left, right]: [&Arrangement; 2],
    [left_delta, right_delta]: [&KeyedDelta; 2],
    work: &mut Work,
) -> Result<Delta, EvalError> {
    work.rows(left_delta.len() + right_delta.len(), 1)?;
    let minds_null = kind.minds_null();
    let flips = flips(right, right_delta);
    let null = |moment: bool| moment && minds_null;
    let before = Moment {
        any: right.len() > 0,
        null: null(right.groups().next().is_some() && null_key(right)),
    };
    let gained = flips.values().filter(|present| **present).count();
    let lost = flips.len() - gained;
    let after = Moment {
        any: right.len() + gained > lost,
        null: null(match flips.iter().find(|(key, _)| key.has_null()) {
            Some((_, present)) => *present,
            None => before.null,
        }),
    };
    let was = |key: &Key| truth(minds_null, key, right.get(key).is_some(), before);
    let is = |key: &Key| {
        let present = flips.get(key).copied().unwrap_or_else(|| right.get(key).is_some());
        truth(minds_null, key, present, after)
    };
    let mut out = Delta::new();
    let mut turn = |key: &Key| {
        let (before, after) = (was(key), is(key));
        if !kind.differs(before, after) {
            return work.rows(1, 1);
        }
        let group = left.get(key);
        work.rows(1 + group.map_or(0, Group::len), 1)?;
        for (row, weight) in group.into_iter().flat_map(Group::rows) {
            out.extend(kind.output(row, before).map(|row| (row, -weight)));
            out.extend(kind.output(row, after).map(|row| (row, weight)));
        }
        Ok(())
    };
    if minds_null && before != after {
        // The first or last NULL, or the first or last row at all: it concerns keys that are not
        // named in the delta.
        left.groups().try_for_each(|(key, _)| turn(&key))?;
    } else {
        flips.keys().try_for_each(|key| turn(key))?;
    }
    for (key, row, weight) in left_delta {
        out.extend(kind.output(row, is(key)).map(|row| (row, *weight)));
    }
    Ok(out)
}

/// The whole output.
pub(super) fn whole(kind: Existence, left: &Arrangement, right: &Arrangement) -> Delta {
    let minds_null = kind.minds_null();
    let moment = Moment { any: right.len() > 0, null: minds_null && null_key(right) };
    let mut out = Delta::new();
    for (key, group) in left.groups() {
        let truth = truth(minds_null, &key, right.get(&key).is_some(), moment);
        for (row, weight) in group.rows() {
            out.extend(kind.output(row, truth).map(|row| (row, weight)));
        }
    }
    out
}

/// Is there a NULL among keys of one column?
fn null_key(right: &Arrangement) -> bool {
    right.get(&Key::from_iter([Owned::NULL])).is_some()
}

/// Keys that come or go, with whether they are there afterwards.
fn flips<'d>(right: &Arrangement, delta: &'d KeyedDelta) -> Map<&'d Key, bool> {
    let mut sums: Map<&Key, i64> = Map::default();
    for (key, _, weight) in delta {
        *sums.entry(key).or_insert(0) += weight;
    }
    let flipped = |(key, sum): (&'d Key, i64)| {
        let group = right.get(key);
        // How many rows of many there are does not matter: no more are looked at than go.
        let mut left = sum;
        let stays = |weight: i64| {
            left += weight;
            left > 0
        };
        let was = group.is_some();
        let is = sum > 0 || group.is_some_and(|group| group.rows().map(|(_, w)| w).any(stays));
        (was != is).then_some((key, is))
    };
    sums.into_iter().filter_map(flipped).collect()
}
