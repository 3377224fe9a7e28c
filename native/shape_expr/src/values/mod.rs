//! Values by type family, one file each: text form in and out, comparison, equality hash.
//!
//! A new family is a file here, its variant of [`Value`](crate::Value), and its arms in the four
//! functions below.

pub(crate) mod array;
pub(crate) mod array_list;
pub(crate) mod array_text;
pub(crate) mod boolean;
pub(crate) mod bytea;
pub(crate) mod calendar;
pub(crate) mod ctype;
pub(crate) mod datetime;
pub(crate) mod enumeration;
pub(crate) mod float;
pub(crate) mod int;
pub(crate) mod json;
pub(crate) mod json_edit;
pub(crate) mod json_get;
pub(crate) mod json_keys;
pub(crate) mod json_make;
pub(crate) mod json_order;
pub(crate) mod json_scan;
pub(crate) mod json_text;
pub(crate) mod like;
pub(crate) mod numeric;
pub(crate) mod numeric_functions;
pub(crate) mod numeric_math;
pub(crate) mod numeric_text;
pub(crate) mod oid;
pub(crate) mod order_key;
pub(crate) mod pattern;
pub(crate) mod regex;
pub(crate) mod similar;
pub(crate) mod strings;
pub(crate) mod text;
pub(crate) mod uuid;

use bumpalo::Bump;

use crate::error::{EvalError, Raise};
use crate::types::Type;
use crate::value::{Eval, Value};
use datetime::Zone;
use numeric::NumericVar;

/// The type's input function on UTF-8 text, which must not hold a NUL.
pub(crate) fn input<'a>(ty: &Type, text: &'a str, arena: &'a Bump) -> Eval<'a> {
    Ok(match ty {
        Type::Bool => Value::Bool(boolean::parse(text)?),
        Type::Int2 => Value::Int(int::parse(text, int::Width::Two)?),
        Type::Int4 => Value::Int(int::parse(text, int::Width::Four)?),
        Type::Int8 => Value::Int(int::parse(text, int::Width::Eight)?),
        Type::Float4 => Value::Float(f64::from(float::parse4(text)?)),
        Type::Float8 => Value::Float(float::parse8(text)?),
        Type::Numeric => Value::Numeric(numeric_text::parse(text)?.store(arena)?),
        Type::Text | Type::Varchar | Type::Unknown => Value::Text(text),
        Type::Name => Value::Text(text::clip_name(text)),
        Type::Bpchar => Value::Bpchar(text),
        Type::Uuid => Value::Uuid(uuid::parse(text)?),
        Type::Oid => Value::Int(oid::parse(text)?),
        Type::Enum(labels) => enumeration::parse(labels, text)?,
        // No value is of a pseudo-type.
        Type::AnyElement
        | Type::AnyArray
        | Type::AnyEnum
        | Type::AnyCompatible
        | Type::AnyCompatibleArray
        | Type::AnyNonArray
        | Type::Composite
        | Type::Record => return Err(EvalError::new(Raise::NotSupported)),
        Type::Json => {
            json_scan::validate(text)?;
            Value::Text(text)
        }
        Type::Jsonb => Value::Json(json::Json::parse(text, arena)?),
        Type::Bytea => Value::Bytes(bytea::parse(text, arena)?),
        Type::Array(_)
        | Type::Timestamptz
        | Type::Timestamp
        | Type::Date
        | Type::Time
        | Type::Timetz
        | Type::Interval => input_in(&datetime::UTC, ty, text, arena)?,
    })
}

/// The same with the session's time zone, which some types' input depends on.
pub(crate) fn input_in<'a>(zone: &Zone, ty: &Type, text: &'a str, arena: &'a Bump) -> Eval<'a> {
    Ok(match ty {
        Type::Timestamptz => Value::Timestamp(datetime::parse_timestamptz(text, zone)?),
        Type::Timestamp => Value::Timestamp(datetime::parse_timestamp(text)?),
        Type::Date => Value::Date(datetime::parse_date(text, zone)?),
        Type::Time => Value::Time(datetime::parse_time(text, zone)?),
        Type::Timetz => {
            let (time, west) = datetime::parse_timetz(text, zone)?;
            Value::TimeTz(time, west)
        }
        Type::Interval => Value::Interval(datetime::parse_interval(text, -1)?),
        Type::Array(element) => {
            array_text::parse(text, arena, |item| input_in(zone, element, item, arena))?
        }
        _ => return input(ty, text, arena),
    })
}

/// An integer as PostgreSQL prints it, for a column of integers.
#[inline]
pub(crate) fn plain_int(ty: &Type, bytes: &[u8]) -> Option<i64> {
    match ty {
        Type::Int8 | Type::Int4 | Type::Int2 => int::parse_plain(bytes, ty),
        _ => None,
    }
}

