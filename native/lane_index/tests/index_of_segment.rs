//! An index handed over as one segment, and one that begins with a segment in somebody else's file.
#![allow(clippy::unwrap_used)]

use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use lane_index::{Error, LaneIndex, OpenOptions, Options, Segment, SegmentMeta};
use std::collections::{BTreeMap, BTreeSet};

type Model = BTreeMap<u64, BTreeSet<u32>>;

const AT: u64 = 8192;
const FILE: &str = "somebody-elses.file";

fn contents(index: &LaneIndex) -> Model {
    let mut found = Model::new();
    let answer = index.for_each(|hash, ids| {
        found.insert(hash, ids.iter().copied().collect());
        Ok(())
    });
    assert!(answer.is_ok());
    found
}

/// An index with removals and several layers.
fn filled(keys: u64) -> (LaneIndex, Model) {
    let index = LaneIndex::in_memory(Options { lanes: Some(4), ..Options::default() }).unwrap();
    let mut model = Model::new();
    let mut random = fastrand::Rng::with_seed(keys);
    for at in 0..keys {
        let hash = random.u64(..) >> 40 << 40;
        for id in 0..random.u32(1..4) {
            index.insert(hash, id).unwrap();
            model.entry(hash).or_default().insert(id);
        }
        if at % 5 == 0 {
            index.remove(hash, 0).unwrap();
            model.get_mut(&hash).unwrap().remove(&0);
        }
        if at == keys / 2 {
            index.flush().unwrap();
        }
    }
    model.retain(|_, ids| !ids.is_empty());
    (index, model)
}

/// A file that has the segment in the middle of other things.
fn file(bytes: &[u8]) -> SimStorage {
    let storage = SimStorage::new();
    storage.put(FILE, [&[7; AT as usize], bytes, b"what follows"].concat());
    storage
}

fn exported(index: &LaneIndex) -> (SegmentMeta, Vec<u8>) {
    let with = |meta: &SegmentMeta, bytes: &[u8]| {
        (SegmentMeta { name: FILE.to_owned(), ..meta.clone() }, bytes.to_vec())
    };
    index.export(with).unwrap().unwrap()
}

#[test]
fn what_is_handed_over_is_the_index() {
    for keys in [1, 30, 3000] {
        let (index, model) = filled(keys);
        let (meta, bytes) = exported(&index);
        assert_eq!(bytes.len() as u64, meta.bytes);
        assert_eq!(contents(&index), model, "handing it over changes nothing");
        let storage = file(&bytes);
        let before = storage.read(FILE);
        for mmap in [true, false] {
            let segment = Segment::open_within(&storage, AT, &meta, OpenOptions { mmap }).unwrap();
            let other = LaneIndex::of_segment(Options::default(), segment).unwrap();
            assert_eq!(contents(&other), model);
            let (hash, ids) = model.first_key_value().unwrap();
            let mut found = Vec::new();
            let _ = other.get_verified(*hash, &mut found);
            assert!(found.iter().eq(ids));
            // It goes on like any index in memory, and leaves the file alone.
            let mut changed = model.clone();
            for hash in 0..50 {
                other.insert(hash, 9).unwrap();
                changed.entry(hash).or_default().insert(9);
            }
            for (hash, ids) in model.iter().take(10) {
                for id in ids {
                    other.remove(*hash, *id).unwrap();
                }
                changed.remove(hash);
            }
            assert_eq!(contents(&other), changed);
            let (again, bytes) = exported(&other);
            assert_eq!(contents(&other), changed);
            let segment = Segment::open_within(&file(&bytes), AT, &again, OpenOptions { mmap });
            let third = LaneIndex::of_segment(Options::default(), segment.unwrap()).unwrap();
            assert_eq!(contents(&third), changed);
            assert_eq!(storage.read(FILE), before);
        }
    }
}

#[test]
fn an_empty_index_has_no_segment() {
    let index = LaneIndex::in_memory(Options::default()).unwrap();
    assert!(index.export(|_, _| ()).unwrap().is_none());
    index.insert(1, 2).unwrap();
    index.remove(1, 2).unwrap();
    assert!(index.export(|_, _| ()).unwrap().is_none());
}

#[test]
fn a_segment_that_is_not_there_as_described_is_refused() {
    let (meta, bytes) = exported(&filled(60).0);
    let refused = |storage: &dyn Storage, at: u64, meta: &SegmentMeta, what: &str| {
        for mmap in [true, false] {
            let error = Segment::open_within(storage, at, meta, OpenOptions { mmap });
            let Err(Error::Damaged { path, .. }) = error else { panic!("{what}, {mmap}") };
            assert_eq!(path, FILE);
        }
    };
    let storage = file(&bytes);
    refused(&storage, 0, &meta, "elsewhere");
    refused(&storage, AT + 64, &meta, "not on a page");
    refused(&storage, AT + 4096, &meta, "beyond the end");
    refused(&storage, u64::MAX - 4095, &meta, "far beyond the end");
    let longer = SegmentMeta { bytes: meta.bytes + 12, ..meta.clone() };
    refused(&storage, AT, &longer, "longer");
    let other = SegmentMeta { checksum: meta.checksum ^ 1, ..meta.clone() };
    refused(&storage, AT, &other, "another one");
    for at in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        refused(&file(&damaged), AT, &meta, &format!("byte {at}"));
    }
}
