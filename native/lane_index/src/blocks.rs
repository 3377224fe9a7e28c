//! Files of blocks: a header, then blocks that each have a checksum and know their place, so that none
//! can be lost, doubled, moved or taken from another file unseen. What the blocks hold, and in which
//! order they come, is the business of each format; `docs/formats.md` has the bytes.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::Error;
use crate::storage::StorageFile;

/// The bytes of a file's header.
pub const HEADER: usize = 64;
/// The bytes of a block before its payload.
pub const BLOCK: usize = 32;

const FIELDS: usize = 5;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which kind of file it is.
    pub magic: [u8; 8],
    /// Of which version.
    pub version: u32,
    /// What tells it from another file of its kind. Those not used are 0.
    pub fields: [u64; FIELDS],
}

impl Header {
    fn encode(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&self.magic);
        header[8..12].copy_from_slice(&self.version.to_le_bytes());
        for (field, place) in self.fields.iter().zip(header[16..56].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let checksum = xxh3_64(&header[..56]);
        header[56..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Is this the header that these bytes begin with? `path`, and what to say of a file of another kind
    /// or with other fields, are for the error.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::UnknownVersion`].
    pub fn verify(
        &self,
        bytes: &[u8],
        path: &str,
        [other_kind, other_file]: [&'static str; 2],
    ) -> Result<(), Error> {
        let damaged = |offset, what| Error::Damaged { path: path.to_owned(), offset, what };
        let header: &[u8; HEADER] =
            bytes.first_chunk().ok_or_else(|| damaged(0, "it is cut off"))?;
        if header[..8] != self.magic {
            return Err(damaged(0, other_kind));
        }
        if number(header, 56) != xxh3_64(&header[..56]) {
            return Err(damaged(56, "the checksum of the header does not match"));
        }
        // The version before anything else: another version may look different otherwise.
        let version = number(header, 8) as u32;
        if version != self.version {
            let (path, supported) = (path.to_owned(), self.version);
            return Err(Error::UnknownVersion { path, version, supported });
        }
        match *header == self.encode() {
            true => Ok(()),
            false => Err(damaged(16, other_file)),
        }
    }
}

/// Writes a file from the first byte to the last.
pub struct BlockWriter {
    file: Box<dyn StorageFile>,
    salt: u64,
    at: u64,
    blocks: u64,
    buffer: Vec<u8>,
}

impl BlockWriter {
    /// Begins a file. The salt goes into all checksums: a block of another file does not pass for one of
    /// this file's.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(
        file: Box<dyn StorageFile>,
        header: &Header,
        salt: u64,
    ) -> Result<BlockWriter, Error> {
        let mut writer = BlockWriter { file, salt, at: 0, blocks: 0, buffer: Vec::new() };
        writer.append(&header.encode())?;
        Ok(writer)
    }

    /// How long the file is so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.at
    }

    /// Is nothing behind the header yet?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == HEADER as u64
    }

    /// How many blocks were written.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// A block of `count` things.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond 4 GiB; [`Error::Io`].
    pub fn block(&mut self, kind: u32, count: u64, payload: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(payload.len()).map_err(|_| Error::Limit {
            what: "bytes of a block",
            got: payload.len() as u64,
            limit: u64::from(u32::MAX),
        })?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&[0; 8]);
        buffer.extend_from_slice(&kind.to_le_bytes());
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

    /// Bytes between blocks, which nothing here verifies.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the last block, which counts those before it, and makes the file durable; its name is the
    /// caller's to give. How long it is.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self, kind: u32, payload: &[u8]) -> Result<u64, Error> {
        self.block(kind, self.blocks, payload)?;
        self.file.sync()?;
        Ok(self.at)
    }
}

/// A block that was verified.
#[derive(Clone, Copy, Debug)]
pub struct Block<'b> {
    /// What it holds.
    pub kind: u32,
    /// How many things.
    pub count: u64,
    /// Their bytes.
    pub payload: &'b [u8],
}

impl<'b> Block<'b> {
    /// The block that these bytes begin with, which lie at `place` in their file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(bytes: &'b [u8], place: u64, salt: u64) -> Result<Block<'b>, &'static str> {
        let length = Block::payload_bytes(bytes)?;
        let end = length.checked_add(BLOCK).ok_or(BEYOND)?;
        let block = bytes.get(..end).ok_or(BEYOND)?;
        if number(block, 0) != xxh3_64_with_seed(&block[8..], salt) {
            return Err("the checksum of a block does not match");
        }
        if number(block, 16) != place {
            return Err("a block out of its place");
        }
        let (kind, count) = (number(block, 8) as u32, number(block, 24));
        Ok(Block { kind, count, payload: &block[BLOCK..] })
    }

    /// How long the payload is of the block that these bytes begin with, as it says itself: not verified.
    ///
    /// # Errors
    /// The file is cut off.
    pub fn payload_bytes(bytes: &[u8]) -> Result<usize, &'static str> {
        let header: &[u8; BLOCK] = bytes.first_chunk().ok_or("it ends without an end")?;
        Ok((number(header, 8) >> 32) as usize)
    }

    /// How long it is.
    #[must_use]
    pub fn bytes(&self) -> usize {
        BLOCK + self.payload.len()
    }
}

/// What is said of a block that is longer than what is left of its file.
pub const BEYOND: &str = "a block beyond the end of the file";

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    if let Some(found) = bytes.get(at..at + 8) {
        number.copy_from_slice(found);
    }
    u64::from_le_bytes(number)
}
