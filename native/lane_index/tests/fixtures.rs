//! Files of format version 1, as they were written when it was new: they must always be read, and
//! the damaged ones refused for what is wrong with them.
//!
//! `LANE_INDEX_WRITE_FIXTURES=1` writes them anew; only for a new version, in a new folder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use lane_index::Error;
use lane_index::journal::{Fsync, Journal, JournalOptions, JournalStart, Op, Recovered};
use lane_index::manifest::{self, Manifest, ManifestStore, SegmentEntry};
use lane_index::storage::simulation::SimStorage;
use lane_index::storage::{Directory, Storage, names};

const KEY: [u8; 16] = *b"frozen at v1 key";
/// The folders that hold files of this owner's formats.
const MANIFESTS: [&str; 5] =
    ["manifest", "manifest-flipped", "manifest-cut", "manifest-version-2", "manifest-lost"];
const JOURNALS: [&str; 7] = [
    "journal",
    "journal-torn",
    "journal-damaged",
    "journal-header",
    "journal-cut",
    "journal-gap",
    "journal-version-2",
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// The fixture, in memory: the files themselves are only read.
fn fixture(name: &str) -> SimStorage {
    let path = folder().join(name);
    assert!(path.is_dir(), "{}", path.display());
    let (stored, found) = (Directory::open(path).expect("fixture"), SimStorage::new());
    for file in stored.list().expect("list") {
        found.put(&file, stored.map(&file, false).expect("read").to_vec());
    }
    found
}

fn options() -> JournalOptions {
    let mut options = JournalOptions::default();
    (options.fsync, options.file_bytes) = (Fsync::Always, 288);
    options
}

fn journal(storage: &SimStorage, applied_seq: u64) -> Result<(Recovered, Vec<Vec<Op>>), Error> {
    let start = JournalStart { applied_seq, oldest: Some(1), hash_key: KEY };
    let mut found = Vec::new();
    let opened = Journal::open(Arc::new(storage.clone()), options(), start, |_, ops| {
        found.push(ops.to_vec());
    });
    opened.map(|(_, recovered)| (recovered, found))
}

fn insert(hash: u64, id: u32) -> Op {
    Op::Insert { hash, id }
}

fn remove(hash: u64, id: u32) -> Op {
    Op::Remove { hash, id }
}

/// The batches in the journals. Two files: three batches and two.
fn batches() -> Vec<Vec<Op>> {
    vec![
        vec![insert(1, 2)],
        vec![insert(u64::MAX, u32::MAX), remove(0, 0), insert(0x0123_4567_89ab_cdef, 77)],
        vec![remove(1, 2)],
        vec![insert(5, 6), insert(5, 7)],
        vec![insert(5, 8), remove(5, 6), remove(5, 9)],
    ]
}

fn expected_manifest() -> Manifest {
    let mut manifest = Manifest::new(64, KEY);
    (manifest.generation, manifest.applied_seq, manifest.next_id) = (2, 1 << 62, 9);
    (manifest.journal, manifest.degraded) = (Some(3), true);
    for (id, level) in [(8, 0), (2, 3)] {
        manifest.segments.push(SegmentEntry {
            id,
            level,
            keys: 10_000_000,
            adds: 12_000_000,
            removes: id,
            bytes: 140_000_000 + id,
            path: names::segment(id),
            checksum: 0x0000_beef_0000_0000 + id,
        });
    }
    manifest
}

#[test]
fn the_manifest_of_version_1_is_read() {
    write_anew_if_asked();
    let found = manifest::read(&fixture("manifest")).expect("read").expect("there");
    assert_eq!(found, expected_manifest());
    // And written as it was then, byte for byte.
    let text = found.encode().expect("encode").into_bytes();
    assert_eq!(fixture("manifest").read(names::MANIFEST), Some(text));
}

#[test]
fn damaged_manifests_of_version_1_are_refused() {
    write_anew_if_asked();
    for name in MANIFESTS.into_iter().skip(1) {
        let error = manifest::read(&fixture(name)).map(drop).expect_err(name);
        let fits = match name {
            "manifest-flipped" | "manifest-cut" => matches!(error, Error::Damaged { .. }),
            "manifest-version-2" => matches!(error, Error::UnknownVersion { version: 2, .. }),
            _ => matches!(error, Error::Missing { .. }),
        };
        assert!(fits, "{name}: {error}");
    }
}

#[test]
fn the_journal_of_version_1_is_read() {
    write_anew_if_asked();
    let storage = fixture("journal");
    for applied in 0..=5 {
        let (recovered, found) = journal(&storage, applied).expect("whole");
        assert_eq!(found, batches()[applied as usize..]);
        assert_eq!((recovered.last_seq, recovered.torn), (5, None));
    }
}

#[test]
fn a_torn_journal_of_version_1_is_cut() {
    write_anew_if_asked();
    let (recovered, found) = journal(&fixture("journal-torn"), 0).expect("cut");
    assert_eq!(found, batches()[..4]);
    assert_eq!(recovered.torn, Some((names::journal(2), 64 + 32 + 2 * 16)));
}

#[test]
fn damaged_journals_of_version_1_are_refused() {
    write_anew_if_asked();
    for name in JOURNALS.into_iter().skip(2) {
        let error = journal(&fixture(name), 0).map(drop).expect_err(name);
        let place = match &error {
            Error::Damaged { path, offset, .. } => (path.clone(), *offset),
            Error::UnknownVersion { path, version, .. } => (path.clone(), u64::from(*version)),
            Error::Missing { path, .. } => (path.clone(), 0),
            other => panic!("{name}: {other}"),
        };
        let expected = match name {
            // The second batch of the first file.
            "journal-damaged" => (names::journal(1), 64 + 32 + 16),
            "journal-header" => (names::journal(2), 56),
            "journal-cut" => (names::journal(1), 100),
            "journal-gap" => (names::journal(1), 0),
            _ => (names::journal(2), 2),
        };
        assert_eq!(place, expected, "{name}: {error}");
        let version = matches!(error, Error::UnknownVersion { .. });
        let missing = matches!(error, Error::Missing { .. });
        assert_eq!((version, missing), (name == "journal-version-2", name == "journal-gap"));
    }
}

/// No fixture is there that no test reads.
#[test]
fn every_fixture_of_manifest_and_journal_is_tested() {
    write_anew_if_asked();
    let ours: BTreeSet<String> = std::fs::read_dir(folder())
        .expect("fixtures")
        .map(|entry| entry.expect("entry").file_name().into_string().expect("text"))
        .filter(|name| name.starts_with("manifest") || name.starts_with("journal"))
        .collect();
    let tested = MANIFESTS.iter().chain(&JOURNALS).map(|name| (*name).to_owned()).collect();
    assert_eq!(ours, tested);
}

fn write_anew_if_asked() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("LANE_INDEX_WRITE_FIXTURES").is_some() {
        ONCE.call_once(write_anew);
    }
}

