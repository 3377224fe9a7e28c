//! Functions of numeric and of the floating-point types.
//!
//! Of float8 only what every mathematics library computes alike is done: where the last bit is the
//! library's choice, a function is refused ([`depends_on_machine`]), and a power is done where its
//! result is exact.

use super::{FunctionRow, Operator, functions, operators, prefix_operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::numeric::{Kind, NumericVar};
use crate::values::{numeric_functions as numbers, numeric_math};
use crate::vm::Context;

const OUT_OF_RANGE: EvalError = EvalError::new(Raise::OutOfRange);
const POWER: EvalError = EvalError::new(Raise::InvalidPower);

/// Functions of float8 whose last bit is the mathematics library's choice.
pub(crate) fn depends_on_machine(name: &str, args: &[Type]) -> bool {
    matches!(name, "exp" | "ln" | "log" | "log10") && args.contains(&Type::Float8)
}

fn stored<'a>(context: &mut Context<'a>, var: &NumericVar) -> Eval<'a> {
    context.reserve(2 * var.digits.len() + 8)?;
    Ok(Value::Numeric(var.store(context.arena())?))
}

fn unary<'a>(
    context: &mut Context<'a>,
    args: &[Value<'a>],
    function: impl Fn(NumericVar, &mut Context<'a>) -> Result<NumericVar, EvalError>,
) -> Eval<'a> {
    let [Value::Numeric(n)] = args else { return wrong_kind() };
    context.charge(1 + n.digits().len() as u64 / 8)?;
    let result = function(n.var(), context)?;
    stored(context, &result)
}

fn binary<'a>(
    context: &mut Context<'a>,
    args: &[Value<'a>],
    function: impl Fn(&NumericVar, &NumericVar, &mut Context<'a>) -> Result<NumericVar, EvalError>,
) -> Eval<'a> {
    let [Value::Numeric(a), Value::Numeric(b)] = args else { return wrong_kind() };
    let result = function(&a.var(), &b.var(), context)?;
    stored(context, &result)
}

macro_rules! unary {
    ($($name:ident = $function:expr;)*) => {
        $(fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            unary(context, args, $function)
        })*
    };
}

macro_rules! binary {
    ($($name:ident = $function:expr;)*) => {
        $(fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            binary(context, args, $function)
        })*
    };
}

unary! {
    abs = |v, _| Ok(NumericVar { kind: match v.kind {
        Kind::Negative => Kind::Positive,
        Kind::NegativeInfinity => Kind::Infinity,
        kind => kind,
    }, ..v });
    ceil = |v, _| Ok(numbers::to_integer(&v, true));
    floor = |v, _| Ok(numbers::to_integer(&v, false));
    round_whole = |mut v, _| { numeric_math::round(&mut v, 0); Ok(v) };
    truncate_whole = |mut v, _| { numbers::truncate(&mut v, 0); Ok(v) };
    sign = |v, _| Ok(match v.kind {
        Kind::NaN => v,
        _ => NumericVar::from_int(i64::from(numeric_math::sign(&v))),
    });
    sqrt = |v, context| numbers::sqrt(&v, context);
    exp = |v, context| numbers::exp(&v, context);
    ln = |v, context| numbers::ln(&v, context);
    log10 = |v, context| numbers::log(&NumericVar::from_int(10), &v, context);
    trim_scale = |v, _| Ok(NumericVar { scale: numbers::min_scale(&v), ..v });
}

binary! {
    power = numbers::power;
    log = numbers::log;
    gcd = numbers::gcd;
    lcm = numbers::lcm;
    quotient = |a, b, context| {
        let count = (a.weight - b.weight).max(0) as u64 + 1;
        context.charge(1 + count * (b.digits.len() as u64 + 4) / 16)?;
        numbers::quotient(a, b)
    };
}

/// What numeric.c limits the places asked for to: the most there can be behind the point, and one
/// more than there can be before it.
const PLACES: (i64, i64) = (-131_073, 0x3fff);

fn to_places<'a>(
    context: &mut Context<'a>,
    args: &[Value<'a>],
    cut: fn(&mut NumericVar, i32),
) -> Eval<'a> {
    let [Value::Numeric(n), Value::Int(places)] = args else { return wrong_kind() };
    context.charge(1 + n.digits().len() as u64 / 8)?;
    let mut var = n.var();
    cut(&mut var, (*places).clamp(PLACES.0, PLACES.1) as i32);
    stored(context, &var)
}

fn round<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    to_places(context, args, numeric_math::round)
}

fn truncate<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    to_places(context, args, numbers::truncate)
}

/// NULL of what is no finite number.
fn scale<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Numeric(n)] if n.is_finite() => Ok(Value::Int(i64::from(n.scale()))),
        [Value::Numeric(_)] => Ok(Value::Null),
        _ => wrong_kind(),
    }
}

fn min_scale<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Numeric(n)] if n.is_finite() => {
            Ok(Value::Int(i64::from(numbers::min_scale(&n.var()))))
        }
        [Value::Numeric(_)] => Ok(Value::Null),
        _ => wrong_kind(),
    }
}

macro_rules! floats {
    ($($name:ident = $function:expr;)*) => {
        $(fn $name<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let function: fn(f64) -> Result<f64, EvalError> = $function;
            match args {
                [Value::Float(x)] => function(*x).map(Value::Float),
                _ => wrong_kind(),
            }
        })*
    };
}

