//! What indexes leave to be done later, done where no reader waits for it.
//!
//! Each step takes the state's lock for a fraction of a millisecond; what takes long (merging, finding
//! what is to be purged) is done without it, on a thread of its own.

use crate::index::Multimap;
use crate::reaper;
use crate::state::State;
use lane_index::{LaneIndex, ReadMostly};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// So many entries are purged under one lock.
const STEP: usize = 1024;
/// Writes are gathered for so long before lane indexes are merged for them;
const GATHER: Duration = Duration::from_millis(100);
/// and merging rests for so many times as long as it took.
const REST: u32 = 4;

/// Sees to what is due.
pub(crate) fn run(state: &Arc<ReadMostly<State>>) {
    if state.read().is_unsettled() {
        settle_soon(state);
    }
}

/// Purges the membership of slots that are dead, so that they can be used again.
pub(crate) fn purge(state: &ReadMostly<State>) {
    let purging = state.read().purging.clone();
    let _one_at_a_time = purging.lock();
    let (number, dead, mut purge) = {
        let mut state = state.write();
        let (number, dead) = state.shapes.begin_purge();
        (number, dead, state.base.purge())
    };
    if purge.find(dead).is_err() {
        // Those slots are not used again, until a purge succeeds.
        return;
    }
    while !state.write().base.purge_step(&mut purge, STEP) {}
    state.write().shapes.end_purge(number);
}

/// As [`purge`], on a thread of its own where it takes long.
pub(crate) fn purge_soon(state: &Arc<ReadMostly<State>>) {
    if state.read().base.is_empty() {
        return purge(state);
    }
    let shared = Arc::downgrade(state);
    later(Box::new(move || {
        if let Some(state) = shared.upgrade() {
            purge(&state);
            reaper::dispose(state);
        }
    }));
}

/// Forgets the values of sets that are gone, on a thread of its own.
pub(crate) fn forget_values(state: &Arc<ReadMostly<State>>) {
    let shared = Arc::downgrade(state);
    later(Box::new(move || {
        if let Some(state) = shared.upgrade() {
            while !state.write().sets.contents.purge_step() {}
            reaper::dispose(state);
        }
    }));
}

/// Merges each lane index into one segment: a look-up then has one to read.
pub(crate) fn compact(state: &ReadMostly<State>) {
    let lanes: Vec<_> = state.read().multimaps().filter_map(Multimap::lanes).collect();
    merge(lanes);
}

fn merge(lanes: Vec<Arc<LaneIndex>>) {
    for index in lanes {
        // A merge that fails has changed nothing; the index reports it and tries again by itself.
        let _failed = index.compact().is_err();
    }
}

/// Sees to it that the lane indexes that need it are merged, on the builder's thread.
fn settle_soon(state: &Arc<ReadMostly<State>>) {
    let delay = {
        let pace = &mut state.write().pace;
        if std::mem::replace(&mut pace.queued, true) {
            return;
        }
        let wait = pace.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        wait.unwrap_or_default().max(GATHER)
    };
    let shared = Arc::downgrade(state);
    lane_index::run_after(delay, move || {
        later(Box::new(move || {
            if let Some(state) = shared.upgrade() {
                settle(&state);
                reaper::dispose(state);
            }
        }));
    });
}

fn settle(state: &Arc<ReadMostly<State>>) {
    let lanes = state.write().settle();
    let start = Instant::now();
    merge(lanes);
    let again = {
        let mut state = state.write();
        state.pace.queued = false;
        state.pace.not_before = Some(Instant::now() + start.elapsed() * REST);
        state.is_unsettled()
    };
    if again {
        settle_soon(state);
    }
}

type Task = Box<dyn FnOnce() + Send>;

/// Runs a task on the builder's thread. If there is none, here and now.
fn later(task: Task) {
    static BUILDER: OnceLock<Option<Sender<Task>>> = OnceLock::new();
    let builder = BUILDER.get_or_init(|| {
        let (sender, receiver) = channel::<Task>();
        let thread = std::thread::Builder::new().name("shape-builder".into());
        let spawned = thread.spawn(move || receiver.into_iter().for_each(|task| task()));
        spawned.ok().map(|_| sender)
    });
    match builder {
        Some(sender) => {
            if let Err(unsent) = sender.send(task) {
                unsent.0();
            }
        }
        None => task(),
    }
}
