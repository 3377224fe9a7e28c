//! Segments: the files of a log. A header, then blocks, in ascending order of their offsets.
//!
//! A segment that is being written may have bytes behind those that count: of a transaction that has not
//! committed, or from before a crash. Whoever reads knows how far to go.

use std::sync::Arc;

use lane_index::codec::{Bad, Input, put};
use lane_index::storage::Storage;
use lane_index::{Error, ReadAt};
use parking_lot::Mutex;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::Offset;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SHAPSEGM";
/// The length of the header of a file.
pub(crate) const HEADER: usize = 64;

/// The name of the file that has a log's snapshot part.
pub(crate) const SNAPSHOT: &str = "snapshot.seg";
/// The name it has until it is whole.
pub(crate) const SNAPSHOT_TEMPORARY: &str = "snapshot.seg.tmp";

/// The number of a snapshot part, in its header.
pub(crate) const SNAPSHOT_NUMBER: u64 = 0;

/// The name of the segment of this number.
pub(crate) fn name(number: u64) -> String {
    if number == SNAPSHOT_NUMBER { SNAPSHOT.to_owned() } else { format!("{number:016x}.seg") }
}

/// The number in a segment's name. Only the spelling that we write counts.
pub(crate) fn number(file: &str) -> Option<u64> {
    let number = u64::from_str_radix(file.strip_suffix(".seg")?, 16).ok()?;
    (number != SNAPSHOT_NUMBER && name(number) == file).then_some(number)
}

/// Which log a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub log: u64,
    /// The record that created it: tells it from another one of the same id.
    pub born: u64,
    /// The seed of the checksums in its files.
    pub salt: u64,
}

impl Owner {
    pub fn new(log: u64, born: u64, hash_key: &[u8; 16]) -> Self {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(hash_key);
        bytes[16..24].copy_from_slice(&log.to_le_bytes());
        bytes[24..].copy_from_slice(&born.to_le_bytes());
        Self { log, born, salt: xxh3_64(&bytes) }
    }

    /// The name of the log's directory.
    pub fn directory(&self) -> String {
        format!("{:016x}.{:016x}", self.log, self.born)
    }

    /// The log and its birth that a directory's name has. Only the spelling that we write counts.
    pub fn of_directory(name: &str) -> Option<(u64, u64)> {
        let (log, born) = name.split_once('.')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let (log, born) = (number(log)?, number(born)?);
        (Self { log, born, salt: 0 }.directory() == name).then_some((log, born))
    }

    /// The header of one of its files.
    pub fn header(&self, number: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let fields = [self.log, self.born, number];
        for (field, place) in fields.iter().zip(bytes[16..40].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let checksum = xxh3_64_with_seed(&bytes[..56], self.salt);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn check_header(&self, bytes: &[u8; HEADER], number: u64) -> Result<(), (u64, What)> {
        if bytes[..8] != MAGIC {
            return Err((0, What::Damaged("it does not start as a segment does")));
        }
        let mut version = [0; 4];
        version.copy_from_slice(&bytes[8..12]);
        let version = u32::from_le_bytes(version);
        let mut checksum = [0; 8];
        checksum.copy_from_slice(&bytes[56..]);
        if u64::from_le_bytes(checksum) != xxh3_64_with_seed(&bytes[..56], self.salt) {
            return Err((56, What::Damaged("the checksum of the header does not match")));
        }
        if version != VERSION {
            return Err((8, What::Version(version)));
        }
        if *bytes != self.header(number) {
            return Err((16, What::Damaged("it is another segment than the log has")));
        }
        Ok(())
    }
}

enum What {
    Damaged(&'static str),
    Version(u32),
}

/// No file is longer, and no number higher: sums of them cannot overflow.
pub(crate) const LONGEST: u64 = 1 << 48;

/// How far something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The length of the file.
    pub bytes: u64,
    pub entries: u64,
    pub json_bytes: u64,
    /// The offset of the last entry; of the one before the first where there is none.
    pub last: Offset,
}

impl Extent {
    /// That of a segment with nothing in it, behind `start`.
    pub fn empty(start: Offset) -> Self {
        Self { bytes: 0, entries: 0, json_bytes: 0, last: start }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        let numbers = [self.bytes, self.entries, self.json_bytes, self.last.tx, self.last.op];
        numbers.iter().for_each(|number| put(out, *number));
    }

    pub fn decode(input: &mut Input<'_>) -> Result<Self, Bad> {
        let [bytes, entries, json_bytes] = [input.number()?, input.number()?, input.number()?];
        if bytes.max(entries).max(json_bytes) > LONGEST {
            return input.bad("a file that is longer than any can be");
        }
        let last = Offset::new(input.number()?, input.number()?);
        Ok(Self { bytes, entries, json_bytes, last })
    }
}

/// What is known of a snapshot part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotMeta(pub Extent);

impl SnapshotMeta {
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }

    pub fn decode(input: &mut Input<'_>) -> Result<Self, Bad> {
        let extent = Extent::decode(input)?;
        if extent.last.tx != 0 {
            input.bad("a snapshot part that has transactions")
        } else {
            Ok(Self(extent))
        }
    }
}

/// The file of a segment, as its readers share it.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub number: u64,
    /// Places of blocks, about one for each [`STEP`] bytes, as far as somebody has read.
    index: Mutex<Index>,
}

