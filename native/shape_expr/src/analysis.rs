//! What an index can do with a clause: [`Access`].

mod json;

use std::borrow::Cow;
use std::ops::Bound;

use crate::catalog::arrays::{self, Containment};
use crate::constants::{Borrowed, Const};
use crate::expr::{Expr, Function, Node, Strategy};
use crate::program::Test;
use crate::types::{Category, Type};
use crate::value::Value;
use crate::values::json::Json;
use crate::values::numeric_math;
use crate::values::pattern::Anchor;

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
    /// True only where the column lies between these bounds, in its type's own order. The values are
    /// of the column's own kind.
    Range {
        /// The column.
        column: usize,
        /// The lower bound.
        low: Bound<Value<'p>>,
        /// The upper bound.
        high: Bound<Value<'p>>,
    },
    /// True only where the column's text (a bpchar's with its blanks) begins like this.
    Prefix {
        /// The column.
        column: usize,
        /// The beginning, which is not empty.
        prefix: &'p str,
    },
    /// True only where the column's text holds this. If case does not count, the literal is in lower
    /// case, and so must the text be put, by [`lower_case`](crate::lower_case).
    Infix {
        /// The column.
        column: usize,
        /// What it holds, which is not empty.
        literal: Cow<'p, str>,
        /// Whether case does not count.
        case_insensitive: bool,
    },
    /// True only where the column is NULL.
    IsNull {
        /// The column.
        column: usize,
    },
    /// True only where these columns are in a set.
    InSet {
        /// The columns, in the order of the set's.
        columns: Vec<usize>,
        /// The set's number.
        set: u32,
    },
    /// Any one of these suffices.
    And(Vec<Access<'p>>),
    /// All of these are needed.
    Or(Vec<Access<'p>>),
}

impl<'p> Access<'p> {
    /// The condition as alternatives, each of them a list of conditions that must all hold: one of
    /// the alternatives holds wherever the clause is true, so that under any one condition of each it
    /// can be filed.
    ///
    /// None at all: never true. An alternative without conditions: nothing to file under. Beyond
    /// `most` alternatives an OR below an AND stays a condition of its own, [`Access::Or`]; an OR at
    /// the top is always taken apart.
    #[must_use]
    pub fn alternatives(&self, most: usize) -> Vec<Vec<&Access<'p>>> {
        match self {
            Access::Never => Vec::new(),
            Access::Scan => vec![Vec::new()],
            Access::Or(parts) => parts.iter().flat_map(|part| part.alternatives(most)).collect(),
            Access::And(parts) => {
                let mut all: Vec<Vec<&Access<'p>>> = vec![Vec::new()];
                for part in parts {
                    let each = part.alternatives(most);
                    if each.len() != 1 && all.len().saturating_mul(each.len()) > most {
                        all.iter_mut().for_each(|conditions| conditions.push(part));
                        continue;
                    }
                    let mut joined = Vec::with_capacity(all.len() * each.len());
                    for conditions in &all {
                        for more in &each {
                            joined.push(conditions.iter().chain(more).copied().collect());
                        }
                    }
                    all = joined;
                }
                all
            }
            condition => vec![vec![condition]],
        }
    }
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
    Range {
        column: u32,
        low: Option<Edge>,
        high: Option<Edge>,
        convert: Convert,
    },
    /// The column matches a prepared LIKE pattern or, with `starts`, begins with a text.
    Match {
        column: u32,
        slot: u32,
        starts: bool,
        convert: Convert,
    },
    IsNull {
        column: u32,
    },
    InSet {
        columns: Vec<u32>,
        slot: u32,
    },
    And(Vec<Plan>),
    Or(Vec<Plan>),
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    slot: u32,
    inclusive: bool,
}

