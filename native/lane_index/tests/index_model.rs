//! Whatever is done to an index, it answers like a plain map of sets.
//!
//! Short by default; `SHAPE_ROUTER_LONG=1` runs a hundred times as many cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lane_index::backup::Sharing;
use lane_index::storage::simulation::SimStorage;
use lane_index::{Answer, Fsync, Journaling, LaneIndex, Maintenance, Op, Options};
use proptest::prelude::*;

type Model = BTreeMap<u64, BTreeSet<u32>>;

#[derive(Clone, Debug)]
enum Step {
    Insert(u64, u32),
    Remove(u64, u32),
    /// Writes of one batch.
    Batch(Vec<(u64, u32, bool)>),
    /// Many ids under one key.
    Burst(u64, u32, u32),
    /// All ids of a key go.
    Clear(u64),
    Flush,
    Compact,
    Maintain,
    Reshard(u16),
    Reopen,
    Kill,
    Snapshot,
    Iterate,
}

/// Keys are few, so that they meet again; some differ only in the bits that lanes and slots use.
fn hash(key: u64) -> u64 {
    match key % 4 {
        0 => key,
        1 => key << 48,
        2 => u64::MAX - key,
        _ => key.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u64..48;
    let id = prop_oneof![6 => 0_u32..12, 1 => any::<u32>(), 1 => Just(u32::MAX)];
    let write = (key.clone(), id.clone());
    prop_oneof![
        12 => write.clone().prop_map(|(key, id)| Step::Insert(key, id)),
        8 => write.clone().prop_map(|(key, id)| Step::Remove(key, id)),
        3 => prop::collection::vec((key.clone(), id, any::<bool>()), 0..20).prop_map(Step::Batch),
        1 => (key.clone(), 0_u32..50, 1_u32..60).prop_map(|(k, from, n)| Step::Burst(k, from, n)),
        1 => key.prop_map(Step::Clear),
        2 => Just(Step::Flush),
        1 => Just(Step::Compact),
        4 => Just(Step::Maintain),
        1 => prop_oneof![Just(1_u16), Just(2), Just(8), Just(64)].prop_map(Step::Reshard),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Iterate),
    ]
}

/// Where the index under test lives.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Memory,
    Journal,
    CallersJournal,
}

struct Tested {
    index: LaneIndex,
    place: Place,
    options: Options,
    storage: SimStorage,
    /// The caller's journal: all writes, numbered from 1.
    written: Vec<Vec<Op>>,
    model: Model,
    backups: usize,
}

impl Tested {
    fn new(place: Place, lanes: u16, overlay_limit: usize, maintenance: Maintenance) -> Self {
        let options = Options {
            lanes: Some(lanes),
            overlay_limit: Some(overlay_limit),
            journal: match place {
                Place::CallersJournal => Journaling::Caller,
                _ => Journaling::Own(Fsync::Always),
            },
            maintenance,
            ..Options::default()
        };
        let storage = SimStorage::new();
        let index = open(place, &storage, &options);
        let (written, model) = (vec![], Model::new());
        Self { index, place, options, storage, written, model, backups: 0 }
    }

    fn write(&mut self, ops: Vec<Op>) {
        match self.place {
            Place::CallersJournal => {
                self.written.push(ops.clone());
                self.index.apply(self.written.len() as u64, &ops).expect("written");
            }
            _ => {
                self.index.write(&ops).expect("written");
            }
        }
        for op in ops {
            match op {
                Op::Insert { hash, id } => {
                    self.model.entry(hash).or_default().insert(id);
                }
                Op::Remove { hash, id } => {
                    self.model.entry(hash).or_default().remove(&id);
                }
            }
        }
    }

