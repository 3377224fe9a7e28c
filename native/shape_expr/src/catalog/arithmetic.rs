//! `+ - * / %` and the signs, on the number types.

use super::{Operator, operators, prefix_operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::int::{Width, fit};
use crate::values::{numeric::NumericVar, numeric_math};
use crate::vm::Context;

const OUT_OF_RANGE: EvalError = EvalError::new(Raise::OutOfRange);
const DIVISION_BY_ZERO: EvalError = EvalError::new(Raise::DivisionByZero);

/// The five operators of integers whose wider operand has this width.
macro_rules! integers {
    ($module:ident, $width:expr) => {
        pub(super) mod $module {
            use super::*;

            fn both(
                args: &[Value<'_>],
                op: fn(i64, i64) -> Result<i64, EvalError>,
            ) -> Eval<'static> {
                match args {
                    [Value::Int(a), Value::Int(b)] => Ok(Value::Int(fit(op(*a, *b)?, $width)?)),
                    _ => wrong_kind(),
                }
            }

            pub fn add<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| a.checked_add(b).ok_or(OUT_OF_RANGE))
            }

            pub fn subtract<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| a.checked_sub(b).ok_or(OUT_OF_RANGE))
            }

            pub fn multiply<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| a.checked_mul(b).ok_or(OUT_OF_RANGE))
            }

            pub fn divide<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| match b {
                    0 => Err(DIVISION_BY_ZERO),
                    _ => a.checked_div(b).ok_or(OUT_OF_RANGE),
                })
            }

            pub fn remainder<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                // The most negative number by -1 overflows as a quotient but leaves no remainder.
                both(args, |a, b| match b {
                    0 => Err(DIVISION_BY_ZERO),
                    _ => Ok(a.wrapping_rem(b)),
                })
            }

            pub fn negate<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                match args {
                    [Value::Int(a)] => {
                        Ok(Value::Int(fit(a.checked_neg().ok_or(OUT_OF_RANGE)?, $width)?))
                    }
                    _ => wrong_kind(),
                }
            }
        }
    };
}

integers!(int2, Width::Two);
integers!(int4, Width::Four);
integers!(int8, Width::Eight);

/// What PostgreSQL's float operators check: an infinity that no operand had is an overflow, a zero
/// that no operand explains is an underflow.
fn checked(result: f64, overflow_is_fine: bool, zero_is_fine: bool) -> Result<f64, EvalError> {
    if (result.is_infinite() && !overflow_is_fine) || (result == 0.0 && !zero_is_fine) {
        return Err(OUT_OF_RANGE);
    }
    Ok(result)
}

macro_rules! floats {
    ($module:ident, $float:ty) => {
        mod $module {
            use super::*;

            fn both(
                args: &[Value<'_>],
                op: fn($float, $float) -> Result<f64, EvalError>,
            ) -> Eval<'static> {
                match args {
                    [Value::Float(a), Value::Float(b)] => {
                        Ok(Value::Float(op(*a as $float, *b as $float)?))
                    }
                    _ => wrong_kind(),
                }
            }

            pub fn add<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| {
                    checked(f64::from(a + b), a.is_infinite() || b.is_infinite(), true)
                })
            }

            pub fn subtract<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| {
                    checked(f64::from(a - b), a.is_infinite() || b.is_infinite(), true)
                })
            }

            pub fn multiply<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| {
                    let infinite = a.is_infinite() || b.is_infinite();
                    checked(f64::from(a * b), infinite, a == 0.0 || b == 0.0)
                })
            }

            pub fn divide<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                both(args, |a, b| {
                    if b == 0.0 && !a.is_nan() {
                        return Err(DIVISION_BY_ZERO);
                    }
                    checked(f64::from(a / b), a.is_infinite(), a == 0.0 || b.is_infinite())
                })
            }
        }
    };
}

floats!(float4, f32);
floats!(float8, f64);

fn float_negate<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Float(a)] => Ok(Value::Float(-a)),
        _ => wrong_kind(),
    }
}

type NumericOperation = fn(&NumericVar, &NumericVar) -> Result<NumericVar, EvalError>;

fn numeric<'a>(context: &mut Context<'a>, args: &[Value<'a>], op: NumericOperation) -> Eval<'a> {
    let [Value::Numeric(a), Value::Numeric(b)] = args else { return wrong_kind() };
    // A product is as much work as its lengths multiplied, a quotient as its own length (up to 250
    // digits behind the point) by the divisor's.
    let quotient = (a.weight() - b.weight()).max(0) as u64 + 250;
    let work = (a.digits().len() as u64 + quotient) * (b.digits().len() as u64 + 4);
    context.charge(1 + work / 16)?;
    let result = op(&a.var(), &b.var())?;
    context.reserve(2 * result.digits.len() + 8)?;
    Ok(Value::Numeric(result.store(context.arena())?))
}

fn numeric_add<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric(context, args, |a, b| Ok(numeric_math::add(a, b)))
}

fn numeric_subtract<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric(context, args, |a, b| Ok(numeric_math::add(a, &numeric_math::negate(b))))
}

fn numeric_multiply<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric(context, args, |a, b| Ok(numeric_math::multiply(a, b)))
}

