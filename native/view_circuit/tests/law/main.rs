//! The law of incremental views: `step(delta) == snapshot(after) - snapshot(before)`, for random
//! queries and random histories, against an evaluator that knows nothing of deltas; and one history
//! comes to the same end however it is split into batches.
//!
//! `VIEW_LAW_ROUNDS` says how many queries, `VIEW_LAW_SEED` repeats a run.

#[path = "../common/mod.rs"]
mod common;
mod naive;
mod random;
mod trees;
mod views;

use std::collections::BTreeMap;

use common::{ints, table};
use fastrand::Rng;
use naive::{Data, Value};
use shape_expr::Options;
use view_circuit::{Cell, Circuit, Format, IngestBatch, Key, ViewId, ViewUpdate};
use views::View;

type Result = BTreeMap<Vec<Value>, Vec<Value>>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

fn circuit() -> Circuit {
    let columns = &[("id", "int8"), ("x", "int8"), ("y", "int8")];
    let tables = naive::TABLES.iter().map(|name| table(name, columns, &["id"])).collect();
    Circuit::new(tables, Options::default()).expect("tables")
}

fn values(of: &[shape_expr::Owned]) -> Vec<Value> {
    of.iter()
        .map(|value| match value.value() {
            shape_expr::Value::Int(i) => Some(i),
            _ => None,
        })
        .collect()
}

fn key(of: &Key) -> Vec<Value> {
    values(of.values())
}

/// The update as a change of the result: id -> (before, after).
type Difference = BTreeMap<Vec<Value>, (Option<Vec<Value>>, Option<Vec<Value>>)>;

fn told(update: Option<&ViewUpdate>) -> Difference {
    let changes = update.iter().flat_map(|update| &update.changes);
    changes.map(|c| (key(c.id()), (c.before().map(values), c.after().map(values)))).collect()
}

fn difference(before: &Result, after: &Result) -> Difference {
    let mut difference = Difference::new();
    for id in before.keys().chain(after.keys()) {
        let pair = (before.get(id).cloned(), after.get(id).cloned());
        if pair.0 != pair.1 {
            difference.insert(id.clone(), pair);
        }
    }
    difference
}

/// One operation on the data, and the same for a batch.
fn operation(rng: &mut Rng, data: &mut Data, batch: &mut IngestBatch) {
    let at = rng.usize(..naive::TABLES.len());
    let (name, rows) = (naive::TABLES[at], &mut data[at]);
    let value = |rng: &mut Rng| (rng.u8(..5) != 0).then(|| rng.i64(0..5));
    let (id, row) = (rng.i64(0..8), [value(rng), value(rng)]);
    let record = |id: i64| -> Vec<Cell> { vec![id.into(), row[0].into(), row[1].into()] };
    match rows.contains_key(&id) {
        false => {
            batch.create(name, record(id));
            rows.insert(id, row);
        }
        true if rng.u8(..3) == 0 => {
            batch.delete(name, ints(&[id]));
            rows.remove(&id);
        }
        true => {
            let new = rng.i64(0..8);
            let new = if rows.contains_key(&new) { id } else { new };
            batch.update(name, ints(&[id]), record(new));
            rows.remove(&id);
            rows.insert(new, row);
        }
    }
}

/// A circuit with these views from the start, through a history that is cut into two batches.
fn in_two_steps(history: &[IngestBatch], cut: usize, sql: &[String], format: Format) -> Circuit {
    let mut circuit = circuit();
    for (at, sql) in sql.iter().enumerate() {
        circuit.register(ViewId(at as u64), sql, &[], format).expect("a view");
    }
    for part in [&history[..cut], &history[cut..]] {
        let mut whole = IngestBatch::new();
        part.iter().for_each(|batch| whole.append(batch));
        circuit.step(&whole).expect("a step");
    }
    circuit
}

#[test]
fn a_step_tells_the_difference_of_two_snapshots() {
    let rounds = number("VIEW_LAW_ROUNDS").unwrap_or(400);
    let seed = number("VIEW_LAW_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("law: seed {seed}, {rounds} rounds");
    let mut rng = Rng::with_seed(seed);
    let (mut changes, mut rows) = (0, 0);
    for round in 0..rounds {
        let queries: Vec<View> = (0..3).map(|_| views::view(&mut rng)).collect();
        let sql: Vec<String> = queries.iter().map(View::sql).collect();
        let when = format!("seed {seed}, round {round}");
        let mut data = Data::default();
        let mut split = circuit();
        // Threads change nothing.
        split.parallel_from(if rng.bool() { 0 } else { usize::MAX });
        let loaded = rng.usize(..10);
        let mut batch = IngestBatch::new();
        (0..loaded).for_each(|_| operation(&mut rng, &mut data, &mut batch));
        split.step(&batch).expect("rows");
        let mut history = vec![batch];
        let mut before: Vec<Result> = Vec::new();
        for (at, query) in queries.iter().enumerate() {
            let id = ViewId(at as u64);
            let first = split.register(id, &sql[at], &[], Format::Flat);
            let first = first.unwrap_or_else(|error| panic!("{when}: {error}: {}", sql[at]));
            let result = query.evaluate(&data);
            let expected = difference(&Result::new(), &result);
            assert_eq!(told(Some(&first)), expected, "{when}, at first: {}", sql[at]);
            before.push(result);
        }
        for step in 0..12 {
            let mut batch = IngestBatch::new();
            (0..rng.usize(1..6)).for_each(|_| operation(&mut rng, &mut data, &mut batch));
            let updates = split.step(&batch).expect("a step");
            history.push(batch);
            for (at, query) in queries.iter().enumerate() {
                let update = updates.iter().find(|update| update.view.0 == at as u64);
                let after = query.evaluate(&data);
                let expected = difference(&before[at], &after);
                assert_eq!(told(update), expected, "{when}, step {step}: {}", sql[at]);
                changes += expected.len();
                rows += after.len();
                let kept = split.rows(ViewId(at as u64)).expect("a view");
                let kept: Result = kept.map(|(id, row)| (key(id), values(row))).collect();
                assert_eq!(kept, after, "{when}, step {step}: {}", sql[at]);
                before[at] = after;
            }
        }
        // The same history, split elsewhere: all batches of operations run together.
        let joined = in_two_steps(&history, rng.usize(..history.len()), &sql, Format::Flat);
        for (at, sql) in sql.iter().enumerate() {
            let id = ViewId(at as u64);
            assert_eq!(joined.hash(id), split.hash(id), "{when}, split: {sql}");
            split.unregister(id).expect("a view");
        }
        assert_eq!(split.stats().nodes, 0, "{when}: what no view needs is freed");
    }
    println!("law: {changes} changes, {rows} rows");
    assert!(changes as u64 > rounds && rows as u64 > rounds, "nothing happened");
}
