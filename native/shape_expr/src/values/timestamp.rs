//! timestamptz: microseconds since 2000-01-01 UTC. Input of every ISO form, output as UTC.

use super::calendar::{self, EPOCH_JULIAN, MIN_JULIAN};
use crate::error::{EvalError, Raise};

/// `infinity`.
pub(crate) const INFINITY: i64 = i64::MAX;
/// `-infinity`.
pub(crate) const NEGATIVE_INFINITY: i64 = i64::MIN;
/// 294277-01-01 00:00, the first moment too late.
const END: i64 = 9_223_371_331_200_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

const BAD: EvalError = EvalError::new(Raise::InvalidDatetime);
const OVERFLOW: EvalError = EvalError::new(Raise::DatetimeOverflow);

/// Literals whose value is the moment they are read at.
pub(crate) fn is_volatile(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| {
        ["now", "today", "tomorrow", "yesterday"].iter().any(|v| word.eq_ignore_ascii_case(v))
    })
}

/// timestamptz_in for ISO forms, with the session's time zone UTC.
pub(crate) fn parse(text: &str) -> Result<i64, EvalError> {
    match parse_stored(text)? {
        t if t >= END && t != INFINITY => Err(OVERFLOW),
        t => Ok(t),
    }
}

/// The same for what a column holds: rounding to a `timestamp(p)` can take a value past the end of
/// what PostgreSQL reads, and it stores and prints it all the same.
pub(crate) fn parse_stored(text: &str) -> Result<i64, EvalError> {
    let mut word = super::text::trim_space(text);
    for (name, value) in
        [("infinity", INFINITY), ("-infinity", NEGATIVE_INFINITY), ("epoch", -946_684_800 * SECOND)]
    {
        if word.eq_ignore_ascii_case(name) {
            return Ok(value);
        }
    }
    let mut before_christ = false;
    if let Some((rest, era)) = split_suffix(word)
        && (era.eq_ignore_ascii_case("bc") || era.eq_ignore_ascii_case("ad"))
    {
        before_christ = era.eq_ignore_ascii_case("bc");
        word = rest;
    }
    let mut scan = Scan { bytes: word.as_bytes(), at: 0 };
    let (year, month, day) = scan.date()?;
    let mut micros = 0;
    let mut offset = 0;
    if scan.separator() {
        micros = scan.time()?;
        offset = scan.zone()?;
    }
    if scan.at != scan.bytes.len() {
        return Err(BAD);
    }
    if year == 0 {
        return Err(OVERFLOW);
    }
    let year = if before_christ { 1 - year } else { year };
    if !(1..=12).contains(&month) || day < 1 || day > calendar::month_days(year, month) {
        return Err(OVERFLOW);
    }
    // Years are bounded before the multiplication below can overflow.
    if !(-4713..=294_277).contains(&year) {
        return Err(OVERFLOW);
    }
    let julian = calendar::to_julian(year, month, day);
    if julian < MIN_JULIAN {
        return Err(OVERFLOW);
    }
    let days = (julian - EPOCH_JULIAN).checked_mul(DAY).ok_or(OVERFLOW)?;
    let moment = days.checked_add(micros).and_then(|t| t.checked_sub(offset * SECOND));
    match moment.ok_or(OVERFLOW)? {
        t if t < (MIN_JULIAN - EPOCH_JULIAN) * DAY => Err(OVERFLOW),
        t => Ok(t),
    }
}

