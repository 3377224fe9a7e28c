//! Functions called by name.

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::text;
use crate::vm::Context;

/// Characters, a bpchar's trailing blanks apart.
fn length<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let text = match args {
        [Value::Text(s)] => s,
        [Value::Bpchar(s)] => text::trim_blanks(s),
        _ => return wrong_kind(),
    };
    context.charge(text.len() as u64 / 64)?;
    Ok(Value::Int(text.chars().count() as i64))
}

fn octet_length<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Text(s) | Value::Bpchar(s)] => Ok(Value::Int(s.len() as i64)),
        _ => wrong_kind(),
    }
}

/// `LIKE pattern ESCAPE escape`: the pattern, rewritten to escape by backslashes.
fn like_escape<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(pattern), Value::Text(escape)] = args else { return wrong_kind() };
    let mut characters = escape.chars();
    let escape = characters.next();
    if characters.next().is_some() {
        return Err(EvalError::new(Raise::InvalidEscapeSequence));
    }
    if escape == Some('\\') {
        return Ok(Value::Text(pattern));
    }
    context.reserve(2 * pattern.len())?;
    let mut rewritten =
        bumpalo::collections::String::with_capacity_in(pattern.len() + 8, context.arena());
    let mut escaped = false;
    for c in pattern.chars() {
        if Some(c) == escape && !escaped {
            rewritten.push('\\');
            escaped = true;
            continue;
        }
        // A backslash is an ordinary character now; after an escape it is escaped already.
        if c == '\\' && !escaped {
            rewritten.push('\\');
        }
        rewritten.push(c);
        escaped = false;
    }
    Ok(Value::Text(rewritten.into_bump_str()))
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    length(Text) -> Int4 = length;
    length(Bpchar) -> Int4 = length;
    char_length(Text) -> Int4 = length;
    char_length(Bpchar) -> Int4 = length;
    character_length(Text) -> Int4 = length;
    character_length(Bpchar) -> Int4 = length;
    octet_length(Text) -> Int4 = octet_length;
    octet_length(Bpchar) -> Int4 = octet_length;
    like_escape(Text, Text) -> Text = like_escape;
};
