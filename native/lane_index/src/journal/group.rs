//! Group commit: who waits for a sync shares it with everybody who wrote before it began.
//!
//! One thread at a time syncs, without the lock, so that others go on writing; what they write
//! meanwhile waits for the next sync, which one of them does for all. A failure is final.

use super::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use crate::Error;

/// What can be synced, without holding up whoever writes.
pub(super) trait Writer {
    /// A handle of the file that is being written.
    type Sync;
    /// The handle to sync what was written so far.
    fn syncer(&self) -> Self::Sync;
    /// Syncs.
    fn sync(syncer: Self::Sync) -> Result<(), Error>;
}

pub(super) struct GroupCommit<W> {
    state: Mutex<State<W>>,
    changed: Condvar,
}

pub(super) struct State<W> {
    pub(super) writer: W,
    /// The last sequence number written.
    pub(super) written: u64,
    /// The last one known to be durable.
    pub(super) synced: u64,
    syncing: bool,
    failed: Option<String>,
}

impl<W> State<W> {
    /// Refuses everything from now on.
    pub(super) fn fail(&mut self, error: &Error) {
        self.failed.get_or_insert_with(|| error.to_string());
    }

    /// Whether work is accepted.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(Error::Failed { cause: cause.clone() }),
        }
    }
}

impl<W: Writer> GroupCommit<W> {
    /// Everything up to `seq` is durable.
    pub(super) fn new(writer: W, seq: u64) -> Self {
        let state = State { writer, written: seq, synced: seq, syncing: false, failed: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The state; others may be in the middle of a sync.
    pub(super) fn lock(&self) -> MutexGuard<'_, State<W>> {
        // Nothing in here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state while nobody syncs.
    pub(super) fn lock_quiet(&self) -> MutexGuard<'_, State<W>> {
        let mut state = self.lock();
        while state.syncing {
            state = self.wait(state);
        }
        state
    }

    /// Tells those who wait that something is durable, or has failed.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Returns when `seq` is durable.
    pub(super) fn make_durable(&self, seq: u64) -> Result<(), Error> {
        let mut state = self.lock();
        loop {
            if state.synced >= seq {
                return Ok(());
            }
            state.check()?;
            if state.syncing {
                state = self.wait(state);
                continue;
            }
            state.syncing = true;
            let written = state.written;
            let syncer = state.writer.syncer();
            drop(state);
            let result = W::sync(syncer);
            state = self.lock();
            state.syncing = false;
            match &result {
                Ok(()) => state.synced = state.synced.max(written),
                Err(error) => state.fail(error),
            }
            self.notify();
            result?;
        }
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<W>>) -> MutexGuard<'a, State<W>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}
