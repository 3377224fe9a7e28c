//! What membership costs: shapes of one clause that know their keys, and changes of which the WAL
//! tells only the key: `cargo run --release -p shape_router --example membership_cost [keys]`.
//!
//! Each shape holds ten keys. A hit is a DELETE of a key that one shape holds, a miss one of a key that
//! none does.
#![allow(clippy::unwrap_used)]

use shape_expr::{Column, Datum, Schema};
use shape_router::{Budget, Change, Config, Keys, Op, Router, Scratch, ShapeSpec};
use std::time::Instant;

const KEYS_A_SHAPE: u64 = 10;
const ROUNDS: u64 = 101;
const CHANGES: u64 = 200;

fn router() -> Router {
    let columns = [("id", "int8"), ("user_id", "int8")];
    let columns = columns.map(|(name, ty)| Column::new(name, ty.parse().unwrap()));
    let schema = Schema::new("t", columns.to_vec()).unwrap();
    let primary_key = vec!["id".to_owned()];
    Router::new(Config { primary_key, ..Config::new(schema) }).unwrap()
}

/// Fills a router with shapes that hold so many keys; the bytes it accounts for.
fn filled(keys: u64, held: bool) -> (Router, u64, f64) {
    let router = router();
    let shapes: Vec<_> = (0..keys / KEYS_A_SHAPE).map(|n| (n, format!("user_id = {n}"))).collect();
    let mut took = 0.0;
    for some in shapes.chunks(4096) {
        let of = |key: u64| std::iter::once(Datum::Int(key as i64)).collect();
        let specs = some.iter().map(|(n, clause)| {
            let first = n * KEYS_A_SHAPE;
            let keys = if held { first..first + KEYS_A_SHAPE } else { first..first };
            let keys = Keys::Known(keys.map(of).collect());
            ShapeSpec { keys, ..ShapeSpec::new(*n, Some(clause)) }
        });
        let start = Instant::now();
        router.add_shapes(specs).unwrap();
        took += start.elapsed().as_nanos() as f64;
    }
    router.rebuild().unwrap();
    let bytes = router.metrics().memory_bytes;
    (router, bytes, took / keys as f64)
}

fn measure(router: &Router, random: &mut u64, from: u64, keys: u64) -> (f64, f64, u64) {
    let (mut scratch, mut hits, mut times) = (Scratch::default(), 0, Vec::new());
    for _ in 0..ROUNDS {
        let keys: Vec<i64> = (0..CHANGES)
            .map(|_| {
                *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (from + (*random >> 33) % keys) as i64
            })
            .collect();
        let start = Instant::now();
        for key in keys {
            let old_key = Some(std::iter::once(Datum::Int(key)).collect());
            let change = Change { old_key, ..Change::new(Op::Delete) };
            let budget = &mut Budget::unlimited();
            router.route(&change, Default::default(), &mut scratch, budget, None).unwrap();
            hits += scratch.ids().len() as u64;
        }
        times.push(start.elapsed().as_nanos() as f64 / CHANGES as f64);
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2], hits)
}

fn main() {
    let keys: u64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let (_, empty, _) = filled(keys, false);
    let (router, bytes, seeded) = filled(keys, true);
    let mut random = 7;
    let (best, median, hits) = measure(&router, &mut random, 0, keys);
    assert_eq!(hits, ROUNDS * CHANGES, "every key is held by one shape");
    println!("{keys} keys, DELETE by key, hit:  best {best:.0} ns, median {median:.0} ns");
    let (best, median, hits) = measure(&router, &mut random, keys, keys);
    assert_eq!(hits, 0, "no shape holds these keys");
    println!("{keys} keys, DELETE by key, miss: best {best:.0} ns, median {median:.0} ns");
    println!("{:.1} bytes a key", (bytes as f64 - empty as f64) / keys as f64);
    println!("{seeded:.0} ns a key to add its shape");
}
