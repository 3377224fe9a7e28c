//! POSIX zone rules: `EST5EDT,M3.2.0,M11.1.0`. Offsets in them count westward.

use super::zone::Zone;
use crate::values::calendar::{self, EPOCH_JULIAN};

const DAY: i64 = 86_400;

/// A standard and a summer offset, in seconds east, and when each begins, every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    standard: i64,
    summer: i64,
    begin: When,
    end: When,
}

/// A day of the year and a time of that day, which may lie outside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct When {
    day: Day,
    seconds: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Day {
    /// 1 to 365, never the leap day.
    Julian(i64),
    /// 0 to 365.
    OfYear(i64),
    /// Month, week (5 being the last one) and weekday.
    Weekday(i64, i64, i64),
}

/// Where summer time begins and ends if a rule does not say.
const USUAL: [When; 2] = [
    When { day: Day::Weekday(3, 2, 0), seconds: 7200 },
    When { day: Day::Weekday(11, 1, 0), seconds: 7200 },
];

/// `EST5`, `EST5EDT`, `<+03>-3`, `EST5EDT4,M3.2.0/1,J300`.
pub(super) fn parse(spec: &str) -> Option<Zone> {
    let (_, rest) = name(spec)?;
    let (west, rest) = offset(rest)?;
    if rest.is_empty() {
        return Some(Zone::Fixed(-west as i32));
    }
    let (summer_name, rest) = name(rest)?;
    if summer_name.is_empty() {
        return None;
    }
    let (summer_west, rest) = match rest.as_bytes().first() {
        None | Some(b',' | b';') => (west - 3600, rest),
        Some(_) => offset(rest)?,
    };
    let [begin, end] = match rest.as_bytes() {
        [] => USUAL,
        [b',' | b';', ..] => {
            let (begin, rest) = when(&rest[1..])?;
            let (end, rest) = when(rest.strip_prefix(',')?)?;
            if !rest.is_empty() {
                return None;
            }
            [begin, end]
        }
        _ => return None,
    };
    if west == summer_west {
        return Some(Zone::Fixed(-west as i32));
    }
    Some(Zone::Rule(Rule { standard: -west, summer: -summer_west, begin, end }))
}

fn name(spec: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = spec.strip_prefix('<') {
        return quoted.split_once('>');
    }
    let end = spec.find(|c: char| c.is_ascii_digit() || ",+-".contains(c)).unwrap_or(spec.len());
    Some(spec.split_at(end))
}

fn number(spec: &str, least: i64, most: i64) -> Option<(i64, &str)> {
    let length = spec.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = spec.split_at(length);
    let value: i64 = digits.parse().ok()?;
    (least..=most).contains(&value).then_some((value, rest))
}

/// Hours up to 167, maybe minutes and seconds.
fn offset(spec: &str) -> Option<(i64, &str)> {
    let (sign, mut rest) = match spec.as_bytes().first()? {
        b'-' => (-1, &spec[1..]),
        b'+' => (1, &spec[1..]),
        _ => (1, spec),
    };
    let mut seconds = 0;
    for (unit, most) in [(3600, 167), (60, 59), (1, 60)] {
        let (value, tail) = number(rest, 0, most)?;
        seconds += value * unit;
        rest = tail;
        match rest.strip_prefix(':') {
            Some(more) if unit > 1 => rest = more,
            _ => break,
        }
    }
    Some((sign * seconds, rest))
}

/// `M3.2.0`, `J60`, `59`, each maybe with `/2:00:00`.
fn when(spec: &str) -> Option<(When, &str)> {
    let (day, rest) = if let Some(rest) = spec.strip_prefix('J') {
        let (day, rest) = number(rest, 1, 365)?;
        (Day::Julian(day), rest)
    } else if let Some(rest) = spec.strip_prefix('M') {
        let (month, rest) = number(rest, 1, 12)?;
        let (week, rest) = number(rest.strip_prefix('.')?, 1, 5)?;
        let (weekday, rest) = number(rest.strip_prefix('.')?, 0, 6)?;
        (Day::Weekday(month, week, weekday), rest)
    } else {
        let (day, rest) = number(spec, 0, 365)?;
        (Day::OfYear(day), rest)
    };
    match rest.strip_prefix('/') {
        None => Some((When { day, seconds: 7200 }, rest)),
        Some(time) => {
            let (seconds, rest) = offset(time)?;
            Some((When { day, seconds }, rest))
        }
    }
}

impl When {
    /// In seconds since 2000 by the local clock.
    fn of_year(self, year: i64) -> i64 {
        let first = calendar::to_julian(year, 1, 1);
        let leap = calendar::month_days(year, 2) == 29;
        let julian = match self.day {
            Day::Julian(day) => first + day - 1 + i64::from(leap && day >= 60),
            Day::OfYear(day) => first + day,
            Day::Weekday(month, week, weekday) => {
                let start = calendar::to_julian(year, month, 1);
                let to_weekday = (weekday - (start + 1)).rem_euclid(7);
                let mut day = to_weekday + (week - 1) * 7;
                if day >= calendar::month_days(year, month) {
                    day -= 7;
                }
                start + day
            }
        };
        (julian - EPOCH_JULIAN) * DAY + self.seconds
    }
}

impl Rule {
    /// The changes around a moment, in seconds since 2000: when, and whether to summer time.
    fn changes(&self, seconds: i64) -> [(i64, bool); 6] {
        let year = calendar::from_julian(seconds.div_euclid(DAY) + EPOCH_JULIAN).0;
        let mut changes = [(0, false); 6];
        for (i, pair) in changes.chunks_exact_mut(2).enumerate() {
            let year = year - 1 + i as i64;
            pair[0] = (self.begin.of_year(year) - self.standard, true);
            pair[1] = (self.end.of_year(year) - self.summer, false);
        }
        changes.sort_unstable();
        changes
    }

    fn offset(&self, summer: bool) -> i64 {
        if summer { self.summer } else { self.standard }
    }

    /// Seconds east at a moment.
    pub(super) fn offset_at(&self, seconds: i64) -> i32 {
        let changes = self.changes(seconds);
        let last = changes.iter().rfind(|(at, _)| *at <= seconds);
        self.offset(last.is_some_and(|(_, summer)| *summer)) as i32
    }

    /// Seconds east at a local time, by the first change after the day before.
    pub(super) fn offset_of_local(&self, seconds: i64) -> i32 {
        let changes = self.changes(seconds);
        let day_before = seconds - DAY;
        let before = i64::from(self.offset_at(day_before));
        let Some((boundary, summer)) = changes.iter().find(|(at, _)| *at > day_before) else {
            return before as i32;
        };
        let after = self.offset(*summer);
        let (by_before, by_after) = (seconds - before, seconds - after);
        let offset = if by_before < *boundary && by_after < *boundary {
            before
        } else if by_before > *boundary && by_after >= *boundary {
            after
        } else if by_before > by_after {
            before
        } else {
            after
        };
        offset as i32
    }
}
