//! Layer 3: candidates through their whole clause, one after the other and many of one template.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shape_router::Scratch;
use shape_router_benches::{Record, insert, route, router};

/// A clause, by a number.
type Clause = fn(u64) -> String;

/// So many candidates each time.
const CANDIDATES: u64 = 10_000;

fn gate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gate");
    group.throughput(Throughput::Elements(CANDIDATES));
    let clauses: [(&str, Clause); 3] = [
        ("of one template, no index: length(title) > K", |k| {
            format!("length(title) > {}", k + 1000)
        }),
        ("of one index entry, the rest is false", |k| {
            format!("user_id = 7 AND length(title) > {}", k + 1000)
        }),
        ("of one index entry, all match", |_| "user_id = 7 AND length(title) > 3".to_owned()),
    ];
    let row = Record::with(&[(1, "7"), (3, "a title of 20 bytes.")]);
    for (name, clause) in clauses {
        let router = router(CANDIDATES, clause).expect("the clauses are fine");
        let mut scratch = Scratch::default();
        group.bench_function(name, |bench| {
            bench.iter(|| route(&router, &insert(&row), false, &mut scratch));
        });
    }
}

criterion_group!(benches, gate);
criterion_main!(benches);
