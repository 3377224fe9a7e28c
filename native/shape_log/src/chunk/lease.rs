//! Whoever sends the files of a chunk holds a lease, and they stay as long as he does.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lane_index::storage::Directory;
use lane_index::{Storage, run_after};
use parking_lot::Mutex;

use super::ChunkMeta;

/// A chunk, and who needs its files.
pub(super) struct Chunk {
    pub meta: ChunkMeta,
    pub held: Mutex<Held>,
}

#[derive(Default)]
pub(super) struct Held {
    pub leases: usize,
    /// It is in the index no more; the last lease takes its files along.
    pub removed: bool,
}

impl Chunk {
    pub(super) fn new(meta: ChunkMeta) -> Arc<Self> {
        Arc::new(Self { meta, held: Mutex::default() })
    }
}

/// The files that nobody needs, and that could not be removed so far.
pub(super) struct Garbage {
    pub storage: Arc<dyn Storage>,
    names: Mutex<Vec<String>>,
}

impl Garbage {
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, names: Mutex::default() }
    }

    pub(super) fn add(&self, chunk: &ChunkMeta) {
        self.names.lock().extend([Some(chunk.name()), chunk.gzip_name()].into_iter().flatten());
    }

    /// Removes what can be. The rest is tried again with the next chunk, and swept when the directory is
    /// opened: no index names it.
    pub(super) fn collect(&self) {
        let names = std::mem::take(&mut *self.names.lock());
        let left: Vec<_> = names
            .into_iter()
            .filter(|name| match self.storage.remove(name) {
                Err(lane_index::Error::Io { source, .. }) => {
                    source.kind() != std::io::ErrorKind::NotFound
                }
                _ => false,
            })
            .collect();
        self.names.lock().extend(left);
    }
}

/// Holds the files of a chunk until it is dropped. A removal in the meantime takes effect then.
pub struct Lease {
    chunk: Arc<Chunk>,
    garbage: Arc<Garbage>,
}

impl Lease {
    /// The lease of a chunk that was not removed.
    pub(super) fn take(chunk: Arc<Chunk>, garbage: Arc<Garbage>) -> Option<Self> {
        let mut held = chunk.held.lock();
        if held.removed {
            return None;
        }
        held.leases += 1;
        drop(held);
        Some(Self { chunk, garbage })
    }

    /// The chunk.
    #[must_use]
    pub fn meta(&self) -> &ChunkMeta {
        &self.chunk.meta
    }

    /// Where its file is; nothing where the storage is no directory of the file system.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        self.path_of(&self.chunk.meta.name())
    }

    /// Where the file of its compressed twin is.
    #[must_use]
    pub fn gzip_path(&self) -> Option<PathBuf> {
        self.path_of(&self.chunk.meta.gzip_name()?)
    }

    fn path_of(&self, name: &str) -> Option<PathBuf> {
        let directory = self.garbage.storage.as_any().downcast_ref::<Directory>()?;
        Some(directory.path().join(name))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.chunk.held.lock();
        held.leases -= 1;
        if held.removed && held.leases == 0 {
            self.garbage.add(&self.chunk.meta);
            // A lease may end where nobody may wait for a disk.
            let garbage = Arc::clone(&self.garbage);
            run_after(Duration::ZERO, move || garbage.collect());
        }
    }
}
