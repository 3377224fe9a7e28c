//! What an index can do with a clause: [`Access`].

mod json;

use crate::catalog::arrays::{self, Containment};
use crate::constants::{Const, Constants};
use crate::expr::{Expr, Node, Strategy};
use crate::program::Test;
use crate::types::Type;
use crate::value::Value;
use crate::values::json::Json;
use crate::values::numeric_math;

/// What the router may file a clause under.
///
/// Sound: wherever the clause is true, at least one of the keys it is filed under holds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Access<'p> {
    /// The clause is never true.
    Never,
    /// There is nothing to file it under.
    Scan,
    /// True only where the column equals one of these values, which are of the column's own kind.
    Equal {
        /// The column.
        column: usize,
        /// The values, none of them NULL.
        values: Vec<Value<'p>>,
    },
    /// True only where the column is an array with all of these elements (`@>` a constant array,
    /// `constant = ANY (column)`). None at all: `@> '{}'`, true for every array that is not NULL.
    Contains {
        /// The column, an array.
        column: usize,
        /// The elements, of the column's own element kind, none of them NULL.
        elements: Vec<Value<'p>>,
    },
    /// True only where the column is an array with at least one of these elements (`&&`).
    Overlaps {
        /// The column, an array.
        column: usize,
        /// The elements, of the column's own element kind, none of them NULL; never none at all.
        elements: Vec<Value<'p>>,
    },
    /// True only where the jsonb column contains this value: where it has each of the value's leaves
    /// ([`Json::leaf_hashes`]), of which there is one at least.
    JsonContains {
        /// The column.
        column: usize,
        /// What it must contain.
        value: Json<'p>,
    },
    /// True only where the jsonb column has this key, or is or holds this string
    /// ([`Json::key_hashes`]).
    JsonKey {
        /// The column.
        column: usize,
        /// The key.
        key: &'p str,
    },
    /// True only where the jsonb column is an object whose field is, as text, one of these values
    /// ([`Json::field_hashes`]).
    JsonField {
        /// The column.
        column: usize,
        /// The field's key.
        key: &'p str,
        /// The field's values, none of them an object's or array's text.
        values: Vec<&'p str>,
    },
    /// Any one of these suffices.
    And(Vec<Access<'p>>),
    /// All of these are needed.
    Or(Vec<Access<'p>>),
}

/// An [`Access`] with the constants' slots in place of the constants: part of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Never,
    Scan,
    Equal {
        column: u32,
        slot: u32,
        convert: Convert,
    },
    /// The column equals a boolean that stands in no slot (`done`, `NOT done`).
    Boolean {
        column: u32,
        is: bool,
    },
    /// The column, an array, has all of (or with `any` one of) the elements of the constant array in
    /// this slot, or the one that the slot holds.
    Elements {
        column: u32,
        slot: u32,
        any: bool,
        convert: Convert,
    },
    JsonContains {
        column: u32,
        slot: u32,
    },
    JsonKey {
        column: u32,
        slot: u32,
    },
    JsonField {
        column: u32,
        key: u32,
        slot: u32,
    },
    And(Vec<Plan>),
    Or(Vec<Plan>),
}

/// How a constant becomes a value of the column's own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Convert {
    AsIs,
    /// An integer column compared as numeric.
    ToInt,
    /// A bpchar column compared as text.
    ToBpchar,
}

impl Plan {
    /// Feeds the plan's shape to the template's key: constants do not count, but where the plan
    /// depends on them (a part that can never be true) templates must differ.
    pub(crate) fn key(&self, word: &mut dyn FnMut(u64, u64)) {
        match self {
            Plan::Never => word(1, 0),
            Plan::Scan => word(2, 0),
            Plan::Equal { column, slot, convert } => {
                word(3 + ((*convert as u64) << 8), u64::from(*column));
                word(4, u64::from(*slot));
            }
            Plan::Boolean { column, is } => word(5 + (u64::from(*is) << 8), u64::from(*column)),
            Plan::Elements { column, slot, any, convert } => {
                word(8 + (u64::from(*any) << 8) + ((*convert as u64) << 9), u64::from(*column));
                word(9, u64::from(*slot));
            }
            Plan::JsonContains { column, slot } => {
                word(10, u64::from(*column));
                word(4, u64::from(*slot));
            }
            Plan::JsonKey { column, slot } => {
                word(11, u64::from(*column));
                word(4, u64::from(*slot));
            }
            Plan::JsonField { column, key, slot } => {
                word(12, u64::from(*column));
                word(4, u64::from(*key));
                word(4, u64::from(*slot));
            }
            Plan::And(parts) | Plan::Or(parts) => {
                let tag = if matches!(self, Plan::And(_)) { 6 } else { 7 };
                word(tag, parts.len() as u64);
                for part in parts {
                    part.key(word);
                }
            }
        }
    }

