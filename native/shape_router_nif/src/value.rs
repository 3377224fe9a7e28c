//! One value's term -> a datum: the WAL's text, or what Elixir programs have in hand.

use crate::atoms;
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use rustler::{Atom, BigInt, Binary, Term, TermType};
use shape_expr::Datum;
use std::fmt::Write;

/// Reads a value. Text stays where it is; what must be written out goes to the arena.
pub(crate) fn datum<'r, 't: 'r>(term: Term<'t>, arena: &'r Bump) -> Datum<'r> {
    read(term, arena).unwrap_or(Datum::Unreadable)
}

fn read<'r, 't: 'r>(term: Term<'t>, arena: &'r Bump) -> Option<Datum<'r>> {
    Some(match term.get_type() {
        TermType::Binary => Datum::Text(Binary::from_term(term).ok()?.as_slice()),
        TermType::Integer => match term.decode::<i64>() {
            Ok(int) => Datum::Int(int),
            Err(_) => {
                let big: BigInt = term.decode().ok()?;
                Datum::Text(text(arena, |out| write!(out, "{big}"))?)
            }
        },
        TermType::Atom => atom(term, arena)?,
        TermType::Float => Datum::Float(term.decode().ok()?),
        TermType::Map => structure(term, arena)?,
        _ => return None,
    })
}

fn atom<'r>(term: Term<'_>, arena: &'r Bump) -> Option<Datum<'r>> {
    let atom: Atom = term.decode().ok()?;
    if atom == atoms::nil() {
        return Some(Datum::Null);
    }
    if let Ok(bool) = term.decode::<bool>() {
        return Some(Datum::Bool(bool));
    }
    // As the label of an enum, or a word: :open is "open".
    let name = term.atom_to_string().ok()?;
    Some(Datum::Text(arena.alloc_str(&name).as_bytes()))
}

/// `Decimal`, `DateTime`, `NaiveDateTime`, `Date` and `Time`, written as PostgreSQL reads them.
fn structure<'r>(term: Term<'_>, arena: &'r Bump) -> Option<Datum<'r>> {
    let kind: Atom = term.map_get(atoms::__struct__()).ok()?.decode().ok()?;
    let written = if kind == atoms::decimal() {
        decimal(term, arena)
    } else if kind == atoms::date_time() {
        text(arena, |out| {
            date(term, out)?;
            out.write_char(' ')?;
            time(term, out)?;
            let offset = field(term, atoms::utc_offset())? + field(term, atoms::std_offset())?;
            let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
            write!(out, "{sign}{:02}:{:02}:{:02}", offset / 3600, offset / 60 % 60, offset % 60)?;
            era(term, out)
        })
    } else if kind == atoms::naive_date_time() {
        text(arena, |out| {
            date(term, out)?;
            out.write_char(' ')?;
            time(term, out)?;
            era(term, out)
        })
    } else if kind == atoms::date() {
        text(arena, |out| {
            date(term, out)?;
            era(term, out)
        })
    } else if kind == atoms::time() {
        text(arena, |out| time(term, out))
    } else {
        None
    };
    Some(Datum::Text(written?))
}

fn decimal<'r>(term: Term<'_>, arena: &'r Bump) -> Option<&'r [u8]> {
    let coef = term.map_get(atoms::coef()).ok()?;
    let negative = term.map_get(atoms::sign()).ok()?.decode::<i64>().ok()? < 0;
    let sign = if negative { "-" } else { "" };
    if let Ok(special) = coef.decode::<Atom>() {
        let special = if special == atoms::inf() { "Infinity" } else { "NaN" };
        let sign = if special == "NaN" { "" } else { sign };
        return text(arena, |out| write!(out, "{sign}{special}"));
    }
    let coef: BigInt = coef.decode().ok()?;
    let exp: i64 = term.map_get(atoms::exp()).ok()?.decode().ok()?;
    text(arena, |out| write!(out, "{sign}{coef}e{exp}"))
}

fn field(term: Term<'_>, name: Atom) -> Result<i64, std::fmt::Error> {
    let value = term.map_get(name).map_err(|_| std::fmt::Error)?;
    value.decode().map_err(|_| std::fmt::Error)
}

fn date(term: Term<'_>, out: &mut BumpString<'_>) -> std::fmt::Result {
    let year = field(term, atoms::year())?;
    // Elixir counts 1 BC as year 0; PostgreSQL writes it with its era.
    let year = if year <= 0 { 1 - year } else { year };
    write!(out, "{year:04}-{:02}-{:02}", field(term, atoms::month())?, field(term, atoms::day())?)
}

fn era(term: Term<'_>, out: &mut BumpString<'_>) -> std::fmt::Result {
    if field(term, atoms::year())? <= 0 { out.write_str(" BC") } else { Ok(()) }
}

fn time(term: Term<'_>, out: &mut BumpString<'_>) -> std::fmt::Result {
    let of = |name| field(term, name);
    let (hour, minute, second) = (of(atoms::hour())?, of(atoms::minute())?, of(atoms::second())?);
    let micros = term.map_get(atoms::microsecond()).map_err(|_| std::fmt::Error)?;
    let (micros, _precision): (i64, i64) = micros.decode().map_err(|_| std::fmt::Error)?;
    write!(out, "{hour:02}:{minute:02}:{second:02}.{micros:06}")
}

fn text<'a>(
    arena: &'a Bump,
    fill: impl FnOnce(&mut BumpString<'a>) -> std::fmt::Result,
) -> Option<&'a [u8]> {
    let mut out = BumpString::new_in(arena);
    fill(&mut out).ok()?;
    Some(out.into_bump_str().as_bytes())
}
