//! Hash tables in shards: growing one moves a small part of the whole, so that nobody waits for it.

use crate::index::Slot;
use hashbrown::{HashMap, HashTable};

pub(crate) const SHARDS: usize = 64;

/// From a number to a slot. The numbers themselves are not kept here: whoever owns the slots can tell
/// the number of each.
pub(crate) struct ByNumber {
    shards: Vec<HashTable<Slot>>,
    hasher: ahash::RandomState,
}

impl Default for ByNumber {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| HashTable::new()).collect();
        Self { shards, hasher: ahash::RandomState::new() }
    }
}

/// The tables themselves choose by the lowest and the highest bits.
pub(crate) fn shard(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

impl ByNumber {
    pub fn get(&self, number: u64, number_of: impl Fn(Slot) -> u64) -> Option<Slot> {
        let hash = self.hasher.hash_one(number);
        self.shards[shard(hash)].find(hash, |&slot| number_of(slot) == number).copied()
    }

    /// Adds a number that is not there.
    pub fn insert(&mut self, number: u64, slot: Slot, number_of: impl Fn(Slot) -> u64) {
        let hasher = &self.hasher;
        let hash = hasher.hash_one(number);
        let rehash = |&slot: &Slot| hasher.hash_one(number_of(slot));
        self.shards[shard(hash)].insert_unique(hash, slot, rehash);
    }

    /// Adds so many numbers that are not there, to a table that has room for no more than as many would
    /// take that come one by one.
    ///
    /// A shard gets many at a time: it lies in the processor's cache then, which all of them do not.
    pub fn extend(
        &mut self,
        count: usize,
        numbers: impl Iterator<Item = (u64, Slot)>,
        number_of: impl Fn(Slot) -> u64,
    ) {
        const TOGETHER: usize = 512;
        let Self { shards, hasher } = self;
        let rehash = |&slot: &Slot| hasher.hash_one(number_of(slot));
        let mut waiting: Vec<Vec<(u64, Slot)>> = Vec::new();
        waiting.resize_with(SHARDS, || Vec::with_capacity(TOGETHER.min(count / SHARDS + 1)));
        for shard in shards.iter_mut() {
            shard.reserve(count / SHARDS, rehash);
        }
        for (number, slot) in numbers {
            let hash = hasher.hash_one(number);
            let shard = shard(hash);
            waiting[shard].push((hash, slot));
            if waiting[shard].len() == TOGETHER {
                for (hash, slot) in waiting[shard].drain(..) {
                    shards[shard].insert_unique(hash, slot, rehash);
                }
            }
        }
        for (shard, waiting) in shards.iter_mut().zip(waiting) {
            for (hash, slot) in waiting {
                shard.insert_unique(hash, slot, rehash);
            }
        }
    }

    pub fn remove(&mut self, number: u64, slot: Slot) {
        let hash = self.hasher.hash_one(number);
        if let Ok(entry) = self.shards[shard(hash)].find_entry(hash, |&at| at == slot) {
            entry.remove();
        }
    }

    pub fn memory_bytes(&self) -> usize {
        self.shards.iter().map(|s| s.allocation_size() + size_of::<HashTable<Slot>>()).sum()
    }
}

/// What few slots have.
pub(crate) struct SlotMap<T> {
    /// None at all until there is something to keep.
    shards: Vec<HashMap<Slot, T, ahash::RandomState>>,
}

impl<T> Default for SlotMap<T> {
    fn default() -> Self {
        Self { shards: Vec::new() }
    }
}

impl<T> SlotMap<T> {
    pub fn get(&self, slot: Slot) -> Option<&T> {
        self.shards.get(slot as usize % SHARDS)?.get(&slot)
    }

    /// Puts a slot's in the place of what it had.
    pub fn insert(&mut self, slot: Slot, item: T) -> Option<T> {
        if self.shards.is_empty() {
            let hasher = ahash::RandomState::new();
            self.shards.resize_with(SHARDS, || HashMap::with_hasher(hasher.clone()));
        }
        self.shards[slot as usize % SHARDS].insert(slot, item)
    }

    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        self.shards.get_mut(slot as usize % SHARDS)?.remove(&slot)
    }

    pub fn memory_bytes(&self) -> usize {
        let shard = |shard: &HashMap<Slot, T, _>| shard.allocation_size() + size_of_val(shard);
        self.shards.iter().map(shard).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap as Model;

    proptest! {
        /// Against plain maps, after every step.
        #[test]
        fn are_maps(
            at_once in 0u64..3000,
            ops in prop::collection::vec((any::<bool>(), 0u64..300), 0..600),
        ) {
            let (mut by_number, mut map) = (ByNumber::default(), SlotMap::default());
            let mut model: Model<u64, Slot> = Model::new();
            // A slot's number is told by the slot.
            let number_of = |slot: Slot| u64::from(slot) / 7;
            let first = (1000..1000 + 30 * at_once).map(|number| (number, number as Slot * 7 + 3));
            by_number.extend(30 * at_once as usize, first, number_of);
            for number in 999..=1000 + 30 * at_once {
                let expected = (1000..1000 + 30 * at_once).contains(&number);
                prop_assert_eq!(by_number.get(number, number_of).is_some(), expected);
            }
            for (add, number) in ops {
                let slot = number as Slot * 7 + 3;
                if add && !model.contains_key(&number) {
                    by_number.insert(number, slot, number_of);
                    prop_assert_eq!(map.insert(slot, number), None);
                    model.insert(number, slot);
                } else if !add {
                    by_number.remove(number, slot);
                    prop_assert_eq!(map.remove(slot).is_some(), model.remove(&number).is_some());
                }
                for number in [number, number + 1] {
                    let expected = model.get(&number).copied();
                    prop_assert_eq!(by_number.get(number, number_of), expected);
                    prop_assert_eq!(map.get(number as Slot * 7 + 3).is_some(), expected.is_some());
                }
            }
        }
    }
}
