//! An index that is loaded at once holds what one holds that got the same entries one by one.

mod common;

use common::rng;
use lane_index::storage::simulation::SimStorage;
use lane_index::{Answer, Error, LaneIndex, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type State = BTreeMap<u64, BTreeSet<u32>>;

fn contents(index: &LaneIndex) -> State {
    let mut found = State::new();
    let answer = index
        .for_each(|hash, ids| {
            found.insert(hash, ids.iter().copied().collect());
            Ok(())
        })
        .expect("whole");
    assert_eq!(answer, Answer::Complete);
    found
}

#[test]
fn it_holds_what_it_was_given_and_what_comes_after() {
    for (seed, count) in [0_u64, 1, 2, 300, 5_000, 60_000].into_iter().enumerate() {
        let mut rng = rng(seed as u64);
        let mut model = State::new();
        let entries: Vec<(u64, u32)> = (0..count)
            .map(|_| (rng.u64(0..count / 2 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), rng.u32(0..9)))
            .collect();
        for &(hash, id) in &entries {
            model.entry(hash).or_default().insert(id);
        }
        let index = LaneIndex::in_memory(Options::default()).expect("memory");
        index.load(&entries).expect("loaded");
        assert_eq!(contents(&index), model);
        for _ in 0..500 {
            let &(hash, id) = entries.get(rng.usize(0..entries.len().max(1))).unwrap_or(&(7, 7));
            if rng.bool() {
                index.remove(hash, id).expect("written");
                model.entry(hash).or_default().remove(&id);
            } else {
                index.insert(hash, id + 100).expect("written");
                model.entry(hash).or_default().insert(id + 100);
            }
        }
        model.retain(|_, ids| !ids.is_empty());
        for (hash, ids) in &model {
            let mut got = Vec::new();
            assert_eq!(index.get_verified(*hash, &mut got), Answer::Complete);
            assert!(got.iter().eq(ids), "{hash:#x}");
        }
        index.compact().expect("merged");
        assert_eq!(contents(&index), model);
    }
}

#[test]
fn only_an_empty_index_in_memory_is_loaded() {
    let index = LaneIndex::in_memory(Options::default()).expect("memory");
    index.insert(1, 1).expect("written");
    assert!(matches!(index.load(&[(2, 2)]), Err(Error::WrongKind { .. })));
    let index = LaneIndex::in_memory(Options::default()).expect("memory");
    index.load(&[(2, 2)]).expect("loaded");
    assert!(matches!(index.load(&[(3, 3)]), Err(Error::WrongKind { .. })));
    assert_eq!(contents(&index), State::from([(2, BTreeSet::from([2]))]));
    let storage = Arc::new(SimStorage::new());
    let index = LaneIndex::open_in(storage, Options::default()).expect("opened");
    assert!(matches!(index.load(&[(2, 2)]), Err(Error::WrongKind { .. })));
}
