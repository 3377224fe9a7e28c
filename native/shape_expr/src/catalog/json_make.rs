//! What makes documents: of values (`to_jsonb`, `jsonb_build_object`), of texts (`jsonb_object`), and
//! for reading (`jsonb_pretty`).

use bumpalo::collections::String as BumpString;

use super::json::{INVALID, builder};
use super::{FunctionRow, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Function, Strategy, Volatility};
use crate::program::Implementation;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::values::json::Builder;
use crate::values::json_make::{Maker, Pairs};
use crate::values::{json_make, json_text};
use crate::vm::Context;

fn maker<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Result<Maker<'a>, EvalError> {
    let mut bytes = 0usize;
    for value in args {
        bytes = bytes.saturating_add(json_make::size(value));
    }
    context.reserve(bytes)?;
    Ok(Maker::new(context.zone(), context.arena()))
}

fn is_open(arg: &Value<'_>) -> bool {
    matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)
}

fn to_jsonb<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [value, Value::Type(ty)] = args else { return wrong_kind() };
    let maker = maker(context, args)?;
    let mut built = builder(json_make::size(value), context)?;
    maker.jsonb(value, ty, &mut built)?;
    Ok(Value::Json(built.finish()))
}

fn to_json<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [value, Value::Type(ty)] = args else { return wrong_kind() };
    let maker = maker(context, args)?;
    let mut text = BumpString::new_in(context.arena());
    maker.json(value, ty, &mut text)?;
    Ok(Value::Text(text.into_bump_str()))
}

/// `array_to_json(array[, line feeds])`.
fn array_to_json<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (array, feeds, ty) = match args {
        [Value::Array(array), Value::Type(ty)] => (array, false, ty),
        [Value::Array(array), Value::Bool(feeds), Value::Type(ty)] => (array, *feeds, ty),
        _ => return wrong_kind(),
    };
    let maker = maker(context, args)?;
    let mut text = BumpString::new_in(context.arena());
    maker.json_array(array, ty.element().unwrap_or(ty), feeds, &mut text)?;
    Ok(Value::Text(text.into_bump_str()))
}

/// Values, each with its type behind it.
fn typed<'v, 'a>(
    args: &'v [Value<'a>],
) -> impl Iterator<Item = (&'v Value<'a>, &'a Type)> + use<'v, 'a> {
    args.chunks_exact(2).filter_map(|pair| match pair {
        [value, Value::Type(ty)] => Some((value, *ty)),
        _ => None,
    })
}

fn build_array<'a>(context: &mut Context<'a>, args: &[Value<'a>], binary: bool) -> Eval<'a> {
    if args.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    let maker = maker(context, args)?;
    if binary {
        let mut built = builder(args.iter().map(json_make::size).sum(), context)?;
        built.open(false);
        for (value, ty) in typed(args) {
            maker.jsonb(value, ty, &mut built)?;
        }
        built.close()?;
        return Ok(Value::Json(built.finish()));
    }
    let mut text = BumpString::new_in(context.arena());
    text.push('[');
    for (at, (value, ty)) in typed(args).enumerate() {
        text.push_str(if at > 0 { ", " } else { "" });
        maker.json(value, ty, &mut text)?;
    }
    text.push(']');
    Ok(Value::Text(text.into_bump_str()))
}

fn build_object<'a>(context: &mut Context<'a>, args: &[Value<'a>], binary: bool) -> Eval<'a> {
    if args.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    // Keys and values, each with its type.
    if !args.len().is_multiple_of(4) {
        return Err(INVALID);
    }
    let maker = maker(context, args)?;
    let bytes = args.iter().map(json_make::size).sum();
    let mut built = if binary { Some(builder(bytes, context)?) } else { None };
    let mut text = BumpString::new_in(context.arena());
    text.push('{');
    if let Some(built) = &mut built {
        built.open(true);
    }
    for (at, pair) in args.chunks_exact(4).enumerate() {
        let [key, Value::Type(key_ty), value, Value::Type(ty)] = pair else { return wrong_kind() };
        let key = maker.key(key, key_ty)?;
        match &mut built {
            Some(built) => {
                built.key_bytes(key.as_bytes());
                maker.jsonb(value, ty, built)?;
            }
            None => {
                text.push_str(if at > 0 { ", " } else { "" });
                json_text::quote(key, &mut text);
                text.push_str(" : ");
                maker.json(value, ty, &mut text)?;
            }
        }
    }
    if let Some(mut built) = built {
        built.close()?;
        return Ok(Value::Json(built.finish()));
    }
    text.push('}');
    Ok(Value::Text(text.into_bump_str()))
}

fn jsonb_array<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    build_array(context, args, true)
}

fn json_array<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    build_array(context, args, false)
}

fn jsonb_built<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    build_object(context, args, true)
}

fn json_built<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    build_object(context, args, false)
}

