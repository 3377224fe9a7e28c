//! The source's thread: sessions one after the other.

use super::event::{Event, State};
use super::handle::Shared;
use super::options::Options;
use super::setup::{self, Earlier};
use super::stream::{self, Stream};
use crate::connection::{Connection, Purpose, connect};
use crate::{Assembler, Error, Lsn};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The thread's whole life.
pub(super) fn run(
    options: Options,
    assembler: Assembler,
    sink: impl FnMut(Event) + Send + 'static,
    shared: Arc<Shared>,
) {
    // Dropped last, when the sink has gone too.
    let ended = Ended(shared);
    let shared = &*ended.0;
    let mut sink = sink;
    let mut deliver = |event| {
        catch_unwind(AssertUnwindSafe(|| sink(event)))
            .map_err(|panic| Error::SinkPanicked { message: panic_message(&*panic) })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let mut worker = Worker { options: &options, shared, assembler, system_id: None };
            let outcome = runtime.block_on(worker.work(&mut deliver));
            // A name look-up that hangs must not keep us.
            runtime.shutdown_background();
            outcome
        }
        Err(source) => Err(Error::Thread { source }),
    };
    if let Err(error) = &outcome {
        shared.set_error(error);
    }
    shared.set_state(State::Stopped);
    if !matches!(outcome, Err(Error::SinkPanicked { .. })) {
        // A panic in the sink's last call changes nothing any more.
        let _ = deliver(Event::Stopped(outcome.err()));
    }
}

/// Says that the thread has ended, however it did.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.set_ended();
    }
}

struct Worker<'a> {
    options: &'a Options,
    shared: &'a Shared,
    assembler: Assembler,
    /// The cluster's, once [`Event::Started`] has been delivered.
    system_id: Option<String>,
}

impl Worker<'_> {
    async fn work(
        &mut self,
        deliver: &mut impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(self.options.backoff_min, self.options.backoff_max);
        loop {
            let began = Instant::now();
            let error = match self.session(deliver).await {
                Ok(()) => return Ok(()),
                Err(error @ Error::SinkPanicked { .. }) => return Err(error),
                Err(_) if self.shared.stopping() => return Ok(()),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => error,
            };
            let retry_in = backoff.next(began.elapsed());
            self.shared.set_error(&error);
            self.shared.set_state(State::BackingOff);
            deliver(Event::Disconnected { error, retry_in })?;
            tokio::select! {
                () = self.shared.stopped() => return Ok(()),
                () = tokio::time::sleep(retry_in) => {}
            }
        }
    }

    /// One connection, from connecting to its end: `Ok` when a stop was asked for.
    async fn session(
        &mut self,
        deliver: &mut impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let shared = self.shared;
        shared.set_state(State::Connecting);
        let (connection, sender_timeout) = tokio::select! {
            biased;
            () = shared.stopped() => return Ok(()),
            connection = self.begin(deliver) => connection?,
        };
        shared.set_state(State::Streaming);
        // The stream looks after stops itself, since it takes its leave from the server.
        Stream::new(self.options, shared, connection, &mut self.assembler, sender_timeout)
            .run(deliver)
            .await
    }

    /// Connects, makes ready and starts the replication. Dropped half-way when a stop comes.
    /// Returns the server's `wal_sender_timeout` too.
    async fn begin(
        &mut self,
        deliver: &mut impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<(Connection, Option<Duration>), Error> {
        let (options, shared) = (self.options, self.shared);
        let mut connection = connect(options, Purpose::Replication).await?;
        let confirmed = shared.confirmed();
        let earlier = self.system_id.as_deref().map(|system_id| Earlier { system_id, confirmed });
        let first = earlier.is_none();
        let ready = setup::prepare(options, &mut connection, earlier).await?;
        let start_lsn = ready.slot_lsn.max(confirmed).max(options.start_lsn.unwrap_or(Lsn::ZERO));
        shared.confirmed.fetch_max(start_lsn.0, Ordering::AcqRel);

        let hold = ready.snapshot.is_some();
        let system_id = ready.system_id.clone();
        let event = if first {
            Event::Started {
                slot_created: ready.slot_created,
                start_lsn,
                system_id: ready.system_id,
                snapshot: ready.snapshot,
            }
        } else {
            Event::Reconnected { start_lsn }
        };
        if hold {
            self.system_id = Some(system_id);
            deliver(event)?;
            self.hold_snapshot(&mut connection).await?;
            stream::begin(options, &mut connection, start_lsn).await?;
        } else {
            stream::begin(options, &mut connection, start_lsn).await?;
            self.system_id = Some(system_id);
            // Before the event: who asks for the status on hearing it must find it true.
            shared.set_state(State::Streaming);
            deliver(event)?;
        }
        Ok((connection, ready.sender_timeout))
    }

    /// The exported snapshot lives until the next command on its connection.
    async fn hold_snapshot(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let shared = self.shared;
        shared.set_state(State::HoldingSnapshot);
        while !shared.snapshot_released.load(Ordering::Acquire) {
            tokio::select! {
                () = shared.wake.notified() => {}
                // Nothing is expected but the connection's end.
                read = connection.read_some("holding the snapshot") => read?,
            }
        }
        Ok(())
    }
}

/// Pauses that double, with jitter so that many sources do not come back at once.
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Backoff {
        Backoff { min, max, next: min }
    }

    /// The pause after a session that lasted `lasted`. One that outlasted the pause was a success,
    /// so that the pauses start over.
    fn next(&mut self, lasted: Duration) -> Duration {
        if lasted > self.next {
            self.next = self.min;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "(not a text)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_start_over_after_a_success() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(min, max);
        let mut full = min;
        for _ in 0..10 {
            let pause = backoff.next(Duration::ZERO);
            assert!(pause >= full / 2 && pause <= full, "{pause:?} of {full:?}");
            full = (full * 2).min(max);
        }
        assert!(backoff.next(Duration::from_secs(5)) <= min);
    }
}
