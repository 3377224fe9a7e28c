//! Power cuts, kills, failing steps and damaged files: what an index answers afterwards is what it
//! acknowledged, or it says that something is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fastrand::Rng;
use lane_index::storage::names::{self, Kind};
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, Operation, SimStorage};
use lane_index::{Answer, Error, Fsync, Journaling, LaneIndex, Maintenance, Op, Options, Storage};

/// For each write what it did; a state is a number of writes.
#[derive(Default)]
struct History(Vec<Op>);

impl History {
    fn state(&self, writes: usize) -> BTreeMap<u64, BTreeSet<u32>> {
        let mut state: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        for op in &self.0[..writes] {
            match *op {
                Op::Insert { hash, id } => {
                    state.entry(hash).or_default().insert(id);
                }
                Op::Remove { hash, id } => {
                    state.entry(hash).or_default().remove(&id);
                }
            }
        }
        state.retain(|_, ids| !ids.is_empty());
        state
    }
}

fn options(journal: Journaling) -> Options {
    Options {
        lanes: Some(4),
        overlay_limit: Some(6),
        journal,
        maintenance: Maintenance::Caller,
        ..Options::default()
    }
}

const OWN: Journaling = Journaling::Own(Fsync::Always);

fn contents(index: &LaneIndex) -> (BTreeMap<u64, BTreeSet<u32>>, Answer) {
    let mut all = BTreeMap::new();
    let answer = index
        .for_each(|hash, ids| {
            all.insert(hash, ids.iter().copied().collect());
            Ok(())
        })
        .expect("read");
    // The look-ups agree with the iteration.
    for (hash, want) in &all {
        let mut got = vec![];
        let _ = index.get_verified(*hash, &mut got);
        assert!(got.iter().eq(want as &BTreeSet<u32>), "key {hash:#x}");
    }
    (all, answer)
}

fn random_op(random: &mut Rng) -> Op {
    let hash = random.u64(0..24).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = random.u32(0..10);
    if random.u8(0..5) < 3 { Op::Insert { hash, id } } else { Op::Remove { hash, id } }
}

/// One step of an index's life. What fails is none of its concern.
fn live(index: &LaneIndex, random: &mut Rng) -> Result<(), Error> {
    match random.u8(0..20) {
        0 => index.flush(),
        1 => index.compact(),
        2 => index.reshard(random.u16(1..9)),
        3..6 => index.maintain().map(drop),
        _ => Ok(()),
    }
}

fn cases(short: u64) -> u64 {
    if std::env::var_os("SHAPE_ROUTER_LONG").is_some() { short * 50 } else { short }
}

/// Several generations of power cuts and kills; each begins with what the one before left.
#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    for seed in 0..cases(150) {
        let mut random = Rng::with_seed(seed);
        let mut storage = SimStorage::new();
        let mut history = History::default();
        let mut acknowledged = 0;
        for generation in 0..5 {
            let index = LaneIndex::open_in(Arc::new(storage.clone()), options(OWN))
                .unwrap_or_else(|error| panic!("seed {seed}, generation {generation}: {error}"));
            let (found, answer) = contents(&index);
            assert_eq!(answer, Answer::Complete);
            // Every write is synced before it is acknowledged, and none is made after the cut.
            assert_eq!(acknowledged, history.0.len());
            assert_eq!(found, history.state(acknowledged), "seed {seed}, generation {generation}");
            for _ in 0..random.usize(0..60) {
                let op = random_op(&mut random);
                index.write(&[op]).expect("written");
                history.0.push(op);
                acknowledged += 1;
                live(&index, &mut random).expect("nothing fails here");
            }
            storage = match random.u8(0..3) {
                0 => storage.kill(),
                1 => {
                    index.close().expect("closed");
                    storage.clone()
                }
                _ => storage.crash(random.u64(..)),
            };
        }
    }
}

