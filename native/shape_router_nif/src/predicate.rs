//! A clause by itself: `ShapeRouter.Predicate`.

use crate::atoms;
use crate::bare::Bare;
use crate::columns::ColumnKeys;
use crate::error::{NifError, reply};
use crate::handle::PredicateHandle;
use crate::param::params;
use crate::router::compile_options;
use crate::row::MapRow;
use crate::schema::schema;
use bumpalo::Bump;
use rustler::{Encoder, Env, ResourceArc, Term, TermType};
use shape_expr::{Compiler, Limits, Row, Vm};
use shape_router::Budget;

/// Parsing recurses as deep as the clause does: off the scheduler's stack, and off the scheduler.
#[rustler::nif(schedule = "DirtyCpu")]
fn predicate_compile<'a>(
    env: Env<'a>,
    clause: &str,
    columns: Term<'a>,
    parameters: Term<'a>,
    time_zone: &str,
) -> Term<'a> {
    let compile = || -> Result<Term<'a>, NifError> {
        let arena = Bump::new();
        let schema = schema("", columns)?;
        let mut compiler = Compiler::new(compile_options(time_zone))?;
        let compiled = compiler.compile(clause, &schema, &params(parameters, &arena)?)?;
        let schema = compiled.schema.unwrap_or(schema);
        let keys = ColumnKeys::new(&schema);
        let handle = PredicateHandle { predicate: compiled.predicate, schema, keys };
        Ok((atoms::ok(), ResourceArc::new(handle)).encode(env))
    };
    reply(env, compile())
}

/// Whether a clause has subqueries, or an error.
#[rustler::nif(schedule = "DirtyCpu")]
fn clause_has_subquery<'a>(env: Env<'a>, clause: &str) -> Term<'a> {
    let has = shape_expr::has_subquery(clause).map_err(NifError::from);
    reply(env, has.map(|has| (atoms::ok(), has).encode(env)))
}

/// true, false, nil, an error, or `:heavy`: ask off the scheduler.
#[rustler::nif]
fn predicate_eval<'a>(
    env: Env<'a>,
    handle: ResourceArc<PredicateHandle>,
    record: Term<'a>,
) -> Term<'a> {
    let limits = Limits { fuel: 2 * Budget::SCHEDULER_SLICE, ..Limits::default() };
    match evaluate(&handle, record, limits) {
        Err(error) if error.has_sqlstate("54000") => atoms::heavy().to_term(env),
        answer => reply(env, answer.map(|answer| answer.encode(env))),
    }
}

/// The same after `:heavy`.
#[rustler::nif(schedule = "DirtyCpu")]
fn predicate_eval_heavy<'a>(
    env: Env<'a>,
    handle: ResourceArc<PredicateHandle>,
    record: Term<'a>,
) -> Term<'a> {
    let answer = evaluate(&handle, record, Limits::default());
    reply(env, answer.map(|answer| answer.encode(env)))
}

fn evaluate(
    handle: &PredicateHandle,
    record: Term<'_>,
    limits: Limits,
) -> Result<Option<bool>, NifError> {
    if record.get_type() != TermType::Map {
        return Err(NifError::argument("a record is a map"));
    }
    let arena = Bump::new();
    let source = MapRow::new(Bare::new(record), &handle.keys, &arena);
    let row = Row::new(&arena, &handle.schema, &source);
    match handle.predicate.eval(&row, &mut Vm::new(limits)) {
        Ok(truth) => truth.known().ok_or_else(|| {
            let message = "the answer depends on a column that the record does not have";
            NifError::new("unknown_value", message)
        }),
        Err(raised) => {
            let column = raised.column().and_then(|c| handle.keys.name(c));
            let (code, message) = match column {
                Some(name) => ("unreadable_value", format!("column {name}: {raised}")),
                None => ("evaluation_error", raised.to_string()),
            };
            Err(NifError::new(code, message).with_sqlstate(Some(raised.sqlstate())))
        }
    }
}

/// The names of the columns that a clause reads.
#[rustler::nif]
fn predicate_columns(handle: ResourceArc<PredicateHandle>) -> Vec<String> {
    let columns = handle.predicate.columns().iter();
    columns.filter_map(|c| handle.keys.name(c).map(str::to_owned)).collect()
}
