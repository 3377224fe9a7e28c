//! Filters that are found by what they compare with answer as if each were asked of every row, and
//! refuse the same batches.
//!
//! `VIEW_DISPATCH_ROUNDS` says how many rounds, `VIEW_DISPATCH_SEED` repeats a run.

mod common;

use std::collections::BTreeMap;

use common::{circuit, flat, ints, table};
use fastrand::Rng;
use shape_expr::Options;
use view_circuit::{Cell, Circuit, Format, IngestBatch, ViewId};

const COLUMNS: &[(&str, &str)] = &[
    ("id", "int8"),
    ("x", "int4"),
    ("y", "int8"),
    ("n", "numeric"),
    ("f", "double precision"),
    ("s", "text"),
    ("c", "character(3)"),
];

/// A condition, and one that means the same but compares no column.
fn condition(rng: &mut Rng) -> [String; 2] {
    let (column, hidden, value): (&str, &str, fn(&mut Rng) -> String) = match rng.u8(..6) {
        0 | 1 => ("x", "x + 0", |rng| rng.i8(-3..5).to_string()),
        2 => ("n", "n + 0", |rng| {
            rng.choice(["0", "1.0", "1.00", "2.5", "'NaN'"]).unwrap_or_default().to_owned()
        }),
        3 => ("f", "f + 0", |rng| {
            rng.choice(["0", "1", "2.5", "'NaN'", "'-Infinity'"]).unwrap_or_default().to_owned()
        }),
        4 => {
            ("s", "s || ''", |rng| rng.choice(["''", "'a'", "'ab'"]).unwrap_or_default().to_owned())
        }
        _ => ("c", "rpad(c::text, 3)::character(3)", |rng| {
            rng.choice(["''", "'a'", "'ab '"]).unwrap_or_default().to_owned()
        }),
    };
    let (a, b) = (value(rng), value(rng));
    let kind = rng.u8(..9);
    let operator = *rng.choice(&["<", "<=", ">", ">="]).expect("one");
    let text = |column: &str| {
        let order = if matches!(column, "s" | "s || ''") || column.contains('c') {
            " COLLATE \"C\""
        } else {
            ""
        };
        match kind {
            0..=3 => format!("{column} = {a}"),
            4 => format!("{column} IN ({a}, {b}, {a})"),
            5 => format!("({column}){order} {operator} {a}"),
            6 => format!("({column}){order} BETWEEN {a} AND {b}"),
            7 => format!("NOT ({column} <> {a})"),
            _ => format!("{a} = {column}"),
        }
    };
    [text(column), text(hidden)]
}

/// Conditions alone and together, and beside one that may raise.
fn clause(rng: &mut Rng) -> [String; 2] {
    let [a, b] = [condition(rng), condition(rng)];
    let kind = rng.u8(..8);
    [0, 1].map(|at| {
        let (a, b) = (&a[at], &b[at]);
        match kind {
            0..=2 => a.clone(),
            3 => format!("{a} AND {b}"),
            4 => format!("{a} OR {b}"),
            5 => format!("{a} AND 10 / y > 1"),
            6 => format!("10 / y > 1 AND {a}"),
            _ => format!("({a} AND 10 / y > 1) OR {b}"),
        }
    })
}

