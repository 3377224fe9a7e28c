//! A model of a store: plain vectors, and the events that made them.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use lane_index::Storage;
use shape_log::collapse::{CollapseOptions, Plan};
use shape_log::{
    Appended, Entry, EntrySource, Error, Limits, LogStore, NewLog, Offset, Op, Options,
    ReadOptions, Record, Ticket, Transaction,
};

pub type Row = (Offset, Op, Vec<u8>, Vec<u8>);

/// One log, as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelLog {
    pub descriptor: Vec<u8>,
    pub awaits_snapshot: bool,
    pub rows: Vec<Row>,
}

/// A store, as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub lsn: u64,
    pub logs: BTreeMap<u64, ModelLog>,
    /// The records of each source.
    pub records: BTreeMap<u32, Vec<(u64, Vec<u8>)>>,
}

/// Something that happens as a whole or not at all.
#[derive(Clone, Debug)]
pub enum Event {
    Transaction { lsn: u64, rows: Vec<(u64, Row)>, records: Vec<(u32, u64, Vec<u8>)> },
    Created { log: u64, descriptor: Vec<u8>, awaits_snapshot: bool },
    Removed { log: u64 },
    Snapshot { log: u64, rows: Vec<Row> },
    Records(Vec<(u32, u64, Vec<u8>)>),
    Compacted { log: u64, start: Offset, end: Offset },
}

impl State {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Transaction { lsn, rows, records } => {
                self.lsn = *lsn;
                for (log, row) in rows {
                    if let Some(log) = self.logs.get_mut(log) {
                        log.rows.push(row.clone());
                    }
                }
                self.add_records(records);
            }
            Event::Created { log, descriptor, awaits_snapshot } => {
                let (descriptor, awaits_snapshot) = (descriptor.clone(), *awaits_snapshot);
                let new = ModelLog { descriptor, awaits_snapshot, rows: Vec::new() };
                assert!(self.logs.insert(*log, new).is_none());
            }
            Event::Removed { log } => assert!(self.logs.remove(log).is_some()),
            Event::Snapshot { log, rows } => {
                let log = self.logs.get_mut(log).expect("it is there");
                log.awaits_snapshot = false;
                log.rows.splice(0..0, rows.iter().cloned());
            }
            Event::Records(records) => self.add_records(records),
            Event::Compacted { log, start, end } => {
                let log = self.logs.get_mut(log).expect("it is there");
                let is_old = |row: &Row| row.0 > *start && row.0 <= *end && row.0.tx > 0;
                let (old, others): (Vec<Row>, Vec<Row>) = log.rows.drain(..).partition(is_old);
                log.rows = others;
                log.rows.extend(collapsed(&old));
                log.rows.sort_by_key(|row| row.0);
            }
        }
    }

    /// What of it fits on a screen.
    pub fn outline(&self) -> String {
        let mut text = format!("lsn {}", self.lsn);
        for (id, log) in &self.logs {
            let hash = log.rows.iter().fold(0_usize, |hash, row| {
                hash.wrapping_mul(31).wrapping_add(row.3.len() + row.0.op as usize)
            });
            let (count, last) = (log.rows.len(), log.rows.last().map(|row| row.0));
            let (waits, descriptor) = (log.awaits_snapshot, log.descriptor.len());
            text += &format!("\n  log {id}: {count} to {last:?} {hash:x} {waits} {descriptor}");
        }
        for (source, records) in &self.records {
            let seqs: Vec<u64> = records.iter().map(|record| record.0).collect();
            text += &format!("\n  source {source}: {seqs:?}");
        }
        text
    }

    fn add_records(&mut self, records: &[(u32, u64, Vec<u8>)]) {
        for (source, seq, bytes) in records {
            self.records.entry(*source).or_default().push((*seq, bytes.clone()));
        }
    }
}

