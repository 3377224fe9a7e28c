//! bytea: hex and escape forms, and the encodings of `encode` and `decode`.

use bumpalo::Bump;
use bumpalo::collections::{String, Vec};

use super::text::is_space;
use crate::error::{EvalError, Raise};

type Bytes<'a> = Result<&'a [u8], EvalError>;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// bytea's input function: `\x` and hex digits, or text with escapes.
pub(crate) fn parse<'a>(text: &'a str, arena: &'a Bump) -> Bytes<'a> {
    match text.strip_prefix("\\x") {
        Some(digits) => from_hex(digits, arena),
        None => from_escaped(text, Raise::InvalidText, arena),
    }
}

/// bytea's output function, in the hex form.
pub(crate) fn output<'a>(bytes: &[u8], arena: &'a Bump) -> &'a str {
    let mut text = String::with_capacity_in(2 * bytes.len() + 2, arena);
    text.push_str("\\x");
    push_hex(&mut text, bytes);
    text.into_bump_str()
}

pub(crate) fn push_hex(text: &mut String<'_>, bytes: &[u8]) {
    for byte in bytes {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

/// Hex digits in pairs, white space between pairs.
pub(crate) fn from_hex<'a>(text: &str, arena: &'a Bump) -> Bytes<'a> {
    const BAD: EvalError = EvalError::new(Raise::InvalidParameter);
    let mut bytes = Vec::with_capacity_in(text.len() / 2, arena);
    let mut rest = text.bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    while let Some(byte) = rest.next() {
        if matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
            continue;
        }
        let high = digit(byte).ok_or(BAD)?;
        let low = rest.next().and_then(digit).ok_or(BAD)?;
        bytes.push(high << 4 | low);
    }
    Ok(bytes.into_bump_slice())
}

/// `\\` is a backslash, `\ooo` an octal byte, everything else itself.
pub(crate) fn from_escaped<'a>(text: &'a str, raise: Raise, arena: &'a Bump) -> Bytes<'a> {
    let text = text.as_bytes();
    if !text.contains(&b'\\') {
        return Ok(text);
    }
    let mut bytes = Vec::with_capacity_in(text.len(), arena);
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(bytes.into_bump_slice()),
            [b'\\', b'\\', rest @ ..] => {
                bytes.push(b'\\');
                rest
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest
            }
            [b'\\', ..] => return Err(EvalError::new(raise)),
            [byte, rest @ ..] => {
                bytes.push(*byte);
                rest
            }
        };
    }
}

/// `encode(bytes, 'escape')`.
pub(crate) fn to_escaped<'a>(bytes: &[u8], arena: &'a Bump) -> &'a str {
    let mut text = String::with_capacity_in(4 * bytes.len(), arena);
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            0 | 0x80.. => {
                text.push('\\');
                for shift in [6, 3, 0] {
                    text.push(char::from(b'0' + (byte >> shift & 7)));
                }
            }
            byte => text.push(char::from(byte)),
        }
    }
    text.into_bump_str()
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `encode(bytes, 'base64')`: a line ends after 76 characters.
pub(crate) fn to_base64<'a>(bytes: &[u8], arena: &'a Bump) -> &'a str {
    let mut text = String::with_capacity_in(bytes.len() / 3 * 4 + bytes.len() / 57 + 8, arena);
    let mut column = 0;
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            match at <= group.len() {
                true => text.push(char::from(BASE64[(bits >> shift & 63) as usize])),
                false => text.push('='),
            }
        }
        column += 4;
        // A last, incomplete group does not end its line.
        if column == 76 && group.len() == 3 {
            text.push('\n');
            column = 0;
        }
    }
    text.into_bump_str()
}

/// `decode(text, 'base64')`.
pub(crate) fn from_base64<'a>(text: &str, arena: &'a Bump) -> Bytes<'a> {
    const BAD: EvalError = EvalError::new(Raise::InvalidParameter);
    let mut bytes = Vec::with_capacity_in(text.len() / 4 * 3 + 3, arena);
    let (mut bits, mut at, mut end) = (0_u32, 0, 0);
    for byte in text.bytes() {
        if is_space(byte) && byte != 0x0b && byte != 0x0c {
            continue;
        }
        let value = if byte == b'=' {
            // The end: padding where it may be.
            if end == 0 {
                end = match at {
                    2 => 1,
                    3 => 2,
                    _ => return Err(BAD),
                };
            }
            0
        } else {
            let value = BASE64.iter().position(|known| *known == byte).ok_or(BAD)?;
            value as u32
        };
        bits = bits << 6 | value;
        at += 1;
        if at == 4 {
            bytes.push((bits >> 16) as u8);
            if end == 0 || end > 1 {
                bytes.push((bits >> 8) as u8);
            }
            if end == 0 || end > 2 {
                bytes.push(bits as u8);
            }
            (bits, at) = (0, 0);
        }
    }
    if at != 0 { Err(BAD) } else { Ok(bytes.into_bump_slice()) }
}
