//! The crate's error.

use crate::Lsn;
use crate::source::TableName;

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that is no LSN.
    #[error("`{text}` is not an LSN (such as 16/B374D848)")]
    InvalidLsn {
        /// The text, cut to 64 characters.
        text: String,
    },
    /// A pgoutput message that does not have the form its tag promises.
    #[error("malformed `{}` message at byte {offset}: expected {expected}", tag_name(*.tag))]
    Malformed {
        /// The message's first byte; 0 when there is none.
        tag: u8,
        /// The byte of the message at which reading it failed.
        offset: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// A first byte that no message of this protocol version has.
    #[error("unknown pgoutput message `{}` in protocol version {protocol}", tag_name(*.tag))]
    UnknownMessage {
        /// The message's first byte.
        tag: u8,
        /// The protocol version that was asked for.
        protocol: u8,
    },
    /// A well-formed message where the stream may not have one.
    #[error("unexpected `{message}` message: {reason}")]
    OutOfPlace {
        /// The message's name.
        message: &'static str,
        /// Why it may not come here.
        reason: &'static str,
    },
    /// A message of a feature that was not asked for (two-phase commit).
    #[error("`{message}` messages are not supported: create the slot without two-phase commit")]
    Unsupported {
        /// The message's name.
        message: &'static str,
    },
    /// A row of a table that no Relation message has described.
    #[error("a row of relation {oid}, which no Relation message has described")]
    UnknownRelation {
        /// The table's OID.
        oid: u32,
    },
    /// Transactions streamed in progress outgrew [`Limits::streamed_bytes`](crate::Limits).
    #[error(
        "transactions in progress hold {bytes} bytes, more than the limit of {limit} \
         (the last is {xid})"
    )]
    StreamedTooLarge {
        /// The transaction that was being received.
        xid: u32,
        /// The bytes held.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An option with a value that cannot work.
    #[error("option `{option}`: {reason}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection could not be made, or broke.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// Nothing came within the time allowed.
    #[error("{doing}: no answer within {seconds} s")]
    Timeout {
        /// What was being done.
        doing: &'static str,
        /// The time allowed.
        seconds: u64,
    },
    /// TLS could not be set up as asked for.
    #[error("TLS: {reason}")]
    Tls {
        /// What went wrong.
        reason: String,
    },
    /// The server asks for a way of authentication that we cannot serve, or did not prove itself.
    #[error("authentication: {reason}")]
    Authentication {
        /// What went wrong.
        reason: String,
    },
    /// The server answered with an error.
    #[error("{doing}: {severity} {code}: {message}{}", detail_text(.detail))]
    Server {
        /// What was being done.
        doing: &'static str,
        /// `ERROR`, `FATAL` or `PANIC`.
        severity: String,
        /// The SQLSTATE.
        code: String,
        /// The message.
        message: String,
        /// Its detail or hint, or an empty text.
        detail: String,
    },
    /// The server sent something that the replication protocol does not allow here.
    #[error("{doing}: unexpected answer: {found}")]
    Protocol {
        /// What was being done.
        doing: &'static str,
        /// What came.
        found: String,
    },
    /// The slot does not exist, and the options forbid to create it.
    #[error("replication slot `{slot}` does not exist")]
    SlotMissing {
        /// The slot's name.
        slot: String,
    },
    /// The slot has gone, or its WAL has, while we used it: changes are missing from here on.
    #[error(
        "replication slot `{slot}` is lost ({reason}); changes after {confirmed} may be missing, \
         so shapes have to be read again"
    )]
    SlotLost {
        /// The slot's name.
        slot: String,
        /// How it was lost.
        reason: &'static str,
        /// What had been confirmed.
        confirmed: Lsn,
    },
    /// A slot of this name exists, but is not one that we could use.
    #[error("replication slot `{slot}` cannot be used: {reason}")]
    SlotMismatch {
        /// The slot's name.
        slot: String,
        /// Why not.
        reason: String,
    },
    /// The publication, or a table in it, is missing, and the options forbid to create it.
    #[error("publication `{publication}`: {reason}")]
    Publication {
        /// The publication's name.
        publication: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// A table that is to be read is not there.
    #[error("there is no table {table}")]
    TableMissing {
        /// Its name.
        table: TableName,
    },
    /// The consumer's function panicked; the source has ended.
    #[error("the sink panicked: {message}")]
    SinkPanicked {
        /// The panic's message.
        message: String,
    },
    /// The source's thread could not be started.
    #[error("cannot start the source's thread: {source}")]
    Thread {
        /// The system's error.
        source: std::io::Error,
    },
    /// The source's thread did not end in time (its sink is probably blocked); it will end as soon
    /// as the sink returns.
    #[error("the source did not stop within {seconds} s")]
    StopTimeout {
        /// The time allowed.
        seconds: u64,
    },
}

impl Error {
    /// Whether connecting again may help.
    ///
    /// True of lost connections, servers that start up or shut down, exhausted resources, slots
    /// still held by a connection that is on its way out. False of everything that stays wrong
    /// until somebody mends it: bad authentication, missing rights, a lost slot, `wal_level`.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Io { .. } | Error::Timeout { .. } => true,
            Error::Server { code, .. } => {
                // Connection trouble, resources, operator intervention, internal errors.
                ["08", "53", "57", "40", "XX"].iter().any(|class| code.starts_with(class))
                    || code == "55006" // object in use: our old connection holds the slot
            }
            _ => false,
        }
    }
}

fn tag_name(tag: u8) -> String {
    match tag {
        0 => "empty".to_owned(),
        tag if tag.is_ascii_graphic() => char::from(tag).to_string(),
        tag => format!("{tag:#04x}"),
    }
}

fn detail_text(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}
