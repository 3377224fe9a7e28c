//! The catalogue: the shapes of a router, and what is acknowledged of their rows, in a directory.
//!
//! It is the source of truth; every index is derived from it. A *journal* says what happened since the
//! last *snapshot*, each record whole or not at all; when it has grown beyond that, a new snapshot is
//! folded from the two on a thread of its own, without asking the router. The *manifest* names the
//! snapshot and how far it goes. A clause is stored as its text, so that nothing but the directory
//! is needed to open it again.
//!
//! | module | its one job |
//! |---|---|
//! | `clause` | what clauses have in common, written once |
//! | `shape` | shapes in a row |
//! | `record` | the records of the journal |
//! | `meta` | the table: columns, relation |
//! | `snapshot` | the file of a snapshot |
//! | `fold` | a new snapshot from the last one and the journal |
//! | `indexes` | what is derived from a snapshot, stored beside it |
//! | `held_back` | records that somebody else makes durable first |
//! | `manifest` | which files a directory consists of |

mod clause;
mod fold;
mod held_back;
mod indexes;
mod manifest;
mod meta;
mod record;
pub(crate) mod shape;
pub(crate) mod snapshot;

pub use crate::membership::Held;
pub use crate::stored::StoredIndexes;
pub use indexes::IndexFigures;
pub use lane_index::codec::Bad;
pub use manifest::{Declared, Manifest};
pub use meta::{Meta, RelationChange, StoredColumn, StoredSchema, StoredType};
pub use record::{AckWriter, AddWriter, Replay, read_record, removal};
pub use shape::StoredShape;
pub use snapshot::SnapshotEntry;

use crate::stored::{self, Source};
use fold::{Came, Delta};
use held_back::HeldBack;
use indexes::Derive;
pub(crate) use indexes::GoOn;
use lane_index::journal::{Fsync, Journal, JournalOptions, JournalStart, Place};
use lane_index::lock::DirectoryLock;
use lane_index::storage::{Storage, Transfer, names};
use lane_index::{Error, HashKey, run_after, sealed};
use parking_lot::{Mutex, RwLock};
use snapshot::{Snapshot, SnapshotWriter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// What the files of the journal start with.
pub const JOURNAL_MAGIC: [u8; 8] = *b"SHAPJRNL";

/// How long a fold waits for another one to end before it asks again.
const BUSY: Duration = Duration::from_millis(50);

/// How a catalogue is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// When what is written is made durable. Default: before it is acknowledged.
    pub fsync: Fsync,
    /// Whether snapshots are mapped when they are read; else they are read into memory. Default `true`.
    pub mmap: bool,
    /// The length of a file of the journal. Default 1 MiB.
    pub journal_file_bytes: u64,
    /// The journal is folded into a snapshot when it is longer than this, and than the snapshot. Default
    /// 4 MiB; `None`: only when asked to.
    pub fold_above_bytes: Option<u64>,
    /// Of a snapshot of more shapes than this the indexes are stored beside it, so that opening need
    /// not derive them. Default 10,000; `None`: of none, and what is stored is not read.
    pub indexes_above: Option<u64>,
    /// Records are held back until they are [released](Catalogue::release): for a caller with a journal
    /// of its own, in which they become durable together with what else happened. Default `false`.
    pub hold_back: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: Fsync::Always,
            mmap: true,
            journal_file_bytes: 1 << 20,
            fold_above_bytes: Some(4 << 20),
            indexes_above: Some(10_000),
            hold_back: false,
        }
    }
}

/// A directory that is held, before it is read.
pub struct Taken {
    storage: Arc<dyn Storage>,
    manifest: Option<Manifest>,
    lock: DirectoryLock,
}

