//! Functions of dates and times.

use super::casts::{timestamp_to_date, timestamptz_to_date};
use crate::catalog::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::Volatility;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::datetime::fields::{self, Part};
use crate::values::datetime::{
    self, Abbreviation, INFINITY, NEGATIVE_INFINITY, Named, SECOND, Unit, Zone, trunc,
};
use crate::values::numeric::{Kind, NumericVar};
use crate::values::numeric_math;
use crate::vm::Context;

const INVALID: EvalError = EvalError::new(Raise::InvalidParameter);
const NOT_OF_THIS_TYPE: EvalError = EvalError::new(Raise::NotSupported);
const OVERFLOW: EvalError = EvalError::new(Raise::DatetimeOverflow);

/// The field of this name. Words that stand for moments exist, but are of no type.
fn field(context: &mut Context<'_>, name: &str, moments: bool) -> Result<Unit, EvalError> {
    context.charge(1 + name.len() as u64 / 16)?;
    match datetime::field_named(name) {
        Named::Unit(unit) => Ok(unit),
        Named::Moment if moments => Err(NOT_OF_THIS_TYPE),
        Named::Moment | Named::Nothing => Err(INVALID),
    }
}

/// A number with this many decimal places, three or six.
fn scaled(value: i128, places: u32) -> NumericVar {
    let kind = if value < 0 { Kind::Negative } else { Kind::Positive };
    let unit = 10u128.pow(places);
    let (mut whole, rest) = (value.unsigned_abs() / unit, value.unsigned_abs() % unit);
    let mut digits = smallvec::SmallVec::<[i16; 16]>::new();
    while whole > 0 {
        digits.insert(0, (whole % 10_000) as i16);
        whole /= 10_000;
    }
    let weight = digits.len() as i32 - 1;
    if places == 3 {
        digits.push((rest * 10) as i16);
    } else {
        digits.push((rest / 100) as i16);
        digits.push((rest % 100 * 100) as i16);
    }
    let mut var = NumericVar { kind, weight, scale: places as i32, digits };
    var.strip();
    var
}

fn numeric<'a>(context: &mut Context<'a>, part: Part) -> Eval<'a> {
    let micros = |second: i64, micros: i64| i128::from(second * SECOND + micros);
    let var = match part {
        Part::Null => return Ok(Value::Null),
        Part::Infinite { negative: true } => NumericVar::special(Kind::NegativeInfinity),
        Part::Infinite { negative: false } => NumericVar::special(Kind::Infinity),
        Part::Whole(value) => NumericVar::from_int(value),
        Part::Milliseconds { second, micros: rest } => scaled(micros(second, rest), 3),
        Part::Seconds { second, micros: rest } => scaled(micros(second, rest), 6),
        Part::Epoch { micros, .. } => scaled(micros, 6),
        Part::Julian { day, micros } => {
            let day_micros = NumericVar::from_int(datetime::DAY);
            let part = numeric_math::divide(&NumericVar::from_int(micros), &day_micros)?;
            numeric_math::add(&NumericVar::from_int(day), &part)
        }
    };
    context.reserve(2 * var.digits.len() + 8)?;
    Ok(Value::Numeric(var.store(context.arena())?))
}

fn float<'a>(part: Part) -> Eval<'a> {
    Ok(part.as_float().map_or(Value::Null, Value::Float))
}

/// Two functions, `extract` and `date_part`, of one type.
macro_rules! part {
    ($extract:ident, $date_part:ident, $moments:literal,
     |$context:ident, $unit:ident| $($pattern:pat => $part:expr),*) => {
        fn $extract<'a>($context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let [Value::Text(name), value] = args else { return wrong_kind() };
            let $unit = field($context, name, $moments)?;
            let part = match *value {
                $($pattern => $part?,)*
                _ => return wrong_kind(),
            };
            numeric($context, part)
        }

        fn $date_part<'a>($context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let [Value::Text(name), value] = args else { return wrong_kind() };
            let $unit = field($context, name, $moments)?;
            float(match *value {
                $($pattern => $part?,)*
                _ => return wrong_kind(),
            })
        }
    };
}

