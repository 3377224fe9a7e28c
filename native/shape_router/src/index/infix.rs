//! Literals that a row's text holds: filed under a few of their bytes.
//!
//! A *gram* is a stretch of a literal, of one of few lengths: the longest that fits. A literal is filed
//! under the rarest of its grams, as far as the shapes that are filed now tell; a text that holds the
//! literal holds the gram. So a look-up hashes each stretch of the text of each length in use, which are
//! independent of each other, so that their cache misses overlap. An automaton of a hundred thousand
//! literals (Aho-Corasick) reads each byte once, but waits for several cache misses in a row at each of
//! them, and has to be built anew again and again: it took four times as long, and three times the
//! memory.
//!
//! | operation | cost |
//! |---|---|
//! | insert | the hash of a few grams, a look-up for each until one is found that nobody has |
//! | remove | as the index of hashes has it |
//! | the slots of a text | a look-up for each of its bytes, for each length in use |
//! | memory | what the index of hashes needs |

use super::{Making, Multimap, Slot};
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// The lengths of grams. The last one is of literals without a byte, which every text holds.
const LENGTHS: [usize; 7] = [8, 6, 4, 3, 2, 1, 0];
/// A literal of more bytes is sought by its last ones: it is beginnings that literals tend to share.
const LONGEST: usize = 32;
/// Of so many grams of a literal the rarest is chosen.
const CHOICES: usize = 8;
/// So many stretches of a text are looked up at a time.
const CHUNK: usize = 4096;
/// What a long text has found is sifted for the first time when it is so much.
const SIFT: usize = 1 << 16;

/// What a literal is filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gram {
    /// Its place in [`LENGTHS`].
    pub length: u8,
    pub hash: u64,
}

impl Gram {
    /// A gram that was taken apart; `None`: there is none of such a length.
    pub fn new(length: u8, hash: u64) -> Option<Self> {
        (usize::from(length) < LENGTHS.len()).then_some(Self { length, hash })
    }
}

/// The bytes that a literal is sought by.
pub(crate) fn sought(literal: &[u8]) -> &[u8] {
    &literal[literal.len().saturating_sub(LONGEST)..]
}

/// Whether a literal has more than one gram.
pub(crate) fn has_choice(literal: &[u8]) -> bool {
    let literal = sought(literal);
    literal.len() > LENGTHS[length_of(literal)]
}

fn length_of(literal: &[u8]) -> usize {
    LENGTHS.iter().position(|&length| length <= literal.len()).unwrap_or(LENGTHS.len() - 1)
}

/// The hashes of the stretches of one length, from the first to the last.
fn hashes(secret: (u64, u64), text: &[u8], length: usize) -> impl Iterator<Item = u64> {
    let count = (text.len() + 1).saturating_sub(length);
    // Text has no byte 0, so that a shorter stretch is like no longer one.
    let mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
    // Without a byte, one of them is as good as all.
    (0..if length == 0 { 1 } else { count }).map(move |at| {
        let word = match text.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => u64::from_le_bytes(bytes),
            None => {
                let mut bytes = [0; 8];
                bytes[..length].copy_from_slice(&text[at..at + length]);
                u64::from_le_bytes(bytes)
            }
        };
        let mut hasher = SipHasher13::new_with_keys(secret.0, secret.1);
        hasher.write_u64(word & mask);
        hasher.finish()
    })
}

/// The literals of one column.
pub(crate) struct InfixIndex {
    index: Multimap,
    /// How many literals are filed under grams of each length.
    lengths: [u32; LENGTHS.len()],
}

impl InfixIndex {
    pub fn new(making: Making) -> Self {
        Self { index: Multimap::new(making), lengths: [0; LENGTHS.len()] }
    }

    /// The index of what was stored of one: its hashes, and how many literals have grams of each length.
    pub fn stored(index: Multimap, lengths: [u32; LENGTHS.len()]) -> Self {
        Self { index, lengths }
    }

    /// How many literals have grams of each length.
    pub fn lengths(&self) -> &[u32; LENGTHS.len()] {
        &self.lengths
    }

    /// What a literal is, or would be, filed under.
    pub fn place(&self, secret: (u64, u64), literal: &[u8]) -> Gram {
        let literal = sought(literal);
        let length = length_of(literal);
        let grams = (literal.len() + 1).saturating_sub(LENGTHS[length]).max(1);
        let step = grams.div_ceil(CHOICES);
        let (mut rarest, mut least) = (0, usize::MAX);
        for hash in hashes(secret, literal, LENGTHS[length]).step_by(step) {
            let count = self.index.count(hash);
            if count < least {
                (rarest, least) = (hash, count);
            }
            if count == 0 {
                break;
            }
        }
        Gram { length: length as u8, hash: rarest }
    }

    pub fn insert(&mut self, gram: Gram, slot: Slot) {
        self.lengths[usize::from(gram.length)] += 1;
        self.index.insert(gram.hash, slot);
    }

    pub fn remove(&mut self, gram: Gram, slot: Slot) {
        self.lengths[usize::from(gram.length)] -= 1;
        self.index.remove(gram.hash, slot);
    }

