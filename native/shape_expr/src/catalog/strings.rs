//! Functions of text called by name.

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Function, Volatility};
use crate::program::Implementation;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::ctype::{self, Locale};
use crate::values::strings::{self, Ends};
use crate::values::{similar, text};
use crate::vm::Context;

type Text<'a> = bumpalo::collections::String<'a>;

/// What PostgreSQL does not build either: a value of a gigabyte.
const LARGEST: i64 = 0x3fff_ffff - 4;

const TOO_LONG: EvalError = EvalError::new(Raise::LimitExceeded);

fn room<'a>(context: &mut Context<'a>, bytes: usize) -> Result<Text<'a>, EvalError> {
    context.reserve(bytes)?;
    Ok(Text::with_capacity_in(bytes, context.arena()))
}

/// The parts in a row.
pub(super) fn join<'a>(context: &mut Context<'a>, parts: &[&str]) -> Eval<'a> {
    let mut whole = room(context, parts.iter().map(|part| part.len()).sum())?;
    parts.iter().for_each(|part| whole.push_str(part));
    Ok(Value::Text(whole.into_bump_str()))
}

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
        [Value::Bytes(bytes)] => Ok(Value::Int(bytes.len() as i64)),
        _ => wrong_kind(),
    }
}

fn bit_length<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match octet_length(context, args)? {
        Value::Int(bytes) => match i32::try_from(8 * bytes) {
            Ok(bits) => Ok(Value::Int(i64::from(bits))),
            Err(_) => Err(EvalError::new(Raise::OutOfRange)),
        },
        _ => wrong_kind(),
    }
}

/// `LIKE pattern ESCAPE escape`: the pattern, rewritten to escape by backslashes.
fn like_escape<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(pattern), Value::Text(escape)] = args else { return wrong_kind() };
    let escape = escape_character(escape)?;
    if escape == Some('\\') {
        return Ok(Value::Text(pattern));
    }
    let mut rewritten = room(context, 2 * pattern.len())?;
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

fn escape_character(escape: &str) -> Result<Option<char>, EvalError> {
    let mut characters = escape.chars();
    let escape = characters.next();
    match characters.next() {
        None => Ok(escape),
        Some(_) => Err(EvalError::new(Raise::InvalidEscapeSequence)),
    }
}

/// `SIMILAR TO pattern ESCAPE escape`: the regular expression.
fn similar_to_escape<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (pattern, escape) = match args {
        [Value::Text(pattern)] => (pattern, Some('\\')),
        [Value::Text(pattern), Value::Text(escape)] => (pattern, escape_character(escape)?),
        _ => return wrong_kind(),
    };
    context.reserve(3 * pattern.len() + 32)?;
    Ok(Value::Text(similar::regex(pattern, escape, context.arena())?))
}

/// A function of case for C.UTF-8 and the same for C.
macro_rules! cases {
    ($($name:ident $ascii:ident;)*) => {
        $(cases!(@ $name $name Utf8); cases!(@ $ascii $name Ascii);)*

        /// The function that answers for C instead of C.UTF-8.
        pub(super) fn under_c(name: &str, function: &Function) -> Option<Function> {
            let (name, implementation): (_, Implementation) = match name {
                $(stringify!($name) => (concat!(stringify!($name), " (C)"), $ascii),)*
                _ => return None,
            };
            Some(Function { name, implementation, ..function.clone() })
        }
    };
    (@ $name:ident $does:ident $locale:ident) => {
        fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let [Value::Text(text)] = args else { return wrong_kind() };
            context.reserve(ctype::case_bound(text))?;
            Ok(Value::Text(ctype::$does(Locale::$locale, text, context.arena())))
        }
    };
}

cases! {
    lower lower_ascii;
    upper upper_ascii;
    initcap initcap_ascii;
}

