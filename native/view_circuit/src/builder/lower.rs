//! From a plan to what a query's text is read as.

use shape_expr::sql::{
    ANSWERS, Body, Item, Query, Select, SqlExpr, Subquery, TableRef, answer_name,
};

use super::{Condition, Existence, Plan, Scan, Set};
use crate::error::Error;

impl Plan {
    /// The query that the plan is.
    pub(crate) fn query(&self) -> Result<Query, Error> {
        let mut body = Body::Select(Box::new(self.select()?));
        for Set { kind, all, plan } in &self.sets {
            let left = Box::new(query_of(body));
            let (right, position) = (Box::new(plan.query()?), 0);
            body = Body::Set { kind: *kind, all: *all, left, right, position };
        }
        let mut query = self.clauses()?;
        query.body = body;
        Ok(query)
    }

    /// What is said beside tables and conditions, read as the query that it is the most of: its parser puts
    /// aggregate functions in their places, and resolves nothing.
    fn clauses(&self) -> Result<Query, Error> {
        let items: Vec<String> = self.items.iter().map(super::Projected::sql).collect();
        let items = if items.is_empty() { "*".to_owned() } else { items.join(", ") };
        let mut text = format!("SELECT {items} FROM t");
        let mut list = |word: &str, all: &[String]| {
            if !all.is_empty() {
                text += &format!(" {word} {}\n", all.join("\n, "));
            }
        };
        list("GROUP BY", &self.group);
        list("HAVING", self.having.as_slice());
        list("ORDER BY", &self.order);
        list("LIMIT", self.limit.map(|limit| limit.to_string()).as_slice());
        if self.offset > 0 {
            list("OFFSET", &[self.offset.to_string()]);
        }
        Ok(Query::parse(&text)?)
    }

    fn select(&self) -> Result<Select, Error> {
        let mut on = Vec::new();
        for condition in &self.conditions {
            on.push(match condition {
                Condition::Text { text, scans } => (SqlExpr::parse(text)?, scans[0]..scans[1]),
                Condition::Equal { columns: [left, right], scans: [start, middle, end] } => {
                    let left = self.column(left, *start..*middle);
                    (left.equals(self.column(right, *middle..*end)), *start..*end)
                }
            });
        }
        let mut subqueries = Vec::new();
        let mut answers = Vec::new();
        for existence in &self.existences {
            let answer = SqlExpr::column(&[ANSWERS, &answer_name(subqueries.len())], 0);
            answers.push(if existence.negated { answer.negated() } else { answer });
            subqueries.push(self.subquery(existence)?);
        }
        let Body::Select(clauses) = self.clauses()?.body else {
            return Err(super::not_one("a plan"));
        };
        Ok(Select {
            distinct: self.distinct,
            items: clauses.items,
            tables: self.scans.iter().map(Scan::reference).collect(),
            on,
            condition: SqlExpr::all(answers),
            subqueries,
            group: clauses.group,
            having: clauses.having,
            aggregates: clauses.aggregates,
            position: 0,
        })
    }

    /// A semi-join is an IN, whose sides cannot mistake each other's names; an anti-join is a NOT EXISTS,
    /// since NOT IN would not let NULLs stay.
    fn subquery(&self, existence: &Existence) -> Result<Subquery, Error> {
        let Existence { plan, columns, negated } = existence;
        let mut select = plan.select()?;
        let (all, inner) = (0..self.scans.len(), 0..plan.scans.len());
        if !negated && !columns.is_empty() {
            let left = columns.iter().map(|[own, _]| self.column(own, all.clone())).collect();
            let item = |[_, other]: &[String; 2]| Item::Value {
                value: plan.column(other, inner.clone()),
                name: None,
            };
            select.items = columns.iter().map(item).collect();
            return Ok(Subquery { left: Some(left), query: query_of_select(select), position: 0 });
        }
        // Names of the plan within hide those around it.
        let clash =
            plan.scans.iter().find(|scan| self.scans.iter().any(|own| own.name() == scan.name()));
        if let (Some(scan), false) = (clash, columns.is_empty()) {
            return Err(Error::DuplicateName { name: scan.name().to_owned(), at: 0 });
        }
        let pair = |[own, other]: &[String; 2]| {
            let own = self.column(own, all.clone());
            plan.column(other, inner.clone()).equals(own)
        };
        let more = columns.iter().map(pair).chain(select.condition.take());
        select.condition = SqlExpr::all(more.collect());
        Ok(Subquery { left: None, query: query_of_select(select), position: 0 })
    }

    /// A column by its name, with that of its table where only one table can be meant.
    fn column(&self, name: &str, scans: std::ops::Range<usize>) -> SqlExpr {
        let names: Vec<&str> = name.split('.').collect();
        match (names.as_slice(), self.scans.get(scans)) {
            ([name], Some([scan])) => SqlExpr::column(&[scan.name(), name], 0),
            _ => SqlExpr::column(&names, 0),
        }
    }
}

impl Scan {
    /// What expressions call it.
    fn name(&self) -> &str {
        let own = self.table.rsplit('.').next().unwrap_or(&self.table);
        self.alias.as_deref().unwrap_or(own)
    }

    fn reference(&self) -> TableRef {
        let (namespace, name) = match self.table.split_once('.') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, self.table.as_str()),
        };
        let (name, alias) = (name.to_owned(), self.alias.clone());
        TableRef { namespace, name, alias, query: None, position: 0 }
    }
}

fn query_of_select(select: Select) -> Query {
    query_of(Body::Select(Box::new(select)))
}

fn query_of(body: Body) -> Query {
    Query { body, order: Vec::new(), limit: None, offset: None, position: 0 }
}
