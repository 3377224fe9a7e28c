//! Integers: absolute value, common divisors, bits.

use super::{FunctionRow, Operator, functions, operators, prefix_operators, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::values::int::{Width, fit};
use crate::vm::Context;

const OUT_OF_RANGE: EvalError = EvalError::new(Raise::OutOfRange);

fn divisor(a: i64, b: i64) -> u64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn fitted(value: u64, width: Width) -> Eval<'static> {
    let value = i64::try_from(value).map_err(|_| OUT_OF_RANGE)?;
    fit(value, width).map(Value::Int)
}

macro_rules! integers {
    ($module:ident, $width:expr, $shift:expr) => {
        mod $module {
            use super::*;

            pub fn abs<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                match args {
                    [Value::Int(a)] => fitted(a.unsigned_abs(), $width),
                    _ => wrong_kind(),
                }
            }

            /// The count is taken modulo the width of C's operand, as the processors do it.
            pub fn left<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                let shift: fn(i64, u32, bool) -> i64 = $shift;
                match args {
                    [Value::Int(a), Value::Int(b)] => Ok(Value::Int(shift(*a, *b as u32, true))),
                    _ => wrong_kind(),
                }
            }

            pub fn right<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
                let shift: fn(i64, u32, bool) -> i64 = $shift;
                match args {
                    [Value::Int(a), Value::Int(b)] => Ok(Value::Int(shift(*a, *b as u32, false))),
                    _ => wrong_kind(),
                }
            }
        }
    };
}

/// Greatest common divisor and least common multiple.
macro_rules! divisors {
    ($gcd:ident, $lcm:ident, $width:expr) => {
        fn $gcd<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            match args {
                [Value::Int(a), Value::Int(b)] => fitted(divisor(*a, *b), $width),
                _ => wrong_kind(),
            }
        }

        fn $lcm<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let [Value::Int(a), Value::Int(b)] = args else { return wrong_kind() };
            if *a == 0 || *b == 0 {
                return Ok(Value::Int(0));
            }
            let (a, b, divisor) = (a.unsigned_abs(), b.unsigned_abs(), divisor(*a, *b));
            fitted((a / divisor).checked_mul(b).ok_or(OUT_OF_RANGE)?, $width)
        }
    };
}

divisors!(gcd4, lcm4, Width::Four);
divisors!(gcd8, lcm8, Width::Eight);

fn shift4(a: i64, count: u32, left: bool) -> i64 {
    let a = a as i32;
    i64::from(if left { a.wrapping_shl(count) } else { a.wrapping_shr(count) })
}

integers!(int2, Width::Two, |a, count, left| i64::from(shift4(a, count, left) as i16));
integers!(int4, Width::Four, shift4);
integers!(int8, Width::Eight, |a, count, left| match left {
    true => a.wrapping_shl(count),
    false => a.wrapping_shr(count),
});

fn and<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a & b)),
        _ => wrong_kind(),
    }
}

fn or<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a | b)),
        _ => wrong_kind(),
    }
}

fn xor<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(a ^ b)),
        _ => wrong_kind(),
    }
}

fn not<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(a)] => Ok(Value::Int(!a)),
        _ => wrong_kind(),
    }
}

pub(super) static OPERATORS: &[&[Operator]] = &[
    operators! {
        Int2 "&" Int2 -> Int2 = and;
        Int4 "&" Int4 -> Int4 = and;
        Int8 "&" Int8 -> Int8 = and;
        Int2 "|" Int2 -> Int2 = or;
        Int4 "|" Int4 -> Int4 = or;
        Int8 "|" Int8 -> Int8 = or;
        Int2 "#" Int2 -> Int2 = xor;
        Int4 "#" Int4 -> Int4 = xor;
        Int8 "#" Int8 -> Int8 = xor;
        Int2 "<<" Int4 -> Int2 = int2::left;
        Int4 "<<" Int4 -> Int4 = int4::left;
        Int8 "<<" Int4 -> Int8 = int8::left;
        Int2 ">>" Int4 -> Int2 = int2::right;
        Int4 ">>" Int4 -> Int4 = int4::right;
        Int8 ">>" Int4 -> Int8 = int8::right;
    },
    prefix_operators! {
        "~" Int2 -> Int2 = not;
        "~" Int4 -> Int4 = not;
        "~" Int8 -> Int8 = not;
        "@" Int2 -> Int2 = int2::abs;
        "@" Int4 -> Int4 = int4::abs;
        "@" Int8 -> Int8 = int8::abs;
    },
];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    abs(Int2) -> Int2 = int2::abs;
    abs(Int4) -> Int4 = int4::abs;
    abs(Int8) -> Int8 = int8::abs;
    gcd(Int4, Int4) -> Int4 = gcd4;
    gcd(Int8, Int8) -> Int8 = gcd8;
    lcm(Int4, Int4) -> Int4 = lcm4;
    lcm(Int8, Int8) -> Int8 = lcm8;
    mod(Int2, Int2) -> Int2 = super::arithmetic::int2::remainder;
    mod(Int4, Int4) -> Int4 = super::arithmetic::int4::remainder;
    mod(Int8, Int8) -> Int8 = super::arithmetic::int8::remainder;
};
