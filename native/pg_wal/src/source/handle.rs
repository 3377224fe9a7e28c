//! The consumer's side: starting, granting, confirming, stopping.

use super::event::{Event, State, Status};
use super::options::Options;
use super::worker;
use crate::{Assembler, Error, Lsn};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ThreadId;
use std::time::Duration;
use tokio::sync::{Notify, watch};

const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The replication connection; see the [module's page](super).
#[derive(Debug)]
pub struct Source;

impl Source {
    /// Starts a source on a thread of its own, which calls `sink` with every [`Event`].
    ///
    /// It does not wait for the connection: that it could not be made is an event too.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], or [`Error::Thread`].
    pub fn start(
        options: Options,
        sink: impl FnMut(Event) + Send + 'static,
    ) -> Result<Handle, Error> {
        options.check()?;
        let assembler =
            Assembler::new(options.protocol_version(), options.streaming, options.limits.clone())?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("pg_wal".into())
            .spawn(move || worker::run(options, assembler, sink, of_thread))
            .map_err(|source| Error::Thread { source })?;
        Ok(Handle { shared, thread: thread.thread().id() })
    }
}

/// A running source. May be used from any thread; dropping it asks the source to stop, without
/// waiting.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    thread: ThreadId,
}

impl Handle {
    /// Everything up to `lsn`, the end of a delivered transaction, is handled and need not come
    /// again. A position beyond what was delivered counts as what was delivered.
    pub fn confirm(&self, lsn: Lsn) {
        let delivered = self.shared.delivered.load(Ordering::Acquire);
        let confirmed = lsn.0.min(delivered);
        if self.shared.confirmed.fetch_max(confirmed, Ordering::AcqRel) < confirmed {
            self.shared.wake.notify_one();
        }
    }

    /// The consumer is ready to take `fragments` more.
    pub fn grant(&self, fragments: u64) {
        let add = |credits: u64| Some(credits.saturating_add(fragments));
        // The closure never returns None.
        let _ = self.shared.credits.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
        self.shared.wake.notify_one();
    }

    /// Lets the exported snapshot go, and streaming begin. Does nothing when there is none.
    pub fn release_snapshot(&self) {
        self.shared.snapshot_released.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// Ends the source, and waits until its thread has ended: normally well under a second.
    ///
    /// Called from within the sink it only asks, since the thread cannot wait for itself.
    ///
    /// # Errors
    /// [`Error::StopTimeout`] after 10 s, when the sink does not return.
    pub fn stop(&self) -> Result<(), Error> {
        self.shared.stop.send_replace(true);
        if std::thread::current().id() == self.thread {
            return Ok(());
        }
        let mut ended = self.shared.ended.lock();
        let deadline = std::time::Instant::now() + STOP_TIMEOUT;
        while !*ended {
            if self.shared.end.wait_until(&mut ended, deadline).timed_out() && !*ended {
                return Err(Error::StopTimeout { seconds: STOP_TIMEOUT.as_secs() });
            }
        }
        Ok(())
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        let doing = self.shared.doing.lock();
        Status {
            state: doing.state,
            confirmed: Lsn(self.shared.confirmed.load(Ordering::Acquire)),
            received: Lsn(self.shared.received.load(Ordering::Acquire)),
            delivered: Lsn(self.shared.delivered.load(Ordering::Acquire)),
            credits: self.shared.credits.load(Ordering::Acquire),
            last_error: doing.last_error.clone(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.send_replace(true);
    }
}

/// What the handle and the thread share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The end of the last transaction up to which all is confirmed. Only rises.
    pub(super) confirmed: AtomicU64,
    /// The end of the last transaction delivered. Only rises.
    pub(super) delivered: AtomicU64,
    /// The end of the WAL received. Only rises.
    pub(super) received: AtomicU64,
    pub(super) credits: AtomicU64,
    pub(super) snapshot_released: AtomicBool,
    /// Wakes the thread after a confirmation, a grant or a release.
    pub(super) wake: Notify,
    stop: watch::Sender<bool>,
    doing: Mutex<Doing>,
    ended: Mutex<bool>,
    end: Condvar,
}

#[derive(Debug)]
struct Doing {
    state: State,
    last_error: Option<String>,
}

impl Default for Shared {
    fn default() -> Shared {
        Shared {
            confirmed: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            received: AtomicU64::new(0),
            credits: AtomicU64::new(0),
            snapshot_released: AtomicBool::new(false),
            wake: Notify::new(),
            stop: watch::Sender::new(false),
            doing: Mutex::new(Doing { state: State::Connecting, last_error: None }),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }
}

impl Shared {
    pub(super) fn set_state(&self, state: State) {
        self.doing.lock().state = state;
    }

    pub(super) fn set_error(&self, error: &Error) {
        self.doing.lock().last_error = Some(error.to_string());
    }

    pub(super) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Completes when a stop is asked for.
    pub(super) async fn stopped(&self) {
        // The sender lives in `self`, so the only way out is the value.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Takes a credit if there is one.
    pub(super) fn take_credit(&self) -> bool {
        self.credits
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |credits| credits.checked_sub(1))
            .is_ok()
    }

    pub(super) fn confirmed(&self) -> Lsn {
        Lsn(self.confirmed.load(Ordering::Acquire))
    }

    /// Whether all that was delivered is confirmed.
    pub(super) fn all_confirmed(&self) -> bool {
        self.confirmed.load(Ordering::Acquire) >= self.delivered.load(Ordering::Acquire)
    }

    pub(super) fn set_ended(&self) {
        self.set_state(State::Stopped);
        *self.ended.lock() = true;
        self.end.notify_all();
    }
}
