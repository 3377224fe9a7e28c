//! Casts between types, length coercions, and the way through text that PostgreSQL allows besides.

use super::{datetime, json, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Function, Strategy, Volatility};
use crate::program::Implementation;
use crate::types::{Category, Type, numeric_modifier};
use crate::value::{Eval, Value};
use crate::values::int::{Width, fit};
use crate::values::{
    self, boolean, float, json_text, numeric::NumericVar, numeric_math, numeric_text, text,
};
use crate::vm::Context as Vm;

/// Where a cast may happen: later ones include earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Context {
    /// Anywhere, unasked.
    Implicit,
    /// When storing into a column. No clause does, but casts to text hang on it.
    #[allow(dead_code)]
    Assignment,
    /// Only where `CAST` or `::` is written.
    Explicit,
}

/// How a cast is done.
#[derive(Clone, Copy)]
pub(crate) enum Method {
    /// The value serves as it is.
    Relabel,
    Function(Implementation),
}

/// A row of `pg_cast`.
pub(crate) struct Cast {
    pub from: Type,
    pub to: Type,
    pub context: Context,
    pub method: Method,
    pub volatility: Volatility,
}

macro_rules! casts {
    ($($from:ident => $to:ident $context:ident $method:expr;)*) => {
        &[$($crate::catalog::casts::Cast {
            from: $crate::types::Type::$from,
            to: $crate::types::Type::$to,
            context: $crate::catalog::casts::Context::$context,
            method: $method,
            volatility: $crate::expr::Volatility::Immutable,
        }),*]
    };
}

pub(crate) use casts;

use Method::{Function as By, Relabel};

/// Every family's casts.
static FAMILIES: &[&[Cast]] = &[CASTS, datetime::CASTS, datetime::STABLE_CASTS];

static CASTS: &[Cast] = casts! {
    Int2 => Int4 Implicit Relabel;
    Int2 => Int8 Implicit Relabel;
    Int2 => Float4 Implicit By(int_to_float4);
    Int2 => Float8 Implicit By(int_to_float8);
    Int2 => Numeric Implicit By(int_to_numeric);
    Int4 => Int2 Assignment By(int_to_int2);
    Int4 => Int8 Implicit Relabel;
    Int4 => Float4 Implicit By(int_to_float4);
    Int4 => Float8 Implicit By(int_to_float8);
    Int4 => Numeric Implicit By(int_to_numeric);
    Int4 => Bool Explicit By(int_to_bool);
    Int8 => Int2 Assignment By(int_to_int2);
    Int8 => Int4 Assignment By(int_to_int4);
    Int8 => Float4 Implicit By(int_to_float4);
    Int8 => Float8 Implicit By(int_to_float8);
    Int8 => Numeric Implicit By(int_to_numeric);
    Bool => Int4 Explicit By(bool_to_int);
    Float4 => Int2 Assignment By(float_to_int2);
    Float4 => Int4 Assignment By(float_to_int4);
    Float4 => Int8 Assignment By(float_to_int8);
    Float4 => Float8 Implicit Relabel;
    Float4 => Numeric Assignment By(float4_to_numeric);
    Float8 => Int2 Assignment By(float_to_int2);
    Float8 => Int4 Assignment By(float_to_int4);
    Float8 => Int8 Assignment By(float_to_int8);
    Float8 => Float4 Assignment By(float8_to_float4);
    Float8 => Numeric Assignment By(float8_to_numeric);
    Numeric => Int2 Assignment By(numeric_to_int2);
    Numeric => Int4 Assignment By(numeric_to_int4);
    Numeric => Int8 Assignment By(numeric_to_int8);
    Numeric => Float4 Implicit By(numeric_to_float4);
    Numeric => Float8 Implicit By(numeric_to_float8);
    Text => Varchar Implicit Relabel;
    Text => Bpchar Implicit By(as_bpchar);
    Text => Name Implicit By(text_to_name);
    Varchar => Text Implicit Relabel;
    Varchar => Bpchar Implicit By(as_bpchar);
    Varchar => Name Implicit By(text_to_name);
    Bpchar => Text Implicit By(bpchar_to_text);
    Bpchar => Varchar Implicit By(bpchar_to_text);
    Bpchar => Name Implicit By(text_to_name);
    Name => Text Implicit By(same);
    Name => Varchar Assignment By(same);
    Name => Bpchar Assignment By(as_bpchar);
    Int2 => Oid Implicit By(int4_to_oid);
    Int4 => Oid Implicit By(int4_to_oid);
    Int8 => Oid Implicit By(int8_to_oid);
    Oid => Int4 Assignment By(oid_to_int4);
    Oid => Int8 Assignment Relabel;
    Bool => Text Assignment By(bool_to_text);
    Bool => Varchar Assignment By(bool_to_text);
    Bool => Bpchar Assignment By(bool_to_bpchar);
    Json => Jsonb Assignment By(json::json_to_jsonb);
    Jsonb => Json Assignment By(json::jsonb_to_json);
    Jsonb => Bool Explicit By(json::to_bool);
    Jsonb => Numeric Explicit By(json::to_numeric);
    Jsonb => Int2 Explicit By(jsonb_to_int2);
    Jsonb => Int4 Explicit By(jsonb_to_int4);
    Jsonb => Int8 Explicit By(jsonb_to_int8);
    Jsonb => Float4 Explicit By(jsonb_to_float4);
    Jsonb => Float8 Explicit By(jsonb_to_float8);
};

