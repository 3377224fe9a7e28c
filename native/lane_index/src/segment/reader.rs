//! Looking up in a segment.
//!
//! Every byte is verified against a checksum when the segment is opened, and every number of the
//! directory is checked for sense. Even so all reads are bounds-checked: a file that was forged
//! together with its checksums can give wrong answers, but no undefined behaviour.

use std::ops::{Deref, Range};

use smallvec::SmallVec;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use super::elias_fano::{EliasFano, Layout};
use super::entries::Entries;
use super::format::{Footer, Header, PAGE, Record, damaged, position};
use super::held::Held;
use super::tables::{Blocks, Found, Table, Tables};
use super::{OpenOptions, SegmentMeta};
use crate::ids::Posting;
use crate::storage::AlignedBytes;
use crate::{Error, Mapped, ReadAt, Storage};

/// How much of a cold part is read at once to verify it.
const VERIFY_BYTES: usize = 256 << 10;
/// Keys of a batch that are under way at the same time: enough to hide a cache miss, few enough for
/// the processor to remember.
const BATCH: usize = 32;

/// An immutable set of postings by (lane, hash).
pub struct Segment {
    meta: SegmentMeta,
    tables: Tables,
    /// What merges and verification need, block by block.
    cold: Box<[Cold]>,
    /// The first key of each block.
    firsts: Box<[u128]>,
    lanes: u32,
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

/// Bytes on the heap.
struct Heap(Vec<u8>);

impl Deref for Heap {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

// SAFETY: the bytes are on the heap, and nothing here changes the vector.
unsafe impl Mapped for Heap {}

/// A part of a file.
struct Part {
    whole: Box<dyn Mapped>,
    range: Range<usize>,
}

impl Deref for Part {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.whole[self.range.clone()]
    }
}

// SAFETY: the bytes are some of those of another such value, always the same ones.
unsafe impl Mapped for Part {}

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
            segment.verify_cold(&*storage.open(&meta.name)?, 0)?;
        } else {
            segment.verify_cold_in_place()?;
        }
        Ok(segment)
    }

    /// Opens a segment that lies within a file, from the byte `at` on, which is a multiple of the page.
    /// `meta.name` names the file.
    ///
    /// Without `mmap` only the bytes of the segment are read into memory.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn open_within(
        storage: &dyn Storage,
        at: u64,
        meta: &SegmentMeta,
        options: OpenOptions,
    ) -> Result<Segment, Error> {
        let file = storage.open(&meta.name)?;
        let end = at.checked_add(meta.bytes).filter(|end| *end <= file.len());
        if !at.is_multiple_of(PAGE) || end.is_none() {
            return Err(damaged(&meta.name, at as usize, "a segment beyond the end of the file"));
        }
        if !options.mmap {
            let mut bytes = AlignedBytes::zeroed(meta.bytes as usize);
            file.read_exact_at(bytes.as_mut(), at)?;
            let segment = Segment::interpret(meta.clone(), Box::new(bytes))?;
            segment.verify_cold_in_place()?;
            return Ok(segment);
        }
        let whole = storage.map(&meta.name, true)?;
        let range = at as usize..(at + meta.bytes) as usize;
        if whole.get(range.clone()).is_none() {
            return Err(damaged(&meta.name, at as usize, "the file has become shorter"));
        }
        let segment = Segment::interpret(meta.clone(), Box::new(Part { whole, range }))?;
        segment.verify_cold(&*file, at)?;
        Ok(segment)
    }

    /// All bytes of it, as a file has them.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.file()
    }

    pub(super) fn from_bytes(meta: SegmentMeta, bytes: Vec<u8>) -> Result<Segment, Error> {
        let segment = Segment::interpret(meta, Box::new(Heap(bytes)))?;
        segment.verify_cold_in_place()?;
        Ok(segment)
    }

    /// Verifies all but the cold parts and finds out where everything is.
    fn interpret(meta: SegmentMeta, owner: Box<dyn Mapped>) -> Result<Segment, Error> {
        let map = Held::new(owner);
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
        let tables = Tables::new(map, &records)
            .ok_or_else(|| damaged(&meta.name, footer_at, "a block lies outside of the segment"))?;
        let cold = records.into_iter();
        let cold = cold.map(|record| Cold { record, layout: record.cold_layout() }).collect();
        Ok(Segment { meta, tables, cold, firsts, lanes: header.lanes })
    }

    /// Verifies the cold parts by reading them from the file, in which the segment begins at `start`.
    fn verify_cold(&self, file: &dyn ReadAt, start: u64) -> Result<(), Error> {
        let mut buffer = vec![0; VERIFY_BYTES];
        for cold in &self.cold {
            let Record { cold_at, end, cold_checksum, .. } = cold.record;
            let mut state = Xxh3Default::new();
            let mut at = cold_at;
            while at < end {
                let part = &mut buffer[..(end - at).min(VERIFY_BYTES as u64) as usize];
                file.read_exact_at(part, start + at)?;
                state.update(part);
                at += part.len() as u64;
            }
            self.check_cold(cold_at, cold_checksum == state.digest())?;
        }
        Ok(())
    }

    fn verify_cold_in_place(&self) -> Result<(), Error> {
        for cold in &self.cold {
            let Record { cold_at, end, cold_checksum, .. } = cold.record;
            let bytes = self.file().get(cold_at as usize..end as usize).unwrap_or(&[]);
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
        let hot = self.file().get(record.hot_at as usize..record.cold_at as usize).unwrap_or(&[]);
        if xxh3_64(hot) != record.hot_checksum {
            let at = record.hot_at as usize;
            return Err(damaged(&self.meta.name, at, "the checksum of a hot part does not fit"));
        }
        let cold = self.file().get(record.cold_at as usize..record.end as usize).unwrap_or(&[]);
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
        let tables = self.tables.bytes() + size_of_val(&*self.cold) + size_of_val(&*self.firsts);
        self.meta.bytes - cold + tables as u64
    }

    fn file(&self) -> &[u8] {
        self.tables.file()
    }

    fn block_index(&self, lane: u16, hash: u64) -> Option<usize> {
        match self.tables.blocks(lane) {
            Blocks::None => None,
            Blocks::One(block) => Some(block),
            Blocks::Several(blocks) => {
                let first = blocks.start;
                let firsts = self.firsts.get(blocks)?;
                let wanted = position(lane, hash);
                Some(first + firsts.partition_point(|first| *first <= wanted).checked_sub(1)?)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn search_table(&self, lane: u16, hash: u64) -> Option<&Table> {
        self.tables.of_block(self.block_index(lane, hash)?)
    }

    /// The tables that a key would be found in.
    #[inline(always)]
    fn table(&self, lane: u16, hash: u64) -> Option<&Table> {
        // Most lanes lie in one block.
        self.tables.of_lane(lane).or_else(|| self.search_table(lane, hash))
    }

    /// Whether the key may have a posting here. A `false` is certain; a key without a posting gets
    /// `true` once in 255 times. No slot is touched.
    #[inline]
    pub fn may_contain(&self, lane: u16, hash: u64) -> bool {
        self.table(lane, hash).is_some_and(|table| {
            let key = table.mix(lane, hash);
            table.is_present(key, table.slot(key))
        })
    }

    /// The posting of a key. A key that has none gets another key's about once in 32,000 times (15
    /// bits of fingerprint or more): what must not happen needs [`Segment::get_verified`].
    #[inline]
    pub fn get(&self, lane: u16, hash: u64) -> Option<Posting<'_>> {
        self.find(lane, hash)?.posting()
    }

    /// As `get`, not read yet.
    #[inline(always)]
    pub(crate) fn find(&self, lane: u16, hash: u64) -> Option<Found<'_>> {
        let table = self.table(lane, hash)?;
        let key = table.mix(lane, hash);
        table.find(key, table.slot(key))
    }

    /// As `find`, with the full hash compared.
    pub(crate) fn find_verified(&self, lane: u16, hash: u64) -> Option<Found<'_>> {
        let found = self.find(lane, hash)?;
        self.verify(lane, hash).then_some(found)
    }

    /// The posting of a key, whose full hash is compared in the cold part.
    pub fn get_verified(&self, lane: u16, hash: u64) -> Option<Posting<'_>> {
        self.find_verified(lane, hash)?.posting()
    }

    /// Whether the segment has this very key, by the full hash in the cold part.
    fn verify(&self, lane: u16, hash: u64) -> bool {
        let cold = self.block_index(lane, hash).and_then(|block| self.cold.get(block));
        cold.is_some_and(|cold| {
            let number = position(lane, hash).checked_sub(cold.record.first());
            let hashes = cold.hashes(self.file());
            number.zip(hashes).is_some_and(|(number, hashes)| hashes.contains(number))
        })
    }

    /// Loads into the cache what [`Segment::get`] of the same key will read, apart from a list in
    /// the pool. Worth it for several keys before the first of them is looked up.
    #[inline]
    pub fn prefetch(&self, lane: u16, hash: u64) {
        if let Some(table) = self.table(lane, hash) {
            table.prefetch_slot(table.slot(table.mix(lane, hash)));
        }
    }

    /// The first of three steps of a look-up, between which those of other keys are taken: finds out
    /// where to begin to read, and asks for it.
    #[inline(always)]
    pub(crate) fn probe(&self, lane: u16, hash: u64) -> Probe<'_> {
        let Some(table) = self.table(lane, hash) else {
            return Probe { table: None, key: 0, slot: 0 };
        };
        let key = table.mix(lane, hash);
        table.prefetch_pilot(key);
        Probe { table: Some(table), key, slot: 0 }
    }

    /// Looks up many keys, with the cache misses of several of them overlapping. `found` gets the
    /// index of a key and its posting, in the order of the keys, and is not called for the rest.
    pub fn get_batch<'a>(&'a self, keys: &[(u16, u64)], mut found: impl FnMut(usize, Posting<'a>)) {
        let mut probes = SmallVec::<[Probe<'_>; BATCH]>::new();
        for (chunk_index, chunk) in keys.chunks(BATCH).enumerate() {
            probes.clear();
            probes.extend(chunk.iter().map(|&(lane, hash)| self.probe(lane, hash)));
            probes.iter_mut().for_each(Probe::advance);
            for (index, probe) in probes.iter().enumerate() {
                if let Some(posting) = probe.found().and_then(Found::posting) {
                    found(chunk_index * BATCH + index, posting);
                }
            }
        }
    }

    /// All postings as they lie in memory, without their keys.
    pub fn postings(&self) -> impl Iterator<Item = Posting<'_>> {
        self.tables.each().iter().flat_map(Table::postings)
    }

    /// All postings in ascending order of (lane, hash), streaming, for merges.
    pub fn entries(&self) -> Entries<'_> {
        Entries::new(self)
    }

    /// The hashes of block `index`, with the number that the first of them was diminished by.
    pub(super) fn cold_block(&self, index: usize) -> Option<(u128, u32, EliasFano<'_>)> {
        let cold = self.cold.get(index)?;
        Some((cold.record.first(), cold.record.keys, cold.hashes(self.file())?))
    }

    /// The posting of a key that block `index` is known to hold.
    pub(super) fn get_in_block(&self, index: usize, lane: u16, hash: u64) -> Option<Posting<'_>> {
        let table = self.tables.of_block(index)?;
        table.find_known(table.mix(lane, hash))
    }

    /// The error for a block whose cold and hot part disagree.
    pub(super) fn inconsistent(&self, index: usize) -> Error {
        let at = self.cold.get(index).map_or(0, |cold| cold.record.cold_at);
        damaged(&self.meta.name, at as usize, "the hashes of a block are not those of its slots")
    }
}

/// A look-up that is under way: [`Segment::probe`], then [`Probe::advance`], then [`Probe::found`].
#[derive(Clone, Copy)]
pub(crate) struct Probe<'a> {
    table: Option<&'a Table>,
    key: u64,
    slot: usize,
}

impl<'a> Probe<'a> {
    /// The second step: finds the slot, and asks for it.
    #[inline(always)]
    pub(crate) fn advance(&mut self) {
        if let Some(table) = self.table {
            self.slot = table.slot(self.key);
            table.prefetch_slot(self.slot);
        }
    }

    /// The last step, after [`Probe::advance`].
    #[inline(always)]
    pub(crate) fn found(&self) -> Option<Found<'a>> {
        self.table?.find(self.key, self.slot)
    }
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment").field("meta", &self.meta).finish_non_exhaustive()
    }
}
