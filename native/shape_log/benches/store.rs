//! Appends a second with group commit, flushes and checkpoints of many logs, and how long opening takes.
//!
//! In a directory of the real file system, `BENCH_DIR` or the system's for temporary files: what an fsync
//! costs there is measured first, since everything depends on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lane_index::storage::{Directory, Storage};
use shape_log::{
    Appended, Entry, Limits, LogStore, NewLog, Offset, Op, Options, Ticket, Transaction,
};

const JSON: usize = 200;

fn open(path: &Path) -> (LogStore, Duration, u64) {
    let storage = Arc::new(Directory::open(path).expect("directory"));
    let started = Instant::now();
    let (store, recovered) =
        LogStore::open(storage, Options::default(), |_| 0, |_| {}).expect("open");
    (store, started.elapsed(), recovered.frames)
}

fn create(store: &LogStore, logs: u64) {
    let mut last = None;
    for log in 1..=logs {
        let new = NewLog { log, descriptor: &[7; 60], awaits_snapshot: false };
        last = Some(store.create_log(&new).expect("create"));
    }
    last.into_iter().for_each(|ticket| store.wait(ticket).expect("wait"));
}

fn append(store: &LogStore, lsn: u64, logs: &[u64], json: &[u8]) -> Ticket {
    let key = lsn.to_le_bytes();
    let entry = Entry { offset: Offset::new(lsn, 1), op: Op::Insert, key: &key, json };
    let entries: Vec<(u64, Entry<'_>)> = logs.iter().map(|log| (*log, entry)).collect();
    let entries = &*entries;
    match store.append(&Transaction { lsn, fragment: 0, last: true, entries, records: &[] }) {
        Ok(Appended::Written(ticket)) => ticket,
        other => panic!("{other:?}"),
    }
}

/// The median of some syncs of 4 KiB behind each other.
fn fsync_cost(path: &Path) -> Duration {
    let storage = Directory::open(path.join("fsync")).expect("directory");
    let mut file = storage.create("probe").expect("create");
    file.preallocate(4 << 20).expect("preallocate");
    let syncer = file.syncer().expect("syncer");
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            file.write_all(&[1; 4096]).expect("write");
            let started = Instant::now();
            syncer.sync().expect("sync");
            started.elapsed()
        })
        .collect();
    times.sort();
    times[100]
}

/// The time that a call takes.
fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = what();
    (result, started.elapsed())
}

fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn appends(path: &Path, logs: u64) {
    let json = vec![b'x'; JSON];
    let (store, ..) = open(path);
    create(&store, logs);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut lsn = 0;
    // One after the other is durable before the next is sent.
    let waited = 300;
    let ((), alone) = timed(|| {
        for _ in 0..waited {
            lsn += 1;
            let ticket = append(&store, lsn, &[rng.u64(1..=logs)], &json);
            store.wait(ticket).expect("wait");
        }
    });
    // Sent one after the other, while those before become durable together.
    let count = 200_000;
    let ((), group) = timed(|| {
        let mut last = None;
        for _ in 0..count {
            lsn += 1;
            last = Some(append(&store, lsn, &[rng.u64(1..=logs)], &json));
        }
        last.into_iter().for_each(|ticket| store.wait(ticket).expect("wait"));
    });
    println!(
        "{logs:>6} logs: {:>9.0} transactions/s with group commit, {:>7.0}/s each waited for",
        per_second(count, group),
        per_second(waited, alone),
    );
    if logs > 1 {
        let all: Vec<u64> = (1..=logs).collect();
        let rounds = 2_000_000 / logs / 20;
        let ((), fan_out) = timed(|| {
            let mut last = None;
            for _ in 0..rounds {
                lsn += 1;
                last = Some(append(&store, lsn, &all, &json));
            }
            last.into_iter().for_each(|ticket| store.wait(ticket).expect("wait"));
        });
        let entries = rounds * logs;
        println!(
            "             {:>9.0} entries/s of rows that enter all logs",
            per_second(entries, fan_out)
        );
    }
}

