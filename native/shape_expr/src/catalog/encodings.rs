//! Encodings: text from and to bytes in them. PostgreSQL has many; here are UTF-8 and LATIN1, and a
//! clause that names another is refused. So is one that does not name it, since nobody knows then.

use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::{FunctionRow, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::Volatility;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::vm::Context;

const BAD_PARAMETER: EvalError = EvalError::new(Raise::InvalidParameter);

/// The arguments of a function that name encodings.
pub(crate) fn encoding_arguments(name: &str, args: usize) -> &'static [usize] {
    match (name, args) {
        ("convert_from" | "convert_to" | "length", 2) => &[1],
        ("convert", 3) => &[1, 2],
        _ => &[],
    }
}

/// Is it known here, or unknown to PostgreSQL too, which then raises?
pub(crate) fn is_known_encoding(name: &str) -> bool {
    !encoding(name).is_err_and(|error| error.raise() == Raise::NotSupported)
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

/// `length(bytes, encoding)`.
fn length_in<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bytes(bytes), Value::Text(name)] = args else { return wrong_kind() };
    let encoding = encoding(name)?;
    context.charge(bytes.len() as u64 / 16)?;
    if bytes.contains(&0) {
        return Err(EvalError::new(Raise::InvalidEncoding));
    }
    match (encoding, std::str::from_utf8(bytes)) {
        (Encoding::Latin1, _) => Ok(Value::Int(bytes.len() as i64)),
        (Encoding::Utf8, Ok(text)) => Ok(Value::Int(text.chars().count() as i64)),
        (Encoding::Utf8, Err(_)) => Err(EvalError::new(Raise::InvalidEncoding)),
    }
}

macro_rules! stable {
    ($($name:ident($($arg:ident),*) -> $result:ident = $implementation:ident;)*) => {
        &[$(FunctionRow {
            name: stringify!($name),
            args: &[$(Type::$arg),*],
            result: Type::$result,
            implementation: $implementation,
            strict: true,
            volatility: Volatility::Stable,
        }),*]
    };
}

/// They depend on the conversions PostgreSQL knows.
pub(super) static STABLE: &[FunctionRow] = stable! {
    convert_from(Bytea, Name) -> Text = convert_from;
    convert_to(Text, Name) -> Bytea = convert_to;
    convert(Bytea, Name, Name) -> Bytea = convert;
    length(Bytea, Name) -> Int4 = length_in;
};
