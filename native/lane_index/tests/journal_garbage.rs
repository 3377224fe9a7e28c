//! Files of rubbish and files put together wrongly: a typed error, or batches that were written;
//! never a panic, never an operation that nobody wrote.

mod common;

use std::sync::Arc;

use common::{batch, histories, open, options, rng, start};
use lane_index::journal::Fsync;
use lane_index::manifest::Manifest;
use lane_index::storage::names;
use lane_index::storage::simulation::SimStorage;
use xxhash_rust::xxh3::xxh3_64;

const LAST: u64 = 30;

#[test]
fn a_mangled_journal_gives_a_prefix_or_an_error() {
    let storage = SimStorage::new();
    let (journal, ..) =
        open(Arc::new(storage.clone()), options(Fsync::Always, 1024), start(0, None))
            .expect("open");
    for seq in 1..=LAST {
        journal.append(&batch(seq)).expect("append");
    }
    let whole: Vec<Vec<u8>> =
        (1..).map_while(|number| storage.read(&names::journal(number))).collect();
    assert!(whole.len() > 2);
    let (mut errors, mut prefixes) = (0, 0);
    for seed in 0..histories(5000) {
        let mut rng = rng(seed);
        let mut files = whole.clone();
        for _ in 0..rng.u8(1..5) {
            let (file, other) = (rng.usize(0..files.len()), rng.usize(0..files.len()));
            let length = files[file].len();
            match rng.u8(0..6) {
                // Frames of one place, or of one file, at another.
                0 => {
                    let size = rng.usize(1..300).min(length / 2);
                    let from =
                        rng.usize(0..files[other].len().saturating_sub(size).max(1)) / 16 * 16;
                    let to = rng.usize(0..length - size) / 16 * 16;
                    let piece: Vec<u8> =
                        files[other].iter().skip(from).take(size).copied().collect();
                    files[file][to..to + piece.len()].copy_from_slice(&piece);
                }
                1 => files[file][rng.usize(0..length)] = rng.u8(..),
                2 => {
                    let at = rng.usize(0..length);
                    let end = (at + rng.usize(1..100)).min(length);
                    rng.fill(&mut files[file][at..end]);
                }
                3 => files.swap(file, other),
                // A header of other numbers, with the right checksum.
                4 if length >= 64 => {
                    files[file][16 + rng.usize(0..40)] = rng.u8(..);
                    let checksum = xxh3_64(&files[file][..56]);
                    files[file][56..64].copy_from_slice(&checksum.to_le_bytes());
                }
                _ => {
                    let cut = rng.usize(length / 2..=length).max(1);
                    files[file].truncate(cut);
                }
            }
        }
        let mangled = SimStorage::new();
        for (number, bytes) in (1..).zip(files) {
            mangled.put(&names::journal(number), bytes);
        }
        let applied = rng.u64(0..=LAST);
        match open(Arc::new(mangled), options(Fsync::Always, 1024), start(applied, Some(1))) {
            Err(_) => errors += 1,
            Ok((_, _, found)) => {
                prefixes += 1;
                for ((seq, ops), expected) in found.into_iter().zip(applied + 1..) {
                    assert_eq!((seq, ops), (expected, batch(expected)), "seed {seed}");
                }
            }
        }
    }
    assert!(errors > 100 && prefixes > 100, "{errors} {prefixes}");
}

#[test]
fn rubbish_is_no_manifest() {
    for seed in 0..histories(5000) {
        let mut rng = rng(seed);
        let mut bytes: Vec<u8> = (0..rng.usize(0..300))
            .map(|_| if rng.bool() { rng.u8(..) } else { b"{}[]\",:0123456789"[rng.usize(0..17)] })
            .collect();
        assert!(Manifest::decode(&bytes).is_err());
        if rng.bool() {
            bytes.splice(0..0, *b"{\"version\":1,");
        }
        let checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(format!(",\"checksum\":\"{checksum:016x}\"}}\n").as_bytes());
        assert!(Manifest::decode(&bytes).is_err());
    }
}
