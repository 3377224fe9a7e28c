//! numeric's text form, in and out.

use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use smallvec::SmallVec;

use super::numeric::{DEC_DIGITS, Kind, Numeric, NumericVar};
use super::text::{is_space, trim_space};
use crate::error::{EvalError, Raise};

/// numeric_in: digits with an optional point and exponent, or NaN, Infinity, inf.
pub(crate) fn parse(text: &str) -> Result<NumericVar, EvalError> {
    let bad = EvalError::new(Raise::InvalidText);
    let word = trim_space(text);
    if word.eq_ignore_ascii_case("nan") {
        return Ok(NumericVar::special(Kind::NaN));
    }
    let (negative, body) = match word.as_bytes().first() {
        Some(b'-') => (true, &word[1..]),
        Some(b'+') => (false, &word[1..]),
        _ => (false, word),
    };
    if body.eq_ignore_ascii_case("infinity") || body.eq_ignore_ascii_case("inf") {
        let kind = if negative { Kind::NegativeInfinity } else { Kind::Infinity };
        return Ok(NumericVar::special(kind));
    }
    let bytes = body.as_bytes();
    // The digits as such, and how many of them stand before the point.
    let mut decimals: SmallVec<[u8; 64]> = SmallVec::new();
    let mut before_point = None;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => decimals.push(byte - b'0'),
            b'.' if before_point.is_none() => before_point = Some(decimals.len()),
            _ => break,
        }
        at += 1;
    }
    // The first thing, or the first thing after a leading point, must be a digit.
    let first = usize::from(bytes.first() == Some(&b'.'));
    if !bytes.get(first).is_some_and(u8::is_ascii_digit) {
        return Err(bad);
    }
    let before_point = before_point.unwrap_or(decimals.len());
    let mut scale = (decimals.len() - before_point) as i64;
    let mut point = before_point as i64;
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let exponent = exponent(&bytes[at + 1..])?;
        point += exponent;
        scale = (scale - exponent).max(0);
        at = bytes.len();
    }
    if at != bytes.len() {
        return Err(bad);
    }
    let kind = if negative { Kind::Negative } else { Kind::Positive };
    build(kind, &decimals, point, scale)
}

fn exponent(bytes: &[u8]) -> Result<i64, EvalError> {
    let bad = EvalError::new(Raise::InvalidText);
    // strtol skips white space.
    let skip = bytes.iter().take_while(|b| is_space(**b)).count();
    let (negative, digits) = match &bytes[skip..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(bad);
    }
    let value = digits.iter().fold(0i64, |v, d| (v * 10 + i64::from(d - b'0')).min(1 << 40));
    // PostgreSQL's INT_MAX / 2.
    if value >= 1_073_741_823 {
        return Err(EvalError::new(Raise::OutOfRange));
    }
    Ok(if negative { -value } else { value })
}

/// Groups decimal digits by four around the point.
fn build(kind: Kind, decimals: &[u8], point: i64, scale: i64) -> Result<NumericVar, EvalError> {
    let overflow = EvalError::new(Raise::OutOfRange);
    let scale = i32::try_from(scale).map_err(|_| overflow)?;
    let leading = decimals.iter().take_while(|d| **d == 0).count();
    let decimals = &decimals[leading..];
    let point = point - leading as i64;
    if decimals.is_empty() {
        let var = NumericVar::zero(scale);
        return if scale < 0x4000 { Ok(var) } else { Err(overflow) };
    }
    // The first digit holds `point mod 4` decimals (four when that is nothing).
    let step = i64::from(DEC_DIGITS);
    let weight = (point - 1).div_euclid(step);
    let mut room = point - weight * step;
    let mut digits: SmallVec<[i16; 16]> = SmallVec::new();
    let mut digit = 0i16;
    for &decimal in decimals {
        digit = digit * 10 + i16::from(decimal);
        room -= 1;
        if room == 0 {
            digits.push(digit);
            digit = 0;
            room = step;
        }
    }
    if room != step {
        for _ in 0..room {
            digit *= 10;
        }
        digits.push(digit);
    }
    let weight = i32::try_from(weight).map_err(|_| overflow)?;
    let mut var = NumericVar { kind, weight, scale, digits };
    var.strip();
    if i16::try_from(var.weight).is_err() || scale >= 0x4000 {
        return Err(overflow);
    }
    Ok(var)
}

/// numeric_out.
pub(crate) fn output(n: Numeric<'_>) -> String {
    let mut text = String::new();
    // A string takes everything.
    let _ = write(n, &mut text);
    text
}

/// The same into the arena.
pub(crate) fn output_in<'a>(n: Numeric<'_>, arena: &'a Bump) -> &'a str {
    let size = n.scale().max(0) as usize + 4 * n.weight().max(0) as usize + 8;
    let mut text = BumpString::with_capacity_in(size, arena);
    let _ = write(n, &mut text);
    text.into_bump_str()
}

/// The same to wherever text goes.
pub(crate) fn write(n: Numeric<'_>, text: &mut impl fmt::Write) -> fmt::Result {
    match n.kind() {
        Kind::NaN => return text.write_str("NaN"),
        Kind::Infinity => return text.write_str("Infinity"),
        Kind::NegativeInfinity => return text.write_str("-Infinity"),
        Kind::Positive | Kind::Negative => {}
    }
    let digit = |power: i32| -> i16 {
        let at = n.weight() - power;
        usize::try_from(at).ok().and_then(|at| n.digits().get(at)).copied().unwrap_or(0)
    };
    if n.kind() == Kind::Negative {
        text.write_char('-')?;
    }
    if n.weight() < 0 || n.is_zero() {
        text.write_char('0')?;
    } else {
        let first = decimals(digit(n.weight()));
        let zeros = first.iter().take(3).take_while(|d| **d == b'0').count();
        put(&first[zeros..], text)?;
        for power in (0..n.weight()).rev() {
            put(&decimals(digit(power)), text)?;
        }
    }
    if n.scale() > 0 {
        text.write_char('.')?;
        let mut left = n.scale() as usize;
        let mut power = -1;
        while left > 0 {
            let shown = left.min(DEC_DIGITS as usize);
            put(&decimals(digit(power))[..shown], text)?;
            left -= shown;
            power -= 1;
        }
    }
    Ok(())
}

/// The four decimals of a digit.
fn decimals(digit: i16) -> [u8; 4] {
    [1000, 100, 10, 1].map(|unit| b'0' + (digit / unit % 10) as u8)
}

fn put(decimals: &[u8], text: &mut impl fmt::Write) -> fmt::Result {
    decimals.iter().try_for_each(|decimal| text.write_char(char::from(*decimal)))
}
