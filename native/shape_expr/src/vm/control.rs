//! What NULLIF, GREATEST, row comparisons, ANY and casts of arrays do.

use super::{Context, call};
use crate::catalog::wrong_kind;
use crate::error::EvalError;
use crate::expr::Strategy;
use crate::program::Implementation;
use crate::truth::Truth;
use crate::value::{Eval, Value};
use crate::values::array::Array;

pub(super) fn is_open(value: &Value<'_>) -> bool {
    matches!(value, Value::Unknown | Value::Maybe(_) | Value::Opaque)
}

pub(crate) fn null_if<'a>(
    equal: Implementation,
    pair: [Value<'a>; 2],
    context: &mut Context<'a>,
) -> Eval<'a> {
    if pair[0].is_null() || pair[1].is_null() {
        return Ok(pair[0]);
    }
    if pair.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    Ok(match equal(context, &pair)? {
        Value::Bool(true) => Value::Null,
        _ => pair[0],
    })
}

pub(crate) fn min_max<'a>(
    less: Implementation,
    greatest: bool,
    args: &[Value<'a>],
    context: &mut Context<'a>,
) -> Eval<'a> {
    if args.iter().any(is_open) {
        return Ok(Value::Unknown);
    }
    let mut best = Value::Null;
    for arg in args.iter().filter(|arg| !arg.is_null()) {
        context.charge(1)?;
        let pair = if greatest { [best, *arg] } else { [*arg, best] };
        if best.is_null() || matches!(less(context, &pair)?, Value::Bool(true)) {
            best = *arg;
        }
    }
    Ok(best)
}

/// How two columns of rows differ; nothing if they do not.
pub(crate) fn row_step<'a>(
    equal: Implementation,
    less: Implementation,
    pair: [Value<'a>; 2],
    context: &mut Context<'a>,
) -> Result<Option<Value<'a>>, EvalError> {
    Ok(match call(equal, true, context, &pair)? {
        Value::Null => Some(Value::Null),
        Value::Bool(true) => None,
        Value::Bool(false) => match call(less, true, context, &pair)? {
            Value::Bool(true) => Some(Value::Int(-1)),
            _ => Some(Value::Int(1)),
        },
        _ => Some(Value::Unknown),
    })
}

pub(crate) fn row_end(strategy: Strategy, differs: Value<'_>) -> Value<'_> {
    let Value::Int(order) = differs else { return differs };
    Value::Bool(match strategy {
        Strategy::Less => order < 0,
        Strategy::LessEqual => order <= 0,
        Strategy::Greater => order > 0,
        _ => order >= 0,
    })
}

/// `value op ANY (array)`, or ALL.
pub(crate) fn any_array<'a>(
    function: Implementation,
    all: bool,
    [value, array]: [Value<'a>; 2],
    context: &mut Context<'a>,
) -> Eval<'a> {
    let array = match array {
        Value::Array(array) => array,
        Value::Null => return Ok(Value::Null),
        _ if is_open(&array) => return Ok(Value::Unknown),
        _ => return wrong_kind(),
    };
    let (mut truth, decided) =
        if all { (Truth::TRUE, Truth::FALSE) } else { (Truth::FALSE, Truth::TRUE) };
    if value.is_null() && !array.is_empty() {
        return Ok(Value::Null);
    }
    context.charge(array.len() as u64)?;
    for item in array.iter() {
        let answer = call(function, true, context, &[value, item])?.truth();
        truth = if all { truth.and(answer) } else { truth.or(answer) };
        if truth == decided {
            break;
        }
    }
    Ok(truth.into())
}

/// The first argument's elements, each through a strict function that takes the others too.
pub(crate) fn map<'a>(
    function: Implementation,
    args: &[Value<'a>],
    context: &mut Context<'a>,
) -> Eval<'a> {
    let Some((array, others)) = args.split_first() else { return wrong_kind() };
    let array = match array {
        Value::Array(array) => array,
        Value::Null => return Ok(Value::Null),
        array if is_open(array) => return Ok(Value::Unknown),
        _ => return wrong_kind(),
    };
    context.reserve(array.len() * size_of::<Value<'_>>() + 64)?;
    context.charge(array.len() as u64)?;
    let arena = context.arena();
    let items = arena.alloc_slice_fill_copy(array.len(), Value::Null);
    let mut arguments: smallvec::SmallVec<[Value<'a>; 4]> = smallvec::SmallVec::new();
    arguments.push(Value::Null);
    arguments.extend_from_slice(others);
    for (slot, item) in items.iter_mut().zip(array.iter()) {
        arguments[0] = item;
        *slot = call(function, true, context, &arguments)?;
    }
    Ok(Value::Array(Array::build(arena, array.dimensions(), items)))
}
