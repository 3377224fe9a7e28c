//! The crate's error.

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The message itself, or its place in the stream, is wrong.
    #[error(transparent)]
    Wal(#[from] pg_wal::Error),
    /// A row with another number of columns than its table has.
    #[error("a row of relation {oid} has {found} columns, its Relation message told {expected}")]
    ColumnCount {
        /// The table's OID.
        oid: u32,
        /// What the Relation message told.
        expected: usize,
        /// What the row has.
        found: usize,
    },
    /// Text that is no table's name.
    #[error("`{text}` is no table's name (such as todos, app.todos or \"My App\".todos)")]
    InvalidName {
        /// The text, cut to 64 characters.
        text: String,
    },
}
