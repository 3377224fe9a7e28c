//! `Decimal`, `DateTime`, `NaiveDateTime`, `Date` and `Time`, written as PostgreSQL reads them, and as
//! JSON documents have them. They are known by their fields: `Decimal` belongs to the host.

use crate::atoms;
use crate::columns::Family;
use crate::value;
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use rustler::{Atom, BigInt, Term};
use std::fmt::{Error, Result, Write};

/// A decimal is written with all its zeros up to so many, and beyond with an exponent.
const MOST_ZEROS: i64 = 1_000;

/// The text of a struct, if it can be a value of this family.
pub(crate) fn text<'r>(term: Term<'_>, family: Family, arena: &'r Bump) -> Option<&'r [u8]> {
    let kind: Atom = term.map_get(atoms::__struct__()).ok()?.decode().ok()?;
    let fits = if kind == atoms::decimal() { Family::Number } else { Family::Time };
    if family != fits && family != Family::Any {
        return None;
    }
    value::text(arena, |out| {
        if kind == atoms::decimal() {
            return decimal(term, out);
        }
        let (has_date, has_time) = parts(term, kind)?;
        if has_date {
            date(term, out)?;
        }
        if has_date && has_time {
            out.write_char(' ')?;
        }
        if has_time {
            time(term, out)?;
        }
        if kind == atoms::date_time() {
            let (sign, offset) = offset(term)?;
            write!(out, "{sign}{:02}:{:02}:{:02}", offset / 3600, offset / 60 % 60, offset % 60)?;
        }
        if has_date && field(term, atoms::year())? <= 0 { out.write_str(" BC") } else { Ok(()) }
    })
}

/// A struct in a JSON document: a decimal is a number, the others are strings of ISO 8601, as
/// Elixir's own encoders write them.
pub(crate) fn json(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    let kind: Atom = get(term, atoms::__struct__())?.decode().map_err(|_| Error)?;
    if kind == atoms::decimal() {
        // There is no NaN in JSON.
        get(term, atoms::coef())?.decode::<BigInt>().map_err(|_| Error)?;
        return decimal(term, out);
    }
    let (has_date, has_time) = parts(term, kind)?;
    out.write_char('"')?;
    if has_date {
        let (year, month) = (field(term, atoms::year())?, field(term, atoms::month())?);
        let sign = if year < 0 { "-" } else { "" };
        write!(out, "{sign}{:04}-{month:02}-{:02}", year.abs(), field(term, atoms::day())?)?;
    }
    if has_date && has_time {
        out.write_char('T')?;
    }
    if has_time {
        let (micros, precision) = clock(term, out)?;
        if precision > 0 {
            let digits = format!("{micros:06}");
            write!(out, ".{}", digits.get(..precision).ok_or(Error)?)?;
        }
    }
    if kind == atoms::date_time() {
        let zone: &str = get(term, atoms::time_zone())?.decode().map_err(|_| Error)?;
        let (sign, offset) = offset(term)?;
        match zone {
            "Etc/UTC" => out.write_char('Z')?,
            _ => write!(out, "{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60)?,
        }
    }
    out.write_char('"')
}

/// Which parts a struct has; other structs are no values.
fn parts(term: Term<'_>, kind: Atom) -> std::result::Result<(bool, bool), Error> {
    let parts = match kind {
        kind if kind == atoms::date_time() || kind == atoms::naive_date_time() => (true, true),
        kind if kind == atoms::date() => (true, false),
        kind if kind == atoms::time() => (false, true),
        _ => return Err(Error),
    };
    // In another calendar the same numbers are another day.
    let calendar: Atom = get(term, atoms::calendar())?.decode().map_err(|_| Error)?;
    if calendar == atoms::iso() { Ok(parts) } else { Err(Error) }
}

fn decimal(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    let coef = get(term, atoms::coef())?;
    let negative = field(term, atoms::sign())? < 0;
    let sign = if negative { "-" } else { "" };
    if let Ok(special) = coef.decode::<Atom>() {
        let special = if special == atoms::inf() { "Infinity" } else { "NaN" };
        let sign = if special == "NaN" { "" } else { sign };
        return write!(out, "{sign}{special}");
    }
    let coef: BigInt = coef.decode().map_err(|_| Error)?;
    let exp = field(term, atoms::exp())?;
    if !(-MOST_ZEROS..=MOST_ZEROS).contains(&exp) {
        return write!(out, "{sign}{coef}e{exp}");
    }
    // Written out: an integer column reads no exponent.
    let digits = coef.to_string();
    out.write_str(sign)?;
    if exp >= 0 {
        let zeros = if digits == "0" { 0 } else { exp as usize };
        return write!(out, "{digits}{:0<zeros$}", "");
    }
    let scale = exp.unsigned_abs() as usize;
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    write!(out, "{whole}.{fraction}")
}

fn get<'t>(term: Term<'t>, name: Atom) -> std::result::Result<Term<'t>, Error> {
    term.map_get(name).map_err(|_| Error)
}

fn field(term: Term<'_>, name: Atom) -> std::result::Result<i64, Error> {
    get(term, name)?.decode().map_err(|_| Error)
}

fn date(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    let year = field(term, atoms::year())?;
    // Elixir counts 1 BC as year 0; PostgreSQL writes it with its era.
    let year = if year <= 0 { 1 - year } else { year };
    write!(out, "{year:04}-{:02}-{:02}", field(term, atoms::month())?, field(term, atoms::day())?)
}

fn time(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    let (micros, _precision) = clock(term, out)?;
    write!(out, ".{micros:06}")
}

/// Writes hours to seconds; gives the microseconds and how many of their digits count.
fn clock(term: Term<'_>, out: &mut BumpString<'_>) -> std::result::Result<(i64, usize), Error> {
    let of = |name| field(term, name);
    let (hour, minute, second) = (of(atoms::hour())?, of(atoms::minute())?, of(atoms::second())?);
    write!(out, "{hour:02}:{minute:02}:{second:02}")?;
    get(term, atoms::microsecond())?.decode().map_err(|_| Error)
}

/// A zone's sign and its seconds.
fn offset(term: Term<'_>) -> std::result::Result<(char, i64), Error> {
    let offset = field(term, atoms::utc_offset())? + field(term, atoms::std_offset())?;
    Ok((if offset < 0 { '-' } else { '+' }, offset.abs()))
}
