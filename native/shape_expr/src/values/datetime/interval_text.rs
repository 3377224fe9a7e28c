//! interval's text form: PostgreSQL's own, the verbose one, SQL's, and ISO 8601's two.

use std::fmt::Write as _;

use super::interval::{INTERVAL_MASKS, MONTH_DAYS, fields_of};
use super::numbers::{clock, int};
use super::print::write_fraction;
use super::scan::{Parts, Shape, fraction, leading, overflows};
use super::words::{Unit, interval_unit};
use super::{BAD, DAY, HOUR, Interval, MILLISECOND, MINUTE, OVERFLOW, SECOND, fit_interval};
use crate::error::{EvalError, Raise};

const FIELD_OVERFLOW: EvalError = EvalError::new(Raise::IntervalOverflow);

/// The parts while they are read: years apart from months, each of its own width.
#[derive(Default)]
struct Sum {
    years: i32,
    months: i32,
    days: i32,
    micros: i64,
}

impl Sum {
    fn add_micros(&mut self, value: i64, part: f64, unit: i64) -> Result<(), EvalError> {
        let micros = value.checked_mul(unit).ok_or(FIELD_OVERFLOW)?;
        self.micros = self.micros.checked_add(micros).ok_or(FIELD_OVERFLOW)?;
        self.add_fraction(part, unit)
    }

    fn add_fraction(&mut self, part: f64, unit: i64) -> Result<(), EvalError> {
        let exact = part * unit as f64;
        let mut micros = exact as i64;
        let rest = exact - micros as f64;
        if rest > 0.5 {
            micros += 1;
        } else if rest < -0.5 {
            micros -= 1;
        }
        self.micros = self.micros.checked_add(micros).ok_or(FIELD_OVERFLOW)?;
        Ok(())
    }

    fn add_days(&mut self, value: i64, scale: i32) -> Result<(), EvalError> {
        add_scaled(&mut self.days, value, scale)
    }

    fn add_fraction_of_days(&mut self, part: f64, scale: i32) -> Result<(), EvalError> {
        let exact = part * f64::from(scale);
        let whole = exact as i32;
        self.days = self.days.checked_add(whole).ok_or(FIELD_OVERFLOW)?;
        self.add_fraction(exact - f64::from(whole), DAY)
    }

    fn add_months(&mut self, value: i64) -> Result<(), EvalError> {
        add_scaled(&mut self.months, value, 1)
    }

    fn add_years(&mut self, value: i64, part: f64, scale: i32) -> Result<(), EvalError> {
        add_scaled(&mut self.years, value, scale)?;
        let months = (part * f64::from(scale) * 12.0).round_ties_even() as i32;
        self.months = self.months.checked_add(months).ok_or(FIELD_OVERFLOW)?;
        Ok(())
    }

    fn add(&mut self, unit: Unit, value: i64, part: f64) -> Result<(), EvalError> {
        match unit {
            Unit::Microseconds => self.add_micros(value, part, 1),
            Unit::Milliseconds => self.add_micros(value, part, MILLISECOND),
            Unit::Second => self.add_micros(value, part, SECOND),
            Unit::Minute => self.add_micros(value, part, MINUTE),
            Unit::Hour => self.add_micros(value, part, HOUR),
            Unit::Day => {
                self.add_days(value, 1)?;
                self.add_fraction(part, DAY)
            }
            Unit::Week => {
                self.add_days(value, 7)?;
                self.add_fraction_of_days(part, 7)
            }
            Unit::Month => {
                self.add_months(value)?;
                self.add_fraction_of_days(part, MONTH_DAYS)
            }
            Unit::Year => self.add_years(value, part, 1),
            Unit::Decade => self.add_years(value, part, 10),
            Unit::Century => self.add_years(value, part, 100),
            Unit::Millennium => self.add_years(value, part, 1000),
            _ => Err(BAD),
        }
    }

    fn negate(&mut self) -> Result<(), EvalError> {
        let turn = |x: i32| x.checked_neg().ok_or(FIELD_OVERFLOW);
        self.years = turn(self.years)?;
        self.months = turn(self.months)?;
        self.days = turn(self.days)?;
        self.micros = self.micros.checked_neg().ok_or(FIELD_OVERFLOW)?;
        Ok(())
    }

