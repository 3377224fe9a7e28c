//! Requests are answered with files where there are some, from the cache, or from the log; together they
//! are the log, whatever answers what.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lane_index::storage::Directory;
use shape_log::{
    Appended, Entry, Error, Fallback, LogStore, NewLog, Offset, Op, Options, Plan, ReadOptions,
    Retention, Transaction,
};

const ROWS: u64 = 400;

/// A log of transactions, the JSON of each with its number and 1000 bytes more.
fn fill(store: &LogStore, from: u64, to: u64) {
    for lsn in from..to {
        let (key, text) = (format!("{}", lsn % 7), "x".repeat(1000));
        let value = format!("{{\"n\":{lsn},\"text\":\"{text}\"}}");
        let json = format!("{{\"key\":\"{key}\",\"value\":{value},\"headers\":{{}}}}");
        let offset = Offset::new(lsn, 1);
        let entry = Entry { offset, op: Op::Upsert, key: key.as_bytes(), json: json.as_bytes() };
        let entries = &[(1, entry)];
        let transaction = Transaction { lsn, fragment: 0, last: true, entries, records: &[] };
        let appended = store.append(&transaction).expect("append");
        let Appended::Written(ticket) = appended else { panic!("it is new") };
        if lsn + 1 == to {
            store.wait(ticket).expect("wait");
        }
    }
}

fn open(path: &std::path::Path, options: Options) -> LogStore {
    let storage = Arc::new(Directory::open(path).expect("directory"));
    LogStore::open(storage, options, |_| 0, |_| {}).expect("open").0
}

fn options() -> Options {
    Options { chunk_bytes_threshold: 100_000, background: false, ..Options::default() }
}

#[derive(Debug, PartialEq, Eq, Clone, Copy, PartialOrd, Ord)]
enum How {
    File,
    Cached,
    Stream,
}

/// Follows the answers from an offset on; the numbers in what was served, and how often each way was.
fn follow(store: &LogStore, mut at: Offset, read: ReadOptions) -> (Vec<u64>, BTreeMap<How, u64>) {
    let (mut numbers, mut how) = (Vec::new(), BTreeMap::new());
    loop {
        let (kind, text, end) = match store.read(1, at, read).expect("read") {
            Plan::UpToDate => return (numbers, how),
            Plan::File { path, chunk, bytes, lease, gzip, .. } => {
                let file = std::fs::read(&path).expect("it is there as long as the lease is");
                assert_eq!(file.len() as u64, bytes);
                drop(lease);
                let text = if gzip {
                    use std::io::Read;
                    let mut text = String::new();
                    let mut decoder = flate2::read::GzDecoder::new(&*file);
                    decoder.read_to_string(&mut text).expect("gzip");
                    text
                } else {
                    String::from_utf8(file).expect("text")
                };
                (How::File, text, chunk.end)
            }
            Plan::Cached { answer, .. } => {
                (How::Cached, String::from_utf8(answer.to_vec()).expect("text"), answer.last())
            }
            Plan::Stream { mut reader, end, .. } => {
                let mut values = Vec::new();
                while let Some(entry) = reader.next().expect("whole") {
                    values.push(String::from_utf8(entry.json.to_vec()).expect("text"));
                }
                (How::Stream, format!("[{}]", values.join(",")), end)
            }
        };
        *how.entry(kind).or_default() += 1;
        let values: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a JSON array");
        numbers.extend(values.iter().map(|value| value["value"]["n"].as_u64().expect("a number")));
        assert!(end > at);
        at = end;
    }
}

#[test]
fn all_ways_together_are_the_log() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path(), Options { gzip: true, ..options() });
    drop(store.create_log(&NewLog { log: 1, descriptor: b"", awaits_snapshot: false }));
    assert!(matches!(store.read(1, Offset::ZERO, ReadOptions::default()), Ok(Plan::UpToDate)));
    fill(&store, 1, ROWS);
    store.flush().expect("flush");
    let why = |at| match store.read(1, at, ReadOptions { cached_operations: 0, gzip: false }) {
        Ok(Plan::Stream { why, .. } | Plan::Cached { why, .. }) => why,
        _ => panic!("it is no file"),
    };
    assert_eq!(why(Offset::ZERO), Fallback::NotSealed);
    store.checkpoint().expect("checkpoint");
    assert_eq!(store.seal().expect("seal"), 4);
    let all: Vec<u64> = (1..ROWS).collect();
    for gzip in [false, true] {
        let read = ReadOptions { gzip, ..ReadOptions::default() };
        let (numbers, how) = follow(&store, Offset::ZERO, read);
        assert_eq!(numbers, all);
        assert_eq!(how, BTreeMap::from([(How::File, 4), (How::Cached, 1)]));
        let (numbers, how) = follow(&store, Offset::new(30, 1), read);
        assert_eq!(numbers, all[30..]);
        // The cache has them all, but only one answer of it is needed.
        assert_eq!(how, BTreeMap::from([(How::Cached, 1)]));
    }
    assert_eq!(why(Offset::new(30, 1)), Fallback::NotAligned);
    let ahead = store.read(1, Offset::new(ROWS, 0), ReadOptions::default());
    assert!(matches!(ahead, Err(Error::Ahead { .. })));
    assert!(matches!(
        store.read(2, Offset::ZERO, ReadOptions::default()),
        Err(Error::UnknownLog { .. })
    ));
    store.close().expect("close");

    // After a restart nothing is in a cache, and the chunks are there.
    let store = open(folder.path(), options());
    let (numbers, how) = follow(&store, Offset::ZERO, ReadOptions::default());
    assert_eq!(numbers, all);
    assert_eq!(how, BTreeMap::from([(How::File, 4), (How::Stream, 1)]));
    let (numbers, how) = follow(&store, Offset::new(30, 1), ReadOptions::default());
    assert_eq!(numbers, all[30..]);
    assert_eq!(how, BTreeMap::from([(How::Stream, 2), (How::File, 3)]));
    store.close().expect("close");
    let small = open(folder.path(), Options { min_file_bytes: 1 << 20, ..options() });
    let plan = small.read(1, Offset::ZERO, ReadOptions::default()).expect("read");
    assert!(matches!(plan, Plan::Stream { why: Fallback::TooSmall, .. }));
}

