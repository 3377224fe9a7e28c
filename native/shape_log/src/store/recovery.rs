//! Opening: the checkpoint is read, and the redo log behind it rolled forward, so that all logs and all
//! records are at one transaction.
//!
//! Nothing of this changes what is durable: a crash in the middle of it leaves everything for the next
//! attempt. Files of logs are not looked at; they are cut to what counts when they are written next.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use lane_index::codec::Bad;
use lane_index::journal::{Journal, JournalOptions, JournalStart, Place};
use lane_index::lock::DirectoryLock;
use lane_index::storage::{Storage, names};
use lane_index::{Error as StorageError, HashKey};
use parking_lot::{Mutex, RwLock};
use xxhash_rust::xxh3::xxh3_64;

use super::append::{Appender, Pending, Position};
use super::checkpoint::Checkpoints;
use super::progress::Progress;
use super::threads::{Signals, Threads};
use super::{Counters, LogStore, NewLog, SHAPES, Shared};
use crate::log::{Log, Snapshot, State};
use crate::manifest::Manifest;
use crate::redo::{MAGIC, Redo};
use crate::segment::{self, Owner};
use crate::{CachePool, Error, Options, Record, checkpoint};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The last transaction there is: where PostgreSQL has to go on.
    pub lsn: u64,
    /// Logs there are.
    pub logs: u64,
    /// Frames of the redo log that were read again.
    pub frames: u64,
    /// Records that were handed out.
    pub records: u64,
    /// Where the redo log was cut by a crash: the file and the offset.
    pub torn: Option<(String, u64)>,
}

/// Why a frame could not be read again.
enum Stop {
    Bad(Bad),
    Error(Error),
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl LogStore {
    /// Opens the store of a directory, or begins one. `have` says up to which number a source has its
    /// records elsewhere; those above are given to `each`, in the order in which they were appended,
    /// when the transaction that they came with is known to have committed.
    ///
    /// Nothing that was handed out may be used when this returns an error; the files are as they were.
    ///
    /// # Errors
    /// [`Error::Storage`]: among others `Locked`, and `Damaged` with the file and the offset.
    pub fn open(
        storage: Arc<dyn Storage>,
        options: Options,
        have: impl FnMut(u32) -> u64,
        each: impl FnMut(Record<'_>),
    ) -> Result<(Self, Recovered), Error> {
        let (shared, recovered) = recover(storage, options, have, each)?;
        let shared = Arc::new(shared);
        let logs: Vec<Arc<Log>> = shared.logs.read().values().cloned().collect();
        let least = shared.options.min_file_bytes;
        let sealable = logs.iter().filter(|log| log.state.lock().has_sealable(least));
        sealable.for_each(|log| shared.seal_soon(log));
        let threads = if shared.options.background { Some(Threads::start(&shared)?) } else { None };
        Ok((Self { shared, threads }, recovered))
    }
}

fn recover(
    storage: Arc<dyn Storage>,
    options: Options,
    mut have: impl FnMut(u32) -> u64,
    mut each: impl FnMut(Record<'_>),
) -> Result<(Shared, Recovered), Error> {
    let lock = DirectoryLock::acquire(&*storage)?;
    let manifest = match Manifest::read(&*storage)? {
        Some(manifest) => manifest,
        None => begin(&*storage)?,
    };
    let shapes = storage.subdirectory(SHAPES)?;
    let hash_key = manifest.hash_key();
    let mut found = Recovered::default();
    let mut logs = HashMap::new();
    if let Some(entry) = &manifest.checkpoint {
        found.lsn = entry.lsn;
        let (applied, owner) = (manifest.applied_seq, xxh3_64(&hash_key));
        checkpoint::read(&*storage, entry, applied, owner, |input| {
            let mut stored = State::decode(input)?;
            stored.state.is_table = options.is_table(stored.log);
            let owner = Owner::new(stored.log, stored.born, &hash_key);
            let log = Arc::new(Log::new(owner, &shapes, stored.state));
            match logs.insert(stored.log, log) {
                None => Ok(()),
                Some(_) => input.bad("a log that is there twice"),
            }
        })?;
    }
    // Their directories stay until a checkpoint does not name them any more.
    let named: HashSet<String> =
        logs.values().map(|log: &Arc<Log>| log.owner.directory()).collect();

    let JournalPlan { start, options: journal_options } = plan(&manifest, &options);
    let shared = Shared::new((storage, shapes), options, manifest, logs, found.lsn, lock)?;
    let mut replay = Replay {
        shared: &shared,
        appender: Appender::default(),
        applied_seq: shared.checkpoints.lock().manifest.applied_seq,
        last_lsn: found.lsn,
    };
    let mut stopped = None;
    let opened = Journal::open_frames(
        Arc::clone(&shared.storage),
        journal_options,
        start,
        MAGIC,
        |seq, payload, place| {
            let mut record = |record: Record<'_>, before: u64| {
                if record.seq > have(record.source) {
                    found.records += 1;
                    shared.progress.lock().note(&record, before);
                    each(record);
                }
            };
            let result = replay.frame(seq, payload, &mut record);
            result.map_err(|stop| explain(stop, place, &mut stopped))
        },
    );
    let (journal, read) = match (opened, stopped) {
        (Err(_), Some(error)) => return Err(error),
        (opened, _) => opened?,
    };
    if read.last_seq < replay.applied_seq {
        // Its numbers would be given twice.
        let what = "the redo log ends before the checkpoint does";
        let path = start.oldest.map_or_else(String::new, names::journal);
        return Err(StorageError::Damaged { path, offset: 0, what }.into());
    }
    let Replay { mut appender, last_lsn, .. } = replay;
    shared.abandon(&mut appender);
    shared.begin_work(journal, read.last_seq, last_lsn);
    shared.sweep(&named)?;
    (found.frames, found.torn, found.lsn) = (read.frames, read.torn, last_lsn);
    found.logs = shared.logs.read().len() as u64;
    Ok((shared, found))
}

/// Writes the first manifest.
fn begin(storage: &dyn Storage) -> Result<Manifest, Error> {
    let mut manifest = Manifest::new(HashKey::random()?.to_bytes());
    manifest.generation = 1;
    manifest.write(storage)?;
    Manifest::put_in_place(storage)?;
    Ok(manifest)
}

struct JournalPlan {
    start: JournalStart,
    options: JournalOptions,
}

fn plan(manifest: &Manifest, options: &Options) -> JournalPlan {
    let start = JournalStart {
        applied_seq: manifest.records_seq,
        oldest: manifest.journal,
        hash_key: manifest.hash_key(),
    };
    let options = JournalOptions { fsync: options.fsync, file_bytes: options.journal_file_bytes };
    JournalPlan { start, options }
}

/// Keeps an error that is not the journal's, and gives one that is.
fn explain(stop: Stop, place: Place<'_>, stopped: &mut Option<Error>) -> StorageError {
    match stop {
        Stop::Bad(bad) => {
            let offset = place.offset + bad.at as u64;
            StorageError::Damaged { path: place.path.to_owned(), offset, what: bad.what }
        }
        Stop::Error(Error::Storage(error)) => error,
        Stop::Error(error) => {
            *stopped = Some(error);
            let what = "a record that does not follow from those before it";
            StorageError::Damaged { path: place.path.to_owned(), offset: place.offset, what }
        }
    }
}

/// Takes in the frames of the redo log.
struct Replay<'s> {
    shared: &'s Shared,
    appender: Appender,
    /// What the checkpoint has: frames up to here are read for their records only.
    applied_seq: u64,
    last_lsn: u64,
}

/// Takes a record, and the last frame before the transaction that it came with.
type EachRecord<'e> = dyn FnMut(Record<'_>, u64) + 'e;

