//! SELECT statements: raw tree -> [`Query`].

mod from;
mod items;
mod subquery;

use std::cell::{Cell, RefCell};

use pg_query::protobuf::{self, LimitOption, SetOperation, node::Node};

use super::aggregates::{Call, Found};
use super::ast::{Ast, AstKind};
use super::{ffi, tree::Tree};
use crate::error::Error;
use crate::sql::{AggregateCall, Body, Query, Select, SetKind, SqlExpr};
pub(super) use subquery::Raw;

/// Parses a query that passed [`super::check`]. Wants a stack for that depth.
pub(crate) fn parse(text: &str, depth: usize) -> Result<Query, Error> {
    let result = ffi::parse(text).map_err(|error| {
        let position = match error.cursor.checked_sub(1) {
            None => 0,
            Some(characters) => {
                text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at)
            }
        };
        Error::syntax(error.message, position)
    })?;
    let mut statements = result.stmts;
    let Some(statement) = statements.pop() else {
        return Err(Error::syntax("the query is empty", 0));
    };
    if !statements.is_empty() {
        let at = usize::try_from(statement.stmt_location).unwrap_or(0);
        return Err(Error::syntax("more than one statement", at));
    }
    match statement.stmt.and_then(|node| node.node) {
        Some(Node::SelectStmt(select)) => {
            let (named, repeated) = Default::default();
            Reader { text, depth, named, repeated }.query(*select, 0)
        }
        _ => Err(Error::unsupported("a statement other than SELECT", 0)),
    }
}

struct Reader<'t> {
    text: &'t str,
    depth: usize,
    /// The queries of WITH, those further in last.
    named: RefCell<Vec<(String, Query)>>,
    /// How many SELECTs were repeated because a name stands for them.
    repeated: Cell<usize>,
}

impl<'t> Reader<'t> {
    fn query(&self, mut select: protobuf::SelectStmt, position: usize) -> Result<Query, Error> {
        let before = self.named.borrow().len();
        if let Some(with) = select.with_clause.take() {
            self.with(with, position)?;
        }
        let query = self.body(select, position);
        self.named.borrow_mut().truncate(before);
        query
    }

    fn body(&self, mut select: protobuf::SelectStmt, position: usize) -> Result<Query, Error> {
        self.refuse(&select, position)?;
        let tree = Tree::plain(self.text, 0);
        let number = |node: Option<Box<protobuf::Node>>| match node {
            None => Ok(None),
            Some(node) => tree.expression(*node).map(|ast| Some(self.expr(ast))),
        };
        let (limit, offset) =
            (number(select.limit_count.take())?, number(select.limit_offset.take())?);
        let sort = std::mem::take(&mut select.sort_clause);
        let kind = match select.op() {
            SetOperation::SetopUnion => SetKind::Union,
            SetOperation::SetopIntersect => SetKind::Intersect,
            SetOperation::SetopExcept => SetKind::Except,
            _ => {
                let (body, order) = self.select(select, sort, position)?;
                let body = Body::Select(Box::new(body));
                return Ok(Query { body, order, limit, offset, position });
            }
        };
        let order = self.order(sort, &tree, position)?;
        let (Some(left), Some(right)) = (select.larg, select.rarg) else {
            return Err(Error::syntax("a query is missing", position));
        };
        let left = Box::new(self.query(*left, position)?);
        // The grammar gives no place for the word: it is the last one before what follows it.
        let between = match &left.body {
            Body::Set { position, .. } => position + 1,
            Body::Select(_) => left.position,
        };
        let word = self.find(&kind.to_string(), between);
        let right = Box::new(self.query(*right, self.find("SELECT", word))?);
        let body = Body::Set { kind, all: select.all, left, right, position: word };
        Ok(Query { body, order, limit, offset, position })
    }

    fn select(
        &self,
        select: protobuf::SelectStmt,
        sort: Vec<protobuf::Node>,
        position: usize,
    ) -> Result<(Select, Vec<crate::sql::SortBy>), Error> {
        let subqueries = RefCell::new(Vec::new());
        let aggregates: Found = RefCell::new(Vec::new());
        let mut query = Select {
            distinct: !select.distinct_clause.is_empty(),
            items: Vec::with_capacity(select.target_list.len()),
            tables: Vec::new(),
            on: Vec::new(),
            condition: None,
            subqueries: Vec::new(),
            group: self.group(select.group_clause, position)?,
            having: None,
            aggregates: Vec::new(),
            position,
        };
        for node in select.from_clause {
            self.from(node, &mut query, position)?;
        }
        let plain = Tree::plain(self.text, 0);
        if let Some(condition) = select.where_clause {
            let tree = Tree { subqueries: Some(&subqueries), ..plain };
            query.condition = Some(self.expr(tree.expression(*condition)?));
        }
        let tree = Tree { aggregates: Some(&aggregates), ..Tree::plain(self.text, 0) };
        for node in select.target_list {
            let Some(Node::ResTarget(item)) = node.node else {
                return Err(Error::unsupported("this item of SELECT", position));
            };
            query.items.push(self.item(*item, &tree, &aggregates, position)?);
        }
        if let Some(having) = select.having_clause {
            query.having = Some(self.expr(tree.expression(*having)?));
        }
        let order = self.order(sort, &tree, position)?;
        for raw in subqueries.into_inner() {
            query.subqueries.push(self.subquery(raw)?);
        }
        for Call { name, args, star, distinct, filter, position } in aggregates.into_inner() {
            let args = args.into_iter().map(|arg| self.expr(arg)).collect();
            let filter = filter.map(|filter| self.expr(filter));
            query.aggregates.push(AggregateCall { name, args, star, distinct, filter, position });
        }
        Ok((query, order))
    }

    fn expr(&self, ast: Ast) -> SqlExpr {
        SqlExpr { ast, depth: self.depth }
    }

    /// The clauses that are not supported, each at its first word.
    fn refuse(&self, select: &protobuf::SelectStmt, position: usize) -> Result<(), Error> {
        let clauses = [
            ("VALUES", !select.values_lists.is_empty()),
            ("DISTINCT ON", select.distinct_clause.iter().any(|node| node.node.is_some())),
            ("SELECT INTO", select.into_clause.is_some()),
            ("GROUP BY DISTINCT", select.group_distinct),
            ("WINDOW", !select.window_clause.is_empty()),
            ("FETCH WITH TIES", select.limit_option() == LimitOption::WithTies),
            ("FOR UPDATE", !select.locking_clause.is_empty()),
        ];
        match clauses.iter().find(|(_, present)| *present) {
            Some((name, _)) => Err(Error::unsupported(*name, self.find(name, position))),
            None => Ok(()),
        }
    }

    /// Where a clause begins: the grammar gives no places for them. Its first word outside quotes and
    /// comments, from here on.
    fn find(&self, clause: &str, from: usize) -> usize {
        let words: Vec<&str> = match clause {
            "SELECT INTO" => vec!["INTO"],
            other => vec![other.split(' ').next().unwrap_or(other)],
        };
        let Ok(scanned) = pg_query::scan(self.text) else { return from };
        let word = |token: &protobuf::ScanToken| {
            let (start, end) = (token.start as usize, token.end as usize);
            self.text.get(start..end).unwrap_or("")
        };
        scanned
            .tokens
            .iter()
            .filter(|token| token.start as usize >= from)
            .find(|token| words.iter().any(|w| word(token).eq_ignore_ascii_case(w)))
            .map_or(from, |token| token.start as usize)
    }
}
