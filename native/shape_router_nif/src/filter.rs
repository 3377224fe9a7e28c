//! What `ShapeRouter.Filter` asks of a router: rows in which an absent column is NULL, and columns
//! that are declared as shapes bring them.

use crate::atoms;
use crate::bare::Bare;
use crate::error::{NifError, reply};
use crate::handle::{CursorHandle, RouterHandle, with_local};
use crate::list::List;
use crate::router::{HEAVY_UNITS, Part, used};
use crate::row::MapRow;
use crate::schema::schema;
use crate::terms::Terms;
use crate::timeslice;
use rustler::{Atom, Encoder, Env, ResourceArc, Term, TermType};
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

/// A row of which nothing is known.
struct UnknownRow;

impl RowSource for UnknownRow {
    fn datum(&self, _column: usize) -> Datum<'_> {
        Datum::Absent
    }
}

/// A change: what happened, the new row and the old one as far as they are known (`nil`: not at all).
type Rows<'a> = (Atom, Term<'a>, Term<'a>);

struct Filter<'f> {
    router: &'f RouterHandle,
    terms: &'f Terms,
}

impl Filter<'_> {
    fn route<'a>(
        &self,
        env: Env<'a>,
        (op, new, old): Rows<'a>,
        budget: &mut Budget,
        cursor: Option<Cursor>,
    ) -> Result<Term<'a>, NifError> {
        let answered = with_local(|local| {
            let (keys, arena, scratch) = local.parts(self.router);
            let row = |term: Term<'a>| match term.get_type() {
                TermType::Map => Ok(Some(WholeRow(MapRow::new(Bare::new(term), keys, arena)))),
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
            let old: Option<&dyn RowSource> = match &old {
                Some(row) => Some(row),
                // Some row went, which is all that anybody knows.
                None if op == Op::Delete => Some(&UnknownRow),
                None => None,
            };
            let change = Change { new: new.as_ref().map(|row| row as _), old, ..Change::new(op) };
            let router = &self.router.router;
            let progress =
                router.route(&change, RouteOptions::default(), scratch, budget, cursor)?;
            Ok(Part::new(self.terms.list(env, scratch.ids()), progress).encode(env))
        });
        timeslice::taken(env, budget);
        answered
    }

    fn proceed<'a>(
        &self,
        env: Env<'a>,
        rows: Rows<'a>,
        cursor: &CursorHandle,
        mut budget: Budget,
    ) -> Result<Term<'a>, NifError> {
        let cursor = cursor.take().ok_or_else(used)?;
        self.route(env, rows, &mut budget, Some(cursor))
    }
}

/// `filter_route(router, terms, :insert | :update | :delete, new | nil, old | nil)`: as
/// `router_route`, with terms for numbers, in no order.
#[rustler::nif]
fn filter_route<'a>(
    env: Env<'a>,
    router: &RouterHandle,
    terms: &Terms,
    op: Atom,
    new: Term<'a>,
    old: Term<'a>,
) -> Term<'a> {
    let filter = Filter { router, terms };
    reply(env, filter.route(env, (op, new, old), &mut Budget::slice(), None))
}

/// The next part of an answer that was `{:more, cursor, part}`; `rows` is `{op, new, old}`.
#[rustler::nif]
fn filter_continue<'a>(
    env: Env<'a>,
    router: &RouterHandle,
    terms: &Terms,
    rows: (Atom, Term<'a>, Term<'a>),
    cursor: &CursorHandle,
) -> Term<'a> {
    let filter = Filter { router, terms };
    reply(env, filter.proceed(env, rows, cursor, Budget::slice()))
}

/// The next part of an answer that was `{:heavy, cursor, part}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn filter_continue_heavy<'a>(
    env: Env<'a>,
    router: &RouterHandle,
    terms: &Terms,
    rows: (Atom, Term<'a>, Term<'a>),
    cursor: &CursorHandle,
) -> Term<'a> {
    let filter = Filter { router, terms };
    reply(env, filter.proceed(env, rows, cursor, Budget::new(HEAVY_UNITS)))
}

#[rustler::nif]
fn terms_new() -> ResourceArc<Terms> {
    ResourceArc::new(Terms::new())
}

/// A term's new number, or `nil` if it has one.
#[rustler::nif]
fn terms_add<'a>(env: Env<'a>, terms: ResourceArc<Terms>, term: Term<'a>, place: u32) -> Term<'a> {
    reply(env, terms.add(term, place).map(|number| number.encode(env)))
}

/// `{number, place}` or `nil`.
#[rustler::nif]
fn terms_find<'a>(env: Env<'a>, terms: ResourceArc<Terms>, term: Term<'a>) -> Term<'a> {
    terms.find(term).encode(env)
}

/// The number that the term had, or `nil`.
#[rustler::nif]
fn terms_remove<'a>(env: Env<'a>, terms: ResourceArc<Terms>, term: Term<'a>) -> Term<'a> {
    terms.remove(term).encode(env)
}

/// `terms_chunk(terms, chunk, places | nil)`: `{terms, further chunks?}`.
#[rustler::nif]
fn terms_chunk<'a>(
    env: Env<'a>,
    terms: ResourceArc<Terms>,
    chunk: usize,
    places: Option<List<u32>>,
) -> Term<'a> {
    terms.chunk(env, chunk, places.as_ref().map(|List(places)| places.as_slice())).encode(env)
}

#[rustler::nif]
fn terms_bytes(terms: ResourceArc<Terms>) -> usize {
    terms.memory_bytes()
}

/// `router_declare(router, [{name, type}])`: columns of a router that was made without its columns.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_declare<'a>(env: Env<'a>, handle: &RouterHandle, columns: Term<'a>) -> Term<'a> {
    let declare = || -> Result<Term<'a>, NifError> {
        let declared = schema("", columns)?;
        handle.router.declare(declared.columns().iter().cloned())?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, declare())
}
