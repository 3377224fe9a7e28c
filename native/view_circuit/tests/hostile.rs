//! Queries and batches that are large, deep or odd.

mod common;

use common::{circuit, flat, ints, shown};
use view_circuit::{Format, IngestBatch, ViewId};

/// As small as the stack of an Erlang scheduler may be.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run);
    thread.expect("a thread").join().expect("it neither panics nor runs out of stack");
}

#[test]
fn a_where_of_thousands_of_conditions() {
    on_small_stack(|| {
        let mut circuit = circuit();
        let mut batch = IngestBatch::new();
        batch.create("a", ints(&[1, 4, 0])).create("a", ints(&[2, 7, 0]));
        circuit.step(&batch).expect("rows");
        let conditions: Vec<String> = (0..4000).map(|n| format!("x<>{}", n + 7)).collect();
        let sql = format!("SELECT x FROM a WHERE {}", conditions.join(" AND "));
        let view = flat(&mut circuit, &sql);
        let mut batch = IngestBatch::new();
        batch.create("a", ints(&[3, 4006, 0])).create("a", ints(&[4, 4007, 0]));
        circuit.step(&batch).expect("rows");
        assert_eq!(shown(&circuit, view), [["4"], ["4007"]]);
        circuit.unregister(view).expect("a view");
        assert_eq!(circuit.stats().nodes, 0);
    });
}

#[test]
fn subqueries_within_subqueries() {
    on_small_stack(|| {
        let mut circuit = circuit();
        let mut sql = "SELECT id FROM a".to_owned();
        for _ in 0..100 {
            sql = format!("SELECT id FROM a WHERE id IN ({sql})");
        }
        let view = flat(&mut circuit, &sql);
        let mut batch = IngestBatch::new();
        batch.create("a", ints(&[1, 0, 0]));
        assert_eq!(circuit.step(&batch).expect("a row").len(), 1);
        assert_eq!(shown(&circuit, view), [["1"]]);
        for _ in 0..1000 {
            sql = format!("SELECT id FROM a WHERE id IN ({sql})");
        }
        let error = circuit.register(ViewId(2), &sql, &[], Format::Flat).expect_err("too deep");
        assert_eq!(error.code(), "too_deep");
    });
}

#[test]
fn more_tables_than_a_query_may_have() {
    let mut circuit = circuit();
    let tables: Vec<String> = (0..65).map(|n| format!("a t{n}")).collect();
    let sql = format!("SELECT t0.id FROM {}", tables.join(", "));
    let error = circuit.register(ViewId(1), &sql, &[], Format::Flat).expect_err("too many");
    assert_eq!(error.code(), "not_supported");
    let conditions: Vec<String> = (1..64).map(|n| format!("t{n}.id = t0.x")).collect();
    let sql =
        format!("SELECT t0.id FROM {} WHERE {}", tables[..64].join(", "), conditions.join(" AND "));
    let view = flat(&mut circuit, &sql);
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[1, 1, 0])).create("a", ints(&[2, 1, 0]));
    circuit.step(&batch).expect("rows");
    assert_eq!(shown(&circuit, view), [["1"], ["2"]]);
}

#[test]
fn a_hundred_thousand_updates_of_one_row_are_one_change() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT x FROM a WHERE x <> 5");
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[1, 0, 0]));
    for n in 1..=100_000 {
        batch.update("a", ints(&[1]), ints(&[1, n, 0]));
    }
    let updates = circuit.step(&batch).expect("a step");
    assert_eq!(updates[0].changes.len(), 1);
    assert_eq!(shown(&circuit, view), [["100000"]]);
}

#[test]
fn keys_that_move_round_and_come_home_change_nothing() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    for id in 0..1000 {
        batch.create("a", ints(&[id, id, 0]));
    }
    circuit.step(&batch).expect("rows");
    let view = flat(&mut circuit, "SELECT id FROM a");
    let before = circuit.hash(view);
    let mut batch = IngestBatch::new();
    // 0 steps aside, all others move up by one, and then all go back.
    batch.update("a", ints(&[0]), ints(&[1000, 0, 0]));
    (1..1000).for_each(|id| {
        batch.update("a", ints(&[id]), ints(&[id - 1, id, 0]));
    });
    (1..1000).rev().for_each(|id| {
        batch.update("a", ints(&[id - 1]), ints(&[id, id, 0]));
    });
    batch.update("a", ints(&[1000]), ints(&[0, 0, 0]));
    assert_eq!(circuit.step(&batch), Ok(Vec::new()));
    assert_eq!(circuit.hash(view), before);
}
