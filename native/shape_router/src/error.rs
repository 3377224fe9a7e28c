//! The crate's errors.

use std::sync::Arc;

/// What can go wrong. Every variant names what was wrong and where.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The clause is refused.
    #[error("shape {id}: {source}")]
    Clause {
        /// The shape whose clause it is.
        id: u64,
        /// The reason, with its position.
        source: shape_expr::Error,
    },
    /// The table's columns are refused.
    #[error(transparent)]
    Schema(#[from] shape_expr::Error),
    /// A shape with this id exists.
    #[error("shape {0} exists already")]
    DuplicateShape(u64),
    /// No shape has this id.
    #[error("there is no shape {0}")]
    UnknownShape(u64),
    /// A key that was given for a shape is not one of this table.
    #[error("shape {id}: key {index} of its keys: {reason}")]
    InvalidKey {
        /// The shape that it was given for.
        id: u64,
        /// Which of the keys, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A primary key column that the table does not have.
    #[error("the primary key names a column that the table does not have: {0}")]
    UnknownKeyColumn(String),
    /// The router's limit on shapes is reached.
    #[error("the limit of {limit} shapes is reached")]
    TooManyShapes {
        /// The limit.
        limit: usize,
    },
    /// The router's limit on memory is reached.
    #[error("the limit of {limit} bytes is reached: {needed} would be in use")]
    TooManyBytes {
        /// The limit, in bytes.
        limit: usize,
        /// What would be in use, in bytes.
        needed: usize,
    },
    /// The router was closed.
    #[error("the router is closed")]
    Closed,
    /// A transaction's routing was continued after another one had begun.
    #[error("the transaction at {lsn} is not the one being routed: another call began one")]
    StaleTransaction {
        /// Its commit LSN.
        lsn: u64,
    },
    /// A transaction was acknowledged while its routing was still going on.
    #[error("the transaction at {lsn} is still being routed")]
    TransactionInProgress {
        /// Its commit LSN.
        lsn: u64,
    },
    /// The directory cannot be read or written. Named: the file, and the byte where there is one.
    #[error(transparent)]
    Storage(Arc<lane_index::Error>),
    /// The directory holds a router of another kind than was asked for.
    #[error("the directory has another router: {0}")]
    Mismatch(String),
    /// The router lies in no directory.
    #[error("the router is in memory: it has no directory to copy")]
    InMemory,
    /// A setting that a router cannot be made with.
    #[error("{setting}: {reason}")]
    InvalidSetting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No shape uses a set of this subquery.
    #[error("no shape uses the subquery {0:?}")]
    UnknownSet(String),
    /// A value that is none of what a subquery selects.
    #[error("value {index} for the subquery {subquery:?}: {reason}")]
    InvalidValue {
        /// The subquery.
        subquery: String,
        /// Which of the values, from 0; those that go are counted on behind those that come.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A change that lacks what its kind needs.
    #[error("{0}")]
    InvalidChange(&'static str),
}

impl Error {
    /// A stable name of the kind of error, for callers that match on it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Clause { source, .. } | Self::Schema(source) => source.code(),
            Self::DuplicateShape(_) => "duplicate_shape",
            Self::UnknownShape(_) => "unknown_shape",
            Self::InvalidKey { .. } => "invalid_key",
            Self::UnknownSet(_) => "unknown_set",
            Self::InvalidValue { .. } => "invalid_value",
            Self::UnknownKeyColumn(_) => "unknown_column",
            Self::TooManyShapes { .. } | Self::TooManyBytes { .. } => "limit_reached",
            Self::Closed => "closed",
            Self::StaleTransaction { .. } => "stale_transaction",
            Self::TransactionInProgress { .. } => "transaction_in_progress",
            Self::InvalidChange(_) => "invalid_change",
            Self::Mismatch(_) => "mismatch",
            Self::InMemory | Self::InvalidSetting { .. } => "invalid_argument",
            Self::Storage(error) => storage_code(error),
        }
    }

    /// The byte position in the clause, where there is one.
    pub fn position(&self) -> Option<usize> {
        match self {
            Self::Clause { source, .. } | Self::Schema(source) => source.position(),
            _ => None,
        }
    }

    /// PostgreSQL's SQLSTATE, where it would raise one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Clause { source, .. } | Self::Schema(source) => source.sqlstate(),
            _ => None,
        }
    }
}

impl From<lane_index::Error> for Error {
    fn from(error: lane_index::Error) -> Self {
        match error {
            lane_index::Error::Closed => Self::Closed,
            error => Self::Storage(Arc::new(error)),
        }
    }
}

fn storage_code(error: &lane_index::Error) -> &'static str {
    use lane_index::Error as E;
    match error {
        E::Locked { .. } => "locked",
        E::Damaged { .. } | E::Missing { .. } => "damaged",
        E::UnknownVersion { .. } => "unknown_version",
        E::Io { .. } => "io_error",
        E::Failed { .. } | E::Panicked { .. } => "failed",
        E::Limit { .. } => "limit_reached",
        E::NotEmpty { .. } => "not_empty",
        _ => "invalid_argument",
    }
}
