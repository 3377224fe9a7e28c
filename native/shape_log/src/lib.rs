//! Logs of shapes: what belongs to each, in the order of the WAL, kept and served.
//!
//! Files, their checksums and the journal are `lane_index`'s: nothing here is a second implementation
//! of them.

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
