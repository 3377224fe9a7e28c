//! Constant folding, as PostgreSQL's planner does it: what is constant is evaluated once, and what
//! raises while it is evaluated raises for every row.

use bumpalo::Bump;

use crate::catalog;
use crate::constants::{Const, InSet, Search};
use crate::error::{EvalError, Raise};
use crate::expr::{Expr, Function, Node, Strategy, Volatility};
use crate::program::Test;
use crate::truth::Truth;
use crate::types::Type;
use crate::value::Value;
use crate::values::datetime::Zone;
use crate::vm::{self, Context, Limits};

mod control;

/// The function that makes a regular expression of the pattern in `substring(... SIMILAR ...)`, which
/// is strict as a whole: where the text is NULL, its pattern is not looked at.
pub(crate) const SIMILAR: &str = "similar_to_escape of substring";

/// Is it `substring(NULL SIMILAR ...)`?
fn is_similar_of_null(args: &[Expr], zone: &Zone) -> Result<bool, Raise> {
    let [text, Expr { node: Node::Call { function, args }, .. }] = args else { return Ok(false) };
    if function.name != SIMILAR {
        return Ok(false);
    }
    let mut null = false;
    for arg in std::iter::once(text).chain(args) {
        let arg = fold(arg.clone(), zone)?;
        null |= arg.as_const().is_some_and(Const::is_null);
    }
    Ok(null)
}

/// Folds a tree. `Err` means that the whole clause raises, whatever the row.
pub(crate) fn fold(expr: Expr, zone: &Zone) -> Result<Expr, Raise> {
    let Expr { ty, position, node } = expr;
    let node = match node {
        Node::Const(_) | Node::Late(_) | Node::Column(_) | Node::Raise(_) => node,
        Node::Call { function, args } => {
            let args = match function.name {
                "overlaps" => fold_lengths(args, position, zone)?,
                _ => args,
            };
            if is_similar_of_null(&args, zone)? {
                return Ok(Expr { ty, position, node: Node::Const(Const::Null) });
            }
            let mut args = fold_all(args, zone)?;
            let mut function = function;
            if function.strategy == Strategy::Turned {
                function.strategy = Strategy::Plain;
                args.reverse();
            }
            if function.strict && args.iter().any(|arg| arg.as_const().is_some_and(Const::is_null))
            {
                Node::Const(Const::Null)
            } else {
                if let Some((test, fields)) = catalog::tested_row(&function, &args) {
                    return fold_row_test(test, fields, position, zone);
                }
                let stable = function.volatility == Volatility::Stable;
                match values(&args) {
                    None => match certain_raise(&args) {
                        Some(raise) => Node::Raise(raise),
                        None => Node::Call { function, args },
                    },
                    Some((values, late)) => known(call(&function, &values, zone), late || stable)?,
                }
            }
        }
        Node::And(arms) => return arms_of(arms, true, position, zone),
        Node::Or(arms) => return arms_of(arms, false, position, zone),
        Node::Not(inner) => {
            let inner = fold(*inner, zone)?;
            match truth(&inner) {
                Some(truth) => Node::Const(from_truth(truth.negate())),
                None => Node::Not(Box::new(inner)),
            }
        }
        Node::Test(test, inner) => {
            let inner = fold(*inner, zone)?;
            if let Node::Row(fields) = inner.node {
                return fold_row_test(test, fields, position, zone);
            }
            match inner.as_const().map(|value| vm::test(test, &value.value())) {
                Some(truth) => Node::Const(from_truth(truth)),
                None => Node::Test(test, Box::new(inner)),
            }
        }
        Node::Distinct { function, args, negated } => {
            let [left, right] = *args;
            let args = [fold(left, zone)?, fold(right, zone)?];
            match values(&args) {
                None => Node::Distinct { function, args: Box::new(args), negated },
                Some((values, late)) => {
                    let late = late || function.volatility == Volatility::Stable;
                    known(distinct(&function, &values, negated, zone), late)?
                }
            }
        }
        Node::AnyOf { function, left, items, all } => {
            let left = fold(*left, zone)?;
            let items = fold_all(items, zone)?;
            match (left.as_value(), values(&items)) {
                (Some(value), Some((values, late))) => {
                    let late = late
                        || matches!(left.node, Node::Late(_))
                        || function.volatility == Volatility::Stable;
                    known(any_of(&function, value, values, all, zone), late)?
                }
                (None, Some(_)) => Node::AnyOf { function, left: Box::new(left), items, all },
                // The list is built before it is searched, so where one item raises, all does, once
                // the left operand has been evaluated.
                (_, None) => {
                    let element = items.first().map_or(Type::Unknown, |item| item.ty.clone());
                    let ty = element.array_of();
                    let list = catalog::arrays::constructor(false, ty.clone());
                    let list = Node::Call { function: list, args: items };
                    let list = Expr::new(ty, position, list);
                    Node::AnyArray { function, all, args: Box::new([left, list]) }
                }
            }
        }
        node => return control::fold(Expr { ty, position, node }, zone),
    };
    Ok(Expr { ty, position, node })
}

