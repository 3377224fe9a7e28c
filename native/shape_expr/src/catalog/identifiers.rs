//! Text from and to what is not text: escapes and identifiers.

use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::vm::Context;

const BAD_PARAMETER: EvalError = EvalError::new(Raise::InvalidParameter);
const BAD_ESCAPE: EvalError = EvalError::new(Raise::SyntaxError);

/// The number that a Unicode escape stands for, and its length.
fn escape(rest: &str) -> Result<(u32, usize), EvalError> {
    let forms = [("\\", 4), ("\\u", 4), ("\\+", 6), ("\\U", 8)];
    for (start, digits) in forms {
        let Some(after) = rest.strip_prefix(start) else { continue };
        let Some(hex) = after.get(..digits) else { continue };
        if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let number = u32::from_str_radix(hex, 16).map_err(|_| BAD_PARAMETER)?;
            return match (1..=0x0010_ffff).contains(&number) {
                true => Ok((number, start.len() + digits)),
                false => Err(BAD_PARAMETER),
            };
        }
    }
    Err(BAD_ESCAPE)
}

/// `unistr`: escapes, of which two may be the halves of one character.
fn unistr<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text)] = args else { return wrong_kind() };
    context.reserve(text.len())?;
    let mut result = BumpString::with_capacity_in(text.len(), context.arena());
    let (mut rest, mut first) = (*text, None::<u32>);
    while let Some(c) = rest.chars().next() {
        let plain = match c {
            '\\' if rest.starts_with("\\\\") => Some(2),
            '\\' => None,
            c => Some(c.len_utf8()),
        };
        if let Some(length) = plain {
            if first.is_some() {
                return Err(BAD_ESCAPE);
            }
            result.push(c);
            rest = &rest[length..];
            continue;
        }
        let (number, length) = escape(rest)?;
        rest = &rest[length..];
        let number = match (first.take(), number) {
            (Some(first), 0xdc00..=0xdfff) => 0x10000 + ((first & 0x3ff) << 10) + (number & 0x3ff),
            (Some(_), _) | (None, 0xdc00..=0xdfff) => return Err(BAD_ESCAPE),
            (None, number) => number,
        };
        match char::from_u32(number) {
            Some(c) => result.push(c),
            None => first = Some(number),
        }
    }
    match first {
        None => Ok(Value::Text(result.into_bump_str())),
        Some(_) => Err(BAD_ESCAPE),
    }
}

/// `parse_ident(text, strict)`: the parts of a qualified name.
fn parse_ident<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Bool(strict)] = args else { return wrong_kind() };
    context.reserve(text.len() + 64)?;
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
    let mut parts: BumpVec<'a, Value<'a>> = BumpVec::new_in(context.arena());
    let mut rest = text.trim_start_matches(is_space);
    loop {
        let mut part = BumpString::new_in(context.arena());
        if let Some(mut quoted) = rest.strip_prefix('"') {
            loop {
                let end = quoted.find('"').ok_or(BAD_PARAMETER)?;
                part.push_str(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix('"') {
                    Some(after) => quoted = after,
                    None => break,
                }
                part.push('"');
            }
            if part.is_empty() {
                return Err(BAD_PARAMETER);
            }
            rest = quoted;
        } else {
            let starts = |c: char| c == '_' || c.is_ascii_alphabetic() || !c.is_ascii();
            let goes_on = |c: char| starts(c) || c.is_ascii_digit() || c == '$';
            if !rest.starts_with(starts) {
                return Err(BAD_PARAMETER);
            }
            let end = rest.find(|c| !goes_on(c)).unwrap_or(rest.len());
            part.extend(rest[..end].chars().map(|c| c.to_ascii_lowercase()));
            rest = &rest[end..];
        }
        context.reserve(2 * size_of::<Value<'_>>())?;
        parts.push(Value::Text(part.into_bump_str()));
        rest = rest.trim_start_matches(is_space);
        match rest.strip_prefix('.') {
            Some(after) => rest = after.trim_start_matches(is_space),
            None if !rest.is_empty() && *strict => return Err(BAD_PARAMETER),
            None => break,
        }
    }
    Ok(Value::Array(Array::list(context.arena(), parts.into_bump_slice())))
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    unistr(Text) -> Text = unistr;
    parse_ident(Text, Bool) -> TEXT_ARRAY = parse_ident;
};
