//! `(start, end) OVERLAPS (start, end)`, and with lengths in place of ends.

use std::cmp::Ordering;

use crate::catalog::{FunctionRow, wrong_kind};
use crate::expr::Volatility;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::datetime::SECOND;
use crate::vm::Context;

fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    Some(match (a, b) {
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::TimeTz(a, x), Value::TimeTz(b, y)) => {
            let utc = |time: i64, west: i32| time + i64::from(west) * SECOND;
            utc(*a, *x).cmp(&utc(*b, *y)).then(x.cmp(y))
        }
        _ => return None,
    })
}

/// The earlier of the two first; an unknown one last.
fn ordered<'a>(start: Value<'a>, end: Value<'a>) -> [Value<'a>; 2] {
    match order(&start, &end) {
        Some(Ordering::Greater) => [end, start],
        None if start.is_null() => [end, start],
        _ => [start, end],
    }
}

/// Lengths have become ends when the clause was resolved.
fn overlaps<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(|arg| arg.is_unknown() || matches!(arg, Value::Opaque)) {
        return Ok(Value::Unknown);
    }
    let [start, end, other, other_end] = *args else { return wrong_kind() };
    let ([a, a_end], [b, b_end]) = (ordered(start, end), ordered(other, other_end));
    // Of which of two periods it is asked first does not matter.
    let known = |end: &Value<'_>, than: &Value<'_>| order(than, end).map(Ordering::is_lt);
    let answer = match order(&a, &b) {
        None => None,
        Some(Ordering::Equal) => (!a_end.is_null() && !b_end.is_null()).then_some(true),
        Some(Ordering::Greater) => later(known(&b_end, &a), !a_end.is_null()),
        Some(Ordering::Less) => later(known(&a_end, &b), !b_end.is_null()),
    };
    Ok(answer.map_or(Value::Null, Value::Bool))
}

/// Whether the later period begins before the earlier one ends; a no needs the later one's end too.
fn later(begins_before_end: Option<bool>, end_known: bool) -> Option<bool> {
    match begins_before_end? {
        true => Some(true),
        false => end_known.then_some(false),
    }
}

macro_rules! overlaps {
    ($($volatility:ident $a:ident $b:ident $c:ident $d:ident;)*) => {
        &[$(FunctionRow {
            name: "overlaps",
            args: &[Type::$a, Type::$b, Type::$c, Type::$d],
            result: Type::Bool,
            implementation: overlaps,
            strict: false,
            volatility: Volatility::$volatility,
        }),*]
    };
}

pub(in crate::catalog) static OVERLAPS: &[FunctionRow] = overlaps! {
    Immutable Timetz Timetz Timetz Timetz;
    Immutable Time Time Time Time;
    Immutable Time Interval Time Interval;
    Immutable Time Interval Time Time;
    Immutable Time Time Time Interval;
    Immutable Timestamp Timestamp Timestamp Timestamp;
    Immutable Timestamp Interval Timestamp Interval;
    Immutable Timestamp Interval Timestamp Timestamp;
    Immutable Timestamp Timestamp Timestamp Interval;
    Immutable Timestamptz Timestamptz Timestamptz Timestamptz;
    Stable Timestamptz Interval Timestamptz Interval;
    Stable Timestamptz Interval Timestamptz Timestamptz;
    Stable Timestamptz Timestamptz Timestamptz Interval;
};