part!(extract_timestamp, part_timestamp, true, |context, unit|
    Value::Timestamp(t) => fields::of_timestamp(unit, t, None));
part!(extract_timestamptz, part_timestamptz, true, |context, unit|
    Value::Timestamp(t) => fields::of_timestamp(unit, t, Some(context.zone())));
part!(extract_time, part_time, false, |context, unit|
    Value::Time(t) => fields::of_time(unit, t, None));
part!(extract_timetz, part_timetz, false, |context, unit|
    Value::TimeTz(t, west) => fields::of_time(unit, t, Some(west)));
part!(extract_interval, part_interval, false, |context, unit|
    Value::Interval(i) => fields::of_interval(unit, &i));

fn extract_date<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(name), Value::Date(date)] = args else { return wrong_kind() };
    let unit = field(context, name, true)?;
    numeric(context, fields::of_date(unit, *date)?)
}

/// As if the date were a timestamp.
fn part_date<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(name), Value::Date(date)] = args else { return wrong_kind() };
    let t = datetime::date_to_timestamp(*date)?;
    let unit = field(context, name, true)?;
    float(fields::of_timestamp(unit, t, None)?)
}

/// `date_trunc` knows an interval's units only.
fn trunc_unit(context: &mut Context<'_>, name: &str) -> Result<Unit, EvalError> {
    match field(context, name, false)? {
        Unit::Epoch | Unit::Julian | Unit::Dow | Unit::Isodow | Unit::Doy | Unit::Isoyear => {
            Err(INVALID)
        }
        unit => Ok(unit),
    }
}

fn trunc_timestamp<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(t)] if !datetime::is_finite(t) => Ok(args[1]),
        [Value::Text(name), Value::Timestamp(t)] => {
            let unit = trunc_unit(context, name)?;
            Ok(Value::Timestamp(trunc::timestamp(unit, t)?))
        }
        _ => wrong_kind(),
    }
}

fn trunc_timestamptz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(t)] if !datetime::is_finite(t) => Ok(args[1]),
        [Value::Text(name), Value::Timestamp(t)] => {
            let unit = trunc_unit(context, name)?;
            Ok(Value::Timestamp(trunc::timestamptz(unit, t, context.zone())?))
        }
        _ => wrong_kind(),
    }
}

fn trunc_timestamptz_in<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(t), _] if !datetime::is_finite(t) => Ok(args[1]),
        [Value::Text(name), Value::Timestamp(t), Value::Text(zone)] => {
            let zone = match zone_named(context, zone)? {
                ZoneName::Offset(east) => Zone::Fixed(east),
                ZoneName::Zone(zone) | ZoneName::Abbreviation(zone) => zone,
            };
            let unit = trunc_unit(context, name)?;
            Ok(Value::Timestamp(trunc::timestamptz(unit, t, &zone)?))
        }
        _ => wrong_kind(),
    }
}

fn trunc_interval<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Text(name), Value::Interval(interval)] => {
            let unit = trunc_unit(context, name)?;
            Ok(Value::Interval(trunc::interval(unit, interval)?))
        }
        _ => wrong_kind(),
    }
}

/// What AT TIME ZONE was given.
enum ZoneName {
    /// Seconds east.
    Offset(i32),
    Zone(Zone),
    /// An abbreviation whose meaning in this zone depends on the time.
    Abbreviation(Zone),
}

fn zone_named(context: &mut Context<'_>, name: &str) -> Result<ZoneName, EvalError> {
    context.charge(8 + name.len() as u64 / 4)?;
    match datetime::abbreviation_named(name) {
        Some(Abbreviation::Standard(east) | Abbreviation::Summer(east)) => {
            Ok(ZoneName::Offset(east))
        }
        Some(Abbreviation::Zone(zone)) => {
            context.charge(400)?;
            Zone::named(zone).map(ZoneName::Abbreviation).ok_or(INVALID)
        }
        None => Zone::named(name).map(ZoneName::Zone).ok_or(INVALID),
    }
}

