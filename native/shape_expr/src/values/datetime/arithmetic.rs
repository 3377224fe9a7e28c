//! Sums and differences of dates, times and intervals, and the ways between the types.

use std::cmp::Ordering;

use super::interval::Interval;
use super::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, DAY, END, INFINITY, Moment, NEGATIVE_INFINITY, OVERFLOW,
    SECOND, START, TIMESTAMP_DATE_END, Zone, from_timestamp, in_zone, is_finite, is_finite_date,
    to_local, to_timestamp, valid, valid_date,
};
use crate::error::EvalError;
use crate::values::calendar::{self, EPOCH_JULIAN};

/// A date as the timestamp of its midnight.
pub(crate) fn date_to_timestamp(date: i32) -> Result<i64, EvalError> {
    match date {
        DATE_INFINITY => Ok(INFINITY),
        DATE_NEGATIVE_INFINITY => Ok(NEGATIVE_INFINITY),
        date if i64::from(date) >= TIMESTAMP_DATE_END => Err(OVERFLOW),
        date => Ok(i64::from(date) * DAY),
    }
}

/// The same in a zone.
pub(crate) fn date_to_timestamptz(date: i32, zone: &Zone) -> Result<i64, EvalError> {
    timestamp_to_timestamptz(date_to_timestamp(date)?, zone)
}

/// The day of a timestamp; by a western clock it may be one before the first date there is.
pub(crate) fn timestamp_to_date(t: i64) -> i32 {
    match t {
        INFINITY => DATE_INFINITY,
        NEGATIVE_INFINITY => DATE_NEGATIVE_INFINITY,
        t => t.div_euclid(DAY) as i32,
    }
}

pub(crate) fn timestamp_to_timestamptz(t: i64, zone: &Zone) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    let east = i64::from(zone.offset_of_local(t.div_euclid(SECOND)));
    valid(t - east * SECOND)
}

pub(crate) fn timestamptz_to_timestamp(t: i64, zone: &Zone) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    valid(to_local(t, zone).0)
}

/// A date against a timestamp, where dates go further than timestamps.
pub(crate) fn compare_date_timestamp(date: i32, t: i64) -> Ordering {
    match date_to_timestamp(date) {
        Ok(date) => date.cmp(&t),
        Err(_) if t == INFINITY => Ordering::Less,
        Err(_) => Ordering::Greater,
    }
}

/// A date against a timestamptz.
pub(crate) fn compare_date_timestamptz(date: i32, t: i64, zone: &Zone) -> Ordering {
    match date_to_timestamp(date) {
        Ok(date) => compare_timestamp_timestamptz(date, t, zone),
        Err(_) if t == INFINITY => Ordering::Less,
        Err(_) => Ordering::Greater,
    }
}

/// A timestamp against a timestamptz. What falls off an end is beyond all but that infinity.
pub(crate) fn compare_timestamp_timestamptz(timestamp: i64, t: i64, zone: &Zone) -> Ordering {
    if !is_finite(timestamp) {
        return timestamp.cmp(&t);
    }
    let east = i64::from(zone.offset_of_local(timestamp.div_euclid(SECOND)));
    match timestamp - east * SECOND {
        END.. if t == INFINITY => Ordering::Less,
        END.. => Ordering::Greater,
        ..START if t == NEGATIVE_INFINITY => Ordering::Greater,
        ..START => Ordering::Less,
        moment => moment.cmp(&t),
    }
}

pub(crate) fn date_plus_days(date: i32, days: i64) -> Result<i32, EvalError> {
    if !is_finite_date(date) {
        return Ok(date);
    }
    valid_date(i64::from(date) + days)
}

pub(crate) fn date_minus_date(a: i32, b: i32) -> Result<i64, EvalError> {
    match is_finite_date(a) && is_finite_date(b) {
        true => Ok(i64::from(a) - i64::from(b)),
        false => Err(OVERFLOW),
    }
}

pub(crate) fn date_plus_time(date: i32, micros: i64) -> Result<i64, EvalError> {
    let t = date_to_timestamp(date)?;
    if is_finite(t) { valid(t + micros) } else { Ok(t) }
}

pub(crate) fn date_plus_timetz(date: i32, micros: i64, west: i32) -> Result<i64, EvalError> {
    let t = date_to_timestamp(date)?;
    if is_finite(t) { valid(t + micros + i64::from(west) * SECOND) } else { Ok(t) }
}

