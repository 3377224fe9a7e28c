//! Logs that are tables: whatever happens to them, they give back the rows that there are; compaction leaves
//! of them these rows and nothing else, also under power cuts, kills and failing I/O; nobody serves them.

use std::collections::BTreeMap;
use std::sync::Arc;

use lane_index::Storage;
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimDisk, SimStorage};
use shape_log::{
    Appended, Entry, Error, Limits, LogStore, NewLog, Offset, Op, Options, Plan, ReadOptions,
    Retention, Ticket, Transaction,
};

const FIRST: u64 = 100;
/// One that begins with nothing, and one that begins with rows.
const TABLES: [u64; 2] = [FIRST, FIRST + 1];
const SHAPE: u64 = 1;
const COLUMNS: [&str; 3] = ["a", "b", "c"];

type Row = BTreeMap<String, String>;
type Rows = BTreeMap<String, Row>;
type State = BTreeMap<u64, Rows>;
type Written = (u64, u64, Op, String, String);

fn options() -> Options {
    Options {
        journal_file_bytes: 8 << 10,
        chunk_bytes_threshold: 3000,
        memory_bytes: 400,
        min_file_bytes: 1,
        tables_from: Some(FIRST),
        background: false,
        ..Options::default()
    }
}

fn json(key: &str, row: &Row) -> String {
    let value = serde_json::to_string(row).expect("texts");
    format!("{{\"key\":\"{key}\",\"value\":{value},\"headers\":{{}}}}")
}

/// The rows of a table, by a reader that takes every entry at its word.
fn rows(store: &LogStore, log: u64) -> Rows {
    let mut reader = store.entries_after(log, Offset::ZERO, Limits::NONE).expect("it is there");
    let (mut rows, mut last) = (Rows::new(), Offset::ZERO);
    while let Some(entry) = reader.next().expect("readable") {
        assert!(entry.offset > last);
        last = entry.offset;
        let key = String::from_utf8(entry.key.to_vec()).expect("text");
        let value = || -> Row {
            let message: serde_json::Value = serde_json::from_slice(entry.json).expect("JSON");
            serde_json::from_value(message["value"].clone()).expect("texts")
        };
        match entry.op {
            Op::Insert => assert!(rows.insert(key, value()).is_none()),
            Op::Update => rows.get_mut(&key).expect("it is there").extend(value()),
            Op::Delete => assert!(rows.remove(&key).is_some()),
            Op::Truncate => rows.clear(),
            op => panic!("{op:?}"),
        }
    }
    rows
}

/// A store, and what its tables have after each transaction.
struct World {
    storage: Arc<dyn Storage>,
    store: Option<LogStore>,
    /// By LSN; the first one there when the tables are.
    states: BTreeMap<u64, State>,
    /// What is durable for certain.
    certain: u64,
    tickets: Vec<(u64, Ticket)>,
    rng: fastrand::Rng,
    folded: u64,
}

impl World {
    fn new(storage: Arc<dyn Storage>, seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        let (states, tickets) = (BTreeMap::new(), Vec::new());
        Self { storage, store: None, states, certain: 0, tickets, rng, folded: 0 }
    }

    fn store(&self) -> &LogStore {
        self.store.as_ref().expect("it is open")
    }

    fn begin(&mut self) {
        let storage = Arc::clone(&self.storage);
        let (store, _) = LogStore::open(storage, options(), |_| 0, |_| ()).expect("a new one");
        let mut state = State::new();
        for (log, awaits_snapshot) in [(SHAPE, false), (TABLES[0], false), (TABLES[1], true)] {
            let new = NewLog { log, descriptor: b"", awaits_snapshot };
            store.wait(store.create_log(&new).expect("create")).expect("wait");
            state.insert(log, Rows::new());
        }
        let mut writer = store.begin_snapshot(TABLES[1]).expect("it waits for it");
        for number in 0..8 {
            let (key, row) = (format!("{number}"), self.row());
            writer.push(key.as_bytes(), json(&key, &row).as_bytes()).expect("push");
            state.entry(TABLES[1]).or_default().insert(key, row);
        }
        store.wait(writer.finish().expect("finish")).expect("wait");
        self.states.insert(0, state);
        self.store = Some(store);
    }

