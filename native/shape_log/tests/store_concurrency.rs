//! Readers and clients see whole histories while everything else goes on; and at whatever moment the power
//! goes, what was durable is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lane_index::storage::Directory;
use lane_index::storage::simulation::SimDisk;
use lane_index::{Fsync, Storage};
use shape_log::{
    Appended, Entry, Error, Limits, LogStore, NewLog, Offset, Op, Options, Plan, ReadOptions,
    Transaction,
};

const LOGS: u64 = 4;

fn busy(fsync: Fsync) -> Options {
    Options {
        fsync,
        journal_file_bytes: 32 << 10,
        chunk_bytes_threshold: 3000,
        memory_bytes: 20_000,
        checkpoint_above_bytes: 20_000,
        keep_complete_chunks: 1,
        flush_period: Duration::from_millis(1),
        compaction_period: Duration::from_millis(3),
        min_file_bytes: 1,
        ..Options::default()
    }
}

fn enters(lsn: u64, log: u64) -> bool {
    (lsn * 7 + log).is_multiple_of(3)
}

/// What a log says of its rows after a transaction.
fn expected(log: u64, lsn: u64) -> BTreeMap<u64, u64> {
    (1..=lsn).filter(|lsn| enters(*lsn, log)).map(|lsn| (lsn % 11, lsn)).collect()
}

fn json(lsn: u64) -> String {
    let pad = "p".repeat((lsn % 90) as usize);
    format!("{{\"key\":{},\"value\":{{\"n\":{lsn},\"p\":\"{pad}\"}},\"headers\":{{}}}}", lsn % 11)
}

fn apply(rows: &mut BTreeMap<u64, u64>, json: &[u8]) {
    let value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
    let number = |value: &serde_json::Value| value.as_u64().expect("a number");
    rows.insert(number(&value["key"]), number(&value["value"]["n"]));
}

/// Sends a transaction, some of them in fragments, and some of these again from the beginning.
fn append(store: &LogStore, lsn: u64) -> shape_log::Ticket {
    let (json, key) = (json(lsn), (lsn % 11).to_string());
    let (json, key) = (json.as_bytes(), key.as_bytes());
    let entry = Entry { offset: Offset::new(lsn, 1), op: Op::Upsert, key, json };
    let logs = (1..=LOGS).filter(|log| enters(lsn, *log));
    let entries: Vec<(u64, Entry<'_>)> = logs.map(|log| (log, entry)).collect();
    let send = |fragment, last, entries| {
        let transaction = Transaction { lsn, fragment, last, entries, records: &[] };
        match store.append(&transaction).expect("append") {
            Appended::Written(ticket) => ticket,
            Appended::Replay { .. } => panic!("it is new"),
        }
    };
    if lsn.is_multiple_of(5) {
        let (first, second) = entries.split_at(entries.len() / 2);
        let _ = send(0, false, first);
        if lsn.is_multiple_of(10) {
            let _ = send(0, false, first);
        }
        return send(1, true, second);
    }
    send(0, true, &entries)
}

/// Reads whole logs over and over.
fn read_all(store: &LogStore, done: &AtomicBool, seed: u64) -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut reads = 0;
    while !done.load(Ordering::Relaxed) || reads == 0 {
        let log = rng.u64(1..=LOGS);
        let watermark = store.durable_lsn();
        let mut reader = store.entries_after(log, Offset::ZERO, Limits::NONE).expect("it is there");
        let mut rows = BTreeMap::new();
        while let Some(entry) = reader.next().expect("readable") {
            apply(&mut rows, entry.json);
        }
        let last = reader.last().tx;
        assert_eq!(rows, expected(log, last), "log {log} to {last}");
        assert!(rows.values().max() >= expected(log, watermark).values().max());
        reads += 1;
    }
    reads
}

/// A client that follows one log, and is told when it has everything.
fn follow(store: &LogStore, done: &AtomicBool, log: u64) -> [u64; 3] {
    let (mut rows, mut at, mut how) = (BTreeMap::new(), Offset::ZERO, [0; 3]);
    loop {
        let was_done = done.load(Ordering::Relaxed);
        match store.read(log, at, ReadOptions { gzip: false, cached_operations: 20 }) {
            Ok(Plan::UpToDate) if was_done => return how,
            Ok(Plan::UpToDate) => {
                thread::yield_now();
                continue;
            }
            Ok(Plan::File { path, chunk, lease, .. }) => {
                let file = std::fs::read(path).expect("it is leased");
                drop(lease);
                let values: Vec<serde_json::Value> = serde_json::from_slice(&file).expect("JSON");
                let values = values.iter().map(|value| value.to_string());
                values.for_each(|value| apply(&mut rows, value.as_bytes()));
                at = chunk.end;
                how[0] += 1;
            }
            Ok(Plan::Cached { answer, .. }) => {
                let values = serde_json::from_slice::<Vec<serde_json::Value>>(&answer.to_vec());
                let values = values.expect("JSON").into_iter().map(|value| value.to_string());
                values.for_each(|value| apply(&mut rows, value.as_bytes()));
                at = answer.last();
                how[1] += 1;
            }
            Ok(Plan::Stream { mut reader, end, .. }) => {
                while let Some(entry) = reader.next().expect("readable") {
                    apply(&mut rows, entry.json);
                }
                at = end;
                how[2] += 1;
            }
            Err(error) => panic!("{error}"),
        }
        assert_eq!(rows, expected(log, at.tx), "log {log} at {at}");
    }
}

