//! What shapes feed themselves: `ShapeRouter.Filter.SubqueryIndex` of the mode `:native`.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::handle::RouterHandle;
use crate::list::List;
use crate::value_set::Rows;
use bumpalo::Bump;
use rustler::{Encoder, Env, Term};

fn done<'a>(env: Env<'a>, done: Result<(), shape_router::Error>) -> Term<'a> {
    reply(env, done.map(|()| atoms::ok().to_term(env)).map_err(NifError::from))
}

/// From now on the shapes of a router, which has none yet, feed their sets themselves.
#[rustler::nif]
fn router_feed_by_shape<'a>(env: Env<'a>, handle: &RouterHandle) -> Term<'a> {
    done(env, handle.router.feed_by_shape())
}

/// Forgets what a subquery selects: shapes that have it know.
#[rustler::nif]
fn router_drop_item_types<'a>(env: Env<'a>, handle: &RouterHandle, subquery: &str) -> Term<'a> {
    handle.types.lock().remove(subquery);
    atoms::ok().to_term(env)
}

/// `names`: `[{number, text}]`, what a shape's subqueries are called.
#[rustler::nif(schedule = "DirtyCpu")]
fn feeder_names<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    id: u64,
    List(names): List<(u32, &str)>,
) -> Term<'a> {
    done(env, handle.router.name_subqueries(id, &names))
}

#[rustler::nif(schedule = "DirtyCpu")]
fn feeder_seed<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    id: u64,
    name: u32,
    rows: Term<'a>,
) -> Term<'a> {
    let seed = || -> Result<Term<'a>, NifError> {
        let arena = Bump::new();
        let rows = Rows::new(handle.router.feeder_columns(id, name)?, rows)?;
        handle.router.seed_feeder(id, name, &rows.read(&arena)?)?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, seed())
}

fn feed<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    (id, name): (u64, u32),
    (added, removed): (Term<'a>, Term<'a>),
    wait: bool,
) -> Term<'a> {
    let feed = || -> Result<Term<'a>, NifError> {
        let (arena, columns) = (Bump::new(), handle.router.feeder_columns(id, name)?);
        let (added, removed) = (Rows::new(columns, added)?, Rows::new(columns, removed)?);
        let rows = (added.read(&arena)?, removed.read(&arena)?);
        let fed = handle.router.feed_feeder(id, name, (&rows.0, &rows.1), wait)?;
        Ok(if fed { atoms::ok() } else { atoms::busy() }.to_term(env))
    };
    reply(env, feed())
}

/// `:busy`: somebody else feeds; ask again off the scheduler. For a few values.
#[rustler::nif]
fn feeder_feed<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    id: u64,
    name: u32,
    added: Term<'a>,
    removed: Term<'a>,
) -> Term<'a> {
    feed(env, handle, (id, name), (added, removed), false)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn feeder_feed_waiting<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    id: u64,
    name: u32,
    added: Term<'a>,
    removed: Term<'a>,
) -> Term<'a> {
    feed(env, handle, (id, name), (added, removed), true)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn feeder_ready<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    done(env, handle.router.feeder_ready(id))
}

#[rustler::nif]
fn feeder_awaited<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    let awaited = handle.router.awaits_feeder(id).map_err(NifError::from);
    reply(env, awaited.map(|awaited| awaited.encode(env)))
}

#[rustler::nif]
fn feeder_member<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    id: u64,
    name: u32,
    value: Term<'a>,
) -> Term<'a> {
    let member = || -> Result<Term<'a>, NifError> {
        let arena = Bump::new();
        let list = [value].encode(env);
        let rows = Rows::new(handle.router.feeder_columns(id, name)?, list)?.read(&arena)?;
        let is = rows.first().map(|row| handle.router.is_fed(id, name, row)).transpose()?;
        Ok(is.unwrap_or(false).encode(env))
    };
    reply(env, member())
}