    fn interval(&self) -> Result<Interval, EvalError> {
        let months = i64::from(self.years) * 12 + i64::from(self.months);
        let months = i32::try_from(months).map_err(|_| OVERFLOW)?;
        Ok(Interval::new(months, self.days, self.micros))
    }
}

fn add_scaled(to: &mut i32, value: i64, scale: i32) -> Result<(), EvalError> {
    let value = i32::try_from(value).map_err(|_| FIELD_OVERFLOW)?;
    let value = value.checked_mul(scale).ok_or(FIELD_OVERFLOW)?;
    *to = to.checked_add(value).ok_or(FIELD_OVERFLOW)?;
    Ok(())
}

/// interval_in with this modifier.
pub(crate) fn parse_interval(text: &str, typmod: i32) -> Result<Interval, EvalError> {
    let parts = Parts::of(text, 256);
    let sum = match parts.and_then(|parts| decode(&parts, fields_of(typmod))) {
        Err(error) if error == BAD => iso8601(text)?,
        Err(error) if error == OVERFLOW => return Err(FIELD_OVERFLOW),
        other => other?,
    };
    Ok(fit_interval(sum.interval()?, typmod))
}

/// What a column holds: the most negative number of microseconds, which PostgreSQL prints but does
/// not read.
pub(crate) fn parse_stored_interval(text: &str) -> Result<Interval, EvalError> {
    match text.strip_suffix("-2562047788:00:54.775808") {
        None => parse_interval(text, -1),
        Some("") => Ok(Interval::new(0, 0, i64::MIN)),
        Some(rest) => Ok(Interval { microseconds: i64::MIN, ..parse_interval(rest, -1)? }),
    }
}

/// What a number without a unit counts, by the modifier's fields.
fn last_unit(fields: i32) -> Unit {
    let words = INTERVAL_MASKS.iter().find(|(mask, _)| *mask == fields).map(|(_, words)| *words);
    match words.and_then(|words| words.rsplit(' ').next()) {
        Some("year") => Unit::Year,
        Some("month") => Unit::Month,
        Some("day") => Unit::Day,
        Some("hour") => Unit::Hour,
        Some("minute") => Unit::Minute,
        _ => Unit::Second,
    }
}

/// One bit a unit, so that each comes once; microseconds and the like by themselves.
fn bits(unit: Unit, part: f64) -> u32 {
    const SECONDS: u32 = 1 << 0 | 1 << 1 | 1 << 2;
    match unit {
        Unit::Microseconds => 1 << 0,
        Unit::Milliseconds => 1 << 1,
        Unit::Second if part != 0.0 => SECONDS,
        Unit::Second => 1 << 2,
        Unit::Minute => 1 << 3,
        Unit::Hour => 1 << 4,
        Unit::Day => 1 << 5,
        Unit::Week => 1 << 6,
        Unit::Month => 1 << 7,
        Unit::Year => 1 << 8,
        Unit::Decade => 1 << 9,
        Unit::Century => 1 << 10,
        _ => 1 << 11,
    }
}

/// All that a clock shows.
const CLOCK: u32 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4;
/// Minutes and seconds are `hh:mm` unless the modifier says otherwise.
const MINUTE_TO_SECOND: i32 = 1 << 11 | 1 << 12;