    /// Opens what was left: it is at some transaction, the certain ones included.
    fn open(&mut self) -> Result<(), Error> {
        let storage = Arc::clone(&self.storage);
        let (store, recovered) = LogStore::open(storage, options(), |_| 0, |_| ())?;
        let lsn = recovered.lsn;
        assert!(lsn >= self.certain, "{} was durable, {lsn} is there", self.certain);
        self.states.retain(|state, _| *state <= lsn);
        self.certain = lsn;
        self.tickets.clear();
        self.store = Some(store);
        self.check();
        Ok(())
    }

    /// What is durable now.
    fn check(&self) {
        let expected = &self.states[&self.store().durable_lsn()];
        for log in TABLES {
            assert_eq!(rows(self.store(), log), expected[&log], "table {log}");
        }
        assert_eq!(rows(self.store(), SHAPE), expected[&SHAPE]);
    }

    fn row(&mut self) -> Row {
        COLUMNS.iter().map(|name| ((*name).to_owned(), self.value())).collect()
    }

    fn value(&mut self) -> String {
        "v".repeat(self.rng.usize(..30)) + &self.rng.u32(..).to_string()
    }

    fn transact(&mut self) -> Result<(), Error> {
        let (&before, state) = self.states.last_key_value().expect("there is one");
        let (mut state, lsn) = (state.clone(), before + self.rng.u64(1..4));
        let mut written: Vec<Written> = Vec::new();
        for op in 0..self.rng.u64(1..8) {
            let log = self.rng.choice([SHAPE, TABLES[0], TABLES[1]]).expect("three");
            let key = self.rng.u8(..12).to_string();
            let rows = state.entry(log).or_default();
            let change = match (self.rng.u8(..60), rows.contains_key(&key)) {
                (0, _) => {
                    rows.clear();
                    (Op::Truncate, String::from("{\"headers\":{}}"))
                }
                (_, false) => {
                    let row = self.row();
                    let json = json(&key, &row);
                    rows.insert(key.clone(), row);
                    (Op::Insert, json)
                }
                (1..20, true) => {
                    rows.remove(&key);
                    (Op::Delete, json(&key, &Row::new()))
                }
                (kind, true) => {
                    // Whole, or of a large column nothing, or another column than was there.
                    let mut change = self.row();
                    if kind < 40 {
                        change.remove(self.rng.choice(COLUMNS).expect("three"));
                    } else if kind < 43 {
                        change.insert(format!("new{kind}"), self.value());
                    }
                    rows.get_mut(&key).expect("there").extend(change.clone());
                    (Op::Update, json(&key, &change))
                }
            };
            written.push((log, op + 1, change.0, key, change.1));
        }
        // Also where it is told to have failed.
        self.states.insert(lsn, state);
        let length = self.rng.usize(1..=written.len());
        let parts: Vec<&[Written]> = written.chunks(length).collect();
        let mut ticket = None;
        for (fragment, part) in parts.iter().enumerate() {
            let last = fragment + 1 == parts.len();
            ticket = Some(self.send(lsn, fragment as u32, last, part)?);
            if !last && self.rng.u8(..4) == 0 {
                // A part of it may be in the file already, and is not durable yet.
                self.compact()?;
            }
        }
        let ticket = ticket.expect("one part at least");
        self.tickets.push((lsn, ticket));
        Ok(())
    }

