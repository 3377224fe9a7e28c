//! What goes into the redo log: transactions, and changes of the catalogue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checkpoint::Grave;
use super::progress::Commit;
use super::{LogStore, Shared};
use crate::log::{Log, Snapshot, State};
use crate::redo::RedoWriter;
use crate::segment::Owner;
use crate::{Entry, Error, Record};

/// A transaction, or a fragment of one that is too large to be held in memory as a whole.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// Its commit LSN; transactions come in ascending order.
    pub lsn: u64,
    /// The number of the fragment. With 0 a transaction begins; one that has not come to its last
    /// fragment is forgotten.
    pub fragment: u32,
    /// Whether the transaction commits with this fragment.
    pub last: bool,
    /// What enters which log. In each log offsets ascend.
    pub entries: &'a [(u64, Entry<'a>)],
    /// Records of others, that become durable with the transaction.
    pub records: &'a [Record<'a>],
}

/// What was appended; see [`LogStore::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is not durable before it was waited for"]
pub struct Ticket {
    pub(crate) seq: u64,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is not durable before it was waited for"]
pub enum Appended {
    /// It was written.
    Written(Ticket),
    /// It is there already: PostgreSQL sends again what it was not told to forget. Nothing was done.
    Replay {
        /// The last transaction there is.
        last: u64,
    },
}

/// A log that is to be.
#[derive(Clone, Copy, Debug)]
pub struct NewLog<'a> {
    /// Its id.
    pub log: u64,
    /// What the caller wants to find with it again.
    pub descriptor: &'a [u8],
    /// Whether it begins with rows that are still to come: [`LogStore::begin_snapshot`].
    pub awaits_snapshot: bool,
}

/// What whoever appends needs.
#[derive(Default)]
pub(crate) struct Appender {
    redo: RedoWriter,
    pub pending: Option<Pending>,
    touched: Vec<Arc<Log>>,
}

/// A transaction that has not come to its last fragment.
pub(crate) struct Pending {
    pub lsn: u64,
    next_fragment: u32,
    pub first_seq: u64,
    /// The logs that have something of it.
    touched: Vec<Arc<Log>>,
    /// Its records, while a store is opened; each with its source and number.
    pub records: Vec<(u32, u64, Vec<u8>)>,
}

impl Pending {
    /// The last frame before it, and its records.
    pub fn take_records(&mut self) -> (u64, Vec<(u32, u64, Vec<u8>)>) {
        (self.first_seq - 1, std::mem::take(&mut self.records))
    }
}

/// The position of a fragment among those of its transaction.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    pub lsn: u64,
    pub fragment: u32,
    pub last: bool,
}

impl LogStore {
    /// Appends a transaction, or a fragment of one. It can be read when it is durable as a whole, and
    /// then in all logs that it enters.
    ///
    /// Entries beyond [`Options::memory_bytes`](crate::Options::memory_bytes) are flushed first, by the
    /// caller: who appends faster than the disk writes is held up here.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::OutOfOrder`], [`Error::OtherTransaction`],
    /// [`Error::OtherFragment`], [`Error::RecordOutOfOrder`]: nothing was done. [`Error::Storage`]: a
    /// full disk leaves things as they were, and it may be tried again; after any other failure of the
    /// redo log everything is refused.
    pub fn append(&self, transaction: &Transaction<'_>) -> Result<Appended, Error> {
        let shared = &self.shared;
        shared.check()?;
        let appender = &mut *shared.appender.lock();
        let Transaction { lsn, fragment, last, entries, records } = *transaction;
        let last_lsn = shared.progress.lock().last_lsn;
        if lsn <= last_lsn {
            shared.counters.replays.fetch_add(1, Ordering::Relaxed);
            return Ok(Appended::Replay { last: last_lsn });
        }
        let at = Position { lsn, fragment, last };
        shared.begin_fragment(appender, at)?;
        shared.make_room(appender)?;

        appender.redo.fragment(lsn, fragment, last, records, entries.len());
        let staged = shared.stage_all(appender, lsn, entries);
        let written = staged.and_then(|()| {
            let payload = appender.redo.finish();
            let mut progress = shared.progress.lock();
            progress.check_records(records)?;
            let seq = shared.write(payload)?;
            let first_seq = appender.pending.as_ref().map_or(seq, |pending| pending.first_seq);
            records.iter().for_each(|record| progress.note(record, first_seq - 1));
            progress.in_flight = Some(first_seq);
            shared.redo_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
            Ok((seq, first_seq))
        });
        let (seq, first_seq) = match written {
            Ok(numbers) => numbers,
            Err(error) => {
                appender.touched.drain(..).for_each(|log| log.state.lock().drop_staged());
                return Err(error);
            }
        };
        let touched = shared.end_fragment(appender, at, seq);
        // Only now, when the logs have it: nobody may think it in the past before.
        let mut progress = shared.progress.lock();
        progress.in_flight = None;
        if last {
            progress.last_lsn = lsn;
            progress.pending_first = None;
            progress.commits.push_back(Commit { first_seq, seq, lsn, touched });
        } else {
            progress.pending_first = Some(first_seq);
        }
        drop(progress);
        shared.counters.entries.fetch_add(entries.len() as u64, Ordering::Relaxed);
        if last {
            shared.counters.transactions.fetch_add(1, Ordering::Relaxed);
            shared.signals.written();
        }
        Ok(Appended::Written(Ticket { seq }))
    }