/// Read backwards, since units stand behind their numbers.
fn decode(parts: &Parts, fields: i32) -> Result<Sum, EvalError> {
    let mut sum = Sum::default();
    let mut unit: Option<Unit> = None;
    let mut ago = false;
    let mut mask = 0;
    for part in (0..parts.len()).rev() {
        let text = parts.text(part);
        let found = match parts.shape(part) {
            Some(Shape::Time) => {
                sum.set_clock(text, fields, false)?;
                unit = Some(Unit::Day);
                CLOCK
            }
            Some(Shape::Signed)
                if text[1..].contains(':')
                    && sum.set_clock(&text[1..], fields, text.starts_with('-')).is_ok() =>
            {
                unit = Some(Unit::Day);
                CLOCK
            }
            Some(Shape::Signed | Shape::Date | Shape::Number) => {
                let counted = unit.unwrap_or_else(|| last_unit(fields));
                let (counted, value, part) = number(text, counted)?;
                sum.add(counted, value, part)?;
                // What stands before hours counts days, if it does not say.
                unit = Some(if counted == Unit::Hour { Unit::Day } else { counted });
                bits(counted, part)
            }
            Some(Shape::Word | Shape::SignedWord) => {
                if text == "ago" {
                    ago = true;
                    // PostgreSQL takes a number before `ago` by the number of that word: no unit.
                    unit = Some(Unit::Epoch);
                } else {
                    unit = Some(interval_unit(text).ok_or(BAD)?);
                }
                continue;
            }
            None => return Err(BAD),
        };
        if mask & found != 0 {
            return Err(BAD);
        }
        mask |= found;
    }
    if mask == 0 {
        return Err(BAD);
    }
    if ago {
        sum.negate()?;
    }
    Ok(sum)
}

impl Sum {
    fn set_clock(&mut self, text: &str, fields: i32, negative: bool) -> Result<(), EvalError> {
        let (hour, minute, second, micros) = clock(text, fields == MINUTE_TO_SECOND)?;
        let rest = (minute * 60 + second) * SECOND + micros;
        let total = hour.checked_mul(HOUR).and_then(|hours| hours.checked_add(rest));
        let total = total.ok_or(FIELD_OVERFLOW)?;
        self.micros = if negative { -total } else { total };
        Ok(())
    }
}

/// A number's unit, whole part and fraction; `1-2` is a year and two months.
fn number(text: &str, unit: Unit) -> Result<(Unit, i64, f64), EvalError> {
    let (value, rest) = leading(text);
    if overflows(value, text) {
        return Err(FIELD_OVERFLOW);
    }
    let negative = text.starts_with('-');
    match rest.as_bytes().first() {
        None => Ok((unit, value, 0.0)),
        Some(b'-') => {
            let (months, rest) = int(&rest[1..])?;
            if !(0..12).contains(&months) {
                return Err(FIELD_OVERFLOW);
            }
            if !rest.is_empty() {
                return Err(BAD);
            }
            let months = if negative { -months } else { months };
            let total = value.checked_mul(12).and_then(|value| value.checked_add(months));
            Ok((Unit::Month, total.ok_or(FIELD_OVERFLOW)?, 0.0))
        }
        Some(b'.') => {
            let part = fraction(rest)?;
            Ok((unit, value, if negative { -part } else { part }))
        }
        Some(_) => Err(BAD),
    }
}

/// `P1Y2M3DT4H5M6S`, `P0001-02-03T04:05:06`, `P00010203T040506`.
fn iso8601(text: &str) -> Result<Sum, EvalError> {
    let mut sum = Sum::default();
    let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(BAD)?;
    let mut time = false;
    let mut met = false;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('T') {
            (time, met, rest) = (true, false, tail);
            continue;
        }
        let start = rest;
        let (value, part);
        (value, part, rest) = iso_number(rest)?;
        let digits = start.strip_prefix('-').unwrap_or(start);
        let width = digits.bytes().take_while(u8::is_ascii_digit).count();
        let mark = rest.bytes().next();
        let unit = match (time, mark) {
            (false, Some(b'Y')) => Unit::Year,
            (false, Some(b'M')) => Unit::Month,
            (false, Some(b'W')) => Unit::Week,
            (false, Some(b'D')) => Unit::Day,
            (true, Some(b'H')) => Unit::Hour,
            (true, Some(b'M')) => Unit::Minute,
            (true, Some(b'S')) => Unit::Second,
            (false, None | Some(b'T')) if width == 8 && !met => {
                sum.add_years(value / 10_000, 0.0, 1)?;
                sum.add_months(value / 100 % 100)?;
                sum.add_days(value % 100, 1)?;
                sum.add_fraction(part, DAY)?;
                continue;
            }
            (true, None) if width == 6 && !met => {
                sum.add_micros(value / 10_000, 0.0, HOUR)?;
                sum.add_micros(value / 100 % 100, 0.0, MINUTE)?;
                sum.add_micros(value % 100, 0.0, SECOND)?;
                sum.add_fraction(part, 1)?;
                return Ok(sum);
            }
            (false, None | Some(b'T' | b'-')) if !met => {
                sum.add_years(value, part, 1)?;
                rest = separated(&mut sum, rest, '-', &[Unit::Month, Unit::Day])?;
                if !rest.is_empty() && !rest.starts_with('T') {
                    return Err(BAD);
                }
                continue;
            }
            (true, None | Some(b':')) if !met => {
                sum.add_micros(value, part, HOUR)?;
                rest = separated(&mut sum, rest, ':', &[Unit::Minute, Unit::Second])?;
                return if rest.is_empty() { Ok(sum) } else { Err(BAD) };
            }
            _ => return Err(BAD),
        };
        rest = &rest[1..];
        sum.add(unit, value, part)?;
        met = true;
    }
    Ok(sum)
}

