//! The chunks of one shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use lane_index::sealed::{put_in_place, write_temporary};
use lane_index::{Error as StorageError, Storage};
use parking_lot::{Mutex, RwLock};

use super::index::Index;
use super::lease::{Chunk, Garbage, Lease};
use super::open::{self, Opened};
use super::{ChunkMeta, ChunkOptions, names, render, verify};
use crate::{EntrySource, Error, Offset};

/// The sealed chunks of a shape. The caller has the lock of the directory, or of one above it; the store
/// keeps no descriptor.
pub struct ChunkStore {
    storage: Arc<dyn Storage>,
    options: ChunkOptions,
    opened: Opened,
    garbage: Arc<Garbage>,
    /// Whoever has it may replace the index.
    committer: Mutex<Committer>,
    /// Locked for moments, never while the disk works.
    chunks: RwLock<Chunks>,
}

struct Committer {
    /// The number of the next chunk; no number is given twice.
    next_seq: u64,
    /// Chunks that the index on the disk names, or does not: the disk failed in between. Their files stay
    /// until it is replaced, since what it names must be there.
    uncertain: Vec<ChunkMeta>,
}

#[derive(Default)]
struct Chunks {
    by_start: BTreeMap<Offset, Arc<Chunk>>,
    by_seq: BTreeMap<u64, Offset>,
}

impl Chunks {
    fn get(&self, seq: u64) -> Option<&Arc<Chunk>> {
        self.by_start.get(self.by_seq.get(&seq)?)
    }

    fn insert(&mut self, meta: ChunkMeta) {
        self.by_start.insert(meta.start, Chunk::new(meta));
        self.by_seq.insert(meta.seq, meta.start);
    }

    fn remove(&mut self, seq: u64) -> Option<Arc<Chunk>> {
        self.by_start.remove(&self.by_seq.remove(&seq)?)
    }

    fn metas(&self) -> Vec<ChunkMeta> {
        self.by_start.values().map(|chunk| chunk.meta).collect()
    }

    /// The chunks whose place one from `start` to `end` takes.
    fn superseded(&self, start: Offset, end: Offset) -> Result<Vec<u64>, Error> {
        let before = self.by_start.range(..start).next_back();
        let before = before.filter(|(_, chunk)| chunk.meta.end > start);
        let within = self.by_start.range(start..end);
        let mut superseded = Vec::new();
        for (_, chunk) in before.into_iter().chain(within) {
            let with = chunk.meta;
            if with.start < start || with.end > end {
                return Err(Error::ChunkOverlap { start, end, with: with.seq });
            }
            superseded.push(with.seq);
        }
        Ok(superseded)
    }
}

impl ChunkStore {
    /// Opens the chunks of a directory that is theirs; sweeps what an interrupted seal left. Without an
    /// index that can be read, every file is read once; else none is.
    ///
    /// # Errors
    /// [`Error::Storage`]: [`lane_index::Error::Io`], [`lane_index::Error::UnknownVersion`] for an index
    /// that another version wrote, which is left as it is; [`lane_index::Error::BadOption`].
    pub fn open(storage: Arc<dyn Storage>, options: ChunkOptions) -> Result<Self, Error> {
        if !(1..=9).contains(&options.gzip_level) {
            let what = format!("{} is not between 1 and 9", options.gzip_level);
            return Err(StorageError::BadOption { option: "gzip_level", what }.into());
        }
        let (index, opened) = open::open(&*storage)?;
        let mut chunks = Chunks::default();
        index.chunks.into_iter().for_each(|meta| chunks.insert(meta));
        Ok(Self {
            garbage: Arc::new(Garbage::new(Arc::clone(&storage))),
            storage,
            options,
            opened,
            committer: Mutex::new(Committer { next_seq: index.next_seq, uncertain: Vec::new() }),
            chunks: RwLock::new(chunks),
        })
    }

    /// What opening found amiss.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Writes the entries behind `start_exclusive`, up to and including `end`, as a chunk, with a
    /// compressed twin where `gzip`; it is durable and listed when this returns, and was not visible
    /// before. Chunks that lie wholly in the range are removed with the same step; an `end` that is not
    /// an entry's offset is as good. After an error everything is as before.
    ///
    /// Takes long; other calls do not wait for it, further seals included.
    ///
    /// # Errors
    /// [`Error::EmptyChunk`], [`Error::ChunkOverlap`], [`Error::OutOfOrder`], [`Error::BeyondChunk`],
    /// [`Error::Storage`], and those of the source.
    pub fn seal(
        &self,
        start_exclusive: Offset,
        end: Offset,
        source: &mut dyn EntrySource,
        gzip: bool,
    ) -> Result<ChunkMeta, Error> {
        let start = start_exclusive;
        if start >= end {
            return Err(Error::EmptyChunk { start, end });
        }
        self.chunks.read().superseded(start, end)?;
        let seq = self.take_seq()?;
        let level = gzip.then_some(self.options.gzip_level);
        let rendered = render::render(&*self.storage, (seq, start, end), source, level);
        let sealed = match rendered {
            Ok(meta) => self.commit(meta).map(|()| meta),
            Err(error) => {
                self.discard(seq, start, end);
                Err(error)
            }
        };
        self.garbage.collect();
        sealed
    }

    fn take_seq(&self) -> Result<u64, Error> {
        let mut committer = self.committer.lock();
        let seq = committer.next_seq;
        committer.next_seq = seq.checked_add(1).ok_or(StorageError::Limit {
            what: "number of a chunk",
            got: seq,
            limit: u64::MAX - 1,
        })?;
        Ok(seq)
    }