/// All casts of the tables.
pub(super) fn all() -> impl Iterator<Item = &'static Cast> {
    FAMILIES.iter().flat_map(|family| family.iter())
}

/// The cast from one type to another, if the tables have one for this context.
pub(crate) fn cast(from: &Type, to: &Type, context: Context) -> Option<&'static Cast> {
    let mut all = FAMILIES.iter().flat_map(|family| family.iter());
    all.find(|cast| cast.from == *from && cast.to == *to && cast.context <= context)
}

impl Cast {
    /// The function to call, if one is needed.
    pub(crate) fn function(&self) -> Option<Function> {
        match self.method {
            Relabel => None,
            By(implementation) => {
                let mut function = function("cast", implementation, self.to.clone());
                function.volatility = self.volatility;
                Some(function)
            }
        }
    }
}

fn function(name: &'static str, implementation: Implementation, result: Type) -> Function {
    Function {
        name,
        implementation,
        result,
        strict: true,
        volatility: Volatility::Immutable,
        strategy: Strategy::Plain,
        is_cast: true,
    }
}

/// Any type's value as text, as an assignment or an explicit cast may have it.
pub(crate) fn to_text(from: &Type, to: &Type) -> Option<Function> {
    let implementation: Implementation = match (from, to.category() == Category::String) {
        (_, false) => return None,
        (Type::Array(_) | Type::Enum(_), true) => super::arrays::to_text(from)?,
        (Type::Float4, true) => float4_to_text,
        (Type::Timestamp, true) => timestamp_to_text,
        (_, true) => any_to_text,
    };
    let mut function = function("text", implementation, Type::Text);
    if matches!(from, Type::Array(_) | Type::Enum(_)) || datetime::output_is_stable(from) {
        function.volatility = Volatility::Stable;
    }
    Some(function)
}

/// Text read as another type, as an explicit cast may have it.
pub(crate) fn text_to(from: &Type, to: &Type) -> Option<Function> {
    if from.category() != Category::String {
        return None;
    }
    macro_rules! reader {
        ($($ty:ident)*) => {
            match to {
                $(Type::$ty => {
                    fn read<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
                        read_text(&Type::$ty, context, args)
                    }
                    read as Implementation
                })*
                _ => return None,
            }
        };
    }
    let implementation = match super::arrays::text_to(to) {
        Some(implementation) => implementation,
        None => {
            reader!(Bool Int2 Int4 Int8 Float4 Float8 Numeric Uuid Timestamptz Timestamp Date Time Timetz Interval Oid Json Jsonb Bytea)
        }
    };
    let mut function = function("read", implementation, to.clone());
    if matches!(to, Type::Array(_) | Type::Enum(_)) || datetime::input_is_stable(to) {
        function.volatility = Volatility::Stable;
    }
    Some(function)
}

fn read_text<'a>(ty: &Type, context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text) | Value::Bpchar(text)] = args else { return wrong_kind() };
    context.charge(1 + text.len() as u64 / 16)?;
    if *ty == Type::Bytea {
        context.reserve(text.len())?;
    }
    if *ty == Type::Jsonb {
        context.reserve(8 * text.len())?;
    }
    values::input_in(context.zone(), ty, text, context.arena())
}

fn any_to_text<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    print_text(&Type::Text, context, args)
}

