//! Roots, powers, exponentials and logarithms of numeric, with the number of decimal places that
//! numeric.c chooses. What they compute is exact to several digits more than is shown.

use std::cmp::Ordering;

use super::numeric::{BASE, DEC_DIGITS, Kind, NumericVar};
use super::numeric_math::{
    self as math, MAX_DISPLAY_SCALE, MIN_SIGNIFICANT, add, compare_magnitude, divide_cut, infinity,
    is_finite, multiply, nan, negate, round, sign,
};
use crate::error::{EvalError, Raise};
use crate::vm::Context;

type Outcome = Result<NumericVar, EvalError>;

const OUT_OF_RANGE: EvalError = EvalError::new(Raise::OutOfRange);
const POWER: EvalError = EvalError::new(Raise::InvalidPower);
const LOGARITHM: EvalError = EvalError::new(Raise::InvalidLogarithm);
/// Digits computed beyond those that are shown.
const GUARD: i32 = 20;
/// NUMERIC_MAX_RESULT_SCALE.
const MAX_RESULT_SCALE: i32 = 2000;
/// As numeric.c writes it: its last digits decide how many places a result has.
#[allow(clippy::approx_constant)]
const LOG10_E: f64 = 0.434_294_481_903_252;

pub(crate) fn one() -> NumericVar {
    NumericVar::from_int(1)
}

/// Pays for `times` products of numbers of so many decimal places.
fn charge(context: &mut Context<'_>, places: i32, times: i32) -> Result<(), EvalError> {
    let digits = i64::from(places / DEC_DIGITS + 8).unsigned_abs();
    context.charge(1 + digits * digits * i64::from(times).unsigned_abs() / 64)
}

fn product(a: &NumericVar, b: &NumericVar, scale: i32) -> NumericVar {
    let mut result = multiply(a, b);
    round(&mut result, scale);
    result
}

/// `v / n` cut to `scale` places, for a small `n`.
fn divide_small(v: &NumericVar, n: i32, scale: i32) -> NumericVar {
    divide_cut(v, &NumericVar::from_int(i64::from(n)), scale / DEC_DIGITS + 1)
}

/// As the nearest float8, whatever its scale; infinite where it does not fit.
fn to_float(v: &NumericVar) -> f64 {
    // Far more digits than a float8 has.
    let shown = v.digits.len().min(16);
    let mut text = String::with_capacity(4 * shown + 8);
    if v.kind == Kind::Negative {
        text.push('-');
    }
    text.push('0');
    for digit in &v.digits[..shown] {
        text.push_str(&format!("{digit:04}"));
    }
    text.push_str(&format!("e{}", DEC_DIGITS * (v.weight - shown as i32 + 1)));
    text.parse().unwrap_or(0.0)
}

fn shown_scale(wanted: i32, at_least: i32) -> i32 {
    wanted.max(at_least).clamp(0, MAX_DISPLAY_SCALE)
}

pub(crate) fn sqrt(v: &NumericVar, context: &mut Context<'_>) -> Outcome {
    match (v.kind, sign(v)) {
        (Kind::NaN, _) => return Ok(nan()),
        (_, -1) => return Err(POWER),
        (Kind::Infinity, _) => return Ok(v.clone()),
        _ => {}
    }
    let weight = (v.weight + 1) * DEC_DIGITS / 2 - 1;
    let scale = shown_scale(MIN_SIGNIFICANT - weight, v.scale);
    if v.digits.is_empty() {
        return Ok(NumericVar::zero(scale));
    }
    let places = scale + GUARD;
    let figures = (places + v.weight.max(0) * DEC_DIGITS / 2).max(GUARD);
    charge(context, figures, 16)?;
    // Newton's method from a guess of 15 digits.
    let even = v.weight & !1;
    let mut top = v.clone();
    top.weight -= even;
    let guess = format!("{:.15e}", to_float(&top).sqrt());
    let mut root = math::from_scientific(&guess)?;
    root.weight += even / 2;
    let mut right = 14;
    loop {
        let quotient = divide_cut(v, &root, places / DEC_DIGITS + 1);
        root = divide_small(&add(&root, &quotient), 2, places);
        if right > figures {
            break;
        }
        right *= 2;
    }
    round(&mut root, scale);
    Ok(root)
}