/// Three functions of one or two arguments: both ends, left, right.
macro_rules! trims {
    ($($name:ident $ends:ident;)*) => {
        $(fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let (text, set) = match args {
                [Value::Text(text)] => (text, " "),
                [Value::Text(text), Value::Text(set)] => (text, *set),
                [Value::Bytes(bytes), Value::Bytes(set)] => {
                    context.charge(bytes.len() as u64 * (1 + set.len() as u64) / 64)?;
                    return Ok(Value::Bytes(strings::trim_bytes(bytes, set, Ends::$ends)));
                }
                _ => return wrong_kind(),
            };
            context.charge(text.len() as u64 * (1 + set.len() as u64) / 64)?;
            Ok(Value::Text(strings::trim(text, set, Ends::$ends)))
        })*
    };
}

trims! {
    btrim Both;
    ltrim Left;
    rtrim Right;
}

fn substring<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (text, start, length) = match args {
        [Value::Text(text), Value::Int(start)] => (text, start, None),
        [Value::Text(text), Value::Int(start), Value::Int(length)] => (text, start, Some(*length)),
        _ => return wrong_kind(),
    };
    context.charge(text.len() as u64 / 64)?;
    strings::substring(text, *start, length).map(Value::Text)
}

fn left<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Int(n)] = args else { return wrong_kind() };
    context.charge(text.len() as u64 / 64)?;
    Ok(Value::Text(strings::left(text, *n)))
}

fn right<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Int(n)] = args else { return wrong_kind() };
    context.charge(text.len() as u64 / 64)?;
    // PostgreSQL negates in 32 bits: the least integer stays what it is, and cuts nothing off.
    match *n == i64::from(i32::MIN) {
        true => Ok(Value::Text(text)),
        false => Ok(Value::Text(strings::right(text, *n))),
    }
}

/// To so many characters; `before` says where the filling goes.
fn pad<'a>(context: &mut Context<'a>, args: &[Value<'a>], before: bool) -> Eval<'a> {
    let (text, length, filling) = match args {
        [Value::Text(text), Value::Int(length)] => (text, length, " "),
        [Value::Text(text), Value::Int(length), Value::Text(filling)] => (text, length, *filling),
        _ => return wrong_kind(),
    };
    let length = (*length).max(0);
    context.charge(text.len() as u64 / 64)?;
    let has = text.chars().count() as i64;
    let wanted = if filling.is_empty() { length.min(has) } else { length };
    if 4 * wanted > LARGEST {
        return Err(TOO_LONG);
    }
    let kept = &text[..strings::offset(text, wanted as usize)];
    let missing = (wanted - has).max(0) as usize;
    let widest = filling.chars().map(char::len_utf8).max().unwrap_or(0);
    let mut padded = room(context, kept.len() + missing * widest)?;
    if before {
        strings::fill(&mut padded, filling, missing);
        padded.push_str(kept);
    } else {
        padded.push_str(kept);
        strings::fill(&mut padded, filling, missing);
    }
    Ok(Value::Text(padded.into_bump_str()))
}

fn lpad<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    pad(context, args, true)
}

fn rpad<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    pad(context, args, false)
}

pub(super) fn replace<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(from), Value::Text(to)] = args else {
        return wrong_kind();
    };
    context.charge(1 + text.len() as u64 / 16)?;
    if text.is_empty() || from.is_empty() {
        return Ok(Value::Text(text));
    }
    let found = strings::count(text, from);
    if found == 0 {
        return Ok(Value::Text(text));
    }
    let size = (text.len() - found * from.len()).saturating_add(found.saturating_mul(to.len()));
    context.reserve(size)?;
    Ok(Value::Text(strings::replace(text, from, to, size, context.arena())))
}

pub(super) fn position<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(whole), Value::Text(part)] = args else { return wrong_kind() };
    context.charge(whole.len() as u64 / 16)?;
    Ok(Value::Int(strings::position(whole, part)))
}

fn repeat<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Int(count)] = args else { return wrong_kind() };
    let count = (*count).max(0);
    let size = (text.len() as i64).saturating_mul(count);
    if size > LARGEST {
        return Err(TOO_LONG);
    }
    let mut repeated = room(context, size as usize)?;
    if !text.is_empty() {
        (0..count).for_each(|_| repeated.push_str(text));
    }
    Ok(Value::Text(repeated.into_bump_str()))
}

fn reverse<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text)] = args else { return wrong_kind() };
    let mut reversed = room(context, text.len())?;
    reversed.extend(text.chars().rev());
    Ok(Value::Text(reversed.into_bump_str()))
}

