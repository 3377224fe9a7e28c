//! Many views of all kinds over the same tables, and batches of mixed operations.

use std::time::Instant;

use shape_router_benches::Random;
use view_circuit::{Circuit, Format, IngestBatch, ViewId};

use crate::data::{Data, TODOS_AN_OWNER, todo};
use crate::memory::Memory;
use crate::ours::{self, Result};
use crate::{best, median};

const BATCH: usize = 1_000;
const BATCHES: usize = 50;

/// What the view of this number asks, of 100: 60 of an owner's rows, 10 of those with a condition more,
/// 10 of a project's, 10 joins and 10 subqueries.
fn sql(number: usize, rows: usize, random: &mut Random) -> String {
    let mut below = |limit: usize| random.below(limit.max(1) as u64);
    let owner = below(rows / TODOS_AN_OWNER);
    let (project, team) = (below(rows / 10), below(rows / 100));
    match number % 10 {
        0..6 => format!("SELECT id, title FROM todos WHERE owner = {owner}"),
        6 => format!("SELECT id FROM todos WHERE owner = {owner} AND priority > 500000"),
        7 => format!("SELECT id, title FROM todos WHERE project_id = {project}"),
        8 => format!(
            "SELECT t.id, p.name FROM todos t JOIN projects p ON p.id = t.project_id \
             WHERE p.team_id = {team}"
        ),
        _ => format!(
            "SELECT id FROM todos WHERE project_id IN (SELECT id FROM projects WHERE team_id = {team})"
        ),
    }
}

/// What a view takes that is one filter of its own: `owner = K`.
fn filters(circuit: &mut Circuit, views: usize, rows: usize) -> Result<()> {
    let before = Memory::now();
    let start = Instant::now();
    for owner in 0..views {
        let own = owner % (rows / TODOS_AN_OWNER);
        let sql = format!("SELECT id, title FROM todos WHERE owner = {own}");
        circuit.register(ViewId(owner as u64), &sql, &[], Format::Streaming)?;
    }
    let registering = start.elapsed().as_secs_f64();
    let bytes = Memory::now().since(before, views);
    println!(
        "\n{views} views `owner = K`: {:.0} bytes each ({:.0} by the process), registered in {:.2} ms each",
        bytes[0],
        bytes[1],
        registering * 1e3 / views as f64,
    );
    for owner in 0..views {
        circuit.unregister(ViewId(owner as u64))?;
    }
    Ok(())
}

pub fn run(data: &Data, views: usize) -> Result<()> {
    let rows = data.todos.len();
    let mut circuit = ours::circuit()?;
    ours::load(&mut circuit, data)?;
    let mut random = Random(99);
    filters(&mut circuit, views, rows)?;
    let before = Memory::now();
    let start = Instant::now();
    for number in 0..views {
        let sql = sql(number, rows, &mut random);
        circuit.register(ViewId(number as u64), &sql, &[], Format::Streaming)?;
    }
    let registering = start.elapsed().as_secs_f64();
    let bytes = Memory::now().since(before, views);
    let mut present: Vec<i64> = (0..rows as i64).collect();
    let mut next = rows as i64;
    let (mut times, mut told) = (Vec::new(), 0);
    for _ in 0..BATCHES {
        let mut batch = IngestBatch::new();
        for _ in 0..BATCH {
            let at = random.below(present.len() as u64) as usize;
            match random.below(10) {
                0 | 1 => {
                    batch.create("todos", ours::cells(&todo(next, rows, &mut random)));
                    present.push(next);
                    next += 1;
                }
                2 => {
                    batch.delete("todos", vec![present.swap_remove(at).into()]);
                }
                3 => {
                    let id = random.below(data.projects.len() as u64) as i64;
                    let team = random.below(data.teams.len() as u64) as i64;
                    let name = random.word(12);
                    let row = vec![id.into(), team.into(), name.as_str().into()];
                    batch.update("projects", vec![id.into()], row);
                }
                _ => ours::update(&mut batch, &todo(present[at], rows, &mut random)),
            }
        }
        let start = Instant::now();
        let updates = circuit.step(&batch)?;
        times.push(start.elapsed().as_secs_f64());
        told += ours::changes(&updates);
    }
    let per_second = |seconds: f64| BATCH as f64 / seconds;
    println!(
        "\n{views} views: batches of {BATCH} changes (60 % updates of todos, 20 % new, 10 % deleted, 10 % \
         updates of projects)\n{:.0} changes/s (best {:.0}), {told} changes of views; {:.0} bytes a view \
         ({:.0} by the process), registered in {:.2} ms each",
        per_second(median(&mut times)),
        per_second(best(&times)),
        bytes[0],
        bytes[1],
        registering * 1e3 / views as f64,
    );
    Ok(())
}
