//! Array functions on texts whose collations contradict each other: they raise where they come to
//! compare two elements, and are what they always are where they do not.

use super::{build, contain};
use crate::error::{EvalError, Raise};
use crate::program::Implementation;
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::vm::Context;

const CLASH: EvalError = EvalError::new(Raise::IndeterminateCollation);

/// Does comparing two arrays element by element come to two that are no NULLs?
fn by_pairs(a: &Array<'_>, b: &Array<'_>) -> bool {
    let mut pairs = a.iter().zip(b.iter()).map(|(a, b)| (a.is_null(), b.is_null()));
    pairs.find(|pair| *pair != (true, true)) == Some((false, false))
}

fn for_equality(a: &Array<'_>, b: &Array<'_>) -> bool {
    a.dimensions() == b.dimensions() && by_pairs(a, b)
}

/// Does looking for elements of one array in another?
fn for_some(small: &Array<'_>, big: &Array<'_>) -> bool {
    let any = |array: &Array<'_>| array.iter().any(|item| !item.is_null());
    any(small) && any(big)
}

/// The same where all must be found.
fn for_all(small: &Array<'_>, big: &Array<'_>) -> bool {
    small.get(0).is_some_and(|first| !first.is_null()) && for_some(small, big)
}

macro_rules! comparisons {
    ($($name:ident $compares:ident $function:path, $turned:literal;)*) => {
        $(fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            if let [Value::Array(a), Value::Array(b)] = args {
                let (a, b) = if $turned { (b, a) } else { (a, b) };
                context.charge((a.len() + b.len()) as u64)?;
                if $compares(a, b) {
                    return Err(CLASH);
                }
            }
            $function(context, args)
        })*
    };
}

comparisons! {
    eq for_equality contain::eq, false;
    ne for_equality contain::ne, false;
    lt by_pairs contain::lt, false;
    le by_pairs contain::le, false;
    gt by_pairs contain::gt, false;
    ge by_pairs contain::ge, false;
    contains for_all contain::contains, true;
    contained for_all contain::contained, false;
    overlaps for_some contain::overlaps, false;
}

/// Does searching an array come to an element, from this subscript on?
fn by_element(array: &Array<'_>, from: i64) -> bool {
    let first = array.dimensions().first().map_or(1, |first| i64::from(first.lower));
    (first..).zip(array.iter()).any(|(at, item)| at >= from && !item.is_null())
}

macro_rules! searches {
    ($($name:ident $function:path, $any_dimensions:literal;)*) => {
        $(fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            if let [Value::Array(array), Value::Text(_) | Value::Bpchar(_), rest @ ..] = args {
                context.charge(array.len() as u64)?;
                // Where more dimensions than one are not searched, they raise something else; a
                // place to start at that is NULL does too.
                let searched = $any_dimensions || array.dimensions().len() <= 1;
                let from = match rest.first() {
                    _ if $any_dimensions => i64::MIN,
                    None => i64::MIN,
                    Some(Value::Int(from)) => *from,
                    Some(_) => i64::MAX,
                };
                if searched && by_element(array, from) {
                    return Err(CLASH);
                }
            }
            $function(context, args)
        })*
    };
}

searches! {
    position contain::position, false;
    positions contain::positions, false;
    remove build::remove, false;
    replace build::replace, true;
}

/// What stands for this function of arrays there.
pub(crate) fn clashing(name: &str) -> Option<Implementation> {
    Some(match name {
        "=" => eq,
        "<>" => ne,
        "<" => lt,
        "<=" => le,
        ">" => gt,
        ">=" => ge,
        "@>" => contains,
        "<@" => contained,
        "&&" => overlaps,
        "array_position" => position,
        "array_positions" => positions,
        "array_remove" => remove,
        "array_replace" => replace,
        _ => return None,
    })
}
