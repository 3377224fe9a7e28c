//! What an update costs with 100,000 rows in each table: a filter, and a join of two tables.
//!
//! `cargo run --release -p view_circuit --example update_cost`

use std::error::Error;
use std::time::Instant;

use shape_expr::{Column, Options};
use view_circuit::{Cell, Circuit, Format, IngestBatch, TableSpec, ViewId};

const ROWS: i64 = 100_000;
const UPDATES: i64 = 20_000;

fn ints(values: &[i64]) -> Vec<Cell> {
    values.iter().map(|i| Cell::from(*i)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let queries = [
        ("filter", "SELECT id, x FROM todos WHERE x > 50"),
        ("2-way join", "SELECT t.id, p.x FROM todos t JOIN projects p ON p.id = t.project"),
    ];
    for (name, sql) in queries {
        let int8 = |name: &str| Ok::<_, shape_expr::Error>(Column::new(name, "int8".parse()?));
        let todos = vec![int8("id")?, int8("project")?, int8("x")?];
        let projects = vec![int8("id")?, int8("x")?];
        let tables = vec![
            TableSpec::new("todos", todos, &["id"]),
            TableSpec::new("projects", projects, &["id"]),
        ];
        let mut circuit = Circuit::new(tables, Options::default())?;
        let mut batch = IngestBatch::new();
        for id in 0..ROWS {
            batch.create("todos", ints(&[id, id, id % 100]));
            batch.create("projects", ints(&[id, id]));
        }
        circuit.step(&batch)?;
        let start = Instant::now();
        circuit.register(ViewId(1), sql, &[], Format::Streaming)?;
        let registered = start.elapsed();
        let start = Instant::now();
        let mut changes = 0;
        for n in 0..UPDATES {
            let id = n * 7919 % ROWS;
            let mut batch = IngestBatch::new();
            batch.update("todos", ints(&[id]), ints(&[id, (id + n) % ROWS, 40 + n % 20]));
            changes += circuit.step(&batch)?.iter().map(|u| u.changes.len()).sum::<usize>();
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / UPDATES as f64;
        println!(
            "{name}: {micros:.2} us an update, {changes} changes, registered in {registered:?}"
        );
    }
    Ok(())
}