fn split_suffix(word: &str) -> Option<(&str, &str)> {
    let at = word.rfind(|c: char| !c.is_ascii_alphabetic())? + 1;
    let (rest, suffix) = (word.get(..at)?, word.get(at..)?);
    (suffix.len() == 2).then(|| (super::text::trim_space(rest), suffix))
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(super::text::is_space) {
            self.at += 1;
        }
    }

    /// A run of digits: its value and its length.
    fn digits(&mut self, most: usize) -> Result<(i64, usize), EvalError> {
        let start = self.at;
        let mut value = 0i64;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            if self.at - start == most {
                return Err(BAD);
            }
            value = value * 10 + i64::from(byte - b'0');
            self.at += 1;
        }
        match self.at - start {
            0 => Err(BAD),
            length => Ok((value, length)),
        }
    }

    /// `2024-05-06`, `20240506`.
    fn date(&mut self) -> Result<(i64, i64, i64), EvalError> {
        let (first, length) = self.digits(10)?;
        if length == 8 && self.peek() != Some(b'-') {
            return Ok((first / 10_000, first / 100 % 100, first % 100));
        }
        // Years of fewer digits are read by DateStyle's rules, which are no ISO form.
        if length < 3 || !self.eat(b'-') {
            return Err(BAD);
        }
        let (month, _) = self.digits(2)?;
        if !self.eat(b'-') {
            return Err(BAD);
        }
        let (day, _) = self.digits(2)?;
        Ok((first, month, day))
    }

    /// What stands between date and time.
    fn separator(&mut self) -> bool {
        if matches!(self.peek(), Some(b'T' | b't')) {
            self.at += 1;
            return true;
        }
        let start = self.at;
        self.blanks();
        self.at > start && self.at < self.bytes.len()
    }

    /// `10:11`, `10:11:12.345`, `101112`: microseconds of the day.
    fn time(&mut self) -> Result<i64, EvalError> {
        let (first, length) = self.digits(6)?;
        let (hour, minute, second) = match length {
            4 => (first / 100, first % 100, 0),
            6 => (first / 10_000, first / 100 % 100, first % 100),
            1 | 2 => {
                if !self.eat(b':') {
                    return Err(BAD);
                }
                let (minute, _) = self.digits(2)?;
                let second = if self.eat(b':') { self.digits(2)?.0 } else { 0 };
                (first, minute, second)
            }
            _ => return Err(BAD),
        };
        let fraction = if self.eat(b'.') { self.fraction() } else { 0 };
        let micros = (hour * 3600 + minute * 60 + second) * SECOND + fraction;
        if minute > 59 || second > 60 || micros > DAY {
            return Err(OVERFLOW);
        }
        Ok(micros)
    }

    /// Decimal places to microseconds, rounded as C's `rint` does it.
    fn fraction(&mut self) -> i64 {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or("");
        let value: f64 = format!("0.{digits}0").parse().unwrap_or(0.0);
        (value * 1e6).round_ties_even() as i64
    }

    /// `Z`, `UTC`, `+02`, `-03:30`, `+0530`: seconds east of Greenwich. Nothing is UTC.
    fn zone(&mut self) -> Result<i64, EvalError> {
        self.blanks();
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return Ok(0);
        }
        let word = std::str::from_utf8(rest).unwrap_or("");
        if ["z", "utc", "gmt", "zulu", "ut"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
            self.at = self.bytes.len();
            return Ok(0);
        }
        let east = match self.peek() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(BAD),
        };
        self.at += 1;
        let (first, length) = self.digits(6)?;
        let (hour, minute, second) = match length {
            1 | 2 => {
                let minute = if self.eat(b':') { self.digits(2)?.0 } else { 0 };
                let second = if self.eat(b':') { self.digits(2)?.0 } else { 0 };
                (first, minute, second)
            }
            3 | 4 => (first / 100, first % 100, 0),
            _ => (first / 10_000, first / 100 % 100, first % 100),
        };
        if hour > 15 || minute > 59 || second > 59 {
            return Err(EvalError::new(Raise::InvalidTimeZone));
        }
        Ok(east * (hour * 3600 + minute * 60 + second))
    }
}

/// timestamptz_out with DateStyle ISO and TimeZone UTC.
pub(crate) fn output(t: i64) -> String {
    if t == INFINITY {
        return "infinity".to_owned();
    }
    if t == NEGATIVE_INFINITY {
        return "-infinity".to_owned();
    }
    let (year, month, day) = calendar::from_julian(t.div_euclid(DAY) + EPOCH_JULIAN);
    let of_day = t.rem_euclid(DAY);
    let (seconds, micros) = (of_day / SECOND, of_day % SECOND);
    let (shown, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{shown:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if micros != 0 {
        text.push_str(format!(".{micros:06}").trim_end_matches('0'));
    }
    text.push_str("+00");
    text.push_str(era);
    text
}

/// Rounds to the `precision` decimal places of a timestamp(p).
pub(crate) fn round(t: i64, precision: i32) -> i64 {
    if t == INFINITY || t == NEGATIVE_INFINITY || !(0..6).contains(&precision) {
        return t;
    }
    let unit = 10i64.pow((6 - precision) as u32);
    // Half away from zero, as AdjustTimestampForTypmod does it.
    let half = unit / 2;
    if t >= 0 { (t + half) / unit * unit } else { -((-t + half) / unit * unit) }
}
