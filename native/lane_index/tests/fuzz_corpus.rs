//! What the fuzzers' committed inputs must hold, without a fuzzer: every input that once failed, and
//! the corpus that reaches what the fuzzers have reached.
//!
//! `LANE_INDEX_WRITE_SEEDS=1` writes the seeds anew, from the frozen fixtures and a small segment.

#[path = "../../fuzz/checks/lane_journal.rs"]
mod lane_journal;
#[path = "../../fuzz/checks/lane_manifest.rs"]
mod lane_manifest;
#[path = "../../fuzz/checks/lane_segment.rs"]
mod lane_segment;

use std::fs;
use std::path::{Path, PathBuf};

use lane_index::{SegmentBuilder, SegmentOptions};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// Runs all of them; a failure names its input.
fn replay(target: &str, seeds: fn() -> Vec<(String, Vec<u8>)>, check: fn(&[u8])) {
    let folder = corpus(target);
    let seeds = seeds();
    if std::env::var_os("LANE_INDEX_WRITE_SEEDS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in &seeds {
            fs::write(folder.join(format!("seed-{name}")), bytes).expect("written");
        }
    }
    let files = fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut inputs = 0;
    for file in files {
        let path = file.expect("an entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs > 20, "{} has only {inputs} inputs", folder.display());
}

/// The files of a frozen fixture, in the order of their names.
fn fixture(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a fixture")
        .map(|file| file.expect("an entry").path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a fixture")).collect()
}

fn segments() -> Vec<(String, Vec<u8>)> {
    let segment = |keys: u32, lanes: u32| {
        let options = SegmentOptions { lanes, level: 1 };
        let mut builder = SegmentBuilder::in_memory(options).expect("memory");
        for key in 0..keys {
            let (lane, hash) = ((key * lanes / keys) as u16, u64::from(key) << 40);
            let ids: Vec<u32> = (0..key % 4 + 1).map(|id| key + id * 7).collect();
            let removes = if key % 5 == 0 { &ids[..1] } else { &[] };
            let adds = if key % 5 == 0 { &ids[1..] } else { &ids };
            builder.push(lane, hash, adds, removes).expect("in order");
        }
        builder.finish_bytes().expect("memory").1
    };
    let mut seeds: Vec<_> = [(0, 1), (1, 1), (2, 2), (20, 3), (40, 8)]
        .map(|(keys, lanes)| (format!("keys-{keys}"), segment(keys, lanes)))
        .into();
    // A list of its own kind: a bitmap.
    let mut builder =
        SegmentBuilder::in_memory(SegmentOptions { lanes: 1, level: 0 }).expect("memory");
    let run: Vec<u32> = (7..6000).collect();
    builder.push(0, 1, &run, &[3]).expect("in order");
    seeds.push(("bitmap".to_owned(), builder.finish_bytes().expect("memory").1));
    seeds
}

fn manifests() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<_> = ["manifest", "manifest-flipped", "manifest-cut", "manifest-version-2"]
        .map(|name| (name.to_owned(), fixture(name).concat()))
        .into();
    // Regressions: numbers at their end overflowed.
    let text = String::from_utf8(fixture("manifest").concat()).expect("text");
    for field in ["generation\":2", "next_id\":9", "applied_seq\":4611686018427387904"] {
        let (name, _) = field.split_once('"').expect("a name");
        let last = text.replace(field, &format!("{name}\":18446744073709551615"));
        assert_ne!(last, text, "{field} is in there");
        seeds.push((format!("last-{name}"), last.into_bytes()));
    }
    seeds
}

fn journals() -> Vec<(String, Vec<u8>)> {
    let input = |name: &str, applied: u8| {
        let files = fixture(name);
        let first = (files[0].len() / 16) as u8;
        (format!("{name}-{applied}"), [&[applied, first], &*files.concat()].concat())
    };
    ["journal", "journal-torn", "journal-damaged", "journal-header", "journal-cut", "journal-gap"]
        .into_iter()
        .flat_map(|name| [input(name, 0), input(name, 2)])
        .chain([input("journal-version-2", 0)])
        .chain(journals_at_the_end())
        .collect()
}

/// Regressions: numbers at their end overflowed.
fn journals_at_the_end() -> Vec<(String, Vec<u8>)> {
    let file = &fixture("journal")[0];
    let with = |name: &str, applied: u8, at: &[usize], number: u64| {
        let mut file = file.clone();
        for at in at {
            file[*at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        (name.to_owned(), [&[applied, 0], &*file].concat())
    };
    // Headers with the first sequence number at 24, frames with theirs at 16.
    vec![
        with("first-is-last", 255, &[24], u64::MAX),
        with("frame-is-last", 0, &[64 + 16], u64::MAX),
        with("first-and-frame-are-last", 255, &[24, 64 + 16], u64::MAX),
        with("first-and-frame-are-last-but-one", 253, &[24, 64 + 16], u64::MAX - 1),
        with("all-is-covered", 255, &[], 0),
        with("number-is-last", 0, &[16], u64::MAX),
    ]
}

#[test]
fn every_segment_of_the_corpus_is_opened_or_refused() {
    replay("lane_segment", segments, lane_segment::check);
}

#[test]
fn every_manifest_of_the_corpus_is_read_or_refused() {
    replay("lane_manifest", manifests, lane_manifest::check);
}

#[test]
fn every_journal_of_the_corpus_is_read_back_or_refused() {
    replay("lane_journal", journals, lane_journal::check);
}
