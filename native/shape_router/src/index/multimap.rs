//! From 64-bit hashes to slots: what condition indexes and membership are made of.
//!
//! A router has many indexes with a few entries, and few with many. Up to [`SMALL`] entries lie in a
//! list of their own; what goes beyond moves into a [`LaneIndex`], and stays there.
//!
//! | operation | cost |
//! |---|---|
//! | look-up | a few nanoseconds in a short list, else as the lane index has it |
//! | insert, remove | a look-up and a delta of the lane index, however many slots the hash has |
//! | how many slots a hash has | up to [`SHORT`] a look-up, else kept |
//! | memory | 16 bytes an entry of a short list, else about 14 as soon as they are merged |

use super::Slot;
use ahash::RandomState;
use hashbrown::HashMap;
use lane_index::{LaneIndex, Op, Options, Segment};
use std::sync::Arc;

/// So many entries are a list, where nothing else is wished.
pub(crate) const SMALL: usize = 64;
/// Merging for fewer writes than this is not worth it: they lie in the overlay.
const FEW_WRITES: usize = 2000;
/// How many slots of a hash are counted by looking them up.
const SHORT: usize = 16;

/// The limit of a multimap that is being loaded.
const LOADING: usize = usize::MAX;

/// How indexes are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Making {
    /// So many entries are a list.
    pub short_list: usize,
    /// Into how many lanes a lane index is cut; `None`: it grows with the index.
    pub lanes: Option<u16>,
}

impl Default for Making {
    fn default() -> Self {
        Self { short_list: SMALL, lanes: None }
    }
}

/// A new lane index; `None` where none can be had.
fn lanes(lanes: Option<u16>) -> Option<LaneIndex> {
    LaneIndex::in_memory(options(lanes)).ok()
}

fn options(lanes: Option<u16>) -> Options {
    // Writers hold the state's lock: they are not to be refused because merges are behind.
    Options { lanes, backlog_limit: Some(usize::MAX), ..Options::default() }
}

/// What a multimap consists of where it was stored.
pub(crate) struct Parts {
    /// How many hashes there are,
    pub keys: usize,
    /// and how many slots, each counted under each of its hashes.
    pub entries: usize,
    /// The short list, ascending.
    pub small: Vec<(u64, Slot)>,
    /// How many slots the hashes have that have many.
    pub long: Vec<(u64, u32)>,
    /// What the lane index has.
    pub segment: Option<Segment>,
}

/// A multimap from hashes to slots.
pub(crate) struct Multimap {
    /// Ascending. Once there is a lane index: what that could not take, which is nothing as long as the
    /// system has memory.
    small: Vec<(u64, Slot)>,
    lanes: Option<Arc<LaneIndex>>,
    /// How many slots the hashes have that have more than [`SHORT`].
    long: HashMap<u64, u32, RandomState>,
    keys: usize,
    entries: usize,
    /// Writes to the lane index since it was last asked to be merged.
    written: usize,
    /// What a look-up of a writer leaves.
    found: Vec<Slot>,
    making: Making,
}

impl Multimap {
    pub fn new(making: Making) -> Self {
        Self {
            small: Vec::new(),
            lanes: None,
            long: HashMap::default(),
            keys: 0,
            entries: 0,
            written: 0,
            found: Vec::new(),
            making,
        }
    }

    /// The multimap that was stored.
    pub fn of_parts(making: Making, parts: Parts) -> Result<Self, lane_index::Error> {
        let Parts { keys, entries, small, long, segment } = parts;
        let of_segment = |segment| LaneIndex::of_segment(options(making.lanes), segment);
        let lanes = segment.map(of_segment).transpose()?.map(Arc::new);
        let long = long.into_iter().collect();
        Ok(Self { small, lanes, long, keys, entries, ..Self::new(making) })
    }

    /// The short list, ascending.
    pub fn small(&self) -> &[(u64, Slot)] {
        &self.small
    }

    /// How many slots the hashes have that have many, ascending by hash.
    pub fn long(&self) -> Vec<(u64, u32)> {
        let mut long: Vec<_> = self.long.iter().map(|(hash, count)| (*hash, *count)).collect();
        long.sort_unstable();
        long
    }

