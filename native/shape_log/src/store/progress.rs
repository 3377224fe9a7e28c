//! How far things are: what is durable, what the redo log is still needed for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lane_index::Fsync;

use super::Shared;
use crate::log::Log;
use crate::{Error, Record};

/// Guarded by one lock, which is also held while a frame is written: so whoever sees a frame durable
/// finds here what is in it.
#[derive(Default)]
pub(crate) struct Progress {
    /// The last transaction appended as a whole.
    pub last_lsn: u64,
    /// Transactions that are not known to be durable, oldest first.
    pub commits: VecDeque<Commit>,
    /// The first frame of the transaction that is coming in.
    pub pending_first: Option<u64>,
    /// The first frame of what was written, but is not taken in by the logs yet.
    pub in_flight: Option<u64>,
    /// Frames up to this one are durable.
    pub durable_seq: u64,
    /// Frames up to this one are of transactions that are durable as a whole.
    pub covered_seq: u64,
    /// Records that their source has not released: number, and the last frame before their transaction.
    pub outstanding: BTreeMap<u32, VecDeque<(u64, u64)>>,
}

pub(crate) struct Commit {
    pub first_seq: u64,
    pub seq: u64,
    pub lsn: u64,
    /// The logs that have something of it, where caches want to know.
    pub touched: Vec<Arc<Log>>,
}

impl Progress {
    /// Frames up to `seq` are durable. Moves the transactions that thereby are to `durable`, and returns
    /// up to which frame there are none but such.
    fn advance(&mut self, seq: u64, durable: &mut Vec<Commit>) -> u64 {
        self.durable_seq = self.durable_seq.max(seq);
        while self.commits.front().is_some_and(|commit| commit.seq <= self.durable_seq) {
            durable.extend(self.commits.pop_front());
        }
        let first = self.commits.front().map(|commit| commit.first_seq);
        let open = [first, self.pending_first, self.in_flight].into_iter().flatten();
        open.map(|first| first - 1).fold(self.durable_seq, u64::min)
    }

    /// The transaction that was coming in is forgotten.
    pub fn abandon(&mut self) {
        self.pending_first = None;
    }

    /// A record was written, in a transaction (or by itself) behind the frame `before`.
    pub fn note(&mut self, record: &Record<'_>, before: u64) {
        self.outstanding.entry(record.source).or_default().push_back((record.seq, before));
    }

    /// Whether these may follow the records before them.
    pub fn check_records(&self, records: &[Record<'_>]) -> Result<(), Error> {
        for (position, record) in records.iter().enumerate() {
            let earlier = records[..position].iter().rev();
            let earlier = earlier.filter(|earlier| earlier.source == record.source);
            let last = earlier.map(|earlier| earlier.seq).next().or_else(|| {
                let outstanding = self.outstanding.get(&record.source)?;
                outstanding.back().map(|(seq, _)| *seq)
            });
            if let Some(last) = last
                && record.seq <= last
            {
                let (source_id, seq) = (record.source, record.seq);
                return Err(Error::RecordOutOfOrder { source_id, last, seq });
            }
        }
        Ok(())
    }

    /// The source has its records up to `seq` elsewhere.
    pub fn release(&mut self, source: u32, seq: u64) {
        if let Some(outstanding) = self.outstanding.get_mut(&source) {
            while outstanding.front().is_some_and(|(first, _)| *first <= seq) {
                outstanding.pop_front();
            }
            if outstanding.is_empty() {
                self.outstanding.remove(&source);
            }
        }
    }

    /// The last frame that nobody needs for its records, up to `applied`.
    pub fn records_seq(&self, applied: u64) -> u64 {
        let oldest = self.outstanding.values().filter_map(|records| records.front());
        oldest.map(|(_, before)| *before).fold(applied, u64::min)
    }
}

impl Shared {
    /// Lets everybody see what has become durable.
    pub fn publish(&self) {
        let Some(journal) = self.journal.get() else { return };
        // One at a time, so that caches are fed in order; who comes second finds it done.
        let durable = &mut *self.publishing.lock();
        let seq = match self.options.fsync {
            Fsync::Never => journal.last_seq(),
            _ => journal.durable_seq(),
        };
        let covered = self.progress.lock().advance(seq, durable);
        let newest = durable.last().map(|commit| commit.lsn);
        if let Some(lsn) = newest {
            self.watermark.store(lsn, Ordering::Release);
        }
        // Behind the watermark: a checkpoint must not think more covered than it can see.
        self.progress.lock().covered_seq = covered;
        for commit in durable.drain(..) {
            self.feed(&commit);
        }
        if let Some(lsn) = newest {
            self.signals.durable();
            if let Some(tell) = &self.options.on_durable {
                tell(lsn);
            }
        }
    }

    /// Makes everything durable that was written.
    pub fn sync(&self) -> Result<(), Error> {
        self.check()?;
        self.journal()?.sync().inspect_err(|error| self.fail(error))?;
        self.publish();
        Ok(())
    }

    /// Returns when the frame `seq` is as durable as the options promise.
    pub fn wait(&self, seq: u64) -> Result<(), Error> {
        loop {
            self.check()?;
            self.journal()?.acknowledge(seq).inspect_err(|error| self.fail(error))?;
            self.publish();
            let Fsync::Interval(interval) = self.options.fsync else { return Ok(()) };
            if self.journal()?.durable_seq() >= seq {
                return Ok(());
            }
            self.signals.wait_durable(interval);
        }
    }
}