    /// Returns when what was appended is durable, as far as [`Options::fsync`](crate::Options::fsync)
    /// promises.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn wait(&self, ticket: Ticket) -> Result<(), Error> {
        self.shared.wait(ticket.seq)
    }

    /// Makes everything durable that was appended.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn sync(&self) -> Result<(), Error> {
        self.shared.sync()
    }

    /// Forgets the transaction that has not come to its last fragment, if there is one.
    pub fn abandon(&self) {
        self.shared.abandon(&mut self.shared.appender.lock());
    }

    /// Creates a log. It is there at once, and durably when the ticket was waited for.
    ///
    /// # Errors
    /// [`Error::LogExists`], [`Error::Storage`].
    pub fn create_log(&self, new: &NewLog<'_>) -> Result<Ticket, Error> {
        let shared = &self.shared;
        shared.check()?;
        let appender = &mut *shared.appender.lock();
        if shared.logs.read().contains_key(&new.log) {
            return Err(Error::LogExists { log: new.log });
        }
        appender.redo.created(new.log, new.awaits_snapshot, new.descriptor);
        let seq = shared.write_catalogue(appender)?;
        shared.add_log(new, seq);
        shared.taken_in();
        Ok(Ticket { seq })
    }

    /// Removes a log. It is gone at once, and durably when the ticket was waited for; whoever reads it
    /// can go on.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::Storage`].
    pub fn remove_log(&self, log: u64) -> Result<Ticket, Error> {
        let shared = &self.shared;
        shared.check()?;
        let appender = &mut *shared.appender.lock();
        shared.log(log)?;
        appender.redo.removed(log);
        let seq = shared.write_catalogue(appender)?;
        shared.drop_log(log);
        shared.taken_in();
        Ok(Ticket { seq })
    }

    /// Writes records of others that come with no transaction.
    ///
    /// # Errors
    /// [`Error::RecordOutOfOrder`], [`Error::Storage`].
    pub fn append_records(&self, records: &[Record<'_>]) -> Result<Ticket, Error> {
        let shared = &self.shared;
        shared.check()?;
        let appender = &mut *shared.appender.lock();
        appender.redo.records(records);
        let payload = appender.redo.finish();
        let mut progress = shared.progress.lock();
        progress.check_records(records)?;
        let seq = shared.write(payload)?;
        // A transaction that is coming in must be read from its beginning, or not at all.
        let first = progress.pending_first.unwrap_or(seq);
        records.iter().for_each(|record| progress.note(record, first - 1));
        drop(progress);
        shared.signals.written();
        Ok(Ticket { seq })
    }

    /// The source keeps its records up to `seq` elsewhere, durably: the redo log need not keep them any
    /// longer, and they are not handed out on the next open if the source says so then.
    pub fn release_records(&self, source: u32, seq: u64) {
        self.shared.progress.lock().release(source, seq);
    }
}

impl Shared {
    /// Makes sure that the fragment can come now.
    pub fn begin_fragment(&self, appender: &mut Appender, at: Position) -> Result<(), Error> {
        if at.fragment == 0 {
            self.abandon(appender);
            return Ok(());
        }
        let (of, expected) = match &appender.pending {
            Some(pending) => (pending.lsn, pending.next_fragment),
            None => (at.lsn, 0),
        };
        if (of, expected) == (at.lsn, at.fragment) {
            return Ok(());
        }
        Err(Error::OtherFragment { lsn: at.lsn, got: at.fragment, of, expected })
    }

