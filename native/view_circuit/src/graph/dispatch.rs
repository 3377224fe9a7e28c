//! [`Dispatch`]: which filters of one input a row can pass, without asking each of them.
//!
//! A thousand views `owner = K` are a thousand filters of one table, of which a row passes those of its
//! own owner. Filters are kept by what they compare with: equalities by hash, bounds in order. A row's
//! values then lead to the few that are worth testing, and cost follows the change and not the number
//! of views.
//!
//! Only a filter that *is* such a comparison is kept here, all of it ([`Target::of`] finds no
//! residual). It reads one column, raises for no value of it, and is not true for the rows that it is
//! not shown: skipping it changes nothing, errors included. A filter that does more, and may raise, is
//! asked of every row. The planner makes a filter of each arm of an AND, so `owner = 5 AND 1 / x > 0` is
//! a filter that is kept here with one below it, which sees the rows of owner 5 only, in either case.

use std::collections::BTreeMap;
use std::ops::Bound;

use ahash::RandomState;
use hashbrown::HashTable;
use shape_expr::{Access, Owned, Predicate};
use smallvec::SmallVec;

use super::NodeId;
use super::operator::Operator;
use crate::key::Key;
use crate::row::Row;

type Filters = SmallVec<[NodeId; 1]>;

/// What a filter compares a column with.
pub(super) struct Target {
    column: usize,
    with: With,
}

enum With {
    /// One of these values.
    Values(Vec<Owned>),
    /// Everything from this value on, about.
    From(Owned),
    /// Everything up to this value, about.
    UpTo(Owned),
}

impl Target {
    /// Of an operator that is such a filter.
    pub fn of(operator: &Operator) -> Option<Target> {
        let Operator::Filter(predicate) = operator else { return None };
        Target::of_predicate(predicate)
    }

    /// The column and the values that it must have one of, if that is what is asked.
    pub fn values(&self) -> Option<(usize, &[Owned])> {
        match &self.with {
            With::Values(values) => Some((self.column, values)),
            With::From(_) | With::UpTo(_) => None,
        }
    }

    /// Can the filter be true of the row? Far cheaper to ask than the filter.
    pub fn may_pass(&self, row: &Row) -> bool {
        let value = row[self.column].value();
        !value.is_null()
            && match &self.with {
                With::Values(values) => values.iter().any(|own| own.value().equals(&value)),
                With::From(low) => low.value().compare(&value).is_le(),
                With::UpTo(high) => high.value().compare(&value).is_ge(),
            }
    }

    fn of_predicate(predicate: &Predicate) -> Option<Target> {
        if predicate.residual().is_some() {
            return None;
        }
        match predicate.access() {
            Access::Equal { column, values } => {
                let values = values.iter().map(Owned::new).collect::<Option<_>>()?;
                Some(Target { column, with: With::Values(values) })
            }
            // Those with two bounds by the lower one: a row that is beyond the other fails the test.
            Access::Range { column, low, high } => {
                let with = match (low, high) {
                    (Bound::Included(value) | Bound::Excluded(value), _) => {
                        With::From(Owned::new(&value)?)
                    }
                    (_, Bound::Included(value) | Bound::Excluded(value)) => {
                        With::UpTo(Owned::new(&value)?)
                    }
                    (Bound::Unbounded, Bound::Unbounded) => return None,
                };
                Some(Target { column, with })
            }
            _ => None,
        }
    }
}

/// The filters of one input.
#[derive(Default)]
pub(super) struct Dispatch {
    columns: Vec<Column>,
    filters: usize,
    hasher: RandomState,
}

/// The filters that compare one column.
struct Column {
    column: usize,
    equal: HashTable<(Owned, Filters)>,
    from: BTreeMap<Key, Filters>,
    up_to: BTreeMap<Key, Filters>,
}

impl Dispatch {
    pub fn is_empty(&self) -> bool {
        self.filters == 0
    }

