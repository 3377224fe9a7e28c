//! From a query to nodes of the graph.

mod group;
mod order;
mod query;
mod select;
mod set;
mod subquery;
mod tree;

use shape_expr::sql::{ANSWERS, Select, SqlExpr, answer_name};
use shape_expr::{Analysed, Column, ColumnType, Compiler, Expression, Param, Schema, Type};

use crate::error::Error;
use crate::graph::{Graph, NodeId, Operator, Output};
use crate::scope::{Origin, Scope};
use crate::table::Tables;
pub(crate) use order::SortColumn;
pub(crate) use query::{Relation, STACK_LEFT, STACK_MORE};
pub(crate) use tree::{Branch, Level};

/// The most tables in one FROM: rows of a join have the columns of all.
const MAX_TABLES: usize = 64;

/// Makes the nodes that a query needs and the graph has not.
pub(crate) struct Planner<'p> {
    pub graph: &'p mut Graph,
    pub tables: &'p Tables,
    pub compiler: &'p mut Compiler,
    pub params: &'p [Param<'p>],
    /// The nodes made, in order.
    pub made: &'p mut Vec<NodeId>,
}

/// A node, and where the columns of a scope stand in its rows.
struct Rows {
    node: NodeId,
    /// Where the columns of each table begin; `None` while it is not joined.
    starts: Vec<Option<usize>>,
    /// How many columns there are, helper columns among them.
    width: usize,
}

/// What a query says of the rows around it.
type Correlated = Vec<Analysed>;

pub(super) fn unsupported(what: &str, position: usize) -> Error {
    shape_expr::Error::NotSupported { what: what.to_owned(), position }.into()
}

impl Planner<'_> {
    /// The rows of a query before anything is selected of them, and the conditions that speak of the
    /// query around it.
    fn rows(&mut self, select: &Select, scope: &Scope<'_>) -> Result<(Rows, Correlated), Error> {
        if select.tables.is_empty() {
            return Err(unsupported("a query without FROM", select.position));
        }
        if let Some(table) = select.tables.get(MAX_TABLES) {
            let what = format!("a query of more than {MAX_TABLES} tables");
            return Err(unsupported(&what, table.position));
        }
        let (plain, with_subqueries, correlated) = self.conditions(select, scope)?;
        let mut rows = self.join(plain, scope)?;
        for condition in with_subqueries {
            rows = self.subquery_condition(condition, select, rows, scope)?;
        }
        Ok((rows, correlated))
    }

    /// Conditions on the query's own tables, those with subqueries in them, and those that read the
    /// query around it.
    fn conditions(
        &mut self,
        select: &Select,
        scope: &Scope<'_>,
    ) -> Result<(Vec<Analysed>, Vec<SqlExpr>, Correlated), Error> {
        let (mut plain, mut subqueries, mut correlated) = (Vec::new(), Vec::new(), Vec::new());
        for (on, sources) in &select.on {
            let start = scope.sources[sources.start].start;
            let schema = scope.schema_of(sources.clone());
            for arm in on.clone().conjuncts() {
                let arm = self.compiler.analyse_condition(&arm, &schema, self.params)?;
                plain.push(arm.moved(|column| column + start));
            }
        }
        let schema = scope.schema(None);
        for arm in select.condition.clone().into_iter().flat_map(SqlExpr::conjuncts) {
            if !arm.subqueries().is_empty() {
                subqueries.push(arm);
                continue;
            }
            let arm = self.compiler.analyse_condition(&arm, &schema, self.params)?;
            match arm.reads_only(|column| column < scope.width) {
                true => plain.push(arm),
                false => correlated.push(arm),
            }
        }
        Ok((plain, subqueries, correlated))
    }

    /// Joins the tables: each filtered by what concerns it alone, then one after the other, such as an
    /// equality leads to first.
    fn join(&mut self, mut open: Vec<Analysed>, scope: &Scope<'_>) -> Result<Rows, Error> {
        let count = scope.sources.len();
        let mut rows = self.table(0, &mut open, scope, true)?;
        let mut left: Vec<usize> = (1..count).collect();
        while !left.is_empty() {
            let leads = |at: &usize| open.iter().any(|arm| sides(arm, &rows, *at, scope).is_some());
            let next = left.iter().position(leads).unwrap_or(0);
            let source = left.remove(next);
            let right = self.table(source, &mut open, scope, false)?;
            let (mut left_keys, mut right_keys) = (Vec::new(), Vec::new());
            open.retain(|arm| match sides(arm, &rows, source, scope) {
                Some([left, right]) => {
                    left_keys.push(left);
                    right_keys.push(right);
                    false
                }
                None => true,
            });
            let left_keys = self.outputs(left_keys, &rows, scope)?;
            let right_keys = self.outputs(right_keys, &right, scope)?;
            let (left_node, left_width) = self.arranged(rows.node, rows.width, left_keys);
            let (right_node, right_width) = self.arranged(right.node, right.width, right_keys);
            rows.node = self.node(Operator::Join, &[left_node, right_node]);
            rows.starts[source] = Some(left_width);
            rows.width = left_width + right_width;
            let ready = take(&mut open, |arm| arm.reads_only(|c| rows.has(scope, c)));
            rows.node = self.filter(rows.node, ready, &rows, scope)?;
        }
        Ok(rows)
    }

    /// A table's rows, filtered by the conditions that read nothing else.
    fn table(
        &mut self,
        source: usize,
        open: &mut Vec<Analysed>,
        scope: &Scope<'_>,
        constants: bool,
    ) -> Result<Rows, Error> {
        let width = scope.sources[source].width;
        let node = match scope.sources[source].origin {
            Origin::Table(table) => self.node(Operator::Scan(table), &[]),
            Origin::Query(node) => node,
        };
        let mut starts = vec![None; scope.sources.len()];
        starts[source] = Some(0);
        let mut rows = Rows { node, starts, width };
        let concerns = |arm: &Analysed| match arm.reads_columns() {
            true => arm.reads_only(|column| rows.has(scope, column)),
            false => constants,
        };
        let own = take(open, concerns);
        rows.node = self.filter(rows.node, own, &rows, scope)?;
        Ok(rows)
    }

    /// One filter for each condition, in order.
    fn filter(
        &mut self,
        mut node: NodeId,
        conditions: Vec<Analysed>,
        rows: &Rows,
        scope: &Scope<'_>,
    ) -> Result<NodeId, Error> {
        for condition in conditions {
            let condition = condition.moved(|column| rows.place(scope, column));
            let predicate = self.compiler.predicate(condition)?;
            node = self.node(Operator::Filter(predicate), &[node]);
        }
        Ok(node)
    }

    /// An arrangement by these columns, those that have to be computed put behind the others; and how
    /// many columns there are then.
    fn arranged(&mut self, node: NodeId, width: usize, keys: Vec<Output>) -> (NodeId, usize) {
        let mut outputs: Vec<Output> = (0..width).map(Output::Column).collect();
        let mut columns = Vec::with_capacity(keys.len());
        for key in keys {
            match key {
                Output::Column(column) => columns.push(column),
                computed => {
                    columns.push(outputs.len());
                    outputs.push(computed);
                }
            }
        }
        let wider = outputs.len();
        let node = match wider > width {
            true => self.node(Operator::Map(outputs), &[node]),
            false => node,
        };
        (self.node(Operator::Arrange(columns), &[node]), wider)
    }

    fn outputs(
        &mut self,
        values: Vec<Analysed>,
        rows: &Rows,
        scope: &Scope<'_>,
    ) -> Result<Vec<Output>, Error> {
        values.into_iter().map(|value| self.output(value, rows, scope)).collect()
    }

    fn output(&mut self, value: Analysed, rows: &Rows, scope: &Scope<'_>) -> Result<Output, Error> {
        self.computed(value.moved(|column| rows.place(scope, column)))
    }

    /// A value over rows as they are.
    fn computed(&mut self, value: Analysed) -> Result<Output, Error> {
        Ok(match value.as_column() {
            Some(column) => Output::Column(column),
            None => {
                let expression: Expression = self.compiler.expression(value)?;
                Output::Computed(expression)
            }
        })
    }

    fn node(&mut self, operator: Operator, inputs: &[NodeId]) -> NodeId {
        self.graph.node(operator, inputs, self.made)
    }
}

