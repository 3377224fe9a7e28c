//! Conditions on jsonb that an index can hold.

use super::{Access, Plan};
use crate::constants::Borrowed;
use crate::expr::{Expr, Node, Strategy};
use crate::types::Type;
use crate::value::Value;
use crate::values::json::Json;

/// `column @> const`, `const <@ column`, `column ? const`, `column ->> const = const` or `IN`.
pub(super) fn plan(
    expr: &Expr,
    negated: bool,
    slot: &dyn Fn(&Expr) -> Option<u32>,
) -> Option<Plan> {
    let wanted = if negated { Strategy::NotEqual } else { Strategy::Equal };
    match &expr.node {
        Node::Call { function, args } => {
            let [left, right] = args.as_slice() else { return None };
            match (function.name, negated) {
                ("@>" | "jsonb_contains", false) => contained(left, right, slot),
                ("<@" | "jsonb_contained", false) => contained(right, left, slot),
                ("?" | "jsonb_exists", false) => {
                    right.as_value()?;
                    Some(Plan::JsonKey { column: column(left)?, slot: slot(right)? })
                }
                _ if function.strategy == wanted => {
                    field(left, right, slot).or_else(|| field(right, left, slot))
                }
                _ => None,
            }
        }
        Node::AnyOf { function, left, all, .. }
            if function.strategy == wanted && *all == negated =>
        {
            let (column, key) = field_of(left, slot)?;
            Some(Plan::JsonField { column, key, slot: slot(expr)? })
        }
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<u32> {
    match (&expr.node, &expr.ty) {
        (Node::Column(column), Type::Jsonb) => Some(*column as u32),
        _ => None,
    }
}

fn contained(left: &Expr, right: &Expr, slot: &dyn Fn(&Expr) -> Option<u32>) -> Option<Plan> {
    right.as_value()?;
    Some(Plan::JsonContains { column: column(left)?, slot: slot(right)? })
}

fn field(left: &Expr, right: &Expr, slot: &dyn Fn(&Expr) -> Option<u32>) -> Option<Plan> {
    right.as_value()?;
    let (column, key) = field_of(left, slot)?;
    Some(Plan::JsonField { column, key, slot: slot(right)? })
}

/// `column ->> const`, as it stands: a cast of it compares otherwise.
fn field_of(expr: &Expr, slot: &dyn Fn(&Expr) -> Option<u32>) -> Option<(u32, u32)> {
    let Node::Call { function, args } = &expr.node else { return None };
    let ([document, key], "->>" | "jsonb_object_field_text") = (args.as_slice(), function.name)
    else {
        return None;
    };
    let text = key.ty == Type::Text && expr.ty == Type::Text;
    key.as_value().filter(|_| text)?;
    Some((column(document)?, slot(key)?))
}

/// Containers without a leaf leave nothing to look up.
pub(super) fn contains(column: usize, value: Value<'_>) -> Access<'_> {
    let Value::Json(value) = value else { return Access::Never };
    let mut any = false;
    value.leaf_hashes(&std::hash::BuildHasherDefault::<Count>::default(), &mut |_| any = true);
    match any {
        true => Access::JsonContains { column, value },
        false => Access::Scan,
    }
}

/// Only counts leaves: what they hash to does not matter.
#[derive(Default)]
struct Count;

impl std::hash::Hasher for Count {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, _: &[u8]) {}
}

pub(super) fn field_access<'p>(
    column: usize,
    key: Value<'p>,
    constants: Borrowed<'p>,
    slot: u32,
) -> Access<'p> {
    let Value::Text(key) = key else { return Access::Never };
    let text = |value| match value {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let values: Vec<&'p str> = match constants.set(slot) {
        Some(set) => set.values().filter_map(text).collect(),
        None => text(constants.value(slot)).into_iter().collect(),
    };
    if values.is_empty() {
        return Access::Never;
    }
    match values.iter().all(|text| Json::is_field(text)) {
        true => Access::JsonField { column, key, values },
        false => Access::Scan,
    }
}