fn float4_to_text<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    print_text(&Type::Float4, context, args)
}

fn timestamp_to_text<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    print_text(&Type::Timestamp, context, args)
}

fn print_text<'a>(ty: &Type, context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [value] = args else { return wrong_kind() };
    // Only a numeric's text can be long: as long as its scale and weight say.
    let size = match value {
        Value::Bytes(bytes) => 2 * bytes.len() + 2,
        Value::Numeric(n) => n.scale() as usize + 4 * n.weight().max(0) as usize + 8,
        Value::Json(json) => json_text::size(*json),
        _ => 64,
    };
    context.reserve(size)?;
    match values::output_in(context.zone(), ty, value, context.arena()) {
        Some(text) => Ok(Value::Text(text)),
        None => wrong_kind(),
    }
}

/// The function that applies a modifier (`varchar(20)`): takes value, modifier, "is explicit".
pub(crate) fn length_coercion(ty: &Type) -> Option<Function> {
    let implementation: Implementation = match ty {
        Type::Varchar => varchar_length,
        Type::Bpchar => bpchar_length,
        Type::Numeric => numeric_scale,
        _ => datetime::length_coercion(ty)?,
    };
    let mut function = function("length", implementation, ty.clone());
    function.is_cast = false;
    Some(function)
}

fn varchar_length<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(s), Value::Int(typmod), Value::Bool(explicit)] = args else {
        return wrong_kind();
    };
    let (kept, rest) = text::split_characters(s, (*typmod - 4).max(0) as usize);
    if !explicit && !text::trim_blanks(rest).is_empty() {
        return Err(EvalError::new(Raise::StringTooLong));
    }
    Ok(Value::Text(kept))
}

fn bpchar_length<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Bpchar(s), Value::Int(typmod), Value::Bool(explicit)] = args else {
        return wrong_kind();
    };
    let wanted = (*typmod - 4).max(0) as usize;
    let (kept, rest) = text::split_characters(s, wanted);
    if !explicit && !text::trim_blanks(rest).is_empty() {
        return Err(EvalError::new(Raise::StringTooLong));
    }
    let blanks = wanted.saturating_sub(kept.chars().count());
    if blanks == 0 {
        return Ok(Value::Bpchar(kept));
    }
    context.reserve(kept.len() + blanks)?;
    let mut padded =
        bumpalo::collections::String::with_capacity_in(kept.len() + blanks, context.arena());
    padded.push_str(kept);
    padded.extend(std::iter::repeat_n(' ', blanks));
    Ok(Value::Bpchar(padded.into_bump_str()))
}

fn numeric_scale<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Numeric(n), Value::Int(typmod), _] = args else { return wrong_kind() };
    let typmod = i32::try_from(*typmod).unwrap_or(-1);
    let Some((precision, scale)) = numeric_modifier(typmod) else { return Ok(args[0]) };
    let fitted = numeric_math::fit_modifier(n.var(), precision, scale)?;
    Ok(Value::Numeric(fitted.store(context.arena())?))
}

fn int_to_width<'a>(args: &[Value<'a>], width: Width) -> Eval<'a> {
    match args {
        [Value::Int(i)] => fit(*i, width).map(Value::Int),
        _ => wrong_kind(),
    }
}

fn int_to_int2<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    int_to_width(args, Width::Two)
}

fn int_to_int4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    int_to_width(args, Width::Four)
}

fn int_to_float4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] => Ok(Value::Float(f64::from(*i as f32))),
        _ => wrong_kind(),
    }
}

fn int_to_float8<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] => Ok(Value::Float(*i as f64)),
        _ => wrong_kind(),
    }
}

fn int_to_numeric<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] => Ok(Value::Numeric(NumericVar::from_int(*i).store(context.arena())?)),
        _ => wrong_kind(),
    }
}

fn int4_to_oid<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] => Ok(Value::Int(values::oid::from_int4(*i))),
        _ => wrong_kind(),
    }
}

fn int8_to_oid<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] if u32::try_from(*i).is_ok() => Ok(Value::Int(*i)),
        [Value::Int(_)] => Err(EvalError::new(Raise::OutOfRange)),
        _ => wrong_kind(),
    }
}

fn oid_to_int4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] => Ok(Value::Int(i64::from(*i as u32 as i32))),
        _ => wrong_kind(),
    }
}

fn int_to_bool<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Int(i)] => Ok(Value::Bool(*i != 0)),
        _ => wrong_kind(),
    }
}

