//! What a segment costs, beside a bare perfect hash function with an array of values and beside a
//! binary fuse filter, in the same run.
//!
//! `cargo bench -p lane_index --bench segment [-- <keys>... <part of a case's name>...]`; without
//! arguments 1M and 10M keys and all cases.
//! Figures are processor time, medians of rounds that take turns, so that a busy moment hits all alike. "latency"
//! is a look-up whose key depends on the answer before; the rest may overlap.

use std::hint::black_box;

use lane_index::storage::Directory;
use lane_index::{OpenOptions, Posting, Segment, SegmentBuilder, SegmentOptions};
use ptr_hash::{PtrHash, PtrHashParams, bucket_fn::Linear, hash::NoHash};
use xorf::{BinaryFuse8, Filter};

const LANES: u32 = 64;
const QUERIES: usize = 1_000_000;
const ROUNDS: usize = 9;

type Bare = PtrHash<u64, Linear, Vec<u32>, NoHash, Vec<u8>>;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The lane of a hash here: any function of the hash serves.
fn lane(hash: u64) -> u16 {
    (hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 58) as u16 % LANES as u16
}

const OPTIONS: SegmentOptions = SegmentOptions { lanes: LANES, level: 1 };

/// Writes a segment, opens it and looks up every key: how long that takes, and by how much the
/// process grows.
fn from_a_file(keys: &[(u16, u64)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = Directory::open(folder.path()).expect("a folder");
    let resident_before = resident();
    let mut builder = SegmentBuilder::new(&storage, "bench.seg", OPTIONS).expect("a file");
    for (id, &(lane, hash)) in keys.iter().enumerate() {
        builder.push(lane, hash, &[id as u32], &[]).expect("in order");
    }
    let meta = builder.finish().expect("written");
    let peak = resident_peak() - resident_before;
    let mut opened = vec![];
    for _ in 0..5 {
        let start = now();
        let segment = Segment::open(&storage, &meta, OpenOptions::default()).expect("sound");
        opened.push((now() - start) / 1e6);
        drop(segment);
    }
    opened.sort_by(f64::total_cmp);
    let left = resident() - resident_before;
    let segment = Segment::open(&storage, &meta, OpenOptions::default()).expect("sound");
    let found = keys.iter().filter(|(lane, hash)| segment.get(*lane, *hash).is_some()).count();
    assert_eq!(found, keys.len());
    println!(
        "  in a mapped file: opened in {:.1} ms; the process grew by {:.2} B a key; peak of the \
         build beyond what was there {:.1} MB, of {:.1} MB written",
        opened[2],
        (resident() - resident_before - left) / keys.len() as f64,
        peak / 1e6,
        meta.bytes as f64 / 1e6,
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
    status("VmRSS")
}

/// The most that the process has had so far.
fn resident_peak() -> f64 {
    status("VmHWM")
}

fn build(keys: &[(u16, u64)], lists: bool) -> (Segment, f64) {
    let start = now();
    let mut builder = SegmentBuilder::in_memory(OPTIONS).expect("memory");
    let mut random = Random(5);
    for &(lane, hash) in keys {
        let id = (random.next() % keys.len() as u64) as u32;
        // One key in five has two ids: 1.2 ids a key.
        if lists && random.next().is_multiple_of(5) {
            let other = (random.next() % keys.len() as u64) as u32;
            builder.push(lane, hash, &[id.min(other), id.max(other) + 1], &[]).expect("in order");
        } else {
            builder.push(lane, hash, &[id], &[]).expect("in order");
        }
    }
    let segment = builder.finish().expect("sound");
    (segment, (now() - start) / keys.len() as f64)
}

/// The processor time of this thread in nanoseconds: what others do on the machine counts little.
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time to the structure, which lives on the stack, and that is all.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// A named way to run all queries once.
type Case<'a> = (&'a str, Box<dyn Fn() -> u64 + 'a>);

/// The median time of a query for each case.
fn measure(cases: &[Case<'_>]) -> Vec<f64> {
    let mut times = vec![vec![]; cases.len()];
    for _ in 0..ROUNDS {
        for (times, (_, run)) in times.iter_mut().zip(cases) {
            let start = now();
            black_box(run());
            times.push((now() - start) / QUERIES as f64);
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[ROUNDS / 2]
        })
        .collect()
}

/// Queries that overlap, and queries that wait for the answer before.
fn cases<'a>(
    name: [&'a str; 2],
    queries: &'a [(u16, u64)],
    get: impl Fn(u16, u64) -> u32 + Copy + 'a,
) -> [Case<'a>; 2] {
    let zero = black_box(0u32);
    [
        (name[0], Box::new(move || queries.iter().map(|&(l, h)| u64::from(get(l, h))).sum())),
        (
            name[1],
            Box::new(move || {
                let mut last = 0;
                for &(lane, hash) in queries {
                    last = get(lane, hash ^ u64::from(last & zero));
                }
                u64::from(last)
            }),
        ),
    ]
}

fn first(segment: &Segment, lane: u16, hash: u64) -> u32 {
    segment.get(lane, hash).map_or(0, first_id)
}

fn first_id(posting: Posting<'_>) -> u32 {
    posting.single().unwrap_or_else(|| first_of_list(posting))
}

#[cold]
fn first_of_list(posting: Posting<'_>) -> u32 {
    posting.adds().next().unwrap_or(0)
}

fn report(count: usize, only: &[String]) {
    let mut random = Random(count as u64);
    let mut keys: Vec<(u16, u64)> =
        (0..count).map(|_| random.next()).map(|hash| (lane(hash), hash)).collect();
    keys.sort_unstable();
    keys.dedup();
    let count = keys.len();
    let hits: Vec<(u16, u64)> =
        (0..QUERIES).map(|_| keys[(random.next() % count as u64) as usize]).collect();
    let misses: Vec<(u16, u64)> =
        (0..QUERIES).map(|_| random.next()).map(|hash| (lane(hash), hash)).collect();

    println!("\n{count} keys in {LANES} lanes");
    from_a_file(&keys);
    for (ids, lists) in [("1  ", false), ("1.2", true)] {
        let (segment, ns) = build(&keys, lists);
        let per_key = |bytes: u64| bytes as f64 / count as f64;
        let start = now();
        let merged = segment.entries().map(|entry| entry.expect("sound").posting.adds().count());
        let ids_read: usize = black_box(merged.sum());
        println!(
            "  {ids} ids a key: resident {:.2} B a key, in all {:.2}; build {ns:.0} ns a key; \
             entries {:.0} ns a key ({ids_read} ids)",
            per_key(segment.hot_bytes()),
            per_key(segment.meta().bytes),
            (now() - start) / count as f64,
        );
    }

    let (segment, _) = build(&keys, false);
    let hashes: Vec<u64> = keys.iter().map(|&(_, hash)| hash).collect();
    let start = now();
    let function = Bare::new(&hashes, PtrHashParams::default_fast());
    println!("  ptr_hash alone: build {:.0} ns a key", per_ns(start, count));
    let mut values = vec![0u32; count];
    for (value, hash) in hashes.iter().enumerate() {
        values[function.index(hash)] = value as u32;
    }
    let start = now();
    let fuse = BinaryFuse8::try_from(&hashes).expect("distinct");
    println!("  fuse8 alone: build {:.0} ns a key", per_ns(start, count));

    let bare = |_: u16, hash: u64| values[function.index(&hash)];
    let get = |lane: u16, hash: u64| first(&segment, lane, hash);
    let behind_fuse =
        |lane: u16, hash: u64| if fuse.contains(&hash) { first(&segment, lane, hash) } else { 0 };
    let fuse_only = |_: u16, hash: u64| u32::from(fuse.contains(&hash));
    let may_contain = |lane: u16, hash: u64| u32::from(segment.may_contain(lane, hash));
    let verified = |lane: u16, hash: u64| segment.get_verified(lane, hash).map_or(0, first_id);
    let batch = |queries: &'static [(u16, u64)]| {
        let mut sum = 0u64;
        segment.get_batch(queries, |_, posting| {
            sum += u64::from(first_id(posting));
        });
        sum
    };
    let hits: &'static [(u16, u64)] = hits.leak();
    let misses: &'static [(u16, u64)] = misses.leak();
    let mut all: Vec<Case<'_>> = vec![];
    all.extend(cases(["bare: hit", "bare: hit, latency"], hits, bare));
    all.extend(cases(["segment: hit", "segment: hit, latency"], hits, get));
    all.extend(cases(["segment: miss", "segment: miss, latency"], misses, get));
    all.push(("segment: hits in a batch", Box::new(|| batch(hits))));
    all.push(("segment: misses in a batch", Box::new(|| batch(misses))));
    all.extend(cases(["verified: hit", "verified: hit, latency"], hits, verified));
    all.extend(cases(["may_contain: miss", "may_contain: miss, latency"], misses, may_contain));
    all.extend(cases(["fuse8: miss", "fuse8: miss, latency"], misses, fuse_only));
    all.extend(cases(["fuse8 + segment: hit", "fuse8 + segment: hit, latency"], hits, behind_fuse));
    // The two yardsticks stay.
    let mut index = 0;
    all.retain(|(name, _)| {
        index += 1;
        index <= 2 || only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
    });
    let times = measure(&all);
    for (index, ((name, _), time)) in all.iter().zip(&times).enumerate() {
        let yardstick = times[usize::from(name.contains("latency"))];
        if index < 2 {
            println!("  {name:<32} {time:>6.1} ns");
        } else {
            println!("  {name:<32} {time:>6.1} ns  {:>5.2} x bare", time / yardstick);
        }
    }
}

fn per_ns(start: f64, count: usize) -> f64 {
    (now() - start) / count as f64
}

fn main() {
    let arguments = || std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let counts: Vec<usize> = arguments().filter_map(|argument| argument.parse().ok()).collect();
    let only: Vec<String> = arguments().filter(|a| a.parse::<usize>().is_err()).collect();
    let counts = if counts.is_empty() { vec![1_000_000, 10_000_000] } else { counts };
    for count in counts {
        report(count, &only);
    }
}
