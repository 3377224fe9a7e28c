//! date, time, timetz, timestamp and timestamptz: text in, and the way between a number and a
//! broken-down moment.

use super::decode::{self, Decoded};
use super::scan::Parts;
use super::{BAD, DAY, EPOCH_SECONDS, OVERFLOW, SECOND, Zone, clock};
use crate::error::EvalError;
use crate::values::calendar::{self, EPOCH_JULIAN, MIN_JULIAN};

/// A broken-down moment; year 0 is 1 BC.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub micros: i64,
}

impl Moment {
    /// Microseconds since midnight.
    pub(crate) fn of_day(&self) -> i64 {
        self.seconds() * 1_000_000 + self.micros
    }

    /// Seconds since midnight, as a number of 32 bits has them.
    fn seconds(&self) -> i64 {
        let hours = (self.hour as i32).wrapping_mul(60).wrapping_add(self.minute as i32);
        i64::from(hours.wrapping_mul(60).wrapping_add(self.second as i32))
    }

    /// Within the years that PostgreSQL has Julian days for?
    pub(crate) fn has_julian(&self) -> bool {
        let after = self.year > -4713 || self.year == -4713 && self.month >= 11;
        after && (self.year < 5_874_898 || self.year == 5_874_898 && self.month < 6)
    }

    /// Seconds since 2000 by its own clock; `None` beyond all calendars.
    pub(crate) fn local_seconds(&self) -> Option<i64> {
        let days = self.julian() - EPOCH_JULIAN;
        self.has_julian().then(|| days * 86_400 + self.seconds())
    }

    /// The Julian day.
    pub(crate) fn julian(&self) -> i64 {
        calendar::to_julian(self.year, self.month, self.day)
    }

    pub(super) fn set_julian(&mut self, julian: i64) {
        (self.year, self.month, self.day) = calendar::from_julian(julian);
    }

