//! What can go wrong. Whatever it is, the circuit stays as it was.

use shape_expr::EvalError;

use crate::view::ViewId;

/// A table, view or batch that is refused, with what and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table's description contradicts itself.
    #[error("table {table}: {message}")]
    InvalidTable {
        /// The table.
        table: String,
        /// What is wrong with it.
        message: String,
    },
    /// Two tables have one name.
    #[error("table {table} is there twice")]
    DuplicateTable {
        /// The table.
        table: String,
    },
    /// A table that the circuit does not have.
    #[error("there is no table {table}")]
    UnknownTable {
        /// The name as given.
        table: String,
        /// The operation of the batch, or the byte of the query, that names it.
        at: usize,
    },
    /// A view that is not registered.
    #[error("there is no view {0}")]
    UnknownView(ViewId),
    /// A view of that id is registered already.
    #[error("view {0} is registered already")]
    DuplicateView(ViewId),
    /// Two tables of a query go by one name.
    #[error("table name {name} is specified more than once")]
    DuplicateName {
        /// The name.
        name: String,
        /// The byte of the query where the second one stands.
        at: usize,
    },
    /// A query that is refused; the error inside says at which byte.
    #[error("{0}")]
    Query(#[from] shape_expr::Error),
    /// An expression raised for a row, as PostgreSQL would have.
    #[error("evaluating view {view}: {raised}")]
    Raised {
        /// A view that needs the expression.
        view: ViewId,
        /// What it raised.
        raised: EvalError,
    },
    /// A value that is none of its column's type.
    #[error("operation {operation} on table {table}, column {column}: {raised}")]
    TypeMismatch {
        /// The operation's place in the batch, from 0.
        operation: usize,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why the value cannot be read.
        raised: EvalError,
    },
    /// A record, or a key, of the wrong number of values.
    #[error("operation {operation} on table {table} has {found} values where {expected} belong")]
    WrongLength {
        /// The operation's place in the batch, from 0.
        operation: usize,
        /// The table.
        table: String,
        /// How many values it takes.
        expected: usize,
        /// How many it got.
        found: usize,
    },
    /// A new row without a value, NULL included, for a column.
    #[error("operation {operation} on table {table}: column {column} has no value")]
    MissingValue {
        /// The operation's place in the batch, from 0.
        operation: usize,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// NULL in a primary key.
    #[error("operation {operation} on table {table}: key column {column} is NULL")]
    NullKey {
        /// The operation's place in the batch, from 0.
        operation: usize,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// An update or deletion of a row that is not there.
    #[error("operation {operation}: table {table} has no row {key}")]
    MissingRow {
        /// The operation's place in the batch, from 0.
        operation: usize,
        /// The table.
        table: String,
        /// The row's key.
        key: String,
    },
    /// A snapshot is not what was written.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// Where, in bytes from the start.
        offset: u64,
        /// What does not fit.
        what: String,
    },
    /// A snapshot of another version of the library; it is left untouched.
    #[error("{path} has format version {version}; this library reads version {supported}")]
    UnknownVersion {
        /// The file.
        path: String,
        /// The version that it names.
        version: u32,
        /// The newest one that is read.
        supported: u32,
    },
    /// The file system refused something.
    #[error("{operation} {path}: {message}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: String,
        /// Of which kind the system's answer was.
        kind: std::io::ErrorKind,
        /// What the system answered.
        message: String,
    },
    /// A view of a snapshot that cannot be registered again.
    #[error("view {view} cannot be restored: {error}")]
    NotRestored {
        /// The view.
        view: ViewId,
        /// Why.
        error: Box<Error>,
    },
    /// A row under a key that another one has.
    #[error("operation {operation}: table {table} has a row {key} already")]
    DuplicateRow {
        /// The operation's place in the batch, from 0.
        operation: usize,
        /// The table.
        table: String,
        /// The row's key.
        key: String,
    },
}

impl Error {
    /// Where: the byte of the query, or the operation of the batch, from 0.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        match self {
            Error::Query(error) => error.position(),
            Error::UnknownTable { at, .. } | Error::DuplicateName { at, .. } => Some(*at),
            Error::TypeMismatch { operation, .. }
            | Error::WrongLength { operation, .. }
            | Error::MissingValue { operation, .. }
            | Error::NullKey { operation, .. }
            | Error::MissingRow { operation, .. }
            | Error::DuplicateRow { operation, .. } => Some(*operation),
            _ => None,
        }
    }

    /// PostgreSQL's code for it, where it has one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Error::Query(error) => error.sqlstate(),
            Error::Raised { raised, .. } | Error::TypeMismatch { raised, .. } => {
                Some(raised.sqlstate())
            }
            Error::UnknownTable { .. } => Some("42P01"),
            Error::DuplicateName { .. } => Some("42712"),
            Error::DuplicateTable { .. } => Some("42P07"),
            Error::NullKey { .. } => Some("23502"),
            Error::DuplicateRow { .. } => Some("23505"),
            _ => None,
        }
    }

    /// A stable name for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Error::InvalidTable { .. } => "invalid_table",
            Error::DuplicateTable { .. } => "duplicate_table",
            Error::UnknownTable { .. } => "unknown_table",
            Error::DuplicateName { .. } => "duplicate_name",
            Error::UnknownView(_) => "unknown_view",
            Error::DuplicateView(_) => "duplicate_view",
            Error::Query(error) => error.code(),
            Error::Raised { .. } => "raised",
            Error::TypeMismatch { .. } => "type_mismatch",
            Error::WrongLength { .. } => "wrong_length",
            Error::MissingValue { .. } => "missing_value",
            Error::NullKey { .. } => "null_key",
            Error::MissingRow { .. } => "missing_row",
            Error::DuplicateRow { .. } => "duplicate_row",
            Error::Damaged { .. } => "damaged",
            Error::UnknownVersion { .. } => "unknown_version",
            Error::Io { .. } => "io",
            Error::NotRestored { .. } => "not_restored",
        }
    }
}
