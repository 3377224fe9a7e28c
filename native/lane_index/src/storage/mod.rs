//! The directory of an index, as the rest of the crate sees it: everything that is read or written
//! goes through [`Storage`], so that tests can lose power, run out of space and fail at any step.

use std::ops::Deref;

use crate::Error;

/// A file that is being written. Nothing of it is durable before [`StorageFile::sync`].
pub trait StorageFile: Send {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error>;
    /// Allocates the first `bytes` bytes of the file, so that a full disk shows before they are used.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn preallocate(&mut self, bytes: u64) -> Result<(), Error>;
    /// Makes what was written durable. The directory entry is [`Storage::sync_directory`]'s.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync(&mut self) -> Result<(), Error>;
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
pub trait Mapped: Deref<Target = [u8]> + Send + Sync {}

/// The directory of an index. Names are relative to it.
pub trait Storage: Send + Sync {
    /// Creates a file for appending; one of that name must not exist.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error>;
    /// Opens a file to append to what it holds.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn append(&self, name: &str) -> Result<Box<dyn StorageFile>, Error>;
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
    /// The names of the files there are, in no order.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn list(&self) -> Result<Vec<String>, Error>;
    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync_directory(&self) -> Result<(), Error>;
}