fn add_months(moment: &mut Moment, months: i32) {
    let month = moment.year * 12 + moment.month - 1 + i64::from(months);
    (moment.year, moment.month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    moment.day = moment.day.min(calendar::month_days(moment.year, moment.month));
}

fn add_days(moment: &mut Moment, days: i32) {
    // PostgreSQL's calendar begins in 4801 BC; what is before it is after everything.
    match moment.julian() + i64::from(days) {
        ..-32_044 => moment.year = i64::from(i32::MAX),
        julian => moment.set_julian(julian),
    }
}

pub(crate) fn timestamp_plus(t: i64, interval: Interval) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    let mut t = t;
    if interval.months != 0 {
        let mut moment = from_timestamp(t);
        add_months(&mut moment, interval.months);
        t = to_timestamp(&moment, 0)?;
    }
    if interval.days != 0 {
        let mut moment = from_timestamp(t);
        add_days(&mut moment, interval.days);
        t = to_timestamp(&moment, 0)?;
    }
    valid(t.checked_add(interval.microseconds).ok_or(OVERFLOW)?)
}

pub(crate) fn timestamp_minus(t: i64, interval: Interval) -> Result<i64, EvalError> {
    timestamp_plus(t, interval.wrapping_negate())
}

/// Months and days go by the local clock, hours do not.
pub(crate) fn timestamptz_plus(t: i64, interval: Interval, zone: &Zone) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    let mut t = t;
    if interval.months != 0 {
        let mut moment = from_timestamp(to_local(t, zone).0);
        add_months(&mut moment, interval.months);
        t = in_zone(&moment, zone)?;
    }
    if interval.days != 0 {
        let mut moment = from_timestamp(to_local(t, zone).0);
        add_days(&mut moment, interval.days);
        t = in_zone(&moment, zone)?;
    }
    valid(t.checked_add(interval.microseconds).ok_or(OVERFLOW)?)
}

pub(crate) fn timestamptz_minus(t: i64, interval: Interval, zone: &Zone) -> Result<i64, EvalError> {
    timestamptz_plus(t, interval.wrapping_negate(), zone)
}

pub(crate) fn timestamp_minus_timestamp(a: i64, b: i64) -> Result<Interval, EvalError> {
    if !is_finite(a) || !is_finite(b) {
        return Err(OVERFLOW);
    }
    // PostgreSQL 15 does not look whether this overflows.
    Interval::new(0, 0, a.wrapping_sub(b)).justify_hours()
}

/// A time of day from a sum: whole days fall away.
pub(crate) fn wrap_time(micros: i64) -> i64 {
    micros.rem_euclid(DAY)
}

/// An interval's hours as a time of day.
pub(crate) fn interval_to_time(micros: i64) -> i64 {
    if micros >= DAY {
        micros % DAY
    } else if micros < 0 {
        let days = micros.wrapping_neg().wrapping_add(DAY - 1) / DAY;
        micros.wrapping_add(days.wrapping_mul(DAY))
    } else {
        micros
    }
}

/// A moment by a zone's clock, `infinity` taken for the number it is kept as.
fn shown(t: i64, zone: Option<&Zone>) -> Result<Moment, EvalError> {
    const CYCLE: i64 = 146_097 * DAY;
    if t == NEGATIVE_INFINITY {
        return Err(OVERFLOW);
    }
    let east = zone.map_or(0, |zone| zone.offset_at(t.div_euclid(SECOND)));
    // Four centuries back there is room for the offset.
    let mut moment = from_timestamp(t - if t > 0 { CYCLE } else { 0 } + i64::from(east) * SECOND);
    moment.year += if t > 0 { 400 } else { 0 };
    Ok(moment)
}

/// The symbolic difference: years, months and days by the calendar, maybe that of a zone.
pub(crate) fn age(a: i64, b: i64, zone: Option<&Zone>) -> Result<Interval, EvalError> {
    let (first, second) = (shown(a, zone)?, shown(b, zone)?);
    let negative = a < b;
    let sign = if negative { -1 } else { 1 };
    let mut micros = sign * (first.micros - second.micros);
    let mut seconds = sign * (first.second - second.second);
    let mut minutes = sign * (first.minute - second.minute);
    let mut hours = sign * (first.hour - second.hour);
    let mut days = sign * (first.day - second.day);
    let mut months = sign * (first.month - second.month);
    let mut years = sign * (first.year - second.year);
    let carry = |low: &mut i64, high: &mut i64, size: i64| {
        while *low < 0 {
            *low += size;
            *high -= 1;
        }
    };
    carry(&mut micros, &mut seconds, SECOND);
    carry(&mut seconds, &mut minutes, 60);
    carry(&mut minutes, &mut hours, 60);
    carry(&mut hours, &mut days, 24);
    let earlier = if negative { &first } else { &second };
    carry(&mut days, &mut months, calendar::month_days(earlier.year, earlier.month));
    carry(&mut months, &mut years, 12);
    let months = sign * (years * 12 + months);
    let months = i32::try_from(months).map_err(|_| OVERFLOW)?;
    let days = i32::try_from(sign * days).map_err(|_| OVERFLOW)?;
    let micros = sign * (((hours * 60 + minutes) * 60 + seconds) * SECOND + micros);
    Ok(Interval::new(months, days, micros))
}

