//! From how many rows on threads pay: many views that each have to look at every change, in batches of
//! several sizes, on one thread and on more.

use std::time::Instant;

use shape_router_benches::Random;
use view_circuit::{Format, IngestBatch, ViewId};

use crate::data::todo;
use crate::median;
use crate::ours::{self, Result};

const VIEWS: u64 = 100;
const ROUNDS: usize = 41;

pub fn run() -> Result<()> {
    let mut circuit = ours::circuit()?;
    for view in 0..VIEWS {
        let sql = format!("SELECT id FROM todos WHERE priority % {} = 1", view + 2);
        circuit.register(ViewId(view), &sql, &[], Format::Streaming)?;
    }
    println!("\n{VIEWS} views that each look at every row: microseconds a step (by the clock)");
    println!("{:>14} {:>12} {:>12} {:>7}", "rows x views", "one thread", "threads", "ratio");
    let (mut random, mut id) = (Random(5), 0);
    for rows in [1, 3, 10, 30, 100, 300, 1_000] {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..2 * ROUNDS {
            let mut batch = IngestBatch::new();
            for _ in 0..rows {
                batch.create("todos", ours::cells(&todo(id, 1_000_000, &mut random)));
                id += 1;
            }
            // In turn, so that neighbours disturb both alike.
            circuit.parallel_from(if round % 2 == 0 { usize::MAX } else { 0 });
            let start = Instant::now();
            std::hint::black_box(circuit.step(&batch)?);
            times[round % 2].push(start.elapsed().as_secs_f64() * 1e6);
        }
        let [one, more] = &mut times;
        let (one, more) = (median(one), median(more));
        println!("{:>14} {one:>12.1} {more:>12.1} {:>7.2}", rows * VIEWS as usize, more / one);
    }
    Ok(())
}
