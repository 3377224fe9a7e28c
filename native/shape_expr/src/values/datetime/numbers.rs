//! The numbers that dates and times are written with.

use super::scan::{fraction_micros, leading, overflows};
use super::{BAD, OVERFLOW};
use crate::error::{EvalError, Raise};

const BAD_ZONE: EvalError = EvalError::new(Raise::InvalidTimeZone);

/// Hours, minutes, seconds and microseconds of a text with colons. With `minutes_first` two numbers
/// are minutes and seconds.
pub(super) fn clock(text: &str, minutes_first: bool) -> Result<(i64, i64, i64, i64), EvalError> {
    let (hour, rest) = leading(text);
    if overflows(hour, text) {
        return Err(OVERFLOW);
    }
    let rest = rest.strip_prefix(':').ok_or(BAD)?;
    let (minute, rest) = int(rest)?;
    let mut parts = (hour, minute, 0, 0);
    if rest.is_empty() {
        if minutes_first {
            parts = (0, hour, minute, 0);
        }
    } else if rest.starts_with('.') {
        parts = (0, hour, minute, fraction_micros(rest)?);
    } else {
        let (second, rest) = int(rest.strip_prefix(':').ok_or(BAD)?)?;
        let micros = match rest {
            "" => 0,
            rest if rest.starts_with('.') => fraction_micros(rest)?,
            _ => return Err(BAD),
        };
        parts = (hour, minute, second, micros);
    }
    let (hour, minute, second, micros) = parts;
    let fits = hour >= 0
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && (0..=1_000_000).contains(&micros);
    if fits { Ok(parts) } else { Err(OVERFLOW) }
}

/// `+02`, `-03:30`, `+0530`, `+00:19:32`: seconds *west*.
pub(super) fn offset(text: &str) -> Result<i64, EvalError> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => -1,
        Some(b'-') => 1,
        _ => return Err(BAD),
    };
    let int = |text| int(text).map_err(|_| BAD_ZONE);
    let (mut hour, mut rest) = int(&text[1..])?;
    let (mut minute, mut second) = (0, 0);
    if let Some(tail) = rest.strip_prefix(':') {
        (minute, rest) = int(tail)?;
        if let Some(tail) = rest.strip_prefix(':') {
            (second, rest) = int(tail)?;
        }
    } else if rest.is_empty() && text.len() > 3 {
        (hour, minute) = (hour / 100, hour % 100);
    }
    let range = 0..60;
    if !(0..=15).contains(&hour) || !range.contains(&minute) || !range.contains(&second) {
        return Err(BAD_ZONE);
    }
    match rest.is_empty() {
        true => Ok(sign * ((hour * 60 + minute) * 60 + second)),
        false => Err(BAD),
    }
}

/// A number of the range of int4 at the beginning.
pub(super) fn int(text: &str) -> Result<(i64, &str), EvalError> {
    let (value, rest) = leading(text);
    match i32::try_from(value) {
        Ok(_) => Ok((value, rest)),
        Err(_) => Err(OVERFLOW),
    }
}

/// C's `atoi`: cut to 32 bits.
pub(super) fn atoi(text: &str) -> i64 {
    i64::from(leading(text).0 as i32)
}
