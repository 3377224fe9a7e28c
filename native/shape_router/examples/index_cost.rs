//! What a change costs with 100,000 shapes of one kind of index, beside a look-up in a hash table of
//! as many rows: `cargo run --release -p shape_router --example index_cost [shapes]`.
//!
//! Times are medians of rounds; a round is a few thousand different rows, routed one after the other.
#![allow(clippy::unwrap_used)]

use shape_expr::{Column, Datum, RowSource, Schema};
use shape_router::{Budget, Change, Config, Op, Router, Scratch, ShapeSpec};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

const COLUMNS: &[(&str, &str)] = &[
    ("id", "int8"),
    ("user_id", "int8"),
    ("priority", "int4"),
    ("title", "text"),
    ("tags", "text[]"),
    ("j", "jsonb"),
];
const ROUNDS: usize = 15;
const ROWS: usize = 2000;

struct Record(Vec<String>);

impl RowSource for Record {
    fn datum(&self, column: usize) -> Datum<'_> {
        match self.0.get(column).map(String::as_str) {
            None => Datum::Absent,
            Some("NULL") => Datum::Null,
            Some(text) => Datum::Text(text.as_bytes()),
        }
    }
}

/// A generator that needs no crate and gives the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn word(&mut self, letters: usize) -> String {
        (0..letters).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A look-up of a random key in a table of so many rows, in nanoseconds.
fn hash_look_up(rows: u64, random: &mut Random) -> f64 {
    let table: HashMap<(u32, u32, u64), u64> = (0..rows).map(|k| ((1, 2, k), k)).collect();
    let round = |_| {
        let keys: Vec<u64> = (0..ROWS).map(|_| random.below(rows)).collect();
        let start = Instant::now();
        for key in keys {
            black_box(table.get(black_box(&(1, 2, key))));
        }
        start.elapsed().as_nanos() as f64 / ROWS as f64
    };
    median((0..ROUNDS).map(round).collect())
}

/// One kind of clause and the rows to route.
struct Case {
    name: &'static str,
    goal_us: Option<f64>,
    shapes: usize,
    clause: Box<dyn Fn(u64, &mut Random) -> String>,
    row: Box<dyn Fn(&mut Random) -> (usize, String)>,
}

fn schema() -> Schema {
    let column = |(name, ty): &(&str, &str)| Column::new(name, ty.parse().unwrap());
    Schema::new("t", COLUMNS.iter().map(column).collect()).unwrap()
}

fn measure(case: &Case, look_up: f64) {
    let mut random = Random(7);
    let router = Router::new(Config::new(schema())).unwrap();
    let clauses: Vec<String> =
        (0..case.shapes as u64).map(|k| (case.clause)(k, &mut random)).collect();
    let (bulk, single) = clauses.split_at(case.shapes - case.shapes / 10);
    let spec = |(clause, id)| ShapeSpec::new(id, Some(String::as_str(clause)));
    let start = Instant::now();
    router.add_shapes(bulk.iter().zip(0..).map(spec)).unwrap();
    let bulk_us = start.elapsed().as_nanos() as f64 / 1000.0 / bulk.len() as f64;
    let mut added: Vec<f64> = Vec::new();
    for shape in single.iter().zip(bulk.len() as u64..).map(spec) {
        let start = Instant::now();
        router.add_shape(shape).unwrap();
        added.push(start.elapsed().as_nanos() as f64 / 1000.0);
    }
    added.sort_by(f64::total_cmp);
    // What was left to the builder's thread is over by then.
    router.rebuild().unwrap();
    let (mut scratch, mut hits, mut candidates) = (Scratch::default(), 0, 0);
    let mut times = Vec::new();
    let blank = ["1", "0", "0", "", "{}", "0"];
    for _ in 0..ROUNDS {
        let rows: Vec<Record> = (0..ROWS)
            .map(|_| {
                let (column, value) = (case.row)(&mut random);
                let mut row: Vec<String> = blank.iter().map(ToString::to_string).collect();
                row[column] = value;
                Record(row)
            })
            .collect();
        let before = router.metrics().candidates;
        let start = Instant::now();
        for row in &rows {
            let change = Change { new: Some(row), ..Change::new(Op::Insert) };
            let mut budget = Budget::unlimited();
            router.route(&change, Default::default(), &mut scratch, &mut budget, None).unwrap();
            hits += scratch.ids().len();
        }
        times.push(start.elapsed().as_nanos() as f64 / ROWS as f64);
        candidates += router.metrics().candidates - before;
    }
    let changes = (ROUNDS * ROWS) as f64;
    let ns = median(times);
    let metrics = router.metrics();
    println!(
        "{:<44} {:>8.2} {:>6} {:>8.1} {:>8.1} {:>10.1} {:>8.1} {:>8.1} {:>8.1} {:>8.0}",
        case.name,
        ns / 1000.0,
        case.goal_us.map_or(String::new(), |g| g.to_string()),
        ns / look_up,
        hits as f64 / changes,
        candidates as f64 / changes,
        bulk_us,
        added[added.len() / 2],
        added[added.len() * 999 / 1000],
        metrics.memory_bytes as f64 / metrics.shapes as f64,
    );
}

