//! The journal: what was inserted and removed since the last segment.
//!
//! For an index that stands alone; inside the router the catalogue is the journal. A batch of
//! operations is one frame with one sequence number and a checksum, so a crash leaves it whole or
//! not at all. Under [`Fsync::Always`] a batch is durable before it is acknowledged.
//!
//! What a frame holds is not the journal's business: the router's catalogue keeps its records in one
//! of the same kind ([`Journal::open_frames`]), under another name at the start of its files.
//!
//! A file is allocated before its first frame and never shortened or written again: opening a
//! journal never continues a file, the next batch begins a new one. Files go when the segments
//! cover all of them.

mod format;
mod group;
mod recovery;
/// The locks of the group commit; its model (`tests/group_commit_model.rs`) puts loom's in place.
mod sync {
    pub(super) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
}

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64;

use self::format::{FRAME, HEADER, Header, LAST, MOST_OPS, OP, Payload};
use self::group::{GroupCommit, State, Writer};
use self::recovery::FileInfo;
use crate::Error;
use crate::storage::{Storage, StorageFile, SyncFile, names};

pub use format::VERSION;
pub use recovery::Recovered;

/// One operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// `id` is filed under `hash`.
    Insert {
        /// The hash of the key.
        hash: u64,
        /// The id.
        id: u32,
    },
    /// `id` is no longer filed under `hash`.
    Remove {
        /// The hash of the key.
        hash: u64,
        /// The id.
        id: u32,
    },
}

/// When a batch is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Before it is acknowledged. Batches that wait together share one sync.
    #[default]
    Always,
    /// With the first batch, or call of [`Journal::tick`], so long after the last sync. What was
    /// acknowledged since then can be lost in a power cut, the newest first.
    Interval(Duration),
    /// When the system likes, at the end of a file, and on a clean close.
    Never,
}

/// How a journal writes.
#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// When a batch is made durable.
    pub fsync: Fsync,
    /// The length of a file, allocated when it is begun; a batch that is longer gets a file of its
    /// own. 1 MiB by default.
    pub file_bytes: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { fsync: Fsync::Always, file_bytes: 1 << 20 }
    }
}

/// Where a journal begins.
#[derive(Debug, Clone, Copy)]
pub struct JournalStart {
    /// What the segments cover: [`Manifest::applied_seq`](crate::manifest::Manifest::applied_seq).
    pub applied_seq: u64,
    /// [`Manifest::journal`](crate::manifest::Manifest::journal).
    pub oldest: Option<u64>,
    /// [`Manifest::hash_key`](crate::manifest::Manifest::hash_key): names the index, so that a
    /// file of another one is not taken for its own.
    pub hash_key: [u8; 16],
}

/// The journal of a directory whose lock the caller holds. Shared by reference between threads.
pub struct Journal {
    storage: Arc<dyn Storage>,
    options: JournalOptions,
    index: u64,
    magic: [u8; 8],
    commit: GroupCommit<Files>,
}

/// Where the payload of a frame stands, for whoever finds damage in it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The file, relative to the directory.
    pub path: &'a str,
    /// The first byte of the payload.
    pub offset: u64,
}

/// The length of a payload is a multiple of this; see [`Journal::write_bytes`].
pub const PAYLOAD_UNIT: usize = OP;
/// The length of the longest payload.
pub const MOST_BYTES: usize = MOST_OPS * OP;

/// What is written.
struct Files {
    /// Oldest first; the last one may be the active one.
    files: VecDeque<FileInfo>,
    next_number: u64,
    active: Option<Active>,
    buffer: Vec<u8>,
    last_sync: Instant,
}

struct Active {
    file: Box<dyn StorageFile>,
    syncer: Arc<dyn SyncFile>,
    position: u64,
    allocated: u64,
    salt: u64,
}

impl Writer for Files {
    type Sync = Option<Arc<dyn SyncFile>>;

    fn syncer(&self) -> Self::Sync {
        self.active.as_ref().map(|active| Arc::clone(&active.syncer))
    }

    fn sync(syncer: Self::Sync) -> Result<(), Error> {
        syncer.map_or(Ok(()), |syncer| syncer.sync())
    }
}

