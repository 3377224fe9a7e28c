//! Views that compare one column of a loaded table: the second one is found by the column's values, and
//! shows what a look at every row would.

mod common;

use common::{circuit, flat, ints, shown};
use view_circuit::{Circuit, Format, IngestBatch, ViewId};

/// `a` with these many rows, each tenth x the same.
fn loaded(rows: i64) -> Circuit {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    for id in 0..rows {
        batch.create("a", ints(&[id, id % 10, id]));
    }
    circuit.step(&batch).expect("rows");
    circuit
}

/// The same by a condition that has to be asked of every row.
fn looked_through(circuit: &mut Circuit, value: i64) -> Vec<Vec<String>> {
    let view = flat(circuit, &format!("SELECT id, n FROM a WHERE x + 0 = {value}"));
    let rows = shown(circuit, view);
    circuit.unregister(view).expect("a view");
    rows
}

fn check(circuit: &mut Circuit, value: i64) {
    let expected = looked_through(circuit, value);
    let view = flat(circuit, &format!("SELECT id, n FROM a WHERE x = {value}"));
    assert_eq!(shown(circuit, view), expected, "x = {value}");
    circuit.unregister(view).expect("a view");
    let view = flat(circuit, &format!("SELECT id, n FROM a WHERE n >= 0 AND x IN ({value}, -1)"));
    assert_eq!(shown(circuit, view), expected, "x IN ({value}, -1)");
    circuit.unregister(view).expect("a view");
}

#[test]
fn rows_that_come_go_move_and_come_back_are_found_as_they_are() {
    let mut circuit = loaded(3_000);
    for value in 0..12 {
        check(&mut circuit, value);
    }
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..30 {
        let mut batch = IngestBatch::new();
        for id in 0..100 {
            let (from, to) = (rng.i64(0..3_000), 3_000 + id);
            let here = circuit.row("a", &ints(&[from])).expect("a key").is_some();
            let there = circuit.row("a", &ints(&[to])).expect("a key").is_some();
            match (here, there) {
                (true, false) => batch.update("a", ints(&[from]), ints(&[to, rng.i64(0..12), 1])),
                (true, true) => batch.delete("a", ints(&[to])),
                (false, _) => batch.create("a", ints(&[from, rng.i64(0..12), 2])),
            };
            let updates = circuit.step(&batch);
            assert!(updates.expect("a step").is_empty());
            batch = IngestBatch::new();
        }
        check(&mut circuit, rng.i64(0..13));
    }
}

#[test]
fn a_condition_that_raises_is_asked_of_rows_of_other_values_too() {
    let mut circuit = loaded(3_000);
    for value in 0..3 {
        check(&mut circuit, value);
    }
    // The row of n = 0 has x = 0.
    let sql = "SELECT id FROM a WHERE 1 / n > 0 AND x = 1";
    circuit.register(ViewId(9), sql, &[], Format::Flat).expect_err("a division by zero");
    let sql = "SELECT id FROM a WHERE x = 1 AND 1 / n > 0";
    circuit.register(ViewId(9), sql, &[], Format::Flat).expect("rows of x = 1 only");
}
