//! What the tests of durability share.
#![allow(dead_code)]

use std::sync::Arc;

use lane_index::Error;
use lane_index::journal::{Fsync, Journal, JournalOptions, JournalStart, Op, Recovered};
use lane_index::storage::Storage;

pub const KEY: [u8; 16] = *b"0123456789abcdef";

/// A batch that says by itself which one it is.
pub fn batch(seq: u64) -> Vec<Op> {
    let length = 1 + seq % 5;
    (0..length)
        .map(|position| {
            let (hash, id) = (seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ position, seq as u32);
            if (seq + position).is_multiple_of(3) {
                Op::Remove { hash, id }
            } else {
                Op::Insert { hash, id }
            }
        })
        .collect()
}

pub fn options(fsync: Fsync, file_bytes: u64) -> JournalOptions {
    let mut options = JournalOptions::default();
    (options.fsync, options.file_bytes) = (fsync, file_bytes);
    options
}

pub fn start(applied_seq: u64, oldest: Option<u64>) -> JournalStart {
    JournalStart { applied_seq, oldest, hash_key: KEY }
}

/// What a journal hands out.
pub type Batches = Vec<(u64, Vec<Op>)>;

pub fn open(
    storage: Arc<dyn Storage>,
    options: JournalOptions,
    start: JournalStart,
) -> Result<(Journal, Recovered, Batches), Error> {
    let mut batches = Vec::new();
    let (journal, recovered) = Journal::open(storage, options, start, |seq, ops| {
        batches.push((seq, ops.to_vec()));
    })?;
    Ok((journal, recovered, batches))
}

/// The batches `first..=last`, as `open` gives them.
pub fn batches(first: u64, last: u64) -> Batches {
    (first..=last).map(|seq| (seq, batch(seq))).collect()
}

/// A generator that repeats.
pub fn rng(seed: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed)
}

/// How many histories of a kind to try: more with `SHAPE_ROUTER_LONG=1`.
pub fn histories(normal: u64) -> u64 {
    if std::env::var_os("SHAPE_ROUTER_LONG").is_some() { normal * 20 } else { normal }
}
