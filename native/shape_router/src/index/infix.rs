//! Literals that a row's text holds: Aho-Corasick automata, in tiers.
//!
//! An automaton finds all its literals in one pass over a text, but cannot be added to. So new
//! literals wait in a short list, each sought on its own; a full list becomes an automaton, and
//! automata are merged while one has at most twice the literals of those after it. So there are
//! O(log n) of them, and a literal is built into O(log n) automata in its life.
//!
//! | operation | cost for n literals |
//! |---|---|
//! | insert, remove | O(1), and building a literal O(log n) times, which is done elsewhere |
//! | the slots of a text | one pass over it for each automaton, a search for each literal that waits |
//!
//! Building is done without the index ([`Seal::build`], [`Merge::build`]): what is to be built is
//! taken out, what was built is swapped in. A literal of which no slot is left stays in its
//! automaton until a merge leaves it out.

use super::Slot;
use super::posting::Posting;
use aho_corasick::AhoCorasick;
use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use hashbrown::HashMap;
use std::sync::Arc;

/// So many literals wait before they are built into an automaton.
const WAITING: usize = 32;
/// An automaton is merged with those after it if it has at most so many times their literals.
const RATIO: usize = 2;
/// A literal of more bytes is sought by its last ones: candidates are verified anyway, an automaton
/// grows with every byte, and it is beginnings that literals tend to share.
const LONGEST: usize = 32;

/// A literal's place in the index.
type LiteralId = u32;

/// What is known of a literal.
struct Literal {
    bytes: Arc<[u8]>,
    slots: Posting,
    stands: Stands,
}

/// Where a literal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// In the list of those that wait.
    Waiting,
    /// There too, while an automaton of them is built.
    Sealing,
    /// In an automaton.
    Built,
    /// In an automaton that is being replaced by one without it.
    Leaving,
    /// There too, and in the list of those that wait: it came back meanwhile.
    Returned,
    /// Nowhere: the place is free.
    Free,
}

/// An automaton, and the literals that its patterns stand for.
pub(crate) struct Tier {
    automaton: AhoCorasick,
    literals: Vec<LiteralId>,
}

impl Tier {
    fn build(literals: &mut Vec<(LiteralId, Arc<[u8]>)>) -> Option<Self> {
        let (literals, bytes): (Vec<_>, Vec<_>) = literals.drain(..).unzip();
        let automaton = AhoCorasick::builder().prefilter(false).build(bytes).ok()?;
        Some(Self { automaton, literals })
    }
}

/// Literals that waited, to be built into an automaton.
pub(crate) struct Seal {
    literals: Vec<(LiteralId, Arc<[u8]>)>,
}

impl Seal {
    /// The automaton; `None`: it would be larger than automata can be.
    pub fn build(&mut self) -> Option<Tier> {
        Tier::build(&mut self.literals)
    }
}

/// Automata to be made into one.
pub(crate) struct Merge {
    tiers: Vec<Arc<Tier>>,
    literals: Vec<(LiteralId, Arc<[u8]>)>,
    /// How many of the tiers' literals were looked at.
    seen: usize,
    /// Those of which no slot was left.
    left_out: Vec<LiteralId>,
}

impl Merge {
    /// How many literals it has at most.
    pub fn size(&self) -> usize {
        self.tiers.iter().map(|t| t.literals.len()).sum()
    }

    /// True if there is nothing to build.
    pub fn is_empty(&self) -> bool {
        self.literals.is_empty()
    }

    /// The automaton; `None`: it would be larger than automata can be.
    pub fn build(&mut self) -> Option<Tier> {
        Tier::build(&mut self.literals)
    }
}

/// The bytes that a literal is sought by.
pub(crate) fn sought(literal: &[u8]) -> &[u8] {
    &literal[literal.len().saturating_sub(LONGEST)..]
}

/// The literals of one column.
#[derive(Default)]
pub(crate) struct InfixIndex {
    by_bytes: HashMap<Arc<[u8]>, LiteralId, ahash::RandomState>,
    literals: Vec<Literal>,
    free: Vec<LiteralId>,
    waiting: Vec<LiteralId>,
    /// How many of them, at the front, are being built into an automaton.
    sealing: usize,
    /// From many literals to few.
    tiers: Vec<Arc<Tier>>,
    merging: bool,
    /// Built literals of which no slot is left.
    dead: usize,
    slots: usize,
    /// What the literals take.
    bytes: usize,
}

impl InfixIndex {
    /// Files a slot under a literal, of which [`sought`] tells the bytes.
    pub fn insert(&mut self, bytes: &[u8], slot: Slot) -> Arc<[u8]> {
        let id = match self.by_bytes.get(bytes) {
            Some(&id) => id,
            None => self.add(bytes),
        };
        let literal = &mut self.literals[id as usize];
        match literal.stands {
            Stands::Built if literal.slots.is_empty() => self.dead -= 1,
            // The automaton that is being built does not have it.
            Stands::Leaving => {
                literal.stands = Stands::Returned;
                self.waiting.push(id);
            }
            _ => {}
        }
        self.slots += usize::from(literal.slots.insert(slot));
        literal.bytes.clone()
    }

