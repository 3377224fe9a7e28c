//! Calls of aggregate functions, put aside for whoever plans the query.

use std::cell::RefCell;

use pg_query::protobuf;

use super::ast::{Ast, AstKind};
use super::tree::Tree;
use crate::catalog::{self, Refusal};
use crate::error::Error;
use crate::sql;

/// A call as it is found.
pub(super) struct Call {
    pub name: String,
    pub args: Vec<Ast>,
    pub star: bool,
    pub distinct: bool,
    pub filter: Option<Ast>,
    pub position: usize,
}

pub(super) type Found = RefCell<Vec<Call>>;

pub(super) fn is_aggregate(name: &str) -> bool {
    catalog::refusal(name) == Some(Refusal::Aggregate)
}

impl Tree<'_> {
    /// Puts the call aside, and a column for its result in its place.
    pub(super) fn aggregate(
        &self,
        name: String,
        call: protobuf::FuncCall,
        found: &Found,
    ) -> Result<Ast, Error> {
        let position = self.position(call.location);
        let unsupported = |what: &str| Err(Error::unsupported(what, position));
        if call.agg_within_group {
            return unsupported("WITHIN GROUP");
        }
        if !call.agg_order.is_empty() {
            return unsupported("ORDER BY in an aggregate function");
        }
        if call.func_variadic {
            return unsupported("VARIADIC");
        }
        let row = Tree::plain(self.clause, self.prefix);
        let nested = |error| match error {
            Error::Aggregate { position, .. } => {
                let message = "aggregate function calls cannot be nested".to_owned();
                Error::InvalidQuery { message, sqlstate: "42803", position }
            }
            other => other,
        };
        let args = call.args.into_iter().map(|arg| row.expression(arg));
        let args = args.collect::<Result<_, _>>().map_err(nested)?;
        let filter = call.agg_filter.map(|filter| row.expression(*filter));
        let filter = filter.transpose().map_err(in_filter)?;
        let (star, distinct) = (call.agg_star, call.agg_distinct);
        let mut found = found.borrow_mut();
        let names = vec![sql::AGGREGATES.to_owned(), sql::aggregate_name(found.len())];
        found.push(Call { name, args, star, distinct, filter, position });
        Ok(Ast::new(position, AstKind::Column(names)))
    }
}

fn in_filter(error: Error) -> Error {
    match error {
        Error::Aggregate { position, .. } => {
            let message = "aggregate functions are not allowed in FILTER".to_owned();
            Error::InvalidQuery { message, sqlstate: "42803", position }
        }
        other => other,
    }
}
