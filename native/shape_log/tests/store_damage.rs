//! Every file cut off and garbled at every byte: the old state, the new one, or an error that names the
//! file.

mod support;

use std::sync::Arc;

use lane_index::storage::Storage;
use lane_index::storage::simulation::{SimDisk, SimStorage};
use shape_log::{
    Appended, Entry, Error, LogStore, NewLog, Offset, Op, Options, Record, Ticket, Transaction,
};
use support::{State, small, state_of};

fn open(storage: &SimStorage) -> Result<LogStore, Error> {
    let options = Options { journal_file_bytes: 2048, ..small() };
    LogStore::open(Arc::new(storage.clone()), options, |_| 0, |_| {}).map(|(store, _)| store)
}

fn transact(store: &LogStore, lsn: u64) -> Ticket {
    let json = format!("{{\"n\":{lsn}}}");
    let entry = |op| {
        let (key, json) = (b"key", json.as_bytes());
        Entry { offset: Offset::new(lsn, op), op: Op::Update, key, json }
    };
    let entries = &[(1, entry(0)), (2, entry(3)), (1, entry(4))];
    let records = &[Record { source: 1, seq: lsn, bytes: b"record" }];
    let transaction = Transaction { lsn, fragment: 0, last: true, entries, records };
    match store.append(&transaction).expect("append") {
        Appended::Written(ticket) => ticket,
        Appended::Replay { .. } => panic!("it is new"),
    }
}

/// A store with two logs, a snapshot part and some transactions.
fn filled() -> (SimStorage, LogStore) {
    let storage = SimDisk::new().directory("logs");
    let store = open(&storage).expect("a new one");
    for log in 1..3 {
        let new = NewLog { log, descriptor: b"descriptor", awaits_snapshot: log == 2 };
        let _ = store.create_log(&new).expect("create");
    }
    let mut snapshot = store.begin_snapshot(2).expect("begin");
    snapshot.push(b"a", b"1").expect("push");
    snapshot.push(b"b", b"2").expect("push");
    let _ = snapshot.finish().expect("finish");
    for lsn in 1..4 {
        store.wait(transact(&store, lsn)).expect("wait");
    }
    (storage, store)
}

fn is_typed(error: &Error) -> bool {
    use lane_index::Error::{Damaged, Missing, UnknownVersion};
    match error {
        Error::Storage(
            Damaged { path, .. } | UnknownVersion { path, .. } | Missing { path, .. },
        ) => !path.is_empty(),
        _ => false,
    }
}

/// What is found in a copy with other bytes in one file.
fn found(
    storage: &SimStorage,
    folder: Option<&str>,
    file: &str,
    bytes: Vec<u8>,
) -> Result<State, Error> {
    let copy = storage.kill();
    let mut place = copy.clone();
    for name in folder.iter().flat_map(|folder| folder.split('/')) {
        place = place.inside(name).expect("it is there");
    }
    place.put(file, bytes);
    let store = open(&copy)?;
    state_of(&store)
}

/// Tries each damage of a file; how many were noticed.
fn damage(
    storage: &SimStorage,
    folder: Option<&str>,
    file: &str,
    good: &[&State],
    length: usize,
) -> u64 {
    let mut place = storage.clone();
    for name in folder.iter().flat_map(|folder| folder.split('/')) {
        place = place.inside(name).expect("it is there");
    }
    let whole = place.read(file).expect("it is there");
    let length = length.min(whole.len());
    let mut noticed = 0;
    let mut check =
        |bytes: Vec<u8>, what: &str, at: usize| match found(storage, folder, file, bytes) {
            Ok(state) => {
                assert!(good.contains(&&state), "{file} {what} at {at}: {}", state.outline());
            }
            Err(error) => {
                assert!(is_typed(&error), "{file} {what} at {at}: {error}");
                noticed += 1;
            }
        };
    for at in 0..length {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        check(bytes, "garbled", at);
        let mut bytes = whole.clone();
        bytes[at..].fill(0);
        check(bytes, "zeroed", at);
        check(whole[..at].to_vec(), "cut", at);
    }
    noticed
}