#[test]
fn a_compacted_range_is_served_as_what_is_left_of_it() {
    let folder = tempfile::tempdir().expect("folder");
    let store = open(folder.path(), options());
    drop(store.create_log(&NewLog { log: 1, descriptor: b"", awaits_snapshot: false }));
    fill(&store, 1, ROWS);
    store.checkpoint().expect("checkpoint");
    store.seal().expect("seal");
    let Ok(Plan::File { path, lease, chunk, .. }) =
        store.read(1, Offset::ZERO, ReadOptions::default())
    else {
        panic!("it is sealed")
    };
    assert_eq!(store.segments(1).expect("segments").len(), 4);
    let compacted = store.compact(1).expect("compact").expect("two of four are old");
    assert_eq!((compacted.start, compacted.summary.stay), (Offset::ZERO, 7));
    assert_eq!(store.segments(1).expect("segments").len(), 3);
    // Whoever is being sent the old chunk goes on with it.
    assert_eq!(std::fs::metadata(&path).expect("it is leased").len(), chunk.bytes);
    drop(lease);

    let (numbers, how) = follow(&store, Offset::ZERO, ReadOptions::default());
    assert_eq!(numbers.len() as u64, 7 + ROWS - 1 - compacted.end.tx);
    assert_eq!(how[&How::Stream], 1, "the compacted range is too short for a file");
    // Within the range as well.
    let (numbers, _) = follow(&store, chunk.end, ReadOptions::default());
    assert_eq!(numbers.len() as u64, 7 + ROWS - 1 - compacted.end.tx);
    let (numbers, _) = follow(&store, compacted.end, ReadOptions::default());
    assert_eq!(numbers[0], compacted.end.tx + 1);
    store.seal().expect("seal");
    let chunks = store.chunks(1).expect("chunks");
    assert_eq!((chunks.len(), chunks[0].end, chunks[0].count), (3, compacted.end, 7));
    chunks.iter().for_each(|chunk| store.verify_chunk(1, chunk.seq).expect("whole"));
}

#[test]
fn what_was_dropped_is_gone_for_good() {
    let folder = tempfile::tempdir().expect("folder");
    let options = Options { retention: Retention::Drop, ..options() };
    let mut store = open(folder.path(), options.clone());
    drop(store.create_log(&NewLog { log: 1, descriptor: b"", awaits_snapshot: true }));
    let mut snapshot = store.begin_snapshot(1).expect("awaited");
    snapshot.push(b"1", b"{\"value\":{\"n\":0}}").expect("push");
    store.wait(snapshot.finish().expect("finish")).expect("wait");
    fill(&store, 1, ROWS);
    store.checkpoint().expect("checkpoint");
    store.seal().expect("seal");
    let (numbers, _) = follow(&store, Offset::ZERO, ReadOptions::default());
    assert_eq!(numbers, (0..ROWS).collect::<Vec<_>>());
    let end = store.compact(1).expect("compact").expect("two are old").end;
    for _ in 0..2 {
        let gone = store.read(1, Offset::ZERO, ReadOptions::default());
        assert!(matches!(gone, Err(Error::Gone { floor, .. }) if floor == end));
        let (numbers, _) = follow(&store, end, ReadOptions::default());
        assert_eq!(numbers, (end.tx + 1..ROWS).collect::<Vec<_>>());
        drop(store);
        store = open(folder.path(), options.clone());
    }
    let shapes = folder.path().join("shapes");
    let log = std::fs::read_dir(shapes).expect("shapes").next().expect("one").expect("one").path();
    let files = std::fs::read_dir(log).expect("files").count();
    // Two complete segments, the current one, and the directory of the chunks.
    assert_eq!(files, 4);
}

#[test]
fn the_threads_of_a_store_do_it_all() {
    let folder = tempfile::tempdir().expect("folder");
    let (sender, sealed) = std::sync::mpsc::channel();
    let store = open(
        folder.path(),
        Options {
            chunk_bytes_threshold: 50_000,
            flush_period: Duration::from_millis(5),
            compaction_period: Duration::from_millis(20),
            on_sealed: Some(Arc::new(move |log, chunk| {
                // Nobody listens any more when the first one is known.
                let _ = sender.send((log, chunk.is_ok()));
            })),
            ..Options::default()
        },
    );
    drop(store.create_log(&NewLog { log: 1, descriptor: b"", awaits_snapshot: false }));
    fill(&store, 1, 800);
    assert_eq!(sealed.recv_timeout(Duration::from_secs(20)), Ok((1, true)));
    let started = Instant::now();
    while store.stats().compactions == 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", store.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
    let (numbers, _) = follow(&store, Offset::ZERO, ReadOptions::default());
    assert_eq!(numbers.last(), Some(&799));
    assert!(store.stats().memory_bytes == 0 || store.stats().flushes > 0);
    store.close().expect("close");
}
