//! A damaged segment file is refused with an error that says so and where; nothing panics and no
//! wrong answer is given.

mod support;

use lane_index::{Error, OpenOptions, Segment, SegmentMeta};
use support::{Files, Model, bytes_of};

fn model() -> Model {
    let mut model = Model::new();
    for i in 0..60u32 {
        let key = ((i % 3) as u16, u64::from(i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let posting = match i % 5 {
            0 => (vec![i, i + 100, 5_000_000], vec![]),
            1 => (vec![i], vec![i + 1]),
            _ => (vec![i], vec![]),
        };
        model.insert(key, posting);
    }
    model
}

fn open(meta: &SegmentMeta, bytes: Vec<u8>, mmap: bool) -> Result<Segment, Error> {
    let files = Files::default();
    let meta = SegmentMeta { name: "d.seg".to_owned(), ..meta.clone() };
    files.put("d.seg", bytes);
    Segment::open(&files, &meta, OpenOptions { mmap })
}

fn assert_damaged(opened: Result<Segment, Error>, length: usize, context: &str) {
    match opened {
        Err(Error::Damaged { path, offset, .. }) => {
            assert_eq!(path, "d.seg");
            assert!(offset <= length as u64, "{context}: {offset}");
        }
        other => panic!("{context}: {other:?}"),
    }
}

#[test]
fn the_file_itself_opens() {
    let (meta, bytes) = bytes_of(&model());
    for mmap in [true, false] {
        let segment = open(&meta, bytes.clone(), mmap).expect("sound");
        support::assert_same(&segment, &model());
    }
}

#[test]
fn cut_at_every_byte() {
    let (meta, bytes) = bytes_of(&model());
    for length in 0..bytes.len() {
        let cut = bytes[..length].to_vec();
        assert_damaged(open(&meta, cut.clone(), true), length, &format!("cut at {length}"));
        // Even where the manifest says this length.
        let shorter = SegmentMeta { bytes: length as u64, ..meta.clone() };
        assert_damaged(open(&shorter, cut, true), length, &format!("cut at {length}"));
    }
}

#[test]
fn longer_by_every_count_of_bytes() {
    let (meta, bytes) = bytes_of(&model());
    for extra in 1..200 {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + extra, 0);
        assert_damaged(open(&meta, longer.clone(), false), longer.len(), "longer");
        let agreed = SegmentMeta { bytes: longer.len() as u64, ..meta.clone() };
        assert_damaged(open(&agreed, longer.clone(), false), longer.len(), "longer");
    }
}

#[test]
fn every_bit_flipped() {
    let (meta, bytes) = bytes_of(&model());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let context = format!("bit {bit} of byte {at}");
            assert_damaged(open(&meta, flipped, bit % 2 == 0), bytes.len(), &context);
        }
    }
}

#[test]
fn every_byte_replaced() {
    let (meta, bytes) = bytes_of(&model());
    for at in 0..bytes.len() {
        for new in [0, 0xff] {
            let mut changed = bytes.clone();
            if std::mem::replace(&mut changed[at], new) != new {
                assert_damaged(open(&meta, changed, true), bytes.len(), &format!("byte {at}"));
            }
        }
    }
}

#[test]
fn every_run_of_sixty_four_bytes_zeroed() {
    let (meta, bytes) = bytes_of(&model());
    for at in (0..bytes.len()).step_by(64) {
        let mut zeroed = bytes.clone();
        let end = (at + 64).min(bytes.len());
        zeroed[at..end].fill(0);
        if zeroed != bytes {
            assert_damaged(open(&meta, zeroed, true), bytes.len(), &format!("zeros at {at}"));
        }
    }
}

#[test]
fn another_sound_segment_under_the_name() {
    let (meta, _) = bytes_of(&model());
    let mut other = model();
    // As long as the first, with as many ids.
    other.get_mut(&(2, 2u64.wrapping_mul(0x9e37_79b9_7f4a_7c15))).expect("there").0[0] += 1;
    let (other_meta, bytes) = bytes_of(&other);
    assert_eq!((other_meta.bytes, other_meta.keys), (meta.bytes, meta.keys));
    assert_damaged(open(&meta, bytes, true), meta.bytes as usize, "another segment");
}

#[test]
fn a_missing_file() {
    let (meta, _) = bytes_of(&model());
    let meta = SegmentMeta { name: "none.seg".to_owned(), ..meta };
    let opened = Segment::open(&Files::default(), &meta, OpenOptions::default());
    assert!(matches!(opened, Err(Error::Io { .. })));
}

/// Replaces bytes and writes the checksums anew: what only a forger can do. Answers may be wrong
/// then, but nothing panics.
#[test]
fn forged_files_do_not_panic() {
    use xxhash_rust::xxh3::xxh3_64;
    let (meta, bytes) = bytes_of(&model());
    let footer = bytes.len() - 64;
    let blocks = u32::from_le_bytes(bytes[footer + 8..footer + 12].try_into().expect("4")) as usize;
    let directory = footer - blocks * 88;
    let mut random = support::Random(4);
    let (mut opened, mut refused) = (0, 0);
    for round in 0..60_000 {
        let mut forged = bytes.clone();
        for _ in 0..=random.below(2) {
            // Mostly in the directory, whose numbers all others hang on.
            let at = match random.below(4) {
                0 => 64 + random.below(bytes.len() as u64 - 64),
                _ => directory as u64 + random.below((footer - directory) as u64),
            } as usize;
            forged[at] = match random.below(4) {
                0 => 0,
                1 => 0xff,
                2 => forged[at].wrapping_add(1),
                _ => random.next() as u8,
            };
        }
        for block in 0..blocks {
            let record = directory + block * 88;
            let field =
                |at: usize| u64::from_le_bytes(forged[at..at + 8].try_into().expect("8")) as usize;
            let (hot, cold, end) = (field(record + 48), field(record + 56), field(record + 64));
            let sums = [forged.get(hot..cold).map(xxh3_64), forged.get(cold..end).map(xxh3_64)];
            for (sum, at) in sums.into_iter().zip([record + 72, record + 80]) {
                if let Some(sum) = sum {
                    forged[at..at + 8].copy_from_slice(&sum.to_le_bytes());
                }
            }
        }
        let sum = xxh3_64(&forged[directory..footer + 56]);
        forged[footer + 56..].copy_from_slice(&sum.to_le_bytes());
        let meta = SegmentMeta { checksum: sum, ..meta.clone() };
        match open(&meta, forged, round % 2 == 0) {
            Ok(segment) => {
                opened += 1;
                for &(lane, hash) in model().keys() {
                    for posting in [segment.get(lane, hash), segment.get_verified(lane, hash)] {
                        let ids = posting.map(|p| p.adds().count() + p.removes().count());
                        assert!(ids.unwrap_or(0) < 1 << 20);
                    }
                    segment.prefetch(lane, hash);
                }
                assert!(segment.entries().count() <= 1 << 20);
            }
            Err(Error::Damaged { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(opened > 1_000 && refused > 1_000, "{opened} {refused}");
}
