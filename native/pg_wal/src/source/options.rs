//! What a source may be told.

use crate::decode::Streaming;
use crate::{Error, Limits, Lsn};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Whether and how the connection is encrypted; libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it; its certificate is not checked.
    #[default]
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always, with a certificate for this host name from a trusted authority.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<SslMode, Error> {
        match text {
            "disable" => Ok(SslMode::Disable),
            "prefer" => Ok(SslMode::Prefer),
            "require" => Ok(SslMode::Require),
            "verify-full" => Ok(SslMode::VerifyFull),
            _ => Err(Error::InvalidOption {
                option: "ssl_mode",
                reason: format!("`{text}` is none of disable, prefer, require, verify-full"),
            }),
        }
    }
}

/// A table's schema and name, as they are (not quoted).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
}

impl TableName {
    /// A table of a schema.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The tables that the publication must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tables {
    /// `FOR ALL TABLES`, if the publication is to be created (which takes a superuser); an existing
    /// publication is used as it is.
    #[default]
    All,
    /// These; an existing publication gets those that it lacks.
    Only(Vec<TableName>),
}

/// The options of [`Source::start`](super::Source::start).
#[derive(Clone)]
pub struct Options {
    /// Host name or address, or, when it starts with `/`, the directory of the unix socket.
    /// `"127.0.0.1"` by default.
    pub host: String,
    /// 5432 by default.
    pub port: u16,
    /// `"postgres"` by default. It needs the `REPLICATION` attribute.
    pub user: String,
    /// None by default.
    pub password: Option<String>,
    /// `"postgres"` by default.
    pub database: String,
    /// [`SslMode::Prefer`] by default. Unix sockets are never encrypted.
    pub ssl_mode: SslMode,
    /// For [`SslMode::VerifyFull`]: a PEM file of the authorities to trust; the system's by default.
    pub ssl_root_cert: Option<PathBuf>,
    /// `"shape_router"` by default.
    pub application_name: String,
    /// The replication slot; `"shape_router"` by default.
    pub slot: String,
    /// Whether the slot is to go when the connection ends. False by default.
    pub temporary_slot: bool,
    /// Whether a missing slot may be created (at the first connection only). True by default.
    pub create_slot: bool,
    /// Whether to export a snapshot when the slot is created: [`Event::Started`](super::Event)
    /// then names it, and streaming begins after
    /// [`Handle::release_snapshot`](super::Handle::release_snapshot). False by default.
    pub export_snapshot: bool,
    /// The publication; `"shape_router"` by default.
    pub publication: String,
    /// Whether a missing publication may be created, and missing tables added. True by default.
    pub create_publication: bool,
    /// The tables that the publication must have; all by default.
    pub tables: Tables,
    /// Whether large transactions come before their commit. Off by default: the server then spills
    /// them to its disk, and our memory stays bounded.
    pub streaming: Streaming,
    /// The protocol version. By default the lowest that the streaming needs: 1, 2 or 4.
    pub protocol: Option<u8>,
    /// Whether to ask for the messages of `pg_logical_emit_message`. False by default.
    pub logical_messages: bool,
    /// Where to start, if the consumer knows better than the slot: transactions that ended at or
    /// before it are not sent. None by default.
    pub start_lsn: Option<Lsn>,
    /// The size of fragments, and how much may be held for transactions in progress.
    pub limits: Limits,
    /// How often the server is told where we are, at least; more often where its
    /// `wal_sender_timeout` needs it. 10 s by default. (A confirmation is told at once, at most
    /// every 50 ms.)
    pub status_interval: Duration,
    /// How long connecting, authentication and each single question to the server may take, and
    /// how long the server may stay silent while we stream. 60 s by default.
    pub timeout: Duration,
    /// The first pause before connecting again. 100 ms by default.
    pub backoff_min: Duration,
    /// The longest pause before connecting again. 30 s by default.
    pub backoff_max: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            host: "127.0.0.1".into(),
            port: 5432,
            user: "postgres".into(),
            password: None,
            database: "postgres".into(),
            ssl_mode: SslMode::default(),
            ssl_root_cert: None,
            application_name: "shape_router".into(),
            slot: "shape_router".into(),
            temporary_slot: false,
            create_slot: true,
            export_snapshot: false,
            publication: "shape_router".into(),
            create_publication: true,
            tables: Tables::default(),
            streaming: Streaming::Off,
            protocol: None,
            logical_messages: false,
            start_lsn: None,
            limits: Limits::default(),
            status_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Options {
    /// Everything that identifies the stream; never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("database", &self.database)
            .field("ssl_mode", &self.ssl_mode)
            .field("slot", &self.slot)
            .field("publication", &self.publication)
            .field("tables", &self.tables)
            .field("streaming", &self.streaming)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The version to ask for.
    pub(super) fn protocol_version(&self) -> u8 {
        self.protocol.unwrap_or(match self.streaming {
            Streaming::Off => 1,
            Streaming::On => 2,
            Streaming::Parallel => 4,
        })
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Refuses what could not work, before anything is started.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid =
            |option, reason: &str| Err(Error::InvalidOption { option, reason: reason.into() });
        let slot_letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if self.slot.is_empty() || self.slot.len() > 63 || !self.slot.bytes().all(slot_letter) {
            return invalid("slot", "must be 1 to 63 of the characters a-z, 0-9 and _");
        }
        if self.publication.is_empty() || self.publication.len() > 63 {
            return invalid("publication", "must have 1 to 63 bytes");
        }
        let texts = [
            ("host", &self.host),
            ("user", &self.user),
            ("database", &self.database),
            ("publication", &self.publication),
            ("application_name", &self.application_name),
        ];
        for (option, text) in texts {
            if text.contains('\0') || text.is_empty() {
                return invalid(option, "must not be empty or contain a zero byte");
            }
        }
        if let Tables::Only(tables) = &self.tables {
            if tables.is_empty() {
                return invalid("tables", "must name at least one table");
            }
            if tables.iter().any(|table| table.schema.contains('\0') || table.name.contains('\0')) {
                return invalid("tables", "must not contain a zero byte");
            }
        }
        if self.backoff_min.is_zero() || self.backoff_max < self.backoff_min {
            return invalid("backoff_min", "must be above 0 and not above backoff_max");
        }
        if self.status_interval.is_zero() || self.timeout.is_zero() {
            return invalid("status_interval", "this and timeout must be above 0");
        }
        Ok(())
    }
}