/// The caller is the journal: what the index says it has, it has, whatever the cut left.
#[test]
fn the_callers_journal_makes_up_for_what_a_power_cut_took() {
    for seed in 0..cases(150) {
        let mut random = Rng::with_seed(seed);
        let mut storage = SimStorage::new();
        let mut history = History::default();
        for _ in 0..5 {
            let index = LaneIndex::open_in(Arc::new(storage.clone()), options(Journaling::Caller))
                .expect("opened");
            let applied = index.applied_seq().expect("open") as usize;
            assert_eq!(contents(&index), (history.state(applied), Answer::Complete));
            for (at, op) in history.0.iter().enumerate().skip(applied) {
                index.apply(at as u64 + 1, &[*op]).expect("written again");
            }
            assert_eq!(contents(&index).0, history.state(history.0.len()));
            for _ in 0..random.usize(0..60) {
                let op = random_op(&mut random);
                history.0.push(op);
                index.apply(history.0.len() as u64, &[op]).expect("written");
                live(&index, &mut random).expect("nothing fails here");
            }
            storage = storage.crash(random.u64(..));
        }
    }
}

/// Whatever step fails, and however: the answers stay those of the acknowledged writes, and after a
/// power cut and opening again nothing acknowledged is missing.
#[test]
fn the_nth_step_fails_for_every_n() {
    for effect in [Effect::Nothing, Effect::Half, Effect::All] {
        let mut n = 1;
        loop {
            let (storage, faults) = (SimStorage::new(), Faults::new());
            let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
            faults.arm(Fault { effect, ..Fault::nth(n) });
            let mut history = History::default();
            let mut acknowledged = 0;
            let mut random = Rng::with_seed(n);
            if let Ok(index) = LaneIndex::open_in(faulty, options(OWN)) {
                let mut script = Rng::with_seed(7);
                for _ in 0..40 {
                    let op = random_op(&mut script);
                    let written = index.write(&[op]).is_ok();
                    if written {
                        history.0.push(op);
                        acknowledged = history.0.len();
                    }
                    // What fails here is reported, and nothing more.
                    let failed = live(&index, &mut script).is_err();
                    let (found, answer) = contents(&index);
                    if written {
                        assert_eq!(answer, Answer::Complete, "step {n} {effect:?}");
                        assert_eq!(found, history.state(acknowledged), "step {n} {effect:?}");
                    } else {
                        // It is there or not; nothing else may be written behind it.
                        let mut with = History(history.0.clone());
                        with.0.push(op);
                        assert!(
                            found == history.state(acknowledged)
                                || found == with.state(with.0.len())
                        );
                        history = with;
                        break;
                    }
                    if failed {
                        assert!(index.stats().failed_compactions > 0);
                    }
                }
                std::mem::forget(index);
            }
            let fired = faults.fired() > 0;
            let left = storage.crash(random.u64(..));
            let index = LaneIndex::open_in(Arc::new(left), options(OWN)).expect("opened again");
            let (found, answer) = contents(&index);
            assert_eq!(answer, Answer::Complete, "step {n} {effect:?}");
            let allowed = (acknowledged..=history.0.len()).any(|n| found == history.state(n));
            assert!(allowed, "step {n} {effect:?}: {found:?} is not the state acknowledged");
            if !fired {
                assert!(n > 100, "the script takes more than {n} steps");
                break;
            }
            n += 1;
        }
    }
}

/// A merge that failed for want of space is done later, and takes no space meanwhile.
#[test]
fn a_full_disk_leaves_the_old_state_and_is_retried() {
    let (storage, faults) = (SimStorage::new(), Faults::new());
    let faulty = FaultStorage::new(Arc::new(storage.clone()), faults.clone());
    let index = LaneIndex::open_in(Arc::new(faulty), options(OWN)).expect("opened");
    for id in 0..200 {
        index.insert(u64::from(id) << 40, id).expect("written");
    }
    index.flush().expect("flushed");
    index.insert(1, 1).expect("written");
    let files = storage.list().expect("listed").len();
    faults.limit_space(100);
    for _ in 0..3 {
        assert!(matches!(index.flush(), Err(Error::Io { .. })));
        assert!(matches!(index.compact(), Err(Error::Io { .. })));
        assert_eq!(storage.list().expect("listed").len(), files, "failed builds pile up");
    }
    let stats = index.stats();
    assert!(stats.failed_compactions >= 6 && stats.last_error.is_some(), "{stats:?}");
    assert_eq!(index.len().expect("read"), 201);
    faults.disarm();
    faults.limit_space(u64::MAX);
    index.compact().expect("compacted");
    assert_eq!((index.stats().segments, index.len().expect("read")), (1, 201));
}

