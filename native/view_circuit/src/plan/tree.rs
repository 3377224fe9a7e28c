//! Trees: queries among whose items are others, `ARRAY (SELECT ...)`, that read the row they are for.

use shape_expr::Analysed;
use shape_expr::sql::{Body, Item, Query, Select};

use super::query::{STACK_LEFT, STACK_MORE};
use super::subquery::correlation;
use super::{Planner, Relation, unsupported};
use crate::error::Error;
use crate::graph::{NodeId, Operator};
use crate::scope::Scope;

/// Rows of one depth of a tree, and what hangs on each of them.
pub(crate) struct Level {
    pub relation: Relation,
    /// So many of its last columns only link it.
    pub links: usize,
    pub branches: Vec<Branch>,
}

/// Rows that hang on those of the level above.
pub(crate) struct Branch {
    /// What the query calls it.
    pub name: String,
    /// Its place among all that is selected.
    pub place: usize,
    pub level: Level,
    /// The columns by which its rows are found, and those of the rows above that have the same values.
    pub own: Vec<usize>,
    pub link: Vec<usize>,
    /// Its rows by the one, and the rows above by the other.
    pub children: NodeId,
    pub parents: NodeId,
}

/// A branch whose parent is not planned yet: it is linked by values over the parent's tables.
struct Loose {
    name: String,
    place: usize,
    level: Level,
    own: Vec<usize>,
    link: Vec<Analysed>,
}

impl Planner<'_> {
    /// A query as a tree; one without branches is one level.
    pub fn tree(&mut self, query: &Query) -> Result<Level, Error> {
        match &query.body {
            Body::Select(select) if has_branches(select) => {
                let scope = self.scope(select, None)?;
                Ok(self.level(query, select, &scope)?.0)
            }
            _ => {
                let (relation, branches) = (self.query(query, None)?, Vec::new());
                Ok(Level { relation, links: 0, branches })
            }
        }
    }

    /// A level of a tree, the columns it is linked by, and the values these are equal to above it.
    fn level(
        &mut self,
        query: &Query,
        select: &Select,
        scope: &Scope<'_>,
    ) -> Result<(Level, Vec<usize>, Vec<Analysed>), Error> {
        let is_grouped =
            !select.group.is_empty() || select.having.is_some() || !select.aggregates.is_empty();
        if select.distinct || is_grouped {
            let what = "DISTINCT, GROUP BY or an aggregate function in a level of a tree";
            return Err(unsupported(what, select.position));
        }
        let (rows, correlated) = self.rows(select, scope)?;
        let (mut links, mut theirs) = (Vec::new(), Vec::new());
        for condition in &correlated {
            let [outer, own] = correlation(condition, scope)?;
            theirs.push(outer);
            links.push(own);
        }
        let own = links.len();
        let mut loose = Vec::new();
        for (place, item) in select.items.iter().enumerate() {
            let Item::Branch { query, name, .. } = item else { continue };
            let branch = self.branch(query, name, place, scope)?;
            links.extend(branch.link.iter().cloned());
            loose.push(branch);
        }
        let count = links.len();
        let mut plain = select.clone();
        plain.items.retain(|item| !matches!(item, Item::Branch { .. }));
        let relation = self.select_from(&plain, &query.order, rows, scope, links)?;
        let mut next = relation.types.len() - count;
        let mut columns = |count: usize| {
            next += count;
            (next - count..next).collect::<Vec<usize>>()
        };
        let own = columns(own);
        let relation = self.limited(query, relation, own.clone())?;
        let mut branches = Vec::with_capacity(loose.len());
        for Loose { name, place, level, own, link } in loose {
            let link = columns(link.len());
            let children = self.node(Operator::Arrange(own.clone()), &[level.relation.node]);
            let parents = self.node(Operator::Arrange(link.clone()), &[relation.node]);
            branches.push(Branch { name, place, level, own, link, children, parents });
        }
        Ok((Level { relation, links: count, branches }, own, theirs))
    }

    fn branch(
        &mut self,
        query: &Query,
        name: &str,
        place: usize,
        above: &Scope<'_>,
    ) -> Result<Loose, Error> {
        let Body::Select(select) = &query.body else {
            let what = "UNION, INTERSECT and EXCEPT in a branch of a tree";
            return Err(unsupported(what, query.position));
        };
        let scope = self.scope(select, Some(above))?;
        // Branches nest as deep as parentheses may, and stacks may be small.
        let plan = || self.level(query, select, &scope);
        let (level, own, link) = stacker::maybe_grow(STACK_LEFT, STACK_MORE, plan)?;
        Ok(Loose { name: name.to_owned(), place, level, own, link })
    }
}

impl Level {
    /// The nodes that a view of it reads.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut nodes = vec![self.relation.node];
        for branch in &self.branches {
            nodes.extend([branch.children, branch.parents]);
            nodes.extend(branch.level.nodes());
        }
        nodes
    }
}

fn has_branches(select: &Select) -> bool {
    select.items.iter().any(|item| matches!(item, Item::Branch { .. }))
}
