//! What an index costs over its life: writing, flushing, merging, opening, looking up, in a directory
//! as in use. `benches/lookup.rs` has look-ups in more detail.
//!
//! `cargo bench -p lane_index --bench index [-- <keys>...]`; without arguments 1M and 10M keys.
//! "hit" and "miss" are look-ups of random keys one after the other, whose cache misses may overlap.
//! What is done by one thread is processor time, what several do is the time on the clock.

#[path = "support/process.rs"]
mod process;
mod support;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lane_index::{Fsync, Journaling, LaneIndex, Maintenance, Options};
use process::{peak, reset_peak, resident};
use support::{Bare, QUERIES, key, now, rounds};

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    many_ids_under_one_key();
    for keys in if sizes.is_empty() { vec![1_000_000, 10_000_000] } else { sizes } {
        println!("{keys} keys");
        rates(keys);
        let folder = tempfile::tempdir().expect("a folder");
        drop(life(folder.path(), keys, true));
        let folder = tempfile::tempdir().expect("a folder");
        let index = life(folder.path(), keys, false);
        look_ups(&index, keys);
        while_compacting(&index, keys);
        index.close().expect("closed");
    }
}

fn options() -> Options {
    Options {
        journal: Journaling::Own(Fsync::Never),
        backlog_limit: Some(usize::MAX),
        ..Options::default()
    }
}

/// How fast overlays take entries, and segments are built and merged, with nothing else going on.
fn rates(keys: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        maintenance: Maintenance::Caller,
        overlay_limit: Some(usize::MAX),
        lanes: Some((keys / (1 << 16)).next_power_of_two().clamp(1, 64) as u16),
        ..options()
    };
    let index = LaneIndex::open(folder.path(), options).expect("opened");
    let start = now();
    for n in 0..keys {
        index.insert(key(n), n as u32).expect("written");
    }
    println!("  an insert, nothing else going on: {:.0} ns", (now() - start) / keys as f64);
    let start = Instant::now();
    index.flush().expect("flushed");
    let built = index.stats().segment_bytes as f64 / 1e6;
    let seconds = start.elapsed().as_secs_f64();
    println!("  a flush of all: {built:.1} MB at {:.1} MB/s", built / seconds);
    // As leveling has it: the new part is a tenth of the old one.
    for n in keys..keys + keys / 10 {
        index.insert(key(n), n as u32).expect("written");
    }
    index.flush().expect("flushed");
    let before = index.stats().segment_bytes as f64 / 1e6;
    let resident_before = reset_peak();
    let start = Instant::now();
    index.compact().expect("merged");
    let seconds = start.elapsed().as_secs_f64();
    let after = index.stats().segment_bytes as f64 / 1e6;
    println!(
        "  a merge of it with a tenth more: {before:.1} MB read and {after:.1} MB written at {:.1} MB/s \
         of what is written; peak memory {:.1} MB above what was resident",
        after / seconds,
        (peak() - resident_before) / 1e6
    );
}

/// Writes, flushes and merges in the background, closes and opens. With `lists`, every fifth key has
/// two ids.
fn life(folder: &std::path::Path, keys: usize, lists: bool) -> LaneIndex {
    println!("  {} a key", if lists { "1.2 ids" } else { "one id" });
    let index = LaneIndex::open(folder, options()).expect("opened");
    let (start, start_cpu) = (Instant::now(), now());
    let mut entries = 0;
    for n in 0..keys {
        index.insert(key(n), n as u32).expect("written");
        entries += 1;
        if lists && n.is_multiple_of(5) {
            index.insert(key(n), (keys + n) as u32).expect("written");
            entries += 1;
        }
    }
    let (inserted, inserted_cpu) = (start.elapsed(), now() - start_cpu);
    index.flush().expect("flushed");
    let flushed = start.elapsed();
    let start = Instant::now();
    let resident_before = reset_peak();
    index.compact().expect("compacted");
    let stats = index.stats();
    println!(
        "    an insert: {:.0} ns of its thread, {:.0} ns on the clock with flushes and merges beside it; \
         all flushed after {:.1} s",
        inserted_cpu / f64::from(entries),
        inserted.as_nanos() as f64 / f64::from(entries),
        flushed.as_secs_f64(),
    );
    println!(
        "    compacted in {:.1} s, peak memory {:.1} MB above what was resident; {} lanes, write \
         amplification {:.1}, at most {} segments",
        start.elapsed().as_secs_f64(),
        (peak() - resident_before) / 1e6,
        stats.num_lanes,
        stats.write_amplification,
        stats.max_segments,
    );
    let (counted, on_disk) = (stats.bytes_per_key, stats.segment_bytes as f64 / keys as f64);
    index.close().expect("closed");
    drop(index);
    std::thread::sleep(Duration::from_millis(300));
    // SAFETY: the call gives free memory back to the system, and does nothing else.
    unsafe { libc::malloc_trim(0) };
    let before = resident();
    let mut opened = vec![];
    for _ in 0..5 {
        let start = Instant::now();
        let index = LaneIndex::open(folder, options()).expect("opened");
        opened.push(start.elapsed().as_secs_f64() * 1e3);
        index.close().expect("closed");
    }
    opened.sort_by(f64::total_cmp);
    let index = LaneIndex::open(folder, options()).expect("opened");
    let mut ids = Vec::new();
    for n in 0..keys {
        ids.clear();
        let _ = index.get(key(n), &mut ids);
        assert_eq!(ids.first(), Some(&(n as u32)), "key {n}");
    }
    println!(
        "    reopened in {:.1} ms; bytes a key: {:.2} by growth of the process after every key was \
         looked up, {counted:.2} by its own count, {on_disk:.2} on disk",
        opened[2],
        (resident() - before) / keys as f64,
    );
    index
}

