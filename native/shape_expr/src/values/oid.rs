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
    let out_of_range = EvalError::new(Raise::OutOfRange);
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if digits.is_empty() {
        return Err(bad);
    }
    // Overflow is reported whatever follows the digits.
    let mut value = 0u64;
    for digit in digits {
        let next = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0')));
        value = next.ok_or(out_of_range)?;
    }
    if !rest.is_empty() {
        return Err(bad);
    }
    let value = if negative { value.wrapping_neg() } else { value };
    // What fits neither an unsigned nor a signed int4 does not fit.
    let signed = value as i64;
    match u32::try_from(value).is_ok() || (signed < 0 && i32::try_from(signed).is_ok()) {
        true => Ok(from_int4(signed)),
        false => Err(out_of_range),
    }
}

/// The bits of an int4, unsigned.
pub(crate) fn from_int4(i: i64) -> i64 {
    i & 0xffff_ffff
}
