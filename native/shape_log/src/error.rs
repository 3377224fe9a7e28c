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
}
