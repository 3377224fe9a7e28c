//! A segment answers what a plain map of the same postings answers.

mod support;

use lane_index::{DELTA_MAX, Error, SegmentBuilder};
use proptest::prelude::*;
use support::{Files, Model, OPTIONS, Random, assert_same, in_file, in_memory};

/// `count` random keys over `lanes`, most with one id, some with several or with removes.
fn random_model(count: usize, lanes: u64, seed: u64) -> Model {
    let mut random = Random(seed);
    let mut model = Model::new();
    while model.len() < count {
        let key = (random.below(lanes) as u16, random.next());
        let id = random.below(count as u64 * 2) as u32;
        let posting = match random.below(8) {
            0 => (vec![id, id + 1, id + 90_000], vec![]),
            1 => (vec![], vec![id]),
            2 => (vec![id], vec![id + 1, id + 3]),
            _ => (vec![id], vec![]),
        };
        model.insert(key, posting);
    }
    model
}

#[test]
fn no_keys() {
    let segment = in_memory(&Model::new());
    assert_same(&segment, &Model::new());
    assert!(segment.get(0, 0).is_none());
    assert!(!segment.may_contain(65_535, u64::MAX));
    assert!(segment.get_verified(7, 7).is_none());
    segment.prefetch(3, 3);
    assert_eq!(segment.meta().bytes, 128);
}

#[test]
fn few_keys() {
    for count in [1, 2, 3, 10, 17, 64, 99] {
        for lanes in [1, 3, 64, 65_536] {
            let model = random_model(count, lanes, count as u64);
            assert_same(&in_memory(&model), &model);
            assert_same(&in_file(&model, &Files::default(), true), &model);
            assert_same(&in_file(&model, &Files::default(), false), &model);
        }
    }
}

#[test]
fn ten_keys_are_small() {
    assert!(in_memory(&random_model(10, 1, 1)).meta().bytes <= 512);
    assert!(in_memory(&random_model(10, 64, 1)).meta().bytes <= 512);
}

#[test]
fn many_keys() {
    for lanes in [1, 8, 64] {
        let model = random_model(100_000, lanes, lanes);
        assert_same(&in_memory(&model), &model);
    }
}

#[test]
fn a_lane_over_several_blocks() {
    let model = random_model(300_000, 1, 5);
    let segment = in_file(&model, &Files::default(), true);
    assert_same(&segment, &model);
}

#[test]
fn hashes_that_were_chosen() {
    let mut hashes: Vec<u64> = vec![0, 1, u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1];
    hashes.extend(1_000..4_000);
    hashes.extend((0..3_000).map(|i| u64::MAX - 5 - i * 2));
    hashes.extend((0..3_000).map(|i| (i << 50) | 0xffff));
    for lanes in [&[0u16][..], &[0, 1, 63], &[65_535], &[0, 65_535]] {
        let model: Model = lanes
            .iter()
            .flat_map(|&lane| hashes.iter().map(move |&hash| ((lane, hash), (vec![7], vec![]))))
            .collect();
        assert_same(&in_memory(&model), &model);
    }
}

#[test]
fn the_ends_of_the_id_range() {
    let mut model = Model::new();
    model.insert((0, 5), (vec![u32::MAX], vec![]));
    model.insert((0, 6), (vec![0], vec![]));
    model.insert((0, 7), (vec![0, u32::MAX], vec![1, u32::MAX - 1]));
    model.insert((0, 8), (vec![], vec![u32::MAX]));
    assert_same(&in_memory(&model), &model);
}

#[test]
fn lists_about_the_length_where_they_become_bitmaps() {
    let mut model = Model::new();
    for (hash, count) in [(1, DELTA_MAX - 1), (2, DELTA_MAX), (3, DELTA_MAX + 1), (4, 100_000)] {
        let ids: Vec<u32> = (0..count as u32).map(|i| i * 7 + i % 3).collect();
        model.insert((0, hash), (ids.clone(), vec![]));
        model.insert((1, hash), (vec![], ids.clone()));
        model.insert((2, hash), (ids.clone(), ids));
    }
    assert_same(&in_memory(&model), &model);
}

#[test]
fn lists_that_fill_more_than_one_block() {
    let ids: Vec<u32> = (0..400_000).map(|i| i * 5_000).collect();
    let model: Model =
        (0..20).map(|hash| ((0, hash << 40), (ids.clone(), vec![hash as u32]))).collect();
    assert_same(&in_memory(&model), &model);
}

