//! Whole transactions: routed in WAL order, staged, acknowledged.

use crate::answer;
use crate::atoms;
use crate::bare::Bare;
use crate::change::{Reader, TermChange};
use crate::error::{NifError, reply};
use crate::handle::{CursorHandle, RouterHandle, with_local};
use crate::router::{HEAVY_UNITS, Part, in_order, used};
use crate::timeslice::{self, READING};
use crate::value_set::Delta;
use rustler::{Encoder, Env, ResourceArc, Term};
use shape_router::{Budget, Transaction};

/// How many staged effects one call makes real: each is a few hash look-ups.
const ACK_UNITS: u64 = 2_000;

/// `route_txn({lsn, fragment, xid | nil}, index, [change | {:values, subquery, added, removed}], cursor | nil)`: `[answer]`, or
/// `{:more | :heavy, [answer], [change], cursor | nil, part}` as in `router_route_batch`. `index`
/// counts the transaction's changes from 0.
#[rustler::nif]
fn router_route_txn<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    transaction: (u64, u32, Option<u32>),
    first: usize,
    changes: Term<'a>,
    cursor: Option<ResourceArc<CursorHandle>>,
) -> Term<'a> {
    reply(env, route(env, handle, transaction, first, changes, cursor, Budget::slice()))
}

/// The same after `:heavy`.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_route_txn_heavy<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    transaction: (u64, u32, Option<u32>),
    first: usize,
    changes: Term<'a>,
    cursor: Option<ResourceArc<CursorHandle>>,
) -> Term<'a> {
    let budget = Budget::new(HEAVY_UNITS);
    reply(env, route(env, handle, transaction, first, changes, cursor, budget))
}

fn route<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    (lsn, fragment, xid): (u64, u32, Option<u32>),
    first: usize,
    changes: Term<'a>,
    cursor: Option<ResourceArc<CursorHandle>>,
    mut budget: Budget,
) -> Result<Term<'a>, NifError> {
    let transaction = Transaction { lsn, fragment, xid };
    let mut resumed = match cursor {
        Some(cursor) => Some(cursor.take().ok_or_else(used)?),
        None => None,
    };
    if first == 0 && resumed.is_none() {
        handle.router.begin_txn(transaction)?;
    }
    let mut heavy = false;
    let answers = with_local(|local| {
        in_order(env, changes, |index, change| {
            if budget.is_exhausted() {
                return Ok(None);
            }
            budget.spend(READING);
            if change.is_tuple() {
                let delta = Delta::read(change)?;
                if !budget.is_patient() && delta.is_large(handle) {
                    heavy = true;
                    return Ok(None);
                }
                let list = delta.route(env, handle, transaction, first + index, &mut budget)?;
                return Ok(Some(Part { list, rest: None }));
            }
            let (keys, arena, scratch) = local.parts(handle);
            let mut read = TermChange::default();
            Reader::new(&handle.router, keys, arena)
                .with_keys()
                .read(Bare::new(change), &mut read)?;
            let progress = handle.router.route_txn(
                transaction,
                first + index,
                &read.as_change(),
                scratch,
                &mut budget,
                resumed.take(),
            )?;
            let missing = |column| keys.name(column);
            Ok(Some(Part::new(answer::list(env, scratch, missing, true), progress)))
        })
    })?;
    timeslice::taken(env, &budget);
    if heavy {
        let (_, done, rest, cursor, part): (Term<'a>, Term<'a>, Term<'a>, Term<'a>, Term<'a>) =
            answers.decode().map_err(|_| NifError::new("internal", "no part of an answer"))?;
        return Ok((atoms::heavy(), done, rest, cursor, part).encode(env));
    }
    if !answers.is_tuple() {
        handle.router.finish_txn(transaction)?;
    }
    Ok(answers)
}

/// `:ok`, or `:more` if there is more to do than one call should, or `:dirty` where it may wait for a
/// disk: then it is done off the scheduler.
#[rustler::nif]
fn router_ack<'a>(env: Env<'a>, handle: &RouterHandle, lsn: u64) -> Term<'a> {
    if handle.router.may_wait() {
        return atoms::dirty().to_term(env);
    }
    ack(env, handle, lsn)
}

#[rustler::nif(schedule = "DirtyIo")]
fn router_ack_dirty<'a>(env: Env<'a>, handle: &RouterHandle, lsn: u64) -> Term<'a> {
    ack(env, handle, lsn)
}

fn ack<'a>(env: Env<'a>, handle: &RouterHandle, lsn: u64) -> Term<'a> {
    let acked = handle.router.ack(lsn, ACK_UNITS).map_err(NifError::from);
    let say = |done| if done { atoms::ok() } else { atoms::more() };
    reply(env, acked.map(|done| say(done).encode(env)))
}
