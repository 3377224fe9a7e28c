//! Writing a segment, block after block, from postings in order.
//!
//! In memory are the block that is being filled and those that helpers encode meanwhile, one for each:
//! up to a quarter of a million keys at some fifty bytes each, and a pool of 8 MiB and one posting,
//! whatever the size of the segment. The bytes of the file do not depend on how many help.

use xxhash_rust::xxh3::xxh3_64;

use super::block::{Block, Encoded, LANE_KEYS};
use super::format::{FOOTER_LEN, Footer, Header, PAGE, Record};
use super::line::{Done, Line};
use super::reader::Segment;
use super::{SegmentMeta, SegmentOptions};
use crate::ids::is_ascending;
use crate::{Error, Storage, StorageFile};

/// Parts from this length on begin on a page of their own, so that the cold ones are not resident
/// for the sake of their neighbours.
const PAGED_FROM: usize = 64 << 10;
const LINE: u64 = 64;

/// Where a builder's bytes go.
pub(super) trait Sink {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

impl Sink for Box<dyn StorageFile> {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write_all(bytes)
    }
}

/// The bytes of a segment that has no file.
#[derive(Debug, Default)]
pub struct Memory(Vec<u8>);

impl Sink for Memory {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Builds a segment of postings that are pushed in ascending order of (lane, hash).
///
/// A builder that is dropped before [`SegmentBuilder::finish`] leaves an unfinished file, which
/// [`Segment::open`] refuses.
pub struct SegmentBuilder<W = Box<dyn StorageFile>> {
    name: String,
    options: SegmentOptions,
    sink: W,
    written: u64,
    records: Vec<Record>,
    keys: u64,
    adds: u64,
    removes: u64,
    last: Option<(u16, u64)>,
    block: Block,
    line: Line,
    /// Why the builder refuses to go on: a block is lost.
    failed: Option<String>,
}

impl SegmentBuilder {
    /// Begins a segment in the new file `name`.
    ///
    /// # Errors
    /// [`Error::Io`] where the file cannot be created or written.
    pub fn new(storage: &dyn Storage, name: &str, options: SegmentOptions) -> Result<Self, Error> {
        Self::begin(name, options, storage.create(name)?)
    }

    /// Writes what is left and makes the file's bytes durable; its directory entry is the caller's.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Failed`] where a push had one.
    pub fn finish(mut self) -> Result<SegmentMeta, Error> {
        let meta = self.complete()?;
        self.sink.sync()?;
        Ok(meta)
    }
}

impl SegmentBuilder<Memory> {
    /// Begins a segment in memory, for an index without a directory.
    ///
    /// # Errors
    /// None in practice; the signature is that of [`SegmentBuilder::new`].
    pub fn in_memory(options: SegmentOptions) -> Result<Self, Error> {
        Self::begin("", options, Memory::default())
    }

    /// The finished segment.
    ///
    /// # Errors
    /// None in practice; the bytes are verified like those of a file.
    pub fn finish(mut self) -> Result<Segment, Error> {
        let meta = self.complete()?;
        let mut bytes = self.sink.0;
        bytes.shrink_to_fit();
        Segment::from_bytes(meta, bytes)
    }

    /// The bytes that a file would have.
    ///
    /// # Errors
    /// None in practice.
    pub fn finish_bytes(mut self) -> Result<(SegmentMeta, Vec<u8>), Error> {
        let meta = self.complete()?;
        Ok((meta, self.sink.0))
    }
}

#[expect(private_bounds, reason = "there are two sinks, and no reason for a third one")]
impl<W: Sink> SegmentBuilder<W> {
    fn begin(name: &str, options: SegmentOptions, sink: W) -> Result<Self, Error> {
        let mut builder = SegmentBuilder {
            name: name.to_owned(),
            options,
            sink,
            written: 0,
            records: Vec::new(),
            keys: 0,
            adds: 0,
            removes: 0,
            last: None,
            block: Block::default(),
            line: Line::new(0),
            failed: None,
        };
        let header = Header { lanes: options.lanes, level: options.level };
        builder.append(&header.encode())?;
        Ok(builder)
    }

    /// Lets up to `helpers` threads of the library encode blocks while others are pushed. Each costs
    /// the memory of a block more.
    pub(crate) fn helped_by(mut self, helpers: usize) -> Self {
        self.line = Line::new(helpers);
        self
    }