    pub(crate) fn instantiate<'p>(&self, constants: &'p Constants) -> Access<'p> {
        match self {
            Plan::Never => Access::Never,
            Plan::Scan => Access::Scan,
            Plan::Boolean { column, is } => {
                Access::Equal { column: *column as usize, values: vec![Value::Bool(*is)] }
            }
            Plan::Equal { column, slot, convert } => {
                let values: Vec<Value<'p>> = match constants.set(*slot) {
                    Some(set) => set.values().filter_map(|v| convert.apply(v)).collect(),
                    None => match constants.value(*slot) {
                        Value::Null => Vec::new(),
                        value => convert.apply(value).into_iter().collect(),
                    },
                };
                match values.is_empty() {
                    true => Access::Never,
                    false => Access::Equal { column: *column as usize, values },
                }
            }
            Plan::Elements { column, slot, any, convert } => {
                elements(*column as usize, constants.value(*slot), *any, *convert)
            }
            Plan::JsonContains { column, slot } => {
                json::contains(*column as usize, constants.value(*slot))
            }
            Plan::JsonKey { column, slot } => match constants.value(*slot) {
                Value::Text(key) => Access::JsonKey { column: *column as usize, key },
                _ => Access::Never,
            },
            Plan::JsonField { column, key, slot } => {
                json::field_access(*column as usize, constants.value(*key), constants, *slot)
            }
            Plan::And(parts) => {
                let mut parts: Vec<_> =
                    parts.iter().map(|part| part.instantiate(constants)).collect();
                // What these constants give no key for.
                parts.retain(|part| !matches!(part, Access::Scan));
                if parts.len() <= 1 {
                    return parts.pop().unwrap_or(Access::Scan);
                }
                match parts.iter().any(|part| matches!(part, Access::Never)) {
                    true => Access::Never,
                    false => Access::And(parts),
                }
            }
            Plan::Or(parts) => {
                let mut parts: Vec<_> =
                    parts.iter().map(|part| part.instantiate(constants)).collect();
                parts.retain(|part| !matches!(part, Access::Never));
                if parts.iter().any(|part| matches!(part, Access::Scan)) {
                    return Access::Scan;
                }
                match parts.len() {
                    0 => Access::Never,
                    1 => parts.pop().unwrap_or(Access::Scan),
                    _ => Access::Or(parts),
                }
            }
        }
    }
}

