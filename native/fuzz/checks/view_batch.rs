//! Any bytes as a batch of any values: it is applied, or refused with an error and nothing is changed;
//! and a bounded step does what one without bounds does, or nothing.

use shape_expr::{Column, Options};
use view_circuit::{Cell, Circuit, ContentHash, Format, IngestBatch, Record, TableSpec, ViewId};

const TABLES: [&str; 4] = ["a", "public.a", "B", "none"];

const VIEWS: &[&str] = &[
    "SELECT * FROM a",
    "SELECT * FROM \"B\"",
    "SELECT id, 10 / x FROM a WHERE x <> 3",
    "SELECT a.id, b.j FROM a JOIN \"B\" b ON b.x = a.x",
    "SELECT id FROM a WHERE x = 1",
    "SELECT id FROM a WHERE x NOT IN (SELECT x FROM \"B\")",
    "SELECT DISTINCT f, t FROM \"B\"",
];

fn circuit() -> Circuit {
    let table = |name: &str, columns: &[(&str, &str)], key: &[&str]| {
        let column = |(name, ty): &(&str, &str)| Column::new(name, ty.parse().expect("a type"));
        TableSpec::new(name, columns.iter().map(column).collect(), key)
    };
    let a = table("a", &[("id", "numeric"), ("x", "int4")], &["id"]);
    let b = [("t", "character(3)"), ("x", "int8"), ("f", "float8"), ("j", "jsonb")];
    let b = table("B", &b, &["t", "f"]);
    let mut circuit = Circuit::new(vec![a, b], Options::default()).expect("tables");
    for (sql, id) in VIEWS.iter().zip(0..) {
        let _ = circuit.register(ViewId(id), sql, &[], Format::Flat).expect(sql);
    }
    circuit
}

struct Input<'i>(&'i [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, length: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn cell(&mut self) -> Cell {
        match self.byte() % 16 {
            0 => Cell::Absent,
            1 => Cell::Null,
            2 => Cell::Bool(true),
            3 => Cell::Int(i64::from(self.byte().cast_signed())),
            4 => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                Cell::Int(i64::from_le_bytes(bytes))
            }
            5 => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                Cell::Float(f64::from_le_bytes(bytes))
            }
            6 | 7 => {
                let length = usize::from(self.byte());
                Cell::Text(self.take(length).into())
            }
            n => Cell::Int(i64::from(n - 8)),
        }
    }

    fn cells(&mut self, usual: usize) -> Vec<Cell> {
        let count =
            if self.byte().is_multiple_of(16) { usize::from(self.byte() % 8) } else { usual };
        (0..count).map(|_| self.cell()).collect()
    }
}

fn hashes(circuit: &Circuit) -> Vec<Option<ContentHash>> {
    (0..VIEWS.len() as u64).map(|id| circuit.hash(ViewId(id)).expect("a view")).collect()
}

/// What must hold for all bytes.
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let (mut circuit, mut bounded) = (circuit(), circuit());
    let mut steps = 0;
    while !input.0.is_empty() && steps < 16 {
        steps += 1;
        let mut batch = IngestBatch::new();
        for _ in 0..1 + input.byte() % 8 {
            let what = input.byte();
            let table = usize::from(what >> 4 & 3) % 4;
            let (key, width) = if table == 2 { (2, 4) } else { (1, 2) };
            let record = |cells: Vec<Cell>| match what >> 6 {
                0 => Record::from(cells).version(u64::MAX),
                _ => Record::from(cells),
            };
            match what % 4 {
                0 | 1 => batch.create(TABLES[table], record(input.cells(width))),
                2 => {
                    let key = input.cells(key);
                    batch.update(TABLES[table], key, record(input.cells(width)))
                }
                _ => batch.delete(TABLES[table], input.cells(key)),
            };
        }
        let batch = batch.optimistic(input.byte().is_multiple_of(2));
        let before = hashes(&circuit);
        let result = circuit.step(&batch);
        match &result {
            Ok(updates) => assert!(updates.iter().all(|update| !update.changes.is_empty())),
            Err(error) => {
                assert!(!error.code().is_empty() && !error.to_string().is_empty());
                assert_eq!(hashes(&circuit), before, "nothing is changed by {error}");
            }
        }
        let units = u64::from(input.byte()) * 64;
        match bounded.step_within(&batch, units, |_, _| 0) {
            Ok(None) => assert_eq!(bounded.step(&batch), result),
            Ok(Some(updates)) => assert_eq!(Ok(updates), result),
            Err(error) => assert_eq!(Err(error), result),
        }
        assert_eq!(hashes(&bounded), hashes(&circuit));
    }
}
