//! The mutable part of an index: what was added and removed since the last flush, as deltas.
//!
//! One writer at a time (the index's writer lock sees to it), any number of readers, and no reader
//! ever waits: every word is atomic, an entry is written whole before the slot that leads to it, and
//! entries are never taken back. A table that is full is copied into a bigger one; readers of the old
//! one keep it alive.
//!
//! A key's deltas form a chain, newest first. Adding is O(1), however long the chain; the newest delta
//! of a key is changed in place. A chain may mention an id several times; the newest mention counts.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

use smallvec::SmallVec;

/// How far a writer looks back for the id it writes.
const NEAR: usize = 8;
const REMOVED: u64 = 1 << 63;
/// Entry numbers have 31 bits, and 0 means none.
pub(crate) const MAX_ENTRIES: usize = (1 << 31) - 2;

/// What a write did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The delta is there now.
    Done,
    /// The table had it already.
    Same,
    /// There is no room: copy the table into a bigger one and try again.
    Full,
}

/// One delta as a flush reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    pub hash: u64,
    pub id: u32,
    pub removed: bool,
}

/// Deltas by key hash.
pub(crate) struct Overlay {
    /// Open addressing: the upper half of the key's hash, and the number of its newest entry plus one.
    slots: Box<[AtomicU64]>,
    /// Two words an entry: the hash; id, next entry plus one (31 bits), removed (1 bit).
    entries: Box<[AtomicU64]>,
    used: AtomicU32,
    removes: AtomicU32,
    /// Ids added less ids removed.
    balance: AtomicI64,
}

impl Overlay {
    /// A table with room for `entries` deltas. Room for none costs no memory.
    pub(crate) fn with_room(entries: usize) -> Self {
        let slots = if entries == 0 { 0 } else { (entries + entries / 3 + 1).next_power_of_two() };
        let room = (slots / 4 * 3).min(MAX_ENTRIES);
        let zeroed = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self {
            slots: zeroed(slots),
            entries: zeroed(room * 2),
            used: AtomicU32::new(0),
            removes: AtomicU32::new(0),
            balance: AtomicI64::new(0),
        }
    }

    /// How many deltas it holds.
    pub(crate) fn len(&self) -> usize {
        self.used.load(Ordering::Acquire) as usize
    }

    /// How many of them are removals.
    pub(crate) fn removes(&self) -> usize {
        self.removes.load(Ordering::Relaxed) as usize
    }

    /// How many ids more the index holds with it than without, if all that was removed was there.
    pub(crate) fn balance(&self) -> i64 {
        self.balance.load(Ordering::Relaxed)
    }