fn cell(rng: &mut Rng, column: &str) -> Cell {
    if rng.u8(..6) == 0 {
        return Cell::Null;
    }
    let mut pick = |from: &[&str]| Cell::from(from[rng.usize(..from.len())]);
    match column {
        "x" => pick(&["-3", "0", "1", "2", "4"]),
        // Seldom what raises.
        "y" => {
            pick(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"])
        }
        "n" => pick(&["0", "0.00", "1", "1.0", "2.50", "NaN"]),
        "f" => pick(&["0", "-0", "1", "2.5", "NaN", "-Infinity"]),
        _ => pick(&["", "a", "a ", "ab"]),
    }
}

fn batch(rng: &mut Rng, present: &mut BTreeMap<i64, ()>) -> IngestBatch {
    let mut batch = IngestBatch::new();
    for _ in 0..rng.usize(1..8) {
        let id = rng.i64(0..30);
        let row = |rng: &mut Rng| -> Vec<Cell> {
            let rest = COLUMNS[1..].iter().map(|(name, _)| cell(rng, name)).collect::<Vec<_>>();
            [Cell::from(id)].into_iter().chain(rest).collect()
        };
        match (present.contains_key(&id), rng.u8(..4)) {
            (false, _) => {
                batch.create("t", row(rng));
                present.insert(id, ());
            }
            (true, 0) => {
                batch.delete("t", ints(&[id]));
                present.remove(&id);
            }
            (true, _) => {
                batch.update("t", ints(&[id]), row(rng));
            }
        }
    }
    batch
}

fn new() -> Circuit {
    Circuit::new(vec![table("t", COLUMNS, &["id"])], Options::default()).expect("a table")
}

#[test]
fn dispatched_filters_answer_as_if_asked_of_every_row() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let rounds = number("VIEW_DISPATCH_ROUNDS").unwrap_or(60);
    let seed = number("VIEW_DISPATCH_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("dispatch: seed {seed}, {rounds} rounds");
    let mut rng = Rng::with_seed(seed);
    let (mut told, mut refused) = (0, 0);
    for round in 0..rounds {
        let when = format!("seed {seed}, round {round}");
        let (mut found, mut asked) = (new(), new());
        let mut present = BTreeMap::new();
        let mut views = Vec::new();
        for step in 0..40 {
            if step % 4 == 0 {
                let id = ViewId(step);
                let [own, plain] = clause(&mut rng);
                let register = |circuit: &mut Circuit, clause: &str| {
                    let sql = format!("SELECT id, x FROM t WHERE {clause}");
                    circuit.register(id, &sql, &[], Format::Flat)
                };
                let (a, b) = (register(&mut found, &own), register(&mut asked, &plain));
                match (a, b) {
                    (Ok(a), Ok(b)) => {
                        assert_eq!(a, b, "{when}: {own}");
                        views.push(id);
                    }
                    (Err(a), Err(b)) => assert_eq!(a.code(), b.code(), "{when}: {own}"),
                    (a, b) => panic!("{when}: {own}: {a:?}, {b:?}"),
                }
            }
            let before = present.clone();
            let batch = batch(&mut rng, &mut present);
            match (found.step(&batch), asked.step(&batch)) {
                (Ok(a), Ok(b)) => {
                    told += a.len();
                    assert_eq!(a, b, "{when}, step {step}");
                }
                (Err(a), Err(b)) => {
                    refused += 1;
                    assert_eq!(a.code(), b.code(), "{when}, step {step}");
                    present = before;
                }
                (a, b) => panic!("{when}, step {step}: {a:?}, {b:?}"),
            }
            if step % 7 == 6 && !views.is_empty() {
                let view = views.swap_remove(rng.usize(..views.len()));
                found.unregister(view).expect("a view");
                asked.unregister(view).expect("a view");
            }
        }
        for view in views {
            assert_eq!(found.hash(view), asked.hash(view), "{when}");
            found.unregister(view).expect("a view");
        }
        assert_eq!(found.stats().nodes, 0, "{when}: nothing is left behind");
    }
    println!("dispatch: {told} updates of views, {refused} batches refused");
    assert!(told as u64 > rounds && refused as u64 > rounds / 10, "it tests something");
}

#[test]
fn a_row_is_shown_to_the_filters_of_its_own_value() {
    let mut circuit = circuit();
    let views: Vec<ViewId> =
        (0..500).map(|x| flat(&mut circuit, &format!("SELECT id FROM a WHERE x = {x}"))).collect();
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[1, 7, 0]));
    let updates = circuit.step(&batch).expect("a row");
    assert_eq!(updates.iter().map(|update| update.view).collect::<Vec<_>>(), [views[7]]);
    // A bounded step counts what it does, and 500 filters are more than that allows.
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[1]), ints(&[1, 8, 0]));
    let updates =
        circuit.step_within(&batch, 3_000, |_, _| 0).expect("a step").expect("within bounds");
    assert_eq!(updates.len(), 2, "it leaves one view and enters another");
}
