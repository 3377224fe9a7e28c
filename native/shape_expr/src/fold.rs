//! Constant folding, as PostgreSQL's planner does it: what is constant is evaluated once, and what
//! raises while it is evaluated raises for every row.

use bumpalo::Bump;

use crate::constants::{Const, InSet};
use crate::error::{EvalError, Raise};
use crate::expr::{Expr, Function, Node, Strategy, Volatility};
use crate::program::Test;
use crate::truth::Truth;
use crate::types::Type;
use crate::value::Value;
use crate::vm::{self, Context, Limits};

/// Folds a tree. `Err` means that the whole clause raises, whatever the row.
pub(crate) fn fold(expr: Expr) -> Result<Expr, Raise> {
    let Expr { ty, position, node } = expr;
    let make = |node: Node| Expr { ty: ty.clone(), position, node };
    Ok(match node {
        Node::Const(_) | Node::Column(_) | Node::Raise(_) => make(node),
        Node::Call { function, args } => {
            let args = fold_all(args)?;
            if function.strict && args.iter().any(|arg| is_null(arg)) {
                return Ok(make(Node::Const(Const::Null)));
            }
            match constants(&args) {
                None => make(Node::Call { function, args }),
                Some(values) => match call(&function, &values) {
                    Ok(value) => make(Node::Const(value)),
                    Err(error) if function.volatility == Volatility::Stable => {
                        make(Node::Raise(error.raise()))
                    }
                    Err(error) => return Err(error.raise()),
                },
            }
        }
        Node::And(arms) => return arms_of(arms, true, position),
        Node::Or(arms) => return arms_of(arms, false, position),
        Node::Not(inner) => {
            let inner = fold(*inner)?;
            match truth(&inner) {
                Some(truth) => make(Node::Const(from_truth(truth.negate()))),
                None => make(Node::Not(Box::new(inner))),
            }
        }
        Node::Test(test, inner) => fold_test(test, fold(*inner)?, position),
        Node::Distinct { function, args, negated } => {
            let [left, right] = *args;
            let args = [fold(left)?, fold(right)?];
            match constants(&args) {
                None => make(Node::Distinct { function, args: Box::new(args), negated }),
                Some(values) => {
                    let arena = Bump::new();
                    let mut context = Context::new(&arena, Limits::default());
                    let pair = [values[0].value(), values[1].value()];
                    let answer = vm::distinct(function.implementation, pair, &mut context);
                    let answer = answer.map_err(|error| error.raise())?;
                    let answer = if negated { answer.negate() } else { answer };
                    make(Node::Const(from_truth(answer)))
                }
            }
        }
        Node::AnyOf { function, left, items, all } => {
            let left = fold(*left)?;
            let items = fold_all(items)?;
            // A list that raises only where it is evaluated, as some casts do.
            if let Some(Expr { node: Node::Raise(raise), .. }) =
                items.iter().find(|item| matches!(item.node, Node::Raise(_)))
            {
                return Ok(make(Node::Raise(*raise)));
            }
            match (left.as_const(), constants(&items)) {
                (Some(left), Some(values)) => {
                    make(Node::Const(any_of(&function, left, values, all)?))
                }
                _ => make(Node::AnyOf { function, left: Box::new(left), items, all }),
            }
        }
    })
}

fn fold_all(args: Vec<Expr>) -> Result<Vec<Expr>, Raise> {
    args.into_iter().map(fold).collect()
}

fn is_null(expr: &Expr) -> bool {
    expr.as_const().is_some_and(Const::is_null)
}

/// The arguments' values if all are constant.
fn constants(args: &[Expr]) -> Option<Vec<Const>> {
    args.iter().map(|arg| arg.as_const().cloned()).collect()
}

fn call(function: &Function, args: &[Const]) -> Result<Const, EvalError> {
    let arena = Bump::new();
    let mut context = Context::new(&arena, Limits::default());
    let values: Vec<Value<'_>> = args.iter().map(Const::value).collect();
    let result = vm::call(function.implementation, function.strict, &mut context, &values)?;
    Const::from_value(&result).ok_or(EvalError::new(Raise::NotSupported))
}

fn any_of(function: &Function, left: &Const, items: Vec<Const>, all: bool) -> Result<Const, Raise> {
    let set = InSet::new(items, false);
    let arena = Bump::new();
    let mut context = Context::new(&arena, Limits::default());
    let answer = vm::any_of(&set, function.implementation, all, left.value(), &mut context);
    let answer = answer.map_err(|error| error.raise())?;
    Ok(from_truth(answer.truth()))
}

/// AND (or OR): arms are folded from left to right, and a false (true) one ends it, so that later
/// arms are never looked at. Constant nulls go last, where they stop nothing.
fn arms_of(arms: Vec<Expr>, and: bool, position: usize) -> Result<Expr, Raise> {
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
            (node, _) => fold(Expr { node, ty: arm.ty, position: arm.position })?,
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

fn fold_test(test: Test, inner: Expr, position: usize) -> Expr {
    if let Some(constant) = inner.as_const() {
        let truth = vm::test(test, &constant.value());
        return Expr::constant(Type::Bool, position, from_truth(truth));
    }
    Expr::new(Type::Bool, position, Node::Test(test, Box::new(inner)))
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

/// Is `value op ANY (list)` a search in a set?
pub(crate) fn is_hashable(function: &Function, all: bool) -> bool {
    match all {
        false => function.strategy == Strategy::Equal,
        true => function.strategy == Strategy::NotEqual,
    }
}