impl Taken {
    /// Takes a directory, and reads what it says it consists of.
    ///
    /// # Errors
    /// [`Error::Locked`]; what makes the manifest unreadable; [`Error::Io`].
    pub fn take(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        let lock = DirectoryLock::acquire(&*storage)?;
        let manifest = manifest::read(&*storage)?;
        if manifest.is_some() {
            // What is read may only be in the page cache, when the process before was killed between
            // the rename and the sync of the directory. What is built on it must not outlive it.
            storage.sync_file(names::MANIFEST)?;
            storage.sync_directory()?;
        }
        Ok(Self { storage, manifest, lock })
    }

    /// What there is; `None` where there never was a router.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Writes the first manifest, or one that declares other columns; returns it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn declare(
        &mut self,
        declared: Declared,
        key_types: impl FnOnce() -> Option<Vec<StoredType>>,
    ) -> Result<&Manifest, Error> {
        let mut next = match self.manifest.take() {
            Some(manifest) => Manifest { declared, ..manifest },
            None => Manifest::new(declared, key_types(), HashKey::random()?.to_bytes()),
        };
        next.generation += 1;
        write_manifest(&*self.storage, &next)?;
        Ok(self.manifest.insert(next))
    }

    /// Reads everything, in order, and opens the catalogue. Nothing that was told may be used when this
    /// returns an error; the files are as they were then.
    ///
    /// `tail`: records and their numbers, ascending, as they were [held back](Catalogue::held_back). Those
    /// that the directory does not have are told and written after those that it has.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the file and the offset, [`Error::Missing`], also where records between
    /// the directory's and the tail's are, [`Error::UnknownVersion`], [`Error::Io`].
    pub fn open(
        self,
        options: Options,
        tail: &[(u64, Vec<u8>)],
        replay: &mut impl Replay,
    ) -> Result<Arc<Catalogue>, Error> {
        let Self { storage, manifest, lock } = self;
        let why = "a router is opened only when it is declared";
        let path = || names::MANIFEST.to_owned();
        let manifest = manifest.ok_or_else(|| Error::Missing { path: path(), why })?;
        let owner = xxh3_64(&manifest.hash_key());
        let applied = manifest.applied_seq;
        let mut indexes = IndexFigures::default();
        if let Some(entry) = &manifest.snapshot {
            let snapshot = Snapshot::open(&*storage, entry, applied, owner, options.mmap)?;
            let source = Source::new(entry, applied, owner);
            indexes = indexes::read(&*storage, &snapshot, source, &options, replay)?;
        }
        let mut journal_bytes = 0;
        let start = JournalStart {
            applied_seq: applied,
            oldest: manifest.journal,
            hash_key: manifest.hash_key(),
        };
        let journal_options =
            JournalOptions { fsync: options.fsync, file_bytes: options.journal_file_bytes };
        let (journal, _) = Journal::open_frames(
            Arc::clone(&storage),
            journal_options,
            start,
            JOURNAL_MAGIC,
            |_, payload, place| {
                journal_bytes += payload.len() as u64;
                read_record(payload, replay).map_err(|bad| damaged(place, bad))
            },
        )?;
        journal_bytes += write_tail(&journal, tail, replay)?;
        replay.settle();
        sweep(&*storage, &manifest, &indexes)?;
        let held_back = options.hold_back.then(|| Mutex::new(HeldBack::after(journal.last_seq())));
        let catalogue = Arc::new(Catalogue {
            storage,
            options,
            owner,
            journal: RwLock::new(Some(journal)),
            held_back,
            journal_bytes: AtomicU64::new(journal_bytes),
            retry_above: AtomicU64::new(0),
            state: Mutex::new(State { manifest, failed: None, lock: Some(lock), last_error: None }),
            folding: Mutex::new(()),
            fold_queued: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            derive: OnceLock::new(),
            indexes: Mutex::new(indexes),
        });
        catalogue.tick_later();
        catalogue.fold_if_due();
        Ok(catalogue)
    }
}

fn damaged(place: Place<'_>, bad: Bad) -> Error {
    let offset = place.offset + bad.at as u64;
    Error::Damaged { path: place.path.to_owned(), offset, what: bad.what }
}

