//! Arrays and enums as text and back.

use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use crate::catalog::wrong_kind;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values;
use crate::values::array::Array;
use crate::values::json_text;
use crate::vm::Context;

/// A bound on the length of a value's text.
fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Numeric(n) => n.scale() as usize + 4 * n.weight().max(0) as usize + 8,
        Value::Text(s) | Value::Bpchar(s) => 2 * s.len() + 8,
        Value::Bytes(bytes) => 3 * bytes.len() + 8,
        Value::Json(json) => 2 * json_text::size(*json),
        _ => 64,
    }
}

fn pay<'a>(context: &mut Context<'a>, array: &Array<'a>) -> Result<(), crate::EvalError> {
    context.reserve(64)?;
    for item in array.iter() {
        context.reserve(size(&item))?;
    }
    Ok(())
}

/// The cast to text; the type is the second argument.
pub(super) fn print<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [value, Value::Type(ty)] = args else { return wrong_kind() };
    if let Value::Array(array) = value {
        pay(context, array)?;
    }
    match values::output_in(context.zone(), ty, value, context.arena()) {
        Some(text) => Ok(Value::Text(text)),
        None => wrong_kind(),
    }
}

/// The cast from text; the type is the second argument.
pub(super) fn read<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text) | Value::Bpchar(text), Value::Type(ty)] = args else {
        return wrong_kind();
    };
    // An element takes at least a character and a comma.
    let bytes = match ty {
        Type::Array(_) => 16 * text.len(),
        _ => text.len(),
    };
    context.reserve(bytes)?;
    values::input_in(context.zone(), ty, text, context.arena())
}

/// `array_to_string(array, separator[, null], type of the elements)`.
pub(super) fn to_string<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)) {
        return Ok(Value::Unknown);
    }
    let (array, separator, null, ty) = match args {
        [Value::Array(array), Value::Text(separator), Value::Type(ty)] => {
            (array, *separator, None, *ty)
        }
        [Value::Array(array), Value::Text(separator), null, Value::Type(ty)] => {
            let null = if let Value::Text(null) = null { Some(*null) } else { None };
            (array, *separator, null, *ty)
        }
        [Value::Null, ..] | [_, Value::Null, ..] => return Ok(Value::Null),
        _ => return wrong_kind(),
    };
    pay(context, array)?;
    context.reserve(array.len() * (separator.len() + null.map_or(0, str::len)))?;
    let mut text = BumpString::new_in(context.arena());
    let mut first = true;
    for item in array.iter() {
        let printed = match item {
            Value::Null => null,
            item => match values::output_in(context.zone(), ty, &item, context.arena()) {
                Some(text) => Some(text),
                None => return wrong_kind(),
            },
        };
        let Some(printed) = printed else { continue };
        if !first {
            text.push_str(separator);
        }
        text.push_str(printed);
        first = false;
    }
    Ok(Value::Text(text.into_bump_str()))
}

/// `string_to_array(text, separator[, null])`.
pub(super) fn from_string<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)) {
        return Ok(Value::Unknown);
    }
    let (text, separator, null) = match args {
        [Value::Null, ..] => return Ok(Value::Null),
        [Value::Text(text), separator] => (*text, separator, &Value::Null),
        [Value::Text(text), separator, null] => (*text, separator, null),
        _ => return wrong_kind(),
    };
    context.reserve((text.len() + 1) * size_of::<Value<'_>>())?;
    let mut items: BumpVec<'a, Value<'a>> = BumpVec::new_in(context.arena());
    match separator {
        _ if text.is_empty() => {}
        // Without a separator: the characters.
        Value::Null => {
            let ends = text.char_indices().map(|(at, c)| Value::Text(&text[at..at + c.len_utf8()]));
            items.extend(ends);
        }
        Value::Text("") => items.push(Value::Text(text)),
        Value::Text(separator) => items.extend(text.split(separator).map(Value::Text)),
        _ => return wrong_kind(),
    }
    if let Value::Text(null) = null {
        for item in &mut items {
            if matches!(item, Value::Text(text) if text == null) {
                *item = Value::Null;
            }
        }
    }
    Ok(Value::Array(Array::list(context.arena(), items.into_bump_slice())))
}
