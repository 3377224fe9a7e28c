//! Looking up in a segment.
//!
//! Every byte is verified against a checksum when the segment is opened, and every number of the
//! directory is checked for sense. Even so all reads are bounds-checked: a file that was forged
//! together with its checksums can give wrong answers, but no undefined behaviour.

use std::ops::Deref;

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::elias_fano::{EliasFano, Layout};
use super::entries::Entries;
use super::format::{Footer, Header, Record, SLOT_READ, damaged, position, presence};
use super::phf::{Shape, mix};
use super::{OpenOptions, SegmentMeta};
use crate::ids::Posting;
use crate::prefetch::prefetch;
use crate::{Error, Mapped, Storage};

/// How much of a cold part is read at once to verify it.
const VERIFY_BYTES: usize = 256 << 10;
/// Keys of a batch that are under way at the same time: enough to hide a cache miss, few enough for
/// the processor to remember.
const BATCH: usize = 32;

/// An immutable set of postings by (lane, hash).
pub struct Segment {
    meta: SegmentMeta,
    map: Box<dyn Mapped>,
    blocks: Box<[Block]>,
    /// What merges and verification need, block by block.
    cold: Box<[Cold]>,
    /// The first key of each block.
    firsts: Box<[u128]>,
    /// For each lane the blocks that may have keys of it.
    candidates: Box<[Candidates]>,
    lanes: u32,
}

/// A run of blocks.
#[derive(Debug, Clone, Copy)]
struct Candidates {
    first: u32,
    count: u32,
}

/// What a look-up needs of a block's record; offsets count from the start of the file.
#[derive(Debug)]
struct Block {
    seed: u64,
    shape: Shape,
    value_bits: u32,
    slot_bytes: usize,
    slot_mask: u64,
    pilots_at: usize,
    presence_at: usize,
    slots_at: usize,
    pool_at: usize,
    pool_end: usize,
}

/// Where the full hashes of a block are, and how they are laid out.
#[derive(Debug)]
struct Cold {
    record: Record,
    layout: Layout,
}

impl Cold {
    fn hashes<'a>(&self, file: &'a [u8]) -> Option<EliasFano<'a>> {
        let bytes = file.get(self.record.cold_at as usize..self.record.end as usize)?;
        EliasFano::new(bytes, self.layout)
    }
}

impl Block {
    fn new(record: &Record) -> Block {
        let slots = record.shape.slots as usize;
        let pilots_at = record.hot_at as usize;
        let presence_at = pilots_at + record.shape.buckets as usize;
        let slots_at = presence_at + slots;
        let pool_at = slots_at + slots * usize::from(record.slot_bytes);
        Block {
            seed: record.seed,
            shape: record.shape,
            value_bits: u32::from(record.value_bits),
            slot_bytes: usize::from(record.slot_bytes),
            slot_mask: u64::MAX >> (64 - 8 * u32::from(record.slot_bytes)),
            pilots_at,
            presence_at,
            slots_at,
            pool_at,
            pool_end: pool_at + record.pool_len as usize,
        }
    }

    #[inline(always)]
    fn pilot_at(&self, key: u64) -> usize {
        self.pilots_at + self.shape.bucket(key)
    }

    /// The posting in `slot`, if its fingerprint is the key's.
    #[inline(always)]
    fn posting<'a>(&self, file: &'a [u8], key: u64, slot: usize) -> Option<Posting<'a>> {
        let at = self.slots_at + slot * self.slot_bytes;
        let word = u64::from_le_bytes(*file.get(at..at + SLOT_READ)?.first_chunk()?);
        let expected = (key >> 8) << self.value_bits;
        // Above the value lies the fingerprint, above that the neighbouring slot.
        if (word ^ expected) & self.slot_mask & (u64::MAX << self.value_bits) != 0 {
            return None;
        }
        self.decode(file, word)
    }

    /// The posting in `slot`, whoever's it is.
    fn any_posting<'a>(&self, file: &'a [u8], slot: usize) -> Option<Posting<'a>> {
        let at = self.slots_at + slot * self.slot_bytes;
        self.decode(file, u64::from_le_bytes(*file.get(at..at + SLOT_READ)?.first_chunk()?))
    }

    #[inline(always)]
    fn decode<'a>(&self, file: &'a [u8], word: u64) -> Option<Posting<'a>> {
        let value = word & !(u64::MAX << self.value_bits);
        if value & 1 == 0 {
            return Some(Posting::one((value >> 1) as u32));
        }
        let pool = file.get(self.pool_at..self.pool_end)?;
        Some(Posting::encoded(pool.get((value >> 1) as usize..)?))
    }
}