/// The functions that take any number of values of any type.
pub(crate) fn from_values(name: &str) -> Option<Function> {
    let (name, implementation, result): (_, Implementation, _) = match name {
        "jsonb_build_array" => ("jsonb_build_array", jsonb_array, Type::Jsonb),
        "jsonb_build_object" => ("jsonb_build_object", jsonb_built, Type::Jsonb),
        "json_build_array" => ("json_build_array", json_array, Type::Json),
        "json_build_object" => ("json_build_object", json_built, Type::Json),
        _ => return None,
    };
    Some(Function {
        name,
        implementation,
        result,
        strict: false,
        volatility: Volatility::Stable,
        strategy: Strategy::Plain,
        is_cast: false,
    })
}

/// Does a function take its first argument's type as one more argument?
pub(crate) fn wants_own_type(name: &str) -> bool {
    matches!(
        name,
        "to_json" | "to_jsonb" | "array_to_json" | "enum_first" | "enum_last" | "enum_range"
    )
}

fn pairs<'a>(args: &[Value<'a>]) -> Result<Pairs<'a>, EvalError> {
    let wrong = EvalError::new(Raise::ArraySubscript);
    let texts = |array: &Array<'a>| array.len();
    match args {
        [Value::Array(both)] => match both.dimensions() {
            [] => Ok(Pairs::Both(*both)),
            [_] if texts(both) % 2 == 1 => Err(wrong),
            [_] => Ok(Pairs::Both(*both)),
            [_, inner] if inner.length == 2 => Ok(Pairs::Both(*both)),
            _ => Err(wrong),
        },
        [Value::Array(keys), Value::Array(values)] => {
            let (left, right) = (keys.dimensions(), values.dimensions());
            match left.len() > 1 || left.len() != right.len() || keys.len() != values.len() {
                true => Err(wrong),
                false => Ok(Pairs::Apart(*keys, *values)),
            }
        }
        _ => wrong_kind().map(|_| Pairs::Both(Array::NONE)),
    }
}

fn pairs_size(args: &[Value<'_>]) -> usize {
    args.iter().map(json_make::size).sum()
}

fn jsonb_object<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let pairs = pairs(args)?;
    let mut built: Builder<'a> = builder(pairs_size(args), context)?;
    built.open(true);
    for at in 0..pairs.len() {
        let (key, value) = pairs.get(at)?;
        built.key_bytes(key.as_bytes());
        built.string(value)?;
    }
    built.close()?;
    Ok(Value::Json(built.finish()))
}

fn json_object<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let pairs = pairs(args)?;
    context.reserve(3 * pairs_size(args))?;
    let mut text = BumpString::new_in(context.arena());
    text.push('{');
    for at in 0..pairs.len() {
        let (key, value) = pairs.get(at)?;
        text.push_str(if at > 0 { ", " } else { "" });
        json_text::quote(key, &mut text);
        text.push_str(" : ");
        match value {
            Some(value) => json_text::quote(value, &mut text),
            None => text.push_str("null"),
        }
    }
    text.push('}');
    Ok(Value::Text(text.into_bump_str()))
}

fn pretty<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json)] = args else { return wrong_kind() };
    context.reserve(json_text::pretty_size(*json, 0))?;
    Ok(Value::Text(json_text::pretty(*json, context.arena())))
}

fn json_strip_nulls<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text)] = args else { return wrong_kind() };
    // An escape takes no more bytes written anew than six.
    context.reserve(2 * text.len())?;
    Ok(Value::Text(json_make::strip_nulls(text, context.arena())?))
}

macro_rules! rows {
    ($($name:ident($($arg:ident),*) -> $result:ident = $function:expr, $volatility:ident;)*) => {
        &[$(FunctionRow {
            name: stringify!($name),
            args: &[$(Type::$arg),*],
            result: Type::$result,
            implementation: $function,
            strict: true,
            volatility: Volatility::$volatility,
        }),*]
    };
}

pub(super) static FUNCTIONS: &[FunctionRow] = rows! {
    to_json(AnyElement) -> Json = to_json, Stable;
    to_jsonb(AnyElement) -> Jsonb = to_jsonb, Stable;
    array_to_json(AnyArray) -> Json = array_to_json, Stable;
    array_to_json(AnyArray, Bool) -> Json = array_to_json, Stable;
    jsonb_object(TEXT_ARRAY) -> Jsonb = jsonb_object, Immutable;
    jsonb_object(TEXT_ARRAY, TEXT_ARRAY) -> Jsonb = jsonb_object, Immutable;
    json_object(TEXT_ARRAY) -> Json = json_object, Immutable;
    json_object(TEXT_ARRAY, TEXT_ARRAY) -> Json = json_object, Immutable;
    jsonb_pretty(Jsonb) -> Text = pretty, Immutable;
    json_strip_nulls(Json) -> Json = json_strip_nulls, Immutable;
};
