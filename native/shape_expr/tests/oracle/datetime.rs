//! Dates and times: values, literals in every form, and clauses for every operator and function.

use crate::clauses::Generator;
use crate::random::Random;
use crate::samples::Kind;

/// Session time zones. Half an hour, a summer time of half an hour, none, on either side of UTC.
pub const SESSION_ZONES: &[&str] = &[
    "UTC",
    "UTC",
    "Asia/Kolkata",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
];

/// Zones whose offset is the same all year: without this, a timetz depends on today.
pub fn is_steady(zone: &str) -> bool {
    matches!(zone, "UTC" | "Asia/Kolkata" | "Pacific/Apia")
}

const ZONES: &[&str] = &[
    "UTC",
    "America/New_York",
    "europe/berlin",
    "Europe/London",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
    "Africa/Cairo",
    "Europe/Moscow",
    "EST",
    "edt",
    "CET",
    "CEST",
    "MSK",
    "Z",
    "GMT",
    "EST5EDT",
    "PST8PDT",
    "Etc/GMT+5",
    "+03",
    "-03:30",
    "FOO3",
    "FOO-3:30",
    "<+03>-3",
    "AAA3BBB",
    "AAA3BBB2,M3.2.0,M11.1.0/1",
    "AAA-10BBB,M10.5.0,M4.1.0/3",
    "A3B-50,J60,J300/-5",
    "A3B,60/30,300",
];
const BAD_ZONES: &[&str] = &["nowhere", "", "Europe/Nowhere", "FOO", "3", "+200", "+1x"];

const DATES: &[&str] = &[
    "2000-01-01",
    "1999-12-31",
    "2024-02-29",
    "2023-02-28",
    "1970-01-01",
    "1900-02-28",
    "2024-12-30",
    "2021-01-03",
    "2020-12-31",
    "2024-03-10",
    "2024-11-03",
    "2024-03-31",
    "2024-10-27",
    "2024-04-07",
    "2011-12-29",
    "2011-12-31",
    "1883-11-18",
    "1800-06-01",
    "0001-01-01",
    "0099-12-31",
    "10000-01-01",
    "294276-12-31",
    "2400-07-01",
    "9999-12-31",
    "20240601",
    "240601",
    "June 1, 2024",
    "1-Jun-2024",
    "Jun-1-2024",
    "1 jun 24",
    "6/1/2024",
    "06/01/70",
    "2024.153",
    "2024 153",
    "2024/06/01",
    "J2451187",
    "julian 2451187.5",
    "y2024m06d01",
    "Sat Jun 1 2024",
    "june 1st 2024",
    "2024-Jun-01",
];
const BC_DATES: &[&str] =
    &["0044-03-15", "0001-12-31", "4714-11-24", "4713-01-01", "0100-02-28", "0005-02-29"];
const FAR_DATES: &[&str] =
    &["5874897-12-31", "294277-01-01", "5000000-02-29", "infinity", "-infinity", "epoch"];
