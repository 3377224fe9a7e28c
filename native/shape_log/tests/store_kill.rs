//! A process with a store, all its threads at work, ended by `kill -9` at random moments, over and over in
//! the same directory: what it had acknowledged is there, once; of what it was appending all or nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lane_index::storage::Directory;
use shape_log::{
    Appended, Entry, Error, Limits, LogStore, NewLog, Offset, Op, Options, Record, Transaction,
};

const LOGS: u64 = 5;
const CHILD: &str = "SHAPE_LOG_KILLED_CHILD";

fn options(background: bool) -> Options {
    Options {
        journal_file_bytes: 64 << 10,
        chunk_bytes_threshold: 4000,
        memory_bytes: 16_000,
        checkpoint_above_bytes: 30_000,
        keep_complete_chunks: 1,
        flush_period: Duration::from_millis(2),
        compaction_period: Duration::from_millis(5),
        background,
        ..Options::default()
    }
}

/// What the records of one source were when the store was opened.
type Records = Vec<u64>;

fn open(path: &Path, background: bool) -> (LogStore, u64, Records) {
    let mut records = Vec::new();
    let storage = Arc::new(Directory::open(path).expect("directory"));
    let (store, recovered) =
        LogStore::open(storage, options(background), |_| 0, |record| records.push(record.seq))
            .expect("whatever a kill leaves can be opened");
    (store, recovered.lsn, records)
}

fn enters(lsn: u64, log: u64) -> bool {
    (lsn * 5 + log).is_multiple_of(3)
}

fn append(store: &LogStore, lsn: u64) -> Result<Appended, Error> {
    let value = format!("{{\"n\":{lsn},\"p\":\"{}\"}}", "p".repeat((lsn % 120) as usize));
    let json = format!("{{\"key\":{},\"value\":{value},\"headers\":{{}}}}", lsn % 13);
    let key = (lsn % 13).to_string();
    let (key, json) = (key.as_bytes(), json.as_bytes());
    let entry = Entry { offset: Offset::new(lsn, 1), op: Op::Upsert, key, json };
    let logs = (1..=LOGS).filter(|log| enters(lsn, *log));
    let entries: Vec<(u64, Entry<'_>)> = logs.map(|log| (log, entry)).collect();
    let records = &[Record { source: 1, seq: lsn, bytes: b"effects" }];
    let send = |fragment, last, entries, records| {
        store.append(&Transaction { lsn, fragment, last, entries, records })
    };
    if lsn.is_multiple_of(4) {
        let (first, second) = entries.split_at(entries.len() / 2);
        assert!(matches!(send(0, false, first, &[])?, Appended::Written(_)));
        return send(1, true, second, records);
    }
    send(0, true, &entries, records)
}

/// Appends until it is killed. What it acknowledges it writes to a file, as would be told to PostgreSQL.
fn child(path: &Path) {
    let (store, mut lsn, _) = open(&path.join("logs"), true);
    let there = store.logs();
    // The one before may have been killed while it created them; nothing was appended then.
    for log in (1..=LOGS).filter(|log| !there.contains(log)) {
        let new = NewLog { log, descriptor: b"", awaits_snapshot: false };
        store.wait(store.create_log(&new).expect("create")).expect("wait");
    }
    let mut acknowledged =
        File::options().append(true).create(true).open(path.join("acknowledged")).expect("a file");
    loop {
        let mut last = None;
        for _ in 0..1 + lsn % 9 {
            lsn += 1;
            match append(&store, lsn).expect("append") {
                Appended::Written(ticket) => last = Some(ticket),
                Appended::Replay { last } => panic!("{lsn} is new, the last one is {last}"),
            }
        }
        store.wait(last.expect("one at least")).expect("wait");
        acknowledged.write_all(&lsn.to_le_bytes()).expect("acknowledged");
    }
}

fn acknowledged(path: &Path) -> u64 {
    let bytes = fs::read(path.join("acknowledged")).unwrap_or_default();
    let last = bytes.chunks_exact(8).next_back();
    last.map_or(0, |last| u64::from_le_bytes(last.try_into().expect("eight bytes")))
}

fn check(path: &Path) -> u64 {
    let (store, lsn, records) = open(&path.join("logs"), false);
    let least = acknowledged(path);
    assert!(lsn >= least, "{least} was acknowledged, {lsn} is there");
    // Nobody has released any.
    assert_eq!(records, (1..=lsn).collect::<Vec<_>>());
    for log in store.logs() {
        let mut reader = store.entries_after(log, Offset::ZERO, Limits::NONE).expect("it is there");
        let (mut rows, mut last) = (BTreeMap::new(), Offset::ZERO);
        while let Some(entry) = reader.next().expect("readable") {
            assert!(entry.offset > last);
            last = entry.offset;
            let value: serde_json::Value = serde_json::from_slice(entry.json).expect("JSON");
            rows.insert(entry.key.to_vec(), value["value"]["n"].as_u64().expect("a number"));
        }
        let entered = (1..=lsn).filter(|lsn| enters(*lsn, log));
        let expected: BTreeMap<Vec<u8>, u64> =
            entered.map(|lsn| ((lsn % 13).to_string().into_bytes(), lsn)).collect();
        assert_eq!(rows, expected, "log {log} at {lsn}");
    }
    lsn
}

#[test]
fn what_was_acknowledged_outlives_kills() {
    if let Some(path) = std::env::var_os(CHILD) {
        child(Path::new(&path));
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut lsn = 0;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["what_was_acknowledged_outlives_kills", "--exact", "--nocapture"])
            .env(CHILD, path)
            .stdout(Stdio::null())
            .spawn()
            .expect("a child");
        thread::sleep(Duration::from_millis(rng.u64(30..250)));
        child.kill().expect("killed");
        let status = child.wait().expect("ended");
        assert_eq!(status.signal(), Some(9), "round {round}: it ended by itself: {status}");
        let found = check(path);
        assert!(found >= lsn);
        lsn = found;
    }
    assert!(lsn > 100, "{lsn}");
}