    /// Adds the posting of one key. A posting without ids is left out.
    ///
    /// # Errors
    /// [`Error::BadEntry`] where the key does not follow the one before (a repeated one does not),
    /// its lane is none of the segment's, or the ids do not ascend; the builder is unchanged then.
    /// [`Error::Io`] where a block cannot be written, [`Error::Failed`] after that.
    pub fn push(
        &mut self,
        lane: u16,
        hash: u64,
        adds: &[u32],
        removes: &[u32],
    ) -> Result<(), Error> {
        let refuse = |what| Err(Error::BadEntry { path: self.name.clone(), lane, hash, what });
        if self.last.is_some_and(|last| last >= (lane, hash)) {
            return refuse("the key does not follow the one before");
        }
        if u32::from(lane) >= self.options.lanes {
            return refuse("the lane is none of the segment's");
        }
        if !is_ascending(adds) || !is_ascending(removes) {
            return refuse("the ids do not ascend");
        }
        if adds.is_empty() && removes.is_empty() {
            return Ok(());
        }
        if let Some(cause) = &self.failed {
            return Err(Error::Failed { cause: cause.clone() });
        }
        let new_lane = self.last.is_some_and(|(last, _)| last != lane);
        if self.block.is_full() || (new_lane && self.block.len() >= LANE_KEYS) {
            self.end_block()?;
        }
        self.last = Some((lane, hash));
        self.keys += 1;
        self.adds += adds.len() as u64;
        self.removes += removes.len() as u64;
        self.block.push(lane, hash, adds, removes);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.sink.append(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Zeros to append to a part that begins at `at` so that the next part, `next_len` bytes long,
    /// begins where it should.
    fn pad(at: u64, part: &mut Vec<u8>, next_len: usize) {
        let unit = if next_len.max(part.len()) >= PAGED_FROM { PAGE } else { LINE };
        let end = at + part.len() as u64;
        part.resize(part.len() + (end.next_multiple_of(unit) - end) as usize, 0);
    }

    /// Puts the block in line to be encoded, and writes those that the line has no room for any more.
    fn end_block(&mut self) -> Result<(), Error> {
        let next = self.line.spare();
        self.line.push(std::mem::replace(&mut self.block, next));
        while self.line.is_long() {
            self.write_next()?;
        }
        Ok(())
    }

    /// Writes the oldest block in line. Refuses where one failed before: a segment without it must not
    /// come to be.
    fn write_next(&mut self) -> Result<(), Error> {
        if let Some(cause) = &self.failed {
            return Err(Error::Failed { cause: cause.clone() });
        }
        let Some(done) = self.line.next() else { return Ok(()) };
        let written = self.encoded(done).and_then(|block| self.write_block(block));
        if let Err(error) = &written {
            self.failed = Some(error.to_string());
        }
        written
    }

    fn encoded(&self, done: Done) -> Result<Encoded, Error> {
        match done {
            Done::Encoded(block) => Ok(block),
            Done::NoFunction { lane, hash } => Err(Error::BadEntry {
                path: self.name.clone(),
                lane,
                hash,
                what: "no perfect hash function found for the block that begins here",
            }),
            Done::Panicked => {
                Err(Error::Panicked { what: format!("encoding a block of {}", self.name) })
            }
        }
    }

    fn write_block(&mut self, block: Encoded) -> Result<(), Error> {
        let Encoded { mut record, mut hot, mut cold } = block;
        record.hot_at = self.written;
        Self::pad(record.hot_at, &mut hot, record.cold_layout().len);
        record.hot_checksum = xxh3_64(&hot);
        record.cold_at = record.hot_at + hot.len() as u64;
        self.append(&hot)?;
        drop(hot);
        Self::pad(record.cold_at, &mut cold, 0);
        record.cold_checksum = xxh3_64(&cold);
        record.end = record.cold_at + cold.len() as u64;
        self.append(&cold)?;
        self.records.push(record);
        Ok(())
    }

    fn complete(&mut self) -> Result<SegmentMeta, Error> {
        if self.block.len() > 0 {
            self.end_block()?;
        }
        while !self.line.is_empty() {
            self.write_next()?;
        }
        if let Some(cause) = &self.failed {
            return Err(Error::Failed { cause: cause.clone() });
        }
        let mut footer = Footer {
            blocks: self.records.len() as u32,
            keys: self.keys,
            adds: self.adds,
            removes: self.removes,
            directory_at: self.written,
            checksum: 0,
        };
        let bytes = footer.encode(&self.records);
        debug_assert!(bytes.len() >= FOOTER_LEN);
        self.append(&bytes)?;
        Ok(SegmentMeta {
            name: std::mem::take(&mut self.name),
            level: self.options.level,
            keys: self.keys,
            adds: self.adds,
            removes: self.removes,
            bytes: self.written,
            checksum: footer.checksum,
        })
    }
}
