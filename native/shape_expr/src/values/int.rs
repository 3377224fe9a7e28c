//! int2, int4, int8: one kind of value, three widths.

use crate::error::{EvalError, Raise};
use crate::types::Type;

/// A width of integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    Two,
    Four,
    Eight,
}

/// The value if it fits the width.
#[inline]
pub(crate) fn fit(i: i64, width: Width) -> Result<i64, EvalError> {
    let fits = match width {
        Width::Two => i16::try_from(i).is_ok(),
        Width::Four => i32::try_from(i).is_ok(),
        Width::Eight => true,
    };
    if fits { Ok(i) } else { Err(EvalError::new(Raise::OutOfRange)) }
}

/// Sign and up to 18 digits, nothing else: what PostgreSQL prints, but for the very longest.
pub(crate) fn parse_plain(bytes: &[u8], ty: &Type) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    let value = if negative { -value } else { value };
    let width = match ty {
        Type::Int2 => Width::Two,
        Type::Int4 => Width::Four,
        _ => Width::Eight,
    };
    fit(value, width).ok()
}

/// The input function: blanks around, an optional sign, decimal digits.
pub(crate) fn parse(text: &str, width: Width) -> Result<i64, EvalError> {
    let word = super::text::trim_space(text).as_bytes();
    let (negative, digits) = match word {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, word),
    };
    if digits.is_empty() {
        return Err(EvalError::new(Raise::InvalidText));
    }
    // Counted downwards, since the most negative number has no positive twin. PostgreSQL reports
    // overflow as soon as it meets it, so what follows the digit that overflowed does not matter.
    let mut value = 0i64;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(EvalError::new(Raise::InvalidText));
        }
        let digit = i64::from(byte - b'0');
        let next = value.checked_mul(10).and_then(|v| v.checked_sub(digit));
        value = match next {
            Some(v) if v >= floor(width) => v,
            _ => return Err(EvalError::new(Raise::OutOfRange)),
        };
    }
    if negative {
        return Ok(value);
    }
    let value = value.checked_neg().ok_or(EvalError::new(Raise::OutOfRange))?;
    fit(value, width)
}

fn floor(width: Width) -> i64 {
    match width {
        Width::Two => i64::from(i16::MIN),
        Width::Four => i64::from(i32::MIN),
        Width::Eight => i64::MIN,
    }
}
