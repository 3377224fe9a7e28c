//! A transaction that is larger than the memory it may take, and who appends faster than the disk writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lane_index::storage::Directory;
use shape_log::{
    Appended, Entry, Error, Fallback, Limits, LogStore, NewLog, Offset, Op, Options, Plan,
    ReadOptions, Ticket, Transaction,
};

const MEMORY: u64 = 100_000;
const FRAGMENTS: u32 = 400;
const ROWS: u64 = 10;

fn options() -> Options {
    Options {
        memory_bytes: MEMORY,
        chunk_bytes_threshold: 50_000,
        journal_file_bytes: 200_000,
        background: false,
        ..Options::default()
    }
}

fn open(path: &std::path::Path, options: Options) -> LogStore {
    let storage = Arc::new(Directory::open(path).expect("directory"));
    LogStore::open(storage, options, |_| 0, |_| {}).expect("open").0
}

/// A fragment with some rows of 1000 bytes for two logs.
fn send(store: &LogStore, lsn: u64, fragment: u32, last: bool) -> Result<Ticket, Error> {
    let json = format!("\"{}\"", "x".repeat(998));
    let entry = |row| {
        let offset = Offset::new(lsn, u64::from(fragment) * ROWS + row);
        Entry { offset, op: Op::Insert, key: b"key", json: json.as_bytes() }
    };
    let entries: Vec<(u64, Entry<'_>)> = (0..ROWS).map(|row| (row % 2 + 1, entry(row))).collect();
    let entries = &*entries;
    match store.append(&Transaction { lsn, fragment, last, entries, records: &[] })? {
        Appended::Written(ticket) => Ok(ticket),
        Appended::Replay { .. } => panic!("it is new"),
    }
}

fn count(store: &LogStore, log: u64) -> u64 {
    let mut reader = store.entries_after(log, Offset::ZERO, Limits::NONE).expect("it is there");
    let mut count = 0;
    while reader.next().expect("readable").is_some() {
        count += 1;
    }
    count
}

#[test]
fn a_transaction_takes_the_memory_it_may_and_no_more() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path(), options());
    for log in 1..3 {
        let new = NewLog { log, descriptor: b"", awaits_snapshot: false };
        let _ = store.create_log(&new).expect("create");
    }
    let small = send(&store, 1, 0, true).expect("append");
    store.wait(small).expect("wait");
    for fragment in 0..FRAGMENTS / 2 {
        let _ = send(&store, 2, fragment, false).expect("append");
        assert!(store.stats().memory_bytes <= MEMORY + 11_000);
    }
    store.checkpoint().expect("checkpoint");
    assert_eq!((count(&store, 1), count(&store, 2)), (ROWS / 2, ROWS / 2));
    assert!(store.stats().waits > 10);

    // It is given up, and comes again.
    store.abandon();
    assert_eq!(store.stats().memory_bytes, 0);
    for fragment in 0..FRAGMENTS / 3 {
        let _ = send(&store, 2, fragment, false).expect("append");
    }
    let out_of_turn = send(&store, 2, FRAGMENTS, false);
    assert!(matches!(out_of_turn, Err(Error::OtherFragment { .. })), "{out_of_turn:?}");
    drop(store);

    // A process that ended in the middle of it; what it spilled is not there.
    let store = open(folder.path(), options());
    assert_eq!((count(&store, 1), store.stats().memory_bytes), (ROWS / 2, 0));
    let mut last = None;
    for fragment in 0..FRAGMENTS {
        assert_eq!(store.durable_lsn(), 1);
        last = Some(send(&store, 2, fragment, fragment + 1 == FRAGMENTS).expect("append"));
    }
    store.wait(last.expect("some")).expect("wait");
    let whole = (u64::from(FRAGMENTS) + 1) * ROWS / 2;
    assert_eq!((count(&store, 1), count(&store, 2)), (whole, whole));
    // It is too large for a cache, which does not pretend to have it.
    let plan = store.read(1, Offset::new(1, 8), ReadOptions::default()).expect("read");
    assert!(matches!(plan, Plan::Stream { why: Fallback::NotSealed, .. }));
    drop(store);

    // Rolled forward from the redo log, within the same memory.
    let store = open(folder.path(), options());
    assert!(store.stats().memory_bytes <= MEMORY + 11_000);
    assert_eq!((count(&store, 1), count(&store, 2)), (whole, whole));
    store.checkpoint().expect("checkpoint");
    // A chunk ends with a transaction, however long that is.
    assert_eq!(store.seal().expect("seal"), 2);
    let chunks = store.chunks(1).expect("chunks");
    assert_eq!((chunks[0].end, chunks[0].count), (Offset::new(2, 3998), whole));
    store.close().expect("close");
}

#[test]
fn whoever_appends_waits_for_the_disk_rather_than_for_memory() {
    let folder = tempfile::tempdir().expect("folder");
    let told = Arc::new(AtomicU64::new(0));
    let (heard, told) = (Arc::clone(&told), told);
    let options = Options {
        background: true,
        on_durable: Some(Arc::new(move |lsn| {
            assert!(heard.swap(lsn, Ordering::SeqCst) < lsn, "it ascends");
        })),
        ..options()
    };
    let store = open(folder.path(), options);
    for log in 1..3 {
        let new = NewLog { log, descriptor: b"", awaits_snapshot: false };
        let _ = store.create_log(&new).expect("create");
    }
    let mut last = None;
    for lsn in 1..600 {
        last = Some(send(&store, lsn, 0, true).expect("append"));
        assert!(store.stats().memory_bytes <= MEMORY + 11_000);
    }
    store.wait(last.expect("some")).expect("wait");
    assert_eq!((store.durable_lsn(), store.appended_lsn()), (599, 599));
    // Whoever waits and the thread that tells may come in either order.
    store.sync().expect("sync");
    assert_eq!(told.load(Ordering::SeqCst), 599);
    store.close().expect("close");
}

#[test]
fn what_cannot_be_appended_changes_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path(), options());
    let new = NewLog { log: 1, descriptor: b"", awaits_snapshot: false };
    let _ = store.create_log(&new).expect("create");
    assert!(matches!(store.create_log(&new), Err(Error::LogExists { log: 1 })));
    let entry =
        |tx, op| Entry { offset: Offset::new(tx, op), op: Op::Insert, key: b"", json: b"1" };
    let append = |entries: &[(u64, Entry<'_>)]| {
        store.append(&Transaction { lsn: 5, fragment: 0, last: true, entries, records: &[] })
    };
    let good = (1, entry(5, 7));
    assert!(matches!(append(&[good, (2, entry(5, 8))]), Err(Error::UnknownLog { log: 2 })));
    assert!(matches!(append(&[good, good]), Err(Error::OutOfOrder { .. })));
    assert!(matches!(append(&[good, (1, entry(6, 1))]), Err(Error::OtherTransaction { .. })));
    assert!(matches!(append(&[good]), Ok(Appended::Written(_))));
    assert!(matches!(append(&[good]), Ok(Appended::Replay { last: 5 })));
    store.sync().expect("sync");
    assert_eq!(count(&store, 1), 1);
    assert!(matches!(store.begin_snapshot(1).map(drop), Err(Error::NoSnapshotAwaited { log: 1 })));
    assert!(matches!(store.remove_log(3), Err(Error::UnknownLog { log: 3 })));
}
