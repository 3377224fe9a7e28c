//! The directory of an index, as the rest of the crate sees it: everything that is read or written
//! goes through [`Storage`], so that tests can lose power, run out of space and fail at any step.
//!
//! [`Directory`] is the real one. The feature `simulation` adds `simulation::SimStorage`, which
//! loses at a crash what was not synced, and `simulation::FaultStorage`, which fails at a chosen
//! step of whatever it wraps.

mod aligned;
mod directory;
mod mmap;
pub mod names;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;

use std::any::Any;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

pub use aligned::AlignedBytes;
pub use directory::Directory;

use crate::Error;

/// A file that is being written. Nothing of it is durable before [`StorageFile::sync`].
pub trait StorageFile: Send {
    /// Writes `bytes` after what was written before.
    ///
    /// # Errors
    /// [`Error::Io`]; some of the bytes may have been written then.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// Allocates the first `bytes` bytes of the file, so that a full disk shows before they are
    /// used. The file is at least that long then; what was not written yet reads as zeros.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn preallocate(&mut self, bytes: u64) -> Result<(), Error>;
    /// Makes what was written durable. The directory entry is [`Storage::sync_directory`]'s.
    ///
    /// After an error nothing may be taken for durable, not even when a later sync succeeds: the
    /// system drops the pages it could not write.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync(&mut self) -> Result<(), Error>;
    /// A handle that syncs the same file, so that one thread can sync while another writes.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn syncer(&self) -> Result<Box<dyn SyncFile>, Error>;
}

/// Syncs a file that somebody else may be writing; see [`StorageFile::syncer`].
pub trait SyncFile: Send + Sync {
    /// Makes durable what was written before the call.
    ///
    /// # Errors
    /// [`Error::Io`], with the meaning it has for [`StorageFile::sync`].
    fn sync(&self) -> Result<(), Error>;
}

/// A file that is read by position.
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`], also where the file ends too early.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error>;
    /// The length in bytes.
    fn len(&self) -> u64;
    /// Whether the file is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The bytes of a whole file, mapped or read, aligned to 64 bytes.
///
/// # Safety
/// Dereferencing gives the same bytes each time, at the same place, also after the value was moved, and
/// nobody writes to them while the value exists.
pub unsafe trait Mapped: Deref<Target = [u8]> + Send + Sync {}

/// Whoever holds it has the directory alone. Given back when dropped, and when the process ends.
pub trait HeldLock: Send + Sync {}

/// How a file came into another directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// The two names share one file.
    Linked,
    /// The bytes were copied, because the two directories cannot share a file.
    Copied,
}

/// The directory of an index. Names are relative to it and name files in it, nothing else: a name
/// with a path separator, an empty one, `.` and `..` are [`Error::InvalidName`].
pub trait Storage: Send + Sync + Any {
    /// Creates a file; one of that name must not exist.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error>;
    /// Opens a file to write on behind its first `length` bytes; what is beyond them goes.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Damaged`] where the file is shorter.
    fn append(&self, name: &str, length: u64) -> Result<Box<dyn StorageFile>, Error>;
    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>, Error>;
    /// The bytes of a whole file: mapped where `mmap`, else read into memory.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn map(&self, name: &str, mmap: bool) -> Result<Box<dyn Mapped>, Error>;
    /// Renames a file over another, atomically.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn rename(&self, from: &str, to: &str) -> Result<(), Error>;
    /// Removes a file. What is mapped of it stays readable.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn remove(&self, name: &str) -> Result<(), Error>;
    /// Gives a file of this directory a name in `target`, sharing the file where the two
    /// directories can (a hard link), else copying it. Durable after [`Storage::sync_directory`]
    /// of `target`.
    ///
    /// # Errors
    /// [`Error::Io`], also when `target` has a file of that name.
    fn link_into(
        &self,
        name: &str,
        target: &dyn Storage,
        target_name: &str,
    ) -> Result<Transfer, Error>;
    /// The names of the files there are, in no order.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn list(&self) -> Result<Vec<String>, Error>;
    /// Makes durable what a file holds that nobody is writing any more.
    ///
    /// # Errors
    /// [`Error::Io`], with the meaning it has for [`StorageFile::sync`].
    fn sync_file(&self, name: &str) -> Result<(), Error>;
    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync_directory(&self) -> Result<(), Error>;
    /// Makes durable whatever was written to files of this directory and of those within it, and their
    /// entries, in one step: where there are many, each sync would wait for the disk by itself. False,
    /// and nothing is promised, where the system cannot, or not tell what failed.
    ///
    /// # Errors
    /// [`Error::Io`], with the meaning it has for [`StorageFile::sync`].
    fn sync_all_within(&self) -> Result<bool, Error>;
    /// A directory in this one, created where it is missing. Its entry is durable after
    /// [`Storage::sync_directory`] of this one.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn subdirectory(&self, name: &str) -> Result<Arc<dyn Storage>, Error>;
    /// The names of the directories in this one, in no order.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn subdirectories(&self) -> Result<Vec<String>, Error>;
    /// Removes a directory of this one, and all that is in it. What is open of it stays readable.
    ///
    /// # Errors
    /// [`Error::Io`]; some of what was in it may be gone then.
    fn remove_subdirectory(&self, name: &str) -> Result<(), Error>;
    /// Takes the directory for oneself. Creates the file [`names::LOCK`].
    ///
    /// # Errors
    /// [`Error::Locked`] while somebody else holds it, [`Error::Io`].
    fn lock(&self) -> Result<Box<dyn HeldLock>, Error>;
    /// The storage itself, for [`Storage::link_into`] to recognise its own kind; a wrapper gives
    /// what it wraps.
    fn as_any(&self) -> &dyn Any;
}

/// Copies a file into another directory and syncs it.
///
/// # Errors
/// [`Error::Io`].
pub fn copy(
    source: &dyn Storage,
    name: &str,
    target: &dyn Storage,
    target_name: &str,
) -> Result<(), Error> {
    let from = source.open(name)?;
    let mut to = target.create(target_name)?;
    to.preallocate(from.len())?;
    for_each_chunk(&*from, |chunk| to.write_all(chunk))?;
    to.sync()
}

/// Hands out the bytes of a file from the first to the last, a chunk at a time.
///
/// # Errors
/// [`Error::Io`], or the first error that `each` returns.
pub fn for_each_chunk(
    file: &dyn ReadAt,
    mut each: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    const CHUNK: u64 = 1 << 20;
    let length = file.len();
    let mut buffer = vec![0; length.min(CHUNK) as usize];
    let mut offset = 0;
    while offset < length {
        let size = (length - offset).min(CHUNK) as usize;
        file.read_exact_at(&mut buffer[..size], offset)?;
        each(&buffer[..size])?;
        offset += size as u64;
    }
    Ok(())
}

/// The error of a file that is shorter than what is known to have been written.
pub(crate) fn too_short(path: &str, length: u64) -> Error {
    let what = "it is shorter than what was written";
    Error::Damaged { path: path.to_owned(), offset: length, what }
}

/// The error of a file operation.
pub(crate) fn io_error(operation: &'static str, path: &str, source: io::Error) -> Error {
    Error::Io { operation, path: path.to_owned(), source }
}