    fn add(&mut self, bytes: &[u8]) -> LiteralId {
        let bytes: Arc<[u8]> = bytes.into();
        self.bytes += bytes.len() + 16;
        let slots = Posting::default();
        let literal = Literal { bytes: bytes.clone(), slots, stands: Stands::Waiting };
        let id = match self.free.pop() {
            Some(id) => {
                self.literals[id as usize] = literal;
                id
            }
            None => {
                self.literals.push(literal);
                (self.literals.len() - 1) as LiteralId
            }
        };
        self.by_bytes.insert(bytes, id);
        self.waiting.push(id);
        id
    }

    /// Takes a slot from a literal.
    pub fn remove(&mut self, bytes: &[u8], slot: Slot) {
        let Some(&id) = self.by_bytes.get(bytes) else { return };
        let literal = &mut self.literals[id as usize];
        if !literal.slots.remove(slot) {
            return;
        }
        self.slots -= 1;
        if !literal.slots.is_empty() {
            return;
        }
        match literal.stands {
            Stands::Built => self.dead += 1,
            Stands::Waiting => {
                self.waiting.retain(|&w| w != id);
                self.release(id);
            }
            // The automaton that is being replaced still names it: its place is not free before that
            // is gone.
            Stands::Returned => {
                self.waiting.retain(|&w| w != id);
                literal.stands = Stands::Leaving;
            }
            // What is being built has it; it is dead when that is done.
            Stands::Sealing | Stands::Leaving | Stands::Free => {}
        }
    }

    fn release(&mut self, id: LiteralId) {
        let literal = &mut self.literals[id as usize];
        self.by_bytes.remove(&literal.bytes);
        self.bytes -= literal.bytes.len() + 16;
        literal.bytes = Arc::new([]);
        literal.stands = Stands::Free;
        self.free.push(id);
    }

    /// Appends the slots filed under a literal that the text holds.
    pub fn get(&self, text: &[u8], arena: &Bump, out: &mut Vec<Slot>) {
        let mut found = Found { ids: BumpVec::new_in(arena), sift_at: 16 };
        for tier in &self.tiers {
            for hit in tier.automaton.find_overlapping_iter(text) {
                found.push(tier.literals[hit.pattern().as_usize()]);
            }
        }
        for &id in &self.waiting {
            if memchr::memmem::find(text, &self.literals[id as usize].bytes).is_some() {
                found.push(id);
            }
        }
        found.sift();
        for &id in &found.ids {
            out.extend_from_slice(self.literals[id as usize].slots.as_slice());
        }
    }

    /// Appends all slots.
    pub fn all(&self, out: &mut Vec<Slot>) {
        self.literals.iter().for_each(|l| out.extend_from_slice(l.slots.as_slice()));
    }

    /// How many slots are filed under a literal.
    pub fn count(&self, bytes: &[u8]) -> usize {
        let id = self.by_bytes.get(bytes);
        id.map_or(0, |&id| self.literals[id as usize].slots.len())
    }

    /// How many slots are filed under all literals.
    pub fn len(&self) -> usize {
        self.slots
    }

    /// True if nothing is being built for it.
    pub fn is_idle(&self) -> bool {
        self.sealing == 0 && !self.merging
    }

    /// About how many steps of 10 ns a look-up of so many bytes takes.
    pub fn steps(&self, bytes: usize) -> usize {
        self.tiers.len() * bytes / 4 + self.waiting.len() * (1 + bytes / 256)
    }

    /// True if there is something to build.
    pub fn is_due(&self) -> bool {
        self.can_seal() || self.merge_from().is_some()
    }

    fn can_seal(&self) -> bool {
        self.sealing == 0 && self.waiting.len() >= WAITING
    }

    /// What waits, if it is enough for an automaton.
    pub fn seal(&mut self) -> Option<Seal> {
        if !self.can_seal() {
            return None;
        }
        self.sealing = self.waiting.len();
        let mut literals = Vec::with_capacity(self.sealing);
        for &id in &self.waiting {
            let literal = &mut self.literals[id as usize];
            literal.stands = Stands::Sealing;
            literals.push((id, literal.bytes.clone()));
        }
        Some(Seal { literals })
    }

    /// Swaps in what was built of the literals that waited.
    pub fn sealed(&mut self, tier: Tier) {
        for id in self.waiting.drain(..self.sealing) {
            let literal = &mut self.literals[id as usize];
            literal.stands = Stands::Built;
            self.dead += usize::from(literal.slots.is_empty());
        }
        self.sealing = 0;
        self.place(tier);
    }

