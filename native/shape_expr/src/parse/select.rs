//! SELECT statements: raw tree -> [`Select`].

use std::cell::RefCell;

use pg_query::protobuf::{self, JoinType, LimitOption, SetOperation, SubLinkType, node::Node};

use super::ast::{Ast, AstKind};
use super::{ffi, tree::Tree};
use crate::error::Error;
use crate::sql::{self, Item, Select, SqlExpr, Subquery, TableRef};

/// Parses a query that passed [`super::check`]. Wants a stack for that depth.
pub(crate) fn parse(text: &str, depth: usize) -> Result<Select, Error> {
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
        Some(Node::SelectStmt(select)) => Reader { text, depth, prefix: 0 }.select(*select, 0),
        _ => Err(Error::unsupported("a statement other than SELECT", 0)),
    }
}

/// A clause that passed [`super::check`], as the condition of a query without tables. Wants a stack for that
/// depth.
pub(crate) fn of_clause(clause: &str, depth: usize) -> Result<Select, Error> {
    let result = super::statement(clause)?;
    let condition = super::where_clause(result, clause)?;
    let select = protobuf::SelectStmt {
        where_clause: Some(Box::new(condition)),
        op: SetOperation::SetopNone.into(),
        ..Default::default()
    };
    Reader { text: clause, depth, prefix: super::PREFIX.len() }.select(select, 0)
}

