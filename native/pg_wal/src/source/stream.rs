//! The loop of a session that streams.

use super::event::Event;
use super::handle::Shared;
use super::options::Options;
use super::setup;
use crate::connection::{Connection, Frame, unexpected};
use crate::{Assembler, Error, Lsn};
use bytes::Bytes;
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

const STREAMING: &str = "streaming";

/// The pause between two status updates that confirmations cause.
const CONFIRM_PAUSE: Duration = Duration::from_millis(50);

/// How long a stop waits for the server to let the slot go.
const FAREWELL: Duration = Duration::from_millis(700);

/// 2000-01-01 00:00 UTC, seconds after the Unix epoch.
const PG_EPOCH_SECONDS: u64 = 946_684_800;

/// Sends START_REPLICATION, and waits until the server has accepted it.
pub(super) async fn begin(
    options: &Options,
    connection: &mut Connection,
    from: Lsn,
) -> Result<(), Error> {
    let doing = "starting replication";
    connection.send_query(&setup::start_replication(options, from), doing).await?;
    loop {
        let frame = connection.frame(doing).await?;
        match frame.tag {
            b'W' => return Ok(()),
            b'N' | b'S' => {}
            tag => {
                frame.parse(doing)?;
                return Err(unexpected(doing, tag));
            }
        }
    }
}

