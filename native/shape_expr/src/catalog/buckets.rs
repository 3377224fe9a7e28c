//! Histogram buckets, factorials, degrees.

use std::cmp::Ordering;

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::Volatility;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::numeric::{Kind, NumericVar};
use crate::values::numeric_functions::truncate;
use crate::values::numeric_math as math;
use crate::vm::Context;

const OUT_OF_RANGE: EvalError = EvalError::new(Raise::OutOfRange);
const BAD_BUCKET: EvalError = EvalError::new(Raise::InvalidWidthBucket);

/// The count plus one, for what lies beyond the last bucket.
fn beyond(count: i64) -> Eval<'static> {
    i32::try_from(count + 1).map(|n| Value::Int(n.into())).map_err(|_| OUT_OF_RANGE)
}

fn of_float<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Float(x), Value::Float(low), Value::Float(high), Value::Int(count)] = args else {
        return wrong_kind();
    };
    let (mut x, mut low, mut high, count) = (*x, *low, *high, *count);
    if count <= 0 || x.is_nan() || !low.is_finite() || !high.is_finite() || low == high {
        return Err(BAD_BUCKET);
    }
    if low > high {
        // Counted downwards: the same with every sign turned.
        (x, low, high) = (-x, -low, -high);
    }
    if x < low {
        return Ok(Value::Int(0));
    }
    if x >= high {
        return beyond(count);
    }
    // Neither rounding up to a bucket too many nor overflow is looked for; the processor's
    // conversion of what is no int4 gives the least one.
    let bucket = (count as f64 * (x - low) / (high - low) + 1.0).trunc();
    let fits = bucket >= f64::from(i32::MIN) && bucket <= f64::from(i32::MAX);
    Ok(Value::Int(if fits { bucket as i64 } else { i64::from(i32::MIN) }))
}

/// The order of two numbers that are not NaN.
fn compare(a: &NumericVar, b: &NumericVar) -> Ordering {
    match (math::is_finite(a), math::is_finite(b)) {
        (true, true) => math::sign(&math::add(a, &math::negate(b))).cmp(&0),
        (true, false) => 0.cmp(&math::sign(b)),
        (false, true) => math::sign(a).cmp(&0),
        (false, false) => math::sign(a).cmp(&math::sign(b)),
    }
}

fn of_numeric<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Numeric(x), Value::Numeric(low), Value::Numeric(high), Value::Int(count)] = args
    else {
        return wrong_kind();
    };
    let finite = low.is_finite() && high.is_finite();
    if *count <= 0 || x.kind() == Kind::NaN || !finite {
        return Err(BAD_BUCKET);
    }
    let (mut x, mut low, mut high) = (x.var(), low.var(), high.var());
    let size = (x.digits.len() + low.digits.len() + high.digits.len()) as u64 + 4;
    context.charge(1 + size * size / 8)?;
    match compare(&low, &high) {
        Ordering::Equal => return Err(BAD_BUCKET),
        Ordering::Less => {}
        Ordering::Greater => {
            (x, low, high) = (math::negate(&x), math::negate(&low), math::negate(&high));
        }
    }
    if compare(&x, &low) == Ordering::Less {
        return Ok(Value::Int(0));
    }
    if compare(&x, &high) != Ordering::Less {
        return beyond(*count);
    }
    let low = math::negate(&low);
    let part = math::multiply(&math::add(&x, &low), &NumericVar::from_int(*count));
    let mut bucket = math::divide(&part, &math::add(&high, &low))?;
    truncate(&mut bucket, 0);
    let words = bucket.store(context.arena())?;
    // Rounding may make it a bucket too many.
    beyond(math::exact_int(words).ok_or(OUT_OF_RANGE)?)
}

/// The largest number whose factorial is a numeric.
const LARGEST: i64 = 32177;

fn factorial<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Int(n)] = args else { return wrong_kind() };
    if !(0..=LARGEST).contains(n) {
        return Err(OUT_OF_RANGE);
    }
    let mut product = NumericVar::from_int(1);
    for factor in 2..=*n {
        context.charge(1 + product.digits.len() as u64 / 8)?;
        product = math::multiply(&product, &NumericVar::from_int(factor));
    }
    context.reserve(2 * product.digits.len() + 8)?;
    Ok(Value::Numeric(product.store(context.arena())?))
}

const RADIANS_PER_DEGREE: f64 = 0.017_453_292_519_943_295;

/// A result that is infinite or zero though its operand is neither is out of range.
fn in_range<'a>(x: f64, result: f64) -> Eval<'a> {
    let lost = (result.is_infinite() && !x.is_infinite()) || (result == 0.0 && x != 0.0);
    if lost { Err(OUT_OF_RANGE) } else { Ok(Value::Float(result)) }
}

fn degrees<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Float(x)] => in_range(*x, x / RADIANS_PER_DEGREE),
        _ => wrong_kind(),
    }
}

fn radians<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Float(x)] => in_range(*x, x * RADIANS_PER_DEGREE),
        _ => wrong_kind(),
    }
}

fn pi<'a>(_: &mut Context<'a>, _: &[Value<'a>]) -> Eval<'a> {
    Ok(Value::Float(std::f64::consts::PI))
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    width_bucket(Float8, Float8, Float8, Int4) -> Int4 = of_float;
    width_bucket(Numeric, Numeric, Numeric, Int4) -> Int4 = of_numeric;
    factorial(Int8) -> Numeric = factorial;
    degrees(Float8) -> Float8 = degrees;
    radians(Float8) -> Float8 = radians;
    pi() -> Float8 = pi;
};

/// Of thresholds in an array: not known here.
pub(super) static MISSING: &[FunctionRow] = &[FunctionRow {
    name: "width_bucket",
    args: &[Type::AnyCompatible, Type::AnyCompatibleArray],
    result: Type::Int4,
    implementation: super::unsupported,
    strict: true,
    volatility: Volatility::Missing,
}];
