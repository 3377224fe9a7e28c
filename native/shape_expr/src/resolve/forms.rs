//! Forms that stand for operators: IN, BETWEEN, IS DISTINCT FROM.

use crate::catalog::CastContext;
use crate::coverage;
use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::parse::ast::{Ast, AstKind};
use crate::program::Test;
use crate::types::Type;

use super::{Resolver, candidates, polymorphic};

impl Resolver<'_> {
    pub(super) fn distinct(
        &mut self,
        left: &Ast,
        right: &Ast,
        negated: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        if let (AstKind::Row(left), AstKind::Row(right)) = (&left.kind, &right.kind) {
            return self.distinct_rows(left, right, negated, position);
        }
        // A bare NULL makes it a null test of the other side.
        let is_null = |ast: &Ast| matches!(ast.kind, AstKind::Null);
        if is_null(left) || is_null(right) {
            let other = if is_null(right) { left } else { right };
            let inner = Box::new(self.expression(other)?);
            let test = if negated { Test::Null } else { Test::NotNull };
            return Ok(Expr::new(Type::Bool, position, Node::Test(test, inner)));
        }
        let (left, right) = (self.expression(left)?, self.expression(right)?);
        let equal = self.operator("=", Some(left), right, position)?;
        let Node::Call { function, mut args } = equal.node else { return Ok(equal) };
        let (Some(right), Some(left)) = (args.pop(), args.pop()) else {
            return Err(Error::syntax("IS DISTINCT FROM needs two operands", position));
        };
        let args = Box::new([left, right]);
        Ok(Expr::new(Type::Bool, position, Node::Distinct { function, args, negated }))
    }

    /// As PostgreSQL expands it, repeating the operand.
    pub(super) fn between(
        &mut self,
        [value, low, high]: [&Ast; 3],
        negated: bool,
        symmetric: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        let range = |this: &mut Self, low: &Ast, high: &Ast| -> Result<Expr, Error> {
            let (first, second) = if negated { ("<", ">") } else { (">=", "<=") };
            let mut arms = Vec::with_capacity(2);
            for (name, bound) in [(first, low), (second, high)] {
                arms.push(this.compare(name, value, bound, position)?);
            }
            let node = if negated { Node::Or(arms) } else { Node::And(arms) };
            Ok(Expr::new(Type::Bool, position, node))
        };
        let straight = range(self, low, high)?;
        if !symmetric {
            return Ok(straight);
        }
        let arms = vec![straight, range(self, high, low)?];
        let node = if negated { Node::And(arms) } else { Node::Or(arms) };
        Ok(Expr::new(Type::Bool, position, node))
    }

    /// Items without columns become one list of a common type; the others are compared one by one.
    pub(super) fn in_list(
        &mut self,
        left: &Ast,
        items: &[Ast],
        negated: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        let name = if negated { "<>" } else { "=" };
        if let AstKind::Row(_) = left.kind {
            return self.row_in_list(left, items, negated, position);
        }
        let mut operand = self.expression(left)?;
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            all.push(self.expression(item)?);
        }
        // An open schema's column takes its type from the list.
        let mut together: Vec<Expr> = std::iter::once(operand).chain(all).collect();
        if let Some(placeholder) = self.settle_together(&mut together, position)? {
            return Ok(placeholder);
        }
        all = together.split_off(1);
        operand = match together.pop() {
            Some(operand) => operand,
            None => return Err(Error::syntax("IN needs an operand", position)),
        };
        let constant: Vec<Expr> =
            all.iter().filter(|item| !item.reads_columns()).cloned().collect();
        let common = match constant.len() > 1 {
            // Of arrays there are no arrays: those are compared one by one.
            true => common_type(std::iter::once(&operand).chain(&constant))
                .filter(|ty| ty.element().is_none() && !super::rows::is_row(ty)),
            false => None,
        };
        let mut arms = Vec::new();
        if let Some(ty) = common {
            arms.push(self.any_of(name, &operand, constant, &ty, position)?);
            all.retain(Expr::reads_columns);
        }
        let size = operand.size();
        for item in all {
            self.grow(size, position)?;
            let compared = self.operator(name, Some(operand.clone()), item, position)?;
            arms.push(self.demand_boolean(compared, "IN")?);
        }
        if arms.len() == 1 {
            return arms.pop().ok_or_else(|| Error::syntax("IN needs a list", position));
        }
        let node = if negated { Node::And(arms) } else { Node::Or(arms) };
        Ok(Expr::new(Type::Bool, position, node))
    }

    fn row_in_list(
        &mut self,
        left: &Ast,
        items: &[Ast],
        negated: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        let name = if negated { "<>" } else { "=" };
        let left = self.side(left)?;
        let items: Vec<_> = items.iter().map(|item| self.side(item)).collect::<Result<_, _>>()?;
        let mut arms = Vec::with_capacity(items.len());
        for item in items {
            self.grow(left.size(), position)?;
            arms.push(self.compare_sides(name, left.clone(), item, position)?);
        }
        if arms.len() == 1 {
            return arms.pop().ok_or_else(|| Error::syntax("IN needs a list", position));
        }
        let node = if negated { Node::And(arms) } else { Node::Or(arms) };
        Ok(Expr::new(Type::Bool, position, node))
    }

    /// `(start, length) OVERLAPS ...` is `(start, start + length) OVERLAPS ...`.
    pub(super) fn lengths_to_ends(
        &mut self,
        args: &mut [Expr],
        position: usize,
    ) -> Result<(), Error> {
        for pair in args.chunks_exact_mut(2) {
            if pair[1].ty == Type::Interval {
                self.grow(pair[0].size(), position)?;
                let (start, length) = (pair[0].clone(), pair[1].clone());
                pair[1] = self.operator("+", Some(start), length, position)?;
            }
        }
        Ok(())
    }

    /// `substring(text SIMILAR pattern ESCAPE escape)`: the pattern as a regular expression.
    pub(super) fn similar_substring(
        &mut self,
        args: Vec<Expr>,
        position: usize,
    ) -> Result<Expr, Error> {
        let mut args = args.into_iter();
        let text = args.next();
        let text_type = [Type::Text, Type::Text];
        let mut function =
            candidates::function("similar_to_escape", &text_type, position)?.function();
        function.name = crate::fold::SIMILAR;
        let pattern = Node::Call { function, args: args.collect() };
        let pattern = Expr::new(Type::Text, position, pattern);
        let args: Vec<Expr> = text.into_iter().chain([pattern]).collect();
        let function = candidates::function("substring", &text_type, position)?.function();
        let function = self.localised(function, &args, position)?;
        Ok(Expr::new(Type::Text, position, Node::Call { function, args }))
    }

    /// `operand op ANY (constants)`, or ALL for `<>`.
    fn any_of(
        &mut self,
        name: &str,
        operand: &Expr,
        constants: Vec<Expr>,
        ty: &Type,
        position: usize,
    ) -> Result<Expr, Error> {
        let mut items = Vec::with_capacity(constants.len());
        for item in constants {
            let coerced = self.coerce(item, ty, CastContext::Implicit);
            items.push(coerced.map_err(|error| self.blame(&[operand], error))?);
        }
        let types = [operand.ty.clone(), ty.clone()];
        let found = candidates::operator(name, &types, position)
            .map_err(|error| self.blame(&[operand], error))?;
        let function = found.function();
        let declared: Vec<&Type> = found.left.iter().chain([&found.right]).collect();
        let (wanted, _) = polymorphic::settle(&types, &declared, &found.result, position)?;
        let [left, right] = wanted.as_slice() else {
            return Err(Error::syntax("IN needs two operands", position));
        };
        let left = Box::new(self.coerce(operand.clone(), left, CastContext::Implicit)?);
        let mut converted = Vec::with_capacity(items.len());
        for item in items {
            converted.push(self.coerce(item, right, CastContext::Implicit)?);
        }
        let all = name == "<>";
        converted.insert(0, *left);
        let function = self.collated_comparison(function, &converted)?;
        let left = Box::new(converted.remove(0));
        coverage::note(|| found.key());
        let node = Node::AnyOf { function, left, items: converted, all };
        Ok(Expr::new(Type::Bool, position, node))
    }
}

/// `select_common_type`, and whether all expressions can be coerced to it.
fn common_type<'e>(exprs: impl Iterator<Item = &'e Expr> + Clone) -> Option<Type> {
    let common = common_of(exprs.clone().map(|expr| &expr.ty))?;
    exprs.clone().all(|expr| candidates::can_coerce(&expr.ty, &common)).then_some(common)
}

/// `select_common_type`: the first type, unless a later one of its category is preferred to it.
/// `None` for types of different categories.
pub(super) fn common_of<'t>(types: impl Iterator<Item = &'t Type>) -> Option<Type> {
    let mut common = Type::Unknown;
    for ty in types.filter(|ty| **ty != Type::Unknown) {
        if common == Type::Unknown {
            common = ty.clone();
        } else if common != *ty {
            if common.category() != ty.category() {
                return None;
            }
            let forward = candidates::can_coerce(&common, ty);
            let back = candidates::can_coerce(ty, &common);
            if !common.is_preferred() && forward && !back {
                common = ty.clone();
            }
        }
    }
    Some(if common == Type::Unknown { Type::Text } else { common })
}
