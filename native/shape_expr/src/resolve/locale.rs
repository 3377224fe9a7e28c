//! Collations, as far as they say which letters have case, and functions that take anything.

use crate::catalog::{self, CastContext};
use crate::error::Error;
use crate::expr::{Expr, Function, Node};
use crate::types::{Category, Collation, Type};

use super::{Resolver, candidates, coerce, collation};

/// PostgreSQL calls no function with more arguments than this.
const MOST_ARGUMENTS: usize = 100;

impl Resolver<'_> {
    /// The function as it is under the collation of its arguments.
    pub(super) fn localised(
        &self,
        function: Function,
        args: &[Expr],
        position: usize,
    ) -> Result<Function, Error> {
        let searches =
            catalog::searches_text(&function) && !args.iter().any(|arg| arg.ty == Type::Bpchar);
        if !searches && !catalog::depends_on_case(&function) {
            return Ok(function);
        }
        // An explicit collation counts alone; two contradict each other, which is reported later.
        let explicit = args.iter().find_map(|arg| match collation::check(arg) {
            Ok(None) => None,
            _ => Some(self.collation(arg)),
        });
        let collation = explicit.unwrap_or_else(|| self.common_collation(args));
        if searches {
            return Ok(match collation {
                Some(_) => function,
                None => catalog::undetermined(&function),
            });
        }
        let ascii = match collation.map(|found| found.unwrap_or_default()) {
            Some(Collation::Default) => self.options.ascii_case,
            Some(Collation::C) => true,
            Some(Collation::CUtf8) => false,
            None => return Ok(catalog::undetermined(&function)),
            Some(Collation::Other) => {
                let what = "case and classes of letters under such a collation";
                return Err(Error::unsupported(what, position));
            }
        };
        Ok(match ascii {
            true => catalog::under_c(&function).unwrap_or(function),
            false => function,
        })
    }

    /// The collation of expressions together; `None` if they clash.
    pub(super) fn common_collation(&self, args: &[Expr]) -> Option<Option<Collation>> {
        args.iter().try_fold(None, |all, arg| merge(all, self.collation(arg)?))
    }

    /// The collation of an expression, which what is no text has not. The outer `None` is a conflict.
    pub(super) fn collation(&self, expr: &Expr) -> Option<Option<Collation>> {
        let of = |ty: &Type| match ty.element().unwrap_or(ty) {
            Type::Name => Some(Collation::C),
            ty if ty.category() == Category::String => Some(Collation::Default),
            _ => None,
        };
        match &expr.node {
            Node::Column(column) => {
                let column = self.schema.columns().get(*column).and_then(|c| c.ty.as_ref());
                Some(match column {
                    Some(ty) if ty.collation == Collation::Default => of(&ty.ty),
                    Some(ty) if of(&ty.ty).is_some() => Some(ty.collation),
                    _ => of(&expr.ty),
                })
            }
            Node::Call { function, args } => {
                let own = of(&function.result);
                if own.is_none() {
                    return Some(None);
                }
                // What only its text form makes a name of has the collation of names.
                if let (Type::Name, [Expr { node: Node::Call { function: inner, args }, .. }]) =
                    (&function.result, args.as_slice())
                    && inner.name == coerce::FORM_OF_NAME
                    && args.first().is_some_and(|arg| of(&arg.ty).is_none())
                {
                    return Some(own);
                }
                let found = args.iter().try_fold(None, |all, arg| merge(all, self.collation(arg)?));
                found.map(|found| found.or(own))
            }
            Node::Collate { name, inner, .. } if name.is_empty() => self.collation(inner),
            Node::Collate { name, .. } => Some(Some(Collation::named(name))),
            Node::Const(_) | Node::Late(_) | Node::Raise(_) => Some(of(&expr.ty)),
            _ => {
                let own = of(&expr.ty);
                if own.is_none() {
                    return Some(None);
                }
                let mut found = Some(None);
                expr.children(&mut |child| {
                    found = found.and_then(|all| merge(all, self.collation(child)?));
                });
                found.map(|found| found.or(own))
            }
        }
    }

    /// `concat` and its like: every argument by its text form.
    pub(super) fn variadic(
        &mut self,
        name: &str,
        args: &mut Vec<Expr>,
        position: usize,
    ) -> Result<Option<Expr>, Error> {
        if args.len() > MOST_ARGUMENTS {
            let message = format!("cannot pass more than {MOST_ARGUMENTS} arguments to a function");
            return Err(Error::DatatypeMismatch { message, sqlstate: "54023", position });
        }
        // Declared for any element type besides text.
        if let ("quote_literal" | "quote_nullable", [arg]) = (name, args.as_mut_slice())
            && arg.ty.category() != Category::String
            && arg.ty != Type::Unknown
        {
            *arg = self.coerce(arg.clone(), &Type::Text, CastContext::Explicit)?;
            return Ok(None);
        }
        if let (Some(function), false) = (catalog::counting(name), args.is_empty()) {
            let node = Node::Call { function, args: std::mem::take(args) };
            return Ok(Some(Expr::new(Type::Int4, position, node)));
        }
        let Some((function, own)) = catalog::variadic(name) else { return Ok(None) };
        let least = if name == "format" { own } else { own + 1 };
        let fits = args.len() >= least && {
            args[..own].iter().all(|arg| candidates::can_coerce(&arg.ty, &Type::Text))
        };
        if !fits {
            let types: Vec<String> = args.iter().map(|arg| arg.ty.to_string()).collect();
            let signature = format!("{name}({})", types.join(", "));
            return Err(Error::UnknownFunction { signature, position });
        }
        let mut texts = Vec::with_capacity(args.len());
        for (at, arg) in args.drain(..).enumerate() {
            // The output function's text, which a cast's is not: `t`, and all of a bpchar's blanks.
            let shown = match catalog::to_text(&arg.ty, &Type::Text) {
                Some(function) if at >= own && !is_text(&arg.ty) => {
                    let from = arg.ty.clone();
                    let mut text = coerce::apply(function, arg, &Type::Text);
                    coerce::add_type(&mut text, &from);
                    text
                }
                _ => self.coerce(arg, &Type::Text, CastContext::Implicit)?,
            };
            texts.push(shown);
        }
        let node = Node::Call { function, args: texts };
        Ok(Some(Expr::new(Type::Text, position, node)))
    }
}

/// Types whose values are their own text.
fn is_text(ty: &Type) -> bool {
    matches!(ty, Type::Text | Type::Varchar | Type::Name | Type::Unknown)
}

/// Two collations, none of them written out: one that is not the default prevails, two such clash.
fn merge(one: Option<Collation>, other: Option<Collation>) -> Option<Option<Collation>> {
    Some(match (one, other) {
        (None, found) | (found, None) => found,
        (Some(Collation::Default), found) | (found, Some(Collation::Default)) => found,
        (Some(a), Some(b)) if a == b => Some(a),
        _ => return None,
    })
}
