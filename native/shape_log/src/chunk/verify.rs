//! Reads the files of a chunk from first byte to last.

use std::fmt;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use lane_index::{Error as StorageError, ReadAt, Storage};
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use xxhash_rust::xxh3::Xxh3;

use super::{ChunkMeta, GzipMeta};

const BUFFER: usize = 128 << 10;

/// A file, read from its beginning, and the checksum of what was read.
struct Input {
    file: Box<dyn ReadAt>,
    hash: Box<Xxh3>,
    buffer: Vec<u8>,
    /// The part of the buffer that was not given away.
    unread: std::ops::Range<usize>,
    /// Where the file is read next.
    next: u64,
}

impl Input {
    fn open(storage: &dyn Storage, name: &str) -> Result<Self, StorageError> {
        let (file, hash) = (storage.open(name)?, Box::new(Xxh3::new()));
        Ok(Self { file, hash, buffer: Vec::new(), unread: 0..0, next: 0 })
    }

    /// How far what was given away reaches.
    fn position(&self) -> u64 {
        self.next - self.unread.len() as u64
    }

    fn fill(&mut self) -> Result<(), StorageError> {
        let size = (self.file.len() - self.next).min(BUFFER as u64) as usize;
        self.buffer.resize(size, 0);
        self.file.read_exact_at(&mut self.buffer, self.next)?;
        self.hash.update(&self.buffer);
        self.next += size as u64;
        self.unread = 0..size;
        Ok(())
    }

    /// Reads what is left; the length and the checksum of the file.
    fn finish(mut self) -> Result<(u64, u64), StorageError> {
        while self.next < self.file.len() {
            self.fill()?;
        }
        Ok((self.next, self.hash.digest()))
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.fill().map_err(io::Error::other)?;
        }
        let size = into.len().min(self.unread.len());
        let start = self.unread.start;
        into[..size].copy_from_slice(&self.buffer[start..start + size]);
        self.unread.start += size;
        Ok(size)
    }
}

/// Counts the elements of an array without keeping them.
struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<u64, A::Error> {
        let mut count = 0;
        while array.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// What a file of JSON is.
pub(super) struct Scanned {
    pub bytes: u64,
    pub checksum: u64,
    /// How many elements the array has; where it is none, the byte at which that shows.
    pub count: Result<u64, u64>,
}

pub(super) fn scan(storage: &dyn Storage, name: &str) -> Result<Scanned, StorageError> {
    let mut input = Input::open(storage, name)?;
    let mut parser = serde_json::Deserializer::from_reader(&mut input);
    let count = (&mut parser).deserialize_seq(Count).and_then(|count| {
        parser.end()?;
        Ok(count)
    });
    drop(parser);
    let count = match count {
        Ok(count) => Ok(count),
        Err(error) if error.is_io() => return Err(from_io(error.into(), name)),
        Err(_) => Err(input.position().saturating_sub(1)),
    };
    let (bytes, checksum) = input.finish()?;
    Ok(Scanned { bytes, checksum, count })
}

fn from_io(error: io::Error, name: &str) -> StorageError {
    error.downcast::<StorageError>().unwrap_or_else(|source| StorageError::Io {
        operation: "read",
        path: name.to_owned(),
        source,
    })
}

/// What a compressed file is, and the length and the checksum of what it holds; none of that where it
/// cannot be unpacked.
pub(super) fn scan_gzip(
    storage: &dyn Storage,
    name: &str,
) -> Result<(GzipMeta, Option<(u64, u64)>), StorageError> {
    let mut decoder = GzDecoder::new(Input::open(storage, name)?);
    let (mut hash, mut length) = (Box::new(Xxh3::new()), 0);
    let mut buffer = vec![0; BUFFER];
    let held = loop {
        match decoder.read(&mut buffer) {
            Ok(0) => break Some((length, hash.digest())),
            Ok(size) => {
                hash.update(&buffer[..size]);
                length += size as u64;
            }
            Err(error) if error.get_ref().is_some_and(|inner| inner.is::<StorageError>()) => {
                return Err(from_io(error, name));
            }
            Err(_) => break None,
        }
    };
    let (bytes, checksum) = decoder.into_inner().finish()?;
    Ok((GzipMeta { bytes, checksum }, held))
}

/// Compares the files of a chunk with what is known of it.
pub(super) fn verify(storage: &dyn Storage, chunk: &ChunkMeta) -> Result<(), StorageError> {
    let name = chunk.name();
    let damaged = |offset, what| StorageError::Damaged { path: name.clone(), offset, what };
    let found = scan(storage, &name)?;
    if found.bytes != chunk.bytes {
        let what = if found.bytes < chunk.bytes { "it is cut off" } else { "it is too long" };
        return Err(damaged(found.bytes.min(chunk.bytes), what));
    }
    if found.checksum != chunk.checksum {
        return Err(damaged(0, "the checksum does not match"));
    }
    match found.count {
        Err(offset) => return Err(damaged(offset, "it is no JSON array")),
        Ok(count) if count != chunk.count => {
            return Err(damaged(0, "the array has another number of elements"));
        }
        Ok(_) => {}
    }
    let (Some(gzip), Some(name)) = (chunk.gzip, chunk.gzip_name()) else { return Ok(()) };
    let damaged = |what| StorageError::Damaged { path: name.clone(), offset: 0, what };
    let (found, held) = scan_gzip(storage, &name)?;
    if found != gzip {
        return Err(damaged("length or checksum do not match"));
    }
    if held != Some((chunk.bytes, chunk.checksum)) {
        return Err(damaged("it does not unpack to the chunk"));
    }
    Ok(())
}