/// Bytes on the heap.
struct Heap(Vec<u8>);

impl Deref for Heap {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapped for Heap {}

impl Segment {
    /// Opens the segment that `meta` describes, verifying every byte of it.
    ///
    /// The cold parts of a mapped file are verified through a small buffer, so that they do not
    /// become resident.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the file is not what was written, [`Error::UnknownVersion`],
    /// [`Error::Io`].
    pub fn open(
        storage: &dyn Storage,
        meta: &SegmentMeta,
        options: OpenOptions,
    ) -> Result<Segment, Error> {
        let map = storage.map(&meta.name, options.mmap)?;
        let segment = Segment::interpret(meta.clone(), map)?;
        if options.mmap {
            let file = storage.open(&meta.name)?;
            let mut buffer = vec![0; VERIFY_BYTES];
            for cold in &segment.cold {
                let Record { cold_at, end, cold_checksum, .. } = cold.record;
                let mut state = Xxh3Default::new();
                let mut at = cold_at;
                while at < end {
                    let part = &mut buffer[..(end - at).min(VERIFY_BYTES as u64) as usize];
                    file.read_exact_at(part, at)?;
                    state.update(part);
                    at += part.len() as u64;
                }
                segment.check_cold(cold_at, cold_checksum == state.digest())?;
            }
        } else {
            segment.verify_cold_in_place()?;
        }
        Ok(segment)
    }

    pub(super) fn from_bytes(meta: SegmentMeta, bytes: Vec<u8>) -> Result<Segment, Error> {
        let segment = Segment::interpret(meta, Box::new(Heap(bytes)))?;
        segment.verify_cold_in_place()?;
        Ok(segment)
    }

    /// Verifies all but the cold parts and finds out where everything is.
    fn interpret(meta: SegmentMeta, map: Box<dyn Mapped>) -> Result<Segment, Error> {
        let path = meta.name.as_str();
        let file: &[u8] = &map;
        let header = Header::decode(path, file)?;
        if file.len() as u64 != meta.bytes {
            return Err(damaged(path, file.len(), "the file does not have its length"));
        }
        let (footer, records) = Footer::decode(path, file)?;
        let footer_at = file.len() - super::format::FOOTER_LEN;
        if footer.checksum != meta.checksum {
            return Err(damaged(path, footer_at, "this is another segment than expected"));
        }
        let counts = (footer.keys, footer.adds, footer.removes, header.level);
        if counts != (meta.keys, meta.adds, meta.removes, meta.level) {
            return Err(damaged(path, footer_at, "the counts are not those expected"));
        }
        let mut expected_at = super::format::HEADER_LEN as u64;
        let mut before = None;
        let mut keys = 0;
        for (index, record) in records.iter().enumerate() {
            let record_at = footer.directory_at as usize + index * super::format::RECORD_LEN;
            let fits = record.check(expected_at, before).and_then(|()| {
                if record.end > footer.directory_at || u32::from(record.last_lane) >= header.lanes {
                    return Err("a block lies outside of the segment");
                }
                Ok(())
            });
            fits.map_err(|what| damaged(path, record_at, what))?;
            let hot = &file[record.hot_at as usize..record.cold_at as usize];
            if xxh3_64(hot) != record.hot_checksum {
                let at = record.hot_at as usize;
                return Err(damaged(path, at, "the checksum of a hot part does not fit"));
            }
            expected_at = record.end;
            before = Some(record.last());
            keys += u64::from(record.keys);
        }
        if expected_at != footer.directory_at || keys != footer.keys {
            return Err(damaged(path, footer_at, "the blocks do not fill the segment"));
        }
        let firsts: Box<[u128]> = records.iter().map(Record::first).collect();
        let candidates = candidates(&records);
        let blocks = records.iter().map(Block::new).collect();
        let cold = records.into_iter();
        let cold = cold.map(|record| Cold { record, layout: record.cold_layout() }).collect();
        Ok(Segment { meta, map, blocks, cold, firsts, candidates, lanes: header.lanes })
    }

