//! Routers in a directory: opened and copied off the scheduler.

use crate::atoms;
use crate::direct::NewRouter;
use crate::error::{NifError, reply};
use crate::handle::RouterHandle;
use crate::router::{SettingTerms, config};
use lane_index::Fsync;
use rustler::{Atom, Encoder, Env, Term};
use shape_router::Router;
use shape_router::catalogue::Options;
use std::time::Duration;

/// `:always | :never | {:interval, ms}`.
fn fsync(term: Term<'_>) -> Result<Fsync, NifError> {
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
        let router = Router::open(config(table, settings)?, directory, options)?;
        Ok((atoms::ok(), NewRouter::new(RouterHandle::new(router, table)).into_term(env))
            .encode(env))
    };
    reply(env, open())
}

/// Copies a router into an empty directory.
#[rustler::nif(schedule = "DirtyIo")]
fn router_snapshot<'a>(env: Env<'a>, handle: &RouterHandle, directory: &str) -> Term<'a> {
    let copied = handle.router.snapshot(directory).map_err(NifError::from);
    reply(env, copied.map(|_| atoms::ok().to_term(env)))
}
