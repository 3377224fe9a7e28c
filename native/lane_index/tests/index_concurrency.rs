//! Readers on every thread during writes, flushes, merges, resharding and closing: no answer is wrong.
//!
//! Two seconds by default; a minute with `SHAPE_ROUTER_LONG=1`. How long look-ups took, quiet and during
//! all that, is printed: `cargo nextest run -p lane_index --no-capture no_answer_is_wrong`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use lane_index::{Answer, Error, Fsync, Journaling, LaneIndex, Op, Options};

const KEYS: u64 = 3000;
const READERS: u64 = 3;

fn hash(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key << 7)
}

/// What is always there, whatever the writers do: id `key` under every key.
fn steady(key: u64) -> u32 {
    key as u32
}

/// How long look-ups took, in nanoseconds.
#[derive(Default)]
struct Times(Mutex<Vec<u32>>);

impl Times {
    fn add(&self, mut times: Vec<u32>) {
        self.0.lock().expect("no reader failed").append(&mut times);
    }

    /// The median, and what all but one in a hundred and in a thousand took at most.
    fn summary(&self) -> [u32; 3] {
        let mut times = self.0.lock().expect("no reader failed");
        times.sort_unstable();
        [500, 990, 999].map(|per_mille| times[(times.len() - 1) * per_mille / 1000])
    }
}

