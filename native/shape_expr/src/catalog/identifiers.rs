//! Text from and to what is not text: escapes, identifiers, encodings.

use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::Volatility;
use crate::types::Type;
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

/// Encodings that are known here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Latin1,
}

/// PostgreSQL's other encodings, as their names are compared: letters and digits alone.
const OTHERS: &[&str] = &[
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
    "iso88592",
    "iso88593",
    "iso88594",
    "iso88595",
    "iso88596",
    "iso88597",
    "iso88598",
    "iso88599",
    "iso885910",
    "iso885913",
    "iso885914",
    "iso885915",
    "iso885916",
    "johab",
    "koi8",
    "koi8r",
    "koi8u",
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

fn encoding(name: &str) -> Result<Encoding, EvalError> {
    let same = |known: &str| {
        let plain = name.chars().filter(char::is_ascii_alphanumeric);
        plain.map(|c| c.to_ascii_lowercase()).eq(known.chars())
    };
    if same("utf8") || same("unicode") {
        Ok(Encoding::Utf8)
    } else if same("latin1") || same("iso88591") {
        Ok(Encoding::Latin1)
    } else if OTHERS.iter().any(|known| same(known)) {
        Err(EvalError::new(Raise::NotSupported))
    } else {
        Err(BAD_PARAMETER)
    }
}

/// The text that these bytes are.
fn text<'a>(
    context: &mut Context<'a>,
    bytes: &'a [u8],
    encoding: Encoding,
) -> Result<&'a str, EvalError> {
    let invalid = EvalError::new(Raise::InvalidEncoding);
    context.reserve(2 * bytes.len())?;
    if bytes.contains(&0) {
        return Err(invalid);
    }
    if encoding == Encoding::Utf8 {
        return std::str::from_utf8(bytes).map_err(|_| invalid);
    }
    let mut text = BumpString::with_capacity_in(2 * bytes.len(), context.arena());
    text.extend(bytes.iter().map(|byte| char::from(*byte)));
    Ok(text.into_bump_str())
}

fn bytes<'a>(
    context: &mut Context<'a>,
    text: &'a str,
    encoding: Encoding,
) -> Result<&'a [u8], EvalError> {
    if encoding == Encoding::Utf8 {
        return Ok(text.as_bytes());
    }
    context.reserve(text.len())?;
    let mut bytes = BumpVec::with_capacity_in(text.len(), context.arena());
    for c in text.chars() {
        let byte = u8::try_from(u32::from(c));
        bytes.push(byte.map_err(|_| EvalError::new(Raise::UntranslatableCharacter))?);
    }
    Ok(bytes.into_bump_slice())
}

fn convert_from<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Text(from)] = args else { return wrong_kind() };
    let from = encoding(from)?;
    text(context, bytes, from).map(Value::Text)
}

fn convert_to<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(to)] = args else { return wrong_kind() };
    let to = encoding(to)?;
    bytes(context, text, to).map(Value::Bytes)
}

fn convert<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(from), Value::Text(source), Value::Text(target)] = args else {
        return wrong_kind();
    };
    let (source, target) = (encoding(source)?, encoding(target)?);
    let text = text(context, from, source)?;
    bytes(context, text, target).map(Value::Bytes)
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    unistr(Text) -> Text = unistr;
    parse_ident(Text, Bool) -> TEXT_ARRAY = parse_ident;
};

macro_rules! stable {
    ($($name:ident($($arg:ident),*) -> $result:ident;)*) => {
        &[$(FunctionRow {
            name: stringify!($name),
            args: &[$(Type::$arg),*],
            result: Type::$result,
            implementation: $name,
            strict: true,
            volatility: Volatility::Stable,
        }),*]
    };
}

/// They depend on the conversions PostgreSQL knows.
pub(super) static STABLE: &[FunctionRow] = stable! {
    convert_from(Bytea, Name) -> Text;
    convert_to(Text, Name) -> Bytea;
    convert(Bytea, Name, Name) -> Bytea;
};
