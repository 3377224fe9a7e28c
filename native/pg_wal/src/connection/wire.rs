//! Frames: the outer form of every message, and simple queries.

use crate::Error;
use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{backend, frontend};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A TCP, TLS or unix stream.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// How long a write may take. What we send is small and the server always reads, so a write that
/// blocks means a dead connection.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Read at once. Fragments share these buffers.
const READ_CHUNK: usize = 64 * 1024;

/// PostgreSQL's own limit for a message.
const MAX_MESSAGE: usize = 1 << 30;

/// A connection after the startup message.
pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    received: BytesMut,
    timeout: Duration,
}

/// The outer form of a message: its tag and what follows its length.
pub(crate) struct Frame {
    pub(crate) tag: u8,
    whole: BytesMut,
}

impl Frame {
    /// What follows the header.
    pub(crate) fn into_body(self) -> Bytes {
        let mut whole = self.whole.freeze();
        whole.split_off(5)
    }

    /// The message, for all tags that `postgres-protocol` knows.
    pub(crate) fn parse(mut self, doing: &'static str) -> Result<backend::Message, Error> {
        let tag = self.tag;
        match backend::Message::parse(&mut self.whole) {
            Ok(Some(backend::Message::ErrorResponse(body))) => Err(server_error(doing, &body)),
            Ok(Some(message)) => Ok(message),
            Ok(None) | Err(_) => Err(unexpected(doing, tag)),
        }
    }
}

/// A row of a simple query, in text form.
pub(crate) type Row = Vec<Option<String>>;

impl Connection {
    pub(crate) fn new(socket: Box<dyn Socket>, timeout: Duration) -> Connection {
        Connection { socket, received: BytesMut::new(), timeout }
    }

    /// The next message that has come in whole, if one has.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        split_frame(&mut self.received)
    }

    /// Reads once. May be dropped while it waits without losing anything.
    pub(crate) async fn read_some(&mut self, doing: &'static str) -> Result<(), Error> {
        fill(&mut self.socket, &mut self.received, doing).await
    }

    /// The next message, within the time allowed.
    pub(crate) async fn frame(&mut self, doing: &'static str) -> Result<Frame, Error> {
        frame(&mut self.socket, &mut self.received, self.timeout, doing).await
    }

    /// Sends messages that end with a Sync, and hears what comes up to the server being ready. Both at
    /// once: a server that cannot get rid of its answers takes no more questions. After a server's
    /// error the connection can be used further.
    pub(crate) async fn exchange(
        &mut self,
        bytes: &[u8],
        doing: &'static str,
        mut hear: impl FnMut(backend::Message) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Connection { socket, received, timeout } = self;
        let (mut reader, mut writer) = tokio::io::split(socket);
        let write = async {
            let written = async {
                writer.write_all(bytes).await?;
                writer.flush().await
            };
            written.await.map_err(|source| Error::Io { doing, source })
        };
        let read = async {
            let mut failed = None;
            loop {
                match frame(&mut reader, received, *timeout, doing).await?.parse(doing) {
                    Ok(backend::Message::ReadyForQuery(_)) => return failed.map_or(Ok(()), Err),
                    Ok(message) if failed.is_none() => hear(message)?,
                    Ok(_) => {}
                    Err(error @ Error::Server { .. }) if !is_fatal(&error) => failed = Some(error),
                    Err(error) => return Err(error),
                }
            }
        };
        tokio::try_join!(write, read).map(|_| ())
    }

    /// Sends bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8], doing: &'static str) -> Result<(), Error> {
        let write = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        tokio::time::timeout(WRITE_TIMEOUT, write)
            .await
            .map_err(|_| Error::Timeout { doing, seconds: WRITE_TIMEOUT.as_secs() })?
            .map_err(|source| Error::Io { doing, source })
    }

    /// Sends a simple query or replication command.
    pub(crate) async fn send_query(&mut self, sql: &str, doing: &'static str) -> Result<(), Error> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message).map_err(|source| Error::Io { doing, source })?;
        self.send(&message, doing).await
    }

    /// Runs a simple query or replication command, and returns its rows. After a server's error
    /// the connection can be used further.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        doing: &'static str,
    ) -> Result<Vec<Row>, Error> {
        self.send_query(sql, doing).await?;
        let mut rows = Vec::new();
        let mut failed = None;
        loop {
            match self.frame(doing).await?.parse(doing) {
                Ok(backend::Message::DataRow(row)) => rows.push(text_row(&row, doing)?),
                Ok(backend::Message::ReadyForQuery(_)) => break,
                // Descriptions, completions, notices, parameter changes.
                Ok(_) => {}
                // A fatal error is not followed by ReadyForQuery, but by the end.
                Err(error @ Error::Server { .. }) if !is_fatal(&error) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(rows), Err)
    }

    /// As [`Connection::query`], for a command that may wait for other transactions.
    pub(crate) async fn patient_query(
        &mut self,
        sql: &str,
        doing: &'static str,
    ) -> Result<Vec<Row>, Error> {
        let timeout = std::mem::replace(&mut self.timeout, Duration::from_secs(7 * 24 * 3600));
        let rows = self.query(sql, doing).await;
        self.timeout = timeout;
        rows
    }
}

