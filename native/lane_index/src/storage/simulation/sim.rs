//! A file system in memory that loses at a crash what was not synced.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use super::disk::{Disk, Folder, Inode};
use crate::Error;
use crate::storage::{
    AlignedBytes, HeldLock, Mapped, ReadAt, Storage, StorageFile, SyncFile, Transfer, copy,
    io_error, names, too_short,
};

/// A simulated disk with any number of directories.
///
/// Clones are handles of the same disk. [`SimDisk::crash`] and [`SimDisk::kill`] give the disk as
/// the next process finds it; handles from before go on working on the disk as it was, which is
/// nobody's any more.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Disk>>);

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory of that name. Directories are there, durably, as soon as they are asked for.
    #[must_use]
    pub fn directory(&self, name: &str) -> SimStorage {
        self.disk().folders.entry(name.to_owned()).or_default();
        SimStorage { disk: self.clone(), folder: name.to_owned() }
    }

    /// The disk after a power cut: what was synced is there, of the rest what `seed` decides. Of
    /// unsynced writes a prefix may be left, or any sectors, garbled ones too; of unsynced changes
    /// of a directory all, none, the first ones, or any.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut disk = self.disk().clone();
        disk.crash(&mut Rng::with_seed(seed));
        Self(Arc::new(Mutex::new(disk)))
    }

    /// The disk after `kill -9`: everything that was written is there, but what was not synced can
    /// still be lost in a later power cut.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut disk = self.disk().clone();
        disk.unlock();
        Self(Arc::new(Mutex::new(disk)))
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A directory of a [`SimDisk`].
#[derive(Debug, Clone)]
pub struct SimStorage {
    disk: SimDisk,
    folder: String,
}

impl SimStorage {
    /// A directory of a disk of its own.
    #[must_use]
    pub fn new() -> Self {
        SimDisk::new().directory("index")
    }

    /// The disk it is on.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// This directory after a power cut; see [`SimDisk::crash`].
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        self.disk.crash(seed).directory(&self.folder)
    }

    /// This directory after `kill -9`; see [`SimDisk::kill`].
    #[must_use]
    pub fn kill(&self) -> Self {
        self.disk.kill().directory(&self.folder)
    }

    /// The bytes of a file, if there is one of that name.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.with(|disk, folder| {
            Some(disk.inodes[*disk.folders.get(folder)?.entries.get(name)?].data.clone())
        })
    }

    /// Puts a file there, durably, whatever was there before: for tests that damage files.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.with(|disk, folder| {
            let inode = disk.inodes.len();
            disk.inodes.push(Inode::durable(bytes));
            if let Some(folder) = disk.folders.get_mut(folder) {
                folder.add_durably(name, inode);
            }
        });
    }

    /// The directory of that name in this one.
    ///
    /// # Errors
    /// [`Error::InvalidName`]; [`Error::Io`] where this one was removed.
    pub fn inside(&self, name: &str) -> Result<Self, Error> {
        names::validate(name)?;
        self.with(|disk, folder| {
            disk.folders.contains_key(folder).then(|| disk.folder_in(folder, name))
        })
        .map(|folder| Self { disk: self.disk.clone(), folder })
        .ok_or_else(|| failed("create the directory", name, ErrorKind::NotFound))
    }

    fn with<T>(&self, what: impl FnOnce(&mut Disk, &str) -> T) -> T {
        what(&mut self.disk.disk(), &self.folder)
    }

    fn inode(&self, operation: &'static str, name: &str) -> Result<usize, Error> {
        names::validate(name)?;
        self.with(|disk, folder| disk.folders.get(folder)?.entries.get(name).copied())
            .ok_or_else(|| failed(operation, name, ErrorKind::NotFound))
    }

    fn change<T>(
        &self,
        operation: &'static str,
        name: &str,
        what: impl FnOnce(&mut Folder) -> Option<T>,
    ) -> Result<T, Error> {
        names::validate(name)?;
        self.with(|disk, folder| what(disk.folders.get_mut(folder)?))
            .ok_or_else(|| failed(operation, name, ErrorKind::NotFound))
    }

    fn file(&self, name: &str, inode: usize) -> SimFile {
        SimFile { disk: self.disk.clone(), inode, name: name.to_owned(), written: 0 }
    }

    fn exists(&self, name: &str) -> bool {
        self.with(|disk, folder| {
            disk.folders.get(folder).is_some_and(|folder| folder.entries.contains_key(name))
        })
    }
}

impl Default for SimStorage {
    fn default() -> Self {
        Self::new()
    }
}

fn failed(operation: &'static str, name: &str, kind: ErrorKind) -> Error {
    io_error(operation, name, io::Error::from(kind))
}

