//! Operators of the string types.

use super::{Operator, operators, wrong_kind};
use crate::value::{Eval, Value};
use crate::values::like;
use crate::vm::Context;

fn like_matches<'a>(context: &mut Context<'a>, args: &[Value<'a>], negated: bool) -> Eval<'a> {
    let [Value::Text(text) | Value::Bpchar(text), Value::Text(pattern)] = args else {
        return wrong_kind();
    };
    context.charge(like::cost(text, pattern))?;
    Ok(Value::Bool(like::matches(text, pattern, Some(b'\\'))? != negated))
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
