//! The circuit.

use std::error::Error;
use std::time::{Duration, Instant};

use shape_expr::{Column, Options};
use view_circuit::{Cell, Circuit, Format, IngestBatch, TableSpec, ViewId, ViewUpdate};

use crate::clock;
use crate::data::{Data, Project, Team, Todo};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn table(name: &str, columns: &[(&str, &str)]) -> Result<TableSpec> {
    let mut all = Vec::new();
    for (name, ty) in columns {
        all.push(Column::new(name, ty.parse()?));
    }
    Ok(TableSpec::new(name, all, &["id"]))
}

/// A circuit of the three tables, empty.
pub fn circuit() -> Result<Circuit> {
    let int8 = "int8";
    let todos = [
        ("id", int8),
        ("project_id", int8),
        ("owner", int8),
        ("priority", int8),
        ("title", "text"),
    ];
    let tables = vec![
        table("todos", &todos)?,
        table("projects", &[("id", int8), ("team_id", int8), ("name", "text")])?,
        table("teams", &[("id", int8), ("name", "text")])?,
    ];
    Ok(Circuit::new(tables, Options::default())?)
}

pub fn cells(todo: &Todo) -> Vec<Cell> {
    let ints = [todo.id, todo.project, todo.owner, todo.priority];
    ints.map(Cell::from).into_iter().chain([Cell::from(todo.title.as_str())]).collect()
}

fn project(row: &Project) -> Vec<Cell> {
    vec![row.id.into(), row.team.into(), row.name.as_str().into()]
}

fn team(row: &Team) -> Vec<Cell> {
    vec![row.id.into(), row.name.as_str().into()]
}

/// Puts all rows in, some thousands at a time.
pub fn load(circuit: &mut Circuit, data: &Data) -> Result<()> {
    fn fill<T>(
        circuit: &mut Circuit,
        table: &str,
        rows: &[T],
        cells: impl Fn(&T) -> Vec<Cell>,
    ) -> Result<()> {
        for part in rows.chunks(10_000) {
            let mut batch = IngestBatch::new();
            for row in part {
                batch.create(table, cells(row));
            }
            circuit.step(&batch)?;
        }
        Ok(())
    }
    fill(circuit, "todos", &data.todos, cells)?;
    fill(circuit, "projects", &data.projects, project)?;
    fill(circuit, "teams", &data.teams, team)
}

pub fn update(batch: &mut IngestBatch, todo: &Todo) {
    batch.update("todos", vec![todo.id.into()], cells(todo));
}

/// Registers a query, which takes as long as computing it from nothing.
pub fn register(circuit: &mut Circuit, id: u64, sql: &str) -> Result<(Duration, usize)> {
    let start = Instant::now();
    let update = circuit.register(ViewId(id), sql, &[], Format::Streaming)?;
    Ok((start.elapsed(), update.changes.len()))
}

/// How many changes a view is told.
pub fn changes(updates: &[ViewUpdate]) -> usize {
    updates.iter().map(|update| update.changes.len()).sum()
}

/// The time of each step of so many updates (of the processor, unless it is a single one), batches made
/// beforehand, and the changes told.
pub fn steps(circuit: &mut Circuit, updates: &[Todo], each: usize) -> Result<(Vec<f64>, usize)> {
    let batch = |part: &[Todo]| {
        let mut batch = IngestBatch::new();
        part.iter().for_each(|todo| update(&mut batch, todo));
        batch
    };
    let batches: Vec<IngestBatch> = updates.chunks(each).map(batch).collect();
    let (mut times, mut told) = (Vec::with_capacity(batches.len()), 0);
    for batch in &batches {
        let (start, began) = (Instant::now(), clock::processor());
        let updates = circuit.step(batch)?;
        told += changes(&updates);
        drop(updates);
        let wall = start.elapsed().as_secs_f64();
        times.push(if each == 1 { wall } else { clock::processor() - began } * 1e6);
    }
    Ok((times, told))
}
