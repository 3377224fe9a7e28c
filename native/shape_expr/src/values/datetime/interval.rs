//! interval: months, days and microseconds, kept apart.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::{DAY, HOUR, MINUTE, OVERFLOW, SECOND};
use crate::error::EvalError;

/// An interval as PostgreSQL keeps it: its three parts have signs of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interval {
    /// Months, twelve to the year.
    pub months: i32,
    /// Days, each as long as the calendar has it.
    pub days: i32,
    /// Microseconds.
    pub microseconds: i64,
}

pub(crate) const MONTH_DAYS: i32 = 30;

impl Interval {
    pub(crate) const fn new(months: i32, days: i32, microseconds: i64) -> Interval {
        Interval { months, days, microseconds }
    }

    /// What comparison looks at: microseconds, with 24 hours to the day and 30 days to the month.
    pub(crate) fn span(&self) -> i128 {
        let days = i64::from(self.months) * i64::from(MONTH_DAYS) + i64::from(self.days);
        i128::from(days) * i128::from(DAY) + i128::from(self.microseconds)
    }

    pub(crate) fn compare(&self, other: &Interval) -> Ordering {
        self.span().cmp(&other.span())
    }

    pub(crate) fn hash_equality<H: Hasher>(&self, state: &mut H) {
        self.span().hash(state);
    }

    pub(crate) fn add(self, other: Interval) -> Result<Interval, EvalError> {
        Ok(Interval {
            months: self.months.checked_add(other.months).ok_or(OVERFLOW)?,
            days: self.days.checked_add(other.days).ok_or(OVERFLOW)?,
            microseconds: self.microseconds.checked_add(other.microseconds).ok_or(OVERFLOW)?,
        })
    }

    pub(crate) fn subtract(self, other: Interval) -> Result<Interval, EvalError> {
        Ok(Interval {
            months: self.months.checked_sub(other.months).ok_or(OVERFLOW)?,
            days: self.days.checked_sub(other.days).ok_or(OVERFLOW)?,
            microseconds: self.microseconds.checked_sub(other.microseconds).ok_or(OVERFLOW)?,
        })
    }

    pub(crate) fn negate(self) -> Result<Interval, EvalError> {
        Interval::default().subtract(self)
    }

    /// What a timestamp minus this interval adds: signs turned without a check.
    pub(super) fn wrapping_negate(self) -> Interval {
        Interval {
            months: self.months.wrapping_neg(),
            days: self.days.wrapping_neg(),
            microseconds: self.microseconds.wrapping_neg(),
        }
    }

    pub(crate) fn multiply(self, factor: f64) -> Result<Interval, EvalError> {
        self.scale(|x| x * factor)
    }

    /// The divisor is not zero.
    pub(crate) fn divide(self, divisor: f64) -> Result<Interval, EvalError> {
        self.scale(|x| x / divisor)
    }

    /// Fractions of months go to the days, fractions of days to the microseconds.
    fn scale(self, by: impl Fn(f64) -> f64) -> Result<Interval, EvalError> {
        const DAY_SECONDS: f64 = 86_400.0;
        let whole = |x: f64| -> Result<i32, EvalError> {
            let fits = (-2_147_483_648.0..=2_147_483_647.0).contains(&x);
            if fits { Ok(x as i32) } else { Err(OVERFLOW) }
        };
        let rounded = |x: f64| (x * 1e6).round_ties_even() / 1e6;
        let (months, days) = (by(f64::from(self.months)), by(f64::from(self.days)));
        let mut result = Interval::new(whole(months)?, whole(days)?, 0);
        let spare_days = rounded((months - f64::from(result.months)) * f64::from(MONTH_DAYS));
        let spare = days - f64::from(result.days) + spare_days - spare_days.trunc();
        let mut spare_seconds = rounded(spare * DAY_SECONDS);
        let add = |days: i32, more: f64| days.checked_add(more as i32).ok_or(OVERFLOW);
        if spare_seconds.abs() >= DAY_SECONDS {
            let more = (spare_seconds / DAY_SECONDS).trunc();
            result.days = add(result.days, more)?;
            spare_seconds -= more * DAY_SECONDS;
        }
        result.days = add(result.days, spare_days)?;
        let micros =
            (by(self.microseconds as f64) + spare_seconds * SECOND as f64).round_ties_even();
        // NaN fails the comparison too.
        if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&micros) {
            return Err(OVERFLOW);
        }
        result.microseconds = micros as i64;
        Ok(result)
    }

    /// Whole days out of the microseconds.
    pub(crate) fn justify_hours(self) -> Result<Interval, EvalError> {
        let mut result = self.days_from_hours()?;
        if result.days > 0 && result.microseconds < 0 {
            result.microseconds += DAY;
            result.days -= 1;
        } else if result.days < 0 && result.microseconds > 0 {
            result.microseconds -= DAY;
            result.days += 1;
        }
        Ok(result)
    }

    fn days_from_hours(self) -> Result<Interval, EvalError> {
        // Eight digits of days at most.
        let whole = (self.microseconds / DAY) as i32;
        Ok(Interval {
            days: self.days.checked_add(whole).ok_or(OVERFLOW)?,
            microseconds: self.microseconds % DAY,
            ..self
        })
    }

    fn months_from_days(self) -> Result<Interval, EvalError> {
        Ok(Interval {
            months: self.months.checked_add(self.days / MONTH_DAYS).ok_or(OVERFLOW)?,
            days: self.days % MONTH_DAYS,
            ..self
        })
    }

    /// Whole months of 30 days out of the days.
    pub(crate) fn justify_days(self) -> Result<Interval, EvalError> {
        let mut result = self.months_from_days()?;
        if result.months > 0 && result.days < 0 {
            result.days += MONTH_DAYS;
            result.months -= 1;
        } else if result.months < 0 && result.days > 0 {
            result.days -= MONTH_DAYS;
            result.months += 1;
        }
        Ok(result)
    }

    /// Both, and one sign for all.
    pub(crate) fn justify(self) -> Result<Interval, EvalError> {
        let mut result = self;
        let alike = (result.days > 0 && result.microseconds > 0)
            || (result.days < 0 && result.microseconds < 0);
        if alike {
            result = result.months_from_days()?;
        }
        result = result.days_from_hours()?.months_from_days()?;
        let Interval { months, days, microseconds: micros } = result;
        if months > 0 && (days < 0 || (days == 0 && micros < 0)) {
            result.days += MONTH_DAYS;
            result.months -= 1;
        } else if months < 0 && (days > 0 || (days == 0 && micros > 0)) {
            result.days -= MONTH_DAYS;
            result.months += 1;
        }
        if result.days > 0 && result.microseconds < 0 {
            result.microseconds += DAY;
            result.days -= 1;
        } else if result.days < 0 && result.microseconds > 0 {
            result.microseconds -= DAY;
            result.days += 1;
        }
        Ok(result)
    }
}

