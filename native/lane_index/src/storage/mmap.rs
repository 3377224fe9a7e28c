//! The one place that maps files.

use std::fs::File;
use std::io;
use std::ops::Deref;

use super::{AlignedBytes, Mapped};

/// A file in memory, read-only. Maps start at a page, so they are aligned to 64 bytes.
struct Map(memmap2::Mmap);

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: a map stays where it is until it is dropped; that nobody writes to the file, see `map`.
unsafe impl Mapped for Map {}

/// Maps the whole of a file.
pub(super) fn map(file: &File) -> io::Result<Box<dyn Mapped>> {
    if file.metadata()?.len() == 0 {
        // An empty map is an error of the system call.
        return Ok(Box::new(AlignedBytes::zeroed(0)));
    }
    // SAFETY: a map is a `&[u8]`, so nobody may change or shorten the file while it exists. This
    // crate never does: a file is written once, before it is opened for reading, and afterwards
    // only renamed or unlinked, which leaves its pages alone; LOCK keeps a second process of this
    // crate out of the directory. A foreign program that truncates files in there can still raise
    // SIGBUS; `mmap: false` is for directories where that is feared.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Box::new(Map(map)))
}