    pub(super) fn set_of_day(&mut self, micros: i64) {
        let seconds = micros / 1_000_000;
        self.micros = micros % 1_000_000;
        (self.hour, self.minute, self.second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    }

    /// Past 24:00:00, or no time at all?
    pub(super) fn overflows(&self) -> bool {
        !(0..=24).contains(&self.hour)
            || !(0..60).contains(&self.minute)
            || !(0..=60).contains(&self.second)
            || !(0..=1_000_000).contains(&self.micros)
            || self.of_day() > DAY
    }
}

/// A timestamp's `infinity`.
pub(crate) const INFINITY: i64 = i64::MAX;
/// A timestamp's `-infinity`.
pub(crate) const NEGATIVE_INFINITY: i64 = i64::MIN;
/// A date's `infinity`.
pub(crate) const DATE_INFINITY: i32 = i32::MAX;
/// A date's `-infinity`.
pub(crate) const DATE_NEGATIVE_INFINITY: i32 = i32::MIN;
/// 294277-01-01 00:00, the first moment too late for a timestamp.
pub(crate) const END: i64 = 9_223_371_331_200_000_000;
/// 4714-11-24 00:00 BC, the first timestamp.
pub(crate) const START: i64 = (MIN_JULIAN - EPOCH_JULIAN) * DAY;
/// 5874898-01-01, the first day too late for a date; and for a timestamp.
const DATE_END: i64 = 2_147_483_494 - EPOCH_JULIAN;
pub(crate) const TIMESTAMP_DATE_END: i64 = 109_203_528 - EPOCH_JULIAN;

pub(crate) fn is_finite(t: i64) -> bool {
    t != INFINITY && t != NEGATIVE_INFINITY
}

pub(crate) fn is_finite_date(date: i32) -> bool {
    date != DATE_INFINITY && date != DATE_NEGATIVE_INFINITY
}

/// A timestamp, if it is within the years there are.
pub(crate) fn valid(t: i64) -> Result<i64, EvalError> {
    if (START..END).contains(&t) { Ok(t) } else { Err(OVERFLOW) }
}

/// A date, if it is within the years there are.
pub(crate) fn valid_date(days: i64) -> Result<i32, EvalError> {
    match i32::try_from(days) {
        Ok(date) if (MIN_JULIAN - EPOCH_JULIAN..DATE_END).contains(&days) => Ok(date),
        _ => Err(OVERFLOW),
    }
}

/// The timestamp of a moment whose clock is so many seconds west.
pub(crate) fn to_timestamp(moment: &Moment, west: i64) -> Result<i64, EvalError> {
    valid(to_unbounded_timestamp(moment, west)?)
}

fn to_unbounded_timestamp(moment: &Moment, west: i64) -> Result<i64, EvalError> {
    if !moment.has_julian() {
        return Err(OVERFLOW);
    }
    let date = moment.julian() - EPOCH_JULIAN;
    let days = date.checked_mul(DAY).ok_or(OVERFLOW)?;
    let local = days.checked_add(moment.of_day()).ok_or(OVERFLOW)?;
    // PostgreSQL takes a change of sign for an overflow, though hours beyond a day can cause it too.
    if (local < 0 && date > 0) || (local > 0 && date < -1) {
        return Err(OVERFLOW);
    }
    local.checked_add(west * SECOND).ok_or(OVERFLOW)
}

/// A finite timestamp, broken down.
pub(crate) fn from_timestamp(t: i64) -> Moment {
    let mut moment = Moment::default();
    moment.set_julian(t.div_euclid(DAY) + EPOCH_JULIAN);
    set_time(&mut moment, t.rem_euclid(DAY));
    moment
}

/// Sets the time of day.
pub(crate) fn set_time(moment: &mut Moment, micros: i64) {
    let seconds = micros / SECOND;
    moment.micros = micros % SECOND;
    (moment.hour, moment.minute, moment.second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
}

/// Microseconds by the local clock, and the offset in seconds east, of a finite timestamptz.
pub(crate) fn to_local(t: i64, zone: &Zone) -> (i64, i64) {
    let east = i64::from(zone.offset_at(t.div_euclid(SECOND)));
    // A few hours never leave the range of an int8 that is no infinity.
    (t.saturating_add(east * SECOND), east)
}

/// The timestamptz of a moment by the zone's clock.
pub(crate) fn in_zone(moment: &Moment, zone: &Zone) -> Result<i64, EvalError> {
    let east = moment.local_seconds().map_or(0, |seconds| zone.offset_of_local(seconds));
    to_timestamp(moment, -i64::from(east))
}

const UNIX_EPOCH: i64 = -EPOCH_SECONDS * SECOND;

/// timestamp_in.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, EvalError> {
    timestamp(text, &super::UTC, false).and_then(bounded)
}

/// timestamptz_in.
pub(crate) fn parse_timestamptz(text: &str, zone: &Zone) -> Result<i64, EvalError> {
    timestamp(text, zone, true).and_then(bounded)
}

/// What a column holds: rounding to a `timestamp(p)` can take a value past the end of what
/// PostgreSQL reads, and it stores and prints it all the same.
pub(crate) fn parse_stored(text: &str, with_zone: bool) -> Result<i64, EvalError> {
    match stored(text.as_bytes(), with_zone) {
        Some(t) => Ok(t),
        None => timestamp(text, &super::UTC, with_zone),
    }
}

fn bounded(t: i64) -> Result<i64, EvalError> {
    if is_finite(t) { valid(t) } else { Ok(t) }
}

fn timestamp(text: &str, zone: &Zone, with_zone: bool) -> Result<i64, EvalError> {
    let parts = Parts::of(text, 153)?;
    Ok(match decode::decode(&parts, zone)? {
        Decoded::Moment(moment, west) => {
            let t = to_unbounded_timestamp(&moment, if with_zone { west } else { 0 })?;
            if t < START {
                return Err(OVERFLOW);
            }
            t
        }
        Decoded::Epoch => UNIX_EPOCH,
        Decoded::Infinity => INFINITY,
        Decoded::NegativeInfinity => NEGATIVE_INFINITY,
    })
}

/// The commonest form that PostgreSQL prints, `2024-05-06 07:08:09.123+00`: read without a detour.
fn stored(text: &[u8], with_zone: bool) -> Option<i64> {
    let two = |at: usize| -> Option<i64> {
        let (a, b) = (text.get(at)?.wrapping_sub(b'0'), text.get(at + 1)?.wrapping_sub(b'0'));
        (a <= 9 && b <= 9).then(|| i64::from(a) * 10 + i64::from(b))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':')];
    if text.len() < 19 || !marks.iter().all(|(at, mark)| text[*at] == *mark) {
        return None;
    }
    let mut moment = Moment {
        year: two(0)? * 100 + two(2)?,
        month: two(5)?,
        day: two(8)?,
        hour: two(11)?,
        minute: two(14)?,
        second: two(17)?,
        micros: 0,
    };
    let mut at = 19;
    if text.get(at) == Some(&b'.') {
        at += 1;
        let mut unit = 100_000;
        while let Some(digit @ b'0'..=b'9') = text.get(at) {
            moment.micros += i64::from(digit - b'0') * unit;
            if unit == 0 {
                return None;
            }
            unit /= 10;
            at += 1;
        }
    }
    let mut west = 0;
    match (with_zone, text.get(at..)?) {
        (false, []) => {}
        (true, [b'+', b'0', b'0']) => {}
        (true, [sign @ (b'+' | b'-'), _, _]) => {
            let seconds = two(at + 1)? * 3600;
            west = if *sign == b'+' { -seconds } else { seconds };
        }
        _ => return None,
    }
    let in_range = moment.year >= 1
        && (1..=12).contains(&moment.month)
        && moment.day >= 1
        && moment.day <= calendar::month_days(moment.year, moment.month)
        && moment.hour < 24
        && moment.minute < 60
        && moment.second < 60
        && west.abs() < 16 * 3600;
    if !in_range {
        return None;
    }
    to_unbounded_timestamp(&moment, west).ok()
}

