//! The records of the redo log: what a frame of the journal holds. `docs/formats.md` has the bytes.
//!
//! A change that enters many logs has one key and one JSON for all of them; these are written once.

use lane_index::codec::{Bad, Input, put, put_bytes};

use crate::segment::SnapshotMeta;
use crate::{Entry, Offset, Op};

/// What the files of the redo log start with.
pub(crate) const MAGIC: [u8; 8] = *b"SHAPREDO";

const FRAGMENT: u8 = 1;
const CREATED: u8 = 2;
const REMOVED: u8 = 3;
const SNAPSHOT: u8 = 4;
const RECORDS: u8 = 5;

/// With the kind of an entry: its key and its JSON are those of the entry before.
const SAME_BODY: u8 = 1 << 7;

/// A record of somebody else, opaque here, that becomes durable with what it came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whose it is.
    pub source: u32,
    /// Its number, above those of the source's records before it.
    pub seq: u64,
    /// What it says.
    pub bytes: &'a [u8],
}

/// Writes records; what is written lies in `bytes`, ready for the journal.
#[derive(Debug, Default)]
pub(crate) struct RedoWriter {
    pub bytes: Vec<u8>,
    /// Where the key and the JSON of the entry before lie, and how long they are: both stay where they
    /// are until the record is finished.
    last_body: Option<[usize; 4]>,
}

