//! A block of operations, written once, from the front: their JSON back to back, a comma behind each;
//! and from the back: where each ends, its offset and its time. One writer adds operations while readers
//! read those that were published before.
//!
//! All the `unsafe` of the cache is here.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Offset;

/// Words of the index that an operation takes.
const SLOT: usize = 3;
/// What an operation takes beside its JSON: its slot, and the comma.
pub(super) const OVERHEAD: usize = SLOT * 8 + 1;

pub(super) struct Block {
    words: Box<[UnsafeCell<u64>]>,
    /// The offset just before the first operation.
    floor: Offset,
    /// When the block was begun; the times of operations count from here, in milliseconds.
    begun: u64,
    /// How many operations may be read.
    published: AtomicU32,
    /// How many of them, the oldest, were evicted. They can still be read.
    evicted: AtomicU32,
}

// SAFETY: of the cells only those are written that belong to no published operation, by one thread at a
// time (`push`); only those are read that belong to published ones, and the store of `published` comes
// behind their writes, with Release, as its load comes before their reads, with Acquire.
unsafe impl Sync for Block {}

impl Block {
    /// An empty block that has `bytes` bytes, rounded up, for operations and [`OVERHEAD`].
    pub(super) fn new(bytes: usize, floor: Offset, now: u64) -> Self {
        Self {
            words: (0..bytes.div_ceil(8)).map(|_| UnsafeCell::new(0)).collect(),
            floor,
            begun: now,
            published: AtomicU32::new(0),
            evicted: AtomicU32::new(0),
        }
    }

    pub(super) fn floor(&self) -> Offset {
        self.floor
    }

    /// What the block takes of the memory.
    pub(super) fn allocated(&self) -> usize {
        self.words.len() * 8 + size_of::<Self>()
    }

    /// How many operations were evicted.
    pub(super) fn evicted(&self) -> usize {
        self.evicted.load(Ordering::Acquire) as usize
    }

    pub(super) fn set_evicted(&self, count: usize) {
        self.evicted.store(count as u32, Ordering::Release);
    }

    /// What can be read now.
    pub(super) fn published(&self) -> Published<'_> {
        Published { block: self, len: self.published.load(Ordering::Acquire) as usize }
    }

    /// Adds an operation; `false` where it has no room.
    ///
    /// # Safety
    /// No other thread is in this function of the same block, and what others did in it happened before.
    pub(super) unsafe fn push(&self, offset: Offset, json: &[u8], now: u64) -> bool {
        let held = self.published();
        let (count, used) = (held.len, held.end(held.len));
        let slots = (count + 1) * SLOT * 8;
        let end = used + json.len() + 1;
        if end + slots > self.words.len() * 8 || u32::try_from(end).is_err() {
            return false;
        }
        let after = u32::try_from(now.saturating_sub(self.begun)).unwrap_or(u32::MAX);
        let slot = [offset.tx, offset.op, end as u64 | u64::from(after) << 32];
        let words = UnsafeCell::raw_get(self.words.as_ptr());
        let first = self.words.len() - (count + 1) * SLOT;
        // SAFETY: both places are inside of the allocation and do not overlap (checked above); they
        // belong to no published operation, since those end at `used` and have the slots behind
        // `first + SLOT`; the caller is the only one who writes.
        unsafe {
            let bytes = words.cast::<u8>().add(used);
            bytes.copy_from_nonoverlapping(json.as_ptr(), json.len());
            bytes.add(json.len()).write(b',');
            words.add(first).copy_from_nonoverlapping(slot.as_ptr(), SLOT);
        }
        self.published.store(count as u32 + 1, Ordering::Release);
        true
    }
}

/// The operations of a block that were published when it was asked for them. Numbers count from the
/// oldest, those evicted too.
#[derive(Clone, Copy)]
pub(super) struct Published<'b> {
    block: &'b Block,
    len: usize,
}

impl<'b> Published<'b> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn slot(&self, number: usize) -> [u64; SLOT] {
        assert!(number < self.len, "operation {number} of {}", self.len);
        let words = &self.block.words;
        let first = words.len() - (number + 1) * SLOT;
        // SAFETY: the operation is published, so its slot is written and is not written again.
        std::array::from_fn(|word| unsafe { *words[first + word].get() })
    }

    pub(super) fn offset(&self, number: usize) -> Offset {
        let slot = self.slot(number);
        Offset::new(slot[0], slot[1])
    }

    /// When the operation came.
    pub(super) fn time(&self, number: usize) -> u64 {
        self.block.begun + (self.slot(number)[2] >> 32)
    }

    /// Where the first `count` operations end, the last one's comma included.
    fn end(&self, count: usize) -> usize {
        match count.checked_sub(1) {
            None => 0,
            Some(last) => self.slot(last)[2] as u32 as usize,
        }
    }

    /// The bytes of the JSON of an operation.
    pub(super) fn size(&self, number: usize) -> usize {
        self.end(number + 1) - self.end(number) - 1
    }

    /// Operations `from` to, not including, `to`: a comma behind each.
    pub(super) fn bytes(&self, from: usize, to: usize) -> &'b [u8] {
        let (start, end) = (self.end(from), self.end(to));
        assert!(start <= end, "operations {from} to {to}");
        let first = UnsafeCell::raw_get(self.block.words.as_ptr()).cast::<u8>();
        // SAFETY: bytes of published operations: inside of the allocation, written, and not written again
        // while the block lives.
        unsafe { std::slice::from_raw_parts(first.add(start), end - start) }
    }

    /// How many operations are at or before `offset`.
    pub(super) fn up_to(&self, offset: Offset) -> usize {
        self.partition(|number| self.offset(number) <= offset)
    }

    /// How many operations came at or before `time`.
    pub(super) fn come_by(&self, time: u64) -> usize {
        self.partition(|number| self.time(number) <= time)
    }

    fn partition(&self, belongs: impl Fn(usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            if belongs(middle) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(block: &Block, op: u64, json: &str, now: u64) -> bool {
        // SAFETY: one thread.
        unsafe { block.push(Offset::new(1, op), json.as_bytes(), now) }
    }

    #[test]
    fn a_block_is_filled_to_its_last_byte_and_no_further() {
        let block = Block::new(2 * OVERHEAD + 6, Offset::ZERO, 5);
        assert!(push(&block, 1, "12", 5));
        assert!(push(&block, 2, "3456", 9));
        assert!(!push(&block, 3, "", 9));
        let held = block.published();
        assert_eq!((held.len(), held.bytes(0, 2)), (2, &b"12,3456,"[..]));
        assert_eq!((held.bytes(1, 2), held.bytes(1, 1)), (&b"3456,"[..], &b""[..]));
        assert_eq!((held.size(0), held.size(1), held.time(0), held.time(1)), (2, 4, 5, 9));
        assert_eq!((held.up_to(Offset::new(1, 1)), held.come_by(4), held.come_by(9)), (1, 0, 2));
    }

    #[test]
    #[should_panic(expected = "operation 0 of 0")]
    fn what_is_not_published_is_not_read() {
        Block::new(64, Offset::ZERO, 0).published().offset(0);
    }

    #[test]
    fn a_time_beyond_what_is_kept_is_taken_for_the_last_one() {
        let block = Block::new(100, Offset::ZERO, 7);
        assert!(push(&block, 1, "1", u64::MAX));
        assert_eq!(block.published().time(0), 7 + u64::from(u32::MAX));
    }
}
