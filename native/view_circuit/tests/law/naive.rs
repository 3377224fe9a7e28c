//! Queries as trees, and what they mean: nested loops over all rows, three-valued conditions, no
//! indexes and no deltas.

use std::collections::BTreeMap;

pub const TABLES: [&str; 3] = ["t0", "t1", "t2"];

pub type Value = Option<i64>;

/// Each table's rows: id -> x, y.
pub type Data = [BTreeMap<i64, [Value; 2]>; 3];

/// `SELECT items FROM tables WHERE condition`.
#[derive(Clone, Debug)]
pub struct Query {
    pub distinct: bool,
    /// Tables and the names they go by.
    pub tables: Vec<(usize, String)>,
    pub items: Vec<Term>,
    pub condition: Vec<Condition>,
}

#[derive(Clone, Debug)]
pub enum Term {
    /// A table's name in the query, and 0 for id, 1 for x, 2 for y.
    Column(String, usize),
    Constant(Value),
    Sum(Box<Term>, i64),
}

#[derive(Clone, Debug)]
pub enum Condition {
    Compare(Term, &'static str, Term),
    IsNull(Term),
    Not(Box<Condition>),
    Any(Vec<Condition>),
    All(Vec<Condition>),
    In(Vec<Term>, Box<Query>),
    Exists(Box<Query>),
}

pub type Environment<'e> = Vec<(&'e str, [Value; 3])>;

/// id -> items. The id is made of the ids of the tables' rows; of DISTINCT it is the items.
pub fn evaluate(query: &Query, data: &Data) -> BTreeMap<Vec<Value>, Vec<Value>> {
    let rows = rows(query, data, &Vec::new()).into_iter();
    match query.distinct {
        true => rows.map(|(_, items)| (items.clone(), items)).collect(),
        false => rows.collect(),
    }
}

/// A row that passes: its id, its items, and where more can be read of it.
pub struct Found<'e> {
    pub id: Vec<Value>,
    pub items: Vec<Value>,
    pub environment: Environment<'e>,
}

/// The rows of a query that may read those around it.
pub fn found<'e>(query: &'e Query, data: &Data, outer: &Environment<'e>) -> Vec<Found<'e>> {
    let mut all = vec![(outer.clone(), Vec::new())];
    for (table, name) in &query.tables {
        let mut next = Vec::new();
        for (environment, ids) in &all {
            for (id, [x, y]) in &data[*table] {
                let (mut environment, mut ids) = (environment.clone(), ids.clone());
                environment.push((name.as_str(), [Some(*id), *x, *y]));
                ids.push(Some(*id));
                next.push((environment, ids));
            }
        }
        all = next;
    }
    let passes = |environment: &Environment<'_>| {
        query.condition.iter().all(|arm| truth(arm, data, environment) == Some(true))
    };
    let found = |(environment, id): (Environment<'e>, Vec<Value>)| {
        let items = query.items.iter().map(|item| value(item, &environment)).collect();
        Found { id, items, environment }
    };
    all.into_iter().filter(|(e, _)| passes(e)).map(found).collect()
}

fn rows(query: &Query, data: &Data, outer: &Environment<'_>) -> Vec<(Vec<Value>, Vec<Value>)> {
    found(query, data, outer).into_iter().map(|row| (row.id, row.items)).collect()
}

fn value(term: &Term, environment: &Environment<'_>) -> Value {
    match term {
        Term::Column(table, column) => {
            let row = environment.iter().rev().find(|(name, _)| name == table);
            row.expect("a table in scope").1[*column]
        }
        Term::Constant(value) => *value,
        Term::Sum(inner, add) => value(inner, environment).map(|i| i + add),
    }
}

fn all(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let truths: Vec<_> = truths.collect();
    match (truths.contains(&Some(false)), truths.contains(&None)) {
        (true, _) => Some(false),
        (_, true) => None,
        _ => Some(true),
    }
}

fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    all(truths.map(|truth| truth.map(|t| !t))).map(|t| !t)
}

fn truth(condition: &Condition, data: &Data, environment: &Environment<'_>) -> Option<bool> {
    match condition {
        Condition::Compare(left, operator, right) => {
            let (left, right) = (value(left, environment)?, value(right, environment)?);
            Some(match *operator {
                "=" => left == right,
                "<>" => left != right,
                "<" => left < right,
                ">=" => left >= right,
                other => panic!("no operator {other}"),
            })
        }
        Condition::IsNull(term) => Some(value(term, environment).is_none()),
        Condition::Not(inner) => truth(inner, data, environment).map(|t| !t),
        Condition::Any(arms) => any(arms.iter().map(|arm| truth(arm, data, environment))),
        Condition::All(arms) => all(arms.iter().map(|arm| truth(arm, data, environment))),
        Condition::In(left, query) => {
            let left: Vec<Value> = left.iter().map(|term| value(term, environment)).collect();
            let equal =
                |row: &Vec<Value>| all(left.iter().zip(row).map(|(a, b)| Some((*a)? == (*b)?)));
            any(rows(query, data, environment).iter().map(|(_, row)| equal(row)))
        }
        Condition::Exists(query) => Some(!rows(query, data, environment).is_empty()),
    }
}

impl Query {
    pub fn sql(&self) -> String {
        let items: Vec<String> = self.items.iter().map(Term::sql).collect();
        self.sql_of(&items.join(", "))
    }

    /// With something else selected.
    pub fn sql_of(&self, items: &str) -> String {
        let tables = self.tables.iter().map(|(table, name)| format!("{} {name}", TABLES[*table]));
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let tables = tables.collect::<Vec<_>>().join(", ");
        let mut sql = format!("SELECT {distinct}{items} FROM {tables}");
        if !self.condition.is_empty() {
            let arms: Vec<String> = self.condition.iter().map(Condition::sql).collect();
            sql += &format!(" WHERE {}", arms.join(" AND "));
        }
        sql
    }
}

impl Term {
    pub fn sql(&self) -> String {
        match self {
            Term::Column(table, column) => format!("{table}.{}", ["id", "x", "y"][*column]),
            Term::Constant(None) => "NULL::int8".to_owned(),
            Term::Constant(Some(i)) => i.to_string(),
            Term::Sum(inner, add) => format!("{} + {add}", inner.sql()),
        }
    }
}

impl Condition {
    fn sql(&self) -> String {
        let join = |arms: &[Condition], word: &str| {
            let arms: Vec<String> = arms.iter().map(Condition::sql).collect();
            format!("({})", arms.join(word))
        };
        match self {
            Condition::Compare(left, operator, right) => {
                format!("{} {operator} {}", left.sql(), right.sql())
            }
            Condition::IsNull(term) => format!("{} IS NULL", term.sql()),
            Condition::Not(inner) => match &**inner {
                Condition::In(left, query) => {
                    format!("{} NOT IN ({})", terms(left), query.sql())
                }
                other => format!("NOT ({})", other.sql()),
            },
            Condition::Any(arms) => join(arms, " OR "),
            Condition::All(arms) => join(arms, " AND "),
            Condition::In(left, query) => format!("{} IN ({})", terms(left), query.sql()),
            Condition::Exists(query) => format!("EXISTS ({})", query.sql()),
        }
    }
}

fn terms(all: &[Term]) -> String {
    let all: Vec<String> = all.iter().map(Term::sql).collect();
    format!("({})", all.join(", "))
}
