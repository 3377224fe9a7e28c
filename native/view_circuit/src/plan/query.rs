//! From a query to a relation: its body, then ORDER BY, LIMIT and OFFSET.

use shape_expr::sql::{Body, Query, SqlExpr};
use shape_expr::{Analysed, ColumnType, Schema, Value};

use super::{Planner, SortColumn};
use crate::error::Error;
use crate::graph::{Evaluator, NodeId, Operator, Output, Window};
use crate::row::Row;
use crate::scope::Scope;
use crate::view::OutputColumn;

/// What a query gives. Rows with different ids are different rows, and no two have one id.
pub(crate) struct Relation {
    pub node: NodeId,
    /// What is shown: the first columns of the node's rows.
    pub columns: Vec<OutputColumn>,
    /// The types of all columns.
    pub types: Vec<ColumnType>,
    /// Where the columns of the id stand.
    pub id: Vec<usize>,
    /// What the rows are sorted by.
    pub order: Vec<SortColumn>,
    /// Literals among what is shown that nothing has given a type but that of a text.
    pub literals: Vec<Option<Analysed>>,
}

/// With less than this left of the stack, a query within another is planned on a new one, of this size.
pub(crate) const STACK_LEFT: usize = 128 * 1024;
pub(crate) const STACK_MORE: usize = 1024 * 1024;

impl Planner<'_> {
    /// A query on its own, or, where it must not read that one's columns, within another.
    pub fn query(&mut self, query: &Query, outer: Option<&Scope<'_>>) -> Result<Relation, Error> {
        // Queries nest as deep as parentheses may, and stacks may be small.
        stacker::maybe_grow(STACK_LEFT, STACK_MORE, || self.unlimited(query, outer))
    }

    fn unlimited(&mut self, query: &Query, outer: Option<&Scope<'_>>) -> Result<Relation, Error> {
        let relation = match &query.body {
            Body::Select(select) => self.select(select, &query.order, outer)?,
            Body::Set { kind, all, left, right, position } => {
                let left = self.query(left, outer)?;
                let right = self.query(right, outer)?;
                let mut relation = self.set(*kind, *all, [left, right], *position)?;
                relation.order = self.order_of_set(&query.order, &relation)?;
                relation
            }
        };
        self.limited(query, relation, Vec::new())
    }

    /// LIMIT and OFFSET, for each value of the columns to partition by.
    pub(super) fn limited(
        &mut self,
        query: &Query,
        mut relation: Relation,
        partition: Vec<usize>,
    ) -> Result<Relation, Error> {
        let limit = self.row_count(query.limit.as_ref(), "LIMIT", "2201W")?;
        let offset = self.row_count(query.offset.as_ref(), "OFFSET", "2201X")?.unwrap_or(0);
        if limit.is_some() || offset > 0 {
            let (order, id) = (relation.order.clone(), relation.id.clone());
            let window = Window { order, id, offset, limit, partition };
            relation.node = self.node(Operator::TopK(window.into()), &[relation.node]);
        }
        Ok(relation)
    }

    /// What LIMIT or OFFSET says; nothing and NULL are none.
    pub(super) fn row_count(
        &mut self,
        value: Option<&SqlExpr>,
        clause: &str,
        sqlstate: &'static str,
    ) -> Result<Option<u64>, Error> {
        let Some(value) = value else { return Ok(None) };
        let position = value.position();
        let schema = Schema::derived(Vec::new());
        let value = value.clone().as_bigint();
        let value = self.compiler.analyse_value(&value, &schema, self.params)?;
        let value = Output::Computed(self.compiler.expression(value)?);
        let row = Evaluator::default().map(&[value], &Row::from(Vec::new()));
        let invalid = |message: String, sqlstate| {
            let error = shape_expr::Error::InvalidQuery { message, sqlstate, position };
            Err(Error::from(error))
        };
        match row.map(|row| row[0].clone()) {
            Ok(count) => match count.value() {
                Value::Int(count) if count < 0 => {
                    invalid(format!("{clause} must not be negative"), sqlstate)
                }
                Value::Int(count) => Ok(u64::try_from(count).ok()),
                _ => Ok(None),
            },
            Err(raised) => invalid(format!("{clause}: {raised}"), raised.sqlstate()),
        }
    }
}
