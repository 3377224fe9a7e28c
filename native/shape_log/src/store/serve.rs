//! How a request for what is behind an offset is best answered: with a file, from the cache, or from the
//! log.
//!
//! Every answer ends at an offset that is known before its first byte is sent, so that it can stand in the
//! headers: a file with its chunk, a stream with its segment. So who begins in the middle of a chunk is at
//! the end of one after his first answer, and is given files from there on.

use std::path::PathBuf;

use super::LogStore;
use crate::cache::Answer;
use crate::chunk::{ChunkMeta, Lease};
use crate::{Error, LogReader, Offset};

/// What a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether it takes gzip.
    pub gzip: bool,
    /// How many operations are answered from the cache at most. 1000.
    pub cached_operations: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { gzip: false, cached_operations: 1000 }
    }
}

/// Why an answer is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// The offset lies within a chunk.
    NotAligned,
    /// There is no chunk behind the offset yet.
    NotSealed,
    /// The chunk is too short for it to be worth it.
    TooSmall,
    /// The chunk's file cannot be read.
    Damaged,
}

/// How a request is to be answered. `up_to_date`: there was nothing behind the end when this was made.
pub enum Plan {
    /// With a whole file: a JSON array.
    File {
        /// Where it is. It stays there as long as the lease is held.
        path: PathBuf,
        /// The chunk.
        chunk: ChunkMeta,
        /// Its length.
        bytes: u64,
        /// Whether it is compressed.
        gzip: bool,
        /// Its entity tag, with quotes.
        etag: String,
        /// Whether the range will never be answered otherwise.
        immutable: bool,
        /// See there.
        up_to_date: bool,
        /// Keeps the file.
        lease: Lease,
    },
    /// From memory: a JSON array.
    Cached {
        /// The operations.
        answer: Answer,
        /// Why it is no file.
        why: Fallback,
        /// See there.
        up_to_date: bool,
    },
    /// From the log.
    Stream {
        /// The entries.
        reader: LogReader,
        /// Where the client is when it has read them all; its next offset, also where the last entry is
        /// before that.
        end: Offset,
        /// Why it is no file.
        why: Fallback,
        /// See there.
        up_to_date: bool,
    },
    /// There is nothing behind the offset.
    UpToDate,
}

impl LogStore {
    /// The answer, where it is in memory and has at most `most` bytes: without waiting for a lock that is
    /// held for long, or for a disk. `None`: [`LogStore::read`] has it. With few bytes no file would be
    /// better.
    ///
    /// # Errors
    /// [`Error::UnknownLog`].
    pub fn read_at_once(
        &self,
        log: u64,
        offset: Offset,
        options: ReadOptions,
        most: usize,
    ) -> Result<Option<Plan>, Error> {
        let log = self.shared.log(log)?;
        let (now, limit) = (self.shared.now(), options.cached_operations);
        let Some(cache) = log.cache.get().filter(|cache| cache.reaches(offset, now)) else {
            return Ok(None);
        };
        let answer = cache.read_since(offset, limit, now);
        Ok(answer.filter(|answer| answer.length() <= most).map(|answer| match answer.count() {
            0 => Plan::UpToDate,
            // Whoever got fewer than he may have has all.
            count => Plan::Cached { answer, why: Fallback::NotSealed, up_to_date: count < limit },
        }))
    }

    /// How a request for what is behind `offset` is to be answered.
    ///
    /// # Errors
    /// [`Error::UnknownLog`], [`Error::AwaitsSnapshot`]; [`Error::Gone`] for an offset before what is
    /// kept, and [`Error::Ahead`] for one that the log has not come to: in both cases the client begins
    /// anew. [`Error::Storage`].
    pub fn read(&self, log: u64, offset: Offset, options: ReadOptions) -> Result<Plan, Error> {
        let log = self.shared.log(log)?;
        let section = LogReader::section(log.clone(), offset, self.durable_lsn())?;
        let Some(section) = section else { return Ok(Plan::UpToDate) };
        let newest = section.newest;
        let mut why = Fallback::NotSealed;
        if section.complete && !section.aligned {
            why = Fallback::NotAligned;
        } else if section.complete
            && let Some(chunks) = self.shared.chunks_of(&log)?
            // Not one of a range that was compacted since.
            && let Some(chunk) = chunks.find(offset).filter(|chunk| chunk.end == section.end)
        {
            if chunk.bytes < self.shared.options.min_file_bytes {
                why = Fallback::TooSmall;
            } else {
                match chunks.lease(chunk.seq) {
                    Ok(lease) => {
                        let up_to_date = chunk.end >= newest;
                        if let Some(plan) = file(lease, options, up_to_date) {
                            return Ok(plan);
                        }
                    }
                    Err(Error::NoSuchChunk { .. }) => {}
                    Err(_) => why = Fallback::Damaged,
                }
            }
        }
        if let Some(cache) = log.cache.get()
            && let Some(answer) =
                cache.read_since(offset, options.cached_operations, self.shared.now())
            && answer.count() > 0
        {
            // As it is behind the cache, which may just be given a transaction: who has only the beginning
            // of it is not up to date.
            let newest = log.state.lock().newest(self.durable_lsn());
            let up_to_date = answer.last() >= newest;
            return Ok(Plan::Cached { answer, why, up_to_date });
        }
        let up_to_date = section.end >= newest;
        Ok(Plan::Stream { reader: section.reader, end: section.end, why, up_to_date })
    }
}

/// The answer with a chunk's file; none where the storage is no directory of the file system.
fn file(lease: Lease, options: ReadOptions, up_to_date: bool) -> Option<Plan> {
    let chunk = *lease.meta();
    // Only the snapshot part is never compacted.
    let immutable = chunk.end.tx == 0;
    let plan = match (options.gzip, chunk.gzip, lease.gzip_path(), chunk.gzip_etag()) {
        (true, Some(gzip), Some(path), Some(etag)) => {
            let bytes = gzip.bytes;
            Plan::File { path, chunk, bytes, gzip: true, etag, immutable, up_to_date, lease }
        }
        _ => {
            let (path, bytes, etag) = (lease.path()?, chunk.bytes, chunk.etag());
            Plan::File { path, chunk, bytes, gzip: false, etag, immutable, up_to_date, lease }
        }
    };
    Some(plan)
}