/// What stays of these rows.
fn collapsed(rows: &[Row]) -> Vec<Row> {
    let entry = |(offset, op, key, json)| Entry { offset, op, key, json };
    let entries: Vec<Entry<'_>> =
        rows.iter().map(|row| entry((row.0, row.1, &row.2, &row.3))).collect();
    let plan = Plan::read(&mut entries.iter(), CollapseOptions::default()).expect("ascending");
    let mut source = entries.iter();
    let mut collapsed = plan.collapse(&mut source);
    let mut rows = Vec::new();
    while let Some(entry) = collapsed.next().expect("the same again") {
        rows.push((entry.offset, entry.op, entry.key.to_vec(), entry.json.to_vec()));
    }
    rows
}

/// Everything that a store says of its logs.
pub fn state_of(store: &LogStore) -> Result<State, Error> {
    let mut state = State { lsn: store.durable_lsn(), ..State::default() };
    for log in store.logs() {
        let stats = store.log_stats(log)?;
        let mut model = ModelLog {
            descriptor: stats.descriptor.to_vec(),
            awaits_snapshot: stats.awaits_snapshot,
            rows: Vec::new(),
        };
        if !stats.awaits_snapshot {
            model.rows = read(store, log, Offset::ZERO, Limits::NONE)?;
            if let Some(last) = model.rows.last() {
                assert_eq!(stats.last, last.0, "log {log}");
            }
        }
        state.logs.insert(log, model);
    }
    Ok(state)
}

pub fn read(store: &LogStore, log: u64, after: Offset, limits: Limits) -> Result<Vec<Row>, Error> {
    let mut reader = store.entries_after(log, after, limits)?;
    let mut rows = Vec::new();
    while let Some(entry) = reader.next()? {
        rows.push((entry.offset, entry.op, entry.key.to_vec(), entry.json.to_vec()));
    }
    assert_eq!(reader.last(), rows.last().map_or(after, |row| row.0));
    Ok(rows)
}

/// Options under which everything happens often, and nothing by itself.
pub fn small() -> Options {
    Options {
        journal_file_bytes: 8 << 10,
        chunk_bytes_threshold: 700,
        memory_bytes: 6000,
        keep_complete_chunks: 1,
        background: false,
        ..Options::default()
    }
}

/// A store and what it should have.
pub struct World {
    pub storage: Arc<dyn Storage>,
    pub options: Options,
    pub store: Option<LogStore>,
    /// What is durable for certain.
    pub certain: State,
    /// What happened since.
    pub events: Vec<(Event, Ticket)>,
    /// What each source has elsewhere.
    pub released: BTreeMap<u32, u64>,
    next_seq: BTreeMap<u32, u64>,
    pub rng: fastrand::Rng,
    pending: Option<Pending>,
    /// What was being done when a step failed.
    attempt: Option<Event>,
    pub compactions: u64,
}

struct Pending {
    lsn: u64,
    fragment: u32,
    rows: Vec<(u64, Row)>,
    records: Vec<(u32, u64, Vec<u8>)>,
    ops: BTreeMap<u64, u64>,
}

impl World {
    pub fn new(storage: Arc<dyn Storage>, options: Options, seed: u64) -> Self {
        Self {
            storage,
            options,
            store: None,
            certain: State::default(),
            events: Vec::new(),
            released: BTreeMap::new(),
            next_seq: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            pending: None,
            attempt: None,
            compactions: 0,
        }
    }

    pub fn store(&self) -> &LogStore {
        self.store.as_ref().expect("it is open")
    }

    /// All that happened.
    pub fn expected(&self) -> State {
        let mut state = self.certain.clone();
        self.events.iter().for_each(|(event, _)| state.apply(event));
        state
    }

