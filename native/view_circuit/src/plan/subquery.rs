//! Conditions with subqueries in them.
//!
//! `x IN (SELECT ...)` and `EXISTS (SELECT ...)` that stand alone in WHERE, or under a NOT, are semi-
//! and anti-joins. Elsewhere (under OR, say) the subquery's answer becomes a column of its own, which
//! the condition then reads.

use shape_expr::Analysed;
use shape_expr::sql::{ANSWERS, Select, SqlExpr, Subquery};

use super::{Planner, Rows, answers, schema_of, unsupported};
use crate::error::Error;
use crate::graph::{Existence, Operator, Output};
use crate::scope::Scope;

/// What the planner calls the values that a subquery selects.
const ITEMS: &str = "\0items";

/// With less than this left of the stack, a subquery is planned on another one, of this size.
const STACK_LEFT: usize = 128 * 1024;
const STACK_MORE: usize = 1024 * 1024;

/// Which question is asked of a subquery.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ask {
    Whether,
    Unless,
    Answer,
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
        let tables = self.tables;
        let inner_scope = Scope::new(&subquery.select.tables, tables, Some(scope))?;
        // Subqueries nest as deep as parentheses may, and stacks may be small.
        let plan = || self.rows(&subquery.select, &inner_scope);
        let (inner, correlated) = stacker::maybe_grow(STACK_LEFT, STACK_MORE, plan)?;
        let (mut keys, mut inner_keys) = (Vec::new(), Vec::new());
        for condition in &correlated {
            let [outer, own] = correlation(condition, &inner_scope)?;
            keys.push(outer);
            inner_keys.push(self.output(own, &inner, &inner_scope)?);
        }
        let is_correlated = !keys.is_empty();
        // Only what the keys need is kept of the subquery's rows.
        let mut kept = inner_keys;
        let mut right_keys: Vec<Output> = (0..kept.len()).map(Output::Column).collect();
        if let Some(left) = &subquery.left {
            let items =
                self.wanted(&subquery.select, &inner_scope, left.len(), subquery.position)?;
            let first = kept.len();
            let types = items.iter().enumerate();
            let types = types.map(|(at, item)| (at.to_string(), item.ty().clone())).collect();
            let schema = scope.schema(Some((ITEMS, &schema_of(ITEMS, types)?)));
            kept.extend(self.outputs(items, &inner, &inner_scope)?);
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

    /// What a subquery selects, for IN.
    fn wanted(
        &mut self,
        select: &Select,
        scope: &Scope<'_>,
        wanted: usize,
        position: usize,
    ) -> Result<Vec<Analysed>, Error> {
        let items: Vec<Analysed> =
            self.items(select, scope)?.into_iter().map(|(_, item)| item).collect();
        if let Some(item) = items.iter().find(|item| !item.reads_only(|c| c < scope.width)) {
            let what = "a subquery that selects from the query around it";
            return Err(unsupported(what, item.position()));
        }
        match items.len() == wanted {
            true => Ok(items),
            false => {
                let few = if items.len() < wanted { "few" } else { "many" };
                let message = format!("subquery has too {few} columns");
                Err(shape_expr::Error::Syntax { message, position }.into())
            }
        }
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
fn correlation(condition: &Analysed, scope: &Scope<'_>) -> Result<[Analysed; 2], Error> {
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
