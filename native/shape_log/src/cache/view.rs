//! What readers of a cache see: blocks whose operations follow each other without a gap.

use std::sync::Arc;

use arc_swap::Guard;

use super::block::Block;
use crate::Offset;

/// Replaced as a whole when a block comes or goes; operations come to its last block and are evicted
/// from its first in place.
pub(super) struct View {
    /// The offset before the first block; the newest one where there is none.
    pub floor: Offset,
    pub blocks: Box<[Arc<Block>]>,
}

/// Where the oldest operation is that may be answered with.
pub(super) struct Oldest {
    /// The offset before it; the newest one where there is none.
    pub floor: Offset,
    /// Its block and its number in there.
    pub place: Option<(usize, usize)>,
}

impl View {
    pub(super) fn empty(floor: Offset) -> Self {
        Self { floor, blocks: Box::default() }
    }

    /// The oldest operation that was not evicted and came after `expired`.
    pub(super) fn oldest(&self, expired: Option<u64>) -> Oldest {
        let mut floor = self.floor;
        for (index, block) in self.blocks.iter().enumerate() {
            let held = block.published();
            // Operations may have come and gone since `held`.
            let evicted = block.evicted().min(held.len());
            let gone = match expired {
                Some(time) if evicted < held.len() && held.time(evicted) <= time => {
                    held.come_by(time)
                }
                _ => evicted,
            };
            floor = if gone == 0 { block.floor() } else { held.offset(gone - 1) };
            if gone < held.len() {
                return Oldest { floor, place: Some((index, gone)) };
            }
        }
        Oldest { floor, place: None }
    }

    /// The offset of the newest operation, evicted or not.
    pub(super) fn newest(&self) -> Offset {
        self.blocks.last().map_or(self.floor, |block| {
            let held = block.published();
            if held.len() == 0 { block.floor() } else { held.offset(held.len() - 1) }
        })
    }
}

/// Operations that follow an offset without a gap, to be copied once, as a JSON array, to where they are
/// wanted. It keeps their memory until it is dropped.
pub struct Answer {
    view: Guard<Arc<View>>,
    /// Where the first operation is.
    block: usize,
    first: usize,
    count: usize,
    length: usize,
    last: Offset,
}

impl Answer {
    /// Up to `limit` operations behind `offset`, which is not before the floor; none where it is the
    /// newest, and nothing where it is beyond that.
    pub(super) fn new(view: Guard<Arc<View>>, offset: Offset, limit: usize) -> Option<Self> {
        // The block that has the first operation is the last one that begins at or before it.
        let block = view.blocks.partition_point(|block| block.floor() <= offset).saturating_sub(1);
        let first = view.blocks.get(block).map_or(0, |block| block.published().up_to(offset));
        let mut answer = Self { view, block, first, count: 0, length: 2, last: offset };
        let (mut count, mut length, mut last) = (0, 1, None);
        for bytes in answer.pieces(limit, |part, end| {
            count += part;
            last = Some(end);
        }) {
            length += bytes.len();
        }
        match last {
            Some(last) => (answer.count, answer.length, answer.last) = (count, length, last),
            // Also with a limit of none.
            None if offset > answer.view.newest() => return None,
            None => {}
        }
        Some(answer)
    }

    /// The stretches of bytes that the operations lie in, up to `limit` of them, and of each how many
    /// there are and the last one's offset.
    fn pieces(
        &self,
        limit: usize,
        mut each: impl FnMut(usize, Offset),
    ) -> impl Iterator<Item = &[u8]> {
        let (mut first, mut left) = (self.first, limit);
        let blocks = self.view.blocks.get(self.block..).unwrap_or_default();
        blocks.iter().map_while(move |block| {
            let held = block.published();
            let end = held.len().min(first.saturating_add(left));
            let from = std::mem::take(&mut first);
            if left == 0 {
                return None;
            }
            if from < end {
                left -= end - from;
                each(end - from, held.offset(end - 1));
            }
            Some(held.bytes(from.min(end), end))
        })
    }

    /// How many operations there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The offset of the last one; where there is none, the one that was asked for.
    #[must_use]
    pub fn last(&self) -> Offset {
        self.last
    }

    /// How many bytes the array has; at least two.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Writes the array. It fills the buffer, which is [`Answer::length`] bytes long.
    ///
    /// # Errors
    /// How many bytes it needs, where it has another length; nothing was written then.
    pub fn write_to(&self, buffer: &mut [u8]) -> Result<(), usize> {
        if buffer.len() != self.length {
            return Err(self.length);
        }
        buffer[0] = b'[';
        let mut place = 1;
        for bytes in self.pieces(self.count, |_, _| {}) {
            buffer[place..place + bytes.len()].copy_from_slice(bytes);
            place += bytes.len();
        }
        // Over the comma behind the last operation.
        buffer[self.length - 1] = b']';
        Ok(())
    }

    /// The array in a buffer of its own.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        bytes.push(b'[');
        self.pieces(self.count, |_, _| {}).for_each(|piece| bytes.extend_from_slice(piece));
        bytes.truncate(self.length - 1);
        bytes.push(b']');
        bytes
    }
}
