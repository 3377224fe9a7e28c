//! Operators, functions and casts of jsonb and json.

use super::{FunctionRow, Operator, functions, operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::json::{self, Builder, Json, Node};
use crate::values::json_get::{self, Step};
use crate::values::json_scan::Token;
use crate::values::{json_order, json_scan, json_text};
use crate::vm::Context;

pub(super) const INVALID: EvalError = EvalError::new(Raise::InvalidParameter);

/// A part of a document as text: strings bare, `null` as NULL.
fn as_text<'a>(json: Json<'a>, context: &mut Context<'a>) -> Eval<'a> {
    Ok(match json.node() {
        Node::Null => Value::Null,
        Node::Bool(b) => Value::Text(if b { "true" } else { "false" }),
        Node::String(bytes) => Value::Text(json::text(bytes)),
        Node::Number(_) | Node::Array(_) | Node::Object(_) => {
            context.reserve(json_text::size(json))?;
            Value::Text(json_text::output(json, context.arena()))
        }
    })
}

fn found<'a>(json: Option<Json<'a>>, text: bool, context: &mut Context<'a>) -> Eval<'a> {
    match json {
        None => Ok(Value::Null),
        Some(json) if text => as_text(json, context),
        Some(json) => Ok(Value::Json(json)),
    }
}

fn field_of<'a>(args: &[Value<'a>]) -> Result<Option<Json<'a>>, EvalError> {
    match args {
        [Value::Json(json), Value::Text(key)] => Ok(match json.node() {
            Node::Object(object) => object.get(key.as_bytes()),
            _ => None,
        }),
        _ => wrong_kind().map(|_| None),
    }
}

fn field<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    found(field_of(args)?, false, context)
}

fn field_text<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    found(field_of(args)?, true, context)
}

fn element_of<'a>(args: &[Value<'a>]) -> Result<Option<Json<'a>>, EvalError> {
    match args {
        [Value::Json(json), Value::Int(index)] => Ok(match json.node() {
            Node::Array(array) => array.subscript(*index),
            Node::Object(_) => None,
            // A scalar alone is an array of one element to PostgreSQL.
            _ => matches!(index, 0 | -1).then_some(*json),
        }),
        _ => wrong_kind().map(|_| None),
    }
}

fn element<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    found(element_of(args)?, false, context)
}

fn element_text<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    found(element_of(args)?, true, context)
}

pub(super) fn extract<'a>(
    context: &mut Context<'a>,
    document: &Value<'a>,
    path: Option<&[Step<'_>]>,
    text: bool,
) -> Eval<'a> {
    let Some(path) = path else { return Ok(Value::Null) };
    context.charge(1 + path.len() as u64)?;
    match document {
        Value::Json(json) => match (json.is_scalar(), path.is_empty()) {
            (true, false) => Ok(Value::Null),
            // The document itself: its text is jsonb's even for a null.
            (false, true) if text => as_text(*json, context),
            _ => found(json_get::in_jsonb(*json, path), text, context),
        },
        Value::Text(json) => in_text(context, json, path, text),
        _ => wrong_kind(),
    }
}

fn in_text<'a>(
    context: &mut Context<'a>,
    json: &'a str,
    path: &[Step<'_>],
    text: bool,
) -> Eval<'a> {
    context.charge(1 + json.len() as u64 / 8)?;
    let Some(found) = json_get::in_json(json, path)? else { return Ok(Value::Null) };
    if !text {
        return Ok(Value::Text(found.raw()));
    }
    context.reserve(found.raw().len())?;
    Ok(found.text(context.arena()).map_or(Value::Null, Value::Text))
}

fn json_step<'a>(context: &mut Context<'a>, args: &[Value<'a>], text: bool) -> Eval<'a> {
    let (json, step) = match args {
        [Value::Text(json), Value::Text(name)] => (json, Step { name: Some(name), index: None }),
        [Value::Text(json), Value::Int(index)] => {
            // The least int4 never matches.
            let index = i32::try_from(*index).ok().filter(|index| *index != i32::MIN);
            (json, Step { name: None, index })
        }
        _ => return wrong_kind(),
    };
    in_text(context, json, &[step], text)
}

fn json_get<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    json_step(context, args, false)
}

fn json_get_text<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    json_step(context, args, true)
}

fn contains<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(a), Value::Json(b)] = args else { return wrong_kind() };
    Ok(Value::Bool(json_order::contains(*a, *b, context)?))
}