impl Replay<'_> {
    fn frame(&mut self, seq: u64, payload: &[u8], each: &mut EachRecord<'_>) -> Result<(), Stop> {
        let is_new = seq > self.applied_seq;
        let shared = self.shared;
        // Of several logs of one id, those that the checkpoint does not know any more are passed over.
        let of_frame = |log: u64| {
            let log = shared.logs.read().get(&log).cloned();
            log.filter(|log| log.owner.born < seq)
        };
        match Redo::decode(payload)? {
            Redo::Created { log, awaits_snapshot, descriptor } => {
                let there = shared.logs.read().get(&log).map(|log| log.owner.born);
                match there {
                    Some(born) if born < seq && is_new => {
                        let what = "a log is created that is there";
                        return Err(Stop::Bad(Bad { at: 0, what }));
                    }
                    None if is_new => {
                        shared.add_log(&NewLog { log, descriptor, awaits_snapshot }, seq);
                    }
                    _ => {}
                }
            }
            Redo::Removed { log } => {
                if is_new && of_frame(log).is_some() {
                    shared.drop_log(log);
                }
            }
            Redo::Snapshot { log, meta } => {
                if is_new && let Some(log) = of_frame(log) {
                    let mut state = log.state.lock();
                    if !matches!(state.snapshot, Snapshot::Ready(..)) {
                        state.set_snapshot(meta);
                    }
                }
            }
            Redo::Records(records) => {
                let first = self.appender.pending.as_ref().map_or(seq, |pending| pending.first_seq);
                records.into_iter().for_each(|record| each(record, first - 1));
            }
            Redo::Fragment { lsn, fragment, last, records, mut entries } => {
                let at = Position { lsn, fragment, last };
                shared.begin_fragment(&mut self.appender, at)?;
                if is_new && lsn <= self.last_lsn {
                    let what = "a transaction that does not follow the one before";
                    return Err(Stop::Bad(Bad { at: 0, what }));
                }
                while let Some((log, entry)) = entries.next()? {
                    if is_new && let Some(log) = of_frame(log) {
                        shared.stage_again(&mut self.appender, &log, &entry)?;
                    }
                }
                self.fragment_read(at, seq, &records, each)?;
            }
        }
        Ok(())
    }

    fn fragment_read(
        &mut self,
        at: Position,
        seq: u64,
        records: &[Record<'_>],
        each: &mut EachRecord<'_>,
    ) -> Result<(), Error> {
        let shared = self.shared;
        let pending = self.appender.pending.as_mut().map(Pending::take_records);
        let (before, mut held) = pending.unwrap_or((seq - 1, Vec::new()));
        // Caches begin with what comes when everything is open.
        drop(shared.end_fragment(&mut self.appender, at, seq));
        if at.last {
            for (source, seq, bytes) in &held {
                each(Record { source: *source, seq: *seq, bytes }, before);
            }
            records.iter().for_each(|record| each(*record, before));
            if seq > self.applied_seq {
                self.last_lsn = at.lsn;
                shared.watermark.store(at.lsn, Ordering::Release);
            }
        } else if let Some(pending) = &mut self.appender.pending {
            let new = records.iter();
            held.extend(new.map(|record| (record.source, record.seq, record.bytes.to_vec())));
            pending.records = held;
        }
        shared.make_room_again(&self.appender)
    }
}

