//! What is derived from a snapshot, stored beside it, so that opening need not derive it again.
//!
//! The file `shapes-N.index` has what opening `shapes-N.snap` makes: the table of shapes with the
//! constants of their clauses, one text for each template, and the indexes of hashes, whose segments
//! are mapped and looked up where they lie. It is made of the snapshot alone, by opening it once more
//! on a thread of its own, so that nobody waits for it and nothing of a running router is in it.
//!
//! The snapshot stays the truth. A file that is missing, damaged, of another version, of another
//! snapshot, or made by a library that compiles or hashes otherwise is not used: everything is derived
//! as if it had never been there. `docs/formats.md` has the bytes.
//!
//! | module | its one job |
//! |---|---|
//! | `file` | header, blocks and segments: bytes that are verified before they are looked at |
//! | `row` | a shape: what is its own, and which template its clause has |
//! | `filed` | what a shape is filed under |
//! | `hashes` | an index of hashes: its figures and its segment |
//! | `write` | from a snapshot to the file |
//! | `load` | from the file to the tables of a router |

mod file;
mod filed;
mod hashes;
mod load;
mod row;
mod write;

pub(crate) use load::Loaded;
pub(crate) use write::write;

use crate::catalogue::{SnapshotEntry, StoredSchema};
use lane_index::storage::Storage;
use shape_expr::Schema;
use xxhash_rust::xxh3::xxh3_64;

/// The version that is written, and the only one that is read: a change of what the bytes mean changes
/// it. How clauses are compiled and values are hashed is not part of it; each template has a fingerprint.
pub const VERSION: u32 = 1;

const PREFIX: &str = "shapes-";
const SUFFIX: &str = ".index";

/// The name of the file of this snapshot's indexes.
#[must_use]
pub fn name(snapshot: u64) -> String {
    format!("{PREFIX}{snapshot:016x}{SUFFIX}")
}

/// The number of the snapshot in the name of such a file. Only the spelling that we write counts.
#[must_use]
pub fn number(file: &str) -> Option<u64> {
    let digits = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (name(number) == file).then_some(number)
}

/// Which snapshot a file was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its number,
    pub number: u64,
    /// the record of the journal that it goes up to,
    pub applied_seq: u64,
    /// the salt of its checksums, which tells it from another one of that number,
    pub salt: u64,
    /// and whose it is.
    pub owner: u64,
    /// How many shapes it has.
    pub shapes: u64,
}

impl Source {
    pub fn new(entry: &SnapshotEntry, applied_seq: u64, owner: u64) -> Self {
        Self { number: entry.number, applied_seq, salt: entry.salt(), owner, shapes: entry.shapes }
    }
}

/// The same for columns of the same names and types in the same order.
fn columns(schema: &Schema) -> u64 {
    xxh3_64(&StoredSchema::new(schema).encode())
}

/// Indexes that may be loaded instead of being derived.
pub struct StoredIndexes<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) source: Source,
    pub(crate) mmap: bool,
}
