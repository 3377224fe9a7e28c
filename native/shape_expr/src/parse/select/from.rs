//! FROM: tables, joins, and queries in a table's place.

use pg_query::protobuf::{self, JoinType, node::Node};

use super::{Error, Reader, Tree};
use crate::sql::{Body, Item, Query, Select, TableRef};

/// The most SELECTs that a query may come to, those of WITH counted wherever they are named.
const MAX_SELECTS: usize = 1000;

impl Reader<'_> {
    pub(super) fn from(
        &self,
        node: protobuf::Node,
        query: &mut Select,
        position: usize,
    ) -> Result<(), Error> {
        match node.node {
            Some(Node::RangeVar(table)) => {
                let position = usize::try_from(table.location).unwrap_or(position);
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
                let name = table.relname;
                query.tables.push(match namespace.is_none().then(|| self.named(&name)).flatten() {
                    Some(named) => {
                        let query = self.repeat(&named, position)?;
                        let alias = Some(alias.unwrap_or(name));
                        let (name, query) = (String::new(), Some(Box::new(query)));
                        TableRef { namespace, name, alias, query, position }
                    }
                    None => TableRef { namespace, name, alias, query: None, position },
                });
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
                    let tree = Tree::plain(self.text, 0);
                    let on = self.expr(tree.expression(*on)?);
                    query.on.push((on, first..query.tables.len()));
                }
                Ok(())
            }
            Some(Node::RangeSubselect(sub)) => self.derived(*sub, query, position),
            Some(Node::RangeFunction(_)) => {
                Err(Error::unsupported("a function in FROM", self.find("FROM", position)))
            }
            _ => Err(Error::unsupported("this in FROM", self.find("FROM", position))),
        }
    }

    /// `(SELECT ...) AS name`.
    fn derived(
        &self,
        sub: protobuf::RangeSubselect,
        query: &mut Select,
        position: usize,
    ) -> Result<(), Error> {
        let position = self.find("FROM", position);
        if sub.lateral {
            return Err(Error::unsupported("LATERAL", position));
        }
        let alias = match sub.alias {
            None => {
                return Err(Error::syntax("subquery in FROM must have an alias", position));
            }
            Some(alias) if !alias.colnames.is_empty() => {
                return Err(Error::unsupported("an alias for columns", position));
            }
            Some(alias) => alias.aliasname,
        };
        let Some(Node::SelectStmt(select)) = sub.subquery.and_then(|node| node.node) else {
            return Err(Error::unsupported("this in FROM", position));
        };
        let inner = Some(Box::new(self.query(*select, position)?));
        let (namespace, name) = (None, String::new());
        query.tables.push(TableRef { namespace, name, alias: Some(alias), query: inner, position });
        Ok(())
    }

    /// WITH: queries that what follows may name.
    pub(super) fn with(&self, with: protobuf::WithClause, position: usize) -> Result<(), Error> {
        let position = usize::try_from(with.location).unwrap_or(position);
        if with.recursive {
            return Err(Error::unsupported("WITH RECURSIVE", position));
        }
        for node in with.ctes {
            let Some(Node::CommonTableExpr(cte)) = node.node else {
                return Err(Error::unsupported("this in WITH", position));
            };
            let position = usize::try_from(cte.location).unwrap_or(position);
            if !cte.aliascolnames.is_empty() {
                return Err(Error::unsupported("an alias for columns", position));
            }
            let Some(Node::SelectStmt(select)) = cte.ctequery.and_then(|node| node.node) else {
                return Err(Error::unsupported("a statement other than SELECT", position));
            };
            let query = self.query(*select, position)?;
            self.named.borrow_mut().push((cte.ctename, query));
        }
        Ok(())
    }

    /// The query that WITH gave this name.
    fn named(&self, name: &str) -> Option<Query> {
        let named = self.named.borrow();
        named.iter().rev().find(|(known, _)| known == name).map(|(_, query)| query.clone())
    }

    /// It once more: names that name names grow fast.
    fn repeat(&self, query: &Query, position: usize) -> Result<Query, Error> {
        let count = self.repeated.get() + selects(query);
        self.repeated.set(count);
        match count > MAX_SELECTS {
            true => Err(Error::TooComplex { limit: MAX_SELECTS, position }),
            false => Ok(query.clone()),
        }
    }
}

fn selects(query: &Query) -> usize {
    match &query.body {
        Body::Set { left, right, .. } => selects(left) + selects(right),
        Body::Select(select) => {
            let tables = select.tables.iter().filter_map(|table| table.query.as_deref());
            let subqueries = select.subqueries.iter().map(|subquery| &subquery.query);
            let branches = select.items.iter().filter_map(|item| match item {
                Item::Branch { query, .. } => Some(&**query),
                _ => None,
            });
            1 + tables.chain(subqueries).chain(branches).map(selects).sum::<usize>()
        }
    }
}
