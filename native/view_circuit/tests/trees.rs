//! Trees: what a change of a row below, above or between tells.

mod common;

use common::{circuit, ints};
use shape_expr::{Owned, Value};
use view_circuit::{Change, Circuit, Format, IngestBatch, Stats, TreeRow, ViewId, ViewUpdate};

const VIEW: ViewId = ViewId(1);
const SQL: &str =
    "SELECT id, ARRAY(SELECT id, y FROM b WHERE b.a_id = a.x ORDER BY y DESC) AS bs FROM a";

fn int(value: &Owned) -> String {
    match value.value() {
        Value::Int(i) => i.to_string(),
        _ => "-".to_owned(),
    }
}

fn row(values: &[Owned]) -> String {
    values.iter().map(int).collect::<Vec<_>>().join(",")
}

/// `+1[+5,7]`: a row that came with what hangs on it; `-` one that went, `=` one that only changed below.
fn told(changes: &[Change]) -> String {
    let one = |change: &Change| {
        let below: Vec<String> = change.children().iter().map(|rows| told(rows)).collect();
        let below = format!("[{}]", below.join("|")).replace("[]", "");
        match (change.before(), change.after()) {
            (None, Some(new)) => format!("+{}{below}", row(new)),
            (Some(old), None) => format!("-{}{below}", row(old)),
            (Some(old), Some(new)) if old == new => format!("={}{below}", row(new)),
            (_, new) => format!("~{}{below}", row(new.expect("a row"))),
        }
    };
    changes.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn tree(circuit: &Circuit) -> String {
    fn one(tree: &TreeRow) -> String {
        let below =
            tree.children.iter().map(|rows| rows.iter().map(one).collect::<Vec<_>>().join(" "));
        format!("{}[{}]", row(&tree.values), below.collect::<Vec<_>>().join("|")).replace("[]", "")
    }
    circuit.tree(VIEW).expect("a view").map(|row| one(&row)).collect::<Vec<_>>().join(" ")
}

fn step(circuit: &mut Circuit, build: impl FnOnce(&mut IngestBatch)) -> String {
    let mut batch = IngestBatch::new();
    build(&mut batch);
    let updates: Vec<ViewUpdate> = circuit.step(&batch).expect("a step");
    updates.iter().map(|update| told(&update.changes)).collect()
}

fn loaded(sql: &str) -> Circuit {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[1, 10, 0])).create("a", ints(&[2, 20, 0]));
    batch.create("b", ints(&[5, 10, 7])).create("b", ints(&[6, 10, 8]));
    batch.create("b", ints(&[7, 30, 9]));
    circuit.step(&batch).expect("rows");
    circuit.register(VIEW, sql, &[], Format::Tree).expect("a view");
    circuit
}

