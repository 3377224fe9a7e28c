//! Arithmetic and rounding of numeric, as numeric.c does it.

use std::cmp::Ordering;

use smallvec::{SmallVec, smallvec};

use super::numeric::{BASE, DEC_DIGITS, Kind, Numeric, NumericVar};
use super::numeric_text;
use crate::error::{EvalError, Raise};

/// numeric.c's NUMERIC_MIN_SIG_DIGITS and NUMERIC_MAX_DISPLAY_SCALE.
pub(crate) const MIN_SIGNIFICANT: i32 = 16;
pub(crate) const MAX_DISPLAY_SCALE: i32 = 1000;
const MAX_SCALE: i32 = 0x3fff;

pub(crate) fn is_finite(v: &NumericVar) -> bool {
    matches!(v.kind, Kind::Positive | Kind::Negative)
}

/// -1, 0 or 1, for infinities too.
pub(crate) fn sign(v: &NumericVar) -> i32 {
    match v.kind {
        Kind::Positive if v.digits.is_empty() => 0,
        Kind::Positive | Kind::Infinity => 1,
        Kind::Negative | Kind::NegativeInfinity => -1,
        Kind::NaN => 0,
    }
}

pub(crate) fn infinity(sign: i32) -> NumericVar {
    NumericVar::special(if sign < 0 { Kind::NegativeInfinity } else { Kind::Infinity })
}

pub(crate) fn nan() -> NumericVar {
    NumericVar::special(Kind::NaN)
}

pub(crate) fn negate(v: &NumericVar) -> NumericVar {
    let kind = match v.kind {
        Kind::Positive if v.digits.is_empty() => Kind::Positive,
        Kind::Positive => Kind::Negative,
        Kind::Negative => Kind::Positive,
        Kind::Infinity => Kind::NegativeInfinity,
        Kind::NegativeInfinity => Kind::Infinity,
        Kind::NaN => Kind::NaN,
    };
    NumericVar { kind, ..v.clone() }
}

/// The digit that stands for this power of 10,000.
fn digit(v: &NumericVar, power: i32) -> i32 {
    usize::try_from(v.weight - power)
        .ok()
        .and_then(|at| v.digits.get(at))
        .map_or(0, |digit| i32::from(*digit))
}

pub(crate) fn compare_magnitude(a: &NumericVar, b: &NumericVar) -> Ordering {
    match (a.digits.is_empty(), b.digits.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        _ => a.weight.cmp(&b.weight).then_with(|| a.digits.cmp(&b.digits)),
    }
}

/// |a| + |b| or, for |a| >= |b|, |a| - |b|.
fn magnitudes(a: &NumericVar, b: &NumericVar, subtract: bool) -> NumericVar {
    let low = |v: &NumericVar| v.weight + 1 - v.digits.len() as i32;
    let bottom = match (a.digits.is_empty(), b.digits.is_empty()) {
        (true, true) => return NumericVar::zero(a.scale.max(b.scale)),
        (true, false) => low(b),
        (false, true) => low(a),
        (false, false) => low(a).min(low(b)),
    };
    let top = a.weight.max(b.weight) + 1;
    let count = (top - bottom + 1).max(1) as usize;
    let mut digits: SmallVec<[i16; 16]> = smallvec![0; count];
    let mut carry = 0;
    for (at, slot) in digits.iter_mut().enumerate().rev() {
        let power = top - at as i32;
        let other = digit(b, power);
        let sum = digit(a, power) + if subtract { -other } else { other } + carry;
        *slot = sum.rem_euclid(BASE) as i16;
        carry = sum.div_euclid(BASE);
    }
    let mut result =
        NumericVar { kind: Kind::Positive, weight: top, scale: a.scale.max(b.scale), digits };
    result.strip();
    result
}

pub(crate) fn add(a: &NumericVar, b: &NumericVar) -> NumericVar {
    if !is_finite(a) || !is_finite(b) {
        return match (is_finite(a), is_finite(b)) {
            _ if a.kind == Kind::NaN || b.kind == Kind::NaN => nan(),
            (true, _) => b.clone(),
            (_, true) => a.clone(),
            _ if a.kind == b.kind => a.clone(),
            _ => nan(),
        };
    }
    if a.kind == b.kind {
        let mut sum = magnitudes(a, b, false);
        if !sum.digits.is_empty() {
            sum.kind = a.kind;
        }
        return sum;
    }
    let (larger, smaller) = match compare_magnitude(a, b) {
        Ordering::Less => (b, a),
        _ => (a, b),
    };
    let mut difference = magnitudes(larger, smaller, true);
    if !difference.digits.is_empty() {
        difference.kind = larger.kind;
    }
    difference
}