    fn reopen(&mut self, kill: bool) {
        if self.place == Place::Memory {
            return;
        }
        if kill {
            self.storage = self.storage.kill();
        } else {
            self.index.close().expect("closed");
        }
        self.index = open(self.place, &self.storage, &self.options);
        if self.place == Place::CallersJournal {
            let applied = self.index.applied_seq().expect("open");
            for (seq, ops) in self.written.iter().enumerate().skip(applied as usize) {
                self.index.apply(seq as u64 + 1, ops).expect("written again");
            }
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Insert(key, id) => self.write(vec![Op::Insert { hash: hash(key), id }]),
            Step::Remove(key, id) => self.write(vec![Op::Remove { hash: hash(key), id }]),
            Step::Batch(writes) => self.write(
                writes.into_iter().map(|(key, id, remove)| op(hash(key), id, remove)).collect(),
            ),
            Step::Burst(key, from, count) => self
                .write((from..from + count).map(|id| Op::Insert { hash: hash(key), id }).collect()),
            Step::Clear(key) => {
                let hash = hash(key);
                let ids = self.model.get(&hash).cloned().unwrap_or_default();
                self.write(ids.into_iter().map(|id| Op::Remove { hash, id }).collect());
            }
            Step::Flush => self.index.flush().expect("flushed"),
            Step::Compact => {
                self.index.compact().expect("compacted");
                if self.options.maintenance == Maintenance::Caller {
                    let stats = self.index.stats();
                    assert!(stats.segments <= 1 && stats.segment_removes == 0, "{stats:?}");
                    let (last, purged) = (self.index.last_operation(), self.index.purged_through());
                    assert_eq!(last, purged, "a removal is left after merging everything");
                }
            }
            Step::Maintain => {
                if self.options.maintenance == Maintenance::Caller {
                    self.index.maintain().expect("maintained");
                }
            }
            Step::Reshard(lanes) => {
                self.index.reshard(lanes).expect("resharded");
                assert_eq!(self.index.stats().num_lanes, lanes);
            }
            Step::Reopen => self.reopen(false),
            Step::Kill => self.reopen(true),
            Step::Snapshot => self.snapshot(),
            Step::Iterate => self.check_whole(),
        }
        assert!(self.index.stats().segments <= lane_index::MAX_RUNS);
        self.check_keys();
    }

    fn snapshot(&mut self) {
        if self.place == Place::Memory {
            return;
        }
        // The second backup is made of the first one, and serves as the index from then on.
        let first = self.storage.disk().directory(&format!("first{}", self.backups));
        let second = self.storage.disk().directory(&format!("second{}", self.backups));
        self.backups += 1;
        self.index.snapshot(&first, None, Sharing::Link).expect("a backup");
        self.index.snapshot(&second, Some(&first), Sharing::Link).expect("a backup");
        self.index.close().expect("closed");
        self.storage = second;
        self.index = open(self.place, &self.storage, &self.options);
        if self.place == Place::CallersJournal {
            let applied = self.index.applied_seq().expect("open");
            assert_eq!(applied, self.written.len() as u64);
        }
    }

