//! The mutable part of an index: what was added and removed since the last flush, as deltas.
//!
//! One writer at a time (the index's writer lock sees to it), any number of readers, and no reader
//! ever waits: every word is atomic, an entry is written whole before the slot that leads to it, and
//! entries are never taken back. A table that is full is copied into a bigger one; readers of the old
//! one keep it alive.
//!
//! A key's deltas form a chain, newest first. Adding is O(1), however long the chain; the newest delta
//! of a key is changed in place. A chain may mention an id several times; the newest mention counts.

mod table;
/// The atomics of the table; its model (`tests/overlay_model.rs`) puts loom's in place.
mod atomic {
    pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
}

use smallvec::SmallVec;

pub(crate) use table::{Chain, MAX_ENTRIES, Overlay, Written};

use table::NEAR;

impl Chain<'_> {
    /// Applies the deltas to `ids[start..]`, which holds what older parts of the index say, ascending.
    #[inline(always)]
    pub(crate) fn apply(self, ids: &mut Vec<u32>, start: usize) {
        if self.is_empty() {
            return;
        }
        // Most keys have one id, and nothing below.
        match self.single() {
            Some(id) if ids.len() == start => ids.push(id),
            _ => self.apply_deltas(ids, start),
        }
    }

    #[inline(never)]
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