fn bool_to_int<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Bool(b)] => Ok(Value::Int(i64::from(*b))),
        _ => wrong_kind(),
    }
}

/// Rounds half to even, as `rint` does, and checks the range.
fn float_to_width<'a>(args: &[Value<'a>], width: Width) -> Eval<'a> {
    let [Value::Float(x)] = args else { return wrong_kind() };
    let rounded = x.round_ties_even();
    // NaN fails the comparison too.
    if !(-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        return Err(EvalError::new(Raise::OutOfRange));
    }
    fit(rounded as i64, width).map(Value::Int)
}

fn float_to_int2<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    float_to_width(args, Width::Two)
}

fn float_to_int4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    float_to_width(args, Width::Four)
}

fn float_to_int8<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    float_to_width(args, Width::Eight)
}

fn float8_to_float4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Float(x)] => Ok(Value::Float(f64::from(float::narrow(*x)?))),
        _ => wrong_kind(),
    }
}

/// Through `digits` significant digits, as PostgreSQL's `%.*g`.
fn float_to_numeric<'a>(context: &mut Vm<'a>, args: &[Value<'a>], digits: usize) -> Eval<'a> {
    let [Value::Float(x)] = args else { return wrong_kind() };
    let var = if x.is_finite() {
        numeric_math::from_scientific(&format!("{x:.*e}", digits - 1))?
    } else {
        numeric_text::parse(&float::output8(*x))?
    };
    Ok(Value::Numeric(var.store(context.arena())?))
}

fn float4_to_numeric<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    float_to_numeric(context, args, 6)
}

fn float8_to_numeric<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    float_to_numeric(context, args, 15)
}

fn numeric_to_width<'a>(args: &[Value<'a>], width: Width) -> Eval<'a> {
    let [Value::Numeric(n)] = args else { return wrong_kind() };
    if !n.is_finite() {
        return Err(EvalError::new(Raise::NotSupported));
    }
    let i = numeric_math::round_to_int(*n).ok_or(EvalError::new(Raise::OutOfRange))?;
    fit(i, width).map(Value::Int)
}

fn numeric_to_int2<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric_to_width(args, Width::Two)
}

fn numeric_to_int4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric_to_width(args, Width::Four)
}

fn numeric_to_int8<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    numeric_to_width(args, Width::Eight)
}

fn numeric_to_float4<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Numeric(n)] => {
            Ok(Value::Float(f64::from(float::parse4(&numeric_text::output(*n))?)))
        }
        _ => wrong_kind(),
    }
}

fn numeric_to_float8<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Numeric(n)] => Ok(Value::Float(float::parse8(&numeric_text::output(*n))?)),
        _ => wrong_kind(),
    }
}

/// As a numeric first, then as numeric's own cast has it.
macro_rules! jsonb_numbers {
    ($($name:ident $cast:ident;)*) => {
        $(fn $name<'a>(context: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let number = json::to_numeric(context, args)?;
            $cast(context, &[number])
        })*
    };
}

jsonb_numbers! {
    jsonb_to_int2 numeric_to_int2;
    jsonb_to_int4 numeric_to_int4;
    jsonb_to_int8 numeric_to_int8;
    jsonb_to_float4 numeric_to_float4;
    jsonb_to_float8 numeric_to_float8;
}

/// The same value, under a type whose collation is another: PostgreSQL calls a function here too.
fn same<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    Ok(args[0])
}

fn as_bpchar<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Text(s)] => Ok(Value::Bpchar(s)),
        _ => wrong_kind(),
    }
}

fn bpchar_to_text<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Bpchar(s)] => Ok(Value::Text(text::trim_blanks(s))),
        _ => wrong_kind(),
    }
}

fn text_to_name<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Text(s)] => Ok(Value::Text(text::clip_name(s))),
        // bpchar_name drops the blanks after cutting.
        [Value::Bpchar(s)] => Ok(Value::Text(text::trim_blanks(text::clip_name(s)))),
        _ => wrong_kind(),
    }
}

fn bool_to_text<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Bool(b)] => Ok(Value::Text(boolean::word(*b))),
        _ => wrong_kind(),
    }
}

fn bool_to_bpchar<'a>(_: &mut Vm<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Bool(b)] => Ok(Value::Bpchar(boolean::word(*b))),
        _ => wrong_kind(),
    }
}
