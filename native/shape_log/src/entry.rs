//! What a log holds.

use crate::Offset;

/// What an entry does to its row. The numbers stand in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// The row enters.
    Insert = 1,
    /// The row changes.
    Update = 2,
    /// The row leaves.
    Delete = 3,
    /// The row changes, and its key.
    Rekey = 4,
    /// The row is there from now on; whether it was is not known.
    Upsert = 5,
    /// The row is gone from now on; whether it was there is not known.
    DeleteIfPresent = 6,
    /// All rows leave.
    Truncate = 7,
    /// What it does could not be told.
    Unknown = 8,
}

impl Op {
    /// The operation of a number in a file.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        use Op::{Delete, DeleteIfPresent, Insert, Rekey, Truncate, Unknown, Update, Upsert};
        [Insert, Update, Delete, Rekey, Upsert, DeleteIfPresent, Truncate, Unknown]
            .into_iter()
            .find(|op| *op as u8 == number)
    }
}

/// One entry of a log, wherever its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its place.
    pub offset: Offset,
    /// What it does to its row.
    pub op: Op,
    /// The key of the row, in bytes that are equal where keys are.
    pub key: &'a [u8],
    /// What clients are sent: a JSON value, not looked into.
    pub json: &'a [u8],
}
