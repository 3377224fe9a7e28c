//! What batches do to tables and views, and what becomes of malformed ones.

mod common;

use common::{Shown, circuit, flat, ints, shown};
use view_circuit::{Cell, Error, Format, IngestBatch, ViewId};

fn cells(values: &[i64]) -> Vec<Cell> {
    ints(values)
}

#[test]
fn two_updates_that_swap_in_one_batch() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 10, 0])).create("a", cells(&[2, 20, 0]));
    circuit.step(&batch).expect("rows");
    let view = flat(&mut circuit, "SELECT id, x FROM a WHERE x > 15");
    assert_eq!(shown(&circuit, view), [["2", "20"]]);
    let mut batch = IngestBatch::new();
    batch.update("a", cells(&[1]), cells(&[1, 20, 0])).update("a", cells(&[2]), cells(&[2, 10, 0]));
    let updates = circuit.step(&batch).expect("a swap");
    assert_eq!(updates[0].created().count(), 1);
    assert_eq!(updates[0].deleted().count(), 1);
    assert_eq!(shown(&circuit, view), [["1", "20"]]);
}

#[test]
fn keys_that_swap_in_one_batch() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 10, 0])).create("a", cells(&[2, 20, 0]));
    circuit.step(&batch).expect("rows");
    let view = flat(&mut circuit, "SELECT id, x FROM a");
    let mut batch = IngestBatch::new();
    batch.update("a", cells(&[1]), cells(&[3, 10, 0]));
    batch.update("a", cells(&[2]), cells(&[1, 20, 0]));
    batch.update("a", cells(&[3]), cells(&[2, 10, 0]));
    let updates = circuit.step(&batch).expect("a swap of keys");
    assert_eq!(updates[0].updated().count(), 2);
    assert_eq!(shown(&circuit, view), [["1", "20"], ["2", "10"]]);
}

#[test]
fn an_update_that_leaves_a_filtered_view_deletes_the_row_from_it() {
    let mut circuit = circuit();
    let sql = "SELECT id FROM a WHERE x = 1";
    circuit.register(ViewId(1), sql, &[], Format::Streaming).expect("a view");
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 1, 0]));
    assert_eq!(circuit.step(&batch).expect("a row")[0].created().count(), 1);
    let mut batch = IngestBatch::new();
    batch.update("a", cells(&[1]), cells(&[1, 2, 0]));
    let updates = circuit.step(&batch).expect("an update");
    let change = updates[0].deleted().next().expect("a deletion");
    assert_eq!(change.id().values()[0], 1.into());
    assert_eq!((updates[0].changes.len(), change.after()), (1, None));
}

#[test]
fn a_deletion_from_a_filtered_view() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT id FROM a WHERE x = 1");
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 1, 0])).create("a", cells(&[2, 2, 0]));
    circuit.step(&batch).expect("rows");
    let mut batch = IngestBatch::new();
    batch.delete("a", cells(&[2]));
    assert!(circuit.step(&batch).expect("a row that is not shown").is_empty());
    let mut batch = IngestBatch::new();
    batch.delete("a", cells(&[1]));
    assert_eq!(circuit.step(&batch).expect("a row that is shown")[0].deleted().count(), 1);
    assert_eq!(shown(&circuit, view), Shown::new());
}

#[test]
fn mixed_operations_on_one_table() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT id, x FROM a");
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 1, 0])).create("a", cells(&[2, 2, 0]));
    batch.create("a", cells(&[3, 3, 0]));
    circuit.step(&batch).expect("rows");
    let mut batch = IngestBatch::new();
    batch.delete("a", cells(&[1])).create("a", cells(&[4, 4, 0]));
    batch.update("a", cells(&[2]), cells(&[2, 5, 0]));
    // It was never there.
    batch.create("a", cells(&[9, 9, 0])).delete("a", cells(&[9]));
    // It ends as it was.
    batch.update("a", cells(&[3]), cells(&[3, 8, 0])).update("a", cells(&[3]), cells(&[3, 3, 0]));
    // It is deleted and comes back as another.
    batch.create("a", cells(&[1, 7, 0]));
    let updates = circuit.step(&batch).expect("a mix");
    assert_eq!(updates[0].created().count(), 1);
    assert_eq!(updates[0].updated().count(), 2);
    assert_eq!(updates[0].deleted().count(), 0);
    assert_eq!(shown(&circuit, view), [["1", "7"], ["2", "5"], ["3", "3"], ["4", "4"]]);
}

