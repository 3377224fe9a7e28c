//! What `ShapeRouter.Filter` asks of a router: rows in which an absent column is NULL, and columns
//! that are declared as shapes bring them.

use crate::answer;
use crate::atoms;
use crate::error::{NifError, reply};
use crate::handle::{CursorHandle, RouterHandle, with_scratch};
use crate::router::{HEAVY_UNITS, Part, used};
use crate::row::MapRow;
use crate::schema::schema;
use bumpalo::Bump;
use rustler::{Encoder, Env, ResourceArc, Term, TermType};
use shape_expr::{Datum, RowSource};
use shape_router::{Budget, Change, Cursor, Op, RouteOptions};

/// A row that leaves nothing open.
struct WholeRow<'r, 't>(MapRow<'r, 't>);

impl RowSource for WholeRow<'_, '_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        match self.0.datum(column) {
            Datum::Absent => Datum::Null,
            known => known,
        }
    }
}

fn route<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    (op, new, old): (rustler::Atom, Term<'a>, Term<'a>),
    budget: &mut Budget,
    cursor: Option<Cursor>,
) -> Result<Term<'a>, NifError> {
    let (arena, keys) = (Bump::new(), handle.keys());
    let row = |term: Term<'a>| match term.get_type() {
        TermType::Map => Ok(Some(WholeRow(MapRow::new(term, &keys, &arena)))),
        TermType::Atom if term == atoms::nil().to_term(env) => Ok(None),
        _ => Err(NifError::new("invalid_change", format!("a record is no map: {term:?}"))),
    };
    let (new, old) = (row(new)?, row(old)?);
    let op = if op == atoms::insert() {
        Op::Insert
    } else if op == atoms::update() {
        Op::Update
    } else {
        Op::Delete
    };
    let change = Change {
        new: new.as_ref().map(|row| row as _),
        old: old.as_ref().map(|row| row as _),
        ..Change::new(op)
    };
    with_scratch(|scratch| {
        let options = RouteOptions::default();
        let progress = handle.router.route(&change, options, scratch, budget, cursor)?;
        Ok(Part::new(answer::list(env, scratch, &keys, false), progress).encode(env))
    })
}

/// `filter_route(router, :insert | :update | :delete, new | nil, old | nil)`: as `router_route`.
#[rustler::nif]
fn filter_route<'a>(
    env: Env<'a>,
    handle: ResourceArc<RouterHandle>,
    op: rustler::Atom,
    new: Term<'a>,
    old: Term<'a>,
) -> Term<'a> {
    reply(env, route(env, &handle, (op, new, old), &mut Budget::slice(), None))
}

/// The next part of an answer that was `{:more, cursor, part}`.
#[rustler::nif]
fn filter_continue<'a>(
    env: Env<'a>,
    handle: ResourceArc<RouterHandle>,
    op: rustler::Atom,
    new: Term<'a>,
    old: Term<'a>,
    cursor: ResourceArc<CursorHandle>,
) -> Term<'a> {
    let budget = Budget::slice();
    reply(env, proceed(env, &handle, (op, new, old), &cursor, budget))
}

/// The next part of an answer that was `{:heavy, cursor, part}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn filter_continue_heavy<'a>(
    env: Env<'a>,
    handle: ResourceArc<RouterHandle>,
    op: rustler::Atom,
    new: Term<'a>,
    old: Term<'a>,
    cursor: ResourceArc<CursorHandle>,
) -> Term<'a> {
    let budget = Budget::new(HEAVY_UNITS);
    reply(env, proceed(env, &handle, (op, new, old), &cursor, budget))
}

fn proceed<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    change: (rustler::Atom, Term<'a>, Term<'a>),
    cursor: &CursorHandle,
    mut budget: Budget,
) -> Result<Term<'a>, NifError> {
    let cursor = cursor.take().ok_or_else(used)?;
    route(env, handle, change, &mut budget, Some(cursor))
}

/// `router_declare(router, [{name, type}])`: columns of a router that was made without its columns.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_declare<'a>(
    env: Env<'a>,
    handle: ResourceArc<RouterHandle>,
    columns: Term<'a>,
) -> Term<'a> {
    let declare = || -> Result<Term<'a>, NifError> {
        let declared = schema("", columns)?;
        handle.router.declare(declared.columns().iter().cloned())?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, declare())
}
