//! ARRAY[...], subscripts, ANY and ALL of arrays, casts element by element.

use crate::catalog::{CastContext, arrays};
use crate::constants::Const;
use crate::coverage;
use crate::error::Error;
use crate::expr::{Expr, Function, Node};
use crate::parse::ast::{Ast, AstKind, Subscript};
use crate::types::Type;

use super::{Resolver, candidates, polymorphic};

impl Resolver<'_> {
    /// `transformArrayExpr`; `wanted` is the element type and its modifier where a cast stands right
    /// around it.
    pub(super) fn array(
        &mut self,
        items: &[Ast],
        wanted: Option<(&Type, i32)>,
        position: usize,
    ) -> Result<Expr, Error> {
        let mut nested = false;
        let mut exprs = Vec::with_capacity(items.len());
        for item in items {
            let expr = match &item.kind {
                AstKind::Array(inner) => {
                    self.grow(1, item.position)?;
                    self.array(inner, wanted, item.position)?
                }
                _ => self.expression(item)?,
            };
            nested |= expr.ty.element().is_some();
            exprs.push(expr);
        }
        let ty = match wanted {
            Some((element, typmod)) => {
                let ty = element.clone().array_of();
                let each = if nested { ty.clone() } else { element.clone() };
                let each_cast = |(expr, item): (Expr, &Ast)| match item.kind {
                    // Its own items have been.
                    AstKind::Array(_) => Ok(expr),
                    _ => {
                        let position = expr.position;
                        self.cast_to(expr, &each, typmod, position)
                    }
                };
                exprs = exprs.into_iter().zip(items).map(each_cast).collect::<Result<_, _>>()?;
                ty
            }
            None if exprs.is_empty() => {
                let message = "cannot determine type of empty array".to_owned();
                return Err(Error::DatatypeMismatch { message, sqlstate: "42P18", position });
            }
            None => {
                let (coerced, common) = self.unify(exprs, "ARRAY", position)?;
                exprs = coerced;
                common.array_of()
            }
        };
        let function = arrays::constructor(nested, ty.clone());
        Ok(Expr::new(ty, position, Node::Call { function, args: exprs }))
    }

    /// `value[1]`, `value[1][2]`, `value[1:2]`.
    pub(super) fn subscript(
        &mut self,
        value: &Ast,
        subscripts: &[Subscript],
        position: usize,
    ) -> Result<Expr, Error> {
        let value = self.expression(value)?;
        if value.ty == Type::Name {
            return Err(Error::unsupported("a subscript of a name", position));
        }
        if value.ty == Type::Jsonb {
            return self.jsonb_subscript(value, subscripts, position);
        }
        let Some(element) = value.ty.element().cloned() else {
            let message =
                format!("cannot subscript type {} because it does not support it", value.ty);
            return Err(Error::mismatch(message, position));
        };
        if subscripts.len() > 6 {
            return Err(Error::TooComplex { limit: 6, position });
        }
        // One slice makes slices of all.
        let slice = subscripts.iter().any(|s| matches!(s, Subscript::Slice(..)));
        let ty = if slice { value.ty.clone() } else { element };
        let (mut args, mut lowers) = (vec![value], Vec::new());
        for subscript in subscripts {
            let (lower, upper) = match subscript {
                Subscript::Index(upper) if slice => (None, Some(upper)),
                Subscript::Index(index) => {
                    args.push(self.index(index)?);
                    continue;
                }
                Subscript::Slice(lower, upper) => (lower.as_ref(), upper.as_ref()),
            };
            let single = matches!(subscript, Subscript::Index(_));
            // PostgreSQL evaluates all upper bounds before any lower one.
            for (bound, bounds) in [(lower, &mut lowers), (upper, &mut args)] {
                // Whether a bound is there, and the bound.
                let given = bound.is_some() || single;
                bounds.push(Expr::constant(Type::Bool, position, Const::Bool(given)));
                bounds.push(match bound {
                    Some(bound) => self.index(bound)?,
                    None => Expr::constant(Type::Int4, position, Const::Int(1)),
                });
            }
        }
        args.append(&mut lowers);
        let function = arrays::subscript(slice, ty.clone());
        Ok(Expr::new(ty, position, Node::Subscript { function, args }))
    }

    fn index(&mut self, index: &Ast) -> Result<Expr, Error> {
        let index = self.expression(index)?;
        let index = self.settle(index, &Type::Int4)?;
        match index.ty {
            Type::Int4 => Ok(index),
            // An assignment's casts are allowed.
            _ => {
                self.coerce(index, &Type::Int4, CastContext::Assignment).map_err(
                    |error| match error {
                        Error::DatatypeMismatch { position, .. } => {
                            Error::mismatch("array subscript must have type integer", position)
                        }
                        other => other,
                    },
                )
            }
        }
    }

    /// Open schema: a column that must contain what reads as an array is a text[].
    pub(super) fn settle_array(&mut self, name: &str, args: &mut [Expr]) -> Result<(), Error> {
        let reads = |arg: &Expr| match &arg.node {
            Node::Const(Const::Text(text)) => {
                let arena = bumpalo::Bump::new();
                crate::values::input(&Type::TEXT_ARRAY, text, &arena).is_ok()
            }
            _ => false,
        };
        if !self.schema.is_open()
            || !matches!(name, "@>" | "<@" | "&&")
            || !args.iter().any(|arg| arg.ty == Type::Unknown && reads(arg))
        {
            return Ok(());
        }
        for arg in args.iter_mut().filter(|arg| matches!(arg.node, Node::Column(_))) {
            if arg.ty == Type::Unknown {
                *arg = self.settle(arg.clone(), &Type::TEXT_ARRAY)?;
            }
        }
        Ok(())
    }

    /// `make_scalar_array_op`.
    pub(super) fn any_array(
        &mut self,
        name: &str,
        left: &Ast,
        array: &Ast,
        all: bool,
        position: usize,
    ) -> Result<Expr, Error> {
        let name = if name == "!=" { "<>" } else { name };
        let (mut left, mut right) = (self.expression(left)?, self.expression(array)?);
        // Open schema: a column beside an array has its elements' type, and the other way round.
        let is_open = |e: &Expr| matches!(e.node, Node::Column(_)) && e.ty == Type::Unknown;
        if is_open(&left) {
            let ty = match (&right.ty, &right.node) {
                (Type::Array(element), Node::Call { .. } | Node::Const(_)) => match **element {
                    Type::Int2 | Type::Int4 => Type::Int8,
                    ref other => other.clone(),
                },
                (Type::Array(element), _) => (**element).clone(),
                _ => Type::Text,
            };
            left = self.settle(left, &ty)?;
        }
        if is_open(&right) {
            let ty = match &left.ty {
                Type::Unknown => Type::Text,
                Type::Int2 | Type::Int4 => Type::Int8,
                ty => ty.clone(),
            };
            right = self.settle(right, &ty.array_of())?;
        }
        let element = match &right.ty {
            Type::Unknown => Type::Unknown,
            Type::Array(element) => (**element).clone(),
            _ => {
                let message = "op ANY/ALL (array) requires array on right side".to_owned();
                return Err(Error::DatatypeMismatch { message, sqlstate: "42809", position });
            }
        };
        let types = [left.ty.clone(), element];
        let found = candidates::operator(name, &types, position)
            .map_err(|error| self.blame(&[&left, &right], error))?;
        let declared: Vec<&Type> = found.left.iter().chain([&found.right]).collect();
        let (wanted, result) = polymorphic::settle(&types, &declared, &found.result, position)?;
        if result != Type::Bool {
            let message = "op ANY/ALL (array) requires operator to yield boolean".to_owned();
            return Err(Error::DatatypeMismatch { message, sqlstate: "42809", position });
        }
        let [left_ty, element] = wanted.as_slice() else {
            return Err(Error::syntax("ANY needs two operands", position));
        };
        if element.element().is_some() {
            let message = format!("could not find array type for data type {element}");
            return Err(Error::DatatypeMismatch { message, sqlstate: "42704", position });
        }
        let array_ty = element.clone().array_of();
        let blame = left.clone();
        let left = self.coerce(left, left_ty, CastContext::Implicit)?;
        let right = self
            .coerce(right, &array_ty, CastContext::Implicit)
            .map_err(|error| self.blame(&[&blame], error))?;
        let function = found.function();
        coverage::note(|| found.key());
        let args = Box::new([left, right]);
        self.check_order(&function, args.as_slice(), position)?;
        let function = self.collated_comparison(function, args.as_slice())?;
        Ok(Expr::new(Type::Bool, position, Node::AnyArray { function, all, args }))
    }

    /// An array's elements, each cast.
    pub(super) fn cast_elements(
        &mut self,
        array: Expr,
        ty: &Type,
        context: CastContext,
    ) -> Result<Option<Expr>, Error> {
        let (Some(from), Some(to)) = (array.ty.element(), ty.element()) else { return Ok(None) };
        let position = array.position;
        // The cast of one element, written for a stand-in.
        let stand_in = Expr::new(from.clone(), position, Node::Column(usize::MAX));
        let cast = self.coerce(stand_in, to, context)?;
        Ok(Some(map(array, cast, ty)))
    }
}

/// `cast`, written for one element, for all elements of an array.
pub(super) fn map(array: Expr, cast: Expr, ty: &Type) -> Expr {
    let position = array.position;
    match cast.node {
        Node::Call { function, mut args } if !args.is_empty() => {
            let inner = args.remove(0);
            let inner_ty = inner.ty.clone().array_of();
            let mapped = map(array, inner, &inner_ty);
            let mut all = vec![mapped];
            all.extend(args);
            Expr::new(ty.clone(), position, Node::Map { function, args: all })
        }
        _ => Expr { ty: ty.clone(), ..array },
    }
}

/// The function and the type it gives, under their real types.
pub(super) fn typed(mut function: Function, result: Type) -> Function {
    function.result = result;
    function
}
