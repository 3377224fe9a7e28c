//! The words that dates, times and intervals are written with. Ten letters count, as in PostgreSQL.

/// A unit of time, or a field that EXTRACT knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Microseconds,
    Milliseconds,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
    Decade,
    Century,
    Millennium,
    Julian,
    Dow,
    Isodow,
    Doy,
    Isoyear,
    Epoch,
    Timezone,
    TimezoneHour,
    TimezoneMinute,
}

/// A word in a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// `at`, `on`: nothing.
    Filler,
    Month(i64),
    Weekday,
    Pm(bool),
    Bc(bool),
    Label(Unit),
    /// `t` before a time.
    TimeFollows,
    /// An hour ahead of the zone before it.
    SummerTime,
    /// now, today, tomorrow, yesterday.
    Now,
    /// 00:00:00 UTC.
    Allballs,
    Epoch,
    Infinity,
    NegativeInfinity,
}

fn clip(word: &str) -> &str {
    word.get(..10).unwrap_or(word)
}

/// A word of PostgreSQL's date token table, in lower case.
pub(super) fn word(text: &str) -> Option<Word> {
    Some(match clip(text) {
        "at" | "on" => Word::Filler,
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds"
        | "wednesday" | "thu" | "thur" | "thurs" | "thursday" | "fri" | "friday" | "sat"
        | "saturday" => Word::Weekday,
        "am" => Word::Pm(false),
        "pm" => Word::Pm(true),
        "ad" => Word::Bc(false),
        "bc" => Word::Bc(true),
        "y" => Word::Label(Unit::Year),
        "m" => Word::Label(Unit::Month),
        "d" => Word::Label(Unit::Day),
        "h" => Word::Label(Unit::Hour),
        "mm" => Word::Label(Unit::Minute),
        "s" => Word::Label(Unit::Second),
        "j" | "jd" | "julian" => Word::Label(Unit::Julian),
        "dow" => Word::Label(Unit::Dow),
        "doy" => Word::Label(Unit::Doy),
        "isodow" => Word::Label(Unit::Isodow),
        "isoyear" => Word::Label(Unit::Isoyear),
        "t" => Word::TimeFollows,
        "dst" => Word::SummerTime,
        "now" | "today" | "tomorrow" | "yesterday" => Word::Now,
        "allballs" => Word::Allballs,
        "epoch" => Word::Epoch,
        "infinity" => Word::Infinity,
        "-infinity" => Word::NegativeInfinity,
        _ => return None,
    })
}

/// A word of an interval, in lower case.
pub(super) fn interval_unit(text: &str) -> Option<Unit> {
    Some(match clip(text) {
        "us" | "usec" | "usecs" | "useconds" | "microsecon" => Unit::Microseconds,
        "ms" | "msec" | "msecs" | "mseconds" | "millisecon" => Unit::Milliseconds,
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Second,
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Minute,
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Hour,
        "d" | "day" | "days" => Unit::Day,
        "w" | "week" | "weeks" => Unit::Week,
        "mon" | "mons" | "month" | "months" => Unit::Month,
        "qtr" | "quarter" => Unit::Quarter,
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Year,
        "dec" | "decs" | "decade" | "decades" => Unit::Decade,
        "c" | "cent" | "century" | "centuries" => Unit::Century,
        "mil" | "mils" | "millennium" | "millennia" => Unit::Millennium,
        "timezone" => Unit::Timezone,
        "timezone_h" => Unit::TimezoneHour,
        "timezone_m" => Unit::TimezoneMinute,
        _ => return None,
    })
}

/// What a field's name means to EXTRACT, `date_part` and `date_trunc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Unit(Unit),
    /// `now`, `infinity` and the like.
    Moment,
    Nothing,
}

/// The field of this name, in any case.
pub(crate) fn field_named(name: &str) -> Named {
    let mut buffer = [0; 16];
    let name = super::lower(name, &mut buffer);
    if let Some(unit) = interval_unit(name) {
        return Named::Unit(unit);
    }
    match word(name) {
        Some(Word::Label(unit)) => Named::Unit(unit),
        Some(Word::Epoch) => Named::Unit(Unit::Epoch),
        Some(Word::Now | Word::Allballs | Word::Infinity | Word::NegativeInfinity) => Named::Moment,
        _ => Named::Nothing,
    }
}
