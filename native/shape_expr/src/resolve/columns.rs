//! Columns by name, and the open schema, whose columns take their type from what they meet.

use crate::constants::Const;
use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::parse::ast::AstKind;
use crate::schema::Found;
use crate::types::{Category, ColumnType, Type};

use super::Resolver;

impl Resolver<'_> {
    /// `a`, `todos.a`, `public.todos.a`.
    pub(super) fn column(&mut self, names: &[String], position: usize) -> Result<Expr, Error> {
        let Some((name, qualifiers)) = names.split_last() else {
            return Err(Error::syntax("a name is missing", position));
        };
        if let Some(table) = self.is_whole_row(&AstKind::Column(names.to_vec())) {
            return self.whole_row(table, position);
        }
        let column = match self.schema.find(name, qualifiers) {
            Found::Column(column) => column,
            Found::NoTable => {
                return Err(Error::UnknownTable { name: qualifiers.join("."), position });
            }
            Found::Ambiguous => {
                return Err(Error::AmbiguousColumn { name: name.clone(), position });
            }
            Found::NoColumn if self.schema.is_open() => self.schema.to_mut().push(name),
            Found::NoColumn => return Err(Error::UnknownColumn { name: name.clone(), position }),
        };
        let ty = match &self.schema.columns()[column].ty {
            Some(ty) => ty.ty.clone(),
            None => Type::Unknown,
        };
        Ok(Expr::new(ty, position, Node::Column(column)))
    }

    /// Gives an undetermined column this type; other expressions pass.
    pub(super) fn settle(&mut self, mut expr: Expr, ty: &Type) -> Result<Expr, Error> {
        if let (Node::Column(column), Type::Unknown) = (&expr.node, &expr.ty) {
            self.schema.to_mut().fix(*column, ColumnType::new(ty.clone()));
            expr.ty = ty.clone();
        }
        Ok(expr)
    }

    /// Operands of one operator: an undetermined column takes its type from the others. When
    /// nothing has one, `Some` stands in for the operator's result until another part of the clause
    /// has settled it.
    pub(super) fn settle_together(
        &mut self,
        args: &mut [Expr],
        position: usize,
    ) -> Result<Option<Expr>, Error> {
        let is_open = |arg: &Expr| matches!(arg.node, Node::Column(_)) && arg.ty == Type::Unknown;
        let Some(open) = args.iter().find(|arg| is_open(arg)).cloned() else { return Ok(None) };
        let ty =
            args.iter().filter(|arg| !is_open(arg)).find_map(|arg| match (&arg.ty, &arg.node) {
                (Type::Int2 | Type::Int4, Node::Const(_)) => Some(Type::Int8),
                (Type::Unknown, Node::Const(Const::Null)) => None,
                (Type::Unknown, _) => Some(Type::Text),
                (ty, _) => Some(ty.clone()),
            });
        if let Some(ty) = ty {
            for arg in args.iter_mut().filter(|arg| is_open(arg)) {
                let settled = self.settle(arg.clone(), &ty)?;
                *arg = settled;
            }
            return Ok(None);
        }
        let Node::Column(column) = open.node else { return Ok(None) };
        let name = self.schema.columns()[column].name.clone();
        let error = Error::UndeterminedType { name, position: open.position };
        self.undetermined.get_or_insert(error);
        Ok(Some(Expr::constant(Type::Bool, position, Const::Null)))
    }

    /// In an open schema a type error is a conflict with what an earlier use of the column said.
    pub(super) fn blame(&self, args: &[&Expr], error: Error) -> Error {
        let concerns_types = matches!(
            error,
            Error::UnknownOperator { .. }
                | Error::InvalidLiteral { .. }
                | Error::DatatypeMismatch { .. }
        );
        let column = args.iter().find_map(|arg| match arg.node {
            Node::Column(column) => Some((column, arg)),
            _ => None,
        });
        let (true, true, Some((column, arg))) = (self.schema.is_open(), concerns_types, column)
        else {
            return error;
        };
        let Some(column) = self.schema.columns().get(column) else { return error };
        debug_assert!(arg.ty.category() != Category::Unknown);
        Error::ColumnConflict {
            name: column.name.clone(),
            ty: column.ty.as_ref().map_or_else(String::new, ToString::to_string),
            message: error.to_string(),
            position: error.position().unwrap_or(arg.position),
        }
    }
}
