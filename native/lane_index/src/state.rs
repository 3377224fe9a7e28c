//! The state that the handle of an index and the threads that maintain it share.
//!
//! Locks are taken in this order, none of them by a reader: *flushing* and *merging* (one flush and
//! one merge at a time), *install* (one change of the runs at a time, with the commit of the manifest
//! in it), *writer* (the overlay that is written to, and every swap of the view).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::Error;
use crate::disk::Disk;
use crate::hash::{HashKey, LaneMap};
use crate::journal::{Journal, Op};
use crate::options::Options;
use crate::overlay::{MAX_ENTRIES, Overlay, Written};
use crate::stats::Histogram;
use crate::swap::Swap;
use crate::view::{Frozen, NO_REMOVAL, Run, View};

/// How many overlays wait for a flush at most; then the one that is written to grows instead.
const MAX_FROZEN: usize = 2;

pub(crate) struct Core {
    pub options: Options,
    pub hash_key: HashKey,
    pub view: Swap<View>,
    pub disk: Option<Disk>,
    pub lanes: AtomicU16,
    writer: Mutex<Writer>,
    install: Mutex<()>,
    /// Held by the flush, and by the merge, that runs.
    pub flushing: Mutex<()>,
    pub merging: Mutex<()>,
    /// A flush, a merge, a tick is queued or runs in the background.
    pub flush_queued: AtomicBool,
    pub merge_queued: AtomicBool,
    pub tick_queued: AtomicBool,
    pub closed: AtomicBool,
    pub counters: Counters,
    /// What went wrong in the background; a box, because it is rare and an idle index is small.
    pub trouble: Mutex<Option<Box<Trouble>>>,
}

/// What the background threads could not do.
#[derive(Default)]
pub(crate) struct Trouble {
    pub last_error: Option<String>,
    /// A job panicked: its cause is not known, so that nothing is tried again by itself.
    pub panicked: bool,
    pub failures_in_a_row: u32,
    pub quarantined: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub flushes: AtomicU64,
    pub merges: AtomicU64,
    pub failures: AtomicU64,
    pub flushed_entries: AtomicU64,
    pub written_entries: AtomicU64,
    pub refused_behind: AtomicU64,
    pub max_runs: AtomicUsize,
    pub lookups: Histogram,
    pub writes: Histogram,
}

pub(crate) struct Writer {
    active: Arc<Overlay>,
    /// Nothing lies below the active overlay.
    oldest: bool,
    /// The index's own journal, where it keeps one.
    journal: Option<Arc<Journal>>,
    /// The number of the last operation.
    ops: u64,
    /// The sequence number of the last write: the journal's, or the caller's.
    seq: u64,
    oldest_removal: u64,
    /// Since when the active overlay holds something.
    since: Option<Instant>,
    /// Entries and bytes of everything below the active overlay.
    below_entries: u64,
    below_bytes: u64,
    /// Ids filed less ids taken away, below the active overlay.
    below_live: i64,
    frozen_entries: usize,
    /// From how many entries on the active overlay is frozen.
    room: usize,
    closed: bool,
}

/// What an install puts in place of what.
#[derive(Default)]
pub(crate) struct Change {
    /// Overlays that a run has now: the oldest ones.
    pub flushed: Vec<Arc<Frozen>>,
    /// Neighbours among the runs.
    pub replaced: Vec<Arc<Run>>,
    /// What takes their place; at the newest end where nothing is replaced.
    pub added: Option<Arc<Run>>,
    /// The lane count from now on.
    pub lanes: Option<u16>,
    /// Everything up to this sequence number is in the runs.
    pub applied_seq: Option<u64>,
}

/// What an index begins with.
pub(crate) struct Beginning {
    pub hash_key: HashKey,
    pub lanes: u16,
    pub disk: Option<Disk>,
    pub runs: Vec<Arc<Run>>,
    pub applied_seq: u64,
    pub degraded: bool,
    pub quarantined: Vec<String>,
}

