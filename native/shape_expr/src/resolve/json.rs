//! What jsonb and json need beyond the tables: paths, which are arrays of text.

use crate::catalog;
use crate::catalog::CastContext;
use crate::constants::Const;
use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::types::Type;
use crate::values::json::Builder;
use crate::values::json_get;

use super::candidates::can_coerce;
use super::{Resolver, coerce};

impl Resolver<'_> {
    /// An undetermined column on the left of an operator that only jsonb and json have is jsonb.
    pub(super) fn settle_json(&mut self, name: &str, args: &mut [Expr]) -> Result<(), Error> {
        if !matches!(name, "->" | "->>" | "#>" | "#>>" | "?" | "?|" | "?&") {
            return Ok(());
        }
        if let [left, _] = args {
            *left = self.settle(left.clone(), &Type::Jsonb)?;
        }
        Ok(())
    }

    /// `document #> '{a,b}'` and its like. The path is a literal here, read as text[] at once and
    /// kept as a jsonb array of strings; this is the place to take any other text[].
    pub(super) fn json_path(
        &mut self,
        name: &str,
        args: &[Expr],
        position: usize,
    ) -> Result<Option<Expr>, Error> {
        let ([left, right], "#>" | "#>>" | "?|" | "?&") = (args, name) else { return Ok(None) };
        let left = match (name, &left.ty) {
            ("?&", Type::Unknown) => self.read_literal(left.clone(), &Type::Jsonb)?,
            // json and jsonb have the others, and points have `?|`.
            (_, Type::Unknown) => {
                let what = format!("operator unknown {name} {}", right.ty);
                return Err(Error::Ambiguous { what, position });
            }
            _ => left.clone(),
        };
        let Some(function) = catalog::path_operator(name, &left.ty) else {
            let signature = format!("{} {name} {}", left.ty, right.ty);
            return Err(Error::UnknownOperator { signature, position });
        };
        let path = match (&right.node, &right.ty) {
            (Node::Const(Const::Text(text)), Type::Unknown) => {
                let items = json_get::parse_path(text).map_err(|error| {
                    let sqlstate = error.sqlstate();
                    match sqlstate {
                        "0A000" => {
                            Error::unsupported("a path of several dimensions", right.position)
                        }
                        _ => coerce::invalid(&Type::Text, text, sqlstate, right.position),
                    }
                })?;
                self.scratch.reset();
                let mut array = Builder::new(text.len(), &self.scratch);
                array.open(false);
                let built = items.iter().try_for_each(|item| array.string(item.as_deref()));
                match built.and_then(|()| array.close()) {
                    Ok(()) => Const::Json(array.finish().bytes().into()),
                    Err(e) => {
                        return Err(coerce::invalid(
                            &Type::Text,
                            text,
                            e.sqlstate(),
                            right.position,
                        ));
                    }
                }
            }
            (Node::Const(Const::Null), Type::Unknown) => Const::Null,
            (_, ty) => {
                let signature = format!("{} {name} {ty}", left.ty);
                return Err(Error::UnknownOperator { signature, position });
            }
        };
        let path = Expr::constant(Type::Jsonb, right.position, path);
        let args = vec![left, path];
        Ok(Some(Expr::new(function.result.clone(), position, Node::Call { function, args })))
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
