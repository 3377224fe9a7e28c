//! Segment files as version 1 of the format was first written, kept for good: they must open and
//! answer, or be refused with the error that says why.
//!
//! `segment_v1.seg` is what the builder wrote for the postings of `model`. Of the others one byte
//! each was changed, and `segment_v2.seg` names version 2 under a checksum that fits.

mod support;

use std::path::Path;

use lane_index::storage::Directory;
use lane_index::{Error, OpenOptions, Segment, SegmentMeta};
use support::{Model, assert_same};

fn model() -> Model {
    let mut model = Model::new();
    for i in 0..200u32 {
        let key = ((i % 3) as u16, u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let posting = match i % 7 {
            0 => (vec![i, i + 1, 4_000_000_000], vec![]),
            1 => (vec![], vec![i]),
            2 => (vec![2 * i], vec![i, i + 9]),
            _ => (vec![i * 1_000], vec![]),
        };
        model.insert(key, posting);
    }
    model.insert((0, u64::MAX), ((0..5_000).collect(), vec![]));
    model.insert((63, 1), (vec![u32::MAX], vec![]));
    model.insert((63, 2), (vec![], (10..6_000).map(|i| i * 3).collect()));
    model
}

fn meta(name: &str) -> SegmentMeta {
    SegmentMeta {
        name: name.to_owned(),
        level: 1,
        keys: 203,
        adds: 5_230,
        removes: 6_077,
        bytes: BYTES,
        checksum: CHECKSUM,
    }
}

const BYTES: u64 = 11_992;
const CHECKSUM: u64 = 3_612_962_080_837_268_645;

fn open(name: &str) -> Result<Segment, Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let storage = Directory::open(folder).expect("the fixtures");
    Segment::open(&storage, &meta(name), OpenOptions::default())
}

#[test]
fn version_1_opens() {
    assert_same(&open("segment_v1.seg").expect("sound"), &model());
}

#[test]
fn damage_is_named_with_its_place() {
    let damaged = |name: &str, place: std::ops::Range<u64>, part: &str| match open(name) {
        Err(Error::Damaged { path, offset, what }) => {
            assert_eq!(path, name);
            assert!(place.contains(&offset), "{name}: {offset}");
            assert!(what.contains(part), "{name}: {what}");
        }
        other => panic!("{name}: {other:?}"),
    };
    damaged("segment_v1_header.seg", 0..64, "header");
    damaged("segment_v1_hot.seg", 64..65, "hot part");
    damaged("segment_v1_cold.seg", 65..BYTES - 64, "cold part");
    damaged("segment_v1_directory.seg", BYTES - 64 - 88..BYTES, "directory");
    damaged("segment_v1_cut.seg", 0..BYTES, "length");
}

#[test]
fn a_newer_version_is_refused_as_such() {
    match open("segment_v2.seg") {
        Err(Error::UnknownVersion { path, version: 2, supported: 1 }) => {
            assert_eq!(path, "segment_v2.seg");
        }
        other => panic!("{other:?}"),
    }
}