impl Shared {
    fn new(
        (storage, shapes): (Arc<dyn Storage>, Arc<dyn Storage>),
        options: Options,
        manifest: Manifest,
        logs: HashMap<u64, Arc<Log>>,
        lsn: u64,
        lock: DirectoryLock,
    ) -> Result<Self, Error> {
        let caches = options.cache.map(CachePool::new).transpose()?;
        Ok(Self {
            caches,
            started: Instant::now(),
            publishing: Mutex::default(),
            seals: Mutex::default(),
            sealing: Mutex::default(),
            compacting: Mutex::default(),
            finished: AtomicU64::new(0),
            storage,
            shapes,
            hash_key: manifest.hash_key(),
            journal: OnceLock::new(),
            logs: RwLock::new(logs),
            appender: Mutex::default(),
            progress: Mutex::new(Progress { last_lsn: lsn, ..Progress::default() }),
            watermark: AtomicU64::new(lsn),
            memory: AtomicU64::new(0),
            redo_bytes: AtomicU64::new(0),
            dirty: Mutex::default(),
            flushing: Mutex::default(),
            checkpoints: Mutex::new(Checkpoints { manifest }),
            graveyard: Mutex::default(),
            failed: Mutex::default(),
            signals: Signals::default(),
            counters: Counters::default(),
            options,
            _lock: lock,
        })
    }

    /// Everything was read.
    fn begin_work(&self, journal: Journal, last_seq: u64, last_lsn: u64) {
        let mut progress = self.progress.lock();
        progress.last_lsn = last_lsn;
        progress.durable_seq = last_seq;
        progress.covered_seq = last_seq;
        drop(progress);
        // Nobody has set one: this is called once.
        drop(self.journal.set(journal));
    }

    /// Removes what nothing refers to: files of ours, and directories of logs that are neither there nor
    /// named by the checkpoint.
    fn sweep(&self, named: &HashSet<String>) -> Result<(), Error> {
        let manifest = self.checkpoints.lock().manifest.clone();
        let current = manifest.checkpoint.as_ref().map(|checkpoint| checkpoint.number);
        for name in self.storage.list()? {
            let unneeded = match checkpoint::number(&name) {
                Some(number) => current != Some(number),
                None => match names::kind(&name) {
                    names::Kind::Journal(number) => manifest.journal.is_some_and(|j| number < j),
                    names::Kind::Temporary => true,
                    _ => false,
                },
            };
            if unneeded {
                self.storage.remove(&name)?;
            }
        }
        let logs = self.logs.read();
        for name in self.shapes.subdirectories()? {
            let Some((log, born)) = Owner::of_directory(&name) else { continue };
            let is_there = logs.get(&log).is_some_and(|log| log.owner.born == born);
            if !is_there && !named.contains(&name) {
                self.shapes.remove_subdirectory(&name)?;
            }
        }
        // Compaction may have been cut off before it removed what it replaced. Nobody reads it yet.
        for log in logs.values() {
            sweep_segments(log)?;
        }
        Ok(())
    }
}

/// Removes the segments of a log that others took the place of.
fn sweep_segments(log: &Log) -> Result<(), Error> {
    let state = log.state.lock();
    if !state.was_compacted() {
        return Ok(());
    }
    let mut known: HashSet<u64> =
        state.finished.iter().map(|segment| segment.file.number).collect();
    known.insert(state.current.number);
    let directory = log.directory()?;
    for name in directory.list()? {
        let unneeded = match segment::number(&name) {
            Some(number) => !known.contains(&number),
            None => name == segment::SNAPSHOT && matches!(state.snapshot, Snapshot::None),
        };
        if unneeded {
            directory.remove(&name)?;
        }
    }
    Ok(())
}
