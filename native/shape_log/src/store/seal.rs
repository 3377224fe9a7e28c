//! Complete segments become chunks, in the background.
//!
//! Only what a checkpoint has is sealed: so the ranges of chunks are those of segments, also after a
//! crash. A seal that fails loses nothing, and is tried again later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{LogStore, Shared};
use crate::log::{Log, Sealable};
use crate::{ChunkMeta, ChunkStore, EntrySource, Error, LogReader};

/// The logs that have something to seal.
#[derive(Default)]
pub(crate) struct Seals {
    queue: VecDeque<Waiting>,
}

struct Waiting {
    log: Arc<Log>,
    not_before: Option<Instant>,
    failures: u32,
}

/// How long to wait after a failure; twice as long after each further one, up to the last.
const BACKOFF: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(60)];

impl EntrySource for LogReader {
    fn next(&mut self) -> Result<Option<crate::Entry<'_>>, Error> {
        Self::next(self)
    }
}

impl LogStore {
    /// Seals all that can be: complete segments and snapshot parts that a checkpoint has. A thread of the
    /// store does this, where it has threads. Returns how many chunks were sealed.
    ///
    /// # Errors
    /// The first that was met; the others were sealed nevertheless.
    pub fn seal(&self) -> Result<u64, Error> {
        self.shared.check()?;
        let waiting = std::mem::take(&mut self.shared.seals.lock().queue);
        let (mut sealed, mut result) = (0, Ok(()));
        for waiting in waiting {
            let one = self.shared.seal_log(&waiting.log, &mut sealed);
            if one.is_err() {
                self.shared.seal_later(waiting);
            }
            result = result.and(one);
        }
        // What a thread of the store took before is done too.
        drop(self.shared.sealing.lock());
        result.map(|()| sealed)
    }

    /// Ends a log's last segment as it is, so that it can be sealed; nothing where it is empty. Writes a
    /// checkpoint.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::Storage`].
    pub fn cut(&self, log: u64) -> Result<bool, Error> {
        self.sync()?;
        self.flush()?;
        let log = self.shared.log(log)?;
        // Under the lock of whoever flushes, nothing of it is being written.
        let flushing = self.shared.flushing.lock();
        let cut = log.state.lock().cut();
        drop(flushing);
        if cut {
            self.shared.finished.fetch_add(1, Ordering::Relaxed);
            self.checkpoint()?;
        }
        Ok(cut)
    }

    /// The sealed chunks of a log, by their start.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::Storage`].
    pub fn chunks(&self, log: u64) -> Result<Vec<ChunkMeta>, Error> {
        let log = self.shared.log(log)?;
        Ok(self.shared.chunks_of(&log)?.map_or_else(Vec::new, |chunks| chunks.list()))
    }

    /// The sealed chunk of a log that follows an offset exactly.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::Storage`].
    pub fn find_chunk(&self, log: u64, offset: crate::Offset) -> Result<Option<ChunkMeta>, Error> {
        let log = self.shared.log(log)?;
        let chunks = self.shared.chunks_of(&log)?;
        Ok(chunks.and_then(|chunks| chunks.find(offset)))
    }

    /// Reads the files of a chunk whole, and compares them with what was written.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::NoSuchChunk`]; [`Error::Storage`] where they are not.
    pub fn verify_chunk(&self, log: u64, seq: u64) -> Result<(), Error> {
        let log = self.shared.log(log)?;
        let chunks = self.shared.chunks_of(&log)?.ok_or(Error::NoSuchChunk { seq })?;
        chunks.verify(seq)
    }

    /// Removes a chunk; what it holds is in the log still, and sealed again when the store is opened the
    /// next time.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::NoSuchChunk`], [`Error::Storage`].
    pub fn remove_chunk(&self, log: u64, seq: u64) -> Result<(), Error> {
        let log = self.shared.log(log)?;
        let chunks = self.shared.chunks_of(&log)?.ok_or(Error::NoSuchChunk { seq })?;
        chunks.remove(seq)
    }
}

