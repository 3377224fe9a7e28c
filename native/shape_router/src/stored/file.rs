//! The bytes of the file: a header, blocks that each have a checksum and know their place, and
//! segments, each on a page of its own behind the block that describes it.

use super::{Source, VERSION, name};
use lane_index::storage::Storage;
use lane_index::{Error, ReadAt, StorageFile};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: [u8; 8] = *b"SHAPINDX";
const HEADER: usize = 64;
const BLOCK: usize = 32;
/// What a segment begins at a multiple of.
const PAGE: u64 = 4096;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// What everything else depends on.
    Basis = 1,
    Shapes = 2,
    Hashes = 3,
    End = 4,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        [Self::Basis, Self::Shapes, Self::Hashes, Self::End]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// Writes a file from the first byte to the last.
pub(super) struct Writer {
    file: Box<dyn StorageFile>,
    salt: u64,
    at: u64,
    blocks: u64,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn begin(file: Box<dyn StorageFile>, source: Source) -> Result<Self, Error> {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let Source { number, applied_seq, salt, owner, shapes } = source;
        let fields = [number, applied_seq, salt, owner, shapes];
        for (field, place) in fields.iter().zip(header[16..56].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let checksum = xxh3_64(&header[..56]);
        header[56..].copy_from_slice(&checksum.to_le_bytes());
        let mut writer = Self { file, salt, at: 0, blocks: 0, buffer: Vec::new() };
        writer.append(&header)?;
        Ok(writer)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub fn block(&mut self, kind: Kind, count: u64, payload: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(payload.len()).map_err(|_| Error::Limit {
            what: "bytes of a block",
            got: payload.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&[0; 8]);
        buffer.extend_from_slice(&(kind as u32).to_le_bytes());
        buffer.extend_from_slice(&length.to_le_bytes());
        buffer.extend_from_slice(&self.at.to_le_bytes());
        buffer.extend_from_slice(&count.to_le_bytes());
        buffer.extend_from_slice(payload);
        let checksum = xxh3_64_with_seed(&buffer[8..], self.salt);
        buffer[..8].copy_from_slice(&checksum.to_le_bytes());
        let written = self.append(&buffer);
        self.buffer = buffer;
        self.blocks += 1;
        written
    }

    /// A segment, which has checksums of its own.
    pub fn segment(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let gap = self.at.next_multiple_of(PAGE) - self.at;
        self.append(&[0; PAGE as usize][..gap as usize])?;
        self.append(bytes)
    }

    /// Ends the file and makes it durable; its name is the caller's to give. How long it is.
    pub fn finish(mut self) -> Result<u64, Error> {
        self.block(Kind::End, self.blocks, &[])?;
        self.file.sync()?;
        Ok(self.at)
    }
}

/// Reads a file from the first byte to the last. Not mapped: what is read once must not stay in memory.
pub(super) struct Reader {
    path: String,
    file: Box<dyn ReadAt>,
    salt: u64,
    at: u64,
    blocks: u64,
    last: Kind,
    buffer: Vec<u8>,
}

/// A block that was verified.
pub(super) struct Block<'r> {
    pub kind: Kind,
    pub count: u64,
    pub payload: &'r [u8],
    /// Where the payload begins.
    pub at: u64,
}

impl Reader {
    /// Opens the file of this snapshot's indexes.
    pub fn open(storage: &dyn Storage, source: Source) -> Result<Self, Error> {
        let path = name(source.number);
        let file = storage.open(&path)?;
        let damaged = |offset, what| Error::Damaged { path: path.clone(), offset, what };
        let mut header = [0; HEADER];
        if file.len() < HEADER as u64 {
            return Err(damaged(0, "it is cut off"));
        }
        file.read_exact_at(&mut header, 0)?;
        if header[..8] != MAGIC {
            return Err(damaged(0, "it does not start as stored indexes do"));
        }
        if number(&header, 56) != xxh3_64(&header[..56]) {
            return Err(damaged(56, "the checksum of the header does not match"));
        }
        let version = number(&header, 8) as u32;
        if version != VERSION {
            return Err(Error::UnknownVersion { path, version, supported: VERSION });
        }
        let Source { number: of, applied_seq, salt, owner, shapes } = source;
        let expected = [of, applied_seq, salt, owner, shapes];
        if expected.iter().enumerate().any(|(at, field)| number(&header, 16 + 8 * at) != *field) {
            return Err(damaged(16, "it was made of another snapshot"));
        }
        if header[12..16] != [0; 4] {
            return Err(damaged(12, "a field that is not used"));
        }
        let (at, buffer) = (HEADER as u64, Vec::new());
        Ok(Self { path, file, salt, at, blocks: 0, last: Kind::Basis, buffer })
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn damaged(&self, offset: u64, what: &'static str) -> Error {
        Error::Damaged { path: self.path.clone(), offset, what }
    }

    /// The next block. After the end there is none.
    pub fn next(&mut self) -> Result<Block<'_>, Error> {
        let (at, length) = (self.at, self.file.len());
        let header_end = at + BLOCK as u64;
        if header_end > length {
            return Err(self.damaged(at, "it ends without an end"));
        }
        self.buffer.resize(BLOCK, 0);
        self.file.read_exact_at(&mut self.buffer, at)?;
        let payload = number(&self.buffer, 8) >> 32;
        let end = header_end + payload;
        if end > length {
            return Err(self.damaged(at, "a block beyond the end of the file"));
        }
        self.buffer.resize(BLOCK + payload as usize, 0);
        self.file.read_exact_at(&mut self.buffer[BLOCK..], header_end)?;
        if number(&self.buffer, 0) != xxh3_64_with_seed(&self.buffer[8..], self.salt) {
            return Err(self.damaged(at, "the checksum of a block does not match"));
        }
        let (kind, count) = (number(&self.buffer, 8) as u32, number(&self.buffer, 24));
        let kind = Kind::of(kind);
        let is_first = self.blocks == 0;
        let Some(kind) = kind.filter(|kind| {
            number(&self.buffer, 16) == at
                && is_first == (*kind == Kind::Basis)
                && *kind >= self.last
        }) else {
            return Err(self.damaged(at, "a block out of its place"));
        };
        if kind == Kind::End && (count != self.blocks || end != length) {
            return Err(self.damaged(at, "blocks are missing, or something follows the end"));
        }
        (self.at, self.blocks, self.last) = (end, self.blocks + 1, kind);
        Ok(Block { kind, count, payload: &self.buffer[BLOCK..], at: header_end })
    }

    /// Where the segment of the block that was read last begins; reading goes on behind it.
    pub fn segment(&mut self, bytes: u64) -> Result<u64, Error> {
        let at = self.at.next_multiple_of(PAGE);
        let Some(end) = at.checked_add(bytes).filter(|end| *end <= self.file.len()) else {
            return Err(self.damaged(self.at, "a segment beyond the end of the file"));
        };
        let mut gap = [0; PAGE as usize];
        let gap = &mut gap[..(at - self.at) as usize];
        self.file.read_exact_at(gap, self.at)?;
        if gap.iter().any(|byte| *byte != 0) {
            return Err(self.damaged(self.at, "something stands before a segment"));
        }
        self.at = end;
        Ok(at)
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    if let Some(found) = bytes.get(at..at + 8) {
        number.copy_from_slice(found);
    }
    u64::from_le_bytes(number)
}