    /// Appends the slots filed under a gram that the text holds.
    pub fn get(&self, secret: (u64, u64), text: &[u8], arena: &Bump, out: &mut Vec<Slot>) {
        let (start, mut sift_at) = (out.len(), SIFT);
        let mut chunk = BumpVec::new_in(arena);
        for length in self.in_use() {
            let mut hashes = hashes(secret, text, length).peekable();
            while hashes.peek().is_some() {
                chunk.clear();
                chunk.extend(hashes.by_ref().take(CHUNK));
                // What a text says again and again is asked once.
                chunk.sort_unstable();
                chunk.dedup();
                self.index.get_each(&chunk, out);
                if out.len() - start > sift_at {
                    sift(out, start);
                    sift_at = SIFT.max(2 * (out.len() - start));
                }
            }
        }
    }

    fn in_use(&self) -> impl Iterator<Item = usize> {
        LENGTHS
            .into_iter()
            .zip(self.lengths)
            .filter(|(_, filed)| *filed > 0)
            .map(|(length, _)| length)
    }

    /// Appends all slots.
    pub fn all(&self, out: &mut Vec<Slot>) {
        self.index.all(out);
    }

    /// How many literals share a gram.
    pub fn count(&self, gram: Gram) -> usize {
        self.index.count(gram.hash)
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// About how many steps of 10 ns a look-up of so many bytes takes.
    pub fn steps(&self, bytes: usize) -> usize {
        self.in_use().count() * (2 * bytes + 1)
    }

    /// The hashes of the grams.
    pub fn hashes(&self) -> &Multimap {
        &self.index
    }
    pub fn hashes_mut(&mut self) -> &mut Multimap {
        &mut self.index
    }

    pub fn memory_bytes(&self) -> usize {
        self.index.memory_bytes()
    }
}

/// Leaves each slot from `start` on once.
fn sift(out: &mut Vec<Slot>, start: usize) {
    out[start..].sort_unstable();
    let mut kept = start;
    for at in start..out.len() {
        if kept == start || out[kept - 1] != out[at] {
            out[kept] = out[at];
            kept += 1;
        }
    }
    out.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const SECRET: (u64, u64) = (1, 2);

    fn making() -> impl Strategy<Value = Making> {
        prop_oneof![Just(0), Just(5), Just(64)]
            .prop_map(|short_list| Making { short_list, lanes: None })
    }

    proptest! {
        /// The index against a plain map: what a text holds is found, and nothing whose gram it lacks.
        #[test]
        fn finds_what_a_text_holds(
            making in making(),
            steps in prop::collection::vec((0u8..4, "[ab]{0,40}|[a-d]{1,9}|(xyz|ab){2,5}", 0u32..50), 0..300),
            texts in prop::collection::vec("[ab]{0,60}|[a-d]{0,30}|(xyz|ab){0,9}", 1..8),
        ) {
            let mut index = InfixIndex::new(making);
            // A shape is filed under one gram for each literal.
            let mut model: BTreeMap<Slot, (String, Gram)> = BTreeMap::new();
            for (op, literal, slot) in steps {
                if op == 0 {
                    if let Some((_, gram)) = model.remove(&slot) {
                        index.remove(gram, slot);
                    }
                } else if let std::collections::btree_map::Entry::Vacant(free) = model.entry(slot) {
                    let gram = index.place(SECRET, literal.as_bytes());
                    index.insert(gram, slot);
                    prop_assert!(index.count(gram) > 0);
                    free.insert((literal, gram));
                }
            }
            for text in &texts {
                let mut found = Vec::new();
                index.get(SECRET, text.as_bytes(), &Bump::new(), &mut found);
                let found: BTreeSet<Slot> = found.into_iter().collect();
                for (slot, (literal, gram)) in &model {
                    let length = LENGTHS[usize::from(gram.length)];
                    let has_gram = hashes(SECRET, text.as_bytes(), length).any(|h| h == gram.hash);
                    prop_assert_eq!(found.contains(slot), has_gram, "{:?} in {:?}", literal, text);
                    prop_assert!(has_gram || !text.contains(literal.as_str()));
                }
                prop_assert!(found.iter().all(|slot| model.contains_key(slot)));
            }
            for (slot, (_, gram)) in model {
                index.remove(gram, slot);
            }
            prop_assert!(index.is_empty() && index.lengths == [0; LENGTHS.len()]);
        }
    }

    #[test]
    fn literals_that_share_most_of_their_bytes_are_filed_apart() {
        let mut index = InfixIndex::new(Making::default());
        for slot in 0..1000 {
            let gram = index.place(SECRET, format!("error: code {slot:04}").as_bytes());
            index.insert(gram, slot);
        }
        let mut found = Vec::new();
        index.get(SECRET, b"it says error: code 0777, again", &Bump::new(), &mut found);
        assert!(found.contains(&777) && found.len() < 40, "{} are found", found.len());
    }

    #[test]
    fn what_a_long_text_says_again_and_again_is_found_a_few_times() {
        let mut index = InfixIndex::new(Making::default());
        for slot in 0..1000 {
            let gram = index.place(SECRET, b"aaaaaaaa");
            index.insert(gram, slot);
        }
        let mut found = Vec::new();
        index.get(SECRET, "a".repeat(4_000_000).as_bytes(), &Bump::new(), &mut found);
        assert!(found.len() <= 2 * SIFT && found.capacity() < 8 * SIFT, "{}", found.len());
    }
}