pub(crate) fn exp(v: &NumericVar, context: &mut Context<'_>) -> Outcome {
    match v.kind {
        Kind::NaN | Kind::Infinity => return Ok(v.clone()),
        Kind::NegativeInfinity => return Ok(NumericVar::zero(0)),
        _ => {}
    }
    let limit = f64::from(MAX_RESULT_SCALE);
    let weight = (to_float(v) * LOG10_E).clamp(-limit, limit);
    let scale = shown_scale(MIN_SIGNIFICANT - weight as i32, v.scale);
    exp_to(v, scale, context)
}

fn exp_to(v: &NumericVar, scale: i32, context: &mut Context<'_>) -> Outcome {
    let x = to_float(v);
    if x.abs() >= f64::from(MAX_RESULT_SCALE * 3) {
        return if x > 0.0 { Err(OUT_OF_RANGE) } else { Ok(NumericVar::zero(scale)) };
    }
    let weight = (x * LOG10_E) as i32;
    // Halved until the series converges fast, squared as often afterwards.
    let mut halvings = 0;
    while x.abs() > 0.01 * f64::from(1 << halvings) {
        halvings += 1;
    }
    let figures = (weight + scale).max(0) + halvings / 3 + GUARD;
    charge(context, figures, figures / 8 + halvings + 4)?;
    let small = product(v, &divide_small(&one(), 1 << halvings, figures + 24), figures + 12);
    let mut sum = add(&one(), &small);
    let mut term = small.clone();
    for n in 2.. {
        term = divide_small(&product(&term, &small, figures), n, figures);
        round(&mut term, figures);
        if term.digits.is_empty() {
            break;
        }
        sum = add(&sum, &term);
    }
    for _ in 0..halvings {
        let places = (figures - 2 * DEC_DIGITS * sum.weight).max(0);
        sum = product(&sum, &sum, places);
    }
    round(&mut sum, scale);
    Ok(sum)
}

/// The decimal weight of a logarithm, as numeric.c estimates it.
fn ln_weight(v: &NumericVar) -> i32 {
    if v.kind != Kind::Positive {
        return 0;
    }
    let tenth = |tenths: i64| {
        let mut bound = divide_small(&NumericVar::from_int(tenths), 10, 4);
        bound.scale = 1;
        bound
    };
    let near = compare_magnitude(v, &tenth(9)).is_ge() && compare_magnitude(v, &tenth(11)).is_le();
    if near {
        let x = add(v, &negate(&one()));
        return match x.digits.first() {
            Some(first) => x.weight * DEC_DIGITS + f64::from(*first).log10() as i32,
            None => 0,
        };
    }
    let Some(first) = v.digits.first() else { return 0 };
    let (mut digits, mut weight) = (i64::from(*first), v.weight * DEC_DIGITS);
    if let Some(second) = v.digits.get(1) {
        digits = digits * i64::from(BASE) + i64::from(*second);
        weight -= DEC_DIGITS;
    }
    let estimate = (digits as f64).ln() + f64::from(weight) * std::f64::consts::LN_10;
    estimate.abs().log10() as i32
}

pub(crate) fn ln(v: &NumericVar, context: &mut Context<'_>) -> Outcome {
    match v.kind {
        Kind::NaN | Kind::Infinity => return Ok(v.clone()),
        Kind::NegativeInfinity => return Err(LOGARITHM),
        _ => {}
    }
    let scale = shown_scale(MIN_SIGNIFICANT - ln_weight(v), v.scale);
    ln_to(v, scale, context)
}

/// 2 artanh(1/n), to `places`.
fn twice_artanh_of_inverse(n: i32, places: i32) -> NumericVar {
    let mut power = divide_small(&one(), n, places);
    let mut sum = power.clone();
    for term_number in 1.. {
        power = divide_small(&power, n * n, places);
        let mut term = divide_small(&power, 2 * term_number + 1, places);
        round(&mut term, places);
        if term.digits.is_empty() {
            break;
        }
        sum = add(&sum, &term);
    }
    add(&sum, &sum)
}

/// 2 artanh(z), to `places`.
fn twice_artanh(z: &NumericVar, places: i32) -> NumericVar {
    let square = product(z, z, places);
    let mut power = z.clone();
    let mut sum = z.clone();
    for n in 1.. {
        power = product(&power, &square, places);
        let mut term = divide_small(&power, 2 * n + 1, places);
        round(&mut term, places);
        if term.digits.is_empty() {
            break;
        }
        sum = add(&sum, &term);
    }
    add(&sum, &sum)
}