/// Looks a key up, and notes how long that took.
fn timed(index: &LaneIndex, key: u64, ids: &mut Vec<u32>, times: &mut Vec<u32>) -> Answer {
    ids.clear();
    let start = Instant::now();
    let answer = index.get_verified(hash(key), ids);
    // Room for a minute's look-ups of a slow machine; a fast one has enough of them.
    if times.len() < 20_000_000 {
        times.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    answer
}

#[test]
fn no_answer_is_wrong_while_everything_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        overlay_limit: Some(700),
        journal: Journaling::Own(Fsync::Never),
        ..Options::default()
    };
    let index = LaneIndex::open(directory.path(), options.clone()).expect("opened");
    for key in 0..KEYS {
        index.insert(hash(key), steady(key)).expect("written");
    }
    index.compact().expect("compacted");
    let long = std::env::var_os("SHAPE_ROUTER_LONG").is_some();
    let (quiet, during) = (Times::default(), Times::default());
    std::thread::scope(|scope| {
        for seed in 0..READERS {
            let (index, quiet) = (&index, &quiet);
            scope.spawn(move || {
                let (mut random, start) = (Rng::with_seed(seed), Instant::now());
                let (mut ids, mut times) = (vec![], vec![]);
                while start.elapsed() < Duration::from_millis(if long { 5_000 } else { 200 }) {
                    let key = random.u64(0..KEYS);
                    assert_eq!(timed(index, key, &mut ids, &mut times), Answer::Complete);
                    assert_eq!(ids, [steady(key)]);
                }
                quiet.add(times);
            });
        }
    });
    let start = Instant::now();
    // On a busy machine the threads that maintain the index may not get far in the time.
    let goes_on = || {
        let (stats, time) = (index.stats(), start.elapsed());
        let enough = stats.flushes > 3 && stats.compactions > 3;
        time < Duration::from_secs(if long { 60 } else { 2 })
            || (!enough && time < Duration::from_secs(100))
    };
    let ended = AtomicBool::new(false);
    let closed = AtomicBool::new(false);
    // Of each key, how many rounds were written before, and begun: round `n` adds id `base + n` and
    // then takes `base + n - 1` away.
    let done: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
    let begun: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
    let base = |key: u64| 1_000_000 + (key as u32) * 100_000;
    std::thread::scope(|scope| {
        for seed in 0..READERS {
            let (index, done, begun, closed) = (&index, &done, &begun, &closed);
            let during = &during;
            scope.spawn(move || {
                let mut random = Rng::with_seed(seed);
                let (mut ids, mut times) = (vec![], vec![]);
                let mut looked_up = 0_u64;
                while !closed.load(Ordering::SeqCst) {
                    let key = random.u64(0..KEYS);
                    let before = done[key as usize].load(Ordering::SeqCst);
                    let answer = timed(index, key, &mut ids, &mut times);
                    let after = begun[key as usize].load(Ordering::SeqCst);
                    if answer == Answer::Degraded {
                        assert!(ids.is_empty() && closed.load(Ordering::SeqCst));
                        continue;
                    }
                    assert!(ids.is_sorted_by(|a, b| a < b));
                    assert!(ids.contains(&steady(key)), "key {key} lost its steady id: {ids:?}");
                    let rounds = before.max(1)..=after;
                    let round = |id: &u32| rounds.contains(&(id.wrapping_sub(base(key))));
                    let moving = ids.iter().filter(|id| **id != steady(key));
                    if before > 0 {
                        assert!(moving.clone().any(round), "key {key}: {ids:?}, not {rounds:?}");
                    }
                    for id in moving {
                        // One round earlier may still be there: it is taken away after the next came.
                        let round = id.wrapping_sub(base(key));
                        assert!(round + 1 >= before && round <= after, "key {key}: {ids:?}");
                    }
                    looked_up += 1;
                }
                assert!(looked_up > 1000, "only {looked_up} look-ups");
                during.add(times);
            });
        }
        for half in 0..2 {
            let (index, done, begun, ended) = (&index, &done, &begun, &ended);
            scope.spawn(move || {
                let mut random = Rng::with_seed(100 + half);
                while !ended.load(Ordering::SeqCst) {
                    let key = random.u64(0..KEYS / 2) * 2 + half;
                    let at = key as usize;
                    let round = done[at].load(Ordering::SeqCst) + 1;
                    begun[at].store(round, Ordering::SeqCst);
                    let mut ops = vec![Op::Insert { hash: hash(key), id: base(key) + round }];
                    if round > 1 {
                        ops.push(Op::Remove { hash: hash(key), id: base(key) + round - 1 });
                    }
                    match index.write(&ops) {
                        Ok(_) => done[at].store(round, Ordering::SeqCst),
                        Err(Error::Behind { .. }) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        let (index, closed, ended, goes_on) = (&index, &closed, &ended, &goes_on);
        scope.spawn(move || {
            let mut random = Rng::with_seed(7);
            while goes_on() {
                match random.u8(0..4) {
                    0 => index.compact().expect("compacted"),
                    1 => index.flush().expect("flushed"),
                    2 => index.reshard(random.u16(1..65)).expect("resharded"),
                    _ => assert!(index.len().expect("read") >= KEYS),
                }
                std::thread::sleep(Duration::from_millis(random.u64(0..20)));
            }
            ended.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(20));
            closed.store(true, Ordering::SeqCst);
            let stats = index.stats();
            assert!(stats.flushes > 3 && stats.compactions > 3, "{stats:?}");
            assert_eq!((stats.failed_compactions, stats.degraded), (0, false), "{stats:?}");
            assert!(stats.max_segments <= lane_index::MAX_RUNS);
            assert!(stats.lookup_latency.samples > 0);
            index.close().expect("closed");
            assert!(matches!(index.insert(1, 1), Err(Error::Closed)));
            assert!(matches!(index.flush(), Err(Error::Closed)));
        });
    });
    for (name, times) in [("quiet", &quiet), ("while everything changes", &during)] {
        let [p50, p99, p999] = times.summary();
        println!("look-ups {name}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns");
    }
    // What was written is there after opening again.
    let index = LaneIndex::open(directory.path(), options).expect("opened");
    let mut ids = vec![];
    for key in 0..KEYS {
        let round = done[key as usize].load(Ordering::SeqCst);
        let want: Vec<u32> =
            if round == 0 { vec![steady(key)] } else { vec![steady(key), base(key) + round] };
        ids.clear();
        assert_eq!(index.get_verified(hash(key), &mut ids), Answer::Complete);
        assert_eq!(ids, want, "key {key}");
    }
}

/// The hundred-thousandth id under one key costs what the first did, to add and to take away.
#[test]
fn a_key_with_very_many_ids_is_no_burden_to_its_writers() {
    let index = LaneIndex::in_memory(Options::default()).expect("opened");
    let time = |from: u32, to: u32, remove: bool| {
        let start = Instant::now();
        for id in from..to {
            if remove { index.remove(1, id) } else { index.insert(1, id) }.expect("written");
        }
        start.elapsed()
    };
    let first = time(0, 20_000, false);
    time(20_000, 80_000, false);
    let last = time(80_000, 100_000, false);
    let mut ids = vec![];
    assert_eq!(index.get(1, &mut ids), Answer::Complete);
    assert_eq!(ids.len(), 100_000);
    assert!(last < first * 10 + Duration::from_millis(200), "{first:?}, at the end {last:?}");
    let removed = time(0, 100_000, true);
    assert!(removed < first * 50 + Duration::from_secs(1), "{first:?}, removing {removed:?}");
    ids.clear();
    assert_eq!(index.get(1, &mut ids), Answer::Complete);
    assert_eq!(ids, [] as [u32; 0]);
}

/// What a process holds for thousands of indexes that hold next to nothing.
#[test]
fn an_empty_index_is_small_and_limits_are_kept() {
    let index = LaneIndex::in_memory(Options::default()).expect("opened");
    assert_eq!(index.stats().resident_bytes, 0);
    for id in 0..6 {
        index.insert(u64::from(id), id).expect("written");
    }
    assert!(index.stats().resident_bytes <= 256, "{:?}", index.stats());
    let options = Options { max_entries: Some(10), ..Options::default() };
    let index = LaneIndex::in_memory(options).expect("opened");
    for id in 0..10 {
        index.insert(1, id).expect("written");
    }
    assert!(matches!(index.insert(1, 10), Err(Error::Limit { limit: 10, .. })));
    index.remove(1, 3).expect("removing is always possible");
    index.insert(1, 10).expect("there is room again");
    let options = Options {
        backlog_limit: Some(50),
        maintenance: lane_index::Maintenance::Caller,
        ..Options::default()
    };
    let index = LaneIndex::in_memory(options).expect("opened");
    let refused = (0..100).map(|id| index.insert(u64::from(id), id)).find_map(Result::err);
    assert!(matches!(refused, Some(Error::Behind { limit: 50, .. })), "{refused:?}");
    assert_eq!(index.stats().refused_behind, 1);
    index.flush().expect("flushed");
    index.insert(1, 1).expect("there is room again");
}

/// The caller numbers its writes; ids are free again only once their removal is purged.
#[test]
fn sequence_numbers_ascend_and_removals_are_purged_by_merging() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options {
        journal: Journaling::Caller,
        maintenance: lane_index::Maintenance::Caller,
        ..Options::default()
    };
    let index = LaneIndex::open(directory.path(), options.clone()).expect("opened");
    assert!(matches!(index.insert(1, 1), Err(Error::WrongKind { .. })));
    index.apply(5, &[Op::Insert { hash: 1, id: 1 }]).expect("written");
    assert!(matches!(index.apply(5, &[]), Err(Error::Sequence { got: 5, last: 5 })));
    assert_eq!(index.applied_seq().expect("open"), 0);
    index.flush().expect("flushed");
    assert_eq!(index.applied_seq().expect("open"), 5);
    let removed = index.apply(6, &[Op::Remove { hash: 1, id: 1 }]).expect("written");
    assert!(index.purged_through() < removed);
    index.flush().expect("flushed");
    assert!(index.purged_through() < removed, "the tombstone still hides the posting");
    index.close().expect("closed");
    let index = LaneIndex::open(directory.path(), options.clone()).expect("opened");
    assert!(matches!(LaneIndex::open(directory.path(), options), Err(Error::Locked { .. })));
    assert_eq!(index.purged_through(), 0, "tombstones of before have number 1");
    index.compact().expect("compacted");
    assert!(index.purged_through() >= 1);
    assert!(index.is_empty().expect("read"));
}