/// `make_date`: negative years are BC.
pub(crate) fn make_date(year: i64, month: i64, day: i64) -> Result<i32, EvalError> {
    let moment = date_moment(year, month, day)?;
    if !moment.has_julian() {
        return Err(OVERFLOW);
    }
    valid_date(moment.julian() - EPOCH_JULIAN)
}

fn date_moment(year: i64, month: i64, day: i64) -> Result<Moment, EvalError> {
    // The most negative year has no positive twin.
    if year == 0 || year == i64::from(i32::MIN) {
        return Err(OVERFLOW);
    }
    let year = if year < 0 { year + 1 } else { year };
    let fits = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && day <= calendar::month_days(year, month);
    match fits {
        true => Ok(Moment { year, month, day, ..Moment::default() }),
        false => Err(OVERFLOW),
    }
}

/// `make_time`: microseconds of the day.
pub(crate) fn make_time(hour: i64, minute: i64, second: f64) -> Result<i64, EvalError> {
    let micros = (second * SECOND as f64).round_ties_even();
    // NaN fails the comparison too.
    let fits = (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..=60.0 * SECOND as f64).contains(&micros);
    if !fits {
        return Err(OVERFLOW);
    }
    let total = (hour * 60 + minute) * 60 * SECOND + micros as i64;
    if total > DAY { Err(OVERFLOW) } else { Ok(total) }
}

/// `make_timestamp`.
pub(crate) fn make_timestamp(
    date: [i64; 3],
    time: [i64; 2],
    second: f64,
) -> Result<i64, EvalError> {
    let moment = date_moment(date[0], date[1], date[2])?;
    if !moment.has_julian() {
        return Err(OVERFLOW);
    }
    let days = moment.julian() - EPOCH_JULIAN;
    let time = make_time(time[0], time[1], second)?;
    let t = days.checked_mul(DAY).and_then(|t| t.checked_add(time)).ok_or(OVERFLOW)?;
    valid(t)
}

/// `to_timestamp` of seconds since 1970.
pub(crate) fn from_unix(seconds: f64) -> Result<i64, EvalError> {
    if seconds.is_nan() {
        return Err(OVERFLOW);
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { INFINITY } else { NEGATIVE_INFINITY });
    }
    const UNIX_JULIAN: i64 = 2_440_588;
    let first = (-UNIX_JULIAN * 86_400) as f64;
    let end = ((TIMESTAMP_DATE_END + EPOCH_JULIAN - UNIX_JULIAN) * 86_400) as f64;
    if seconds < first || seconds >= end {
        return Err(OVERFLOW);
    }
    let micros = ((seconds - super::EPOCH_SECONDS as f64) * SECOND as f64).round_ties_even();
    valid(micros as i64)
}

/// `date_bin`.
pub(crate) fn bin(stride: Interval, t: i64, origin: i64) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    if !is_finite(origin) {
        return Err(OVERFLOW);
    }
    if stride.months != 0 {
        return Err(EvalError::new(crate::error::Raise::NotSupported));
    }
    let days = i64::from(stride.days).checked_mul(DAY).ok_or(OVERFLOW)?;
    let stride = days.checked_add(stride.microseconds).ok_or(OVERFLOW)?;
    if stride <= 0 {
        return Err(OVERFLOW);
    }
    let difference = t.checked_sub(origin).ok_or(OVERFLOW)?;
    let rest = difference % stride;
    let result = origin.wrapping_add(difference - rest);
    match rest < 0 {
        true => valid(result.checked_sub(stride).ok_or(OVERFLOW)?),
        // It is the value itself, or one before it.
        false => Ok(result),
    }
}

/// The local time of day of a timestamptz, and the offset east.
pub(crate) fn local_time(t: i64, zone: &Zone) -> (i64, i64) {
    let (local, east) = to_local(t, zone);
    (local.rem_euclid(DAY), east)
}
