//! How a log is read: by a file, from the cache, or streamed; and its sealed chunks.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::log_store::{StoreHandle, binary};
use crate::operation_cache::{offset, pair};
use parking_lot::Mutex;
use rustler::{Atom, Encoder, Env, NewBinary, Resource, ResourceArc, Term};
use shape_log::{ChunkMeta, Fallback, LogReader, Plan, ReadOptions};
use std::panic::RefUnwindSafe;
use std::time::Duration;

/// A piece of a stream has at least so many bytes, but for the last.
const PIECE: usize = 64 << 10;

/// Holds a chunk's file, until it is let go or nobody has it any more.
pub(crate) struct LeaseHandle(Mutex<Option<shape_log::chunk::Lease>>);

#[rustler::resource_impl]
impl Resource for LeaseHandle {}

// It is there or it is not.
impl RefUnwindSafe for LeaseHandle {}

impl LeaseHandle {
    fn let_go(&self) {
        if let Some(lease) = self.0.lock().take() {
            // A removal that waited for it happens now: not on a scheduler.
            lane_index::run_after(Duration::ZERO, move || drop(lease));
        }
    }
}

impl Drop for LeaseHandle {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Entries that are read as a JSON array, a piece at a time.
pub(crate) struct StreamHandle(Mutex<Option<Streaming>>);

struct Streaming {
    reader: LogReader,
    began: bool,
}

#[rustler::resource_impl]
impl Resource for StreamHandle {}

// A panic leaves nothing to be read on.
impl RefUnwindSafe for StreamHandle {}

fn why(fallback: Fallback) -> Atom {
    match fallback {
        Fallback::NotAligned => atoms::not_aligned(),
        Fallback::NotSealed => atoms::not_sealed(),
        Fallback::TooSmall => atoms::too_small(),
        Fallback::Damaged => atoms::damaged(),
    }
}

/// What is behind an offset, where a few bytes in memory are the answer; else `:dirty`.
#[rustler::nif]
fn log_read_at_once<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    log: u64,
    behind: (u64, u64),
) -> Term<'a> {
    let read = handle.with(|store| {
        let options = ReadOptions::default();
        match store.read_at_once(log, offset(behind), options, PIECE)? {
            Some(plan) => answered(env, plan),
            None => Ok(atoms::dirty().to_term(env)),
        }
    });
    reply(env, read)
}

/// What is behind an offset:
///
/// * `{:sendfile, path, bytes, end, {etag, gzip?, immutable?}, {up_to_date?, seq, lease}}`
/// * `{:cached, json, end, reason, up_to_date?}`
/// * `{:stream, stream, end, reason, up_to_date?}`
/// * `:up_to_date`
#[rustler::nif(schedule = "DirtyIo")]
fn log_read<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    log: u64,
    behind: (u64, u64),
    gzip: bool,
) -> Term<'a> {
    let read = handle.with(|store| {
        let options = ReadOptions { gzip, ..ReadOptions::default() };
        answered(env, store.read(log, offset(behind), options)?)
    });
    reply(env, read)
}

fn answered(env: Env<'_>, plan: Plan) -> Result<Term<'_>, NifError> {
    Ok(match plan {
        Plan::File { path, chunk, bytes, gzip, etag, immutable, up_to_date, lease } => {
            let path = path.to_str().ok_or_else(|| {
                NifError::argument(format!("the path {} is no text", path.display()))
            })?;
            let lease = ResourceArc::new(LeaseHandle(Mutex::new(Some(lease))));
            let form = (etag, gzip, immutable);
            let end = pair(chunk.end);
            (atoms::sendfile(), path, bytes, end, form, (up_to_date, chunk.seq, lease)).encode(env)
        }
        Plan::Cached { answer, why, up_to_date } => {
            let mut json = NewBinary::new(env, answer.length());
            let written = answer.write_to(json.as_mut_slice());
            written.map_err(|_| NifError::new("failed", "the cache changed its mind"))?;
            let end = pair(answer.last());
            (atoms::cached(), Term::from(json), end, self::why(why), up_to_date).encode(env)
        }
        Plan::Stream { reader, end, why, up_to_date } => {
            let stream = StreamHandle(Mutex::new(Some(Streaming { reader, began: false })));
            let stream = ResourceArc::new(stream);
            (atoms::stream(), stream, pair(end), self::why(why), up_to_date).encode(env)
        }
        Plan::UpToDate => atoms::up_to_date().to_term(env),
    })
}

/// How many operations of a log are in memory, to be read again.
#[rustler::nif]
fn log_cache_depth<'a>(env: Env<'a>, handle: &StoreHandle, log: u64) -> Term<'a> {
    let depth = handle.with(|store| Ok(store.cache(log)?.map_or(0, |cache| cache.stats(0).size)));
    reply(env, depth.map(|depth| depth.encode(env)))
}

/// The file may go.
#[rustler::nif]
fn log_release<'a>(env: Env<'a>, lease: &LeaseHandle) -> Term<'a> {
    lease.let_go();
    atoms::ok().to_term(env)
}