fn store(name: &str, files: &[(String, Vec<u8>)]) {
    let path = folder().join(name);
    std::fs::create_dir_all(&path).expect("folder");
    for (file, bytes) in files {
        std::fs::write(path.join(file), bytes).expect("write");
    }
}

fn files_of(storage: &SimStorage) -> Vec<(String, Vec<u8>)> {
    let names = storage.list().expect("list");
    names.into_iter().map(|name| (name.clone(), storage.read(&name).expect("there"))).collect()
}

fn write_anew() {
    let storage = SimStorage::new();
    let mut first = expected_manifest();
    first.segments.clear();
    let mut manifests = ManifestStore::create(Arc::new(storage.clone()), first).expect("create");
    manifests.commit(expected_manifest()).expect("commit");
    let bytes = storage.read(names::MANIFEST).expect("there");
    let with = |name: &str, bytes: Vec<u8>| store(name, &[(names::MANIFEST.into(), bytes)]);
    with("manifest", bytes.clone());
    let mut flipped = bytes.clone();
    flipped[40] ^= 1;
    with("manifest-flipped", flipped);
    with("manifest-cut", bytes[..bytes.len() / 2].to_vec());
    let body = "{\"version\":2,\"segments\":{}";
    let checksum = xxhash_rust::xxh3::xxh3_64(body.as_bytes());
    with("manifest-version-2", format!("{body},\"checksum\":\"{checksum:016x}\"}}\n").into());

    let storage = SimStorage::new();
    let start = JournalStart { applied_seq: 0, oldest: None, hash_key: KEY };
    let (log, _) =
        Journal::open(Arc::new(storage.clone()), options(), start, |_, _| {}).expect("open");
    for batch in batches() {
        log.append(&batch).expect("append");
    }
    let killed = files_of(&storage.kill());
    log.close().expect("close");
    let closed = files_of(&storage);
    store("journal", &closed);
    store("manifest-lost", &closed);
    let changed = |name: &str, files: &[(String, Vec<u8>)], change: &dyn Fn(&mut [Vec<u8>; 2])| {
        let mut bytes = [files[0].1.clone(), files[1].1.clone()];
        change(&mut bytes);
        let [one, two] = bytes;
        store(name, &[(names::journal(1), one), (names::journal(2), two)]);
    };
    changed("journal-torn", &killed, &|files| files[1][64 + 64 + 40..].fill(0));
    changed("journal-damaged", &killed, &|files| files[0][64 + 48 + 36] ^= 0x80);
    changed("journal-header", &closed, &|files| files[1][30] ^= 1);
    changed("journal-cut", &closed, &|files| files[0].truncate(100));
    store("journal-gap", &closed[1..]);
    changed("journal-version-2", &closed, &|files| {
        files[1][8] = 2;
        let checksum = xxhash_rust::xxh3::xxh3_64(&files[1][..56]);
        files[1][56..64].copy_from_slice(&checksum.to_le_bytes());
    });
}
