//! What a look-up sees: an immutable list of layers, swapped as a whole when it changes.
//!
//! Layers lie from the newest to the oldest: the overlay that is written to, overlays that wait to be
//! flushed, and runs (segments). The newest layer that mentions an id under a key decides.

use std::sync::Arc;
use std::time::Instant;

use crate::hash::LaneMap;
use crate::levels::RunFigures;
use crate::overlay::Overlay;
use crate::segment::{Found, Segment};

/// No removal: greater than every number of an operation.
pub(crate) const NO_REMOVAL: u64 = u64::MAX;

/// A segment in its place among the levels.
pub(crate) struct Run {
    pub segment: Segment,
    /// The map of the lane count it was written with, which may not be the index's any more.
    pub lanes: Arc<LaneMap>,
    /// The name of its file; empty in memory.
    pub name: String,
    pub level: u8,
    /// Ids it adds and removes.
    pub adds: u64,
    pub removes: u64,
    pub keys: u64,
    pub bytes: u64,
    pub born: Instant,
    /// The number of the oldest removal that it still carries.
    pub oldest_removal: u64,
}

impl Run {
    pub(crate) fn figures(&self) -> RunFigures {
        RunFigures {
            entries: self.adds + self.removes,
            removes: self.removes,
            level: self.level,
            age: self.born.elapsed(),
        }
    }
}

/// An overlay that nobody writes to any more.
pub(crate) struct Frozen {
    pub overlay: Arc<Overlay>,
    /// The sequence number of the last write in it, the journal's or the caller's.
    pub applied_seq: u64,
    /// The number of the oldest removal in it.
    pub oldest_removal: u64,
}

/// One state of the index.
pub(crate) struct View {
    pub active: Arc<Overlay>,
    /// Newest first.
    pub frozen: Vec<Arc<Frozen>>,
    /// Newest first.
    pub runs: Vec<Arc<Run>>,
    /// A segment was lost: no answer is complete.
    pub degraded: bool,
    /// Closed: there is nothing here to answer from.
    pub closed: bool,
}

impl View {
    /// Appends the ids of `hash` to `ids`, ascending.
    #[inline(always)]
    pub(crate) fn get(&self, hash: u64, ids: &mut Vec<u32>) {
        self.join(hash, ids, |_, run| run.segment.find(run.lanes.lane(hash), hash));
    }

    /// As `get`, but a segment's fingerprint is not taken at its word: the full hash is compared.
    pub(crate) fn get_verified(&self, hash: u64, ids: &mut Vec<u32>) {
        self.join(hash, ids, |_, run| run.segment.find_verified(run.lanes.lane(hash), hash));
    }

    /// Appends the ids of `hash` to `ids`, ascending. `find` says what a run has; it gets the number of
    /// the run too, counted from the oldest.
    #[inline(always)]
    pub(crate) fn join<'a>(
        &'a self,
        hash: u64,
        ids: &mut Vec<u32>,
        mut find: impl FnMut(usize, &'a Run) -> Option<Found<'a>>,
    ) {
        let start = ids.len();
        // From the oldest to the newest, each upon what those below it say. The segments first: their
        // cache misses are under way while the overlays are asked.
        for (below, run) in self.runs.iter().rev().enumerate() {
            let Some(found) = find(below, run) else { continue };
            match found.single() {
                Some(id) if ids.len() == start => ids.push(id),
                _ => join_found(run, hash, found, ids, start),
            }
        }
        for frozen in self.frozen.iter().rev() {
            frozen.overlay.chain(hash).apply(ids, start);
        }
        self.active.chain(hash).apply(ids, start);
    }

    /// Whether `id` is filed under `hash`, by the full hash: what the newest layer that mentions it says.
    pub(crate) fn contains(&self, hash: u64, id: u32) -> bool {
        let in_overlays = self.overlays().find_map(|overlay| {
            overlay.chain(hash).find(|(other, _)| *other == id).map(|(_, removed)| !removed)
        });
        let in_runs = || {
            self.runs.iter().find_map(|run| {
                let posting = run.segment.get_verified(run.lanes.lane(hash), hash)?;
                let removed = || posting.removes().contains(id).then_some(false);
                if posting.adds().contains(id) { Some(true) } else { removed() }
            })
        };
        in_overlays.or_else(in_runs).unwrap_or(false)
    }

