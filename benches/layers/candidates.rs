//! Layer 2: finding the shapes that a change could concern, for each kind of index.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use shape_router::Scratch;
use shape_router_benches::{Random, Record, insert, route, router, shapes};

/// A kind of clause, and the rows to route.
struct Kind {
    name: &'static str,
    clause: fn(u64, u64) -> String,
    /// The column that tells, and its text; of so many shapes.
    cell: fn(u64, &mut Random) -> (usize, String),
}

/// Words that are spelled by a number.
fn word(number: u64) -> String {
    Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).word(8)
}

fn tag(number: u64) -> String {
    format!("t{}", number % 2000)
}

const KINDS: &[Kind] = &[
    Kind {
        name: "user_id = K, 1 hit",
        clause: |k, _| format!("user_id = {k}"),
        cell: |shapes, random| (1, random.below(shapes).to_string()),
    },
    Kind {
        name: "user_id IN (K, K + 1), 2 hits",
        clause: |k, _| format!("user_id IN ({k}, {})", k + 1),
        cell: |shapes, random| (1, (1 + random.below(shapes - 1)).to_string()),
    },
    Kind {
        name: "priority > K, none",
        clause: |k, _| format!("priority > {k}"),
        cell: |_, _| (2, "0".to_owned()),
    },
    Kind {
        name: "priority > K, 10 match",
        clause: |k, _| format!("priority > {k}"),
        cell: |_, _| (2, "10".to_owned()),
    },
    Kind {
        name: "tags @> '{a,b}', 2,000 tags in use, 5 on the row",
        clause: |k, _| format!("tags @> '{{{},{}}}'", tag(k), tag(k * 7 + 1)),
        cell: |_, random| {
            let tags: Vec<String> = (0..5).map(|_| tag(random.below(2000))).collect();
            (4, format!("{{{}}}", tags.join(",")))
        },
    },
    Kind {
        name: "title LIKE 'prefix%', 20 bytes",
        clause: |k, _| format!("title LIKE '{}%'", word(k)),
        cell: |shapes, random| (3, format!("{} and more 1", word(random.below(shapes)))),
    },
    Kind {
        name: "title LIKE '%infix%', 20 bytes, misses",
        clause: |k, _| format!("title LIKE '%{}%'", word(k)),
        cell: |_, random| (3, random.word(20)),
    },
];

fn candidates(criterion: &mut Criterion) {
    let shapes = shapes();
    let mut group = criterion.benchmark_group(format!("candidates of {shapes} shapes"));
    for kind in KINDS {
        let router = router(shapes, |k| (kind.clause)(k, shapes)).expect("the clauses are fine");
        let (mut random, mut scratch) = (Random(1), Scratch::default());
        let row = |_| {
            let (column, text) = (kind.cell)(shapes, &mut random);
            Record::with(&[(column, &text)])
        };
        let rows: Vec<Record> = (0..10_000).map(row).collect();
        let mut rows = rows.iter().cycle();
        group.bench_function(kind.name, |bench| {
            bench.iter(|| {
                let row = rows.next().expect("it goes round");
                route(&router, &insert(row), false, &mut scratch)
            });
        });
    }
}

criterion_group!(benches, candidates);
criterion_main!(benches);
