//! The bytes of the file: blocks, and segments, each on a page of its own behind the block that describes
//! it.

use super::{Source, VERSION, name};
use lane_index::blocks::{self, BEYOND, BLOCK, BlockWriter, HEADER, Header};
use lane_index::storage::Storage;
use lane_index::{Error, ReadAt, StorageFile};

const MAGIC: [u8; 8] = *b"SHAPINDX";
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

fn header(source: Source) -> Header {
    let Source { number, applied_seq, salt, owner, shapes } = source;
    let fields = [number, applied_seq, salt, owner, shapes];
    Header { magic: MAGIC, version: VERSION, fields }
}

/// Writes a file from the first byte to the last.
pub(super) struct Writer {
    blocks: BlockWriter,
}

impl Writer {
    pub fn begin(file: Box<dyn StorageFile>, source: Source) -> Result<Self, Error> {
        Ok(Self { blocks: BlockWriter::begin(file, &header(source), source.salt)? })
    }

    pub fn block(&mut self, kind: Kind, count: u64, payload: &[u8]) -> Result<(), Error> {
        self.blocks.block(kind as u32, count, payload)
    }

    /// A segment, which has checksums of its own.
    pub fn segment(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let at = self.blocks.len();
        let gap = at.next_multiple_of(PAGE) - at;
        self.blocks.append(&[0; PAGE as usize][..gap as usize])?;
        self.blocks.append(bytes)
    }

    /// Ends the file and makes it durable; its name is the caller's to give. How long it is.
    pub fn finish(self) -> Result<u64, Error> {
        self.blocks.finish(Kind::End as u32, &[])
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
        let salt = source.salt;
        let mut bytes = [0; HEADER];
        let there = HEADER.min(file.len() as usize);
        file.read_exact_at(&mut bytes[..there], 0)?;
        let (other_kind, other_file) =
            ("it does not start as stored indexes do", "it was made of another snapshot");
        header(source).verify(&bytes[..there], &path, [other_kind, other_file])?;
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
        let read = blocks::Block::payload_bytes(&self.buffer);
        let payload = read.map_err(|what| self.damaged(at, what))?;
        let end = header_end + payload as u64;
        // Before memory is taken for it.
        if end > length {
            return Err(self.damaged(at, BEYOND));
        }
        self.buffer.resize(BLOCK + payload, 0);
        self.file.read_exact_at(&mut self.buffer[BLOCK..], header_end)?;
        let read = blocks::Block::read(&self.buffer, at, self.salt);
        let blocks::Block { kind, count, payload } = read.map_err(|what| self.damaged(at, what))?;
        let is_first = self.blocks == 0;
        let in_place = |kind: &Kind| is_first == (*kind == Kind::Basis) && *kind >= self.last;
        let Some(kind) = Kind::of(kind).filter(in_place) else {
            return Err(self.damaged(at, "a block out of its place"));
        };
        if kind == Kind::End && (count != self.blocks || end != length) {
            return Err(self.damaged(at, "blocks are missing, or something follows the end"));
        }
        (self.at, self.blocks, self.last) = (end, self.blocks + 1, kind);
        Ok(Block { kind, count, payload, at: header_end })
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