fn contained<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(a), Value::Json(b)] = args else { return wrong_kind() };
    Ok(Value::Bool(json_order::contains(*b, *a, context)?))
}

fn exists<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Text(key)] = args else { return wrong_kind() };
    Ok(Value::Bool(json_order::exists(*json, key.as_bytes(), context)?))
}

/// A document of about this size is going to be built.
pub(super) fn builder<'a>(
    bytes: usize,
    context: &mut Context<'a>,
) -> Result<Builder<'a>, EvalError> {
    context.reserve(2 * bytes + 32)?;
    Ok(Builder::new(bytes + 32, context.arena()))
}

fn concat<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(a), Value::Json(b)] = args else { return wrong_kind() };
    let mut built = builder(a.bytes().len() + b.bytes().len(), context)?;
    if let (Node::Object(a), Node::Object(b)) = (a.node(), b.node()) {
        built.open(true);
        for (key, value) in a.iter().chain(b.iter()) {
            built.key_bytes(key);
            built.copy(value)?;
        }
    } else {
        built.open(false);
        for json in [a, b] {
            match json.node() {
                Node::Array(array) => {
                    for item in array.iter() {
                        built.copy(item)?;
                    }
                }
                _ => built.copy(*json)?,
            }
        }
    }
    built.close()?;
    Ok(Value::Json(built.finish()))
}

fn delete_key<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Text(name)] = args else { return wrong_kind() };
    let mut built = builder(json.bytes().len(), context)?;
    match json.node() {
        Node::Object(object) => {
            built.open(true);
            for (key, value) in object.iter().filter(|(key, _)| *key != name.as_bytes()) {
                built.key_bytes(key);
                built.copy(value)?;
            }
        }
        Node::Array(array) => {
            built.open(false);
            for item in array.iter() {
                if !matches!(item.node(), Node::String(text) if text == name.as_bytes()) {
                    built.copy(item)?;
                }
            }
        }
        _ => return Err(INVALID),
    }
    built.close()?;
    Ok(Value::Json(built.finish()))
}

fn delete_keys<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Array(names)] = args else { return wrong_kind() };
    if names.dimensions().len() > 1 {
        return Err(EvalError::new(Raise::ArraySubscript));
    }
    let mut built = builder(json.bytes().len(), context)?;
    context.charge(names.len() as u64)?;
    let is_named = |key: &[u8]| {
        names.iter().any(|name| matches!(name, Value::Text(name) if name.as_bytes() == key))
    };
    match json.node() {
        Node::Object(object) => {
            built.open(true);
            context.charge((object.iter().count() * names.len()) as u64)?;
            for (key, value) in object.iter().filter(|(key, _)| !is_named(key)) {
                built.key_bytes(key);
                built.copy(value)?;
            }
        }
        Node::Array(array) => {
            built.open(false);
            context.charge((array.len() * names.len()) as u64)?;
            for item in array.iter() {
                if !matches!(item.node(), Node::String(text) if is_named(text)) {
                    built.copy(item)?;
                }
            }
        }
        _ => return Err(INVALID),
    }
    built.close()?;
    Ok(Value::Json(built.finish()))
}

fn delete_index<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Int(index)] = args else { return wrong_kind() };
    let Node::Array(array) = json.node() else { return Err(INVALID) };
    let gone = if *index < 0 { index + array.len() as i64 } else { *index };
    let mut built = builder(json.bytes().len(), context)?;
    built.open(false);
    for (at, item) in array.iter().enumerate() {
        if at as i64 != gone {
            built.copy(item)?;
        }
    }
    built.close()?;
    Ok(Value::Json(built.finish()))
}

fn strip(json: Json<'_>, built: &mut Builder<'_>) -> Result<(), EvalError> {
    match json.node() {
        Node::Array(array) => {
            built.open(false);
            json_order::deep(|| array.iter().try_for_each(|item| strip(item, built)))?;
            built.close()
        }
        Node::Object(object) => {
            built.open(true);
            json_order::deep(|| {
                object.iter().filter(|(_, value)| !value.is_null()).try_for_each(|(key, value)| {
                    built.key_bytes(key);
                    strip(value, built)
                })
            })?;
            built.close()
        }
        _ => built.copy(json),
    }
}

