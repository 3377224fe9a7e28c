//! What an index costs, beside a bare perfect hash function with an array of values and beside
//! `hashbrown`, in the same run.
//!
//! `cargo bench -p lane_index --bench index [-- <keys>...]`; without arguments 1M and 10M keys.
//! "hit" and "miss" are look-ups of random keys one after the other, whose cache misses may overlap.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lane_index::{Fsync, Journaling, LaneIndex, Op, Options};
use ptr_hash::{PtrHash, PtrHashParams, bucket_fn::Linear, hash::NoHash};

const QUERIES: usize = 1_000_000;
const ROUNDS: usize = 7;

type Bare = PtrHash<u64, Linear, Vec<u32>, NoHash, Vec<u8>>;

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000, 10_000_000] } else { sizes };
    for keys in sizes {
        println!("{keys} keys");
        measure(keys);
    }
}

fn options() -> Options {
    Options {
        journal: Journaling::Own(Fsync::Never),
        backlog_limit: Some(usize::MAX),
        ..Options::default()
    }
}

/// All keys of a run: the `n`-th is the same whenever it is asked for.
fn key(n: usize) -> u64 {
    let mut z = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn measure(keys: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let index = LaneIndex::open(folder.path(), options()).expect("opened");
    let start = Instant::now();
    for n in 0..keys {
        index.insert(key(n), n as u32).expect("written");
    }
    let inserted = start.elapsed();
    let flushed = {
        index.flush().expect("flushed");
        start.elapsed()
    };
    let peak_before = reset_peak();
    let start_compact = Instant::now();
    index.compact().expect("compacted");
    let compacted = start_compact.elapsed();
    let peak = peak() - peak_before;
    let stats = index.stats();
    println!(
        "  insert {:.0} ns, flushed after {:.1} s, compacted in {:.1} s with {:.0} MB more than before; \
         {} lanes, write amplification {:.1}, at most {} segments",
        inserted.as_nanos() as f64 / keys as f64,
        flushed.as_secs_f64(),
        compacted.as_secs_f64(),
        peak / 1e6,
        stats.num_lanes,
        stats.write_amplification,
        stats.max_segments,
    );
    println!(
        "  {:.2} B a key by its own count, {:.2} B on disk",
        stats.bytes_per_key,
        stats.segment_bytes as f64 / keys as f64
    );
    index.close().expect("closed");
    drop(index);
    std::thread::sleep(Duration::from_millis(200));
    let before = resident();
    let mut opened = vec![];
    for _ in 0..3 {
        let start = Instant::now();
        let index = LaneIndex::open(folder.path(), options()).expect("opened");
        opened.push(start.elapsed().as_secs_f64() * 1e3);
        index.close().expect("closed");
    }
    let index = LaneIndex::open(folder.path(), options()).expect("opened");
    let mut ids = Vec::new();
    for n in 0..keys {
        ids.clear();
        let _ = index.get(key(n), &mut ids);
        assert_eq!(ids.first(), Some(&(n as u32)), "key {n}");
    }
    println!(
        "  reopened in {:.1} ms, {:.2} B a key resident after every key was looked up",
        opened.iter().copied().fold(f64::INFINITY, f64::min),
        (resident() - before) / keys as f64,
    );
    look_ups(&index, keys);
    while_compacting(&index, keys);
    index.close().expect("closed");
    if keys <= 1_000_000 {
        several_ids(keys);
    }
}

/// What is measured: a name, and the sum of what the queries found.
type Case<'a> = (&'static str, &'a mut dyn FnMut(&[u64]) -> u64);

/// The median of rounds that take turns, in ns a query.
fn rounds(cases: &mut [Case<'_>], queries: &[Vec<u64>]) {
    let mut times = vec![vec![]; cases.len()];
    for _ in 0..ROUNDS {
        for (at, (_, case)) in cases.iter_mut().enumerate() {
            let start = Instant::now();
            black_box(case(&queries[at]));
            times[at].push(start.elapsed().as_nanos() as f64 / queries[at].len() as f64);
        }
    }
    for (at, (name, _)) in cases.iter().enumerate() {
        times[at].sort_by(f64::total_cmp);
        println!("    {name:<38} {:6.1} ns", times[at][ROUNDS / 2]);
    }
}

fn look_ups(index: &LaneIndex, keys: usize) {
    let all: Vec<u64> = (0..keys).map(key).collect();
    let bare: Bare = PtrHash::new(&all, PtrHashParams::default_fast());
    let mut values = vec![0_u32; keys];
    for (n, key) in all.iter().enumerate() {
        values[bare.index(key)] = n as u32;
    }
    let map: hashbrown::HashMap<u64, u32> =
        all.iter().enumerate().map(|(n, key)| (*key, n as u32)).collect();
    let mut random = Rng::with_seed(1);
    let hits: Vec<u64> = (0..QUERIES).map(|_| key(random.usize(0..keys))).collect();
    let misses: Vec<u64> = (0..QUERIES).map(|_| random.u64(..)).collect();
    let get = |queries: &[u64], verified: bool| {
        let mut ids = Vec::with_capacity(8);
        let mut sum = 0;
        for hash in queries {
            ids.clear();
            let _ = if verified {
                index.get_verified(*hash, &mut ids)
            } else {
                index.get(*hash, &mut ids)
            };
            sum += ids.iter().map(|id| u64::from(*id)).sum::<u64>();
        }
        sum
    };
    let batch = |queries: &[u64]| {
        let (mut ids, mut sum) = (Vec::with_capacity(8), 0);
        let _ = index.get_batch(queries, &mut ids, |_, ids| {
            sum += ids.iter().map(|id| u64::from(*id)).sum::<u64>();
        });
        sum
    };
    let look_up =
        |queries: &[u64]| queries.iter().filter_map(|q| map.get(q)).map(|v| u64::from(*v)).sum();
    // Each key depends on the answer before: nothing overlaps.
    let zero = black_box(0);
    let dependent = |queries: &[u64], value: &mut dyn FnMut(u64) -> u64| {
        queries.iter().fold(0, |last, key| value(key ^ (last & zero)))
    };
    let mut ids = Vec::with_capacity(8);
    rounds(
        &mut [
            ("bare ptr_hash and values, hit, latency", &mut |q| {
                dependent(q, &mut |key| u64::from(values[bare.index(&key)]))
            }),
            ("index, hit, latency", &mut |q| {
                dependent(q, &mut |key| {
                    ids.clear();
                    let _ = index.get(key, &mut ids);
                    ids.iter().map(|id| u64::from(*id)).sum()
                })
            }),
        ],
        &[hits.clone(), hits.clone()],
    );
    rounds(
        &mut [
            ("bare ptr_hash and values, hit", &mut |q| {
                q.iter().map(|key| u64::from(values[bare.index(key)])).sum()
            }),
            ("index, hit", &mut |q| get(q, false)),
            ("index, hit, verified", &mut |q| get(q, true)),
            ("index, hit, in one batch", &mut |q| batch(q)),
            ("hashbrown, hit", &mut { look_up }),
            ("index, miss", &mut |q| get(q, false)),
            ("hashbrown, miss", &mut { look_up }),
        ],
        &[hits.clone(), hits.clone(), hits.clone(), hits.clone(), hits, misses.clone(), misses],
    );
    // With an overlay that holds something, as in use.
    for n in 0..5000 {
        index.insert(key(keys + n), 1).expect("written");
    }
    let hits: Vec<u64> = (0..QUERIES).map(|_| key(random.usize(0..keys))).collect();
    rounds(&mut [("index, hit, 5,000 entries in the overlay", &mut |q| get(q, false))], &[hits]);
}

/// Latencies of single look-ups, quiet and while everything is written anew.
fn while_compacting(index: &LaneIndex, keys: usize) {
    let sample = |until: &dyn Fn() -> bool, seed: u64| {
        let mut random = Rng::with_seed(seed);
        let (mut times, mut ids) = (Vec::with_capacity(4_000_000), Vec::with_capacity(8));
        while !until() && times.len() < 4_000_000 {
            let hash = key(random.usize(0..keys));
            ids.clear();
            let start = Instant::now();
            let _ = black_box(index.get(hash, &mut ids));
            times.push(start.elapsed().as_nanos() as u32);
        }
        times.sort_unstable();
        let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000];
        (times.len(), at(500), at(990), at(999))
    };
    let end = Instant::now() + Duration::from_secs(2);
    let quiet = sample(&|| Instant::now() > end, 3);
    let done = AtomicBool::new(false);
    let lanes = index.stats().num_lanes;
    let (busy, took) = std::thread::scope(|scope| {
        let merging = scope.spawn(|| {
            let start = Instant::now();
            index.reshard(if lanes == 64 { 63 } else { 64 }).expect("resharded");
            done.store(true, Ordering::SeqCst);
            start.elapsed()
        });
        let busy = sample(&|| done.load(Ordering::SeqCst), 4);
        (busy, merging.join().expect("merged"))
    });
    for (name, (count, p50, p99, p999)) in [("quiet", quiet), ("while all is written anew", busy)] {
        println!("    latency {name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns of {count}");
    }
    println!("    written anew with another lane count in {:.1} s", took.as_secs_f64());
}

/// 1.2 ids a key, and 100,000 ids under one.
fn several_ids(keys: usize) {
    let index = LaneIndex::in_memory(options()).expect("opened");
    for n in 0..keys {
        index.insert(key(n), n as u32).expect("written");
        if n % 5 == 0 {
            index.insert(key(n), (keys + n) as u32).expect("written");
        }
    }
    index.compact().expect("compacted");
    let stats = index.stats();
    println!(
        "  1.2 ids a key: {:.2} B a key, {:.2} B with the cold part",
        stats.bytes_per_key,
        stats.segment_bytes as f64 / keys as f64
    );
    let index = LaneIndex::in_memory(options()).expect("opened");
    let mut seconds = HashMap::new();
    for remove in [false, true] {
        let start = Instant::now();
        for id in 0..100_000 {
            let op = if remove { Op::Remove { hash: 1, id } } else { Op::Insert { hash: 1, id } };
            index.write(&[op]).expect("written");
        }
        seconds.insert(remove, start.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "  100,000 ids under one key: added in {:.0} ms, removed in {:.0} ms",
        seconds[&false], seconds[&true]
    );
}

/// A line of `/proc/self/status` in bytes; 0 where there is none.
fn status(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}

fn resident() -> f64 {
    status("VmRSS:")
}

fn peak() -> f64 {
    status("VmHWM:")
}

/// Forgets the peak so far; returns what is resident now.
fn reset_peak() -> f64 {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    resident()
}