/// A flipped bit in a segment: put aside, reported, and no answer that claims to be whole, also after
/// opening again, until everything was filed anew.
#[test]
fn a_damaged_segment_is_put_aside_and_answers_are_degraded() {
    let storage = SimStorage::new();
    let open = |storage: &SimStorage| {
        LaneIndex::open_in(Arc::new(storage.clone()), options(OWN)).expect("opened")
    };
    let index = open(&storage);
    for id in 0..100 {
        index.insert(u64::from(id) << 32, id).expect("written");
    }
    index.compact().expect("compacted");
    index.insert(5, 5).expect("written");
    index.close().expect("closed");
    let name = storage
        .list()
        .expect("listed")
        .into_iter()
        .find(|name| matches!(names::kind(name), Kind::Segment(_)))
        .expect("a segment");
    let mut bytes = storage.read(&name).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    storage.put(&name, bytes);
    let index = open(&storage);
    assert_eq!(index.stats().quarantined, [format!("{name}.corrupt")]);
    assert!(storage.read(&format!("{name}.corrupt")).is_some());
    for _ in 0..2 {
        let mut ids = vec![];
        assert_eq!(index.get(7 << 32, &mut ids), Answer::Degraded);
        assert_eq!(ids, [] as [u32; 0]);
        assert_eq!(index.get(5, &mut ids), Answer::Degraded);
        assert_eq!(ids, [5], "the journal is whole");
        index.compact().expect("compacted");
    }
    index.close().expect("closed");
    let index = open(&storage);
    assert_eq!(index.get(5, &mut vec![]), Answer::Degraded, "forgotten by opening again");
    index.begin_rebuild().expect("emptied");
    assert_eq!(index.get(5, &mut vec![]), Answer::Degraded);
    for id in 0..100 {
        index.insert(u64::from(id) << 32, id).expect("written");
    }
    index.finish_rebuild().expect("whole");
    index.close().expect("closed");
    let index = open(&storage);
    let mut ids = vec![];
    assert_eq!(index.get(7 << 32, &mut ids), Answer::Complete);
    assert_eq!((ids, index.len().expect("read")), (vec![7], 100));
}

/// A segment of a later version is not touched, and neither is anything else.
#[test]
fn another_version_is_refused_and_left_alone() {
    let storage = SimStorage::new();
    let index = LaneIndex::open_in(Arc::new(storage.clone()), options(OWN)).expect("opened");
    index.insert(1, 1).expect("written");
    index.flush().expect("flushed");
    index.close().expect("closed");
    let manifest = storage.read(names::MANIFEST).expect("read");
    let text = String::from_utf8(manifest).expect("text").replace("\"version\":1", "\"version\":2");
    let (body, _) = text.rsplit_once(",\"checksum\"").expect("a checksum");
    let checksum = xxhash_rust::xxh3::xxh3_64(body.as_bytes());
    storage
        .put(names::MANIFEST, format!("{body},\"checksum\":\"{checksum:016x}\"}}\n").into_bytes());
    let before = storage.list().expect("listed");
    let opened = LaneIndex::open_in(Arc::new(storage.clone()), options(OWN));
    assert!(matches!(opened, Err(Error::UnknownVersion { version: 2, .. })));
    assert_eq!(storage.list().expect("listed"), before);
}

/// In the background nobody asks again: a failed flush is retried by itself, and reported.
#[test]
fn a_flush_that_failed_in_the_background_is_tried_again() {
    let (storage, faults) = (SimStorage::new(), Faults::new());
    let faulty = FaultStorage::new(Arc::new(storage), faults.clone());
    let options = Options { maintenance: Maintenance::Background, ..options(OWN) };
    let index = LaneIndex::open_in(Arc::new(faulty), options).expect("opened");
    index.insert(0, 0).expect("written: the journal has its file");
    faults.arm(Fault { only: Some(Operation::Create), ..Fault::nth(1) });
    for id in 1..20 {
        index.insert(u64::from(id), id).expect("written");
    }
    let start = std::time::Instant::now();
    while index.stats().flushes == 0 {
        assert!(start.elapsed().as_secs() < 30, "never tried again: {:?}", index.stats());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let stats = index.stats();
    assert_eq!((faults.fired(), stats.failed_compactions), (1, 1), "{stats:?}");
    assert!(stats.last_error.is_some());
    assert_eq!(index.len().expect("read"), 20);
}
