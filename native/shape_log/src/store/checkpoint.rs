//! Checkpoints: after one, the files of the logs stand for themselves, and the redo log before it can go.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lane_index::Error as StorageError;
use xxhash_rust::xxh3::xxh3_64;

use super::{LogStore, Shared};
use crate::log::{Log, Snapshot};
use crate::manifest::Manifest;
use crate::segment::{self, SegmentFile};
use crate::{Error, checkpoint};

/// What the next checkpoint needs to know of the one before.
pub(crate) struct Checkpoints {
    pub manifest: Manifest,
}

/// From so many logs on, whose files have to be synced, all of the file system is: one by one each waits
/// for the disk, which takes half a minute for ten thousand.
const MANY: usize = 32;

/// What a table has of a log.
struct Counts {
    /// Where that ends.
    end: usize,
    /// How many complete segments.
    finished: usize,
    has_snapshot: bool,
}

/// What is removed when the checkpoint on disk does not name it any more, and nobody reads it.
pub(crate) enum Grave {
    /// A log, with its directory.
    Log(Arc<Log>),
    /// A segment of a log.
    Segment(Arc<Log>, Arc<SegmentFile>),
}

impl Grave {
    pub fn is_read(&self) -> bool {
        match self {
            Self::Log(log) => Arc::strong_count(log) > 1,
            Self::Segment(_, file) => Arc::strong_count(file) > 1,
        }
    }

    pub fn remove(&self, shared: &Shared) -> Result<(), StorageError> {
        let result = match self {
            Self::Log(log) => shared.shapes.remove_subdirectory(&log.owner.directory()),
            Self::Segment(log, file) => log.directory()?.remove(&segment::name(file.number)),
        };
        match result {
            // A log that never had a file has no directory either.
            Err(StorageError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            result => result,
        }
    }
}

impl LogStore {
    /// Flushes, makes the files of the logs durable, writes down what is in them, and lets the redo log
    /// before that go. Done by a thread of the store when the redo log has grown, where it has threads.
    ///
    /// # Errors
    /// [`Error::Storage`]. A full disk leaves things as they were; where a file could not be made
    /// durable, everything is refused from then on.
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.shared.checkpoint()
    }
}

impl Shared {
    pub fn checkpoint(&self) -> Result<(), Error> {
        self.checkpoint_with(&mut self.checkpoints.lock())
    }

