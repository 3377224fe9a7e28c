//! What the behaviour tests share: compile a clause over typed columns, evaluate it on one row.
#![allow(dead_code)]

use bumpalo::Bump;
use shape_expr::{
    Column, Compiled, Compiler, Datum, Error, EvalError, Options, Param, Row, Schema, Truth, Vm,
};

/// A closed schema `t` from `name type` pairs.
pub fn schema(columns: &[(&str, &str)]) -> Schema {
    let columns = columns.iter().map(|(name, ty)| Column::new(name, ty.parse().expect(ty)));
    Schema::new("t", columns.collect()).expect("schema")
}

pub fn compiler() -> Compiler {
    Compiler::new(Options::default()).expect("options")
}

pub fn compile(clause: &str, schema: &Schema) -> Result<Compiled, Error> {
    compiler().compile(clause, schema, &[])
}

pub fn compile_with(
    clause: &str,
    schema: &Schema,
    params: &[Param<'_>],
) -> Result<Compiled, Error> {
    compiler().compile(clause, schema, params)
}

/// The clause's answer for a row given as PostgreSQL's text, `None` being NULL.
pub fn eval(
    clause: &str,
    columns: &[(&str, &str)],
    row: &[Option<&str>],
) -> Result<Option<bool>, EvalError> {
    let data: Vec<Datum<'_>> =
        row.iter().map(|v| v.map_or(Datum::Null, |v| Datum::Text(v.as_bytes()))).collect();
    eval_data(clause, columns, &data).map(|truth| truth.known().expect("all columns are known"))
}

pub fn eval_data(
    clause: &str,
    columns: &[(&str, &str)],
    row: &[Datum<'_>],
) -> Result<Truth, EvalError> {
    let schema = schema(columns);
    let compiled = compile(clause, &schema).unwrap_or_else(|e| panic!("{clause}: {e:?}"));
    let arena = Bump::new();
    let row = row.to_vec();
    let row = Row::new(&arena, &schema, &row);
    compiled.predicate.eval(&row, &mut Vm::default())
}

/// The answer of a clause without columns.
pub fn constant(clause: &str) -> Result<Option<bool>, &'static str> {
    eval(clause, &[], &[]).map_err(|error| error.sqlstate())
}

/// Code and position of the refusal.
pub fn refusal(clause: &str, columns: &[(&str, &str)]) -> (&'static str, Option<usize>) {
    let error = compile(clause, &schema(columns)).expect_err(clause);
    (error.code(), error.position())
}
