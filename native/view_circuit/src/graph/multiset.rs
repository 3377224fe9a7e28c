//! [`Multiset`]: values in order, each with how often it is there. What min, max and DISTINCT in an
//! aggregate function need: what is next when a value goes is found without a look at the rows.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use shape_expr::Owned;

/// A value in the order of [`Owned::exact_cmp`].
#[derive(Clone, Debug)]
pub(super) struct Exact(pub Owned);

impl PartialEq for Exact {
    fn eq(&self, other: &Exact) -> bool {
        self.0 == other.0
    }
}

impl Eq for Exact {}

impl Ord for Exact {
    fn cmp(&self, other: &Exact) -> Ordering {
        self.0.exact_cmp(&other.0)
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Exact) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Values and by how much their counts change, in order, each once and none by 0.
pub(super) type Changed = Vec<(Exact, i64)>;

/// Sorts changes, and adds up those of one value.
pub(super) fn consolidate(changes: &mut Changed) {
    changes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    changes.dedup_by(|(later, by), (earlier, sum)| {
        let same = later == earlier;
        if same {
            *sum += *by;
        }
        same
    });
    changes.retain(|(_, by)| *by != 0);
}

#[derive(Debug, Default)]
pub(super) struct Multiset {
    values: BTreeMap<Exact, i64>,
}

impl Multiset {
    /// How many distinct values there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn apply(&mut self, changes: Changed) {
        for (value, by) in changes {
            let count = self.values.entry(value);
            match count {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(by);
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    *entry.get_mut() += by;
                    if *entry.get() == 0 {
                        entry.remove();
                    }
                }
            }
        }
    }

    /// The least value, or the greatest, once these changes are made.
    pub fn extreme(&self, changes: &Changed, greatest: bool) -> Option<Owned> {
        let by = |value: &Exact| match changes.binary_search_by(|(known, _)| known.cmp(value)) {
            Ok(at) => changes[at].1,
            Err(_) => 0,
        };
        let stays = |(value, count): &(&Exact, &i64)| **count + by(value) > 0;
        // Of what is there no more are passed over than go.
        let known = match greatest {
            true => self.values.iter().rev().find(stays),
            false => self.values.iter().find(stays),
        };
        let comes = |(_, by): &&(Exact, i64)| *by > 0;
        let new = match greatest {
            true => changes.iter().rev().find(comes),
            false => changes.iter().find(comes),
        };
        let (known, new) = (known.map(|(value, _)| value), new.map(|(value, _)| value));
        let found = match (known, new) {
            (Some(known), Some(new)) if greatest => Some(known.max(new)),
            (Some(known), Some(new)) => Some(known.min(new)),
            (known, new) => known.or(new),
        };
        found.map(|value| value.0.clone())
    }

    /// What these changes do to the set in which equal values are one: for each that comes, goes or is
    /// written differently now, what it was and what it is.
    pub fn distinct(
        &self,
        changes: &Changed,
        mut tell: impl FnMut(Option<&Owned>, Option<&Owned>),
    ) {
        for class in changes.chunk_by(|(a, _), (b, _)| is_equal(a, b)) {
            let Some((any, _)) = class.first() else { continue };
            let below = self.values.range((Bound::Unbounded, Bound::Excluded(any)));
            let below = below.rev().take_while(|(value, _)| is_equal(value, any));
            let above = self.values.range((Bound::Included(any), Bound::Unbounded));
            let above = above.take_while(|(value, _)| is_equal(value, any));
            let mut known: Vec<(&Exact, i64)> =
                below.map(|(value, count)| (value, *count)).collect();
            known.reverse();
            known.extend(above.map(|(value, count)| (value, *count)));
            let before = known.first().map(|(value, _)| &value.0);
            let mut all: Vec<(&Exact, i64)> = known.clone();
            for (value, by) in class {
                match all.binary_search_by(|(known, _)| (*known).cmp(value)) {
                    Ok(at) => all[at].1 += by,
                    Err(at) => all.insert(at, (value, *by)),
                }
            }
            let after = all.iter().find(|(_, count)| *count > 0).map(|(value, _)| &value.0);
            if before != after {
                tell(before, after);
            }
        }
    }
}

/// Equal as PostgreSQL has it.
fn is_equal(a: &Exact, b: &Exact) -> bool {
    a.0.value().equals(&b.0.value())
}
