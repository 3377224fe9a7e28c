//! PostgreSQL values and WHERE clauses: text -> typed tree -> bytecode -> true, false or null.
//!
//! A clause is parsed by PostgreSQL's own grammar, resolved against a table's columns by
//! PostgreSQL's own rules, and compiled to a small program. Evaluating it on a row gives exactly
//! PostgreSQL's answer, NULL and raised errors included.
//!
//! ```
//! use bumpalo::Bump;
//! use shape_expr::{Column, Compiler, Datum, Limits, Options, Row, Schema, Vm};
//!
//! let schema = Schema::new(
//!     "todos",
//!     vec![Column::new("user_id", "int8".parse()?), Column::new("status", "text".parse()?)],
//! )?;
//! let mut compiler = Compiler::new(Options::default())?;
//! let clause = "user_id = 123 AND status IN ('open', 'late')";
//! let predicate = compiler.compile(clause, &schema, &[])?.predicate;
//!
//! let arena = Bump::new();
//! let record = vec![Datum::Text(b"123"), Datum::Text(b"late")];
//! let row = Row::new(&arena, &schema, &record);
//! let mut vm = Vm::new(Limits::default());
//! assert!(predicate.eval(&row, &mut vm)?.is_true());
//!
//! // A clause that differs only in its constants shares the program.
//! let other = compiler.compile("user_id = 7 AND status IN ('open', 'done')", &schema, &[])?;
//! assert_eq!(other.predicate.template_id(), predicate.template_id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aggregate;
mod analysis;
mod catalog;
mod codegen;
mod column_set;
mod compiler;
mod constants;
#[doc(hidden)]
pub mod coverage;
mod error;
mod exact;
mod expr;
mod expression;
mod fold;
mod owned;
mod packed;
mod parse;
mod predicate;
mod program;
mod resolve;
mod row;
mod schema;
mod sets;
pub mod sql;
mod stored;
mod text_cache;
mod truth;
mod types;
mod value;
mod values;
mod vm;

pub use aggregate::{Accumulator, Aggregate};
pub use analysis::Access;
pub use column_set::ColumnSet;
pub use compiler::{Compiler, MAX_CLAUSE_BYTES, MAX_DEPTH, MAX_NODES, Options, Param};
pub use error::{Error, EvalError, Raise};
pub use expression::{Analysed, Expression};
pub use owned::Owned;
/// Whether a clause has subqueries. One that passes is a single expression, so that it may stand behind the WHERE
/// of any query.
///
/// # Errors
/// It is no clause, or has what is not supported in one.
pub fn has_subquery(clause: &str) -> Result<bool, Error> {
    let depth = parse::check(clause)?;
    compiler::on_big_stack(depth, || parse::has_subquery(clause))
}

/// A subquery's text in one form, whatever the spacing, comments and case of words.
///
/// # Errors
/// It is no subquery.
pub fn canonical_subquery(subquery: &str) -> Result<String, Error> {
    parse::subquery::canonical(subquery)
}

/// The subqueries of a clause, in the order in which they stand, with parameters put in.
///
/// # Errors
/// It cannot be parsed, or a subquery stands where none can.
pub fn subqueries(clause: &str, params: &[Param<'_>]) -> Result<Vec<Subquery>, Error> {
    parse::subquery::list(clause, params)
}

pub use packed::{Packed, Predicates};
pub use predicate::{Compiled, Predicate, PredicateRef, Residual};
pub use row::{Datum, Row, RowSource, decode};
pub use schema::{Column, Part, Schema};
pub use sets::{MAX_SET_COLUMNS, Polarity, SetColumn, SetUse, Sets, Subqueries, Subquery};
pub use truth::Truth;
pub use types::{Collation, ColumnType, Element, EnumType, Type};
pub use value::{Eval, Value};
pub use values::array::{Array, Dimension};
pub use values::ctype::lower_case;
pub use values::datetime::Interval;
pub use values::json::Json;
pub use values::numeric::Numeric;
pub use values::order_key::OrderKey;
pub use values::pattern::Pattern;
pub use vm::bulk::Bulk;
pub use vm::{Limits, Vm};
