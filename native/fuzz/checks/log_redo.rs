//! Any bytes as records of the redo log of a store of logs, in frames whose checksums are right: the store
//! opens, and is the same when it is opened again after a checkpoint, or an error says what is wrong.

use std::sync::Arc;

use lane_index::Error as StorageError;
use lane_index::journal::{Journal, JournalOptions, JournalStart};
use lane_index::storage::simulation::SimStorage;
use shape_log::{Entry, Error, Limits, LogStore, NewLog, Offset, Op, Options, Transaction};

/// What the files of the redo log start with.
const MAGIC: [u8; 8] = *b"SHAPREDO";

fn open(storage: &SimStorage) -> Result<LogStore, Error> {
    let options = Options {
        background: false,
        journal_file_bytes: 1 << 12,
        chunk_bytes_threshold: 100,
        memory_bytes: 300,
        ..Options::default()
    };
    LogStore::open(Arc::new(storage.clone()), options, |_| 0, |_| {}).map(|(store, _)| store)
}

/// A store with the log 1, and one entry in it.
fn store() -> SimStorage {
    let storage = SimStorage::new();
    let store = open(&storage).expect("a new one");
    let new = NewLog { log: 1, descriptor: b"d", awaits_snapshot: false };
    let _ = store.create_log(&new).expect("created");
    let entry = Entry { offset: Offset::new(1, 0), op: Op::Insert, key: b"k", json: b"{}" };
    let entries = &[(1, entry)];
    let transaction = Transaction { lsn: 1, fragment: 0, last: true, entries, records: &[] };
    let _ = store.append(&transaction).expect("appended");
    store.sync().expect("synced");
    storage
}

/// Appends a frame for each record: two bytes of length, and the record.
fn append(storage: &SimStorage, mut input: &[u8]) {
    let manifest = storage.read("manifest.json").expect("it is there");
    let manifest = String::from_utf8(manifest).expect("text");
    let key = manifest.split("\"hash_key\":\"").nth(1).expect("a key");
    let hash_key = u128::from_str_radix(&key[..32], 16).expect("digits").to_be_bytes();
    let start = JournalStart { applied_seq: 0, oldest: None, hash_key };
    let options = JournalOptions { file_bytes: 1 << 12, ..JournalOptions::default() };
    let journal =
        Journal::open_frames(Arc::new(storage.clone()), options, start, MAGIC, |_, _, _| Ok(()));
    let (journal, _) = journal.expect("a journal");
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (record, rest) = rest.split_at(length);
        let mut payload = (record.len() as u32).to_le_bytes().to_vec();
        payload.extend_from_slice(record);
        payload.resize(payload.len().next_multiple_of(16), 0);
        journal.write_bytes(&payload).expect("written");
        input = rest;
    }
    journal.close().expect("closed");
}

/// All that can be read; what cannot, by its error.
fn contents(store: &LogStore) -> Vec<String> {
    let mut logs = store.logs();
    logs.sort_unstable();
    let mut contents = vec![format!("{}", store.durable_lsn())];
    for log in logs {
        let stats = store.log_stats(log).expect("it is there");
        contents.push(format!("{log} {:?} {}", stats.descriptor, stats.last));
        let read = || {
            let mut reader = store.entries_after(log, Offset::ZERO, Limits::NONE)?;
            let mut entries = Vec::new();
            while let Some(entry) = reader.next()? {
                entries.push(format!("{entry:?}"));
            }
            Ok::<_, Error>(entries)
        };
        match read() {
            Ok(entries) => contents.extend(entries),
            // A snapshot part that nobody wrote, say.
            Err(Error::Storage(StorageError::Io { .. } | StorageError::Damaged { .. })) => {
                contents.push("cannot be read".to_owned());
            }
            Err(Error::AwaitsSnapshot { .. }) => contents.push("waits".to_owned()),
            Err(error) => panic!("{error}"),
        }
    }
    contents
}

/// What must hold for all bytes.
pub fn check(input: &[u8]) {
    let storage = store().kill();
    append(&storage, input);
    let store = match open(&storage) {
        Ok(store) => store,
        Err(Error::Storage(StorageError::Damaged { path, .. })) => {
            assert!(path.starts_with("journal-"), "{path}");
            return;
        }
        Err(Error::OutOfOrder { .. } | Error::OtherFragment { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let found = contents(&store);
    store.checkpoint().expect("checkpoint");
    assert_eq!(contents(&store), found);
    drop(store);
    let store = open(&storage).expect("what it wrote itself");
    assert_eq!(contents(&store), found);
}
