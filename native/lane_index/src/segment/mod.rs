//! Segments: immutable, built once of a flush or a merge, looked up without locks.
//!
//! A segment holds postings by (lane, hash) in that order, cut into *blocks* of up to a quarter of
//! a million keys; a lane begins a new block unless the one before is small. A block has
//!
//! - a **hot part**: the pilots of a perfect hash function, which give each key a slot; a
//!   *presence* byte a slot; a few bytes a slot with more fingerprint bits and the value beside
//!   them: one id, or where in the pool the list lies; the pool;
//! - a **cold part**: the full hashes, Elias-Fano coded, for merges and verification.
//!
//! The presence bytes are the filter in front of the segment: a key that is not there is told apart
//! by one of them, 254 times in 255, without touching a slot. A binary fuse filter (the crate `xorf`)
//! answers the same question with the same certainty, but from three cache lines in 1.13 bytes a key
//! instead of one in 1.01, and its byte is of no further use, while a presence byte is eight bits of
//! the fingerprint that the slot then need not hold. The perfect hash function is our own too, for
//! reasons of format and trust that `phf.rs` has; it takes 0.32 bytes a key.
//!
//! Measured at ten million keys with one id each: 5.4 bytes a key resident (5.8 as the process sees
//! it), 11.5 on disk with the cold part.
//!
//! Blocks do not depend on each other: while a builder gathers one, threads of the library encode
//! those before it (`line.rs`), and the bytes are the same however many there are.
//!
//! The bytes are described in `docs/formats.md`.

mod block;
mod builder;
mod elias_fano;
mod entries;
mod format;
mod held;
mod line;
mod phf;
mod reader;
mod tables;

pub use builder::{Memory, SegmentBuilder};
pub use entries::{Entries, Entry};
pub(crate) use reader::Probe;
pub use reader::Segment;
pub(crate) use tables::Found;

/// What a segment is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentOptions {
    /// How many lanes there are, up to 65,536; a key of another lane is refused.
    pub lanes: u32,
    /// The level the segment belongs to; kept in the file for those who look into it.
    pub level: u32,
}

/// How a segment is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// Whether the file is memory-mapped; else it is read into memory.
    pub mmap: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { mmap: true }
    }
}

/// What the manifest keeps of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMeta {
    /// The file, relative to the directory of the index; empty for a segment in memory.
    pub name: String,
    /// The level that it was built for.
    pub level: u32,
    /// How many keys have a posting.
    pub keys: u64,
    /// How many ids the postings add.
    pub adds: u64,
    /// How many ids the postings remove (tombstones).
    pub removes: u64,
    /// The length of the file.
    pub bytes: u64,
    /// The checksum in the footer; through the block directory it covers every byte but the header,
    /// which has its own.
    pub checksum: u64,
}

/// Whether a file that was found is a segment that this version of the library may remove: all but
/// those of another version, also one that was never finished.
pub(crate) fn is_ours(file: &dyn crate::ReadAt) -> Result<bool, crate::Error> {
    let mut header = [0; format::HEADER_LEN];
    if file.len() < header.len() as u64 {
        return Ok(true);
    }
    file.read_exact_at(&mut header, 0)?;
    let read = format::Header::decode("", &header);
    Ok(!matches!(read, Err(crate::Error::UnknownVersion { .. })))
}