const CLOCKS: &[&str] = &[
    "00:00:00",
    "00:00",
    "02:30",
    "01:30",
    "01:45:00",
    "02:15",
    "01:59:59.999999",
    "02:00:00",
    "03:00",
    "12:34:56.789",
    "23:59:59.999999",
    "23:59:59.9999999",
    "24:00:00",
    "24:00",
    "10:00:60",
    "101112",
    "1011",
    "101112.5",
    "4:05 PM",
    "12:05 am",
    "12:00:00 PM",
    "1:2:3",
    "10:11.5",
    "allballs",
    "h10m11s12",
    "00:00:00.0000005",
    "00:00:00.0000015",
];
const OFFSETS: &[&str] = &[
    "+00",
    "-00",
    "Z",
    " z",
    " UTC",
    "+02",
    "-03:30",
    "+0530",
    " +5:45",
    "-12",
    "+15:59",
    "-15:59:59",
    " EST",
    " PDT",
    " cet",
    " MSK",
    " America/New_York",
    " Europe/Berlin",
    " Asia/Kolkata",
    " EST5EDT",
    " zulu",
    " MET DST",
    "+00:19:32",
    " FOO+3",
];
const INTERVALS: &[&str] = &[
    "0",
    "1 day",
    "24 hours",
    "-1 day",
    "1 mon",
    "30 days",
    "-30 days",
    "1 year",
    "12 mons",
    "1 year 2 mons 3 days 04:05:06.789",
    "-1 year -2 mons +3 days -04:05:06.7",
    "1 day -00:00:01",
    "00:00:00.000001",
    "-00:30",
    "1:30",
    "25:61",
    "100:00:00",
    "P1Y2M3DT4H5M6.7S",
    "PT36H",
    "P-1Y2M",
    "P0001-02-03T04:05:06",
    "P00010203T040506.5",
    "PT1.5M",
    "P1W",
    "1-2",
    "-1-2",
    "1-2 3 4:05:06",
    "@ 1 day 2 hours ago",
    "1.5 months",
    "1.7 years",
    "0.3 weeks 1.5 days",
    "2 decades 1 century",
    "1 millennium",
    "1.001 seconds",
    "1500 ms",
    "12345 us",
    "1.5",
    "3 days 4",
    "2147483647 days",
    "-2147483648 days",
    "178956970 years 7 mons",
    "9223372036854775807 us",
    "-9223372036854775808 us",
    "2562047788 hours",
    "1 mon -1 day",
    "5 min 10 sec",
    "1y 2d 3h 4m 5s",
    "1 qtr",
    "1 day 1 day",
];
const BAD_MOMENTS: &[&str] = &[
    "x",
    "",
    "2024-13-01",
    "2024-02-30",
    "2023-02-29",
    "2024-01-01 25:00",
    "2024-01-01 10:61",
    "4714-01-01 BC",
    "4715-01-01 BC",
    "0000-01-01",
    "2024-06-01 10:00+16",
    "2024-06-01 10:00:00+02:60",
    "2024-06-01 24:00:01",
    "2024-06-01 10:00:61",
    "2024-06-01x",
    "2024-00-01",
    "2024-01-00",
    "2024-06-01 10:00 Nowhere/City",
    "2024-06-01 10:00 nowhere",
    "2024-06-01 13:00 PM",
    "2024-06-01 2024-06-02",
    "10:00 11:00",
    "10:00",
    "2024-06-01",
    "2024-06-01T10:00",
    "10:00 America/New_York",
    "June 2024",
    "99999999999-01-01",
    "2024-06-01 10:00:00.1.2",
    "2024-06-01 10:00:00+",
    "20240601 995959",
    "j99999999999",
    "2024-06-01 h10",
    "now-1",
    "+infinity",
    "1 day",
    "P1Y",
];
const BAD_INTERVALS: &[&str] = &[
    "x",
    "",
    "1 dayz",
    "1 day day",
    "99999999999 days",
    "9223372036854775808 us",
    "300000000 years",
    "P",
    "PT",
    "P1",
    "P1Y1Z",
    "P1e400Y",
    "1-13",
    "1:60",
    "1 ago",
    "1 sec 2 sec",
    "1 timezone",
    "--1 day",
    "1..5 days",
    "9999999999999999999 days",
    "10:00 10:00",
];
const UNITS: &[&str] = &[
    "microseconds",
    "milliseconds",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
    "decade",
    "century",
    "millennium",
];
const FIELDS: &[&str] = &[
    "julian",
    "dow",
    "isodow",
    "doy",
    "isoyear",
    "epoch",
    "timezone",
    "timezone_hour",
    "timezone_minute",
    "Years",
    "mins",
    "us",
    "msec",
    "c",
    "y",
    "d",
    "m",
    "nothing",
    "jan",
    "infinity",
    "now",
    "",
];

pub fn is_moment(kind: Kind) -> bool {
    matches!(kind, Kind::Date | Kind::Timestamp | Kind::Timestamptz)
}

/// A value of one of the kinds of this file, as text.
pub fn sample(random: &mut Random, kind: Kind) -> String {
    match kind {
        Kind::Date => date(random),
        Kind::Time => clock(random, false),
        Kind::Timetz => {
            let clock = random.pick(CLOCKS);
            format!(
                "{clock}{}",
                random.pick(&["+00", "-03:30", "Z", "+02", " EST", "+15:59", "-11"])
            )
        }
        Kind::Interval => random.pick(INTERVALS).to_owned(),
        _ if random.one_in(8) => date(random),
        _ => {
            let (date, era) = match random.one_in(8) {
                true => (random.pick(BC_DATES), " BC"),
                false => (random.pick(DATES), ""),
            };
            let separator = random.pick(&[" ", " ", " ", "T", "  "]);
            format!("{date}{separator}{}{era}", clock(random, true))
        }
    }
}

