//! Any bytes as the files of a journal: read back or refused with a place, and no file is changed;
//! what was read is there again after more was written.
//!
//! The first byte is what the segments cover, from 250 on counted from the last number of all
//! backwards; the second the length of the first of two files in units
//! of sixteen bytes; with 0, or more than there is, all the rest is one file.

use std::sync::Arc;

use lane_index::Error;
use lane_index::journal::{Fsync, Journal, JournalOptions, JournalStart, Op};
use lane_index::storage::simulation::SimStorage;
use lane_index::storage::{Storage, names};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const KEY: [u8; 16] = *b"frozen at v1 key";
const HEADER: usize = 64;
const FRAME: usize = 32;
const UNIT: usize = 16;

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    let [applied, cut, rest @ ..] = bytes else { return };
    let cut = usize::from(*cut) * UNIT;
    let applied = match *applied {
        250.. => u64::MAX - u64::from(u8::MAX - *applied),
        small => u64::from(small),
    };
    let mut files = if cut == 0 || cut >= rest.len() {
        vec![rest.to_vec()]
    } else {
        vec![rest[..cut].to_vec(), rest[cut..].to_vec()]
    };
    recover(applied, &files);
    for (number, file) in (1..).zip(&mut files) {
        seal(number, file);
    }
    recover(applied, &files);
}

fn put(file: &mut [u8], at: usize, field: &[u8]) {
    file[at..at + field.len()].copy_from_slice(field);
}

/// Gives a file the magic numbers, names and checksums that it must have, so that what lies behind
/// them is reached. Frames that say they are longer than the file is stay as they are.
fn seal(number: u64, file: &mut [u8]) {
    if file.len() < HEADER {
        return;
    }
    put(file, 0, b"LANEJRNL");
    put(file, 16, &number.to_le_bytes());
    let allocated = (file.len() as u64).to_le_bytes();
    put(file, 32, &allocated);
    put(file, 48, &xxh3_64(&KEY).to_le_bytes());
    let salt = u64::from_le_bytes(file[40..48].try_into().expect("eight bytes"));
    let mut at = HEADER;
    while at + FRAME <= file.len() {
        let length = u32::from_le_bytes(file[at + 12..at + 16].try_into().expect("four")) as usize;
        let end = at + FRAME + length;
        if &file[at + 8..at + 12] == b"FRAM" && end <= file.len() && length.is_multiple_of(UNIT) {
            let sum = xxh3_64_with_seed(&file[at + 8..end], salt);
            put(file, at, &sum.to_le_bytes());
            at = end;
        } else {
            at += UNIT;
        }
    }
    let sum = xxh3_64(&file[..56]);
    put(file, 56, &sum.to_le_bytes());
}

type Batches = Vec<(u64, Vec<Op>)>;

fn open(storage: &SimStorage, applied_seq: u64) -> Result<(Journal, Batches, u64), Error> {
    let mut options = JournalOptions::default();
    (options.fsync, options.file_bytes) = (Fsync::Always, 256);
    let start = JournalStart { applied_seq, oldest: Some(1), hash_key: KEY };
    let mut batches = vec![];
    let (journal, recovered) =
        Journal::open(Arc::new(storage.clone()), options, start, |seq, ops| {
            batches.push((seq, ops.to_vec()));
        })?;
    assert_eq!(recovered.frames, batches.len() as u64);
    Ok((journal, batches, recovered.last_seq))
}

fn recover(applied: u64, files: &[Vec<u8>]) {
    let storage = SimStorage::new();
    for (number, file) in (1..).zip(files) {
        storage.put(&names::journal(number), file.clone());
    }
    let opened = open(&storage, applied);
    for (number, file) in (1..).zip(files) {
        assert_eq!(storage.read(&names::journal(number)).as_ref(), Some(file), "changed");
    }
    let (journal, batches, last) = match opened {
        Ok(opened) => opened,
        Err(Error::Damaged { path, offset, .. }) => {
            let length = storage.read(&path).expect("a file that is there").len();
            assert!(offset <= length as u64, "{offset} of {length}");
            return;
        }
        Err(Error::UnknownVersion { path, .. } | Error::Missing { path, .. }) => {
            assert!(!path.is_empty());
            return;
        }
        Err(other) => panic!("{other:?}"),
    };
    let mut before = applied;
    for (seq, ops) in &batches {
        assert!(*seq > before && !ops.is_empty(), "{seq} after {before}");
        before = *seq;
    }
    assert!(last >= before);
    let more = [Op::Insert { hash: 1, id: 2 }];
    let seq = match journal.append(&more) {
        Ok(seq) => seq,
        // Only where the numbers are used up.
        Err(Error::Limit { .. }) => return assert!(last >= u64::MAX - 1),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(seq, last + 1);
    drop(journal);
    let (_, found, after) = open(&storage.kill(), applied).expect("opens again");
    let mut want = batches;
    want.push((seq, more.to_vec()));
    assert_eq!((found, after), (want, seq));
    assert!(storage.list().expect("names").len() > files.len());
}