fn many_logs(path: &Path, logs: u64) {
    let json = vec![b'x'; JSON];
    let all: Vec<u64> = (1..=logs).collect();
    let round = |store: &LogStore, lsn: u64| {
        for (number, log) in all.iter().enumerate() {
            let _ = append(store, lsn + number as u64, &[*log], &json);
        }
        store.sync().expect("sync");
    };
    let (store, ..) = open(path);
    let ((), created) = timed(|| create(&store, logs));
    println!("{logs} logs: created in {created:.0?}");
    round(&store, 1);
    let (flushed, flush) = timed(|| store.flush());
    flushed.expect("flush");
    let (done, checkpoint) = timed(|| store.checkpoint());
    done.expect("checkpoint");
    println!(
        "  one entry in each: flush {flush:.0?}, checkpoint of files that are new {checkpoint:.0?}"
    );
    round(&store, logs + 1);
    let (flushed, flush) = timed(|| store.flush());
    flushed.expect("flush");
    let (done, checkpoint) = timed(|| store.checkpoint());
    done.expect("checkpoint");
    println!("  and again: flush {flush:.0?}, checkpoint {checkpoint:.0?}");
    store.close().expect("close");

    let (store, opened, frames) = open(path);
    println!("  opened after a close ({frames} frames) in {opened:.1?}");
    round(&store, 2 * logs + 1);
    round(&store, 3 * logs + 1);
    drop(store);
    let (store, opened, frames) = open(path);
    println!("  opened with {frames} frames to do again in {opened:.1?}");
    let (read, reading) = timed(|| {
        let mut read = 0_u64;
        for log in &all {
            let mut reader = store.entries_after(*log, Offset::ZERO, Limits::NONE).expect("there");
            while reader.next().expect("readable").is_some() {
                read += 1;
            }
        }
        read
    });
    assert_eq!(read, 4 * logs);
    println!("  all read in {reading:.0?}, {:.0} logs/s", per_second(logs, reading));
}

fn scan(path: &Path) {
    let json = vec![b'x'; JSON];
    let (store, ..) = open(path);
    create(&store, 1);
    let count = 200_000;
    for lsn in 1..=count {
        let _ = append(&store, lsn, &[1], &json);
    }
    store.checkpoint().expect("checkpoint");
    let (bytes, time) = timed(|| {
        let mut reader = store.entries_after(1, Offset::ZERO, Limits::NONE).expect("there");
        let mut bytes = 0;
        while let Some(entry) = reader.next().expect("readable") {
            bytes += entry.json.len() as u64;
        }
        bytes
    });
    println!(
        "one log read from its files: {:.0} MB/s, {:.2} M entries/s",
        per_second(bytes, time) / 1e6,
        per_second(count, time) / 1e6,
    );
    let mut rng = fastrand::Rng::with_seed(2);
    let lookups = 2000;
    let ((), time) = timed(|| {
        for _ in 0..lookups {
            let after = Offset::new(rng.u64(1..count - 100), 1);
            let limits = Limits { entries: 100, bytes: u64::MAX };
            let mut reader = store.entries_after(1, after, limits).expect("there");
            while reader.next().expect("readable").is_some() {}
        }
    });
    println!("100 entries behind some offset: {:.1?}", time / lookups);
}

fn main() {
    let base = std::env::var_os("BENCH_DIR").map(PathBuf::from);
    let folder = base.map_or_else(tempfile::tempdir, tempfile::tempdir_in).expect("folder");
    let path = folder.path();
    println!("fsync of 4 KiB: {:.0?}", fsync_cost(path));
    for logs in [1, 100, 10_000] {
        appends(&path.join(format!("appends-{logs}")), logs);
    }
    many_logs(&path.join("many"), 10_000);
    scan(&path.join("scan"));
}
