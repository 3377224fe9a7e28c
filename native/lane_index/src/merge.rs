//! Joins layers into one stream of postings in the order that a segment is written in.
//!
//! Lists of the same key are united, newer removals are taken out of older lists, and tombstones are
//! dropped only where nothing older is left for them to hide.

use std::cmp::Reverse;

use crate::Error;
use crate::hash::LaneMap;
use crate::overlay::Overlay;
use crate::view::{Run, subtract, unite};

/// How many postings of a run with another lane count are held in memory at a time.
const RELANE_BATCH: u64 = 1 << 20;

/// One key's posting as it goes into a segment.
pub(crate) struct Merged<'a> {
    pub lane: u16,
    pub hash: u64,
    pub adds: &'a [u32],
    pub removes: &'a [u32],
}

/// What is merged, from the newest to the oldest.
pub(crate) struct Layers<'a> {
    /// Newest first, all newer than the runs.
    pub overlays: Vec<&'a Overlay>,
    /// Newest first.
    pub runs: Vec<&'a Run>,
}

/// Hands `each` the merged postings, ascending by lane and hash. With `oldest`, nothing older exists
/// outside of `layers`: tombstones have done their work and are dropped, and so are empty postings.
pub(crate) fn merge(
    layers: &Layers<'_>,
    lanes: &LaneMap,
    oldest: bool,
    mut each: impl FnMut(Merged<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut sources: Vec<Box<dyn Source + '_>> = Vec::new();
    if !layers.overlays.is_empty() {
        sources.push(Box::new(Deltas::new(&layers.overlays, lanes)));
    }
    for run in &layers.runs {
        if run.lanes.lanes() == lanes.lanes() {
            sources.push(Box::new(Entries::new(run)?));
        } else {
            sources.push(Box::new(Relaned::new(run, lanes)?));
        }
    }
    let (mut adds, mut removes) = (Vec::new(), Vec::new());
    let (mut newer_adds, mut newer_removes) = (Vec::new(), Vec::new());
    while let Some(at) = sources.iter().filter_map(|source| source.at()).min() {
        adds.clear();
        removes.clear();
        for source in sources.iter_mut().rev() {
            if source.at() != Some(at) {
                continue;
            }
            newer_adds.clear();
            newer_removes.clear();
            source.take(&mut newer_adds, &mut newer_removes)?;
            subtract(&mut adds, 0, newer_removes.iter().copied());
            unite(&mut adds, 0, newer_adds.iter().copied());
            if !oldest {
                subtract(&mut removes, 0, newer_adds.iter().copied());
                unite(&mut removes, 0, newer_removes.iter().copied());
            }
        }
        if !adds.is_empty() || !removes.is_empty() {
            each(Merged { lane: at.0, hash: at.1, adds: &adds, removes: &removes })?;
        }
    }
    Ok(())
}

/// Postings ascending by lane and hash.
trait Source {
    /// Where it stands; none at its end.
    fn at(&self) -> Option<(u16, u64)>;
    /// Appends the posting there and goes on to the next.
    fn take(&mut self, adds: &mut Vec<u32>, removes: &mut Vec<u32>) -> Result<(), Error>;
}

/// The deltas of overlays, sorted; of several mentions of an id, only the newest.
struct Deltas {
    sorted: Vec<Keyed>,
    next: usize,
}

#[derive(Clone, Copy)]
struct Keyed {
    lane: u16,
    removed: bool,
    id: u32,
    hash: u64,
    /// Greater is newer.
    age: u32,
}

impl Deltas {
    fn new(newest_first: &[&Overlay], lanes: &LaneMap) -> Self {
        let mut sorted = Vec::with_capacity(newest_first.iter().map(|overlay| overlay.len()).sum());
        for overlay in newest_first.iter().rev() {
            for delta in overlay.deltas() {
                sorted.push(Keyed {
                    lane: lanes.lane(delta.hash),
                    removed: delta.removed,
                    id: delta.id,
                    hash: delta.hash,
                    age: sorted.len() as u32,
                });
            }
        }
        sorted.sort_unstable_by_key(|d| (d.lane, d.hash, d.id, Reverse(d.age)));
        sorted.dedup_by_key(|d| (d.lane, d.hash, d.id));
        Self { sorted, next: 0 }
    }
}

impl Source for Deltas {
    fn at(&self) -> Option<(u16, u64)> {
        self.sorted.get(self.next).map(|delta| (delta.lane, delta.hash))
    }

    fn take(&mut self, adds: &mut Vec<u32>, removes: &mut Vec<u32>) -> Result<(), Error> {
        let at = self.at();
        while let Some(delta) = self.sorted.get(self.next).filter(|d| Some((d.lane, d.hash)) == at)
        {
            if delta.removed { &mut *removes } else { &mut *adds }.push(delta.id);
            self.next += 1;
        }
        Ok(())
    }
}

/// A run with the lanes that are wanted: as it lies.
struct Entries<'a> {
    entries: crate::segment::Entries<'a>,
    head: Option<crate::segment::Entry<'a>>,
}

