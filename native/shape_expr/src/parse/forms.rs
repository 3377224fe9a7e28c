//! CASE, COLLATE and subscripts: raw tree -> syntax tree.

use pg_query::protobuf::{self, node::Node};

use super::ast::{Ast, AstKind, Subscript};
use super::tree::{Boxed, Tree};
use crate::error::Error;

impl Tree<'_> {
    fn optional(&self, node: Boxed) -> Result<Option<Box<Ast>>, Error> {
        node.map(|node| self.expression(*node).map(Box::new)).transpose()
    }

    pub(super) fn case(&self, case: protobuf::CaseExpr) -> Result<Ast, Error> {
        let position = self.position(case.location);
        let operand = self.optional(case.arg)?;
        let otherwise = self.optional(case.defresult)?;
        let mut arms = Vec::with_capacity(case.args.len());
        for arm in case.args {
            let Some(Node::CaseWhen(when)) = arm.node else {
                return Err(Error::syntax("WHEN is missing", position));
            };
            arms.push((*self.boxed(when.expr, position)?, *self.boxed(when.result, position)?));
        }
        Ok(Ast::new(position, AstKind::Case { operand, arms, otherwise }))
    }

    pub(super) fn collate(&self, collate: protobuf::CollateClause) -> Result<Ast, Error> {
        let position = self.position(collate.location);
        let name = match collate.collname.last().and_then(|name| name.node.as_ref()) {
            Some(Node::String(name)) => name.sval.clone(),
            _ => return Err(Error::unsupported("this collation", position)),
        };
        let value = self.boxed(collate.arg, position)?;
        Ok(Ast::new(position, AstKind::Collate { value, name }))
    }

    /// Subscripts; fields of composite values are refused.
    pub(super) fn indirection(&self, indirection: protobuf::AIndirection) -> Result<Ast, Error> {
        let value = self.boxed(indirection.arg, 0)?;
        let subscripts = self.subscripts(indirection.indirection, value.position)?;
        Ok(Ast::new(value.position, AstKind::Subscript { value, subscripts }))
    }

    pub(super) fn subscripts(
        &self,
        nodes: Vec<protobuf::Node>,
        position: usize,
    ) -> Result<Vec<Subscript>, Error> {
        let mut subscripts = Vec::with_capacity(nodes.len());
        for node in nodes {
            let Some(Node::AIndices(indices)) = node.node else {
                return Err(Error::unsupported("a field of a value", position));
            };
            let plain = |ast: Option<Box<Ast>>| ast.map(|ast| *ast);
            subscripts.push(if indices.is_slice {
                let lower = plain(self.optional(indices.lidx)?);
                Subscript::Slice(lower, plain(self.optional(indices.uidx)?))
            } else {
                Subscript::Index(*self.boxed(indices.uidx, position)?)
            });
        }
        Ok(subscripts)
    }
}
