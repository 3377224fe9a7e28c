//! The budget that caches share.

use shape_log::Offset;
use shape_log::cache::{CacheOptions, CachePool, OperationCache};

const OPERATION: usize = 200;

fn pool(budget: usize) -> CachePool {
    CachePool::new(CacheOptions { budget, ttl_ms: None, ..CacheOptions::default() })
        .expect("options")
}

fn fill(cache: &OperationCache, count: u64, now: u64) {
    let json = vec![b'7'; OPERATION];
    let newest = cache.stats(now).newest_offset;
    for number in 1..=count {
        cache.append(&[(Offset::new(newest.tx + number, 0), &json)], now).expect("append");
    }
}

fn whole(cache: &OperationCache, now: u64) -> bool {
    cache.stats(now).floor == Offset::ZERO
}

#[test]
fn the_shape_that_was_not_used_for_the_longest_time_gives_first() {
    let pool = pool(100_000);
    let caches: Vec<_> = (0..4).map(|_| pool.cache(Offset::ZERO)).collect();
    for (now, cache) in (10..).zip(&caches) {
        fill(cache, 80, now);
    }
    assert!(caches.iter().all(|cache| whole(cache, 20)), "{}", pool.allocated_bytes());
    // The first one is read, so that the second one is the oldest.
    drop(caches[0].read_since(Offset::ZERO, 1, 30));
    fill(&caches[3], 70, 40);
    assert!(pool.allocated_bytes() <= 100_000);
    let stays: Vec<_> = caches.iter().map(|cache| whole(cache, 41)).collect();
    assert_eq!(stays, [true, false, true, true]);
    // It gives from its old end, a block at a time, and keeps its newest.
    let stats = caches[1].stats(41);
    assert!(stats.size > 0 && stats.evict_count > 0, "{stats:?}");
    assert_eq!(stats.newest_offset, Offset::new(80, 0));
    assert!(caches[1].read_since(stats.floor, usize::MAX, 41).is_some());
}

#[test]
fn one_shape_alone_keeps_to_the_budget_too() {
    let pool = pool(20_000);
    let cache = pool.cache(Offset::ZERO);
    fill(&cache, 1000, 1);
    assert!(pool.allocated_bytes() <= 20_000);
    let stats = cache.stats(1);
    assert!(stats.size >= 30, "{stats:?}");
    let answer = cache.read_since(stats.floor, usize::MAX, 1).expect("a hit");
    assert_eq!((answer.count(), answer.last()), (stats.size, Offset::new(1000, 0)));
}

#[test]
fn nothing_is_kept_where_the_budget_has_no_room() {
    let pool = pool(0);
    let cache = pool.cache(Offset::ZERO);
    fill(&cache, 5, 1);
    let stats = cache.stats(1);
    assert_eq!((stats.size, stats.floor, pool.allocated_bytes()), (0, Offset::new(5, 0), 0));
}

#[test]
fn every_byte_is_given_back() {
    let pool = pool(1 << 20);
    let mut caches: Vec<_> = (0..50).map(|_| pool.cache(Offset::ZERO)).collect();
    for (now, cache) in (0..).zip(&caches) {
        fill(cache, now % 60, now);
    }
    let sum = |caches: &[OperationCache]| -> usize {
        caches.iter().map(|cache| cache.stats(60).allocated_bytes).sum()
    };
    assert_eq!(pool.allocated_bytes(), sum(&caches));
    caches.retain(|cache| cache.stats(60).size % 3 == 0);
    assert_eq!(pool.allocated_bytes(), sum(&caches));
    // Caches come and go without an end, and those that are gone leave nothing.
    for number in 0..2_000 {
        fill(&pool.cache(Offset::ZERO), 1 + number % 3, 70);
    }
    assert_eq!(pool.allocated_bytes(), sum(&caches));
    caches.clear();
    assert_eq!(pool.allocated_bytes(), 0);
}

#[test]
fn quiet_caches_give_back_what_is_too_old() {
    let options = CacheOptions { ttl_ms: Some(100), ..CacheOptions::default() };
    let pool = CachePool::new(options).expect("options");
    let caches: Vec<_> = (0..1_000).map(|_| pool.cache(Offset::ZERO)).collect();
    for (number, cache) in (0..).zip(&caches) {
        fill(cache, 1, number);
    }
    pool.expire(600);
    let left = caches.iter().filter(|cache| cache.stats(600).size > 0).count();
    assert_eq!(left, 499);
    pool.expire(2_000);
    assert_eq!(pool.allocated_bytes(), 0);
    assert!(caches[0].read_since(Offset::new(1, 0), 1, 2_000).is_some());
    // They are known again as soon as they have something.
    fill(&caches[7], 3, 2_001);
    assert!(pool.allocated_bytes() > 0);
    pool.expire(3_000);
    assert_eq!(pool.allocated_bytes(), 0);
}
