//! What an update costs, to look at with a profiler: so many rows a table, so many updates a step.
//!
//! `cargo run --release -p view_circuit --example update_cost [rows] [updates a step] [query] [updates]`;
//! `bin/bench circuit` has the figures beside others'.

use std::error::Error;
use std::time::Instant;

use shape_expr::{Column, Options};
use view_circuit::{Cell, Circuit, Format, IngestBatch, TableSpec, ViewId};

fn ints(values: &[i64]) -> Vec<Cell> {
    values.iter().map(|i| Cell::from(*i)).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: i64| {
        arguments.get(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(default)
    };
    let (rows, each, count) = (number(0, 100_000), number(1, 1), number(3, 200_000));
    let queries = [
        "SELECT id, x FROM todos WHERE x > 50",
        "SELECT t.id, p.x FROM todos t JOIN projects p ON p.id = t.project",
    ];
    let sql: Vec<&str> = match arguments.get(2) {
        Some(sql) => vec![sql.as_str()],
        None => queries.to_vec(),
    };
    let int8 = |name: &str| Ok::<_, shape_expr::Error>(Column::new(name, "int8".parse()?));
    let todos = vec![int8("id")?, int8("project")?, int8("x")?];
    let projects = vec![int8("id")?, int8("x")?];
    let tables = vec![
        TableSpec::new("todos", todos, &["id"]),
        TableSpec::new("projects", projects, &["id"]),
    ];
    let mut circuit = Circuit::new(tables, Options::default())?;
    let mut batch = IngestBatch::new();
    for id in 0..rows {
        batch.create("todos", ints(&[id, id, id % 100]));
        batch.create("projects", ints(&[id, id]));
    }
    circuit.step(&batch)?;
    for (sql, view) in sql.into_iter().zip(1..) {
        let start = Instant::now();
        circuit.register(ViewId(view), sql, &[], Format::Streaming)?;
        let registered = start.elapsed();
        let mut batches = Vec::new();
        for from in (0..count).step_by(each as usize) {
            let mut batch = IngestBatch::new();
            for n in from..count.min(from + each) {
                let id = n * 7919 % rows;
                batch.update("todos", ints(&[id]), ints(&[id, (id + n) % rows, 40 + n % 20]));
            }
            batches.push(batch);
        }
        let (mut changes, start) = (0, Instant::now());
        for batch in &batches {
            changes += circuit.step(batch)?.iter().map(|u| u.changes.len()).sum::<usize>();
        }
        let micros = start.elapsed().as_secs_f64() * 1e6 / count as f64;
        println!(
            "{micros:.2} us an update, {changes} changes, registered in {registered:?}: {sql}"
        );
        circuit.unregister(ViewId(view))?;
    }
    Ok(())
}