fn ln_to(v: &NumericVar, scale: i32, context: &mut Context<'_>) -> Outcome {
    if sign(v) <= 0 {
        return Err(LOGARITHM);
    }
    let places = scale.max(0) + GUARD;
    // Terms shrink as they become more, and with them their digits.
    charge(context, places, places / 4 + 1)?;
    // v = f 2^twos 10000^weight, with f near 1.
    let mut factor = v.clone();
    factor.weight = 0;
    let mut twos = to_float(&factor).log2().round() as i32;
    let mut weight = v.weight;
    if v.weight == -1 && v.digits.first().is_some_and(|first| *first >= 7500) {
        // Just below 1, where the difference would lose what matters.
        (factor.weight, weight, twos) = (-1, 0, 0);
    }
    let factor = divide_cut(&factor, &NumericVar::from_int(1 << twos), places / DEC_DIGITS + 4);
    let (below, above) = (add(&factor, &negate(&one())), add(&factor, &one()));
    let z = divide_cut(&below, &above, places / DEC_DIGITS + 2);
    let mut sum = twice_artanh(&z, places);
    if twos != 0 || weight != 0 {
        // ln 2, and ln 10 = 3 ln 2 + ln 1.25.
        let two = twice_artanh_of_inverse(3, places + 4);
        let ten =
            add(&multiply(&two, &NumericVar::from_int(3)), &twice_artanh_of_inverse(9, places + 4));
        sum = add(&sum, &multiply(&two, &NumericVar::from_int(i64::from(twos))));
        sum = add(&sum, &multiply(&ten, &NumericVar::from_int(i64::from(DEC_DIGITS * weight))));
    }
    round(&mut sum, scale);
    Ok(sum)
}

/// The logarithm of `v` to the base `base`.
pub(crate) fn log(base: &NumericVar, v: &NumericVar, context: &mut Context<'_>) -> Outcome {
    if base.kind == Kind::NaN || v.kind == Kind::NaN {
        return Ok(nan());
    }
    if sign(base) <= 0 || sign(v) <= 0 {
        return Err(LOGARITHM);
    }
    match (is_finite(base), is_finite(v)) {
        (false, false) => return Ok(nan()),
        (false, true) => return Ok(NumericVar::zero(0)),
        (true, false) => return Ok(infinity(1)),
        (true, true) => {}
    }
    let (base_weight, weight) = (ln_weight(base), ln_weight(v));
    let result = weight - base_weight;
    let scale = shown_scale(MIN_SIGNIFICANT - result, base.scale.max(v.scale));
    let places = |weight: i32| (scale + result - weight + 8).max(0) + 8;
    let base = ln_to(base, places(base_weight), context)?;
    let v = ln_to(v, places(weight), context)?;
    if base.digits.is_empty() {
        return Err(EvalError::new(Raise::DivisionByZero));
    }
    let mut quotient = divide_cut(&v, &base, (scale + GUARD) / DEC_DIGITS + 1);
    round(&mut quotient, scale);
    Ok(quotient)
}

fn is_one(v: &NumericVar) -> bool {
    v.kind == Kind::Positive && compare_magnitude(v, &one()).is_eq()
}

fn is_integral(v: &NumericVar) -> bool {
    !is_finite(v) || v.digits.len() as i32 <= v.weight + 1 || v.digits.is_empty()
}

fn is_odd(v: &NumericVar) -> bool {
    let last = v.digits.last().filter(|_| v.digits.len() as i32 == v.weight + 1);
    last.is_some_and(|digit| digit & 1 == 1)
}