impl Journal {
    /// Opens the journal of a directory, or begins one. Hands out the batches that the segments do
    /// not cover, in the order in which they were written. Nothing that was handed out may be
    /// served when this returns an error.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the file and the offset, where bytes that were durable are not what
    /// was written; [`Error::Missing`], [`Error::UnknownVersion`], [`Error::Io`].
    pub fn open(
        storage: Arc<dyn Storage>,
        options: JournalOptions,
        start: JournalStart,
        mut each: impl FnMut(u64, &[Op]),
    ) -> Result<(Self, Recovered), Error> {
        let mut ops = Vec::new();
        Self::open_frames(storage, options, start, format::MAGIC, |seq, payload, place| {
            format::decode_ops(payload, &mut ops).ok_or_else(|| Error::Damaged {
                path: place.path.to_owned(),
                offset: place.offset - FRAME as u64,
                what: "an operation of no known kind",
            })?;
            each(seq, &ops);
            Ok(())
        })
    }

    /// As [`Journal::open`], for a journal of frames that hold bytes
    /// ([`Journal::write_bytes`]) and whose files start with `magic`.
    ///
    /// # Errors
    /// As for [`Journal::open`], and what `each` returns.
    pub fn open_frames(
        storage: Arc<dyn Storage>,
        options: JournalOptions,
        start: JournalStart,
        magic: [u8; 8],
        mut each: impl FnMut(u64, &[u8], Place<'_>) -> Result<(), Error>,
    ) -> Result<(Self, Recovered), Error> {
        let JournalStart { applied_seq, oldest, hash_key } = start;
        let index = xxh3_64(&hash_key);
        let request = recovery::Request { applied_seq, oldest, index, magic };
        let (recovered, files) = recovery::recover(&*storage, &request, &mut each)?;
        let files = Files {
            next_number: files.last().map_or(1, |last| last.number + 1),
            files: files.into(),
            active: None,
            buffer: Vec::new(),
            last_sync: Instant::now(),
        };
        let commit = GroupCommit::new(files, recovered.last_seq);
        Ok((Self { storage, options, index, magic, commit }, recovered))
    }

    /// Writes a batch and acknowledges it: [`Journal::write`], then [`Journal::acknowledge`].
    /// Returns its sequence number.
    ///
    /// # Errors
    /// As for the two. After an error the batch may be found on the next open, or not.
    pub fn append(&self, ops: &[Op]) -> Result<u64, Error> {
        let seq = self.write(ops)?;
        self.acknowledge(seq)?;
        Ok(seq)
    }

    /// Writes a batch, which gets the next sequence number; an empty one is not written and gets
    /// the last one. Batches are found again in the order of these calls.
    ///
    /// # Errors
    /// [`Error::Limit`] for a batch of more than 16,777,216 operations, and where the sequence numbers
    /// are used up. [`Error::Io`]: where no
    /// new file could be begun, a full disk say, nothing has happened, and the batch may be tried
    /// again; else every later call is [`Error::Failed`].
    pub fn write(&self, ops: &[Op]) -> Result<u64, Error> {
        if ops.len() > MOST_OPS {
            let (got, limit) = (ops.len() as u64, MOST_OPS as u64);
            return Err(Error::Limit { what: "operations of a batch", got, limit });
        }
        self.write_payload(Payload::Ops(ops))
    }

    /// Writes a frame that holds these bytes, as [`Journal::write`] does one of operations.
    ///
    /// # Errors
    /// As for [`Journal::write`]; [`Error::Limit`] for more than [`MOST_BYTES`] bytes, or a length that
    /// is no multiple of [`PAYLOAD_UNIT`].
    pub fn write_bytes(&self, bytes: &[u8]) -> Result<u64, Error> {
        let got = bytes.len() as u64;
        if bytes.len() > MOST_BYTES {
            return Err(Error::Limit { what: "bytes of a frame", got, limit: MOST_BYTES as u64 });
        }
        if !bytes.len().is_multiple_of(PAYLOAD_UNIT) {
            let limit = got - got % PAYLOAD_UNIT as u64;
            return Err(Error::Limit { what: "whole units of a frame", got, limit });
        }
        self.write_payload(Payload::Bytes(bytes))
    }

    fn write_payload(&self, payload: Payload<'_>) -> Result<u64, Error> {
        let size = (FRAME + payload.len()) as u64;
        let mut state = self.commit.lock();
        state.check()?;
        if payload.len() == 0 {
            return Ok(state.written);
        }
        check_number("sequence numbers of a journal", state.written)?;
        if !state.writer.has_room(size) {
            drop(state);
            state = self.commit.lock_quiet();
            state.check()?;
            // Another thread may have begun a file meanwhile.
            if !state.writer.has_room(size) {
                self.begin_file(&mut state, size)?;
                self.commit.notify();
            }
        }
        let seq = state.written + 1;
        let synced = state.synced;
        if let Err(error) = state.writer.write(seq, synced, payload) {
            state.fail(&error);
            self.commit.notify();
            return Err(error);
        }
        state.written = seq;
        Ok(seq)
    }

    /// Returns when the batch `seq` is as durable as the policy promises.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Failed`]; every later call is [`Error::Failed`].
    pub fn acknowledge(&self, seq: u64) -> Result<(), Error> {
        match self.options.fsync {
            Fsync::Always => self.commit.make_durable(seq),
            Fsync::Interval(_) => self.tick(),
            Fsync::Never => Ok(()),
        }
    }

    /// Under [`Fsync::Interval`] syncs when that is due. To be called from time to time, because
    /// an index that is left alone has no batch that would do it.
    ///
    /// # Errors
    /// As for [`Journal::acknowledge`].
    pub fn tick(&self) -> Result<(), Error> {
        let Fsync::Interval(interval) = self.options.fsync else { return Ok(()) };
        let mut state = self.commit.lock();
        let due = state.written > state.synced && state.writer.last_sync.elapsed() >= interval;
        if !due {
            return state.check();
        }
        // Set before the sync, so that the batches that come meanwhile do not all wait for it.
        state.writer.last_sync = Instant::now();
        let written = state.written;
        drop(state);
        self.commit.make_durable(written)
    }

    /// Makes everything durable, whatever the policy.
    ///
    /// # Errors
    /// As for [`Journal::acknowledge`].
    pub fn sync(&self) -> Result<(), Error> {
        let state = self.commit.lock();
        state.check()?;
        let written = state.written;
        drop(state);
        self.commit.make_durable(written)
    }

    /// The sequence number of the last batch written.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.commit.lock().written
    }

