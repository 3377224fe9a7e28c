//! EXTRACT and `date_part`.

use super::words::Unit;
use super::{
    Interval, Moment, SECOND, Zone, from_timestamp, is_finite, is_finite_date, set_time, to_local,
};
use crate::error::{EvalError, Raise};
use crate::values::calendar::{self, EPOCH_JULIAN};

/// The unit exists, but not of this type.
const NOT_OF_THIS_TYPE: EvalError = EvalError::new(Raise::NotSupported);

/// A field, exact enough to make a numeric or a float of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Null,
    Infinite {
        negative: bool,
    },
    Whole(i64),
    /// Seconds with their microseconds, to be shown in thousandths.
    Milliseconds {
        second: i64,
        micros: i64,
    },
    Seconds {
        second: i64,
        micros: i64,
    },
    /// A Julian day and the time of day.
    Julian {
        day: i64,
        micros: i64,
    },
    /// Microseconds since 1970, and the float PostgreSQL makes of them.
    Epoch {
        micros: i128,
        float: f64,
    },
}

impl Part {
    /// What `date_part` gives.
    pub(crate) fn as_float(self) -> Option<f64> {
        Some(match self {
            Part::Null => return None,
            Part::Infinite { negative: true } => f64::NEG_INFINITY,
            Part::Infinite { negative: false } => f64::INFINITY,
            Part::Whole(value) => value as f64,
            Part::Milliseconds { second, micros } => {
                second as f64 * 1000.0 + micros as f64 / 1000.0
            }
            Part::Seconds { second, micros } => second as f64 + micros as f64 / 1e6,
            Part::Julian { day, micros } => {
                let seconds = (micros / SECOND) as f64 + (micros % SECOND) as f64 / 1e6;
                day as f64 + seconds / 86_400.0
            }
            Part::Epoch { float, .. } => float,
        })
    }
}

/// The ISO week's Thursday decides its year.
fn iso_week(julian: i64) -> (i64, i64) {
    let thursday = julian - julian.rem_euclid(7) + 3;
    let year = calendar::from_julian(thursday).0;
    (year, (thursday - calendar::to_julian(year, 1, 1)) / 7 + 1)
}

/// The Monday on or before a day.
pub(super) fn monday(julian: i64) -> i64 {
    julian - julian.rem_euclid(7)
}

/// Without a year zero.
fn shown_year(year: i64) -> i64 {
    if year > 0 { year } else { year - 1 }
}

fn date_field(unit: Unit, moment: &Moment) -> Option<i64> {
    let Moment { year, month, day, .. } = *moment;
    let julian = moment.julian();
    Some(match unit {
        Unit::Day => day,
        Unit::Month => month,
        Unit::Quarter => (month - 1) / 3 + 1,
        Unit::Week => iso_week(julian).1,
        Unit::Year => shown_year(year),
        Unit::Decade if year >= 0 => year / 10,
        Unit::Decade => -((8 - (year - 1)) / 10),
        Unit::Century if year > 0 => (year + 99) / 100,
        Unit::Century => -((99 - (year - 1)) / 100),
        Unit::Millennium if year > 0 => (year + 999) / 1000,
        Unit::Millennium => -((999 - (year - 1)) / 1000),
        Unit::Isoyear => shown_year(iso_week(julian).0),
        Unit::Dow => (julian + 1).rem_euclid(7),
        Unit::Isodow => julian.rem_euclid(7) + 1,
        Unit::Doy => julian - calendar::to_julian(year, 1, 1) + 1,
        _ => return None,
    })
}

fn clock_field(unit: Unit, moment: &Moment) -> Option<Part> {
    let Moment { hour, minute, second, micros, .. } = *moment;
    Some(match unit {
        Unit::Microseconds => Part::Whole(second * SECOND + micros),
        Unit::Milliseconds => Part::Milliseconds { second, micros },
        Unit::Second => Part::Seconds { second, micros },
        Unit::Minute => Part::Whole(minute),
        Unit::Hour => Part::Whole(hour),
        _ => return None,
    })
}

fn zone_field(unit: Unit, east: i64) -> Option<Part> {
    Some(Part::Whole(match unit {
        Unit::Timezone => east,
        Unit::TimezoneHour => east / 3600,
        Unit::TimezoneMinute => east / 60 % 60,
        _ => return None,
    }))
}

/// Fields that come round again are NULL of an infinity, those that only grow are infinite.
fn infinite(unit: Unit, negative: bool) -> Part {
    match unit {
        Unit::Year
        | Unit::Decade
        | Unit::Century
        | Unit::Millennium
        | Unit::Julian
        | Unit::Isoyear
        | Unit::Epoch => Part::Infinite { negative },
        _ => Part::Null,
    }
}

