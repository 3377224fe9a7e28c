//! What is selected, grouped by and sorted by.

use pg_query::protobuf::{self, SortByDir, SortByNulls, SubLinkType, node::Node};

use super::{Ast, AstKind, Error, Reader, Tree};
use crate::parse::aggregates::{Call, Found};
use crate::sql::{self, Item, SortBy, SqlExpr};

impl Reader<'_> {
    pub(super) fn item(
        &self,
        item: protobuf::ResTarget,
        tree: &Tree<'_>,
        found: &Found,
        position: usize,
    ) -> Result<Item, Error> {
        let position = usize::try_from(item.location).unwrap_or(position);
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
        if let Some(Node::SubLink(link)) = &value.node
            && link.sub_link_type() == SubLinkType::ArraySublink
        {
            let name = name.unwrap_or_else(|| "array".to_owned());
            let inner = link.subselect.as_ref().and_then(|node| node.node.clone());
            let Some(Node::SelectStmt(select)) = inner else {
                return Err(Error::unsupported("this kind of subquery", position));
            };
            let query = Box::new(self.query(*select, self.find("SELECT", position))?);
            return Ok(Item::Branch { query, name, position });
        }
        let ast = selected(tree, *value)?;
        let name = name.or_else(|| called(&ast, &found.borrow()).1);
        Ok(Item::Value { value: self.expr(ast), name })
    }

    /// GROUP BY.
    pub(super) fn group(
        &self,
        nodes: Vec<protobuf::Node>,
        position: usize,
    ) -> Result<Vec<SqlExpr>, Error> {
        let tree = Tree::plain(self.text, 0);
        let place = self.find("GROUP", position);
        let mut group = Vec::with_capacity(nodes.len());
        for node in nodes {
            if let Some(Node::GroupingSet(_)) = node.node {
                return Err(Error::unsupported("GROUPING SETS, ROLLUP, CUBE and ()", place));
            }
            let ast = tree.expression(node).map_err(|error| match error {
                Error::Aggregate { position, .. } => {
                    let message = "aggregate functions are not allowed in GROUP BY".to_owned();
                    Error::InvalidQuery { message, sqlstate: "42803", position }
                }
                other => other,
            })?;
            group.push(self.expr(ast));
        }
        Ok(group)
    }

    /// ORDER BY.
    pub(super) fn order(
        &self,
        nodes: Vec<protobuf::Node>,
        tree: &Tree<'_>,
        position: usize,
    ) -> Result<Vec<SortBy>, Error> {
        let mut order = Vec::with_capacity(nodes.len());
        for node in nodes {
            let Some(Node::SortBy(sort)) = node.node else {
                return Err(Error::unsupported("this in ORDER BY", position));
            };
            let descending = match sort.sortby_dir() {
                SortByDir::SortbyUsing => {
                    let position = self.find("USING", self.find("ORDER", position));
                    return Err(Error::unsupported("ORDER BY ... USING", position));
                }
                direction => direction == SortByDir::SortbyDesc,
            };
            let nulls_first = match sort.sortby_nulls() {
                SortByNulls::SortbyNullsFirst => true,
                SortByNulls::SortbyNullsLast => false,
                _ => descending,
            };
            let Some(value) = sort.node else {
                return Err(Error::syntax("a value is missing", position));
            };
            let value = self.expr(selected(tree, *value)?);
            order.push(SortBy { value, descending, nulls_first });
        }
        Ok(order)
    }
}

/// A value that may be selected: what a condition must not contain, this could; it does not yet.
fn selected(tree: &Tree<'_>, node: protobuf::Node) -> Result<Ast, Error> {
    tree.expression(node).map_err(|error| match error {
        Error::WindowFunction { name, position } => {
            Error::unsupported(format!("window function {name}"), position)
        }
        other => other,
    })
}

/// What PostgreSQL calls a column of this value, and how sure that is: of two names the surer counts.
fn called(ast: &Ast, aggregates: &[Call]) -> (u8, Option<String>) {
    let sure = |name: &str| (2, Some(name.to_owned()));
    match &ast.kind {
        AstKind::Column(names) => match names.as_slice() {
            [relation, name] if relation == sql::AGGREGATES => {
                let is_it = |at: &usize| sql::aggregate_name(*at) == *name;
                match (0..aggregates.len()).find(is_it) {
                    Some(at) => sure(&aggregates[at].name),
                    None => (0, None),
                }
            }
            names => (2, names.last().cloned()),
        },
        AstKind::Call { name, .. } => sure(name),
        AstKind::Coalesce(_) => sure("coalesce"),
        AstKind::NullIf(_) => sure("nullif"),
        AstKind::MinMax { greatest, .. } => sure(if *greatest { "greatest" } else { "least" }),
        AstKind::Array(_) => sure("array"),
        AstKind::Row(_) => sure("row"),
        AstKind::Collate { value, .. } | AstKind::Subscript { value, .. } => {
            called(value, aggregates)
        }
        AstKind::Cast { value, ty } => match called(value, aggregates) {
            found @ (2.., _) => found,
            _ => (1, Some(ty.name.clone())),
        },
        AstKind::Case { otherwise, .. } => {
            let inner = otherwise.as_ref().map(|value| called(value, aggregates));
            inner.filter(|(strength, _)| *strength > 1).unwrap_or((1, Some("case".to_owned())))
        }
        _ => (0, None),
    }
}
