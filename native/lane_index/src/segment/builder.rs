//! Writing a segment, block after block, from postings in order.
//!
//! At most one block is in memory: up to [`BLOCK_KEYS`] keys at some fifty bytes, and a pool of
//! [`BLOCK_POOL`] bytes and one posting, whatever the size of the segment.

use xxhash_rust::xxh3::xxh3_64;

use super::format::{FOOTER_LEN, Footer, Header, Record, SLOT_READ, position, presence};
use super::reader::Segment;
use super::{SegmentMeta, SegmentOptions, elias_fano, phf};
use crate::ids::{encode_posting, is_ascending};
use crate::{Error, Storage, StorageFile};

/// A block is closed at this many keys: its tables fit into a processor's cache while the perfect
/// hash function is searched and while a merge reads the block in the order of the hashes.
const BLOCK_KEYS: usize = 1 << 18;
/// A new lane closes a block of at least so many keys, so that a lane of some size has its own.
const LANE_KEYS: usize = 1 << 16;
/// A block is closed when its pool is this long.
const BLOCK_POOL: usize = 8 << 20;
/// The least width of the fingerprint in a slot, beside the presence byte.
const FINGERPRINT_BITS: u32 = 7;
/// Parts from this length on begin on a page of their own, so that the cold ones are not resident
/// for the sake of their neighbours.
const PAGED_FROM: usize = 64 << 10;
const PAGE: u64 = 4096;
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
            failed: None,
        };
        let header = Header { lanes: options.lanes, level: options.level };
        builder.append(&header.encode())?;
        Ok(builder)
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
        if self.block.is_full() || (new_lane && self.block.keys.len() >= LANE_KEYS) {
            self.write_block()?;
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

    /// Refuses where a block failed before: a segment without it must not come to be.
    fn write_block(&mut self) -> Result<(), Error> {
        if let Some(cause) = &self.failed {
            return Err(Error::Failed { cause: cause.clone() });
        }
        let written = self.try_write_block();
        if let Err(error) = &written {
            self.failed = Some(error.to_string());
        }
        written
    }

    fn try_write_block(&mut self) -> Result<(), Error> {
        let block = std::mem::take(&mut self.block);
        let (Some(&first), Some(&last)) = (block.keys.first(), block.keys.last()) else {
            return Ok(());
        };
        let found = phf::find(&block.keys).ok_or_else(|| Error::BadEntry {
            path: self.name.clone(),
            lane: first.0,
            hash: first.1,
            what: "no perfect hash function found for the block that begins here",
        })?;
        let value_bits = block.value_bits();
        let mut record = Record {
            first_lane: first.0,
            last_lane: last.0,
            keys: block.keys.len() as u32,
            first_hash: first.1,
            last_hash: last.1,
            seed: found.seed,
            shape: found.shape,
            value_bits: value_bits as u8,
            slot_bytes: (value_bits + FINGERPRINT_BITS).div_ceil(8) as u8,
            pool_len: block.pool.len() as u32,
            hot_at: self.written,
            cold_at: 0,
            end: 0,
            hot_checksum: 0,
            cold_checksum: 0,
        };
        let layout = record.cold_layout();

        let mut hot = block.hot_part(&record, &found.pilots);
        Self::pad(record.hot_at, &mut hot, layout.len);
        record.hot_checksum = xxh3_64(&hot);
        record.cold_at = record.hot_at + hot.len() as u64;
        self.append(&hot)?;
        drop(hot);

        let base = record.first();
        let numbers = block.keys.iter().map(|&(lane, hash)| position(lane, hash) - base);
        let mut cold = Vec::with_capacity(layout.len + PAGE as usize);
        elias_fano::encode(numbers, &layout, &mut cold);
        Self::pad(record.cold_at, &mut cold, 0);
        record.cold_checksum = xxh3_64(&cold);
        record.end = record.cold_at + cold.len() as u64;
        self.append(&cold)?;
        self.records.push(record);
        // The allocations serve the next block.
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn complete(&mut self) -> Result<SegmentMeta, Error> {
        self.write_block()?;
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

/// The postings of the block that is being filled.
#[derive(Default)]
struct Block {
    keys: Vec<(u16, u64)>,
    /// An id times two, or an offset into the pool times two plus one.
    values: Vec<u64>,
    greatest: u64,
    pool: Vec<u8>,
}

impl Block {
    fn is_full(&self) -> bool {
        self.keys.len() >= BLOCK_KEYS || self.pool.len() >= BLOCK_POOL
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.pool.clear();
        self.greatest = 0;
    }

    fn push(&mut self, lane: u16, hash: u64, adds: &[u32], removes: &[u32]) {
        let value = if let ([id], []) = (adds, removes) {
            u64::from(*id) << 1
        } else {
            let at = self.pool.len() as u64;
            encode_posting(adds, removes, &mut self.pool);
            at << 1 | 1
        };
        self.keys.push((lane, hash));
        self.values.push(value);
        self.greatest = self.greatest.max(value);
    }

    fn value_bits(&self) -> u32 {
        self.greatest.checked_ilog2().map_or(1, |top| top + 1)
    }

    /// Pilots, presence bytes, slots, pool.
    fn hot_part(&self, record: &Record, pilots: &[u8]) -> Vec<u8> {
        let shape = record.shape;
        let slots = shape.slots as usize;
        let slot_bytes = usize::from(record.slot_bytes);
        let mut hot = Vec::with_capacity(record.hot_len() as usize + SLOT_READ + PAGE as usize);
        hot.extend_from_slice(pilots);
        let presence_at = hot.len();
        let slots_at = presence_at + slots;
        hot.resize(slots_at + slots * slot_bytes, 0);
        for (&(lane, hash), &value) in self.keys.iter().zip(&self.values) {
            let key = phf::mix(lane, hash, record.seed);
            let slot = shape.slot(key, pilots[shape.bucket(key)]);
            hot[presence_at + slot] = presence(key);
            let word = (key >> 8) << record.value_bits | value;
            let at = slots_at + slot * slot_bytes;
            hot[at..at + slot_bytes].copy_from_slice(&word.to_le_bytes()[..slot_bytes]);
        }
        hot.extend_from_slice(&self.pool);
        hot
    }
}
