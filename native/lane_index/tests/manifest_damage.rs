//! A manifest that is not what was written is refused, whatever was done to it, and nothing in the
//! directory is touched.

mod common;

use std::sync::Arc;

use common::KEY;
use lane_index::Error;
use lane_index::manifest::{Manifest, ManifestStore, SegmentEntry};
use lane_index::storage::simulation::SimStorage;
use lane_index::storage::{Storage, names};
use xxhash_rust::xxh3::xxh3_64;

/// A directory with a manifest of two segments, one of which is there, and files to be swept.
fn directory() -> SimStorage {
    let storage = SimStorage::new();
    let mut manifest = Manifest::new(64, KEY);
    (manifest.applied_seq, manifest.journal) = (1 << 60, Some(3));
    for id in [1, 2] {
        manifest.segments.push(SegmentEntry {
            id,
            level: 1,
            keys: 1_000_000,
            adds: 1_200_000,
            removes: 0,
            bytes: 14_000_000,
            path: names::segment(id),
            checksum: 0xfeed_f00d_dead_beef,
        });
    }
    manifest.next_id = 3;
    ManifestStore::create(Arc::new(storage.clone()), manifest).expect("create");
    storage.put(&names::segment(1), b"a segment".to_vec());
    storage.put(&names::segment(9), b"stray".to_vec());
    storage.put(&names::journal(2), b"old".to_vec());
    storage.put(&names::temporary(names::MANIFEST), b"unfinished".to_vec());
    storage
}

fn contents(storage: &SimStorage) -> Vec<(String, Option<Vec<u8>>)> {
    let names = storage.list().expect("list");
    names.into_iter().map(|name| (name.clone(), storage.read(&name))).collect()
}

fn open_with(bytes: Vec<u8>) -> Result<Option<Manifest>, Error> {
    let storage = directory();
    storage.put(names::MANIFEST, bytes);
    let before = contents(&storage);
    let result = ManifestStore::open(Arc::new(storage.clone()));
    assert_eq!(contents(&storage), before);
    result.map(|store| store.map(|store| store.current().clone()))
}

fn refused(bytes: Vec<u8>, what: &str) {
    match open_with(bytes) {
        Err(Error::Damaged { path, .. }) => assert_eq!(path, names::MANIFEST),
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let storage = directory();
    let bytes = storage.read(names::MANIFEST).expect("there");
    assert!(open_with(bytes.clone()).expect("whole").is_some());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            refused(bytes, &format!("byte {at} bit {bit}"));
        }
        refused(bytes[..at].to_vec(), &format!("cut at {at}"));
        refused(bytes[at + 1..].to_vec(), &format!("without the first {at}"));
        let mut torn = bytes.clone();
        torn[at..].fill(0);
        refused(torn, &format!("zeros from {at} on"));
    }
    refused([&bytes[..], b" "].concat(), "a space behind it");
    refused([&bytes[..], &bytes[..]].concat(), "twice");
}

/// The document with a checksum that is right.
fn sealed(body: &str) -> Vec<u8> {
    format!("{body},\"checksum\":\"{:016x}\"}}\n", xxh3_64(body.as_bytes())).into_bytes()
}

fn body() -> String {
    let bytes = directory().read(names::MANIFEST).expect("there");
    let text = String::from_utf8(bytes).expect("text");
    text[..text.rfind(",\"checksum\"").expect("a checksum")].to_owned()
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let newer = sealed(&body().replace("\"version\":1", "\"version\":2"));
    // What else is in a newer version is not ours to judge.
    for bytes in [newer, sealed("{\"version\":2,\"shape\":[\"quite\",\"another\"]")] {
        match open_with(bytes) {
            Err(Error::UnknownVersion { path, version, supported }) => {
                assert_eq!((&*path, version, supported), (names::MANIFEST, 2, 1));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A checksum that is right does not make a document of sense.
#[test]
fn a_document_of_no_sense_is_refused() {
    assert!(open_with(sealed(&body())).expect("whole").is_some());
    let changes = [
        ("\"num_lanes\":64", "\"num_lanes\":0"),
        ("\"num_lanes\":64", "\"num_lanes\":-1"),
        ("\"num_lanes\":64", "\"num_lanes\":4294967296"),
        ("\"num_lanes\":64", "\"num_lanes\":\"64\""),
        ("\"num_lanes\":64,", ""),
        ("\"num_lanes\":64", "\"num_lanes\":64,\"num_lanes\":65"),
        ("\"num_lanes\":64", "\"num_lanes\":64,\"more\":1"),
        ("\"version\":1,", ""),
        ("segment-0000000000000001.seg", "../../../etc/passwd"),
        ("segment-0000000000000001.seg", "segment-0000000000000002.seg"),
        ("\"next_id\":3", "\"next_id\":2"),
        ("\"id\":2", "\"id\":1"),
        ("feedf00ddeadbeef", "FEEDF00DDEADBEEF"),
        ("feedf00ddeadbeef", "+eedf00ddeadbeef"),
        ("feedf00ddeadbeef", "feed"),
    ];
    for (from, to) in changes {
        let changed = body().replacen(from, to, 1);
        assert_ne!(changed, body(), "{from} is in there");
        refused(sealed(&changed), to);
    }
    refused(sealed("{"), "an open brace");
    refused(sealed(""), "nothing");
    refused(sealed("[1"), "a list");
    refused(sealed(&format!("{{\"version\":1{}", ",\"a\":[".repeat(100_000))), "depth");
}
