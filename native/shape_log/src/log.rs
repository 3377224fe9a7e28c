//! One log: what is in its files, what is still in memory, and what may be seen of it.
//!
//! Entries pass through three places. They are *staged* while the record that has them is written to
//! the redo log; then in the *tail*, in memory; then in the current segment's *file*. What of the file
//! counts is known here and in the checkpoint, never from the file itself: bytes behind that are cut
//! before the next are written.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use lane_index::Storage;
use lane_index::codec::{Bad, Input, put, put_bytes};
use parking_lot::Mutex;

use crate::block::{Block, BlockBuilder};
use crate::options::Retention;
use crate::segment::{Extent, Owner, Segment, SegmentFile, SnapshotMeta};
use crate::store::Replacement;
use crate::{ChunkStore, Entry, Error, Offset, OperationCache};

/// A log, shared between those who append, flush and read.
pub(crate) struct Log {
    pub owner: Owner,
    pub state: Mutex<State>,
    /// The directory of all logs.
    shapes: Arc<dyn Storage>,
    /// Its own; none before it is needed.
    directory: OnceLock<Arc<dyn Storage>>,
    /// Its newest operations; from the first one on that was fed.
    pub cache: OnceLock<OperationCache>,
    /// Its sealed chunks; from when they are first asked for.
    pub chunks: Mutex<Option<Arc<ChunkStore>>>,
}

impl Log {
    pub fn new(owner: Owner, shapes: &Arc<dyn Storage>, state: State) -> Self {
        let (state, shapes) = (Mutex::new(state), Arc::clone(shapes));
        Self {
            owner,
            state,
            shapes,
            directory: OnceLock::new(),
            cache: OnceLock::new(),
            chunks: Mutex::default(),
        }
    }

    /// Its directory, which is created where it is missing.
    pub fn directory(&self) -> Result<&Arc<dyn Storage>, lane_index::Error> {
        if let Some(directory) = self.directory.get() {
            return Ok(directory);
        }
        let directory = self.shapes.subdirectory(&self.owner.directory())?;
        Ok(self.directory.get_or_init(|| directory))
    }
}

/// The rows that a log began with.
#[derive(Debug, Clone)]
pub(crate) enum Snapshot {
    /// There are none.
    None,
    /// They are to come.
    Awaited,
    /// They are there.
    Ready(Arc<SegmentFile>, SnapshotMeta),
}

/// Bytes in the current file that do not count yet: of a transaction that was not durable when they
/// were written.
#[derive(Debug, Clone, Copy)]
struct Spill {
    tx: u64,
    extent: Extent,
}

pub(crate) struct State {
    pub descriptor: Arc<[u8]>,
    pub snapshot: Snapshot,
    /// What was before it is gone; readers begin behind it.
    pub floor: Offset,
    /// Oldest first.
    pub finished: Vec<Arc<Segment>>,
    /// How many of `finished`, from the oldest on, are in the checkpoint.
    pub checkpointed: usize,
    pub current: Arc<SegmentFile>,
    /// Where the current segment starts.
    pub start: Offset,
    /// What of the current file counts. All of it is durable in the redo log or by a checkpoint.
    pub flushed: Extent,
    spilled: Option<Spill>,
    pub next_number: u64,
    /// Blocks that are not in a file, oldest first.
    tail: VecDeque<Block>,
    pub tail_bytes: u64,
    builder: BlockBuilder,
    staged: Vec<Block>,
    /// The newest offset that is staged, or in the tail, or in a file.
    last: Offset,
    /// Whether it is among those that have to be flushed.
    pub is_dirty: bool,
    /// Files that were written since they were synced.
    pub unsynced: Vec<u64>,
    /// Whether a file was created since its directory was synced.
    pub is_new_file: bool,
    pub removed: bool,
    /// Whether it is a table: see [`Options::tables_from`](crate::Options::tables_from).
    pub is_table: bool,
    /// Whether the checkpoint has the snapshot part.
    pub snapshot_is_kept: bool,
    /// What is to take the place of the first segments as soon as a checkpoint says so.
    pub replacement: Option<Replacement>,
    /// Whether it is among those that have to be sealed.
    pub is_sealing: bool,
    /// What the checkpoint that was opened has of it.
    stored: Offset,
    /// The newest transaction of several fragments that it has something of.
    pending: u64,
}

