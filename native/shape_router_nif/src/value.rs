//! One value's term -> a datum: the WAL's text, or what Elixir programs have in hand.
//!
//! A term is read only as what it is: an integer is no text, a date no number. What is not of the
//! column's family is unreadable, as a text would be that is no value of the column's type.

use crate::atoms;
use crate::columns::{Family, Kind};
use crate::{json, structure};
use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};
use rustler::{Atom, BigInt, Binary, Term, TermType};
use shape_expr::Datum;
use std::fmt::Write;

/// PostgreSQL's arrays have at most six dimensions: deeper lists are no array.
const DEEPEST: usize = 6;

/// Reads a value. Text stays where it is; what must be written out goes to the arena.
pub(crate) fn datum<'r, 't: 'r>(term: Term<'t>, kind: Kind, arena: &'r Bump) -> Datum<'r> {
    if let Ok(text) = Binary::from_term(term) {
        return Datum::Text(text.as_slice());
    }
    let read = match term.get_type() {
        TermType::Integer if kind.family != Family::Json => integer(term, kind.family, arena),
        TermType::Atom => atom(term, kind.family, arena),
        _ => other(term, kind, arena),
    };
    read.unwrap_or(Datum::Unreadable)
}

fn integer<'r>(term: Term<'_>, family: Family, arena: &'r Bump) -> Option<Datum<'r>> {
    if let Ok(int) = term.decode::<i64>() {
        return Some(Datum::Int(int));
    }
    if !matches!(family, Family::Number | Family::Any) {
        return None;
    }
    let big: BigInt = term.decode().ok()?;
    Some(Datum::Text(text(arena, |out| write!(out, "{big}"))?))
}

fn atom<'r>(term: Term<'_>, family: Family, arena: &'r Bump) -> Option<Datum<'r>> {
    let atom: Atom = term.decode().ok()?;
    if atom == atoms::nil() {
        return Some(Datum::Null);
    }
    match family {
        Family::Json => return Some(Datum::Text(json::text(term, arena)?)),
        // An enum may have a label "true".
        Family::Enum => {}
        _ => {
            if let Ok(bool) = term.decode::<bool>() {
                return Some(Datum::Bool(bool));
            }
        }
    }
    // As the label of an enum, or a word: :open is "open".
    let name = term.atom_to_string().ok()?;
    Some(Datum::Text(arena.alloc_str(&name).as_bytes()))
}

fn other<'r, 't: 'r>(term: Term<'t>, kind: Kind, arena: &'r Bump) -> Option<Datum<'r>> {
    let ty = term.get_type();
    if ty == TermType::List && (kind.array || kind.family == Family::Any) {
        return list(term, kind.family, arena, 1);
    }
    if kind.array {
        return None;
    }
    Some(match (ty, kind.family) {
        (_, Family::Json) => Datum::Text(json::text(term, arena)?),
        (TermType::Float, _) => Datum::Float(term.decode().ok()?),
        (TermType::Map, family) => Datum::Text(structure::text(term, family, arena)?),
        _ => return None,
    })
}

/// An array: its elements, or those of its further dimensions. In an array of JSON documents too a
/// list in the list is a dimension.
fn list<'r, 't: 'r>(
    mut term: Term<'t>,
    family: Family,
    arena: &'r Bump,
    depth: usize,
) -> Option<Datum<'r>> {
    if depth > DEEPEST {
        return None;
    }
    let element = Kind { family, array: false };
    let mut items = BumpVec::new_in(arena);
    while let Ok((item, rest)) = term.list_get_cell() {
        items.push(match item.get_type() {
            TermType::List => list(item, family, arena, depth + 1)?,
            _ => datum(item, element, arena),
        });
        term = rest;
    }
    // Otherwise it is improper.
    term.is_empty_list().then(|| Datum::List(items.into_bump_slice()))
}

/// Writes a text into the arena.
pub(crate) fn text<'a>(
    arena: &'a Bump,
    fill: impl FnOnce(&mut BumpString<'a>) -> std::fmt::Result,
) -> Option<&'a [u8]> {
    let mut out = BumpString::new_in(arena);
    fill(&mut out).ok()?;
    Some(out.into_bump_str().as_bytes())
}