#[test]
fn a_row_below_is_told_under_the_row_it_hangs_on() {
    let mut circuit = loaded(SQL);
    assert_eq!(tree(&circuit), "1[6,8 5,7] 2");
    let told = step(&mut circuit, |batch| {
        batch.update("b", ints(&[5]), ints(&[5, 10, 9]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[~5,9]", "1[5,9 6,8] 2"));
    // From one row to another.
    let told = step(&mut circuit, |batch| {
        batch.update("b", ints(&[5]), ints(&[5, 20, 9]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[-5,9] =2[+5,9]", "1[6,8] 2[5,9]"));
    // What hangs on no row is nobody's business, until there is one.
    let told = step(&mut circuit, |batch| {
        batch.update("b", ints(&[7]), ints(&[7, 30, 1]));
    });
    assert_eq!(told, "");
    let told = step(&mut circuit, |batch| {
        batch.create("a", ints(&[3, 30, 0]));
    });
    assert_eq!(told, "+3[+7,1]");
}

#[test]
fn a_row_above_takes_what_hangs_on_it_with_it() {
    let mut circuit = loaded(SQL);
    let before = circuit.hash(VIEW);
    let told = step(&mut circuit, |batch| {
        batch.delete("a", ints(&[1]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("-1", "2"));
    let told = step(&mut circuit, |batch| {
        batch.create("a", ints(&[1, 10, 0]));
    });
    assert_eq!(told, "+1[+5,7 +6,8]");
    assert_eq!(circuit.hash(VIEW), before, "the same content has the same hash");
    // It hangs other rows on itself.
    let told = step(&mut circuit, |batch| {
        batch.update("a", ints(&[1]), ints(&[1, 30, 0]));
    });
    assert_eq!(told, "=1[-5,7 -6,8 +7,9]");
    let told = step(&mut circuit, |batch| {
        batch.update("a", ints(&[1]), ints(&[1, 40, 0]));
    });
    assert_eq!(told, "=1[-7,9]");
    // Only what links it changes, and nothing hangs there: nothing to be seen, but not forgotten.
    let told = step(&mut circuit, |batch| {
        batch.update("a", ints(&[1]), ints(&[1, 50, 0]));
    });
    assert_eq!(told, "");
    let told = step(&mut circuit, |batch| {
        batch.create("b", ints(&[8, 50, 4]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[+8,4]", "1[8,4] 2"));
}

#[test]
fn all_at_once() {
    let mut circuit = loaded(SQL);
    // A key that changes above and below.
    let told = step(&mut circuit, |batch| {
        batch.update("a", ints(&[1]), ints(&[1, 11, 0]));
        batch.update("b", ints(&[5]), ints(&[5, 11, 7]));
        batch.update("b", ints(&[6]), ints(&[6, 11, 1]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[~6,1]", "1[5,7 6,1] 2"));
    // Two rows above that share what is below.
    let told = step(&mut circuit, |batch| {
        batch.update("a", ints(&[2]), ints(&[2, 11, 0]));
        batch.delete("b", ints(&[5]));
    });
    assert_eq!(told, "=1[-5,7] =2[+6,1]");
    let told = step(&mut circuit, |batch| {
        batch.update("b", ints(&[6]), ints(&[6, 11, 2]));
    });
    assert_eq!(told, "=1[~6,2] =2[~6,2]");
}

#[test]
fn a_change_deep_below_is_told_along_its_path() {
    let sql = "SELECT id, ARRAY(SELECT id, ARRAY(SELECT c.id FROM a c WHERE c.n = b.y) FROM b \
               WHERE a_id = a.x) FROM a WHERE n = 0";
    let mut circuit = loaded(sql);
    assert_eq!(tree(&circuit), "1[5 6] 2");
    let told = step(&mut circuit, |batch| {
        batch.create("a", ints(&[9, 0, 8]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[=6[+9]]", "1[5 6[9]] 2"));
    let told = step(&mut circuit, |batch| {
        batch.update("b", ints(&[5]), ints(&[5, 10, 8]));
        batch.delete("b", ints(&[6]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[=5[+9] -6]", "1[5[9]] 2"));
}

#[test]
fn each_row_above_has_a_window_of_its_own() {
    let sql = "SELECT id, ARRAY(SELECT id FROM b WHERE a_id = a.x ORDER BY y LIMIT 1) FROM a";
    let mut circuit = loaded(sql);
    assert_eq!(tree(&circuit), "1[5] 2");
    let told = step(&mut circuit, |batch| {
        batch.delete("b", ints(&[5])).create("b", ints(&[8, 20, 3])).create("b", ints(&[9, 20, 4]));
    });
    assert_eq!((told.as_str(), tree(&circuit).as_str()), ("=1[-5 +6] =2[+8]", "1[6] 2[8]"));
}

#[test]
fn a_change_below_one_of_many_rows_is_little_work_and_is_undone_by_none() {
    let mut circuit = circuit();
    circuit.register(VIEW, SQL, &[], Format::Tree).expect("a view");
    let mut batch = IngestBatch::new();
    for id in 0..5_000 {
        batch.create("a", ints(&[id, id, 0]));
        batch.create("b", ints(&[2 * id, id, 0])).create("b", ints(&[2 * id + 1, id, 1]));
    }
    circuit.step(&batch).expect("rows");
    let mut batch = IngestBatch::new();
    batch.update("b", ints(&[77]), ints(&[77, 38, 9]));
    let updates =
        circuit.step_within(&batch, 2_000, |_, _| 0).expect("a step").expect("little work");
    assert_eq!(told(&updates[0].changes), "=38[~77,9]");
    // A batch that takes too long changes nothing.
    let (hash, before) = (circuit.hash(VIEW), tree(&circuit));
    let mut batch = IngestBatch::new();
    (0..5_000).for_each(|id| {
        batch.update("b", ints(&[2 * id]), ints(&[2 * id, id, 5]));
    });
    assert_eq!(circuit.step_within(&batch, 20_000, |_, _| 0), Ok(None));
    assert_eq!((circuit.hash(VIEW), tree(&circuit)), (hash, before));
    circuit.unregister(VIEW).expect("a view");
    let table_rows = circuit.stats().table_rows;
    assert_eq!(circuit.stats(), Stats { table_rows, ..Stats::default() });
}

#[test]
fn what_no_tree_can_be_is_refused_where_it_stands() {
    let check = |format: Format, sql: &str, from: &str| {
        let mut circuit = circuit();
        let error = circuit.register(VIEW, sql, &[], format).expect_err(sql);
        assert_eq!(error.code(), "not_supported", "{sql}: {error}");
        let at = error.position().expect(sql);
        assert!(sql[at..].starts_with(from), "{sql}: points at {:?}", &sql[at..]);
        assert_eq!(circuit.stats().nodes, 0, "{sql}: nothing is left of it");
    };
    check(Format::Flat, SQL, "ARRAY");
    check(Format::Tree, "SELECT DISTINCT ARRAY(SELECT id FROM b) FROM a", "SELECT DISTINCT");
    let sql = "SELECT id, ARRAY(SELECT count(*) FROM b WHERE a_id = a.x) FROM a";
    check(Format::Tree, sql, "SELECT count");
    let sql = "SELECT id, ARRAY(SELECT id FROM b WHERE a_id > a.x) FROM a";
    check(Format::Tree, sql, "> a.x");
    let sql = "SELECT id, ARRAY(SELECT a.id FROM b WHERE a_id = a.x) FROM a";
    check(Format::Tree, sql, "a.id FROM b");
    let sql = "SELECT id, ARRAY(SELECT id FROM b UNION SELECT id FROM a) FROM a";
    check(Format::Tree, sql, "SELECT id FROM b UNION");
}
