//! Beginnings of texts: hashed, by length.
//!
//! A text has one beginning of each length, so that a look-up hashes the text once and asks for each
//! length in use. There are at most [`LENGTHS`] of these: a beginning of a further length is filed
//! under as many of its bytes as the longest length in use below its own, down to none at all.
//!
//! | operation | cost |
//! |---|---|
//! | insert, remove | O(length), as the index of hashes has it |
//! | the slots of a text | the hash of the text, a look-up for each length in use, at most 65 |
//! | memory | what the index of hashes needs |

use super::{Making, Multimap, Slot};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use std::hash::Hasher;

/// So many lengths are told apart.
const LENGTHS: usize = 64;

/// From beginnings to slots.
pub(crate) struct PrefixIndex {
    index: Multimap,
    /// Lengths, ascending, with how many beginnings are filed under each.
    lengths: Vec<(u32, u32)>,
}

/// What a beginning is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Beginning {
    pub length: u32,
    pub hash: u64,
}

fn hasher(secret: (u64, u64)) -> SipHasher13 {
    SipHasher13::new_with_keys(secret.0, secret.1)
}

impl PrefixIndex {
    pub fn new(making: Making) -> Self {
        Self { index: Multimap::new(making), lengths: Vec::new() }
    }

    /// The index of what was stored of one: its hashes, and its lengths.
    pub fn stored(index: Multimap, lengths: Vec<(u32, u32)>) -> Self {
        Self { index, lengths }
    }

    /// Lengths, ascending, with how many beginnings are filed under each.
    pub fn lengths(&self) -> &[(u32, u32)] {
        &self.lengths
    }

    /// What a beginning is, or would be, filed under.
    pub fn place(&self, secret: (u64, u64), prefix: &[u8]) -> Beginning {
        let own = prefix.len() as u32;
        let length = match self.lengths.binary_search_by_key(&own, |l| l.0) {
            Ok(_) => own,
            Err(_) if self.lengths.len() < LENGTHS => own,
            Err(0) => 0,
            Err(at) => self.lengths[at - 1].0,
        };
        let mut hasher = hasher(secret);
        hasher.write(&prefix[..length as usize]);
        Beginning { length, hash: hasher.finish() }
    }

    pub fn insert(&mut self, beginning: Beginning, slot: Slot) {
        match self.lengths.binary_search_by_key(&beginning.length, |l| l.0) {
            Ok(at) => self.lengths[at].1 += 1,
            Err(at) => self.lengths.insert(at, (beginning.length, 1)),
        }
        self.index.insert(beginning.hash, slot);
    }

    pub fn remove(&mut self, beginning: Beginning, slot: Slot) {
        if let Ok(at) = self.lengths.binary_search_by_key(&beginning.length, |l| l.0) {
            self.lengths[at].1 -= 1;
            if self.lengths[at].1 == 0 {
                self.lengths.remove(at);
            }
        }
        self.index.remove(beginning.hash, slot);
    }

    /// Appends the slots filed under one of a text's beginnings.
    pub fn get(&self, secret: (u64, u64), text: &[u8], out: &mut Vec<Slot>) {
        let (mut hasher, mut done) = (hasher(secret), 0);
        let mut hashes: SmallVec<[u64; LENGTHS + 1]> = SmallVec::new();
        for &(length, _) in &self.lengths {
            let Some(next) = text.get(done..length as usize) else { break };
            hasher.write(next);
            done = length as usize;
            hashes.push(hasher.finish());
        }
        self.index.get_each(&hashes, out);
    }

    pub fn all(&self, out: &mut Vec<Slot>) {
        self.index.all(out);
    }

    /// About how many steps of 10 ns a look-up of so many bytes takes.
    pub fn steps(&self, bytes: usize) -> usize {
        let longest = self.lengths.last().map_or(0, |l| l.0 as usize);
        longest.min(bytes) / 16 + 3 * self.lengths.len()
    }

    pub fn count(&self, beginning: Beginning) -> usize {
        self.index.count(beginning.hash)
    }

    pub fn keys(&self) -> usize {
        self.index.keys()
    }

    /// The hashes of the beginnings.
    pub fn hashes(&self) -> &Multimap {
        &self.index
    }
    pub fn hashes_mut(&mut self) -> &mut Multimap {
        &mut self.index
    }

    pub fn memory_bytes(&self) -> usize {
        self.index.memory_bytes() + self.lengths.capacity() * size_of::<(u32, u32)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SECRET: (u64, u64) = (3, 5);

    proptest! {
        /// Every slot whose beginning the text has is found, and with few lengths no other.
        #[test]
        fn finds_the_beginnings_of_a_text(
            ops in proptest::collection::vec((0u8..4, "[ab]{0,5}", 0u32..12), 0..200),
            texts in proptest::collection::vec("[ab]{0,7}", 1..6),
        ) {
            let mut index = PrefixIndex::new(Making { short_list: 4, lanes: None });
            let mut model: BTreeMap<(String, u32), Beginning> = BTreeMap::new();
            for (op, prefix, slot) in ops {
                if op > 0 {
                    if let std::collections::btree_map::Entry::Vacant(entry) = model.entry((prefix.clone(), slot)) {
                        let beginning = index.place(SECRET, prefix.as_bytes());
                        index.insert(beginning, slot);
                        entry.insert(beginning);
                    }
                } else if let Some(beginning) = model.remove(&(prefix, slot)) {
                    index.remove(beginning, slot);
                }
            }
            for text in &texts {
                let wanted = model.keys().filter(|(prefix, _)| text.starts_with(prefix.as_str()));
                let mut expected: Vec<Slot> = wanted.map(|k| k.1).collect();
                let mut found = Vec::new();
                index.get(SECRET, text.as_bytes(), &mut found);
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected);
            }
            let mut all = Vec::new();
            index.all(&mut all);
            // Some may come twice, and some that were taken away may be among them.
            prop_assert!(model.keys().all(|(_, slot)| all.contains(slot)));
            prop_assert_eq!(index.index.entries(), model.len());
            prop_assert_eq!(index.lengths.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn lengths_beyond_the_most_are_filed_under_fewer_bytes() {
        let mut index = PrefixIndex::new(Making { short_list: 4, lanes: None });
        let text = "x".repeat(500);
        // Even lengths, so that odd ones between them come too late.
        let filed: Vec<Beginning> = (0..400u32)
            .map(|n| {
                let length = if n < 200 { 2 * n + 20 } else { n - 199 };
                let beginning = index.place(SECRET, &text.as_bytes()[..length as usize]);
                index.insert(beginning, n);
                beginning
            })
            .collect();
        assert!(index.lengths.len() <= LENGTHS + 1, "{}", index.lengths.len());
        let mut found = Vec::new();
        index.get(SECRET, text.as_bytes(), &mut found);
        found.sort_unstable();
        assert_eq!(found, (0..400).collect::<Vec<_>>());
        filed.into_iter().zip(0..).for_each(|(beginning, slot)| index.remove(beginning, slot));
        assert!(index.lengths.is_empty() && index.keys() == 0);
    }
}
