//! The handle of an index.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::Error;
use crate::background::run_after;
use crate::backup::{self, Report, Sharing};
use crate::compaction::{self, Which};
use crate::disk::{Disk, Found};
use crate::hash::{HashKey, LaneMap};
use crate::journal::{Journal, JournalOptions, JournalStart, Op};
use crate::lookup::{Answer, answer};
use crate::merge::{Layers, merge};
use crate::options::{Journaling, Options};
use crate::segment::{Segment, SegmentMeta};
use crate::state::{Beginning, Change, Core};
use crate::stats::{Stats, Timer};
use crate::storage::{Directory, Storage};
use crate::trigger;
use crate::view::{Frozen, NO_REMOVAL, Run};

/// A multimap from 64-bit key hashes to `u32` ids.
///
/// It is shared by reference between threads: look-ups wait for nobody, writes only for each other.
pub struct LaneIndex {
    pub(crate) core: Arc<Core>,
}

impl LaneIndex {
    /// An index without a directory.
    ///
    /// # Errors
    /// [`Error::BadOption`], and [`Error::Io`] where the system has no randomness.
    pub fn in_memory(options: Options) -> Result<Self, Error> {
        options.check()?;
        let beginning = Beginning {
            hash_key: HashKey::random()?,
            lanes: options.lanes.unwrap_or(1),
            disk: None,
            runs: vec![],
            applied_seq: 0,
            degraded: false,
            quarantined: vec![],
        };
        Ok(Self { core: Arc::new(Core::new(options, beginning)) })
    }

