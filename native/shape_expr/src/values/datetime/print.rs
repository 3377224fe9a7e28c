//! Text out, with DateStyle ISO.

use std::fmt::Write as _;

use super::{
    DATE_INFINITY, DATE_NEGATIVE_INFINITY, INFINITY, Moment, NEGATIVE_INFINITY, Zone,
    from_timestamp, set_time, to_local,
};
use crate::values::calendar::{EPOCH_JULIAN, from_julian};

fn write_date(text: &mut String, year: i64, month: i64, day: i64) {
    let shown = if year > 0 { year } else { 1 - year };
    let _ = write!(text, "{shown:04}-{month:02}-{day:02}");
}

fn write_time(text: &mut String, moment: &Moment) {
    let Moment { hour, minute, second, micros, .. } = moment;
    let _ = write!(text, "{hour:02}:{minute:02}:{second:02}");
    write_fraction(text, *micros);
}

/// `.5` of 500,000 microseconds.
pub(super) fn write_fraction(text: &mut String, micros: i64) {
    if micros != 0 {
        let _ = write!(text, ".{micros:06}");
        text.truncate(text.trim_end_matches('0').len());
    }
}

fn write_offset(text: &mut String, east: i64) {
    let sign = if east < 0 { '-' } else { '+' };
    let (hour, minute, second) = (east.abs() / 3600, east.abs() / 60 % 60, east.abs() % 60);
    let _ = write!(text, "{sign}{hour:02}");
    if minute != 0 || second != 0 {
        let _ = write!(text, ":{minute:02}");
    }
    if second != 0 {
        let _ = write!(text, ":{second:02}");
    }
}

fn era(year: i64) -> &'static str {
    if year > 0 { "" } else { " BC" }
}

/// date_out.
pub(crate) fn output_date(date: i32) -> String {
    match date {
        DATE_INFINITY => return "infinity".to_owned(),
        DATE_NEGATIVE_INFINITY => return "-infinity".to_owned(),
        _ => {}
    }
    let (year, month, day) = from_julian(i64::from(date) + EPOCH_JULIAN);
    let mut text = String::new();
    write_date(&mut text, year, month, day);
    text.push_str(era(year));
    text
}

/// timestamp_out, or timestamptz_out for this zone.
pub(crate) fn output_timestamp(t: i64, zone: Option<&Zone>) -> String {
    match t {
        INFINITY => return "infinity".to_owned(),
        NEGATIVE_INFINITY => return "-infinity".to_owned(),
        _ => {}
    }
    let (local, east) = zone.map_or((t, 0), |zone| to_local(t, zone));
    let moment = from_timestamp(local);
    let mut text = String::with_capacity(40);
    write_date(&mut text, moment.year, moment.month, moment.day);
    text.push(' ');
    write_time(&mut text, &moment);
    if zone.is_some() {
        write_offset(&mut text, east);
    }
    text.push_str(era(moment.year));
    text
}

/// time_out.
pub(crate) fn output_time(micros: i64) -> String {
    let mut moment = Moment::default();
    // 24:00:00 is printed as such, and so is what the least intervals overflow to as times.
    set_time(&mut moment, micros);
    let mut text = String::new();
    write_time(&mut text, &moment);
    text
}

/// timetz_out.
pub(crate) fn output_timetz(micros: i64, west: i32) -> String {
    let mut text = output_time(micros);
    write_offset(&mut text, -i64::from(west));
    text
}
