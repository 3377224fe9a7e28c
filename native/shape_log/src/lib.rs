//! Logs of shapes: what belongs to each, in the order of the WAL, kept and served.
//!
//! A [`LogStore`] has all logs of one collector. What is appended to it, entries of many logs and records
//! of others alike, becomes durable with one sync of one redo log, and can be read then. Entries go on
//! from there: from memory to the files of their logs, to caches, into sealed chunks; old ones are
//! compacted. Whatever of this is cut off by a crash is done again from the redo log.
//!
//! Files, their checksums and the journal are `lane_index`'s: nothing here is a second implementation
//! of them. `docs/formats.md` has the bytes.
//!
//! ```
//! use std::sync::Arc;
//! use lane_index::storage::Directory;
//! use shape_log::{
//!     Appended, Entry, LogStore, NewLog, Offset, Op, Options, Plan, ReadOptions, Record, Transaction,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path();
//! let open = || {
//!     let storage = Arc::new(Directory::open(path)?);
//!     // Nobody has any records elsewhere, so all that there are would be handed out.
//!     LogStore::open(storage, Options::default(), |_source| 0, |record| {
//!         println!("{} has {:?}", record.source, record.bytes);
//!     })
//! };
//! let (store, recovered) = open()?;
//! assert_eq!(recovered.lsn, 0);
//!
//! let log = NewLog { log: 7, descriptor: b"todos where user_id = 1", awaits_snapshot: false };
//! store.wait(store.create_log(&log)?)?;
//!
//! // A change that belongs to a shape, and what its router wants to keep of it: durable together.
//! let json = br#"{"key":"1","value":{"id":"1"},"headers":{"operation":"insert"}}"#;
//! let entry = Entry { offset: Offset::new(1000, 0), op: Op::Insert, key: b"1", json };
//! let Appended::Written(ticket) = store.append(&Transaction {
//!     lsn: 1000,
//!     fragment: 0,
//!     last: true,
//!     entries: &[(7, entry)],
//!     records: &[Record { source: 1, seq: 1, bytes: b"key 1 is held by shape 7" }],
//! })? else {
//!     panic!("it is new")
//! };
//! store.wait(ticket)?;
//! // PostgreSQL may forget it now.
//! assert_eq!(store.durable_lsn(), 1000);
//!
//! // A client that has nothing yet.
//! let Plan::Cached { answer, up_to_date, .. } = store.read(7, Offset::ZERO, ReadOptions::default())?
//! else {
//!     panic!("what is new is in the cache")
//! };
//! assert_eq!(answer.to_vec(), [&b"["[..], json, b"]"].concat());
//! assert_eq!((answer.last(), up_to_date), (Offset::new(1000, 0), true));
//! store.close()?;
//!
//! let (store, recovered) = open()?;
//! assert_eq!((recovered.lsn, recovered.records), (1000, 1));
//! assert!(matches!(store.read(7, Offset::ZERO, ReadOptions::default())?, Plan::Stream { .. }));
//! # Ok(())
//! # }
//! ```

mod block;
pub mod cache;
mod checkpoint;
pub mod chunk;
pub mod collapse;
mod entry;
mod error;
mod log;
mod manifest;
mod offset;
mod options;
mod reader;
mod redo;
mod segment;
mod source;
mod store;

pub use cache::{CachePool, OperationCache};
pub use chunk::{ChunkMeta, ChunkStore};
pub use entry::{Entry, Op};
pub use error::Error;
pub use offset::{NotAnOffset, Offset};
pub use options::{OnDurable, OnSealed, Options, Retention};
pub use reader::{Limits, LogReader};
pub use redo::Record;
pub use source::EntrySource;
pub use store::{
    Appended, Compacted, Fallback, LogStats, LogStore, NewLog, Plan, ReadOptions, Recovered,
    SegmentInfo, SnapshotWriter, StoreStats, Ticket, Transaction,
};
