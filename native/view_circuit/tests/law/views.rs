//! Groups, sets and windows over queries: what they mean, as SQL and by looking at all rows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;

use super::naive::{self, Data, Query, Term, Value};
use super::random;

/// By which item, whether descending, and whether NULL is first.
pub type Order = (usize, bool, bool);

type Rows = BTreeMap<Vec<Value>, Vec<Value>>;

#[derive(Clone, Debug)]
pub enum View {
    Select(Query),
    /// The query's first items are the keys, the others what the calls take.
    Group {
        of: Query,
        keys: usize,
        calls: Vec<Call>,
        having: Option<i64>,
    },
    Set {
        word: &'static str,
        all: bool,
        sides: Box<[View; 2]>,
    },
    Top {
        of: Query,
        order: Vec<Order>,
        offset: usize,
        limit: Option<usize>,
    },
}

#[derive(Clone, Copy, Debug)]
pub struct Call {
    name: &'static str,
    distinct: bool,
    /// Only where the argument is at least this.
    filter: Option<i64>,
}

pub fn view(rng: &mut Rng) -> View {
    match rng.u8(..5) {
        0 => View::Select(random::query(rng)),
        1 | 2 => group(rng, None),
        3 => top(rng, None),
        _ => {
            let width = rng.usize(1..3);
            set(rng, width, 2)
        }
    }
}

fn group(rng: &mut Rng, width: Option<usize>) -> View {
    let mut of = random::query(rng);
    of.distinct = false;
    let pool = of.items.iter().filter(|item| !matches!(item, Term::Constant(_)));
    let pool: Vec<Term> = pool.cloned().collect();
    let count = if pool.is_empty() { 0 } else { rng.usize(..3).min(width.unwrap_or(2)) };
    let mut keys: Vec<Term> = Vec::new();
    for _ in 0..count {
        let key = pool[rng.usize(..pool.len())].clone();
        if keys.iter().all(|known| known.sql() != key.sql()) {
            keys.push(key);
        }
    }
    let more = match width {
        Some(width) => width - keys.len(),
        None => rng.usize(1..4),
    };
    let name = of.tables[0].1.clone();
    let (mut items, mut calls) = (keys, Vec::new());
    let keys = items.len();
    for _ in 0..more {
        let names = ["rows", "count", "sum", "min", "max"];
        let name_of = names[rng.usize(..names.len())];
        let distinct = name_of != "rows" && rng.u8(..3) == 0;
        let filter = (rng.u8(..4) == 0).then(|| rng.i64(0..4));
        calls.push(Call { name: name_of, distinct, filter });
        items.push(Term::Column(name.clone(), rng.usize(..3)));
    }
    of.items = items;
    let having = (rng.u8(..4) == 0).then(|| rng.i64(0..3));
    View::Group { of, keys, calls, having }
}

fn top(rng: &mut Rng, width: Option<usize>) -> View {
    let mut of = random::query(rng);
    if let Some(width) = width {
        of.items = (0..width).map(|at| of.items[at % of.items.len()].clone()).collect();
    }
    let order = (0..rng.usize(..3)).map(|_| (rng.usize(..of.items.len()), rng.bool(), rng.bool()));
    let order = order.collect();
    let limit = (rng.u8(..6) != 0).then(|| rng.usize(..5));
    View::Top { of, order, offset: rng.usize(..6).saturating_sub(2), limit }
}

fn set(rng: &mut Rng, width: usize, depth: usize) -> View {
    let mut side = || match rng.u8(..4) {
        0 if depth > 0 => set(rng, width, depth - 1),
        1 => group(rng, Some(width)),
        2 => top(rng, Some(width)),
        _ => {
            let mut query = random::query(rng);
            query.items =
                (0..width).map(|at| query.items[at % query.items.len()].clone()).collect();
            View::Select(query)
        }
    };
    let sides = Box::new([side(), side()]);
    let word = ["UNION", "EXCEPT", "INTERSECT"][rng.usize(..3)];
    View::Set { word, all: rng.bool(), sides }
}

impl View {
    pub fn sql(&self) -> String {
        match self {
            View::Select(query) => query.sql(),
            View::Group { of, keys, calls, having } => {
                let group: Vec<String> = of.items[..*keys].iter().map(Term::sql).collect();
                let mut items = group.clone();
                for (call, arg) in calls.iter().zip(&of.items[*keys..]) {
                    let arg = arg.sql();
                    let distinct = if call.distinct { "DISTINCT " } else { "" };
                    let mut text = match call.name {
                        "rows" => "count(*)".to_owned(),
                        "sum" => format!("sum({distinct}({arg})::int4)"),
                        name => format!("{name}({distinct}{arg})"),
                    };
                    if let Some(least) = call.filter {
                        text += &format!(" FILTER (WHERE {arg} >= {least})");
                    }
                    items.push(text);
                }
                let mut sql = of.sql_of(&items.join(", "));
                if !group.is_empty() {
                    sql += &format!(" GROUP BY {}", group.join(", "));
                }
                if let Some(least) = having {
                    sql += &format!(" HAVING count(*) >= {least}");
                }
                sql
            }
            View::Set { word, all, sides } => {
                let all = if *all { " ALL" } else { "" };
                format!("({}) {word}{all} ({})", sides[0].sql(), sides[1].sql())
            }
            View::Top { of, order, offset, limit } => {
                let mut sql = of.sql();
                let by: Vec<String> = order
                    .iter()
                    .map(|(item, descending, first)| {
                        let way = if *descending { "DESC" } else { "ASC" };
                        let nulls = if *first { "FIRST" } else { "LAST" };
                        format!("{} {way} NULLS {nulls}", item + 1)
                    })
                    .collect();
                if !by.is_empty() {
                    sql += &format!(" ORDER BY {}", by.join(", "));
                }
                if let Some(limit) = limit {
                    sql += &format!(" LIMIT {limit}");
                }
                sql + &format!(" OFFSET {offset}")
            }
        }
    }

