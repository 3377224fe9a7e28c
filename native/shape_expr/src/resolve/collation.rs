//! Collations that contradict each other: explicit ones at once, others when they are compared by.

use crate::catalog;
use crate::error::Error;
use crate::expr::{Expr, Function, Node, Strategy};
use crate::types::Category;

use super::Resolver;

/// An explicit collation and where it stands.
type Explicit<'e> = Option<(&'e str, usize)>;

/// Finds a contradiction; gives the explicit collation that the expression's value has, if any.
pub(super) fn check(expr: &Expr) -> Result<Explicit<'_>, Error> {
    let mut found: Explicit<'_> = None;
    let mut error = None;
    let separate = matches!(expr.node, Node::RowCompare { .. } | Node::Row(_));
    expr.children(&mut |child| match check(child) {
        Ok(None) => {}
        Ok(Some((name, position))) => match found {
            Some((known, _))
                if known != name && !separate && !matches!(expr.node, Node::Collate { .. }) =>
            {
                let message = format!(
                    "collation mismatch between explicit collations \"{known}\" and \"{name}\""
                );
                let mismatch = Error::DatatypeMismatch { message, sqlstate: "42P21", position };
                error.get_or_insert(mismatch);
            }
            Some(_) => {}
            None => found = Some((name, position)),
        },
        Err(first) => drop(error.get_or_insert(first)),
    });
    if let Some(error) = error {
        return Err(error);
    }
    match &expr.node {
        // No longer explicit.
        Node::Collate { name, .. } if name.is_empty() => return Ok(None),
        Node::Collate { name, .. } => return Ok(Some((name, expr.position))),
        _ => {}
    }
    let collatable = expr.ty.element().unwrap_or(&expr.ty).category() == Category::String;
    Ok(found.filter(|_| collatable))
}

/// An expression whose collation, if it was explicit, counts no more than a column's.
pub(super) fn implicit(expr: Expr) -> Expr {
    let (ty, position) = (expr.ty.clone(), expr.position);
    let node = Node::Collate { name: "".into(), bytewise: true, inner: Box::new(expr) };
    Expr::new(ty, position, node)
}

impl Resolver<'_> {
    /// The comparison, or what raises in its place where its operands have two collations and neither
    /// is explicit.
    pub(super) fn collated_comparison(
        &self,
        function: Function,
        args: &[Expr],
    ) -> Result<Function, Error> {
        let text = |arg: &Expr| arg.ty.element().unwrap_or(&arg.ty).category() == Category::String;
        // A comparison of arrays, not of a value with each element of one.
        let arrays = match args.first().is_some_and(|arg| arg.ty.element().is_some()) {
            true => catalog::arrays::clashing(function.name),
            false => None,
        };
        let compares = function.strategy != Strategy::Plain || arrays.is_some();
        if !compares || !args.iter().any(text) {
            return Ok(function);
        }
        for arg in args {
            // A contradiction below is reported when all else is right.
            if !matches!(check(arg), Ok(None)) {
                return Ok(function);
            }
        }
        Ok(match (self.common_collation(args), arrays) {
            (Some(_), _) => function,
            (None, None) => catalog::undetermined(&function),
            (None, Some(implementation)) => {
                Function { implementation, strategy: Strategy::Plain, ..function }
            }
        })
    }
}
