//! The replication connection: it creates or reuses slot and publication, streams, acknowledges
//! only what the consumer confirmed, and reconnects.
//!
//! # How it behaves
//!
//! - **One thread**, started by [`Source::start`], does everything and calls the sink. A panic in
//!   the sink ends the source with an error, not the process.
//! - **Credits**: the consumer [grants](Handle::grant) the fragments that it is ready to take.
//!   Without credit nothing is read from the socket, so TCP carries the back-pressure to the
//!   server; status updates go on, so the server does not give us up (`wal_sender_timeout`).
//! - **Acknowledgement**: only what was [confirmed](Handle::confirm) is reported as flushed. When
//!   nothing is outstanding, the server's keepalives move the confirmed position on, so that an
//!   idle database does not hold WAL back.
//! - **Reconnects** with exponential back-off and jitter after transient errors
//!   ([`Error::is_transient`](crate::Error::is_transient)). [`Event::Reconnected`] tells the
//!   consumer that transactions it has not confirmed come again, a half-delivered one from its
//!   fragment 0. Everything else ends the source with [`Event::Stopped`].
//! - **A slot is never silently made anew**: once it was used, a missing slot is
//!   [`Error::SlotLost`](crate::Error::SlotLost), since changes are missing then. The same goes for
//!   a temporary slot, which does not outlive its connection.
//! - **Session settings**: TimeZone UTC, DateStyle ISO, IntervalStyle postgres, bytea_output hex,
//!   extra_float_digits 1, client_encoding UTF8, sent as startup parameters. They govern the text
//!   forms of values.
//! - **The publication** is created with `publish_via_partition_root = true`. An existing one gets
//!   the wanted tables that it lacks (`ALTER PUBLICATION ... ADD TABLE`); its other options are
//!   left alone, and one that would publish partitions under their own names is refused.
//!
//! # Why a loop of our own
//!
//! `tokio-postgres` has no replication mode. `pgwire-replication` (0.5) does much of the above, but
//! asks for protocol version 1 without streaming, reports server errors without their SQLSTATE as a
//! field (by which transient and fatal errors are told apart), and replaces Begin, Commit and
//! logical messages by its own types, so that the decoder would not see the stream as it is. So
//! the messages, SCRAM and MD5 are those of `postgres-protocol`, TLS is `rustls`, and what is left
//! is the loop in this module. A walsender also runs plain SQL, so one connection does everything.

mod event;
mod handle;
mod options;
mod setup;
mod stream;
mod worker;

pub use event::{Event, State, Status};
pub use handle::{Handle, Source};
pub use options::{Options, SslMode, TableName, Tables};
