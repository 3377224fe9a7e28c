//! Conditions with subqueries in them.
//!
//! `x IN (SELECT ...)` and `EXISTS (SELECT ...)` that stand alone in WHERE, or under a NOT, are semi-
//! and anti-joins. Elsewhere (under OR, say) the subquery's answer becomes a column of its own, which
//! the condition then reads.

use shape_expr::sql::{ANSWERS, Body, Select, SqlExpr, Subquery};
use shape_expr::{Analysed, ColumnType};

use super::{Planner, Relation, Rows, STACK_LEFT, STACK_MORE, answers, typed, unsupported};
use crate::error::Error;
use crate::graph::{Existence, NodeId, Operator, Output};
use crate::scope::Scope;

/// What the planner calls the values that a subquery selects.
const ITEMS: &str = "\0items";

/// Which question is asked of a subquery.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Whether,
    Unless,
    Answer,
}

/// A subquery's rows: what of them has to be equal to what, out there, and what it selects.
struct Inner {
    node: NodeId,
    keys: Vec<Output>,
    outer: Vec<Analysed>,
    items: Vec<(Output, ColumnType)>,
}

impl Planner<'_> {
    /// Applies a condition that has subqueries in it.
    pub(super) fn subquery_condition(
        &mut self,
        condition: SqlExpr,
        select: &Select,
        mut rows: Rows,
        scope: &Scope<'_>,
    ) -> Result<Rows, Error> {
        if let Some((number, negated)) = condition.as_subquery() {
            let ask = if negated { Ask::Unless } else { Ask::Whether };
            rows.node = self.existence(&select.subqueries[number], ask, &rows, scope)?;
            return Ok(rows);
        }
        let numbers = condition.subqueries();
        let before = rows.width;
        for number in &numbers {
            rows.node = self.existence(&select.subqueries[*number], Ask::Answer, &rows, scope)?;
            rows.width += 1;
        }
        let more = answers(&numbers)?;
        let schema = scope.schema(Some((ANSWERS, &more)));
        let condition = self.compiler.analyse_condition(&condition, &schema, self.params)?;
        let own = scope.width..scope.width + numbers.len();
        if !condition.reads_only(|column| column < own.end) {
            return Err(unsupported(
                "a subquery beside a column of the query around it",
                condition.position(),
            ));
        }
        let condition = condition.moved(|column| match own.contains(&column) {
            true => before + column - own.start,
            false => rows.place(scope, column),
        });
        let predicate = self.compiler.predicate(condition)?;
        rows.node = self.node(Operator::Filter(predicate), &[rows.node]);
        Ok(rows)
    }

    /// The rows that a subquery lets through, or all of them with its answer.
    fn existence(
        &mut self,
        subquery: &Subquery,
        ask: Ask,
        rows: &Rows,
        scope: &Scope<'_>,
    ) -> Result<usize, Error> {
        let inner = self.inner(subquery, scope)?;
        let (mut keys, is_correlated) = (inner.outer, !inner.keys.is_empty());
        // Only what the keys need is kept of the subquery's rows.
        let mut kept = inner.keys;
        let mut right_keys: Vec<Output> = (0..kept.len()).map(Output::Column).collect();
        if let Some(left) = &subquery.left {
            if inner.items.len() != left.len() {
                let few = if inner.items.len() < left.len() { "few" } else { "many" };
                let message = format!("subquery has too {few} columns");
                let position = subquery.position;
                return Err(shape_expr::Error::Syntax { message, position }.into());
            }
            let first = kept.len();
            let mut types = Vec::with_capacity(left.len());
            for (at, (item, ty)) in inner.items.into_iter().enumerate() {
                kept.push(item);
                types.push((at.to_string(), ty));
            }
            let schema = scope.schema(Some((ITEMS, &typed(ITEMS, types)?)));
            for (at, value) in left.iter().enumerate() {
                let item = SqlExpr::column(&[ITEMS, &at.to_string()], subquery.position);
                let equality = value.clone().equals(item);
                let position = equality.position();
                let equality = self.compiler.analyse_condition(&equality, &schema, self.params)?;
                let Some([value, item]) = equality.equality() else {
                    return Err(unsupported("IN by an equality that no key has", position));
                };
                if !value.reads_only(|column| column < scope.width) {
                    return Err(unsupported("IN of a value from two queries out", position));
                }
                keys.push(value);
                right_keys.push(self.computed(item.moved(|column| first + column - scope.width))?);
            }
        }
        let kind = kind(subquery, ask, is_correlated)?;
        let left_keys = self.outputs(keys, rows, scope)?;
        let width = kept.len();
        let projected = self.node(Operator::Map(kept), &[inner.node]);
        let (right, _) = self.arranged(projected, width, right_keys);
        let (left, wider) = self.arranged(rows.node, rows.width, left_keys);
        let mut node = self.node(Operator::Existence(kind), &[left, right]);
        if wider > rows.width {
            // Without the columns that were computed to be keys.
            let mark = (ask == Ask::Answer).then_some(wider);
            let columns = (0..rows.width).chain(mark).map(Output::Column).collect();
            node = self.node(Operator::Map(columns), &[node]);
        }
        Ok(node)
    }

    /// A subquery's rows. One that only selects and filters may ask for equalities with what is around it.
    fn inner(&mut self, subquery: &Subquery, scope: &Scope<'_>) -> Result<Inner, Error> {
        let Some(select) = self.simple(subquery)? else {
            let Relation { node, columns, types, .. } = self.query(&subquery.query, Some(scope))?;
            let items = types.into_iter().enumerate().take(columns.len());
            let items = items.map(|(at, ty)| (Output::Column(at), ty)).collect();
            return Ok(Inner { node, keys: Vec::new(), outer: Vec::new(), items });
        };
        let inner_scope = self.scope(select, Some(scope))?;
        // Subqueries nest as deep as parentheses may, and stacks may be small.
        let plan = || self.rows(select, &inner_scope);
        let (rows, correlated) = stacker::maybe_grow(STACK_LEFT, STACK_MORE, plan)?;
        let (mut outer, mut keys) = (Vec::new(), Vec::new());
        for condition in &correlated {
            let [theirs, own] = correlation(condition, &inner_scope)?;
            outer.push(theirs);
            keys.push(self.output(own, &rows, &inner_scope)?);
        }
        let mut items = Vec::new();
        if subquery.left.is_some() {
            let schema = inner_scope.schema(None);
            for item in self.items(select, &inner_scope)? {
                if let Some((_, position)) = item.find_column(|c| c >= inner_scope.width) {
                    let what = "a subquery that selects from the query around it";
                    return Err(unsupported(what, position));
                }
                let ty = self.compiler.column_type(&item, &schema);
                items.push((self.output(item, &rows, &inner_scope)?, ty));
            }
        }
        Ok(Inner { node: rows.node, keys, outer, items })
    }

    /// The SELECT that the subquery is, if nothing else matters: neither the order of its rows nor whether
    /// they are distinct does.
    fn simple<'q>(&mut self, subquery: &'q Subquery) -> Result<Option<&'q Select>, Error> {
        let query = &subquery.query;
        let Body::Select(select) = &query.body else { return Ok(None) };
        let is_grouped =
            !select.group.is_empty() || select.having.is_some() || !select.aggregates.is_empty();
        if is_grouped || query.offset.is_some() {
            return Ok(None);
        }
        let is_cut = match &query.limit {
            None => false,
            // Whether there is a row shows in the first one.
            Some(limit) if subquery.left.is_none() => {
                self.row_count(Some(limit), "LIMIT", "2201W")? == Some(0)
            }
            Some(_) => true,
        };
        Ok((!is_cut).then_some(&**select))
    }
}

