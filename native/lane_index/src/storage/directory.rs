//! The real directory.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::{
    AlignedBytes, HeldLock, Mapped, ReadAt, Storage, StorageFile, SyncFile, Transfer, copy,
    io_error, mmap, names, too_short,
};
use crate::Error;

/// A directory of the file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Kept open to be synced. A directory within another opens itself for each sync: there may be as
    /// many as there are descriptors.
    handle: Option<File>,
}

impl Directory {
    /// Opens a directory; creates it, and those above it, where they are missing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        create_durably(path).map_err(|error| io_error("create the directory", &shown, error))?;
        let handle =
            File::open(path).map_err(|error| io_error("open the directory", &shown, error))?;
        Ok(Self { path: path.to_owned(), handle: Some(handle) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> Result<PathBuf, Error> {
        names::validate(name)?;
        Ok(self.path.join(name))
    }

    fn names(&self, wanted: impl Fn(&fs::FileType) -> bool) -> Result<Vec<String>, Error> {
        let list = || {
            let mut names = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                // A name that is no text is none of ours.
                if let (true, Ok(name)) =
                    (wanted(&entry.file_type()?), entry.file_name().into_string())
                {
                    names.push(name);
                }
            }
            Ok(names)
        };
        list().map_err(|error| io_error("list", ".", error))
    }
}

/// Creates a directory and makes its entry in the one above durable.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_durably(parent)?;
    }
    match fs::create_dir(path) {
        Ok(()) => File::open(parent.unwrap_or(Path::new(".")))?.sync_all(),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

impl Storage for Directory {
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        let path = self.file(name)?;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| io_error("create", name, error))?;
        Ok(Box::new(WrittenFile { file: Arc::new(file), name: name.into(), written: 0 }))
    }

    fn append(&self, name: &str, length: u64) -> Result<Box<dyn StorageFile>, Error> {
        let path = self.file(name)?;
        let open = || {
            let file = OpenOptions::new().write(true).open(path)?;
            let found = file.metadata()?.len();
            if found > length {
                file.set_len(length)?;
            }
            (&file).seek(SeekFrom::Start(length))?;
            Ok((file, found))
        };
        let (file, found) = open().map_err(|error| io_error("open", name, error))?;
        if found < length {
            return Err(too_short(name, found));
        }
        Ok(Box::new(WrittenFile { file: Arc::new(file), name: name.into(), written: length }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>, Error> {
        let path = self.file(name)?;
        let open = || {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| io_error("open", name, error))?;
        Ok(Box::new(ReadFile { file, length, name: name.to_owned() }))
    }

    fn map(&self, name: &str, mmap: bool) -> Result<Box<dyn Mapped>, Error> {
        if mmap {
            let path = self.file(name)?;
            let map = || mmap::map(&File::open(path)?);
            return map().map_err(|error| io_error("map", name, error));
        }
        let file = self.open(name)?;
        let length = usize::try_from(file.len())
            .map_err(|_| io_error("read", name, io::ErrorKind::FileTooLarge.into()))?;
        let mut bytes = AlignedBytes::zeroed(length);
        file.read_exact_at(bytes.as_mut(), 0)?;
        Ok(Box::new(bytes))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        fs::rename(self.file(from)?, self.file(to)?)
            .map_err(|error| io_error("rename", from, error))
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        fs::remove_file(self.file(name)?).map_err(|error| io_error("remove", name, error))
    }

    fn link_into(
        &self,
        name: &str,
        target: &dyn Storage,
        target_name: &str,
    ) -> Result<Transfer, Error> {
        let from = self.file(name)?;
        if let Some(directory) = target.as_any().downcast_ref::<Self>() {
            match fs::hard_link(from, directory.file(target_name)?) {
                Ok(()) => return Ok(Transfer::Linked),
                Err(error) if !cannot_link(&error) => return Err(io_error("link", name, error)),
                Err(_) => {}
            }
        }
        copy(self, name, target, target_name)?;
        Ok(Transfer::Copied)
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        self.names(fs::FileType::is_file)
    }

    fn sync_file(&self, name: &str) -> Result<(), Error> {
        let path = self.file(name)?;
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|error| io_error("sync", name, error))
    }

    fn sync_directory(&self) -> Result<(), Error> {
        let result = match &self.handle {
            Some(handle) => handle.sync_all(),
            None => File::open(&self.path).and_then(|handle| handle.sync_all()),
        };
        result.map_err(|error| io_error("sync the directory", ".", error))
    }

    fn sync_all_within(&self) -> Result<bool, Error> {
        #[cfg(target_os = "linux")]
        if let Some(handle) = &self.handle
            && syncfs_tells_errors()
        {
            let synced = rustix::fs::syncfs(handle);
            return match synced {
                Ok(()) => Ok(true),
                Err(errno) => Err(io_error("sync the file system", ".", errno.into())),
            };
        }
        Ok(false)
    }

    fn subdirectory(&self, name: &str) -> Result<Arc<dyn Storage>, Error> {
        let path = self.file(name)?;
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => {
                Err(io_error("create the directory", name, error))
            }
            _ => Ok(Arc::new(Self { path, handle: None })),
        }
    }

    fn subdirectories(&self) -> Result<Vec<String>, Error> {
        self.names(fs::FileType::is_dir)
    }

    fn remove_subdirectory(&self, name: &str) -> Result<(), Error> {
        fs::remove_dir_all(self.file(name)?)
            .map_err(|error| io_error("remove the directory", name, error))
    }

    fn lock(&self) -> Result<Box<dyn HeldLock>, Error> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path.join(names::LOCK))
            .map_err(|error| io_error("open", names::LOCK, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(LockedFile { _file: file })),
            Err(TryLockError::WouldBlock) => {
                Err(Error::Locked { path: self.path.display().to_string() })
            }
            Err(TryLockError::Error(error)) => Err(io_error("lock", names::LOCK, error)),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Whether `syncfs` reports what could not be written, since the descriptor was opened: from Linux 5.8 on.
#[cfg(target_os = "linux")]
fn syncfs_tells_errors() -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    *TELLS.get_or_init(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
            _ => false,
        }
    })
}

