//! What a look-up costs in indexes of all sizes and shapes, beside a bare perfect hash function with
//! an array of values and beside `hashbrown`, in the same run.
//!
//! `cargo bench -p lane_index --bench lookup [-- <keys>...]`; without arguments 1 to 10M keys.
//! Figures are processor time a look-up of a random key, medians of rounds that take turns; the
//! cache misses of look-ups may overlap unless it says "latency".

mod support;

use std::hint::black_box;

use fastrand::Rng;
use lane_index::{LaneIndex, Maintenance, Options};
use support::{Bare, QUERIES, key, rounds};

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let all = vec![1, 10, 100, 1_000, 9_000, 100_000, 1_000_000, 10_000_000];
    for keys in if sizes.is_empty() { all } else { sizes } {
        let yardsticks = Yardsticks::new(keys);
        if keys < 10_000 {
            measure("all in the overlay", &filled(keys, &[]), &yardsticks);
        }
        measure("in one segment", &filled(keys, &[keys]), &yardsticks);
        if keys >= 100_000 {
            // As leveling leaves them: each ten times as large as the one above it.
            let unit = keys / 1_111;
            let parts = [unit * 1_000, unit * 100, unit * 10, keys - unit * 1_110];
            measure("in four segments", &filled(keys, &parts), &yardsticks);
        }
    }
}

struct Yardsticks {
    keys: usize,
    bare: Bare,
    map: hashbrown::HashMap<u64, u32>,
    hits: Vec<u64>,
    misses: Vec<u64>,
}

impl Yardsticks {
    fn new(keys: usize) -> Self {
        let mut random = Rng::with_seed(1);
        Self {
            keys,
            bare: Bare::new(keys),
            map: (0..keys).map(|n| (key(n), n as u32)).collect(),
            hits: (0..QUERIES).map(|_| key(random.usize(0..keys))).collect(),
            misses: (0..QUERIES).map(|_| random.u64(..)).collect(),
        }
    }
}

/// An index in memory with segments of so many keys each, and the rest in its overlay.
fn filled(keys: usize, segments: &[usize]) -> LaneIndex {
    let options = Options {
        maintenance: Maintenance::Caller,
        backlog_limit: Some(usize::MAX),
        overlay_limit: Some(usize::MAX),
        lanes: Some((keys / (1 << 16)).next_power_of_two().clamp(1, 64) as u16),
        ..Options::default()
    };
    let index = LaneIndex::in_memory(options).expect("opened");
    let mut next = 0..keys;
    for part in segments {
        for n in next.by_ref().take(*part) {
            index.insert(key(n), n as u32).expect("written");
        }
        index.flush().expect("flushed");
    }
    for n in next {
        index.insert(key(n), n as u32).expect("written");
    }
    let stats = index.stats();
    assert_eq!(stats.segments, segments.len());
    index
}

/// The sum of what `look_up` finds for the queries, one after the other.
fn each(queries: &[u64], mut look_up: impl FnMut(u64, &mut Vec<u32>)) -> u64 {
    let (mut ids, mut sum) = (Vec::with_capacity(8), 0);
    for query in queries {
        ids.clear();
        look_up(*query, &mut ids);
        sum += ids.iter().map(|id| u64::from(*id)).sum::<u64>();
    }
    sum
}

/// As [`each`], each query waiting for the answer before.
fn chained(queries: &[u64], mut look_up: impl FnMut(u64, &mut Vec<u32>)) -> u64 {
    let (mut ids, mut last, zero) = (Vec::with_capacity(8), 0, black_box(0));
    for query in queries {
        ids.clear();
        look_up(query ^ (last & zero), &mut ids);
        last = ids.iter().map(|id| u64::from(*id)).sum::<u64>();
    }
    last
}

fn measure(shape: &str, index: &LaneIndex, yardsticks: &Yardsticks) {
    let Yardsticks { keys, bare, map, hits, misses } = yardsticks;
    println!("{keys} keys {shape}");
    let get = |query: u64, ids: &mut Vec<u32>| {
        let _ = index.get(query, ids);
    };
    let batch = |queries: &[u64]| {
        let (mut ids, mut sum) = (Vec::with_capacity(8), 0);
        let _ = index.get_batch(queries, &mut ids, |_, ids| {
            sum += ids.iter().map(|id| u64::from(*id)).sum::<u64>();
        });
        sum
    };
    let groups = |queries: &[u64]| {
        let (mut ids, mut sum) = (Vec::with_capacity(8), 0);
        for queries in queries.chunks(6) {
            ids.clear();
            let _ = index.get_each(queries, &mut ids);
            sum += ids.iter().map(|id| u64::from(*id)).sum::<u64>();
        }
        sum
    };
    let in_map = |queries: &[u64]| each(queries, |query, ids| ids.extend(map.get(&query)));
    rounds(&mut [
        ("hit: bare", hits, &mut |queries| queries.iter().map(|query| bare.get(*query)).sum()),
        ("hit", hits, &mut |queries| each(queries, get)),
        ("hit, in a large batch", hits, &mut { batch }),
        ("hit, six at a time", hits, &mut { groups }),
        ("hit: hashbrown", hits, &mut { in_map }),
    ]);
    rounds(&mut [
        ("miss: hashbrown", misses, &mut { in_map }),
        ("miss", misses, &mut |queries| each(queries, get)),
        ("miss, in a large batch", misses, &mut { batch }),
        ("miss, six at a time", misses, &mut { groups }),
    ]);
    rounds(&mut [
        ("latency of a hit: bare", hits, &mut |queries| {
            let (mut last, zero) = (0, black_box(0));
            queries.iter().for_each(|query| last = bare.get(query ^ (last & zero)));
            last
        }),
        ("latency of a hit", hits, &mut |queries| chained(queries, get)),
    ]);
}
