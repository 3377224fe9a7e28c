//! Casts: of literals at once, of everything else by a function in the tree.

use crate::catalog::{self, CastContext};
use crate::constants::Const;
use crate::coverage;
use crate::error::{Error, Raise};
use crate::expr::{Expr, Function, Node};
use crate::parse::ast::{Ast, AstKind, TypeName};
use crate::types::{Category, ColumnType, Type};
use crate::values::{self, datetime, text};

use super::Resolver;

/// The function that makes the text that is a name at once. A name made of a text has that text's
/// collation; this one has that of names.
pub(super) const FORM_OF_NAME: &str = "text of a name";

/// An error about a literal, its text cut to a readable length.
pub(super) fn invalid(ty: &Type, value: &str, sqlstate: &'static str, position: usize) -> Error {
    let value = text::clip(value, 80).to_owned();
    Error::InvalidLiteral { ty: ty.to_string(), value, sqlstate, position }
}

impl Resolver<'_> {
    /// Reads a literal's text as a constant of this type.
    pub(super) fn read(&mut self, ty: &Type, text: &str, position: usize) -> Result<Const, Error> {
        self.scratch.reset();
        let result = values::input_in(self.zone, ty, text, &self.scratch);
        let result = match result {
            // `now` and its kind are PostgreSQL's to read, but not here.
            Err(error) if error.raise() == Raise::NotSupported && ty.is_time() => {
                return Err(Error::VolatileFunction { name: format!("'{text}'"), position });
            }
            other => other,
        };
        match result.map(|value| Const::from_value(&value)) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(invalid(ty, text, Raise::InvalidText.sqlstate(), position)),
            Err(error) => Err(invalid(ty, text, error.sqlstate(), position)),
        }
    }

    /// An untyped literal takes a type.
    pub(super) fn read_literal(&mut self, expr: Expr, ty: &Type) -> Result<Expr, Error> {
        let position = expr.position;
        let value = match &expr.node {
            Node::Const(Const::Text(text)) => {
                let text = text.clone();
                self.reads.push((position, ty.clone()));
                self.read(ty, &text, position)?
            }
            Node::Const(Const::Null) => Const::Null,
            _ => {
                let message = format!("cannot cast type unknown to {ty}");
                return Err(Error::DatatypeMismatch { message, sqlstate: "42846", position });
            }
        };
        Ok(Expr::constant(ty.clone(), position, value))
    }

    /// `coerce_type`: to this type, in this context.
    pub(super) fn coerce(
        &mut self,
        expr: Expr,
        ty: &Type,
        context: CastContext,
    ) -> Result<Expr, Error> {
        if expr.ty == *ty || *ty == Type::AnyNonArray {
            return Ok(expr);
        }
        if (&expr.ty, ty) == (&Type::Composite, &Type::Record) {
            return Ok(Expr { ty: Type::Record, ..expr });
        }
        if expr.ty == Type::Unknown {
            if let Node::Collate { name, bytewise, inner } = expr.node {
                let inner = self.coerce(*inner, ty, context)?;
                // What has no collation drops it.
                if ty.element().unwrap_or(ty).category() != Category::String {
                    return Ok(inner);
                }
                let node = Node::Collate { name, bytewise, inner: Box::new(inner) };
                return Ok(Expr::new(ty.clone(), expr.position, node));
            }
            return self.read_literal(expr, ty);
        }
        if super::rows::is_row(&expr.ty) && ty.category() == Category::String {
            return Err(Error::unsupported("a row as text", expr.position));
        }
        if let (Type::Array(_), Type::Array(_)) = (&expr.ty, ty) {
            let (from, position) = (expr.ty.clone(), expr.position);
            return match self.cast_elements(expr, ty, context) {
                Ok(Some(cast)) => Ok(cast),
                Err(Error::DatatypeMismatch { .. }) | Ok(None) => {
                    let message = format!("cannot cast type {from} to {ty}");
                    Err(Error::DatatypeMismatch { message, sqlstate: "42846", position })
                }
                Err(other) => Err(other),
            };
        }
        if let Some(cast) = catalog::cast(&expr.ty, ty, context) {
            coverage::note(|| catalog::cast_key(&expr.ty, ty));
            return Ok(match cast.function() {
                Some(function) => apply(function, expr, ty),
                // Relabelled: the same expression under another type's name.
                None => Expr { ty: ty.clone(), ..expr },
            });
        }
        // Through text: to it in an assignment or explicitly, from it only explicitly.
        if context >= CastContext::Assignment
            && ty.category() == Category::String
            && let Some(mut function) = catalog::to_text(&expr.ty, ty)
        {
            let from = expr.ty.clone();
            if *ty == Type::Name {
                function.name = FORM_OF_NAME;
            }
            coverage::note(|| catalog::cast_key(&from, ty));
            let mut text = apply(function, expr, &Type::Text);
            add_type(&mut text, &from);
            return self.coerce(text, ty, context);
        }
        if context == CastContext::Explicit
            && let Some(function) = catalog::text_to(&expr.ty, ty)
        {
            coverage::note(|| catalog::cast_key(&expr.ty, ty));
            let mut read = apply(function, expr, ty);
            add_type(&mut read, ty);
            return Ok(read);
        }
        let message = format!("cannot cast type {} to {ty}", expr.ty);
        Err(Error::DatatypeMismatch { message, sqlstate: "42846", position: expr.position })
    }

    /// `value::type`, `CAST (value AS type)`.
    pub(super) fn cast(
        &mut self,
        value: &Ast,
        name: &TypeName,
        position: usize,
    ) -> Result<Expr, Error> {
        let mut ty = match self.enumeration(&name.name) {
            Some(ty) if name.modifiers.is_empty() => ty,
            _ => ColumnType::with_modifiers(&name.name, &name.modifiers, Some(name.position))?,
        };
        if name.dimensions > 0 {
            ty = ty.array_of();
        }
        let expr = match (&value.kind, ty.ty.element()) {
            // Its items are cast one by one, and cut to length.
            (AstKind::Array(items), Some(element)) => {
                return self.array(items, Some((element, ty.typmod)), value.position);
            }
            _ => self.expression(value)?,
        };
        if let (Node::Column(column), Type::Unknown) = (&expr.node, &expr.ty) {
            let name = self.schema.columns()[*column].name.clone();
            self.undetermined.get_or_insert(Error::UndeterminedType { name, position });
            return Ok(Expr::constant(ty.ty, position, Const::Null));
        }
        self.cast_to(expr, &ty.ty, ty.typmod, position)
    }

    /// To this type of this length, explicitly, by a cast that stands here.
    pub(super) fn cast_to(
        &mut self,
        expr: Expr,
        ty: &Type,
        typmod: i32,
        position: usize,
    ) -> Result<Expr, Error> {
        if let (Type::Interval, Type::Unknown, Node::Const(Const::Text(text))) =
            (ty, &expr.ty, &expr.node)
        {
            return interval_literal(text, typmod, expr.position);
        }
        let expr =
            self.coerce(expr, ty, CastContext::Explicit).map_err(|e| move_to(e, position))?;
        Ok(apply_modifier(expr, typmod, position))
    }
}