/// The next piece, `{:more, bytes}`, or the last one, `{:ok, bytes}`.
#[rustler::nif(schedule = "DirtyIo")]
fn log_stream_next<'a>(env: Env<'a>, handle: &StreamHandle) -> Term<'a> {
    let mut held = handle.0.lock();
    let mut next = || -> Result<Term<'a>, NifError> {
        let mut streaming =
            held.take().ok_or_else(|| NifError::argument("the stream came to its end"))?;
        let mut piece = Vec::with_capacity(PIECE + 1024);
        loop {
            let Some(entry) = streaming.reader.next()? else {
                piece.extend_from_slice(if streaming.began { b"]" } else { b"[]" });
                return Ok((atoms::ok(), binary(env, &piece)).encode(env));
            };
            piece.push(if std::mem::replace(&mut streaming.began, true) { b',' } else { b'[' });
            piece.extend_from_slice(entry.json);
            if piece.len() >= PIECE {
                *held = Some(streaming);
                return Ok((atoms::more(), binary(env, &piece)).encode(env));
            }
        }
    };
    reply(env, next())
}

/// `{seq, start, end, count, bytes, gzip_bytes | nil}`.
fn chunk<'a>(env: Env<'a>, chunk: &ChunkMeta) -> Term<'a> {
    let gzip = chunk.gzip.map(|gzip| gzip.bytes);
    (chunk.seq, pair(chunk.start), pair(chunk.end), chunk.count, chunk.bytes, gzip).encode(env)
}

/// The sealed chunks, by their start.
#[rustler::nif(schedule = "DirtyIo")]
fn log_chunks<'a>(env: Env<'a>, handle: &StoreHandle, log: u64) -> Term<'a> {
    let chunks = handle.with(|store| {
        let chunks = store.chunks(log)?;
        Ok(chunks.iter().map(|one| chunk(env, one)).collect::<Vec<_>>().encode(env))
    });
    reply(env, chunks)
}

/// The chunk that follows an offset exactly, or `nil`.
#[rustler::nif(schedule = "DirtyIo")]
fn log_find_chunk<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    log: u64,
    behind: (u64, u64),
) -> Term<'a> {
    let found = handle.with(|store| {
        let found = store.find_chunk(log, offset(behind))?;
        Ok(found.map(|one| chunk(env, &one)).encode(env))
    });
    reply(env, found)
}

/// Reads the files of a chunk whole, and compares them with what was written.
#[rustler::nif(schedule = "DirtyIo")]
fn log_verify_chunk<'a>(env: Env<'a>, handle: &StoreHandle, log: u64, seq: u64) -> Term<'a> {
    let verified = handle.with(|store| Ok(store.verify_chunk(log, seq)?));
    reply(env, verified.map(|()| atoms::ok().to_term(env)))
}

/// Removes a chunk's files; the log has what they held.
#[rustler::nif(schedule = "DirtyIo")]
fn log_remove_chunk<'a>(env: Env<'a>, handle: &StoreHandle, log: u64, seq: u64) -> Term<'a> {
    let removed = handle.with(|store| Ok(store.remove_chunk(log, seq)?));
    reply(env, removed.map(|()| atoms::ok().to_term(env)))
}

/// Seals what is complete; with `cut` the last segment of this log too, as it is.
#[rustler::nif(schedule = "DirtyIo")]
fn log_seal<'a>(env: Env<'a>, handle: &StoreHandle, log: u64, cut: bool) -> Term<'a> {
    let sealed = handle.with(|store| {
        if cut {
            store.cut(log)?;
        }
        store.sync()?;
        store.checkpoint()?;
        Ok(store.seal()?)
    });
    reply(env, sealed.map(|chunks| (atoms::ok(), chunks).encode(env)))
}

/// Compacts all logs that can be.
#[rustler::nif(schedule = "DirtyIo")]
fn log_compact<'a>(env: Env<'a>, handle: &StoreHandle) -> Term<'a> {
    let compacted = handle.with(|store| Ok(store.compact_all()?));
    reply(env, compacted.map(|logs| (atoms::ok(), logs).encode(env)))
}

/// What the store has and has done, by name.
#[rustler::nif]
fn log_store_stats<'a>(env: Env<'a>, handle: &StoreHandle) -> Term<'a> {
    let stats = handle.with(|store| {
        let s = store.stats();
        let named = [
            ("logs", s.logs),
            ("memory_bytes", s.memory_bytes),
            ("appended_lsn", s.appended_lsn),
            ("durable_lsn", s.durable_lsn),
            ("redo_bytes", s.redo_bytes),
            ("transactions", s.transactions),
            ("entries", s.entries),
            ("replays", s.replays),
            ("flushes", s.flushes),
            ("checkpoints", s.checkpoints),
            ("waits", s.waits),
            ("maintenance_errors", s.maintenance_errors),
            ("cache_evictions", s.cache_evictions),
        ];
        let map = Term::map_from_pairs(env, &named).map_err(|_| NifError::argument("no map"))?;
        Ok(map)
    });
    reply(env, stats)
}
