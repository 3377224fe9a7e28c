//! A term -> JSON text, for columns of type json and jsonb.
//!
//! Maps, lists, text, numbers, booleans and nil as every encoder writes them; other atoms are strings.
//! Nothing here recurses: a scheduler's stack is small, and documents can be deep.

use crate::atoms;
use crate::structure;
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use rustler::{BigInt, MapIterator, Term, TermType};
use std::fmt::{Error, Result, Write};

/// Deeper documents no json column can hold.
const DEEPEST: usize = 20_000;

/// What is open: the members of a map, or what is left of a list.
enum Open<'t> {
    Map(Box<MapIterator<'t>>),
    List(Term<'t>),
}

/// The document; `None` if something in it has no place in JSON.
pub(crate) fn text<'r>(term: Term<'_>, arena: &'r Bump) -> Option<&'r [u8]> {
    let mut out = BumpString::new_in(arena);
    document(term, &mut out).ok()?;
    Some(out.into_bump_str().as_bytes())
}

fn document(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    let mut open = Vec::new();
    let mut next = Some(term);
    loop {
        // A value: written, or opened.
        let mut first = false;
        if let Some(term) = next.take() {
            first = begin(term, &mut open, out)?;
            if open.len() > DEEPEST {
                return Err(Error);
            }
        }
        let Some(innermost) = open.last_mut() else { return Ok(()) };
        match innermost {
            Open::Map(members) => match members.next() {
                Some((key, value)) => {
                    if !first {
                        out.write_char(',')?;
                    }
                    self::key(key, out)?;
                    out.write_char(':')?;
                    next = Some(value);
                }
                None => {
                    out.write_char('}')?;
                    open.pop();
                }
            },
            Open::List(rest) => match rest.list_get_cell() {
                Ok((item, tail)) => {
                    if !first {
                        out.write_char(',')?;
                    }
                    *rest = tail;
                    next = Some(item);
                }
                Err(_) if rest.is_empty_list() => {
                    out.write_char(']')?;
                    open.pop();
                }
                // Improper.
                Err(_) => return Err(Error),
            },
        }
    }
}

/// Writes a scalar, or opens a map or a list (and says so).
fn begin<'t>(
    term: Term<'t>,
    open: &mut Vec<Open<'t>>,
    out: &mut BumpString<'_>,
) -> std::result::Result<bool, Error> {
    match term.get_type() {
        TermType::Map if term.map_get(atoms::__struct__()).is_ok() => structure::json(term, out)?,
        TermType::Map => {
            out.write_char('{')?;
            open.push(Open::Map(Box::new(MapIterator::new(term).ok_or(Error)?)));
            return Ok(true);
        }
        TermType::List => {
            out.write_char('[')?;
            open.push(Open::List(term));
            return Ok(true);
        }
        TermType::Atom if term == atoms::nil().to_term(term.get_env()) => out.write_str("null")?,
        TermType::Atom => match term.decode::<bool>() {
            Ok(bool) => write!(out, "{bool}")?,
            Err(_) => string(&term.atom_to_string().map_err(|_| Error)?, out)?,
        },
        TermType::Binary => string(term.decode().map_err(|_| Error)?, out)?,
        TermType::Integer => integer(term, out)?,
        // The shortest digits that read back the same; 1.0 stays 1.0.
        TermType::Float => write!(out, "{:?}", term.decode::<f64>().map_err(|_| Error)?)?,
        _ => return Err(Error),
    }
    Ok(false)
}

fn integer(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    match term.decode::<i64>() {
        Ok(int) => write!(out, "{int}"),
        Err(_) => write!(out, "{}", term.decode::<BigInt>().map_err(|_| Error)?),
    }
}

/// A member's name: text, an atom or an integer.
fn key(term: Term<'_>, out: &mut BumpString<'_>) -> Result {
    match term.get_type() {
        TermType::Binary => string(term.decode().map_err(|_| Error)?, out),
        TermType::Atom => string(&term.atom_to_string().map_err(|_| Error)?, out),
        TermType::Integer => {
            out.write_char('"')?;
            integer(term, out)?;
            out.write_char('"')
        }
        _ => Err(Error),
    }
}

fn string(text: &str, out: &mut BumpString<'_>) -> Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.write_char('\\')?;
                out.write_char(c)?;
            }
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}
