//! A query, and bytes that say how rows change: a view that is kept up to date is the one that is computed
//! from the rows as they are in the end, and what it told on the way adds up to it; or the query is
//! refused.

use std::collections::BTreeMap;

use shape_expr::{Column, Options, Owned};
use view_circuit::{Cell, Circuit, Format, IngestBatch, Key, TableSpec, ViewId, ViewUpdate};

const VIEW: ViewId = ViewId(1);

fn table(name: &str, columns: &[(&str, &str)]) -> TableSpec {
    let column = |(name, ty): &(&str, &str)| Column::new(name, ty.parse().expect("a type"));
    TableSpec::new(name, columns.iter().map(column).collect(), &["id"])
}

fn circuit() -> Circuit {
    let tables = vec![
        table("a", &[("id", "int8"), ("x", "int8"), ("n", "numeric")]),
        table("b", &[("id", "int4"), ("a_id", "int8"), ("t", "text")]),
    ];
    Circuit::new(tables, Options::default()).expect("tables")
}

/// One operation in four bytes: which, of which row, and two values. Values are few, so that they meet.
fn operation(batch: &mut IngestBatch, bytes: [u8; 4]) {
    let [what, id, x, y] = bytes;
    let null = |byte: u8, cell: Cell| if byte % 7 == 6 { Cell::Null } else { cell };
    let numbers = ["0", "0.0", "1", "1.00", "2.5", "NaN", "-1"];
    let texts = ["", "a", "b", "ab", "A", " ", "0"];
    let id = i64::from(id % 8);
    let (name, row) = match what & 1 {
        0 => (
            "a",
            vec![
                id.into(),
                null(x, i64::from(x % 5).into()),
                null(y, Cell::from(numbers[usize::from(y) % 7])),
            ],
        ),
        _ => (
            "b",
            vec![
                id.into(),
                null(x, i64::from(x % 8).into()),
                null(y, Cell::from(texts[usize::from(y) % 7])),
            ],
        ),
    };
    match what >> 1 & 3 {
        0 | 1 => batch.create(name, row),
        2 => batch.update(name, vec![i64::from(what >> 3 & 7).into()], row),
        _ => batch.delete(name, vec![id.into()]),
    };
}

type Rows = BTreeMap<Key, Vec<Owned>>;

fn told(rows: &mut Rows, update: &ViewUpdate) {
    for change in &update.changes {
        let before = change.before().map(<[Owned]>::to_vec);
        assert_eq!(rows.remove(change.id()), before, "it told of what was there");
        if let Some(after) = change.after() {
            rows.insert(change.id().clone(), after.to_vec());
        }
    }
}

fn kept(circuit: &Circuit) -> Rows {
    let rows = circuit.rows(VIEW).expect("a view");
    rows.map(|(id, row)| (id.clone(), row.to_vec())).collect()
}

/// What must hold for all bytes: a query, a zero, and operations in fours, those with a first byte above
/// 191 ending a batch.
pub fn check(input: &[u8]) {
    let (text, operations) = match input.iter().position(|byte| *byte == 0) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &input[..0]),
    };
    let Ok(sql) = std::str::from_utf8(text) else { return };
    let mut steps = circuit();
    // Threads change nothing.
    steps.parallel_from(if input.len().is_multiple_of(2) { 0 } else { usize::MAX });
    let Ok(first) = steps.register(VIEW, sql, &[], Format::Flat) else { return };
    let mut whole = circuit();
    let mut rows = Rows::new();
    told(&mut rows, &first);
    let mut batch = IngestBatch::new();
    let mut apply = |batch: &IngestBatch| {
        let before = steps.hash(VIEW);
        match steps.step(batch) {
            Ok(updates) => {
                updates.iter().for_each(|update| told(&mut rows, update));
                let _ = whole.step(batch).expect("without views it is only rows");
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(steps.hash(VIEW), before, "nothing is changed then");
            }
        }
        assert_eq!(kept(&steps), rows);
    };
    for bytes in operations.as_chunks::<4>().0.iter().take(64) {
        operation(&mut batch, *bytes);
        if bytes[0] > 191 {
            apply(&batch);
            batch = IngestBatch::new();
        }
    }
    apply(&batch);
    let error = |error| panic!("{sql}: it was accepted, and its rows did not raise: {error}");
    let _ = whole.register(VIEW, sql, &[], Format::Flat).unwrap_or_else(error);
    assert_eq!(kept(&whole), rows, "{sql}");
    assert_eq!(whole.hash(VIEW), steps.hash(VIEW), "{sql}");
    steps.unregister(VIEW).expect("a view");
    assert_eq!(steps.stats().nodes, 0, "{sql}: all is freed");
}
