//! pgoutput messages: bytes in, borrowed [`Message`]s out.
//!
//! Nothing is copied: names and column values are slices of the input. Every length and count is
//! checked against what is there before it is used, so malformed input costs an
//! [`Error::Malformed`](crate::Error::Malformed) with its byte offset, never a panic or a large
//! allocation.

mod decoder;
mod message;
mod reader;
mod tuple;

pub use decoder::{Decoder, Streaming};
pub use message::{
    Begin, Commit, Delete, Insert, LogicalMessage, Message, OldTuple, Origin, Prepared, Relation,
    RelationColumn, ReplicaIdentity, RollbackPrepared, StreamAbort, StreamCommit, StreamStart,
    Truncate, Type, Update,
};
pub use tuple::{Column, Columns, Tuple};
