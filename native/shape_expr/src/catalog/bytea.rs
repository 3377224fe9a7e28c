//! Operators and functions of bytea (comparison is in `compare`).

use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{FunctionRow, Operator, functions, operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::like::Unit;
use crate::values::{bytea, pattern, strings};
use crate::vm::Context;

type Bytes<'a> = bumpalo::collections::Vec<'a, u8>;

const BAD_PARAMETER: EvalError = EvalError::new(Raise::InvalidParameter);

fn join<'a>(context: &mut Context<'a>, parts: &[&[u8]]) -> Eval<'a> {
    let size = parts.iter().map(|part| part.len()).sum();
    context.reserve(size)?;
    let mut whole = Bytes::with_capacity_in(size, context.arena());
    parts.iter().for_each(|part| whole.extend_from_slice(part));
    Ok(Value::Bytes(whole.into_bump_slice()))
}

fn concatenate<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Bytes(a), Value::Bytes(b)] => join(context, &[a, b]),
        _ => wrong_kind(),
    }
}

fn matches<'a>(context: &mut Context<'a>, args: &[Value<'a>], negated: bool) -> Eval<'a> {
    let [Value::Bytes(bytes), pattern] = args else { return wrong_kind() };
    match pattern::like_value(context, bytes, pattern, Unit::Byte) {
        Some(found) => Ok(Value::Bool(found? != negated)),
        None => wrong_kind(),
    }
}

fn like<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    matches(context, args, false)
}

fn not_like<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    matches(context, args, true)
}

/// `LIKE pattern ESCAPE escape`, by bytes.
fn like_escape<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(pattern), Value::Bytes(escape)] = args else { return wrong_kind() };
    let escape = match escape {
        [] => None,
        [b'\\'] => return Ok(Value::Bytes(pattern)),
        [escape] => Some(*escape),
        _ => return Err(EvalError::new(Raise::InvalidEscapeSequence)),
    };
    context.reserve(2 * pattern.len())?;
    let mut rewritten = Bytes::with_capacity_in(2 * pattern.len(), context.arena());
    let mut escaped = false;
    for &byte in *pattern {
        if Some(byte) == escape && !escaped {
            rewritten.push(b'\\');
            escaped = true;
            continue;
        }
        if byte == b'\\' && !escaped {
            rewritten.push(b'\\');
        }
        rewritten.push(byte);
        escaped = false;
    }
    Ok(Value::Bytes(rewritten.into_bump_slice()))
}

fn substring<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (bytes, start, length) = match args {
        [Value::Bytes(bytes), Value::Int(start)] => (bytes, start, None),
        [Value::Bytes(bytes), Value::Int(start), Value::Int(length)] => {
            (bytes, start, Some(*length))
        }
        _ => return wrong_kind(),
    };
    let (skip, count) = strings::span(*start, length)?;
    let rest = bytes.get(skip..).unwrap_or_default();
    Ok(Value::Bytes(match count {
        Some(count) => &rest[..count.min(rest.len())],
        None => rest,
    }))
}

fn position<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(whole), Value::Bytes(part)] = args else { return wrong_kind() };
    context.charge(whole.len() as u64 / 16)?;
    let found = memchr::memmem::find(whole, part);
    Ok(Value::Int(found.map_or(0, |at| at as i64 + 1)))
}

fn overlay<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (bytes, new, start, length) = match args {
        [Value::Bytes(bytes), Value::Bytes(new), Value::Int(start)] => {
            (bytes, new, *start, new.len() as i64)
        }
        [Value::Bytes(bytes), Value::Bytes(new), Value::Int(start), Value::Int(length)] => {
            (bytes, new, *start, *length)
        }
        _ => return wrong_kind(),
    };
    if start <= 0 {
        return Err(EvalError::new(Raise::Substring));
    }
    let rest = i32::try_from(start + length).map_err(|_| EvalError::new(Raise::OutOfRange))?;
    let before = &bytes[..bytes.len().min(start as usize - 1)];
    let after = bytes.get(rest.max(1) as usize - 1..).unwrap_or_default();
    join(context, &[before, new, after])
}