/// What a date column holds: `2024-05-06` is read without a detour.
pub(crate) fn parse_stored_date(text: &str) -> Result<i32, EvalError> {
    plain_date(text.as_bytes()).map_or_else(|| parse_date(text, &super::UTC), Ok)
}

fn plain_date(text: &[u8]) -> Option<i32> {
    let [a, b, c, d, b'-', e, f, b'-', g, h] = *text else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0i64, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(&[a, b, c, d])?, number(&[e, f])?, number(&[g, h])?);
    let fits = year >= 1
        && (1..=12).contains(&month)
        && (1..=calendar::month_days(year, month)).contains(&day);
    fits.then(|| (calendar::to_julian(year, month, day) - EPOCH_JULIAN) as i32)
}

/// date_in.
pub(crate) fn parse_date(text: &str, zone: &Zone) -> Result<i32, EvalError> {
    let parts = Parts::of(text, 129)?;
    Ok(match decode::decode(&parts, zone)? {
        Decoded::Moment(moment, _) => {
            if !moment.has_julian() {
                return Err(OVERFLOW);
            }
            valid_date(moment.julian() - EPOCH_JULIAN)?
        }
        Decoded::Epoch => (UNIX_EPOCH / DAY) as i32,
        Decoded::Infinity => DATE_INFINITY,
        Decoded::NegativeInfinity => DATE_NEGATIVE_INFINITY,
    })
}

/// time_in.
pub(crate) fn parse_time(text: &str, zone: &Zone) -> Result<i64, EvalError> {
    let parts = Parts::of(text, 129)?;
    Ok(clock::decode(&parts, zone)?.micros)
}

/// timetz_in: microseconds and seconds west.
pub(crate) fn parse_timetz(text: &str, zone: &Zone) -> Result<(i64, i32), EvalError> {
    let parts = Parts::of(text, 129)?;
    let clock = clock::decode(&parts, zone)?;
    Ok((clock.micros, i32::try_from(clock.west?).map_err(|_| BAD)?))
}

/// Rounds to the `precision` decimal places of a `timestamp(p)`, half away from zero.
pub(crate) fn round(t: i64, precision: i32) -> i64 {
    if !is_finite(t) || !(0..6).contains(&precision) {
        return t;
    }
    let unit = 10i64.pow((6 - precision) as u32);
    let half = unit / 2;
    if t >= 0 {
        t.wrapping_add(half) / unit * unit
    } else {
        (t.wrapping_neg().wrapping_add(half) / unit * unit).wrapping_neg()
    }
}
