//! Dates and times: text in and out, zones, intervals, arithmetic, as PostgreSQL has them with
//! DateStyle `ISO, MDY` and IntervalStyle `postgres`.
//!
//! A date is days since 2000-01-01, a timestamp microseconds since then (of UTC, or of the local
//! clock), a time microseconds of the day. The extremes stand for the infinities.

mod abbreviations;
mod arithmetic;
mod clock;
mod decode;
pub(crate) mod fields;
mod interval;
mod interval_text;
mod moment;
mod numbers;
mod posix;
mod print;
mod scan;
pub(crate) mod trunc;
mod words;
mod zone;

pub(crate) use abbreviations::{Abbreviation, abbreviation};
pub(crate) use arithmetic::*;
pub use interval::Interval;
pub(crate) use interval::{INTERVAL_MASKS, fit_interval, interval_name, interval_typmod};
pub(crate) use interval_text::{output_interval, parse_interval, parse_stored_interval};
pub(crate) use moment::*;
pub(crate) use print::*;
pub(crate) use words::{Named, Unit, field_named};
pub(crate) use zone::{UTC, Zone};

use crate::error::{EvalError, Raise};

pub(crate) const MILLISECOND: i64 = 1_000;
pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// 2000-01-01 in Unix seconds.
pub(crate) const EPOCH_SECONDS: i64 = 946_684_800;

/// An abbreviation in any case.
pub(crate) fn abbreviation_named(name: &str) -> Option<Abbreviation> {
    let mut buffer = [0; 16];
    abbreviation(lower(name, &mut buffer))
}

/// `+02`, `-03:30`: seconds east.
pub(crate) fn numeric_offset(text: &str) -> Result<i64, EvalError> {
    numbers::offset(text).map(|west| -west)
}

/// The first letters of a word, as many as the buffer holds, in lower case.
fn lower<'b>(word: &str, buffer: &'b mut [u8; 16]) -> &'b str {
    let length = crate::values::text::clip(word, buffer.len()).len();
    buffer[..length].copy_from_slice(&word.as_bytes()[..length]);
    buffer[..length].make_ascii_lowercase();
    std::str::from_utf8(&buffer[..length]).unwrap_or("")
}

const BAD: EvalError = EvalError::new(Raise::InvalidDatetime);
pub(crate) const OVERFLOW: EvalError = EvalError::new(Raise::DatetimeOverflow);
/// The value is the moment it is read at.
const TIME_DEPENDENT: EvalError = EvalError::new(Raise::NotSupported);
