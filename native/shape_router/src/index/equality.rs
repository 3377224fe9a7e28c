//! The in-memory equality index.

use super::{ConditionIndex, Slot};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys are keyed hashes already.
#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Most values have one shape; it lies in the table itself.
enum Posting {
    One(Slot),
    /// Ascending. Slots are given out ascending, so that adding is appending.
    Many(Vec<Slot>),
}

/// From a hash to slots.
#[derive(Default)]
pub(crate) struct EqualityIndex {
    postings: HashMap<u64, Posting, BuildHasherDefault<Identity>>,
    spilled: usize,
}

impl ConditionIndex for EqualityIndex {
    fn insert(&mut self, hash: u64, slot: Slot) {
        match self.postings.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(Posting::One(slot));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Posting::One(first) if *first == slot => {}
                Posting::One(first) => {
                    let both = vec![slot.min(*first), slot.max(*first)];
                    self.spilled += 8;
                    entry.insert(Posting::Many(both));
                }
                Posting::Many(slots) => {
                    if let Err(at) = slots.binary_search(&slot) {
                        slots.insert(at, slot);
                        self.spilled += 4;
                    }
                }
            },
        }
    }

    fn remove(&mut self, hash: u64, slot: Slot) {
        let Entry::Occupied(mut entry) = self.postings.entry(hash) else { return };
        let empty = match entry.get_mut() {
            Posting::One(only) => *only == slot,
            Posting::Many(slots) => {
                if let Ok(at) = slots.binary_search(&slot) {
                    slots.remove(at);
                    self.spilled = self.spilled.saturating_sub(4);
                }
                if slots.len() * 4 < slots.capacity() {
                    slots.shrink_to(slots.len() * 2);
                }
                slots.is_empty()
            }
        };
        if empty {
            entry.remove();
        }
    }

    fn get(&self, hash: u64, out: &mut Vec<Slot>) {
        match self.postings.get(&hash) {
            None => {}
            Some(Posting::One(slot)) => out.push(*slot),
            Some(Posting::Many(slots)) => out.extend_from_slice(slots),
        }
    }

    fn all(&self, out: &mut Vec<Slot>) {
        for posting in self.postings.values() {
            match posting {
                Posting::One(slot) => out.push(*slot),
                Posting::Many(slots) => out.extend_from_slice(slots),
            }
        }
    }

    fn count(&self, hash: u64) -> usize {
        match self.postings.get(&hash) {
            None => 0,
            Some(Posting::One(_)) => 1,
            Some(Posting::Many(slots)) => slots.len(),
        }
    }

    fn keys(&self) -> usize {
        self.postings.len()
    }

    fn memory_bytes(&self) -> usize {
        self.postings.allocation_size() + self.spilled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    proptest! {
        /// The index against a plain map of sets, after every step.
        #[test]
        fn is_a_multimap(ops in proptest::collection::vec((any::<bool>(), 0u64..6, 0u32..20), 0..200)) {
            let mut index = EqualityIndex::default();
            let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
            for (add, hash, slot) in ops {
                if add {
                    index.insert(hash, slot);
                    model.entry(hash).or_default().insert(slot);
                } else {
                    index.remove(hash, slot);
                    model.entry(hash).or_default().remove(&slot);
                }
                for (hash, slots) in &model {
                    let mut found = Vec::new();
                    index.get(*hash, &mut found);
                    prop_assert_eq!(found, slots.iter().copied().collect::<Vec<_>>());
                    prop_assert_eq!(index.count(*hash), slots.len());
                }
            }
            let mut all = Vec::new();
            index.all(&mut all);
            prop_assert_eq!(all.len(), model.values().map(BTreeSet::len).sum::<usize>());
            prop_assert_eq!(index.keys(), model.values().filter(|s| !s.is_empty()).count());
        }
    }
}