    pub fn making(&self) -> Making {
        self.making
    }

    /// A multimap that is filled before it is used: until [`Multimap::end_load`] slots are only filed,
    /// which costs next to nothing, and no look-up is asked.
    pub fn loading() -> Self {
        Self::new(Making { short_list: LOADING, lanes: None })
    }

    /// Ends the loading; from now on it is as if it had been made like this.
    pub fn end_load(&mut self, making: Making) {
        if self.making.short_list != LOADING {
            return;
        }
        self.making = making;
        let mut entries = std::mem::take(&mut self.small);
        entries.sort_unstable();
        entries.dedup();
        for of_hash in entries.chunk_by(|one, next| one.0 == next.0) {
            self.keys += 1;
            self.note(of_hash[0].0, of_hash.len());
        }
        self.entries = entries.len();
        if entries.len() > making.short_list
            && let Some(lanes) = lanes(making.lanes)
            && lanes.load(&entries).is_ok()
        {
            self.lanes = Some(Arc::new(lanes));
        } else {
            entries.shrink_to_fit();
            self.small = entries;
        }
    }

    /// Files a slot under a hash; nothing happens where it is already.
    pub fn insert(&mut self, hash: u64, slot: Slot) {
        if self.making.short_list == LOADING {
            self.small.push((hash, slot));
            return;
        }
        let Some(count) = self.count_without(hash, slot) else { return };
        self.put(hash, slot);
        self.entries += 1;
        self.keys += usize::from(count == 0);
        self.note(hash, count + 1);
    }

    /// Takes a slot from a hash; whether it was there.
    pub fn remove(&mut self, hash: u64, slot: Slot) -> bool {
        let count = self.count(hash);
        if !self.contains(hash, slot) {
            return false;
        }
        if let Ok(at) = self.small.binary_search(&(hash, slot)) {
            self.small.remove(at);
        }
        if let Some(lanes) = &self.lanes {
            // What cannot be taken away is still found: candidates are verified, and a key that a
            // shape is said to hold means a delete too many.
            let _refused = lanes.remove(hash, slot).is_err();
            self.written += 1;
        }
        self.entries -= 1;
        self.keys -= usize::from(count == 1);
        self.note(hash, count - 1);
        true
    }

    /// How many slots a hash has, if `slot` is not among them.
    fn count_without(&mut self, hash: u64, slot: Slot) -> Option<usize> {
        if let Some(&count) = self.long.get(&hash) {
            return (!self.contains(hash, slot)).then_some(count as usize);
        }
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.get_verified(hash, &mut found);
        let count = (!found.contains(&slot)).then_some(found.len());
        self.found = found;
        count
    }

    fn note(&mut self, hash: u64, count: usize) {
        if count > SHORT {
            self.long.insert(hash, count as u32);
        } else if count == SHORT {
            self.long.remove(&hash);
        }
    }

    fn put(&mut self, hash: u64, slot: Slot) {
        if self.lanes.is_none() && self.small.len() >= self.making.short_list {
            self.move_over();
        }
        let taken = self.lanes.as_ref().is_some_and(|lanes| lanes.insert(hash, slot).is_ok());
        self.written += usize::from(taken);
        if !taken && let Err(at) = self.small.binary_search(&(hash, slot)) {
            self.small.insert(at, (hash, slot));
        }
    }

    /// Moves everything into a lane index. Where none can be had, the list grows on.
    fn move_over(&mut self) {
        let Some(lanes) = lanes(self.making.lanes) else { return };
        let ops: Vec<Op> = self.small.iter().map(|&(hash, id)| Op::Insert { hash, id }).collect();
        if lanes.write(&ops).is_ok() {
            self.small = Vec::new();
            self.lanes = Some(Arc::new(lanes));
        }
    }

    /// The entries of the short list under a hash.
    #[inline]
    fn listed(&self, hash: u64) -> &[(u64, Slot)] {
        let first = self.small.partition_point(|entry| entry.0 < hash);
        let count = self.small[first..].iter().take_while(|entry| entry.0 == hash).count();
        &self.small[first..first + count]
    }