    /// Stages all entries, and puts them into the record.
    fn stage_all(
        &self,
        appender: &mut Appender,
        lsn: u64,
        entries: &[(u64, Entry<'_>)],
    ) -> Result<(), Error> {
        let logs = self.logs.read();
        for (id, entry) in entries {
            if entry.offset.tx != lsn {
                return Err(Error::OtherTransaction { lsn, offset: entry.offset });
            }
            let log = logs.get(id).ok_or(Error::UnknownLog { log: *id })?;
            Self::stage(&mut appender.touched, log, entry)?;
            appender.redo.entry(*id, entry);
        }
        Ok(())
    }

    fn stage(touched: &mut Vec<Arc<Log>>, log: &Arc<Log>, entry: &Entry<'_>) -> Result<(), Error> {
        let mut state = log.state.lock();
        if !state.is_staging() {
            touched.push(Arc::clone(log));
        }
        state.stage(entry, log.owner.salt)
    }

    /// Stages an entry of a record that is read again; not where the log has it already.
    pub fn stage_again(
        &self,
        appender: &mut Appender,
        log: &Arc<Log>,
        entry: &Entry<'_>,
    ) -> Result<(), Error> {
        if log.state.lock().is_known(entry.offset) {
            return Ok(());
        }
        Self::stage(&mut appender.touched, log, entry)
    }

    /// The fragment is in the redo log, as the frame `seq`. Returns the logs that caches have to be fed
    /// from when the transaction is durable.
    pub fn end_fragment(&self, appender: &mut Appender, at: Position, seq: u64) -> Vec<Arc<Log>> {
        let mut bytes = 0;
        for log in &appender.touched {
            let mut state = log.state.lock();
            bytes += state.keep_staged(log.owner.salt);
            if !state.is_dirty {
                state.is_dirty = true;
                self.dirty.lock().push(Arc::clone(log));
            }
        }
        self.memory.fetch_add(bytes, Ordering::Relaxed);
        if at.last {
            let pending = appender.pending.take().map(|pending| pending.touched);
            if self.caches.is_none() {
                appender.touched.clear();
                return Vec::new();
            }
            let mut touched = std::mem::take(&mut appender.touched);
            let earlier = pending.into_iter().flatten();
            touched.retain(|log| log.state.lock().enters_pending(at.lsn));
            touched.extend(earlier);
            return touched;
        }
        let pending = appender.pending.get_or_insert_with(|| Pending {
            lsn: at.lsn,
            next_fragment: 0,
            first_seq: seq,
            touched: Vec::new(),
            records: Vec::new(),
        });
        pending.next_fragment = at.fragment + 1;
        let new = appender.touched.drain(..).filter(|log| log.state.lock().enters_pending(at.lsn));
        pending.touched.extend(new);
        Vec::new()
    }

    /// Forgets the transaction that is coming in.
    pub fn abandon(&self, appender: &mut Appender) {
        let Some(pending) = appender.pending.take() else { return };
        let mut freed = 0;
        for log in pending.touched {
            freed += log.state.lock().forget(pending.lsn);
        }
        self.memory.fetch_sub(freed, Ordering::Relaxed);
        self.progress.lock().abandon();
    }

    /// Writes a frame.
    fn write(&self, payload: &[u8]) -> Result<u64, Error> {
        let journal = self.journal()?;
        journal.write_bytes(payload).map_err(|error| {
            // Nothing is written by this; it says whether the journal still takes anything.
            if journal.write_bytes(&[]).is_err() {
                self.fail(&error);
            }
            error.into()
        })
    }

    /// Writes a change of the catalogue, which is to be made right after, and [taken
    /// in](Shared::taken_in) then.
    pub fn write_catalogue(&self, appender: &mut Appender) -> Result<u64, Error> {
        let payload = appender.redo.finish();
        let mut progress = self.progress.lock();
        let seq = self.write(payload)?;
        progress.in_flight = Some(seq);
        drop(progress);
        self.redo_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        Ok(seq)
    }

    /// The logs have what was written.
    pub fn taken_in(&self) {
        self.progress.lock().in_flight = None;
        self.signals.written();
    }

    /// Writes that logs have their snapshot parts, as [`Shared::write_catalogue`] does. Until they are all taken
    /// in, no checkpoint counts the first of them as such.
    pub fn write_snapshots(
        &self,
        appender: &mut Appender,
        parts: &[(Arc<Log>, crate::segment::SnapshotMeta)],
    ) -> Result<u64, Error> {
        let mut progress = self.progress.lock();
        let (mut first, mut last) = (None, 0);
        for (log, meta) in parts {
            appender.redo.snapshot(log.owner.log, meta);
            let payload = appender.redo.finish();
            last = self.write(payload)?;
            progress.in_flight = Some(*first.get_or_insert(last));
            self.redo_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        }
        Ok(last)
    }

    /// A log was created by the frame `seq`.
    pub fn add_log(&self, new: &NewLog<'_>, seq: u64) {
        let owner = Owner::new(new.log, seq, &self.hash_key);
        let snapshot = if new.awaits_snapshot { Snapshot::Awaited } else { Snapshot::None };
        let mut state = State::new(Arc::from(new.descriptor), snapshot);
        state.is_table = self.options.is_table(new.log);
        let log = Log::new(owner, &self.shapes, state);
        self.logs.write().insert(new.log, Arc::new(log));
    }

    /// A log was removed.
    pub fn drop_log(&self, log: u64) {
        let Some(log) = self.logs.write().remove(&log) else { return };
        let mut state = log.state.lock();
        state.removed = true;
        self.memory.fetch_sub(state.drop_tail(), Ordering::Relaxed);
        drop(state);
        self.graveyard.lock().push(Grave::Log(log));
    }
}
