//! Flushes and merges: each builds a segment beside the index and puts it in place at the end. One
//! that fails changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::Error;
use crate::background::helpers;
use crate::disk::Disk;
use crate::hash::LaneMap;
use crate::levels::{self, MAX_RUNS, Reason, Thresholds};
use crate::merge::{Layers, Merged, merge};
use crate::segment::{Segment, SegmentBuilder, SegmentOptions};
use crate::state::{Change, Core};
use crate::view::{Frozen, NO_REMOVAL, Run, View};

/// Which runs to merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// What the levels call for.
    Due,
    /// All of them into one.
    All,
}

/// A closed index is noticed after so many postings.
const CHECK_EVERY: u64 = 4096;

/// Writes the overlays that wait into a run of level 0. `false` where none waits, or where there is no
/// room for another run before a merge.
pub(crate) fn flush(core: &Core) -> Result<bool, Error> {
    let _flushing = core.flushing.lock();
    let view = core.view.load_full();
    if !flush_is_due(&view) {
        return Ok(false);
    }
    let flushed = view.frozen.clone();
    // Only a flush puts a run where there is none, and this is the only one: what is empty stays so.
    let oldest = view.runs.is_empty();
    drop(view);
    let entries: u64 = flushed.iter().map(|frozen| frozen.overlay.len() as u64).sum();
    let level = if oldest { level_of(core, entries) } else { 0 };
    let added = Build {
        core,
        lanes: core.lane_map()?,
        level,
        oldest,
        oldest_removal: flushed.iter().map(|f| f.oldest_removal).fold(NO_REMOVAL, u64::min),
    }
    .run(&flushed, &[])?;
    install(core, Change { flushed, added, ..Change::default() })?;
    core.counters.flushes.fetch_add(1, Ordering::Relaxed);
    core.counters.flushed_entries.fetch_add(entries, Ordering::Relaxed);
    Ok(true)
}

pub(crate) fn flush_is_due(view: &View) -> bool {
    !view.frozen.is_empty() && view.runs.len() < MAX_RUNS
}

/// Which runs the levels call to be merged, and why.
pub(crate) fn due(core: &Core, view: &View) -> Option<(usize, Reason)> {
    let thresholds = Thresholds {
        tombstone_percent: core.options.tombstone_percent.into(),
        max_age: core.options.max_age,
    };
    let figures: Vec<_> = view.runs.iter().map(|run| run.figures()).collect();
    levels::pick(&figures, &thresholds)
}

/// Merges runs. `false` where nothing is due.
pub(crate) fn merge_runs(core: &Core, which: Which) -> Result<bool, Error> {
    let _merging = core.merging.lock();
    let view = core.view.load_full();
    let lanes = core.lane_map()?;
    let count = match which {
        Which::Due => match due(core, &view) {
            Some((count, _)) => count,
            None => return Ok(false),
        },
        Which::All => {
            let settled = |run: &Run| run.removes == 0 && run.lanes.lanes() == lanes.lanes();
            if view.runs.is_empty() || (view.runs.len() == 1 && settled(&view.runs[0])) {
                return Ok(false);
            }
            view.runs.len()
        }
    };
    let replaced = view.runs[..count].to_vec();
    // Flushes add newer runs meanwhile, never older ones.
    let oldest = count == view.runs.len();
    drop(view);
    merge_into_one(core, replaced, oldest, None)?;
    Ok(true)
}

/// Writes everything anew with another lane count.
pub(crate) fn reshard(core: &Core, lanes: u16) -> Result<(), Error> {
    let _merging = core.merging.lock();
    LaneMap::shared(lanes)?;
    let replaced = core.view.load().runs.clone();
    if replaced.iter().all(|run| run.lanes.lanes() == lanes) {
        return core.install(Change { lanes: Some(lanes), ..Change::default() });
    }
    merge_into_one(core, replaced, true, Some(lanes))
}