/// Tells and writes the records that the journal does not have; their bytes.
fn write_tail(
    journal: &Journal,
    tail: &[(u64, Vec<u8>)],
    replay: &mut impl Replay,
) -> Result<u64, Error> {
    let mut bytes = 0;
    for (seq, record) in tail {
        let last = journal.last_seq();
        if *seq <= last {
            continue;
        }
        if *seq != last + 1 {
            let why = "a record that is asked for follows one that is not there";
            return Err(Error::Missing { path: format!("record {}", last + 1), why });
        }
        read_record(record, replay).map_err(|bad| Error::Damaged {
            path: format!("record {seq}"),
            offset: bad.at as u64,
            what: bad.what,
        })?;
        journal.write_bytes(record)?;
        bytes += record.len() as u64;
    }
    Ok(bytes)
}

/// Removes files of ours that nothing refers to.
fn sweep(storage: &dyn Storage, manifest: &Manifest, indexes: &IndexFigures) -> Result<(), Error> {
    let current = manifest.snapshot.as_ref().map(|snapshot| snapshot.number);
    let mut removed = false;
    for name in storage.list()? {
        let unneeded = match (snapshot::number(&name), stored::number(&name)) {
            (Some(number), _) => current != Some(number),
            // One that was refused as well: what comes in its place is made of the snapshot.
            (None, Some(number)) => current != Some(number) || indexes.refused.is_some(),
            (None, None) => match names::kind(&name) {
                names::Kind::Journal(number) => manifest.journal.is_some_and(|j| number < j),
                names::Kind::Temporary => true,
                _ => name.strip_suffix(names::TEMPORARY).is_some_and(|of| {
                    snapshot::number(of).is_some() || stored::number(of).is_some()
                }),
            },
        };
        if unneeded {
            storage.remove(&name)?;
            removed = true;
        }
    }
    if removed { storage.sync_directory() } else { Ok(()) }
}

fn write_manifest(storage: &dyn Storage, manifest: &Manifest) -> Result<(), Error> {
    let text = manifest.encode()?;
    // A reader must accept what we write, or the router would be lost with this commit.
    Manifest::decode(text.as_bytes())?;
    sealed::write_temporary(storage, names::MANIFEST, &text)?;
    sealed::put_in_place(storage, names::MANIFEST)
}

/// The catalogue of a directory, which it holds until it is closed.
pub struct Catalogue {
    storage: Arc<dyn Storage>,
    options: Options,
    /// Names the router in its files.
    owner: u64,
    /// None once closed.
    journal: RwLock<Option<Journal>>,
    /// What was not written to it yet; where records are held back.
    held_back: Option<Mutex<HeldBack>>,
    /// Of the records that the snapshot has not.
    journal_bytes: AtomicU64,
    /// No new attempt to fold before the journal is that long.
    retry_above: AtomicU64,
    state: Mutex<State>,
    /// Held by whoever folds.
    folding: Mutex<()>,
    fold_queued: AtomicBool,
    closing: AtomicBool,
    /// Opens a snapshot, so that what is derived of it can be stored.
    derive: OnceLock<Box<Derive>>,
    indexes: Mutex<IndexFigures>,
}

struct State {
    manifest: Manifest,
    /// Why nothing more is written.
    failed: Option<String>,
    lock: Option<DirectoryLock>,
    /// What the last attempt to fold ended with.
    last_error: Option<String>,
}

/// What is known of a catalogue's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of records that the snapshot has not.
    pub journal_bytes: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
    /// How many times the manifest was replaced.
    pub generation: u64,
    /// What the last attempt to fold the journal ended with, if it failed.
    pub last_error: Option<String>,
}

/// What a copy consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How the snapshot came there; `None` where there is none, because nothing ever happened.
    pub snapshot: Option<Transfer>,
    /// The bytes of it.
    pub bytes: u64,
}