/// How a constant becomes a value of the column's own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Convert {
    AsIs,
    /// An integer column compared as numeric.
    ToInt,
    /// A bpchar column compared as text.
    ToBpchar,
    /// A bytea column.
    Bytes,
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
            Plan::Range { column, low, high, convert } => {
                word(13 + ((*convert as u64) << 8), u64::from(*column));
                for edge in [low, high] {
                    match edge {
                        None => word(14, 0),
                        Some(edge) => {
                            word(15 + (u64::from(edge.inclusive) << 8), u64::from(edge.slot));
                        }
                    }
                }
            }
            Plan::Match { column, slot, starts, convert } => {
                let flags = (*convert as u64) << 1 | u64::from(*starts);
                word(16 + (flags << 8), u64::from(*column));
                word(17, u64::from(*slot));
            }
            Plan::IsNull { column } => word(18, u64::from(*column)),
            Plan::InSet { columns, slot } => {
                word(19, u64::from(*slot));
                columns.iter().for_each(|column| word(4, u64::from(*column)));
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

    pub(crate) fn instantiate<'p>(&self, constants: Borrowed<'p>) -> Access<'p> {
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
            Plan::Range { column, low, high, convert } => {
                let edges = [low, high].into_iter().flatten();
                if edges.into_iter().any(|edge| constants.value(edge.slot).is_null()) {
                    return Access::Never;
                }
                let low = convert.edge(*low, constants, true);
                let high = convert.edge(*high, constants, false);
                match (low, high) {
                    (Bound::Unbounded, Bound::Unbounded) => Access::Scan,
                    (low, high) => Access::Range { column: *column as usize, low, high },
                }
            }
            Plan::Match { column, slot, starts, convert } => {
                matching(*column as usize, constants.value(*slot), *starts, *convert)
            }
            Plan::IsNull { column } => Access::IsNull { column: *column as usize },
            Plan::InSet { columns, slot } => match constants.value(*slot) {
                Value::Int(set) if u32::try_from(set).is_ok() => {
                    let columns = columns.iter().map(|&column| column as usize).collect();
                    Access::InSet { columns, set: set as u32 }
                }
                _ => Access::Scan,
            },
            Plan::And(parts) => {
                let mut parts: Vec<_> =
                    parts.iter().map(|part| part.instantiate(constants)).collect();
                if parts.iter().any(|part| matches!(part, Access::Never)) {
                    return Access::Never;
                }
                parts.retain(|part| !matches!(part, Access::Scan));
                match parts.len() {
                    0 => Access::Scan,
                    1 => parts.pop().unwrap_or(Access::Scan),
                    _ => Access::And(parts),
                }
            }
            Plan::Or(parts) => {
                let mut parts: Vec<_> =
                    parts.iter().map(|part| part.instantiate(constants)).collect();
                if parts.iter().any(|part| matches!(part, Access::Scan)) {
                    return Access::Scan;
                }
                parts.retain(|part| !matches!(part, Access::Never));
                match parts.len() {
                    0 => Access::Never,
                    1 => parts.pop().unwrap_or(Access::Scan),
                    _ => Access::Or(parts),
                }
            }
        }
    }
}