fn look_ups(index: &LaneIndex, keys: usize) {
    let bare = Bare::new(keys);
    let map: hashbrown::HashMap<u64, u32> = (0..keys).map(|n| (key(n), n as u32)).collect();
    let mut random = Rng::with_seed(1);
    let hits: Vec<u64> = (0..QUERIES).map(|_| key(random.usize(0..keys))).collect();
    let misses: Vec<u64> = (0..QUERIES).map(|_| random.u64(..)).collect();
    let get = |queries: &[u64]| {
        let (mut ids, mut sum) = (Vec::with_capacity(8), 0);
        for hash in queries {
            ids.clear();
            let _ = index.get(*hash, &mut ids);
            sum += ids.iter().map(|id| u64::from(*id)).sum::<u64>();
        }
        sum
    };
    let get_verified = |queries: &[u64]| {
        let (mut ids, mut sum) = (Vec::with_capacity(8), 0);
        for hash in queries {
            ids.clear();
            let _ = index.get_verified(*hash, &mut ids);
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
    let in_map =
        |queries: &[u64]| queries.iter().filter_map(|q| map.get(q)).map(|v| u64::from(*v)).sum();
    // Each key depends on the answer before: nothing overlaps.
    let zero = black_box(0);
    let mut ids = Vec::with_capacity(8);
    rounds(&mut [
        ("latency of a hit: bare perfect hash", &hits, &mut |queries| {
            queries.iter().fold(0, |last, key| bare.get(key ^ (last & zero)))
        }),
        ("latency of a hit", &hits, &mut |queries| {
            queries.iter().fold(0, |last, key| {
                ids.clear();
                let _ = index.get(key ^ (last & zero), &mut ids);
                ids.iter().map(|id| u64::from(*id)).sum()
            })
        }),
    ]);
    rounds(&mut [
        ("hit: bare perfect hash and values", &hits, &mut |queries| {
            queries.iter().map(|key| bare.get(*key)).sum()
        }),
        ("hit", &hits, &mut { get }),
        ("hit, verified", &hits, &mut { get_verified }),
        ("hit, in batches", &hits, &mut { batch }),
        ("hit: hashbrown", &hits, &mut { in_map }),
        ("miss", &misses, &mut { get }),
        ("miss, in batches", &misses, &mut { batch }),
        ("miss: hashbrown", &misses, &mut { in_map }),
    ]);
    // With an overlay that holds something, as in use.
    for n in 0..5000 {
        index.insert(key(keys + n), 1).expect("written");
    }
    rounds(&mut [
        ("hit: bare perfect hash and values", &hits, &mut |queries| {
            queries.iter().map(|key| bare.get(*key)).sum()
        }),
        ("hit, 5,000 entries in the overlay", &hits, &mut { get }),
    ]);
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

fn many_ids_under_one_key() {
    let index = LaneIndex::in_memory(options()).expect("opened");
    let start = Instant::now();
    for id in 0..100_000 {
        index.insert(1, id).expect("written");
    }
    let added = start.elapsed();
    let start = Instant::now();
    for id in 0..100_000 {
        index.remove(1, id).expect("written");
    }
    println!(
        "100,000 ids under one key: added in {:.1} ms, removed in {:.1} ms",
        added.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64() * 1e3
    );
}
