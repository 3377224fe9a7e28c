//! What takes a path, or other texts in an array: `#>`, `#>>`, `#-`, `?|`, `?&`, `jsonb_set` and its
//! like, and subscripts of a jsonb.

use smallvec::SmallVec;

use super::json::{INVALID, builder, extract};
use super::{FunctionRow, Operator, functions, operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Function, Strategy, Volatility};
use crate::program::Implementation;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::values::json::{Json, Node};
use crate::values::json_edit::{Change, Edit};
use crate::values::json_get::Step;
use crate::values::json_order;
use crate::vm::Context;

/// The texts of an array of however many dimensions, each element on its own.
fn texts<'p>(array: Array<'p>) -> impl Iterator<Item = Option<&'p str>> {
    array.iter().map(|item| match item {
        Value::Text(text) => Some(text),
        _ => None,
    })
}

fn steps<'a>(context: &mut Context<'a>, args: &[Value<'a>], text: bool) -> Eval<'a> {
    let [document, Value::Array(path)] = args else { return wrong_kind() };
    context.charge(path.len() as u64)?;
    // A NULL in it makes it NULL.
    let steps: Option<SmallVec<[Step<'_>; 8]>> =
        texts(*path).map(|text| text.map(Step::of_path)).collect();
    extract(context, document, steps.as_deref(), text)
}

fn path<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    steps(context, args, false)
}

fn path_text<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    steps(context, args, true)
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

/// `document['a'][0]`: a number is a key too.
fn subscripts<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let is_open = |arg: &Value<'_>| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque);
    if args.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    let Some((document, rest)) = args.split_first() else { return wrong_kind() };
    let mut path: SmallVec<[Step<'_>; 8]> = SmallVec::with_capacity(rest.len());
    for subscript in rest {
        path.push(match subscript {
            Value::Text(text) => Step::of_path(text),
            Value::Int(index) => {
                let text = bumpalo::format!(in context.arena(), "{}", index);
                Step::of_path(text.into_bump_str())
            }
            _ => return wrong_kind(),
        });
    }
    extract(context, document, Some(&path), false)
}

/// NULLs among the keys do not count.
fn exists_some<'a>(context: &mut Context<'a>, args: &[Value<'a>], all: bool) -> Eval<'a> {
    let [Value::Json(json), Value::Array(keys)] = args else { return wrong_kind() };
    context.charge(keys.len() as u64)?;
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

/// Where a path of one dimension leads, this happens.
fn change<'a>(
    context: &mut Context<'a>,
    json: Json<'a>,
    path: Array<'a>,
    value: Json<'a>,
    edit: Edit,
) -> Eval<'a> {
    if path.dimensions().len() > 1 {
        return Err(EvalError::new(Raise::ArraySubscript));
    }
    let count = match json.node() {
        Node::Array(array) => array.len(),
        Node::Object(object) => object.len(),
        _ => return Err(INVALID),
    };
    let nothing = count == 0 && matches!(edit, Edit::Delete | Edit::Replace);
    if nothing || path.is_empty() {
        return Ok(Value::Json(json));
    }
    context.charge(path.len() as u64)?;
    let path: SmallVec<[Option<&str>; 8]> = texts(path).collect();
    let mut built = builder(json.bytes().len() + value.bytes().len(), context)?;
    Change { path: &path, value, edit }.apply(json, 0, &mut built)?;
    Ok(Value::Json(built.finish()))
}

fn delete_path<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Array(path)] = args else { return wrong_kind() };
    change(context, *json, *path, Json::NULL, Edit::Delete)
}

fn set<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Array(path), Value::Json(value), Value::Bool(create)] = args
    else {
        return wrong_kind();
    };
    let edit = if *create { Edit::Create } else { Edit::Replace };
    change(context, *json, *path, *value, edit)
}

fn insert<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Json(json), Value::Array(path), Value::Json(value), Value::Bool(after)] = args
    else {
        return wrong_kind();
    };
    let edit = if *after { Edit::InsertAfter } else { Edit::InsertBefore };
    change(context, *json, *path, *value, edit)
}

/// jsonb_set that says what a NULL value means.
fn set_lax<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [document, path, value, create, treatment] = args else { return wrong_kind() };
    if [document, path, create].iter().any(|arg| arg.is_null()) {
        return Ok(Value::Null);
    }
    let is_open = |arg: &Value<'_>| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque);
    if args.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    let Value::Text(treatment) = treatment else { return Err(INVALID) };
    match (value, *treatment) {
        (Value::Json(_), _) => set(context, &args[..4]),
        (_, "raise_exception") => Err(EvalError::new(Raise::NullNotAllowed)),
        (_, "use_json_null") => set(context, &[*document, *path, Value::Json(Json::NULL), *create]),
        (_, "delete_key") => delete_path(context, &[*document, *path]),
        (_, "return_target") => Ok(*document),
        _ => Err(INVALID),
    }
}

pub(super) static OPERATORS: &[&[Operator]] = &[operators! {
    Jsonb "#>" TEXT_ARRAY -> Jsonb = path;
    Json "#>" TEXT_ARRAY -> Json = path;
    Jsonb "#>>" TEXT_ARRAY -> Text = path_text;
    Json "#>>" TEXT_ARRAY -> Text = path_text;
    Jsonb "#-" TEXT_ARRAY -> Jsonb = delete_path;
    Jsonb "?|" TEXT_ARRAY -> Bool = exists_any;
    Jsonb "?&" TEXT_ARRAY -> Bool = exists_all;
}];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    jsonb_delete_path(Jsonb, TEXT_ARRAY) -> Jsonb = delete_path;
    jsonb_exists_any(Jsonb, TEXT_ARRAY) -> Bool = exists_any;
    jsonb_exists_all(Jsonb, TEXT_ARRAY) -> Bool = exists_all;
    jsonb_set(Jsonb, TEXT_ARRAY, Jsonb, Bool) -> Jsonb = set;
    jsonb_insert(Jsonb, TEXT_ARRAY, Jsonb, Bool) -> Jsonb = insert;
};

/// The one that sees NULLs.
pub(super) static LENIENT: &[FunctionRow] = &[FunctionRow {
    name: "jsonb_set_lax",
    args: &[Type::Jsonb, Type::TEXT_ARRAY, Type::Jsonb, Type::Bool, Type::Text],
    result: Type::Jsonb,
    implementation: set_lax,
    strict: false,
    volatility: Volatility::Immutable,
}];

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

/// `document[...]`, whose subscripts are texts and int4s.
pub(crate) fn jsonb_subscript() -> Function {
    Function { strict: false, ..function("subscript", subscripts, Type::Jsonb) }
}

/// What the last arguments are where fewer than all are given.
pub(crate) fn defaults(name: &str, given: usize) -> &'static [Default] {
    match (name, given) {
        ("jsonb_set", 3) => &[Default::Bool(true)],
        ("jsonb_insert", 3) => &[Default::Bool(false)],
        ("jsonb_set_lax", 3) => &[Default::Bool(true), Default::Text("use_json_null")],
        ("jsonb_set_lax", 4) => &[Default::Text("use_json_null")],
        _ => &[],
    }
}

/// An argument that was not given.
pub(crate) enum Default {
    Bool(bool),
    Text(&'static str),
}
