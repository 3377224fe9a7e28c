//! Groups and windows where they are odd: empty, full of NULLs, refilled, beyond their range.

mod common;

use common::{circuit, flat, ints, shown, table};
use shape_expr::Options;
use view_circuit::{Cell, Circuit, Format, IngestBatch, Stats, ViewId};

/// m(id, g, n numeric, f double precision, t time).
fn measures() -> Circuit {
    let columns = [("id", "int8"), ("g", "int8"), ("n", "numeric"), ("f", "float8")];
    let table = table("m", &columns, &["id"]);
    Circuit::new(vec![table], Options::default()).expect("a table")
}

fn measure(id: i64, g: i64, n: &str, f: &str) -> Vec<Cell> {
    vec![id.into(), g.into(), n.into(), f.into()]
}

fn step(circuit: &mut Circuit, build: impl FnOnce(&mut IngestBatch)) -> usize {
    let mut batch = IngestBatch::new();
    build(&mut batch);
    circuit.step(&batch).expect("a step").iter().map(|update| update.changes.len()).sum()
}

#[test]
fn aggregates_over_nothing_are_one_row_and_groups_over_nothing_are_none() {
    let mut circuit = circuit();
    let all = flat(&mut circuit, "SELECT count(*), count(x), sum(x), min(x), avg(x) FROM a");
    let groups = flat(&mut circuit, "SELECT n, count(*) FROM a GROUP BY n");
    let none = flat(&mut circuit, "SELECT count(*) FROM a HAVING count(*) > 0");
    assert_eq!(shown(&circuit, all), [["0", "0", "-", "-", "-"]]);
    assert!(shown(&circuit, groups).is_empty() && shown(&circuit, none).is_empty());
    step(&mut circuit, |batch| {
        batch.create("a", vec![1.into(), Cell::Null, Cell::Null]);
    });
    assert_eq!(shown(&circuit, all), [["1", "0", "-", "-", "-"]]);
    assert_eq!(shown(&circuit, groups), [["-", "1"]]);
    assert_eq!(shown(&circuit, none), [["1"]]);
    step(&mut circuit, |batch| {
        batch.delete("a", ints(&[1]));
    });
    assert_eq!(shown(&circuit, all), [["0", "0", "-", "-", "-"]]);
    assert!(shown(&circuit, groups).is_empty() && shown(&circuit, none).is_empty());
}

#[test]
fn a_group_that_empties_and_fills_again_in_one_batch_does_not_change() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT x, count(*), max(n) FROM a GROUP BY x");
    step(&mut circuit, |batch| {
        batch.create("a", ints(&[1, 7, 3])).create("a", ints(&[2, 7, 5]));
    });
    let hash = circuit.hash(view);
    let changes = step(&mut circuit, |batch| {
        batch.delete("a", ints(&[1])).delete("a", ints(&[2]));
        batch.create("a", ints(&[3, 7, 5])).create("a", ints(&[4, 7, 1]));
    });
    assert_eq!((changes, circuit.hash(view)), (0, hash));
    assert_eq!(shown(&circuit, view), [["7", "2", "5"]]);
}

#[test]
fn a_hundred_thousand_updates_of_one_row_are_one_change_of_its_group() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT sum(x), min(x), max(x), count(DISTINCT x) FROM a");
    let top = flat(&mut circuit, "SELECT x FROM a ORDER BY x DESC LIMIT 1");
    let changes = step(&mut circuit, |batch| {
        batch.create("a", ints(&[1, 0, 0]));
        for n in 1..=100_000 {
            batch.update("a", ints(&[1]), ints(&[1, n, 0]));
        }
    });
    assert_eq!(changes, 2);
    assert_eq!(shown(&circuit, view), [["100000", "100000", "100000", "1"]]);
    assert_eq!(shown(&circuit, top), [["100000"]]);
    assert_eq!(circuit.stats().ordered_values, 3);
}

