//! What sets hold, as counts by key.

use super::row::{Hashed, Key, Secret};
use super::values::Values;
use crate::sharded::SHARDS;
use hashbrown::{HashMap, HashSet};
use shape_expr::MAX_SET_COLUMNS;

/// What one set holds besides the values that [`Values`] has.
struct Content {
    /// The set that it is the content of.
    set: u32,
    /// How many rows there are by which of their columns are not NULL.
    present: [u32; 1 << MAX_SET_COLUMNS],
    /// How many rows have the same in some of their columns.
    parts: HashMap<u128, u32, ahash::RandomState>,
}

/// The contents of all sets. A content's number is never given twice.
pub(crate) struct Contents {
    values: Values,
    contents: HashMap<u32, Content, ahash::RandomState>,
    secret: Secret,
    next: u32,
    /// Contents that are gone, whose values are not forgotten yet.
    gone: HashSet<u32>,
    purged: usize,
}

impl Contents {
    pub fn new(secret: Secret) -> Self {
        Self {
            values: Values::new(),
            contents: HashMap::default(),
            secret,
            next: 0,
            gone: HashSet::new(),
            purged: 0,
        }
    }

    pub fn secret(&self) -> Secret {
        self.secret
    }

    /// A new content of a set, with nothing in it.
    pub fn open(&mut self, set: u32) -> u32 {
        let number = self.next;
        // The highest bit marks lists.
        self.next = (self.next + 1) & !(1 << 31);
        let content =
            Content { set, present: [0; 1 << MAX_SET_COLUMNS], parts: HashMap::default() };
        self.contents.insert(number, content);
        number
    }

    /// Forgets a content; its values are forgotten step by step.
    pub fn close(&mut self, content: u32) {
        if let Some(content_was) = self.contents.remove(&content)
            && content_was.present.iter().any(|count| *count > 0)
        {
            self.gone.insert(content);
            self.purged = 0;
        }
    }

    /// Forgets the contents of a set, those that are being seeded too.
    pub fn close_of(&mut self, set: u32) {
        let of_set = |(number, content): (&u32, &Content)| (content.set == set).then_some(*number);
        let all: Vec<u32> = self.contents.iter().filter_map(of_set).collect();
        all.into_iter().for_each(|content| self.close(content));
    }

    /// Forgets some values of contents that are gone; true when nothing is left to forget.
    pub fn purge_step(&mut self) -> bool {
        if self.gone.is_empty() {
            return true;
        }
        self.values.purge(self.purged, &self.gone);
        self.purged += 1;
        if self.purged >= SHARDS {
            self.gone.clear();
            self.purged = 0;
        }
        self.gone.is_empty()
    }

    /// The set of a content.
    pub fn set_of(&self, content: u32) -> Option<u32> {
        self.contents.get(&content).map(|content| content.set)
    }

    /// The contents that hold a value.
    pub fn owners(&self, hash: u128) -> &[u32] {
        self.values.owners(hash)
    }

    /// How many rows of a content count under a key.
    pub fn count(&self, content: u32, key: Key) -> i64 {
        match key {
            Key::Value(hash) => i64::from(self.values.contains(hash, content)),
            Key::Present(mask) => {
                let found = self.contents.get(&content);
                found.map_or(0, |found| i64::from(found.present[usize::from(mask)]))
            }
            Key::Part(hash) => {
                let found = self.contents.get(&content).and_then(|found| found.parts.get(&hash));
                found.map_or(0, |count| i64::from(*count))
            }
        }
    }

    /// Whether a row is there.
    pub fn contains(&self, content: u32, row: &Hashed) -> bool {
        self.count(content, row.own(self.secret)) > 0
    }

    /// Adds a row or takes it away; whether that changed anything.
    pub fn set(&mut self, content: u32, row: &Hashed, there: bool) -> bool {
        if !self.contents.contains_key(&content) || self.contains(content, row) == there {
            return false;
        }
        for key in row.keys(self.secret) {
            self.add(content, key, there);
        }
        true
    }

    fn add(&mut self, content: u32, key: Key, there: bool) {
        let Some(found) = self.contents.get_mut(&content) else { return };
        let step = |count: &mut u32| match there {
            true => *count += 1,
            false => *count = count.saturating_sub(1),
        };
        match key {
            Key::Value(hash) if there => drop(self.values.insert(hash, content)),
            Key::Value(hash) => drop(self.values.remove(hash, content)),
            Key::Present(mask) => step(&mut found.present[usize::from(mask)]),
            Key::Part(hash) => {
                let count = found.parts.entry(hash).or_insert(0);
                step(count);
                if *count == 0 {
                    found.parts.remove(&hash);
                }
            }
        }
    }

    /// All rows of a content of one column.
    pub fn singles(&self, content: u32) -> impl Iterator<Item = Hashed> {
        let null = self.count(content, Key::Present(0)) > 0;
        let null = null.then(|| Hashed::single(None));
        self.values.of(content).map(|value| Hashed::single(Some(value))).chain(null)
    }

    /// How many rows a content has.
    pub fn rows(&self, content: u32) -> u64 {
        let found = self.contents.get(&content);
        found.map_or(0, |found| found.present.iter().map(|count| u64::from(*count)).sum())
    }

    pub fn memory_bytes(&self) -> usize {
        let parts: usize = self.contents.values().map(|c| c.parts.allocation_size()).sum();
        self.values.memory_bytes() + self.contents.allocation_size() + parts
    }
}
