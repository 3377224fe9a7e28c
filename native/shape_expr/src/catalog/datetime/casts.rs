//! Casts between dates and times.

use crate::catalog::casts::{Cast, Method::Function as By, casts};
use crate::catalog::wrong_kind;
use crate::error::{EvalError, Raise};
use crate::expr::Volatility;
use crate::program::Implementation;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::datetime;
use crate::vm::Context;

/// Does the text depend on settings, as PostgreSQL sees it?
pub(in crate::catalog) fn output_is_stable(ty: &Type) -> bool {
    matches!(ty, Type::Date | Type::Timestamp | Type::Timestamptz | Type::Interval)
}

/// Does reading the type depend on settings, as PostgreSQL sees it?
pub(in crate::catalog) fn input_is_stable(ty: &Type) -> bool {
    ty.is_time() || *ty == Type::Interval
}

pub(in crate::catalog) static CASTS: &[Cast] = casts! {
    Date => Timestamp Implicit By(date_to_timestamp);
    Interval => Time Assignment By(interval_to_time);
    Time => Interval Implicit By(time_to_interval);
    Timestamp => Date Assignment By(timestamp_to_date);
    Timestamp => Time Assignment By(timestamp_to_time);
    Timetz => Time Assignment By(timetz_to_time);
};

/// The same, depending on the session's time zone.
macro_rules! stable_casts {
    ($($from:ident => $to:ident $context:ident $method:expr;)*) => {
        &[$(Cast {
            from: Type::$from,
            to: Type::$to,
            context: crate::catalog::CastContext::$context,
            method: $method,
            volatility: Volatility::Stable,
        }),*]
    };
}

pub(in crate::catalog) static STABLE_CASTS: &[Cast] = stable_casts! {
    Date => Timestamptz Implicit By(date_to_timestamptz);
    Time => Timetz Implicit By(time_to_timetz);
    Timestamp => Timestamptz Implicit By(timestamp_to_timestamptz);
    Timestamptz => Date Assignment By(timestamptz_to_date);
    Timestamptz => Time Assignment By(timestamptz_to_time);
    Timestamptz => Timestamp Assignment By(timestamptz_to_timestamp);
    Timestamptz => Timetz Assignment By(timestamptz_to_timetz);
};

fn date_to_timestamp<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Date(date)] => Ok(Value::Timestamp(datetime::date_to_timestamp(date)?)),
        _ => wrong_kind(),
    }
}

fn interval_to_time<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Interval(i)] => Ok(Value::Time(datetime::interval_to_time(i.microseconds))),
        _ => wrong_kind(),
    }
}

fn time_to_interval<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Time(t)] => Ok(Value::Interval(datetime::Interval::new(0, 0, t))),
        _ => wrong_kind(),
    }
}

pub(super) fn timestamp_to_date<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] => Ok(Value::Date(datetime::timestamp_to_date(t))),
        _ => wrong_kind(),
    }
}

fn timestamp_to_time<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] if !datetime::is_finite(t) => Ok(Value::Null),
        [Value::Timestamp(t)] => Ok(Value::Time(datetime::wrap_time(t))),
        _ => wrong_kind(),
    }
}

fn timetz_to_time<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::TimeTz(t, _)] => Ok(Value::Time(t)),
        _ => wrong_kind(),
    }
}

fn date_to_timestamptz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Date(date)] => {
            Ok(Value::Timestamp(datetime::date_to_timestamptz(date, context.zone())?))
        }
        _ => wrong_kind(),
    }
}

/// With the offset of today, which the row does not know unless it is always the same.
fn time_to_timetz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match (args, context.zone().present_offset()) {
        ([Value::Time(t)], Some(east)) => Ok(Value::TimeTz(*t, -east)),
        ([Value::Time(_)], None) => Err(EvalError::new(Raise::NotSupported)),
        _ => wrong_kind(),
    }
}

fn timestamp_to_timestamptz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] => {
            Ok(Value::Timestamp(datetime::timestamp_to_timestamptz(t, context.zone())?))
        }
        _ => wrong_kind(),
    }
}

pub(super) fn timestamptz_to_date<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] if !datetime::is_finite(t) => {
            Ok(Value::Date(datetime::timestamp_to_date(t)))
        }
        [Value::Timestamp(t)] => {
            let (local, _) = datetime::to_local(t, context.zone());
            Ok(Value::Date(datetime::timestamp_to_date(local)))
        }
        _ => wrong_kind(),
    }
}

fn timestamptz_to_timestamp<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] => {
            Ok(Value::Timestamp(datetime::timestamptz_to_timestamp(t, context.zone())?))
        }
        _ => wrong_kind(),
    }
}

fn timestamptz_to_time<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] if !datetime::is_finite(t) => Ok(Value::Null),
        [Value::Timestamp(t)] => Ok(Value::Time(datetime::local_time(t, context.zone()).0)),
        _ => wrong_kind(),
    }
}

fn timestamptz_to_timetz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(t)] if !datetime::is_finite(t) => Ok(Value::Null),
        [Value::Timestamp(t)] => {
            let (time, east) = datetime::local_time(t, context.zone());
            Ok(Value::TimeTz(time, -east as i32))
        }
        _ => wrong_kind(),
    }
}

/// The function that rounds to a modifier: takes value, modifier, "is explicit".
pub(in crate::catalog) fn length_coercion(ty: &Type) -> Option<Implementation> {
    Some(match ty {
        Type::Timestamptz | Type::Timestamp | Type::Time | Type::Timetz => scale,
        Type::Interval => interval_scale,
        _ => return None,
    })
}

fn scale<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [value, Value::Int(typmod), _] = args else { return wrong_kind() };
    let places = i32::try_from(*typmod).unwrap_or(6);
    Ok(match *value {
        Value::Timestamp(t) => Value::Timestamp(datetime::round(t, places)),
        Value::Time(t) => Value::Time(datetime::round(t, places)),
        Value::TimeTz(t, west) => Value::TimeTz(datetime::round(t, places), west),
        _ => return wrong_kind(),
    })
}

fn interval_scale<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Interval(interval), Value::Int(typmod), _] = args else { return wrong_kind() };
    let typmod = i32::try_from(*typmod).unwrap_or(-1);
    Ok(Value::Interval(datetime::fit_interval(*interval, typmod)))
}
