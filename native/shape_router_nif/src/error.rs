//! Errors as terms: `{:error, {code, message, position, sqlstate}}`.

use crate::atoms;
use rustler::{Atom, Encoder, Env, Term};

/// What went wrong, ready to be told to Erlang.
#[derive(Debug)]
pub(crate) struct NifError {
    pub code: &'static str,
    pub message: String,
    pub position: Option<usize>,
    pub sqlstate: Option<String>,
}

impl NifError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), position: None, sqlstate: None }
    }

    pub fn argument(message: impl Into<String>) -> Self {
        Self::new("invalid_argument", message)
    }

    /// The same error, with where it was met in front.
    pub fn at(mut self, place: impl std::fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl From<shape_router::Error> for NifError {
    fn from(error: shape_router::Error) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            position: error.position(),
            sqlstate: error.sqlstate().map(str::to_owned),
        }
    }
}

impl From<shape_expr::Error> for NifError {
    fn from(error: shape_expr::Error) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
            position: error.position(),
            sqlstate: error.sqlstate().map(str::to_owned),
        }
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
            _ => ("source_error", None),
        };
        Self { code, message: error.to_string(), position, sqlstate: None }
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
        let code = Atom::from_str(env, self.code).unwrap_or_else(|_| atoms::error());
        (atoms::error(), (code, &self.message, self.position, self.sqlstate.as_deref())).encode(env)
    }
}

/// `result`, or its error as a term.
pub(crate) fn reply<'a>(env: Env<'a>, result: Result<Term<'a>, NifError>) -> Term<'a> {
    result.unwrap_or_else(|error| error.encode(env))
}
