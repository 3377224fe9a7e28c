//! PostgreSQL's operators, functions and casts, as tables: a row says what a name takes and gives,
//! and which Rust function does it. One file a type family.
//!
//! Adding an operator is a row in its family's table and the function it names.

mod arithmetic;
pub(crate) mod arrays;
mod bits;
mod boolean;
mod buckets;
mod bytea;
mod casts;
mod clash;
mod compare;
#[cfg(test)]
mod conformance;
mod datetime;
#[cfg(test)]
mod document;
mod encodings;
mod format;
mod identifiers;
mod json;
mod json_make;
mod json_paths;
mod math;
mod normal;
mod refused;
mod regexps;
mod rows;
mod strings;
mod supported;
mod text;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::expr::{Function, Strategy, Volatility};
use crate::program::Implementation;
use crate::types::Type;

pub(crate) use casts::{Context as CastContext, cast, length_coercion, text_to, to_text};
pub(crate) use clash::undetermined;
pub(crate) use encodings::{encoding_arguments, is_known_encoding};
pub(crate) use json_make::{from_values, wants_own_type};
pub(crate) use json_paths::{Default, defaults, jsonb_subscript, path_function};
pub(crate) use math::depends_on_machine;
pub(crate) use refused::{
    Refusal, foreign, foreign_arguments, missing_function, missing_operator, missing_type, refusal,
    takes_path,
};
pub(crate) use rows::{NO_EQUALITY, row, row_test, tested_row};
pub(crate) use strings::{counting, variadic};
pub(crate) use supported::{cast_key, supported};
pub(crate) use text::{depends_on_case, prepare, under_c};

/// A row of `pg_operator`.
pub(crate) struct Operator {
    pub name: &'static str,
    /// `None` for a prefix operator.
    pub left: Option<Type>,
    pub right: Type,
    pub result: Type,
    pub implementation: Implementation,
    pub strategy: Strategy,
}

/// A row of `pg_proc`.
pub(crate) struct FunctionRow {
    pub name: &'static str,
    pub args: &'static [Type],
    pub result: Type,
    pub implementation: Implementation,
    pub strict: bool,
    pub volatility: Volatility,
}

/// Rows of operators: `Left "name" Right -> Result = function, Strategy;`.
macro_rules! operators {
    ($($left:ident $name:literal $right:ident -> $result:ident = $function:expr;)*) => {
        &[$($crate::catalog::Operator {
            name: $name,
            left: Some($crate::types::Type::$left),
            right: $crate::types::Type::$right,
            result: $crate::types::Type::$result,
            implementation: $function,
            strategy: $crate::expr::Strategy::Plain,
        }),*]
    };
}

/// Rows of prefix operators: `"name" Right -> Result = function;`.
macro_rules! prefix_operators {
    ($($name:literal $right:ident -> $result:ident = $function:expr;)*) => {
        &[$($crate::catalog::Operator {
            name: $name,
            left: None,
            right: $crate::types::Type::$right,
            result: $crate::types::Type::$result,
            implementation: $function,
            strategy: $crate::expr::Strategy::Plain,
        }),*]
    };
}

/// Rows of strict, immutable functions: `name(Arg, ...) -> Result = function;`.
macro_rules! functions {
    ($($name:ident($($arg:ident),*) -> $result:ident = $function:expr;)*) => {
        &[$($crate::catalog::FunctionRow {
            name: stringify!($name),
            args: &[$($crate::types::Type::$arg),*],
            result: $crate::types::Type::$result,
            implementation: $function,
            strict: true,
            volatility: $crate::expr::Volatility::Immutable,
        }),*]
    };
}

pub(crate) use {functions, operators, prefix_operators};

/// Every family's operators.
static OPERATORS: &[&[&[Operator]]] = &[
    compare::OPERATORS,
    arithmetic::OPERATORS,
    text::OPERATORS,
    bytea::OPERATORS,
    boolean::OPERATORS,
    arrays::OPERATORS,
    json::OPERATORS,
    json_paths::OPERATORS,
    rows::OPERATORS,
    bits::OPERATORS,
    math::OPERATORS,
    datetime::OPERATORS,
    datetime::COMPARISONS,
];