#[test]
fn the_least_value_that_goes_makes_room_for_the_next_without_a_look_at_the_others() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT min(x), max(x) FROM a");
    step(&mut circuit, |batch| {
        (0..20_000).for_each(|id| {
            batch.create("a", ints(&[id, id, 0]));
        });
    });
    for id in 0..1_000 {
        let mut batch = IngestBatch::new();
        batch.delete("a", ints(&[id]));
        // Two microseconds or so: of 20,000 rows nobody reads more than a few.
        let updates = circuit.step_within(&batch, 1_000, |_, _| 0).expect("a step");
        assert_eq!(updates.expect("little work").len(), 1);
    }
    assert_eq!(shown(&circuit, view), [["1000", "19999"]]);
}

#[test]
fn sums_of_floats_do_not_drift() {
    let mut circuit = measures();
    let view = flat(&mut circuit, "SELECT sum(f), avg(f) FROM m");
    step(&mut circuit, |batch| {
        batch.create("m", measure(0, 0, "0", "0.1"));
    });
    for round in 0..1_000 {
        let value = format!("{}e{}", round + 1, round % 200);
        step(&mut circuit, |batch| {
            batch.create("m", measure(1, 0, "0", &value));
        });
        step(&mut circuit, |batch| {
            batch.delete("m", ints(&[1]));
        });
    }
    assert_eq!(shown(&circuit, view), [["0.1", "0.1"]]);
}

#[test]
fn a_nan_or_an_infinity_that_goes_leaves_the_sum_of_the_others() {
    let mut circuit = measures();
    let view = flat(&mut circuit, "SELECT sum(n), avg(n), sum(f), max(n), min(f) FROM m");
    let mut now = |build: &dyn Fn(&mut IngestBatch)| {
        step(&mut circuit, build);
        shown(&circuit, view).remove(0).join(" ")
    };
    let row = |id: i64, n: &'static str, f: &'static str| {
        move |batch: &mut IngestBatch| {
            batch.create("m", measure(id, 0, n, f));
        }
    };
    let gone = |id: i64| {
        move |batch: &mut IngestBatch| {
            batch.delete("m", ints(&[id]));
        }
    };
    assert_eq!(now(&row(1, "1.50", "2")), "1.50 1.50000000000000000000 2 1.50 2");
    assert_eq!(
        now(&row(2, "Infinity", "-Infinity")),
        "Infinity Infinity -Infinity Infinity -Infinity"
    );
    assert_eq!(now(&row(3, "-Infinity", "Infinity")), "NaN NaN NaN Infinity -Infinity");
    assert_eq!(now(&row(4, "NaN", "NaN")), "NaN NaN NaN NaN -Infinity");
    assert_eq!(now(&gone(2)), "NaN NaN NaN NaN 2");
    assert_eq!(now(&gone(4)), "-Infinity -Infinity Infinity 1.50 2");
    assert_eq!(now(&gone(3)), "1.50 1.50000000000000000000 2 1.50 2");
    // The scale of a sum is that of its values, and shrinks with them.
    assert_eq!(now(&row(5, "1.0000", "0")), "2.5000 1.25000000000000000000 2 1.50 0");
    assert_eq!(now(&gone(5)), "1.50 1.50000000000000000000 2 1.50 2");
}

#[test]
fn a_sum_beyond_its_type_refuses_the_batch() {
    let mut circuit = measures();
    let view = flat(&mut circuit, "SELECT g, sum(f) FROM m GROUP BY g");
    step(&mut circuit, |batch| {
        batch.create("m", measure(1, 0, "0", "1e308"));
    });
    let (hash, stats) = (circuit.hash(view), circuit.stats());
    let mut batch = IngestBatch::new();
    batch.create("m", measure(2, 0, "0", "1e308")).create("m", measure(3, 1, "0", "1"));
    let error = circuit.step(&batch).expect_err("an overflow");
    assert_eq!((error.code(), error.sqlstate()), ("raised", Some("22003")));
    assert_eq!((circuit.hash(view), circuit.stats()), (hash, stats));
    // What the order of arrival would have let overflow does not.
    let mut batch = IngestBatch::new();
    batch.create("m", measure(2, 0, "0", "1e308")).create("m", measure(3, 0, "0", "-1e308"));
    circuit.step(&batch).expect("a sum within its range");
    assert_eq!(shown(&circuit, view), [["0", "1e+308"]]);
}