    pub fn checkpoint_with(&self, checkpoints: &mut Checkpoints) -> Result<(), Error> {
        self.sync()?;
        let mut buffer = self.flushing.lock();
        // Everything up to here is in the files when this flush is done. What became durable meanwhile
        // may be there too: replayed entries that a log has already are passed over.
        let applied_seq = self.progress.lock().covered_seq;
        let lsn = self.watermark.load(Ordering::Acquire);
        let finished = self.finished.load(Ordering::Relaxed);
        let redo_bytes = self.redo_bytes.load(Ordering::Relaxed);
        // The redo log must reach as far as the checkpoint, or its numbers would be given twice: where
        // what is written counts as durable, it need not yet.
        self.journal()?.sync().inspect_err(|error| self.fail(error))?;
        self.flush_with(&mut buffer, None)?;
        // Before the table is made, so that what is buried later is still in it.
        let buried = self.graveyard.lock().len();
        let mut logs: Vec<Arc<Log>> = self.logs.read().values().cloned().collect();
        logs.sort_unstable_by_key(|log| log.owner.log);

        let manifest = &checkpoints.manifest;
        let head = checkpoint::Head {
            number: manifest.next_number,
            lsn,
            applied_seq,
            salt: RandomState::new().hash_one(lsn),
            owner: xxh3_64(&self.hash_key),
        };
        // In memory first: the flushes that come may go on while this one's files are made durable.
        let mut table = Vec::new();
        let mut counts = Vec::with_capacity(logs.len());
        let mut unsynced = Vec::new();
        for log in &logs {
            let mut state = log.state.lock();
            state.settle(lsn);
            state.encode(&log.owner, &mut table);
            let has_snapshot = matches!(state.snapshot, Snapshot::Ready(..));
            counts.push(Counts { end: table.len(), finished: state.finished.len(), has_snapshot });
            let (files, is_new) = (std::mem::take(&mut state.unsynced), state.is_new_file);
            state.is_new_file = false;
            if !files.is_empty() || is_new {
                unsynced.push((Arc::clone(log), files, is_new));
            }
        }
        drop(buffer);
        self.sync_files(&unsynced).inspect_err(|error| self.fail(error))?;
        let entry = self.write_table(&head, &table, &counts)?;

        let mut next = manifest.clone();
        next.generation += 1;
        next.next_number += 1;
        next.applied_seq = applied_seq;
        next.records_seq = self.progress.lock().records_seq(applied_seq);
        next.journal = self.journal()?.oldest_needed(next.records_seq);
        next.checkpoint = Some(entry);
        next.write(&*self.storage)?;
        Manifest::put_in_place(&*self.storage).inspect_err(|error| self.fail(error))?;

        let old = std::mem::replace(&mut checkpoints.manifest, next);
        self.finished.fetch_sub(finished, Ordering::Relaxed);
        for (log, counts) in logs.iter().zip(&counts) {
            let mut state = log.state.lock();
            let more = counts.finished > state.checkpointed
                || (counts.has_snapshot && !state.snapshot_is_kept);
            state.checkpointed = counts.finished;
            state.snapshot_is_kept = counts.has_snapshot;
            drop(state);
            if more {
                self.seal_soon(log);
            }
        }
        drop((logs, unsynced));
        self.redo_bytes.fetch_sub(redo_bytes, Ordering::Relaxed);
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        // Files that stay are needed by nobody, and go with the next checkpoint or the next opening.
        if let Some(old) = old.checkpoint {
            drop(self.storage.remove(&checkpoint::name(old.number)));
        }
        if let Some(oldest) = checkpoints.manifest.journal {
            drop(self.journal()?.release(oldest));
        }
        self.bury(buried);
        Ok(())
    }

    fn sync_files(&self, unsynced: &[(Arc<Log>, Vec<u64>, bool)]) -> Result<(), StorageError> {
        let mut any_new = false;
        if unsynced.len() >= MANY && self.storage.sync_all_within()? {
            return Ok(());
        }
        for (log, files, is_new) in unsynced {
            let synced = log.directory().and_then(|directory| {
                files.iter().try_for_each(|file| directory.sync_file(&segment::name(*file)))?;
                if *is_new { directory.sync_directory() } else { Ok(()) }
            });
            any_new |= is_new;
            match synced {
                Err(_) if log.state.lock().removed => {}
                result => result?,
            }
        }
        if any_new { self.shapes.sync_directory() } else { Ok(()) }
    }

    fn write_table(
        &self,
        head: &checkpoint::Head,
        table: &[u8],
        counts: &[Counts],
    ) -> Result<crate::manifest::CheckpointEntry, StorageError> {
        let write = || {
            let mut writer = checkpoint::Writer::create(&*self.storage, head)?;
            let mut from = 0;
            for counts in counts {
                writer.log(|out| out.extend_from_slice(&table[from..counts.end]))?;
                from = counts.end;
            }
            writer.finish(head)
        };
        // Best effort: the next attempt and the next opening remove it too.
        write().inspect_err(|_| drop(self.storage.remove(&checkpoint::name(head.number))))
    }

    /// Removes the oldest `buried` of what nobody needs, as far as nobody reads it.
    pub fn bury(&self, buried: usize) {
        let mut candidates = std::mem::take(&mut *self.graveyard.lock());
        let rest = candidates.split_off(buried.min(candidates.len()));
        let mut kept = Vec::new();
        for grave in candidates {
            // What cannot be removed now is tried again with the next checkpoint.
            if grave.is_read() || grave.remove(self).is_err() {
                kept.push(grave);
            }
        }
        kept.extend(rest);
        let mut graveyard = self.graveyard.lock();
        kept.append(&mut graveyard);
        *graveyard = kept;
    }
}
