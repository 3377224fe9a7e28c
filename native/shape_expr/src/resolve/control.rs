//! CASE, COALESCE, NULLIF, GREATEST, LEAST, COLLATE.

use crate::catalog::{self, CastContext};
use crate::constants::Const;
use crate::error::Error;
use crate::expr::{Expr, Function, Node};
use crate::parse::ast::Ast;
use crate::types::{Category, Type};

use super::Resolver;
use super::forms::common_of;

impl Resolver<'_> {
    /// `select_common_type` and `coerce_to_common_type`. The first expression counts most.
    pub(super) fn unify(
        &mut self,
        mut exprs: Vec<Expr>,
        what: &str,
        position: usize,
    ) -> Result<(Vec<Expr>, Type), Error> {
        if let Some(placeholder) = self.settle_together(&mut exprs, position)? {
            let ty = placeholder.ty.clone();
            return Ok((vec![placeholder; exprs.len()], ty));
        }
        let Some(ty) = common_of(exprs.iter().map(|expr| &expr.ty)) else {
            let message = format!("{what} types cannot be matched");
            return Err(Error::mismatch(message, position));
        };
        let mut coerced = Vec::with_capacity(exprs.len());
        for expr in exprs {
            coerced.push(self.coerce(expr, &ty, CastContext::Implicit)?);
        }
        Ok((coerced, ty))
    }

    pub(super) fn case(
        &mut self,
        operand: Option<&Ast>,
        arms: &[(Ast, Ast)],
        otherwise: Option<&Ast>,
        position: usize,
    ) -> Result<Expr, Error> {
        let mut conditions = Vec::with_capacity(arms.len());
        let mut values = Vec::with_capacity(arms.len() + 1);
        for (condition, value) in arms {
            let condition = match operand {
                None => self.condition(condition, "CASE/WHEN")?,
                // The operand is pure: evaluating it again for each arm gives the same.
                Some(operand) => {
                    let mut left = self.expression(operand)?;
                    if left.ty == Type::Unknown && !matches!(left.node, Node::Column(_)) {
                        left = self.coerce(left, &Type::Text, CastContext::Implicit)?;
                    }
                    // PostgreSQL forgets here that it was explicit, and may then not know which of
                    // two collations counts (42P22).
                    if super::collation::check(&left)?.is_some() {
                        left = super::collation::implicit(left);
                    }
                    let right = self.expression(condition)?;
                    let equal = self.operator("=", Some(left), right, condition.position)?;
                    self.demand_boolean(equal, "CASE/WHEN")?
                }
            };
            conditions.push(condition);
            values.push(self.expression(value)?);
        }
        // ELSE decides first about the result's type.
        values.insert(
            0,
            match otherwise {
                Some(otherwise) => self.expression(otherwise)?,
                None => Expr::constant(Type::Unknown, position, Const::Null),
            },
        );
        let (mut values, ty) = self.unify(values, "CASE", position)?;
        let otherwise = Box::new(values.remove(0));
        let arms = conditions.into_iter().zip(values).collect();
        Ok(Expr::new(ty, position, Node::Case { arms, otherwise }))
    }

    fn expressions(&mut self, args: &[Ast]) -> Result<Vec<Expr>, Error> {
        args.iter().map(|arg| self.expression(arg)).collect()
    }

    pub(super) fn coalesce(&mut self, args: &[Ast], position: usize) -> Result<Expr, Error> {
        let args = self.expressions(args)?;
        let (args, ty) = self.unify(args, "COALESCE", position)?;
        Ok(Expr::new(ty, position, Node::Coalesce(args)))
    }

    pub(super) fn null_if(&mut self, [a, b]: &[Ast; 2], position: usize) -> Result<Expr, Error> {
        let (left, right) = (self.expression(a)?, self.expression(b)?);
        let equal = self.operator("=", Some(left), right, position)?;
        let (function, [left, right]) = match parts(equal) {
            Ok(parts) => parts,
            Err(other) => return Ok(other),
        };
        let ty = left.ty.clone();
        let args = Box::new([left, right]);
        Ok(Expr::new(ty, position, Node::NullIf { function, args }))
    }

    pub(super) fn min_max(
        &mut self,
        args: &[Ast],
        greatest: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        let what = if greatest { "GREATEST" } else { "LEAST" };
        let args = self.expressions(args)?;
        let (args, ty) = self.unify(args, what, position)?;
        let pair = |i: usize| Expr { ty: ty.clone(), position, node: args[i].node.clone() };
        let less = match self.operator("<", Some(pair(0)), pair(0), position) {
            Ok(less) => less,
            // PostgreSQL looks for the comparison only when it is about to run the clause: whatever
            // else is wrong with it comes first.
            Err(error) if ty == Type::Json => {
                self.late.get_or_insert(error);
                let node = Node::Call { function: catalog::undefined(false, &ty), args };
                return Ok(Expr::new(ty, position, node));
            }
            Err(error) => return Err(error),
        };
        let (less, _) = match parts(less) {
            Ok(parts) => parts,
            Err(other) => return Ok(Expr { ty, ..other }),
        };
        self.check_order(&less, &args, position)?;
        let less = self.collated_comparison(less, &args)?;
        Ok(Expr::new(ty, position, Node::MinMax { less, args, greatest }))
    }

    pub(super) fn collate(
        &mut self,
        value: &Ast,
        name: &str,
        position: usize,
    ) -> Result<Expr, Error> {
        let bytewise = ["C", "POSIX", "C.UTF-8", "C.utf8", "ucs_basic"].contains(&name);
        let inner = self.expression(value)?;
        let inner = self.settle(inner, &Type::Text)?;
        let element = inner.ty.element().unwrap_or(&inner.ty);
        if inner.ty != Type::Unknown && element.category() != Category::String {
            let message = format!("collations are not supported by type {}", inner.ty);
            return Err(Error::mismatch(message, position));
        }
        let ty = inner.ty.clone();
        Ok(Expr::new(
            ty,
            position,
            Node::Collate { name: name.into(), bytewise, inner: Box::new(inner) },
        ))
    }

    /// An operator between two syntax trees, rows among them.
    pub(super) fn compare(
        &mut self,
        name: &str,
        left: &Ast,
        right: &Ast,
        position: usize,
    ) -> Result<Expr, Error> {
        let (left, right) = (self.side(left)?, self.side(right)?);
        self.compare_sides(name, left, right, position)
    }
}

/// An operator's function and operands; what is no operator (the stand-in for what an open schema
/// cannot tell yet) comes back.
pub(super) fn parts(expr: Expr) -> Result<(Function, [Expr; 2]), Expr> {
    match expr.node {
        Node::Call { function, args } if args.len() == 2 => match <[Expr; 2]>::try_from(args) {
            Ok(args) => Ok((function, args)),
            Err(args) => {
                let node = Node::Call { function, args };
                Err(Expr { ty: expr.ty, position: expr.position, node })
            }
        },
        node => Err(Expr { ty: expr.ty, position: expr.position, node }),
    }
}