struct Reader<'t> {
    /// What is read, without the prefix that the grammar was shown before it.
    prefix: usize,
    text: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    fn select(&self, select: protobuf::SelectStmt, position: usize) -> Result<Select, Error> {
        self.refuse(&select, position)?;
        let found = RefCell::new(Vec::new());
        let mut query = Select {
            distinct: !select.distinct_clause.is_empty(),
            items: Vec::with_capacity(select.target_list.len()),
            tables: Vec::new(),
            on: Vec::new(),
            condition: None,
            subqueries: Vec::new(),
            position,
        };
        for node in select.from_clause {
            self.from(node, &mut query, position)?;
        }
        let tree = Tree { clause: self.text, prefix: self.prefix, subqueries: Some(&found) };
        if let Some(condition) = select.where_clause {
            query.condition = Some(self.expr(tree.expression(*condition)?));
        }
        for node in select.target_list {
            let Some(Node::ResTarget(item)) = node.node else {
                return Err(Error::unsupported("this item of SELECT", position));
            };
            query.items.push(self.item(*item, position)?);
        }
        for raw in found.into_inner() {
            query.subqueries.push(self.subquery(raw)?);
        }
        Ok(query)
    }

    /// A place that the grammar tells, in the text.
    fn place(&self, location: i32, otherwise: usize) -> usize {
        usize::try_from(location).map_or(otherwise, |at| at.saturating_sub(self.prefix))
    }

    fn expr(&self, ast: Ast) -> SqlExpr {
        SqlExpr { ast, depth: self.depth }
    }

    /// The clauses that are not supported, each at its first word.
    fn refuse(&self, select: &protobuf::SelectStmt, position: usize) -> Result<(), Error> {
        let clauses = [
            ("WITH", select.with_clause.is_some()),
            ("UNION, INTERSECT and EXCEPT", select.op() != SetOperation::SetopNone),
            ("VALUES", !select.values_lists.is_empty()),
            ("DISTINCT ON", select.distinct_clause.iter().any(|node| node.node.is_some())),
            ("SELECT INTO", select.into_clause.is_some()),
            ("GROUP BY", !select.group_clause.is_empty()),
            ("HAVING", select.having_clause.is_some()),
            ("WINDOW", !select.window_clause.is_empty()),
            ("ORDER BY", !select.sort_clause.is_empty()),
            ("FETCH WITH TIES", select.limit_option() == LimitOption::WithTies),
            ("LIMIT", select.limit_count.is_some()),
            ("OFFSET", select.limit_offset.is_some()),
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
            "UNION, INTERSECT and EXCEPT" => vec!["UNION", "INTERSECT", "EXCEPT"],
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

    fn from(&self, node: protobuf::Node, query: &mut Select, position: usize) -> Result<(), Error> {
        match node.node {
            Some(Node::RangeVar(table)) => {
                let position = self.place(table.location, position);
                if !table.catalogname.is_empty() {
                    return Err(Error::unsupported("a table of another database", position));
                }
                let alias = match table.alias {
                    Some(alias) if !alias.colnames.is_empty() => {
                        return Err(Error::unsupported("an alias for columns", position));
                    }
                    alias => alias.map(|alias| alias.aliasname),
                };
                let namespace = (!table.schemaname.is_empty()).then_some(table.schemaname);
                query.tables.push(TableRef { namespace, name: table.relname, alias, position });
                Ok(())
            }
            Some(Node::JoinExpr(join)) => {
                let first = query.tables.len();
                let kind = join.jointype();
                for side in [join.larg, join.rarg] {
                    match side {
                        Some(side) => self.from(*side, query, position)?,
                        None => return Err(Error::syntax("a table is missing", position)),
                    }
                }
                let position = query.tables.last().map_or(position, |table| table.position);
                let unsupported = |what: &str| Err(Error::unsupported(what, position));
                if kind != JoinType::JoinInner {
                    return unsupported("an outer join");
                }
                if join.is_natural {
                    return unsupported("NATURAL JOIN");
                }
                if !join.using_clause.is_empty() {
                    return unsupported("JOIN ... USING");
                }
                if join.alias.is_some() {
                    return unsupported("an alias for a join");
                }
                if let Some(on) = join.quals {
                    let tree = Tree { clause: self.text, prefix: self.prefix, subqueries: None };
                    let on = self.expr(tree.expression(*on)?);
                    query.on.push((on, first..query.tables.len()));
                }
                Ok(())
            }
            Some(Node::RangeSubselect(_)) => {
                Err(Error::unsupported("a subquery in FROM", self.after("FROM", position)))
            }
            Some(Node::RangeFunction(_)) => {
                Err(Error::unsupported("a function in FROM", self.after("FROM", position)))
            }
            _ => Err(Error::unsupported("this in FROM", self.after("FROM", position))),
        }
    }

    fn after(&self, word: &str, from: usize) -> usize {
        self.find(word, from)
    }

    fn item(&self, item: protobuf::ResTarget, position: usize) -> Result<Item, Error> {
        let position = self.place(item.location, position);
        let Some(value) = item.val else {
            return Err(Error::syntax("an item is missing", position));
        };
        let name = (!item.name.is_empty()).then_some(item.name);
        if let Some(Node::ColumnRef(column)) = &value.node
            && let Some(Node::AStar(_)) = column.fields.last().and_then(|f| f.node.as_ref())
        {
            let names = column.fields.iter().filter_map(|field| match &field.node {
                Some(Node::String(name)) => Some(name.sval.clone()),
                _ => None,
            });
            return Ok(Item::All { qualifiers: names.collect(), position });
        }
        let tree = Tree { clause: self.text, prefix: self.prefix, subqueries: None };
        let ast = tree.expression(*value).map_err(|error| match error {
            // Here they may stand, but for this crate.
            Error::Aggregate { name, position } => {
                Error::unsupported(format!("aggregate function {name}"), position)
            }
            Error::WindowFunction { name, position } => {
                Error::unsupported(format!("window function {name}"), position)
            }
            other => other,
        })?;
        let name = name.or_else(|| match &ast.kind {
            AstKind::Column(names) => names.last().cloned(),
            _ => None,
        });
        Ok(Item::Value { value: self.expr(ast), name })
    }

    fn subquery(&self, raw: Raw) -> Result<Subquery, Error> {
        let Raw { left, select, position } = raw;
        let left = left.map(|all| all.into_iter().map(|ast| self.expr(ast)).collect());
        Ok(Subquery { left, select: self.select(select, position)?, position })
    }
}

/// A subquery as a condition's reader finds it.
pub(super) struct Raw {
    pub left: Option<Vec<Ast>>,
    pub select: protobuf::SelectStmt,
    pub position: usize,
}

impl Tree<'_> {
    /// Puts the subquery aside, and a column for its answer in its place.
    pub(super) fn subquery(
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
