//! What a shape costs in memory and what a change costs in time, with so many `user_id = K` shapes:
//! `cargo run --release -p shape_router --example shape_bytes [shapes] [clause]`, where `{K}` in the
//! clause stands for the shape's number.
//!
//! The process's growth is told beside what the router accounts for: they must not drift apart.
#![allow(clippy::unwrap_used)]

use shape_expr::{Column, Datum, RowSource, Schema};
use shape_router::{Budget, Change, Config, Op, Router, Scratch, ShapeSpec};
use std::time::Instant;

// As the library has it inside of a host.
#[global_allocator]
static ALLOCATOR: lane_index::Allocator = lane_index::Allocator;

const ROWS: usize = 20_000;
const ROUNDS: usize = 15;

struct Record(i64);

impl RowSource for Record {
    fn datum(&self, column: usize) -> Datum<'_> {
        match column {
            1 => Datum::Int(self.0),
            2 => Datum::Text(b"open"),
            _ => Datum::Absent,
        }
    }
}

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The best and the median of some rounds of changes, in nanoseconds a change.
fn route(router: &Router, values: impl Fn(u64) -> i64, hits: usize) -> (f64, f64) {
    let mut scratch = Scratch::default();
    let mut state = 1u64;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let rows: Vec<Record> = (0..ROWS)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                Record(values(state >> 33))
            })
            .collect();
        let mut found = 0;
        let start = Instant::now();
        for row in &rows {
            let change = Change { new: Some(row), ..Change::new(Op::Insert) };
            let mut budget = Budget::unlimited();
            router.route(&change, Default::default(), &mut scratch, &mut budget, None).unwrap();
            found += scratch.ids().len();
        }
        times.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
        assert_eq!(found, hits * ROWS);
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[ROUNDS / 2])
}

fn main() {
    let shapes: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let clause = std::env::args().nth(2).unwrap_or_else(|| "user_id = {K}".to_owned());
    let columns = [("id", "int8"), ("user_id", "int8"), ("status", "text")];
    let columns = columns.map(|(name, ty)| Column::new(name, ty.parse().unwrap()));
    let router = Router::new(Config::new(Schema::new("t", columns.into()).unwrap())).unwrap();
    let before = resident();
    let start = Instant::now();
    for first in (0..shapes).step_by(1000) {
        let clauses: Vec<(u64, String)> = (first..shapes.min(first + 1000))
            .map(|k| (k, clause.replace("{K}", &k.to_string())))
            .collect();
        let specs = clauses.iter().map(|(id, clause)| ShapeSpec::new(*id, Some(clause)));
        router.add_shapes(specs).unwrap();
    }
    let added = start.elapsed().as_nanos() as f64 / shapes as f64;
    let of_shape = |bytes: usize| bytes.saturating_sub(before) as f64 / shapes as f64;
    let at_once = of_shape(resident());
    // What is merged in the background once writing pauses; replaced parts are freed a moment later.
    router.rebuild().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let grown = of_shape(resident());
    let accounted = router.metrics().memory_bytes as f64 / shapes as f64;
    println!(
        "{shapes} shapes `{clause}`: {grown:.1} B a shape resident ({at_once:.1} before its indexes \
         are merged), {accounted:.1} accounted"
    );
    println!("adding {added:.0} ns a shape");
    if clause.starts_with("user_id = {K}") {
        let hit = route(&router, |random| (random % shapes) as i64, 1);
        let miss = route(&router, |random| (shapes + random % shapes) as i64, 0);
        println!(
            "hit {:.0} ns (median {:.0}), miss {:.0} ns (median {:.0})",
            hit.0, hit.1, miss.0, miss.1
        );
    }
    let start = Instant::now();
    for id in 0..shapes {
        router.remove_shape(id).unwrap();
    }
    println!("removing {:.0} ns a shape", start.elapsed().as_nanos() as f64 / shapes as f64);
}
