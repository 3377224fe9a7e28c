//! A block of postings: as they are gathered, and as the bytes that a segment has of it.

use super::format::{PAGE, Record, SLOT_READ, position, presence};
use super::{elias_fano, phf};
use crate::ids::encode_posting;

/// A block is closed at this many keys: its tables fit into a processor's cache while the perfect
/// hash function is searched and while a merge reads the block in the order of the hashes.
const BLOCK_KEYS: usize = 1 << 18;
/// A new lane closes a block of at least so many keys, so that a lane of some size has its own.
pub(super) const LANE_KEYS: usize = 1 << 16;
/// A block is closed when its pool is this long.
const BLOCK_POOL: usize = 8 << 20;
/// The least width of the fingerprint in a slot, beside the presence byte.
const FINGERPRINT_BITS: u32 = 7;

/// The postings of a block.
#[derive(Default)]
pub(super) struct Block {
    keys: Vec<(u16, u64)>,
    /// An id times two, or an offset into the pool times two plus one.
    values: Vec<u64>,
    greatest: u64,
    pool: Vec<u8>,
}

/// A block as it is written. What depends on where that is is missing: padding, the offsets of the
/// record, and the checksums.
pub(super) struct Encoded {
    pub record: Record,
    pub hot: Vec<u8>,
    pub cold: Vec<u8>,
}

impl Block {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.keys.len() >= BLOCK_KEYS || self.pool.len() >= BLOCK_POOL
    }

    pub(super) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.pool.clear();
        self.greatest = 0;
    }

    pub(super) fn push(&mut self, lane: u16, hash: u64, adds: &[u32], removes: &[u32]) {
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

    /// The key that the block begins with.
    pub(super) fn first(&self) -> (u16, u64) {
        self.keys.first().copied().unwrap_or_default()
    }

    /// The bytes of the block; none where no perfect hash function is found, or there are no keys.
    pub(super) fn encode(&self) -> Option<Encoded> {
        let (&first, &last) = (self.keys.first()?, self.keys.last()?);
        let found = phf::find(&self.keys)?;
        let value_bits = self.value_bits();
        let record = Record {
            first_lane: first.0,
            last_lane: last.0,
            keys: self.keys.len() as u32,
            first_hash: first.1,
            last_hash: last.1,
            seed: found.seed,
            shape: found.shape,
            value_bits: value_bits as u8,
            slot_bytes: (value_bits + FINGERPRINT_BITS).div_ceil(8) as u8,
            pool_len: self.pool.len() as u32,
            hot_at: 0,
            cold_at: 0,
            end: 0,
            hot_checksum: 0,
            cold_checksum: 0,
        };
        let hot = self.hot_part(&record, &found.pilots);
        let layout = record.cold_layout();
        let base = record.first();
        let numbers = self.keys.iter().map(|&(lane, hash)| position(lane, hash) - base);
        let mut cold = Vec::with_capacity(layout.len + PAGE as usize);
        elias_fano::encode(numbers, &layout, &mut cold);
        Some(Encoded { record, hot, cold })
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