    /// The bytes it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.slots.len() + self.entries.len()) * size_of::<AtomicU64>()
    }

    /// Writes a delta. Only one thread may write at a time; the caller's lock sees to it.
    ///
    /// `oldest` says that nothing lies below this table, so that a removal of what is not here has
    /// nothing to hide.
    pub(crate) fn write(&self, hash: u64, id: u32, removed: bool, oldest: bool) -> Written {
        self.put(hash, id, removed, oldest, 1)
    }

    /// As `write`; `in_place` of the newest deltas of the key may be changed where they are.
    ///
    /// Under readers that is only the newest one: a reader that has come past a delta must not see an
    /// older one change, or it would see a later write without an earlier one.
    fn put(&self, hash: u64, id: u32, removed: bool, oldest: bool, in_place: usize) -> Written {
        let Some(slot) = self.find_slot(hash) else {
            return if removed && oldest { Written::Same } else { Written::Full };
        };
        let head = self.slots[slot].load(Ordering::Relaxed) as u32;
        let (mut entry, mut looked_at) = (head, 0);
        while entry != 0 && looked_at < NEAR {
            let word = self.word(entry);
            let at = word.load(Ordering::Relaxed);
            if at as u32 == id {
                if (at & REMOVED != 0) == removed {
                    return Written::Same;
                }
                if looked_at >= in_place {
                    break;
                }
                word.store(at ^ REMOVED, Ordering::Release);
                if removed {
                    self.removes.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.removes.fetch_sub(1, Ordering::Relaxed);
                }
                self.balance.fetch_add(if removed { -1 } else { 1 }, Ordering::Relaxed);
                return Written::Done;
            }
            entry = next(at);
            looked_at += 1;
        }
        if removed && oldest && entry == 0 {
            return Written::Same;
        }
        let used = self.used.load(Ordering::Relaxed);
        if used as usize * 2 >= self.entries.len() {
            return Written::Full;
        }
        let number = used + 1;
        self.entries[used as usize * 2].store(hash, Ordering::Relaxed);
        let flag = if removed { REMOVED } else { 0 };
        self.word(number).store(u64::from(id) | u64::from(head) << 32 | flag, Ordering::Relaxed);
        // Whoever sees the slot sees the entry, and everything behind it.
        self.slots[slot].store(tag(hash) | u64::from(number), Ordering::Release);
        self.used.store(number, Ordering::Release);
        self.balance.fetch_add(if removed { -1 } else { 1 }, Ordering::Relaxed);
        if removed {
            self.removes.fetch_add(1, Ordering::Relaxed);
        }
        Written::Done
    }

    /// Asks the processor for the slot of `hash`.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if !self.slots.is_empty() {
            // A relaxed load that nobody waits for does what a prefetch would, without `unsafe`.
            let slot = &self.slots[hash as usize & (self.slots.len() - 1)];
            std::hint::black_box(slot.load(Ordering::Relaxed));
        }
    }

    /// The deltas of one key, newest first; none where the key is not here.
    #[inline(always)]
    pub(crate) fn chain(&self, hash: u64) -> Chain<'_> {
        let head = match self.find_slot(hash) {
            Some(slot) => self.slots[slot].load(Ordering::Acquire) as u32,
            None => 0,
        };
        Chain { overlay: self, entry: head }
    }

    /// All deltas, oldest first; of two mentions of an id under a key, the later one counts.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = Delta> + '_ {
        (0..self.len()).map(|entry| {
            let at = self.entries[entry * 2 + 1].load(Ordering::Acquire);
            Delta {
                hash: self.entries[entry * 2].load(Ordering::Relaxed),
                id: at as u32,
                removed: at & REMOVED != 0,
            }
        })
    }

    /// A copy with room for more. Where nothing lies below, removals have nothing left to hide and are
    /// left behind.
    pub(crate) fn grown(&self, oldest: bool) -> Self {
        let kept = self.len() - if oldest { self.removes().min(self.len()) } else { 0 };
        let mut room = (kept * 2).max(3);
        loop {
            let copy = Self::with_room(room);
            // Nobody reads the copy yet: older mentions of an id may give way.
            let is_full = self.deltas().any(|delta| {
                copy.put(delta.hash, delta.id, delta.removed, oldest, NEAR) == Written::Full
            });
            // Removals of an id whose older mention is far back in its chain have to be kept as well,
            // and a copy that they fill would have to be copied for every further write.
            let has_room = copy.len() + copy.len() / 4 < copy.entries.len() / 2;
            if !is_full && has_room {
                copy.balance.store(self.balance(), Ordering::Relaxed);
                return copy;
            }
            room *= 2;
        }
    }

    /// The slot of `hash`, or the empty one where it would be; none where the table has no slots.
    #[inline]
    fn find_slot(&self, hash: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        loop {
            let at = self.slots[slot].load(Ordering::Acquire);
            // A quarter of the slots is empty at least, so that this ends.
            if at == 0 || (at & !u64::from(u32::MAX) == tag(hash) && self.is(at as u32, hash)) {
                return Some(slot);
            }
            slot = (slot + 1) & mask;
        }
    }

    #[inline]
    fn is(&self, entry: u32, hash: u64) -> bool {
        self.entries[(entry as usize - 1) * 2].load(Ordering::Relaxed) == hash
    }

    #[inline]
    fn word(&self, entry: u32) -> &AtomicU64 {
        &self.entries[(entry as usize - 1) * 2 + 1]
    }
}

#[inline]
fn tag(hash: u64) -> u64 {
    hash & !u64::from(u32::MAX)
}

#[inline]
fn next(word: u64) -> u32 {
    (word >> 32) as u32 & (u32::MAX >> 1)
}

/// The deltas of one key, newest first.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a> {
    overlay: &'a Overlay,
    entry: u32,
}

