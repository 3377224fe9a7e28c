//! CASE, COALESCE, NULLIF, GREATEST, LEAST, COLLATE, and comparisons of rows.

use crate::catalog::CastContext;
use crate::constants::Const;
use crate::error::{Error, EvalError, Raise};
use crate::expr::{Expr, Function, Node, RowPair, Strategy, Volatility};
use crate::parse::ast::{Ast, AstKind};
use crate::program::Test;
use crate::types::{Category, Type};
use crate::value::{Eval, Value};
use crate::vm::Context;

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
                        let what = "an explicit collation of what CASE compares";
                        return Err(Error::unsupported(what, operand.position));
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
                // What is constant it runs while it plans, before anything around it can drop it.
                let node = match args.iter().any(Expr::reads_columns) {
                    true => Node::Raise(Raise::UndefinedFunction),
                    false => Node::Call { function: incomparable(what, &ty), args: Vec::new() },
                };
                return Ok(Expr::new(ty, position, node));
            }
            Err(error) => return Err(error),
        };
        let (less, _) = match parts(less) {
            Ok(parts) => parts,
            Err(other) => return Ok(Expr { ty, ..other }),
        };
        self.check_order(&less, &args, position)?;
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

    /// An operand, maybe a row. PostgreSQL looks at all operands before it looks for operators.
    pub(super) fn side(&mut self, ast: &Ast) -> Result<Side, Error> {
        Ok(match &ast.kind {
            AstKind::Row(fields) => {
                self.grow(1, ast.position)?;
                Side::Row(fields.iter().map(|field| self.side(field)).collect::<Result<_, _>>()?)
            }
            _ => Side::One(self.expression(ast)?),
        })
    }

    pub(super) fn compare_sides(
        &mut self,
        name: &str,
        left: Side,
        right: Side,
        position: usize,
    ) -> Result<Expr, Error> {
        match (left, right) {
            (Side::One(left), Side::One(right)) => self.operator(name, Some(left), right, position),
            (Side::Row(left), Side::Row(right)) => self.rows(name, left, right, position),
            _ => Err(Error::unsupported("a row beside what is no row", position)),
        }
    }

    /// `make_row_comparison_op`.
    fn rows(
        &mut self,
        name: &str,
        left: Vec<Side>,
        right: Vec<Side>,
        position: usize,
    ) -> Result<Expr, Error> {
        if left.len() != right.len() {
            return Err(Error::syntax("unequal number of entries in row expressions", position));
        }
        if left.is_empty() {
            return Err(Error::unsupported("comparing rows of no columns", position));
        }
        let mut compared = Vec::with_capacity(left.len());
        for (a, b) in left.into_iter().zip(right) {
            let one = self.compare_sides(name, a, b, position)?;
            if one.ty != Type::Bool {
                let message =
                    format!("row comparison operator must yield type boolean, not type {}", one.ty);
                return Err(Error::mismatch(message, position));
            }
            compared.push(one);
        }
        if compared.len() == 1 {
            return compared.pop().ok_or_else(|| Error::syntax("a row is missing", position));
        }
        let node = match name {
            "=" => Node::And(compared),
            "<>" | "!=" => Node::Or(compared),
            "<" | "<=" | ">" | ">=" => return self.ordered_rows(name, compared, position),
            _ => {
                let what = format!("operator {name} between rows");
                return Err(Error::unsupported(what, position));
            }
        };
        Ok(Expr::new(Type::Bool, position, node))
    }

    fn ordered_rows(
        &mut self,
        name: &str,
        compared: Vec<Expr>,
        position: usize,
    ) -> Result<Expr, Error> {
        let strategy = match name {
            "<" => Strategy::Less,
            "<=" => Strategy::LessEqual,
            ">" => Strategy::Greater,
            _ => Strategy::GreaterEqual,
        };
        let mut pairs = Vec::with_capacity(compared.len());
        for one in compared {
            let args = match parts(one) {
                Ok((_, args)) => args,
                Err(other) if matches!(other.node, Node::Const(_)) => return Ok(other),
                Err(_) => return Err(Error::unsupported("ordering rows within rows", position)),
            };
            let named = |this: &mut Self, name: &str| -> Result<Function, Error> {
                let [left, right] = args.clone();
                match parts(this.operator(name, Some(left), right, position)?) {
                    Ok((function, _)) => Ok(function),
                    Err(_) => Err(Error::unsupported("ordering these rows", position)),
                }
            };
            let (equal, less) = (named(self, "=")?, named(self, "<")?);
            pairs.push(RowPair { equal, less, args });
        }
        Ok(Expr::new(Type::Bool, position, Node::RowCompare { strategy, pairs }))
    }

    /// `(a, b) IS DISTINCT FROM (c, d)`.
    pub(super) fn distinct_rows(
        &mut self,
        left: &[Ast],
        right: &[Ast],
        negated: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        if left.len() != right.len() {
            return Err(Error::syntax("unequal number of entries in row expressions", position));
        }
        let left: Vec<Side> = left.iter().map(|a| self.side(a)).collect::<Result<_, _>>()?;
        let right: Vec<Side> = right.iter().map(|b| self.side(b)).collect::<Result<_, _>>()?;
        let mut arms = Vec::with_capacity(left.len());
        for (a, b) in left.into_iter().zip(right) {
            let equal = self.compare_sides("=", a, b, position)?;
            arms.push(match parts(equal) {
                Ok((function, args)) => {
                    let (args, negated) = (Box::new(args), false);
                    let node = Node::Distinct { function, args, negated };
                    Expr::new(Type::Bool, position, node)
                }
                Err(other) if matches!(other.node, Node::Const(_)) => other,
                Err(_) => return Err(Error::unsupported("a row within a row", position)),
            });
        }
        let any = Expr::new(Type::Bool, position, Node::Or(arms));
        Ok(match negated {
            true => Expr::new(Type::Bool, position, Node::Not(Box::new(any))),
            false => any,
        })
    }

    /// `ROW(...) IS [NOT] NULL`: all columns are, or all are not. A row within it never is.
    pub(super) fn row_test(
        &mut self,
        test: Test,
        columns: &[Ast],
        position: usize,
    ) -> Result<Expr, Error> {
        let mut fields = Vec::with_capacity(columns.len());
        for column in columns {
            fields.push(match &column.kind {
                AstKind::Row(_) => return Err(Error::unsupported("a row within a row", position)),
                _ => self.expression(column)?,
            });
        }
        let row = Expr::new(Type::Unknown, position, Node::Row(fields));
        Ok(Expr::new(Type::Bool, position, Node::Test(test, Box::new(row))))
    }
}

/// An operand: a value or a row.
#[derive(Clone)]
pub(super) enum Side {
    One(Expr),
    Row(Vec<Side>),
}

impl Side {
    pub(super) fn size(&self) -> usize {
        match self {
            Side::One(expr) => expr.size(),
            Side::Row(fields) => fields.iter().map(Side::size).sum(),
        }
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

/// What folding runs where constants cannot be compared: it raises.
fn incomparable(name: &'static str, ty: &Type) -> Function {
    fn raise<'a>(_: &mut Context<'a>, _: &[Value<'a>]) -> Eval<'a> {
        Err(EvalError::new(Raise::UndefinedFunction))
    }
    Function {
        name,
        implementation: raise,
        result: ty.clone(),
        strict: false,
        volatility: Volatility::Immutable,
        strategy: Strategy::Plain,
        is_cast: false,
    }
}
