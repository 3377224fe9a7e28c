//! One handle per directory.

use crate::Error;
use crate::storage::{HeldLock, Storage};

/// The exclusive lock of a directory. Taken before anything in there is looked at, because opening
/// sweeps files that another handle may just be writing. Dropping it, or the end of the process
/// however it comes, gives it back.
pub struct DirectoryLock {
    _held: Box<dyn HeldLock>,
}

impl DirectoryLock {
    /// Takes the lock; never waits.
    ///
    /// # Errors
    /// [`Error::Locked`] while another handle has it, in this process or another; [`Error::Io`].
    pub fn acquire(storage: &dyn Storage) -> Result<Self, Error> {
        Ok(Self { _held: storage.lock()? })
    }
}
