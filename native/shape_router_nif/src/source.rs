//! The replication connection: its events are sent to a process as terms.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::list::List;
use crate::wal;
use parking_lot::Mutex;
use pg_wal::Lsn;
use pg_wal::source::{Event, Handle, Options, Source, SslMode, State, TableName, Tables};
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Resource, ResourceArc, Term};
use std::collections::VecDeque;
use std::panic::RefUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

mod names {
    rustler::atoms! {
        shape_router_source, started, transaction, disconnected, reconnected, stopped,
        lsn, snapshot, slot_created, system_id, all,
        state, confirmed, received, delivered, credits, last_error,
        connecting, holding_snapshot, streaming, backing_off,
    }
}

/// Where delivered transactions began and ended their commit: (LSN, end LSN), not yet confirmed.
type Delivered = Arc<Mutex<VecDeque<(u64, u64)>>>;

/// A running source, as Erlang holds it. It stops when nothing refers to it any more.
pub(crate) struct SourceHandle {
    handle: Handle,
    delivered: Delivered,
}

#[rustler::resource_impl]
impl Resource for SourceHandle {}

impl RefUnwindSafe for SourceHandle {}

pub(crate) fn get<'a, T: rustler::Decoder<'a>>(
    options: Term<'a>,
    name: &str,
) -> Result<T, NifError> {
    let value = options.map_get(name);
    let value = value.map_err(|_| NifError::argument(format!("the option {name} is missing")))?;
    let invalid = |_| NifError::argument(format!("the option {name} cannot be {value:?}"));
    value.decode().map_err(invalid)
}

/// Where the database is, and who asks.
pub(crate) fn connection(term: Term<'_>) -> Result<Options, NifError> {
    let ssl_mode: String = get(term, "ssl")?;
    Ok(Options {
        host: get(term, "host")?,
        port: get(term, "port")?,
        user: get(term, "user")?,
        password: get(term, "password")?,
        database: get(term, "database")?,
        ssl_mode: match ssl_mode.as_str() {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" => SslMode::Require,
            "verify_full" => SslMode::VerifyFull,
            other => return Err(NifError::argument(format!("unknown ssl mode {other:?}"))),
        },
        ssl_root_cert: get::<Option<String>>(term, "ssl_root_cert")?.map(Into::into),
        ..Options::default()
    })
}

fn options(term: Term<'_>) -> Result<Options, NifError> {
    let tables: Option<List<(String, String)>> = get(term, "tables")?;
    let tables = tables.map(|List(tables)| tables);
    let millis = |name| get(term, name).map(Duration::from_millis);
    let mut options = Options {
        slot: get(term, "slot")?,
        temporary_slot: get(term, "temporary_slot")?,
        export_snapshot: get(term, "export_snapshot")?,
        publication: get(term, "publication")?,
        tables: match tables {
            None => Tables::All,
            Some(names) => {
                Tables::Only(names.into_iter().map(|(s, n)| TableName::new(s, n)).collect())
            }
        },
        status_interval: millis("status_interval_ms")?,
        backoff_min: millis("backoff_min_ms")?,
        backoff_max: millis("backoff_max_ms")?,
        ..connection(term)?
    };
    options.limits.fragment_messages = get(term, "max_fragment_changes")?;
    options.limits.fragment_bytes = get(term, "max_fragment_bytes")?;
    Ok(options)
}

/// `source_start({owner, subscriber}, options)`: messages go to the subscriber, in the owner's name.
#[rustler::nif(schedule = "DirtyIo")]
fn source_start<'a>(env: Env<'a>, pids: (LocalPid, LocalPid), options: Term<'a>) -> Term<'a> {
    let start = || -> Result<Term<'a>, NifError> {
        let options = self::options(options)?;
        let delivered = Delivered::default();
        let (owner, subscriber) = pids;
        let seen = delivered.clone();
        let mut terms = OwnedEnv::new();
        let handle = Source::start(options, move |event| {
            if let Event::Fragment(fragment) = &event
                && let Some(end) = fragment.end_lsn
            {
                seen.lock().push_back((fragment.commit_lsn.0, end.0));
            }
            if let Event::Reconnected { .. } = &event {
                seen.lock().clear();
            }
            let message =
                |env| (names::shape_router_source(), owner, self::event(env, event)).encode(env);
            // A subscriber that is gone takes nothing; its owner stops the source.
            let _ = terms.send_and_clear(&subscriber, message);
        })
        .map_err(failed)?;
        Ok((atoms::ok(), ResourceArc::new(SourceHandle { handle, delivered })).encode(env))
    };
    reply(env, start())
}

