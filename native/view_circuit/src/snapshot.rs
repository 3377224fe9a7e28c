//! A circuit in a file: its options, its tables with all rows and versions, and its views as they were
//! asked for. What is derived of those, arrangements and the views' contents, is not written: it is
//! worked out again when the views are registered on the loaded tables, so that there is one truth.
//!
//! The file is written under another name, synced, renamed, and its directory synced: a crash leaves
//! the old one or the new one. It is made of the blocks that catalogues and checkpoints are made of
//! (`lane_index::blocks`), which is why this crate knows that one: a second way to frame, verify and
//! replace files, with simulations of its own to prove it, would say the same again.
//! `docs/formats.md` has the bytes.

mod describe;
mod read;
mod write;

use std::io::ErrorKind;

use lane_index::storage::Storage;

use crate::error::Error;

/// The file's name in its directory.
pub(crate) const FILE: &str = "circuit.snap";

/// The version that is written and read.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"VIEWSNAP";

/// Blocks come in the order of their kinds.
const META: u32 = 1;
const ROWS: u32 = 2;
const VIEWS: u32 = 3;
const END: u32 = 4;

/// A block is written when it has come to this length.
const FULL: usize = 64 << 10;

pub(crate) use read::read;
pub(crate) use write::write;

impl From<lane_index::Error> for Error {
    fn from(error: lane_index::Error) -> Error {
        match error {
            lane_index::Error::Damaged { path, offset, what } => {
                Error::Damaged { path, offset, what: what.to_owned() }
            }
            lane_index::Error::UnknownVersion { path, version, supported } => {
                Error::UnknownVersion { path, version, supported }
            }
            lane_index::Error::Io { operation, path, source } => {
                let (kind, message) = (source.kind(), source.to_string());
                Error::Io { operation, path, kind, message }
            }
            other => {
                let (kind, message) = (ErrorKind::Other, other.to_string());
                Error::Io { operation: "write", path: FILE.to_owned(), kind, message }
            }
        }
    }
}

/// The directory of this path, which is made if it is not there.
pub(crate) fn directory(path: &std::path::Path) -> Result<impl Storage, Error> {
    Ok(lane_index::storage::Directory::open(path)?)
}