/// The operator for a subquery. NOT IN and IN as a value must tell NULL from false, which takes one
/// set of values to look at.
fn kind(subquery: &Subquery, ask: Ask, is_correlated: bool) -> Result<Existence, Error> {
    let is_simple = match &subquery.left {
        None => true,
        Some(left) => left.len() == 1 && !is_correlated,
    };
    if ask != Ask::Whether && !is_simple {
        let what = match is_correlated {
            true => "NOT IN, or IN below OR, of a subquery that reads the query around it",
            false => "NOT IN, or IN below OR, of several values",
        };
        return Err(unsupported(what, subquery.position));
    }
    Ok(match (ask, &subquery.left) {
        (Ask::Whether, _) => Existence::Semi,
        (Ask::Unless, None) => Existence::Anti,
        (Ask::Unless, Some(_)) => Existence::NotIn,
        (Ask::Answer, left) => Existence::Mark { by_in: left.is_some() },
    })
}

/// A condition of a subquery that reads the query around it: an equality of something out there, which
/// comes first, and something of its own.
pub(super) fn correlation(condition: &Analysed, scope: &Scope<'_>) -> Result<[Analysed; 2], Error> {
    let own = |side: &Analysed| side.reads_columns() && side.reads_only(|c| c < scope.width);
    let outer = |side: &Analysed| side.reads_columns() && side.reads_only(|c| c >= scope.width);
    let out = |side: Analysed| side.moved(|column| column - scope.width);
    match condition.equality() {
        Some([a, b]) if outer(&a) && own(&b) => Ok([out(a), b]),
        Some([a, b]) if own(&a) && outer(&b) => Ok([out(b), a]),
        _ => Err(unsupported(
            "a condition between a subquery and the query around it, other than an equality,",
            condition.position(),
        )),
    }
}