impl Catalogue {
    /// Writes a record; its number, by which it is [acknowledged](Catalogue::acknowledge). Records are
    /// found again in the order of these calls.
    ///
    /// # Errors
    /// [`Error::Failed`] after a failure; [`Error::Limit`] for a record of more than 256 MiB;
    /// [`Error::Io`]: where no new file could be begun, a full disk say, nothing has happened, and the
    /// record may be written again; else every later call is [`Error::Failed`].
    pub fn write(self: &Arc<Self>, record: &[u8]) -> Result<u64, Error> {
        self.check()?;
        if let Some(held_back) = &self.held_back {
            held_back::check(record)?;
            self.journal.read().as_ref().ok_or(Error::Closed)?;
            return Ok(held_back.lock().push(record));
        }
        self.write_now(record)
    }

    fn write_now(self: &Arc<Self>, record: &[u8]) -> Result<u64, Error> {
        let journal = self.journal.read();
        let seq = journal.as_ref().ok_or(Error::Closed)?.write_bytes(record)?;
        drop(journal);
        self.journal_bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
        self.fold_if_due();
        Ok(seq)
    }

    /// Returns when a record is as durable as was asked for.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Failed`]; every later call is [`Error::Failed`] then.
    pub fn acknowledge(&self, seq: u64) -> Result<(), Error> {
        if self.held_back.is_some() {
            // Whoever asked for that knows when they are durable.
            return Ok(());
        }
        self.journal.read().as_ref().ok_or(Error::Closed)?.acknowledge(seq)
    }

