//! A table's log keeps the rows that there are: its snapshot part and its complete segments become one
//! segment, as one transaction would have inserted them.
//!
//! Nobody reads such a log but from its beginning, so there is no reader that the new segment could surprise.
//! Until the checkpoint that names it is durable the old files are what counts, and from then on the new one:
//! a crash leaves one or the other, and the next opening removes what does not count.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::compact::{Compacted, Replacement, write_planned};
use crate::collapse::Plan;
use crate::log::{Log, Snapshot, State};
use crate::segment::{Extent, Segment, SegmentFile};
use crate::{Error, LogReader};

/// Less that is new is not worth three syncs.
const LEAST: u64 = 4 << 10;

impl State {
    /// Whether there is enough that is new beside the rows of the last time: what is written again is at most
    /// three times what came.
    fn is_worth_folding(&self) -> bool {
        let (old, new) = match self.finished.split_first() {
            Some((first, rest)) if first.compacted => (first.extent.json_bytes, rest),
            _ => (0, &self.finished[..]),
        };
        let old = match &self.snapshot {
            Snapshot::Ready(_, meta) => old + meta.0.json_bytes,
            Snapshot::Awaited => return false,
            Snapshot::None => old,
        };
        let new: u64 = new.iter().map(|segment| segment.extent.json_bytes).sum();
        !self.removed && new + self.flushed.json_bytes >= LEAST.max(old / 2)
    }
}

/// What is folded.
struct Foldable {
    snapshot: Option<(Arc<SegmentFile>, Extent)>,
    segments: Vec<Arc<Segment>>,
}

impl Shared {
    /// Compacts a table's log, under the lock of whoever compacts; `None` where that is not worth it.
    pub(super) fn compact_table(&self, log: &Arc<Log>) -> Result<Option<Compacted>, Error> {
        self.sync()?;
        self.flush()?;
        // Under the lock of whoever flushes, nothing of it is being written.
        let flushing = self.flushing.lock();
        let mut state = log.state.lock();
        if !state.is_worth_folding() {
            return Ok(None);
        }
        let cut = state.cut_file(self.watermark.load(Ordering::Acquire));
        drop(state);
        drop(flushing);
        self.finished.fetch_add(cut.into(), Ordering::Relaxed);
        // What is replaced is in a checkpoint.
        self.checkpoint()?;
        let Some(Foldable { snapshot, segments }) = foldable(&log.state.lock()) else {
            return Ok(None);
        };
        let (start, end) = match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => (first.start, last.end),
            _ => return Ok(None),
        };
        let read = || LogReader::of_table(Arc::clone(log), snapshot.clone(), &segments);
        let plan = Plan::read_rows(&mut read())?;
        let segment = write_planned(log, &plan, &mut read(), (start, end))?;
        let (count, summary) = (segments.len(), plan.summary());
        // Whoever is asked whether it is read must not find it in our hands.
        drop((snapshot, segments));
        let segment = Some(Arc::new(segment));
        let replaced =
            self.replace(log, Replacement { count, segment, with_snapshot: true }, end)?;
        Ok(replaced.then_some(Compacted { start, end, summary }))
    }
}

/// What the checkpoint has, where there is anything new among it.
fn foldable(state: &State) -> Option<Foldable> {
    let segments = state.finished.get(..state.checkpointed)?;
    if state.removed || segments.iter().all(|segment| segment.compacted) {
        return None;
    }
    let snapshot = match &state.snapshot {
        Snapshot::None => None,
        Snapshot::Ready(file, meta) if state.snapshot_is_kept => Some((Arc::clone(file), meta.0)),
        _ => return None,
    };
    Some(Foldable { snapshot, segments: segments.to_vec() })
}