    /// How many values an id has.
    fn id_width(&self) -> usize {
        let of_query = |query: &Query| match query.distinct {
            true => query.items.len(),
            false => query.tables.len(),
        };
        match self {
            View::Select(query) | View::Top { of: query, .. } => of_query(query),
            View::Group { keys, .. } => *keys,
            View::Set { word: "UNION", all: true, sides } => {
                1 + sides[0].id_width() + sides[1].id_width()
            }
            View::Set { all, .. } => self.width() + usize::from(*all),
        }
    }

    fn width(&self) -> usize {
        match self {
            View::Select(query) | View::Top { of: query, .. } => query.items.len(),
            View::Group { of, .. } => of.items.len(),
            View::Set { sides, .. } => sides[0].width(),
        }
    }

    pub fn evaluate(&self, data: &Data) -> Rows {
        match self {
            View::Select(query) => naive::evaluate(query, data),
            View::Group { of, keys, calls, having } => {
                let mut groups: BTreeMap<Vec<Value>, Vec<Vec<Value>>> = BTreeMap::new();
                if *keys == 0 {
                    groups.insert(Vec::new(), Vec::new());
                }
                for (_, items) in naive::evaluate(of, data) {
                    groups.entry(items[..*keys].to_vec()).or_default().push(items);
                }
                groups.retain(|_, rows| having.is_none_or(|least| rows.len() as i64 >= least));
                let result = |(key, rows): (Vec<Value>, Vec<Vec<Value>>)| {
                    let mut items = key.clone();
                    for (at, call) in calls.iter().enumerate() {
                        items.push(call.result(rows.iter().map(|row| row[keys + at])));
                    }
                    (key, items)
                };
                groups.into_iter().map(result).collect()
            }
            View::Set { word, all, sides } => {
                let [left, right] = [0, 1].map(|side: usize| sides[side].evaluate(data));
                if (*word, *all) == ("UNION", true) {
                    let blanks = [0, 1].map(|side: usize| vec![None; sides[side].id_width()]);
                    let left = left
                        .into_iter()
                        .map(|(id, row)| ([vec![Some(0)], id, blanks[1].clone()].concat(), row));
                    let right = right
                        .into_iter()
                        .map(|(id, row)| ([vec![Some(1)], blanks[0].clone(), id].concat(), row));
                    return left.chain(right).collect();
                }
                let count = |rows: &Rows, row: &Vec<Value>| {
                    rows.values().filter(|other| *other == row).count() as i64
                };
                let every: BTreeSet<Vec<Value>> =
                    left.values().chain(right.values()).cloned().collect();
                let mut rows = Rows::new();
                for row in every {
                    let (l, r) = (count(&left, &row), count(&right, &row));
                    let copies = match (*word, *all) {
                        ("UNION", _) => 1,
                        ("EXCEPT", true) => l - r,
                        ("EXCEPT", false) => i64::from(l > 0 && r == 0),
                        (_, true) => l.min(r),
                        (_, false) => i64::from(l > 0 && r > 0),
                    };
                    for copy in 1..=copies {
                        let mut id = row.clone();
                        id.extend(all.then_some(Some(copy)));
                        rows.insert(id, row.clone());
                    }
                }
                rows
            }
            View::Top { of, order, offset, limit } => {
                let mut rows: Vec<_> = naive::evaluate(of, data).into_iter().collect();
                rows.sort_by(|(a, x), (b, y)| by_order(order, (a, x), (b, y)));
                rows.into_iter().skip(*offset).take(limit.unwrap_or(usize::MAX)).collect()
            }
        }
    }
}

/// The order of two rows, of which it gets ids and items: by items first, then by id.
pub fn by_order(
    order: &[Order],
    (a, x): (&[Value], &[Value]),
    (b, y): (&[Value], &[Value]),
) -> Ordering {
    let by = order
        .iter()
        .map(|(item, descending, first)| compare(x[*item], y[*item], *descending, *first));
    let by_id = a.iter().zip(b).map(|(a, b)| compare(*a, *b, false, false));
    by.chain(by_id).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare(a: Value, b: Value, descending: bool, nulls_first: bool) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) if descending => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) if nulls_first => a.is_some().cmp(&b.is_some()),
        (a, b) => a.is_none().cmp(&b.is_none()),
    }
}

impl Call {
    fn result(&self, values: impl Iterator<Item = Value>) -> Value {
        let passes = |value: &Value| match self.filter {
            None => true,
            Some(least) => value.is_some_and(|value| value >= least),
        };
        let values: Vec<Value> = values.filter(passes).collect();
        if self.name == "rows" {
            return Some(values.len() as i64);
        }
        let mut values: Vec<i64> = values.into_iter().flatten().collect();
        values.sort_unstable();
        if self.distinct {
            values.dedup();
        }
        match self.name {
            "count" => Some(values.len() as i64),
            "sum" => (!values.is_empty()).then(|| values.iter().sum()),
            "min" => values.first().copied(),
            _ => values.last().copied(),
        }
    }
}
