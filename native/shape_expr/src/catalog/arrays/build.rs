//! Functions that make arrays.

use bumpalo::collections::Vec as BumpVec;

use super::contain::same;
use crate::catalog::wrong_kind;
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::array::{Array, Dimension, MAX_DIMENSIONS, count};
use crate::vm::Context;

fn unknown(args: &[Value<'_>]) -> bool {
    args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque))
}

fn wrong() -> EvalError {
    EvalError::new(Raise::ArraySubscript)
}

/// An array of these dimensions from elements in storage order.
fn build<'a>(
    context: &mut Context<'a>,
    dimensions: &[Dimension],
    items: impl ExactSizeIterator<Item = Value<'a>>,
) -> Eval<'a> {
    count(dimensions)?;
    context.reserve(items.len() * size_of::<Value<'_>>() + 64)?;
    let arena = context.arena();
    let items = arena.alloc_slice_fill_iter(items);
    Ok(Value::Array(Array::build(arena, arena.alloc_slice_copy(dimensions), items)))
}

/// `ARRAY[a, b]`.
pub(super) fn list<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let dimension = Dimension { lower: 1, length: args.len() as i32 };
    build(context, &[dimension], args.iter().copied())
}

/// `ARRAY[array, array]`: one dimension more.
pub(super) fn nest<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let mut arrays: BumpVec<'a, Array<'a>> = BumpVec::new_in(context.arena());
    for arg in args {
        match arg {
            Value::Array(array) if !array.is_empty() => arrays.push(*array),
            Value::Array(_) | Value::Null => {}
            _ => return wrong_kind(),
        }
    }
    let Some(first) = arrays.first().copied() else { return build(context, &[], [].into_iter()) };
    if first.dimensions().len() >= MAX_DIMENSIONS {
        return Err(EvalError::new(Raise::LimitExceeded));
    }
    if arrays.len() != args.len() || arrays.iter().any(|a| a.dimensions() != first.dimensions()) {
        return Err(wrong());
    }
    let mut dimensions = vec_of(context, Dimension { lower: 1, length: args.len() as i32 });
    dimensions.extend_from_slice(first.dimensions());
    count(&dimensions)?;
    let size = first.len();
    let items =
        (0..size * arrays.len()).map(|i| arrays[i / size].get(i % size).unwrap_or(Value::Null));
    build(context, &dimensions, items)
}

fn vec_of<'a>(context: &Context<'a>, first: Dimension) -> BumpVec<'a, Dimension> {
    let mut dimensions = BumpVec::with_capacity_in(MAX_DIMENSIONS, context.arena());
    dimensions.push(first);
    dimensions
}

/// Two arrays' elements, one behind the other.
fn chain<'a>(a: Array<'a>, b: Array<'a>) -> impl ExactSizeIterator<Item = Value<'a>> {
    let (first, all) = (a.len(), a.len() + b.len());
    (0..all).map(move |i| {
        let item = if i < first { a.get(i) } else { b.get(i - first) };
        item.unwrap_or(Value::Null)
    })
}

/// `array || array`.
pub(super) fn cat<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let (a, b) = match args {
        [Value::Null, other] | [other, Value::Null] => return Ok(*other),
        [Value::Array(a), Value::Array(b)] => (*a, *b),
        _ => return wrong_kind(),
    };
    if a.is_empty() {
        return Ok(Value::Array(b));
    }
    if b.is_empty() {
        return Ok(Value::Array(a));
    }
    let (left, right) = (a.dimensions(), b.dimensions());
    let add = |a: i32, b: i32| a.checked_add(b).ok_or(EvalError::new(Raise::LimitExceeded));
    let dimensions = match (left, right) {
        ([first, rest @ ..], [other, tail @ ..]) if left.len() == right.len() => {
            // Of one shape but for their outermost dimension.
            if rest != tail {
                return Err(wrong());
            }
            let length = add(first.length, other.length)?;
            let mut all = vec_of(context, Dimension { lower: first.lower, length });
            all.extend_from_slice(rest);
            all
        }
        // An array behind its like, one level down.
        ([first, rest @ ..], _) if left.len() == right.len() + 1 => {
            if rest != right {
                return Err(wrong());
            }
            let length = add(first.length, 1)?;
            let mut all = vec_of(context, Dimension { lower: first.lower, length });
            all.extend_from_slice(rest);
            all
        }
        (_, [first, rest @ ..]) if left.len() + 1 == right.len() => {
            if rest != left {
                return Err(wrong());
            }
            let length = add(first.length, 1)?;
            let mut all = vec_of(context, Dimension { lower: first.lower, length });
            all.extend_from_slice(rest);
            all
        }
        _ => return Err(wrong()),
    };
    build(context, &dimensions, chain(a, b))
}

