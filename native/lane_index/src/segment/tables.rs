//! The tables of the blocks, as look-ups read them: by address, without asking the owner of the bytes
//! for them and without checking bounds again that were checked when the segment was opened. A look-up
//! is short enough for the processor to work on several at a time; every instruction spared lets it
//! begin the next one's cache misses earlier.
//!
//! All unchecked reads of the segments are here.

use super::format::{Record, SLOT_READ, presence};
use super::held::Held;
use super::phf::{Shape, mix};
use crate::ids::Posting;
use crate::prefetch::prefetch;

/// The tables of one block: a cache line.
///
/// `pilots` is the address of `shape.buckets` bytes, `presence` of `shape.slots` bytes, `slots` of as
/// many times `slot_bytes` bytes, with at least [`SLOT_READ`] bytes behind the address of each, and
/// what follows those slots is the pool, `pool_len` bytes. They live as long as this does.
#[repr(align(64))]
pub(super) struct Table {
    pilots: *const u8,
    presence: *const u8,
    slots: *const u8,
    seed: u64,
    /// The bits of a slot's word that are the fingerprint's.
    fingerprint: u64,
    shape: Shape,
    pool_len: u32,
    /// 0 stands for several blocks, of which one has to be chosen.
    value_bits: u8,
    slot_bytes: u8,
}

// SAFETY: the addresses are those of bytes that nobody writes to, and which live as long as this does,
// in whatever thread.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// Tables without a key: no presence byte is 0.
static NOTHING: [u8; 1 + 1 + SLOT_READ] = [0; _];

impl Table {
    /// The tables of a block; none where they do not lie within the file. The caller sees to it that
    /// `file` lives as long as what is returned.
    fn new(file: &[u8], record: &Record) -> Option<Self> {
        let shape = record.shape;
        let (buckets, slots) = (shape.buckets as usize, shape.slots as usize);
        let (slot_bytes, value_bits) = (usize::from(record.slot_bytes), record.value_bits);
        let fits = (1..=SLOT_READ).contains(&slot_bytes) && value_bits > 0;
        if !fits || buckets == 0 || slots == 0 || usize::from(value_bits) >= 8 * slot_bytes {
            return None;
        }
        let (pilots, rest) = file.get(record.hot_at as usize..)?.split_at_checked(buckets)?;
        let (presence, rest) = rest.split_at_checked(slots)?;
        let slots_len = slots.checked_mul(slot_bytes)?;
        // The pool, and what the last slot's word reads beyond it.
        let (pool_end, read_end) =
            (slots_len.checked_add(record.pool_len as usize)?, slots_len + SLOT_READ);
        if rest.len() < pool_end.max(read_end) {
            return None;
        }
        Some(Self {
            pilots: pilots.as_ptr(),
            presence: presence.as_ptr(),
            slots: rest.as_ptr(),
            seed: record.seed,
            fingerprint: (u64::MAX >> (64 - 8 * slot_bytes)) & (u64::MAX << value_bits),
            shape,
            pool_len: record.pool_len,
            value_bits,
            slot_bytes: record.slot_bytes,
        })
    }

    /// A block in which nothing is found.
    fn nothing(value_bits: u8) -> Self {
        let address = NOTHING.as_ptr();
        Self {
            pilots: address,
            presence: address.wrapping_add(1),
            slots: address.wrapping_add(2),
            seed: 0,
            fingerprint: 0,
            shape: Shape { buckets: 1, slots: 1 },
            pool_len: 0,
            value_bits,
            slot_bytes: 1,
        }
    }

    #[inline(always)]
    pub(super) fn mix(&self, lane: u16, hash: u64) -> u64 {
        mix(lane, hash, self.seed)
    }

    #[inline(always)]
    fn pilot_at(&self, key: u64) -> *const u8 {
        self.pilots.wrapping_add(self.shape.bucket(key))
    }

    #[inline(always)]
    fn presence_at(&self, slot: usize) -> *const u8 {
        self.presence.wrapping_add(slot)
    }

    #[inline(always)]
    fn word_at(&self, slot: usize) -> *const [u8; SLOT_READ] {
        self.slots.wrapping_add(slot * usize::from(self.slot_bytes)).cast()
    }

    /// Asks for what [`Table::slot`] reads.
    #[inline(always)]
    pub(super) fn prefetch_pilot(&self, key: u64) {
        prefetch(self.pilot_at(key));
    }

    /// The slot of a mixed key.
    #[inline(always)]
    pub(super) fn slot(&self, key: u64) -> usize {
        // SAFETY: a bucket is less than `buckets`, and so many pilots lie at the address.
        let pilot = unsafe { *self.pilot_at(key) };
        self.shape.slot(key, pilot)
    }

    /// Asks for what [`Table::find`] reads.
    #[inline(always)]
    pub(super) fn prefetch_slot(&self, slot: usize) {
        prefetch(self.presence_at(slot));
        prefetch(self.word_at(slot));
    }

    /// Whether the key may be in its slot, which is one of [`Table::slot`].
    #[inline(always)]
    pub(super) fn is_present(&self, key: u64, slot: usize) -> bool {
        debug_assert!(slot < self.shape.slots as usize);
        // SAFETY: `slot` is less than `slots` whatever the key is, and so many presence bytes lie at
        // the address.
        unsafe { *self.presence_at(slot) == presence(key) }
    }

    #[inline(always)]
    fn word(&self, slot: usize) -> u64 {
        debug_assert!(slot < self.shape.slots as usize);
        // SAFETY: `slot` is less than `slots`, and there are `SLOT_READ` bytes behind the address of
        // each of them. Bytes have no alignment.
        u64::from_le_bytes(unsafe { *self.word_at(slot) })
    }

