//! [`Arrangement`]: rows indexed by a key, with their weights: the integral of a keyed delta.
//!
//! A key is not kept beside its rows, which have it in their columns: most keys have one row, and would
//! take twice the memory.

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::KeyedDelta;
use crate::key::Key;
use crate::row::Row;

pub(super) struct Arrangement {
    columns: Vec<usize>,
    groups: HashTable<Group>,
    hasher: RandomState,
    rows: usize,
}

/// The rows under one key. Most keys have one.
pub(super) enum Group {
    One(Row, i64),
    #[expect(clippy::box_collection, reason = "most groups are one row, and no larger for it")]
    Few(Box<Vec<(Row, i64)>>),
    Many(Box<HashTable<(Row, i64)>>),
}

/// So many rows are found by comparing them one by one.
const FEW: usize = 16;

impl Group {
    /// The rows and their weights.
    pub fn rows(&self) -> impl Iterator<Item = (&Row, i64)> {
        let (one, few, many) = match self {
            Group::One(row, weight) => (Some((row, *weight)), None, None),
            Group::Few(rows) => (None, Some(rows), None),
            Group::Many(rows) => (None, None, Some(rows)),
        };
        let few = few.into_iter().flat_map(|rows| rows.iter());
        let many = many.into_iter().flat_map(|rows| rows.iter());
        one.into_iter().chain(few.chain(many).map(|(row, weight)| (row, *weight)))
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Group::One(..) => 1,
            Group::Few(rows) => rows.len(),
            Group::Many(rows) => rows.len(),
        }
    }

    /// A row, of which there is one at least.
    fn first(&self) -> Option<&Row> {
        match self {
            Group::One(row, _) => Some(row),
            Group::Few(rows) => rows.first().map(|(row, _)| row),
            Group::Many(rows) => rows.iter().next().map(|(row, _)| row),
        }
    }

    /// Adds to a row's weight. By how much the number of rows changes, and whether none is left.
    fn add(&mut self, row: Row, weight: i64, hasher: &RandomState) -> (isize, bool) {
        match self {
            Group::One(known, sum) if *known == row => {
                *sum += weight;
                if *sum == 0 { (-1, true) } else { (0, false) }
            }
            Group::One(known, sum) => {
                *self = Group::Few(Box::new(vec![(known.clone(), *sum), (row, weight)]));
                (1, false)
            }
            Group::Few(rows) => {
                if let Some(at) = rows.iter().position(|(known, _)| *known == row) {
                    rows[at].1 += weight;
                    if rows[at].1 != 0 {
                        return (0, false);
                    }
                    rows.swap_remove(at);
                    return (-1, rows.is_empty());
                }
                rows.push((row, weight));
                if rows.len() > FEW {
                    let mut many = HashTable::with_capacity(2 * FEW);
                    for entry in rows.drain(..) {
                        let hash = hasher.hash_one(&entry.0);
                        many.insert_unique(hash, entry, |(row, _)| hasher.hash_one(row));
                    }
                    *self = Group::Many(Box::new(many));
                }
                (1, false)
            }
            Group::Many(rows) => {
                let hash = hasher.hash_one(&row);
                let is_same = |(known, _): &(Row, i64)| *known == row;
                match rows.entry(hash, is_same, |(row, _)| hasher.hash_one(row)) {
                    Entry::Vacant(entry) => {
                        entry.insert((row, weight));
                        (1, false)
                    }
                    Entry::Occupied(mut known) => {
                        known.get_mut().1 += weight;
                        if known.get().1 != 0 {
                            return (0, false);
                        }
                        known.remove();
                        (-1, rows.is_empty())
                    }
                }
            }
        }
    }
}

impl Arrangement {
    /// Of rows by these columns, empty.
    pub fn new(columns: &[usize]) -> Arrangement {
        let (groups, hasher) = (HashTable::new(), RandomState::new());
        Arrangement { columns: columns.to_vec(), groups, hasher, rows: 0 }
    }

    /// The rows under a key.
    pub fn get(&self, key: &Key) -> Option<&Group> {
        if self.groups.is_empty() {
            return None;
        }
        self.groups.find(self.hasher.hash_one(key), |group| has(group, key, &self.columns))
    }

    /// Every key with its rows.
    pub fn groups(&self) -> impl Iterator<Item = (Key, &Group)> {
        let key = |group: &Group| Some(Key::of(group.first()?, &self.columns));
        self.groups.iter().filter_map(move |group| Some((key(group)?, group)))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// How many distinct rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds what is there from the start: with room for all, since finding room means looking at each row
    /// again.
    pub fn fill(&mut self, rows: KeyedDelta) {
        let Arrangement { columns, groups, hasher, .. } = self;
        let key_hash = |group: &Group| match group.first() {
            Some(row) => Key::hash_of(row, columns, hasher),
            None => 0,
        };
        groups.reserve(rows.len(), key_hash);
        self.apply(rows);
        let Arrangement { columns, groups, hasher, .. } = self;
        if groups.len() < groups.capacity() / 2 {
            groups.shrink_to_fit(|group| match group.first() {
                Some(row) => Key::hash_of(row, columns, hasher),
                None => 0,
            });
        }
    }

    /// Adds a delta.
    pub fn apply(&mut self, delta: KeyedDelta) {
        let Arrangement { columns, groups, hasher, rows: count } = self;
        let key_hash = |group: &Group| match group.first() {
            Some(row) => Key::hash_of(row, columns, hasher),
            None => 0,
        };
        for (key, row, weight) in delta {
            let hash = hasher.hash_one(&key);
            match groups.entry(hash, |group| has(group, &key, columns), key_hash) {
                Entry::Vacant(entry) => {
                    entry.insert(Group::One(row, weight));
                    *count += 1;
                }
                Entry::Occupied(mut group) => {
                    let (more, none_left) = group.get_mut().add(row, weight, hasher);
                    *count = count.saturating_add_signed(more);
                    if none_left {
                        group.remove();
                    }
                }
            }
        }
    }
}

/// Are these the rows under this key?
fn has(group: &Group, key: &Key, columns: &[usize]) -> bool {
    group.first().is_some_and(|row| key.is_of(row, columns))
}
