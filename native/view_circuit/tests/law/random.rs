//! Random queries, of what the circuit has operators for.

use fastrand::Rng;

use super::naive::{Condition, Query, Term};

pub fn query(rng: &mut Rng) -> Query {
    query_of(rng, "q", 3)
}

/// Of so many tables at most, whose names begin so.
pub fn query_of(rng: &mut Rng, name: &str, most: usize) -> Query {
    let count = 1 + rng.usize(..most).min(rng.usize(..most));
    let tables: Vec<(usize, String)> =
        (0..count).map(|at| (rng.usize(..3), format!("{name}{at}"))).collect();
    let names: Vec<&str> = tables.iter().map(|(_, name)| name.as_str()).collect();
    let mut condition = Vec::new();
    for at in 1..count {
        // Now and then nothing leads to a table, and its rows go with all others.
        if rng.u8(..8) != 0 {
            let (mine, other) = (column(rng, &names[at..=at]), column(rng, &names[..at]));
            condition.push(Condition::Compare(sum(rng, other), "=", mine));
        }
    }
    for _ in 0..rng.usize(..3) {
        condition.push(arm(rng, &names, 2));
    }
    let items = (0..1 + rng.usize(..3)).map(|_| term(rng, &names)).collect();
    rng.shuffle(&mut condition);
    Query { distinct: rng.u8(..4) == 0, tables, items, condition }
}

fn column(rng: &mut Rng, names: &[&str]) -> Term {
    Term::Column(names[rng.usize(..names.len())].to_owned(), rng.usize(..3))
}

fn sum(rng: &mut Rng, of: Term) -> Term {
    if rng.u8(..4) == 0 { Term::Sum(Box::new(of), rng.i64(1..3)) } else { of }
}

fn term(rng: &mut Rng, names: &[&str]) -> Term {
    match rng.u8(..6) {
        0 => Term::Constant((rng.u8(..4) != 0).then(|| rng.i64(0..5))),
        _ => {
            let column = column(rng, names);
            sum(rng, column)
        }
    }
}

/// A condition of WHERE, with subqueries where they may stand alone.
fn arm(rng: &mut Rng, names: &[&str], depth: usize) -> Condition {
    match rng.u8(..10) {
        0..=2 => plain(rng, names),
        3 => Condition::Any(vec![plain(rng, names), plain(rng, names)]),
        4 => in_values(rng, names, depth),
        5 => Condition::Not(Box::new(in_values(rng, names, depth))),
        6 => exists(rng, names, depth),
        7 => Condition::Not(Box::new(exists(rng, names, depth))),
        8 => {
            // Of several values, or of a set that depends on the row.
            let several = rng.bool();
            let left = (0..1 + usize::from(several)).map(|_| term(rng, names)).collect::<Vec<_>>();
            let mut query = subquery(rng, left.len(), depth);
            if !several {
                correlate(rng, names, &mut query);
            }
            Condition::In(left, Box::new(query))
        }
        _ => below_or(rng, names, depth),
    }
}

fn plain(rng: &mut Rng, names: &[&str]) -> Condition {
    let operators = ["=", "<>", "<", ">="];
    match rng.u8(..5) {
        0 => Condition::IsNull(column(rng, names)),
        1 => Condition::Not(Box::new(Condition::IsNull(column(rng, names)))),
        _ => {
            let operator = operators[rng.usize(..4)];
            Condition::Compare(column(rng, names), operator, term(rng, names))
        }
    }
}

/// Subqueries among other conditions, where NULL and false must be told apart.
fn below_or(rng: &mut Rng, names: &[&str], depth: usize) -> Condition {
    let mut arms = vec![plain(rng, names)];
    for _ in 0..1 + rng.usize(..2) {
        let arm = match rng.bool() {
            true => in_values(rng, names, depth),
            false => exists(rng, names, depth),
        };
        arms.push(if rng.bool() { Condition::Not(Box::new(arm)) } else { arm });
    }
    rng.shuffle(&mut arms);
    let all = if rng.bool() { Condition::Any(arms) } else { Condition::All(arms) };
    if rng.bool() { Condition::Not(Box::new(all)) } else { all }
}

fn in_values(rng: &mut Rng, names: &[&str], depth: usize) -> Condition {
    Condition::In(vec![term(rng, names)], Box::new(subquery(rng, 1, depth)))
}

fn exists(rng: &mut Rng, names: &[&str], depth: usize) -> Condition {
    let mut query = subquery(rng, 1, depth);
    if rng.u8(..4) != 0 {
        correlate(rng, names, &mut query);
    }
    Condition::Exists(Box::new(query))
}

fn subquery(rng: &mut Rng, items: usize, depth: usize) -> Query {
    let name = format!("s{depth}");
    let tables = vec![(rng.usize(..3), name.clone())];
    let names = [name.as_str()];
    let mut condition = Vec::new();
    if rng.bool() {
        condition.push(plain(rng, &names));
    }
    if depth > 0 && rng.u8(..4) == 0 {
        condition.push(arm(rng, &names, depth - 1));
    }
    let items = (0..items).map(|_| term(rng, &names)).collect();
    Query { distinct: rng.u8(..4) == 0, tables, items, condition }
}

/// Links a query to rows around it.
pub fn correlate(rng: &mut Rng, names: &[&str], query: &mut Query) {
    for _ in 0..1 + rng.usize(..2) {
        let own = query.tables[0].1.clone();
        let (own, outer) = (column(rng, &[&own]), column(rng, names));
        let (left, right) = (sum(rng, own), sum(rng, outer));
        let pair = if rng.bool() { (left, right) } else { (right, left) };
        query.condition.push(Condition::Compare(pair.0, "=", pair.1));
    }
}