/// A finite timestamp as the clock of the zone shows it, back to UTC.
fn to_utc(zone: &ZoneName, name: &str, t: i64) -> Result<i64, EvalError> {
    let seconds = t.div_euclid(SECOND);
    let east = match zone {
        ZoneName::Offset(east) => *east,
        ZoneName::Zone(zone) => zone.offset_of_local(seconds),
        ZoneName::Abbreviation(zone) => {
            let usual = zone.offset_of_local(seconds);
            zone.offset_called(name, seconds - i64::from(usual)).unwrap_or(usual)
        }
    };
    datetime::valid(t - i64::from(east) * SECOND)
}

fn from_utc(zone: &ZoneName, name: &str, t: i64) -> Result<i64, EvalError> {
    let seconds = t.div_euclid(SECOND);
    let east = match zone {
        ZoneName::Offset(east) => *east,
        ZoneName::Zone(zone) => zone.offset_at(seconds),
        ZoneName::Abbreviation(zone) => {
            zone.offset_called(name, seconds).unwrap_or_else(|| zone.offset_at(seconds))
        }
    };
    datetime::valid(t + i64::from(east) * SECOND)
}

fn timestamp_at<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(INFINITY | NEGATIVE_INFINITY)] => Ok(args[1]),
        [Value::Text(name), Value::Timestamp(t)] => {
            let zone = zone_named(context, name)?;
            Ok(Value::Timestamp(to_utc(&zone, name, t)?))
        }
        _ => wrong_kind(),
    }
}

fn timestamptz_at<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(INFINITY | NEGATIVE_INFINITY)] => Ok(args[1]),
        [Value::Text(name), Value::Timestamp(t)] => {
            let zone = zone_named(context, name)?;
            Ok(Value::Timestamp(from_utc(&zone, name, t)?))
        }
        _ => wrong_kind(),
    }
}

/// Zones whose offset changes have another one at another date, and today's is not the row's.
fn timetz_at<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(name), Value::TimeTz(t, west)] = *args else { return wrong_kind() };
    let east = match zone_named(context, name)? {
        ZoneName::Offset(east) => east,
        ZoneName::Zone(zone) | ZoneName::Abbreviation(zone) => {
            zone.present_offset().ok_or(EvalError::new(Raise::NotSupported))?
        }
    };
    Ok(move_timetz(t, west, -i64::from(east)))
}

fn move_timetz<'a>(t: i64, west: i32, to: i64) -> Value<'a> {
    let moved = t + (i64::from(west) - to) * SECOND;
    Value::TimeTz(datetime::wrap_time(moved), to as i32)
}

/// An offset written as an interval: seconds east.
fn offset_of(interval: datetime::Interval) -> Result<i64, EvalError> {
    match (interval.months, interval.days) {
        (0, 0) => Ok(i64::from((interval.microseconds / SECOND) as i32)),
        _ => Err(INVALID),
    }
}

fn timestamp_at_offset<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(INFINITY | NEGATIVE_INFINITY)] => Ok(args[1]),
        [Value::Interval(interval), Value::Timestamp(t)] => {
            let moved = t.wrapping_sub(offset_of(interval)? * SECOND);
            Ok(Value::Timestamp(datetime::valid(moved)?))
        }
        _ => wrong_kind(),
    }
}

fn timestamptz_at_offset<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [_, Value::Timestamp(INFINITY | NEGATIVE_INFINITY)] => Ok(args[1]),
        [Value::Interval(interval), Value::Timestamp(t)] => {
            let moved = t.wrapping_add(offset_of(interval)? * SECOND);
            Ok(Value::Timestamp(datetime::valid(moved)?))
        }
        _ => wrong_kind(),
    }
}

fn timetz_at_offset<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Interval(interval), Value::TimeTz(t, west)] => {
            Ok(move_timetz(t, west, -offset_of(interval)?))
        }
        _ => wrong_kind(),
    }
}

fn age<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            Ok(Value::Interval(datetime::age(a, b, None)?))
        }
        _ => wrong_kind(),
    }
}

/// By the session's clock.
fn age_timestamptz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Timestamp(a), Value::Timestamp(b)] => {
            Ok(Value::Interval(datetime::age(a, b, Some(context.zone()))?))
        }
        _ => wrong_kind(),
    }
}

fn justify_days<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Interval(interval)] => Ok(Value::Interval(interval.justify_days()?)),
        _ => wrong_kind(),
    }
}

