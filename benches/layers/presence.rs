//! Layer 1: changes that concern no shape. What they cost must not grow with the number of shapes.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use shape_router::Scratch;
use shape_router_benches::{Random, Record, insert, route, router, shapes};

fn misses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("presence: user_id = K, miss");
    for shapes in [1_000, shapes()] {
        let router = router(shapes, |k| format!("user_id = {k}")).expect("the clauses are fine");
        let (mut random, mut scratch) = (Random(1), Scratch::default());
        let row = |_| Record::with(&[(1, &(shapes + random.below(shapes)).to_string())]);
        let rows: Vec<Record> = (0..10_000).map(row).collect();
        let mut rows = rows.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(shapes), |bench| {
            bench.iter(|| {
                let row = rows.next().expect("it goes round");
                assert_eq!(route(&router, &insert(row), false, &mut scratch), 0);
            });
        });
    }
}

criterion_group!(benches, misses);
criterion_main!(benches);
