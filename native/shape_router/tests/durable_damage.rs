//! Damaged directories: what a crash can leave is cut, everything else is refused with the file and the
//! byte, and nothing is changed.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::config;
use durable_support::*;
use lane_index::Error as StorageError;
use lane_index::sealed;
use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use shape_router::{Error, Router};
use std::collections::BTreeMap;
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;

fn files(storage: &SimStorage) -> Files {
    let names = storage.list().unwrap().into_iter().filter(|name| name != "LOCK");
    names.map(|name| (name.clone(), storage.read(&name).unwrap())).collect()
}

fn directory(files: &Files) -> SimStorage {
    let storage = SimStorage::new();
    files.iter().for_each(|(name, bytes)| storage.put(name, bytes.clone()));
    storage
}

fn open(storage: &SimStorage) -> Result<Router, Error> {
    Router::open_in(config(), Arc::new(storage.clone()), options())
}

/// A directory with a snapshot and a journal, and what the router showed at the end, and before its
/// last act.
fn small(close: bool) -> (Files, String, String) {
    let mut history = History::new(7);
    let disk = SimStorage::new();
    let router = open(&disk).unwrap();
    for _ in 0..20 {
        act(&router, &history.next()).unwrap();
    }
    act(&router, &Act::Fold).unwrap();
    let new = |id| New { id, clause: 1, param: None, keys: Some(vec![1, 2]), snapshot: None };
    act(&router, &Act::Add(vec![new(1)])).unwrap();
    let before = shown(&router);
    act(&router, &Act::Add(vec![new(2), New { clause: 4, ..new(3) }])).unwrap();
    let after = shown(&router);
    if close {
        router.close().unwrap();
    }
    (files(&disk.kill()), before, after)
}

/// The file of that beginning, the last of them.
fn last(files: &Files, prefix: &str) -> String {
    files.keys().rfind(|name| name.starts_with(prefix)).unwrap().clone()
}

/// Refused with this file's name and a byte in it, and left as it was.
fn is_refused(files: &Files, name: &str, what: &str) {
    let storage = directory(files);
    let error = open(&storage).err().unwrap_or_else(|| panic!("{what}: opened"));
    let Error::Storage(storage_error) = &error else { panic!("{what}: {error}") };
    match &**storage_error {
        StorageError::Damaged { path, offset, .. } => {
            assert_eq!(path, name, "{what}: {error}");
            assert!(*offset <= files[name].len() as u64 + 64, "{what}: {error}");
            assert_eq!(error.code(), "damaged");
        }
        other => panic!("{what}: {other}"),
    }
    assert_eq!(&self::files(&storage), files, "{what}: changed");
}

#[test]
fn a_snapshot_or_manifest_of_other_bytes_is_refused() {
    let (whole, _, after) = small(true);
    assert_eq!(shown(&open(&directory(&whole)).unwrap()), after);
    for name in [last(&whole, "shapes-"), last(&whole, "manifest")] {
        for at in 0..whole[&name].len() {
            for bit in [1, 0x80] {
                let mut files = whole.clone();
                files.get_mut(&name).unwrap()[at] ^= bit;
                is_refused(&files, &name, &format!("{name}, byte {at} ^ {bit:#x}"));
            }
            let mut files = whole.clone();
            files.get_mut(&name).unwrap().truncate(at);
            is_refused(&files, &name, &format!("{name} cut at {at}"));
        }
        let mut files = whole.clone();
        files.get_mut(&name).unwrap().push(0);
        is_refused(&files, &name, &format!("{name} with a byte more"));
    }
}

/// Where the last frame of a journal begins and ends.
fn last_frame(journal: &[u8]) -> (usize, usize) {
    let mut frames = Vec::new();
    for at in (64..journal.len() - 32).step_by(16) {
        if &journal[at + 8..at + 12] == b"FRAM" {
            let length = u32::from_le_bytes(journal[at + 12..at + 16].try_into().unwrap());
            if length > 0 {
                frames.push((at, at + 32 + length as usize));
            }
        }
    }
    *frames.last().unwrap()
}