    /// Appends the slots under a hash, and now and then those of another one with it.
    #[inline]
    pub fn get(&self, hash: u64, out: &mut Vec<Slot>) {
        if let Some(lanes) = &self.lanes {
            // An index in memory lacks something only when it is closed, which nobody but its owner
            // could do.
            let _complete = lanes.get(hash, out);
        }
        if !self.small.is_empty() {
            out.extend(self.listed(hash).iter().map(|entry| entry.1));
        }
    }

    /// Appends the slots under each of several hashes, as [`Multimap::get`] does, with the cache misses
    /// of them overlapping.
    pub fn get_each(&self, hashes: &[u64], out: &mut Vec<Slot>) {
        if let Some(lanes) = &self.lanes {
            let _complete = lanes.get_each(hashes, out);
        }
        if !self.small.is_empty() {
            let listed = hashes.iter().flat_map(|&hash| self.listed(hash));
            out.extend(listed.map(|entry| entry.1));
        }
    }

    /// Hands over the slots under each of several hashes that has any, with the hash's number, as long as
    /// `found` says so; with the cache misses of them overlapping. A hash may come twice.
    pub fn get_batch_while(
        &self,
        hashes: &[u64],
        slots: &mut Vec<Slot>,
        mut found: impl FnMut(usize, &[Slot]) -> bool,
    ) {
        let mut goes_on = true;
        if let Some(lanes) = &self.lanes {
            let _complete = lanes.get_batch_while(hashes, slots, |at, slots| {
                goes_on = found(at, slots);
                goes_on
            });
        }
        if self.small.is_empty() {
            return;
        }
        for (at, &hash) in hashes.iter().enumerate() {
            let listed = self.listed(hash);
            if !goes_on {
                return;
            }
            if !listed.is_empty() {
                slots.clear();
                slots.extend(listed.iter().map(|entry| entry.1));
                goes_on = found(at, slots);
            }
        }
    }

    /// Appends the slots under a hash, compared in full.
    pub fn get_verified(&self, hash: u64, out: &mut Vec<Slot>) {
        if let Some(lanes) = &self.lanes {
            let _complete = lanes.get_verified(hash, out);
        }
        out.extend(self.listed(hash).iter().map(|entry| entry.1));
    }

    /// Whether a slot is filed under a hash.
    pub fn contains(&self, hash: u64, slot: Slot) -> bool {
        self.small.binary_search(&(hash, slot)).is_ok()
            || self.lanes.as_ref().is_some_and(|lanes| lanes.contains(hash, slot))
    }

    /// Appends all slots, some of them several times, and maybe some that were taken away.
    pub fn all(&self, out: &mut Vec<Slot>) {
        out.extend(self.small.iter().map(|entry| entry.1));
        if let Some(lanes) = &self.lanes {
            let _complete = lanes.for_each_id(|slot| out.push(slot));
        }
    }

    /// How many slots are filed under a hash.
    pub fn count(&self, hash: u64) -> usize {
        if self.making.short_list == LOADING {
            // Not known yet; what was chosen by it is looked at again afterwards.
            return 0;
        }
        match self.long.get(&hash) {
            Some(&count) => count as usize,
            None => {
                let mut found = Vec::new();
                self.get_verified(hash, &mut found);
                found.len()
            }
        }
    }

    /// Whether nothing is filed.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// What there is now, to be read without holding a lock.
    pub fn walk(&self) -> Walk {
        Walk { small: self.small.clone(), lanes: self.lanes.clone() }
    }

    /// The lane index, if there is one, to be merged without holding a lock.
    pub fn lanes(&self) -> Option<Arc<LaneIndex>> {
        self.lanes.clone()
    }

    /// Whether so large a share of the entries was written lately that the parts of the lane index
    /// should be merged into one, which a look-up reads in one step.
    pub fn is_unsettled(&self, share: f64) -> bool {
        self.written > FEW_WRITES && self.written as f64 > share * self.entries as f64
    }

    /// The lane index, to be merged now, if [it should be](Self::is_unsettled).
    pub fn settle(&mut self, share: f64) -> Option<Arc<LaneIndex>> {
        if !self.is_unsettled(share) {
            return None;
        }
        self.written = 0;
        self.lanes()
    }

