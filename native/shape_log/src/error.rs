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
    /// An entry is of another transaction than the one it came with.
    #[error("an entry at {offset} came with the transaction at {lsn}")]
    OtherTransaction {
        /// The transaction.
        lsn: u64,
        /// The entry.
        offset: Offset,
    },
    /// A fragment that does not continue the transaction that is coming in.
    #[error(
        "fragment {got} of the transaction at {lsn} came where {expected} of the one at {of} could"
    )]
    OtherFragment {
        /// The transaction of the fragment.
        lsn: u64,
        /// Its number.
        got: u32,
        /// The transaction that is coming in.
        of: u64,
        /// The number of its next fragment.
        expected: u32,
    },
    /// The records of a source must have ascending numbers.
    #[error("record {seq} of source {source_id} cannot follow {last}")]
    RecordOutOfOrder {
        /// The source.
        source_id: u32,
        /// The number of its last record.
        last: u64,
        /// The number of this one.
        seq: u64,
    },
    /// There is no log of that id.
    #[error("there is no log {log}")]
    UnknownLog {
        /// The id.
        log: u64,
    },
    /// There is a log of that id.
    #[error("log {log} is there already")]
    LogExists {
        /// The id.
        log: u64,
    },
    /// The log's snapshot part is not there yet.
    #[error("log {log} has not got its snapshot part yet")]
    AwaitsSnapshot {
        /// The log.
        log: u64,
    },
    /// The log was not created to get a snapshot part, or has got it.
    #[error("log {log} does not wait for a snapshot part")]
    NoSnapshotAwaited {
        /// The log.
        log: u64,
    },
    /// What comes after the offset is not kept any more.
    #[error("log {log} begins behind {floor} now: what came after {offset} is gone")]
    Gone {
        /// The log.
        log: u64,
        /// The offset that was asked for.
        offset: Offset,
        /// The oldest one that can be.
        floor: Offset,
    },
    /// The log has not come to the offset.
    #[error("log {log} ends at {newest}, before {offset}")]
    Ahead {
        /// The log.
        log: u64,
        /// The offset that was asked for.
        offset: Offset,
        /// Where it ends.
        newest: Offset,
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
    /// An entry of a table's log is about no row that is there, or is none about a row at all.
    #[error("the entry at {offset} of a table's log is about no row that is there")]
    NoRow {
        /// The entry.
        offset: Offset,
    },
    /// A range that is read twice gave other entries the second time.
    #[error("the entries of the range are not those that were read before")]
    SourceChanged,
}

impl Error {
    /// A failure after which the store refuses work.
    pub(crate) fn failed(cause: &str) -> Self {
        Self::Storage(lane_index::Error::Failed { cause: cause.to_owned() })
    }
}
