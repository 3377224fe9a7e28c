//! All postings of a segment in order, for merges.
//!
//! The keys come from the cold part; each posting is then looked up in the block's slots. That is
//! random access, but within one block, whose slots fit into the cache.

use super::elias_fano::Numbers;
use super::reader::Segment;
use crate::Error;
use crate::ids::Posting;

/// A key and what it has in a segment.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The lane of the key.
    pub lane: u16,
    /// The full hash of the key.
    pub hash: u64,
    /// The ids that it adds and removes.
    pub posting: Posting<'a>,
}

/// The entries of a segment, ascending by (lane, hash).
#[derive(Debug)]
pub struct Entries<'a> {
    segment: &'a Segment,
    /// The block after the current one.
    next_block: usize,
    base: u128,
    left: u32,
    numbers: Option<Numbers<'a>>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(segment: &'a Segment) -> Self {
        Entries { segment, next_block: 0, base: 0, left: 0, numbers: None }
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let position = self.base.checked_add(self.numbers.as_mut()?.next()?)?;
        let lane = u16::try_from(position >> 64).ok()?;
        let hash = position as u64;
        let posting = self.segment.get_in_block(self.next_block - 1, lane, hash)?;
        self.left -= 1;
        Some(Entry { lane, hash, posting })
    }
}

impl<'a> Iterator for Entries<'a> {
    /// An error ends the entries: a block that is not what it was when the segment was opened, or one
    /// whose parts disagree although their checksums fit.
    type Item = Result<Entry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left == 0 {
            let (base, keys, cold) = self.segment.cold_block(self.next_block)?;
            if let Err(error) = self.segment.verify_block(self.next_block) {
                self.next_block = usize::MAX;
                return Some(Err(error));
            }
            self.base = base;
            self.left = keys;
            self.numbers = Some(cold.iter());
            self.next_block += 1;
        }
        let entry = self.entry();
        if entry.is_none() {
            let error = self.segment.inconsistent(self.next_block - 1);
            // Nothing more: neither here nor in another block.
            self.left = 0;
            self.next_block = usize::MAX;
            return Some(Err(error));
        }
        entry.map(Ok)
    }
}
