//! oid: an unsigned int4.

use crate::error::{EvalError, Raise};

/// The input function: C's `strtoul`, a negative number counting from the end.
pub(crate) fn parse(text: &str) -> Result<i64, EvalError> {
    let bad = EvalError::new(Raise::InvalidText);
    let word = super::text::trim_space(text);
    let (negative, digits) = match word.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    let mut value = 0i64;
    for digit in digits {
        value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    // What fits neither an unsigned nor a signed int4 does not fit.
    match (negative, value) {
        (false, 0..=0xffff_ffff) => Ok(value),
        (true, 0..=0x8000_0000) => Ok(from_int4(-value)),
        _ => Err(EvalError::new(Raise::OutOfRange)),
    }
}

/// The bits of an int4, unsigned.
pub(crate) fn from_int4(i: i64) -> i64 {
    i & 0xffff_ffff
}
