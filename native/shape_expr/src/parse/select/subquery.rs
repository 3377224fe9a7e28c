//! Subqueries in conditions.

use std::cell::RefCell;

use pg_query::protobuf::{self, SubLinkType, node::Node};

use super::{Ast, AstKind, Error, Reader, Tree};
use crate::sql::{self, Subquery};

/// A subquery as a condition's reader finds it.
pub(in crate::parse) struct Raw {
    pub left: Option<Vec<Ast>>,
    pub select: protobuf::SelectStmt,
    pub position: usize,
}

impl Reader<'_> {
    pub(super) fn subquery(&self, raw: Raw) -> Result<Subquery, Error> {
        let Raw { left, select, position } = raw;
        let left = left.map(|all| all.into_iter().map(|ast| self.expr(ast)).collect());
        Ok(Subquery { left, query: self.query(select, position)?, position })
    }
}

impl Tree<'_> {
    /// Puts the subquery aside, and a column for its answer in its place.
    pub(in crate::parse) fn subquery(
        &self,
        link: protobuf::SubLink,
        found: &RefCell<Vec<Raw>>,
    ) -> Result<Ast, Error> {
        let position = self.position(link.location);
        let unsupported = |what: &str| Err(Error::unsupported(what, position));
        let operator = match link.oper_name.last().and_then(|name| name.node.as_ref()) {
            Some(Node::String(name)) => name.sval.as_str(),
            _ => "=",
        };
        // `<> ALL` is NOT IN.
        let negated = link.sub_link_type() == SubLinkType::AllSublink && operator == "<>";
        let left = match link.sub_link_type() {
            SubLinkType::ExistsSublink => None,
            SubLinkType::AnySublink if operator != "=" => {
                return unsupported("ANY (SELECT ...) with an operator other than =");
            }
            kind if kind == SubLinkType::AnySublink || negated => {
                let before = found.borrow().len();
                let left = *self.boxed(link.testexpr, position)?;
                if found.borrow().len() != before {
                    return unsupported("a subquery on the left of IN");
                }
                Some(match left.kind {
                    AstKind::Row(fields) => fields,
                    _ => vec![left],
                })
            }
            SubLinkType::AllSublink => {
                return unsupported("ALL (SELECT ...) with an operator other than <>");
            }
            SubLinkType::ExprSublink => return unsupported("a subquery used as a value"),
            SubLinkType::ArraySublink => return unsupported("ARRAY (SELECT ...)"),
            _ => return unsupported("this kind of subquery"),
        };
        let Some(Node::SelectStmt(select)) = link.subselect.and_then(|node| node.node) else {
            return unsupported("this kind of subquery");
        };
        let mut found = found.borrow_mut();
        let names = vec![sql::ANSWERS.to_owned(), sql::answer_name(found.len())];
        found.push(Raw { left, select: *select, position });
        let answer = Ast::new(position, AstKind::Column(names));
        Ok(match negated {
            true => Ast::new(position, AstKind::Not(Box::new(answer))),
            false => answer,
        })
    }
}
