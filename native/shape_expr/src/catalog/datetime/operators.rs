//! Operators: comparison across types, sums and differences.

use std::cmp::Ordering;

use crate::catalog::{Operator, operators, prefix_operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Strategy, Volatility};
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::datetime::{self, SECOND, Zone};
use crate::vm::Context;

/// What mixes a timestamptz with anything else depends on the session's time zone.
pub(in crate::catalog) fn operator_volatility(operator: &Operator) -> Volatility {
    let types = [operator.left.as_ref().unwrap_or(&operator.right), &operator.right];
    let zoned = |ty: &Type| *ty == Type::Timestamptz;
    let other = |ty: &Type| matches!(ty, Type::Timestamp | Type::Date | Type::Interval);
    match types.iter().any(|ty| zoned(ty)) && types.iter().any(|ty| other(ty)) {
        true => Volatility::Stable,
        false => Volatility::Immutable,
    }
}

/// Six functions from one order, given the zone.
macro_rules! order {
    ($module:ident, $order:expr) => {
        pub(in crate::catalog) mod $module {
            use super::*;

            fn compare<'a>(
                context: &Context<'a>,
                args: &[Value<'a>],
                is: impl Fn(Ordering) -> bool,
            ) -> Eval<'a> {
                let order: fn(&[Value<'_>], &Zone) -> Option<Ordering> = $order;
                match order(args, context.zone()) {
                    Some(order) => Ok(Value::Bool(is(order))),
                    None => wrong_kind(),
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
        pub fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            compare(context, args, Ordering::$is)
        }
    };
}

// By the moment in UTC, then by the zone.
order!(timetz, |args, _| match args {
    [Value::TimeTz(a, x), Value::TimeTz(b, y)] => {
        let utc = |time: i64, west: i32| time + i64::from(west) * SECOND;
        Some(utc(*a, *x).cmp(&utc(*b, *y)).then(x.cmp(y)))
    }
    _ => None,
});
order!(date_timestamp, |args, _| match args {
    [Value::Date(a), Value::Timestamp(b)] => Some(datetime::compare_date_timestamp(*a, *b)),
    _ => None,
});
order!(timestamp_date, |args, _| match args {
    [Value::Timestamp(a), Value::Date(b)] => {
        Some(datetime::compare_date_timestamp(*b, *a).reverse())
    }
    _ => None,
});
order!(date_timestamptz, |args, zone| match args {
    [Value::Date(a), Value::Timestamp(b)] => {
        Some(datetime::compare_date_timestamptz(*a, *b, zone))
    }
    _ => None,
});
order!(timestamptz_date, |args, zone| match args {
    [Value::Timestamp(a), Value::Date(b)] => {
        Some(datetime::compare_date_timestamptz(*b, *a, zone).reverse())
    }
    _ => None,
});
order!(timestamp_timestamptz, |args, zone| match args {
    [Value::Timestamp(a), Value::Timestamp(b)] => {
        Some(datetime::compare_timestamp_timestamptz(*a, *b, zone))
    }
    _ => None,
});
order!(timestamptz_timestamp, |args, zone| match args {
    [Value::Timestamp(a), Value::Timestamp(b)] => {
        Some(datetime::compare_timestamp_timestamptz(*b, *a, zone).reverse())
    }
    _ => None,
});

/// The six rows of a pair of types. Values of two types are no keys of one index, so these have no
/// strategy.
macro_rules! rows {
    ($left:ident, $right:ident, $module:ident) => {
        operators! {
            $left "=" $right -> Bool = $module::eq;
            $left "<>" $right -> Bool = $module::ne;
            $left "<" $right -> Bool = $module::lt;
            $left "<=" $right -> Bool = $module::le;
            $left ">" $right -> Bool = $module::gt;
            $left ">=" $right -> Bool = $module::ge;
        }
    };
}

pub(in crate::catalog) static COMPARISONS: &[&[Operator]] = &[
    rows!(Date, Timestamp, date_timestamp),
    rows!(Timestamp, Date, timestamp_date),
    rows!(Date, Timestamptz, date_timestamptz),
    rows!(Timestamptz, Date, timestamptz_date),
    rows!(Timestamp, Timestamptz, timestamp_timestamptz),
    rows!(Timestamptz, Timestamp, timestamptz_timestamp),
];

/// Functions of two arguments: `name: pattern, pattern => result;`.
macro_rules! binary {
    ($($name:ident: $left:pat, $right:pat => $result:expr;)*) => {
        $(
            fn $name<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                match *args {
                    [$left, $right] => Ok($result),
                    _ => wrong_kind(),
                }
            }
        )*
    };
}

use Value::{Date, Float, Int, Interval, Time, TimeTz, Timestamp};

binary! {
    date_plus_int: Date(d), Int(i) => Date(datetime::date_plus_days(d, i)?);
    date_minus_int: Date(d), Int(i) => Date(datetime::date_plus_days(d, -i)?);
    date_minus_date: Date(a), Date(b) => Int(datetime::date_minus_date(a, b)?);
    date_plus_interval: Date(d), Interval(i) =>
        Timestamp(datetime::timestamp_plus(datetime::date_to_timestamp(d)?, i)?);
    date_minus_interval: Date(d), Interval(i) =>
        Timestamp(datetime::timestamp_minus(datetime::date_to_timestamp(d)?, i)?);
    date_plus_time: Date(d), Time(t) => Timestamp(datetime::date_plus_time(d, t)?);
    date_plus_timetz: Date(d), TimeTz(t, west) =>
        Timestamp(datetime::date_plus_timetz(d, t, west)?);
    timestamp_plus: Timestamp(t), Interval(i) =>
        Timestamp(datetime::timestamp_plus(t, i)?);
    timestamp_minus: Timestamp(t), Interval(i) => Timestamp(datetime::timestamp_minus(t, i)?);
    timestamp_difference: Timestamp(a), Timestamp(b) =>
        Interval(datetime::timestamp_minus_timestamp(a, b)?);
    time_plus: Time(t), Interval(i) =>
        Time(datetime::wrap_time(t.wrapping_add(i.microseconds)));
    time_minus: Time(t), Interval(i) =>
        Time(datetime::wrap_time(t.wrapping_sub(i.microseconds)));
    timetz_plus: TimeTz(t, west), Interval(i) =>
        TimeTz(datetime::wrap_time(t.wrapping_add(i.microseconds)), west);
    timetz_minus: TimeTz(t, west), Interval(i) =>
        TimeTz(datetime::wrap_time(t.wrapping_sub(i.microseconds)), west);
    time_difference: Time(a), Time(b) => Interval(datetime::Interval::new(0, 0, a - b));
    interval_plus: Interval(a), Interval(b) => Interval(a.add(b)?);
    interval_minus: Interval(a), Interval(b) => Interval(a.subtract(b)?);
    interval_times: Interval(i), Float(x) => Interval(i.multiply(x)?);
    times_interval: Float(x), Interval(i) => Interval(i.multiply(x)?);
    interval_over: Interval(i), Float(x) => match x {
        0.0 => return Err(EvalError::new(Raise::DivisionByZero)),
        x => Interval(i.divide(x)?),
    };
}

fn timestamptz_plus<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Timestamp(t), Interval(i)] => {
            Ok(Timestamp(datetime::timestamptz_plus(t, i, context.zone())?))
        }
        _ => wrong_kind(),
    }
}

