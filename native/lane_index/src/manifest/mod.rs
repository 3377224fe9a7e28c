//! The manifest: which segments an index consists of, and how far they cover its history.
//!
//! It is replaced as a whole: written under a temporary name, synced, renamed over the old one,
//! and the directory synced. A crash leaves the old one or the new one. Whatever file of ours it
//! does not name is nobody's, and swept on open.

mod document;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;

pub use document::{Manifest, SegmentEntry, VERSION};

use crate::Error;
use crate::sealed;
use crate::storage::names::{self, Kind};
use crate::storage::{ReadAt, Storage};

/// A manifest longer than this was not written by us (it would name ten million segments).
const LONGEST: u64 = 1 << 31;

/// The manifest of a directory whose lock the caller holds.
pub struct ManifestStore {
    storage: Arc<dyn Storage>,
    current: Manifest,
    /// The next segment id to give away: above those in the manifest and those of stray files.
    next_id: u64,
    /// Why nothing more is committed.
    failed: Option<String>,
}

impl ManifestStore {
    /// Reads the manifest of a directory; `None` where no index was ever created.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::UnknownVersion`], [`Error::Io`]; [`Error::Missing`] when there
    /// are segments or journals and no manifest to say what they are.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Option<Self>, Error> {
        let Some(current) = read(&*storage)? else { return Ok(None) };
        // What is read may only be in the page cache, when the process before was killed between
        // the rename and the sync of the directory. What is built on it must not outlive it.
        storage.sync_file(names::MANIFEST)?;
        storage.sync_directory()?;
        let next_id = next_id(&storage.list()?, &current);
        Ok(Some(Self { storage, current, next_id, failed: None }))
    }

    /// Creates the manifest of a new index. Sweeps what an interrupted creation left.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Missing`] as for [`ManifestStore::open`].
    pub fn create(storage: Arc<dyn Storage>, manifest: Manifest) -> Result<Self, Error> {
        if let Some(store) = Self::open(Arc::clone(&storage))? {
            // Only a caller that did not open first, under the lock, comes here.
            return Err(crate::storage::io_error(
                "create",
                names::MANIFEST,
                io::Error::new(
                    ErrorKind::AlreadyExists,
                    format!("generation {} is there", store.current.generation),
                ),
            ));
        }
        remove_temporaries(&*storage)?;
        let next_id = next_id(&storage.list()?, &manifest);
        let mut store = Self { storage, current: manifest.clone(), next_id, failed: None };
        store.current.generation = 0;
        store.commit(manifest)?;
        Ok(store)
    }

    /// The manifest as it was last committed.
    #[must_use]
    pub fn current(&self) -> &Manifest {
        &self.current
    }

    /// Whether a commit failed in a way that leaves unknown which manifest is on disk; see
    /// [`ManifestStore::commit`].
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Gives away the id of a new segment. No id is given twice, also when the segment is never
    /// committed; a name is therefore never used again.
    pub fn take_id(&mut self) -> u64 {
        let id = self.next_id;
        // A segment with the last number of all is refused by the commit.
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// The id that [`ManifestStore::take_id`] gives next.
    #[must_use]
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Replaces the manifest, with the next generation. The files that it names must be synced.
    ///
    /// An error before the rename leaves the old manifest in place, and the commit may be tried
    /// again: a full disk, say. An error from the rename on leaves unknown which of the two is on
    /// disk; every later commit is [`Error::Failed`] then, and no file of either may be removed.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Failed`], [`Error::Damaged`] for a manifest that a reader would refuse,
    /// and [`Error::Limit`] where the generations are used up.
    pub fn commit(&mut self, mut next: Manifest) -> Result<(), Error> {
        if let Some(cause) = &self.failed {
            return Err(Error::Failed { cause: cause.clone() });
        }
        let (what, generation) = ("generations of a manifest", self.current.generation);
        next.generation = generation.checked_add(1).ok_or(Error::Limit {
            what,
            got: generation,
            limit: generation,
        })?;
        next.next_id = next.next_id.max(self.next_id);
        let text = next.encode()?;
        // A reader must accept what we write, or the index would be lost with this commit.
        Manifest::decode(text.as_bytes())?;
        sealed::write_temporary(&*self.storage, names::MANIFEST, &text)?;
        if let Err(error) = sealed::put_in_place(&*self.storage, names::MANIFEST) {
            self.failed = Some(error.to_string());
            return Err(error);
        }
        self.current = next;
        Ok(())
    }

    /// Removes files that nothing refers to: unfinished ones, segments that the manifest does not
    /// name, journal files older than the oldest it needs. Files put aside as damaged, files that
    /// are not ours, and segments for which `readable` says no (those of another version, say) are
    /// left alone. Returns the names of what was removed.
    ///
    /// # Errors
    /// [`Error::Io`], or what `readable` returns.
    pub fn sweep(
        &self,
        readable: &mut dyn FnMut(&str, &dyn ReadAt) -> Result<bool, Error>,
    ) -> Result<Vec<String>, Error> {
        if let Some(cause) = &self.failed {
            return Err(Error::Failed { cause: cause.clone() });
        }
        let named: BTreeSet<u64> = self.current.segments.iter().map(|segment| segment.id).collect();
        let mut removed = Vec::new();
        for name in self.storage.list()? {
            let unneeded = match names::kind(&name) {
                Kind::Temporary => true,
                Kind::Segment(id) => {
                    !named.contains(&id) && readable(&name, &*self.storage.open(&name)?)?
                }
                Kind::Journal(number) => self.current.journal.is_some_and(|oldest| number < oldest),
                Kind::Manifest | Kind::Lock | Kind::Corrupt | Kind::Foreign => false,
            };
            if unneeded {
                self.storage.remove(&name)?;
                removed.push(name);
            }
        }
        if !removed.is_empty() {
            self.storage.sync_directory()?;
        }
        Ok(removed)
    }
}