pub(crate) fn power(
    base: &NumericVar,
    exponent: &NumericVar,
    context: &mut Context<'_>,
) -> Outcome {
    if base.kind == Kind::NaN {
        return Ok(if is_finite(exponent) && exponent.digits.is_empty() { one() } else { nan() });
    }
    if exponent.kind == Kind::NaN {
        return Ok(if is_one(base) { one() } else { nan() });
    }
    let (base_sign, exponent_sign) = (sign(base), sign(exponent));
    if (base_sign == 0 && exponent_sign < 0) || (base_sign < 0 && !is_integral(exponent)) {
        return Err(POWER);
    }
    if !is_finite(base) || !is_finite(exponent) {
        return Ok(power_of_infinities(base, exponent));
    }
    if is_integral(exponent)
        && let Some(exponent) = small_int(exponent)
    {
        return power_int(base, exponent, context);
    }
    if base_sign == 0 {
        return Ok(NumericVar::zero(MIN_SIGNIFICANT));
    }
    let negative = base_sign < 0 && is_odd(exponent);
    let base = NumericVar { kind: Kind::Positive, ..base.clone() };
    let weight = ln_weight(&base);
    let places = (8 - weight).max(0);
    let estimate = to_float(&product(&ln_to(&base, places, context)?, exponent, places));
    if estimate.abs() > f64::from(MAX_RESULT_SCALE) * 3.01 {
        return match estimate > 0.0 {
            true => Err(OUT_OF_RANGE),
            false => Ok(NumericVar::zero(MAX_DISPLAY_SCALE)),
        };
    }
    let decimals = (estimate * LOG10_E) as i32;
    let scale = shown_scale(MIN_SIGNIFICANT - decimals, base.scale.max(exponent.scale));
    let figures = (scale + decimals).max(0);
    // The exponent's own size adds to the digits its product with the logarithm needs.
    let places = (figures - weight + 16).max(0) + (DEC_DIGITS * (exponent.weight + 1)).max(0);
    let logarithm = ln_to(&base, places, context)?;
    let mut result = exp_to(&product(&logarithm, exponent, places), scale, context)?;
    if negative && !result.digits.is_empty() {
        result.kind = Kind::Negative;
    }
    Ok(result)
}

fn small_int(v: &NumericVar) -> Option<i32> {
    let words = v.words().ok()?;
    i32::try_from(math::exact_int(super::numeric::Numeric::from_words(&words))?).ok()
}

/// POSIX's rules for pow, one of the two being infinite.
fn power_of_infinities(base: &NumericVar, exponent: &NumericVar) -> NumericVar {
    let (base_sign, exponent_sign) = (sign(base), sign(exponent));
    let zero = || NumericVar::zero(0);
    if is_one(base) || exponent_sign == 0 {
        return one();
    }
    if base_sign == 0 {
        return zero();
    }
    if !is_finite(exponent) {
        let order = match is_finite(base) {
            true => compare_magnitude(base, &one()),
            false => Ordering::Greater,
        };
        return match order {
            Ordering::Equal => one(),
            order if order.is_gt() == (exponent_sign > 0) => infinity(1),
            _ => zero(),
        };
    }
    match (base_sign > 0, exponent_sign > 0) {
        (_, false) => zero(),
        (true, true) => infinity(1),
        (false, true) => infinity(if is_odd(exponent) { -1 } else { 1 }),
    }
}

fn power_int(base: &NumericVar, exponent: i32, context: &mut Context<'_>) -> Outcome {
    let scale = shown_scale(MIN_SIGNIFICANT, base.scale);
    match exponent {
        0 => return Ok(NumericVar { scale, ..one() }),
        1 => {
            let mut result = base.clone();
            round(&mut result, scale);
            return Ok(result);
        }
        _ => {}
    }
    if base.digits.is_empty() {
        return match exponent < 0 {
            true => Err(EvalError::new(Raise::DivisionByZero)),
            false => Ok(NumericVar::zero(scale)),
        };
    }
    if let -1 | 2 = exponent {
        charge(context, DEC_DIGITS * base.digits.len() as i32 + scale, 2)?;
        let mut result = match exponent {
            2 => multiply(base, base),
            _ => divide_cut(&one(), base, scale / DEC_DIGITS + 2),
        };
        round(&mut result, scale);
        return Ok(result);
    }
    // base is about f 10^p.
    let mut f = f64::from(base.digits[0]);
    let mut p = base.weight * DEC_DIGITS;
    for digit in base.digits.iter().skip(1).take(3) {
        f = f * f64::from(BASE) + f64::from(*digit);
        p -= DEC_DIGITS;
    }
    let weight = f64::from(exponent) * (f.log10() + f64::from(p));
    // No numeric is that large: there is no need to multiply to see it.
    if weight > f64::from((i32::from(i16::MAX) + 1) * DEC_DIGITS + 16) {
        return Err(OUT_OF_RANGE);
    }
    if weight + 1.0 < f64::from(-scale) {
        return Ok(NumericVar::zero(scale));
    }
    let figures = 1 + scale + weight as i32 + f64::from(exponent).abs().ln() as i32 + 16;
    let mut rest = exponent.unsigned_abs();
    let mut square = base.clone();
    let mut result = if rest & 1 == 1 { base.clone() } else { one() };
    loop {
        rest >>= 1;
        if rest == 0 {
            break;
        }
        let cut = |a: &NumericVar, b: &NumericVar, context: &mut Context<'_>| -> Outcome {
            let work = 1 + a.digits.len() as u64 * b.digits.len() as u64 / 64;
            context.charge(work)?;
            let places = figures - (a.weight + b.weight) * DEC_DIGITS;
            // Exact as long as it is short.
            Ok(product(a, b, places.min(a.scale + b.scale).max(0)))
        };
        square = cut(&square, &square, context)?;
        if rest & 1 == 1 {
            result = cut(&square, &result, context)?;
        }
        if square.weight > i32::from(i16::MAX) || result.weight > i32::from(i16::MAX) {
            return match exponent < 0 {
                true => Ok(NumericVar::zero(scale)),
                false => Err(OUT_OF_RANGE),
            };
        }
    }
    if exponent < 0 {
        charge(context, DEC_DIGITS * result.digits.len() as i32 + scale, 1)?;
        result = divide_cut(&one(), &result, scale / DEC_DIGITS + 2);
    }
    round(&mut result, scale);
    Ok(result)
}

