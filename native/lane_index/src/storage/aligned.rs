//! Bytes on the heap that start at a multiple of 64, as those of a map do.

use std::ops::{Deref, Range};

use super::Mapped;

/// The alignment: a cache line, and the widest that any part of a segment asks for.
const ALIGNMENT: usize = 64;

/// Bytes on the heap that start at a multiple of 64.
///
/// The buffer is a little longer than asked for, and the bytes start where it is aligned: that
/// needs no allocation by hand. It is never cloned or grown, which would move it.
#[derive(Debug)]
pub struct AlignedBytes {
    buffer: Box<[u8]>,
    range: Range<usize>,
}

impl AlignedBytes {
    /// `length` zeros.
    #[must_use]
    pub fn zeroed(length: usize) -> Self {
        let buffer = vec![0; length + ALIGNMENT - 1].into_boxed_slice();
        // `align_offset` may refuse to say (`usize::MAX`), though it never does at run time.
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - 1);
        Self { buffer, range: start..start + length }
    }

    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.as_mut().copy_from_slice(bytes);
        aligned
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.range.clone()]
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

// SAFETY: the bytes are in a buffer of their own on the heap, which is never grown or replaced, and
// writing to them (`as_mut`) takes the value exclusively.
unsafe impl Mapped for AlignedBytes {}