impl Resolver<'_> {
    /// The enum of this name, if a column has it.
    fn enumeration(&self, name: &str) -> Option<ColumnType> {
        self.schema.columns().iter().find_map(|column| {
            let ty = column.ty.as_ref()?;
            let ty = ty.ty.element().unwrap_or(&ty.ty);
            match ty {
                Type::Enum(labels) if labels.name() == Some(name) => {
                    Some(ColumnType::new(ty.clone()))
                }
                _ => None,
            }
        })
    }
}

/// Does an explicit cast only relabel the value, or go through its text? Only such a cast can be
/// written as a call of a function with the type's name.
pub(super) fn needs_no_function(from: &Type, to: &Type) -> bool {
    // The tables cast these by a function of their own, PostgreSQL without one.
    if let (Type::Int4, Type::Oid) | (Type::Json, Type::Jsonb) | (Type::Jsonb, Type::Json) =
        (from, to)
    {
        return true;
    }
    match catalog::cast(from, to, CastContext::Explicit) {
        Some(cast) => cast.function().is_none(),
        None => {
            let to_text = to.category() == Category::String && catalog::to_text(from, to).is_some();
            from == to || to_text || catalog::text_to(from, to).is_some()
        }
    }
}

/// Is there a cast whose function has the type's name? Two of them have another type's.
pub(super) fn has_own_function(from: &Type, to: &Type) -> bool {
    let shared = matches!((from, to), (Type::Int2, Type::Oid) | (_, Type::Varchar | Type::Bpchar));
    !shared && catalog::cast(from, to, CastContext::Explicit).is_some()
}

/// Casts of arrays and enums from and to text take their type as an argument.
pub(super) fn add_type(cast: &mut Expr, ty: &Type) {
    if let (Type::Array(_) | Type::Enum(_), Node::Call { args, .. }) = (ty, &mut cast.node) {
        let ty = Const::Type(ty.clone().into());
        args.push(Expr::constant(Type::Unknown, cast.position, ty));
    }
}

/// An interval's modifier says what a number without a unit counts.
fn interval_literal(text: &str, typmod: i32, position: usize) -> Result<Expr, Error> {
    match datetime::parse_interval(text, typmod) {
        Ok(interval) => Ok(Expr::constant(Type::Interval, position, Const::Interval(interval))),
        Err(error) => Err(invalid(&Type::Interval, text, error.sqlstate(), position)),
    }
}

/// A cast that does not exist is reported where the cast stands; a bad literal where it stands.
fn move_to(error: Error, to: usize) -> Error {
    match error {
        Error::DatatypeMismatch { message, sqlstate, .. } => {
            Error::DatatypeMismatch { message, sqlstate, position: to }
        }
        other => other,
    }
}

pub(super) fn apply(function: Function, expr: Expr, ty: &Type) -> Expr {
    let position = expr.position;
    Expr::new(ty.clone(), position, Node::Call { function, args: vec![expr] })
}

/// `varchar(20)` and the like: the length coercion after the cast.
fn apply_modifier(expr: Expr, typmod: i32, position: usize) -> Expr {
    let element = expr.ty.element().unwrap_or(&expr.ty);
    let (Some(function), true) = (catalog::length_coercion(element), typmod >= 0) else {
        return expr;
    };
    let ty = expr.ty.clone();
    let is_array = ty.element().is_some();
    let args = vec![
        expr,
        Expr::constant(Type::Int4, position, Const::Int(i64::from(typmod))),
        Expr::constant(Type::Bool, position, Const::Bool(true)),
    ];
    let node = match is_array {
        true => Node::Map { function, args },
        false => Node::Call { function, args },
    };
    Expr::new(ty, position, node)
}
