//! Errors as terms: `{:error, {code, message, position, sqlstate}}`.

use crate::atoms;
use rustler::{Atom, Encoder, Env, Term};

/// What went wrong, ready to be told to Erlang. In a box, so that results are small.
#[derive(Debug)]
pub(crate) struct NifError(Box<Told>);

#[derive(Debug)]
struct Told {
    code: &'static str,
    message: String,
    position: Option<usize>,
    sqlstate: Option<String>,
}

impl NifError {
    #[cold]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Told { code, message, position: None, sqlstate: None }))
    }

    /// The same error, with where in the text it is.
    pub fn with_position(mut self, position: Option<usize>) -> Self {
        self.0.position = position;
        self
    }

    /// The same error, with PostgreSQL's code for it.
    pub fn with_sqlstate(mut self, sqlstate: Option<&str>) -> Self {
        self.0.sqlstate = sqlstate.map(str::to_owned);
        self
    }

    pub fn argument(message: impl Into<String>) -> Self {
        Self::new("invalid_argument", message)
    }

    /// Whether PostgreSQL's code for it is this one.
    pub fn has_sqlstate(&self, sqlstate: &str) -> bool {
        self.0.sqlstate.as_deref() == Some(sqlstate)
    }

    /// The same error, with where it was met in front.
    pub fn at(mut self, place: impl std::fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }
}

impl From<shape_router::Error> for NifError {
    fn from(error: shape_router::Error) -> Self {
        Self::new(error.code(), error.to_string())
            .with_position(error.position())
            .with_sqlstate(error.sqlstate())
    }
}

impl From<shape_expr::Error> for NifError {
    fn from(error: shape_expr::Error) -> Self {
        Self::new(error.code(), error.to_string())
            .with_position(error.position())
            .with_sqlstate(error.sqlstate())
    }
}

impl From<shape_log::Error> for NifError {
    fn from(error: shape_log::Error) -> Self {
        use shape_log::Error as E;
        let message = error.to_string();
        let code = match error {
            E::Storage(error) => return shape_router::Error::from(error).into(),
            E::OutOfOrder { .. } => "out_of_order",
            E::OtherFragment { .. } | E::OtherTransaction { .. } => "out_of_order",
            E::UnknownLog { .. } => "unknown_shape",
            E::LogExists { .. } => "duplicate_shape",
            E::Gone { .. } => "compacted",
            E::Ahead { .. } => "offset_ahead",
            E::NoSuchChunk { .. } => "unknown_chunk",
            _ => "invalid_argument",
        };
        Self::new(code, message)
    }
}

impl From<pg_wal::Error> for NifError {
    fn from(error: pg_wal::Error) -> Self {
        let (code, position) = match &error {
            pg_wal::Error::Malformed { offset, .. } => ("malformed_message", Some(*offset)),
            pg_wal::Error::UnknownMessage { .. } => ("malformed_message", Some(0)),
            pg_wal::Error::OutOfPlace { .. } => ("out_of_place", None),
            pg_wal::Error::Unsupported { .. } => ("not_supported", None),
            pg_wal::Error::UnknownRelation { .. } => ("unknown_relation", None),
            pg_wal::Error::InvalidOption { .. } => ("invalid_argument", None),
            pg_wal::Error::TableMissing { .. } => ("unknown_table", None),
            _ => ("source_error", None),
        };
        let sqlstate = match &error {
            pg_wal::Error::Server { code, .. } => Some(code.as_str()),
            _ => None,
        };
        Self::new(code, error.to_string()).with_position(position).with_sqlstate(sqlstate)
    }
}

impl From<wal_change::Error> for NifError {
    fn from(error: wal_change::Error) -> Self {
        match error {
            wal_change::Error::Wal(error) => error.into(),
            wal_change::Error::InvalidName { .. } => Self::argument(error.to_string()),
            other => Self::new("malformed_message", other.to_string()),
        }
    }
}

impl Encoder for NifError {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        let Told { code, message, position, sqlstate } = &*self.0;
        let code = Atom::from_str(env, code).unwrap_or_else(|_| atoms::error());
        (atoms::error(), (code, message, position, sqlstate.as_deref())).encode(env)
    }
}

/// `result`, or its error as a term.
pub(crate) fn reply<'a>(env: Env<'a>, result: Result<Term<'a>, NifError>) -> Term<'a> {
    result.unwrap_or_else(|error| error.encode(env))
}
