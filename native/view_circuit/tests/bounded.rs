//! Steps that give up when they would take too long, with the circuit as it was.

mod common;

use common::{circuit, flat, ints, shown};
use view_circuit::{Circuit, IngestBatch, ViewId};

/// About half a millisecond.
const SLICE: u64 = 50_000;

/// 5,000 rows of `a` whose x is 7, and one row of `b` with y = 8.
fn loaded() -> Circuit {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    for id in 0..5_000 {
        batch.create("a", ints(&[id, 7, id]));
    }
    batch.create("b", ints(&[1, 1, 8]));
    circuit.step(&batch).expect("rows");
    circuit
}

fn refused_then_done(circuit: &mut Circuit, batch: &IngestBatch, view: ViewId, changes: usize) {
    let (rows, hash) = (shown(circuit, view), circuit.hash(view));
    assert_eq!(circuit.step_within(batch, SLICE, |_, _| 0), Ok(None));
    assert_eq!((shown(circuit, view), circuit.hash(view)), (rows, hash));
    let updates = circuit.step(batch).expect("a step");
    assert_eq!(updates[0].changes.len(), changes);
}

#[test]
fn one_row_is_little_work() {
    let mut circuit = loaded();
    flat(&mut circuit, "SELECT a.id, b.id FROM a JOIN b ON a.x = b.y WHERE a.n > 3");
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[5]), ints(&[5, 8, 5]));
    let updates =
        circuit.step_within(&batch, SLICE, |_, _| 0).expect("a step").expect("little work");
    assert_eq!(updates[0].changes.len(), 1);
}

#[test]
fn a_row_that_joins_thousands() {
    let mut circuit = loaded();
    let view = flat(&mut circuit, "SELECT a.id, b.id FROM a JOIN b ON a.x = b.y");
    let mut batch = IngestBatch::new();
    batch.update("b", ints(&[1]), ints(&[1, 1, 7]));
    refused_then_done(&mut circuit, &batch, view, 5_000);
}

#[test]
fn a_value_that_thousands_ask_for() {
    let mut circuit = loaded();
    let view = flat(&mut circuit, "SELECT id FROM a WHERE x IN (SELECT y FROM b)");
    let mut batch = IngestBatch::new();
    batch.create("b", ints(&[2, 2, 7]));
    refused_then_done(&mut circuit, &batch, view, 5_000);
    // Rows that come to a value that is there already concern nobody.
    let mut batch = IngestBatch::new();
    batch.create("b", ints(&[3, 3, 7]));
    assert_eq!(circuit.step_within(&batch, SLICE, |_, _| 0), Ok(Some(Vec::new())));
}

#[test]
fn the_first_null_of_not_in() {
    let mut circuit = loaded();
    let view = flat(&mut circuit, "SELECT id FROM a WHERE n NOT IN (SELECT a_id FROM b)");
    let mut batch = IngestBatch::new();
    batch.create("b", [ints(&[2]), vec![view_circuit::Cell::Null], ints(&[7])].concat());
    refused_then_done(&mut circuit, &batch, view, 4_999);
}

#[test]
fn an_expression_that_runs_long() {
    let mut circuit = loaded();
    let view = flat(&mut circuit, "SELECT id FROM a WHERE length(repeat('x', n::int4)) > 200000");
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[5]), ints(&[5, 7, 50_000_000]));
    refused_then_done(&mut circuit, &batch, view, 1);
}

#[test]
fn many_views_of_one_row() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[5, 7, 5]));
    circuit.step(&batch).expect("a row");
    for n in 1..=2_000 {
        let sql = format!("SELECT id, n FROM a WHERE n < {}", 1_000_000 + n);
        circuit.register(ViewId(n), &sql, &[], view_circuit::Format::Streaming).expect("a view");
    }
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[5]), ints(&[5, 7, 6]));
    assert_eq!(circuit.step_within(&batch, SLICE, |_, _| 0), Ok(None));
    assert_eq!(circuit.step(&batch).expect("a step").len(), 2_000);
}

#[test]
fn what_raises_still_raises() {
    let mut circuit = loaded();
    flat(&mut circuit, "SELECT id FROM a WHERE 10 / x > 0");
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[5]), ints(&[5, 0, 5]));
    let error = circuit.step_within(&batch, SLICE, |_, _| 0).expect_err("division by zero");
    assert_eq!((error.code(), error.sqlstate()), ("raised", Some("22012")));
}

#[test]
fn what_goes_one_by_one_under_a_common_value_is_little_work() {
    let mut circuit = loaded();
    let view = flat(&mut circuit, "SELECT id FROM b WHERE y IN (SELECT x FROM a)");
    let mut batch = IngestBatch::new();
    batch.update("b", ints(&[1]), ints(&[1, 1, 7]));
    circuit.step(&batch).expect("a step");
    for id in 0..4_999 {
        let mut batch = IngestBatch::new();
        batch.delete("a", ints(&[id]));
        assert_eq!(circuit.step_within(&batch, 300, |_, _| 0), Ok(Some(Vec::new())), "{id}");
    }
    let mut batch = IngestBatch::new();
    batch.delete("a", ints(&[4_999]));
    assert_eq!(circuit.step(&batch).expect("a step").len(), 1);
    assert!(shown(&circuit, view).is_empty());
}