/// `ROW(...) IS [NOT] NULL`, its columns folded: a test of each. A row that is all constant is a
/// constant itself, of which PostgreSQL's planner does not take the test.
fn fold_row_test(
    test: Test,
    fields: Vec<Expr>,
    position: usize,
    zone: &Zone,
) -> Result<Expr, Raise> {
    let whole = fields.iter().all(|field| field.as_const().is_some());
    let tests = fields
        .into_iter()
        .map(|field| Expr::new(Type::Bool, position, Node::Test(test, Box::new(field))));
    let folded = arms_of(tests.collect(), true, position, zone)?;
    Ok(match folded.node {
        Node::Const(answer) if whole => Expr::new(Type::Bool, position, Node::Late(answer)),
        node => Expr { node, ..folded },
    })
}

/// OVERLAPS has its lengths folded like its other arguments, before they are added to anything. The
/// sums that resolution made of them stand where the OVERLAPS does.
fn fold_lengths(args: Vec<Expr>, position: usize, zone: &Zone) -> Result<Vec<Expr>, Raise> {
    let fold_length = |mut arg: Expr| match &mut arg.node {
        Node::Call { args, .. }
            if arg.position == position
                && args.get(1).is_some_and(|arg| arg.ty == Type::Interval) =>
        {
            if let Some(length) = args.pop() {
                args.push(fold(length, zone)?);
            }
            Ok(arg)
        }
        _ => fold(arg, zone),
    };
    args.into_iter().map(fold_length).collect()
}

fn fold_all(args: Vec<Expr>, zone: &Zone) -> Result<Vec<Expr>, Raise> {
    args.into_iter().map(|arg| fold(arg, zone)).collect()
}

/// What evaluating the arguments in their order is sure to raise.
fn certain_raise(args: &[Expr]) -> Option<Raise> {
    args.iter().find_map(|arg| match &arg.node {
        Node::Const(_) | Node::Late(_) | Node::Column(_) => None,
        Node::Raise(raise) => Some(Some(*raise)),
        _ => Some(None),
    })?
}

/// The arguments' values if all are known, and whether one of them is late.
fn values(args: &[Expr]) -> Option<(Vec<Const>, bool)> {
    let late = args.iter().any(|arg| matches!(arg.node, Node::Late(_)));
    let values: Option<Vec<Const>> = args.iter().map(|arg| arg.as_value().cloned()).collect();
    Some((values?, late))
}

/// What has been evaluated ahead of any row.
fn known(result: Result<Const, EvalError>, late: bool) -> Result<Node, Raise> {
    match (result, late) {
        (Ok(value), false) => Ok(Node::Const(value)),
        (Ok(value), true) => Ok(Node::Late(value)),
        (Err(error), true) => Ok(Node::Raise(error.raise())),
        (Err(error), false) => Err(error.raise()),
    }
}

