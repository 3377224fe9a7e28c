//! `= <> < <= > >=` of all types.

use std::cmp::Ordering;

use super::datetime::timetz;
use super::{Operator, wrong_kind};
use crate::value::{Eval, Value};
use crate::values::{float, json_order, text};
use crate::vm::Context;

/// Six functions from one order of two kinds of values.
macro_rules! order {
    ($module:ident, $left:ident, $right:ident, $compare:expr) => {
        pub(super) mod $module {
            use super::*;

            #[inline]
            fn order(args: &[Value<'_>], is: impl Fn(Ordering) -> bool) -> Option<bool> {
                match args {
                    [Value::$left(a), Value::$right(b)] => Some(is($compare(a, b))),
                    _ => None,
                }
            }

            order!(@function eq, is_eq);
            order!(@function ne, is_ne);
            order!(@function lt, is_lt);
            order!(@function le, is_le);
            order!(@function gt, is_gt);
            order!(@function ge, is_ge);
        }
    };
    (@function $name:ident, $is:ident) => {
        pub fn $name<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            match order(args, Ordering::$is) {
                Some(answer) => Ok(Value::Bool(answer)),
                None => wrong_kind(),
            }
        }
    };
}

order!(booleans, Bool, Bool, |a: &bool, b: &bool| a.cmp(b));
order!(integers, Int, Int, |a: &i64, b: &i64| a.cmp(b));
order!(floats, Float, Float, |a: &f64, b: &f64| float::compare(*a, *b));
order!(numerics, Numeric, Numeric, |a: &crate::Numeric<'_>, b: &crate::Numeric<'_>| a.compare(b));
order!(texts, Text, Text, |a: &&str, b: &&str| a.as_bytes().cmp(b.as_bytes()));
order!(bpchars, Bpchar, Bpchar, |a: &&str, b: &&str| {
    text::trim_blanks(a).as_bytes().cmp(text::trim_blanks(b).as_bytes())
});
order!(bytes, Bytes, Bytes, |a: &&[u8], b: &&[u8]| a.cmp(b));
order!(uuids, Uuid, Uuid, |a: &[u8; 16], b: &[u8; 16]| a.cmp(b));

/// Documents, which cost what they are long.
pub(super) mod jsonbs {
    use super::*;

    fn order<'a>(
        context: &mut Context<'a>,
        args: &[Value<'a>],
        is: fn(Ordering) -> bool,
    ) -> Eval<'a> {
        let [Value::Json(a), Value::Json(b)] = args else { return wrong_kind() };
        context.charge(a.bytes().len().min(b.bytes().len()) as u64 / 16)?;
        Ok(Value::Bool(is(json_order::compare(*a, *b))))
    }

    macro_rules! orders {
        ($($name:ident $is:ident;)*) => {
            $(pub fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                order(context, args, Ordering::$is)
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
}

order!(timestamps, Timestamp, Timestamp, |a: &i64, b: &i64| a.cmp(b));
order!(dates, Date, Date, |a: &i32, b: &i32| a.cmp(b));
order!(times, Time, Time, |a: &i64, b: &i64| a.cmp(b));
order!(intervals, Interval, Interval, |a: &crate::Interval, b: &crate::Interval| a.compare(b));

/// The six rows of a pair of types.
macro_rules! rows {
    ($left:ident, $right:ident, $module:ident) => {
        &[
            rows!(@ "=" $left $right $module eq Equal),
            rows!(@ "<>" $left $right $module ne NotEqual),
            rows!(@ "<" $left $right $module lt Less),
            rows!(@ "<=" $left $right $module le LessEqual),
            rows!(@ ">" $left $right $module gt Greater),
            rows!(@ ">=" $left $right $module ge GreaterEqual),
        ]
    };
    (@ $name:literal $left:ident $right:ident $module:ident $function:ident $strategy:ident) => {
        Operator {
            name: $name,
            left: Some($crate::types::Type::$left),
            right: $crate::types::Type::$right,
            result: $crate::types::Type::Bool,
            implementation: $module::$function,
            strategy: $crate::expr::Strategy::$strategy,
        }
    };
}

pub(super) static OPERATORS: &[&[Operator]] = &[
    rows!(Bool, Bool, booleans),
    rows!(Int2, Int2, integers),
    rows!(Int2, Int4, integers),
    rows!(Int2, Int8, integers),
    rows!(Int4, Int2, integers),
    rows!(Int4, Int4, integers),
    rows!(Int4, Int8, integers),
    rows!(Int8, Int2, integers),
    rows!(Int8, Int4, integers),
    rows!(Int8, Int8, integers),
    rows!(Float4, Float4, floats),
    rows!(Float4, Float8, floats),
    rows!(Float8, Float4, floats),
    rows!(Float8, Float8, floats),
    rows!(Numeric, Numeric, numerics),
    rows!(Text, Text, texts),
    rows!(Text, Name, texts),
    rows!(Name, Text, texts),
    rows!(Name, Name, texts),
    rows!(Bpchar, Bpchar, bpchars),
    rows!(Oid, Oid, integers),
    rows!(Bytea, Bytea, bytes),
    rows!(Uuid, Uuid, uuids),
    rows!(Timestamptz, Timestamptz, timestamps),
    rows!(Jsonb, Jsonb, jsonbs),
    rows!(Timestamp, Timestamp, timestamps),
    rows!(Date, Date, dates),
    rows!(Time, Time, times),
    rows!(Timetz, Timetz, timetz),
    rows!(Interval, Interval, intervals),
];