fn date(random: &mut Random) -> String {
    match random.below(10) {
        0 => format!("{} BC", random.pick(BC_DATES)),
        1 => random.pick(FAR_DATES).to_owned(),
        _ => random.pick(DATES).to_owned(),
    }
}

fn clock(random: &mut Random, zoned: bool) -> String {
    let clock = random.pick(CLOCKS);
    match zoned && random.one_in(2) {
        true => format!("{clock}{}", random.pick(OFFSETS)),
        false => clock.to_owned(),
    }
}

/// A text that is mostly no value of the kind.
pub fn bad(random: &mut Random, kind: Kind) -> String {
    match kind {
        Kind::Interval => random.pick(BAD_INTERVALS).to_owned(),
        _ => random.pick(BAD_MOMENTS).to_owned(),
    }
}

/// The type with a modifier, or without.
pub fn modified(random: &mut Random, kind: Kind) -> &'static str {
    match kind {
        Kind::Timestamptz => {
            random.pick(&["timestamptz", "timestamptz(0)", "timestamp(3) with time zone"])
        }
        Kind::Timestamp => random.pick(&["timestamp", "timestamp(0)", "timestamp(4)"]),
        Kind::Time => random.pick(&["time", "time(0)", "time(5) without time zone"]),
        Kind::Timetz => random.pick(&["timetz", "timetz(2)", "time with time zone"]),
        Kind::Interval => random.pick(&[
            "interval",
            "interval(0)",
            "interval year to month",
            "interval day to second(3)",
            "interval hour",
            "interval minute to second",
            "interval day to minute",
            "interval year",
            "interval month",
            "interval day",
        ]),
        kind => kind.name(),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Generator<'_> {
    fn zone(&mut self) -> String {
        if self.random.one_in(12) {
            return self.operand(Kind::Interval, 0);
        }
        match self.random.one_in(12) {
            true => quote(self.random.pick(BAD_ZONES)),
            false => quote(self.random.pick(ZONES)),
        }
    }

    fn unit(&mut self) -> String {
        match self.random.one_in(12) {
            true => quote(self.random.pick(FIELDS)),
            false => quote(self.random.pick(UNITS)),
        }
    }

    fn small_number(&mut self, most: usize) -> String {
        match self.random.one_in(5) {
            true => self.operand(Kind::Int4, 0),
            false => self.random.below(most).to_string(),
        }
    }

    fn seconds(&mut self) -> String {
        match self.random.one_in(5) {
            true => self.operand(Kind::Float8, 0),
            false => self
                .random
                .pick(&["0", "59.999999", "60", "12.3456785", "30.5", "1e-7", "-1"])
                .to_owned(),
        }
    }

    fn typed(&mut self, kind: Kind, depth: usize) -> String {
        let value = self.operand(kind, depth);
        match value.starts_with('\'') && !self.random.one_in(6) {
            true => format!("{value}::{}", kind.name()),
            false => value,
        }
    }

    fn any_moment(&mut self) -> Kind {
        let kinds = [Kind::Timestamp, Kind::Timestamptz, Kind::Date];
        kinds[self.random.below(3)]
    }

    fn any_time(&mut self) -> Kind {
        match self.random.below(5) {
            0 => Kind::Interval,
            1 => Kind::Time,
            2 if self.table.steady() => Kind::Timetz,
            _ => self.any_moment(),
        }
    }

    /// An expression of this kind made of dates and times, where there is one.
    pub fn time_expression(&mut self, kind: Kind, depth: usize) -> Option<String> {
        let depth = depth.saturating_sub(1);
        let sign = self.random.pick(&["+", "-"]);
        Some(match (kind, self.random.below(8)) {
            (Kind::Date, 0..=3) => {
                let (date, days) = (self.typed(Kind::Date, depth), self.small_number(1000));
                match self.random.one_in(4) {
                    true => format!("({days} + {date})"),
                    false => format!("({date} {sign} {days})"),
                }
            }
            (Kind::Date, 4) => {
                let (y, m, d) =
                    (self.small_number(3000), self.small_number(14), self.small_number(33));
                format!("make_date({y}, {m}, {d})")
            }
            (Kind::Date, 5) => format!("date({})", self.typed(Kind::Timestamp, depth)),
            (Kind::Date, _) => {
                let from = self.any_moment();
                format!("({})::date", self.typed(from, depth))
            }
            (Kind::Timestamp | Kind::Timestamptz, 0 | 1) => {
                let from = match (kind, self.random.one_in(3)) {
                    (Kind::Timestamp, true) => Kind::Date,
                    _ => kind,
                };
                let (a, b) = (self.typed(from, depth), self.typed(Kind::Interval, depth));
                match self.random.one_in(4) {
                    true => format!("({b} + {a})"),
                    false => format!("({a} {sign} {b})"),
                }
            }
            (Kind::Timestamp | Kind::Timestamptz, 2) => {
                let other = match kind {
                    Kind::Timestamp => Kind::Time,
                    _ if !self.table.steady() => return None,
                    _ => Kind::Timetz,
                };
                let (a, b) = (self.typed(Kind::Date, depth), self.typed(other, depth));
                match self.random.one_in(2) {
                    true => format!("({b} + {a})"),
                    false => format!("({a} + {b})"),
                }
            }
            (Kind::Timestamp | Kind::Timestamptz, 3) => {
                let (unit, value) = (self.unit(), self.typed(kind, depth));
                match kind == Kind::Timestamptz && self.random.one_in(2) {
                    true => format!("date_trunc({unit}, {value}, {})", self.zone()),
                    false => format!("date_trunc({unit}, {value})"),
                }
            }
            (Kind::Timestamp | Kind::Timestamptz, 4 | 5) => {
                let from = match kind {
                    Kind::Timestamp => Kind::Timestamptz,
                    _ => Kind::Timestamp,
                };
                let (value, zone) = (self.typed(from, depth), self.zone());
                match self.random.one_in(8) {
                    true => format!("timezone({zone}, {value})"),
                    false => format!("({value} AT TIME ZONE {zone})"),
                }
            }
            (Kind::Timestamp | Kind::Timestamptz, 6) => {
                let stride = self.typed(Kind::Interval, 0);
                let (value, origin) = (self.typed(kind, depth), self.typed(kind, 0));
                format!("date_bin({stride}, {value}, {origin})")
            }
            (Kind::Timestamptz, 7) if self.random.one_in(2) => {
                let seconds = match self.random.one_in(2) {
                    true => self.operand(Kind::Float8, 0),
                    false => format!("{}.25", self.random.below(2_000_000_000)),
                };
                format!("to_timestamp({seconds})")
            }
            (Kind::Timestamp | Kind::Timestamptz, _) => {
                let date = [self.small_number(3000), self.small_number(14), self.small_number(33)]
                    .join(", ");
                let time =
                    [self.small_number(26), self.small_number(62), self.seconds()].join(", ");
                let name = if kind == Kind::Timestamp { "timestamp" } else { "timestamptz" };
                match kind == Kind::Timestamptz && self.random.one_in(2) {
                    true => {
                        let zone = quote(match self.random.one_in(6) {
                            true => self.random.pick(BAD_ZONES),
                            false => self.random.pick(ZONES),
                        });
                        format!("make_{name}({date}, {time}, {zone})")
                    }
                    false => format!("make_{name}({date}, {time})"),
                }
            }
            (Kind::Time, 0) => {
                let (hour, minute) = (self.small_number(26), self.small_number(62));
                format!("make_time({hour}, {minute}, {})", self.seconds())
            }
            (Kind::Time, 1..=2) => {
                let from = match self.random.below(3) {
                    0 => Kind::Interval,
                    1 => Kind::Timestamp,
                    _ => Kind::Timestamptz,
                };
                format!("({})::time", self.typed(from, depth))
            }
            (Kind::Time | Kind::Timetz, 3..) => {
                let (a, b) = (self.typed(kind, depth), self.typed(Kind::Interval, depth));
                match sign == "+" && self.random.one_in(3) {
                    true => format!("({b} + {a})"),
                    false => format!("({a} {sign} {b})"),
                }
            }
            (Kind::Timetz, 0) => {
                let zone = match self.random.one_in(3) {
                    // Without its type it would be a zone's name, one with summer time too.
                    true => format!("({})::interval", self.operand(Kind::Interval, 0)),
                    false => quote(self.random.pick(&["UTC", "EST", "Asia/Kolkata", "+3", "FOO2"])),
                };
                format!("({} AT TIME ZONE {zone})", self.typed(Kind::Timetz, depth))
            }
            (Kind::Timetz, _) => {
                let from = if self.random.one_in(2) { Kind::Time } else { Kind::Timestamptz };
                format!("({})::timetz", self.typed(from, depth))
            }
            (Kind::Interval, 0) => {
                let (a, b) = (self.typed(Kind::Interval, depth), self.typed(Kind::Interval, depth));
                format!("({a} {sign} {b})")
            }
            (Kind::Interval, 1) => {
                let number = match self.random.one_in(3) {
                    true => self.operand(Kind::Float8, 0),
                    false => self.random.pick(&["2", "1.5", "0.1", "-3", "7", "0.333"]).to_owned(),
                };
                let value = self.typed(Kind::Interval, depth);
                match self.random.below(3) {
                    0 => format!("({value} * {number})"),
                    1 => format!("({number} * {value})"),
                    _ => format!("({value} / {number})"),
                }
            }
            (Kind::Interval, 2) => match self.random.one_in(3) {
                true => format!("(- {})", self.typed(Kind::Interval, depth)),
                false => format!("({})::interval", self.typed(Kind::Time, depth)),
            },
            (Kind::Interval, 3) => {
                let kinds = [Kind::Timestamp, Kind::Timestamptz, Kind::Time];
                let kind = kinds[self.random.below(3)];
                let (a, b) = (self.typed(kind, depth), self.typed(kind, depth));
                format!("({a} - {b})")
            }
            (Kind::Interval, 4) => {
                let kind = self.any_moment();
                let (a, b) = (self.typed(kind, depth), self.typed(kind, 0));
                format!("age({a}, {b})")
            }
            (Kind::Interval, 5) => {
                let name = self.random.pick(&["justify_days", "justify_hours", "justify_interval"]);
                format!("{name}({})", self.typed(Kind::Interval, depth))
            }
            (Kind::Interval, 6) => {
                let (unit, value) = (self.unit(), self.typed(Kind::Interval, depth));
                format!("date_trunc({unit}, {value})")
            }
            (Kind::Interval, _) => {
                let names = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
                let first = self.random.below(7);
                let mut args: Vec<String> =
                    (0..self.random.below(first + 1)).map(|_| self.small_number(20)).collect();
                if args.len() <= first {
                    let value = if first == 6 { self.seconds() } else { self.small_number(100) };
                    args.push(format!("{} => {value}", names[first]));
                }
                format!("make_interval({})", args.join(", "))
            }
            (Kind::Int4, _) => {
                let (a, b) = (self.typed(Kind::Date, depth), self.typed(Kind::Date, depth));
                format!("({a} - {b})")
            }
            (Kind::Float8 | Kind::Numeric, _) => {
                let from = self.any_time();
                let field = match self.random.one_in(2) {
                    true => self.random.pick(UNITS),
                    false => self.random.pick(FIELDS),
                };
                let value = self.typed(from, depth);
                match kind {
                    Kind::Float8 => format!("date_part({}, {value})", quote(field)),
                    _ => format!("extract({} FROM {value})", quote(field)),
                }
            }
            _ => return None,
        })
    }

    /// A condition on dates and times that is no comparison of two values of one kind.
    pub fn time_condition(&mut self) -> String {
        match self.random.below(5) {
            0 => {
                let kind = match self.random.one_in(4) {
                    true => Kind::Interval,
                    false => self.any_moment(),
                };
                format!("isfinite({})", self.typed(kind, 1))
            }
            1 | 2 => {
                let kinds = [Kind::Timestamp, Kind::Timestamptz, Kind::Time, Kind::Date];
                let kind = kinds[self.random.below(4)];
                let mut period = || {
                    let start = self.typed(kind, 1);
                    let end = match self.random.one_in(3) {
                        true => self.typed(Kind::Interval, 0),
                        false => self.typed(kind, 1),
                    };
                    format!("({start}, {end})")
                };
                let (a, b) = (period(), period());
                format!("{a} OVERLAPS {b}")
            }
            _ => {
                let (a, b) = (self.any_moment(), self.any_moment());
                let (a, b) = (self.typed(a, 1), self.typed(b, 1));
                let operator = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{a} {operator} {b}")
            }
        }
    }
}
