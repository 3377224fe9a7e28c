//! What the tests of segments share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use lane_index::storage::simulation::SimStorage;
use lane_index::{OpenOptions, Segment, SegmentBuilder, SegmentMeta, SegmentOptions};

/// Postings as a plain map: the oracle.
pub type Model = BTreeMap<(u16, u64), (Vec<u32>, Vec<u32>)>;

/// A directory in memory.
pub type Files = SimStorage;

/// A random number generator whose runs can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub const OPTIONS: SegmentOptions = SegmentOptions { lanes: 1 << 16, level: 1 };

pub fn bytes_of(model: &Model) -> (SegmentMeta, Vec<u8>) {
    let mut builder = SegmentBuilder::in_memory(OPTIONS).expect("memory");
    for (&(lane, hash), (adds, removes)) in model {
        builder.push(lane, hash, adds, removes).expect("in order");
    }
    builder.finish_bytes().expect("memory")
}

pub fn in_memory(model: &Model) -> Segment {
    let mut builder = SegmentBuilder::in_memory(OPTIONS).expect("memory");
    for (&(lane, hash), (adds, removes)) in model {
        builder.push(lane, hash, adds, removes).expect("in order");
    }
    builder.finish().expect("sound")
}

pub fn in_file(model: &Model, storage: &Files, mmap: bool) -> Segment {
    let mut builder = SegmentBuilder::new(storage, "a.seg", OPTIONS).expect("a new file");
    for (&(lane, hash), (adds, removes)) in model {
        builder.push(lane, hash, adds, removes).expect("in order");
    }
    let meta = builder.finish().expect("written");
    Segment::open(storage, &meta, OpenOptions { mmap }).expect("sound")
}

/// Whether `segment` holds exactly what `model` does.
pub fn assert_same(segment: &Segment, model: &Model) {
    for (&(lane, hash), (adds, removes)) in model {
        assert!(segment.may_contain(lane, hash));
        for posting in [segment.get(lane, hash), segment.get_verified(lane, hash)] {
            let posting = posting.expect("a key that was pushed");
            assert!(posting.adds().eq(adds.iter().copied()), "adds of {lane} {hash}");
            assert!(posting.removes().eq(removes.iter().copied()), "removes of {lane} {hash}");
            assert_eq!(posting.has_removes(), !removes.is_empty());
        }
    }
    let mut entries = segment.entries();
    for (&(lane, hash), (adds, removes)) in model {
        let entry = entries.next().expect("as many entries").expect("sound");
        assert_eq!((entry.lane, entry.hash), (lane, hash));
        assert!(entry.posting.adds().eq(adds.iter().copied()));
        assert!(entry.posting.removes().eq(removes.iter().copied()));
    }
    assert!(entries.next().is_none());
    let keys: Vec<_> = model.keys().copied().collect();
    let mut answered = vec![];
    segment.get_batch(&keys, |index, posting| answered.push((index, posting.adds().collect())));
    let expected: Vec<(usize, Vec<u32>)> =
        model.values().enumerate().map(|(index, (adds, _))| (index, adds.clone())).collect();
    assert_eq!(answered, expected);
    let meta = segment.meta();
    assert_eq!(meta.keys, model.len() as u64);
    assert_eq!(meta.adds, model.values().map(|(adds, _)| adds.len() as u64).sum::<u64>());
    assert_eq!(meta.removes, model.values().map(|(_, removes)| removes.len() as u64).sum::<u64>());
}