    /// Opens the store; what it has must be what happened up to some event, the certain ones included.
    pub fn open(&mut self) -> Result<(), Error> {
        self.pending = None;
        let mut records: BTreeMap<u32, Vec<(u64, Vec<u8>)>> = BTreeMap::new();
        let released = self.released.clone();
        let (store, recovered) = LogStore::open(
            Arc::clone(&self.storage),
            self.options.clone(),
            |source| released.get(&source).copied().unwrap_or(0),
            |record| {
                records.entry(record.source).or_default().push((record.seq, record.bytes.to_vec()));
            },
        )?;
        let mut found = state_of(&store)?;
        assert_eq!(recovered.lsn, found.lsn);
        found.records = records;
        let mut state = self.certain.clone();
        let mut events = self.events.iter().map(|(event, _)| event).chain(&self.attempt);
        while self.shown(&state) != found {
            let Some(event) = events.next() else {
                panic!(
                    "it is at no event\nfound {}\nfrom {}\nto {}",
                    found.outline(),
                    self.shown(&self.certain).outline(),
                    self.shown(&state).outline(),
                );
            };
            state.apply(event);
        }
        self.certain = state;
        self.attempt = None;
        self.events.clear();
        self.next_seq.clear();
        self.store = Some(store);
        Ok(())
    }

    /// What is seen of a state.
    fn shown(&self, state: &State) -> State {
        let mut shown = state.clone();
        for (source, records) in &mut shown.records {
            let released = self.released.get(source).copied().unwrap_or(0);
            records.retain(|(seq, _)| *seq > released);
        }
        shown.records.retain(|_, records| !records.is_empty());
        for log in shown.logs.values_mut() {
            if log.awaits_snapshot {
                log.rows.clear();
            }
        }
        shown
    }

    fn note(&mut self, event: Event, ticket: Ticket) {
        self.events.push((event, ticket));
    }

    /// Waits for one of the events: it is certain then, and all before it.
    pub fn wait_for_some(&mut self) -> Result<(), Error> {
        if self.events.is_empty() {
            return Ok(());
        }
        let number = self.rng.usize(..self.events.len());
        self.store().wait(self.events[number].1)?;
        for (event, _) in self.events.drain(..=number) {
            self.certain.apply(&event);
        }
        Ok(())
    }

    pub fn settle(&mut self) {
        for (event, _) in self.events.drain(..) {
            self.certain.apply(&event);
        }
    }

    fn some_log(&mut self) -> Option<u64> {
        let logs = self.expected().logs;
        let number = self.rng.usize(..logs.len().max(1));
        logs.keys().nth(number).copied()
    }

    fn some_records(&mut self) -> Vec<(u32, u64, Vec<u8>)> {
        let mut records = Vec::new();
        for _ in 0..self.rng.usize(..3) {
            let source = self.rng.u32(1..4);
            let known = self.expected().records;
            let last = known.get(&source).and_then(|records| records.last()).map_or(0, |r| r.0);
            let last = self.next_seq.get(&source).copied().unwrap_or(0).max(last);
            let seq =
                last.max(self.released.get(&source).copied().unwrap_or(0)) + self.rng.u64(1..3);
            self.next_seq.insert(source, seq);
            let length = self.rng.usize(..40);
            records.push((source, seq, (0..length).map(|_| self.rng.u8(..)).collect()));
        }
        records
    }

    fn rows(&mut self, lsn: u64, ops: &mut BTreeMap<u64, u64>) -> Vec<(u64, Row)> {
        let logs: Vec<u64> = self.expected().logs.keys().copied().collect();
        let mut rows = Vec::new();
        for _ in 0..self.rng.usize(..8) {
            let Some(log) = self.rng.choice(logs.iter().copied()) else { break };
            let op = ops.entry(log).or_default();
            *op += self.rng.u64(1..4);
            let kind = self.rng.choice([Op::Insert, Op::Update, Op::Delete]).expect("three");
            let key = format!("key {}", self.rng.u8(..5)).into_bytes();
            let length = if self.rng.u8(..10) == 0 { 900 } else { 60 };
            let text = "j".repeat(self.rng.usize(..length));
            let name = self.rng.choice(["a", "b"]).expect("two");
            let value = format!("{{\"{name}\":\"{text}\"}}");
            let json = format!("{{\"key\":1,\"value\":{value},\"headers\":{{}}}}").into_bytes();
            rows.push((log, (Offset::new(lsn, *op), kind, key, json)));
        }
        rows
    }

