//! The LSM index of `ShapeRouter.Index.LsmEqualityIndex`: keys are bytes, ids are its slots.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::list::List;
use lane_index::{Answer, Error, Journaling, LaneIndex, Op, Options};
use rustler::{Atom, Binary, Encoder, Env, Resource, ResourceArc, Term};
use std::panic::RefUnwindSafe;

/// More ids than these are not put into a list on a normal scheduler.
const MOST_AT_ONCE: usize = 8_192;

/// An index, as Erlang holds it.
pub(crate) struct LanesHandle {
    index: LaneIndex,
    is_durable: bool,
}

#[rustler::resource_impl]
impl Resource for LanesHandle {}

// A panic while a lock is held leaves it unlocked, and what it guards can be read by later calls.
impl RefUnwindSafe for LanesHandle {}

impl From<Error> for NifError {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Locked { .. } => "locked",
            Error::Damaged { .. } | Error::Missing { .. } => "damaged",
            Error::UnknownVersion { .. } => "unknown_version",
            Error::Io { .. } => "io_error",
            Error::Failed { .. } | Error::Panicked { .. } => "failed",
            Error::Limit { .. } => "limit_reached",
            Error::Behind { .. } => "behind",
            Error::Closed => "closed",
            _ => "invalid_argument",
        };
        Self::new(code, error.to_string())
    }
}

/// In a directory, or with `nil` in memory. In a directory the caller keeps the journal.
#[rustler::nif(schedule = "DirtyIo")]
fn lanes_open<'a>(env: Env<'a>, directory: Option<&str>, num_lanes: Term<'a>) -> Term<'a> {
    let open = || -> Result<Term<'a>, NifError> {
        let lanes: u16 = num_lanes.decode().map_err(|_| {
            NifError::argument(format!("num_lanes is not a number from 1 to 256: {num_lanes:?}"))
        })?;
        let options =
            Options { lanes: Some(lanes), journal: Journaling::Caller, ..Options::default() };
        let index = match directory {
            Some(directory) => LaneIndex::open(directory, options)?,
            None => LaneIndex::in_memory(options)?,
        };
        let handle = LanesHandle { index, is_durable: directory.is_some() };
        Ok((atoms::ok(), ResourceArc::new(handle)).encode(env))
    };
    reply(env, open())
}

/// `[{:insert | :remove, key, slot}]`, under a number of the caller's journal if there is one.
#[rustler::nif(schedule = "DirtyIo")]
fn lanes_apply<'a>(
    env: Env<'a>,
    handle: ResourceArc<LanesHandle>,
    number: Option<u64>,
    List(operations): List<(Atom, Binary<'a>, u32)>,
) -> Term<'a> {
    let hash = |key: &Binary<'_>| handle.index.hash_key().hash_bytes(key);
    let op = |(what, key, id): &(Atom, Binary<'_>, u32)| {
        let (hash, id) = (hash(key), *id);
        if *what == atoms::remove() { Op::Remove { hash, id } } else { Op::Insert { hash, id } }
    };
    let ops: Vec<Op> = operations.iter().map(op).collect();
    let applied = match number {
        Some(number) => handle.index.apply(number, &ops),
        None => handle.index.write(&ops),
    };
    done(env, applied)
}

fn done<'a, T>(env: Env<'a>, result: Result<T, Error>) -> Term<'a> {
    reply(env, result.map(|_| atoms::ok().to_term(env)).map_err(NifError::from))
}

/// The slots under a key, `:degraded` where some may be missing, `:heavy` where they are many.
#[rustler::nif]
fn lanes_get<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>, key: Binary<'a>) -> Term<'a> {
    get(env, &handle, &key, MOST_AT_ONCE)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn lanes_get_heavy<'a>(
    env: Env<'a>,
    handle: ResourceArc<LanesHandle>,
    key: Binary<'a>,
) -> Term<'a> {
    get(env, &handle, &key, usize::MAX)
}

fn get<'a>(env: Env<'a>, handle: &LanesHandle, key: &[u8], most: usize) -> Term<'a> {
    let mut ids = Vec::new();
    match handle.index.get(handle.index.hash_key().hash_bytes(key), &mut ids) {
        Answer::Degraded => atoms::degraded().to_term(env),
        Answer::Complete if ids.len() > most => atoms::heavy().to_term(env),
        Answer::Complete => ids.encode(env),
    }
}

/// `{:ok, number}`: up to which of the caller's numbers the index has what it was given;
/// `{:ok, :degraded}`: part of it was lost.
#[rustler::nif(schedule = "DirtyIo")]
fn lanes_applied<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>) -> Term<'a> {
    if handle.index.stats().degraded {
        return (atoms::ok(), atoms::degraded()).encode(env);
    }
    let applied = handle.index.applied_seq().map_err(NifError::from);
    reply(env, applied.map(|number| (atoms::ok(), number).encode(env)))
}

#[rustler::nif(schedule = "DirtyIo")]
fn lanes_begin_rebuild<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>) -> Term<'a> {
    done(env, handle.index.begin_rebuild())
}

#[rustler::nif(schedule = "DirtyIo")]
fn lanes_finish_rebuild<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>) -> Term<'a> {
    done(env, handle.index.finish_rebuild())
}

#[rustler::nif(schedule = "DirtyIo")]
fn lanes_flush<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>) -> Term<'a> {
    done(env, handle.index.flush())
}

#[rustler::nif(schedule = "DirtyCpu")]
fn lanes_stats<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>) -> Term<'a> {
    let stats = handle.index.stats();
    let pairs = [
        (atoms::num_lanes(), stats.num_lanes.encode(env)),
        (atoms::total_overlay_entries(), stats.overlay_entries.encode(env)),
        (atoms::total_segment_entries(), stats.segment_entries.encode(env)),
        (atoms::total_segments(), stats.segments.encode(env)),
        (atoms::bytes_per_key(), stats.bytes_per_key.encode(env)),
        (atoms::read_amplification(), stats.segments.encode(env)),
        (atoms::resident_bytes(), stats.resident_bytes.encode(env)),
        (atoms::segment_bytes(), stats.segment_bytes.encode(env)),
        (atoms::degraded(), stats.degraded.encode(env)),
    ];
    let map = Term::map_from_pairs(env, &pairs);
    reply(env, map.map_err(|_| NifError::new("internal", "the figures are no map")))
}

/// What only memory holds of an index in a directory is in its caller's journal.
#[rustler::nif(schedule = "DirtyIo")]
fn lanes_close<'a>(env: Env<'a>, handle: ResourceArc<LanesHandle>) -> Term<'a> {
    if handle.is_durable {
        // The next opening has less to do; if it fails, it has more.
        let _ = handle.index.flush();
    }
    done(env, handle.index.close())
}