impl Core {
    pub(crate) fn new(options: Options, beginning: Beginning) -> Self {
        let Beginning { hash_key, lanes, disk, runs, applied_seq, degraded, quarantined } =
            beginning;
        let active = Arc::new(Overlay::with_room(0));
        let view =
            View { active: Arc::clone(&active), frozen: vec![], runs, degraded, closed: false };
        let writer = Writer {
            active,
            oldest: view.active_is_oldest(),
            journal: None,
            // Numbers begin anew with each opening; tombstones found then have number 1.
            ops: 1,
            seq: applied_seq,
            oldest_removal: NO_REMOVAL,
            since: None,
            below_entries: 0,
            below_bytes: 0,
            below_live: 0,
            frozen_entries: 0,
            room: 0,
            closed: false,
        };
        let trouble = (!quarantined.is_empty())
            .then(|| Box::new(Trouble { quarantined, ..Trouble::default() }));
        let core = Self {
            options,
            hash_key,
            view: Swap::new(view),
            disk,
            lanes: AtomicU16::new(lanes),
            writer: Mutex::new(writer),
            install: Mutex::new(()),
            flushing: Mutex::new(()),
            merging: Mutex::new(()),
            flush_queued: AtomicBool::new(false),
            merge_queued: AtomicBool::new(false),
            tick_queued: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
            trouble: Mutex::new(trouble),
        };
        core.recount(&mut core.writer.lock());
        core
    }

    pub(crate) fn lane_map(&self) -> Result<Arc<LaneMap>, Error> {
        LaneMap::shared(self.lanes.load(Ordering::Relaxed))
    }

    /// Keeps a journal from now on.
    pub(crate) fn set_journal(&self, journal: Journal) {
        let mut writer = self.writer.lock();
        writer.seq = writer.seq.max(journal.last_seq());
        writer.journal = Some(Arc::new(journal));
    }

    pub(crate) fn journal(&self) -> Option<Arc<Journal>> {
        self.writer.lock().journal.clone()
    }

    /// Writes `ops`, all or none of them. Returns the number of the last one.
    pub(crate) fn write(&self, seq: Option<u64>, ops: &[Op]) -> Result<u64, Error> {
        let (number, acknowledge) = {
            let mut writer = self.writer.lock();
            self.check_room(&writer, ops)?;
            let mut acknowledge = None;
            if let Some(seq) = seq {
                if seq <= writer.seq {
                    return Err(Error::Sequence { got: seq, last: writer.seq });
                }
                writer.seq = seq;
            } else if let Some(journal) = writer.journal.clone() {
                // An error leaves the journal refusing, or nothing written at all.
                writer.seq = journal.write(ops)?;
                acknowledge = Some((journal, writer.seq));
            }
            self.apply(&mut writer, ops);
            if writer.active.len() >= writer.room {
                self.freeze(&mut writer);
            }
            (writer.ops, acknowledge)
        };
        // Without the lock: others write while this one waits for the disk, and share its sync.
        if let Some((journal, seq)) = acknowledge {
            journal.acknowledge(seq)?;
        }
        Ok(number)
    }

    /// Puts a write of the journal back that no segment has.
    pub(crate) fn replay(&self, ops: &[Op]) {
        self.apply(&mut self.writer.lock(), ops);
    }

    fn apply(&self, writer: &mut Writer, ops: &[Op]) {
        for op in ops {
            let (hash, id, removed) = match *op {
                Op::Insert { hash, id } => (hash, id, false),
                Op::Remove { hash, id } => (hash, id, true),
            };
            writer.ops += 1;
            if removed && !writer.oldest {
                writer.oldest_removal = writer.oldest_removal.min(writer.ops);
            }
            while writer.active.write(hash, id, removed, writer.oldest) == Written::Full {
                let grown = Arc::new(writer.active.grown(writer.oldest));
                writer.active = Arc::clone(&grown);
                self.swap(|view| view.active = grown);
            }
        }
        if writer.since.is_none() {
            writer.since = Some(Instant::now());
        }
    }

    fn check_room(&self, writer: &Writer, ops: &[Op]) -> Result<(), Error> {
        if writer.closed {
            return Err(Error::Closed);
        }
        let overlays = writer.active.len() + writer.frozen_entries + ops.len();
        let backlog = self.options.backlog_room(writer.below_entries).min(MAX_ENTRIES / 2);
        // A batch always fits into an empty index, however large it is.
        if overlays > backlog && overlays > ops.len() {
            self.counters.refused_behind.fetch_add(1, Ordering::Relaxed);
            return Err(Error::Behind { waiting: overlays as u64, limit: backlog as u64 });
        }
        if ops.iter().all(|op| matches!(op, Op::Remove { .. })) {
            return Ok(());
        }
        if let Some(limit) = self.options.max_entries {
            let live = writer.below_live + writer.active.balance();
            let got = live.max(0) as u64 + ops.len() as u64;
            if got > limit {
                return Err(Error::Limit { what: "entries of the index", got, limit });
            }
        }
        if let Some(limit) = self.options.max_bytes {
            let got = writer.below_bytes + writer.active.bytes() as u64;
            if got > limit {
                return Err(Error::Limit { what: "bytes of the index", got, limit });
            }
        }
        Ok(())
    }