/// The second and third field of a form with separators, as far as they are there.
fn separated<'t>(
    sum: &mut Sum,
    mut rest: &'t str,
    separator: char,
    units: &[Unit],
) -> Result<&'t str, EvalError> {
    for unit in units {
        let Some(tail) = rest.strip_prefix(separator) else { break };
        let (value, part);
        (value, part, rest) = iso_number(tail)?;
        sum.add(*unit, value, part)?;
    }
    Ok(rest)
}

/// A number as C's `strtod` reads it: whole part, fraction, and the rest.
fn iso_number(text: &str) -> Result<(i64, f64, &str), EvalError> {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'-' | b'.')) {
        return Err(BAD);
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(bytes[0] == b'-');
    let whole = digits(end);
    end += whole;
    let mut places = 0;
    if bytes.get(end) == Some(&b'.') {
        places = digits(end + 1);
        if whole + places > 0 {
            end += 1 + places;
        }
    }
    if whole + places == 0 {
        // strtod knows these words.
        let word = text.trim_start_matches('-').get(..3).unwrap_or("");
        let known = ["inf", "nan"].iter().any(|w| word.eq_ignore_ascii_case(w));
        return Err(if known { FIELD_OVERFLOW } else { BAD });
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = if end + 1 + sign <= bytes.len() { digits(end + 1 + sign) } else { 0 };
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let value: f64 = text[..end].parse().map_err(|_| BAD)?;
    let written_zero = !text[..end]
        .bytes()
        .take_while(|b| !matches!(b, b'e' | b'E'))
        .any(|b| matches!(b, b'1'..=b'9'));
    // strtod reports what is too great or too small for it.
    if value.is_infinite() || (value == 0.0 && !written_zero) || value.is_subnormal() {
        return Err(BAD);
    }
    if !(-1e15..=1e15).contains(&value) {
        return Err(FIELD_OVERFLOW);
    }
    let whole = value.trunc();
    Ok((whole as i64, value - whole, &text[end..]))
}

/// interval_out with IntervalStyle postgres.
pub(crate) fn output_interval(interval: &Interval) -> String {
    let Interval { months, days, microseconds } = *interval;
    let mut text = String::with_capacity(48);
    let mut before_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        let space = if text.is_empty() { "" } else { " " };
        let plus = if before_negative && value > 0 { "+" } else { "" };
        let plural = if value == 1 { "" } else { "s" };
        let _ = write!(text, "{space}{plus}{value} {unit}{plural}");
        before_negative = value < 0;
    }
    if text.is_empty() || microseconds != 0 {
        let space = if text.is_empty() { "" } else { " " };
        let sign = match (microseconds < 0, before_negative) {
            (true, _) => "-",
            (false, true) => "+",
            (false, false) => "",
        };
        let micros = microseconds.unsigned_abs();
        let seconds = micros / SECOND as u64;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let _ = write!(text, "{space}{sign}{hour:02}:{minute:02}:{second:02}");
        write_fraction(&mut text, (micros % SECOND as u64) as i64);
    }
    text
}