    fn place(&mut self, tier: Tier) {
        let size = tier.literals.len();
        let at = self.tiers.partition_point(|t| t.literals.len() >= size);
        self.tiers.insert(at, Arc::new(tier));
    }

    /// The first of the automata that should be merged with those after it.
    fn merge_from(&self) -> Option<usize> {
        if self.merging {
            return None;
        }
        let sizes = || self.tiers.iter().map(|t| t.literals.len());
        let many_dead = self.dead > sizes().sum::<usize>() / 2 + WAITING;
        let (mut from, mut size) = (self.tiers.len(), 0);
        for (at, of) in sizes().enumerate().rev() {
            if size > 0 && of > RATIO * size && !many_dead {
                break;
            }
            (from, size) = (at, size + of);
        }
        (self.tiers.len() - from >= 2 || many_dead).then_some(from)
    }

    /// What should be merged, if it is time for it.
    pub fn merge(&mut self) -> Option<Merge> {
        let tiers = self.tiers[self.merge_from()?..].to_vec();
        self.merging = true;
        Some(Merge { tiers, literals: Vec::new(), seen: 0, left_out: Vec::new() })
    }

    /// Gathers at most so many of a merge's literals; true once it has them all.
    pub fn gather(&mut self, merge: &mut Merge, at_most: usize) -> bool {
        let all = merge.tiers.iter().flat_map(|tier| &tier.literals);
        let mut seen = 0;
        for &id in all.skip(merge.seen).take(at_most) {
            seen += 1;
            let literal = &mut self.literals[id as usize];
            if literal.stands != Stands::Built {
                continue;
            }
            if literal.slots.is_empty() {
                self.dead -= 1;
                literal.stands = Stands::Leaving;
                merge.left_out.push(id);
            } else {
                merge.literals.push((id, literal.bytes.clone()));
            }
        }
        merge.seen += seen;
        seen < at_most
    }

    /// Swaps in what was built of the literals that are left, if any.
    pub fn merged(&mut self, merge: &Merge, tier: Option<Tier>) {
        self.tiers.retain(|t| !merge.tiers.iter().any(|r| Arc::ptr_eq(r, t)));
        if let Some(tier) = tier {
            self.place(tier);
        }
    }

    /// Forgets at most so many of the literals that a merge left out; true once it is done.
    pub fn forget(&mut self, merge: &mut Merge, at_most: usize) -> bool {
        for _ in 0..at_most {
            let Some(id) = merge.left_out.pop() else {
                self.merging = false;
                return true;
            };
            match self.literals[id as usize].stands {
                Stands::Leaving => self.release(id),
                Stands::Returned => self.literals[id as usize].stands = Stands::Waiting,
                _ => {}
            }
        }
        false
    }

    pub fn memory_bytes(&self) -> usize {
        let tier = |t: &Arc<Tier>| t.automaton.memory_usage() + t.literals.capacity() * 4;
        self.tiers.iter().map(tier).sum::<usize>()
            + self.bytes
            + self.literals.capacity() * size_of::<Literal>()
            + self.slots * size_of::<Slot>()
            + self.by_bytes.allocation_size()
            + 4 * (self.free.capacity() + self.waiting.capacity())
    }
}

/// The literals found in a text. One that is found again and again must not make this long.
struct Found<'a> {
    ids: BumpVec<'a, LiteralId>,
    sift_at: usize,
}