pub(super) fn split_part<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(separator), Value::Int(n)] = args else {
        return wrong_kind();
    };
    if *n == 0 {
        return Err(EvalError::new(Raise::InvalidParameter));
    }
    context.charge(1 + text.len() as u64 / 8)?;
    Ok(Value::Text(strings::split_part(text, separator, *n)))
}

fn translate<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(from), Value::Text(to)] = args else {
        return wrong_kind();
    };
    let each = (from.len() + to.len()) as u64;
    context.charge((text.len() as u64).saturating_mul(1 + each) / 8)?;
    // The replacement of one byte may have four.
    context.reserve(4 * text.len())?;
    Ok(Value::Text(strings::translate(text, from, to, context.arena())))
}

fn ascii<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Text(text)] => {
            Ok(Value::Int(text.chars().next().map_or(0, |c| i64::from(u32::from(c)))))
        }
        _ => wrong_kind(),
    }
}

fn chr<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Int(number)] = args else { return wrong_kind() };
    if *number < 0 {
        return Err(EvalError::new(Raise::InvalidParameter));
    }
    let found = u32::try_from(*number).ok().filter(|number| *number > 0).and_then(char::from_u32);
    let mut buffer = [0; 4];
    join(context, &[found.ok_or(TOO_LONG)?.encode_utf8(&mut buffer)])
}

fn overlay<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (text, new, start, length) = match args {
        [Value::Text(text), Value::Text(new), Value::Int(start)] => {
            (text, new, *start, new.chars().count() as i64)
        }
        [Value::Text(text), Value::Text(new), Value::Int(start), Value::Int(length)] => {
            (text, new, *start, *length)
        }
        _ => return wrong_kind(),
    };
    if start <= 0 {
        return Err(EvalError::new(Raise::Substring));
    }
    let rest = i32::try_from(start + length).map_err(|_| EvalError::new(Raise::OutOfRange))?;
    let before = strings::substring(text, 1, Some(start - 1))?;
    let after = strings::substring(text, i64::from(rest), None)?;
    join(context, &[before, new, after])
}

fn to_hex<'a>(context: &mut Context<'a>, args: &[Value<'a>], mask: u64) -> Eval<'a> {
    let [Value::Int(i)] = args else { return wrong_kind() };
    let bits = i.cast_unsigned() & mask;
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        let digit = char::from_digit((bits >> (4 * (15 - at)) & 15) as u32, 16).unwrap_or('0');
        digits[at] = digit as u8;
        if at == 0 || bits >> (4 * (16 - at)) == 0 {
            break;
        }
    }
    let text = std::str::from_utf8(&digits[at..]).unwrap_or("");
    join(context, &[text])
}

fn to_hex_4<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    to_hex(context, args, u64::from(u32::MAX))
}

fn to_hex_8<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    to_hex(context, args, u64::MAX)
}

/// `concat` of arguments that are text already; `concat_ws` puts the first one between the others.
/// What is not known makes the whole unknown.
fn concat_with<'a>(context: &mut Context<'a>, args: &[Value<'a>], separator: &str) -> Eval<'a> {
    if args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Opaque | Value::Maybe(_))) {
        return Ok(Value::Unknown);
    }
    let parts =
        || args.iter().filter_map(|arg| if let Value::Text(s) = arg { Some(*s) } else { None });
    let size: usize = parts().map(|part| part.len() + separator.len()).sum();
    let mut whole = room(context, size)?;
    for (i, part) in parts().enumerate() {
        if i > 0 {
            whole.push_str(separator);
        }
        whole.push_str(part);
    }
    Ok(Value::Text(whole.into_bump_str()))
}

fn concat<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    concat_with(context, args, "")
}

fn concat_ws<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Null, ..] => Ok(Value::Null),
        [Value::Text(separator), rest @ ..] => concat_with(context, rest, separator),
        [Value::Unknown | Value::Opaque, ..] => Ok(Value::Unknown),
        _ => wrong_kind(),
    }
}