#[test]
fn mixed_operations_on_several_tables() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT a.id, b.id, b.y FROM a JOIN b ON b.a_id = a.id");
    let mut batch = IngestBatch::new();
    batch.create("b", cells(&[1, 1, 10])).create("a", cells(&[1, 0, 0]));
    batch.create("b", cells(&[2, 1, 20])).create("a", cells(&[2, 0, 0]));
    circuit.step(&batch).expect("rows");
    assert_eq!(shown(&circuit, view), [["1", "1", "10"], ["1", "2", "20"]]);
    let mut batch = IngestBatch::new();
    batch.update("b", cells(&[2]), cells(&[2, 2, 21])).delete("a", cells(&[1]));
    batch.create("b", cells(&[3, 2, 30])).delete("b", cells(&[1]));
    let updates = circuit.step(&batch).expect("a mix");
    assert_eq!(updates[0].created().count(), 2);
    assert_eq!(updates[0].deleted().count(), 2);
    assert_eq!(shown(&circuit, view), [["2", "2", "21"], ["2", "3", "30"]]);
}

#[test]
fn integers_keep_64_bits() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT id FROM a WHERE x > 9007199254740992");
    let mut batch = IngestBatch::new();
    let big = 9_007_199_254_740_993;
    batch.create("a", cells(&[i64::MAX, big, 0])).create("a", cells(&[i64::MAX - 1, big - 1, 0]));
    batch.create("a", cells(&[i64::MIN, i64::MAX, 0]));
    circuit.step(&batch).expect("rows");
    assert_eq!(shown(&circuit, view), [[i64::MIN.to_string()], [i64::MAX.to_string()]]);
}

#[test]
fn a_key_that_changes_is_a_deletion_and_a_creation() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT x FROM a");
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 10, 0]));
    circuit.step(&batch).expect("a row");
    let mut batch = IngestBatch::new();
    batch.update("a", cells(&[1]), cells(&[5, 10, 0]));
    let updates = circuit.step(&batch).expect("another key");
    assert_eq!((updates[0].created().count(), updates[0].deleted().count()), (1, 1));
    assert_eq!(circuit.row("a", &cells(&[1])).expect("a table"), None);
    assert!(circuit.row("a", &cells(&[5])).expect("a table").is_some());
    assert_eq!(shown(&circuit, view), [["10"]]);
}

#[test]
fn equal_ids_in_two_tables_are_two_rows() {
    let mut circuit = circuit();
    let first = flat(&mut circuit, "SELECT id FROM a");
    let second = flat(&mut circuit, "SELECT id FROM b");
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[7, 0, 0])).create("b", cells(&[7, 0, 0]));
    circuit.step(&batch).expect("rows");
    let mut batch = IngestBatch::new();
    batch.delete("a", cells(&[7]));
    let updates = circuit.step(&batch).expect("a deletion");
    assert_eq!(updates.len(), 1);
    assert_eq!(shown(&circuit, first), Shown::new());
    assert_eq!(shown(&circuit, second), [["7"]]);
}

#[test]
fn an_absent_value_leaves_the_column_as_it_is() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT x, n FROM a");
    let mut batch = IngestBatch::new();
    batch.create("a", vec![Cell::from(1), Cell::from(10), Cell::Null]);
    circuit.step(&batch).expect("a row");
    let mut batch = IngestBatch::new();
    batch.update("a", cells(&[1]), vec![Cell::Absent, Cell::Absent, Cell::from(3)]);
    circuit.step(&batch).expect("an update");
    assert_eq!(shown(&circuit, view), [["10", "3"]]);
}