fn failed(error: pg_wal::Error) -> NifError {
    NifError::new("source_error", error.to_string())
}

fn event<'a>(env: Env<'a>, event: Event) -> Term<'a> {
    match event {
        Event::Started { slot_created, start_lsn, system_id, snapshot } => {
            let fields = [
                (names::lsn(), start_lsn.0.encode(env)),
                (names::snapshot(), snapshot.encode(env)),
                (names::slot_created(), slot_created.encode(env)),
                (names::system_id(), system_id.encode(env)),
            ];
            let map = Term::map_from_pairs(env, &fields);
            (names::started(), map.unwrap_or_else(|_| env.error_tuple(atoms::unknown())))
                .encode(env)
        }
        Event::Fragment(fragment) => match wal::transaction(env, &fragment) {
            Ok(transaction) => (names::transaction(), transaction).encode(env),
            Err(error) => (names::stopped(), failed(error)).encode(env),
        },
        Event::Disconnected { error, .. } => (names::disconnected(), error.to_string()).encode(env),
        Event::Reconnected { .. } => names::reconnected().encode(env),
        Event::Stopped(None) => (names::stopped(), atoms::nil()).encode(env),
        Event::Stopped(Some(error)) => (names::stopped(), failed(error)).encode(env),
        _ => atoms::unknown().encode(env),
    }
}

/// So many more fragments may be sent.
#[rustler::nif]
fn source_grant(source: ResourceArc<SourceHandle>, fragments: u64) -> rustler::Atom {
    source.handle.grant(fragments);
    atoms::ok()
}

/// Everything up to the transaction that commits at `lsn` is handled.
#[rustler::nif]
fn source_confirm(source: ResourceArc<SourceHandle>, lsn: u64) -> rustler::Atom {
    let mut delivered = source.delivered.lock();
    let mut end = None;
    while delivered.front().is_some_and(|(commit, _)| *commit <= lsn) {
        end = delivered.pop_front().map(|(_, end)| end);
    }
    drop(delivered);
    if let Some(end) = end {
        source.handle.confirm(Lsn(end));
    }
    atoms::ok()
}

/// Lets the exported snapshot go, and streaming begin.
#[rustler::nif]
fn source_release_snapshot(source: ResourceArc<SourceHandle>) -> rustler::Atom {
    source.handle.release_snapshot();
    atoms::ok()
}

#[rustler::nif]
fn source_status<'a>(env: Env<'a>, source: ResourceArc<SourceHandle>) -> Term<'a> {
    let status = source.handle.status();
    let state = match status.state {
        State::Connecting => names::connecting(),
        State::HoldingSnapshot => names::holding_snapshot(),
        State::Streaming => names::streaming(),
        State::BackingOff => names::backing_off(),
        _ => names::stopped(),
    };
    let fields = [
        (names::state(), state.encode(env)),
        (names::confirmed(), status.confirmed.0.encode(env)),
        (names::received(), status.received.0.encode(env)),
        (names::delivered(), status.delivered.0.encode(env)),
        (names::credits(), status.credits.encode(env)),
        (names::last_error(), status.last_error.encode(env)),
    ];
    let map = Term::map_from_pairs(env, &fields);
    reply(env, map.map_err(|_| NifError::new("internal", "the status is no map")))
}

/// Stops the source and waits for its thread.
#[rustler::nif(schedule = "DirtyIo")]
fn source_stop<'a>(env: Env<'a>, source: ResourceArc<SourceHandle>) -> Term<'a> {
    reply(env, source.handle.stop().map(|()| atoms::ok().to_term(env)).map_err(failed))
}