/// A field of a timestamp, or with a zone of a timestamptz.
pub(crate) fn of_timestamp(unit: Unit, t: i64, zone: Option<&Zone>) -> Result<Part, EvalError> {
    if !is_finite(t) {
        return Ok(infinite(unit, t < 0));
    }
    let (local, east) = zone.map_or((t, 0), |zone| to_local(t, zone));
    let moment = from_timestamp(local);
    if let Some(part) = clock_field(unit, &moment) {
        return Ok(part);
    }
    if let Some(value) = date_field(unit, &moment) {
        return Ok(Part::Whole(value));
    }
    match unit {
        Unit::Julian => Ok(Part::Julian { day: moment.julian(), micros: moment.of_day() }),
        Unit::Epoch => {
            let micros = i128::from(t) + i128::from(super::EPOCH_SECONDS * SECOND);
            let float = match i64::try_from(micros) {
                Ok(micros) => micros as f64 / 1e6,
                Err(_) => (t as f64 + (super::EPOCH_SECONDS * SECOND) as f64) / 1e6,
            };
            Ok(Part::Epoch { micros, float })
        }
        _ => zone.and_then(|_| zone_field(unit, east)).ok_or(NOT_OF_THIS_TYPE),
    }
}

/// A field of a date, as EXTRACT has it.
pub(crate) fn of_date(unit: Unit, date: i32) -> Result<Part, EvalError> {
    let known = !matches!(
        unit,
        Unit::Microseconds
            | Unit::Milliseconds
            | Unit::Second
            | Unit::Minute
            | Unit::Hour
            | Unit::Timezone
            | Unit::TimezoneHour
            | Unit::TimezoneMinute
    );
    if !known {
        return Err(NOT_OF_THIS_TYPE);
    }
    if !is_finite_date(date) {
        return Ok(infinite(unit, date < 0));
    }
    let julian = i64::from(date) + EPOCH_JULIAN;
    let (year, month, day) = calendar::from_julian(julian);
    let moment = Moment { year, month, day, ..Moment::default() };
    Ok(Part::Whole(match unit {
        Unit::Julian => julian,
        Unit::Epoch => i64::from(date) * 86_400 + super::EPOCH_SECONDS,
        _ => return date_field(unit, &moment).map(Part::Whole).ok_or(NOT_OF_THIS_TYPE),
    }))
}

/// A field of a time, or with an offset (seconds west) of a timetz.
pub(crate) fn of_time(unit: Unit, micros: i64, west: Option<i32>) -> Result<Part, EvalError> {
    let mut moment = Moment::default();
    set_time(&mut moment, micros);
    if let Some(part) = clock_field(unit, &moment) {
        return Ok(part);
    }
    let west_seconds = i64::from(west.unwrap_or(0));
    match unit {
        Unit::Epoch => {
            let exact = i128::from(micros) + i128::from(west_seconds * SECOND);
            let float = micros as f64 / 1e6 + west_seconds as f64;
            Ok(Part::Epoch { micros: exact, float })
        }
        _ => west.and_then(|_| zone_field(unit, -west_seconds)).ok_or(NOT_OF_THIS_TYPE),
    }
}

/// A field of an interval.
pub(crate) fn of_interval(unit: Unit, interval: &Interval) -> Result<Part, EvalError> {
    let mut moment = Moment::default();
    set_time(&mut moment, interval.microseconds);
    if let Some(part) = clock_field(unit, &moment) {
        return Ok(part);
    }
    let (years, months) = (interval.months / 12, interval.months % 12);
    Ok(Part::Whole(match unit {
        Unit::Day => i64::from(interval.days),
        Unit::Month => i64::from(months),
        Unit::Quarter => i64::from(months / 3 + 1),
        Unit::Year => i64::from(years),
        Unit::Decade => i64::from(years / 10),
        Unit::Century => i64::from(years / 100),
        Unit::Millennium => i64::from(years / 1000),
        Unit::Epoch => {
            // A year has 365.25 days here, a month 30.
            let quarters =
                1461 * i64::from(years) + 120 * i64::from(months) + 4 * i64::from(interval.days);
            let seconds = i128::from(quarters) * 21_600;
            let micros = seconds * i128::from(SECOND) + i128::from(interval.microseconds);
            let mut float = interval.microseconds as f64 / 1e6;
            float += 365.25 * 86_400.0 * f64::from(years);
            float += 30.0 * 86_400.0 * f64::from(months);
            float += 86_400.0 * f64::from(interval.days);
            return Ok(Part::Epoch { micros, float });
        }
        _ => return Err(NOT_OF_THIS_TYPE),
    }))
}
