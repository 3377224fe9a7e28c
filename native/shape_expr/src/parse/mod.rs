//! From text to a small syntax tree, by PostgreSQL's own grammar.

mod aggregates;
pub(crate) mod ast;
mod ffi;
mod forms;
pub(crate) mod literals;
mod scan;
pub(crate) mod select;
pub(crate) mod subquery;
mod tree;

use pg_query::protobuf::{self, node::Node};

use crate::compiler::MAX_CLAUSE_BYTES;
use crate::error::Error;
use ast::Ast;

/// The clause stands alone behind this, so that nothing in it can close or follow anything.
const PREFIX: &str = "SELECT WHERE ";

/// Checks that need no grammar; returns a bound on the tree's depth.
pub(crate) fn check(clause: &str) -> Result<usize, Error> {
    if clause.len() > MAX_CLAUSE_BYTES {
        return Err(Error::TooLong { bytes: clause.len(), limit: MAX_CLAUSE_BYTES });
    }
    if let Some(position) = clause.bytes().position(|byte| byte == 0) {
        return Err(Error::syntax("the clause contains a NUL byte", position));
    }
    scan::depth(clause)
}

/// Parses a clause that passed [`check`]. Wants a stack for that depth.
pub(crate) fn parse(clause: &str) -> Result<Ast, Error> {
    let result = statement(clause)?;
    let tree = tree::Tree::plain(clause, PREFIX.len());
    tree.expression(where_clause(result, clause)?)
}

/// Whether a clause that passed [`check`] has subqueries. Wants a stack for that depth.
pub(crate) fn has_subquery(clause: &str) -> Result<bool, Error> {
    let result = statement(clause)?;
    let found = std::cell::RefCell::new(Vec::new());
    let plain = tree::Tree::plain(clause, PREFIX.len());
    let tree = tree::Tree { subqueries: Some(&found), ..plain };
    tree.expression(where_clause(result, clause)?)?;
    Ok(!found.into_inner().is_empty())
}

/// The clause behind the prefix, as the grammar reads it.
fn statement(clause: &str) -> Result<protobuf::ParseResult, Error> {
    let statement = format!("{PREFIX}{clause}");
    ffi::parse(&statement).map_err(|error| {
        let position = match error.cursor.checked_sub(1) {
            None => 0,
            Some(characters) => statement
                .char_indices()
                .nth(characters)
                .map_or(clause.len(), |(at, _)| at.saturating_sub(PREFIX.len())),
        };
        Error::syntax(error.message, position)
    })
}

/// The one WHERE of the one statement there must be.
fn where_clause(result: protobuf::ParseResult, clause: &str) -> Result<protobuf::Node, Error> {
    let end = clause.len();
    let mut statements = result.stmts;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Error::syntax("more than one statement", end));
    };
    if statement.stmt_len != 0 {
        let at = statement.stmt_location + statement.stmt_len;
        let position = usize::try_from(at).unwrap_or(0).saturating_sub(PREFIX.len());
        return Err(Error::syntax("syntax error at or near \";\"", position));
    }
    let Some(Node::SelectStmt(select)) = statement.stmt.and_then(|node| node.node) else {
        return Err(Error::syntax("not an expression", 0));
    };
    let leftovers = [
        ("GROUP BY", !select.group_clause.is_empty()),
        ("HAVING", select.having_clause.is_some()),
        ("WINDOW", !select.window_clause.is_empty()),
        ("ORDER BY", !select.sort_clause.is_empty()),
        ("OFFSET", select.limit_offset.is_some()),
        ("LIMIT", select.limit_count.is_some()),
        ("FOR UPDATE", !select.locking_clause.is_empty()),
        ("UNION, INTERSECT or EXCEPT", select.larg.is_some() || select.rarg.is_some()),
        ("INTO", select.into_clause.is_some()),
        ("FROM", !select.from_clause.is_empty() || !select.target_list.is_empty()),
    ];
    if let Some((name, _)) = leftovers.iter().find(|(_, present)| *present) {
        return Err(Error::syntax(
            format!("{name} is not part of a WHERE clause"),
            find(clause, name),
        ));
    }
    select.where_clause.map(|node| *node).ok_or_else(|| Error::syntax("the clause is empty", 0))
}

/// Where a keyword most likely stands: its last occurrence.
fn find(clause: &str, name: &str) -> usize {
    let word = name.split([' ', ',']).next().unwrap_or(name);
    clause.to_ascii_uppercase().rfind(word).unwrap_or(0)
}
