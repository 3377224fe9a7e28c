//! Layer 4: what a change means for a shape, by the old row, by the key, and in transactions.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use shape_expr::Datum;
use shape_router::{Budget, Change, KeyParts, Keys, Op, Scratch, ShapeSpec, Transaction};
use shape_router_benches::{Record, insert, route, router, shapes};

fn answers(criterion: &mut Criterion) {
    let shapes = shapes();
    let mut group = criterion.benchmark_group(format!("answer, {shapes} shapes"));
    let router = router(shapes, |k| format!("user_id = {k}")).expect("the clauses are fine");
    let mut scratch = Scratch::default();
    let (old, new) = (Record::with(&[(1, "7")]), Record::with(&[(1, "7"), (5, "open")]));
    let other = Record::with(&[(1, "8")]);
    group.bench_function("insert", |bench| {
        bench.iter(|| route(&router, &insert(&new), true, &mut scratch));
    });
    for (name, new) in
        [("update within a shape", &new), ("update from one shape to another", &other)]
    {
        let change = Change { new: Some(new), old: Some(&old), ..Change::new(Op::Update) };
        group.bench_function(name, |bench| {
            bench.iter(|| route(&router, &change, true, &mut scratch));
        });
    }
    let delete = Change { old: Some(&old), ..Change::new(Op::Delete) };
    group.bench_function("delete, old row", |bench| {
        bench.iter(|| route(&router, &delete, true, &mut scratch));
    });
    group.finish();

    // Known membership: the key alone tells.
    let mut group = criterion.benchmark_group("answer, 10,000 shapes of known membership");
    let router = shape_router_benches::router(0, |_| String::new()).expect("no clauses");
    let clauses: Vec<String> = (0..10_000).map(|k| format!("user_id = {k}")).collect();
    let key = |k: u64| KeyParts::one(Datum::Int(k as i64));
    let specs = clauses.iter().zip(0..).map(|(clause, id)| ShapeSpec {
        keys: Keys::Known((id * 10..id * 10 + 10).map(key).collect()),
        ..ShapeSpec::new(id, Some(clause))
    });
    router.add_shapes(specs).expect("the clauses are fine");
    router.rebuild().expect("it is open");
    let mut next = 0;
    group.bench_function("delete, key only", |bench| {
        bench.iter(|| {
            next = (next + 7919) % 100_000;
            let change = Change { old_key: Some(key(next)), ..Change::new(Op::Delete) };
            assert_eq!(route(&router, &change, true, &mut scratch), 1);
        });
    });
    let mut lsn = 1;
    group.bench_function("a transaction of one insert, acknowledged", |bench| {
        bench.iter(|| {
            lsn += 1;
            let transaction = Transaction::at(lsn);
            let change = Change { key: Some(key(200_000 + lsn)), ..insert(&new) };
            let budget = &mut Budget::unlimited();
            router.begin_txn(transaction).expect("it is open");
            router.route_txn(transaction, 0, &change, &mut scratch, budget, None).expect("routed");
            router.finish_txn(transaction).expect("it is open");
            while !router.ack(lsn, u64::MAX).expect("it is open") {}
        });
    });
}

criterion_group!(benches, answers);
criterion_main!(benches);
