//! The operation cache of `ShapeRouter.OperationCache`.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::list::List;
use rustler::{Binary, Encoder, Env, NewBinary, Resource, ResourceArc, Term};
use shape_log::Offset;
use shape_log::cache::{CacheOptions, CachePool, OperationCache};
use std::panic::RefUnwindSafe;
use std::sync::OnceLock;
use std::time::Instant;

/// More bytes than this are copied off the scheduler.
const MOST_BYTES: usize = 1 << 20;

pub(crate) struct CacheHandle {
    cache: OperationCache,
}

#[rustler::resource_impl]
impl Resource for CacheHandle {}

// A panic while a lock is held leaves it unlocked, and the cache as it was before the append.
impl RefUnwindSafe for CacheHandle {}

/// Milliseconds of a clock that does not go back.
pub(crate) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// `{tx, op}`.
pub(crate) fn offset((tx, op): (u64, u64)) -> Offset {
    Offset::new(tx, op)
}

pub(crate) fn pair(offset: Offset) -> (u64, u64) {
    (offset.tx, offset.op)
}

/// `{max_operations, max_bytes, ttl_ms | nil}`, and the offset before the first operation.
#[rustler::nif]
fn cache_new<'a>(
    env: Env<'a>,
    (max_operations, max_bytes, ttl_ms): (usize, usize, Option<u64>),
    floor: (u64, u64),
) -> Term<'a> {
    // Its own bound is all that it is bound by.
    let options = CacheOptions { max_operations, max_bytes, ttl_ms, budget: usize::MAX };
    let made = CachePool::new(options).map_err(NifError::from).map(|pool| {
        let cache = pool.cache(offset(floor));
        (atoms::ok(), ResourceArc::new(CacheHandle { cache })).encode(env)
    });
    reply(env, made)
}

fn append<'a>(
    env: Env<'a>,
    handle: &CacheHandle,
    operations: Vec<((u64, u64), Binary<'a>)>,
) -> Term<'a> {
    let operations: Vec<_> =
        operations.iter().map(|(at, json)| (offset(*at), json.as_slice())).collect();
    let evicted = || handle.cache.stats(now()).evict_count;
    let before = evicted();
    let appended = handle.cache.append(&operations, now()).map_err(NifError::from);
    // By whoever appended at the same time too.
    reply(env, appended.map(|()| (atoms::ok(), evicted() - before).encode(env)))
}

/// `[{{tx, op}, json}]`, ascending. `{:ok, evicted}`.
#[rustler::nif]
fn cache_append<'a>(
    env: Env<'a>,
    handle: &CacheHandle,
    List(operations): List<((u64, u64), Binary<'a>)>,
) -> Term<'a> {
    append(env, handle, operations)
}

/// The same, of many.
#[rustler::nif(schedule = "DirtyCpu")]
fn cache_append_dirty<'a>(
    env: Env<'a>,
    handle: &CacheHandle,
    List(operations): List<((u64, u64), Binary<'a>)>,
) -> Term<'a> {
    append(env, handle, operations)
}

fn read<'a>(
    env: Env<'a>,
    handle: &CacheHandle,
    since: (u64, u64),
    limit: usize,
    most: usize,
) -> Term<'a> {
    let Some(answer) = handle.cache.read_since(offset(since), limit, now()) else {
        return atoms::miss().to_term(env);
    };
    if answer.length() > most {
        return atoms::dirty().to_term(env);
    }
    let mut json = NewBinary::new(env, answer.length());
    match answer.write_to(json.as_mut_slice()) {
        Ok(()) => (atoms::ok(), Term::from(json), pair(answer.last())).encode(env),
        Err(_) => atoms::miss().to_term(env),
    }
}

/// `{:ok, json, {tx, op}} | :miss`; `:dirty` where there is much to copy.
#[rustler::nif]
fn cache_read<'a>(env: Env<'a>, handle: &CacheHandle, since: (u64, u64), limit: usize) -> Term<'a> {
    read(env, handle, since, limit, MOST_BYTES)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn cache_read_dirty<'a>(
    env: Env<'a>,
    handle: &CacheHandle,
    since: (u64, u64),
    limit: usize,
) -> Term<'a> {
    read(env, handle, since, limit, usize::MAX)
}

/// `{size, bytes, floor, oldest | nil, newest, hits, misses, evicted}`.
#[rustler::nif]
fn cache_stats<'a>(env: Env<'a>, handle: &CacheHandle) -> Term<'a> {
    let stats = handle.cache.stats(now());
    (
        stats.size,
        stats.bytes,
        pair(stats.floor),
        stats.oldest_offset.map(pair),
        pair(stats.newest_offset),
        (stats.hit_count, stats.miss_count, stats.evict_count),
    )
        .encode(env)
}