#[test]
fn windows_that_show_nothing_or_little() {
    let mut circuit = circuit();
    let zero = flat(&mut circuit, "SELECT x FROM a ORDER BY x LIMIT 0");
    let beyond = flat(&mut circuit, "SELECT x FROM a ORDER BY x OFFSET 1000000000000");
    let most =
        flat(&mut circuit, "SELECT x FROM a LIMIT 9223372036854775807 OFFSET 9223372036854775807");
    let none = flat(&mut circuit, "SELECT x FROM a LIMIT NULL OFFSET NULL");
    let params = [shape_expr::Param::Int(1), shape_expr::Param::Text("1")];
    let sql = "SELECT x FROM a ORDER BY x LIMIT $1 OFFSET $2";
    circuit.register(ViewId(77), sql, &params, Format::Flat).expect("a view");
    step(&mut circuit, |batch| {
        (0..10).for_each(|id| {
            batch.create("a", ints(&[id, 10 - id, 0]));
        });
    });
    for view in [zero, beyond, most] {
        assert!(shown(&circuit, view).is_empty());
    }
    assert_eq!(shown(&circuit, none).len(), 10);
    assert_eq!(shown(&circuit, ViewId(77)), [["2"]]);
}

#[test]
fn a_window_over_many_rows_costs_what_passes_its_edges() {
    let mut circuit = circuit();
    step(&mut circuit, |batch| {
        (0..50_000).for_each(|id| {
            batch.create("a", ints(&[id, id, 0]));
        });
    });
    let view = flat(&mut circuit, "SELECT id FROM a ORDER BY x LIMIT 10000 OFFSET 10000");
    assert_eq!(circuit.stats().sorted_rows, 50_000);
    // From far behind the window to far before it: one row leaves it, one enters.
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[49_999]), ints(&[49_999, -1, 0]));
    let updates =
        circuit.step_within(&batch, 1_000, |_, _| 0).expect("a step").expect("little work");
    assert_eq!((updates[0].created().count(), updates[0].deleted().count()), (1, 1));
    assert_eq!(shown(&circuit, view)[0], ["9999"]);
    // Behind the window nothing is told.
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[40_000]), ints(&[40_000, 45_000, 0]));
    assert_eq!(circuit.step_within(&batch, 1_000, |_, _| 0), Ok(Some(Vec::new())));
}

#[test]
fn rows_that_are_sorted_alike_are_shown_by_id() {
    let mut circuit = circuit();
    let view = flat(&mut circuit, "SELECT id FROM a ORDER BY x LIMIT 2");
    step(&mut circuit, |batch| {
        for id in [5, 3, 9, 1] {
            batch.create("a", ints(&[id, 7, 0]));
        }
    });
    assert_eq!(shown(&circuit, view), [["1"], ["3"]]);
}

#[test]
fn distinct_keeps_no_more_than_it_must() {
    let mut circuit = circuit();
    step(&mut circuit, |batch| {
        for id in 0..10 {
            batch.create("a", ints(&[id, id % 3, 0])).create("b", ints(&[id, id, 0]));
        }
    });
    let kept = [
        // Nothing of what a key tells apart.
        ("SELECT DISTINCT id FROM a WHERE x = 1", 0, 0, 3),
        ("SELECT DISTINCT x, id FROM a", 0, 0, 10),
        // Counts, where there is one way to write a value.
        ("SELECT DISTINCT x FROM a", 0, 3, 3),
        ("SELECT x FROM a UNION SELECT y FROM b", 0, 3, 3),
        ("SELECT DISTINCT x, n FROM a", 0, 3, 3),
        ("SELECT DISTINCT x::text FROM a", 0, 3, 3),
        // Else the rows.
        ("SELECT DISTINCT x::numeric FROM a", 3, 0, 3),
    ];
    for (sql, arranged, counted, rows) in kept {
        let view = flat(&mut circuit, sql);
        let stats = circuit.stats();
        assert_eq!((stats.arranged_rows, stats.counted_rows), (arranged, counted), "{sql}");
        assert_eq!(shown(&circuit, view).len(), rows, "{sql}");
        circuit.unregister(view).expect("a view");
    }
}