impl<'a> Entries<'a> {
    fn new(run: &'a Run) -> Result<Self, Error> {
        let mut entries = run.segment.entries();
        let head = entries.next().transpose()?;
        Ok(Self { entries, head })
    }
}

impl Source for Entries<'_> {
    fn at(&self) -> Option<(u16, u64)> {
        self.head.as_ref().map(|entry| (entry.lane, entry.hash))
    }

    fn take(&mut self, adds: &mut Vec<u32>, removes: &mut Vec<u32>) -> Result<(), Error> {
        if let Some(entry) = &self.head {
            adds.extend(entry.posting.adds());
            removes.extend(entry.posting.removes());
        }
        self.head = self.entries.next().transpose()?;
        Ok(())
    }
}

/// A run with other lanes: read once for each batch of wanted lanes, so that memory stays bounded
/// however large the run is. Needed once, when the lane count has changed.
struct Relaned<'a> {
    run: &'a Run,
    lanes: &'a LaneMap,
    lanes_a_batch: u16,
    next_lane: u16,
    batch: Vec<Moved>,
    ids: Vec<u32>,
    next: usize,
}

/// A posting in a batch: `ids[begin..middle]` are its adds, `ids[middle..end]` its removals.
struct Moved {
    lane: u16,
    hash: u64,
    begin: usize,
    middle: usize,
    end: usize,
}

impl<'a> Relaned<'a> {
    fn new(run: &'a Run, lanes: &'a LaneMap) -> Result<Self, Error> {
        let batches = run.keys.div_ceil(RELANE_BATCH).max(1);
        let lanes_a_batch = u64::from(lanes.lanes()).div_ceil(batches).max(1) as u16;
        let mut this =
            Self { run, lanes, lanes_a_batch, next_lane: 0, batch: vec![], ids: vec![], next: 0 };
        this.fill()?;
        Ok(this)
    }

    fn fill(&mut self) -> Result<(), Error> {
        self.batch.clear();
        self.ids.clear();
        self.next = 0;
        while self.batch.is_empty() && self.next_lane < self.lanes.lanes() {
            let wanted = self.next_lane..self.next_lane.saturating_add(self.lanes_a_batch);
            for entry in self.run.segment.entries() {
                let entry = entry?;
                let lane = self.lanes.lane(entry.hash);
                if wanted.contains(&lane) {
                    let begin = self.ids.len();
                    self.ids.extend(entry.posting.adds());
                    let middle = self.ids.len();
                    self.ids.extend(entry.posting.removes());
                    let end = self.ids.len();
                    self.batch.push(Moved { lane, hash: entry.hash, begin, middle, end });
                }
            }
            self.next_lane = wanted.end;
        }
        self.batch.sort_unstable_by_key(|moved| (moved.lane, moved.hash));
        Ok(())
    }
}

impl Source for Relaned<'_> {
    fn at(&self) -> Option<(u16, u64)> {
        self.batch.get(self.next).map(|moved| (moved.lane, moved.hash))
    }

    fn take(&mut self, adds: &mut Vec<u32>, removes: &mut Vec<u32>) -> Result<(), Error> {
        if let Some(moved) = self.batch.get(self.next) {
            adds.extend_from_slice(&self.ids[moved.begin..moved.middle]);
            removes.extend_from_slice(&self.ids[moved.middle..moved.end]);
        }
        self.next += 1;
        if self.next >= self.batch.len() {
            self.fill()?;
        }
        Ok(())
    }
}