/// How far apart the places that are kept are.
const STEP: u64 = 64 << 10;

#[derive(Debug, Default)]
struct Index {
    /// What was read up to some place, and the place; ascending.
    places: Vec<(Offset, u64)>,
}

impl SegmentFile {
    pub fn new(number: u64) -> Arc<Self> {
        Arc::new(Self { number, index: Mutex::default() })
    }

    /// Where to begin for what comes after `offset`, and the offset before that place: the nearest
    /// place that is known.
    pub fn place_before(&self, offset: Offset) -> Option<(Offset, u64)> {
        let index = self.index.lock();
        let found = index.places.partition_point(|(before, _)| *before <= offset);
        found.checked_sub(1).map(|last| index.places[last])
    }

    /// Notes that all before `place` ends with `offset`.
    pub fn note(&self, offset: Offset, place: u64) {
        let mut index = self.index.lock();
        if index.places.last().map_or(HEADER as u64, |(_, last)| *last) + STEP <= place {
            index.places.push((offset, place));
        }
    }

    /// Forgets what lies behind `length`, which is cut.
    pub fn cut(&self, length: u64) {
        let mut index = self.index.lock();
        while index.places.last().is_some_and(|(_, place)| *place > length) {
            index.places.pop();
        }
    }

    /// Opens it for reading.
    pub fn open(&self, storage: &dyn Storage, owner: &Owner) -> Result<OpenSegment, Error> {
        let path = format!("{}/{}", owner.directory(), name(self.number));
        let file = storage.open(&name(self.number))?;
        if file.len() < HEADER as u64 {
            let what = "it ends within its header";
            return Err(Error::Damaged { path, offset: file.len(), what });
        }
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        match owner.check_header(&header, self.number) {
            Ok(()) => Ok(OpenSegment { file, path }),
            Err((offset, What::Damaged(what))) => Err(Error::Damaged { path, offset, what }),
            Err((_, What::Version(version))) => {
                Err(Error::UnknownVersion { path, version, supported: VERSION })
            }
        }
    }
}

/// A segment that is open for reading.
pub(crate) struct OpenSegment {
    pub file: Box<dyn ReadAt>,
    /// For errors.
    pub path: String,
}

impl OpenSegment {
    pub fn damaged(&self, offset: u64, what: &'static str) -> Error {
        Error::Damaged { path: self.path.clone(), offset, what }
    }
}

/// A segment that is not written any more.
#[derive(Debug)]
pub(crate) struct Segment {
    pub file: Arc<SegmentFile>,
    /// The offset before its first one, which the segment before ends with.
    pub start: Offset,
    pub extent: Extent,
    /// Where the segment behind it starts; its own last entry may be before that.
    pub end: Offset,
    /// Whether it is what is left of several.
    pub compacted: bool,
}

impl Segment {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.file.number);
        out.push(self.compacted.into());
        let numbers = [self.start.tx, self.start.op, self.end.tx, self.end.op];
        numbers.iter().for_each(|number| put(out, *number));
        self.extent.encode(out);
    }

    pub fn decode(input: &mut Input<'_>) -> Result<Self, Bad> {
        let file = SegmentFile::new(input.number()?);
        let compacted = match input.byte()? {
            0 => false,
            1 => true,
            _ => return input.bad("a flag that is neither 0 nor 1"),
        };
        let start = Offset::new(input.number()?, input.number()?);
        let end = Offset::new(input.number()?, input.number()?);
        let extent = Extent::decode(input)?;
        if start >= end || extent.last < start || extent.last > end {
            return input.bad("a segment whose offsets do not ascend");
        }
        Ok(Self { file, start, extent, end, compacted })
    }
}
