//! What jsonb and json need beyond the tables: subscripts, and paths of any number of arguments.

use crate::catalog;
use crate::catalog::CastContext;
use crate::constants::Const;
use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::parse::ast::Subscript;
use crate::types::Type;

use super::Resolver;
use super::candidates::can_coerce;

impl Resolver<'_> {
    /// An undetermined column on the left of an operator that only jsonb and json have is jsonb.
    pub(super) fn settle_json(&mut self, name: &str, args: &mut [Expr]) -> Result<(), Error> {
        if !matches!(name, "->" | "->>" | "#>" | "#>>" | "#-" | "?" | "?|" | "?&") {
            return Ok(());
        }
        if let [left, _] = args {
            *left = self.settle(left.clone(), &Type::Jsonb)?;
        }
        Ok(())
    }

    /// `document['a'][0]`: each subscript is a text, or an int4 where it can be one.
    pub(super) fn jsonb_subscript(
        &mut self,
        value: Expr,
        subscripts: &[Subscript],
        position: usize,
    ) -> Result<Expr, Error> {
        let mut args = vec![value];
        for subscript in subscripts {
            let subscript = match subscript {
                Subscript::Index(subscript) => subscript,
                Subscript::Slice(lower, upper) => {
                    let message = "jsonb subscript does not support slices";
                    let bound = lower.as_ref().or(upper.as_ref());
                    return Err(Error::mismatch(message, bound.map_or(position, |b| b.position)));
                }
            };
            let subscript = self.expression(subscript)?;
            let subscript = self.settle(subscript, &Type::Text)?;
            let ty = match &subscript.ty {
                Type::Unknown => Type::Text,
                from => match (can_coerce(from, &Type::Int4), can_coerce(from, &Type::Text)) {
                    (true, false) => Type::Int4,
                    (false, true) => Type::Text,
                    _ => {
                        let message = format!("subscript type {from} is not supported");
                        return Err(Error::mismatch(message, subscript.position));
                    }
                },
            };
            args.push(self.coerce(subscript, &ty, CastContext::Implicit)?);
        }
        let function = catalog::jsonb_subscript();
        Ok(Expr::new(Type::Jsonb, position, Node::Subscript { function, args }))
    }

    /// `jsonb_build_object('a', 1, ...)` and its like, and `jsonb_delete` of several keys.
    pub(super) fn json_of_values(
        &mut self,
        name: &str,
        args: &mut Vec<Expr>,
        position: usize,
    ) -> Result<Option<Expr>, Error> {
        if name == "jsonb_delete" && args.len() > 2 {
            let keys = args.split_off(1);
            let mut texts = Vec::with_capacity(keys.len());
            for key in keys {
                if !can_coerce(&key.ty, &Type::Text) {
                    let signature = format!("{name}(..., {})", key.ty);
                    return Err(Error::UnknownFunction { signature, position });
                }
                texts.push(self.coerce(key, &Type::Text, CastContext::Implicit)?);
            }
            let function = catalog::arrays::constructor(false, Type::TEXT_ARRAY);
            let keys = Node::Call { function, args: texts };
            args.push(Expr::new(Type::TEXT_ARRAY, position, keys));
            return Ok(None);
        }
        let Some(function) = catalog::from_values(name) else { return Ok(None) };
        let mut typed = Vec::with_capacity(2 * args.len());
        for arg in args.drain(..) {
            let arg = match arg.ty {
                Type::Unknown => self.coerce(arg, &Type::Text, CastContext::Implicit)?,
                _ => arg,
            };
            let ty = Const::Type(arg.ty.clone().into());
            let ty = Expr::constant(Type::Unknown, arg.position, ty);
            typed.extend([arg, ty]);
        }
        let result = function.result.clone();
        Ok(Some(Expr::new(result, position, Node::Call { function, args: typed })))
    }

    /// Arguments that PostgreSQL declares a default for, where they are left out.
    pub(super) fn add_defaults(&self, name: &str, args: &mut Vec<Expr>, position: usize) {
        let defaults = catalog::defaults(name, args.len());
        args.extend(defaults.iter().map(|default| match default {
            catalog::Default::Bool(b) => Expr::constant(Type::Bool, position, Const::Bool(*b)),
            catalog::Default::Text(text) => {
                Expr::constant(Type::Text, position, Const::Text((*text).into()))
            }
        }));
    }

    /// `jsonb_extract_path(document, 'a', 'b')` and its like.
    pub(super) fn json_path_call(
        &mut self,
        name: &str,
        args: &[Expr],
        position: usize,
    ) -> Result<Option<Expr>, Error> {
        let Some((document, function)) = catalog::path_function(name) else { return Ok(None) };
        let fits = match args {
            [first, rest @ ..] if !rest.is_empty() => {
                can_coerce(&first.ty, &document)
                    && rest.iter().all(|arg| can_coerce(&arg.ty, &Type::Text))
            }
            _ => false,
        };
        if !fits {
            let types: Vec<String> = args.iter().map(|arg| arg.ty.to_string()).collect();
            let signature = format!("{name}({})", types.join(", "));
            return Err(Error::UnknownFunction { signature, position });
        }
        let mut coerced = Vec::with_capacity(args.len());
        for (at, arg) in args.iter().enumerate() {
            let ty = if at == 0 { &document } else { &Type::Text };
            coerced.push(self.coerce(arg.clone(), ty, CastContext::Implicit)?);
        }
        let result = function.result.clone();
        Ok(Some(Expr::new(result, position, Node::Call { function, args: coerced })))
    }
}
