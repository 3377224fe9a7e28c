//! The store: all logs of one collector in one directory.
//!
//! | module | job |
//! |---|---|
//! | `append` | transactions and catalogue changes into the redo log, and from there into memory |
//! | `progress` | what is durable, and which part of the redo log is needed |
//! | `flush` | from memory to the logs' files |
//! | `checkpoint` | files durable, their table written, redo files gone |
//! | `recovery` | opening |
//! | `snapshot` | the rows that a log begins with |
//! | `feed` | from memory to the caches |
//! | `seal` | complete segments become chunks |
//! | `compact` | old segments become one, or go |
//! | `tables` | logs that are tables keep only their rows |
//! | `serve` | how a request is best answered |
//! | `threads` | what does these things by itself |
//!
//! Locks are taken in this order: appender, checkpoints, flushing, publishing, progress; the state of one
//! log last, by itself.

mod append;
mod checkpoint;
mod compact;
mod feed;
mod flush;
mod progress;
mod recovery;
mod seal;
mod serve;
mod snapshot;
mod tables;
mod threads;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use lane_index::Storage;
use std::time::Instant;

use lane_index::journal::Journal;
use lane_index::lock::DirectoryLock;
use parking_lot::{Mutex, RwLock};

use self::append::Appender;
use self::checkpoint::{Checkpoints, Grave};
use self::progress::{Commit, Progress};
use self::seal::Seals;
use self::threads::Threads;
use crate::log::{Log, Snapshot};
use crate::segment::{Extent, Segment};
use crate::{CachePool, Error, Limits, LogReader, Offset, Options};

pub use append::{Appended, NewLog, Ticket, Transaction};
pub use compact::Compacted;
pub(crate) use compact::Replacement;
pub use recovery::Recovered;
pub use serve::{Fallback, Plan, ReadOptions};
pub use snapshot::SnapshotWriter;

/// The directory in which each log has one.
pub(crate) const SHAPES: &str = "shapes";

/// All logs of one collector, in a directory that it holds until it is dropped.
pub struct LogStore {
    shared: Arc<Shared>,
    threads: Option<Threads>,
}

/// What the threads share with whoever calls.
pub(crate) struct Shared {
    pub storage: Arc<dyn Storage>,
    pub shapes: Arc<dyn Storage>,
    pub options: Options,
    pub hash_key: [u8; 16],
    /// There from the end of the opening on.
    pub journal: OnceLock<Journal>,
    pub logs: RwLock<HashMap<u64, Arc<Log>>>,
    pub appender: Mutex<Appender>,
    pub progress: Mutex<Progress>,
    /// Held by whoever tells of what has become durable; with a buffer for that.
    pub publishing: Mutex<Vec<Commit>>,
    /// Makes the logs' caches; none where there are none.
    pub caches: Option<CachePool>,
    /// The beginning of the time that caches count in.
    pub started: Instant,
    pub seals: Mutex<Seals>,
    /// Held by whoever seals a chunk.
    pub sealing: Mutex<()>,
    /// Held by whoever compacts.
    pub compacting: Mutex<()>,
    /// Segments that were finished since the last checkpoint.
    pub finished: AtomicU64,
    /// The last transaction that may be seen.
    pub watermark: AtomicU64,
    /// Bytes of entries in memory.
    pub memory: AtomicU64,
    /// Bytes written to the redo log since the last checkpoint.
    pub redo_bytes: AtomicU64,
    /// Logs with something in memory.
    pub dirty: Mutex<Vec<Arc<Log>>>,
    /// Held by whoever flushes; with a buffer for that.
    pub flushing: Mutex<Vec<u8>>,
    pub checkpoints: Mutex<Checkpoints>,
    /// What nobody needs but perhaps a reader, and the checkpoint on disk.
    pub graveyard: Mutex<Vec<Grave>>,
    /// Why nothing more is accepted.
    pub failed: Mutex<Option<String>>,
    pub signals: threads::Signals,
    pub counters: Counters,
    /// Given back after everything else.
    pub _lock: DirectoryLock,
}

/// Counted since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub transactions: AtomicU64,
    pub entries: AtomicU64,
    pub replays: AtomicU64,
    pub flushes: AtomicU64,
    pub checkpoints: AtomicU64,
    pub maintenance_errors: AtomicU64,
    pub waits: AtomicU64,
    pub seals: AtomicU64,
    pub seal_failures: AtomicU64,
    pub compactions: AtomicU64,
}

/// What a store has and has done; counters count from its opening.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Logs there are.
    pub logs: u64,
    /// Bytes of entries in memory.
    pub memory_bytes: u64,
    /// The last transaction appended.
    pub appended_lsn: u64,
    /// The last transaction that is durable.
    pub durable_lsn: u64,
    /// Bytes written to the redo log since the last checkpoint.
    pub redo_bytes: u64,
    /// Transactions appended.
    pub transactions: u64,
    /// Entries appended.
    pub entries: u64,
    /// Transactions that were there already.
    pub replays: u64,
    /// Flushes that wrote something.
    pub flushes: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// How often an append had to flush first.
    pub waits: u64,
    /// Chunks that were sealed.
    pub seals: u64,
    /// Chunks that could not be sealed at an attempt.
    pub seal_failures: u64,
    /// Logs that were compacted.
    pub compactions: u64,
    /// How often a thread of the store met an error and will try again.
    pub maintenance_errors: u64,
    /// Operations that left the logs' caches.
    pub cache_evictions: u64,
}

