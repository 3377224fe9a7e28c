//! The bytes of a segment together with their owner, who is not asked again for each read: a call
//! through a table of functions costs as much as the rest of a look-up that finds nothing.

use std::ops::Deref;
use std::ptr::NonNull;

use crate::Mapped;

/// Bytes and their owner.
pub(super) struct Held {
    bytes: NonNull<[u8]>,
    _owner: Box<dyn Mapped>,
}

// SAFETY: it gives out `&[u8]` of bytes that nobody writes to, which any thread may read, and its
// owner is `Send` and `Sync`.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    pub(super) fn new(owner: Box<dyn Mapped>) -> Self {
        Self { bytes: NonNull::from(&**owner), _owner: owner }
    }
}

impl Deref for Held {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the owner lives as long as this does, and whoever implements `Mapped` promises that
        // its bytes stay what and where they are for as long as it lives, moved or not.
        unsafe { self.bytes.as_ref() }
    }
}
