//! The threads of a store: one makes durable what was appended, one flushes and checkpoints, one seals, one
//! compacts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lane_index::Fsync;
use parking_lot::{Condvar, Mutex};

use super::Shared;
use crate::Error;

/// What the threads wait for.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    work: Mutex<Work>,
    changed: Condvar,
    durable: Condvar,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Work {
    /// Something was written that is not durable.
    written: bool,
    /// Something can be sealed.
    sealing: bool,
}

impl Signals {
    /// Something was written to the redo log.
    pub fn written(&self) {
        self.work.lock().written = true;
        self.changed.notify_all();
    }

    /// Something has become durable.
    pub fn durable(&self) {
        self.durable.notify_all();
    }

    /// Waits until something becomes durable, but not longer than `most`.
    pub fn wait_durable(&self, most: Duration) {
        let mut work = self.work.lock();
        self.durable.wait_for(&mut work, most.max(Duration::from_millis(1)));
    }

    /// There is something to seal.
    pub fn seal(&self) {
        self.work.lock().sealing = true;
        self.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // With the lock, so that nobody misses it between looking and waiting.
        drop(self.work.lock());
        self.changed.notify_all();
    }

    /// Sleeps until then, or until the store ends.
    fn sleep_until(&self, then: Instant) {
        let mut work = self.work.lock();
        while !self.is_stopped() && Instant::now() < then {
            self.changed.wait_until(&mut work, then);
        }
    }
}

/// The threads; they end when this is dropped.
pub(crate) struct Threads {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    pub fn start(shared: &Arc<Shared>) -> Result<Self, Error> {
        let mut threads = Self { shared: Arc::clone(shared), handles: Vec::new() };
        threads.spawn("log-commit", commit)?;
        threads.spawn("log-flush", maintain)?;
        threads.spawn("log-seal", seal)?;
        threads.spawn("log-compact", compact)?;
        Ok(threads)
    }

    fn spawn(&mut self, name: &str, run: fn(&Shared)) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let spawned = thread.spawn(move || run(&shared));
        let operation = "start the thread";
        let handle = spawned.map_err(|source| lane_index::Error::Io {
            operation,
            path: name.to_owned(),
            source,
        })?;
        self.handles.push(handle);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.signals.stop();
        for handle in self.handles.drain(..) {
            // A panic there was one of the store's own, and has been printed.
            drop(handle.join());
        }
    }
}

/// Makes durable what was written, as the options say; those that wait for it themselves share the sync.
fn commit(shared: &Shared) {
    let signals = &shared.signals;
    loop {
        let mut work = signals.work.lock();
        while !work.written && !signals.is_stopped() {
            signals.changed.wait(&mut work);
        }
        if signals.is_stopped() {
            return;
        }
        work.written = false;
        drop(work);
        let Ok(journal) = shared.journal() else { return };
        let result = match shared.options.fsync {
            Fsync::Always => journal.sync(),
            Fsync::Never => Ok(()),
            Fsync::Interval(interval) => {
                signals.sleep_until(Instant::now() + interval);
                journal.sync()
            }
        };
        match result {
            Ok(()) => shared.publish(),
            // The journal refuses everything from now on.
            Err(error) => return shared.fail(&error),
        }
    }
}

/// Flushes, and checkpoints where the redo log has grown.
fn maintain(shared: &Shared) {
    let signals = &shared.signals;
    loop {
        signals.sleep_until(Instant::now() + shared.options.flush_period);
        if signals.is_stopped() {
            return;
        }
        shared.expire_caches();
        // Complete segments are sealed when a checkpoint has them.
        let due = shared.redo_bytes.load(Ordering::Relaxed) > shared.options.checkpoint_above_bytes
            || shared.finished.load(Ordering::Relaxed) > 0;
        let result = if due { shared.checkpoint() } else { shared.flush() };
        if result.is_err() {
            // What was not written stays in memory and in the redo log; the next time comes.
            shared.counters.maintenance_errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Seals what there is to seal.
fn seal(shared: &Shared) {
    let signals = &shared.signals;
    while !signals.is_stopped() {
        let next = shared.seal_next();
        if next.is_some_and(|next| next <= Instant::now()) {
            continue;
        }
        let mut work = signals.work.lock();
        while !work.sealing && !signals.is_stopped() && next.is_none_or(|n| n > Instant::now()) {
            match next {
                Some(next) => drop(signals.changed.wait_until(&mut work, next)),
                None => signals.changed.wait(&mut work),
            }
        }
        work.sealing = false;
    }
}

/// Compacts what there is to compact.
fn compact(shared: &Shared) {
    let signals = &shared.signals;
    loop {
        signals.sleep_until(Instant::now() + shared.options.compaction_period);
        if signals.is_stopped() {
            return;
        }
        if shared.compact_all().is_err() {
            // The logs are as they were; the next time comes.
            shared.counters.maintenance_errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}
