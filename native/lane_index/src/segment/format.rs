//! The fixed parts of a segment file: header, block directory, footer. All numbers are
//! little-endian; `docs/formats.md` has the tables.

use xxhash_rust::xxh3::xxh3_64;

use super::elias_fano::Layout;
use super::phf::Shape;
use crate::Error;
use crate::bytes::{u16_at, u32_at, u64_at};

pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_LEN: usize = 64;
pub(super) const FOOTER_LEN: usize = 64;
pub(super) const RECORD_LEN: usize = 88;
const HEADER_MAGIC: [u8; 8] = *b"LANESEGM";
const FOOTER_MAGIC: [u8; 8] = *b"LANESEGF";
const CHECKSUM_AT: usize = 56;
/// What long parts begin at a multiple of.
pub(super) const PAGE: u64 = 4096;
/// Bytes of a slot that are read at once.
pub(super) const SLOT_READ: usize = 8;

/// Lane and hash as one number, in the order of the segment.
#[inline(always)]
pub(super) fn position(lane: u16, hash: u64) -> u128 {
    u128::from(lane) << 64 | u128::from(hash)
}

/// The presence byte of a mixed key: 1 to 255, since 0 says that a slot is empty.
#[inline(always)]
pub(super) fn presence(key: u64) -> u8 {
    (key as u8).max(1)
}

/// The header: 64 bytes at the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub lanes: u32,
    pub level: u32,
}

impl Header {
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.lanes.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.level.to_le_bytes());
        let checksum = xxh3_64(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header. The checksum comes before the version: every version has it there, so
    /// that a damaged version number is not taken for a newer file.
    pub(super) fn decode(path: &str, file: &[u8]) -> Result<Header, Error> {
        let bytes = file
            .first_chunk::<HEADER_LEN>()
            .ok_or_else(|| damaged(path, file.len(), "the file ends within the header"))?;
        if bytes[..8] != HEADER_MAGIC {
            return Err(damaged(path, 0, "this is no segment file"));
        }
        if u64_at(bytes, CHECKSUM_AT) != xxh3_64(&bytes[..CHECKSUM_AT]) {
            return Err(damaged(path, 0, "the header's checksum does not fit"));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(Error::UnknownVersion {
                path: path.to_owned(),
                version,
                supported: VERSION,
            });
        }
        Ok(Header { lanes: u32_at(bytes, 12), level: u32_at(bytes, 16) })
    }
}

/// The footer: the last 64 bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub blocks: u32,
    pub keys: u64,
    pub adds: u64,
    pub removes: u64,
    pub directory_at: u64,
    /// Of the block directory and the footer.
    pub checksum: u64,
}