/// What is in memory of a transaction.
pub(crate) enum Recent {
    /// The log has nothing of it any more.
    Nothing,
    /// All of it; `before`: the offset before it.
    Blocks { before: Offset, blocks: Vec<Block> },
    /// Not all of it, up to its last offset.
    Spilled { last: Offset },
}

/// A range that can be a chunk.
pub(crate) struct Sealable {
    pub file: Arc<SegmentFile>,
    pub extent: Extent,
    /// Where the file starts.
    pub file_start: Offset,
    /// Where the chunk starts,
    pub start: Offset,
    /// and ends.
    pub end: Offset,
}

/// What a flush has to write: blocks for the current file, from `at` on.
pub(crate) struct Run {
    pub file: Arc<SegmentFile>,
    pub at: u64,
    pub blocks: Vec<Block>,
    extent: Extent,
    /// None where they count as soon as they are written.
    spills: Option<u64>,
    pub finishes: bool,
}

impl State {
    pub fn new(descriptor: Arc<[u8]>, snapshot: Snapshot) -> Self {
        Self {
            descriptor,
            snapshot,
            floor: Offset::ZERO,
            finished: Vec::new(),
            checkpointed: 0,
            current: SegmentFile::new(1),
            start: Offset::ZERO,
            flushed: Extent::empty(Offset::ZERO),
            spilled: None,
            next_number: 2,
            tail: VecDeque::new(),
            tail_bytes: 0,
            builder: BlockBuilder::default(),
            staged: Vec::new(),
            last: Offset::ZERO,
            is_dirty: false,
            unsynced: Vec::new(),
            is_new_file: false,
            removed: false,
            is_table: false,
            snapshot_is_kept: false,
            replacement: None,
            is_sealing: false,
            stored: Offset::ZERO,
            pending: 0,
        }
    }

    /// Takes an entry that is about to be written to the redo log.
    pub fn stage(&mut self, entry: &Entry<'_>, salt: u64) -> Result<(), Error> {
        if entry.offset <= self.last {
            return Err(Error::OutOfOrder { last: self.last, offset: entry.offset });
        }
        if self.builder.is_full_for(entry) {
            self.staged.push(self.builder.finish(salt));
        }
        self.builder.push(entry);
        self.last = entry.offset;
        Ok(())
    }

    /// Whether the log has this entry of a record that is read again.
    pub fn is_known(&self, offset: Offset) -> bool {
        offset <= self.stored
    }

    /// Whether something is staged.
    pub fn is_staging(&self) -> bool {
        !self.builder.is_empty() || !self.staged.is_empty()
    }

    /// What is staged is in the redo log now. Returns how many bytes more are in memory.
    pub fn keep_staged(&mut self, salt: u64) -> u64 {
        if !self.builder.is_empty() {
            self.staged.push(self.builder.finish(salt));
        }
        let bytes = self.staged.iter().map(|block| block.bytes.len() as u64).sum();
        self.tail.extend(self.staged.drain(..));
        self.tail_bytes += bytes;
        bytes
    }

    /// What is staged is not in the redo log.
    pub fn drop_staged(&mut self) {
        self.builder.clear();
        self.staged.clear();
        self.find_last();
    }

    /// Forgets what there is of the transaction `tx`, which is the newest. Returns how many bytes less
    /// are in memory.
    pub fn forget(&mut self, tx: u64) -> u64 {
        let mut freed = 0;
        while self.tail.back().is_some_and(|block| block.tx == tx) {
            freed += self.tail.pop_back().map_or(0, |block| block.bytes.len() as u64);
        }
        self.tail_bytes -= freed;
        if self.spilled.is_some_and(|spill| spill.tx == tx) {
            self.spilled = None;
            self.current.cut(self.flushed.bytes);
        }
        self.pending = 0;
        self.find_last();
        freed
    }

    /// Whether this is the first of the transaction `tx`, whose end is still to come.
    pub fn enters_pending(&mut self, tx: u64) -> bool {
        std::mem::replace(&mut self.pending, tx) != tx
    }

    /// The log is removed: nothing goes to its files any more. Returns how many bytes less are in memory.
    pub fn drop_tail(&mut self) -> u64 {
        self.tail.clear();
        std::mem::take(&mut self.tail_bytes)
    }

    /// The log has its first rows.
    pub fn set_snapshot(&mut self, meta: SnapshotMeta) {
        let file = SegmentFile::new(crate::segment::SNAPSHOT_NUMBER);
        self.snapshot = Snapshot::Ready(file, meta);
    }