fn get_byte<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Int(at)] = args else { return wrong_kind() };
    match usize::try_from(*at).ok().and_then(|at| bytes.get(at)) {
        Some(byte) => Ok(Value::Int(i64::from(*byte))),
        None => Err(EvalError::new(Raise::ArraySubscriptRange)),
    }
}

fn set_byte<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Int(at), Value::Int(new)] = args else { return wrong_kind() };
    match usize::try_from(*at).ok().filter(|at| *at < bytes.len()) {
        Some(at) => join(context, &[&bytes[..at], &[*new as u8], &bytes[at + 1..]]),
        None => Err(EvalError::new(Raise::ArraySubscriptRange)),
    }
}

/// The byte and the bit in it, the lowest first.
fn bit(bytes: &[u8], at: i64) -> Result<(usize, u32), EvalError> {
    let found = usize::try_from(at / 8).ok().filter(|byte| at >= 0 && *byte < bytes.len());
    let byte = found.ok_or(EvalError::new(Raise::ArraySubscriptRange))?;
    Ok((byte, (at % 8) as u32))
}

fn get_bit<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Int(at)] = args else { return wrong_kind() };
    let (byte, bit) = bit(bytes, *at)?;
    Ok(Value::Int(i64::from(bytes[byte] >> bit & 1)))
}

fn set_bit<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Int(at), Value::Int(new)] = args else { return wrong_kind() };
    let (at, bit) = bit(bytes, *at)?;
    let new = u8::try_from(*new).ok().filter(|new| *new <= 1).ok_or(BAD_PARAMETER)?;
    let byte = bytes[at] & !(1 << bit) | new << bit;
    join(context, &[&bytes[..at], &[byte], &bytes[at + 1..]])
}

#[derive(Clone, Copy)]
enum Encoding {
    Hex,
    Base64,
    Escape,
}

fn encoding(name: &str) -> Result<Encoding, EvalError> {
    let known =
        [("hex", Encoding::Hex), ("base64", Encoding::Base64), ("escape", Encoding::Escape)];
    let found = known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, encoding)| encoding).ok_or(BAD_PARAMETER)
}

fn encode<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Text(name)] = args else { return wrong_kind() };
    let encoding = encoding(name)?;
    context.reserve(4 * bytes.len() + 8)?;
    Ok(Value::Text(match encoding {
        Encoding::Hex => &bytea::output(bytes, context.arena())[2..],
        Encoding::Base64 => bytea::to_base64(bytes, context.arena()),
        Encoding::Escape => bytea::to_escaped(bytes, context.arena()),
    }))
}

fn decode<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(name)] = args else { return wrong_kind() };
    let encoding = encoding(name)?;
    context.reserve(text.len() + 8)?;
    let bytes = match encoding {
        Encoding::Hex => bytea::from_hex(text, context.arena())?,
        Encoding::Base64 => bytea::from_base64(text, context.arena())?,
        Encoding::Escape => bytea::from_escaped(text, Raise::InvalidText, context.arena())?,
    };
    Ok(Value::Bytes(bytes))
}

fn md5<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let bytes = match args {
        [Value::Text(text)] => text.as_bytes(),
        [Value::Bytes(bytes)] => bytes,
        _ => return wrong_kind(),
    };
    context.charge(8 + bytes.len() as u64 / 16)?;
    let mut text = bumpalo::collections::String::with_capacity_in(32, context.arena());
    bytea::push_hex(&mut text, &Md5::digest(bytes));
    Ok(Value::Text(text.into_bump_str()))
}

fn sha<'a, D: Digest>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes)] = args else { return wrong_kind() };
    context.charge(16 + bytes.len() as u64 / 8)?;
    join(context, &[&D::digest(bytes)])
}

