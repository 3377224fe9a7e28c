//! What must be among a row's elements: an array's, or a document's leaves.
//!
//! A shape that needs several elements is filed under the rarest, with the mark of the rarest but
//! one: of the shapes that share an element, a look-up gives only those whose mark the row has too.
//!
//! | operation | cost for s slots under an element |
//! |---|---|
//! | insert, remove | O(1) at the end of the list, O(s) moved bytes elsewhere |
//! | the slots of a row | one look-up for each element of the row, one comparison for each slot under it |
//! | memory | 8 bytes a slot, 24 an element |

use super::Slot;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;
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

/// The mark of an element: the half of its hash that the table does not use. 0: no further element
/// is needed.
pub(crate) type Mark = u32;

/// The mark of an element by its hash.
pub(crate) fn mark(hash: u64) -> Mark {
    ((hash >> 32) as u32).max(1)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    slot: Slot,
    also: Mark,
}

enum Posting {
    One(Need),
    /// Ascending.
    Many(Vec<Need>),
}

/// From an element's hash to the slots that need it.
#[derive(Default)]
pub(crate) struct ElementIndex {
    postings: HashMap<u64, Posting, BuildHasherDefault<Identity>>,
    spilled: usize,
}

impl ElementIndex {
    pub fn insert(&mut self, hash: u64, also: Mark, slot: Slot) {
        let need = Need { slot, also };
        match self.postings.entry(hash) {
            Entry::Vacant(entry) => {
                entry.insert(Posting::One(need));
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Posting::One(first) if *first == need => {}
                Posting::One(first) => {
                    let both = vec![need.min(*first), need.max(*first)];
                    self.spilled += 2;
                    entry.insert(Posting::Many(both));
                }
                Posting::Many(needs) => {
                    if let Err(at) = needs.binary_search(&need) {
                        needs.insert(at, need);
                        self.spilled += 1;
                    }
                }
            },
        }
    }

    pub fn remove(&mut self, hash: u64, also: Mark, slot: Slot) {
        let need = Need { slot, also };
        let Entry::Occupied(mut entry) = self.postings.entry(hash) else { return };
        match entry.get_mut() {
            Posting::One(only) => {
                if *only == need {
                    entry.remove();
                }
            }
            Posting::Many(needs) => {
                let Ok(at) = needs.binary_search(&need) else { return };
                needs.remove(at);
                self.spilled -= 1;
                if needs.capacity() > 4 * needs.len() {
                    needs.shrink_to(2 * needs.len());
                }
                if let [last] = needs[..] {
                    self.spilled -= 1;
                    entry.insert(Posting::One(last));
                }
            }
        }
    }

    /// Appends the slots that a row with these elements, and no others, may satisfy. The hashes are
    /// put in order, and each of them looked up once.
    pub fn get(&self, hashes: &mut [u64], out: &mut Vec<Slot>) {
        hashes.sort_unstable();
        // A bit for each mark, and for that of needing no other, so that nearly all of the marks that the
        // row lacks cost one test, which the processor foresees.
        let mut marks = [0u64; WORDS];
        marks[0] = 1;
        for (word, bit) in hashes.iter().map(|&hash| bit(mark(hash))) {
            marks[word] |= bit;
        }
        let has = |also: Mark| {
            let (word, bit) = bit(also);
            marks[word] & bit != 0 && (also == 0 || contains(hashes, also))
        };
        // All elements are looked up before the first list is read, so that their cache misses overlap.
        let mut lists: SmallVec<[&[Need]; 16]> = SmallVec::new();
        let mut last = None;
        for &hash in hashes.iter() {
            if last.replace(hash) == Some(hash) {
                continue;
            }
            match self.postings.get(&hash) {
                None => {}
                Some(Posting::One(need)) => lists.push(std::slice::from_ref(need)),
                Some(Posting::Many(needs)) => {
                    lane_index::prefetch(needs.as_ptr());
                    lists.push(needs);
                }
            }
        }
        for needs in lists {
            out.extend(needs.iter().filter(|need| has(need.also)).map(|need| need.slot));
        }
    }

    /// Appends all slots.
    pub fn all(&self, out: &mut Vec<Slot>) {
        for posting in self.postings.values() {
            match posting {
                Posting::One(need) => out.push(need.slot),
                Posting::Many(needs) => out.extend(needs.iter().map(|need| need.slot)),
            }
        }
    }

    /// How many shapes are filed under an element.
    pub fn count(&self, hash: u64) -> usize {
        match self.postings.get(&hash) {
            None => 0,
            Some(Posting::One(_)) => 1,
            Some(Posting::Many(needs)) => needs.len(),
        }
    }

    /// How many elements there are.
    pub fn keys(&self) -> usize {
        self.postings.len()
    }

    pub fn memory_bytes(&self) -> usize {
        self.postings.allocation_size() + self.spilled * size_of::<Need>()
    }
}

/// Words of bits for marks: a cache line.
const WORDS: usize = 8;

fn bit(mark: Mark) -> (usize, u64) {
    ((mark >> 6) as usize % WORDS, 1 << (mark & 63))
}

/// Is there a hash of this mark among those, which are in order? The mark is their upper half.
fn contains(hashes: &[u64], also: Mark) -> bool {
    if hashes.len() <= 8 {
        return hashes.iter().any(|&hash| mark(hash) == also);
    }
    let at = hashes.partition_point(|&hash| mark(hash) < also);
    hashes.get(at).is_some_and(|&hash| mark(hash) == also)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Elements whose marks collide, and whose low halves do.
    fn element(n: u8) -> u64 {
        let n = u64::from(n);
        (n / 2) << 32 | (n % 4)
    }

    proptest! {
        /// The index against a plain set, after many steps.
        #[test]
        fn finds_what_a_row_may_satisfy(
            ops in proptest::collection::vec((0u8..4, 0u8..12, proptest::option::of(0u8..12), 0u32..12), 0..200),
            rows in proptest::collection::vec(proptest::collection::vec(0u8..24, 0..14), 1..6),
        ) {
            let mut index = ElementIndex::default();
            let mut model = BTreeSet::new();
            for (op, hash, also, slot) in ops {
                let (hash, also) = (element(hash), also.map_or(0, |a| mark(element(a))));
                if op > 0 {
                    index.insert(hash, also, slot);
                    model.insert((hash, also, slot));
                } else {
                    index.remove(hash, also, slot);
                    model.remove(&(hash, also, slot));
                }
                prop_assert_eq!(index.count(hash), model.iter().filter(|m| m.0 == hash).count());
            }
            for row in rows {
                let mut row: Vec<u64> = row.into_iter().map(element).collect();
                let marks: Vec<Mark> = row.iter().map(|&hash| mark(hash)).collect();
                let wanted = model.iter().filter(|(hash, also, _)| {
                    row.contains(hash) && (*also == 0 || marks.contains(also))
                });
                let mut expected: Vec<Slot> = wanted.map(|m| m.2).collect();
                let mut found = Vec::new();
                index.get(&mut row, &mut found);
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            let mut all = Vec::new();
            index.all(&mut all);
            prop_assert_eq!(all.len(), model.len());
            let keys: BTreeSet<u64> = model.iter().map(|m| m.0).collect();
            prop_assert_eq!(index.keys(), keys.len());
        }
    }
}
