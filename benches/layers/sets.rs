//! Shapes over subqueries: sets that do not hold a row's value, values that move, and what a value takes.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use shape_expr::Datum;
use shape_router::{KeyParts, Router, Scratch, SetRow, ShapeSpec, Transaction};
use shape_router_benches::{Record, insert, route, router};

fn rows(values: std::ops::Range<i64>) -> Vec<SetRow<'static>> {
    values.map(|value| KeyParts::one(Datum::Int(value))).collect()
}

fn add(router: &Router, id: u64, clause: &str) {
    router.add_shape(ShapeSpec::new(id, Some(clause))).expect("the clause is fine");
}

/// So many sets of 100 values each, none of which is the row's.
fn others(sets: i64) -> Router {
    let router = router(0, |_| String::new()).expect("no clauses");
    for set in 0..sets {
        let subquery = format!("SELECT id FROM users WHERE team = {set}");
        add(&router, set as u64, &format!("user_id IN ({subquery})"));
        router.seed_values(&subquery, &rows(set * 100..set * 100 + 100)).expect("it is used");
    }
    router.rebuild().expect("it is open");
    router
}

fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sets of 100 values, one shape each");
    let mut scratch = Scratch::default();
    for sets in [0, 1, 10, 100, 1_000, 10_000] {
        let router = others(sets);
        let row = Record::with(&[(1, "-5")]);
        group.bench_function(format!("{sets} sets, none holds the value"), |bench| {
            bench.iter(|| assert_eq!(route(&router, &insert(&row), false, &mut scratch), 0));
        });
        if sets > 0 {
            let row = Record::with(&[(1, "7")]);
            group.bench_function(format!("{sets} sets, one holds the value"), |bench| {
                bench.iter(|| assert_eq!(route(&router, &insert(&row), false, &mut scratch), 1));
            });
        }
    }
    group.finish();
}

fn moves(criterion: &mut Criterion) {
    const VALUES: i64 = 100_000;
    let mut group = criterion.benchmark_group("1,000 shapes over one set of 100,000 values");
    let subquery = "SELECT id FROM users WHERE active";
    let router = router(0, |_| String::new()).expect("no clauses");
    let without = router.metrics().memory_bytes;
    for id in 0..1_000 {
        add(&router, id, &format!("user_id IN ({subquery}) AND priority = {id}"));
    }
    let shapes = router.metrics().memory_bytes - without;
    router.seed_values(subquery, &rows(0..VALUES)).expect("it is used");
    let metrics = router.metrics();
    println!(
        "a value takes {:.1} bytes, a shape over the set {:.1}",
        metrics.set_bytes as f64 / VALUES as f64,
        shapes as f64 / 1_000.0
    );
    let mut lsn = 0;
    // Each goes and comes again, so that the set stays as it is.
    group.bench_function("a value moves, and is acknowledged", |bench| {
        bench.iter(|| {
            lsn += 1;
            let transaction = Transaction::at(lsn);
            let value = rows((lsn as i64 / 2) % VALUES..(lsn as i64 / 2) % VALUES + 1);
            router.begin_txn(transaction).expect("it is open");
            let (came, went) =
                if lsn % 2 == 0 { (&[][..], &value[..]) } else { (&value[..], &[][..]) };
            let moves = router.move_values(transaction, 0, subquery, came, went).expect("fine");
            router.finish_txn(transaction).expect("it is the open one");
            assert!(router.ack(lsn, u64::MAX).expect("it is routed"));
            moves.moves.len()
        });
    });
    group.finish();
}

criterion_group!(benches, look_ups, moves);
criterion_main!(benches);