/// The message at the beginning of what has come, if it is whole.
fn split_frame(received: &mut BytesMut) -> Result<Option<Frame>, Error> {
    let Some(header) = received.first_chunk::<5>() else { return Ok(None) };
    let [tag, len @ ..] = *header;
    // The length counts itself, but not the tag.
    let len = u32::from_be_bytes(len) as usize;
    if !(4..=MAX_MESSAGE).contains(&len) {
        return Err(Error::Protocol {
            doing: "reading a message",
            found: format!("a message `{}` of length {len}", tag.escape_ascii()),
        });
    }
    if received.len() <= len {
        return Ok(None);
    }
    Ok(Some(Frame { tag, whole: received.split_to(len + 1) }))
}

async fn fill(
    socket: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
    doing: &'static str,
) -> Result<(), Error> {
    // Grows with what has come, not with what a length promises.
    received.reserve(READ_CHUNK);
    let read = socket.read_buf(received).await;
    match read.map_err(|source| Error::Io { doing, source })? {
        0 => Err(Error::Io { doing, source: io::ErrorKind::UnexpectedEof.into() }),
        _ => Ok(()),
    }
}

async fn frame(
    socket: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
    timeout: Duration,
    doing: &'static str,
) -> Result<Frame, Error> {
    let read = async {
        loop {
            if let Some(frame) = split_frame(received)? {
                return Ok(frame);
            }
            fill(socket, received, doing).await?;
        }
    };
    let seconds = timeout.as_secs();
    tokio::time::timeout(timeout, read).await.map_err(|_| Error::Timeout { doing, seconds })?
}

/// Whether the server ends the connection after it.
pub(crate) fn is_fatal(error: &Error) -> bool {
    matches!(error, Error::Server { severity, .. } if severity != "ERROR")
}

fn text_row(row: &backend::DataRowBody, doing: &'static str) -> Result<Row, Error> {
    let broken = |_| unexpected(doing, b'D');
    let mut ranges = row.ranges();
    let mut columns = Vec::new();
    while let Some(range) = ranges.next().map_err(broken)? {
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(row.buffer().get(range).unwrap_or_default()).into_owned()
        };
        columns.push(range.map(text));
    }
    Ok(columns)
}

/// The error that an ErrorResponse carries.
fn server_error(doing: &'static str, body: &backend::ErrorResponseBody) -> Error {
    let (mut severity, mut code, mut message) = (String::new(), String::new(), String::new());
    let mut detail = Vec::new();
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'S' if severity.is_empty() => severity = value,
            // The same, never translated.
            b'V' => severity = value,
            b'C' => code = value,
            b'M' => message = value,
            b'D' | b'H' => detail.push(value),
            _ => {}
        }
    }
    Error::Server { doing, severity, code, message, detail: detail.join("; ") }
}

/// The error for a message that has no place here.
pub(crate) fn unexpected(doing: &'static str, tag: u8) -> Error {
    Error::Protocol { doing, found: format!("a message `{}`", tag.escape_ascii()) }
}
