//! uuid.

use crate::error::{EvalError, Raise};

/// PostgreSQL's uuid_in: 32 hexadecimal digits, a hyphen allowed after every fourth, braces around.
pub(crate) fn parse(text: &str) -> Result<[u8; 16], EvalError> {
    let bad = EvalError::new(Raise::InvalidText);
    let bytes = text.as_bytes();
    let bytes = match bytes {
        [b'{', inner @ .., b'}'] => inner,
        [b'{', ..] => return Err(bad),
        _ => bytes,
    };
    let mut uuid = [0u8; 16];
    let mut rest = bytes;
    for (i, byte) in uuid.iter_mut().enumerate() {
        let [high, low, tail @ ..] = rest else { return Err(bad) };
        *byte = hex(*high).ok_or(bad)? << 4 | hex(*low).ok_or(bad)?;
        rest = match tail {
            [b'-', after @ ..] if i % 2 == 1 && i < 15 => after,
            _ => tail,
        };
    }
    if rest.is_empty() { Ok(uuid) } else { Err(bad) }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Eight-four-four-four-twelve.
pub(crate) fn output(uuid: &[u8; 16]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(36);
    for (i, byte) in uuid.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}
