//! `LaneIndex`: a persistent multimap from 64-bit key hashes to `u32` ids.
//!
//! A small mutable overlay lies over immutable segments (presence filter, minimal perfect hash,
//! fingerprints, packed values), cut into lanes that are chosen by a jump consistent hash.

pub mod backup;
mod error;
mod ids;
pub mod journal;
pub mod lock;
pub mod manifest;
mod prefetch;
mod segment;
pub mod storage;

pub use error::Error;
pub use ids::{DELTA_MAX, Ids, Posting};
pub use segment::{
    Entries, Entry, Memory, OpenOptions, Segment, SegmentBuilder, SegmentMeta, SegmentOptions,
};
pub use storage::{Mapped, ReadAt, Storage, StorageFile};