impl Rows {
    /// Are the columns of this column's table there?
    fn has(&self, scope: &Scope<'_>, column: usize) -> bool {
        scope.source_of(column).is_some_and(|source| self.starts[source].is_some())
    }

    /// Where a column of the scope stands. Whoever asks knows that it is there.
    fn place(&self, scope: &Scope<'_>, column: usize) -> usize {
        let Some(source) = scope.source_of(column) else { return column };
        let start = self.starts[source].unwrap_or_default();
        start + column - scope.sources[source].start
    }
}

/// Both sides of an equality between what is joined and this table.
fn sides(arm: &Analysed, rows: &Rows, source: usize, scope: &Scope<'_>) -> Option<[Analysed; 2]> {
    let [a, b] = arm.equality()?;
    let known =
        |side: &Analysed| side.reads_columns() && side.reads_only(|column| rows.has(scope, column));
    let own = |side: &Analysed| {
        side.reads_columns() && side.reads_only(|column| scope.source_of(column) == Some(source))
    };
    match (known(&a) && own(&b), own(&a) && known(&b)) {
        (true, _) => Some([a, b]),
        (_, true) => Some([b, a]),
        _ => None,
    }
}

/// Takes out those that pass, in order.
fn take(from: &mut Vec<Analysed>, mut test: impl FnMut(&Analysed) -> bool) -> Vec<Analysed> {
    let (taken, rest) = std::mem::take(from).into_iter().partition(|arm| test(arm));
    *from = rest;
    taken
}

/// A schema of columns that only the planner knows.
fn schema_of(name: &str, columns: Vec<(String, Type)>) -> Result<Schema, Error> {
    typed(name, columns.into_iter().map(|(name, ty)| (name, ColumnType::new(ty))).collect())
}

/// The same with their collations.
fn typed(name: &str, columns: Vec<(String, ColumnType)>) -> Result<Schema, Error> {
    let column = |(name, ty): (String, ColumnType)| Column::new(&name, ty);
    Ok(Schema::new(name, columns.into_iter().map(column).collect())?)
}

/// The columns that stand for the answers of these subqueries.
fn answers(subqueries: &[usize]) -> Result<Schema, Error> {
    let column = |subquery: &usize| (answer_name(*subquery), Type::Bool);
    schema_of(ANSWERS, subqueries.iter().map(column).collect())
}