    fn check_keys(&self) {
        let mut got = vec![];
        let hashes: Vec<u64> = (0..50).map(hash).collect();
        for hash in &hashes {
            let want = self.model.get(hash).cloned().unwrap_or_default();
            got.clear();
            assert_eq!(self.index.get_verified(*hash, &mut got), Answer::Complete);
            assert!(got.iter().eq(&want), "key {hash:#x}: {got:?} instead of {want:?}");
            got.clear();
            assert_eq!(self.index.get(*hash, &mut got), Answer::Complete);
            let found: BTreeSet<u32> = got.iter().copied().collect();
            assert!(got.is_sorted_by(|a, b| a < b), "{got:?}");
            assert!(found.is_superset(&want), "key {hash:#x}: {got:?} instead of {want:?}");
            for id in (0..12).chain([49, u32::MAX]) {
                assert_eq!(self.index.contains(*hash, id), want.contains(&id), "{id}, {want:?}");
            }
        }
        // A fingerprint may let an id through that is not the key's, and another one when a segment was
        // written anew in between: then they are asked again.
        let agree = (0..20).any(|_| {
            let mut each = vec![];
            assert_eq!(self.index.get_each(&hashes, &mut each), Answer::Complete);
            let mut one_by_one = vec![];
            for hash in &hashes {
                assert_eq!(self.index.get(*hash, &mut one_by_one), Answer::Complete);
            }
            each == one_by_one
        });
        assert!(agree, "keys together have other ids than one by one");
        let mut seen = BTreeSet::new();
        let answer = self.index.for_each_id(|id| {
            seen.insert(id);
        });
        assert_eq!(answer, Answer::Complete);
        let all: BTreeSet<u32> = self.model.values().flatten().copied().collect();
        assert!(seen.is_superset(&all), "{seen:?} lacks some of {all:?}");
        let mut batch: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
        let answer = self.index.get_batch(&hashes, &mut got, |at, ids| {
            batch.insert(at, ids.iter().copied().collect());
        });
        assert_eq!(answer, Answer::Complete);
        for (at, hash) in hashes.iter().enumerate() {
            let want = self.model.get(hash).cloned().unwrap_or_default();
            assert!(batch.get(&at).cloned().unwrap_or_default().is_superset(&want));
        }
    }

    fn check_whole(&self) {
        let mut got = Model::new();
        let answer = self.index.for_each(|hash, ids| {
            assert!(got.insert(hash, ids.iter().copied().collect()).is_none(), "a key twice");
            Ok(())
        });
        assert_eq!(answer.expect("read"), Answer::Complete);
        let mut want = self.model.clone();
        want.retain(|_, ids| !ids.is_empty());
        assert_eq!(got, want);
        let count: usize = want.values().map(BTreeSet::len).sum();
        assert_eq!(self.index.len().expect("read"), count as u64);
        assert_eq!(self.index.is_empty().expect("read"), count == 0);
        let ids: BTreeSet<u32> = want.values().flatten().copied().collect();
        assert!(self.index.ids().expect("read").0.iter().eq(&ids));
    }
}

fn op(hash: u64, id: u32, remove: bool) -> Op {
    if remove { Op::Remove { hash, id } } else { Op::Insert { hash, id } }
}

fn open(place: Place, storage: &SimStorage, options: &Options) -> LaneIndex {
    match place {
        Place::Memory => LaneIndex::in_memory(options.clone()),
        _ => LaneIndex::open_in(Arc::new(storage.clone()), options.clone()),
    }
    .expect("opened")
}

fn config(cases: u32) -> ProptestConfig {
    let long = std::env::var_os("SHAPE_ROUTER_LONG").is_some();
    let cases = if long { cases * 100 } else { cases };
    ProptestConfig { cases, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Memory), Just(Place::Journal), Just(Place::CallersJournal)]
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn an_index_is_a_map_of_sets(
        steps in prop::collection::vec(step(), 1..120),
        place in place(),
        lanes in prop_oneof![Just(1_u16), Just(8), Just(64)],
        overlay_limit in 1_usize..40,
    ) {
        let mut tested = Tested::new(place, lanes, overlay_limit, Maintenance::Caller);
        for step in steps {
            tested.run(step);
        }
        tested.check_whole();
    }
}

proptest! {
    #![proptest_config(config(30))]

    #[test]
    fn also_while_it_is_maintained_in_the_background(
        steps in prop::collection::vec(step(), 1..200),
        place in place(),
        lanes in prop_oneof![Just(1_u16), Just(8), Just(64)],
        overlay_limit in 1_usize..20,
    ) {
        let mut tested = Tested::new(place, lanes, overlay_limit, Maintenance::Background);
        for step in steps {
            tested.run(step);
        }
        tested.check_whole();
        assert_eq!(tested.index.stats().failed_compactions, 0, "{:?}", tested.index.stats());
    }
}