    /// The sequence number up to which everything is durable.
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.commit.lock().synced
    }

    /// Hands out frames again: those after `applied_seq`, up to `last`, which must have been written.
    /// Others may write meanwhile; no file that is needed may be [released](Journal::release).
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Io`], and what `each` returns.
    pub fn read_again(
        &self,
        applied_seq: u64,
        last: u64,
        mut each: impl FnMut(u64, &[u8], Place<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let files: Vec<FileInfo> = self.commit.lock().writer.files.iter().copied().collect();
        let (index, magic) = (self.index, self.magic);
        let request = recovery::Request { applied_seq, oldest: None, index, magic };
        recovery::read_again(&*self.storage, &request, &files, last, &mut each)
    }

    /// The oldest file that is needed once the segments cover `applied_seq`; for
    /// [`Manifest::journal`](crate::manifest::Manifest::journal). The newest file always is.
    #[must_use]
    pub fn oldest_needed(&self, applied_seq: u64) -> Option<u64> {
        let state = self.commit.lock();
        let files = &state.writer.files;
        let covered = state.writer.covered(applied_seq);
        files.get(covered).map(|file| file.number)
    }

    /// Removes the files that are not needed any more: those before `oldest`, the number that the
    /// manifest committed last has from [`Journal::oldest_needed`]. Not anew from the sequence number:
    /// a file begun since would make one superfluous that this manifest still asks for. Returns how
    /// many.
    ///
    /// # Errors
    /// [`Error::Io`]; the files that are left go with the next call, or when the index is opened.
    pub fn release(&self, oldest: u64) -> Result<usize, Error> {
        let mut state = self.commit.lock();
        state.check()?;
        let mut removed = 0;
        // The newest file never goes.
        while let [first, _, ..] = *state.writer.files.make_contiguous()
            && first.number < oldest
        {
            self.storage.remove(&names::journal(first.number))?;
            state.writer.files.pop_front();
            removed += 1;
        }
        Ok(removed)
    }

    /// Ends the journal: makes everything durable and leaves a mark that says so, by which later
    /// damage of the last batches is told from a crash. Dropping it does the same as far as it can.
    ///
    /// # Errors
    /// As for [`Journal::acknowledge`].
    pub fn close(self) -> Result<(), Error> {
        self.finish()
    }

    fn finish(&self) -> Result<(), Error> {
        let mut state = self.commit.lock_quiet();
        state.check()?;
        if state.writer.active.is_none() {
            return Ok(());
        }
        let result = self.sync_and_mark(&mut state);
        if let Err(error) = &result {
            state.fail(error);
        }
        state.writer.active = None;
        self.commit.notify();
        result
    }

    fn sync_and_mark(&self, state: &mut State<Files>) -> Result<(), Error> {
        Files::sync(state.writer.syncer())?;
        state.synced = state.written;
        let seq = state.synced;
        state.writer.write(seq, seq, Payload::Bytes(&[]))?;
        Files::sync(state.writer.syncer())
    }

    /// Begins a file with room for a frame of `size` bytes, while nobody syncs. The file before is
    /// synced first: that is what the new header says.
    fn begin_file(&self, state: &mut State<Files>, size: u64) -> Result<(), Error> {
        check_number("files of a journal", state.writer.next_number - 1)?;
        if let Err(error) = Files::sync(state.writer.syncer()) {
            state.fail(&error);
            return Err(error);
        }
        state.synced = state.written;
        let header = Header {
            number: state.writer.next_number,
            first_seq: state.written + 1,
            // The mark of a clean close always fits.
            allocated: self.options.file_bytes.max((HEADER + FRAME) as u64 + size),
            salt: RandomState::new().hash_one(state.written),
            index: self.index,
        };
        let name = names::journal(header.number);
        let temporary = names::temporary(&name);
        let active = match self.create(&temporary, &header) {
            Ok(active) => active,
            Err(error) => {
                // Best effort: the next try and the next open remove it too.
                drop(self.storage.remove(&temporary));
                return Err(error);
            }
        };
        // A file that has its name has its length and its header, durably.
        let named =
            self.storage.rename(&temporary, &name).and_then(|()| self.storage.sync_directory());
        if let Err(error) = named {
            state.fail(&error);
            return Err(error);
        }
        let files = &mut state.writer;
        files.next_number += 1;
        files.files.push_back(FileInfo { number: header.number, first_seq: header.first_seq });
        files.active = Some(active);
        Ok(())
    }

    fn create(&self, name: &str, header: &Header) -> Result<Active, Error> {
        let mut file = match self.storage.create(name) {
            Ok(file) => file,
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                self.storage.remove(name)?;
                self.storage.create(name)?
            }
            Err(error) => return Err(error),
        };
        file.preallocate(header.allocated)?;
        file.write_all(&header.encode(&self.magic))?;
        file.sync()?;
        let syncer = file.syncer()?.into();
        let (position, allocated, salt) = (HEADER as u64, header.allocated, header.salt);
        Ok(Active { file, syncer, position, allocated, salt })
    }
}

/// Refuses where no number follows `last`.
fn check_number(what: &'static str, last: u64) -> Result<(), Error> {
    if last < LAST { Ok(()) } else { Err(Error::Limit { what, got: last, limit: LAST }) }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nobody is left to tell; what was acknowledged under `Always` is durable already.
        drop(self.finish());
    }
}

impl Files {
    /// Whether a frame of `size` bytes fits, and a mark behind it.
    fn has_room(&self, size: u64) -> bool {
        self.active
            .as_ref()
            .is_some_and(|active| active.position + size + FRAME as u64 <= active.allocated)
    }

    fn write(&mut self, seq: u64, synced: u64, payload: Payload<'_>) -> Result<(), Error> {
        // `has_room` was asked before.
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        format::encode_frame(&mut self.buffer, seq, synced, payload, active.salt);
        active.file.write_all(&self.buffer)?;
        active.position += self.buffer.len() as u64;
        Ok(())
    }

    /// How many of the oldest files the segments cover. The newest file never goes, because its
    /// number keeps older ones from being given again.
    fn covered(&self, applied_seq: u64) -> usize {
        let later = self.files.iter().skip(1);
        later.take_while(|next| next.first_seq <= applied_seq.saturating_add(1)).count()
    }
}
