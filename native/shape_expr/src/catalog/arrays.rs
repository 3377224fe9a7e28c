//! Operators and functions of arrays and enums, declared polymorphic.

use super::{FunctionRow, Operator};
use crate::expr::{Function, Strategy, Volatility};
use crate::program::Implementation;
use crate::types::Type;

mod build;
mod clash;
mod contain;
mod enums;
mod slice;
mod text;

macro_rules! rows {
    ($($left:ident $name:literal $right:ident -> $result:ident = $function:expr, $strategy:ident;)*) => {
        &[$(Operator {
            name: $name,
            left: Some(Type::$left),
            right: Type::$right,
            result: Type::$result,
            implementation: $function,
            strategy: Strategy::$strategy,
        }),*]
    };
}

macro_rules! functions {
    ($($name:ident($($arg:ident),*) -> $result:ident = $function:expr, $strict:literal, $volatility:ident;)*) => {
        &[$(FunctionRow {
            name: stringify!($name),
            args: &[$(Type::$arg),*],
            result: Type::$result,
            implementation: $function,
            strict: $strict,
            volatility: Volatility::$volatility,
        }),*]
    };
}

pub(crate) use clash::clashing;

pub(super) static OPERATORS: &[&[Operator]] = &[rows! {
    AnyArray "=" AnyArray -> Bool = contain::eq, Equal;
    AnyArray "<>" AnyArray -> Bool = contain::ne, NotEqual;
    AnyArray "<" AnyArray -> Bool = contain::lt, Less;
    AnyArray "<=" AnyArray -> Bool = contain::le, LessEqual;
    AnyArray ">" AnyArray -> Bool = contain::gt, Greater;
    AnyArray ">=" AnyArray -> Bool = contain::ge, GreaterEqual;
    AnyEnum "=" AnyEnum -> Bool = contain::eq, Equal;
    AnyEnum "<>" AnyEnum -> Bool = contain::ne, NotEqual;
    AnyEnum "<" AnyEnum -> Bool = contain::lt, Less;
    AnyEnum "<=" AnyEnum -> Bool = contain::le, LessEqual;
    AnyEnum ">" AnyEnum -> Bool = contain::gt, Greater;
    AnyEnum ">=" AnyEnum -> Bool = contain::ge, GreaterEqual;
    AnyArray "@>" AnyArray -> Bool = contain::contains, Plain;
    AnyArray "<@" AnyArray -> Bool = contain::contained, Plain;
    AnyArray "&&" AnyArray -> Bool = contain::overlaps, Plain;
    AnyCompatibleArray "||" AnyCompatibleArray -> AnyCompatibleArray = build::cat, Plain;
    AnyCompatibleArray "||" AnyCompatible -> AnyCompatibleArray = build::append, Plain;
    AnyCompatible "||" AnyCompatibleArray -> AnyCompatibleArray = build::prepend, Plain;
}];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    array_length(AnyArray, Int4) -> Int4 = slice::length, true, Immutable;
    cardinality(AnyArray) -> Int4 = slice::cardinality, true, Immutable;
    array_ndims(AnyArray) -> Int4 = slice::ndims, true, Immutable;
    array_lower(AnyArray, Int4) -> Int4 = slice::lower, true, Immutable;
    array_upper(AnyArray, Int4) -> Int4 = slice::upper, true, Immutable;
    array_dims(AnyArray) -> Text = slice::dims, true, Immutable;
    array_cat(AnyCompatibleArray, AnyCompatibleArray) -> AnyCompatibleArray =
        build::cat, false, Immutable;
    array_append(AnyCompatibleArray, AnyCompatible) -> AnyCompatibleArray =
        build::append, false, Immutable;
    array_prepend(AnyCompatible, AnyCompatibleArray) -> AnyCompatibleArray =
        build::prepend, false, Immutable;
    array_position(AnyCompatibleArray, AnyCompatible) -> Int4 =
        contain::position, false, Immutable;
    array_position(AnyCompatibleArray, AnyCompatible, Int4) -> Int4 =
        contain::position, false, Immutable;
    array_positions(AnyCompatibleArray, AnyCompatible) -> INT4_ARRAY =
        contain::positions, false, Immutable;
    array_remove(AnyCompatibleArray, AnyCompatible) -> AnyCompatibleArray =
        build::remove, false, Immutable;
    array_replace(AnyCompatibleArray, AnyCompatible, AnyCompatible) -> AnyCompatibleArray =
        build::replace, false, Immutable;
    array_to_string(AnyArray, Text) -> Text = text::to_string, true, Stable;
    array_to_string(AnyArray, Text, Text) -> Text = text::to_string, false, Stable;
    array_fill(AnyElement, INT4_ARRAY) -> AnyArray = build::fill, false, Immutable;
    array_fill(AnyElement, INT4_ARRAY, INT4_ARRAY) -> AnyArray = build::fill, false, Immutable;
    trim_array(AnyArray, Int4) -> AnyArray = slice::trim, true, Immutable;
    enum_first(AnyEnum) -> AnyEnum = enums::first, false, Stable;
    enum_last(AnyEnum) -> AnyEnum = enums::last, false, Stable;
    enum_range(AnyEnum) -> AnyArray = enums::range, false, Stable;
    enum_range(AnyEnum, AnyEnum) -> AnyArray = enums::range, false, Stable;
    string_to_array(Text, Text) -> TEXT_ARRAY = text::from_string, false, Immutable;
    string_to_array(Text, Text, Text) -> TEXT_ARRAY = text::from_string, false, Immutable;
};