/// A column's text as the WAL carries it.
pub(crate) fn from_text<'a>(ty: &Type, bytes: &'a [u8], arena: &'a Bump) -> Eval<'a> {
    // The common forms first, without a pass over the bytes for UTF-8.
    match ty {
        Type::Int8 | Type::Int4 | Type::Int2 => {
            if let Some(i) = int::parse_plain(bytes, ty) {
                return Ok(Value::Int(i));
            }
        }
        Type::Bool => match bytes {
            b"t" => return Ok(Value::Bool(true)),
            b"f" => return Ok(Value::Bool(false)),
            _ => {}
        },
        _ => {}
    }
    let text = std::str::from_utf8(bytes).map_err(|_| EvalError::new(Raise::InvalidEncoding))?;
    if text.as_bytes().contains(&0) {
        return Err(EvalError::new(Raise::InvalidEncoding));
    }
    from_stored(ty, text, arena)
}

/// What an output function has written.
fn from_stored<'a>(ty: &Type, text: &'a str, arena: &'a Bump) -> Eval<'a> {
    match ty {
        Type::Array(element) => {
            array_text::parse(text, arena, |item| from_stored(element, item, arena))
        }
        Type::Timestamptz => datetime::parse_stored(text, true).map(Value::Timestamp),
        Type::Timestamp => datetime::parse_stored(text, false).map(Value::Timestamp),
        Type::Date => datetime::parse_stored_date(text).map(Value::Date),
        Type::Interval => datetime::parse_stored_interval(text).map(Value::Interval),
        _ => input(ty, text, arena),
    }
}

/// A boolean that is no text.
pub(crate) fn from_bool<'a>(ty: &Type, b: bool) -> Eval<'a> {
    match ty {
        Type::Bool => Ok(Value::Bool(b)),
        _ => Err(EvalError::new(Raise::InvalidText)),
    }
}

/// An integer that is no text.
pub(crate) fn from_int<'a>(ty: &Type, i: i64, arena: &'a Bump) -> Eval<'a> {
    match ty {
        Type::Int2 => int::fit(i, int::Width::Two).map(Value::Int),
        Type::Int4 => int::fit(i, int::Width::Four).map(Value::Int),
        Type::Int8 => Ok(Value::Int(i)),
        Type::Oid => oid::parse(&i.to_string()).map(Value::Int),
        Type::Float8 => Ok(Value::Float(i as f64)),
        Type::Float4 => Ok(Value::Float(f64::from(i as f32))),
        Type::Numeric => Ok(Value::Numeric(NumericVar::from_int(i).store(arena)?)),
        _ => Err(EvalError::new(Raise::InvalidText)),
    }
}

/// A float that is no text.
pub(crate) fn from_float<'a>(ty: &Type, x: f64, arena: &'a Bump) -> Eval<'a> {
    match ty {
        Type::Float8 => Ok(Value::Float(x)),
        Type::Float4 => float::narrow(x).map(|x| Value::Float(f64::from(x))),
        // The shortest text that reads back as x is what was meant, rather than 15 digits of it.
        Type::Numeric => {
            let text = float::output8(x);
            Ok(Value::Numeric(numeric_text::parse(&text)?.store(arena)?))
        }
        // 3.0 is 3, 3.5 is no integer.
        Type::Int2 | Type::Int4 | Type::Int8 if x.fract() == 0.0 => {
            if (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&x) {
                from_int(ty, x as i64, arena)
            } else {
                Err(EvalError::new(Raise::OutOfRange))
            }
        }
        _ => Err(EvalError::new(Raise::InvalidText)),
    }
}

/// The type's output function: what `::text` gives.
pub(crate) fn output<'a>(ty: &Type, value: &Value<'a>, arena: &'a Bump) -> Option<&'a str> {
    output_in(&datetime::UTC, ty, value, arena)
}

/// The same with the session's time zone.
pub(crate) fn output_in<'a>(
    zone: &Zone,
    ty: &Type,
    value: &Value<'a>,
    arena: &'a Bump,
) -> Option<&'a str> {
    Some(match value {
        Value::Bool(b) => boolean::output(*b),
        Value::Int(i) => arena.alloc_str(&i.to_string()),
        Value::Float(x) if *ty == Type::Float4 => arena.alloc_str(&float::output4(*x as f32)),
        Value::Float(x) => arena.alloc_str(&float::output8(*x)),
        Value::Numeric(n) => numeric_text::output_in(*n, arena),
        Value::Text(s) | Value::Bpchar(s) => s,
        Value::Uuid(bytes) => arena.alloc_str(&uuid::output(bytes)),
        Value::Timestamp(t) => {
            let zone = (*ty != Type::Timestamp).then_some(zone);
            arena.alloc_str(&datetime::output_timestamp(*t, zone))
        }
        Value::Date(date) => arena.alloc_str(&datetime::output_date(*date)),
        Value::Time(t) => arena.alloc_str(&datetime::output_time(*t)),
        Value::TimeTz(t, west) => arena.alloc_str(&datetime::output_timetz(*t, *west)),
        Value::Interval(interval) => arena.alloc_str(&datetime::output_interval(interval)),
        Value::Array(array) => array_text::output(zone, ty.element().unwrap_or(ty), array, arena)?,
        Value::Enum(_, label) => label,
        Value::Type(ty) => arena.alloc_str(&ty.to_string()),
        Value::Json(json) => json_text::output(*json, arena),
        Value::Bytes(bytes) => bytea::output(bytes, arena),
        Value::Null | Value::Unknown | Value::Maybe(_) | Value::Opaque | Value::Pattern(_) => {
            return None;
        }
    })
}
