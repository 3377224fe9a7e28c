//! The values of a clause's parameters.

use crate::columns::Kind;
use crate::error::NifError;
use crate::{json, value};
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use rustler::{Term, TermType};
use shape_expr::{Datum, Param};
use std::fmt::Write;

/// The values of `$1`, `$2` ... A list is an array's text, a map a JSON document's: their place in the
/// clause says of which type.
pub(crate) fn params<'r, 't: 'r>(
    terms: Term<'t>,
    arena: &'r Bump,
) -> Result<Vec<Param<'r>>, NifError> {
    // Not by an iterator: those panic where a list is improper.
    let (mut values, mut rest) = (Vec::new(), terms);
    while let Ok((value, tail)) = rest.list_get_cell() {
        values.push(value);
        rest = tail;
    }
    if !rest.is_empty_list() {
        return Err(NifError::argument("params is not a list"));
    }
    let param = |(index, term): (usize, Term<'t>)| {
        self::param(term, arena).ok_or_else(|| {
            NifError::argument(format!("parameter ${} is no value: {term:?}", index + 1))
        })
    };
    values.into_iter().enumerate().map(param).collect()
}

fn param<'r, 't: 'r>(term: Term<'t>, arena: &'r Bump) -> Option<Param<'r>> {
    let text = |text: &'r [u8]| std::str::from_utf8(text).ok().map(Param::Text);
    Some(match value::datum(term, Kind::ANY, arena) {
        Datum::Null => Param::Null,
        Datum::Bool(bool) => Param::Bool(bool),
        Datum::Int(int) => Param::Int(int),
        Datum::Float(float) => Param::Float(float),
        Datum::Text(bytes) => text(bytes)?,
        Datum::List(items) => {
            let mut out = BumpString::new_in(arena);
            array(items, &mut out)?;
            Param::Text(out.into_bump_str())
        }
        _ if term.get_type() == TermType::Map => text(json::text(term, arena)?)?,
        _ => return None,
    })
}

/// An array's text form. Lists nest only as deep as [`value::datum`] has read them.
pub(crate) fn array(items: &[Datum<'_>], out: &mut BumpString<'_>) -> Option<()> {
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Datum::Null => out.push_str("NULL"),
            Datum::Bool(bool) => out.push(if *bool { 't' } else { 'f' }),
            Datum::Int(int) => write!(out, "{int}").ok()?,
            Datum::Float(float) => write!(out, "{float:?}").ok()?,
            Datum::List(items) => array(items, out)?,
            Datum::Text(bytes) => {
                out.push('"');
                for c in std::str::from_utf8(bytes).ok()?.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
            _ => return None,
        }
    }
    out.push('}');
    Some(())
}
