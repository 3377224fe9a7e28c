//! `LaneIndex`: a persistent multimap from 64-bit key hashes to `u32` ids.
//!
//! A small mutable overlay lies over immutable segments (presence bytes, minimal perfect hash,
//! fingerprints, packed values), cut into lanes that are chosen by a jump consistent hash. Look-ups
//! take no lock; flushes and merges run on threads of the library.
//!
//! ```
//! use lane_index::{Answer, LaneIndex, Options};
//!
//! # fn main() -> Result<(), lane_index::Error> {
//! let index = LaneIndex::in_memory(Options::default())?;
//! let alice = index.hash_key().hash_bytes(b"alice");
//! index.insert(alice, 7)?;
//! index.insert(alice, 3)?;
//! index.remove(alice, 7)?;
//!
//! let mut ids = Vec::new();
//! assert_eq!(index.get(alice, &mut ids), Answer::Complete);
//! assert_eq!(ids, [3]);
//! # Ok(())
//! # }
//! ```

mod allocator;
mod background;
pub mod backup;
pub mod blocks;
mod bytes;
pub mod codec;
mod compaction;
mod disk;
mod error;
mod group;
pub mod hash;
mod ids;
mod index;
pub mod journal;
mod levels;
pub mod lock;
mod lookup;
pub mod manifest;
mod merge;
mod options;
mod overlay;
mod prefetch;
mod read_mostly;
mod reaper;
pub mod sealed;
mod segment;
mod state;
mod stats;
pub mod storage;
mod swap;
mod trigger;
mod view;

pub use allocator::Allocator;
pub use background::run_after;
pub use error::Error;
pub use hash::HashKey;
pub use ids::{DELTA_MAX, Ids, Posting};
pub use index::LaneIndex;
pub use journal::{Fsync, Op};
pub use levels::{MAX_RUNS, RATIO};
pub use lookup::{Answer, Reader};
pub use options::{Journaling, Maintenance, Options};
pub use prefetch::prefetch;
pub use read_mostly::{ReadGuard, ReadMostly};
pub use segment::{
    Entries, Entry, Memory, OpenOptions, Segment, SegmentBuilder, SegmentMeta, SegmentOptions,
};
pub use stats::{Latency, Stats};
pub use storage::{Mapped, ReadAt, Storage, StorageFile};