fn merge_into_one(
    core: &Core,
    replaced: Vec<Arc<Run>>,
    oldest: bool,
    lanes: Option<u16>,
) -> Result<(), Error> {
    let entries = replaced.iter().map(|run| run.adds + run.removes).sum();
    let now = core.lanes.load(Ordering::Relaxed);
    // A merge of everything writes everything anew: the moment for the lane count to grow.
    let lanes = lanes.unwrap_or(if oldest { core.options.lanes_for(entries, now) } else { now });
    let added = Build {
        core,
        lanes: LaneMap::shared(lanes)?,
        level: level_of(core, entries),
        oldest,
        oldest_removal: replaced.iter().map(|run| run.oldest_removal).fold(NO_REMOVAL, u64::min),
    }
    .run(&[], &replaced)?;
    install(core, Change { replaced, added, lanes: Some(lanes), ..Change::default() })?;
    core.counters.merges.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn level_of(core: &Core, entries: u64) -> u8 {
    levels::level_of(entries, core.options.overlay_room(entries) as u64)
}

/// Installs what was built, and takes its file away again where that failed for certain.
fn install(core: &Core, change: Change) -> Result<(), Error> {
    let name = change.added.as_ref().map(|run| run.name.clone());
    let result = core.install(change);
    if let (Err(_), Some(disk), Some(name)) = (&result, &core.disk, name)
        && disk.is_certain()
    {
        disk.remove(std::iter::once(name));
    }
    result
}

/// Takes postings ascending by lane and hash.
type Push<'p> = &'p mut dyn FnMut(Merged<'_>) -> Result<(), Error>;

/// Puts entries into an index in which nothing was ever written, as its only run.
pub(crate) fn load(core: &Core, entries: &[(u64, u32)]) -> Result<(), Error> {
    let _flushing = core.flushing.lock();
    let _merging = core.merging.lock();
    if core.last_operation() > 1 || !core.view.load().runs.is_empty() {
        return Err(Error::WrongKind { call: "load", of: "with something in it" });
    }
    let count = entries.len() as u64;
    let lanes = core.options.lanes_for(count, core.lanes.load(Ordering::Relaxed));
    let map = LaneMap::shared(lanes)?;
    let mut sorted: Vec<(u16, u64, u32)> =
        entries.iter().map(|&(hash, id)| (map.lane(hash), hash, id)).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let level = level_of(core, count);
    let build = Build { core, lanes: map, level, oldest: true, oldest_removal: NO_REMOVAL };
    let added = build.run_of(|push| {
        let (mut keys, mut ids) = (0, Vec::new());
        for of_key in sorted.chunk_by(|one, next| one.1 == next.1) {
            ids.clear();
            ids.extend(of_key.iter().map(|entry| entry.2));
            let (lane, hash, _) = of_key[0];
            push(Merged { lane, hash, adds: &ids, removes: &[] })?;
            keys += 1;
        }
        Ok(keys)
    })?;
    install(core, Change { added, lanes: Some(lanes), ..Change::default() })
}

struct Build<'a> {
    core: &'a Core,
    lanes: Arc<LaneMap>,
    level: u8,
    oldest: bool,
    oldest_removal: u64,
}

impl Build<'_> {
    /// Builds a run of the layers; none where nothing is left of them.
    fn run(&self, frozen: &[Arc<Frozen>], runs: &[Arc<Run>]) -> Result<Option<Arc<Run>>, Error> {
        self.run_of(|push| self.fill(frozen, runs, push))
    }

    /// Builds a run of what `fill` hands over; it says how many keys those were.
    fn run_of(
        &self,
        fill: impl FnOnce(Push<'_>) -> Result<u64, Error>,
    ) -> Result<Option<Arc<Run>>, Error> {
        let name = self.core.disk.as_ref().map(Disk::new_name).transpose()?.unwrap_or_default();
        let segment = self.segment(&name, fill);
        if let (Some(disk), Err(_) | Ok(None)) = (&self.core.disk, &segment) {
            // No manifest names it.
            disk.remove(std::iter::once(name.clone()));
        }
        let Some(segment) = segment? else { return Ok(None) };
        let meta = segment.meta().clone();
        self.core.counters.written_entries.fetch_add(meta.adds + meta.removes, Ordering::Relaxed);
        Ok(Some(Arc::new(Run {
            segment,
            lanes: Arc::clone(&self.lanes),
            name,
            level: self.level,
            adds: meta.adds,
            removes: meta.removes,
            keys: meta.keys,
            bytes: meta.bytes,
            born: Instant::now(),
            oldest_removal: if meta.removes == 0 { NO_REMOVAL } else { self.oldest_removal },
        })))
    }

    fn segment(
        &self,
        name: &str,
        fill: impl FnOnce(Push<'_>) -> Result<u64, Error>,
    ) -> Result<Option<Segment>, Error> {
        let options = SegmentOptions { lanes: self.lanes.lanes().into(), level: self.level.into() };
        let Some(disk) = &self.core.disk else {
            let mut builder = SegmentBuilder::in_memory(options)?.helped_by(helpers());
            let keys = fill(&mut |p| builder.push(p.lane, p.hash, p.adds, p.removes))?;
            return if keys == 0 { Ok(None) } else { builder.finish().map(Some) };
        };
        let mut builder = SegmentBuilder::new(&*disk.storage, name, options)?.helped_by(helpers());
        let keys = fill(&mut |p| builder.push(p.lane, p.hash, p.adds, p.removes))?;
        if keys == 0 {
            return Ok(None);
        }
        let meta = builder.finish()?;
        // Every byte is read back and verified before the index depends on it.
        Segment::open(&*disk.storage, &meta, disk.open_options).map(Some)
    }

    fn fill(
        &self,
        frozen: &[Arc<Frozen>],
        runs: &[Arc<Run>],
        push: Push<'_>,
    ) -> Result<u64, Error> {
        let layers = Layers {
            overlays: frozen.iter().map(|frozen| &*frozen.overlay).collect(),
            runs: runs.iter().map(|run| &**run).collect(),
        };
        let mut keys = 0;
        merge(&layers, &self.lanes, self.oldest, |posting| {
            keys += 1;
            if keys % CHECK_EVERY == 0 && self.core.closed.load(Ordering::Relaxed) {
                return Err(Error::Closed);
            }
            push(posting)
        })?;
        Ok(keys)
    }
}