    fn verify_cold_in_place(&self) -> Result<(), Error> {
        for cold in &self.cold {
            let Record { cold_at, end, cold_checksum, .. } = cold.record;
            let bytes = self.map.get(cold_at as usize..end as usize).unwrap_or(&[]);
            self.check_cold(cold_at, cold_checksum == xxh3_64(bytes))?;
        }
        Ok(())
    }

    fn check_cold(&self, at: u64, fits: bool) -> Result<(), Error> {
        if fits {
            return Ok(());
        }
        Err(damaged(&self.meta.name, at as usize, "the checksum of a cold part does not fit"))
    }

    /// Verifies block `index` again. What is merged gets a new checksum: damage that came since the
    /// segment was opened must not become data.
    pub(super) fn verify_block(&self, index: usize) -> Result<(), Error> {
        let Some(Cold { record, .. }) = self.cold.get(index) else { return Ok(()) };
        let hot = self.map.get(record.hot_at as usize..record.cold_at as usize).unwrap_or(&[]);
        if xxh3_64(hot) != record.hot_checksum {
            let at = record.hot_at as usize;
            return Err(damaged(&self.meta.name, at, "the checksum of a hot part does not fit"));
        }
        let cold = self.map.get(record.cold_at as usize..record.end as usize).unwrap_or(&[]);
        self.check_cold(record.cold_at, record.cold_checksum == xxh3_64(cold))
    }

    /// What the manifest keeps of the segment.
    pub fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// How many lanes it was built for.
    pub fn lanes(&self) -> u32 {
        self.lanes
    }

    /// The bytes that look-ups touch: all but the cold parts.
    pub fn hot_bytes(&self) -> u64 {
        let cold: u64 = self.cold.iter().map(|c| c.record.end - c.record.cold_at).sum();
        let tables = self.blocks.len()
            * (size_of::<Block>() + size_of::<Cold>() + size_of::<u128>())
            + self.candidates.len() * size_of::<Candidates>();
        self.meta.bytes - cold + tables as u64
    }

    #[inline(always)]
    fn block_index(&self, lane: u16, hash: u64) -> Option<usize> {
        let Candidates { first, count } = *self.candidates.get(usize::from(lane))?;
        // Most lanes lie in one block.
        if count == 1 { Some(first as usize) } else { self.search_block(lane, hash, first, count) }
    }

    #[cold]
    #[inline(never)]
    fn search_block(&self, lane: u16, hash: u64, first: u32, count: u32) -> Option<usize> {
        let first = first as usize;
        let firsts = self.firsts.get(first..first + count as usize)?;
        let wanted = position(lane, hash);
        Some(first + firsts.partition_point(|first| *first <= wanted).checked_sub(1)?)
    }

    #[inline(always)]
    fn block_of(&self, lane: u16, hash: u64) -> Option<&Block> {
        self.blocks.get(self.block_index(lane, hash)?)
    }

    /// Whether the key may have a posting here. A `false` is certain; a key without a posting gets
    /// `true` once in 255 times. No slot is touched.
    #[inline]
    pub fn may_contain(&self, lane: u16, hash: u64) -> bool {
        self.slot_of(lane, hash).is_some()
    }

    #[inline(always)]
    fn slot_of(&self, lane: u16, hash: u64) -> Option<(&Block, &[u8], u64, usize)> {
        let file: &[u8] = &self.map;
        let block = self.block_of(lane, hash)?;
        let key = mix(lane, hash, block.seed);
        let pilot = *file.get(block.pilot_at(key))?;
        let slot = block.shape.slot(key, pilot);
        if *file.get(block.presence_at + slot)? != presence(key) {
            return None;
        }
        Some((block, file, key, slot))
    }

    /// The posting of a key. A key that has none gets another key's about once in 32,000 times (15
    /// bits of fingerprint or more): what must not happen needs [`Segment::get_verified`].
    #[inline]
    pub fn get(&self, lane: u16, hash: u64) -> Option<Posting<'_>> {
        let (block, file, key, slot) = self.slot_of(lane, hash)?;
        block.posting(file, key, slot)
    }