/// Does an operator want to see NULLs?
pub(super) fn is_lenient(operator: &Operator) -> bool {
    operator.name == "||"
        && (matches!(operator.right, Type::AnyCompatible | Type::AnyCompatibleArray)
            || operator.left == Some(Type::AnyCompatibleArray))
}

/// Does an operator take this operand as what its explicit cast to text gives?
pub(crate) fn wants_text(name: &str, declared: &Type) -> bool {
    name == "||" && *declared == Type::AnyNonArray
}

/// Does a function take its first argument's element type as one more argument?
pub(crate) fn wants_type(name: &str) -> bool {
    name == "array_to_string"
}

fn function(name: &'static str, implementation: Implementation, result: Type) -> Function {
    Function {
        name,
        implementation,
        result,
        strict: false,
        volatility: Volatility::Immutable,
        strategy: Strategy::Plain,
        is_cast: false,
    }
}

/// `ARRAY[...]`, of elements or (`nested`) of arrays.
pub(crate) fn constructor(nested: bool, result: Type) -> Function {
    function("array", if nested { build::nest } else { build::list }, result)
}

/// `array[i]...`, or with `slice` `array[i:j]...`, each bound behind a flag that it was given.
pub(crate) fn subscript(slice: bool, result: Type) -> Function {
    let implementation = if slice { slice::slice } else { slice::element };
    // A NULL subscript makes it NULL, but only when it is evaluated: folding must not know.
    function("subscript", implementation, result)
}

/// An array or an enum as text, its type being the second argument.
pub(super) fn to_text(from: &Type) -> Option<Implementation> {
    matches!(from, Type::Array(_) | Type::Enum(_)).then_some(text::print as Implementation)
}

/// The way back.
pub(super) fn text_to(to: &Type) -> Option<Implementation> {
    matches!(to, Type::Array(_) | Type::Enum(_)).then_some(text::read as Implementation)
}

/// Is it `@>`, `<@` or `&&` of arrays, and which?
pub(crate) fn containment(implementation: Implementation) -> Option<Containment> {
    let is = |other: Implementation| std::ptr::fn_addr_eq(implementation, other);
    if is(contain::contains) {
        Some(Containment::Contains)
    } else if is(contain::contained) {
        Some(Containment::Contained)
    } else if is(contain::overlaps) {
        Some(Containment::Overlaps)
    } else {
        None
    }
}

/// What an operator says about two arrays' elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Containment {
    Contains,
    Contained,
    Overlaps,
}