impl Chain<'_> {
    /// Applies the deltas to `ids[start..]`, which holds what older parts of the index say, ascending.
    #[inline]
    pub(crate) fn apply(self, ids: &mut Vec<u32>, start: usize) {
        if self.entry != 0 {
            self.apply_deltas(ids, start);
        }
    }

    fn apply_deltas(self, ids: &mut Vec<u32>, start: usize) {
        // Id, then age: after sorting, the newest mention of an id comes first.
        let mut mentions: SmallVec<[(u32, u32, bool); 2 * NEAR]> = SmallVec::new();
        for (age, (id, removed)) in self.enumerate() {
            mentions.push((id, age as u32, removed));
        }
        mentions.sort_unstable();
        mentions.dedup_by_key(|mention| mention.0);
        let adds = mentions.iter().filter(|mention| !mention.2).map(|mention| mention.0);
        let removes = mentions.iter().filter(|mention| mention.2).map(|mention| mention.0);
        crate::view::subtract(ids, start, removes);
        crate::view::unite(ids, start, adds);
    }
}

impl Iterator for Chain<'_> {
    type Item = (u32, bool);

    #[inline]
    fn next(&mut self) -> Option<(u32, bool)> {
        if self.entry == 0 {
            return None;
        }
        let at = self.overlay.word(self.entry).load(Ordering::Acquire);
        self.entry = next(at);
        Some((at as u32, at & REMOVED != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ids(overlay: &Overlay, hash: u64) -> Vec<u32> {
        let mut ids = vec![];
        overlay.chain(hash).apply(&mut ids, 0);
        ids
    }

    fn write(overlay: &mut Overlay, hash: u64, id: u32, removed: bool, oldest: bool) {
        while overlay.write(hash, id, removed, oldest) == Written::Full {
            *overlay = overlay.grown(oldest);
        }
    }

    #[test]
    fn a_reader_that_came_before_a_write_sees_none_behind_it() {
        let overlay = Overlay::with_room(10);
        overlay.write(1, 1, false, true);
        let early = overlay.chain(1);
        // An id moves: the new one comes before the old one goes.
        overlay.write(1, 2, false, true);
        overlay.write(1, 1, true, true);
        let mut seen = vec![];
        early.apply(&mut seen, 0);
        assert_eq!(seen, [1], "the removal is visible without what came before it");
        assert_eq!(ids(&overlay, 1), [2]);
    }

    /// Regression: a copy made room only for what was added, and dropped a removal that it needed.
    #[test]
    fn a_copy_has_room_for_removals_far_back_in_a_chain() {
        let mut overlay = Overlay::with_room(0);
        (0..40).for_each(|id| write(&mut overlay, 1, id, false, true));
        (0..39).for_each(|id| write(&mut overlay, 1, id, true, true));
        for _ in 0..3 {
            overlay = overlay.grown(true);
            assert_eq!(ids(&overlay, 1), [39]);
        }
    }

    /// Regression: a copy that was just filled by the removals it kept had no room for the write that
    /// it was made for, nor had its copy, and the writer went on for ever.
    #[test]
    fn a_copy_has_room_for_the_next_write() {
        let mut overlay = Overlay::with_room(0);
        for id in 0..3_000 {
            write(&mut overlay, 1, id, false, true);
            if let Some(old) = id.checked_sub(100) {
                write(&mut overlay, 1, old, true, true);
            }
            let copy = overlay.grown(true);
            assert_eq!(copy.write(1, u32::MAX, false, true), Written::Done, "after {id}");
        }
        assert!(ids(&overlay, 1).into_iter().eq(2_900..3_000));
    }

    proptest! {
        #[test]
        fn deltas_lie_over_what_is_below(
            below in prop::collection::btree_set(0_u32..30, 0..20),
            writes in prop::collection::vec((0_u64..3, 0_u32..30, any::<bool>()), 0..200),
        ) {
            // Slots and tags of these keys are alike in every way that two keys' can be.
            let hash = |key: u64| [5, 5 << 32, u64::MAX][key as usize];
            let (mut over, mut alone) = (Overlay::with_room(0), Overlay::with_room(0));
            let mut want = [below.clone(), below.clone(), below.clone()];
            let mut want_alone = [const { BTreeSet::new() }; 3];
            for (key, id, removed) in writes {
                write(&mut over, hash(key), id, removed, false);
                write(&mut alone, hash(key), id, removed, true);
                for want in [&mut want[key as usize], &mut want_alone[key as usize]] {
                    if removed { want.remove(&id) } else { want.insert(id) };
                }
            }
            for key in 0..3 {
                let mut got: Vec<u32> = below.iter().copied().collect();
                over.chain(hash(key)).apply(&mut got, 0);
                prop_assert!(got.iter().eq(&want[key as usize]), "{:?}", got);
                prop_assert!(ids(&alone, hash(key)).iter().eq(&want_alone[key as usize]));
            }
        }
    }
}