    /// Opens the index in the directory `path`, or creates it there.
    ///
    /// A damaged segment is put aside (`*.corrupt`), and answers are [`Answer::Degraded`] until
    /// [`LaneIndex::finish_rebuild`].
    ///
    /// # Errors
    /// [`Error::Locked`] while another handle has the directory; [`Error::Damaged`] and
    /// [`Error::UnknownVersion`] for manifest or journal, which are left as they are;
    /// [`Error::BadOption`], [`Error::Io`].
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::open_in(Arc::new(Directory::open(path)?), options)
    }

    /// Opens the index in a directory of any kind.
    ///
    /// # Errors
    /// As for [`LaneIndex::open`].
    pub fn open_in(storage: Arc<dyn Storage>, options: Options) -> Result<Self, Error> {
        options.check()?;
        let Found { disk, manifest, segments, quarantined } =
            Disk::open(Arc::clone(&storage), &options)?;
        let lanes = u16::try_from(manifest.num_lanes).unwrap_or(u16::MAX);
        LaneMap::shared(lanes)?;
        let runs = segments.into_iter().map(opened_run).collect::<Result<_, Error>>()?;
        let beginning = Beginning {
            hash_key: HashKey::from_bytes(manifest.hash_key),
            lanes,
            disk: Some(disk),
            runs,
            applied_seq: manifest.applied_seq,
            degraded: manifest.degraded,
            quarantined,
        };
        let journaling = options.journal;
        let core = Arc::new(Core::new(options, beginning));
        if let Journaling::Own(fsync) = journaling {
            let start = JournalStart {
                applied_seq: manifest.applied_seq,
                oldest: manifest.journal,
                hash_key: manifest.hash_key,
            };
            let options = JournalOptions { fsync, ..JournalOptions::default() };
            let (journal, _) = Journal::open(storage, options, start, |_, ops| core.replay(ops))?;
            core.set_journal(journal);
        }
        let index = Self { core };
        index.after_write();
        Ok(index)
    }

    /// The secret that keys are hashed with. Hashes of keys that others choose must come from it.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        self.core.hash_key
    }

    /// Files `id` under the key with this hash. Returns the number of the operation; see
    /// [`LaneIndex::purged_through`].
    ///
    /// # Errors
    /// [`Error::Limit`] where the index is full, [`Error::Behind`] where merges are, [`Error::Closed`],
    /// [`Error::WrongKind`] where the caller is the journal; [`Error::Io`] and [`Error::Failed`] where
    /// the journal cannot be written: then the write may or may not be there after opening again.
    pub fn insert(&self, hash: u64, id: u32) -> Result<u64, Error> {
        self.write(&[Op::Insert { hash, id }])
    }

    /// Takes `id` away from under the key with this hash. Nothing happens where it is not there.
    ///
    /// # Errors
    /// As for [`LaneIndex::insert`].
    pub fn remove(&self, hash: u64, id: u32) -> Result<u64, Error> {
        self.write(&[Op::Remove { hash, id }])
    }

    /// Writes all of `ops` or, where that fails or the process ends, none. Returns the number of the
    /// last one.
    ///
    /// # Errors
    /// As for [`LaneIndex::insert`].
    pub fn write(&self, ops: &[Op]) -> Result<u64, Error> {
        if self.core.disk.is_some() && self.core.options.journal == Journaling::Caller {
            let of = "whose caller keeps the journal";
            return Err(Error::WrongKind { call: "write", of });
        }
        self.write_as(None, ops)
    }

    /// Writes what the caller's journal has under `seq`, all of it in this one call. Numbers ascend;
    /// after opening, what comes after [`LaneIndex::applied_seq`] is to be written again.
    ///
    /// # Errors
    /// [`Error::Sequence`] where `seq` is not greater than the last one; else as for
    /// [`LaneIndex::insert`].
    pub fn apply(&self, seq: u64, ops: &[Op]) -> Result<u64, Error> {
        if self.core.disk.is_some() && self.core.options.journal != Journaling::Caller {
            return Err(Error::WrongKind { call: "apply", of: "with a journal of its own" });
        }
        self.write_as(Some(seq), ops)
    }

    fn write_as(&self, seq: Option<u64>, ops: &[Op]) -> Result<u64, Error> {
        let timer = Timer::start();
        let result = self.core.write(seq, ops);
        self.core.counters.writes.record(timer);
        self.after_write();
        result
    }

    #[inline]
    fn after_write(&self) {
        let view = self.core.view.load();
        let has_lower = !view.frozen.is_empty() || !view.runs.is_empty();
        let is_frozen = !view.frozen.is_empty();
        drop(view);
        if is_frozen && !self.core.flush_queued.load(Ordering::Relaxed) {
            trigger::poke(&self.core);
        }
        if has_lower || self.core.disk.is_some() {
            trigger::start_clock(&self.core);
        }
    }

    /// Hands `each` every key's hash and its ids, ascending, in no useful order of keys. What is
    /// written meanwhile may be in it or not.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a segment contradicts itself, and what `each` returns.
    pub fn for_each(
        &self,
        mut each: impl FnMut(u64, &[u32]) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let view = self.core.view.load_full();
        let layers = Layers {
            overlays: view.overlays().map(|overlay| &**overlay).collect(),
            runs: view.runs.iter().map(|run| &**run).collect(),
        };
        let result = merge(&layers, &*self.core.lane_map()?, true, |posting| {
            each(posting.hash, posting.adds)
        });
        drop(layers);
        let answer = answer(&view);
        result.map(|()| answer)
    }

    /// Hands `each` every id that is filed under any key, in no order, and maybe several times; ids that
    /// were removed and not purged yet may be among them. It reads what look-ups read, as it lies in
    /// memory, which is many times faster than [`LaneIndex::for_each`].
    pub fn for_each_id(&self, each: impl FnMut(u32)) -> Answer {
        let view = self.core.view.load_full();
        view.for_each_id(each);
        answer(&view)
    }

    /// Every id that is filed under any key, ascending, each once.
    ///
    /// # Errors
    /// As for [`LaneIndex::for_each`].
    pub fn ids(&self) -> Result<(Vec<u32>, Answer), Error> {
        let mut all = roaring::RoaringBitmap::new();
        let answer = self.for_each(|_, ids| {
            all.extend(ids);
            Ok(())
        })?;
        Ok((all.iter().collect(), answer))
    }

    /// How many ids are filed, each counted under each of its keys. Counted anew by reading everything;
    /// [`LaneIndex::stats`] has an estimate that costs nothing.
    ///
    /// # Errors
    /// As for [`LaneIndex::for_each`].
    pub fn len(&self) -> Result<u64, Error> {
        let mut count = 0;
        let _ = self.for_each(|_, ids| {
            count += ids.len() as u64;
            Ok(())
        })?;
        Ok(count)
    }

    /// Whether nothing is filed.
    ///
    /// # Errors
    /// As for [`LaneIndex::for_each`].
    pub fn is_empty(&self) -> Result<bool, Error> {
        // The first posting answers; an error that is not one ends the reading.
        match self.for_each(|_, _| Err(Error::Closed)) {
            Ok(_) => Ok(true),
            Err(Error::Closed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes everything that was written so far into segments, and waits for it.
    ///
    /// # Errors
    /// What a flush, or a merge that has to make room for it, ran into. The state is the one before it.
    pub fn flush(&self) -> Result<(), Error> {
        // What had been written when the call began; what others write meanwhile is not waited for.
        let mut waited_for: Option<Vec<Arc<Frozen>>> = None;
        loop {
            self.core.check_open()?;
            if waited_for.is_none() && self.core.freeze_active(Duration::ZERO) {
                waited_for = Some(self.core.view.load().frozen.clone());
            }
            let view = self.core.view.load();
            let waits = |one: &Arc<Frozen>| view.frozen.iter().any(|two| Arc::ptr_eq(one, two));
            if waited_for.as_ref().is_some_and(|frozen| !frozen.iter().any(waits)) {
                drop(view);
                return self.cover_all();
            }
            let (is_due, is_waiting) = (compaction::flush_is_due(&view), !view.frozen.is_empty());
            drop(view);
            if is_due {
                trigger::guarded(&self.core, || compaction::flush(&self.core))?;
            } else if is_waiting {
                // There are as many runs as there may be.
                trigger::guarded(&self.core, || compaction::merge_runs(&self.core, Which::Due))?;
            }
        }
    }

    /// Writes that left nothing to flush count as applied too: the journal need not keep them.
    fn cover_all(&self) -> Result<(), Error> {
        let (Some(disk), Some(seq)) = (&self.core.disk, self.core.settled_seq()) else {
            return Ok(());
        };
        if seq <= disk.applied_seq()? {
            return Ok(());
        }
        trigger::guarded(&self.core, || {
            self.core.install(Change { applied_seq: Some(seq), ..Change::default() })
        })
    }

    /// Merges everything into one segment, and waits for it: tombstones and what they hide are gone.
    ///
    /// # Errors
    /// As for [`LaneIndex::flush`].
    pub fn compact(&self) -> Result<(), Error> {
        self.flush()?;
        trigger::guarded(&self.core, || compaction::merge_runs(&self.core, Which::All))?;
        trigger::poke(&self.core);
        Ok(())
    }

    /// Does what is due of flushes and merges, for an index whose caller maintains it. `false` where
    /// nothing was.
    ///
    /// # Errors
    /// As for [`LaneIndex::flush`].
    pub fn maintain(&self) -> Result<bool, Error> {
        self.core.check_open()?;
        self.core.freeze_active(self.core.options.max_age);
        let flushed = trigger::guarded(&self.core, || compaction::flush(&self.core))?;
        let merged =
            trigger::guarded(&self.core, || compaction::merge_runs(&self.core, Which::Due))?;
        Ok(flushed || merged)
    }

    /// Changes the lane count and writes everything anew with it.
    ///
    /// # Errors
    /// [`Error::BadOption`] for a count that cannot be; else as for [`LaneIndex::flush`].
    pub fn reshard(&self, lanes: u16) -> Result<(), Error> {
        LaneMap::shared(lanes)?;
        self.flush()?;
        trigger::guarded(&self.core, || compaction::reshard(&self.core, lanes))
    }

    /// Up to which sequence number the index has the caller's writes on disk.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::WrongKind`] for an index in memory.
    pub fn applied_seq(&self) -> Result<u64, Error> {
        let Some(disk) = &self.core.disk else {
            return Err(Error::WrongKind { call: "applied_seq", of: "in memory" });
        };
        disk.applied_seq()
    }

    /// The number of the last operation that was written.
    #[must_use]
    pub fn last_operation(&self) -> u64 {
        self.core.purged_through().0
    }

    /// Up to which operation every removal has been carried out in full: the posting is gone, not only
    /// hidden. An id may stand for something else once the removal of its last posting, by the number
    /// that [`LaneIndex::remove`] returned, is purged.
    ///
    /// Numbers begin anew with each opening, with 1 for all removals before it.
    #[must_use]
    pub fn purged_through(&self) -> u64 {
        self.core.purged_through().1
    }

    /// Empties the index, so that everything can be filed again; answers are [`Answer::Degraded`] from
    /// now on, also after opening again, until [`LaneIndex::finish_rebuild`].
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Io`], [`Error::Failed`].
    pub fn begin_rebuild(&self) -> Result<(), Error> {
        self.core.restart(true, true)
    }

    /// Declares the index whole: everything that was lost has been filed again.
    ///
    /// # Errors
    /// As for [`LaneIndex::flush`].
    pub fn finish_rebuild(&self) -> Result<(), Error> {
        self.flush()?;
        self.core.restart(false, false)
    }

    /// Makes a backup of everything written so far in the empty directory `target`: segments by hard
    /// link where the file system can, which costs no space. With `base`, an earlier backup, what that has
    /// already is linked from there: an incremental one. Writes and merges go on meanwhile.
    ///
    /// It is opened like any index, or put back with [`crate::backup::restore`].
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Locked`] for `target`; [`Error::WrongKind`] for an index in memory;
    /// as for [`LaneIndex::flush`]; [`Error::Io`]. A backup that failed is refused when it is opened.
    pub fn snapshot(
        &self,
        target: &dyn Storage,
        base: Option<&dyn Storage>,
        sharing: Sharing,
    ) -> Result<Report, Error> {
        let Some(disk) = &self.core.disk else {
            return Err(Error::WrongKind { call: "snapshot", of: "in memory" });
        };
        self.flush()?;
        // No segment is removed while the manifest is held.
        disk.with_manifest(|manifest| {
            backup::snapshot(&*disk.storage, manifest, target, base, sharing)
        })
    }

    /// Puts entries into an index in memory in which nothing was ever written: one segment is built of
    /// them, at a fraction of the cost of writing each. In any order.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for an index in a directory, or one that has something in it;
    /// [`Error::Closed`].
    pub fn load(&self, entries: &[(u64, u32)]) -> Result<(), Error> {
        if self.core.disk.is_some() {
            return Err(Error::WrongKind { call: "load", of: "in a directory" });
        }
        crate::compaction::load(&self.core, entries)
    }

    /// Merges everything into one segment, and hands over what describes it and its bytes; `None` where
    /// nothing is filed. Nobody may write meanwhile. An index [of that segment](Self::of_segment) is
    /// this one.
    ///
    /// # Errors
    /// As for [`LaneIndex::compact`]; [`Error::WrongKind`] where somebody writes.
    pub fn export<T>(
        &self,
        with: impl FnOnce(&SegmentMeta, &[u8]) -> T,
    ) -> Result<Option<T>, Error> {
        self.compact()?;
        let view = self.core.view.load_full();
        match &*view.runs {
            _ if view.overlays().any(|overlay| overlay.len() > 0) => {
                Err(Error::WrongKind { call: "export", of: "that is written to" })
            }
            [] => Ok(None),
            [run] => Ok(Some(with(run.segment.meta(), run.segment.bytes()))),
            _ => Err(Error::WrongKind { call: "export", of: "that is written to" }),
        }
    }

    /// An index without a directory that begins with a segment that lies in a file. The file stays the
    /// caller's: the index never writes to it, nor removes it.
    ///
    /// # Errors
    /// As for [`LaneIndex::in_memory`].
    pub fn of_segment(options: Options, segment: Segment) -> Result<Self, Error> {
        options.check()?;
        let lanes = u16::try_from(segment.lanes()).unwrap_or(u16::MAX);
        let beginning = Beginning {
            hash_key: HashKey::random()?,
            lanes,
            disk: None,
            runs: vec![opened_run(segment)?],
            applied_seq: 0,
            degraded: false,
            quarantined: vec![],
        };
        Ok(Self { core: Arc::new(Core::new(options, beginning)) })
    }

    /// What the index says about itself.
    #[must_use]
    pub fn stats(&self) -> Stats {
        crate::stats::collect(&self.core)
    }

    /// Ends the index: waits for a flush or merge that runs to stop, makes the journal durable and
    /// gives the directory back. Further writes are [`Error::Closed`], further answers
    /// [`Answer::Degraded`] and empty. What no segment has is in the journal, or with the caller.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Failed`] where the journal cannot be made durable; closed it is anyway.
    pub fn close(&self) -> Result<(), Error> {
        finish(&self.core)
    }
}

#[cfg(test)]
impl LaneIndex {
    pub(crate) fn core_of_tests(&self) -> &Core {
        &self.core
    }
}

impl Drop for LaneIndex {
    fn drop(&mut self) {
        if self.core.disk.is_none() {
            // Only memory to free, which the reaper does.
            drop(self.core.shut());
        } else if !self.core.closed.load(Ordering::Relaxed) {
            // Syncing a journal is nothing to do where a handle happens to be dropped.
            let core = Arc::clone(&self.core);
            run_after(Duration::ZERO, move || drop(finish(&core)));
        }
    }
}

fn finish(core: &Arc<Core>) -> Result<(), Error> {
    let journal = core.shut();
    // Whoever flushes or merges notices soon that it is in vain.
    let _flushing = core.flushing.lock();
    let _merging = core.merging.lock();
    let synced = match journal {
        // A writer may still wait for its sync; the last one to let go leaves the mark of a clean end.
        Some(journal) => match Arc::try_unwrap(journal) {
            Ok(journal) => journal.close(),
            Err(journal) => journal.sync(),
        },
        None => Ok(()),
    };
    if let Some(disk) = &core.disk {
        disk.close();
    }
    synced
}

fn opened_run(segment: Segment) -> Result<Arc<Run>, Error> {
    let meta = segment.meta().clone();
    let lanes = u16::try_from(segment.lanes()).unwrap_or(u16::MAX);
    Ok(Arc::new(Run {
        lanes: LaneMap::shared(lanes)?,
        segment,
        name: meta.name,
        level: u8::try_from(meta.level).unwrap_or(u8::MAX),
        adds: meta.adds,
        removes: meta.removes,
        keys: meta.keys,
        bytes: meta.bytes,
        born: Instant::now(),
        oldest_removal: if meta.removes == 0 { NO_REMOVAL } else { 1 },
    }))
}