/// A complete segment of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// It has what is behind this offset,
    pub start: Offset,
    /// up to and including this one.
    pub end: Offset,
    /// How many entries.
    pub entries: u64,
    /// How many bytes of JSON.
    pub json_bytes: u64,
    /// Whether it is what is left of several.
    pub compacted: bool,
    /// Whether a checkpoint has it.
    pub checkpointed: bool,
}

/// What there is of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// What the log was created with.
    pub descriptor: Arc<[u8]>,
    /// Whether it still waits for its snapshot part.
    pub awaits_snapshot: bool,
    /// Readers begin here or later.
    pub floor: Offset,
    /// The last offset that may be read.
    pub last: Offset,
    /// Complete segments.
    pub segments: u64,
    /// Bytes of all its files that count.
    pub file_bytes: u64,
    /// Bytes of entries in memory.
    pub memory_bytes: u64,
}

impl Shared {
    pub fn log(&self, log: u64) -> Result<Arc<Log>, Error> {
        self.logs.read().get(&log).cloned().ok_or(Error::UnknownLog { log })
    }

    pub fn journal(&self) -> Result<&Journal, Error> {
        self.journal.get().ok_or(Error::Storage(lane_index::Error::Closed))
    }

    /// Refuses work after a failure that leaves unknown what is on disk.
    pub fn check(&self) -> Result<(), Error> {
        match &*self.failed.lock() {
            None => Ok(()),
            Some(cause) => Err(Error::failed(cause)),
        }
    }

    /// Refuses everything from now on.
    pub fn fail(&self, error: &lane_index::Error) {
        self.failed.lock().get_or_insert_with(|| error.to_string());
    }
}

impl LogStore {
    /// The ids of all logs, in no order.
    #[must_use]
    pub fn logs(&self) -> Vec<u64> {
        self.shared.logs.read().keys().copied().collect()
    }

    /// The last transaction that is durable: up to it PostgreSQL may be told that everything is kept, and
    /// readers see no further.
    #[must_use]
    pub fn durable_lsn(&self) -> u64 {
        self.shared.watermark.load(Ordering::Acquire)
    }

    /// The last transaction that was appended as a whole.
    #[must_use]
    pub fn appended_lsn(&self) -> u64 {
        self.shared.progress.lock().last_lsn
    }

    /// Reads a log from behind `after` on, as far as it is durable now.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::AwaitsSnapshot`]; [`Error::Gone`] where what follows `after` is
    /// not kept any more.
    pub fn entries_after(
        &self,
        log: u64,
        after: Offset,
        limits: Limits,
    ) -> Result<LogReader, Error> {
        let log = self.shared.log(log)?;
        LogReader::new(log, after, self.durable_lsn(), limits)
    }

    /// What there is of a log.
    ///
    /// # Errors
    /// [`Error::UnknownLog`].
    pub fn log_stats(&self, log: u64) -> Result<LogStats, Error> {
        let log = self.shared.log(log)?;
        let mut state = log.state.lock();
        let last = state.newest(self.durable_lsn());
        let snapshot = match &state.snapshot {
            Snapshot::Ready(_, meta) => meta.0,
            _ => Extent::empty(Offset::ZERO),
        };
        let finished: u64 = state.finished.iter().map(|segment| segment.extent.bytes).sum();
        Ok(LogStats {
            descriptor: Arc::clone(&state.descriptor),
            awaits_snapshot: matches!(state.snapshot, Snapshot::Awaited),
            floor: state.floor,
            last: last.max(snapshot.last),
            segments: state.finished.len() as u64,
            file_bytes: snapshot.bytes + finished + state.flushed.bytes,
            memory_bytes: state.tail_bytes,
        })
    }

    /// The complete segments of a log, oldest first.
    ///
    /// # Errors
    /// [`Error::UnknownLog`].
    pub fn segments(&self, log: u64) -> Result<Vec<SegmentInfo>, Error> {
        let log = self.shared.log(log)?;
        let state = log.state.lock();
        let info = |(position, segment): (usize, &Arc<Segment>)| SegmentInfo {
            start: segment.start,
            end: segment.end,
            entries: segment.extent.entries,
            json_bytes: segment.extent.json_bytes,
            compacted: segment.compacted,
            checkpointed: position < state.checkpointed,
        };
        Ok(state.finished.iter().enumerate().map(info).collect())
    }

    /// What the store has and has done.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let shared = &self.shared;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StoreStats {
            logs: shared.logs.read().len() as u64,
            memory_bytes: count(&shared.memory),
            appended_lsn: self.appended_lsn(),
            durable_lsn: self.durable_lsn(),
            redo_bytes: count(&shared.redo_bytes),
            transactions: count(&shared.counters.transactions),
            entries: count(&shared.counters.entries),
            replays: count(&shared.counters.replays),
            flushes: count(&shared.counters.flushes),
            checkpoints: count(&shared.counters.checkpoints),
            waits: count(&shared.counters.waits),
            seals: count(&shared.counters.seals),
            seal_failures: count(&shared.counters.seal_failures),
            compactions: count(&shared.counters.compactions),
            maintenance_errors: count(&shared.counters.maintenance_errors),
            cache_evictions: shared.caches.as_ref().map_or(0, CachePool::evicted),
        }
    }

    /// Ends the store: everything appended is made durable, and a checkpoint written, so that the next
    /// one opens at once. Dropping it makes durable what it can, and leaves the rest to the redo log.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn close(mut self) -> Result<(), Error> {
        self.threads = None;
        self.shared.checkpoint()
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        // The threads hold what is shared: they end first.
        self.threads = None;
    }
}