    /// Puts the overlay that is written to in line for a flush, and an empty one in its place. Not
    /// where the line is full: then the overlay grows on.
    fn freeze(&self, writer: &mut Writer) {
        if writer.active.len() == 0 || self.view.load().frozen.len() >= MAX_FROZEN {
            return;
        }
        let frozen = Arc::new(Frozen {
            overlay: Arc::clone(&writer.active),
            applied_seq: writer.seq,
            oldest_removal: writer.oldest_removal,
        });
        let active = Arc::new(Overlay::with_room(0));
        writer.active = Arc::clone(&active);
        writer.oldest_removal = NO_REMOVAL;
        writer.since = None;
        self.swap(|view| {
            view.active = active;
            view.frozen.insert(0, frozen);
        });
        self.recount(writer);
    }

    /// Freezes what has been written, so that the next flush takes it. With `older_than`, only what
    /// waits that long already. Whether nothing is left in the overlay that is written to.
    pub(crate) fn freeze_active(&self, older_than: Duration) -> bool {
        let mut writer = self.writer.lock();
        if writer.since.is_some_and(|since| since.elapsed() >= older_than) {
            self.freeze(&mut writer);
        }
        writer.active.len() == 0
    }

    /// Changes the runs, on disk first. What fails before the view is swapped changes nothing.
    pub(crate) fn install(&self, change: Change) -> Result<(), Error> {
        let _install = self.install.lock();
        self.check_open()?;
        let view = self.view.load_full();
        let mut runs = view.runs.clone();
        let at = match change.replaced.first() {
            None => 0,
            // Flushes put runs in front meanwhile; nothing else moves while one merges.
            Some(first) => runs
                .iter()
                .position(|run| Arc::ptr_eq(run, first))
                .ok_or(Error::Superseded { what: "the runs that were merged" })?,
        };
        runs.splice(at..at + change.replaced.len(), change.added);
        let lanes = change.lanes.unwrap_or(self.lanes.load(Ordering::Relaxed));
        if let Some(disk) = &self.disk {
            let flushed = change.flushed.iter().map(|frozen| frozen.applied_seq);
            let applied = flushed.chain(change.applied_seq).max();
            let journal = self.journal();
            disk.commit(&runs, lanes, applied, journal.as_deref())?;
        }
        self.lanes.store(lanes, Ordering::Relaxed);
        let mut writer = self.writer.lock();
        let is_flushed = |frozen: &Arc<Frozen>| {
            change.flushed.iter().any(|flushed| Arc::ptr_eq(flushed, frozen))
        };
        self.swap(|view| {
            view.runs = runs;
            view.frozen.retain(|frozen| !is_flushed(frozen));
        });
        self.recount(&mut writer);
        drop(writer);
        if let Some(disk) = &self.disk {
            disk.remove(change.replaced.iter().map(|run| run.name.clone()));
        }
        Ok(())
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Empties the index, or declares it whole again.
    pub(crate) fn restart(&self, empty: bool, degraded: bool) -> Result<(), Error> {
        let _flushing = self.flushing.lock();
        let _merging = self.merging.lock();
        let _install = self.install.lock();
        self.check_open()?;
        let view = self.view.load_full();
        let runs = if empty { Vec::new() } else { view.runs.clone() };
        // Held to the end, so that no write falls between the manifest and the view.
        let mut writer = self.writer.lock();
        if let Some(disk) = &self.disk {
            let applied = empty.then_some(if writer.journal.is_some() { writer.seq } else { 0 });
            disk.restart(&runs, degraded, applied, writer.journal.as_deref())?;
        }
        if empty {
            writer.active = Arc::new(Overlay::with_room(0));
            writer.since = None;
            writer.oldest_removal = NO_REMOVAL;
            if writer.journal.is_none() {
                writer.seq = 0;
            }
        }
        let active = Arc::clone(&writer.active);
        self.swap(|view| {
            view.active = active;
            view.degraded = degraded;
            if empty {
                view.runs = vec![];
                view.frozen = vec![];
            }
        });
        self.recount(&mut writer);
        drop(writer);
        if let Some(disk) = self.disk.as_ref().filter(|_| empty) {
            disk.remove(view.runs.iter().map(|run| run.name.clone()));
        }
        Ok(())
    }

    /// Refuses everything from now on, and lets go of the layers and of the journal.
    pub(crate) fn shut(&self) -> Option<Arc<Journal>> {
        self.closed.store(true, Ordering::Relaxed);
        // What is being installed is put in place first: it must not take the layers that are let go of
        // here for all that there are.
        let _install = self.install.lock();
        let mut writer = self.writer.lock();
        writer.closed = true;
        writer.active = Arc::new(Overlay::with_room(0));
        let active = Arc::clone(&writer.active);
        self.swap(|view| {
            *view = View { active, frozen: vec![], runs: vec![], degraded: true, closed: true };
        });
        self.recount(&mut writer);
        writer.journal.take()
    }

    /// The number of the last operation; 1 before there was any.
    pub(crate) fn last_operation(&self) -> u64 {
        self.writer.lock().ops
    }

    /// The sequence number of the last write, if no overlay holds anything.
    pub(crate) fn settled_seq(&self) -> Option<u64> {
        let writer = self.writer.lock();
        let settled = writer.active.len() == 0 && self.view.load().frozen.is_empty();
        settled.then_some(writer.seq)
    }

    /// The number of the last operation, and the number up to which every removal has been purged.
    pub(crate) fn purged_through(&self) -> (u64, u64) {
        let writer = self.writer.lock();
        let view = self.view.load();
        let oldest = view
            .frozen
            .iter()
            .map(|frozen| frozen.oldest_removal)
            .chain(view.runs.iter().map(|run| run.oldest_removal))
            .fold(writer.oldest_removal, u64::min);
        (writer.ops, if oldest == NO_REMOVAL { writer.ops } else { oldest - 1 })
    }

    /// The overlay has outgrown its limit because the line for a flush is full.
    pub(crate) fn is_behind(&self) -> bool {
        let writer = self.writer.lock();
        writer.active.len() > writer.room
    }

    /// Takes a segment that turned out to be damaged out of the index, and puts its file aside.
    pub(crate) fn quarantine(&self, name: &str) -> Result<(), Error> {
        let _install = self.install.lock();
        self.check_open()?;
        let view = self.view.load_full();
        let Some(disk) = self.disk.as_ref().filter(|_| view.runs.iter().any(|r| r.name == name))
        else {
            return Ok(());
        };
        let mut runs = view.runs.clone();
        runs.retain(|run| run.name != name);
        let mut writer = self.writer.lock();
        // The manifest first: it must say that something is missing before it is.
        disk.restart(&runs, true, None, writer.journal.as_deref())?;
        self.swap(|view| {
            view.runs = runs;
            view.degraded = true;
        });
        self.recount(&mut writer);
        drop(writer);
        let aside = disk.quarantine(name)?;
        self.trouble.lock().get_or_insert_default().quarantined.push(aside);
        Ok(())
    }

    /// Replaces the view. Its callers hold the lock of the writer, so that no change is lost.
    fn swap(&self, change: impl FnOnce(&mut View)) {
        let mut next = self.view.load().successor();
        change(&mut next);
        self.view.replace(next);
    }

    fn recount(&self, writer: &mut Writer) {
        let view = self.view.load();
        writer.oldest = view.active_is_oldest();
        writer.frozen_entries = view.frozen.iter().map(|frozen| frozen.overlay.len()).sum();
        let frozen_bytes: usize = view.frozen.iter().map(|frozen| frozen.overlay.bytes()).sum();
        let runs: u64 = view.runs.iter().map(|run| run.adds).sum();
        let live = view.runs.iter().map(|run| run.adds as i64 - run.removes as i64);
        let frozen = view.frozen.iter().map(|frozen| frozen.overlay.balance());
        writer.below_live = live.chain(frozen).sum();
        writer.below_entries = runs + writer.frozen_entries as u64;
        writer.below_bytes =
            frozen_bytes as u64 + view.runs.iter().map(|run| run.bytes).sum::<u64>();
        writer.room = self.options.overlay_room(writer.below_entries);
        self.counters.max_runs.fetch_max(view.runs.len(), Ordering::Relaxed);
    }
}