fn call(function: &Function, args: &[Const], zone: &Zone) -> Result<Const, EvalError> {
    let arena = Bump::new();
    let mut context = Context::new(&arena, Limits::default()).with_zone(zone);
    let values: Vec<Value<'_>> = args.iter().map(Const::value).collect();
    let result = vm::call(function.implementation, function.strict, &mut context, &values)?;
    Const::from_value(&result).ok_or(EvalError::new(Raise::NotSupported))
}

fn distinct(
    function: &Function,
    args: &[Const],
    negated: bool,
    zone: &Zone,
) -> Result<Const, EvalError> {
    let arena = Bump::new();
    let mut context = Context::new(&arena, Limits::default()).with_zone(zone);
    let pair = [args[0].value(), args[1].value()];
    let answer = vm::distinct(function.implementation, pair, &mut context)?;
    Ok(from_truth(if negated { answer.negate() } else { answer }))
}

pub(crate) fn any_of(
    function: &Function,
    left: &Const,
    items: Vec<Const>,
    all: bool,
    zone: &Zone,
) -> Result<Const, EvalError> {
    let set = InSet::new(items, Search::InTurn);
    let arena = Bump::new();
    let mut context = Context::new(&arena, Limits::default()).with_zone(zone);
    let answer = vm::any_of(&set, function.implementation, all, left.value(), &mut context)?;
    Ok(from_truth(answer.truth()))
}

/// AND (or OR): arms are folded from left to right, and a false (true) one ends it, so that later
/// arms are never looked at. Constant nulls go last, where they stop nothing.
fn arms_of(arms: Vec<Expr>, and: bool, position: usize, zone: &Zone) -> Result<Expr, Raise> {
    let (ends, drops) = if and { (Truth::FALSE, Truth::TRUE) } else { (Truth::TRUE, Truth::FALSE) };
    let mut kept = Vec::with_capacity(arms.len());
    let mut has_null = false;
    // Nested arms of the same kind are taken in order, as one list.
    let mut pending: Vec<Expr> = arms.into_iter().rev().collect();
    while let Some(arm) = pending.pop() {
        let arm = match (arm.node, and) {
            (Node::And(inner), true) | (Node::Or(inner), false) => {
                pending.extend(inner.into_iter().rev());
                continue;
            }
            (node, _) => fold(Expr { node, ty: arm.ty, position: arm.position }, zone)?,
        };
        match truth(&arm) {
            Some(truth) if truth == ends => {
                return Ok(Expr::constant(Type::Bool, position, from_truth(ends)));
            }
            Some(truth) if truth == drops => {}
            Some(_) => has_null = true,
            None => kept.push(arm),
        }
    }
    if has_null {
        kept.push(Expr::constant(Type::Bool, position, Const::Null));
    }
    Ok(match kept.len() {
        0 => Expr::constant(Type::Bool, position, from_truth(drops)),
        1 => kept.remove(0),
        _ if and => Expr::new(Type::Bool, position, Node::And(kept)),
        _ => Expr::new(Type::Bool, position, Node::Or(kept)),
    })
}

/// A constant condition's outcome.
fn truth(expr: &Expr) -> Option<Truth> {
    match expr.as_const()? {
        Const::Bool(b) => Some(Truth::from(Some(*b))),
        Const::Null => Some(Truth::NULL),
        _ => None,
    }
}

fn from_truth(truth: Truth) -> Const {
    match truth.known() {
        Some(Some(b)) => Const::Bool(b),
        _ => Const::Null,
    }
}

/// How `left op ANY (items)` is searched.
pub(crate) fn search(function: &Function, left: &Expr, items: &[Expr], all: bool) -> Search {
    match (function.strategy, all) {
        (Strategy::Equal, false) | (Strategy::NotEqual, true) => Search::Hashed,
        // Only a list that the planner knows is hashed, and only where both sides hash alike.
        (Strategy::ClashingEqual, false) | (Strategy::ClashingNotEqual, true)
            if items.iter().all(|item| item.ty == left.ty && item.as_const().is_some()) =>
        {
            Search::Clash { names: left.ty == Type::Name }
        }
        _ => Search::InTurn,
    }
}