fn justify_hours<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Interval(interval)] => Ok(Value::Interval(interval.justify_hours()?)),
        _ => wrong_kind(),
    }
}

fn justify_interval<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Interval(interval)] => Ok(Value::Interval(interval.justify()?)),
        _ => wrong_kind(),
    }
}

fn is_finite<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    Ok(Value::Bool(match *args {
        [Value::Date(date)] => datetime::is_finite_date(date),
        [Value::Timestamp(t)] => datetime::is_finite(t),
        [Value::Interval(_)] => true,
        _ => return wrong_kind(),
    }))
}

fn date_bin<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Interval(stride), Value::Timestamp(t), Value::Timestamp(origin)] => {
            Ok(Value::Timestamp(datetime::bin(stride, t, origin)?))
        }
        _ => wrong_kind(),
    }
}

fn to_timestamp<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Float(seconds)] => Ok(Value::Timestamp(datetime::from_unix(seconds)?)),
        _ => wrong_kind(),
    }
}

fn make_date<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Int(year), Value::Int(month), Value::Int(day)] => {
            Ok(Value::Date(datetime::make_date(year, month, day)?))
        }
        _ => wrong_kind(),
    }
}

fn make_time<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match *args {
        [Value::Int(hour), Value::Int(minute), Value::Float(second)] => {
            Ok(Value::Time(datetime::make_time(hour, minute, second)?))
        }
        _ => wrong_kind(),
    }
}

fn timestamp_of(args: &[Value<'_>]) -> Option<Result<i64, EvalError>> {
    let [
        Value::Int(year),
        Value::Int(month),
        Value::Int(day),
        Value::Int(hour),
        Value::Int(minute),
        Value::Float(second),
    ] = *args
    else {
        return None;
    };
    Some(datetime::make_timestamp([year, month, day], [hour, minute], second))
}

fn make_timestamp<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match timestamp_of(args) {
        Some(t) => Ok(Value::Timestamp(t?)),
        None => wrong_kind(),
    }
}

fn make_timestamptz<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match timestamp_of(args) {
        Some(t) => Ok(Value::Timestamp(datetime::timestamp_to_timestamptz(t?, context.zone())?)),
        None => wrong_kind(),
    }
}

fn make_timestamptz_in<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let Some((Value::Text(name), rest)) = args.split_last() else { return wrong_kind() };
    let Some(t) = timestamp_of(rest) else { return wrong_kind() };
    let t = t?;
    // A number needs its sign, though a POSIX rule would not.
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(INVALID);
    }
    match datetime::numeric_offset(name) {
        Ok(east) => Ok(Value::Timestamp(datetime::valid(t - east * SECOND)?)),
        Err(error) if error.raise() == Raise::InvalidDatetime => {
            let zone = zone_named(context, name)?;
            Ok(Value::Timestamp(to_utc(&zone, name, t)?))
        }
        Err(_) => Err(INVALID),
    }
}

/// PostgreSQL 15 lets months and days overflow silently.
fn make_interval<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [
        Value::Int(years),
        Value::Int(months),
        Value::Int(weeks),
        Value::Int(days),
        Value::Int(hours),
        Value::Int(minutes),
        Value::Float(seconds),
    ] = *args
    else {
        return wrong_kind();
    };
    if !seconds.is_finite() {
        return Err(OVERFLOW);
    }
    let micros = (seconds * SECOND as f64).round_ties_even();
    // A conversion in C that does not fit gives the most negative number.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&micros);
    let micros = if fits { micros as i64 } else { i64::MIN };
    let clock = hours * datetime::HOUR + minutes * datetime::MINUTE;
    Ok(Value::Interval(datetime::Interval::new(
        (years * 12 + months) as i32,
        (weeks * 7 + days) as i32,
        clock.wrapping_add(micros),
    )))
}