    fn find_last(&mut self) {
        let file = self.spilled.map_or(self.flushed.last, |spill| spill.extent.last);
        self.last = self.tail.back().map_or(file, Block::last);
    }

    /// Lets count what became durable since it was written to the file.
    pub fn settle(&mut self, watermark: u64) {
        if let Some(spill) = self.spilled
            && spill.tx <= watermark
        {
            self.flushed = spill.extent;
            self.spilled = None;
        }
    }

    /// What can be written now: blocks of transactions up to `watermark`; with `spilling` those of the
    /// transaction that is still coming in. As many as belong into the current file.
    pub fn next_run(
        &mut self,
        watermark: u64,
        spilling: Option<u64>,
        threshold: u64,
    ) -> Option<Run> {
        self.settle(watermark);
        let from = self.spilled.map_or(self.flushed, |spill| spill.extent);
        let mut extent = from;
        let mut blocks: Vec<Block> = Vec::new();
        let (mut finishes, mut spills) = (false, None);
        for block in &self.tail {
            let counts = block.tx <= watermark;
            if !counts && spilling != Some(block.tx) {
                break;
            }
            let ends = extent.entries > 0
                && extent.json_bytes >= threshold
                && extent.last.tx != block.tx
                && self.spilled.is_none();
            if ends {
                finishes = true;
                break;
            }
            if !counts {
                if !blocks.is_empty() && spills.is_none() {
                    // What counts goes first.
                    break;
                }
                spills = Some(block.tx);
            }
            blocks.push(block.clone());
            extent.bytes += block.bytes.len() as u64;
            extent.entries += u64::from(block.entries);
            extent.json_bytes += block.json_bytes;
            extent.last = block.last();
        }
        if blocks.is_empty() && !finishes {
            return None;
        }
        let written_all = blocks.len() == self.tail.len();
        if spills.is_none() && self.spilled.is_none() && written_all {
            // A transaction is in the tail as a whole, or not up to the watermark.
            finishes = extent.json_bytes >= threshold;
        }
        if from.bytes == 0 {
            extent.bytes += crate::segment::HEADER as u64;
        }
        Some(Run {
            file: Arc::clone(&self.current),
            at: from.bytes,
            blocks,
            extent,
            spills,
            finishes,
        })
    }

    /// What [`State::next_run`] gave is in the file. Returns how many bytes less are in memory.
    pub fn written(&mut self, run: &Run) -> u64 {
        let mut freed = 0;
        if self.removed {
            return freed;
        }
        for block in self.tail.drain(..run.blocks.len()) {
            freed += block.bytes.len() as u64;
        }
        if self.tail.is_empty() {
            self.tail = VecDeque::new();
        }
        self.tail_bytes -= freed;
        self.is_new_file |= run.at == 0;
        if !run.blocks.is_empty() && self.unsynced.last() != Some(&run.file.number) {
            self.unsynced.push(run.file.number);
        }
        match run.spills {
            Some(tx) => self.spilled = Some(Spill { tx, extent: run.extent }),
            None => self.flushed = run.extent,
        }
        if run.finishes {
            self.finish_segment();
        }
        freed
    }

    /// Ends the current segment before it has come to the threshold, if all of the log is in it.
    pub fn cut(&mut self) -> bool {
        let whole = self.tail.is_empty() && self.spilled.is_none() && !self.removed;
        let cuts = whole && self.flushed.entries > 0;
        if cuts {
            self.finish_segment();
        }
        cuts
    }

    /// As [`State::cut`], of as much as is in the file and counts: more may be in memory, also of the same
    /// transaction, which is durable then.
    pub fn cut_file(&mut self, watermark: u64) -> bool {
        self.settle(watermark);
        let cuts = self.spilled.is_none() && !self.removed && self.flushed.entries > 0;
        if cuts {
            self.finish_segment();
        }
        cuts
    }

    /// Ends the current segment, and begins another.
    fn finish_segment(&mut self) {
        let number = self.take_number();
        let file = std::mem::replace(&mut self.current, SegmentFile::new(number));
        let end = self.flushed.last;
        let (start, extent) = (self.start, self.flushed);
        self.finished.push(Arc::new(Segment { file, start, extent, end, compacted: false }));
        self.start = end;
        self.flushed = Extent::empty(end);
    }

    /// The newest offset up to `watermark`.
    pub fn newest(&mut self, watermark: u64) -> Offset {
        self.settle(watermark);
        let visible = self.tail.partition_point(|block| block.tx <= watermark);
        let last = visible.checked_sub(1).and_then(|last| self.tail.get(last));
        last.map_or(self.flushed.last, Block::last)
    }