/// Cut, not rounded, to `scale` decimal places, which may be negative.
pub(crate) fn truncate(v: &mut NumericVar, scale: i32) {
    if !is_finite(v) {
        return;
    }
    v.scale = scale.max(0);
    let kept = (v.weight + 1) * DEC_DIGITS + scale;
    if kept <= 0 || v.digits.is_empty() {
        *v = NumericVar::zero(v.scale);
        return;
    }
    let (whole, part) = ((kept / DEC_DIGITS) as usize, kept % DEC_DIGITS);
    if whole < v.digits.len() {
        let unit = 10i16.pow((DEC_DIGITS - part) as u32 % 4) * if part == 0 { 0 } else { 1 };
        v.digits[whole] = if unit == 0 { 0 } else { v.digits[whole] / unit * unit };
        v.digits.truncate(whole + 1);
        v.strip();
    }
}

/// The nearest integer not below (`up`) or not above.
pub(crate) fn to_integer(v: &NumericVar, up: bool) -> NumericVar {
    let mut result = v.clone();
    truncate(&mut result, 0);
    let wanted = if up { Kind::Positive } else { Kind::Negative };
    let cut = is_finite(v) && !is_integral(v);
    match cut && v.kind == wanted {
        true => add(&result, &NumericVar { kind: wanted, ..one() }),
        false => result,
    }
}

/// Decimal places up to the last that is not zero.
pub(crate) fn min_scale(v: &NumericVar) -> i32 {
    let Some(last) = v.digits.last() else { return 0 };
    let places = (v.digits.len() as i32 - v.weight - 1) * DEC_DIGITS;
    let mut zeros = 0;
    let mut digit = *last;
    while digit % 10 == 0 && digit != 0 {
        digit /= 10;
        zeros += 1;
    }
    (places - zeros).max(0)
}

/// The quotient without what is behind the point.
pub(crate) fn quotient(a: &NumericVar, b: &NumericVar) -> Outcome {
    if !is_finite(a) || !is_finite(b) || b.digits.is_empty() {
        let mut result = math::divide(a, b)?;
        truncate(&mut result, 0);
        return Ok(result);
    }
    let mut result = divide_cut(a, b, 0);
    result.scale = 0;
    Ok(result)
}

pub(crate) fn gcd(a: &NumericVar, b: &NumericVar, context: &mut Context<'_>) -> Outcome {
    if !is_finite(a) || !is_finite(b) {
        return Ok(nan());
    }
    let scale = a.scale.max(b.scale);
    let absolute = |v: &NumericVar| NumericVar { kind: Kind::Positive, ..v.clone() };
    let (mut a, mut b) = (absolute(a), absolute(b));
    while !b.digits.is_empty() {
        context.charge(1 + (a.digits.len() * (b.digits.len() + 4)) as u64 / 16)?;
        let rest = math::remainder(&a, &b)?;
        a = std::mem::replace(&mut b, rest);
    }
    a.scale = scale;
    Ok(a)
}

pub(crate) fn lcm(a: &NumericVar, b: &NumericVar, context: &mut Context<'_>) -> Outcome {
    if !is_finite(a) || !is_finite(b) {
        return Ok(nan());
    }
    let scale = a.scale.max(b.scale);
    if a.digits.is_empty() || b.digits.is_empty() {
        return Ok(NumericVar::zero(scale));
    }
    let divisor = gcd(a, b, context)?;
    context.charge(1 + (a.digits.len() * b.digits.len()) as u64 / 16)?;
    let mut result = multiply(b, &quotient(a, &divisor)?);
    result.kind = Kind::Positive;
    result.scale = scale;
    Ok(result)
}