/// Whether the system cannot link these two places, which a copy can still serve.
fn cannot_link(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::XDEV, Errno::PERM, Errno::NOTSUP, Errno::MLINK, Errno::NOSYS]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// The lock belongs to the open file: closing it, or the end of the process, gives it back.
struct LockedFile {
    _file: File,
}

impl HeldLock for LockedFile {}

struct WrittenFile {
    file: Arc<File>,
    name: Box<str>,
    /// The end of what was written; the file may be allocated beyond it.
    written: u64,
}

impl StorageFile for WrittenFile {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        (&*self.file).write_all(bytes).map_err(|error| io_error("write", &self.name, error))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn preallocate(&mut self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.written {
            return Ok(());
        }
        allocate(&self.file, self.written, bytes)
            .map_err(|error| io_error("allocate", &self.name, error))
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.file.sync_all().map_err(|error| io_error("sync", &self.name, error))
    }

    fn syncer(&self) -> Result<Box<dyn SyncFile>, Error> {
        Ok(Box::new(SyncedFile { file: Arc::clone(&self.file), name: self.name.clone() }))
    }
}

/// Allocates a file up to `bytes`; zeros are written where the file system has no call for it.
fn allocate(file: &File, written: u64, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::NOTSUP | Errno::NOSYS) => {
            let zeros = [0; 64 << 10];
            let mut offset = file.metadata()?.len().max(written);
            while offset < bytes {
                let size = (bytes - offset).min(zeros.len() as u64);
                file.write_all_at(&zeros[..size as usize], offset)?;
                offset += size;
            }
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

struct SyncedFile {
    file: Arc<File>,
    name: Box<str>,
}

impl SyncFile for SyncedFile {
    fn sync(&self) -> Result<(), Error> {
        // The data and what is needed to read it again; the time of the change can wait.
        self.file.sync_data().map_err(|error| io_error("sync", &self.name, error))
    }
}

struct ReadFile {
    file: File,
    length: u64,
    name: String,
}

impl ReadAt for ReadFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(buffer, offset).map_err(|error| io_error("read", &self.name, error))
    }

    fn len(&self) -> u64 {
        self.length
    }
}