    /// The blocks in memory up to `watermark` that end behind `offset`.
    pub fn blocks_after(&mut self, offset: Offset, watermark: u64) -> Vec<Block> {
        self.settle(watermark);
        // Transactions and offsets ascend, and there may be many blocks.
        let end = self.tail.partition_point(|block| block.tx <= watermark);
        let start = self.tail.partition_point(|block| block.last() <= offset).min(end);
        self.tail.range(start..end).cloned().collect()
    }

    pub fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// What is in memory of the transaction `tx`, which has just become durable.
    pub fn recent(&mut self, tx: u64) -> Recent {
        if self.removed {
            return Recent::Nothing;
        }
        let start = self.tail.partition_point(|block| block.tx < tx);
        let end = self.tail.partition_point(|block| block.tx <= tx);
        let blocks: Vec<Block> = self.tail.range(start..end).cloned().collect();
        let in_file = self.spilled.map_or(self.flushed.last, |spill| spill.extent.last);
        if in_file.tx == tx {
            let last = blocks.last().map_or(in_file, Block::last);
            return Recent::Spilled { last };
        }
        if blocks.is_empty() {
            return Recent::Nothing;
        }
        let earlier = start.checked_sub(1).and_then(|earlier| self.tail.get(earlier));
        let mut before = earlier.map_or(in_file, Block::last);
        if !matches!(self.snapshot, Snapshot::None) {
            // The rows of the snapshot part are never in a cache.
            before = before.max(Offset::new(0, u64::MAX));
        }
        Recent::Blocks { before, blocks }
    }

    /// What can be a chunk, by its start. A snapshot part with less JSON than `least` is none: it would
    /// never be served as a file, and there can be thousands of them.
    pub fn sealable(&self, least: u64) -> Vec<Sealable> {
        let mut ranges = Vec::new();
        // The first segment starts where the snapshot part ends, once that is known for good.
        let is_settled = self.snapshot_is_kept || matches!(self.snapshot, Snapshot::None);
        if self.removed || !is_settled || self.is_table {
            return ranges;
        }
        let mut first = Offset::ZERO;
        if let Snapshot::Ready(file, meta) = &self.snapshot {
            let (extent, start, end) = (meta.0, Offset::ZERO, meta.0.last);
            first = end;
            if extent.entries > 0 && extent.json_bytes >= least {
                let file = Arc::clone(file);
                ranges.push(Sealable { file, extent, file_start: start, start, end });
            }
        }
        for segment in &self.finished[..self.checkpointed] {
            let (file, extent) = (Arc::clone(&segment.file), segment.extent);
            let (file_start, start, end) = (segment.start, segment.start.max(first), segment.end);
            if extent.entries > 0 {
                ranges.push(Sealable { file, extent, file_start, start, end });
            }
        }
        ranges
    }

    /// Whether there can be a chunk.
    pub fn has_sealable(&self, least: u64) -> bool {
        let snapshot = match &self.snapshot {
            Snapshot::Ready(_, meta) => self.snapshot_is_kept && meta.0.json_bytes >= least,
            _ => false,
        };
        !self.is_table && (self.checkpointed > 0 || snapshot)
    }

    /// Whether this is the range of a chunk.
    pub fn is_range(&self, start: Offset, end: Offset) -> bool {
        self.sealable(0).iter().any(|range| (range.start, range.end) == (start, end))
    }

    /// The segments to compact, oldest first: all complete ones but the newest `keep`.
    pub fn compactable(&self, keep: usize, retention: Retention) -> Vec<Arc<Segment>> {
        let old = self.finished.len().saturating_sub(keep).min(self.checkpointed);
        let old = &self.finished[..old];
        let worth_it = match (retention, old) {
            (Retention::Drop, [_, ..]) => true,
            // What was compacted already is only gone through again for a good part of new entries.
            (Retention::Collapse, [first, rest @ ..]) if first.compacted => {
                let new: u64 = rest.iter().map(|segment| segment.extent.json_bytes).sum();
                !rest.is_empty() && new >= first.extent.json_bytes / 4
            }
            (Retention::Collapse, [_, _, ..]) => true,
            _ => false,
        };
        if worth_it && !self.removed { old.to_vec() } else { Vec::new() }
    }

