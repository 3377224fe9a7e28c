//! The operation cache beside a plain deque.

use std::collections::VecDeque;

use proptest::prelude::*;
use shape_log::cache::{CacheOptions, CachePool, OperationCache};
use shape_log::{Error, Offset};

const TTL: u64 = 50;

/// What the cache must do, in the plainest words.
struct Model {
    operations: VecDeque<(Offset, Vec<u8>, u64)>,
    floor: Offset,
    newest: Offset,
    evicted: u64,
    hits: u64,
    misses: u64,
    options: CacheOptions,
}

impl Model {
    fn new(options: CacheOptions, floor: Offset) -> Self {
        let operations = VecDeque::new();
        Self { operations, floor, newest: floor, evicted: 0, hits: 0, misses: 0, options }
    }

    fn bytes(&self) -> usize {
        self.operations.iter().map(|operation| operation.1.len()).sum()
    }

    fn pop(&mut self) {
        let (offset, ..) = self.operations.pop_front().expect("there is one");
        self.floor = offset;
        self.evicted += 1;
    }

    fn evict(&mut self, now: u64) {
        while self.operations.len() > self.options.max_operations
            || self.bytes() > self.options.max_bytes
            || matches!((self.operations.front(), self.options.ttl_ms),
                (Some((.., time)), Some(ttl)) if time + ttl <= now)
        {
            self.pop();
        }
    }

    fn append(&mut self, operations: &[(Offset, Vec<u8>)], now: u64) {
        for (offset, json) in operations {
            self.operations.push_back((*offset, json.clone(), now));
            self.newest = *offset;
            self.evict(now);
        }
        self.evict(now);
    }

    fn evict_through(&mut self, offset: Offset) {
        while self.operations.front().is_some_and(|operation| operation.0 <= offset) {
            self.pop();
        }
        if offset > self.newest {
            (self.floor, self.newest) = (offset, offset);
        }
    }