    /// Some filter.
    pub fn any(&self) -> Option<NodeId> {
        let of = |column: &Column| {
            let first = |filters: &Filters| filters.first().copied();
            let equal = column.equal.iter().find_map(|(_, filters)| first(filters));
            let bounds = || column.from.values().chain(column.up_to.values()).find_map(first);
            equal.or_else(bounds)
        };
        self.columns.iter().find_map(of)
    }

    pub fn add(&mut self, target: Target, filter: NodeId) {
        self.filters += 1;
        let Target { column, with } = target;
        let at = self.columns.iter().position(|known| known.column == column);
        let at = at.unwrap_or_else(|| {
            let (equal, from, up_to) = Default::default();
            self.columns.push(Column { column, equal, from, up_to });
            self.columns.len() - 1
        });
        let (known, hasher) = (&mut self.columns[at], &self.hasher);
        match with {
            With::Values(values) => {
                for value in values {
                    let is_same =
                        |(known, _): &(Owned, Filters)| known.value().equals(&value.value());
                    let hash = hasher.hash_one(&value);
                    let rehash = |(known, _): &(Owned, Filters)| hasher.hash_one(known);
                    let entry = known.equal.entry(hash, is_same, rehash);
                    let mut entry = entry.or_insert_with(|| (value.clone(), Filters::new()));
                    let filters = &mut entry.get_mut().1;
                    // IN may have a value twice.
                    if !filters.contains(&filter) {
                        filters.push(filter);
                    }
                }
            }
            With::From(value) => known.from.entry(bound(value)).or_default().push(filter),
            With::UpTo(value) => known.up_to.entry(bound(value)).or_default().push(filter),
        }
    }

    pub fn remove(&mut self, target: Target, filter: NodeId) {
        self.filters -= 1;
        let Target { column, with } = target;
        let Some(at) = self.columns.iter().position(|known| known.column == column) else { return };
        let (known, hasher) = (&mut self.columns[at], &self.hasher);
        let remove = |bounds: &mut BTreeMap<Key, Filters>, value: Owned| {
            let key = bound(value);
            if let Some(filters) = bounds.get_mut(&key) {
                filters.retain(|other| *other != filter);
                if filters.is_empty() {
                    bounds.remove(&key);
                }
            }
        };
        match with {
            With::Values(values) => {
                for value in values {
                    let is_same =
                        |(known, _): &(Owned, Filters)| known.value().equals(&value.value());
                    let Ok(mut entry) = known.equal.find_entry(hasher.hash_one(&value), is_same)
                    else {
                        continue;
                    };
                    entry.get_mut().1.retain(|other| *other != filter);
                    if entry.get().1.is_empty() {
                        entry.remove();
                    }
                }
            }
            With::From(value) => remove(&mut known.from, value),
            With::UpTo(value) => remove(&mut known.up_to, value),
        }
        if known.equal.is_empty() && known.from.is_empty() && known.up_to.is_empty() {
            self.columns.swap_remove(at);
        }
    }

    /// Hands out the filters that this row may pass, each once.
    pub fn candidates(&self, row: &Row, mut each: impl FnMut(NodeId)) {
        for column in &self.columns {
            let value = &row[column.column];
            // No comparison is true of NULL.
            if value.is_null() {
                continue;
            }
            let is_same = |(known, _): &(Owned, Filters)| known.value().equals(&value.value());
            if !column.equal.is_empty()
                && let Some((_, filters)) = column.equal.find(self.hasher.hash_one(value), is_same)
            {
                filters.iter().for_each(|filter| each(*filter));
            }
            if !column.from.is_empty() {
                let below = column.from.range(..=bound(value.clone()));
                below.flat_map(|(_, filters)| filters).for_each(|filter| each(*filter));
            }
            if !column.up_to.is_empty() {
                let above = column.up_to.range(bound(value.clone())..);
                above.flat_map(|(_, filters)| filters).for_each(|filter| each(*filter));
            }
        }
    }
}

fn bound(value: Owned) -> Key {
    Key::from_iter([value])
}