    /// Whether segments of it were replaced or have gone.
    pub fn was_compacted(&self) -> bool {
        self.floor > Offset::ZERO || self.finished.first().is_some_and(|first| first.compacted)
    }

    /// A number for a segment, never given before.
    pub fn take_number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Replaces the first segments, up to `end`. Returns the files that are not needed any more.
    pub fn replace(&mut self, replacement: Replacement, end: Offset) -> Vec<Arc<SegmentFile>> {
        let Replacement { count, segment, with_snapshot } = replacement;
        let mut gone = Vec::new();
        if segment.is_none() {
            self.floor = end;
        }
        if with_snapshot {
            if let Snapshot::Ready(file, _) = std::mem::replace(&mut self.snapshot, Snapshot::None)
            {
                gone.push(file);
            }
            self.snapshot_is_kept = false;
        }
        self.checkpointed =
            self.checkpointed.saturating_sub(count) + usize::from(segment.is_some());
        let old = self.finished.splice(..count, segment);
        gone.extend(old.map(|segment| Arc::clone(&segment.file)));
        gone
    }
}

/// What the checkpoint says of a log.
pub(crate) struct Stored {
    pub log: u64,
    pub born: u64,
    pub state: State,
}

const NONE: u8 = 0;
const AWAITED: u8 = 1;
const READY: u8 = 2;

impl State {
    /// Writes what the checkpoint says of it.
    pub fn encode(&self, owner: &Owner, out: &mut Vec<u8>) {
        put(out, owner.log);
        put(out, owner.born);
        put_bytes(out, &self.descriptor);
        let (skip, instead) = match &self.replacement {
            None => (0, None),
            Some(replacement) => (replacement.count, replacement.segment.as_deref()),
        };
        // The first segments go, and none comes instead.
        let goes = skip > 0 && instead.is_none();
        let with_snapshot = self.replacement.as_ref().is_some_and(|with| with.with_snapshot);
        match &self.snapshot {
            _ if with_snapshot => out.push(NONE),
            Snapshot::None => out.push(NONE),
            Snapshot::Awaited => out.push(AWAITED),
            Snapshot::Ready(_, meta) => {
                out.push(READY);
                meta.encode(out);
            }
        }
        let gone = self.finished[..skip].last().filter(|_| goes);
        let floor = gone.map_or(self.floor, |segment| segment.end);
        put(out, floor.tx);
        put(out, floor.op);
        put(out, self.next_number);
        let segments = || instead.into_iter().chain(self.finished[skip..].iter().map(|s| &**s));
        put(out, segments().count() as u64);
        segments().for_each(|segment| segment.encode(out));
        put(out, self.current.number);
        put(out, self.start.tx);
        put(out, self.start.op);
        self.flushed.encode(out);
    }

    /// Reads that.
    pub fn decode(input: &mut Input<'_>) -> Result<Stored, Bad> {
        let (log, born) = (input.number()?, input.number()?);
        let descriptor = Arc::from(input.bytes()?);
        let snapshot = match input.byte()? {
            NONE => Snapshot::None,
            AWAITED => Snapshot::Awaited,
            READY => {
                let file = SegmentFile::new(crate::segment::SNAPSHOT_NUMBER);
                Snapshot::Ready(file, SnapshotMeta::decode(input)?)
            }
            _ => return input.bad("a snapshot part of no known kind"),
        };
        let mut state = Self::new(descriptor, snapshot);
        state.snapshot_is_kept = matches!(state.snapshot, Snapshot::Ready(..));
        state.floor = Offset::new(input.number()?, input.number()?);
        state.next_number = input.number()?;
        if state.next_number > crate::segment::LONGEST {
            return input.bad("a number that no segment can have");
        }
        let count = input.count(11)?;
        let mut end = state.floor;
        for _ in 0..count {
            let segment = Segment::decode(input)?;
            if segment.start != end || segment.file.number >= state.next_number {
                return input.bad("a segment that does not follow the one before");
            }
            end = segment.end;
            state.finished.push(Arc::new(segment));
        }
        state.checkpointed = count;
        state.current = SegmentFile::new(input.number()?);
        state.start = Offset::new(input.number()?, input.number()?);
        state.flushed = Extent::decode(input)?;
        if state.start != end
            || state.flushed.last < end
            || state.current.number >= state.next_number
        {
            return input.bad("a segment that does not follow the one before");
        }
        state.last = state.flushed.last;
        state.stored = state.flushed.last;
        Ok(Stored { log, born, state })
    }
}
