//! Operators, functions and casts of jsonb and json.

use smallvec::SmallVec;

use super::{FunctionRow, Operator, functions, operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Function, Strategy, Volatility};
use crate::program::Implementation;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::json::{self, Builder, Json, Node};
use crate::values::json_get::{self, Step};
use crate::values::json_scan::Token;
use crate::values::{json_order, json_scan, json_text};
use crate::vm::Context;

const INVALID: EvalError = EvalError::new(Raise::InvalidParameter);

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

/// A path out of an array of texts; `None` if it holds a NULL.
fn path_of<'p>(path: Json<'p>) -> Option<SmallVec<[Step<'p>; 8]>> {
    texts(path).map(|text| text.map(Step::of_path)).collect()
}

/// The texts of an array.
///
/// The arrays here are literals that the resolver has read (see `Resolver::json_path`).
fn texts<'p>(array: Json<'p>) -> impl Iterator<Item = Option<&'p str>> {
    let array = match array.node() {
        Node::Array(array) => Some(array),
        _ => None,
    };
    array.into_iter().flat_map(|array| array.iter()).map(|item| match item.node() {
        Node::String(bytes) => Some(json::text(bytes)),
        _ => None,
    })
}

fn extract<'a>(
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

fn path<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [document, Value::Json(path)] = args else { return wrong_kind() };
    extract(context, document, path_of(*path).as_deref(), false)
}

fn path_text<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [document, Value::Json(path)] = args else { return wrong_kind() };
    extract(context, document, path_of(*path).as_deref(), true)
}

/// A path that is written argument by argument.
fn arguments<'a>(context: &mut Context<'a>, args: &[Value<'a>], text: bool) -> Eval<'a> {
    let Some((document, rest)) = args.split_first() else { return wrong_kind() };
    let path: Option<SmallVec<[Step<'_>; 8]>> = rest
        .iter()
        .map(|value| match value {
            Value::Text(text) => Some(Step::of_path(text)),
            _ => None,
        })
        .collect();
    extract(context, document, path.as_deref(), text)
}

fn extract_path<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    arguments(context, args, false)
}

fn extract_path_text<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    arguments(context, args, true)
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

/// NULLs among the keys do not count.
fn exists_some<'a>(context: &mut Context<'a>, args: &[Value<'a>], all: bool) -> Eval<'a> {
    let [Value::Json(json), Value::Json(keys)] = args else { return wrong_kind() };
    for key in texts(*keys).flatten() {
        if json_order::exists(*json, key.as_bytes(), context)? != all {
            return Ok(Value::Bool(!all));
        }
    }
    Ok(Value::Bool(all))
}

fn exists_any<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    exists_some(context, args, false)
}

fn exists_all<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    exists_some(context, args, true)
}

/// A document of about this size is going to be built.
fn builder<'a>(bytes: usize, context: &mut Context<'a>) -> Result<Builder<'a>, EvalError> {
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

fn function(name: &'static str, implementation: Implementation, result: Type) -> Function {
    Function {
        name,
        implementation,
        result,
        strict: true,
        volatility: Volatility::Immutable,
        strategy: Strategy::Plain,
        is_cast: false,
    }
}

/// The operators whose right side is a text[], for this left type.
pub(crate) fn path_operator(name: &str, left: &Type) -> Option<Function> {
    Some(match (name, left) {
        ("#>", Type::Jsonb | Type::Json) => function("#>", path, left.clone()),
        ("#>>", Type::Jsonb | Type::Json) => function("#>>", path_text, Type::Text),
        ("?|", Type::Jsonb) => function("?|", exists_any, Type::Bool),
        ("?&", Type::Jsonb) => function("?&", exists_all, Type::Bool),
        _ => return None,
    })
}

/// The functions that take a document and, one by one, the texts of a path.
pub(crate) fn path_function(name: &str) -> Option<(Type, Function)> {
    Some(match name {
        "jsonb_extract_path" => {
            (Type::Jsonb, function("jsonb_extract_path", extract_path, Type::Jsonb))
        }
        "jsonb_extract_path_text" => {
            (Type::Jsonb, function("jsonb_extract_path_text", extract_path_text, Type::Text))
        }
        "json_extract_path" => {
            (Type::Json, function("json_extract_path", extract_path, Type::Json))
        }
        "json_extract_path_text" => {
            (Type::Json, function("json_extract_path_text", extract_path_text, Type::Text))
        }
        _ => return None,
    })
}
