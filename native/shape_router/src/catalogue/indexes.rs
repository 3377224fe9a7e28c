//! The file beside a snapshot that spares opening the work of deriving everything again: when it is
//! used, when it is made, and when it goes.
//!
//! Nothing depends on it. Whatever goes wrong with it is told, and everything else goes on.

use super::manifest::Manifest;
use super::snapshot::Snapshot;
use super::{Catalogue, Options, Replay};
use crate::router::Router;
use crate::stored::{self, Source, StoredIndexes};
use lane_index::storage::{Storage, names};
use lane_index::{Error, sealed};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};

/// Opens a snapshot and nothing else, as long as the caller goes on; `None`: with a clause that this
/// version refuses, and another may not, so that the outcome is not to be kept.
pub(crate) type Derive =
    dyn Fn(&Manifest, &Snapshot, &GoOn<'_>) -> Result<Option<Router>, Error> + Send + Sync;

/// Says whether something long is still wanted.
pub(crate) type GoOn<'a> = dyn Fn() -> Result<(), Error> + 'a;

/// What is known of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFigures {
    /// The bytes of the file, where there is one of the snapshot that there is.
    pub bytes: u64,
    /// Opening has used it.
    pub loaded: bool,
    /// Why opening could not use one that was there.
    pub refused: Option<String>,
    /// What the last attempt to make one ended with, if it failed.
    pub last_error: Option<String>,
    /// The snapshot that it is of.
    pub(super) snapshot: Option<u64>,
}

/// Tells what is stored of a snapshot, or else everything that it says.
pub(super) fn read(
    storage: &dyn Storage,
    snapshot: &Snapshot,
    source: Source,
    options: &Options,
    replay: &mut impl Replay,
) -> Result<IndexFigures, Error> {
    let mut figures = IndexFigures::default();
    let name = stored::name(source.number);
    let exists = storage.list()?.contains(&name);
    if exists {
        figures.snapshot = Some(source.number);
        figures.bytes = storage.open(&name).map_or(0, |file| file.len());
    }
    if exists && options.indexes_above.is_some() {
        // The truth is verified all the same.
        snapshot.verify(replay)?;
        let indexes = StoredIndexes { storage, source, mmap: options.mmap };
        match replay.load(&indexes) {
            Ok(true) => {
                figures.loaded = true;
                return Ok(figures);
            }
            Ok(false) => {}
            Err(error) => {
                let refused = Some(error.to_string());
                figures = IndexFigures { refused, ..IndexFigures::default() };
            }
        }
    }
    snapshot.read(replay)?;
    Ok(figures)
}

impl Catalogue {
    /// From now on indexes are stored beside snapshots: `derive` opens one.
    pub(crate) fn derive_with(self: &Arc<Self>, derive: Box<Derive>) {
        if self.derive.set(derive).is_ok() && self.options.fold_above_bytes.is_some() {
            self.store_indexes_soon();
        }
    }

    /// What is known of the stored indexes.
    #[must_use]
    pub fn index_figures(&self) -> IndexFigures {
        self.indexes.lock().clone()
    }

    /// Stores the indexes of the snapshot, on a thread of its own.
    pub(super) fn store_indexes_soon(self: &Arc<Self>) {
        if !self.are_wanted() {
            return;
        }
        let catalogue = Arc::downgrade(self);
        later(Box::new(move || {
            if let Some(catalogue) = catalogue.upgrade() {
                let _folding = catalogue.folding.lock();
                catalogue.store_indexes();
            }
        }));
    }

    /// Whether the snapshot has no indexes that are stored, and should.
    fn are_wanted(&self) -> bool {
        let state = self.state.lock();
        let Some(entry) = &state.manifest.snapshot else { return false };
        self.options.indexes_above.is_some_and(|least| entry.shapes > least)
            && self.indexes.lock().snapshot != Some(entry.number)
    }

    /// Stores the indexes of the snapshot now, where they are wanted. The caller folds.
    pub(super) fn store_indexes(&self) {
        let Some(derive) = self.derive.get() else { return };
        if !self.are_wanted() {
            return;
        }
        // Whoever closes waits for the journal, and gives the directory back after that.
        let journal = self.journal.read();
        if journal.is_none() || self.check().is_err() {
            return;
        }
        let manifest = self.state.lock().manifest.clone();
        let stored = self.store_indexes_of(&manifest, derive);
        let mut indexes = self.indexes.lock();
        match stored {
            Ok(Some((number, bytes))) => {
                (indexes.snapshot, indexes.bytes, indexes.last_error) = (Some(number), bytes, None);
            }
            Ok(None) | Err(Error::Closed) => {}
            Err(error) => indexes.last_error = Some(error.to_string()),
        }
    }

    fn store_indexes_of(
        &self,
        manifest: &Manifest,
        derive: &Derive,
    ) -> Result<Option<(u64, u64)>, Error> {
        let go_on = || self.go_on();
        let (Some(entry), Some(snapshot)) = (&manifest.snapshot, self.current(manifest)?) else {
            return Ok(None);
        };
        let Some(router) = derive(manifest, &snapshot, &go_on)? else { return Ok(None) };
        let source = Source::new(entry, manifest.applied_seq, self.owner);
        let name = stored::name(entry.number);
        let temporary = names::temporary(&name);
        let file = sealed::create_anew(&*self.storage, &temporary)?;
        let written = stored::write(&router, &snapshot, source, file, &go_on).and_then(|bytes| {
            self.storage.rename(&temporary, &name)?;
            self.storage.sync_directory()?;
            Ok(bytes)
        });
        let bytes = written.inspect_err(|_| drop(self.storage.remove(&temporary)))?;
        Ok(Some((entry.number, bytes)))
    }

    /// Removes what is stored of a snapshot that is gone.
    pub(super) fn forget_indexes(&self, snapshot: u64) {
        let mut indexes = self.indexes.lock();
        if indexes.snapshot == Some(snapshot) {
            (indexes.snapshot, indexes.bytes) = (None, 0);
            // What is left over is swept on the next open too.
            drop(self.storage.remove(&stored::name(snapshot)));
        }
    }

    /// Copies what is stored of a snapshot, if anything is.
    pub(super) fn copy_indexes(&self, snapshot: u64, target: &dyn Storage) -> Result<(), Error> {
        if self.indexes.lock().snapshot == Some(snapshot) {
            let name = stored::name(snapshot);
            self.storage.link_into(&name, target, &name)?;
        }
        Ok(())
    }
}

type Task = Box<dyn FnOnce() + Send>;

/// Runs a task on the thread that derives: one for all routers, and none of those that merge, which
/// would have to wait. If there is none, nothing happens, and opening derives.
fn later(task: Task) {
    static DERIVER: OnceLock<Option<Sender<Task>>> = OnceLock::new();
    let deriver = DERIVER.get_or_init(|| {
        let (sender, receiver) = channel::<Task>();
        let thread = std::thread::Builder::new().name("shape-deriver".into());
        let spawned = thread.spawn(move || {
            // What a task shares with others is behind locks that a panic does not poison.
            receiver.into_iter().for_each(|task| drop(catch_unwind(AssertUnwindSafe(task))));
        });
        spawned.ok().map(|_| sender)
    });
    if let Some(sender) = deriver {
        let _ = sender.send(task);
    }
}