    /// The value in the key's slot, if the fingerprint there is the key's. The slot is that of
    /// [`Table::slot`].
    #[inline(always)]
    fn value(&self, key: u64, slot: usize) -> Option<u64> {
        let word = self.word(slot);
        // Above the value lies the fingerprint, above that the neighbouring slot.
        let differs = (word ^ (key >> 8) << self.value_bits) & self.fingerprint != 0;
        if differs { None } else { Some(word & !(u64::MAX << self.value_bits)) }
    }

    /// What is in the key's slot, if presence byte and fingerprint are the key's.
    #[inline(always)]
    pub(super) fn find(&self, key: u64, slot: usize) -> Option<Found<'_>> {
        if !self.is_present(key, slot) {
            return None;
        }
        Some(Found { value: self.value(key, slot)?, table: self })
    }

    /// The posting of a key that the block is known to hold, whatever its presence byte says.
    pub(super) fn find_known(&self, key: u64) -> Option<Posting<'_>> {
        self.decode(self.value(key, self.slot(key))?)
    }

    fn decode(&self, value: u64) -> Option<Posting<'_>> {
        if value & 1 == 0 { Some(Posting::one((value >> 1) as u32)) } else { self.list(value >> 1) }
    }

    fn list(&self, offset: u64) -> Option<Posting<'_>> {
        let pool =
            self.slots.wrapping_add(self.shape.slots as usize * usize::from(self.slot_bytes));
        // SAFETY: the pool lies there, behind the slots, and lives as long as `self`.
        let pool = unsafe { std::slice::from_raw_parts(pool, self.pool_len as usize) };
        Some(Posting::encoded(pool.get(offset as usize..)?))
    }

    /// All postings as they lie.
    pub(super) fn postings(&self) -> impl Iterator<Item = Posting<'_>> {
        // SAFETY: so many presence bytes lie there, and live as long as `self`.
        let presence =
            unsafe { std::slice::from_raw_parts(self.presence, self.shape.slots as usize) };
        let used = presence.iter().enumerate().filter(|(_, presence)| **presence != 0);
        used.filter_map(|(slot, _)| self.decode(self.word(slot) & !(u64::MAX << self.value_bits)))
    }
}

/// What a key has in a block, not read yet. It is passed on in registers: what goes through memory in
/// parts and is read as a whole keeps the processor from beginning the next look-up.
#[derive(Clone, Copy)]
pub(crate) struct Found<'a> {
    table: &'a Table,
    value: u64,
}

impl<'a> Found<'a> {
    /// The id of a posting that adds one id and removes none, which is how most are.
    #[inline(always)]
    pub(crate) fn single(self) -> Option<u32> {
        if self.value & 1 == 0 { Some((self.value >> 1) as u32) } else { None }
    }

    /// None where the bytes are not those that were written.
    #[inline]
    pub(crate) fn posting(self) -> Option<Posting<'a>> {
        self.table.decode(self.value)
    }
}

/// Which blocks may have a key.
pub(super) enum Blocks {
    None,
    One(usize),
    /// One of these, by the first key of each.
    Several(std::ops::Range<usize>),
}

/// The tables of all blocks, and their bytes.
pub(super) struct Tables {
    /// One for each block, then one for lanes without a block and one for lanes with several.
    tables: Box<[Table]>,
    /// Which of `tables` a lane has: every number is an index into it.
    of_lane: Box<[u32]>,
    /// The blocks of each lane.
    blocks: Box<[(u32, u32)]>,
    file: Held,
}

impl Tables {
    /// None where a block does not lie within the file.
    pub(super) fn new(file: Held, records: &[Record]) -> Option<Self> {
        let mut tables = Vec::with_capacity(records.len() + 2);
        for record in records {
            tables.push(Table::new(&file, record)?);
        }
        let none = tables.len() as u32;
        tables.push(Table::nothing(1));
        tables.push(Table::nothing(0));
        let lanes = records.last().map_or(0, |last| u32::from(last.last_lane) + 1);
        let blocks: Box<[(u32, u32)]> = (0..lanes)
            .map(|lane| {
                let lane = lane as u16;
                let first = records.partition_point(|record| record.last_lane < lane);
                let end = records.partition_point(|record| record.first_lane <= lane);
                (first as u32, end.max(first) as u32)
            })
            .collect();
        let of_lane = blocks.iter().map(|&(first, end)| match end - first {
            0 => none,
            1 => first,
            _ => none + 1,
        });
        Some(Self { tables: tables.into(), of_lane: of_lane.collect(), blocks, file })
    }

    pub(super) fn file(&self) -> &[u8] {
        &self.file
    }

    /// The tables of the block that the lane's keys are in; none where there may be several.
    #[inline(always)]
    pub(super) fn of_lane(&self, lane: u16) -> Option<&Table> {
        let at = *self.of_lane.get(usize::from(lane))?;
        // SAFETY: `of_lane` has nothing but indexes into `tables`.
        let table = unsafe { self.tables.get_unchecked(at as usize) };
        if table.value_bits == 0 { None } else { Some(table) }
    }

    pub(super) fn of_block(&self, block: usize) -> Option<&Table> {
        self.tables.get(block)
    }

    pub(super) fn blocks(&self, lane: u16) -> Blocks {
        match self.blocks.get(usize::from(lane)) {
            Some(&(first, end)) if end - first == 1 => Blocks::One(first as usize),
            Some(&(first, end)) if end > first => Blocks::Several(first as usize..end as usize),
            _ => Blocks::None,
        }
    }

    /// The tables of the blocks, in their order.
    pub(super) fn each(&self) -> &[Table] {
        &self.tables[..self.tables.len() - 2]
    }

    /// The bytes of all this beside the file's.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.tables) + size_of_val(&*self.of_lane) + size_of_val(&*self.blocks)
    }
}