    /// Sends a transaction, or a part of one.
    pub fn transact(&mut self) -> Result<(), Error> {
        let begins = self.pending.is_none() || self.rng.u8(..12) == 0;
        let mut pending = match self.pending.take() {
            Some(pending) if !begins => pending,
            _ => {
                let lsn = self.expected().lsn + self.rng.u64(1..4);
                let (rows, records, ops) = (Vec::new(), Vec::new(), BTreeMap::new());
                Pending { lsn, fragment: 0, rows, records, ops }
            }
        };
        let mut ops = std::mem::take(&mut pending.ops);
        let rows = self.rows(pending.lsn, &mut ops);
        pending.ops = ops;
        let records = self.some_records();
        let last = self.rng.u8(..3) > 0;
        if last {
            let lsn = pending.lsn;
            let rows = pending.rows.iter().chain(&rows).cloned().collect();
            let records = pending.records.iter().chain(&records).cloned().collect();
            self.attempt = Some(Event::Transaction { lsn, rows, records });
        }
        let appended = self.send(pending.lsn, pending.fragment, last, &rows, &records)?;
        let Appended::Written(ticket) = appended else { panic!("it is new: {appended:?}") };
        pending.rows.extend(rows);
        pending.records.extend(records);
        pending.fragment += 1;
        if last {
            let Pending { lsn, rows, records, .. } = pending;
            self.note(Event::Transaction { lsn, rows, records }, ticket);
        } else {
            self.pending = Some(pending);
        }
        Ok(())
    }

