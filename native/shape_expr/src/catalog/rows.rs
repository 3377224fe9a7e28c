//! Rows as values: what `ROW(...)` is where it is no operand of a row comparison.
//!
//! Such a value is an array of three items a field: its type, a mark and its value. The mark is the
//! field's collation by number, or [`NO_EQUALITY`].

use std::cmp::Ordering;

use super::{Operator, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Expr, Function, Node, Strategy, Volatility};
use crate::program::{Implementation, Test};
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::vm::Context;

/// The mark of a field whose type has no equality.
pub(crate) const NO_EQUALITY: i64 = -1;

/// Items a field.
const WIDTH: usize = 3;

fn is_open(arg: &Value<'_>) -> bool {
    matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)
}

fn make<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    context.reserve(size_of_val(args))?;
    let arena = context.arena();
    Ok(Value::Array(Array::list(arena, arena.alloc_slice_copy(args))))
}

/// record_cmp: NULL is equal to NULL and greater than everything else. `None` for types that have no
/// order.
fn compare<'a>(
    context: &mut Context<'a>,
    a: Array<'a>,
    b: Array<'a>,
) -> Result<Ordering, EvalError> {
    let (left, right) = (a.len() / WIDTH, b.len() / WIDTH);
    context.charge(left.min(right) as u64)?;
    for at in 0..left.min(right) {
        let item = |array: Array<'a>, i: usize| array.get(WIDTH * at + i).unwrap_or(Value::Null);
        let (Value::Type(ty), Value::Type(other)) = (item(a, 0), item(b, 0)) else {
            return wrong_kind().map(|_| Ordering::Equal);
        };
        if ty != other {
            return Err(EvalError::new(Raise::DatatypeMismatch));
        }
        let (Value::Int(mark), Value::Int(other)) = (item(a, 1), item(b, 1)) else {
            return wrong_kind().map(|_| Ordering::Equal);
        };
        if mark == NO_EQUALITY {
            return Err(EvalError::new(Raise::UndefinedFunction));
        }
        let (x, y) = (item(a, 2), item(b, 2));
        let order = match (x.is_null(), y.is_null()) {
            (false, false) if mark != other => {
                return Err(EvalError::new(Raise::IndeterminateCollation));
            }
            (false, false) => match (x, y, ty) {
                (Value::Array(x), Value::Array(y), Type::Record) => compare(context, x, y)?,
                _ => x.compare(&y),
            },
            (x, y) => x.cmp(&y),
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
    match left == right {
        true => Ok(Ordering::Equal),
        false => Err(EvalError::new(Raise::DatatypeMismatch)),
    }
}

macro_rules! orders {
    ($($name:ident $is:ident;)*) => {
        $(fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let [Value::Array(a), Value::Array(b)] = args else { return wrong_kind() };
            Ok(Value::Bool(compare(context, *a, *b)?.$is()))
        })*
    };
}

orders! {
    eq is_eq;
    ne is_ne;
    lt is_lt;
    le is_le;
    gt is_gt;
    ge is_ge;
}

/// `row IS NULL` of a row that is a value: all of its fields are, or there is none.
fn is_null<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    test(args, true)
}

/// `row IS NOT NULL`: none of its fields is.
fn is_not_null<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    test(args, false)
}

fn test<'a>(args: &[Value<'a>], null: bool) -> Eval<'a> {
    Ok(match args {
        [Value::Null] => Value::Bool(null),
        [Value::Array(row)] => {
            let mut fields = (0..row.len() / WIDTH).filter_map(|at| row.get(WIDTH * at + 2));
            Value::Bool(fields.all(|field| field.is_null() == null))
        }
        [value] if is_open(value) => Value::Unknown,
        _ => return wrong_kind(),
    })
}

fn function(name: &'static str, implementation: Implementation, result: Type) -> Function {
    Function {
        name,
        implementation,
        result,
        strict: false,
        volatility: Volatility::Immutable,
        strategy: Strategy::Plain,
        is_cast: false,
    }
}

/// `ROW(...)`, of three arguments a field.
pub(crate) fn row() -> Function {
    function("row", make, Type::Record)
}

/// The null test of a row that is a value.
pub(crate) fn row_test(null: bool) -> Function {
    let made = match null {
        true => function("row is null", is_null, Type::Bool),
        false => function("row is not null", is_not_null, Type::Bool),
    };
    // PostgreSQL's planner does not take it of a constant.
    Function { volatility: Volatility::Stable, ..made }
}

/// The test and the fields, where such a test is one of a row written out.
pub(crate) fn tested_row(function: &Function, args: &[Expr]) -> Option<(Test, Vec<Expr>)> {
    let test = match function.name {
        "row is null" => Test::Null,
        "row is not null" => Test::NotNull,
        _ => return None,
    };
    let [Expr { node: Node::Call { function, args }, .. }] = args else { return None };
    (function.name == "row").then(|| (test, args.iter().skip(2).step_by(WIDTH).cloned().collect()))
}

macro_rules! rows {
    ($($name:literal = $function:expr, $strategy:ident;)*) => {
        &[$(Operator {
            name: $name,
            left: Some(Type::Record),
            right: Type::Record,
            result: Type::Bool,
            implementation: $function,
            strategy: Strategy::$strategy,
        }),*]
    };
}

// Rows may be of different types, and then comparing them raises: no set can hold them.
pub(super) static OPERATORS: &[&[Operator]] = &[rows! {
    "=" = eq, Plain;
    "<>" = ne, Plain;
    "<" = lt, Less;
    "<=" = le, LessEqual;
    ">" = gt, Greater;
    ">=" = ge, GreaterEqual;
}];
