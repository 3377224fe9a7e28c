//! How a store works.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lane_index::Fsync;

use crate::Error;
use crate::cache::CacheOptions;
use crate::chunk::{ChunkMeta, ChunkOptions};
use crate::collapse::CollapseOptions;

/// Told of a transaction up to which everything is durable.
pub type OnDurable = Arc<dyn Fn(u64) + Send + Sync>;

/// Told of a log and the chunk of it that was sealed, or why it was not; it will be tried again.
pub type OnSealed = Arc<dyn Fn(u64, Result<&ChunkMeta, &Error>) + Send + Sync>;

/// What becomes of old segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// They stay as they are.
    Keep,
    /// They become one, of which what a reader needs stays: see [`crate::collapse`].
    Collapse,
    /// They go, and the snapshot part with them; readers that have not come so far begin anew.
    Drop,
}

/// How a store works. The defaults are what `ShapeRouter.ShapeLogCollector` documents.
#[derive(Clone)]
pub struct Options {
    /// When transactions are made durable. With [`Fsync::Always`] as soon as one is appended, those that
    /// come meanwhile together. With [`Fsync::Interval`] so often; what is not durable yet is neither
    /// acknowledged nor read, so nothing acknowledged is lost in this case either. With
    /// [`Fsync::Never`] what was written counts as durable: a power cut can lose what was acknowledged.
    pub fsync: Fsync,
    /// The length of a file of the redo log. 16 MiB.
    pub journal_file_bytes: u64,
    /// How many bytes of JSON a segment has when the next one begins, and a chunk. 10 MiB.
    pub chunk_bytes_threshold: u64,
    /// The most bytes of entries in memory. Who appends beyond them flushes first, and so waits. 64 MiB.
    pub memory_bytes: u64,
    /// A checkpoint is due when the redo log has grown by this since the last one. 64 MiB.
    pub checkpoint_above_bytes: u64,
    /// What becomes of segments that are older than the newest [`Options::keep_complete_chunks`].
    /// [`Retention::Collapse`].
    pub retention: Retention,
    /// Logs of ids from here on are *tables*: read as a whole, from their beginning, by whoever opens the
    /// store, and by nobody else. They have no caches and no chunks, and compaction leaves of them the rows
    /// that there are, whatever [`Options::retention`] says. None.
    pub tables_from: Option<u64>,
    /// How many of the newest complete segments compaction leaves as they are. 2.
    pub keep_complete_chunks: usize,
    /// How entries are put together.
    pub collapse: CollapseOptions,
    /// The bounds of the logs' caches, and what they share; `None`: no caches.
    pub cache: Option<CacheOptions>,
    /// How chunks are sealed.
    pub chunk: ChunkOptions,
    /// Whether chunks get a compressed twin. No.
    pub gzip: bool,
    /// Chunks shorter than this are not worth a `sendfile`. 64 KiB.
    pub min_file_bytes: u64,
    /// Told of each chunk that was sealed, or could not be; by the thread that seals.
    pub on_sealed: Option<OnSealed>,
    /// Whether there are threads that make durable, flush, checkpoint, seal and compact; without them that
    /// is up to whoever calls.
    pub background: bool,
    /// How often entries in memory go to their files. 1 s.
    pub flush_period: Duration,
    /// How often logs are looked through for what can be compacted. 10 min.
    pub compaction_period: Duration,
    /// Told whenever more is durable, in ascending order, by one thread at a time. It must not call the
    /// store.
    pub on_durable: Option<OnDurable>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: Fsync::Always,
            journal_file_bytes: 16 << 20,
            chunk_bytes_threshold: 10 << 20,
            memory_bytes: 64 << 20,
            checkpoint_above_bytes: 64 << 20,
            retention: Retention::Collapse,
            tables_from: None,
            keep_complete_chunks: 2,
            collapse: CollapseOptions::default(),
            cache: Some(CacheOptions::default()),
            chunk: ChunkOptions::default(),
            gzip: false,
            min_file_bytes: 64 << 10,
            on_sealed: None,
            background: true,
            flush_period: Duration::from_secs(1),
            compaction_period: Duration::from_secs(600),
            on_durable: None,
        }
    }
}

impl Options {
    /// Whether the log of this id is a table.
    pub(crate) fn is_table(&self, log: u64) -> bool {
        self.tables_from.is_some_and(|first| log >= first)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("fsync", &self.fsync)
            .field("chunk_bytes_threshold", &self.chunk_bytes_threshold)
            .field("memory_bytes", &self.memory_bytes)
            .field("checkpoint_above_bytes", &self.checkpoint_above_bytes)
            .field("background", &self.background)
            .finish_non_exhaustive()
    }
}