pub(crate) fn multiply(a: &NumericVar, b: &NumericVar) -> NumericVar {
    if !is_finite(a) || !is_finite(b) {
        let sign = sign(a) * sign(b);
        return if a.kind == Kind::NaN || b.kind == Kind::NaN || sign == 0 {
            nan()
        } else {
            infinity(sign)
        };
    }
    let scale = a.scale + b.scale;
    let mut product = if a.digits.is_empty() || b.digits.is_empty() {
        NumericVar::zero(scale)
    } else {
        let mut sums = vec![0i64; a.digits.len() + b.digits.len()];
        for (i, x) in a.digits.iter().enumerate() {
            for (j, y) in b.digits.iter().enumerate() {
                sums[i + j + 1] += i64::from(*x) * i64::from(*y);
            }
        }
        let mut carry = 0;
        let mut digits: SmallVec<[i16; 16]> = smallvec![0; sums.len()];
        for (slot, sum) in digits.iter_mut().zip(&sums).rev() {
            let total = sum + carry;
            *slot = (total % i64::from(BASE)) as i16;
            carry = total / i64::from(BASE);
        }
        let kind = if a.kind == b.kind { Kind::Positive } else { Kind::Negative };
        let mut product = NumericVar { kind, weight: a.weight + b.weight + 1, scale, digits };
        product.strip();
        product
    };
    if scale > MAX_SCALE {
        round(&mut product, MAX_SCALE);
    }
    product
}

/// How many decimal places PostgreSQL gives a quotient.
fn quotient_scale(a: &NumericVar, b: &NumericVar) -> i32 {
    let first = |v: &NumericVar| match v.digits.first() {
        Some(digit) => (v.weight, *digit),
        None => (0, 0),
    };
    let ((weight_a, first_a), (weight_b, first_b)) = (first(a), first(b));
    let weight = weight_a - weight_b - i32::from(first_a <= first_b);
    (MIN_SIGNIFICANT - weight * DEC_DIGITS).max(a.scale).max(b.scale).clamp(0, MAX_DISPLAY_SCALE)
}

pub(crate) fn divide(a: &NumericVar, b: &NumericVar) -> Result<NumericVar, EvalError> {
    if a.kind == Kind::NaN || b.kind == Kind::NaN {
        return Ok(nan());
    }
    if !is_finite(a) {
        return match (is_finite(b), sign(b)) {
            (false, _) => Ok(nan()),
            (true, 0) => Err(EvalError::new(Raise::DivisionByZero)),
            (true, s) => Ok(infinity(sign(a) * s)),
        };
    }
    if !is_finite(b) {
        return Ok(NumericVar::zero(0));
    }
    if b.digits.is_empty() {
        return Err(EvalError::new(Raise::DivisionByZero));
    }
    let scale = quotient_scale(a, b);
    // One digit more than is shown decides the rounding: what follows it cannot.
    let mut quotient = divide_cut(a, b, (scale + DEC_DIGITS - 1) / DEC_DIGITS + 1);
    round(&mut quotient, scale);
    Ok(quotient)
}

pub(crate) fn remainder(a: &NumericVar, b: &NumericVar) -> Result<NumericVar, EvalError> {
    if a.kind == Kind::NaN || b.kind == Kind::NaN {
        return Ok(nan());
    }
    if !is_finite(a) {
        return match is_finite(b) && b.digits.is_empty() {
            true => Err(EvalError::new(Raise::DivisionByZero)),
            false => Ok(nan()),
        };
    }
    if !is_finite(b) {
        return Ok(a.clone());
    }
    if b.digits.is_empty() {
        return Err(EvalError::new(Raise::DivisionByZero));
    }
    let mut quotient = divide_cut(a, b, 0);
    quotient.scale = 0;
    let mut product = multiply(&quotient, b);
    product.scale = b.scale;
    Ok(add(a, &negate(&product)))
}