impl RedoWriter {
    fn begin(&mut self, kind: u8) {
        // An enormous transaction must not leave its buffer behind for good.
        if self.bytes.capacity() > 4 << 20 {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.push(kind);
        self.last_body = None;
    }

    /// Begins a fragment of a transaction, with its records; its entries follow.
    pub fn fragment(
        &mut self,
        lsn: u64,
        fragment: u32,
        last: bool,
        records: &[Record<'_>],
        entries: usize,
    ) {
        self.begin(FRAGMENT);
        put(&mut self.bytes, lsn);
        put(&mut self.bytes, u64::from(fragment));
        self.bytes.push(last.into());
        self.put_records(records);
        put(&mut self.bytes, entries as u64);
    }

    /// The next entry of the fragment.
    pub fn entry(&mut self, log: u64, entry: &Entry<'_>) {
        let [key, json] = [entry.key, entry.json].map(|bytes| (bytes.as_ptr().addr(), bytes.len()));
        let body = [key.0, key.1, json.0, json.1];
        let same = self.last_body == Some(body);
        put(&mut self.bytes, log);
        put(&mut self.bytes, entry.offset.op);
        self.bytes.push(entry.op as u8 | if same { SAME_BODY } else { 0 });
        if !same {
            put_bytes(&mut self.bytes, entry.key);
            put_bytes(&mut self.bytes, entry.json);
            self.last_body = Some(body);
        }
    }

    /// A log was created.
    pub fn created(&mut self, log: u64, awaits_snapshot: bool, descriptor: &[u8]) {
        self.begin(CREATED);
        put(&mut self.bytes, log);
        self.bytes.push(awaits_snapshot.into());
        put_bytes(&mut self.bytes, descriptor);
    }

    /// A log was removed.
    pub fn removed(&mut self, log: u64) {
        self.begin(REMOVED);
        put(&mut self.bytes, log);
    }

    /// A log has its snapshot part.
    pub fn snapshot(&mut self, log: u64, meta: &SnapshotMeta) {
        self.begin(SNAPSHOT);
        put(&mut self.bytes, log);
        meta.encode(&mut self.bytes);
    }

    /// Records outside of a transaction.
    pub fn records(&mut self, records: &[Record<'_>]) {
        self.begin(RECORDS);
        self.put_records(records);
    }

    fn put_records(&mut self, records: &[Record<'_>]) {
        put(&mut self.bytes, records.len() as u64);
        for record in records {
            put(&mut self.bytes, u64::from(record.source));
            put(&mut self.bytes, record.seq);
            put_bytes(&mut self.bytes, record.bytes);
        }
    }

    /// The payload of the frame.
    pub fn finish(&mut self) -> &[u8] {
        self.last_body = None;
        // A frame that is longer than the journal takes is refused there.
        let length = (self.bytes.len() - 4) as u32;
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        let unit = lane_index::journal::PAYLOAD_UNIT;
        self.bytes.resize(self.bytes.len().next_multiple_of(unit), 0);
        &self.bytes
    }
}

/// A record that is read.
pub(crate) enum Redo<'a> {
    Fragment { lsn: u64, fragment: u32, last: bool, records: Vec<Record<'a>>, entries: Entries<'a> },
    Created { log: u64, awaits_snapshot: bool, descriptor: &'a [u8] },
    Removed { log: u64 },
    Snapshot { log: u64, meta: SnapshotMeta },
    Records(Vec<Record<'a>>),
}

impl<'a> Redo<'a> {
    /// Reads the payload of a frame.
    pub fn decode(payload: &'a [u8]) -> Result<Self, Bad> {
        let (length, rest) = payload.split_first_chunk().ok_or(Bad { at: 0, what: "no record" })?;
        let length = u32::from_le_bytes(*length) as usize;
        let Some((record, padding)) = rest.split_at_checked(length) else {
            return Err(Bad { at: 0, what: "a record that is longer than its frame" });
        };
        if padding.len() >= lane_index::journal::PAYLOAD_UNIT
            || padding.iter().any(|byte| *byte != 0)
        {
            return Err(Bad { at: 4 + length, what: "something follows the record" });
        }
        let mut input = Input::new(record);
        Self::read(&mut input).map_err(|bad| Bad { at: bad.at + 4, ..bad })
    }

    fn read(input: &mut Input<'a>) -> Result<Self, Bad> {
        let redo = match input.byte()? {
            FRAGMENT => {
                let lsn = input.number()?;
                let fragment = narrow(input)?;
                let last = flag(input)?;
                let records = read_records(input)?;
                let left = input.count(3)?;
                let rest = input.take(input.left())?;
                let at = input.at() - rest.len();
                let input = Input::new(rest);
                let entries = Entries { input, at, left, lsn, key: &[], json: None };
                return Ok(Self::Fragment { lsn, fragment, last, records, entries });
            }
            CREATED => {
                let (log, awaits_snapshot) = (input.number()?, flag(input)?);
                Self::Created { log, awaits_snapshot, descriptor: input.bytes()? }
            }
            REMOVED => Self::Removed { log: input.number()? },
            SNAPSHOT => Self::Snapshot { log: input.number()?, meta: SnapshotMeta::decode(input)? },
            RECORDS => Self::Records(read_records(input)?),
            _ => return input.bad("a record of no known kind"),
        };
        input.end()?;
        Ok(redo)
    }
}

fn flag(input: &mut Input<'_>) -> Result<bool, Bad> {
    match input.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => input.bad("a flag that is neither 0 nor 1"),
    }
}

fn narrow(input: &mut Input<'_>) -> Result<u32, Bad> {
    let number = input.number()?;
    u32::try_from(number).or_else(|_| input.bad("a number of more than 32 bits"))
}

fn read_records<'a>(input: &mut Input<'a>) -> Result<Vec<Record<'a>>, Bad> {
    let count = input.count(3)?;
    (0..count)
        .map(|_| {
            let (source, seq) = (narrow(input)?, input.number()?);
            Ok(Record { source, seq, bytes: input.bytes()? })
        })
        .collect()
}

/// The entries of a fragment.
pub(crate) struct Entries<'a> {
    input: Input<'a>,
    /// Where the entries begin in the record.
    at: usize,
    left: usize,
    lsn: u64,
    key: &'a [u8],
    json: Option<&'a [u8]>,
}

impl<'a> Entries<'a> {
    /// The next entry, and its log.
    pub fn next(&mut self) -> Result<Option<(u64, Entry<'a>)>, Bad> {
        // Counted from the first byte of the payload.
        let at = self.at + 4;
        self.read().map_err(|bad| Bad { at: bad.at + at, ..bad })
    }

    fn read(&mut self) -> Result<Option<(u64, Entry<'a>)>, Bad> {
        let input = &mut self.input;
        let Some(left) = self.left.checked_sub(1) else { return input.end().map(|()| None) };
        self.left = left;
        let (log, op) = (input.number()?, input.number()?);
        let kind = input.byte()?;
        let Some(known) = Op::from_number(kind & !SAME_BODY) else {
            return input.bad("an operation of no known kind");
        };
        if kind & SAME_BODY == 0 {
            self.key = input.bytes()?;
            self.json = Some(input.bytes()?);
        }
        let Some(json) = self.json else {
            return input.bad("the body of an entry before, where there is none");
        };
        let offset = Offset::new(self.lsn, op);
        Ok(Some((log, Entry { offset, op: known, key: self.key, json })))
    }
}