/// The fields an interval's modifier may name: PostgreSQL's bits, and its words.
pub(crate) static INTERVAL_MASKS: &[(i32, &str)] = &[
    (1 << 2, "year"),
    (1 << 1, "month"),
    (1 << 3, "day"),
    (1 << 10, "hour"),
    (1 << 11, "minute"),
    (1 << 12, "second"),
    (1 << 2 | 1 << 1, "year to month"),
    (1 << 3 | 1 << 10, "day to hour"),
    (1 << 3 | 1 << 10 | 1 << 11, "day to minute"),
    (1 << 3 | 1 << 10 | 1 << 11 | 1 << 12, "day to second"),
    (1 << 10 | 1 << 11, "hour to minute"),
    (1 << 10 | 1 << 11 | 1 << 12, "hour to second"),
    (1 << 11 | 1 << 12, "minute to second"),
];

pub(super) const ALL_FIELDS: i32 = 0x7fff;
const FULL_PRECISION: i32 = 0xffff;

/// The modifier for these fields and this many decimal places.
pub(crate) fn interval_typmod(fields: Option<i32>, precision: Option<i32>) -> i32 {
    match (fields, precision) {
        (None, None) => -1,
        (fields, precision) => {
            let fields = fields.unwrap_or(ALL_FIELDS) & ALL_FIELDS;
            fields << 16 | precision.unwrap_or(FULL_PRECISION) & 0xffff
        }
    }
}

pub(super) fn fields_of(typmod: i32) -> i32 {
    if typmod < 0 { ALL_FIELDS } else { typmod >> 16 & ALL_FIELDS }
}

/// `interval day to second(3)`.
pub(crate) fn interval_name(typmod: i32) -> String {
    let mut name = "interval".to_owned();
    if typmod < 0 {
        return name;
    }
    let fields = fields_of(typmod);
    if let Some((_, words)) = INTERVAL_MASKS.iter().find(|(mask, _)| *mask == fields) {
        name.push(' ');
        name.push_str(words);
    }
    match typmod & 0xffff {
        FULL_PRECISION => {}
        precision => name.push_str(&format!("({precision})")),
    }
    name
}

/// Drops what a modifier has no room for.
pub(crate) fn fit_interval(interval: Interval, typmod: i32) -> Interval {
    let mut result = interval;
    if typmod < 0 {
        return result;
    }
    let mut keep = |unit: i64| result.microseconds = result.microseconds / unit * unit;
    match INTERVAL_MASKS.iter().find(|(mask, _)| *mask == fields_of(typmod)) {
        Some((_, "hour" | "day to hour")) => keep(HOUR),
        Some((_, "minute" | "day to minute" | "hour to minute")) => keep(MINUTE),
        Some((_, "year")) => {
            result = Interval::new(result.months / 12 * 12, 0, 0);
        }
        Some((_, "month" | "year to month")) => result = Interval::new(result.months, 0, 0),
        Some((_, "day")) => result.microseconds = 0,
        _ => {}
    }
    let precision = typmod & 0xffff;
    if precision < 6 {
        let unit = 10i64.pow((6 - precision) as u32);
        let half = unit / 2;
        let micros = result.microseconds;
        result.microseconds = if micros >= 0 {
            micros.wrapping_add(half) / unit * unit
        } else {
            (micros.wrapping_neg().wrapping_add(half) / unit * unit).wrapping_neg()
        };
    }
    result
}
