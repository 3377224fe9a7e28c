//! Opening that is itself interrupted: by a failing step, and by a power cut at that step, again and
//! again. What is there in the end is what was acknowledged, or says that something is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use lane_index::storage::Storage;
use lane_index::storage::names::{self, Kind};
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, Operation, SimStorage};
use lane_index::{Answer, Fsync, Journaling, LaneIndex, Maintenance, Options};

fn options() -> Options {
    Options {
        lanes: Some(2),
        overlay_limit: Some(1_000),
        journal: Journaling::Own(Fsync::Always),
        maintenance: Maintenance::Caller,
        ..Options::default()
    }
}

fn open(storage: &SimStorage) -> LaneIndex {
    LaneIndex::open_in(Arc::new(storage.clone()), options()).expect("opened")
}

fn contents(index: &LaneIndex) -> (BTreeMap<u64, Vec<u32>>, Answer) {
    let mut all = BTreeMap::new();
    let answer = index.for_each(|hash, ids| {
        all.insert(hash, ids.to_vec());
        Ok(())
    });
    (all, answer.expect("read"))
}

/// Two segments, a merge that was cut off, and a journal whose end is torn: all that an opening may have
/// to put right.
fn after_a_cut() -> (SimStorage, BTreeMap<u64, Vec<u32>>) {
    let storage = SimStorage::new();
    let faults = Faults::new();
    let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
    let index = LaneIndex::open_in(faulty, options()).expect("opened");
    let mut want = BTreeMap::new();
    for id in 0..60_u32 {
        let hash = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        index.insert(hash, id).expect("written");
        want.insert(hash, vec![id]);
        if id == 20 || id == 40 {
            index.flush().expect("flushed");
        }
    }
    // The merge has written its segment, and the manifest that would name it is never there.
    faults.arm(Fault { only: Some(Operation::Rename), lasting: true, ..Fault::nth(1) });
    assert!(index.compact().is_err());
    // The last frame of the journal, which nobody was told of, is torn.
    faults.arm(Fault { only: Some(Operation::Write), effect: Effect::Half, ..Fault::nth(1) });
    assert!(index.insert(99, 99).is_err());
    assert!(faults.fired() > 0);
    std::mem::forget(index);
    (storage.kill(), want)
}

#[test]
fn an_interrupted_opening_is_made_up_for_by_the_next_however_often() {
    let (storage, want) = after_a_cut();
    let counting = Faults::new();
    let faulty = FaultStorage::new(Arc::new(storage.kill()), counting.clone());
    let index = LaneIndex::open_in(Arc::new(faulty), options()).expect("opened");
    assert_eq!(contents(&index), (want.clone(), Answer::Complete));
    drop(index);
    let steps = counting.operations();
    assert!(steps > 10, "{steps}");
    for effect in [Effect::Nothing, Effect::Half, Effect::All] {
        for first in 1..=steps {
            // Every step of the first opening, and, of those that follow, ever other ones.
            let mut storage = storage.kill();
            for (attempt, nth) in [first, first / 2 + 1, steps - first + 1].into_iter().enumerate()
            {
                let faults = Faults::new();
                faults.arm(Fault { effect, lasting: attempt == 1, ..Fault::nth(nth) });
                let faulty = FaultStorage::new(Arc::new(storage.clone()), faults.clone());
                match LaneIndex::open_in(Arc::new(faulty), options()) {
                    // What does not keep an index from being opened, cleaning up say, may fail unseen.
                    Ok(index) => {
                        assert_eq!(contents(&index), (want.clone(), Answer::Complete));
                        std::mem::forget(index);
                    }
                    Err(error) => assert!(faults.fired() > 0, "step {first}: {error}"),
                }
                storage = if attempt == 2 { storage.kill() } else { storage.crash(first) };
            }
            let index = open(&storage);
            let place = format!("step {first}, {effect:?}");
            assert_eq!(contents(&index), (want.clone(), Answer::Complete), "{place}");
            // What was left behind is cleaned up, and the index goes on.
            index.insert(1, 1).expect("written");
            index.compact().expect("compacted");
            let segments = storage.list().expect("listed").into_iter();
            let segments = segments.filter(|name| matches!(names::kind(name), Kind::Segment(_)));
            assert_eq!(segments.count(), 1, "{place}");
        }
    }
}

/// Also where the opening has to put a damaged segment aside: no answer claims to be whole afterwards.
#[test]
fn an_interrupted_quarantine_is_not_forgotten() {
    let (storage, want) = after_a_cut();
    let index = open(&storage);
    index.compact().expect("compacted");
    index.insert(7, 7).expect("written");
    index.close().expect("closed");
    let is_segment = |name: &String| matches!(names::kind(name), Kind::Segment(_));
    let name = storage.list().expect("listed").into_iter().find(is_segment).expect("a segment");
    let mut bytes = storage.read(&name).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    storage.put(&name, bytes);
    let counting = Faults::new();
    let faulty = FaultStorage::new(Arc::new(storage.kill()), counting.clone());
    let index = LaneIndex::open_in(Arc::new(faulty), options()).expect("opened");
    assert_eq!(index.stats().quarantined.len(), 1);
    drop(index);
    for effect in [Effect::Nothing, Effect::Half, Effect::All] {
        for nth in 1..=counting.operations() {
            let storage = storage.kill();
            let faults = Faults::new();
            faults.arm(Fault { effect, ..Fault::nth(nth) });
            let faulty = FaultStorage::new(Arc::new(storage.clone()), faults.clone());
            if let Ok(index) = LaneIndex::open_in(Arc::new(faulty), options()) {
                assert_eq!(contents(&index).1, Answer::Degraded, "step {nth}, {effect:?}");
                std::mem::forget(index);
            }
            for storage in [storage.kill(), storage.crash(nth), storage.crash(nth + 1_000)] {
                let index = open(&storage);
                let (found, answer) = contents(&index);
                assert_eq!(answer, Answer::Degraded, "step {nth}, {effect:?}");
                assert_eq!(found, BTreeMap::from([(7, vec![7])]), "step {nth}, {effect:?}");
                // Until it was filed anew.
                index.begin_rebuild().expect("emptied");
                for (hash, ids) in &want {
                    index.insert(*hash, ids[0]).expect("written");
                }
                index.finish_rebuild().expect("whole");
                index.close().expect("closed");
                assert_eq!(contents(&open(&storage)), (want.clone(), Answer::Complete));
            }
        }
    }
}
