//! The labels of an enum. The enum itself is the last argument; the values before it may be NULL.

use crate::catalog::wrong_kind;
use crate::types::{EnumType, Type};
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::vm::Context;

fn labels<'a>(args: &[Value<'a>]) -> Option<&'a EnumType> {
    match args.last() {
        Some(Value::Type(Type::Enum(labels))) => Some(labels),
        _ => None,
    }
}

fn is_open(arg: &Value<'_>) -> bool {
    matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)
}

fn label(found: Option<(usize, &str)>) -> Value<'_> {
    found.map_or(Value::Null, |(at, label)| Value::Enum(at as u32, label))
}

pub(super) fn first<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let Some(labels) = labels(args) else { return wrong_kind() };
    Ok(label(labels.labels().enumerate().next()))
}

pub(super) fn last<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let Some(labels) = labels(args) else { return wrong_kind() };
    Ok(label(labels.labels().enumerate().last()))
}

/// All labels, or those from one to another; NULL bounds nothing.
pub(super) fn range<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let Some(labels) = labels(args) else { return wrong_kind() };
    let (from, to) = match args {
        // Its argument only says which enum is meant.
        [_, _] => (None, None),
        [from, to, _] if is_open(from) || is_open(to) => return Ok(Value::Unknown),
        [from, to, _] => (position(from), position(to)),
        _ => return wrong_kind(),
    };
    let count = labels.labels().count();
    context.reserve((count + 1) * size_of::<Value<'_>>())?;
    let mut items = bumpalo::collections::Vec::with_capacity_in(count, context.arena());
    for (at, label) in labels.labels().enumerate() {
        let at = at as u32;
        if from.is_none_or(|from| from <= at) && to.is_none_or(|to| at <= to) {
            items.push(Value::Enum(at, label));
        }
    }
    Ok(Value::Array(Array::list(context.arena(), items.into_bump_slice())))
}

fn position(value: &Value<'_>) -> Option<u32> {
    match value {
        Value::Enum(at, _) => Some(*at),
        _ => None,
    }
}
