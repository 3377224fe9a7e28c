//! What is done with each entry of a range, decided in a first reading and done in a second.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3;

use super::value;
use crate::{Entry, EntrySource, Error, Offset, Op};

/// What a compaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollapseOptions {
    /// Entries with more bytes of JSON are not merged, since values wait in memory for the last entry of
    /// their row. Default: 64 KiB.
    pub max_merged_bytes: usize,
}

impl Default for CollapseOptions {
    fn default() -> Self {
        Self { max_merged_bytes: 64 << 10 }
    }
}

/// How many entries a range has and how many of them are left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were read.
    pub read: u64,
    /// Entries that stay, with the values of earlier ones or as they are.
    pub stay: u64,
    /// Entries whose values went into a later one.
    pub merged: u64,
    /// Entries that have no effect any more.
    pub dropped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It stays as it is.
    Stay,
    /// It stays, whatever comes.
    Always,
    /// It goes, and what was held of its row.
    Drop,
    /// Its values are held for a later entry.
    Hold,
    /// It stays, with what is held of its row.
    Merge,
}

/// What a plan for a range knows of a row: the entries about it that stay and may still be dropped.
#[derive(Clone, Copy, Default)]
struct Run {
    /// The insert that has nothing behind it but `tail`.
    inserted: Option<usize>,
    tail: Option<(Tail, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Update,
    Upsert,
    /// Deleted, one way or the other.
    Gone,
}

/// What is done with each entry of a range.
pub struct Plan {
    decisions: Vec<Decision>,
    /// The checksum of what the entries were, to know them again.
    checksum: u64,
    /// Whether what stays are the rows of a table: inserts, whatever they were.
    rows: bool,
}

/// What was read, in order, as far as a second reading must agree.
#[derive(Default)]
pub(super) struct Notes {
    hash: Xxh3,
    last: Option<Offset>,
}

impl Notes {
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        if let Some(last) = self.last.filter(|last| *last >= entry.offset) {
            return Err(Error::OutOfOrder { last, offset: entry.offset });
        }
        self.last = Some(entry.offset);
        note(&mut self.hash, entry);
        Ok(())
    }
}

/// What an entry was.
fn note(hash: &mut Xxh3, entry: &Entry<'_>) {
    hash.update(&entry.offset.tx.to_le_bytes());
    hash.update(&entry.offset.op.to_le_bytes());
    hash.update(&[entry.op as u8]);
    hash.update(&(entry.key.len() as u64).to_le_bytes());
    hash.update(entry.key);
    hash.update(&(entry.json.len() as u64).to_le_bytes());
}

impl Plan {
    /// Reads a range for the first time.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`], and those of the source.
    pub fn read(source: &mut dyn EntrySource, options: CollapseOptions) -> Result<Self, Error> {
        let mut planning =
            Planning { decisions: Vec::new(), runs: HashMap::new(), truncated: 0, options };
        let mut notes = Notes::default();
        while let Some(entry) = source.next()? {
            notes.add(&entry)?;
            planning.add(&entry);
        }
        Ok(Self::new(planning.decisions, notes, false))
    }

    pub(super) fn new(decisions: Vec<Decision>, notes: Notes, rows: bool) -> Self {
        Self { decisions, checksum: notes.hash.digest(), rows }
    }

    /// How much it collapses.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { read: self.decisions.len() as u64, ..Summary::default() };
        for decision in &self.decisions {
            match decision {
                Decision::Stay | Decision::Always | Decision::Merge => summary.stay += 1,
                Decision::Hold => summary.merged += 1,
                Decision::Drop => summary.dropped += 1,
            }
        }
        summary
    }

    /// The entries that stay, out of a second reading of the same range.
    pub fn collapse<'p>(&'p self, source: &'p mut dyn EntrySource) -> Collapsed<'p> {
        Collapsed {
            plan: self,
            source,
            number: 0,
            hash: Xxh3::new(),
            held: HashMap::new(),
            key: Vec::new(),
            json: Vec::new(),
        }
    }
}

struct Planning {
    decisions: Vec<Decision>,
    /// By key, since the last barrier.
    runs: HashMap<Box<[u8]>, Run>,
    /// Everything before this number was dropped by a truncate.
    truncated: usize,
    options: CollapseOptions,
}