/// Every family's functions.
static FUNCTIONS: &[&[FunctionRow]] = &[
    strings::FUNCTIONS,
    strings::BYTEA_FUNCTIONS,
    text::FUNCTIONS,
    regexps::FUNCTIONS,
    format::FUNCTIONS,
    format::LENIENT,
    identifiers::FUNCTIONS,
    encodings::STABLE,
    normal::FUNCTIONS,
    buckets::FUNCTIONS,
    buckets::MISSING,
    bytea::FUNCTIONS,
    arrays::FUNCTIONS,
    json::FUNCTIONS,
    json_make::FUNCTIONS,
    json_paths::FUNCTIONS,
    json_paths::LENIENT,
    bits::FUNCTIONS,
    math::FUNCTIONS,
    datetime::FUNCTIONS,
    datetime::STABLE_FUNCTIONS,
    datetime::VOLATILE_FUNCTIONS,
    datetime::MISSING_FUNCTIONS,
    datetime::OVERLAPS,
];

static OPERATORS_BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Operator>>> =
    LazyLock::new(|| {
        let mut map: HashMap<_, Vec<_>> = HashMap::new();
        for operator in OPERATORS.iter().flat_map(|family| family.iter()).flat_map(|r| r.iter()) {
            map.entry(operator.name).or_default().push(operator);
        }
        map
    });

static FUNCTIONS_BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static FunctionRow>>> =
    LazyLock::new(|| {
        let mut map: HashMap<_, Vec<_>> = HashMap::new();
        for function in FUNCTIONS.iter().flat_map(|family| family.iter()) {
            map.entry(function.name).or_default().push(function);
        }
        map
    });

/// All operators of this name, prefix ones or the others.
pub(crate) fn named_operators(name: &str, prefix: bool) -> Vec<&'static Operator> {
    let rows = OPERATORS_BY_NAME.get(name).map_or(&[][..], Vec::as_slice);
    rows.iter().copied().filter(|row| row.left.is_none() == prefix).collect()
}

/// All functions of this name.
pub(crate) fn named_functions(name: &str) -> &'static [&'static FunctionRow] {
    FUNCTIONS_BY_NAME.get(name).map_or(&[], Vec::as_slice)
}

impl Operator {
    pub(crate) fn function(&self) -> Function {
        Function {
            name: self.name,
            implementation: self.implementation,
            result: self.result.clone(),
            strict: !arrays::is_lenient(self),
            volatility: datetime::operator_volatility(self),
            strategy: self.strategy,
            is_cast: false,
        }
    }
}

impl FunctionRow {
    pub(crate) fn function(&self) -> Function {
        Function {
            name: regexps::own_name(self),
            implementation: self.implementation,
            result: self.result.clone(),
            strict: self.strict,
            volatility: self.volatility,
            strategy: Strategy::Plain,
            is_cast: false,
        }
    }
}

/// Stands for functions that a clause cannot be compiled with.
fn unsupported<'a>(_: &mut crate::vm::Context<'a>, _: &[crate::Value<'a>]) -> crate::Eval<'a> {
    Err(crate::error::EvalError::new(crate::error::Raise::NotSupported))
}

/// Stands for a function that its operands' type does not have. PostgreSQL looks for it when it comes
/// to it: `strict` ones do not where an argument is NULL.
pub(crate) fn undefined(strict: bool, result: &Type) -> Function {
    Function {
        name: "undefined",
        implementation: raise_undefined,
        result: result.clone(),
        strict,
        volatility: Volatility::Immutable,
        strategy: Strategy::Plain,
        is_cast: false,
    }
}

/// Does a function look for one text in another, for which PostgreSQL wants to know a collation?
pub(crate) fn searches_text(function: &Function) -> bool {
    const NAMES: &[&str] = &["strpos", "position", "replace", "split_part", "starts_with", "^@"];
    NAMES.contains(&function.name)
}

fn raise_undefined<'a>(_: &mut crate::vm::Context<'a>, _: &[crate::Value<'a>]) -> crate::Eval<'a> {
    Err(crate::error::EvalError::new(crate::error::Raise::UndefinedFunction))
}

/// A function was given a kind of value its row does not name: a fault of the tables, not of the
/// clause. It raises rather than guessing.
#[cold]
pub(crate) fn wrong_kind<'a>() -> crate::value::Eval<'a> {
    debug_assert!(false, "a function met a kind of value its table row does not name");
    Err(crate::error::EvalError::new(crate::error::Raise::NotSupported))
}