#[test]
fn a_last_frame_that_is_not_whole_is_cut_or_refused() {
    // After a kill nothing says that the last frame was durable: it is cut.
    let (whole, before, after) = small(false);
    let name = last(&whole, "journal-");
    let (start, end) = last_frame(&whole[&name]);
    for at in start..end {
        let mut torn = whole.clone();
        torn.get_mut(&name).unwrap()[at..].fill(0);
        let mut garbled = whole.clone();
        garbled.get_mut(&name).unwrap()[at] ^= 0x55;
        for files in [torn, garbled] {
            let storage = directory(&files);
            let found = shown(&open(&storage).unwrap());
            // A byte that was zero anyway makes no difference.
            assert!(found == before || found == after && files == whole, "byte {at}");
            // What was cut does not come back.
            assert_eq!(shown(&open(&storage.kill()).unwrap()), found, "byte {at}");
        }
    }
    // After a clean close a mark says that it was: that is damage.
    let (whole, _, _) = small(true);
    let name = last(&whole, "journal-");
    let (start, end) = last_frame(&whole[&name]);
    for at in start..end {
        let mut files = whole.clone();
        files.get_mut(&name).unwrap()[at] ^= 0x55;
        is_refused(&files, &name, &format!("{name}, byte {at}"));
    }
}

#[test]
fn a_missing_file_is_told() {
    let (whole, _, _) = small(true);
    for prefix in ["shapes-", "journal-", "manifest"] {
        let mut files = whole.clone();
        // Of the journal the oldest that is needed: nothing tells that there was a newer one.
        let is_meant = |name: &&String| name.starts_with(prefix) && !name.ends_with(".index");
        let name = files.keys().find(is_meant).unwrap().clone();
        files.remove(&name);
        let storage = directory(&files);
        let error = open(&storage).err().unwrap();
        assert_eq!(error.code(), "damaged", "{error}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(self::files(&storage), files);
    }
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let (whole, _, _) = small(true);
    let checksummed = |header: &mut Vec<u8>| {
        let checksum = xxhash_rust::xxh3::xxh3_64(&header[..56]);
        header[56..64].copy_from_slice(&checksum.to_le_bytes());
    };
    for prefix in ["shapes-", "journal-"] {
        let mut files = whole.clone();
        let name = last(&files, prefix);
        let bytes = files.get_mut(&name).unwrap();
        bytes[8] = 2;
        checksummed(bytes);
        let storage = directory(&files);
        let error = open(&storage).err().unwrap();
        assert_eq!(error.code(), "unknown_version", "{error}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(self::files(&storage), files);
    }
    let mut files = whole;
    let manifest = String::from_utf8(files["manifest.json"].clone()).unwrap();
    let (body, _) = manifest.rsplit_once(",\"checksum\"").unwrap();
    let next = format!("{}}}", body.replacen("\"version\":1", "\"version\":2", 1));
    files.insert("manifest.json".into(), sealed::seal(next).into_bytes());
    let error = open(&directory(&files)).err().unwrap();
    assert_eq!(error.code(), "unknown_version", "{error}");
}

#[test]
fn files_of_another_router_are_refused() {
    let (one, _, _) = small(true);
    let (other, _, _) = small(true);
    for prefix in ["shapes-", "journal-"] {
        let mut files = one.clone();
        let name = last(&files, prefix);
        assert!(other.contains_key(&name));
        files.insert(name.clone(), other[&name].clone());
        is_refused(&files, &name, &format!("{name} of another router"));
    }
}

#[test]
fn a_directory_is_held_by_one_router() {
    let disk = SimStorage::new();
    let router = open(&disk).unwrap();
    assert_eq!(open(&disk).err().unwrap().code(), "locked");
    router.close().unwrap();
    open(&disk).unwrap();
}

#[test]
fn what_nobody_refers_to_is_swept_and_nothing_else() {
    let (mut files, _, after) = small(true);
    for name in ["shapes-00000000000000aa.snap", "shapes-0000000000000009.snap.tmp"] {
        files.insert(name.to_owned(), b"left over".to_vec());
    }
    files.insert("manifest.json.tmp".to_owned(), b"left over".to_vec());
    files.insert("notes.txt".to_owned(), b"mine".to_vec());
    let storage = directory(&files);
    assert_eq!(shown(&open(&storage).unwrap()), after);
    let left = self::files(&storage);
    assert!(left.contains_key("notes.txt"));
    assert!(
        !left.keys().any(|name| name.ends_with(".tmp") || name.contains("aa.snap")),
        "{left:?}"
    );
}