    /// Every id that a layer adds, whatever newer ones say of it.
    pub(crate) fn for_each_id(&self, mut each: impl FnMut(u32)) {
        for overlay in self.overlays() {
            overlay.deltas().filter(|delta| !delta.removed).for_each(|delta| each(delta.id));
        }
        for run in &self.runs {
            run.segment.postings().for_each(|posting| posting.adds().for_each(&mut each));
        }
    }

    /// The overlays from the newest to the oldest.
    pub(crate) fn overlays(&self) -> impl Iterator<Item = &Arc<Overlay>> {
        std::iter::once(&self.active).chain(self.frozen.iter().map(|frozen| &frozen.overlay))
    }

    /// Whether nothing lies below the overlay that is written to.
    pub(crate) fn active_is_oldest(&self) -> bool {
        self.frozen.is_empty() && self.runs.is_empty()
    }

    /// The same layers, to be changed and put in this one's place.
    pub(crate) fn successor(&self) -> View {
        View {
            active: Arc::clone(&self.active),
            frozen: self.frozen.clone(),
            runs: self.runs.clone(),
            degraded: self.degraded,
            closed: self.closed,
        }
    }
}

/// Joins what a run has with what lies below it.
#[inline(never)]
fn join_found(run: &Run, hash: u64, found: Found<'_>, ids: &mut Vec<u32>, start: usize) {
    let Some(mut posting) = found.posting() else { return };
    if ids.len() > start && posting.has_removes() {
        // A fingerprint that fits by chance may add ids, which the caller's predicate sorts out. It
        // must not hide any: tombstones count only under the full hash.
        match run.segment.get_verified(run.lanes.lane(hash), hash) {
            Some(verified) => posting = verified,
            None => return,
        }
        subtract(ids, start, posting.removes());
    }
    unite(ids, start, posting.adds());
}

/// Adds ascending `adds` to the ascending ids from `start` on.
#[inline]
pub(crate) fn unite(ids: &mut Vec<u32>, start: usize, adds: impl Iterator<Item = u32>) {
    let middle = ids.len();
    ids.extend(adds);
    if middle == start || middle == ids.len() || ids[middle - 1] < ids[middle] {
        return;
    }
    // Two ascending stretches: the standard sort sees them and merges.
    ids[start..].sort();
    let mut kept = start + 1;
    for at in start + 1..ids.len() {
        if ids[at] != ids[kept - 1] {
            ids[kept] = ids[at];
            kept += 1;
        }
    }
    ids.truncate(kept);
}

/// Takes ascending `removes` out of the ascending ids from `start` on.
pub(crate) fn subtract(ids: &mut Vec<u32>, start: usize, removes: impl Iterator<Item = u32>) {
    if ids.len() == start {
        return;
    }
    let mut removes = removes.peekable();
    let mut kept = start;
    for at in start..ids.len() {
        let id = ids[at];
        while removes.peek().is_some_and(|remove| *remove < id) {
            removes.next();
        }
        if removes.peek() != Some(&id) {
            ids[kept] = id;
            kept += 1;
        }
    }
    ids.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn unite_and_subtract_are_those_of_sets(
            before in prop::collection::vec(any::<u32>(), 0..3),
            ids in prop::collection::btree_set(0_u32..60, 0..40),
            adds in prop::collection::btree_set(0_u32..60, 0..40),
            removes in prop::collection::btree_set(0_u32..60, 0..40),
        ) {
            let mut got = before.clone();
            got.extend(&ids);
            unite(&mut got, before.len(), adds.iter().copied());
            let mut want: BTreeSet<u32> = &ids | &adds;
            prop_assert_eq!(&got[before.len()..], want.iter().copied().collect::<Vec<_>>());
            subtract(&mut got, before.len(), removes.iter().copied());
            want = &want - &removes;
            prop_assert_eq!(&got[before.len()..], want.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(&got[..before.len()], before);
        }
    }
}