/// a / b cut (not rounded) after `places` base-10,000 digits behind the point.
pub(crate) fn divide_cut(a: &NumericVar, b: &NumericVar, places: i32) -> NumericVar {
    let kind = if a.kind == b.kind { Kind::Positive } else { Kind::Negative };
    let weight = a.weight - b.weight;
    let count = weight + 1 + places;
    if a.digits.is_empty() || count <= 0 {
        return NumericVar::zero(places * DEC_DIGITS);
    }
    // Knuth's algorithm D over 64-bit digits, normalised so that the first digit is at least half
    // the base.
    let base = i64::from(BASE);
    let factor = base / (i64::from(b.digits[0]) + 1);
    let scaled = |digits: &[i16], length: usize| -> Vec<i64> {
        let mut out = vec![0i64; length + 1];
        let mut carry = 0;
        for at in (0..length).rev() {
            let total = i64::from(digits.get(at).copied().unwrap_or(0)) * factor + carry;
            out[at + 1] = total % base;
            carry = total / base;
        }
        out[0] = carry;
        out
    };
    let size = b.digits.len();
    let divisor: Vec<i64> = scaled(&b.digits, size)[1..].to_vec();
    let mut rest = scaled(&a.digits, count as usize + size - 1);
    let mut digits: SmallVec<[i16; 16]> = SmallVec::with_capacity(count as usize);
    for at in 0..count as usize {
        let head = rest[at] * base + rest[at + 1];
        let mut guess = (head / divisor[0]).min(base - 1);
        // Two digits of the divisor make the guess at most one too large; the loop below mends it.
        let mut borrow = 0;
        for i in (0..size).rev() {
            let total = rest[at + 1 + i] - guess * divisor[i] + borrow;
            rest[at + 1 + i] = total.rem_euclid(base);
            borrow = total.div_euclid(base);
        }
        rest[at] += borrow;
        while rest[at] < 0 {
            guess -= 1;
            let mut carry = 0;
            for i in (0..size).rev() {
                let total = rest[at + 1 + i] + divisor[i] + carry;
                rest[at + 1 + i] = total % base;
                carry = total / base;
            }
            rest[at] += carry;
        }
        digits.push(guess as i16);
    }
    let mut quotient = NumericVar { kind, weight, scale: places * DEC_DIGITS, digits };
    quotient.strip();
    quotient
}

/// Rounds half away from zero to `scale` decimal places, which may be negative.
pub(crate) fn round(v: &mut NumericVar, scale: i32) {
    if !is_finite(v) {
        return;
    }
    v.scale = scale.max(0);
    // Decimal places before the first digit's own four, and those kept in all.
    let kept = (v.weight + 1) * DEC_DIGITS + scale;
    if kept < 0 || v.digits.is_empty() {
        *v = NumericVar::zero(v.scale);
        return;
    }
    let whole = (kept / DEC_DIGITS) as usize;
    let part = kept % DEC_DIGITS;
    if whole >= v.digits.len() {
        return;
    }
    let unit = 10i32.pow((DEC_DIGITS - part) as u32);
    let digit = i32::from(v.digits[whole]);
    let up = digit % unit >= unit / 2;
    v.digits.truncate(whole + 1);
    // With no decimals kept in this digit the unit is the whole base: it becomes 0 or a carry.
    let mut carry = (digit / unit + i32::from(up)) * unit;
    for at in (0..=whole).rev() {
        let total = if at == whole { carry } else { i32::from(v.digits[at]) + carry };
        v.digits[at] = (total % BASE) as i16;
        carry = total / BASE;
    }
    if carry > 0 {
        v.digits.insert(0, carry as i16);
        v.weight += 1;
    }
    v.strip();
}

/// numeric(p, s): rounds, and raises when more digits remain than the precision allows.
pub(crate) fn fit_modifier(
    mut v: NumericVar,
    precision: i32,
    scale: i32,
) -> Result<NumericVar, EvalError> {
    let overflow = EvalError::new(Raise::OutOfRange);
    match v.kind {
        Kind::NaN => return Ok(v),
        Kind::Infinity | Kind::NegativeInfinity => return Err(overflow),
        Kind::Positive | Kind::Negative => {}
    }
    round(&mut v, scale);
    if let Some(first) = v.digits.first() {
        let decimals = match first {
            1000.. => 4,
            100.. => 3,
            10.. => 2,
            _ => 1,
        };
        if v.weight * DEC_DIGITS + decimals > precision - scale {
            return Err(overflow);
        }
    }
    Ok(v)
}

/// The number as an int8 if it is exactly one.
pub(crate) fn exact_int(n: Numeric<'_>) -> Option<i64> {
    let digits = n.digits();
    if !n.is_finite() || digits.len() as i32 > n.weight() + 1 && !digits.is_empty() {
        return None;
    }
    if n.weight() > 5 {
        return None;
    }
    // Counted downwards, since the most negative number has no positive twin.
    let mut value = 0i64;
    if !digits.is_empty() {
        for at in 0..=n.weight() {
            let digit = digits.get(at as usize).copied().unwrap_or(0);
            value = value.checked_mul(i64::from(BASE))?.checked_sub(i64::from(digit))?;
        }
    }
    if n.kind() == Kind::Negative { Some(value) } else { value.checked_neg() }
}

/// Rounds a finite number to an int8. `None` outside its range.
pub(crate) fn round_to_int(n: Numeric<'_>) -> Option<i64> {
    let mut var = n.var();
    round(&mut var, 0);
    let words = var.words().ok()?;
    exact_int(Numeric::from_words(&words))
}

/// From Rust's `{:e}` of so many digits, without the zeros at the end that C's `%g` leaves out.
pub(crate) fn from_scientific(text: &str) -> Result<NumericVar, EvalError> {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mantissa = match mantissa.contains('.') {
        true => mantissa.trim_end_matches('0').trim_end_matches('.'),
        false => mantissa,
    };
    numeric_text::parse(&format!("{mantissa}e{exponent}"))
}