fn numeric_divide<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric(context, args, numeric_math::divide)
}

pub(super) fn numeric_remainder<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric(context, args, numeric_math::remainder)
}

fn numeric_negate<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Numeric(a)] => {
            Ok(Value::Numeric(numeric_math::negate(&a.var()).store(context.arena())?))
        }
        _ => wrong_kind(),
    }
}

fn same<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    Ok(args[0])
}

pub(super) static OPERATORS: &[&[Operator]] = &[
    operators! {
        Int2 "+" Int2 -> Int2 = int2::add;
        Int2 "+" Int4 -> Int4 = int4::add;
        Int2 "+" Int8 -> Int8 = int8::add;
        Int4 "+" Int2 -> Int4 = int4::add;
        Int4 "+" Int4 -> Int4 = int4::add;
        Int4 "+" Int8 -> Int8 = int8::add;
        Int8 "+" Int2 -> Int8 = int8::add;
        Int8 "+" Int4 -> Int8 = int8::add;
        Int8 "+" Int8 -> Int8 = int8::add;
        Int2 "-" Int2 -> Int2 = int2::subtract;
        Int2 "-" Int4 -> Int4 = int4::subtract;
        Int2 "-" Int8 -> Int8 = int8::subtract;
        Int4 "-" Int2 -> Int4 = int4::subtract;
        Int4 "-" Int4 -> Int4 = int4::subtract;
        Int4 "-" Int8 -> Int8 = int8::subtract;
        Int8 "-" Int2 -> Int8 = int8::subtract;
        Int8 "-" Int4 -> Int8 = int8::subtract;
        Int8 "-" Int8 -> Int8 = int8::subtract;
        Int2 "*" Int2 -> Int2 = int2::multiply;
        Int2 "*" Int4 -> Int4 = int4::multiply;
        Int2 "*" Int8 -> Int8 = int8::multiply;
        Int4 "*" Int2 -> Int4 = int4::multiply;
        Int4 "*" Int4 -> Int4 = int4::multiply;
        Int4 "*" Int8 -> Int8 = int8::multiply;
        Int8 "*" Int2 -> Int8 = int8::multiply;
        Int8 "*" Int4 -> Int8 = int8::multiply;
        Int8 "*" Int8 -> Int8 = int8::multiply;
        Int2 "/" Int2 -> Int2 = int2::divide;
        Int2 "/" Int4 -> Int4 = int4::divide;
        Int2 "/" Int8 -> Int8 = int8::divide;
        Int4 "/" Int2 -> Int4 = int4::divide;
        Int4 "/" Int4 -> Int4 = int4::divide;
        Int4 "/" Int8 -> Int8 = int8::divide;
        Int8 "/" Int2 -> Int8 = int8::divide;
        Int8 "/" Int4 -> Int8 = int8::divide;
        Int8 "/" Int8 -> Int8 = int8::divide;
        Int2 "%" Int2 -> Int2 = int2::remainder;
        Int4 "%" Int4 -> Int4 = int4::remainder;
        Int8 "%" Int8 -> Int8 = int8::remainder;
    },
    operators! {
        Float4 "+" Float4 -> Float4 = float4::add;
        Float4 "+" Float8 -> Float8 = float8::add;
        Float8 "+" Float4 -> Float8 = float8::add;
        Float8 "+" Float8 -> Float8 = float8::add;
        Float4 "-" Float4 -> Float4 = float4::subtract;
        Float4 "-" Float8 -> Float8 = float8::subtract;
        Float8 "-" Float4 -> Float8 = float8::subtract;
        Float8 "-" Float8 -> Float8 = float8::subtract;
        Float4 "*" Float4 -> Float4 = float4::multiply;
        Float4 "*" Float8 -> Float8 = float8::multiply;
        Float8 "*" Float4 -> Float8 = float8::multiply;
        Float8 "*" Float8 -> Float8 = float8::multiply;
        Float4 "/" Float4 -> Float4 = float4::divide;
        Float4 "/" Float8 -> Float8 = float8::divide;
        Float8 "/" Float4 -> Float8 = float8::divide;
        Float8 "/" Float8 -> Float8 = float8::divide;
    },
    operators! {
        Numeric "+" Numeric -> Numeric = numeric_add;
        Numeric "-" Numeric -> Numeric = numeric_subtract;
        Numeric "*" Numeric -> Numeric = numeric_multiply;
        Numeric "/" Numeric -> Numeric = numeric_divide;
        Numeric "%" Numeric -> Numeric = numeric_remainder;
    },
    prefix_operators! {
        "-" Int2 -> Int2 = int2::negate;
        "-" Int4 -> Int4 = int4::negate;
        "-" Int8 -> Int8 = int8::negate;
        "-" Float4 -> Float4 = float_negate;
        "-" Float8 -> Float8 = float_negate;
        "-" Numeric -> Numeric = numeric_negate;
        "+" Int2 -> Int2 = same;
        "+" Int4 -> Int4 = same;
        "+" Int8 -> Int8 = same;
        "+" Float4 -> Float4 = same;
        "+" Float8 -> Float8 = same;
        "+" Numeric -> Numeric = same;
    },
];