#[test]
fn the_redo_log() {
    let (storage, store) = filled();
    let old = state_of(&store).expect("readable");
    store.wait(transact(&store, 4)).expect("wait");
    let new = state_of(&store).expect("readable");
    let left = storage.kill();
    drop(store);
    assert_ne!(old, new);
    let file = "journal-0000000000000001.log";
    let bytes = left.read(file).expect("the first one");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    // The frame of the last transaction begins with the last of these.
    let marks: Vec<usize> =
        (0..end).filter(|at| bytes[*at..].starts_with(b"FRAM")).map(|at| at - 8).collect();
    let last = *marks.last().expect("frames");
    for at in last..end {
        let mut garbled = bytes.clone();
        garbled[at] ^= 1 << (at % 8);
        let mut zeroed = bytes.clone();
        zeroed[at..].fill(0);
        for bytes in [garbled, zeroed] {
            let state = found(&left, None, file, bytes).expect("it is a write that was cut off");
            assert!(state == old || state == new, "at {at}: {}", state.outline());
        }
    }
    // Of older ones it is known that they were durable.
    let states = states_of_the_past(4);
    let states: Vec<&State> = states.iter().chain([&old, &new]).collect();
    let noticed = damage(&left, None, file, &states, last);
    assert!(noticed > last as u64, "{noticed}");
}

/// What there was after each step of [`filled`], and some transactions.
fn states_of_the_past(most: u64) -> Vec<State> {
    let storage = SimDisk::new().directory("logs");
    let store = open(&storage).expect("a new one");
    let mut states = vec![state_of(&store).expect("readable")];
    for log in 1..3 {
        let new = NewLog { log, descriptor: b"descriptor", awaits_snapshot: log == 2 };
        let _ = store.create_log(&new).expect("create");
        states.push(state_of(&store).expect("readable"));
    }
    let mut snapshot = store.begin_snapshot(2).expect("begin");
    snapshot.push(b"a", b"1").expect("push");
    snapshot.push(b"b", b"2").expect("push");
    let _ = snapshot.finish().expect("finish");
    states.push(state_of(&store).expect("readable"));
    for lsn in 1..=most {
        store.wait(transact(&store, lsn)).expect("wait");
        states.push(state_of(&store).expect("readable"));
    }
    states
}

#[test]
fn segments_and_snapshot_parts() {
    let (storage, store) = filled();
    store.close().expect("close");
    let state = state_of(&open(&storage).expect("open")).expect("readable");
    let shapes = storage.inside("shapes").expect("shapes");
    let mut files = 0;
    for log in shapes.subdirectories().expect("logs") {
        let folder = format!("shapes/{log}");
        for file in shapes.inside(&log).expect("log").list().expect("files") {
            let bytes = shapes.inside(&log).expect("log").read(&file).expect("there").len();
            let noticed = damage(&storage, Some(&folder), &file, &[&state], usize::MAX);
            // All of them are, but bytes that are zero and fall off the end.
            assert!(noticed > 2 * bytes as u64, "{file} {noticed} of {bytes}");
            files += 1;
        }
    }
    assert_eq!(files, 3);
}

#[test]
fn the_checkpoint_and_the_manifest() {
    let (storage, store) = filled();
    store.close().expect("close");
    let state = state_of(&open(&storage).expect("open")).expect("readable");
    let files = storage.list().expect("files");
    let checkpoint = files.iter().find(|name| name.ends_with(".ckp")).expect("one");
    for file in [checkpoint.as_str(), "manifest.json"] {
        let bytes = storage.read(file).expect("there").len();
        let noticed = damage(&storage, None, file, &[&state], usize::MAX);
        assert!(noticed > 2 * bytes as u64, "{file} {noticed} of {bytes}");
    }
    // Without its manifest nothing is begun anew over what there is.
    storage.remove("manifest.json").expect("remove");
    assert!(open(&storage).is_err_and(|error| is_typed(&error)));
}

#[test]
fn what_is_lost_is_missed() {
    let (storage, store) = filled();
    store.close().expect("close");
    for file in storage.list().expect("files") {
        let copy = storage.kill();
        copy.remove(&file).expect("remove");
        match open(&copy) {
            Ok(_) => assert_eq!(file, "LOCK"),
            Err(error) => assert!(is_typed(&error), "{file}: {error}"),
        }
    }
}