/// A session between START_REPLICATION and its end.
pub(super) struct Stream<'a> {
    options: &'a Options,
    shared: &'a Shared,
    connection: Connection,
    assembler: &'a mut Assembler,
    status_interval: Duration,
    /// The WAL's end as of the last keepalive, if nothing came after it.
    passed_over: Option<Lsn>,
    reported: Lsn,
    last_status: Instant,
    last_received: Instant,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        options: &'a Options,
        shared: &'a Shared,
        connection: Connection,
        assembler: &'a mut Assembler,
        sender_timeout: Option<Duration>,
    ) -> Stream<'a> {
        assembler.reset();
        let now = Instant::now();
        // Often enough for both sides' patience: without credit we do not read, and so do not see
        // when the server asks for a sign of life.
        let status_interval = sender_timeout
            .map_or(Duration::MAX, |timeout| timeout / 4)
            .min(options.timeout / 2)
            .min(options.status_interval);
        Stream {
            options,
            shared,
            connection,
            assembler,
            status_interval,
            passed_over: None,
            reported: shared.confirmed(),
            last_status: now,
            last_received: now,
        }
    }

    /// Streams until a stop is asked for (`Ok`) or something fails.
    pub(super) async fn run(
        mut self,
        deliver: &mut impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.send_status(false).await?;
        while !self.shared.stopping() {
            let mut reply = false;
            while !self.assembler.has_ready()
                && let Some(frame) = self.connection.next_frame()?
            {
                self.last_received = Instant::now();
                reply |= self.take(frame)?;
            }
            let delivered = self.deliver(deliver)?;
            self.advance();
            if reply || Instant::now() >= self.status_due() {
                self.send_status(self.is_silent()?).await?;
            }
            if delivered {
                // There may be more whole messages in the buffer.
                continue;
            }
            let blocked = self.assembler.has_ready();
            if blocked {
                // The silence is ours.
                self.last_received = Instant::now();
            }
            let status_due = self.status_due();
            tokio::select! {
                biased;
                () = self.shared.stopped() => {}
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep_until(status_due) => {}
                read = self.connection.read_some(STREAMING), if !blocked => read?,
            }
        }
        self.farewell().await;
        Ok(())
    }

    /// Delivers what is ready, as far as the credits go.
    fn deliver(
        &mut self,
        deliver: &mut impl FnMut(Event) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut any = false;
        while self.assembler.has_ready() && !self.shared.stopping() && self.shared.take_credit() {
            let Some(fragment) = self.assembler.pop() else { break };
            if let Some(end) = fragment.end_lsn {
                // Before the sink has it: it may confirm at once.
                self.shared.delivered.fetch_max(end.0, Ordering::AcqRel);
            }
            deliver(Event::Fragment(fragment))?;
            any = true;
        }
        Ok(any)
    }

    /// Takes a message in; true when the server wants an answer.
    fn take(&mut self, frame: Frame) -> Result<bool, Error> {
        match frame.tag {
            b'd' => self.take_data(frame.into_body()),
            // The server ends the stream when it shuts down.
            b'c' | b'C' => Err(Error::Io {
                doing: STREAMING,
                source: io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended the stream"),
            }),
            b'N' | b'S' => Ok(false),
            tag => {
                frame.parse(STREAMING)?;
                Err(unexpected(STREAMING, tag))
            }
        }
    }

    fn take_data(&mut self, mut body: Bytes) -> Result<bool, Error> {
        let broken = |found: &str| Error::Protocol { doing: STREAMING, found: found.into() };
        match body.first() {
            // Start, end, time; then the message.
            Some(b'w') => {
                let end = body.get(9..17).and_then(|bytes| bytes.first_chunk::<8>());
                let end = end.ok_or_else(|| broken("a cut XLogData message"))?;
                self.shared.received.fetch_max(u64::from_be_bytes(*end), Ordering::AcqRel);
                if body.len() < 25 {
                    return Err(broken("a cut XLogData message"));
                }
                self.passed_over = None;
                self.assembler.push(body.split_off(25))?;
                Ok(false)
            }
            // End, time, whether to reply.
            Some(b'k') => {
                let end = body.get(1..9).and_then(|bytes| bytes.first_chunk::<8>());
                let (Some(end), Some(reply)) = (end, body.get(17)) else {
                    return Err(broken("a cut keepalive message"));
                };
                let end = u64::from_be_bytes(*end);
                self.shared.received.fetch_max(end, Ordering::AcqRel);
                if self.assembler.is_idle() {
                    self.passed_over = Some(Lsn(end));
                }
                Ok(*reply != 0)
            }
            _ => Err(broken("an unknown message inside the stream")),
        }
    }

    /// Moves the confirmed position over WAL that is not for us, when nothing is outstanding.
    fn advance(&mut self) {
        if let Some(end) = self.passed_over
            && self.assembler.is_idle()
            && self.shared.all_confirmed()
        {
            self.shared.confirmed.fetch_max(end.0, Ordering::AcqRel);
        }
    }

    fn status_due(&self) -> Instant {
        let mut pause = self.status_interval;
        if self.shared.confirmed() > self.reported {
            pause = pause.min(CONFIRM_PAUSE);
        }
        self.last_status + pause
    }

    /// Whether the server should be asked for a sign of life; an error when it had its time.
    fn is_silent(&self) -> Result<bool, Error> {
        let silence = self.last_received.elapsed();
        if silence > self.options.timeout {
            let seconds = self.options.timeout.as_secs();
            return Err(Error::Timeout { doing: STREAMING, seconds });
        }
        Ok(silence > self.options.timeout / 3)
    }

    async fn send_status(&mut self, reply: bool) -> Result<(), Error> {
        let confirmed = self.shared.confirmed();
        let received = self.shared.received.load(Ordering::Acquire).max(confirmed.0);
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = since_epoch.saturating_sub(Duration::from_secs(PG_EPOCH_SECONDS)).as_micros();

        let mut message = Vec::with_capacity(39);
        message.push(b'd');
        message.extend_from_slice(&38_u32.to_be_bytes());
        message.push(b'r');
        message.extend_from_slice(&received.to_be_bytes());
        message.extend_from_slice(&confirmed.0.to_be_bytes()); // flushed
        message.extend_from_slice(&confirmed.0.to_be_bytes()); // applied
        message.extend_from_slice(&u64::try_from(now).unwrap_or_default().to_be_bytes());
        message.push(u8::from(reply));
        self.connection.send(&message, STREAMING).await?;
        self.reported = confirmed;
        self.last_status = Instant::now();
        Ok(())
    }

    /// Tells the server what was confirmed and that this is all, and waits, not for long, until it
    /// has let the slot go.
    async fn farewell(mut self) {
        let parting = async {
            self.advance();
            self.send_status(false).await?;
            self.connection.send(b"c\0\0\0\x04", STREAMING).await?;
            loop {
                while let Some(frame) = self.connection.next_frame()? {
                    if frame.tag == b'Z' {
                        return Ok::<(), Error>(());
                    }
                }
                self.connection.read_some(STREAMING).await?;
            }
        };
        // Whether it worked or not: the connection ends now.
        let _ = tokio::time::timeout(FAREWELL, parting).await;
        let terminate = self.connection.send(b"X\0\0\0\x04", STREAMING);
        let _ = tokio::time::timeout(FAREWELL / 7, terminate).await;
    }
}
