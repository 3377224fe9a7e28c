//! Dimensions, subscripts and slices.

use crate::catalog::wrong_kind;
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::array::{Array, Dimension, MAX_DIMENSIONS, count};
use crate::vm::Context;

fn dimension<'a>(args: &[Value<'a>], of: fn(Dimension) -> i32) -> Eval<'a> {
    let [Value::Array(array), Value::Int(number)] = args else { return wrong_kind() };
    let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
    let found = index.and_then(|index| array.dimensions().get(index));
    Ok(found.map_or(Value::Null, |dimension| Value::Int(of(*dimension).into())))
}

pub(super) fn length<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    dimension(args, |dimension| dimension.length)
}

pub(super) fn lower<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    dimension(args, |dimension| dimension.lower)
}

pub(super) fn upper<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    dimension(args, Dimension::upper)
}

pub(super) fn cardinality<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Array(array)] => Ok(Value::Int(array.len() as i64)),
        _ => wrong_kind(),
    }
}

pub(super) fn ndims<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Array(array)] if array.is_empty() => Ok(Value::Null),
        [Value::Array(array)] => Ok(Value::Int(array.dimensions().len() as i64)),
        _ => wrong_kind(),
    }
}

pub(super) fn dims<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    use std::fmt::Write as _;
    let [Value::Array(array)] = args else { return wrong_kind() };
    if array.is_empty() {
        return Ok(Value::Null);
    }
    context.reserve(32 * array.dimensions().len())?;
    let mut text = bumpalo::collections::String::new_in(context.arena());
    for dimension in array.dimensions() {
        let _ = write!(text, "[{}:{}]", dimension.lower, dimension.upper());
    }
    Ok(Value::Text(text.into_bump_str()))
}

/// What a NULL or unknown argument makes of a subscript, if there is one.
fn missing<'a>(args: &[Value<'a>]) -> Option<Value<'a>> {
    if args.iter().any(Value::is_null) {
        return Some(Value::Null);
    }
    let is_open = |arg: &Value<'_>| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque);
    args.iter().any(is_open).then_some(Value::Unknown)
}

/// `array[i][j]`: NULL outside it, or with too few subscripts or too many.
pub(super) fn element<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if let Some(missing) = missing(args) {
        return Ok(missing);
    }
    let [Value::Array(array), subscripts @ ..] = args else { return wrong_kind() };
    if subscripts.len() != array.dimensions().len() {
        return Ok(Value::Null);
    }
    let mut at = 0usize;
    for (subscript, dimension) in subscripts.iter().zip(array.dimensions()) {
        let Value::Int(subscript) = subscript else { return wrong_kind() };
        let offset = subscript - i64::from(dimension.lower);
        if !(0..i64::from(dimension.length)).contains(&offset) {
            return Ok(Value::Null);
        }
        at = at * dimension.length as usize + offset as usize;
    }
    Ok(array.get(at).unwrap_or(Value::Null))
}

/// `array[i:j][k:l]`: what of it lies inside, with bounds that start at 1 again. The arguments are
/// the upper bounds, then the lower ones, each behind a flag that it was given.
pub(super) fn slice<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if let Some(missing) = missing(args) {
        return Ok(missing);
    }
    let [Value::Array(array), bounds @ ..] = args else { return wrong_kind() };
    let empty = |context: &Context<'a>| Ok(Value::Array(Array::list(context.arena(), &[])));
    let given = bounds.len() / 4;
    let dimensions = array.dimensions();
    if dimensions.is_empty() || given > dimensions.len() {
        return empty(context);
    }
    let mut ranges = [(0usize, 0usize); MAX_DIMENSIONS];
    let mut result = [Dimension { lower: 1, length: 0 }; MAX_DIMENSIONS];
    for (i, dimension) in dimensions.iter().enumerate() {
        let (mut from, mut to) = (dimension.lower, dimension.upper());
        let (uppers, lowers) = bounds.split_at(2 * given);
        if let (Some([upper_given, upper]), Some([lower_given, lower])) =
            (uppers.get(2 * i..2 * i + 2), lowers.get(2 * i..2 * i + 2))
        {
            let (Value::Int(lower), Value::Int(upper)) = (lower, upper) else {
                return wrong_kind();
            };
            let (lower, upper) = (*lower as i32, *upper as i32);
            if let Value::Bool(true) = lower_given {
                from = from.max(lower);
            }
            if let Value::Bool(true) = upper_given {
                to = to.min(upper);
            }
        }
        if from > to {
            return empty(context);
        }
        let offset = i64::from(from) - i64::from(dimension.lower);
        result[i].length = to - from + 1;
        ranges[i] = (offset as usize, result[i].length as usize);
    }
    let result = &result[..dimensions.len()];
    let size = count(result)?;
    context.reserve(size * size_of::<Value<'_>>() + 64)?;
    let items = context.arena().alloc_slice_fill_with(size, |mut place| {
        // The place in the slice, as subscripts, as the place in the array.
        let (mut at, mut stride) = (0, 1);
        for (i, dimension) in dimensions.iter().enumerate().rev() {
            let (offset, length) = ranges[i];
            at += (offset + place % length) * stride;
            place /= length;
            stride *= dimension.length as usize;
        }
        array.get(at).unwrap_or(Value::Null)
    });
    let arena = context.arena();
    let array = Array::build(arena, arena.alloc_slice_copy(result), items);
    match array.len() == size {
        true => Ok(Value::Array(array)),
        false => Err(EvalError::new(Raise::ArraySubscript)),
    }
}

/// `trim_array(array, count)`: so many fewer at the end of its first dimension.
pub(super) fn trim<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Array(array), Value::Int(gone)] = args else { return wrong_kind() };
    let (lower, length) =
        array.dimensions().first().map_or((1, 0), |first| (first.lower, first.length));
    if !(0..=i64::from(length)).contains(gone) {
        return Err(EvalError::new(Raise::ArraySubscript));
    }
    let upper = i64::from(lower) + i64::from(length) - gone - 1;
    let bounds = [Value::Bool(true), Value::Int(upper), Value::Bool(false), Value::Int(1)];
    let [upper_given, upper, lower_given, lower] = bounds;
    slice(context, &[Value::Array(*array), upper_given, upper, lower_given, lower])
}
