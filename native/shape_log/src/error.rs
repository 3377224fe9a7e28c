//! What can go wrong, with where it did.

use crate::Offset;

/// An error of the logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory, a file in it, or the journal.
    #[error(transparent)]
    Storage(#[from] lane_index::Error),
    /// Entries must come in ascending order.
    #[error("an entry at {offset} cannot follow one at {last}")]
    OutOfOrder {
        /// The newest offset of the log.
        last: Offset,
        /// The one that was to be appended.
        offset: Offset,
    },
    /// A chunk must hold a range.
    #[error("a chunk from {start} to {end} would hold nothing")]
    EmptyChunk {
        /// Where it was to start.
        start: Offset,
        /// Where it was to end.
        end: Offset,
    },
    /// Chunks do not overlap, but one may take the place of whole ones.
    #[error("a chunk from {start} to {end} would cut through chunk {with}")]
    ChunkOverlap {
        /// Where it was to start.
        start: Offset,
        /// Where it was to end.
        end: Offset,
        /// The chunk that it would cut through.
        with: u64,
    },
    /// The entries that a chunk is to hold end with it.
    #[error("an entry at {offset} is beyond the chunk, which ends at {end}")]
    BeyondChunk {
        /// Where the chunk ends.
        end: Offset,
        /// The entry.
        offset: Offset,
    },
    /// There is no chunk of that number, or not any more.
    #[error("there is no chunk {seq}")]
    NoSuchChunk {
        /// The number.
        seq: u64,
    },
    /// A range that is read twice gave other entries the second time.
    #[error("the entries of the range are not those that were read before")]
    SourceChanged,
}