    pub fn send(
        &self,
        lsn: u64,
        fragment: u32,
        last: bool,
        rows: &[(u64, Row)],
        records: &[(u32, u64, Vec<u8>)],
    ) -> Result<Appended, Error> {
        let entries: Vec<(u64, Entry<'_>)> = rows
            .iter()
            .map(|(log, (offset, op, key, json))| {
                (*log, Entry { offset: *offset, op: *op, key, json })
            })
            .collect();
        let records: Vec<Record<'_>> = records
            .iter()
            .map(|(source, seq, bytes)| Record { source: *source, seq: *seq, bytes })
            .collect();
        let (entries, records) = (&*entries, &*records);
        self.store().append(&Transaction { lsn, fragment, last, entries, records })
    }

    /// One step of a history.
    pub fn step(&mut self) -> Result<(), Error> {
        self.attempt = None;
        match self.rng.u8(..100) {
            0..8 => self.create()?,
            8..10 => {
                if let Some(log) = self.some_log() {
                    self.attempt = Some(Event::Removed { log });
                    let ticket = self.store().remove_log(log)?;
                    if let Some(pending) = &mut self.pending {
                        // What it had of this transaction goes with it, whoever gets the id.
                        pending.rows.retain(|(of, _)| *of != log);
                        pending.ops.remove(&log);
                    }
                    self.note(Event::Removed { log }, ticket);
                }
            }
            10..15 => self.snapshot()?,
            15..25 => self.store().flush()?,
            25..32 => {
                self.store().checkpoint()?;
                self.settle();
            }
            32..42 => self.wait_for_some()?,
            42..46 => {
                let records = self.some_records();
                let given: Vec<Record<'_>> = records
                    .iter()
                    .map(|(source, seq, bytes)| Record { source: *source, seq: *seq, bytes })
                    .collect();
                if !given.is_empty() {
                    self.attempt = Some(Event::Records(records.clone()));
                    let ticket = self.store().append_records(&given)?;
                    self.note(Event::Records(records), ticket);
                }
            }
            46..50 => {
                // Only what is durable can have been put anywhere else.
                let source = self.rng.u32(1..4);
                let known = self.certain.records.get(&source).cloned().unwrap_or_default();
                if let Some((seq, _)) = self.rng.choice(known) {
                    let released = self.released.entry(source).or_default();
                    *released = seq.max(*released);
                    self.store()
                        .release_records(source, *self.released.get(&source).expect("it is"));
                }
            }
            50..52 => {
                self.store().abandon();
                self.pending = None;
            }
            52..60 => self.check_some_read()?,
            62..65 => {
                self.store().seal()?;
            }
            65..68 => self.compact()?,
            68..74 => self.check_some_serve()?,
            60..62 => {
                let lsn = self.expected().lsn;
                if lsn > 0 {
                    let again = self.send(self.rng.clone().u64(1..=lsn), 0, true, &[], &[])?;
                    assert_eq!(again, Appended::Replay { last: lsn });
                }
            }
            _ => self.transact()?,
        }
        Ok(())
    }

    fn create(&mut self) -> Result<(), Error> {
        let log = self.rng.u64(1..9);
        self.create_log(log)
    }

    pub fn create_log(&mut self, log: u64) -> Result<(), Error> {
        let descriptor = vec![self.rng.u8(..); self.rng.usize(..20)];
        let awaits_snapshot = self.rng.u8(..3) == 0;
        let new = NewLog { log, descriptor: &descriptor, awaits_snapshot };
        if !self.expected().logs.contains_key(&log) {
            let descriptor = descriptor.clone();
            self.attempt = Some(Event::Created { log, descriptor, awaits_snapshot });
        }
        match self.store().create_log(&new) {
            Err(Error::LogExists { .. }) => assert!(self.expected().logs.contains_key(&log)),
            ticket => {
                let ticket = ticket?;
                self.note(Event::Created { log, descriptor, awaits_snapshot }, ticket);
            }
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Error> {
        let Some(log) = self.some_log() else { return Ok(()) };
        let segments = self.store().segments(log)?;
        let old = segments.len().saturating_sub(self.options.keep_complete_chunks);
        let old: Vec<_> = segments[..old].iter().filter(|segment| segment.checkpointed).collect();
        if let (Some(first), Some(last)) = (old.first(), old.last()) {
            self.attempt = Some(Event::Compacted { log, start: first.start, end: last.end });
        }
        if let Some(done) = self.store().compact(log)? {
            self.compactions += 1;
            self.settle();
            let (start, end) = (done.start, done.end);
            let event = Event::Compacted { log, start, end };
            assert_eq!(format!("{:?}", self.attempt), format!("{:?}", Some(&event)));
            self.certain.apply(&event);
            let rows = self.certain.logs[&log].rows.iter();
            let stay = rows.filter(|row| row.0 > start && row.0 <= end && row.0.tx > 0).count();
            assert_eq!(done.summary.stay, stay as u64);
        }
        Ok(())
    }

    /// Follows what a client is told, from some offset on, up to the end.
    pub fn check_some_serve(&mut self) -> Result<(), Error> {
        let Some(log) = self.some_log() else { return Ok(()) };
        let expected = self.expected().logs[&log].clone();
        let watermark = self.store().durable_lsn();
        let mut rows = expected.rows.clone();
        rows.retain(|row| row.0.tx <= watermark);
        let mut at = match self.rng.choice(rows.clone()) {
            Some(row) if self.rng.u8(..4) > 0 => row.0,
            _ => Offset::ZERO,
        };
        loop {
            let plan = self.store().read(log, at, ReadOptions::default());
            if expected.awaits_snapshot {
                assert!(matches!(plan, Err(Error::AwaitsSnapshot { .. })));
                return Ok(());
            }
            let (end, jsons, up_to_date) = match plan? {
                shape_log::Plan::UpToDate => break,
                shape_log::Plan::File { .. } => panic!("there is no file system"),
                shape_log::Plan::Cached { answer, up_to_date, .. } => {
                    (answer.last(), answer.to_vec(), up_to_date)
                }
                shape_log::Plan::Stream { mut reader, end, up_to_date, .. } => {
                    let mut jsons = Vec::new();
                    while let Some(entry) = reader.next()? {
                        assert!(entry.offset > at && entry.offset <= end);
                        jsons.push(entry.json.to_vec());
                    }
                    (end, [&b"["[..], &jsons.join(&b','), b"]"].concat(), up_to_date)
                }
            };
            assert!(end > at, "log {log} at {at}");
            let behind = rows.iter().filter(|row| row.0 > at && row.0 <= end);
            let behind: Vec<&[u8]> = behind.map(|row| &*row.3).collect();
            let text = [&b"["[..], &behind.join(&b','), b"]"].concat();
            assert_eq!(String::from_utf8_lossy(&jsons), String::from_utf8_lossy(&text));
            assert_eq!(up_to_date, !rows.iter().any(|row| row.0 > end), "log {log} {at} {end}");
            at = end;
        }
        assert!(!rows.iter().any(|row| row.0 > at), "log {log} at {at}");
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), Error> {
        let Some(log) = self.some_log() else { return Ok(()) };
        let mut writer = match self.store().begin_snapshot(log) {
            Err(Error::NoSnapshotAwaited { .. }) => {
                assert!(!self.expected().logs[&log].awaits_snapshot);
                return Ok(());
            }
            writer => writer?,
        };
        let mut rows = Vec::new();
        for number in 1..=self.rng.u64(..30) {
            let json = format!("\"{}\"", "s".repeat(self.rng.usize(..200)));
            let (key, json) = (number.to_string().into_bytes(), json.into_bytes());
            writer.push(&key, &json)?;
            rows.push((Offset::new(0, number), Op::Insert, key, json));
        }
        if self.rng.bool() {
            self.attempt = Some(Event::Snapshot { log, rows: rows.clone() });
            let ticket = writer.finish()?;
            self.note(Event::Snapshot { log, rows }, ticket);
        }
        Ok(())
    }

    /// Reads some log from some offset on, with some limits.
    pub fn check_some_read(&mut self) -> Result<(), Error> {
        let Some(log) = self.some_log() else { return Ok(()) };
        let expected = self.expected().logs[&log].clone();
        let watermark = self.store().durable_lsn();
        let mut rows = expected.rows.clone();
        rows.retain(|row| row.0.tx <= watermark);
        let after = match self.rng.choice(rows.clone()) {
            Some(row) if self.rng.u8(..4) > 0 => row.0,
            _ => Offset::ZERO,
        };
        let limits = match self.rng.bool() {
            true => Limits::NONE,
            false => Limits { entries: self.rng.u64(..10), bytes: self.rng.u64(..2000) },
        };
        let found = read(self.store(), log, after, limits);
        if expected.awaits_snapshot {
            assert!(matches!(found, Err(Error::AwaitsSnapshot { .. })), "{found:?}");
            return Ok(());
        }
        rows.retain(|row| row.0 > after);
        let (mut entries, mut bytes) = (0, 0);
        let fits = |row: &Row| {
            entries += 1;
            bytes += row.3.len() as u64;
            entries <= limits.entries && (bytes <= limits.bytes || entries == 1)
        };
        let fitting = rows.iter().map(fits).take_while(|fits| *fits).count();
        rows.truncate(fitting);
        assert_eq!(found?, rows, "log {log} after {after} {limits:?}");
        Ok(())
    }

    /// Compares everything that can be seen.
    pub fn check(&mut self) {
        self.store().sync().expect("sync");
        self.settle();
        let mut shown = self.shown(&self.certain);
        shown.records.clear();
        assert_eq!(state_of(self.store()).expect("readable"), shown);
    }
}
