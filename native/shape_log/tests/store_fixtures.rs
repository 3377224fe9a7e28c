//! A store of version 1, as it was written once, is read for as long as this version is.
//!
//! `SHAPE_LOG_WRITE_FIXTURES=1` writes it anew: only for a new version, into a directory of its own.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lane_index::storage::Directory;
use shape_log::{
    Appended, Entry, Error, LogStore, NewLog, Offset, Op, Options, Record, Transaction,
};
use support::{small, state_of};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/logs-v1")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("readable");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

fn options() -> Options {
    Options { journal_file_bytes: 1024, chunk_bytes_threshold: 200, cache: None, ..small() }
}

type Found = (LogStore, Vec<String>);

fn open(path: &Path) -> Result<Found, Error> {
    let mut records = Vec::new();
    let storage = Arc::new(Directory::open(path).expect("directory"));
    let (store, _) = LogStore::open(
        storage,
        options(),
        |_| 2,
        |record| {
            let text = String::from_utf8_lossy(record.bytes).into_owned();
            records.push(format!("{} {} {text}", record.source, record.seq));
        },
    )?;
    Ok((store, records))
}

/// Everything that is in there, as text.
fn text(store: &LogStore, records: &[String]) -> String {
    let state = state_of(store).expect("readable");
    let mut text = format!("lsn {}\n", state.lsn);
    for (id, log) in &state.logs {
        let descriptor = String::from_utf8_lossy(&log.descriptor);
        text += &format!("log {id} {descriptor} {}\n", log.awaits_snapshot);
        for (offset, op, key, json) in &log.rows {
            let (key, json) = (String::from_utf8_lossy(key), String::from_utf8_lossy(json));
            text += &format!("  {offset} {op:?} {key} {json}\n");
        }
        for segment in store.segments(*id).expect("segments") {
            let (start, end) = (segment.start, segment.end);
            text += &format!("  segment {start} {end} {}\n", segment.compacted);
        }
    }
    records.iter().for_each(|record| text += &format!("record {record}\n"));
    text
}

fn transact(store: &LogStore, lsn: u64, logs: &[u64], (fragment, last): (u32, bool)) {
    let json = format!("{{\"key\":\"k\",\"value\":{{\"c{}\":{lsn}}},\"headers\":{{}}}}", lsn % 3);
    let op = Op::from_number((lsn % 5 + 1) as u8).expect("a known one");
    let offset = Offset::new(lsn, u64::from(fragment) * 300);
    let entry = Entry { offset, op, key: b"k", json: json.as_bytes() };
    let entries: Vec<(u64, Entry<'_>)> = logs.iter().map(|log| (*log, entry)).collect();
    let seq = lsn * 10 + u64::from(fragment);
    let records = &[Record { source: 7, seq, bytes: json.as_bytes() }];
    let entries = &*entries;
    let appended = store.append(&Transaction { lsn, fragment, last, entries, records });
    assert!(matches!(appended, Ok(Appended::Written(_))));
}

fn write(path: &Path) {
    let (store, _) = open(path).expect("a new one");
    for log in 1..5 {
        let new = NewLog { log, descriptor: b"as described", awaits_snapshot: log % 2 == 0 };
        let _ = store.create_log(&new).expect("create");
    }
    let mut snapshot = store.begin_snapshot(2).expect("begin");
    snapshot.push(b"a", b"{\"first\":1}").expect("push");
    snapshot.push(b"b", b"{\"second\":2}").expect("push");
    let _ = snapshot.finish().expect("finish");
    (1..30).for_each(|lsn| transact(&store, lsn, &[1, 2], (0, true)));
    store.release_records(7, 150);
    store.checkpoint().expect("checkpoint");
    assert!(store.compact(1).expect("compact").is_some());
    let _ = store.remove_log(3).expect("remove");
    let new = NewLog { log: 3, descriptor: b"another", awaits_snapshot: false };
    let _ = store.create_log(&new).expect("create");
    transact(&store, 30, &[1, 3], (0, false));
    transact(&store, 30, &[1, 3], (1, true));
    let records = &[Record { source: 8, seq: 3, bytes: b"by itself" }];
    let _ = store.append_records(records).expect("records");
    transact(&store, 31, &[2, 3], (0, false));
    store.sync().expect("sync");
    // As a kill would leave it: the last transaction never commits.
    std::mem::forget(store);
}

#[test]
fn version_1_is_read() {
    let fixture = fixture();
    if std::env::var_os("SHAPE_LOG_WRITE_FIXTURES").is_some() {
        let folder = tempfile::tempdir().expect("folder");
        write(folder.path());
        let whole = fixture.join("whole");
        drop(fs::remove_dir_all(&whole));
        copy(folder.path(), &whole);
        // Another place: the lock of this one is held until the end.
        let again = tempfile::tempdir().expect("folder");
        copy(&whole, again.path());
        let (store, records) = open(again.path()).unwrap_or_else(|error| panic!("{error}"));
        fs::write(fixture.join("expected.txt"), text(&store, &records)).expect("written");
    }
    let folder = tempfile::tempdir().expect("folder");
    copy(&fixture.join("whole"), folder.path());
    let expected = fs::read_to_string(fixture.join("expected.txt")).expect("text");
    let (store, records) = open(folder.path()).expect("open");
    assert_eq!(text(&store, &records), expected);
    // And written on.
    transact(&store, 31, &[1, 2], (0, true));
    store.close().expect("close");
    let (store, _) = open(folder.path()).expect("open again");
    assert_eq!(state_of(&store).expect("readable").lsn, 31);
}

#[test]
fn damaged_files_of_version_1_are_refused_by_name() {
    let files = ["manifest.json", "checkpoint-", "journal-"];
    for prefix in files {
        let folder = tempfile::tempdir().expect("folder");
        copy(&fixture().join("whole"), folder.path());
        let names = fs::read_dir(folder.path()).expect("files");
        let names = names.map(|entry| entry.expect("readable").file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        let name = names.iter().find(|name| name.starts_with(prefix)).expect("it is there");
        let mut bytes = fs::read(folder.path().join(name)).expect("readable");
        bytes[40] ^= 1;
        fs::write(folder.path().join(name), bytes).expect("written");
        match open(folder.path()) {
            Err(Error::Storage(lane_index::Error::Damaged { path, .. })) => assert_eq!(path, *name),
            other => panic!("{name}: {:?}", other.map(drop)),
        }
    }
}