    /// The posting of a key, whose full hash is compared in the cold part.
    pub fn get_verified(&self, lane: u16, hash: u64) -> Option<Posting<'_>> {
        let posting = self.get(lane, hash)?;
        let cold = self.cold.get(self.block_index(lane, hash)?)?;
        let number = position(lane, hash).checked_sub(cold.record.first())?;
        cold.hashes(&self.map)?.contains(number).then_some(posting)
    }

    /// Loads into the cache what [`Segment::get`] of the same key will read, apart from a list in
    /// the pool. Worth it for several keys before the first of them is looked up.
    #[inline]
    pub fn prefetch(&self, lane: u16, hash: u64) {
        let file: &[u8] = &self.map;
        if let Some(block) = self.block_of(lane, hash) {
            let key = mix(lane, hash, block.seed);
            if let Some(&pilot) = file.get(block.pilot_at(key)) {
                let slot = block.shape.slot(key, pilot);
                prefetch(file, block.presence_at + slot);
                prefetch(file, block.slots_at + slot * block.slot_bytes);
            }
        }
    }

    /// Looks up many keys, with the cache misses of several of them overlapping. `found` gets the
    /// index of a key and its posting, in the order of the keys, and is not called for the rest.
    pub fn get_batch<'a>(&'a self, keys: &[(u16, u64)], mut found: impl FnMut(usize, Posting<'a>)) {
        let file: &[u8] = &self.map;
        let mut state: [(Option<&Block>, u64, usize); BATCH] = [(None, 0, 0); BATCH];
        for (chunk_index, chunk) in keys.chunks(BATCH).enumerate() {
            for (state, &(lane, hash)) in state.iter_mut().zip(chunk) {
                let block = self.block_of(lane, hash);
                *state = (block, 0, 0);
                if let Some(block) = block {
                    state.1 = mix(lane, hash, block.seed);
                    prefetch(file, block.pilot_at(state.1));
                }
            }
            for (block, key, slot) in state.iter_mut().take(chunk.len()) {
                if let Some(block) = block {
                    let pilot = file.get(block.pilot_at(*key)).copied().unwrap_or(0);
                    *slot = block.shape.slot(*key, pilot);
                    prefetch(file, block.presence_at + *slot);
                    prefetch(file, block.slots_at + *slot * block.slot_bytes);
                }
            }
            for (index, &(block, key, slot)) in state.iter().take(chunk.len()).enumerate() {
                let Some(block) = block else { continue };
                if file.get(block.presence_at + slot) == Some(&presence(key))
                    && let Some(posting) = block.posting(file, key, slot)
                {
                    found(chunk_index * BATCH + index, posting);
                }
            }
        }
    }

    /// All postings as they lie in memory, without their keys.
    pub fn postings(&self) -> impl Iterator<Item = Posting<'_>> {
        let file: &[u8] = &self.map;
        self.blocks.iter().flat_map(move |block| {
            let presence = file.get(block.presence_at..block.slots_at).unwrap_or(&[]);
            let used = presence.iter().enumerate().filter(|(_, presence)| **presence != 0);
            used.filter_map(move |(slot, _)| block.any_posting(file, slot))
        })
    }

    /// All postings in ascending order of (lane, hash), streaming, for merges.
    pub fn entries(&self) -> Entries<'_> {
        Entries::new(self)
    }

    /// The hashes of block `index`, with the number that the first of them was diminished by.
    pub(super) fn cold_block(&self, index: usize) -> Option<(u128, u32, EliasFano<'_>)> {
        let cold = self.cold.get(index)?;
        Some((cold.record.first(), cold.record.keys, cold.hashes(&self.map)?))
    }

    /// The posting of a key that block `index` is known to hold.
    pub(super) fn get_in_block(&self, index: usize, lane: u16, hash: u64) -> Option<Posting<'_>> {
        let file: &[u8] = &self.map;
        let block = self.blocks.get(index)?;
        let key = mix(lane, hash, block.seed);
        let pilot = *file.get(block.pilot_at(key))?;
        block.posting(file, key, block.shape.slot(key, pilot))
    }

    /// The error for a block whose cold and hot part disagree.
    pub(super) fn inconsistent(&self, index: usize) -> Error {
        let at = self.cold.get(index).map_or(0, |cold| cold.record.cold_at);
        damaged(&self.meta.name, at as usize, "the hashes of a block are not those of its slots")
    }
}

fn candidates(records: &[Record]) -> Box<[Candidates]> {
    let Some(last) = records.last() else { return Box::default() };
    let lanes = 0..=last.last_lane;
    lanes
        .map(|lane| {
            let first = records.partition_point(|record| record.last_lane < lane);
            let end = records.partition_point(|record| record.first_lane <= lane);
            Candidates { first: first as u32, count: end.saturating_sub(first) as u32 }
        })
        .collect()
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("meta", &self.meta).finish_non_exhaustive()
    }
}