/// Waits for the threads to have done some of everything.
fn wait_for_threads(store: &LogStore) {
    let started = Instant::now();
    loop {
        let stats = store.stats();
        if stats.compactions > 0 && stats.seals > 0 && stats.checkpoints > 0 {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{stats:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn create(store: &LogStore) {
    for log in 1..=LOGS {
        let new = NewLog { log, descriptor: b"", awaits_snapshot: false };
        store.wait(store.create_log(&new).expect("create")).expect("wait");
    }
}

#[test]
fn readers_see_whole_histories_while_everything_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let storage: Arc<dyn Storage> = Arc::new(Directory::open(folder.path()).expect("directory"));
    let (store, _) =
        LogStore::open(Arc::clone(&storage), busy(Fsync::Never), |_| 0, |_| {}).expect("open");
    create(&store);
    let done = AtomicBool::new(false);
    let how = thread::scope(|scope| {
        let (store, done) = (&store, &done);
        let readers: Vec<_> =
            (0..2).map(|seed| scope.spawn(move || read_all(store, done, seed))).collect();
        let clients: Vec<_> =
            (1..=LOGS).map(|log| scope.spawn(move || follow(store, done, log))).collect();
        let others = scope.spawn(move || {
            let mut round = 0;
            while !done.load(Ordering::Relaxed) {
                round += 1;
                let log = 100 + round % 3;
                let new = NewLog { log, descriptor: b"other", awaits_snapshot: true };
                store.wait(store.create_log(&new).expect("create")).expect("wait");
                let mut snapshot = store.begin_snapshot(log).expect("begin");
                snapshot.push(b"1", b"{}").expect("push");
                let _ = snapshot.finish().expect("finish");
                let _ = store.remove_log(log).expect("remove");
            }
        });
        let started = Instant::now();
        let mut lsn = 0;
        while started.elapsed() < Duration::from_secs(3) && lsn < 3000 {
            lsn += 1;
            let _ = append(store, lsn);
        }
        store.sync().expect("sync");
        wait_for_threads(store);
        done.store(true, Ordering::Relaxed);
        others.join().expect("others");
        readers.into_iter().for_each(|reader| assert!(reader.join().expect("reader") > 0));
        let clients = clients.into_iter().map(|client| client.join().expect("client"));
        clients
            .fold([0; 3], |sum: [u64; 3], how| [sum[0] + how[0], sum[1] + how[1], sum[2] + how[2]])
    });
    assert!(how[1] > 0, "files, cached, streams: {how:?}");
    // What was compacted last may be about to be sealed.
    let started = Instant::now();
    while follow(&store, &done, 1)[0] == 0 {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", store.stats());
        thread::sleep(Duration::from_millis(5));
    }
    store.close().expect("close");
    let (store, recovered) =
        LogStore::open(storage, busy(Fsync::Always), |_| 0, |_| {}).expect("open again");
    assert_eq!((recovered.frames, recovered.logs), (0, LOGS));
    assert!(matches!(
        store.read(100, Offset::ZERO, ReadOptions::default()),
        Err(Error::UnknownLog { .. })
    ));
}

#[test]
fn the_power_may_go_at_any_moment() {
    let disk = SimDisk::new();
    let storage = Arc::new(disk.directory("logs"));
    let (store, _) = LogStore::open(storage, busy(Fsync::Always), |_| 0, |_| {}).expect("open");
    create(&store);
    let (done, appended) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let (store, done, appended, disk) = (&store, &done, &appended, &disk);
        scope.spawn(move || {
            for lsn in 1..=2500 {
                appended.store(lsn, Ordering::SeqCst);
                let ticket = append(store, lsn);
                if lsn % 16 == 0 {
                    store.wait(ticket).expect("wait");
                }
            }
            wait_for_threads(store);
            done.store(true, Ordering::SeqCst);
        });
        let mut cuts = 0;
        while !done.load(Ordering::SeqCst) || cuts == 0 {
            let least = store.durable_lsn();
            let found = disk.crash(cuts);
            let most = appended.load(Ordering::SeqCst);
            check(&found, least, most);
            cuts += 1;
        }
        assert!(cuts > 3, "{cuts}");
    });
}

/// Opens what a power cut left.
fn check(disk: &SimDisk, least: u64, most: u64) {
    let options = Options { background: false, ..busy(Fsync::Always) };
    let storage = Arc::new(disk.directory("logs"));
    let (store, recovered) = LogStore::open(storage, options, |_| 0, |_| {}).expect("open");
    assert!((least..=most).contains(&recovered.lsn), "{least} {} {most}", recovered.lsn);
    for log in 1..=LOGS {
        let mut reader = store.entries_after(log, Offset::ZERO, Limits::NONE).expect("it is there");
        let mut rows = BTreeMap::new();
        while let Some(entry) = reader.next().expect("readable") {
            apply(&mut rows, entry.json);
        }
        assert_eq!(rows, expected(log, recovered.lsn), "log {log} to {}", recovered.lsn);
    }
}