    fn read(&mut self, offset: Offset, limit: usize, now: u64) -> Option<(Vec<u8>, Offset)> {
        self.evict(now);
        if offset < self.floor || offset > self.newest {
            self.misses += 1;
            return None;
        }
        self.hits += 1;
        let mut last = offset;
        let texts: Vec<&str> = self
            .operations
            .iter()
            .filter(|operation| operation.0 > offset)
            .take(limit)
            .map(|operation| {
                last = operation.0;
                std::str::from_utf8(&operation.1).expect("text")
            })
            .collect();
        Some((format!("[{}]", texts.join(",")).into_bytes(), last))
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Sizes of operations, and how far each is from the one before.
    Append(Vec<(u16, u8)>),
    /// How far behind, or beyond, the newest.
    Read(i64, usize),
    EvictThrough(i64),
    Wait(u64),
    Stats,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![8 => 0_u16..40, 2 => 40_u16..2_000, 1 => Just(9_000_u16)];
    let step = prop_oneof![
        6 => prop::collection::vec((size, 1_u8..4), 0..30).prop_map(Step::Append),
        8 => (-80_i64..4, prop_oneof![Just(usize::MAX), 0_usize..40])
            .prop_map(|(from, limit)| Step::Read(from, limit)),
        1 => (-60_i64..4).prop_map(Step::EvictThrough),
        3 => (0_u64..TTL + 5).prop_map(Step::Wait),
        1 => Just(Step::Stats),
    ];
    prop::collection::vec(step, 1..80)
}

fn json(number: u64, size: u16) -> Vec<u8> {
    let mut json = format!("{number}").into_bytes();
    json.resize(json.len() + usize::from(size), b' ');
    json
}

fn near(newest: Offset, by: i64) -> Offset {
    Offset::new(newest.tx, newest.op.saturating_add_signed(by))
}

fn same(cache: &OperationCache, model: &mut Model, offset: Offset, limit: usize, now: u64) {
    let answer = cache.read_since(offset, limit, now);
    let expected = model.read(offset, limit, now);
    assert_eq!(
        answer.as_ref().map(|answer| (answer.to_vec(), answer.last())),
        expected,
        "since {offset}"
    );
    if let Some(answer) = answer {
        let mut buffer = vec![b'?'; answer.length()];
        answer.write_to(&mut buffer).expect("as long as it says");
        assert_eq!(buffer, answer.to_vec());
        assert_eq!(answer.write_to(&mut buffer[1..]), Err(answer.length()));
        let array: Vec<u64> = serde_json::from_slice(&buffer).expect("a JSON array");
        assert_eq!(array.len(), answer.count());
    }
}

fn check(options: CacheOptions, steps: Vec<Step>) {
    let floor = Offset::new(3, 100);
    let cache = CachePool::new(options).expect("options").cache(floor);
    let mut model = Model::new(options, floor);
    let mut now = 0;
    let mut number = 0;
    for step in steps {
        match step {
            Step::Append(sizes) => {
                let mut offset = model.newest;
                let operations: Vec<_> = sizes
                    .into_iter()
                    .map(|(size, by)| {
                        offset.op += u64::from(by);
                        number += 1;
                        (offset, json(number, size))
                    })
                    .collect();
                let given: Vec<_> =
                    operations.iter().map(|(offset, json)| (*offset, &json[..])).collect();
                cache.append(&given, now).expect("ascending");
                model.append(&operations, now);
            }
            Step::Read(by, limit) => {
                let from = near(model.newest, by);
                same(&cache, &mut model, from, limit, now);
            }
            Step::EvictThrough(by) => {
                let offset = near(model.newest, by);
                cache.evict_through(offset);
                model.evict_through(offset);
            }
            Step::Wait(by) => now += by,
            Step::Stats => {
                model.evict(now);
                let stats = cache.stats(now);
                assert_eq!(stats.size, model.operations.len());
                assert_eq!(stats.bytes, model.bytes());
                assert_eq!(stats.floor, model.floor);
                assert_eq!(stats.oldest_offset, model.operations.front().map(|front| front.0));
                assert_eq!(stats.newest_offset, model.newest);
                assert_eq!((stats.hit_count, stats.miss_count), (model.hits, model.misses));
                assert_eq!(stats.evict_count, model.evicted);
            }
        }
    }
    for by in -90..3 {
        let from = near(model.newest, by);
        same(&cache, &mut model, from, usize::MAX, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn it_answers_as_a_deque_does(
        steps in steps(),
        max_operations in prop_oneof![Just(1000_usize), 0_usize..40],
        max_bytes in prop_oneof![Just(1_usize << 20), 0_usize..4_000],
        ttl_ms in prop_oneof![Just(None), Just(Some(TTL)), Just(Some(0))],
    ) {
        let budget = usize::MAX;
        check(CacheOptions { max_operations, max_bytes, ttl_ms, budget }, steps);
    }
}

#[test]
fn what_does_not_ascend_is_refused_as_a_whole() {
    let cache = CachePool::new(CacheOptions::default()).expect("options").cache(Offset::new(5, 0));
    let operation = |tx, op| (Offset::new(tx, op), &b"1"[..]);
    for operations in [
        vec![operation(5, 0)],
        vec![operation(4, 9)],
        vec![operation(6, 1), operation(6, 1)],
        vec![operation(6, 1), operation(7, 0), operation(6, 2)],
    ] {
        let error = cache.append(&operations, 0).expect_err("it does not ascend");
        assert!(matches!(error, Error::OutOfOrder { .. }), "{error}");
    }
    let stats = cache.stats(0);
    assert_eq!(
        (stats.size, stats.newest_offset, stats.floor),
        (0, Offset::new(5, 0), stats.newest_offset)
    );
    assert_eq!(cache.read_since(Offset::new(5, 0), 9, 0).expect("at the floor").to_vec(), b"[]");
}

#[test]
fn after_a_restart_everything_before_the_durable_end_is_a_miss() {
    let end = Offset::new(900, 3);
    let cache = CachePool::new(CacheOptions::default()).expect("options").cache(end);
    assert!(cache.read_since(Offset::new(900, 2), 9, 0).is_none());
    assert!(cache.read_since(Offset::new(900, 4), 9, 0).is_none());
    let answer = cache.read_since(end, 9, 0).expect("nothing is missing");
    assert_eq!((answer.to_vec(), answer.last(), answer.count()), (b"[]".to_vec(), end, 0));
    cache.append(&[(Offset::new(901, 0), b"{}")], 0).expect("append");
    assert_eq!(cache.read_since(end, 9, 0).expect("a hit").to_vec(), b"[{}]");
    assert!((cache.stats(0).hit_rate() - 0.5).abs() < 1e-9);
}

#[test]
fn a_clock_that_goes_back_brings_nothing_back() {
    let options = CacheOptions { ttl_ms: Some(10), ..CacheOptions::default() };
    let cache = CachePool::new(options).expect("options").cache(Offset::ZERO);
    cache.append(&[(Offset::new(1, 0), b"1")], 100).expect("append");
    cache.append(&[(Offset::new(2, 0), b"2")], 95).expect("append");
    assert_eq!(cache.read_since(Offset::ZERO, 9, 105).expect("fresh").to_vec(), b"[1,2]");
    assert!(cache.read_since(Offset::ZERO, 9, 110).is_none());
    assert_eq!(cache.stats(110).size, 0);
    assert_eq!(cache.stats(50).size, 0);
}

#[test]
fn a_cache_longer_than_its_places_can_say_is_refused() {
    let options = CacheOptions { max_bytes: (1 << 30) + 1, ..CacheOptions::default() };
    let error = CachePool::new(options).err().expect("too long").to_string();
    assert!(error.contains("max_bytes"), "{error}");
}
