//! What an index in a directory has beside its layers: lock, manifest, and the ids of its files.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;
use crate::hash::HashKey;
use crate::journal::Journal;
use crate::lock::DirectoryLock;
use crate::manifest::{Manifest, ManifestStore, SegmentEntry, quarantine};
use crate::options::{Journaling, Options};
use crate::segment::{OpenOptions, Segment};
use crate::storage::names::{self, Kind};
use crate::storage::{ReadAt, Storage};
use crate::view::Run;

pub(crate) struct Disk {
    pub storage: Arc<dyn Storage>,
    pub open_options: OpenOptions,
    /// None once closed.
    state: Mutex<Option<State>>,
}

struct State {
    manifest: ManifestStore,
    /// Given back after everything else.
    _lock: DirectoryLock,
}

/// What was found in a directory.
pub(crate) struct Found {
    pub disk: Disk,
    pub manifest: Manifest,
    /// Newest first, as the manifest has them; those that could not be opened are missing.
    pub segments: Vec<Segment>,
    /// What was put aside.
    pub quarantined: Vec<String>,
}

impl Disk {
    /// Takes the directory, and reads or creates what it says the index consists of.
    pub(crate) fn open(storage: Arc<dyn Storage>, options: &Options) -> Result<Found, Error> {
        let lock = DirectoryLock::acquire(&*storage)?;
        let manifest = match ManifestStore::open(Arc::clone(&storage))? {
            Some(manifest) => manifest,
            None => {
                let lanes = u32::from(options.lanes.unwrap_or(1));
                let new = Manifest::new(lanes, HashKey::random()?.to_bytes());
                ManifestStore::create(Arc::clone(&storage), new)?
            }
        };
        if options.journal == Journaling::Caller && manifest.current().journal.is_some() {
            let what = "the index has a journal of its own".to_owned();
            return Err(Error::BadOption { option: "journal", what });
        }
        let mut found = Found {
            manifest: manifest.current().clone(),
            segments: Vec::new(),
            quarantined: Vec::new(),
            disk: Self {
                open_options: OpenOptions { mmap: options.mmap },
                state: Mutex::new(Some(State { manifest, _lock: lock })),
                storage,
            },
        };
        found.open_segments()?;
        found.sweep()?;
        Ok(found)
    }

    /// A name for a new segment, never given before.
    pub(crate) fn new_name(&self) -> Result<String, Error> {
        let mut state = self.state.lock();
        Ok(names::segment(state.as_mut().ok_or(Error::Closed)?.manifest.take_id()))
    }

    /// Makes `runs` what the index consists of; and, where segments now cover more of the history,
    /// up to which sequence number.
    pub(crate) fn commit(
        &self,
        runs: &[Arc<Run>],
        lanes: u16,
        applied_seq: Option<u64>,
        journal: Option<&Journal>,
    ) -> Result<(), Error> {
        self.replace(journal, |manifest| {
            manifest.segments = runs.iter().map(|run| entry(run)).collect();
            manifest.num_lanes = lanes.into();
            manifest.applied_seq = manifest.applied_seq.max(applied_seq.unwrap_or(0));
        })
    }

    /// Makes `runs` what the index consists of after it was emptied or declared whole.
    pub(crate) fn restart(
        &self,
        runs: &[Arc<Run>],
        degraded: bool,
        applied_seq: Option<u64>,
        journal: Option<&Journal>,
    ) -> Result<(), Error> {
        self.replace(journal, |manifest| {
            manifest.segments = runs.iter().map(|run| entry(run)).collect();
            manifest.degraded = degraded;
            manifest.applied_seq = applied_seq.unwrap_or(manifest.applied_seq);
        })
    }

    fn replace(
        &self,
        journal: Option<&Journal>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        let store = &mut state.as_mut().ok_or(Error::Closed)?.manifest;
        let mut next = store.current().clone();
        change(&mut next);
        if let Some(journal) = journal {
            next.journal = journal.oldest_needed(next.applied_seq);
        }
        let oldest = next.journal;
        store.commit(next)?;
        if let (Some(journal), Some(oldest)) = (journal, oldest) {
            // A file that stays is needed by nobody and goes with the next release or open.
            drop(journal.release(oldest));
        }
        Ok(())
    }

    /// Whether it is certain that the manifest on disk is the one committed last, so that files it
    /// does not name can go.
    pub(crate) fn is_certain(&self) -> bool {
        self.state.lock().as_ref().is_some_and(|state| !state.manifest.is_failed())
    }

    /// Up to which sequence number the segments cover the history.
    pub(crate) fn applied_seq(&self) -> Result<u64, Error> {
        self.with_manifest(|manifest| Ok(manifest.applied_seq))
    }

    /// Lets `with` look at the manifest while nobody replaces it.
    pub(crate) fn with_manifest<T>(
        &self,
        with: impl FnOnce(&Manifest) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let state = self.state.lock();
        with(state.as_ref().ok_or(Error::Closed)?.manifest.current())
    }

    /// Removes files that the committed manifest does not name any more. What stays because that
    /// fails is swept on open.
    pub(crate) fn remove(&self, names: impl Iterator<Item = String>) {
        for name in names {
            drop(self.storage.remove(&name));
        }
    }

    /// Puts a damaged segment aside.
    pub(crate) fn quarantine(&self, name: &str) -> Result<String, Error> {
        quarantine(&*self.storage, name)
    }

    /// Gives the directory back.
    pub(crate) fn close(&self) {
        *self.state.lock() = None;
    }
}

impl Found {
    fn open_segments(&mut self) -> Result<(), Error> {
        let storage = Arc::clone(&self.disk.storage);
        let mut kept = Vec::new();
        for entry in std::mem::take(&mut self.manifest.segments) {
            match Segment::open(&*storage, &entry.meta(), self.disk.open_options) {
                Ok(segment) => {
                    self.segments.push(segment);
                    kept.push(entry);
                }
                Err(Error::Damaged { .. }) => {
                    self.quarantined.push(quarantine(&*storage, &entry.path)?);
                }
                Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                    self.quarantined.push(entry.path);
                }
                // Another version, or a disk that does not answer now: nothing is touched.
                Err(error) => return Err(error),
            }
        }
        self.manifest.segments = kept;
        if !self.quarantined.is_empty() {
            self.manifest.degraded = true;
            let manifest = &self.manifest;
            self.disk.replace(None, |next| {
                next.segments = manifest.segments.clone();
                next.degraded = true;
            })?;
        }
        Ok(())
    }

    /// Removes what an interrupted flush, merge or commit left.
    fn sweep(&self) -> Result<(), Error> {
        let state = self.disk.state.lock();
        let store = &state.as_ref().ok_or(Error::Closed)?.manifest;
        let removed = store.sweep(&mut |name, file| readable(name, file))?;
        drop(removed);
        Ok(())
    }
}

/// Whether an orphaned segment is one that this version may remove.
fn readable(_name: &str, file: &dyn ReadAt) -> Result<bool, Error> {
    crate::segment::is_ours(file)
}

fn entry(run: &Run) -> SegmentEntry {
    let id = match names::kind(&run.name) {
        Kind::Segment(id) => id,
        // Only `new_name` names segments.
        _ => 0,
    };
    SegmentEntry::new(id, run.segment.meta())
}
