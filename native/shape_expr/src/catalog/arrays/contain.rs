//! Comparison, containment and search.

use std::cmp::Ordering;

use ahash::RandomState;

use crate::catalog::wrong_kind;
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::vm::Context;

fn order<'a>(context: &mut Context<'a>, args: &[Value<'a>], is: fn(Ordering) -> bool) -> Eval<'a> {
    let order = match args {
        [Value::Array(a), Value::Array(b)] => {
            context.charge(a.len().min(b.len()) as u64)?;
            a.compare(b)
        }
        [Value::Enum(a, _), Value::Enum(b, _)] => a.cmp(b),
        _ => return wrong_kind(),
    };
    Ok(Value::Bool(is(order)))
}

macro_rules! orders {
    ($($name:ident $is:ident;)*) => {
        $(pub(super) fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            order(context, args, Ordering::$is)
        })*
    };
}

orders! {
    lt is_lt;
    le is_le;
    gt is_gt;
    ge is_ge;
}

fn equal<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Result<bool, EvalError> {
    match args {
        [Value::Array(a), Value::Array(b)] => {
            context.charge(a.len().min(b.len()) as u64)?;
            Ok(a.equals(b))
        }
        [Value::Enum(a, _), Value::Enum(b, _)] => Ok(a == b),
        _ => wrong_kind().map(|_| false),
    }
}

pub(super) fn eq<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    equal(context, args).map(Value::Bool)
}

pub(super) fn ne<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    equal(context, args).map(|equal| Value::Bool(!equal))
}

/// Above this many comparisons elements are looked up by hash.
const PAIRS: usize = 64;

/// Is every element of `small` in `big` (`all`), or is any? A NULL is in nothing.
fn within<'a>(context: &mut Context<'a>, small: Array<'a>, big: Array<'a>, all: bool) -> Eval<'a> {
    context.charge((small.len() + big.len()) as u64)?;
    let search = Search::new(context, big, small.len())?;
    for item in small.iter() {
        let found = !item.is_null() && search.contains(context, &item)?;
        if found != all {
            return Ok(Value::Bool(found));
        }
    }
    Ok(Value::Bool(all))
}

/// Elements to be looked for many times.
struct Search<'a> {
    array: Array<'a>,
    /// Open addressing: 0, or an element's place plus one.
    table: &'a [u32],
    state: RandomState,
}

impl<'a> Search<'a> {
    fn new(context: &mut Context<'a>, array: Array<'a>, times: usize) -> Result<Self, EvalError> {
        let state = RandomState::with_seeds(1, 2, 3, 4);
        if array.len().saturating_mul(times) <= PAIRS {
            return Ok(Search { array, table: &[], state });
        }
        let size = (2 * array.len()).next_power_of_two();
        context.reserve(4 * size)?;
        let table = context.arena().alloc_slice_fill_copy(size, 0u32);
        for (i, item) in array.iter().enumerate().filter(|(_, item)| !item.is_null()) {
            let mut at = hash(&state, &item) as usize % size;
            loop {
                context.charge(1)?;
                match table[at].checked_sub(1).and_then(|i| array.get(i as usize)) {
                    None => {
                        table[at] = i as u32 + 1;
                        break;
                    }
                    Some(known) if known.equals(&item) => break,
                    Some(_) => at = (at + 1) % size,
                }
            }
        }
        Ok(Search { array, table, state })
    }

    fn contains(&self, context: &mut Context<'a>, value: &Value<'a>) -> Result<bool, EvalError> {
        if self.table.is_empty() {
            return Ok(self.array.iter().any(|item| item.equals(value)));
        }
        let mut at = hash(&self.state, value) as usize % self.table.len();
        loop {
            context.charge(1)?;
            match self.table[at].checked_sub(1).and_then(|i| self.array.get(i as usize)) {
                None => return Ok(false),
                Some(known) if known.equals(value) => return Ok(true),
                Some(_) => at = (at + 1) % self.table.len(),
            }
        }
    }
}

fn hash(state: &RandomState, value: &Value<'_>) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = state.build_hasher();
    value.hash_equality(&mut hasher);
    hasher.finish()
}

pub(super) fn contains<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Array(big), Value::Array(small)] => within(context, *small, *big, true),
        _ => wrong_kind(),
    }
}

pub(super) fn contained<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Array(small), Value::Array(big)] => within(context, *small, *big, true),
        _ => wrong_kind(),
    }
}

pub(super) fn overlaps<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Array(a), Value::Array(b)] => within(context, *a, *b, false),
        _ => wrong_kind(),
    }
}

/// Equal, NULL being equal to NULL.
pub(super) fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    if a.is_null() || b.is_null() { a.is_null() && b.is_null() } else { a.equals(b) }
}

/// `array_position(array, element[, from])`.
pub(super) fn position<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)) {
        return Ok(Value::Unknown);
    }
    let (array, wanted, from) = match args {
        [Value::Null, ..] => return Ok(Value::Null),
        [Value::Array(array), wanted] => (array, wanted, None),
        [Value::Array(array), wanted, from] => (array, wanted, Some(from)),
        _ => return wrong_kind(),
    };
    let first = match array.dimensions() {
        [] => return Ok(Value::Null),
        [dimension] => i64::from(dimension.lower),
        _ => return Err(EvalError::new(Raise::NotSupported)),
    };
    if wanted.is_null() && !array.iter().any(|item| item.is_null()) {
        return Ok(Value::Null);
    }
    let from = match from {
        None => first,
        Some(Value::Int(from)) => *from,
        Some(_) => return Err(EvalError::new(Raise::NullNotAllowed)),
    };
    context.charge(array.len() as u64)?;
    let found = (first..).zip(array.iter()).find(|(i, item)| *i >= from && same(item, wanted));
    Ok(found.map_or(Value::Null, |(i, _)| Value::Int(i)))
}

pub(super) fn positions<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Maybe(_) | Value::Opaque)) {
        return Ok(Value::Unknown);
    }
    let (array, wanted) = match args {
        [Value::Null, _] => return Ok(Value::Null),
        [Value::Array(array), wanted] => (array, wanted),
        _ => return wrong_kind(),
    };
    let first = match array.dimensions() {
        [] => 1,
        [dimension] => i64::from(dimension.lower),
        _ => return Err(EvalError::new(Raise::NotSupported)),
    };
    context.reserve(array.len() * size_of::<Value<'_>>())?;
    let mut found = bumpalo::collections::Vec::new_in(context.arena());
    for (i, item) in (first..).zip(array.iter()) {
        if same(&item, wanted) {
            found.push(Value::Int(i));
        }
    }
    Ok(Value::Array(Array::list(context.arena(), found.into_bump_slice())))
}
