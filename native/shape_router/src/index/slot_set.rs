//! A set of slots: an eighth of a byte each, O(1) to add and remove, walked in ascending order.

use super::Slot;

/// One bit a slot, and one bit for each word of those that is not empty.
#[derive(Clone, Default)]
pub(crate) struct SlotSet {
    words: Vec<u64>,
    summary: Vec<u64>,
    len: usize,
}

impl SlotSet {
    pub fn insert(&mut self, slot: Slot) {
        let word = slot as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
            self.summary.resize(word / 64 + 1, 0);
        }
        let bit = 1 << (slot % 64);
        self.len += usize::from(self.words[word] & bit == 0);
        self.words[word] |= bit;
        self.summary[word / 64] |= 1 << (word % 64);
    }

    /// Adds up to 64 slots, the first of them a multiple of 64, by a bit each.
    pub fn insert_word(&mut self, first: Slot, bits: u64) {
        let word = first as usize / 64;
        if bits == 0 {
            return;
        }
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
            self.summary.resize(word / 64 + 1, 0);
        }
        self.len += (bits & !self.words[word]).count_ones() as usize;
        self.words[word] |= bits;
        self.summary[word / 64] |= 1 << (word % 64);
    }

    pub fn remove(&mut self, slot: Slot) {
        let at = slot as usize / 64;
        let Some(word) = self.words.get_mut(at) else { return };
        let bit = 1 << (slot % 64);
        self.len -= usize::from(*word & bit != 0);
        *word &= !bit;
        if *word == 0 {
            self.summary[at / 64] &= !(1 << (at % 64));
        }
    }

    pub fn contains(&self, slot: Slot) -> bool {
        self.words.get(slot as usize / 64).is_some_and(|word| word & 1 << (slot % 64) != 0)
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        // Most sets are empty most of the time, and every change asks for some of them.
        let summary = if self.len == 0 { &[][..] } else { &self.summary };
        let words = summary.iter().zip(0u32..).flat_map(|(&set, at)| bits(set, at * 64));
        words.flat_map(|word| bits(self.words[word as usize], word * 64))
    }

    /// The first slot that is not before this one.
    pub fn next_from(&self, slot: Slot) -> Option<Slot> {
        let at = slot as usize / 64;
        let rest = self.words.get(at)? & (u64::MAX << (slot % 64));
        if rest != 0 {
            return Some(at as u32 * 64 + rest.trailing_zeros());
        }
        let next = at + 1;
        let mut above = self.summary.get(next / 64)? & (u64::MAX << (next % 64));
        let mut group = next / 64;
        while above == 0 {
            group += 1;
            above = *self.summary.get(group)?;
        }
        let word = group * 64 + above.trailing_zeros() as usize;
        Some(word as u32 * 64 + self.words[word].trailing_zeros())
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn memory_bytes(&self) -> usize {
        8 * (self.words.capacity() + self.summary.capacity())
    }
}

/// The numbers of a word's bits, counted from `base`.
fn bits(mut left: u64, base: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (left != 0).then(|| {
            let bit = left.trailing_zeros();
            left &= left - 1;
            base + bit
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// The set against a tree, after every step.
        #[test]
        fn is_a_set(
            ops in prop::collection::vec((any::<bool>(), prop_oneof![0u32..70, 4000u32..4200, 0u32..70_000]), 0..200),
            from in 0u32..70_000,
            words in prop::collection::vec((0u32..1100, any::<u64>()), 0..4),
        ) {
            let (mut set, mut model) = (SlotSet::default(), BTreeSet::new());
            for (word, bits) in words {
                set.insert_word(64 * word, bits);
                model.extend((0..64).filter(|bit| bits >> bit & 1 == 1).map(|bit| 64 * word + bit));
                prop_assert_eq!(set.len(), model.len());
            }
            for (add, slot) in ops {
                if add {
                    set.insert(slot);
                    model.insert(slot);
                } else {
                    set.remove(slot);
                    model.remove(&slot);
                }
                prop_assert_eq!(set.len(), model.len());
                prop_assert_eq!(set.contains(slot), add);
                prop_assert_eq!(set.contains(from), model.contains(&from));
                for from in [from, slot, slot + 1] {
                    prop_assert_eq!(set.next_from(from), model.range(from..).next().copied());
                }
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
