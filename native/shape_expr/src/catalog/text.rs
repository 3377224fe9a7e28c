//! Operators of the string types.

use super::{Operator, operators, wrong_kind};
use crate::value::{Eval, Value};
use crate::values::like;
use crate::vm::Context;

const STEPS_PER_FUEL: u64 = 4;

fn like_matches<'a>(context: &mut Context<'a>, args: &[Value<'a>], negated: bool) -> Eval<'a> {
    let [Value::Text(text) | Value::Bpchar(text), Value::Text(pattern)] = args else {
        return wrong_kind();
    };
    // A byte compared is a small part of a step of fuel.
    let allowed = context.fuel().saturating_mul(STEPS_PER_FUEL);
    let mut left = allowed;
    let result = like::matches(text, pattern, &mut left);
    context.charge((allowed - left) / STEPS_PER_FUEL)?;
    Ok(Value::Bool(result? != negated))
}

fn text_like<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    like_matches(context, args, false)
}

fn text_not_like<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    like_matches(context, args, true)
}

pub(super) static OPERATORS: &[&[Operator]] = &[operators! {
    Text "~~" Text -> Bool = text_like;
    Text "!~~" Text -> Bool = text_not_like;
    Name "~~" Text -> Bool = text_like;
    Name "!~~" Text -> Bool = text_not_like;
    Bpchar "~~" Text -> Bool = text_like;
    Bpchar "!~~" Text -> Bool = text_not_like;
}];
