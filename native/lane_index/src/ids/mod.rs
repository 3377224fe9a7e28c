//! Lists of ascending `u32` ids as bytes, and reading them back without allocating.
//!
//! A short list is a run of LEB128 varints: the first id, then each step minus one. A list of more
//! than [`DELTA_MAX`] ids is a Roaring bitmap in its portable form, which stays small where ids
//! are dense and is what other tools can read.
//!
//! Decoding never panics: bytes that were not written by this module end a list early.

mod posting;
mod roaring_view;
mod varint;

pub use posting::{Ids, Posting};
pub(crate) use posting::{encode_posting, is_ascending};

/// Lists up to this length are varints; longer ones are Roaring bitmaps.
///
/// At this length a scan of the varints takes about as long as opening a bitmap and its containers.
pub const DELTA_MAX: usize = 4096;
