//! Old segments become one, of which what readers need stays; or they go.
//!
//! Whoever has read a part of the new segment must never be given the old ones again. So it is only read
//! from when the checkpoint that names it is durable; and before that, caches have forgotten the range, and
//! after it no chunk of it is served.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lane_index::{StorageFile, sealed};

use super::checkpoint::Grave;
use super::{LogStore, Shared};
use crate::block::BlockBuilder;
use crate::collapse::{Plan, Summary};
use crate::log::Log;
use crate::options::Retention;
use crate::segment::{self, Extent, Segment, SegmentFile};
use crate::{EntrySource, Error, LogReader, Offset};

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// It was done to what is behind this offset,
    pub start: Offset,
    /// up to and including this one.
    pub end: Offset,
    /// How many entries there were, and are.
    pub summary: Summary,
}

/// The first segments of a log are to be replaced.
pub(crate) struct Replacement {
    /// How many.
    pub count: usize,
    /// What takes their place; none where they go.
    pub segment: Option<Arc<Segment>>,
    /// Whether the snapshot part goes too.
    pub with_snapshot: bool,
}

impl LogStore {
    /// Compacts a log as [`Options::retention`](crate::Options::retention) says; `None` where there is
    /// nothing to compact. Writes a checkpoint. Whoever reads the log meanwhile reads on.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::Storage`]; the log is as it was.
    pub fn compact(&self, log: u64) -> Result<Option<Compacted>, Error> {
        self.shared.check()?;
        let log = self.shared.log(log)?;
        self.shared.compact(&log)
    }

    /// Compacts all logs that can be. Returns how many were.
    ///
    /// # Errors
    /// The first that was met; the others were compacted nevertheless.
    pub fn compact_all(&self) -> Result<u64, Error> {
        self.shared.compact_all()
    }
}

impl Shared {
    pub fn compact_all(&self) -> Result<u64, Error> {
        self.check()?;
        let logs: Vec<Arc<Log>> = self.logs.read().values().cloned().collect();
        let (mut compacted, mut result) = (0, Ok(()));
        for log in logs {
            if self.signals.is_stopped() {
                break;
            }
            match self.compact(&log) {
                Ok(done) => compacted += u64::from(done.is_some()),
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| compacted)
    }

    fn compact(&self, log: &Arc<Log>) -> Result<Option<Compacted>, Error> {
        // One compaction at a time: the first segments stay what they are.
        let _compacting = self.compacting.lock();
        if log.state.lock().is_table {
            return self.compact_table(log);
        }
        let keep = self.options.keep_complete_chunks;
        let old = log.state.lock().compactable(keep, self.options.retention);
        let (Some(first), Some(last)) = (old.first(), old.last()) else { return Ok(None) };
        let (start, end) = (first.start, last.end);
        let (segment, summary) = match self.options.retention {
            Retention::Keep => return Ok(None),
            Retention::Drop => (None, Summary::default()),
            Retention::Collapse => {
                let (segment, summary) = self.collapse(log, &old)?;
                (Some(Arc::new(segment)), summary)
            }
        };
        let with_snapshot = segment.is_none();
        let replacement = Replacement { count: old.len(), segment, with_snapshot };
        drop(old);
        if !self.replace(log, replacement, end)? {
            return Ok(None);
        }
        if let Ok(Some(chunks)) = self.chunks_of(log) {
            // None of them is served any more; one that stays goes when the range is sealed anew.
            let mut stale = chunks.list();
            let state = log.state.lock();
            stale.retain(|chunk| !state.is_range(chunk.start, chunk.end));
            drop(state);
            stale.iter().for_each(|chunk| drop(chunks.remove(chunk.seq)));
        }
        self.seal_soon(log);
        Ok(Some(Compacted { start, end, summary }))
    }

    /// Puts something in the place of the first segments, up to `end`, with a checkpoint that says so. False
    /// where the log was removed meanwhile.
    pub(super) fn replace(
        &self,
        log: &Arc<Log>,
        replacement: Replacement,
        end: Offset,
    ) -> Result<bool, Error> {
        let mut checkpoints = self.checkpoints.lock();
        log.state.lock().replacement = Some(replacement);
        let written = self.checkpoint_with(&mut checkpoints);
        let mut state = log.state.lock();
        let Some(replacement) = state.replacement.take() else { return Ok(false) };
        written?;
        if let Some(cache) = log.cache.get() {
            cache.evict_through(end);
        }
        let old = state.replace(replacement, end);
        drop(state);
        // The checkpoint that names them is gone already: what nobody reads can go at once.
        let graves = old.into_iter().map(|file| Grave::Segment(Arc::clone(log), file));
        let kept = graves.filter(|grave| grave.is_read() || grave.remove(self).is_err());
        let kept: Vec<Grave> = kept.collect();
        self.graveyard.lock().extend(kept);
        self.counters.compactions.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes what stays of some segments into a new one.
    fn collapse(&self, log: &Arc<Log>, old: &[Arc<Segment>]) -> Result<(Segment, Summary), Error> {
        let read = || LogReader::of_segments(Arc::clone(log), old);
        let plan = Plan::read(&mut read(), self.options.collapse)?;
        let start = old.first().map_or(Offset::ZERO, |segment| segment.start);
        let end = old.last().map_or(start, |segment| segment.end);
        let segment = write_planned(log, &plan, &mut read(), (start, end))?;
        Ok((segment, plan.summary()))
    }
}

/// Writes what stays of a range into a new segment.
pub(super) fn write_planned(
    log: &Log,
    plan: &Plan,
    source: &mut LogReader,
    (start, end): (Offset, Offset),
) -> Result<Segment, Error> {
    let number = log.state.lock().take_number();
    let mut collapsed = plan.collapse(source);
    let directory = log.directory()?;
    let name = segment::name(number);
    let mut write = || {
        let mut file = sealed::create_anew(&**directory, &name)?;
        file.write_all(&log.owner.header(number))?;
        let extent = Extent { bytes: segment::HEADER as u64, ..Extent::empty(start) };
        let mut writer = Writer { file, extent, builder: BlockBuilder::default() };
        while let Some(entry) = collapsed.next()? {
            writer.push(&entry, log.owner.salt)?;
        }
        let extent = writer.finish(log.owner.salt)?;
        directory.sync_directory()?;
        Ok(extent)
    };
    // What an error leaves goes with the log; its number is not given again before that.
    let extent = write().inspect_err(|_: &Error| drop(directory.remove(&name)))?;
    let file = SegmentFile::new(number);
    Ok(Segment { file, start, extent, end, compacted: true })
}

struct Writer {
    file: Box<dyn StorageFile>,
    extent: Extent,
    builder: BlockBuilder,
}

impl Writer {
    fn push(&mut self, entry: &crate::Entry<'_>, salt: u64) -> Result<(), Error> {
        if self.builder.is_full_for(entry) {
            self.write_block(salt)?;
        }
        self.builder.push(entry);
        Ok(())
    }

    fn write_block(&mut self, salt: u64) -> Result<(), Error> {
        let block = self.builder.finish(salt);
        self.file.write_all(&block.bytes)?;
        self.extent.bytes += block.bytes.len() as u64;
        self.extent.entries += u64::from(block.entries);
        self.extent.json_bytes += block.json_bytes;
        self.extent.last = block.last();
        Ok(())
    }

    fn finish(mut self, salt: u64) -> Result<Extent, Error> {
        if !self.builder.is_empty() {
            self.write_block(salt)?;
        }
        self.file.sync()?;
        Ok(self.extent)
    }
}
