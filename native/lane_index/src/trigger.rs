//! When to flush and merge: after what changes the layers, after a while, and again after a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::Error;
use crate::background::run_after;
use crate::compaction::{self, Which};
use crate::journal::Fsync;
use crate::options::{Journaling, Maintenance};
use crate::state::Core;

/// The first retry after a failure; each further one waits twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Kind {
    Flush,
    Merge,
}

impl Kind {
    fn queued(self, core: &Core) -> &AtomicBool {
        match self {
            Self::Flush => &core.flush_queued,
            Self::Merge => &core.merge_queued,
        }
    }

    fn is_due(self, core: &Core) -> bool {
        let view = core.view.load();
        match self {
            Self::Flush => compaction::flush_is_due(&view),
            Self::Merge => compaction::due(core, &view).is_some(),
        }
    }

    fn run(self, core: &Core) -> Result<bool, Error> {
        match self {
            Self::Flush => compaction::flush(core),
            Self::Merge => compaction::merge_runs(core, Which::Due),
        }
    }
}

/// Sees to it that what is due happens in the background.
pub(crate) fn poke(core: &Arc<Core>) {
    if core.options.maintenance == Maintenance::Caller || core.closed.load(Ordering::Relaxed) {
        return;
    }
    for kind in [Kind::Flush, Kind::Merge] {
        if kind.is_due(core) && !kind.queued(core).swap(true, Ordering::AcqRel) {
            queue(kind, Arc::downgrade(core), Duration::ZERO);
        }
    }
}

fn queue(kind: Kind, core: Weak<Core>, delay: Duration) {
    run_after(delay, move || {
        let Some(core) = core.upgrade().filter(|core| !core.closed.load(Ordering::Relaxed)) else {
            return;
        };
        match guarded(&core, || kind.run(&core)) {
            Ok(_) => {
                kind.queued(&core).store(false, Ordering::Release);
                poke(&core);
            }
            // Stays queued: after a panic for good, else until the retry.
            Err(Error::Panicked { .. } | Error::Closed) => {}
            Err(_) => {
                let failures =
                    core.trouble.lock().as_ref().map_or(1, |trouble| trouble.failures_in_a_row);
                queue(kind, Arc::downgrade(&core), retry_after(failures));
            }
        }
    });
}

fn retry_after(failures: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_RETRY)
}

/// Runs a flush or a merge. What fails is reported and has changed nothing; a panic becomes an error.
pub(crate) fn guarded<T>(core: &Core, run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // What is shared is changed at the very end, under locks that a panic gives back.
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a text".to_owned());
        Err(Error::Panicked { what })
    });
    match &result {
        Ok(_) => {
            if let Some(trouble) = core.trouble.lock().as_mut() {
                trouble.failures_in_a_row = 0;
            }
        }
        Err(Error::Closed) => {}
        Err(error) => {
            core.counters.failures.fetch_add(1, Ordering::Relaxed);
            let mut guard = core.trouble.lock();
            let trouble = guard.get_or_insert_default();
            trouble.last_error = Some(error.to_string());
            trouble.panicked |= matches!(error, Error::Panicked { .. });
            trouble.failures_in_a_row += 1;
        }
    }
    if let Err(Error::Damaged { path, .. }) = &result {
        // What cannot be merged is not to be trusted: better no complete answer than a wrong one.
        core.quarantine(path)?;
    }
    result
}

/// Sees to it that what waits only for its age is looked at.
pub(crate) fn start_clock(core: &Arc<Core>) {
    if core.options.maintenance == Maintenance::Background
        && !core.tick_queued.load(Ordering::Relaxed)
        && !core.tick_queued.swap(true, Ordering::AcqRel)
    {
        queue_tick(Arc::downgrade(core), tick_length(core));
    }
}

fn tick_length(core: &Core) -> Duration {
    let by_age =
        (core.options.max_age / 4).clamp(Duration::from_millis(20), Duration::from_secs(30));
    match core.options.journal {
        Journaling::Own(Fsync::Interval(interval)) if core.disk.is_some() => {
            by_age.min(interval.max(Duration::from_millis(1)))
        }
        _ => by_age,
    }
}

fn queue_tick(core: Weak<Core>, delay: Duration) {
    run_after(delay, move || {
        let Some(core) = core.upgrade().filter(|core| !core.closed.load(Ordering::Relaxed)) else {
            return;
        };
        let synced = match core.journal() {
            // The journal refuses from then on, and says so to the next writer.
            Some(journal) => journal.tick().is_err() || journal.durable_seq() == journal.last_seq(),
            None => true,
        };
        core.freeze_active(core.options.max_age);
        poke(&core);
        // First given up, then looked whether that was right: a write in between starts it again.
        core.tick_queued.store(false, Ordering::SeqCst);
        let goes_on = !synced || !is_idle(&core);
        if goes_on && !core.tick_queued.swap(true, Ordering::SeqCst) {
            let length = tick_length(&core);
            queue_tick(Arc::downgrade(&core), length);
        }
    });
}

/// Nothing here gets due by waiting.
fn is_idle(core: &Core) -> bool {
    let view = core.view.load();
    view.active.len() == 0 && view.frozen.is_empty() && view.runs.iter().all(|run| run.removes == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, LaneIndex, Options};

    #[test]
    fn an_empty_index_takes_less_than_a_kilobyte_and_no_thread() {
        // The counts in front of what an `Arc` holds are two words each.
        let arcs = 3 * 2 * size_of::<usize>();
        let view = size_of::<crate::view::View>() + size_of::<crate::overlay::Overlay>();
        let index = size_of::<Core>() + view + arcs;
        assert!(index < 800, "{index} bytes");
    }

    #[test]
    fn retries_wait_longer_and_longer() {
        assert_eq!(retry_after(1), FIRST_RETRY);
        assert_eq!(retry_after(4), FIRST_RETRY * 8);
        assert_eq!(retry_after(u32::MAX), LONGEST_RETRY);
    }

    #[test]
    fn a_panic_of_a_merge_is_an_error_and_the_index_goes_on() {
        let index = LaneIndex::in_memory(Options::default()).expect("opened");
        index.insert(1, 7).expect("written");
        let core = index.core_of_tests();
        let result: Result<(), Error> = guarded(core, || panic!("a merge of a test panics"));
        assert!(matches!(result, Err(Error::Panicked { what }) if what.contains("of a test")));
        let stats = index.stats();
        assert!(stats.stopped && stats.failed_compactions == 1, "{stats:?}");
        let mut ids = vec![];
        assert_eq!(index.get(1, &mut ids), Answer::Complete);
        assert_eq!(ids, [7]);
        index.compact().expect("asked for, it is tried again");
    }
}
