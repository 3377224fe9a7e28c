//! Sealed chunks: ranges of a log as files that can be sent as they are.
//!
//! A chunk is a JSON array of the entries behind its start, up to and including its end. Whoever has
//! applied everything up to the start is given the file and has then everything up to the end. Chunks do
//! not overlap; one that is sealed over a range of whole ones takes their place.
//!
//! ```
//! use std::sync::Arc;
//! use lane_index::storage::Directory;
//! use shape_log::chunk::{ChunkOptions, ChunkStore};
//! use shape_log::{Entry, Offset, Op};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let store = ChunkStore::open(Arc::new(Directory::open(path)?), ChunkOptions::default())?;
//! let entry = |op, json| Entry { offset: Offset::new(9, op), op: Op::Insert, key: b"1", json };
//! let entries = [entry(0, &b"{\"a\":1}"[..]), entry(1, &b"{\"a\":2}"[..])];
//! let chunk = store.seal(Offset::ZERO, Offset::new(9, 1), &mut entries.iter(), true)?;
//!
//! assert_eq!(store.find(Offset::ZERO), Some(chunk));
//! assert_eq!(chunk.name(), "000001.0_0.9_1.json");
//! // As long as somebody has the lease, the files stay.
//! let lease = store.lease(chunk.seq)?;
//! let file = lease.path().expect("it is in a directory");
//! assert_eq!(std::fs::read(file)?, b"[{\"a\":1},{\"a\":2}]");
//! store.verify(chunk.seq)?;
//! # Ok(())
//! # }
//! ```

mod index;
mod lease;
mod names;
mod open;
mod render;
mod store;
mod verify;

pub use lease::Lease;
pub use open::Opened;
pub use store::ChunkStore;

use crate::Offset;

/// How chunks are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkOptions {
    /// How hard the compressed twin is compressed, 1 (fast) to 9. Default: 6.
    pub gzip_level: u32,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self { gzip_level: 6 }
    }
}

/// A sealed chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Its number, given once.
    pub seq: u64,
    /// It holds what is behind this offset,
    pub start: Offset,
    /// up to and including this one.
    pub end: Offset,
    /// How many entries.
    pub count: u64,
    /// The length of its file.
    pub bytes: u64,
    /// The XXH3 of its file.
    pub checksum: u64,
    /// The compressed twin, where it has one.
    pub gzip: Option<GzipMeta>,
}

/// The compressed twin of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GzipMeta {
    /// The length of its file.
    pub bytes: u64,
    /// The XXH3 of its file.
    pub checksum: u64,
}

impl ChunkMeta {
    /// The name of its file.
    #[must_use]
    pub fn name(&self) -> String {
        names::chunk(self.seq, self.start, self.end, false)
    }

    /// The name of the compressed twin's file.
    #[must_use]
    pub fn gzip_name(&self) -> Option<String> {
        self.gzip.map(|_| names::chunk(self.seq, self.start, self.end, true))
    }

    /// The entity tag of its file, with quotes: no other content ever has the same.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{:06}-{:016x}\"", self.seq, self.checksum)
    }

    /// The entity tag of the compressed twin.
    #[must_use]
    pub fn gzip_etag(&self) -> Option<String> {
        self.gzip.map(|gzip| format!("\"{:06}-{:016x}-gz\"", self.seq, gzip.checksum))
    }
}
