//! [`Arrangement`]: rows indexed by a key, with their weights: the integral of a keyed delta.

use hashbrown::hash_map::Entry;

use super::KeyedDelta;
use crate::delta::Map;
use crate::key::Key;
use crate::row::Row;

#[derive(Default)]
pub(super) struct Arrangement {
    groups: Map<Key, Group>,
}

/// The rows under one key. Most keys have one.
pub(super) enum Group {
    One(Row, i64),
    Many(Map<Row, i64>),
}

impl Group {
    /// The rows and their weights.
    pub fn rows(&self) -> impl Iterator<Item = (&Row, i64)> {
        let (one, many) = match self {
            Group::One(row, weight) => (Some((row, *weight)), None),
            Group::Many(rows) => (None, Some(rows)),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(row, weight)| (row, *weight)))
    }

    /// How many distinct rows there are.
    pub fn len(&self) -> usize {
        match self {
            Group::One(..) => 1,
            Group::Many(rows) => rows.len(),
        }
    }

    /// Adds to a row's weight. True: no row is left.
    fn add(&mut self, row: Row, weight: i64) -> bool {
        match self {
            Group::One(known, sum) if *known == row => {
                *sum += weight;
                *sum == 0
            }
            Group::One(known, sum) => {
                let mut rows = Map::default();
                rows.insert(known.clone(), *sum);
                rows.insert(row, weight);
                *self = Group::Many(rows);
                false
            }
            Group::Many(rows) => {
                match rows.entry(row) {
                    Entry::Vacant(entry) => {
                        entry.insert(weight);
                    }
                    Entry::Occupied(mut known) => {
                        *known.get_mut() += weight;
                        if *known.get() == 0 {
                            known.remove();
                        }
                    }
                }
                rows.is_empty()
            }
        }
    }
}

impl Arrangement {
    /// The rows under a key.
    pub fn get(&self, key: &Key) -> Option<&Group> {
        self.groups.get(key)
    }

    /// Every key with its rows.
    pub fn groups(&self) -> impl Iterator<Item = (&Key, &Group)> {
        self.groups.iter()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// How many distinct rows there are.
    pub fn rows(&self) -> usize {
        self.groups.values().map(Group::len).sum()
    }

    /// Adds a delta.
    pub fn apply(&mut self, delta: KeyedDelta) {
        for (key, row, weight) in delta {
            match self.groups.get_mut(&key) {
                None => {
                    self.groups.insert(key, Group::One(row, weight));
                }
                Some(group) => {
                    if group.add(row, weight) {
                        self.groups.remove(&key);
                    }
                }
            }
        }
    }
}