/// `array || element`.
pub(super) fn append<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let (array, item) = match args {
        [Value::Null, item] => (None, *item),
        [Value::Array(array), item] => (Some(*array), *item),
        _ => return wrong_kind(),
    };
    let one = Array::list(context.arena(), context.arena().alloc_slice_copy(&[item]));
    let Some(array) = array else { return Ok(Value::Array(one)) };
    match array.dimensions() {
        [] => Ok(Value::Array(one)),
        [dimension] => {
            // The new element's subscript must be an int4.
            let upper = dimension.lower.checked_add(dimension.length);
            upper.ok_or(EvalError::new(Raise::OutOfRange))?;
            let length = dimension.length.saturating_add(1);
            let dimension = Dimension { lower: dimension.lower, length };
            build(context, &[dimension], chain(array, one))
        }
        _ => Err(EvalError::new(Raise::DataException)),
    }
}

/// `element || array`: the lower bound stays.
pub(super) fn prepend<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let (item, array) = match args {
        [item, Value::Null] => (*item, None),
        [item, Value::Array(array)] => (*item, Some(*array)),
        _ => return wrong_kind(),
    };
    let one = Array::list(context.arena(), context.arena().alloc_slice_copy(&[item]));
    let Some(array) = array else { return Ok(Value::Array(one)) };
    match array.dimensions() {
        [] => Ok(Value::Array(one)),
        [dimension] => {
            let below = dimension.lower.checked_sub(1);
            below.ok_or(EvalError::new(Raise::OutOfRange))?;
            let length = dimension.length.saturating_add(1);
            let dimension = Dimension { lower: dimension.lower, length };
            build(context, &[dimension], chain(one, array))
        }
        _ => Err(EvalError::new(Raise::DataException)),
    }
}

pub(super) fn remove<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let (array, unwanted) = match args {
        [Value::Null, _] => return Ok(Value::Null),
        [Value::Array(array), unwanted] => (*array, unwanted),
        _ => return wrong_kind(),
    };
    let lower = match array.dimensions() {
        [] => return Ok(Value::Array(array)),
        [dimension] => dimension.lower,
        _ => return Err(EvalError::new(Raise::NotSupported)),
    };
    context.reserve(array.len() * size_of::<Value<'_>>())?;
    let mut kept = BumpVec::new_in(context.arena());
    kept.extend(array.iter().filter(|item| !same(item, unwanted)));
    if kept.len() == array.len() {
        return Ok(Value::Array(array));
    }
    let dimension = Dimension { lower, length: kept.len() as i32 };
    build(context, &[dimension], kept.into_iter())
}

pub(super) fn replace<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let (array, old, new) = match args {
        [Value::Null, ..] => return Ok(Value::Null),
        [Value::Array(array), old, new] => (*array, *old, *new),
        _ => return wrong_kind(),
    };
    let items = array.iter().map(|item| if same(&item, &old) { new } else { item });
    build(context, array.dimensions(), items)
}

/// `array_fill(value, dimensions[, lower bounds])`.
pub(super) fn fill<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if unknown(args) {
        return Ok(Value::Unknown);
    }
    let [value, given @ ..] = args else { return wrong_kind() };
    if given.iter().any(Value::is_null) {
        return Err(EvalError::new(Raise::NullNotAllowed));
    }
    let too_many = EvalError::new(Raise::LimitExceeded);
    let mut sizes = given.iter();
    let (Some(Value::Array(lengths)), lowers) = (sizes.next(), sizes.next()) else {
        return wrong_kind();
    };
    let plain = |array: &Array<'a>| match array.dimensions().len() > 1 {
        true => Err(wrong()),
        false if array.iter().any(|item| item.is_null()) => {
            Err(EvalError::new(Raise::NullNotAllowed))
        }
        false => Ok(()),
    };
    plain(lengths)?;
    if lengths.len() > MAX_DIMENSIONS {
        return Err(too_many);
    }
    if let Some(Value::Array(lowers)) = lowers {
        plain(lowers)?;
        if lowers.len() != lengths.len() {
            return Err(wrong());
        }
    }
    let lower = |at: usize| match lowers {
        Some(Value::Array(lowers)) => lowers.get(at).unwrap_or(Value::Int(1)),
        _ => Value::Int(1),
    };
    let mut dimensions = BumpVec::with_capacity_in(MAX_DIMENSIONS, context.arena());
    for (at, length) in lengths.iter().enumerate() {
        let (Value::Int(length), Value::Int(lower)) = (length, lower(at)) else {
            return wrong_kind();
        };
        if length < 0 {
            return Err(too_many);
        }
        let dimension = Dimension { lower: lower as i32, length: length as i32 };
        dimension.lower.checked_add(dimension.length).ok_or(too_many)?;
        dimensions.push(dimension);
    }
    let size = if dimensions.is_empty() { 0 } else { count(&dimensions)? };
    if size == 0 {
        return build(context, &[], [].into_iter());
    }
    context.reserve(size * size_of::<Value<'_>>())?;
    build(context, &dimensions, (0..size).map(|_| *value))
}
