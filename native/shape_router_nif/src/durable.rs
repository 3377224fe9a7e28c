//! Routers in a directory: opened and copied off the scheduler.

use crate::atoms;
use crate::direct::NewRouter;
use crate::error::{NifError, reply};
use crate::handle::RouterHandle;
use crate::list::List;
use crate::log_store::StoreHandle;
use crate::router::{SettingTerms, config};
use lane_index::Fsync;
use lane_index::storage::Directory;
use rustler::{Atom, Binary, Encoder, Env, NewBinary, ResourceArc, Term};
use shape_router::Router;
use shape_router::catalogue::Options;
use std::sync::Arc;
use std::time::Duration;

/// `:always | :never | {:interval, ms}`.
pub(crate) fn fsync(term: Term<'_>) -> Result<Fsync, NifError> {
    if let Ok(atom) = term.decode::<Atom>() {
        if atom == atoms::always() {
            return Ok(Fsync::Always);
        }
        if atom == atoms::never() {
            return Ok(Fsync::Never);
        }
    }
    match term.decode::<(Atom, u64)>() {
        Ok((kind, ms)) if kind == atoms::interval() => {
            Ok(Fsync::Interval(Duration::from_millis(ms)))
        }
        _ => Err(NifError::argument(format!(
            "fsync is neither :always nor :never nor {{:interval, ms}}: {term:?}"
        ))),
    }
}

/// The router of a directory, which is created where there is none. `how`: `{fsync, mmap}`.
#[rustler::nif(schedule = "DirtyIo")]
fn router_open<'a>(
    env: Env<'a>,
    table: &str,
    settings: SettingTerms<'a>,
    directory: &str,
    how: (Term<'a>, bool),
) -> Term<'a> {
    let open = || -> Result<Term<'a>, NifError> {
        let options = Options { fsync: fsync(how.0)?, mmap: how.1, ..Options::default() };
        let (config, types) = config(table, settings)?;
        let router = Router::open(config, directory, options)?;
        Ok((atoms::ok(), NewRouter::new(RouterHandle::new(router, table, types)).into_term(env))
            .encode(env))
    };
    reply(env, open())
}

/// The same, of a router whose records are held back, for the logs that it is closed with; with the records,
/// `[{number, bytes}]`, that the directory may lack.
#[rustler::nif(schedule = "DirtyIo")]
fn router_open_held_back<'a>(
    env: Env<'a>,
    table: &str,
    settings: SettingTerms<'a>,
    directory: &str,
    logs: ResourceArc<StoreHandle>,
    List(tail): List<(u64, Binary<'a>)>,
) -> Term<'a> {
    let open = || -> Result<Term<'a>, NifError> {
        // What is durable, and when, is the other journal's business.
        let options = Options { fsync: Fsync::Never, hold_back: true, ..Options::default() };
        let tail: Vec<_> = tail.iter().map(|(number, bytes)| (*number, bytes.to_vec())).collect();
        let storage = Directory::open(directory).map_err(shape_router::Error::from)?;
        let (config, types) = config(table, settings)?;
        let router = Router::open_after(config, Arc::new(storage), options, &tail)?;
        logs.keep(&router);
        Ok((atoms::ok(), NewRouter::new(RouterHandle::new(router, table, types)).into_term(env))
            .encode(env))
    };
    reply(env, open())
}

/// The records that were held back since this was last asked: `[{number, bytes}]`.
#[rustler::nif]
fn router_held_back<'a>(env: Env<'a>, handle: &RouterHandle) -> Term<'a> {
    let records = handle.router.held_back();
    let terms = records.iter().map(|(number, bytes)| {
        let mut binary = NewBinary::new(env, bytes.len());
        binary.as_mut_slice().copy_from_slice(bytes);
        (*number, Term::from(binary)).encode(env)
    });
    terms.collect::<Vec<_>>().encode(env)
}

/// Writes the records up to this number to the directory: into the page cache, mostly.
#[rustler::nif(schedule = "DirtyIo")]
fn router_release<'a>(env: Env<'a>, handle: &RouterHandle, number: u64) -> Term<'a> {
    let released = handle.router.release(number).map_err(NifError::from);
    reply(env, released.map(|()| atoms::ok().to_term(env)))
}

/// Makes durable what was written to the directory.
#[rustler::nif(schedule = "DirtyIo")]
fn router_sync<'a>(env: Env<'a>, handle: &RouterHandle) -> Term<'a> {
    let synced = handle.router.sync().map_err(NifError::from);
    reply(env, synced.map(|()| atoms::ok().to_term(env)))
}

/// Copies a router into an empty directory.
#[rustler::nif(schedule = "DirtyIo")]
fn router_snapshot<'a>(env: Env<'a>, handle: &RouterHandle, directory: &str) -> Term<'a> {
    let copied = handle.router.snapshot(directory).map_err(NifError::from);
    reply(env, copied.map(|_| atoms::ok().to_term(env)))
}