impl Storage for SimStorage {
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        names::validate(name)?;
        if self.exists(name) {
            return Err(failed("create", name, ErrorKind::AlreadyExists));
        }
        let inode = self.with(|disk, _| {
            disk.inodes.push(Inode::default());
            disk.inodes.len() - 1
        });
        self.change("create", name, |folder| {
            folder.add(name, inode);
            Some(())
        })?;
        Ok(Box::new(self.file(name, inode)))
    }

    fn append(&self, name: &str, length: u64) -> Result<Box<dyn StorageFile>, Error> {
        let inode = self.inode("open", name)?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let found = self.with(|disk, _| {
            disk.inodes[inode].cut(length);
            disk.inodes[inode].data.len()
        });
        if found < length {
            return Err(too_short(name, found as u64));
        }
        Ok(Box::new(SimFile { written: length, ..self.file(name, inode) }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>, Error> {
        let inode = self.inode("open", name)?;
        Ok(Box::new(self.file(name, inode)))
    }

    fn map(&self, name: &str, _mmap: bool) -> Result<Box<dyn Mapped>, Error> {
        let inode = self.inode("map", name)?;
        Ok(Box::new(self.with(|disk, _| AlignedBytes::copy_of(&disk.inodes[inode].data))))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        names::validate(to)?;
        self.change("rename", from, |folder| folder.rename(from, to)).map(drop)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.change("remove", name, |folder| folder.remove(name)).map(drop)
    }

    fn link_into(
        &self,
        name: &str,
        target: &dyn Storage,
        target_name: &str,
    ) -> Result<Transfer, Error> {
        let inode = self.inode("link", name)?;
        match target.as_any().downcast_ref::<Self>() {
            Some(target) if Arc::ptr_eq(&target.disk.0, &self.disk.0) => {
                if target.exists(target_name) {
                    return Err(failed("link", target_name, ErrorKind::AlreadyExists));
                }
                target.change("link", target_name, |folder| {
                    folder.add(target_name, inode);
                    Some(())
                })?;
                Ok(Transfer::Linked)
            }
            _ => {
                copy(self, name, target, target_name)?;
                Ok(Transfer::Copied)
            }
        }
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        self.with(|disk, folder| Some(disk.folders.get(folder)?.entries.keys().cloned().collect()))
            .ok_or_else(|| failed("list", ".", ErrorKind::NotFound))
    }

    fn sync_file(&self, name: &str) -> Result<(), Error> {
        let inode = self.inode("sync", name)?;
        self.with(|disk, _| disk.inodes[inode].sync());
        Ok(())
    }

    fn sync_directory(&self) -> Result<(), Error> {
        self.with(|disk, folder| {
            disk.folders.contains_key(folder).then(|| disk.sync_folder(folder))
        })
        .ok_or_else(|| failed("sync the directory", ".", ErrorKind::NotFound))
    }

    fn sync_all_within(&self) -> Result<bool, Error> {
        self.with(|disk, folder| disk.sync_all_within(folder));
        Ok(true)
    }

    fn subdirectory(&self, name: &str) -> Result<Arc<dyn Storage>, Error> {
        Ok(Arc::new(self.inside(name)?))
    }

    fn subdirectories(&self) -> Result<Vec<String>, Error> {
        Ok(self.with(|disk, folder| disk.folders_in(folder)))
    }

    fn remove_subdirectory(&self, name: &str) -> Result<(), Error> {
        names::validate(name)?;
        let there = self.with(|disk, folder| disk.remove_folder(&format!("{folder}/{name}")));
        there.then_some(()).ok_or_else(|| failed("remove the directory", name, ErrorKind::NotFound))
    }

    fn lock(&self) -> Result<Box<dyn HeldLock>, Error> {
        if !self.exists(names::LOCK) {
            self.create(names::LOCK)?;
        }
        let locked = self.change("lock", names::LOCK, |folder| {
            Some(std::mem::replace(&mut folder.locked, true))
        })?;
        if locked {
            return Err(Error::Locked { path: self.folder.clone() });
        }
        Ok(Box::new(SimLock(self.clone())))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct SimLock(SimStorage);

impl HeldLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.with(|disk, folder| {
            if let Some(folder) = disk.folders.get_mut(folder) {
                folder.locked = false;
            }
        });
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    name: String,
    written: usize,
}

impl SimFile {
    fn with<T>(&self, what: impl FnOnce(&mut Inode) -> T) -> T {
        what(&mut self.disk.disk().inodes[self.inode])
    }
}

impl StorageFile for SimFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.with(|inode| inode.write(self.written, bytes));
        self.written += bytes.len();
        Ok(())
    }

    fn preallocate(&mut self, bytes: u64) -> Result<(), Error> {
        self.with(|inode| inode.extend(bytes as usize));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.with(Inode::sync);
        Ok(())
    }

    fn syncer(&self) -> Result<Box<dyn SyncFile>, Error> {
        Ok(Box::new(SimSync { disk: self.disk.clone(), inode: self.inode }))
    }
}

struct SimSync {
    disk: SimDisk,
    inode: usize,
}

impl SyncFile for SimSync {
    fn sync(&self) -> Result<(), Error> {
        self.disk.disk().inodes[self.inode].sync();
        Ok(())
    }
}

impl ReadAt for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.with(|inode| {
            let start = usize::try_from(offset).ok()?;
            let bytes = inode.data.get(start..start.checked_add(buffer.len())?)?;
            buffer.copy_from_slice(bytes);
            Some(())
        })
        .ok_or_else(|| failed("read", &self.name, ErrorKind::UnexpectedEof))
    }

    fn len(&self) -> u64 {
        self.with(|inode| inode.data.len() as u64)
    }
}
