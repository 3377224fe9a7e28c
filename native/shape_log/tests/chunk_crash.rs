//! Power cuts, a disk that fails at any step, and a full one: what was acknowledged stays, what was not
//! is there whole or not at all.

mod chunks;

use std::sync::Arc;

use chunks::{check, open, ranges, seal};
use lane_index::Storage;
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimStorage};
use shape_log::Error;
use shape_log::chunk::ChunkStore;

type Ranges = Vec<(u64, u64)>;

/// Which lists may be found when the directory is opened after a crash.
#[derive(Clone, Debug)]
struct Possible {
    /// What the handle says.
    now: Ranges,
    /// What a failed step may have made of it.
    or: Vec<Ranges>,
}

impl Possible {
    fn of(now: Ranges) -> Self {
        Self { now, or: Vec::new() }
    }

    fn step(&mut self, next: Ranges, result: Result<(), Error>) {
        match result {
            Ok(()) => *self = Self::of(next),
            Err(Error::Storage(_)) => self.or.push(next),
            Err(other) => panic!("{other}"),
        }
    }

    fn allows(&self, found: &Ranges) -> bool {
        *found == self.now || self.or.contains(found)
    }
}

fn with(ranges: &Ranges, start: u64, end: u64) -> Ranges {
    let mut next: Ranges =
        ranges.iter().copied().filter(|range| range.1 <= start || range.0 >= end).collect();
    next.push((start, end));
    next.sort_unstable();
    next
}

/// Takes random steps; errors of the disk are none of the caller's.
fn history(store: &ChunkStore, possible: &mut Possible, seed: u64, steps: u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    for step in 0..steps {
        let ranges = possible.now.clone();
        if random.u8(..) < 180 || ranges.len() < 2 {
            let (start, end) = match step % 4 {
                // A range of whole ones is joined.
                3 if ranges.len() > 1 => {
                    let from = random.usize(0..ranges.len());
                    let to = random.usize(from..ranges.len());
                    (ranges[from].0, ranges[to].1)
                }
                _ => {
                    let start = ranges.last().map_or(0, |range| range.1);
                    (start, start + random.u64(1..30))
                }
            };
            let result = seal(store, start, end, random.bool()).map(drop);
            possible.step(with(&ranges, start, end), result);
        } else {
            let gone = random.usize(0..ranges.len());
            let seq = store.list()[gone].seq;
            let mut next = ranges;
            next.remove(gone);
            possible.step(next, store.remove(seq));
        }
        assert_eq!(self::ranges(store), possible.now, "the handle tells the truth");
    }
}

/// Opens what a crash left; it must be one of what is possible, whole, and nothing else is there.
fn reopen(storage: &SimStorage, possible: &Possible) -> Possible {
    let all: Arc<dyn Storage> = Arc::new(storage.clone());
    let store = open(&all).expect("open after a crash");
    let found = ranges(&store);
    assert!(possible.allows(&found), "{found:?} is none of {possible:?}");
    // The first chunk of all can be there before the first index.
    assert!(store.opened().rebuilt.is_none() || possible.now.is_empty());
    check(&*all, &store);
    let known = |name: &String| {
        name == "index.json"
            || store
                .list()
                .iter()
                .any(|chunk| *name == chunk.name() || Some(name) == chunk.gzip_name().as_ref())
    };
    let files = all.list().expect("list");
    assert!(files.iter().all(known), "{files:?}");
    Possible::of(found)
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    for seed in 0..60 {
        let mut storage = SimStorage::new();
        let mut possible = Possible::of(vec![]);
        // Some generations, each of which goes on from what the one before left.
        for generation in 0..5 {
            let all: Arc<dyn Storage> = Arc::new(storage.clone());
            let store = open(&all).expect("open");
            history(&store, &mut possible, seed * 10 + generation, 8);
            drop(store);
            storage = if seed % 3 == 0 { storage.kill() } else { storage.crash(seed + generation) };
            possible = reopen(&storage, &possible);
            // The recovery is cut too.
            storage = storage.crash(seed + 7);
            possible = reopen(&storage, &possible);
        }
    }
}

#[test]
fn every_step_of_the_disk_may_fail() {
    let run = |storage: &SimStorage, faults: &Faults, seed| {
        let mut possible = Possible::of(vec![]);
        let all: Arc<dyn Storage> =
            Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
        if let Ok(store) = open(&all) {
            history(&store, &mut possible, seed, 10);
        }
        possible
    };
    for seed in [1, 2] {
        let faults = Faults::new();
        run(&SimStorage::new(), &faults, seed);
        let steps = faults.operations();
        assert!(steps > 100, "{steps}");
        for effect in [Effect::Nothing, Effect::Half, Effect::All] {
            for lasting in [false, true] {
                for nth in 1..=steps {
                    let (storage, faults) = (SimStorage::new(), Faults::new());
                    faults.arm(Fault { nth, only: None, effect, lasting });
                    let possible = run(&storage, &faults, seed);
                    assert!(faults.fired() > 0 || lasting, "step {nth}");
                    reopen(&storage.kill(), &possible);
                    for cut in 0..2 {
                        let crashed = storage.crash(nth * 10 + cut);
                        let found = reopen(&crashed, &possible);
                        reopen(&crashed.crash(cut), &found);
                    }
                }
            }
        }
    }
}

#[test]
fn every_step_of_opening_may_fail() {
    // One with an index, strays and a missing file; one whose index is lost.
    for lost in [false, true] {
        let storage = SimStorage::new();
        let all: Arc<dyn Storage> = Arc::new(storage.clone());
        let store = open(&all).expect("open");
        let mut possible = Possible::of(vec![]);
        history(&store, &mut possible, 4, 12);
        storage.put("000077.900_0.901_0.json.tmp", b"[".to_vec());
        storage.put("000078.0_0.1_0.json.gz", b"?".to_vec());
        if lost {
            all.remove("index.json").expect("remove");
        }
        let faults = Faults::new();
        let counted = |storage: &SimStorage, faults: &Faults| -> Arc<dyn Storage> {
            Arc::new(FaultStorage::new(Arc::new(storage.kill()), faults.clone()))
        };
        open(&counted(&storage, &faults)).expect("open");
        for nth in 1..=faults.operations() {
            for effect in [Effect::Nothing, Effect::All] {
                let faults = Faults::new();
                let copy = storage.kill();
                let all: Arc<dyn Storage> =
                    Arc::new(FaultStorage::new(Arc::new(copy.clone()), faults.clone()));
                faults.arm(Fault { nth, only: None, effect, lasting: false });
                let error = open(&all).err().expect("it says so");
                assert!(matches!(error, Error::Storage(_)), "{error}");
                let store = open(&all).expect("the next attempt");
                assert_eq!(ranges(&store), possible.now);
                check(&copy, &store);
            }
        }
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_more() {
    for space in (0..6_000).step_by(37) {
        let (storage, faults) = (SimStorage::new(), Faults::new());
        let all: Arc<dyn Storage> =
            Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
        let store = open(&all).expect("open");
        seal(&store, 0, 10, true).expect("room for one");
        faults.limit_space(space);
        let sealed = seal(&store, 10, 80, true);
        if let Err(error) = &sealed {
            assert!(error.to_string().contains("space"), "{error}");
            let files = storage.list().expect("list");
            assert!(
                files.iter().all(|name| name.starts_with("000001") || name.starts_with("index"))
            );
        }
        faults.disarm();
        let again = seal(&store, 10, 80, true).expect("there is room again");
        assert_eq!(again.count, 70);
        check(&storage, &store);
        reopen(&storage.crash(space), &Possible::of(ranges(&store)));
    }
}