impl Convert {
    fn apply(self, value: Value<'_>) -> Option<Value<'_>> {
        match (self, value) {
            (Convert::ToInt, Value::Numeric(n)) => numeric_math::exact_int(n).map(Value::Int),
            (Convert::ToBpchar, Value::Text(s)) => Some(Value::Bpchar(s)),
            (_, value) => Some(value),
        }
    }
}

/// Finds a clause's access plan. `slot` is where the code generator put a node's constant.
pub(crate) fn plan(expr: &Expr, negated: bool, slot: &dyn Fn(&Expr) -> Option<u32>) -> Plan {
    match &expr.node {
        Node::Const(Const::Bool(b)) if *b == negated => Plan::Never,
        Node::Const(Const::Null) => Plan::Never,
        Node::Column(column) if expr.ty == Type::Bool => {
            Plan::Boolean { column: *column as u32, is: !negated }
        }
        Node::Not(inner) => plan(inner, !negated, slot),
        Node::And(arms) => combine(arms, negated, !negated, slot),
        Node::Or(arms) => combine(arms, negated, negated, slot),
        Node::Test(Test::True, inner) if !negated => plan(inner, false, slot),
        Node::Test(Test::NotTrue, inner) if negated => plan(inner, false, slot),
        Node::Test(Test::False, inner) if !negated => plan(inner, true, slot),
        Node::Test(Test::NotFalse, inner) if negated => plan(inner, true, slot),
        Node::Call { function, args } => {
            let wanted = if negated { Strategy::NotEqual } else { Strategy::Equal };
            match (args.as_slice(), function.strategy == wanted) {
                ([left, right], true) => {
                    equal(left, right, slot).or_else(|| equal(right, left, slot))
                }
                ([left, right], false) if !negated => arrays::containment(function.implementation)
                    .and_then(|kind| contains(kind, left, right, slot)),
                _ => None,
            }
            .or_else(|| json::plan(expr, negated, slot))
            .unwrap_or(Plan::Scan)
        }
        Node::AnyArray { function, all, args } => {
            let fits = match (negated, all) {
                (false, false) => function.strategy == Strategy::Equal,
                (true, true) => function.strategy == Strategy::NotEqual,
                _ => false,
            };
            let [value, array] = &**args;
            match (fits && value.as_value().is_some(), array_column(array), slot(value)) {
                (true, Some((column, convert)), Some(slot)) => {
                    Plan::Elements { column, slot, any: true, convert }
                }
                _ => Plan::Scan,
            }
        }
        Node::AnyOf { function, left, all, .. } => {
            let fits = match (negated, all) {
                (false, false) => function.strategy == Strategy::Equal,
                (true, true) => function.strategy == Strategy::NotEqual,
                _ => false,
            };
            match (fits, column(left), slot(expr)) {
                (true, Some((column, convert)), Some(slot)) => {
                    Plan::Equal { column, slot, convert }
                }
                (true, None, _) => json::plan(expr, negated, slot).unwrap_or(Plan::Scan),
                _ => Plan::Scan,
            }
        }
        _ => Plan::Scan,
    }
}

fn combine(arms: &[Expr], negated: bool, all: bool, slot: &dyn Fn(&Expr) -> Option<u32>) -> Plan {
    let mut parts: Vec<Plan> = arms.iter().map(|arm| plan(arm, negated, slot)).collect();
    if all {
        if parts.contains(&Plan::Never) {
            return Plan::Never;
        }
        parts.retain(|part| *part != Plan::Scan);
    } else {
        if parts.contains(&Plan::Scan) {
            return Plan::Scan;
        }
        parts.retain(|part| *part != Plan::Never);
    }
    match (parts.len(), all) {
        (0, true) => Plan::Scan,
        (0, false) => Plan::Never,
        (1, _) => parts.pop().unwrap_or(Plan::Scan),
        (_, true) => Plan::And(parts),
        (_, false) => Plan::Or(parts),
    }
}

fn equal(left: &Expr, right: &Expr, slot: &dyn Fn(&Expr) -> Option<u32>) -> Option<Plan> {
    right.as_value()?;
    let (column, convert) = column(left)?;
    Some(Plan::Equal { column, slot: slot(right)?, convert })
}

/// A column, maybe under casts that map equal values to equal values and back.
fn column(expr: &Expr) -> Option<(u32, Convert)> {
    match &expr.node {
        Node::Column(column) => Some((*column as u32, Convert::AsIs)),
        Node::Call { function, args } => {
            let [Expr { node: Node::Column(column), ty, .. }] = args.as_slice() else {
                return None;
            };
            let convert = match (function.is_cast, ty, &function.result) {
                (true, Type::Int2 | Type::Int4 | Type::Int8, Type::Numeric) => Convert::ToInt,
                (true, Type::Bpchar, Type::Text | Type::Varchar) => Convert::ToBpchar,
                (true, Type::Int2 | Type::Int4, Type::Int8 | Type::Int4)
                | (true, Type::Float4, Type::Float8) => Convert::AsIs,
                _ => return None,
            };
            Some((*column as u32, convert))
        }
        _ => None,
    }
}

/// `column @> constant`, `constant <@ column`, `column && constant`.
fn contains(
    kind: Containment,
    left: &Expr,
    right: &Expr,
    slot: &dyn Fn(&Expr) -> Option<u32>,
) -> Option<Plan> {
    let (array, constant) = match (kind, left.as_value(), right.as_value()) {
        (Containment::Contains | Containment::Overlaps, None, Some(_)) => (left, right),
        (Containment::Contained | Containment::Overlaps, Some(_), None) => (right, left),
        _ => return None,
    };
    let (column, convert) = array_column(array)?;
    let any = kind == Containment::Overlaps;
    Some(Plan::Elements { column, slot: slot(constant)?, any, convert })
}

/// An array column, maybe under a cast of its elements that maps equal ones to equal ones and back.
fn array_column(expr: &Expr) -> Option<(u32, Convert)> {
    match &expr.node {
        Node::Column(column) => Some((*column as u32, Convert::AsIs)),
        Node::Map { function, args } => {
            let [Expr { node: Node::Column(column), ty, .. }] = args.as_slice() else {
                return None;
            };
            let convert = match (function.is_cast, ty.element()?, &function.result) {
                (true, Type::Int2 | Type::Int4 | Type::Int8, Type::Numeric) => Convert::ToInt,
                (true, Type::Bpchar, Type::Text | Type::Varchar) => Convert::ToBpchar,
                _ => return None,
            };
            Some((*column as u32, convert))
        }
        _ => None,
    }
}

fn elements(column: usize, value: Value<'_>, any: bool, convert: Convert) -> Access<'_> {
    let array = match value {
        // A NULL array, or NULL = ANY (column): never true, but for NULL = ANY ('{}'), which is false.
        Value::Null => return Access::Never,
        Value::Array(array) => array,
        // `constant = ANY (column)`: one element.
        value => {
            return match convert.apply(value) {
                Some(value) => Access::Contains { column, elements: vec![value] },
                None => Access::Never,
            };
        }
    };
    let mut elements = Vec::with_capacity(array.len());
    for item in array.iter() {
        match (item.is_null(), convert.apply(item)) {
            (false, Some(item)) => elements.push(item),
            // What is in no array: no row contains all of these.
            _ if !any => return Access::Never,
            _ => {}
        }
    }
    match any {
        false => Access::Contains { column, elements },
        true if elements.is_empty() => Access::Never,
        true => Access::Overlaps { column, elements },
    }
}
