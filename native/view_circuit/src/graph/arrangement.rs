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
    columns: Box<[usize]>,
    groups: HashTable<Group>,
    hashes: Hashes,
    rows: usize,
}

/// How rows within a group are told apart.
struct Hashes {
    hasher: RandomState,
    /// Of rows that are there once each: the columns that no two of them have alike.
    unique: Option<Box<[usize]>>,
}

impl Hashes {
    fn of(&self, row: &Row) -> u64 {
        match &self.unique {
            Some(columns) => Key::hash_of(row, columns, &self.hasher),
            None => self.hasher.hash_one(row),
        }
    }
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

/// So many keys' rows are fetched from memory at once.
pub(super) const AHEAD: usize = 16;

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
    fn add(&mut self, row: Row, weight: i64, hashes: &Hashes) -> (isize, bool) {
        // What comes to rows that are there once each is not among them: none of them is looked at.
        let is_new = weight > 0 && hashes.unique.is_some();
        match self {
            Group::One(known, sum) if !is_new && *known == row => {
                *sum += weight;
                if *sum == 0 { (-1, true) } else { (0, false) }
            }
            Group::One(known, sum) => {
                *self = Group::Few(Box::new(vec![(known.clone(), *sum), (row, weight)]));
                (1, false)
            }
            Group::Few(rows) => {
                let identical = |(known, _): &(Row, i64)| known.is_identical(&row);
                let equal = |(known, _): &(Row, i64)| *known == row;
                let mut place = None;
                if !is_new {
                    // Mostly it is the very row, and those before it need not be read.
                    place = rows.iter().position(identical);
                    place = place.or_else(|| rows.iter().position(equal));
                }
                debug_assert!(!is_new || !rows.iter().any(equal), "rows are there once");
                if let Some(at) = place {
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
                        let hash = hashes.of(&entry.0);
                        many.insert_unique(hash, entry, |(row, _)| hashes.of(row));
                    }
                    *self = Group::Many(Box::new(many));
                }
                (1, false)
            }
            Group::Many(rows) => {
                let hash = hashes.of(&row);
                if is_new {
                    rows.insert_unique(hash, (row, weight), |(row, _)| hashes.of(row));
                    return (1, false);
                }
                let is_same = |(known, _): &(Row, i64)| *known == row;
                match rows.entry(hash, is_same, |(row, _)| hashes.of(row)) {
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
    /// Of rows by these columns, empty. Of rows that are there once each it is told which columns tell
    /// them apart.
    pub fn new(columns: &[usize], unique: Option<Box<[usize]>>) -> Arrangement {
        let (groups, hasher) = (HashTable::new(), RandomState::new());
        Arrangement { columns: columns.into(), groups, hashes: Hashes { hasher, unique }, rows: 0 }
    }

    /// Has the rows under these keys fetched from memory, all at once: whoever looks at them one after
    /// the other waits for each.
    pub fn fetch(&self, keys: &[(Key, Row, i64)]) {
        if keys.len() < 2 || self.groups.is_empty() {
            return;
        }
        for (key, ..) in keys {
            let group = self.groups.iter_hash(self.hashes.hasher.hash_one(key)).next();
            // A load that nobody waits for does what a prefetch would, without `unsafe`.
            std::hint::black_box(
                group.and_then(Group::first).and_then(|row| row.first()).is_some(),
            );
        }
    }

    /// The rows under a key.
    pub fn get(&self, key: &Key) -> Option<&Group> {
        if self.groups.is_empty() {
            return None;
        }
        self.groups.find(self.hashes.hasher.hash_one(key), |group| has(group, key, &self.columns))
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
        let Arrangement { columns, groups, hashes: Hashes { hasher, .. }, .. } = self;
        let key_hash = |group: &Group| match group.first() {
            Some(row) => Key::hash_of(row, columns, hasher),
            None => 0,
        };
        groups.reserve(rows.len(), key_hash);
        self.apply(rows);
        let Arrangement { columns, groups, hashes: Hashes { hasher, .. }, .. } = self;
        if groups.len() < groups.capacity() / 2 {
            groups.shrink_to_fit(|group| match group.first() {
                Some(row) => Key::hash_of(row, columns, hasher),
                None => 0,
            });
        }
    }

    /// Adds a delta.
    pub fn apply(&mut self, delta: KeyedDelta) {
        if delta.len() > 1 {
            let mut delta = delta.into_iter();
            while !delta.as_slice().is_empty() {
                self.fetch(&delta.as_slice()[..AHEAD.min(delta.len())]);
                delta
                    .by_ref()
                    .take(AHEAD)
                    .for_each(|(key, row, weight)| self.add(&key, row, weight));
            }
            return;
        }
        delta.into_iter().for_each(|(key, row, weight)| self.add(&key, row, weight));
    }

    fn add(&mut self, key: &Key, row: Row, weight: i64) {
        let Arrangement { columns, groups, hashes, rows: count } = self;
        let key_hash = |group: &Group| match group.first() {
            Some(row) => Key::hash_of(row, columns, &hashes.hasher),
            None => 0,
        };
        let hash = hashes.hasher.hash_one(key);
        match groups.entry(hash, |group| has(group, key, columns), key_hash) {
            Entry::Vacant(entry) => {
                entry.insert(Group::One(row, weight));
                *count += 1;
            }
            Entry::Occupied(mut group) => {
                let (more, none_left) = group.get_mut().add(row, weight, hashes);
                *count = count.saturating_add_signed(more);
                if none_left {
                    group.remove();
                }
            }
        }
    }
}

/// Are these the rows under this key?
fn has(group: &Group, key: &Key, columns: &[usize]) -> bool {
    group.first().is_some_and(|row| key.is_of(row, columns))
}
