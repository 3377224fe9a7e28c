//! Rows: comparisons field by field, null tests, and rows that are values.

use crate::catalog;
use crate::constants::Const;
use crate::coverage;
use crate::error::Error;
use crate::expr::{Expr, Function, Node, RowPair, Strategy};
use crate::parse::ast::{Ast, AstKind};
use crate::program::Test;
use crate::types::{Category, Collation, Type};

use super::control::parts;
use super::{Resolver, candidates};

/// An operand: a value or a row that is written out.
#[derive(Clone)]
pub(super) enum Side {
    One(Expr),
    Row(Vec<Expr>, usize),
}

impl Side {
    pub(super) fn size(&self) -> usize {
        match self {
            Side::One(expr) => expr.size(),
            Side::Row(fields, _) => fields.iter().map(Expr::size).sum(),
        }
    }
}

impl Resolver<'_> {
    /// An operand, maybe a row. PostgreSQL looks at all operands before it looks for operators.
    pub(super) fn side(&mut self, ast: &Ast) -> Result<Side, Error> {
        Ok(match &ast.kind {
            AstKind::Row(fields) => {
                self.grow(1, ast.position)?;
                Side::Row(self.fields(fields)?, ast.position)
            }
            _ => Side::One(self.expression(ast)?),
        })
    }

    /// What stands in `ROW(...)`, `t.*` as the table's columns.
    pub(super) fn fields(&mut self, fields: &[Ast]) -> Result<Vec<Expr>, Error> {
        let mut all = Vec::with_capacity(fields.len());
        for field in fields {
            match &field.kind {
                AstKind::WholeRow(table) => all.extend(self.all_columns(table, field.position)?),
                _ => all.push(self.expression(field)?),
            }
        }
        Ok(all)
    }

    /// The columns of the table of this name.
    pub(super) fn all_columns(
        &mut self,
        table: &[String],
        position: usize,
    ) -> Result<Vec<Expr>, Error> {
        coverage::note(|| coverage::form(&AstKind::WholeRow(Vec::new())));
        if !self.schema.is_called(table) {
            return Err(Error::UnknownTable { name: table.join("."), position });
        }
        if self.schema.is_open() {
            let what = "a whole row of a table whose columns are not declared";
            return Err(Error::unsupported(what, position));
        }
        let columns = self.schema.columns().iter().enumerate();
        let columns: Vec<Expr> = columns
            .map(|(column, declared)| {
                let ty = declared.ty.as_ref().map_or(Type::Unknown, |ty| ty.ty.clone());
                Expr::new(ty, position, Node::Column(column))
            })
            .collect();
        self.grow(columns.len(), position)?;
        Ok(columns)
    }

    /// A whole row as a value.
    pub(super) fn whole_row(&mut self, table: &[String], position: usize) -> Result<Expr, Error> {
        let columns = self.all_columns(table, position)?;
        Ok(Expr { ty: Type::Composite, ..self.record(columns, position)? })
    }

    /// `ROW(...)` as a value.
    pub(super) fn row_value(&mut self, fields: &[Ast], position: usize) -> Result<Expr, Error> {
        let fields = self.fields(fields)?;
        self.record(fields, position)
    }

    fn record(&mut self, fields: Vec<Expr>, position: usize) -> Result<Expr, Error> {
        self.grow(2 * fields.len(), position)?;
        let mut args = Vec::with_capacity(3 * fields.len());
        for field in fields {
            let field = match field.node {
                Node::Column(_) => self.settle(field, &Type::Text)?,
                _ => field,
            };
            let constant = |ty, value| Expr::constant(ty, field.position, value);
            args.push(constant(Type::Unknown, Const::Type(field.ty.clone().into())));
            args.push(constant(Type::Int8, Const::Int(self.mark(&field))));
            args.push(field);
        }
        let node = Node::Call { function: catalog::row(), args };
        Ok(Expr::new(Type::Record, position, node))
    }

    /// A field's collation by number, or that its type cannot be compared.
    fn mark(&self, field: &Expr) -> i64 {
        let ty = field.ty.element().unwrap_or(&field.ty);
        let pair = [ty.clone(), ty.clone()];
        if *ty == Type::Unknown || candidates::operator("=", &pair, 0).is_err() {
            return catalog::NO_EQUALITY;
        }
        if ty.category() != Category::String {
            return 0;
        }
        match self.collation(field) {
            Some(Some(Collation::C)) => 1,
            Some(Some(Collation::CUtf8)) => 2,
            Some(Some(Collation::Other)) => 3,
            _ => 0,
        }
    }

    pub(super) fn compare_sides(
        &mut self,
        name: &str,
        left: Side,
        right: Side,
        position: usize,
    ) -> Result<Expr, Error> {
        let one = |this: &mut Self, side: Side| match side {
            Side::One(expr) => Ok(expr),
            Side::Row(fields, position) => this.record(fields, position),
        };
        match (left, right) {
            (Side::Row(left, _), Side::Row(right, _)) => self.rows(name, left, right, position),
            (left, right) => {
                let (left, right) = (one(self, left)?, one(self, right)?);
                self.operator(name, Some(left), right, position)
            }
        }
    }

    /// `make_row_comparison_op`. A row within a row is a value like any other.
    fn rows(
        &mut self,
        name: &str,
        left: Vec<Expr>,
        right: Vec<Expr>,
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
            let one = self.operator(name, Some(a), b, position)?;
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
                Err(_) => return Err(Error::unsupported("ordering these rows", position)),
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
        let (left, right) = (self.fields(left)?, self.fields(right)?);
        if left.len() != right.len() {
            return Err(Error::syntax("unequal number of entries in row expressions", position));
        }
        let mut arms = Vec::with_capacity(left.len());
        for (a, b) in left.into_iter().zip(right) {
            let equal = self.operator("=", Some(a), b, position)?;
            arms.push(match parts(equal) {
                Ok((function, args)) => {
                    let (args, negated) = (Box::new(args), false);
                    let node = Node::Distinct { function, args, negated };
                    Expr::new(Type::Bool, position, node)
                }
                Err(other) => other,
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
        let fields = self.fields(columns)?;
        Ok(test_fields(test, fields, position))
    }

    /// `t IS [NOT] NULL`, or of any other row that is a value.
    pub(super) fn record_test(&mut self, test: Test, inner: Expr, position: usize) -> Expr {
        let null = test == Test::Null;
        let node = Node::Call { function: catalog::row_test(null), args: vec![inner] };
        Expr::new(Type::Bool, position, node)
    }

    /// `t IS [NOT] NULL`, field by field, so that it is known where those columns that are suffice.
    pub(super) fn whole_row_test(
        &mut self,
        test: Test,
        table: &[String],
        (named, position): (usize, usize),
    ) -> Result<Expr, Error> {
        let columns = self.all_columns(table, named)?;
        Ok(test_fields(test, columns, position))
    }

    /// Does this name mean the row of the table?
    pub(super) fn is_whole_row<'n>(&self, names: &'n AstKind) -> Option<&'n [String]> {
        match names {
            AstKind::WholeRow(table) => Some(table),
            AstKind::Column(names) => match names.as_slice() {
                [name] if self.schema.position(name).is_none() && !self.schema.is_open() => {
                    self.schema.is_called(names).then_some(names)
                }
                _ => None,
            },
            _ => None,
        }
    }
}

fn test_fields(test: Test, fields: Vec<Expr>, position: usize) -> Expr {
    let row = Expr::new(Type::Record, position, Node::Row(fields));
    Expr::new(Type::Bool, position, Node::Test(test, Box::new(row)))
}

/// A row, or an array of rows?
pub(super) fn is_row(ty: &Type) -> bool {
    matches!(ty.element().unwrap_or(ty), Type::Record | Type::Composite)
}