/// Reads the manifest of a directory; `None` where no index was ever created.
///
/// # Errors
/// As for [`ManifestStore::open`].
pub fn read(storage: &dyn Storage) -> Result<Option<Manifest>, Error> {
    let files = storage.list()?;
    if !files.iter().any(|name| name == names::MANIFEST) {
        let orphan = files
            .iter()
            .any(|name| matches!(names::kind(name), Kind::Segment(_) | Kind::Journal(_)));
        if orphan {
            // The manifest is the first file that an index gets; to begin anew here would sweep
            // the data of an index whose manifest somebody lost.
            return Err(Error::Missing {
                path: names::MANIFEST.to_owned(),
                why: "there are segments or journals that only it can explain",
            });
        }
        return Ok(None);
    }
    let bytes = sealed::read(storage, names::MANIFEST, LONGEST)?;
    Manifest::decode(&bytes).map(Some)
}

/// Puts a manifest into a directory that has the files it names, and none yet.
pub(crate) fn install(storage: &dyn Storage, manifest: &Manifest) -> Result<(), Error> {
    let text = manifest.encode()?;
    Manifest::decode(text.as_bytes())?;
    sealed::write_temporary(storage, names::MANIFEST, &text)?;
    sealed::put_in_place(storage, names::MANIFEST)
}

/// Puts a damaged file aside under a name that is never opened nor swept.
///
/// # Errors
/// [`Error::Io`].
pub fn quarantine(storage: &dyn Storage, name: &str) -> Result<String, Error> {
    let aside = format!("{name}{}", names::CORRUPT);
    storage.rename(name, &aside)?;
    storage.sync_directory()?;
    Ok(aside)
}

fn next_id(files: &[String], manifest: &Manifest) -> u64 {
    let used = files.iter().filter_map(|name| {
        let whole = [names::TEMPORARY, names::CORRUPT]
            .iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        match names::kind(whole) {
            Kind::Segment(id) => id.checked_add(1),
            _ => None,
        }
    });
    used.fold(manifest.next_id, u64::max)
}

fn remove_temporaries(storage: &dyn Storage) -> Result<(), Error> {
    for name in storage.list()? {
        if names::kind(&name) == Kind::Temporary {
            storage.remove(&name)?;
        }
    }
    Ok(())
}