#[test]
fn versions_rise_in_optimistic_batches_and_are_kept_in_others() {
    let mut circuit = circuit();
    let version = |circuit: &view_circuit::Circuit| {
        circuit.row("a", &cells(&[1])).expect("a table").expect("a row").1
    };
    let mut batch = IngestBatch::new();
    batch.create("a", view_circuit::Record::from(cells(&[1, 1, 0])).version(7));
    circuit.step(&batch).expect("a row");
    assert_eq!(version(&circuit), 7);
    let mut batch = IngestBatch::new().optimistic(true);
    batch.update("a", cells(&[1]), cells(&[1, 2, 0])).update("a", cells(&[1]), cells(&[1, 3, 0]));
    circuit.step(&batch).expect("updates");
    assert_eq!(version(&circuit), 9);
    let mut batch = IngestBatch::new();
    batch.update("a", cells(&[1]), cells(&[1, 4, 0]));
    circuit.step(&batch).expect("an update");
    assert_eq!(version(&circuit), 9);
    batch = IngestBatch::new();
    batch.update("a", cells(&[1]), view_circuit::Record::from(cells(&[1, 5, 0])).version(12));
    circuit.step(&batch).expect("an update");
    assert_eq!(version(&circuit), 12);
}

#[test]
fn malformed_batches_change_nothing() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT id, x, 100 / n FROM a");
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 10, 1]));
    circuit.step(&batch).expect("a row");
    let before = (shown(&circuit, view), circuit.hash(view), circuit.stats());
    type Spoil = fn(&mut IngestBatch);
    let cases: [(&str, Spoil); 10] = [
        ("unknown_table", |b| {
            b.create("nowhere", ints(&[1]));
        }),
        ("missing_row", |b| {
            b.update("a", ints(&[5]), ints(&[5, 0, 1]));
        }),
        ("missing_row", |b| {
            b.delete("a", ints(&[5]));
        }),
        ("duplicate_row", |b| {
            b.create("a", ints(&[2, 0, 1]));
        }),
        ("duplicate_row", |b| {
            b.update("a", ints(&[2]), ints(&[1, 0, 1]));
        }),
        ("type_mismatch", |b| {
            b.create("a", vec!["x".into(), 1.into(), 1.into()]);
        }),
        ("wrong_length", |b| {
            b.create("a", ints(&[3]));
        }),
        ("missing_value", |b| {
            b.create("a", vec![3.into(), Cell::Absent, 1.into()]);
        }),
        ("null_key", |b| {
            b.create("a", vec![Cell::Null, 1.into(), 1.into()]);
        }),
        // Its view divides by it.
        ("raised", |b| {
            b.create("a", ints(&[3, 0, 0]));
        }),
    ];
    for (code, spoil) in cases {
        let mut batch = IngestBatch::new();
        batch.create("a", cells(&[2, 20, 1])).update("a", cells(&[1]), cells(&[1, 11, 1]));
        spoil(&mut batch);
        let error = circuit.step(&batch).expect_err(code);
        assert_eq!(error.code(), code, "{error}");
        assert_eq!((shown(&circuit, view), circuit.hash(view), circuit.stats()), before, "{code}");
        assert_eq!(circuit.row("a", &cells(&[2])), Ok(None), "{code}");
    }
}

#[test]
fn errors_name_what_and_where() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    batch.create("a", cells(&[1, 0, 0]));
    batch.create("a", vec![Cell::from(2), Cell::from("12x"), Cell::Null]);
    let error = circuit.step(&batch).expect_err("no integer");
    let Error::TypeMismatch { operation: 1, ref table, ref column, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!((table.as_str(), column.as_str()), ("a", "x"));
    let mut batch = IngestBatch::new();
    batch.delete("a", cells(&[41]));
    let error = circuit.step(&batch).expect_err("no row").to_string();
    assert_eq!(error, "operation 0: table a has no row (41)");
}
