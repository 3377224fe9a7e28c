//! Writes the files of a chunk, from first entry to last: what is in memory does not grow with the chunk.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use lane_index::sealed::create_anew;
use lane_index::{Error as StorageError, Storage, StorageFile};
use xxhash_rust::xxh3::Xxh3;

use super::{ChunkMeta, GzipMeta, names};
use crate::{EntrySource, Error, Offset};

/// What is gathered before it is written; longer entries are written by themselves.
const BUFFER: usize = 128 << 10;

/// A file that is written, its length and its checksum.
struct Output {
    file: Box<dyn StorageFile>,
    hash: Box<Xxh3>,
    bytes: u64,
}

impl Output {
    fn create(storage: &dyn Storage, name: &str) -> Result<Self, StorageError> {
        let file = create_anew(storage, name)?;
        Ok(Self { file, hash: Box::new(Xxh3::new()), bytes: 0 })
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

/// For the compressor, which knows no other errors.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_out(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error as it was before it went through the compressor.
fn unwrapped(error: io::Error, name: &str) -> StorageError {
    error.downcast::<StorageError>().unwrap_or_else(|source| StorageError::Io {
        operation: "compress",
        path: name.to_owned(),
        source,
    })
}

struct Rendering {
    json: Output,
    gzip: Option<(GzEncoder<Output>, String)>,
    buffer: Vec<u8>,
}

impl Rendering {
    fn push(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() > BUFFER {
            return self.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.write(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.json.write_out(bytes)?;
        if let Some((encoder, name)) = &mut self.gzip {
            encoder.write_all(bytes).map_err(|error| unwrapped(error, name))?;
        }
        Ok(())
    }
}

/// Writes the files of the chunk `seq` under their temporary names, and syncs them.
pub(super) fn render(
    storage: &dyn Storage,
    (seq, start, end): (u64, Offset, Offset),
    source: &mut dyn EntrySource,
    gzip_level: Option<u32>,
) -> Result<ChunkMeta, Error> {
    let name = |gzip| names::temporary(&names::chunk(seq, start, end, gzip));
    let gzip = match gzip_level {
        None => None,
        Some(level) => {
            let output = Output::create(storage, &name(true))?;
            // No time and no system: equal chunks have equal files.
            let builder = GzBuilder::new().operating_system(255);
            Some((builder.write(output, Compression::new(level)), name(true)))
        }
    };
    let json = Output::create(storage, &name(false))?;
    let mut rendering = Rendering { json, gzip, buffer: Vec::with_capacity(BUFFER) };
    let (mut last, mut count) = (start, 0);
    rendering.push(b"[")?;
    while let Some(entry) = source.next()? {
        let offset = entry.offset;
        if offset <= last {
            return Err(Error::OutOfOrder { last, offset });
        }
        if offset > end {
            return Err(Error::BeyondChunk { end, offset });
        }
        if count > 0 {
            rendering.push(b",")?;
        }
        rendering.push(entry.json)?;
        (last, count) = (offset, count + 1);
    }
    rendering.push(b"]")?;
    rendering.flush()?;
    let Rendering { mut json, gzip, .. } = rendering;
    json.file.sync()?;
    let gzip = match gzip {
        None => None,
        Some((encoder, name)) => {
            let mut output = encoder.finish().map_err(|error| unwrapped(error, &name))?;
            output.file.sync()?;
            Some(GzipMeta { bytes: output.bytes, checksum: output.hash.digest() })
        }
    };
    let (bytes, checksum) = (json.bytes, json.hash.digest());
    Ok(ChunkMeta { seq, start, end, count, bytes, checksum, gzip })
}