    /// How many hashes there are.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many slots there are, each counted under each of its hashes.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> usize {
        let lanes = self.lanes.as_ref().map_or(0, |lanes| {
            let stats = lanes.stats();
            size_of::<LaneIndex>() + (stats.overlay_bytes + stats.segment_bytes) as usize
        });
        self.small.capacity() * size_of::<(u64, Slot)>()
            + self.long.allocation_size()
            + self.found.capacity() * size_of::<Slot>()
            + lanes
    }
}

/// The entries of a [`Multimap`]; what is written meanwhile may be among them or not.
pub(crate) struct Walk {
    small: Vec<(u64, Slot)>,
    lanes: Option<Arc<LaneIndex>>,
}

impl Walk {
    /// Hands over each hash with each of its slots.
    pub fn for_each(&self, mut each: impl FnMut(u64, Slot)) -> Result<(), lane_index::Error> {
        self.small.iter().for_each(|&(hash, slot)| each(hash, slot));
        if let Some(lanes) = &self.lanes {
            let _complete = lanes.for_each(|hash, slots| {
                slots.iter().for_each(|&slot| each(hash, slot));
                Ok(())
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn flush(index: &Multimap, whole: bool) {
        if let Some(lanes) = &index.lanes {
            let done = if whole { lanes.compact() } else { lanes.flush() };
            done.expect("memory suffices");
        }
    }

    proptest! {
        /// Against a plain map of sets, after every step, on both sides of the move.
        #[test]
        fn is_a_multimap(
            limit in prop_oneof![Just(0), 1usize..40, Just(SMALL)],
            loaded in proptest::option::of(proptest::collection::vec((0u64..6, 0u32..40), 0..100)),
            ops in proptest::collection::vec((0u8..12, 0u64..6, 0u32..40), 0..300),
        ) {
            let mut index = if loaded.is_some() { Multimap::loading() } else { Multimap::new(Making { short_list: limit, lanes: None }) };
            let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
            for &(hash, slot) in loaded.iter().flatten() {
                index.insert(hash, slot);
                model.entry(hash).or_default().insert(slot);
            }
            index.end_load(Making { short_list: limit, lanes: None });
            for (op, hash, slot) in ops {
                match op {
                    0..=6 => {
                        index.insert(hash, slot);
                        model.entry(hash).or_default().insert(slot);
                    }
                    7..=10 => {
                        let was = model.entry(hash).or_default().remove(&slot);
                        prop_assert_eq!(index.remove(hash, slot), was);
                    }
                    _ => flush(&index, slot % 2 == 0),
                }
                for (hash, slots) in &model {
                    let mut found = Vec::new();
                    index.get_verified(*hash, &mut found);
                    prop_assert!(found.iter().eq(slots), "{:?} instead of {:?}", found, slots);
                    found.clear();
                    index.get(*hash, &mut found);
                    prop_assert!(slots.iter().all(|slot| found.contains(slot)));
                    prop_assert_eq!(index.count(*hash), slots.len());
                    prop_assert_eq!(index.contains(*hash, slot), slots.contains(&slot));
                }
                prop_assert_eq!(index.entries(), model.values().map(BTreeSet::len).sum::<usize>());
                prop_assert_eq!(index.keys(), model.values().filter(|s| !s.is_empty()).count());
            }
            let wanted: BTreeSet<u32> = model.values().flatten().copied().collect();
            let mut found = Vec::new();
            index.get_each(&[0, 1, 2, 3, 4, 5, 6], &mut found);
            prop_assert!(wanted.is_subset(&found.iter().copied().collect()));
            found.clear();
            index.all(&mut found);
            prop_assert!(wanted.is_subset(&found.iter().copied().collect()));
        }
    }

    #[test]
    fn a_few_entries_take_a_list_and_no_lane_index() {
        let mut index = Multimap::new(Making::default());
        (0..SMALL as u32).for_each(|slot| index.insert(u64::from(slot), slot));
        assert!(index.lanes.is_none() && index.memory_bytes() < 3 * SMALL * 16);
        index.insert(7, 1000);
        assert!(index.lanes.is_some() && index.small.is_empty());
    }
}