/// What must hold of a column's text that matches a pattern.
fn matching(column: usize, pattern: Value<'_>, starts: bool, convert: Convert) -> Access<'_> {
    let (anchor, literal, case_sensitive) = match pattern {
        Value::Null => return Access::Never,
        Value::Text(prefix) if starts => (Anchor::Start, prefix.as_bytes(), true),
        Value::Pattern(pattern) if pattern.never() => return Access::Never,
        Value::Pattern(pattern) => match pattern.literal() {
            Some(found) => found,
            None => return Access::Scan,
        },
        _ => return Access::Scan,
    };
    if convert == Convert::Bytes {
        return match anchor {
            Anchor::Whole => Access::Equal { column, values: vec![Value::Bytes(literal)] },
            _ => Access::Scan,
        };
    }
    let Ok(literal) = std::str::from_utf8(literal) else { return Access::Scan };
    match (anchor, case_sensitive) {
        (Anchor::Whole, true) => {
            let value = convert.apply(Value::Text(literal));
            Access::Equal { column, values: value.into_iter().collect() }
        }
        _ if literal.is_empty() => Access::Scan,
        (Anchor::Start, true) => Access::Prefix { column, prefix: literal },
        (_, true) => {
            let literal = Cow::Borrowed(literal);
            Access::Infix { column, literal, case_insensitive: false }
        }
        (_, false) => {
            let literal = crate::lower_case(literal);
            Access::Infix { column, literal, case_insensitive: true }
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

    /// One end of a range, as a bound on the column's own kind. Where that has no such value the
    /// bound is a little wider.
    fn edge<'p>(self, edge: Option<Edge>, constants: Borrowed<'p>, low: bool) -> Bound<Value<'p>> {
        let Some(Edge { slot, inclusive }) = edge else { return Bound::Unbounded };
        let value = constants.value(slot);
        match (self, value) {
            (Convert::AsIs | Convert::Bytes, value) if inclusive => Bound::Included(value),
            (Convert::AsIs | Convert::Bytes, value) => Bound::Excluded(value),
            (Convert::ToInt, Value::Numeric(n)) if n.is_finite() => {
                let near = numeric_math::round_to_int(n);
                let wider =
                    near.and_then(|i| if low { i.checked_sub(1) } else { i.checked_add(1) });
                wider.map_or(Bound::Unbounded, |i| Bound::Included(Value::Int(i)))
            }
            _ => Bound::Unbounded,
        }
    }
}

/// Is the clause true exactly where its plan's condition holds?
///
/// The plan says the same for all constants of a template, so what depends on a constant (a pattern
/// that is all prefix) is not exact.
pub(crate) fn is_exact(expr: &Expr, negated: bool, slot: &dyn Fn(&Expr) -> Option<u32>) -> bool {
    match &expr.node {
        Node::Not(inner) => is_exact(inner, !negated, slot),
        Node::And(arms) | Node::Or(arms) => arms.iter().all(|arm| is_exact(arm, negated, slot)),
        Node::Test(Test::True, inner) if !negated => is_exact(inner, false, slot),
        Node::Test(Test::NotTrue, inner) if negated => is_exact(inner, false, slot),
        Node::Test(Test::False, inner) if !negated => is_exact(inner, true, slot),
        Node::Test(Test::NotFalse, inner) if negated => is_exact(inner, true, slot),
        _ => match plan(expr, negated, slot) {
            Plan::Never | Plan::Boolean { .. } | Plan::IsNull { .. } => true,
            Plan::Equal { convert, .. } => matches!(convert, Convert::AsIs | Convert::ToInt),
            Plan::Range { convert, .. } => convert == Convert::AsIs,
            Plan::Elements { convert, .. } => convert == Convert::AsIs,
            _ => false,
        },
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
        Node::Test(Test::Null, inner) if !negated => is_null(inner),
        Node::Test(Test::NotNull, inner) if negated => is_null(inner),
        Node::Distinct { function, args, negated: not }
            if *not != negated && function.strategy == Strategy::Equal =>
        {
            let [left, right] = &**args;
            // NULL is not distinct from NULL, of which no equality knows.
            match args.iter().any(|arg| arg.as_value().is_some_and(Const::is_null)) {
                true => not_distinct_from_null(left, right),
                false => {
                    let found = equal(left, right, slot).or_else(|| equal(right, left, slot));
                    found.unwrap_or(Plan::Scan)
                }
            }
        }
        Node::Call { function, args } => match args.as_slice() {
            [left, right] => operator(function, left, right, negated, slot)
                .or_else(|| {
                    let kind = arrays::containment(function.implementation).filter(|_| !negated)?;
                    contains(kind, left, right, slot)
                })
                .or_else(|| json::plan(expr, negated, slot)),
            _ => json::plan(expr, negated, slot),
        }
        .unwrap_or(Plan::Scan),
        Node::InSet { left, .. } if !negated => {
            // Cast to another kind, a column would have to be cast at every look-up.
            let columns = left.iter().map(|left| match column(left) {
                Some((column, Convert::AsIs)) => Some(column),
                _ => None,
            });
            match (columns.collect::<Option<Vec<u32>>>(), slot(expr)) {
                (Some(columns), Some(slot)) => Plan::InSet { columns, slot },
                _ => Plan::Scan,
            }
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
    let mut parts: Vec<Plan> = Vec::with_capacity(arms.len());
    for arm in arms {
        match (plan(arm, negated, slot), all) {
            (Plan::And(inner), true) | (Plan::Or(inner), false) => parts.extend(inner),
            (part, _) => parts.push(part),
        }
    }
    if all {
        if parts.contains(&Plan::Never) {
            return Plan::Never;
        }
        parts.retain(|part| *part != Plan::Scan);
        join_ranges(&mut parts);
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

/// A lower and an upper bound of one column become one range.
fn join_ranges(parts: &mut Vec<Plan>) {
    let mut at = 0;
    while at < parts.len() {
        let (before, rest) = parts.split_at_mut(at);
        let joined = before.iter_mut().any(|earlier| match (earlier, &rest[0]) {
            (
                Plan::Range { column: a, low, high, convert: c },
                Plan::Range { column: b, low: other_low, high: other_high, convert: d },
            ) if a == b && c == d => {
                let fits = (low.is_none() || other_low.is_none())
                    && (high.is_none() || other_high.is_none());
                if fits {
                    *low = low.or(*other_low);
                    *high = high.or(*other_high);
                }
                fits
            }
            _ => false,
        });
        if joined {
            parts.remove(at);
        } else {
            at += 1;
        }
    }
}

fn not_distinct_from_null(left: &Expr, right: &Expr) -> Plan {
    match (&left.node, &right.node) {
        (Node::Column(_), Node::Const(Const::Null)) => is_null(left),
        (Node::Const(Const::Null), Node::Column(_)) => is_null(right),
        _ => Plan::Scan,
    }
}

fn is_null(inner: &Expr) -> Plan {
    match inner.node {
        Node::Column(column) => Plan::IsNull { column: column as u32 },
        _ => Plan::Scan,
    }
}

/// A comparison or a pattern, or the negation of one.
fn operator(
    function: &Function,
    left: &Expr,
    right: &Expr,
    negated: bool,
    slot: &dyn Fn(&Expr) -> Option<u32>,
) -> Option<Plan> {
    use Strategy::{
        ClashingEqual, ClashingNotEqual, Equal, Greater, GreaterEqual, Less, LessEqual, NotEqual,
        Plain, Turned,
    };
    let strategy = match (function.strategy, negated) {
        (strategy, false) => strategy,
        (Equal, true) => NotEqual,
        (NotEqual, true) => Equal,
        (Less, true) => GreaterEqual,
        (LessEqual, true) => Greater,
        (Greater, true) => LessEqual,
        (GreaterEqual, true) => Less,
        (Plain | Turned | ClashingEqual | ClashingNotEqual, true) => function.strategy,
    };
    match strategy {
        Equal => equal(left, right, slot).or_else(|| equal(right, left, slot)),
        // What folding turns round computes a value; it compares nothing. What clashes raises.
        NotEqual | Turned | ClashingEqual | ClashingNotEqual => None,
        Plain => pattern(function, left, right, negated, slot),
        Less | LessEqual | Greater | GreaterEqual => {
            let upper = matches!(strategy, Less | LessEqual);
            let inclusive = matches!(strategy, LessEqual | GreaterEqual);
            range(left, right, upper, inclusive, slot)
                .or_else(|| range(right, left, !upper, inclusive, slot))
        }
    }
}

fn range(
    left: &Expr,
    right: &Expr,
    upper: bool,
    inclusive: bool,
    slot: &dyn Fn(&Expr) -> Option<u32>,
) -> Option<Plan> {
    right.as_value()?;
    let (column, convert) = column(left)?;
    // The order of text is not bpchar's.
    if convert == Convert::ToBpchar {
        return None;
    }
    let edge = Some(Edge { slot: slot(right)?, inclusive });
    let (low, high) = if upper { (None, edge) } else { (edge, None) };
    Some(Plan::Range { column, low, high, convert })
}

/// LIKE, ILIKE, `^@` and their negations negated.
fn pattern(
    function: &Function,
    left: &Expr,
    right: &Expr,
    negated: bool,
    slot: &dyn Fn(&Expr) -> Option<u32>,
) -> Option<Plan> {
    let starts = match (function.name, negated) {
        ("~~" | "~~*" | "~~* (C)" | "~" | "~*" | "~ (C)" | "~* (C)", false)
        | ("!~~" | "!~~*" | "!~~* (C)" | "!~" | "!~*" | "!~ (C)" | "!~* (C)", true) => false,
        ("^@" | "starts_with", false) => true,
        _ => return None,
    };
    right.as_value()?;
    let convert = match &left.ty {
        Type::Bpchar => Convert::ToBpchar,
        Type::Bytea => Convert::Bytes,
        ty if ty.category() == Category::String => Convert::AsIs,
        _ => return None,
    };
    let (column, seen) = column(left)?;
    let convert = if seen == Convert::AsIs { convert } else { seen };
    Some(Plan::Match { column, slot: slot(right)?, starts, convert })
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
                | (true, Type::Name, Type::Text | Type::Varchar)
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