/// Refused before it could be called.
fn refused<'a>(_: &mut Context<'a>, _: &[Value<'a>]) -> Eval<'a> {
    wrong_kind()
}

/// As `functions!`, with a volatility.
macro_rules! functions_that_are {
    ($volatility:ident: $($name:ident($($arg:ident),*) -> $result:ident = $function:expr;)*) => {
        &[$(FunctionRow {
            name: stringify!($name),
            args: &[$(Type::$arg),*],
            result: Type::$result,
            implementation: $function,
            strict: true,
            volatility: Volatility::$volatility,
        }),*]
    };
}

pub(in crate::catalog) static FUNCTIONS: &[FunctionRow] = functions! {
    extract(Text, Date) -> Numeric = extract_date;
    extract(Text, Time) -> Numeric = extract_time;
    extract(Text, Timetz) -> Numeric = extract_timetz;
    extract(Text, Timestamp) -> Numeric = extract_timestamp;
    extract(Text, Interval) -> Numeric = extract_interval;
    date_part(Text, Date) -> Float8 = part_date;
    date_part(Text, Time) -> Float8 = part_time;
    date_part(Text, Timetz) -> Float8 = part_timetz;
    date_part(Text, Timestamp) -> Float8 = part_timestamp;
    date_part(Text, Interval) -> Float8 = part_interval;
    date_trunc(Text, Timestamp) -> Timestamp = trunc_timestamp;
    date_trunc(Text, Interval) -> Interval = trunc_interval;
    date_bin(Interval, Timestamp, Timestamp) -> Timestamp = date_bin;
    date_bin(Interval, Timestamptz, Timestamptz) -> Timestamptz = date_bin;
    timezone(Text, Timestamp) -> Timestamptz = timestamp_at;
    timezone(Text, Timestamptz) -> Timestamp = timestamptz_at;
    timezone(Interval, Timestamp) -> Timestamptz = timestamp_at_offset;
    timezone(Interval, Timestamptz) -> Timestamp = timestamptz_at_offset;
    timezone(Interval, Timetz) -> Timetz = timetz_at_offset;
    age(Timestamp, Timestamp) -> Interval = age;
    age(Timestamptz, Timestamptz) -> Interval = age_timestamptz;
    justify_days(Interval) -> Interval = justify_days;
    justify_hours(Interval) -> Interval = justify_hours;
    justify_interval(Interval) -> Interval = justify_interval;
    isfinite(Date) -> Bool = is_finite;
    isfinite(Timestamp) -> Bool = is_finite;
    isfinite(Timestamptz) -> Bool = is_finite;
    isfinite(Interval) -> Bool = is_finite;
    to_timestamp(Float8) -> Timestamptz = to_timestamp;
    make_date(Int4, Int4, Int4) -> Date = make_date;
    make_time(Int4, Int4, Float8) -> Time = make_time;
    make_timestamp(Int4, Int4, Int4, Int4, Int4, Float8) -> Timestamp = make_timestamp;
    make_interval(Int4, Int4, Int4, Int4, Int4, Int4, Float8) -> Interval = make_interval;
    date(Timestamp) -> Date = timestamp_to_date;
};

pub(in crate::catalog) static STABLE_FUNCTIONS: &[FunctionRow] = functions_that_are! { Stable:
    extract(Text, Timestamptz) -> Numeric = extract_timestamptz;
    date_part(Text, Timestamptz) -> Float8 = part_timestamptz;
    date_trunc(Text, Timestamptz) -> Timestamptz = trunc_timestamptz;
    date_trunc(Text, Timestamptz, Text) -> Timestamptz = trunc_timestamptz_in;
    timezone(Text, Timetz) -> Timetz = timetz_at;
    make_timestamptz(Int4, Int4, Int4, Int4, Int4, Float8) -> Timestamptz = make_timestamptz;
    make_timestamptz(Int4, Int4, Int4, Int4, Int4, Float8, Text) -> Timestamptz =
        make_timestamptz_in;
    date(Timestamptz) -> Date = timestamptz_to_date;
};

/// The age as of today.
pub(in crate::catalog) static VOLATILE_FUNCTIONS: &[FunctionRow] = functions_that_are! { Volatile:
    age(Timestamp) -> Interval = refused;
    age(Timestamptz) -> Interval = refused;
};

/// Dates by pattern.
pub(in crate::catalog) static MISSING_FUNCTIONS: &[FunctionRow] = functions_that_are! { Missing:
    to_timestamp(Text, Text) -> Timestamptz = refused;
};