    /// Whether records are held back, so that writing one waits for nothing.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.held_back.is_some()
    }

    /// The records that were held back since this was last asked, with their numbers; empty where none
    /// are. They stay held back until they are [released](Catalogue::release).
    #[must_use]
    pub fn held_back(&self) -> Vec<(u64, Vec<u8>)> {
        self.held_back.as_ref().map_or_else(Vec::new, |held_back| held_back.lock().take_new())
    }

    /// Writes the records up to this number: they are durable elsewhere.
    ///
    /// # Errors
    /// As for [`Catalogue::write`]; what was not written stays held back.
    pub fn release(self: &Arc<Self>, upto: u64) -> Result<(), Error> {
        let Some(held_back) = &self.held_back else { return Ok(()) };
        let mut held_back = held_back.lock();
        while let Some(record) = held_back.first(upto) {
            self.check()?;
            self.write_now(record)?;
            held_back.drop_first();
        }
        Ok(())
    }

    /// Makes everything that was written durable, whatever was asked for.
    ///
    /// # Errors
    /// As for [`Catalogue::acknowledge`].
    pub fn sync(&self) -> Result<(), Error> {
        self.journal.read().as_ref().ok_or(Error::Closed)?.sync()
    }

    fn check(&self) -> Result<(), Error> {
        match &self.state.lock().failed {
            None => Ok(()),
            Some(cause) => Err(Error::Failed { cause: cause.clone() }),
        }
    }

    /// What is known of the files.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.state.lock();
        Figures {
            journal_bytes: self.journal_bytes.load(Ordering::Relaxed),
            snapshot_bytes: state.manifest.snapshot.as_ref().map_or(0, |s| s.bytes),
            generation: state.manifest.generation,
            last_error: state.last_error.clone(),
        }
    }

    /// Folds the journal soon, on a thread of the library, if it has become too long.
    fn fold_if_due(self: &Arc<Self>) {
        let Some(least) = self.options.fold_above_bytes else { return };
        let length = self.journal_bytes.load(Ordering::Relaxed);
        if length <= least || length <= self.retry_above.load(Ordering::Relaxed) {
            return;
        }
        let snapshot = self.state.lock().manifest.snapshot.as_ref().map_or(0, |s| s.bytes);
        if length > snapshot && !self.fold_queued.swap(true, Ordering::AcqRel) {
            self.fold_after(Duration::ZERO);
        }
    }

    fn fold_after(self: &Arc<Self>, delay: Duration) {
        let catalogue = Arc::downgrade(self);
        run_after(delay, move || {
            let Some(catalogue) = catalogue.upgrade() else { return };
            let Some(folding) = catalogue.folding.try_lock() else {
                // Somebody folds, or stores indexes, which may take seconds: these threads have other
                // work than to wait for it.
                return catalogue.fold_after(BUSY);
            };
            let folded = catalogue.fold_locked();
            drop(folding);
            catalogue.store_indexes_soon();
            if let Err(error) = &folded {
                // Not again and again: a disk that is full stays so for a while.
                let length = catalogue.journal_bytes.load(Ordering::Relaxed);
                catalogue.retry_above.store(length + length / 2, Ordering::Relaxed);
                catalogue.state.lock().last_error = Some(error.to_string());
            }
            catalogue.fold_queued.store(false, Ordering::Release);
        });
    }

    fn tick_later(self: &Arc<Self>) {
        let Fsync::Interval(interval) = self.options.fsync else { return };
        let catalogue = Arc::downgrade(self);
        run_after(interval.max(Duration::from_millis(1)), move || {
            let Some(catalogue) = catalogue.upgrade() else { return };
            // A failure is kept by the journal, and told with the next write.
            let open = catalogue.journal.read().as_ref().map(Journal::tick).is_some();
            if open {
                catalogue.tick_later();
            }
        });
    }

    /// Makes a snapshot of everything that was written, and the journal short; and stores its indexes.
    /// Others write meanwhile.
    ///
    /// # Errors
    /// An error before the manifest is replaced leaves everything as it was; after one from there on,
    /// nothing more is written. What makes the old snapshot or the journal unreadable.
    pub fn fold(&self) -> Result<(), Error> {
        let _folding = self.folding.lock();
        self.fold_locked()?;
        self.store_indexes();
        Ok(())
    }

    fn fold_locked(&self) -> Result<(), Error> {
        self.check()?;
        let guard = self.journal.read();
        let journal = guard.as_ref().ok_or(Error::Closed)?;
        // What the snapshot has must not be less certain than what the journal lost.
        journal.sync()?;
        let before = self.state.lock().manifest.clone();
        let (applied, upto) = (before.applied_seq, journal.last_seq());
        if upto == applied {
            return Ok(());
        }
        let old = self.current(&before)?;
        let mut delta = Delta::over(old.as_ref().map_or(Ok(Meta::default()), Snapshot::meta)?);
        let mut folded_bytes = 0;
        journal.read_again(applied, upto, |_, payload, place| {
            self.go_on()?;
            folded_bytes += payload.len() as u64;
            read_record(payload, &mut delta).map_err(|bad| damaged(place, bad))
        })?;
        let number = before.next_number;
        let name = snapshot::name(number);
        let temporary = names::temporary(&name);
        let salt = u64::from_le_bytes(random()?);
        let written = || -> Result<_, Error> {
            let place = (number, upto);
            let mut writer = SnapshotWriter::create(
                &*self.storage,
                &temporary,
                place,
                self.owner,
                salt,
                &delta.meta,
            )?;
            if let Some(old) = &old {
                delta.write_shapes(old, &mut writer, || self.go_on())?;
            }
            let mut came = Came { delta: &delta, to: &mut writer, failed: None };
            journal.read_again(applied, upto, |_, payload, place| {
                self.go_on()?;
                read_record(payload, &mut came).map_err(|bad| damaged(place, bad))?;
                came.failed.take().map_or(Ok(()), Err)
            })?;
            delta.write_keys(old.as_ref(), &mut writer)?;
            let entry = writer.finish()?;
            self.storage.rename(&temporary, &name)?;
            Ok(entry)
        };
        let entry = written().inspect_err(|_| drop(self.storage.remove(&temporary)))?;
        let next = Manifest {
            generation: before.generation + 1,
            applied_seq: upto,
            journal: journal.oldest_needed(upto),
            snapshot: Some(entry),
            next_number: number + 1,
            ..before.clone()
        };
        self.commit(&next)?;
        self.journal_bytes.fetch_sub(folded_bytes, Ordering::Relaxed);
        self.retry_above.store(0, Ordering::Relaxed);
        // What is left over now is swept on the next open too.
        if let Some(old) = before.snapshot {
            self.forget_indexes(old.number);
            self.storage.remove(&old.name())?;
        }
        journal.release(next.journal.unwrap_or(0))?;
        Ok(())
    }

    fn commit(&self, next: &Manifest) -> Result<(), Error> {
        let mut state = self.state.lock();
        let text = next.encode()?;
        Manifest::decode(text.as_bytes())?;
        sealed::write_temporary(&*self.storage, names::MANIFEST, &text)?;
        if let Err(error) = sealed::put_in_place(&*self.storage, names::MANIFEST) {
            // Nobody knows which of the two is on disk: no file of either may be removed.
            state.failed = Some(error.to_string());
            return Err(error);
        }
        state.manifest = next.clone();
        state.last_error = None;
        Ok(())
    }

    /// Declares other columns than the manifest has.
    ///
    /// # Errors
    /// [`Error::Io`]; see [`Catalogue::fold`].
    pub fn redeclare(&self, declared: Declared) -> Result<(), Error> {
        let _folding = self.folding.lock();
        let before = self.state.lock().manifest.clone();
        let snapshot = before.snapshot.as_ref().map(|entry| entry.number);
        self.commit(&Manifest { declared, generation: before.generation + 1, ..before })?;
        // Columns may stand in another order from the next opening on.
        snapshot.into_iter().for_each(|snapshot| self.forget_indexes(snapshot));
        Ok(())
    }

    fn current(&self, manifest: &Manifest) -> Result<Option<Snapshot>, Error> {
        let open = |entry| {
            let (applied, mmap) = (manifest.applied_seq, self.options.mmap);
            Snapshot::open(&*self.storage, entry, applied, self.owner, mmap)
        };
        manifest.snapshot.as_ref().map(open).transpose()
    }

    fn go_on(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Makes a directory that another router can open: this one as it is now. The snapshot is shared
    /// where the two directories can share a file.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Locked`], [`Error::Io`], and those of [`Catalogue::fold`].
    pub fn copy_into(&self, target: &dyn Storage) -> Result<Copied, Error> {
        let _lock = DirectoryLock::acquire(target)?;
        if let Some(found) = target.list()?.into_iter().find(|name| name != names::LOCK) {
            return Err(Error::NotEmpty { found });
        }
        // Whoever folds would remove the file that is to be shared.
        let _folding = self.folding.lock();
        self.fold_locked()?;
        let manifest = Manifest { journal: None, ..self.state.lock().manifest.clone() };
        let mut copied = Copied { snapshot: None, bytes: 0 };
        if let Some(entry) = &manifest.snapshot {
            let name = entry.name();
            copied.snapshot = Some(self.storage.link_into(&name, target, &name)?);
            copied.bytes = entry.bytes;
            self.copy_indexes(entry.number, target)?;
        }
        // The manifest comes last: an interrupted copy has none, and is refused wherever it is opened.
        write_manifest(target, &manifest)?;
        Ok(copied)
    }

    /// Makes everything durable and gives the directory back. A fold that is under way is given up.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Failed`].
    pub fn close(&self) -> Result<(), Error> {
        self.closing.store(true, Ordering::Release);
        let journal = self.journal.write().take();
        let closed = journal.map_or(Ok(()), Journal::close);
        self.state.lock().lock = None;
        closed
    }
}

impl Drop for Catalogue {
    fn drop(&mut self) {
        // Nobody is left to tell; what was acknowledged under `Always` is durable already.
        drop(self.close());
    }
}

fn random() -> Result<[u8; 8], Error> {
    let [a, b, c, d, e, f, g, h, ..] = HashKey::random()?.to_bytes();
    Ok([a, b, c, d, e, f, g, h])
}