#[test]
fn what_only_one_view_needs_is_freed_with_it_and_the_rest_is_shared() {
    let mut circuit = circuit();
    step(&mut circuit, |batch| {
        for id in 0..10 {
            batch.create("a", ints(&[id, id % 3, 0])).create("b", ints(&[id, id, 0]));
        }
    });
    let queries = [
        "SELECT DISTINCT x FROM a",
        "SELECT x, count(*), min(n), sum(DISTINCT n) FROM a GROUP BY x HAVING count(*) > 1",
        "SELECT id FROM a ORDER BY x LIMIT 3",
        "SELECT x FROM a UNION SELECT y FROM b",
        "SELECT x FROM a UNION ALL SELECT y FROM b",
        "SELECT x FROM a EXCEPT ALL SELECT y FROM b",
        "SELECT q.c FROM (SELECT x, count(*) AS c FROM a GROUP BY x) q JOIN b ON b.id = q.x",
        "WITH q AS (SELECT x FROM a) SELECT max(x) FROM q WHERE x IN (SELECT x FROM q LIMIT 2)",
    ];
    for sql in queries {
        let first = flat(&mut circuit, sql);
        let alone = circuit.stats();
        let second = flat(&mut circuit, sql);
        assert_eq!(circuit.stats(), alone, "{sql}: the same twice needs nothing more");
        circuit.unregister(first).expect("a view");
        assert_eq!(circuit.stats(), alone, "{sql}: the other one still needs it");
        circuit.unregister(second).expect("a view");
        let table_rows = circuit.stats().table_rows;
        assert_eq!(circuit.stats(), Stats { table_rows, ..Stats::default() }, "{sql}");
    }
    let grouped = flat(&mut circuit, queries[1]);
    let before = circuit.stats();
    let other = flat(&mut circuit, "SELECT count(*) FROM a GROUP BY x");
    assert!(circuit.stats().groups > before.groups);
    circuit.unregister(other).expect("a view");
    assert_eq!(circuit.stats(), before);
    circuit.unregister(grouped).expect("a view");
}

#[test]
fn queries_put_together_by_the_hundred() {
    let run = || {
        let mut circuit = circuit();
        let parts = vec!["SELECT x FROM a"; 200];
        let all = flat(&mut circuit, &parts.join(" UNION ALL "));
        let once = flat(&mut circuit, &parts.join(" UNION "));
        step(&mut circuit, |batch| {
            batch.create("a", ints(&[1, 0, 0])).create("a", ints(&[2, 1, 0]));
        });
        assert_eq!((shown(&circuit, all).len(), shown(&circuit, once).len()), (400, 2));
        let parts = vec!["SELECT x FROM a"; 5_000];
        let sql = parts.join(" UNION ");
        let error = circuit.register(ViewId(9), &sql, &[], Format::Flat).expect_err("too many");
        assert!(["too_deep", "too_long"].contains(&error.code()), "{error}");
        // Names that name names.
        let mut sql = "WITH q0 AS (SELECT x FROM a)".to_owned();
        for n in 1..40 {
            let m = n - 1;
            sql += &format!(", q{n} AS (SELECT p.x FROM q{m} p, q{m} r)");
        }
        sql += " SELECT x FROM q39";
        let error = circuit.register(ViewId(9), &sql, &[], Format::Flat).expect_err("too large");
        assert_eq!(error.code(), "too_complex");
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run);
    thread.expect("a thread").join().expect("it neither panics nor runs out of stack");
}