impl Found<'_> {
    fn push(&mut self, id: LiteralId) {
        if self.ids.len() >= self.sift_at {
            self.sift();
            self.sift_at = (2 * self.ids.len()).max(64);
        }
        self.ids.push(id);
    }

    fn sift(&mut self) {
        self.ids.sort_unstable();
        self.ids.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(String, Slot),
        Remove(usize),
        /// Begins to build, or goes on with it.
        Build,
        Look(String),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => ("[ab]{1,7}", 0u32..6).prop_map(|(literal, slot)| Step::Insert(literal, slot)),
            5 => (0usize..100_000).prop_map(Step::Remove),
            3 => Just(Step::Build),
            1 => "[abc]{0,20}".prop_map(Step::Look),
        ]
    }

    /// What is being built, as far as it has come.
    #[derive(Default)]
    struct Building {
        seal: Option<Seal>,
        merge: Option<(Merge, u8)>,
    }

    impl Building {
        /// One step of one of the two, so that inserts and removes fall in between.
        fn go_on(&mut self, index: &mut InfixIndex) {
            match self.seal.take() {
                Some(mut seal) => index.sealed(seal.build().expect("it is small")),
                None => self.seal = index.seal(),
            }
            self.merge = match self.merge.take() {
                None => index.merge().map(|merge| (merge, 0)),
                Some((mut merge, 0)) => {
                    let done = index.gather(&mut merge, 20);
                    Some((merge, u8::from(done)))
                }
                Some((mut merge, 1)) => {
                    let tier = if merge.is_empty() { None } else { merge.build() };
                    index.merged(&merge, tier);
                    Some((merge, 2))
                }
                Some((mut merge, _)) => match index.forget(&mut merge, 5) {
                    true => None,
                    false => Some((merge, 2)),
                },
            };
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// The index against a plain set, with every kind of building going on meanwhile.
        #[test]
        fn finds_what_a_text_holds(steps in proptest::collection::vec(step(), 0..1500)) {
            let (mut index, mut building) = (InfixIndex::default(), Building::default());
            let mut model: BTreeSet<(String, Slot)> = BTreeSet::new();
            let arena = Bump::new();
            for step in steps {
                match step {
                    Step::Insert(literal, slot) => {
                        index.insert(literal.as_bytes(), slot);
                        model.insert((literal, slot));
                    }
                    Step::Remove(which) => {
                        let Some(gone) = model.iter().nth(which % model.len().max(1)).cloned() else { continue };
                        index.remove(gone.0.as_bytes(), gone.1);
                        model.remove(&gone);
                    }
                    Step::Build => building.go_on(&mut index),
                    Step::Look(text) => {
                        let held = model.iter().filter(|(literal, _)| text.contains(literal.as_str()));
                        let mut expected: Vec<Slot> = held.map(|m| m.1).collect();
                        let mut found = Vec::new();
                        index.get(text.as_bytes(), &arena, &mut found);
                        found.sort_unstable();
                        expected.sort_unstable();
                        prop_assert_eq!(found, expected);
                    }
                }
            }
            prop_assert_eq!(index.len(), model.len());
            for (literal, slot) in &model {
                prop_assert!(index.count(literal.as_bytes()) > 0);
                index.remove(literal.as_bytes(), *slot);
            }
            for _ in 0..200 {
                building.go_on(&mut index);
            }
            prop_assert!(index.is_idle() && index.len() == 0);
            let left = index.by_bytes.len();
            prop_assert!(left <= 2 * WAITING, "{} dead literals are left", left);
            prop_assert_eq!(left + index.free.len(), index.literals.len());
        }
    }

    #[test]
    fn automata_are_few() {
        let mut index = InfixIndex::default();
        for i in 0..5000u32 {
            index.insert(format!("<{i}>").as_bytes(), i);
            while let Some(mut seal) = index.seal() {
                index.sealed(seal.build().expect("it is small"));
            }
            while let Some(mut merge) = index.merge() {
                while !index.gather(&mut merge, 100) {}
                let tier = merge.build();
                index.merged(&merge, tier);
                while !index.forget(&mut merge, 100) {}
            }
            assert!(index.tiers.len() <= 8, "{} automata of {i} literals", index.tiers.len());
        }
    }

    #[test]
    fn a_place_in_an_automaton_that_is_being_replaced_is_not_given_away() {
        let mut index = InfixIndex::default();
        let literals = |n: u32| (0..n).map(|i| format!("<{i}>"));
        for (literal, slot) in literals(100).zip(0..) {
            index.insert(literal.as_bytes(), slot);
        }
        let tier = index.seal().and_then(|mut seal| seal.build());
        index.sealed(tier.expect("100 literals are enough"));
        literals(90).zip(0..).for_each(|(literal, slot)| index.remove(literal.as_bytes(), slot));
        let mut merge = index.merge().expect("most are dead");
        while !index.gather(&mut merge, 10) {}
        // One comes back, goes again, and another one comes: the first one's text must not find it.
        index.insert(b"<7>", 7);
        index.remove(b"<7>", 7);
        index.insert(b"other", 1000);
        let mut found = Vec::new();
        index.get(b"a <7>", &Bump::new(), &mut found);
        assert!(found.is_empty(), "{found:?}");
        let tier = merge.build();
        index.merged(&merge, tier);
        while !index.forget(&mut merge, 10) {}
        index.get(b"<95> other", &Bump::new(), &mut found);
        found.sort_unstable();
        assert_eq!(found, [95, 1000]);
    }

    #[test]
    fn a_literal_that_comes_often_is_found_once() {
        let mut index = InfixIndex::default();
        for length in 1..=32 {
            index.insert("a".repeat(length).as_bytes(), length as u32);
        }
        index.insert(b"a", 77);
        let seal = index.seal().and_then(|mut seal| seal.build());
        index.sealed(seal.expect("32 literals are enough"));
        let (arena, mut found) = (Bump::new(), Vec::new());
        index.get("a".repeat(100_000).as_bytes(), &arena, &mut found);
        assert_eq!(found.len(), 33);
        assert!(arena.allocated_bytes() < 10_000);
    }
}