    fn send(&self, lsn: u64, fragment: u32, last: bool, all: &[Written]) -> Result<Ticket, Error> {
        let entries: Vec<(u64, Entry<'_>)> = all
            .iter()
            .map(|(log, op, kind, key, json)| {
                let (key, json) = (key.as_bytes(), json.as_bytes());
                (*log, Entry { offset: Offset::new(lsn, *op), op: *kind, key, json })
            })
            .collect();
        let entries = &*entries;
        match self.store().append(&Transaction { lsn, fragment, last, entries, records: &[] })? {
            Appended::Written(ticket) => Ok(ticket),
            Appended::Replay { .. } => panic!("it is new"),
        }
    }

    fn compact(&mut self) -> Result<(), Error> {
        let log = self.rng.choice(TABLES).expect("two");
        let Some(done) = self.store().compact(log)? else { return Ok(()) };
        self.folded += 1;
        // Of what was folded there is one entry a row.
        let segments = self.store().segments(log)?;
        let first = segments.first().expect("what was folded");
        assert!(first.compacted && first.start == Offset::ZERO && first.end == done.end);
        assert_eq!(first.entries, done.summary.stay);
        assert!(first.entries <= 12, "{first:?}");
        Ok(())
    }

    fn step(&mut self) -> Result<(), Error> {
        match self.rng.u8(..20) {
            0 => self.store().flush(),
            1 => self.store().checkpoint(),
            2..5 => self.compact(),
            5 => self.store().compact_all().map(drop),
            6 => self.store().seal().map(drop),
            7 => {
                let some = self.rng.usize(..=self.tickets.len());
                for (lsn, ticket) in self.tickets.drain(..some).collect::<Vec<_>>() {
                    self.store().wait(ticket)?;
                    self.certain = lsn;
                }
                self.check();
                Ok(())
            }
            _ => self.transact(),
        }
    }

    /// Ends the process; gives the directory as the next one finds it.
    fn cut(&mut self, directory: &SimStorage, seed: u64) -> SimStorage {
        let found = if self.rng.bool() { directory.kill() } else { directory.crash(seed) };
        self.store = None;
        self.storage = Arc::new(found.clone());
        found
    }
}

#[test]
fn tables_have_their_rows_after_power_cuts_and_kills() {
    let mut folded = 0;
    for seed in 0..150 {
        let mut directory = SimDisk::new().directory("logs");
        let mut world = World::new(Arc::new(directory.clone()), seed);
        world.begin();
        for generation in 0..5 {
            for _ in 0..world.rng.usize(..120) {
                world.step().expect("a step");
            }
            directory = world.cut(&directory, seed * 100 + generation);
            world.open().expect("whatever was left can be opened");
        }
        folded += world.folded;
    }
    assert!(folded > 500, "{folded}");
}

#[test]
fn each_io_that_fails_leaves_a_table_as_it_was_or_as_it_is_to_be() {
    let mut folded = 0;
    for seed in 0..3 {
        for nth in 1..400 {
            let directory = SimDisk::new().directory("logs");
            let faults = Faults::new();
            let faulty = FaultStorage::new(Arc::new(directory.clone()), faults.clone());
            let mut world = World::new(Arc::new(faulty), seed);
            world.begin();
            for _ in 0..40 {
                world.transact().expect("transact");
            }
            let effect = [Effect::Nothing, Effect::Half, Effect::All][nth as usize % 3];
            faults.arm(Fault { effect, ..Fault::nth(nth) });
            for _ in 0..12 {
                if world.transact().and_then(|()| world.compact()).is_err() {
                    break;
                }
            }
            faults.disarm();
            folded += world.folded;
            let found = world.cut(&directory, nth);
            world.storage = Arc::new(found);
            world.open().expect("whatever was left can be opened");
        }
    }
    assert!(folded > 500, "{folded}");
}

#[test]
fn the_size_follows_the_rows_and_not_what_happened_to_them() {
    let storage = Arc::new(SimDisk::new().directory("logs"));
    // Ten times what is in memory, several segments.
    let options = Options {
        chunk_bytes_threshold: 1 << 20,
        tables_from: Some(FIRST),
        background: false,
        ..Options::default()
    };
    let open = || LogStore::open(storage.clone(), options.clone(), |_| 0, |_| ()).expect("open").0;
    let store = open();
    let new = NewLog { log: FIRST, descriptor: b"", awaits_snapshot: false };
    store.wait(store.create_log(&new).expect("create")).expect("wait");
    let mut expected = Rows::new();
    let mut least = u64::MAX;
    for lsn in 1..=1000 {
        let mut changes: Vec<(Op, String, String)> = Vec::new();
        for number in 0..100 {
            let key = number.to_string();
            let row = Row::from([("n".to_owned(), lsn.to_string()), ("k".to_owned(), key.clone())]);
            let there = expected.contains_key(&key);
            let op = match there {
                true if (lsn + number) % 3 == 0 => Op::Delete,
                true => Op::Update,
                false => Op::Insert,
            };
            changes.push((op, key.clone(), json(&key, &row)));
            if op == Op::Delete {
                drop(expected.remove(&key))
            } else {
                drop(expected.insert(key, row))
            }
        }
        let entries: Vec<(u64, Entry<'_>)> = (1..)
            .zip(&changes)
            .map(|(op, (kind, key, json))| {
                let (key, json) = (key.as_bytes(), json.as_bytes());
                (FIRST, Entry { offset: Offset::new(lsn, op), op: *kind, key, json })
            })
            .collect();
        let entries = &*entries;
        let sent = Transaction { lsn, fragment: 0, last: true, entries, records: &[] };
        let Appended::Written(_) = store.append(&sent).expect("append") else { panic!("new") };
        least = least.min(entries.len() as u64);
    }
    store.sync().expect("sync");
    store.checkpoint().expect("checkpoint");
    let before = store.log_stats(FIRST).expect("there").file_bytes;
    assert!(before > 4_000_000, "{before}");
    assert!(store.compact(FIRST).expect("compact").is_some());
    let after = store.log_stats(FIRST).expect("there");
    assert!(after.file_bytes < 100 * 120, "{before} bytes, and {} afterwards", after.file_bytes);
    assert_eq!(rows(&store, FIRST), expected);
    // Nothing new: it is not written again.
    assert_eq!(store.compact(FIRST).expect("compact"), None);
    let shapes = storage.subdirectory("shapes").expect("logs");
    let [directory] = &*shapes.subdirectories().expect("one") else { panic!("one log") };
    let directory = shapes.subdirectory(directory).expect("its directory");
    assert_eq!(directory.list().expect("files").len(), 1, "the segment, and nothing beside it");
    store.close().expect("close");
    assert_eq!(rows(&open(), FIRST), expected);
}

#[test]
fn nobody_serves_a_table() {
    let storage = Arc::new(SimDisk::new().directory("logs"));
    let options = Options { keep_complete_chunks: 0, retention: Retention::Drop, ..options() };
    let (store, _) = LogStore::open(storage, options, |_| 0, |_| ()).expect("open");
    for log in [SHAPE, FIRST] {
        let new = NewLog { log, descriptor: b"", awaits_snapshot: false };
        store.wait(store.create_log(&new).expect("create")).expect("wait");
    }
    let row = Row::from([("a".to_owned(), "x".repeat(500))]);
    let text = json("1", &row);
    for lsn in 1..=20 {
        let op = if lsn == 1 { Op::Insert } else { Op::Update };
        let (key, json) = (&b"1"[..], text.as_bytes());
        let entry = Entry { offset: Offset::new(lsn, 1), op, key, json };
        let entries = &[(SHAPE, entry), (FIRST, entry)];
        let sent = Transaction { lsn, fragment: 0, last: true, entries, records: &[] };
        let Appended::Written(ticket) = store.append(&sent).expect("append") else { panic!("new") };
        store.wait(ticket).expect("wait");
    }
    store.checkpoint().expect("checkpoint");
    store.seal().expect("seal");
    assert!(store.cache(SHAPE).expect("there").is_some());
    assert!(store.cache(FIRST).expect("there").is_none());
    assert!(!store.chunks(SHAPE).expect("there").is_empty());
    assert!(store.chunks(FIRST).expect("there").is_empty());
    // What others let go of, a table may not.
    assert_eq!(store.compact_all().expect("compact"), 2);
    assert_eq!(rows(&store, FIRST), Rows::from([("1".to_owned(), row)]));
    let gone = store.read(SHAPE, Offset::ZERO, ReadOptions::default());
    assert!(matches!(gone, Err(Error::Gone { .. })), "{:?}", gone.map(|_: Plan| ()));
}

#[test]
fn an_entry_that_is_about_no_row_stays_where_it_is() {
    let storage = Arc::new(SimDisk::new().directory("logs"));
    let (store, _) = LogStore::open(storage, options(), |_| 0, |_| ()).expect("open");
    let new = NewLog { log: FIRST, descriptor: b"", awaits_snapshot: false };
    store.wait(store.create_log(&new).expect("create")).expect("wait");
    let text = json("1", &Row::from([("a".to_owned(), "x".repeat(5000))]));
    let (key, json) = (&b"1"[..], text.as_bytes());
    let entries = &[(FIRST, Entry { offset: Offset::new(7, 1), op: Op::Update, key, json })];
    let sent = Transaction { lsn: 7, fragment: 0, last: true, entries, records: &[] };
    let Appended::Written(ticket) = store.append(&sent).expect("append") else { panic!("new") };
    store.wait(ticket).expect("wait");
    let refused = store.compact(FIRST);
    assert!(matches!(refused, Err(Error::NoRow { offset }) if offset == Offset::new(7, 1)));
    let mut reader = store.entries_after(FIRST, Offset::ZERO, Limits::NONE).expect("there");
    assert_eq!(reader.next().expect("readable").map(|entry| entry.op), Some(Op::Update));
}