impl Shared {
    /// The chunks of a log; none where it has had nothing to seal.
    pub fn chunks_of(&self, log: &Log) -> Result<Option<Arc<ChunkStore>>, Error> {
        let mut chunks = log.chunks.lock();
        if let Some(chunks) = &*chunks {
            return Ok(Some(Arc::clone(chunks)));
        }
        if !log.state.lock().has_sealable(self.options.min_file_bytes) {
            return Ok(None);
        }
        let directory = log.directory()?;
        let storage = directory.subdirectory(CHUNKS)?;
        directory.sync_directory()?;
        let opened = ChunkStore::open(storage, self.options.chunk)?;
        // What was compacted just before a crash may have its chunks still.
        let state = log.state.lock();
        let strays: Vec<u64> = opened
            .list()
            .iter()
            .filter(|chunk| !state.is_range(chunk.start, chunk.end))
            .map(|chunk| chunk.seq)
            .collect();
        drop(state);
        strays.into_iter().try_for_each(|seq| opened.remove(seq))?;
        Ok(Some(Arc::clone(chunks.insert(Arc::new(opened)))))
    }

    /// Notes that a log has something to seal.
    pub fn seal_soon(&self, log: &Arc<Log>) {
        let mut state = log.state.lock();
        let least = self.options.min_file_bytes;
        if !state.is_sealing && !state.removed && state.has_sealable(least) {
            state.is_sealing = true;
            drop(state);
            let waiting = Waiting { log: Arc::clone(log), not_before: None, failures: 0 };
            self.seals.lock().queue.push_back(waiting);
            self.signals.seal();
        }
    }

    fn seal_later(&self, mut waiting: Waiting) {
        let delay = BACKOFF[0].saturating_mul(1 << waiting.failures.min(16)).min(BACKOFF[1]);
        waiting.failures += 1;
        waiting.not_before = Some(Instant::now() + delay);
        waiting.log.state.lock().is_sealing = true;
        self.seals.lock().queue.push_back(waiting);
    }

    /// Seals the next log whose time has come; when it comes, where none has.
    pub fn seal_next(&self) -> Option<Instant> {
        let now = Instant::now();
        let waiting = {
            let mut seals = self.seals.lock();
            let due = |waiting: &Waiting| waiting.not_before.is_none_or(|then| then <= now);
            match seals.queue.iter().position(due) {
                Some(position) => seals.queue.remove(position),
                None => return seals.queue.iter().filter_map(|waiting| waiting.not_before).min(),
            }
        };
        if let Some(waiting) = waiting
            && self.seal_log(&waiting.log, &mut 0).is_err()
        {
            self.seal_later(waiting);
        }
        Some(now)
    }

    /// Seals what a log has to seal.
    fn seal_log(&self, log: &Arc<Log>, sealed: &mut u64) -> Result<(), Error> {
        let _sealing = self.sealing.lock();
        let ranges = {
            let mut state = log.state.lock();
            // With the same lock: what comes after this is noted anew.
            state.is_sealing = false;
            state.sealable(self.options.min_file_bytes)
        };
        if ranges.is_empty() {
            return Ok(());
        }
        let Some(chunks) = self.chunks_of(log)? else { return Ok(()) };
        for range in &ranges {
            let is_sealed = chunks.find(range.start).is_some_and(|chunk| chunk.end == range.end);
            if !is_sealed && log.state.lock().is_range(range.start, range.end) {
                self.seal_range(log, &chunks, range)?;
                *sealed += 1;
            }
        }
        Ok(())
    }

    fn seal_range(
        &self,
        log: &Arc<Log>,
        chunks: &ChunkStore,
        range: &Sealable,
    ) -> Result<(), Error> {
        let (file, extent) = (Arc::clone(&range.file), range.extent);
        let mut source = LogReader::of_file(Arc::clone(log), file, extent, range.file_start);
        let result = chunks.seal(range.start, range.end, &mut source, self.options.gzip);
        if let (Ok(meta), false) = (&result, log.state.lock().is_range(range.start, range.end)) {
            // It was compacted meanwhile.
            drop(chunks.remove(meta.seq));
        }
        let counter = match &result {
            Ok(_) => &self.counters.seals,
            Err(_) => &self.counters.seal_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(tell) = &self.options.on_sealed {
            tell(log.owner.log, result.as_ref());
        }
        result.map(drop)
    }
}

/// The directory of a log's chunks, in its own.
pub(super) const CHUNKS: &str = "chunks";