impl Planning {
    fn add(&mut self, entry: &Entry<'_>) {
        let number = self.decisions.len();
        self.decisions.push(Decision::Stay);
        match entry.op {
            Op::Truncate => {
                for decision in &mut self.decisions[self.truncated..number] {
                    if *decision != Decision::Always {
                        *decision = Decision::Drop;
                    }
                }
                // The next one drops this one.
                self.truncated = number;
                self.runs.clear();
            }
            Op::Rekey => self.runs.clear(),
            Op::Unknown => {
                self.decisions[number] = Decision::Always;
                self.runs.clear();
            }
            op => {
                let mut run = self.runs.get(entry.key).copied().unwrap_or_default();
                self.extend(&mut run, op, number, entry.json);
                match self.runs.get_mut(entry.key) {
                    Some(known) => *known = run,
                    None => drop(self.runs.insert(entry.key.into(), run)),
                }
            }
        }
    }

    /// Adds an entry to what is known of its row.
    fn extend(&mut self, run: &mut Run, op: Op, number: usize, json: &[u8]) {
        match op {
            Op::Update | Op::Upsert => {
                if json.len() > self.options.max_merged_bytes || value::place(json).is_none() {
                    *run = Run::default();
                    return;
                }
                let kind = if op == Op::Update { Tail::Update } else { Tail::Upsert };
                match run.tail {
                    Some((tail, before)) if tail == kind => {
                        self.decisions[before] = Decision::Hold;
                        self.decisions[number] = Decision::Merge;
                    }
                    None => {}
                    // What is before stays for good.
                    Some(_) => run.inserted = None,
                }
                run.tail = Some((kind, number));
            }
            Op::Delete => {
                if let Some((Tail::Update, before)) = run.tail {
                    self.decisions[before] = Decision::Drop;
                }
                *run = Run { inserted: None, tail: Some((Tail::Gone, number)) };
            }
            Op::DeleteIfPresent => {
                if let Some((_, before)) = run.tail {
                    self.decisions[before] = Decision::Drop;
                }
                if let Some(inserted) = run.inserted {
                    self.decisions[inserted] = Decision::Drop;
                }
                *run = Run { inserted: None, tail: Some((Tail::Gone, number)) };
            }
            // The others are barriers and do not come here.
            _ => *run = Run { inserted: Some(number), tail: None },
        }
    }
}

/// The entries of a range that stay.
pub struct Collapsed<'p> {
    plan: &'p Plan,
    source: &'p mut dyn EntrySource,
    number: usize,
    hash: Xxh3,
    /// By key, the values that wait for a later entry.
    held: HashMap<Box<[u8]>, String>,
    key: Vec<u8>,
    json: Vec<u8>,
}

/// The place of the value in an entry's JSON, and that value after what is held of the row.
fn merged(
    held: &mut HashMap<Box<[u8]>, String>,
    entry: &Entry<'_>,
) -> Option<(std::ops::Range<usize>, String)> {
    let place = value::place(entry.json)?;
    let value = std::str::from_utf8(&entry.json[place.clone()]).ok()?;
    let merged = match held.remove(entry.key) {
        Some(held) => value::merge(&held, value)?,
        None => value.to_owned(),
    };
    Some((place, merged))
}

impl EntrySource for Collapsed<'_> {
    /// # Errors
    /// [`Error::SourceChanged`] where the source does not give what it gave the first time; at the latest
    /// behind the last entry. What came before is worthless then.
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        loop {
            let Some(entry) = self.source.next()? else {
                let same = self.number == self.plan.decisions.len()
                    && self.hash.digest() == self.plan.checksum;
                return if same { Ok(None) } else { Err(Error::SourceChanged) };
            };
            let Some(&decision) = self.plan.decisions.get(self.number) else {
                return Err(Error::SourceChanged);
            };
            self.number += 1;
            note(&mut self.hash, &entry);
            self.json.clear();
            match decision {
                Decision::Drop => {
                    self.held.remove(entry.key);
                    continue;
                }
                Decision::Hold => {
                    let (_, value) = merged(&mut self.held, &entry).ok_or(Error::SourceChanged)?;
                    self.held.insert(entry.key.into(), value);
                    continue;
                }
                Decision::Merge => {
                    let (place, value) =
                        merged(&mut self.held, &entry).ok_or(Error::SourceChanged)?;
                    self.json.extend_from_slice(&entry.json[..place.start]);
                    self.json.extend_from_slice(value.as_bytes());
                    self.json.extend_from_slice(&entry.json[place.end..]);
                }
                Decision::Stay | Decision::Always => self.json.extend_from_slice(entry.json),
            }
            self.key.clear();
            self.key.extend_from_slice(entry.key);
            let op = if self.plan.rows { Op::Insert } else { entry.op };
            let offset = entry.offset;
            return Ok(Some(Entry { offset, op, key: &self.key, json: &self.json }));
        }
    }
}
