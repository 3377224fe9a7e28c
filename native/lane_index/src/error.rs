//! What can go wrong, with where it did.

use std::io;

/// An error of a lane index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused something.
    #[error("{operation} {path}: {source}")]
    Io {
        /// What was tried: `create`, `write`, `sync`, `rename` and so on.
        operation: &'static str,
        /// The file, relative to the directory of the index.
        path: String,
        /// What the system answered.
        source: io::Error,
    },
    /// The bytes of a file are not what was written.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The file, relative to the directory of the index.
        path: String,
        /// Where the damage was found, in bytes from the start.
        offset: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// The file was written by another version of the library; it is left untouched.
    #[error("{path} has format version {version}; this library reads version {supported}")]
    UnknownVersion {
        /// The file, relative to the directory of the index.
        path: String,
        /// The version that the file names.
        version: u32,
        /// The newest version that can be read.
        supported: u32,
    },
    /// A segment cannot hold what was pushed into it.
    #[error("segment {path} cannot hold lane {lane}, hash {hash:#018x}: {what}")]
    BadEntry {
        /// The segment's file, relative to the directory of the index; empty for one in memory.
        path: String,
        /// The lane of the key.
        lane: u16,
        /// The hash of the key.
        hash: u64,
        /// What does not fit.
        what: &'static str,
    },
    /// A file that must be there is not.
    #[error("{path} is missing: {why}")]
    Missing {
        /// The file, relative to the directory of the index.
        path: String,
        /// What needs it.
        why: &'static str,
    },
    /// Another handle, of this process or of another, has the directory open.
    #[error("{path} is open already: its LOCK is held")]
    Locked {
        /// The directory.
        path: String,
    },
    /// An earlier failure of a write or of a sync left unknown what is on disk, so that nothing
    /// more is accepted. Open the index again: that finds out.
    #[error("refused after a failure ({cause}): open the index again")]
    Failed {
        /// The failure.
        cause: String,
    },
    /// A backup or a restore needs a directory without an index.
    #[error("the directory has {found} already; a backup needs one that is empty")]
    NotEmpty {
        /// A file that was found there.
        found: String,
    },
    /// A name that names no file of the directory itself.
    #[error("{name:?} is no name of a file of an index")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// A caller asked for what cannot be.
    #[error("{what}: {got}, at most {limit}")]
    Limit {
        /// What has the limit.
        what: &'static str,
        /// What was asked for.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// An option that makes no sense.
    #[error("option {option}: {what}")]
    BadOption {
        /// The option.
        option: &'static str,
        /// Why it makes none.
        what: String,
    },
    /// The index was closed.
    #[error("the index is closed")]
    Closed,
    /// Merges are so far behind that a write was refused; try again later.
    #[error("merges are behind: {waiting} writes wait for a flush, at most {limit} may")]
    Behind {
        /// Entries that would wait.
        waiting: u64,
        /// How many may.
        limit: u64,
    },
    /// The caller's sequence numbers do not ascend.
    #[error("sequence number {got} does not follow {last}")]
    Sequence {
        /// The number of this write.
        got: u64,
        /// The number of the last one.
        last: u64,
    },
    /// A call that this kind of index does not have.
    #[error("{call} is not for an index {of}")]
    WrongKind {
        /// The call.
        call: &'static str,
        /// What kind of index it is.
        of: &'static str,
    },
    /// What was worked upon has been replaced meanwhile; nothing was changed.
    #[error("{what} have been replaced meanwhile")]
    Superseded {
        /// What it was.
        what: &'static str,
    },
    /// A flush or a merge panicked; the state before it was kept.
    #[error("a flush or merge panicked: {what}")]
    Panicked {
        /// What the panic said.
        what: String,
    },
}
