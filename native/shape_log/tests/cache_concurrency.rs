//! Readers on several threads while one writes and the pool evicts: never a gap, a duplicate or half an
//! operation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use shape_log::Offset;
use shape_log::cache::{CacheOptions, CachePool};

const OPERATIONS: u64 = 60_000;

/// Lengths differ, so that blocks are cut everywhere.
fn json(number: u64) -> Vec<u8> {
    let filler = "x".repeat((number * 37 % 300) as usize);
    format!("{{\"n\":{number},\"f\":\"{filler}\"}}").into_bytes()
}

#[derive(serde::Deserialize)]
struct Operation {
    n: u64,
    f: String,
}

#[test]
fn answers_are_whole_while_operations_come_and_go() {
    let options = CacheOptions {
        max_operations: 300,
        max_bytes: 40_000,
        ttl_ms: Some(400),
        // Two caches fill it, so that each takes from the other.
        budget: 70_000,
    };
    let pool = CachePool::new(options).expect("options");
    let (cache, other) = (pool.cache(Offset::ZERO), pool.cache(Offset::ZERO));
    let (newest, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for reader in 0..3_u64 {
            let (cache, newest, done, hits, misses) = (&cache, &newest, &done, &hits, &misses);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(reader);
                let mut at = 0;
                while !done.load(Ordering::Relaxed) {
                    let known = newest.load(Ordering::Acquire);
                    if random.u8(..) < 40 {
                        at = known.saturating_sub(random.u64(0..400));
                    }
                    let limit = if random.bool() { usize::MAX } else { random.usize(0..50) };
                    let Some(answer) = cache.read_since(Offset::new(at, 0), limit, known / 10)
                    else {
                        misses.fetch_add(1, Ordering::Relaxed);
                        at = known;
                        continue;
                    };
                    let bytes = answer.to_vec();
                    let found: Vec<Operation> = serde_json::from_slice(&bytes).expect("JSON");
                    assert_eq!(found.len(), answer.count());
                    for operation in &found {
                        at += 1;
                        assert_eq!(operation.n, at, "a gap or a duplicate");
                        assert_eq!(operation.f.len() as u64, at * 37 % 300);
                    }
                    assert_eq!(answer.last(), Offset::new(at, 0));
                    if limit == usize::MAX {
                        assert!(at >= known, "{at} of {known}, which was there before");
                    }
                    hits.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                number += 1;
                let now = newest.load(Ordering::Relaxed) / 10;
                other.append(&[(Offset::new(number, 0), &json(number))], now).expect("append");
                if number % 64 == 0 {
                    pool.expire(now);
                    std::thread::yield_now();
                }
            }
        });
        let mut random = fastrand::Rng::with_seed(9);
        let mut number = 0;
        while number < OPERATIONS {
            let batch: Vec<_> = (1..=random.u64(1..20))
                .map(|by| (Offset::new(number + by, 0), json(number + by)))
                .collect();
            let given: Vec<_> = batch.iter().map(|(offset, json)| (*offset, &json[..])).collect();
            number += batch.len() as u64;
            cache.append(&given, number / 10).expect("append");
            newest.store(number, Ordering::Release);
        }
        done.store(true, Ordering::Relaxed);
    });
    let (hits, misses) = (hits.into_inner(), misses.into_inner());
    assert!(hits > 100, "{hits} hits, {misses} misses");
    let stats = cache.stats(0);
    assert_eq!((stats.hit_count, stats.miss_count), (hits, misses));
}
