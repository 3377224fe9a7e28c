//! What an update costs, to look at with a profiler: so many rows a table, so many updates a step.
//!
//! `cargo run --release -p view_circuit --example update_cost [rows] [updates a step] [query] [updates]`;
//! `bin/bench circuit` has the figures beside others'. The query may be the number of one of those here.

use std::error::Error;
use std::time::Instant;

use shape_expr::{Column, Options};
use view_circuit::{Cell, Circuit, Format, IngestBatch, TableSpec, ViewId};

const QUERIES: [&str; 5] = [
    "SELECT id, title FROM todos WHERE x > 50",
    "SELECT t.id, t.title, p.name FROM todos t JOIN projects p ON p.id = t.project",
    "SELECT t.id, t.title, e.name FROM todos t JOIN projects p ON p.id = t.project \
     JOIN teams e ON e.id = p.team",
    "SELECT project, count(*), sum(x) FROM todos GROUP BY project",
    "SELECT x, id FROM todos ORDER BY x DESC, id LIMIT 10",
];

fn todo(id: i64, rows: i64, n: i64) -> Vec<Cell> {
    let title = format!("the title number {n}");
    let ints = [id, (id + n) % (rows / 10), n % 1_000, 40 + n % 20].map(Cell::from);
    ints.into_iter().chain([title.as_str().into()]).collect()
}

fn table(name: &str, columns: &[(&str, &str)]) -> Result<TableSpec, shape_expr::Error> {
    let column = |(name, ty): &(&str, &str)| Ok(Column::new(name, ty.parse()?));
    let columns: Result<Vec<_>, shape_expr::Error> = columns.iter().map(column).collect();
    Ok(TableSpec::new(name, columns?, &["id"]))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: i64| {
        arguments.get(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(default)
    };
    let (rows, each, count) = (number(0, 100_000), number(1, 1), number(3, 200_000));
    let queries = match arguments.get(2).map(|text| (text.as_str(), text.parse::<usize>())) {
        Some((_, Ok(place))) => vec![QUERIES[place % QUERIES.len()]],
        Some((sql, Err(_))) => vec![sql],
        None => QUERIES.to_vec(),
    };
    let int8 = "int8";
    let todos = [("id", int8), ("project", int8), ("owner", int8), ("x", int8), ("title", "text")];
    let tables = vec![
        table("todos", &todos)?,
        table("projects", &[("id", int8), ("team", int8), ("name", "text")])?,
        table("teams", &[("id", int8), ("name", "text")])?,
    ];
    let mut circuit = Circuit::new(tables, Options::default())?;
    for from in (0..rows).step_by(10_000) {
        let mut batch = IngestBatch::new();
        for id in from..rows.min(from + 10_000) {
            batch.create("todos", todo(id, rows, id));
            if id < rows / 10 {
                let name = format!("project {id}");
                batch.create("projects", vec![id.into(), (id % 100).into(), name.as_str().into()]);
            }
            if id < 100 {
                batch.create("teams", vec![id.into(), format!("team {id}").as_str().into()]);
            }
        }
        circuit.step(&batch)?;
    }
    for (sql, view) in queries.into_iter().zip(1..) {
        let start = Instant::now();
        circuit.register(ViewId(view), sql, &[], Format::Streaming)?;
        let registered = start.elapsed();
        let mut batches = Vec::new();
        for from in (0..count).step_by(each as usize) {
            let mut batch = IngestBatch::new();
            for n in from..count.min(from + each) {
                let id = n * 7_919 % rows;
                batch.update("todos", vec![id.into()], todo(id, rows, n));
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
