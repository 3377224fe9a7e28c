//! Logs of shapes: what belongs to each, in the order of the WAL, kept and served.
//!
//! Files, their checksums and the journal are `lane_index`'s: nothing here is a second implementation
//! of them.

pub mod cache;
pub mod chunk;
pub mod collapse;
mod entry;
mod error;
mod offset;
mod source;

pub use cache::{CachePool, OperationCache};
pub use chunk::{ChunkMeta, ChunkStore};
pub use entry::{Entry, Op};
pub use error::Error;
pub use offset::Offset;
pub use source::EntrySource;