floats! {
    float_abs = |x| Ok(x.abs());
    float_ceil = |x| Ok(x.ceil());
    float_floor = |x| Ok(x.floor());
    float_round = |x| Ok(x.round_ties_even());
    float_truncate = |x| Ok(x.trunc());
    float_sign = |x| Ok(if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 });
    float_sqrt = |x| if x < 0.0 { Err(POWER) } else { Ok(x.sqrt()) };
}

/// See [`depends_on_machine`]: resolution stops before this is called.
fn refused<'a>(_: &mut Context<'a>, _: &[Value<'a>]) -> Eval<'a> {
    Err(EvalError::new(Raise::NotSupported))
}

/// dpow, where every library agrees: exact results, and what POSIX says of the rest.
fn float_power<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Float(x), Value::Float(y)] = args else { return wrong_kind() };
    let (x, y) = (*x, *y);
    if x.is_nan() || y.is_nan() {
        let one = (x.is_nan() && y == 0.0) || x == 1.0;
        return Ok(Value::Float(if one { 1.0 } else { f64::NAN }));
    }
    if (x == 0.0 && y < 0.0) || (x < 0.0 && y.floor() != y) {
        return Err(POWER);
    }
    // Zeros, infinities and ones are laid down to the bit.
    if y == 0.0 || y == 1.0 || x == 0.0 || x == 1.0 || x.is_infinite() || y.is_infinite() {
        return Ok(Value::Float(x.powf(y)));
    }
    // Far outside what there are floats for.
    let size = y * x.abs().log2();
    if !(-1080.0..=1025.0).contains(&size) {
        return Err(OUT_OF_RANGE);
    }
    let exact = exact_power(x, y).ok_or(EvalError::new(Raise::NotSupported))?;
    Ok(Value::Float(exact))
}

/// The power, if its exponent is a whole number and no bit of it is lost.
fn exact_power(x: f64, y: f64) -> Option<f64> {
    let mut rest = (y.fract() == 0.0 && (1.0..=1100.0).contains(&y)).then_some(y as u32)?;
    // x is an odd number of at most 53 bits by a power of two.
    let bits = x.abs().to_bits();
    let (exponent, mantissa) = match bits >> 52 {
        0 => return None,
        biased => (biased as i32 - 1075, (bits & ((1 << 52) - 1)) | 1 << 52),
    };
    let zeros = mantissa.trailing_zeros();
    let (odd, exponent) = (mantissa >> zeros, exponent + zeros as i32);
    let scale = exponent.checked_mul(y as i32)?;
    let mut power = 1u64;
    if odd != 1 {
        while rest > 0 {
            power = power.checked_mul(odd).filter(|p| *p < 1 << 53)?;
            rest -= 1;
        }
    }
    if !(-1000..=960).contains(&scale) {
        return None;
    }
    let magnitude = power as f64 * 2f64.powi(scale);
    Some(if x < 0.0 && y % 2.0 != 0.0 { -magnitude } else { magnitude })
}

pub(super) static OPERATORS: &[&[Operator]] = &[
    operators! {
        Float8 "^" Float8 -> Float8 = float_power;
        Numeric "^" Numeric -> Numeric = power;
    },
    prefix_operators! {
        "@" Float4 -> Float4 = float_abs;
        "@" Float8 -> Float8 = float_abs;
        "@" Numeric -> Numeric = abs;
        "|/" Float8 -> Float8 = float_sqrt;
    },
];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    abs(Float4) -> Float4 = float_abs;
    abs(Float8) -> Float8 = float_abs;
    abs(Numeric) -> Numeric = abs;
    ceil(Float8) -> Float8 = float_ceil;
    ceil(Numeric) -> Numeric = ceil;
    ceiling(Float8) -> Float8 = float_ceil;
    ceiling(Numeric) -> Numeric = ceil;
    floor(Float8) -> Float8 = float_floor;
    floor(Numeric) -> Numeric = floor;
    round(Float8) -> Float8 = float_round;
    round(Numeric) -> Numeric = round_whole;
    round(Numeric, Int4) -> Numeric = round;
    trunc(Float8) -> Float8 = float_truncate;
    trunc(Numeric) -> Numeric = truncate_whole;
    trunc(Numeric, Int4) -> Numeric = truncate;
    sign(Float8) -> Float8 = float_sign;
    sign(Numeric) -> Numeric = sign;
    sqrt(Float8) -> Float8 = float_sqrt;
    sqrt(Numeric) -> Numeric = sqrt;
    power(Float8, Float8) -> Float8 = float_power;
    power(Numeric, Numeric) -> Numeric = power;
    pow(Float8, Float8) -> Float8 = float_power;
    pow(Numeric, Numeric) -> Numeric = power;
    exp(Float8) -> Float8 = refused;
    exp(Numeric) -> Numeric = exp;
    ln(Float8) -> Float8 = refused;
    ln(Numeric) -> Numeric = ln;
    log(Float8) -> Float8 = refused;
    log(Numeric) -> Numeric = log10;
    log(Numeric, Numeric) -> Numeric = log;
    log10(Float8) -> Float8 = refused;
    log10(Numeric) -> Numeric = log10;
    mod(Numeric, Numeric) -> Numeric = super::arithmetic::numeric_remainder;
    div(Numeric, Numeric) -> Numeric = quotient;
    gcd(Numeric, Numeric) -> Numeric = gcd;
    lcm(Numeric, Numeric) -> Numeric = lcm;
    scale(Numeric) -> Int4 = scale;
    min_scale(Numeric) -> Int4 = min_scale;
    trim_scale(Numeric) -> Numeric = trim_scale;
};
