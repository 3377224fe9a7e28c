//! `date_trunc`.

use super::fields::monday;
use super::moment::Moment;
use super::words::Unit;
use super::{
    EvalError, Interval, Raise, Zone, from_timestamp, in_zone, is_finite, to_local, to_timestamp,
};

const NOT_OF_THIS_TYPE: EvalError = EvalError::new(Raise::NotSupported);

/// Fields from the smallest to the greatest: truncating to one clears all before it.
fn rank(unit: Unit) -> Option<u8> {
    Some(match unit {
        Unit::Microseconds => 0,
        Unit::Milliseconds => 1,
        Unit::Second => 2,
        Unit::Minute => 3,
        Unit::Hour => 4,
        Unit::Day => 5,
        Unit::Week => 6,
        Unit::Month => 7,
        Unit::Quarter => 8,
        Unit::Year => 9,
        Unit::Decade => 10,
        Unit::Century => 11,
        Unit::Millennium => 12,
        _ => return None,
    })
}

fn truncate(unit: Unit, moment: &mut Moment) -> Result<(), EvalError> {
    let rank = rank(unit).ok_or(NOT_OF_THIS_TYPE)?;
    let first_of = |year: i64, size: i64| match year > 0 {
        true => (year + size - 1) / size * size - (size - 1),
        false => -((size - 1 - (year - 1)) / size) * size + 1,
    };
    let year = moment.year;
    match unit {
        Unit::Week => moment.set_julian(monday(moment.julian())),
        Unit::Millennium => moment.year = first_of(year, 1000),
        Unit::Century => moment.year = first_of(year, 100),
        Unit::Decade if year > 0 => moment.year = year / 10 * 10,
        Unit::Decade => moment.year = -((8 - (year - 1)) / 10) * 10,
        Unit::Quarter => moment.month = (moment.month - 1) / 3 * 3 + 1,
        _ => {}
    }
    match rank {
        0 => {}
        1 => moment.micros = moment.micros / 1000 * 1000,
        _ => moment.micros = 0,
    }
    if rank >= 3 {
        moment.second = 0;
    }
    if rank >= 4 {
        moment.minute = 0;
    }
    if rank >= 5 {
        moment.hour = 0;
    }
    if rank >= 7 {
        moment.day = 1;
    }
    if rank >= 9 {
        moment.month = 1;
    }
    Ok(())
}

/// Of a timestamp.
pub(crate) fn timestamp(unit: Unit, t: i64) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    let mut moment = from_timestamp(t);
    truncate(unit, &mut moment)?;
    to_timestamp(&moment, 0)
}

/// Of a timestamptz, by a zone's clock. Below the day the offset stays what it was.
pub(crate) fn timestamptz(unit: Unit, t: i64, zone: &Zone) -> Result<i64, EvalError> {
    if !is_finite(t) {
        return Ok(t);
    }
    let (local, east) = to_local(t, zone);
    let mut moment = from_timestamp(local);
    truncate(unit, &mut moment)?;
    match rank(unit) {
        Some(5..) => in_zone(&moment, zone),
        _ => to_timestamp(&moment, -east),
    }
}

/// Of an interval. Weeks are no part of one.
pub(crate) fn interval(unit: Unit, interval: Interval) -> Result<Interval, EvalError> {
    let rank = rank(unit).filter(|_| unit != Unit::Week).ok_or(NOT_OF_THIS_TYPE)?;
    let Interval { months, days, microseconds } = interval;
    let (years, rest) = (months / 12, months % 12);
    let months = match unit {
        Unit::Millennium => years / 1000 * 12_000,
        Unit::Century => years / 100 * 1200,
        Unit::Decade => years / 10 * 120,
        Unit::Year => years * 12,
        Unit::Quarter => years * 12 + rest / 3 * 3,
        _ => months,
    };
    let unit = match rank {
        0 => 1,
        1 => super::MILLISECOND,
        2 => super::SECOND,
        3 => super::MINUTE,
        4 => super::HOUR,
        _ => return Ok(Interval::new(months, if rank >= 7 { 0 } else { days }, 0)),
    };
    Ok(Interval::new(months, days, microseconds / unit * unit))
}
