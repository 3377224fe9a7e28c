//! jsonb: btree order, equality hash, containment.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::json::{Array, Json, Node, Number, Object};
use super::numeric::Numeric;
use crate::error::EvalError;
use crate::vm::Context;

/// Runs one level of a recursion with stack enough for it.
#[inline]
pub(crate) fn deep<R>(level: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(32 * 1024, 1024 * 1024, level)
}

/// As `JsonbValue`'s types are numbered.
fn rank(node: &Node<'_>) -> u8 {
    match node {
        Node::Null => 0,
        Node::String(_) => 1,
        Node::Number(_) => 2,
        Node::Bool(_) => 3,
        Node::Array(_) => 16,
        Node::Object(_) => 17,
    }
}

/// jsonb_cmp. A scalar alone counts as an array of one element, and as less than such an array.
pub(crate) fn compare(a: Json<'_>, b: Json<'_>) -> Ordering {
    let alone = |other: Node<'_>| match other {
        Node::Array(array) => 1.cmp(&array.len()).then(Ordering::Less),
        _ => Ordering::Less,
    };
    match (a.is_scalar(), b.is_scalar()) {
        (true, false) => alone(b.node()),
        (false, true) => alone(a.node()).reverse(),
        _ => compare_nodes(a, b),
    }
}

fn compare_nodes(a: Json<'_>, b: Json<'_>) -> Ordering {
    let (left, right) = (a.node(), b.node());
    match (left, right) {
        (Node::Bool(a), Node::Bool(b)) => a.cmp(&b),
        (Node::String(a), Node::String(b)) => a.cmp(b),
        (Node::Number(a), Node::Number(b)) => compare_numbers(a, b),
        (Node::Array(a), Node::Array(b)) => a.len().cmp(&b.len()).then_with(|| {
            deep(|| {
                let mut pairs = a.iter().zip(b.iter()).map(|(a, b)| compare_nodes(a, b));
                pairs.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            })
        }),
        (Node::Object(a), Node::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
            deep(|| {
                let mut pairs = a
                    .iter()
                    .zip(b.iter())
                    .map(|(a, b)| a.0.cmp(b.0).then_with(|| compare_nodes(a.1, b.1)));
                pairs.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            })
        }),
        _ => rank(&left).cmp(&rank(&right)),
    }
}

fn compare_numbers(a: Number<'_>, b: Number<'_>) -> Ordering {
    if a.equals(b) {
        return Ordering::Equal;
    }
    Numeric::from_words(&a.words()).compare(&Numeric::from_words(&b.words()))
}

/// What equality looks at: a number's scale does not count.
pub(crate) fn hash_equality<H: Hasher>(json: Json<'_>, state: &mut H) {
    let node = json.node();
    state.write_u8(rank(&node));
    match node {
        Node::Null => {}
        Node::Bool(b) => state.write_u8(u8::from(b)),
        Node::String(bytes) => bytes.hash(state),
        Node::Number(n) => {
            n.sign_and_weight().hash(state);
            n.digits().hash(state);
        }
        Node::Array(array) => {
            state.write_usize(array.len());
            deep(|| array.iter().for_each(|item| hash_equality(item, state)));
        }
        Node::Object(object) => {
            state.write_usize(object.len());
            deep(|| {
                for (key, value) in object.iter() {
                    key.hash(state);
                    hash_equality(value, state);
                }
            });
        }
    }
}

/// Equal scalars of one type.
fn scalars_equal(a: &Node<'_>, b: &Node<'_>) -> bool {
    match (a, b) {
        (Node::Null, Node::Null) => true,
        (Node::Bool(a), Node::Bool(b)) => a == b,
        (Node::String(a), Node::String(b)) => a == b,
        (Node::Number(a), Node::Number(b)) => a.equals(*b),
        _ => false,
    }
}

/// jsonb_contains: `a @> b`.
pub(crate) fn contains(
    a: Json<'_>,
    b: Json<'_>,
    context: &mut Context<'_>,
) -> Result<bool, EvalError> {
    context.charge(1)?;
    match (a.node(), b.node()) {
        (Node::Object(a), Node::Object(b)) => object_contains(a, b, context),
        (Node::Object(_), _) | (_, Node::Object(_)) => Ok(false),
        (Node::Array(a), Node::Array(b)) => array_contains(a, b, context),
        // An array contains a scalar that is one of its elements; never the other way round.
        (Node::Array(a), scalar) => has_scalar(a, &scalar, context),
        (_, Node::Array(_)) => Ok(false),
        (a, b) => Ok(scalars_equal(&a, &b)),
    }
}

fn has_scalar(
    a: Array<'_>,
    scalar: &Node<'_>,
    context: &mut Context<'_>,
) -> Result<bool, EvalError> {
    context.charge(1 + a.len() as u64 / 8)?;
    Ok(a.iter().any(|item| scalars_equal(&item.node(), scalar)))
}

fn object_contains(
    a: Object<'_>,
    b: Object<'_>,
    context: &mut Context<'_>,
) -> Result<bool, EvalError> {
    if a.len() < b.len() {
        return Ok(false);
    }
    for (key, wanted) in b.iter() {
        context.charge(1)?;
        let Some(found) = a.get(key) else { return Ok(false) };
        let held = match (found.is_scalar(), wanted.is_scalar()) {
            (true, true) => scalars_equal(&found.node(), &wanted.node()),
            (false, false) => nested(found, wanted, context)?,
            _ => false,
        };
        if !held {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Containment of containers: a scalar is not reached from here.
fn nested(a: Json<'_>, b: Json<'_>, context: &mut Context<'_>) -> Result<bool, EvalError> {
    deep(|| contains(a, b, context))
}

fn array_contains(
    a: Array<'_>,
    b: Array<'_>,
    context: &mut Context<'_>,
) -> Result<bool, EvalError> {
    for wanted in b.iter() {
        if wanted.is_scalar() {
            if !has_scalar(a, &wanted.node(), context)? {
                return Ok(false);
            }
            continue;
        }
        let mut held = false;
        for item in a.iter().filter(|item| !item.is_scalar()) {
            if nested(item, wanted, context)? {
                held = true;
                break;
            }
        }
        if !held {
            return Ok(false);
        }
    }
    Ok(true)
}

/// jsonb_exists: a key of the object, a string of the array, the string itself.
pub(crate) fn exists(
    json: Json<'_>,
    key: &[u8],
    context: &mut Context<'_>,
) -> Result<bool, EvalError> {
    match json.node() {
        Node::Object(object) => Ok(object.get(key).is_some()),
        Node::Array(array) => has_scalar(array, &Node::String(key), context),
        node => Ok(scalars_equal(&node, &Node::String(key))),
    }
}