/// The encodings that PostgreSQL knows by these names besides UTF-8.
const ENCODINGS: &[&str] = &[
    "abc",
    "alt",
    "big5",
    "euccn",
    "eucjis2004",
    "eucjp",
    "euckr",
    "euctw",
    "gb18030",
    "gbk",
    "iso88591",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "johab",
    "koi8",
    "koi8r",
    "koi8u",
    "latin1",
    "latin10",
    "latin2",
    "latin3",
    "latin4",
    "latin5",
    "latin6",
    "latin7",
    "latin8",
    "latin9",
    "mskanji",
    "muleinternal",
    "shiftjis",
    "shiftjis2004",
    "sjis",
    "sqlascii",
    "tcvn",
    "tcvn5712",
    "uhc",
    "vscii",
    "win",
    "win1250",
    "win1251",
    "win1252",
    "win1253",
    "win1254",
    "win1255",
    "win1256",
    "win1257",
    "win1258",
    "win866",
    "win874",
    "win932",
    "win936",
    "win949",
    "win950",
    "windows1250",
    "windows1251",
    "windows1252",
    "windows1253",
    "windows1254",
    "windows1255",
    "windows1256",
    "windows1257",
    "windows1258",
    "windows866",
    "windows874",
    "windows932",
    "windows936",
    "windows949",
    "windows950",
];

/// `length(bytes, encoding)`: of the encodings only the database's own is known here.
fn length_in<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Text(name)] = args else { return wrong_kind() };
    let plain = |c: &char| c.is_ascii_alphanumeric();
    let name = name.chars().filter(plain).map(|c| c.to_ascii_lowercase());
    if !name.clone().eq("utf8".chars()) && !name.clone().eq("unicode".chars()) {
        let known = ENCODINGS.iter().any(|known| name.clone().eq(known.chars()));
        return Err(if known { EvalError::new(Raise::NotSupported) } else { BAD_PARAMETER });
    }
    context.charge(bytes.len() as u64 / 16)?;
    match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => Ok(Value::Int(text.chars().count() as i64)),
        _ => Err(EvalError::new(Raise::InvalidEncoding)),
    }
}

fn bit_count<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes)] = args else { return wrong_kind() };
    context.charge(bytes.len() as u64 / 16)?;
    Ok(Value::Int(bytes.iter().map(|byte| i64::from(byte.count_ones())).sum()))
}

pub(super) static OPERATORS: &[&[Operator]] = &[operators! {
    Bytea "||" Bytea -> Bytea = concatenate;
    Bytea "~~" Bytea -> Bool = like;
    Bytea "!~~" Bytea -> Bool = not_like;
}];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    like_escape(Bytea, Bytea) -> Bytea = like_escape;
    substring(Bytea, Int4) -> Bytea = substring;
    substring(Bytea, Int4, Int4) -> Bytea = substring;
    substr(Bytea, Int4) -> Bytea = substring;
    substr(Bytea, Int4, Int4) -> Bytea = substring;
    position(Bytea, Bytea) -> Int4 = position;
    overlay(Bytea, Bytea, Int4) -> Bytea = overlay;
    overlay(Bytea, Bytea, Int4, Int4) -> Bytea = overlay;
    get_byte(Bytea, Int4) -> Int4 = get_byte;
    set_byte(Bytea, Int4, Int4) -> Bytea = set_byte;
    get_bit(Bytea, Int8) -> Int4 = get_bit;
    set_bit(Bytea, Int8, Int4) -> Bytea = set_bit;
    encode(Bytea, Text) -> Text = encode;
    decode(Text, Text) -> Bytea = decode;
    md5(Text) -> Text = md5;
    md5(Bytea) -> Text = md5;
    sha224(Bytea) -> Bytea = sha::<Sha224>;
    sha256(Bytea) -> Bytea = sha::<Sha256>;
    sha384(Bytea) -> Bytea = sha::<Sha384>;
    sha512(Bytea) -> Bytea = sha::<Sha512>;
    bit_count(Bytea) -> Int8 = bit_count;
};

/// The function that depends on the encodings PostgreSQL knows: stable rather than immutable.
pub(super) static STABLE: &[FunctionRow] = &[FunctionRow {
    name: "length",
    args: &[Type::Bytea, Type::Name],
    result: Type::Int4,
    implementation: length_in,
    strict: true,
    volatility: crate::expr::Volatility::Stable,
}];
