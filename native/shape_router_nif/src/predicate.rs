//! A clause by itself: `ShapeRouter.Predicate`.

use crate::atoms;
use crate::columns::ColumnKeys;
use crate::error::{NifError, reply};
use crate::handle::PredicateHandle;
use crate::router::{compile_options, params, schema};
use crate::row::MapRow;
use bumpalo::Bump;
use rustler::{Encoder, Env, ResourceArc, Term, TermType};
use shape_expr::{Compiler, Limits, Row, Vm};

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

/// true, false, nil, or an error.
#[rustler::nif]
fn predicate_eval<'a>(
    env: Env<'a>,
    handle: ResourceArc<PredicateHandle>,
    record: Term<'a>,
) -> Term<'a> {
    if record.get_type() != TermType::Map {
        return NifError::argument("a record is a map").encode(env);
    }
    let arena = Bump::new();
    let source = MapRow::new(record, &handle.keys, &arena);
    let row = Row::new(&arena, &handle.schema, &source);
    match handle.predicate.eval(&row, &mut Vm::new(Limits::default())) {
        Ok(truth) => match truth.known() {
            Some(Some(answer)) => answer.encode(env),
            Some(None) => atoms::nil().to_term(env),
            None => {
                let message = "the answer depends on a column that the record does not have";
                NifError::new("unknown_value", message).encode(env)
            }
        },
        Err(raised) => {
            let code: &'static str =
                if raised.column().is_some() { "unreadable_value" } else { "evaluation_error" };
            let column = raised.column().and_then(|c| handle.keys.name(c));
            let message = match column {
                Some(name) => format!("column {name}: {raised}"),
                None => raised.to_string(),
            };
            NifError { code, message, position: None, sqlstate: Some(raised.sqlstate().to_owned()) }
                .encode(env)
        }
    }
}

/// The names of the columns that a clause reads.
#[rustler::nif]
fn predicate_columns(handle: ResourceArc<PredicateHandle>) -> Vec<String> {
    let columns = handle.predicate.columns().iter();
    columns.filter_map(|c| handle.keys.name(c).map(str::to_owned)).collect()
}
