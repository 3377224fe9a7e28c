//! Damage at every byte: the old state, the new state or an error that names the place; never
//! anything else.

mod common;

use std::sync::Arc;

use common::{Batches, batch, batches, open, options, start};
use lane_index::Error;
use lane_index::journal::{Fsync, Recovered};
use lane_index::storage::names;
use lane_index::storage::simulation::SimStorage;
use xxhash_rust::xxh3::xxh3_64;

const LAST: u64 = 6;
const HEADER: usize = 64;

/// A journal of `LAST` batches in one file, closed or killed, and where each frame begins.
fn written(closed: bool) -> (SimStorage, Vec<usize>) {
    let storage = SimStorage::new();
    let (journal, ..) =
        open(Arc::new(storage.clone()), options(Fsync::Always, 1024), start(0, None))
            .expect("open");
    let mut offsets = vec![HEADER];
    for seq in 1..=LAST {
        journal.append(&batch(seq)).expect("append");
        offsets.push(offsets[offsets.len() - 1] + 32 + 16 * batch(seq).len());
    }
    let killed = storage.kill();
    if closed {
        journal.close().expect("close");
        return (storage.kill(), offsets);
    }
    (killed, offsets)
}

fn file() -> String {
    names::journal(1)
}

fn reopen(bytes: Vec<u8>) -> Result<(Recovered, Batches), Error> {
    let storage = SimStorage::new();
    storage.put(&file(), bytes.clone());
    let result = open(Arc::new(storage.clone()), options(Fsync::Always, 1024), start(0, Some(1)));
    let found = result.map(|(_, recovered, found)| (recovered, found));
    assert_eq!(storage.read(&file()), Some(bytes), "opening never changes a file");
    found
}

#[test]
fn a_flipped_bit_is_cut_or_named_with_its_place() {
    for closed in [false, true] {
        let (storage, offsets) = written(closed);
        let bytes = storage.read(&file()).expect("there");
        assert_eq!(reopen(bytes.clone()).expect("whole").1, batches(1, LAST));
        let end = offsets[LAST as usize];
        let mark = if closed { 32 } else { 0 };
        for at in 0..end + mark {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                let result = reopen(bytes);
                let frame = offsets.iter().rposition(|offset| *offset <= at);
                match frame {
                    // The header says what the file is; nothing is read without it.
                    None => assert!(matches!(result, Err(Error::Damaged { .. })), "{at}"),
                    // The last frame of a journal that was killed, or the mark: it may have been
                    // cut by the crash.
                    Some(frame) if frame + 1 == offsets.len() - usize::from(!closed) => {
                        let (recovered, found) = result.expect("the state before");
                        assert_eq!(found, batches(1, frame as u64));
                        assert_eq!(recovered.torn, Some((file(), offsets[frame] as u64)));
                    }
                    // All others were durable, as later frames say.
                    Some(frame) => match result {
                        Err(Error::Damaged { path, offset, .. }) => {
                            assert_eq!((path, offset), (file(), offsets[frame] as u64));
                        }
                        other => panic!("byte {at} bit {bit}: {other:?}"),
                    },
                }
            }
        }
        // Behind the frames lies nothing that could be taken for one.
        for at in end + mark..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(reopen(bytes).expect("whole").1, batches(1, LAST));
        }
    }
}

#[test]
fn a_write_cut_or_garbled_at_any_byte_is_the_state_before_or_after() {
    let (storage, offsets) = written(false);
    let bytes = storage.read(&file()).expect("there");
    let (begin, end) = (offsets[LAST as usize - 1], offsets[LAST as usize]);
    for cut in begin..end {
        for rubbish in [0x00, 0xff, b'F'] {
            let mut bytes = bytes.clone();
            bytes[cut..end].fill(rubbish);
            let (_, found) = reopen(bytes.clone()).expect("a torn write is no error");
            let same = bytes == storage.read(&file()).expect("there");
            assert_eq!(found, batches(1, if same { LAST } else { LAST - 1 }), "{cut}");
        }
    }
}

#[test]
fn a_file_cut_short_is_an_error_at_every_length() {
    for closed in [false, true] {
        let (storage, _) = written(closed);
        let bytes = storage.read(&file()).expect("there");
        for length in 0..bytes.len() {
            match reopen(bytes[..length].to_vec()) {
                Err(Error::Damaged { path, offset, .. }) => {
                    assert_eq!((path, offset), (file(), length as u64));
                }
                other => panic!("{length}: {other:?}"),
            }
        }
    }
}

#[test]
fn damage_that_the_segments_cover_does_no_harm() {
    let (storage, offsets) = written(false);
    let whole = storage.read(&file()).expect("there");
    for damaged in 0..LAST as usize {
        for applied in 0..=LAST {
            let mut bytes = whole.clone();
            bytes[offsets[damaged] + 20] ^= 4;
            storage.put(&file(), bytes);
            let result =
                open(Arc::new(storage.clone()), options(Fsync::Always, 1024), start(applied, None));
            let found = result.map(|(_, _, found)| found);
            if damaged as u64 + 1 == LAST {
                assert_eq!(found.expect("the last may be torn"), batches(applied + 1, LAST - 1));
            } else if (damaged as u64) < applied {
                assert_eq!(found.expect("it is not needed"), batches(applied + 1, LAST));
            } else {
                assert!(matches!(found, Err(Error::Damaged { .. })), "{damaged} {applied}");
            }
        }
    }
}

#[test]
fn damage_in_a_file_that_is_not_the_last_is_never_a_torn_tail() {
    let storage = SimStorage::new();
    let (journal, ..) =
        open(Arc::new(storage.clone()), options(Fsync::Always, 256), start(0, None)).expect("open");
    for seq in 1..=20 {
        journal.append(&batch(seq)).expect("append");
    }
    let storage = storage.kill();
    let first = storage.read(&file()).expect("there");
    let mut frame_end = HEADER;
    for seq in 1.. {
        frame_end += 32 + 16 * batch(seq).len();
        if frame_end + 32 + 32 + 16 * batch(seq + 1).len() > 256 {
            break;
        }
    }
    for at in 0..frame_end {
        let mut bytes = first.clone();
        bytes[at] ^= 0x10;
        storage.put(&file(), bytes);
        let result =
            open(Arc::new(storage.clone()), options(Fsync::Always, 256), start(0, Some(1)));
        assert!(matches!(result.map(drop), Err(Error::Damaged { .. })), "byte {at}");
    }
}

/// A frame of another file, or one that a caller's ids and hashes spell out, is no frame here: the
/// checksums are seeded with a number that only the header of the file has.
#[test]
fn a_frame_of_another_file_is_not_taken_for_one_of_this() {
    let (one, offsets) = written(false);
    let (other, _) = written(false);
    let (mut bytes, foreign) =
        (one.read(&file()).expect("there"), other.read(&file()).expect("there"));
    let last = offsets[LAST as usize - 1]..offsets[LAST as usize];
    bytes[last.clone()].copy_from_slice(&foreign[last]);
    assert_eq!(reopen(bytes).expect("a torn tail").1, batches(1, LAST - 1));
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let (storage, _) = written(true);
    let mut bytes = storage.read(&file()).expect("there");
    bytes[8..12].copy_from_slice(&7_u32.to_le_bytes());
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    match reopen(bytes) {
        Err(Error::UnknownVersion { path, version, supported }) => {
            assert_eq!((path, version, supported), (file(), 7, 1));
        }
        other => panic!("{other:?}"),
    }
}