/// The functions that count NULLs among arguments of any type.
pub(crate) fn counting(name: &str) -> Option<Function> {
    let (name, implementation): (_, Implementation) = match name {
        "num_nulls" => ("num_nulls", super::format::num_nulls),
        "num_nonnulls" => ("num_nonnulls", super::format::num_nonnulls),
        _ => return None,
    };
    let volatility = Volatility::Immutable;
    Some(Function { name, volatility, ..lenient(implementation, Type::Int4) })
}

fn lenient(implementation: Implementation, result: Type) -> Function {
    Function {
        name: "",
        implementation,
        result,
        strict: false,
        volatility: Volatility::Stable,
        strategy: crate::expr::Strategy::Plain,
        is_cast: false,
    }
}

/// The functions that take any number of arguments of any type, each by its text form: the name
/// and how many arguments of their own they have, which are text.
pub(crate) fn variadic(name: &str) -> Option<(Function, usize)> {
    let (name, implementation, own): (_, Implementation, usize) = match name {
        "concat" => ("concat", concat, 0),
        "concat_ws" => ("concat_ws", concat_ws, 1),
        "format" => ("format", super::format::format, 1),
        _ => return None,
    };
    let function = Function { name, ..lenient(implementation, Type::Text) };
    Some((function, own))
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    length(Text) -> Int4 = length;
    length(Bpchar) -> Int4 = length;
    char_length(Text) -> Int4 = length;
    char_length(Bpchar) -> Int4 = length;
    character_length(Text) -> Int4 = length;
    character_length(Bpchar) -> Int4 = length;
    textlen(Text) -> Int4 = length;
    octet_length(Text) -> Int4 = octet_length;
    octet_length(Bpchar) -> Int4 = octet_length;
    bit_length(Text) -> Int4 = bit_length;
    like_escape(Text, Text) -> Text = like_escape;
    similar_to_escape(Text) -> Text = similar_to_escape;
    similar_to_escape(Text, Text) -> Text = similar_to_escape;
    lower(Text) -> Text = lower;
    upper(Text) -> Text = upper;
    initcap(Text) -> Text = initcap;
    btrim(Text) -> Text = btrim;
    btrim(Text, Text) -> Text = btrim;
    ltrim(Text) -> Text = ltrim;
    ltrim(Text, Text) -> Text = ltrim;
    rtrim(Text) -> Text = rtrim;
    rtrim(Text, Text) -> Text = rtrim;
    substring(Text, Int4) -> Text = substring;
    substring(Text, Int4, Int4) -> Text = substring;
    substr(Text, Int4) -> Text = substring;
    substr(Text, Int4, Int4) -> Text = substring;
    left(Text, Int4) -> Text = left;
    right(Text, Int4) -> Text = right;
    lpad(Text, Int4) -> Text = lpad;
    lpad(Text, Int4, Text) -> Text = lpad;
    rpad(Text, Int4) -> Text = rpad;
    rpad(Text, Int4, Text) -> Text = rpad;
    replace(Text, Text, Text) -> Text = replace;
    position(Text, Text) -> Int4 = position;
    strpos(Text, Text) -> Int4 = position;
    repeat(Text, Int4) -> Text = repeat;
    reverse(Text) -> Text = reverse;
    split_part(Text, Text, Int4) -> Text = split_part;
    translate(Text, Text, Text) -> Text = translate;
    ascii(Text) -> Int4 = ascii;
    chr(Int4) -> Text = chr;
    overlay(Text, Text, Int4) -> Text = overlay;
    overlay(Text, Text, Int4, Int4) -> Text = overlay;
    to_hex(Int4) -> Text = to_hex_4;
    to_hex(Int8) -> Text = to_hex_8;
};

pub(super) static BYTEA_FUNCTIONS: &[FunctionRow] = functions! {
    octet_length(Bytea) -> Int4 = octet_length;
    length(Bytea) -> Int4 = octet_length;
    bit_length(Bytea) -> Int4 = bit_length;
    btrim(Bytea, Bytea) -> Bytea = btrim;
    ltrim(Bytea, Bytea) -> Bytea = ltrim;
    rtrim(Bytea, Bytea) -> Bytea = rtrim;
};
