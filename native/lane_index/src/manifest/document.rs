//! The text of a manifest: JSON that ends with its own checksum.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::sealed;
use crate::segment::SegmentMeta;
use crate::storage::names;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// What an index consists of. Serialised as `docs/formats.md` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// How many times the manifest was replaced. Set by
    /// [`ManifestStore::commit`](super::ManifestStore::commit).
    pub generation: u64,
    /// The number of lanes that the segments are cut into.
    pub num_lanes: u32,
    /// The key of the hash of keys.
    #[serde(with = "hex_key")]
    pub hash_key: [u8; 16],
    /// The segments hold what happened up to this sequence number.
    pub applied_seq: u64,
    /// Above every segment id that was ever given away; see
    /// [`ManifestStore::take_id`](super::ManifestStore::take_id). Never goes back, so that a name is never used again: a
    /// backup takes a name that it has for a file that it has.
    pub next_id: u64,
    /// The oldest journal file that is still needed; none where the index keeps no journal.
    pub journal: Option<u64>,
    /// Whether a segment was lost to damage and not rebuilt since, so that answers can lack ids.
    pub degraded: bool,
    /// The segments, in the order in which the index wants them.
    pub segments: Vec<SegmentEntry>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentEntry {
    /// Its id, never used again.
    pub id: u64,
    /// The level it lies on.
    pub level: u32,
    /// How many keys it holds.
    pub keys: u64,
    /// How many ids it adds.
    pub adds: u64,
    /// How many ids it removes (tombstones).
    pub removes: u64,
    /// The length of its file.
    pub bytes: u64,
    /// Its file: always [`names::segment`] of `id`.
    pub path: String,
    /// The checksum that its builder reported.
    #[serde(with = "hex_u64")]
    pub checksum: u64,
}

impl SegmentEntry {
    /// The entry of the segment file `id`.
    #[must_use]
    pub fn new(id: u64, meta: &SegmentMeta) -> Self {
        Self {
            id,
            level: meta.level,
            keys: meta.keys,
            adds: meta.adds,
            removes: meta.removes,
            bytes: meta.bytes,
            path: names::segment(id),
            checksum: meta.checksum,
        }
    }

    /// What the segment is opened by.
    #[must_use]
    pub fn meta(&self) -> SegmentMeta {
        SegmentMeta {
            name: self.path.clone(),
            level: self.level,
            keys: self.keys,
            adds: self.adds,
            removes: self.removes,
            bytes: self.bytes,
            checksum: self.checksum,
        }
    }
}

impl Manifest {
    /// The manifest of an index that holds nothing.
    #[must_use]
    pub fn new(num_lanes: u32, hash_key: [u8; 16]) -> Self {
        Self {
            generation: 0,
            num_lanes,
            hash_key,
            applied_seq: 0,
            next_id: 1,
            journal: None,
            degraded: false,
            segments: Vec::new(),
        }
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that a manifest of valid numbers could cause.
    pub fn encode(&self) -> Result<String, Error> {
        sealed::write_manifest(names::MANIFEST, VERSION, self)
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::UnknownVersion`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self = sealed::read_manifest(names::MANIFEST, VERSION, bytes)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// What a manifest of this version can rely on.
    fn check(&self) -> Result<(), Error> {
        if self.num_lanes == 0 {
            return Err(damaged(0, "an index has at least one lane"));
        }
        let mut ids = BTreeSet::new();
        for segment in &self.segments {
            if segment.path != names::segment(segment.id) {
                return Err(damaged(0, "the path of a segment is not the one of its id"));
            }
            if segment.id >= self.next_id {
                return Err(damaged(0, "the id of a segment was not given away yet"));
            }
            if !ids.insert(segment.id) {
                return Err(damaged(0, "two segments have one id"));
            }
        }
        Ok(())
    }
}

pub(super) fn damaged(offset: u64, what: &'static str) -> Error {
    Error::Damaged { path: names::MANIFEST.to_owned(), offset, what }
}

/// A number that JSON readers would round is written as a string of hex digits.
mod hex_u64 {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        (text.len() == 16)
            .then(|| crate::sealed::parse_hex(text.as_bytes()))
            .flatten()
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| de::Error::custom("16 hex digits"))
    }
}

mod hex_key {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        key: &[u8; 16],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*key)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(from)?;
        (text.len() == 32)
            .then(|| crate::sealed::parse_hex(text.as_bytes()))
            .flatten()
            .map(u128::to_be_bytes)
            .ok_or_else(|| de::Error::custom("32 hex digits"))
    }
}