#[test]
fn keys_that_are_not_there() {
    let model = random_model(50_000, 4, 9);
    let segment = in_memory(&model);
    let mut random = Random(77);
    let (mut maybe, mut wrong) = (0, 0);
    let absent: Vec<_> = (0..400_000).map(|_| (random.below(4) as u16, random.next())).collect();
    for &(lane, hash) in &absent {
        assert!(!model.contains_key(&(lane, hash)));
        maybe += u32::from(segment.may_contain(lane, hash));
        wrong += u32::from(segment.get(lane, hash).is_some());
        assert!(segment.get_verified(lane, hash).is_none());
    }
    // One in 255, and one in 32,000 or fewer: 1,569 and 12 are expected.
    assert!((1_300..1_900).contains(&maybe), "{maybe}");
    assert!(wrong < 35, "{wrong}");
    assert!(segment.get(4, 1).is_none() && segment.get(u16::MAX, 1).is_none());
    let mut in_batch = 0;
    segment.get_batch(&absent, |_, _| in_batch += 1);
    assert_eq!(in_batch, wrong);
    // Neighbours of real hashes in the cold part.
    for &(lane, hash) in model.keys() {
        for near in [hash.wrapping_add(1), hash.wrapping_sub(1)] {
            assert!(segment.get_verified(lane, near).is_none());
        }
        assert!(segment.get_verified(lane + 1, hash).is_none());
    }
}

#[test]
fn the_same_hash_in_several_lanes() {
    let model: Model = (0..300).map(|lane| ((lane, 42), (vec![u32::from(lane)], vec![]))).collect();
    assert_same(&in_memory(&model), &model);
}

#[test]
fn what_a_builder_refuses() {
    let mut builder = SegmentBuilder::in_memory(lane_index::SegmentOptions { lanes: 8, level: 0 })
        .expect("memory");
    builder.push(3, 10, &[1], &[]).expect("the first key");
    let mut refused =
        |lane, hash, adds: &[u32], removes: &[u32]| match builder.push(lane, hash, adds, removes) {
            Err(Error::BadEntry { lane: l, hash: h, what, .. }) => {
                assert_eq!((l, h), (lane, hash));
                what
            }
            other => panic!("{other:?}"),
        };
    assert!(refused(3, 10, &[1], &[]).contains("follow"));
    assert!(refused(3, 9, &[1], &[]).contains("follow"));
    assert!(refused(2, 11, &[1], &[]).contains("follow"));
    assert!(refused(8, 11, &[1], &[]).contains("lane"));
    assert!(refused(3, 11, &[2, 1], &[]).contains("ascend"));
    assert!(refused(3, 11, &[1], &[4, 4]).contains("ascend"));
    builder.push(3, 11, &[], &[]).expect("nothing to keep");
    builder.push(4, 0, &[2], &[]).expect("the next lane");
    let segment = builder.finish().expect("sound");
    assert_eq!(segment.meta().keys, 2);
    assert_eq!(segment.entries().count(), 2);
}

#[test]
fn equal_postings_give_equal_files() {
    let model = random_model(5_000, 8, 3);
    assert_eq!(support::bytes_of(&model), support::bytes_of(&model));
}

#[test]
fn a_file_that_exists_is_not_overwritten() {
    let files = Files::default();
    in_file(&random_model(3, 1, 1), &files, true);
    let again = SegmentBuilder::new(&files, "a.seg", OPTIONS);
    assert!(matches!(again.err(), Some(Error::Io { operation: "create", .. })));
}

fn hash() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..50u64,
        (0..50u64).prop_map(|n| u64::MAX - n),
        (0..64u32).prop_map(|n| 1 << n)
    ]
}

fn ids() -> impl Strategy<Value = Vec<u32>> {
    let id = prop_oneof![any::<u32>(), 0..100u32, Just(u32::MAX)];
    proptest::collection::btree_set(id, 0..5).prop_map(|ids| ids.into_iter().collect())
}

proptest! {
    #[test]
    fn like_a_map(
        postings in proptest::collection::btree_map((0..6u16, hash()), (ids(), ids()), 0..300),
        absent in proptest::collection::vec((0..7u16, hash()), 100),
        mmap in any::<bool>(),
    ) {
        let model: Model = postings
            .into_iter()
            .filter(|(_, (adds, removes))| !(adds.is_empty() && removes.is_empty()))
            .collect();
        let segment = in_file(&model, &Files::default(), mmap);
        assert_same(&segment, &model);
        for (lane, hash) in absent {
            let found = segment.get_verified(lane, hash).is_some();
            prop_assert_eq!(found, model.contains_key(&(lane, hash)));
        }
    }
}
