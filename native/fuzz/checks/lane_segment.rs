//! Any bytes as a segment file: opened or refused with a place, never a panic, also under checksums
//! that fit.

use lane_index::storage::simulation::SimStorage;
use lane_index::{Error, OpenOptions, Segment, SegmentMeta};
use xxhash_rust::xxh3::xxh3_64;

const NAME: &str = "fuzzed.seg";
const HEADER: usize = 64;
const FOOTER: usize = 64;
const RECORD: usize = 88;
/// A forged list may claim millions of ids.
const ENOUGH: usize = 1000;

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    open(bytes.to_vec());
    if let Some(sealed) = sealed(bytes) {
        open(sealed);
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    if let Some(found) = bytes.get(at..at + N) {
        field[..N].copy_from_slice(found);
    }
    u64::from_le_bytes(field)
}

/// What a manifest says that was written for these very bytes.
fn meta(bytes: &[u8]) -> SegmentMeta {
    let footer = bytes.len().saturating_sub(FOOTER);
    SegmentMeta {
        name: NAME.to_owned(),
        level: number::<4>(bytes, 16) as u32,
        keys: number::<8>(bytes, footer + 16),
        adds: number::<8>(bytes, footer + 24),
        removes: number::<8>(bytes, footer + 32),
        bytes: bytes.len() as u64,
        checksum: number::<8>(bytes, footer + 56),
    }
}

/// The bytes with the magic numbers, lengths and checksums that a file must have, so that what lies
/// behind them is reached.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut file = bytes.to_vec();
    let footer = file.len().checked_sub(FOOTER).filter(|at| *at >= HEADER)?;
    let mut put = |at: usize, field: &[u8]| file[at..at + field.len()].copy_from_slice(field);
    put(0, b"LANESEGM");
    put(footer, b"LANESEGF");
    put(footer + 48, &(bytes.len() as u64).to_le_bytes());
    let blocks = number::<4>(bytes, footer + 8) as usize;
    let directory = footer.checked_sub(blocks.checked_mul(RECORD)?).filter(|at| *at >= HEADER)?;
    put(footer + 40, &(directory as u64).to_le_bytes());
    for record in (directory..footer).step_by(RECORD) {
        let part = |from, to| {
            let (from, to) = (number::<8>(bytes, record + from), number::<8>(bytes, record + to));
            file.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?).map(xxh3_64)
        };
        for (sum, at) in [(part(48, 56), 72), (part(56, 64), 80)] {
            if let Some(sum) = sum {
                file[record + at..record + at + 8].copy_from_slice(&sum.to_le_bytes());
            }
        }
    }
    let sum = xxh3_64(&file[..56]);
    file[56..64].copy_from_slice(&sum.to_le_bytes());
    let sum = xxh3_64(&file[directory..footer + 56]);
    file[footer + 56..].copy_from_slice(&sum.to_le_bytes());
    Some(file)
}

fn open(bytes: Vec<u8>) {
    let (meta, length) = (meta(&bytes), bytes.len() as u64);
    let storage = SimStorage::new();
    storage.put(NAME, bytes);
    let opened = [true, false].map(|mmap| {
        Segment::open(&storage, &meta, OpenOptions { mmap }).map_err(|error| {
            match &error {
                Error::Damaged { path, offset, .. } => assert!(path == NAME && *offset <= length),
                Error::UnknownVersion { path, .. } => assert_eq!(path, NAME),
                other => panic!("{other:?}"),
            }
            error.to_string()
        })
    });
    match opened {
        [Ok(mapped), Ok(read)] => {
            let keys = use_all(&mapped);
            assert_eq!(keys, use_all(&read));
        }
        [Err(mapped), Err(read)] => assert_eq!(mapped, read),
        [mapped, read] => panic!("mapped: {mapped:?}, read: {read:?}"),
    }
}

/// Asks for everything in the segment. What a forger wrote may be nonsense, but it has an end.
fn use_all(segment: &Segment) -> Vec<(u16, u64)> {
    let mut keys = vec![];
    for entry in segment.entries() {
        let Ok(entry) = entry else { break };
        let ids = |ids: &mut dyn Iterator<Item = u32>| ids.take(ENOUGH).last();
        let _ = (ids(&mut entry.posting.adds()), ids(&mut entry.posting.removes()));
        keys.push((entry.lane, entry.hash));
    }
    assert!(keys.len() as u64 <= segment.meta().keys, "more entries than keys");
    for &(lane, hash) in keys.iter().take(ENOUGH) {
        segment.prefetch(lane, hash);
        let (found, verified) = (segment.get(lane, hash), segment.get_verified(lane, hash));
        assert!(found.is_some() || verified.is_none());
        assert!(found.is_none() || segment.may_contain(lane, hash));
        // Most likely no key at all.
        let _ = segment.get_verified(lane.wrapping_add(1), !hash);
    }
    let mut answered = 0;
    segment.get_batch(&keys, |_, posting| {
        answered += usize::from(posting.adds().chain(posting.removes()).take(ENOUGH).count() > 0);
    });
    assert!(answered <= keys.len());
    keys
}