impl Footer {
    /// The directory's and the footer's bytes; sets `checksum`.
    pub(super) fn encode(&mut self, records: &[Record]) -> Vec<u8> {
        let mut bytes: Vec<u8> = records.iter().flat_map(Record::encode).collect();
        bytes.extend_from_slice(&FOOTER_MAGIC);
        bytes.extend_from_slice(&self.blocks.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        for number in [self.keys, self.adds, self.removes, self.directory_at] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let length = self.directory_at + bytes.len() as u64 + 16;
        bytes.extend_from_slice(&length.to_le_bytes());
        self.checksum = xxh3_64(&bytes);
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// Reads footer and directory, verified.
    pub(super) fn decode(path: &str, file: &[u8]) -> Result<(Footer, Vec<Record>), Error> {
        let at = file.len().checked_sub(FOOTER_LEN).filter(|at| *at >= HEADER_LEN);
        let at = at.ok_or_else(|| damaged(path, file.len(), "the file ends before its footer"))?;
        let bytes = &file[at..];
        if bytes[..8] != FOOTER_MAGIC {
            return Err(damaged(path, at, "the file does not end with a footer"));
        }
        let footer = Footer {
            blocks: u32_at(bytes, 8),
            keys: u64_at(bytes, 16),
            adds: u64_at(bytes, 24),
            removes: u64_at(bytes, 32),
            directory_at: u64_at(bytes, 40),
            checksum: u64_at(bytes, CHECKSUM_AT),
        };
        let directory_len = footer.blocks as usize * RECORD_LEN;
        let directory_at = at
            .checked_sub(directory_len)
            .filter(|start| *start >= HEADER_LEN && *start as u64 == footer.directory_at);
        let directory_at = directory_at
            .ok_or_else(|| damaged(path, at, "the footer does not say where the directory is"))?;
        if xxh3_64(&file[directory_at..at + CHECKSUM_AT]) != footer.checksum {
            return Err(damaged(path, directory_at, "the directory's checksum does not fit"));
        }
        if u64_at(bytes, 48) != file.len() as u64 {
            return Err(damaged(path, at, "the file does not have its length"));
        }
        let records = file[directory_at..at].chunks_exact(RECORD_LEN).map(Record::decode);
        Ok((footer, records.collect()))
    }
}

/// A block in the directory: 88 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub first_lane: u16,
    pub last_lane: u16,
    pub keys: u32,
    pub first_hash: u64,
    pub last_hash: u64,
    pub seed: u64,
    pub shape: Shape,
    pub value_bits: u8,
    pub slot_bytes: u8,
    pub pool_len: u32,
    pub hot_at: u64,
    pub cold_at: u64,
    /// Where the next part begins.
    pub end: u64,
    pub hot_checksum: u64,
    pub cold_checksum: u64,
}

impl Record {
    fn encode(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &self.first_lane.to_le_bytes());
        put(2, &self.last_lane.to_le_bytes());
        put(4, &self.keys.to_le_bytes());
        put(8, &self.first_hash.to_le_bytes());
        put(16, &self.last_hash.to_le_bytes());
        put(24, &self.seed.to_le_bytes());
        put(32, &self.shape.buckets.to_le_bytes());
        put(36, &self.shape.slots.to_le_bytes());
        put(40, &[self.value_bits, self.slot_bytes]);
        put(44, &self.pool_len.to_le_bytes());
        put(48, &self.hot_at.to_le_bytes());
        put(56, &self.cold_at.to_le_bytes());
        put(64, &self.end.to_le_bytes());
        put(72, &self.hot_checksum.to_le_bytes());
        put(80, &self.cold_checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Record {
        Record {
            first_lane: u16_at(bytes, 0),
            last_lane: u16_at(bytes, 2),
            keys: u32_at(bytes, 4),
            first_hash: u64_at(bytes, 8),
            last_hash: u64_at(bytes, 16),
            seed: u64_at(bytes, 24),
            shape: Shape { buckets: u32_at(bytes, 32), slots: u32_at(bytes, 36) },
            value_bits: bytes[40],
            slot_bytes: bytes[41],
            pool_len: u32_at(bytes, 44),
            hot_at: u64_at(bytes, 48),
            cold_at: u64_at(bytes, 56),
            end: u64_at(bytes, 64),
            hot_checksum: u64_at(bytes, 72),
            cold_checksum: u64_at(bytes, 80),
        }
    }

    pub(super) fn first(&self) -> u128 {
        position(self.first_lane, self.first_hash)
    }

    pub(super) fn last(&self) -> u128 {
        position(self.last_lane, self.last_hash)
    }

    /// The bytes of the hot part that are in use; padding follows.
    pub(super) fn hot_len(&self) -> u64 {
        let slots = u64::from(self.shape.slots);
        u64::from(self.shape.buckets)
            + slots
            + slots * u64::from(self.slot_bytes)
            + u64::from(self.pool_len)
    }

    /// The layout of the cold part.
    pub(super) fn cold_layout(&self) -> Layout {
        Layout::new(self.keys, self.last() - self.first())
    }

    /// Whether the numbers of the record fit each other, so that what is computed from them stays
    /// within the file. `expected_at` is where the block must begin, `before` the last key of the
    /// block before it.
    pub(super) fn check(&self, expected_at: u64, before: Option<u128>) -> Result<(), &'static str> {
        if self.keys == 0 || self.shape.slots < self.keys || self.shape.buckets == 0 {
            return Err("a block without keys, or with fewer slots than keys");
        }
        if self.first() > self.last() || before.is_some_and(|before| before >= self.first()) {
            return Err("the blocks are out of order");
        }
        let slot_bits = u32::from(self.slot_bytes) * 8;
        if !(1..=33).contains(&self.value_bits)
            || !(1..=SLOT_READ as u8).contains(&self.slot_bytes)
            || slot_bits <= u32::from(self.value_bits)
        {
            return Err("a slot's fields do not fit into it");
        }
        if self.hot_at != expected_at
            || self.cold_at.checked_sub(self.hot_at).is_none_or(|len| len < self.hot_len())
            || self
                .end
                .checked_sub(self.cold_at)
                .is_none_or(|len| len < self.cold_layout().len as u64)
        {
            return Err("a block's parts overlap");
        }
        Ok(())
    }
}

pub(super) fn damaged(path: &str, offset: usize, what: &'static str) -> Error {
    Error::Damaged { path: path.to_owned(), offset: offset as u64, what }
}
