//! From an address to an authenticated session.

use super::tls;
use super::wire::{Connection, Socket, unexpected};
use crate::Error;
use crate::source::{Options, SslMode};
use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const CONNECTING: &str = "connecting";
const AUTHENTICATING: &str = "authenticating";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The stream of changes. It can run plain SQL as well.
    Replication,
    /// Reading rows, with statements and parameters.
    Queries,
}

/// What every session is set to: the text forms of values depend on it.
const SETTINGS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("standard_conforming_strings", "on"),
];

/// What a session that reads rows is set to besides.
const READING: &[(&str, &str)] = &[
    // A policy that hides rows is an error then: what is hidden would be taken for deleted.
    ("row_security", "off"),
    // Operators are those of the system, whatever somebody else creates.
    ("search_path", "pg_catalog"),
    ("default_transaction_read_only", "on"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// Connects, encrypts and authenticates, within the time allowed.
pub(crate) async fn connect(options: &Options, purpose: Purpose) -> Result<Connection, Error> {
    let seconds = options.timeout.as_secs();
    let connecting = async {
        let socket = socket(options).await?;
        let mut connection = Connection::new(socket, options.timeout);
        authenticate(options, purpose, &mut connection).await?;
        Ok(connection)
    };
    tokio::time::timeout(options.timeout, connecting)
        .await
        .map_err(|_| Error::Timeout { doing: CONNECTING, seconds })?
}

async fn socket(options: &Options) -> Result<Box<dyn Socket>, Error> {
    if options.is_unix() {
        let path = format!("{}/.s.PGSQL.{}", options.host, options.port);
        return Ok(Box::new(UnixStream::connect(path).await.map_err(io_error)?));
    }
    let mut socket =
        TcpStream::connect((options.host.as_str(), options.port)).await.map_err(io_error)?;
    socket.set_nodelay(true).map_err(io_error)?;
    // Finds a peer that vanished, also while we are not reading.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10));
    socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive).map_err(io_error)?;
    if options.ssl_mode == SslMode::Disable {
        return Ok(Box::new(socket));
    }
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    socket.write_all(&request).await.map_err(io_error)?;
    // Exactly one byte: anything after it must come through TLS.
    match socket.read_u8().await.map_err(io_error)? {
        b'S' => Ok(Box::new(tls::encrypt(options, socket).await?)),
        b'N' if options.ssl_mode == SslMode::Prefer => Ok(Box::new(socket)),
        b'N' => Err(Error::Tls { reason: "the server does not offer it".into() }),
        tag => Err(unexpected("asking for TLS", tag)),
    }
}

async fn authenticate(
    options: &Options,
    purpose: Purpose,
    connection: &mut Connection,
) -> Result<(), Error> {
    let mut message = BytesMut::new();
    let own = [
        ("user", options.user.as_str()),
        ("database", options.database.as_str()),
        ("application_name", options.application_name.as_str()),
    ];
    // The server gives up before we do, so that it can say why.
    let statement_timeout = (options.timeout.as_millis() * 9 / 10).to_string();
    let of_purpose: &[(&str, &str)] = match purpose {
        Purpose::Replication => &[("replication", "database")],
        Purpose::Queries => &[("statement_timeout", &statement_timeout)],
    };
    let reading = if purpose == Purpose::Queries { READING } else { &[] };
    let settings = SETTINGS.iter().chain(of_purpose).chain(reading).copied();
    let parameters = own.into_iter().chain(settings);
    frontend::startup_message(parameters, &mut message).map_err(io_error)?;
    connection.send(&message, AUTHENTICATING).await?;
    loop {
        let frame = connection.frame(AUTHENTICATING).await?;
        let tag = frame.tag;
        match frame.parse(AUTHENTICATING)? {
            Message::AuthenticationCleartextPassword => {
                send_password(connection, password(options)?.as_bytes()).await?;
            }
            Message::AuthenticationMd5Password(body) => {
                let user = options.user.as_bytes();
                let hash = md5_hash(user, password(options)?.as_bytes(), body.salt());
                send_password(connection, hash.as_bytes()).await?;
            }
            Message::AuthenticationSasl(body) => {
                let mechanisms: Vec<String> = body
                    .mechanisms()
                    .map(|name| Ok(name.to_owned()))
                    .collect()
                    .map_err(io_error)?;
                scram(options, connection, &mechanisms).await?;
            }
            Message::ReadyForQuery(_) => return Ok(()),
            Message::AuthenticationOk
            | Message::BackendKeyData(_)
            | Message::ParameterStatus(_)
            | Message::NoticeResponse(_) => {}
            Message::AuthenticationGss
            | Message::AuthenticationSspi
            | Message::AuthenticationKerberosV5
            | Message::AuthenticationScmCredential => {
                let reason = "the server asks for a method other than password, MD5 and SCRAM";
                return Err(Error::Authentication { reason: reason.into() });
            }
            _ => return Err(unexpected(AUTHENTICATING, tag)),
        }
    }
}

fn password(options: &Options) -> Result<&str, Error> {
    options.password.as_deref().ok_or_else(|| Error::Authentication {
        reason: "the server asks for a password, and none was given".into(),
    })
}

async fn send_password(connection: &mut Connection, password: &[u8]) -> Result<(), Error> {
    let mut message = BytesMut::new();
    frontend::password_message(password, &mut message).map_err(io_error)?;
    connection.send(&message, AUTHENTICATING).await
}

async fn scram(
    options: &Options,
    connection: &mut Connection,
    mechanisms: &[String],
) -> Result<(), Error> {
    if !mechanisms.iter().any(|name| name == sasl::SCRAM_SHA_256) {
        let reason = format!("the server offers only {}", mechanisms.join(", "));
        return Err(Error::Authentication { reason });
    }
    let refused = |source: io::Error| Error::Authentication { reason: source.to_string() };
    let binding = sasl::ChannelBinding::unsupported();
    let mut scram = sasl::ScramSha256::new(password(options)?.as_bytes(), binding);
    let mut message = BytesMut::new();
    frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut message)
        .map_err(io_error)?;
    connection.send(&message, AUTHENTICATING).await?;

    let frame = connection.frame(AUTHENTICATING).await?;
    let tag = frame.tag;
    let Message::AuthenticationSaslContinue(body) = frame.parse(AUTHENTICATING)? else {
        return Err(unexpected(AUTHENTICATING, tag));
    };
    scram.update(body.data()).map_err(refused)?;
    message.clear();
    frontend::sasl_response(scram.message(), &mut message).map_err(io_error)?;
    connection.send(&message, AUTHENTICATING).await?;

    let frame = connection.frame(AUTHENTICATING).await?;
    let tag = frame.tag;
    let Message::AuthenticationSaslFinal(body) = frame.parse(AUTHENTICATING)? else {
        return Err(unexpected(AUTHENTICATING, tag));
    };
    // The server proves that it knows the password too.
    scram.finish(body.data()).map_err(refused)
}

fn io_error(source: io::Error) -> Error {
    Error::Io { doing: CONNECTING, source }
}