fn strip_nulls<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json)] = args else { return wrong_kind() };
    let mut built = builder(json.bytes().len(), context)?;
    strip(*json, &mut built)?;
    Ok(Value::Json(built.finish()))
}

fn kind<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Json(json)] => Ok(Value::Text(json.kind_name())),
        [Value::Text(json)] => Ok(Value::Text(match json_scan::first_token(json)? {
            Token::ObjectStart => "object",
            Token::ArrayStart => "array",
            Token::String { .. } => "string",
            Token::Number => "number",
            Token::True | Token::False => "boolean",
            _ => "null",
        })),
        _ => wrong_kind(),
    }
}

fn array_length<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let length = match args {
        [Value::Json(json)] => match json.node() {
            Node::Array(array) => Some(array.len() as i64),
            _ => None,
        },
        [Value::Text(json)] => {
            context.charge(1 + json.len() as u64 / 8)?;
            json_get::json_array_length(json)?
        }
        _ => return wrong_kind(),
    };
    length.map(Value::Int).ok_or(INVALID)
}

/// A jsonb number.
pub(super) fn to_numeric<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json)] = args else { return wrong_kind() };
    match json.node() {
        Node::Number(n) => Ok(Value::Numeric(n.numeric(context.arena()))),
        _ => Err(INVALID),
    }
}

pub(super) fn to_bool<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json)] = args else { return wrong_kind() };
    match json.node() {
        Node::Bool(b) => Ok(Value::Bool(b)),
        _ => Err(INVALID),
    }
}

/// json's text read as jsonb.
pub(super) fn json_to_jsonb<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text)] = args else { return wrong_kind() };
    context.reserve(8 * text.len())?;
    Ok(Value::Json(Json::parse(text, context.arena())?))
}

/// jsonb's text, which is json.
pub(super) fn jsonb_to_json<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json)] = args else { return wrong_kind() };
    context.reserve(json_text::size(*json))?;
    Ok(Value::Text(json_text::output(*json, context.arena())))
}

pub(super) static OPERATORS: &[&[Operator]] = &[operators! {
    Jsonb "->" Text -> Jsonb = field;
    Jsonb "->" Int4 -> Jsonb = element;
    Json "->" Text -> Json = json_get;
    Json "->" Int4 -> Json = json_get;
    Jsonb "->>" Text -> Text = field_text;
    Jsonb "->>" Int4 -> Text = element_text;
    Json "->>" Text -> Text = json_get_text;
    Json "->>" Int4 -> Text = json_get_text;
    Jsonb "@>" Jsonb -> Bool = contains;
    Jsonb "<@" Jsonb -> Bool = contained;
    Jsonb "?" Text -> Bool = exists;
    Jsonb "-" Text -> Jsonb = delete_key;
    Jsonb "-" Int4 -> Jsonb = delete_index;
    Jsonb "-" TEXT_ARRAY -> Jsonb = delete_keys;
    Jsonb "||" Jsonb -> Jsonb = concat;
}];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    jsonb_typeof(Jsonb) -> Text = kind;
    json_typeof(Json) -> Text = kind;
    jsonb_array_length(Jsonb) -> Int4 = array_length;
    json_array_length(Json) -> Int4 = array_length;
    jsonb_object_field(Jsonb, Text) -> Jsonb = field;
    jsonb_object_field_text(Jsonb, Text) -> Text = field_text;
    jsonb_array_element(Jsonb, Int4) -> Jsonb = element;
    jsonb_array_element_text(Jsonb, Int4) -> Text = element_text;
    json_object_field(Json, Text) -> Json = json_get;
    json_object_field_text(Json, Text) -> Text = json_get_text;
    json_array_element(Json, Int4) -> Json = json_get;
    json_array_element_text(Json, Int4) -> Text = json_get_text;
    jsonb_contains(Jsonb, Jsonb) -> Bool = contains;
    jsonb_contained(Jsonb, Jsonb) -> Bool = contained;
    jsonb_exists(Jsonb, Text) -> Bool = exists;
    jsonb_concat(Jsonb, Jsonb) -> Jsonb = concat;
    jsonb_delete(Jsonb, Text) -> Jsonb = delete_key;
    jsonb_delete(Jsonb, Int4) -> Jsonb = delete_index;
    jsonb_delete(Jsonb, TEXT_ARRAY) -> Jsonb = delete_keys;
    jsonb_strip_nulls(Jsonb) -> Jsonb = strip_nulls;
};