fn timestamptz_minus<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Timestamp(t), Interval(i)] => {
            Ok(Timestamp(datetime::timestamptz_minus(t, i, context.zone())?))
        }
        _ => wrong_kind(),
    }
}

fn interval_negate<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Interval(i)] => Ok(Interval(i.negate()?)),
        _ => wrong_kind(),
    }
}

/// Rows that PostgreSQL defines by their twins, with the operands exchanged.
macro_rules! turned {
    ($($left:ident $name:literal $right:ident -> $result:ident = $function:expr;)*) => {
        &[$(Operator {
            name: $name,
            left: Some(Type::$left),
            right: Type::$right,
            result: Type::$result,
            implementation: $function,
            strategy: Strategy::Turned,
        }),*]
    };
}

pub(in crate::catalog) static OPERATORS: &[&[Operator]] = &[
    operators! {
        Date "+" Int4 -> Date = date_plus_int;
        Date "-" Int4 -> Date = date_minus_int;
        Date "-" Date -> Int4 = date_minus_date;
        Date "+" Interval -> Timestamp = date_plus_interval;
        Date "-" Interval -> Timestamp = date_minus_interval;
        Date "+" Time -> Timestamp = date_plus_time;
        Date "+" Timetz -> Timestamptz = date_plus_timetz;
        Timestamp "+" Interval -> Timestamp = timestamp_plus;
        Timestamp "-" Interval -> Timestamp = timestamp_minus;
        Timestamp "-" Timestamp -> Interval = timestamp_difference;
        Timestamptz "+" Interval -> Timestamptz = timestamptz_plus;
        Timestamptz "-" Interval -> Timestamptz = timestamptz_minus;
        Timestamptz "-" Timestamptz -> Interval = timestamp_difference;
        Time "+" Interval -> Time = time_plus;
        Time "-" Interval -> Time = time_minus;
        Time "-" Time -> Interval = time_difference;
        Timetz "+" Interval -> Timetz = timetz_plus;
        Timetz "-" Interval -> Timetz = timetz_minus;
        Interval "+" Interval -> Interval = interval_plus;
        Interval "-" Interval -> Interval = interval_minus;
        Interval "*" Float8 -> Interval = interval_times;
        Float8 "*" Interval -> Interval = times_interval;
        Interval "/" Float8 -> Interval = interval_over;
    },
    turned! {
        Int4 "+" Date -> Date = date_plus_int;
        Interval "+" Date -> Timestamp = date_plus_interval;
        Time "+" Date -> Timestamp = date_plus_time;
        Timetz "+" Date -> Timestamptz = date_plus_timetz;
        Interval "+" Timestamp -> Timestamp = timestamp_plus;
        Interval "+" Timestamptz -> Timestamptz = timestamptz_plus;
        Interval "+" Time -> Time = time_plus;
        Interval "+" Timetz -> Timetz = timetz_plus;
    },
    prefix_operators! {
        "-" Interval -> Interval = interval_negate;
    },
];
