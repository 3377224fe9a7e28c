//! pgoutput messages -> changes, and the replication connection that brings them.
//!
//! | module | what it does |
//! |---|---|
//! | [`decode`] | bytes of one pgoutput message (protocol versions 1 to 4) -> borrowed [`decode::Message`] |
//! | [`relation`] | table definitions, and what changed when one comes again |
//! | [`transaction`] | messages -> whole transactions in commit order, large ones in bounded fragments |
//! | [`source`] | the replication connection: slot, publication, credits, acknowledgement, reconnects |
//! | [`query`] | rows as they stand now, by their keys or a whole table from one snapshot |
//!
//! The pieces work without each other, and none of them knows Erlang. Decoding one message:
//!
//! ```
//! use pg_wal::decode::{Column, Decoder, Message, Streaming};
//!
//! // INSERT into relation 16385: a text, a NULL.
//! let bytes = b"I\0\0\x40\x01N\0\x02t\0\0\0\x0242n";
//! let mut decoder = Decoder::new(1, Streaming::Off)?;
//! let Message::Insert(insert) = decoder.decode(bytes)? else { unreachable!() };
//! assert_eq!(insert.relation, 16385);
//! let columns: Vec<Column> = insert.new.columns().collect();
//! assert_eq!(columns, [Column::Text(b"42"), Column::Null]);
//!
//! // Malformed bytes name the place.
//! let error = decoder.decode(&bytes[..11]).unwrap_err();
//! assert_eq!(error.to_string(), "malformed `I` message at byte 9: expected a column's length");
//! # Ok::<(), pg_wal::Error>(())
//! ```
//!
//! Following a database:
//!
//! ```no_run
//! use pg_wal::source::{Event, Options, Source};
//!
//! let (events, received) = std::sync::mpsc::channel();
//! let options = Options { database: "app".into(), slot: "shapes".into(), ..Options::default() };
//! let handle = Source::start(options, move |event| events.send(event).unwrap_or(()))?;
//! handle.grant(1); // we are ready for one fragment
//! for event in received {
//!     if let Event::Fragment(fragment) = event {
//!         for message in fragment.decode() {
//!             println!("{:?}", message?);
//!         }
//!         if let Some(lsn) = fragment.end_lsn {
//!             handle.confirm(lsn); // durable on our side: PostgreSQL may forget it
//!         }
//!         handle.grant(1);
//!     }
//! }
//! # Ok::<(), pg_wal::Error>(())
//! ```

mod connection;
pub mod decode;
mod error;
mod lsn;
pub mod query;
pub mod relation;
pub mod source;
pub mod transaction;

pub use error::Error;
pub use lsn::Lsn;
pub use relation::{Alteration, Relation, RelationCache, RelationChange, RelationColumn};
pub use source::{Event, Handle, Options, Source};
pub use transaction::{Assembler, Fragment, Limits};
