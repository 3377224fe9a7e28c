//! Explicit collations: two different ones below one operator contradict each other.

use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::types::Category;

/// Finds a contradiction; gives the explicit collation that the expression's value has, if any.
pub(super) fn check(expr: &Expr) -> Result<Option<&str>, Error> {
    let mut found: Option<&str> = None;
    let mut error = None;
    let separate = matches!(expr.node, Node::RowCompare { .. } | Node::Row(_));
    expr.children(&mut |child| match check(child) {
        Ok(None) => {}
        Ok(Some(name)) => match found {
            Some(known)
                if known != name && !separate && !matches!(expr.node, Node::Collate { .. }) =>
            {
                let message = format!(
                    "collation mismatch between explicit collations \"{known}\" and \"{name}\""
                );
                let position = child.position;
                let mismatch = Error::DatatypeMismatch { message, sqlstate: "42P21", position };
                error.get_or_insert(mismatch);
            }
            _ => found = Some(name),
        },
        Err(first) => drop(error.get_or_insert(first)),
    });
    if let Some(error) = error {
        return Err(error);
    }
    if let Node::Collate { name, .. } = &expr.node {
        return Ok(Some(name));
    }
    let collatable = expr.ty.element().unwrap_or(&expr.ty).category() == Category::String;
    Ok(found.filter(|_| collatable))
}