    /// Removes what a seal left that nothing names. Best effort: opening sweeps it too.
    fn discard(&self, seq: u64, start: Offset, end: Offset) {
        for gzip in [false, true] {
            let name = names::chunk(seq, start, end, gzip);
            drop(self.storage.remove(&names::temporary(&name)));
            drop(self.storage.remove(&name));
        }
    }

    /// Gives the files of a chunk their names, and makes it one.
    fn commit(&self, meta: ChunkMeta) -> Result<(), Error> {
        let mut committer = self.committer.lock();
        let prepare = || {
            let superseded = self.chunks.read().superseded(meta.start, meta.end)?;
            for name in [meta.gzip_name(), Some(meta.name())].into_iter().flatten() {
                self.storage.rename(&names::temporary(&name), &name)?;
            }
            self.prepare(&committer, &superseded, Some(meta))?;
            Ok(superseded)
        };
        let superseded =
            prepare().inspect_err(|_: &Error| self.discard(meta.seq, meta.start, meta.end))?;
        self.replace(&mut committer, &superseded, Some(meta))
    }

    /// Writes the next index, without some chunks and with another one, under its temporary name. What it
    /// names is durable then.
    fn prepare(
        &self,
        committer: &Committer,
        gone: &[u64],
        added: Option<ChunkMeta>,
    ) -> Result<(), Error> {
        let mut chunks = self.chunks.read().metas();
        chunks.retain(|chunk| !gone.contains(&chunk.seq));
        if let Some(added) = added {
            let place = chunks.partition_point(|chunk| chunk.start < added.start);
            chunks.insert(place, added);
        }
        let index = Index { next_seq: committer.next_seq, chunks };
        Ok(write_temporary(&*self.storage, names::INDEX, &index.text()?)?)
    }

    /// Puts the index in place; then changes what is in memory.
    fn replace(
        &self,
        committer: &mut Committer,
        gone: &[u64],
        added: Option<ChunkMeta>,
    ) -> Result<(), Error> {
        if let Err(error) = put_in_place(&*self.storage, names::INDEX) {
            committer.uncertain.extend(added);
            return Err(error.into());
        }
        for chunk in committer.uncertain.drain(..) {
            self.garbage.add(&chunk);
        }
        let mut chunks = self.chunks.write();
        let gone: Vec<_> = gone.iter().filter_map(|&seq| chunks.remove(seq)).collect();
        if let Some(added) = added {
            chunks.insert(added);
        }
        drop(chunks);
        for chunk in gone {
            let mut held = chunk.held.lock();
            held.removed = true;
            if held.leases == 0 {
                self.garbage.add(&chunk.meta);
            }
        }
        Ok(())
    }

    /// All chunks, by their start.
    #[must_use]
    pub fn list(&self) -> Vec<ChunkMeta> {
        self.chunks.read().metas()
    }

    /// The chunk that starts exactly at `offset`: the whole of it is what comes behind.
    #[must_use]
    pub fn find(&self, offset: Offset) -> Option<ChunkMeta> {
        self.chunks.read().by_start.get(&offset).map(|chunk| chunk.meta)
    }

    /// The chunk that has the first entry behind `offset`, with what is before it perhaps.
    #[must_use]
    pub fn covering(&self, offset: Offset) -> Option<ChunkMeta> {
        let chunks = self.chunks.read();
        let (_, chunk) = chunks.by_start.range(..=offset).next_back()?;
        (offset < chunk.meta.end).then_some(chunk.meta)
    }

    /// Holds the files of a chunk until the lease is dropped. Their lengths are compared first.
    ///
    /// # Errors
    /// [`Error::NoSuchChunk`]; [`Error::Storage`], with [`lane_index::Error::Damaged`] for a file that is
    /// cut off.
    pub fn lease(&self, seq: u64) -> Result<Lease, Error> {
        let chunk = self.chunks.read().get(seq).cloned().ok_or(Error::NoSuchChunk { seq })?;
        let lease = Lease::take(chunk, Arc::clone(&self.garbage));
        let lease = lease.ok_or(Error::NoSuchChunk { seq })?;
        let meta = lease.meta();
        let gzip = meta.gzip_name().zip(meta.gzip.map(|gzip| gzip.bytes));
        for (name, bytes) in [Some((meta.name(), meta.bytes)), gzip].into_iter().flatten() {
            let found = self.storage.open(&name)?.len();
            if found != bytes {
                let what = "it has another length than was written";
                return Err(
                    StorageError::Damaged { path: name, offset: found.min(bytes), what }.into()
                );
            }
        }
        Ok(lease)
    }

    /// Removes a chunk: from the list at once and durably, its files as soon as nobody holds a lease.
    ///
    /// # Errors
    /// [`Error::NoSuchChunk`], [`Error::Storage`].
    pub fn remove(&self, seq: u64) -> Result<(), Error> {
        let mut committer = self.committer.lock();
        if self.chunks.read().get(seq).is_none() {
            return Err(Error::NoSuchChunk { seq });
        }
        self.prepare(&committer, &[seq], None)?;
        self.replace(&mut committer, &[seq], None)?;
        drop(committer);
        self.garbage.collect();
        Ok(())
    }

    /// Reads the files of a chunk whole: are they what was written, and is it a whole JSON array?
    ///
    /// # Errors
    /// [`Error::NoSuchChunk`]; [`Error::Storage`], with [`lane_index::Error::Damaged`] where they are not.
    pub fn verify(&self, seq: u64) -> Result<(), Error> {
        let lease = self.lease(seq)?;
        Ok(verify::verify(&*self.storage, lease.meta())?)
    }
}
