//! Folding of CASE and its kin, of arrays, and of what only their parts can be folded of.

use bumpalo::Bump;

use super::{any_of, fold as fold_one, fold_all, known, truth, values};
use crate::constants::Const;
use crate::error::{EvalError, Raise};
use crate::expr::{Expr, Node, RowPair, Volatility};
use crate::truth::Truth;
use crate::types::Type;
use crate::value::Value;
use crate::values::datetime::Zone;
use crate::vm::{self, Context, Limits, control};

/// Folds the nodes that `fold` leaves to this file.
pub(super) fn fold(expr: Expr, zone: &Zone) -> Result<Expr, Raise> {
    let Expr { ty, position, node } = expr;
    let node = match node {
        Node::Case { arms, otherwise } => return case(arms, *otherwise, zone),
        Node::Coalesce(args) => return coalesce(ty, args, position, zone),
        Node::NullIf { function, args } => {
            let [left, right] = *args;
            let (left, right) = (fold_one(left, zone)?, fold_one(right, zone)?);
            let is_null = |arg: &Expr| arg.as_const().is_some_and(Const::is_null);
            if is_null(&left) || is_null(&right) {
                return Ok(left);
            }
            let args = [left, right];
            match values(&args) {
                None => Node::NullIf { function, args: Box::new(args) },
                Some((values, late)) => {
                    let late = late || function.volatility == Volatility::Stable;
                    let evaluated = evaluate(zone, &values, |context, values| {
                        control::null_if(function.implementation, [values[0], values[1]], context)
                    });
                    known(evaluated, late)?
                }
            }
        }
        Node::MinMax { less, args, greatest } => {
            let args = fold_all(args, zone)?;
            match values(&args) {
                None => Node::MinMax { less, args, greatest },
                Some((values, late)) => {
                    let evaluated = evaluate(zone, &values, |context, values| {
                        control::min_max(less.implementation, greatest, values, context)
                    });
                    known(evaluated, late)?
                }
            }
        }
        Node::RowCompare { strategy, pairs } => {
            // The left row before the right one.
            let mut folded = Vec::with_capacity(pairs.len());
            for RowPair { equal, less, args: [left, right] } in pairs {
                folded.push((equal, less, fold_one(left, zone)?, right));
            }
            let fold_right = |(equal, less, left, right)| -> Result<RowPair, Raise> {
                Ok(RowPair { equal, less, args: [left, fold_one(right, zone)?] })
            };
            let folded = folded.into_iter().map(fold_right).collect::<Result<Vec<_>, Raise>>()?;
            Node::RowCompare { strategy, pairs: folded }
        }
        Node::Row(fields) => Node::Row(fold_all(fields, zone)?),
        // What is in a set is known at the moment of an evaluation only.
        Node::InSet { set, left, items } => Node::InSet { set, left: fold_all(left, zone)?, items },
        // Resolution has no more use for it.
        Node::Collate { inner, .. } => return fold_one(*inner, zone),
        Node::AnyArray { function, all, args } => {
            let [left, array] = *args;
            let (left, array) = (fold_one(left, zone)?, fold_one(array, zone)?);
            let late = matches!(array.node, Node::Late(_))
                || matches!(left.node, Node::Late(_))
                || function.volatility == Volatility::Stable;
            match (left.as_value(), array.as_value()) {
                (Some(left), Some(Const::Array(items))) => {
                    known(any_of(&function, left, items.items().to_vec(), all, zone), late)?
                }
                (Some(_), Some(_)) => known(Ok(Const::Null), late)?,
                // A list that is known is an IN list.
                (None, Some(Const::Array(items))) => {
                    let ty = array.ty.element().cloned().unwrap_or(Type::Unknown);
                    let items = items.items().iter();
                    let node = |item: &Const| match late {
                        true => Node::Late(item.clone()),
                        false => Node::Const(item.clone()),
                    };
                    let items = items
                        .map(|item| Expr::new(ty.clone(), array.position, node(item)))
                        .collect();
                    Node::AnyOf { function, left: Box::new(left), items, all }
                }
                _ => Node::AnyArray { function, all, args: Box::new([left, array]) },
            }
        }
        Node::Subscript { function, mut args } => {
            // The subscripts before what they are subscripts of.
            let subscripts = fold_all(args.split_off(1.min(args.len())), zone)?;
            let mut args = fold_all(args, zone)?;
            args.extend(subscripts);
            let is_null = args.first().and_then(Expr::as_const).is_some_and(Const::is_null);
            match values(&args) {
                // Its subscripts are never evaluated, but the planner does not see that.
                None if is_null => Node::Late(Const::Null),
                None => Node::Subscript { function, args },
                Some((values, late)) => {
                    let evaluated = evaluate(zone, &values, |context, values| {
                        (function.implementation)(context, values)
                    });
                    known(evaluated, late)?
                }
            }
        }
        Node::Map { function, args } => {
            let args = fold_all(args, zone)?;
            let stable = function.volatility == Volatility::Stable;
            match values(&args) {
                None => Node::Map { function, args },
                Some((values, late)) => {
                    let evaluated = evaluate(zone, &values, |context, values| {
                        control::map(function.implementation, values, context)
                    });
                    known(evaluated, late || stable)?
                }
            }
        }
        node => node,
    };
    Ok(Expr { ty, position, node })
}

fn evaluate(
    zone: &Zone,
    args: &[Const],
    run: impl for<'a> Fn(&mut Context<'a>, &[Value<'a>]) -> vm::Answer<'a>,
) -> Result<Const, EvalError> {
    let arena = Bump::new();
    let mut context = Context::new(&arena, Limits::default()).with_zone(zone);
    let values: Vec<Value<'_>> = args.iter().map(Const::value).collect();
    let result = run(&mut context, &values)?;
    Const::from_value(&result).ok_or(EvalError::new(Raise::NotSupported))
}

/// Arms whose condition is constant go, or end it; the others' values are folded even where they
/// might never be needed, as PostgreSQL does.
fn case(arms: Vec<(Expr, Expr)>, otherwise: Expr, zone: &Zone) -> Result<Expr, Raise> {
    let (ty, position) = (otherwise.ty.clone(), otherwise.position);
    let mut kept = Vec::with_capacity(arms.len());
    let mut last = None;
    for (condition, value) in arms {
        let condition = fold_one(condition, zone)?;
        match truth(&condition) {
            None => kept.push((condition, fold_one(value, zone)?)),
            Some(Truth::TRUE) => {
                last = Some(fold_one(value, zone)?);
                break;
            }
            Some(_) => {}
        }
    }
    let otherwise = match last {
        Some(last) => last,
        None => fold_one(otherwise, zone)?,
    };
    if kept.is_empty() {
        return Ok(otherwise);
    }
    Ok(Expr::new(ty, position, Node::Case { arms: kept, otherwise: Box::new(otherwise) }))
}

fn coalesce(ty: Type, args: Vec<Expr>, position: usize, zone: &Zone) -> Result<Expr, Raise> {
    let mut kept = Vec::with_capacity(args.len());
    for arg in args {
        let arg = fold_one(arg, zone)?;
        match arg.as_const() {
            Some(Const::Null) => {}
            Some(_) if kept.is_empty() => return Ok(arg),
            Some(_) => {
                kept.push(arg);
                break;
            }
            None => kept.push(arg),
        }
    }
    Ok(match kept.len() {
        0 => Expr::constant(ty, position, Const::Null),
        _ => Expr::new(ty, position, Node::Coalesce(kept)),
    })
}