fn main() {
    let shapes: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let n = shapes as u64;
    let priority = |value: i64| Box::new(move |_: &mut Random| (2, value.to_string()));
    let above = || Box::new(|k: u64, _: &mut Random| format!("priority > {}", k + 1000));
    let title = |letters| Box::new(move |random: &mut Random| (3, random.word(letters)));
    let mut cases = vec![
        Case {
            name: "user_id = K, 1 hit",
            goal_us: None,
            shapes,
            clause: Box::new(|k, _| format!("user_id = {k}")),
            row: Box::new(move |random| (1, random.below(n).to_string())),
        },
        Case {
            name: "user_id = K, miss",
            goal_us: None,
            shapes,
            clause: Box::new(|k, _| format!("user_id = {k}")),
            row: Box::new(move |random| (1, (n + random.below(n)).to_string())),
        },
        Case {
            name: "priority > K, none match",
            goal_us: Some(0.3),
            shapes,
            clause: above(),
            row: priority(1000),
        },
        Case {
            name: "priority > K, 10 match",
            goal_us: Some(1.0),
            shapes,
            clause: above(),
            row: priority(1010),
        },
        Case {
            name: "priority BETWEEN K AND K + 10, about 10 match",
            goal_us: None,
            shapes,
            clause: Box::new(|k, _| format!("priority BETWEEN {k} AND {}", k + 10)),
            row: Box::new(move |random| (2, random.below(n).to_string())),
        },
        Case {
            name: "title < T COLLATE \"C\", few match",
            goal_us: None,
            shapes,
            clause: Box::new(|_, random| format!("title COLLATE \"C\" < '{}'", random.word(12))),
            row: Box::new(move |random| (3, format!("zz{}", random.word(18)))),
        },
        Case {
            name: "tags @> '{a,b}', 2,000 tags in use, 5 a row",
            goal_us: Some(1.0),
            shapes,
            clause: Box::new(|_, random| {
                format!("tags @> '{{t{},t{}}}'", random.below(2000), random.below(2000))
            }),
            row: Box::new(|random| {
                let tags: Vec<String> =
                    (0..5).map(|_| format!("t{}", random.below(2000))).collect();
                (4, format!("{{{}}}", tags.join(",")))
            }),
        },
        Case {
            name: "tags @> '{a}', 2,000 tags in use, 5 a row",
            goal_us: None,
            shapes,
            clause: Box::new(|_, random| format!("tags @> '{{t{}}}'", random.below(2000))),
            row: Box::new(|random| {
                let tags: Vec<String> =
                    (0..5).map(|_| format!("t{}", random.below(2000))).collect();
                (4, format!("{{{}}}", tags.join(",")))
            }),
        },
        Case {
            name: "j @> '{\"k\": K}', 1 hit",
            goal_us: None,
            shapes,
            clause: Box::new(|k, _| format!("j @> '{{\"k\": {k}}}'")),
            row: Box::new(move |random| (5, format!("{{\"a\": 1, \"k\": {}}}", random.below(n)))),
        },
        Case {
            name: "title LIKE 'prefix%', 20 bytes, misses",
            goal_us: Some(1.0),
            shapes,
            clause: Box::new(|k, random| {
                format!("title LIKE '{}%'", random.word(6 + k as usize % 5))
            }),
            row: title(20),
        },
        Case {
            name: "title LIKE 'pfx-K-%', 20 bytes, 1 hit",
            goal_us: Some(1.0),
            shapes,
            clause: Box::new(|k, _| format!("title LIKE 'pfx-{k}-%'")),
            row: Box::new(move |random| {
                let text = format!("pfx-{}-{}", random.below(n), random.word(20));
                (3, text[..20].to_owned())
            }),
        },
        Case {
            name: "title LIKE '%infix%', 20 bytes, misses",
            goal_us: Some(2.0),
            shapes,
            clause: Box::new(|k, random| {
                format!("title LIKE '%{}%'", random.word(6 + k as usize % 5))
            }),
            row: title(20),
        },
        Case {
            name: "title ILIKE '%infix%', 20 bytes, misses",
            goal_us: Some(2.0),
            shapes,
            clause: Box::new(|k, random| {
                format!("title ILIKE '%{}%'", random.word(6 + k as usize % 5))
            }),
            row: Box::new(|random| {
                (3, format!("{}{}", random.word(10), random.word(10).to_uppercase()))
            }),
        },
        Case {
            name: "10k of length(title) > K, none match",
            goal_us: Some(200.0),
            shapes: (shapes / 10).max(10),
            clause: Box::new(|k, _| format!("length(title) > {}", k + 100)),
            row: title(20),
        },
    ];
    let only = std::env::args().nth(2);
    if let Some(only) = &only {
        cases.retain(|case| case.name.contains(only.as_str()));
    }
    let look_up = hash_look_up(n, &mut Random(1));
    println!("a look-up in a hash table of {shapes} rows: {look_up:.0} ns\n");
    println!(
        "{:<44} {:>8} {:>6} {:>8} {:>8} {:>10} {:>8} {:>8} {:>8} {:>8}",
        "shapes",
        "µs",
        "goal",
        "look-ups",
        "hits",
        "candidates",
        "bulk µs",
        "add µs",
        "p99.9",
        "bytes"
    );
    for case in &cases {
        measure(case, look_up);
    }
}
