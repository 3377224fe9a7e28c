//! The manifest of a router's directory: what the router was declared to be, and which files it
//! consists of.

use super::meta::{StoredSchema, StoredType};
use super::snapshot::SnapshotEntry;
use lane_index::storage::{Storage, names};
use lane_index::{Error, sealed};
use serde::{Deserialize, Serialize};

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// What tells it from the manifest of an index.
const FORMAT: &str = "shape_router";

/// A manifest longer than this was not written by us.
const LONGEST: u64 = 1 << 26;

/// What a router was declared to be, as far as what it stores depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The table and its columns, as declared.
    pub schema: StoredSchema,
    /// The names of the primary key's columns.
    pub primary_key: Vec<String>,
    /// The TimeZone of the clauses.
    pub time_zone: String,
    /// Whether only ASCII letters have case.
    pub ascii_case: bool,
    /// Whether text is ordered by bytes whatever its collation.
    pub order_any_collation_by_bytes: bool,
}

/// What a directory consists of. Serialised as `docs/formats.md` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub(super) format: String,
    /// How many times it was replaced.
    pub generation: u64,
    /// The secret under which keys are hashed: 32 hex digits.
    pub(super) hash_key: String,
    /// What the router was declared to be.
    pub declared: Declared,
    /// The types of the key's columns that keys are hashed by; `None`: by their text.
    pub key_types: Option<Vec<StoredType>>,
    /// The snapshot has what happened up to this record of the journal.
    pub applied_seq: u64,
    /// The oldest file of the journal that is needed.
    pub journal: Option<u64>,
    /// The snapshot; none until there is one.
    pub snapshot: Option<SnapshotEntry>,
    /// Above the number of every snapshot that there was: a name is never used again.
    pub next_number: u64,
}

impl Manifest {
    /// The manifest of a directory that holds nothing yet.
    #[must_use]
    pub fn new(declared: Declared, key_types: Option<Vec<StoredType>>, hash_key: [u8; 16]) -> Self {
        Self {
            format: FORMAT.to_owned(),
            generation: 0,
            hash_key: format!("{:032x}", u128::from_be_bytes(hash_key)),
            declared,
            key_types,
            applied_seq: 0,
            journal: None,
            snapshot: None,
            next_number: 1,
        }
    }

    /// The secret under which keys are hashed.
    #[must_use]
    pub fn hash_key(&self) -> [u8; 16] {
        u128::from_str_radix(&self.hash_key, 16).unwrap_or_default().to_be_bytes()
    }

    /// The text of the file.
    ///
    /// # Errors
    /// None that a manifest could cause.
    pub fn encode(&self) -> Result<String, Error> {
        sealed::write_manifest(names::MANIFEST, VERSION, self)
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::UnknownVersion`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self = sealed::read_manifest(names::MANIFEST, VERSION, bytes)?;
        manifest.check().map_or(Ok(manifest), |what| Err(damaged(what)))
    }

    fn check(&self) -> Option<&'static str> {
        let is_key = self.hash_key.len() == 32
            && self.hash_key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if self.format != FORMAT {
            return Some("it is not the manifest of a router");
        }
        if !is_key {
            return Some("the hash key is not 32 hex digits");
        }
        let types = self.key_types.iter().flatten();
        if self.declared.schema.schema().is_none()
            || types.into_iter().any(|ty| ty.column_type().is_none())
        {
            return Some("a column is of no known type");
        }
        let number = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.number);
        if number >= self.next_number || self.applied_seq == u64::MAX {
            return Some("a number was not given away yet");
        }
        None
    }
}

/// Reads the manifest of a directory; `None` where there never was a router.
///
/// # Errors
/// [`Error::Damaged`], [`Error::UnknownVersion`], [`Error::Io`]; [`Error::Missing`] where there are files
/// that only it can explain.
pub(super) fn read(storage: &dyn Storage) -> Result<Option<Manifest>, Error> {
    let files = storage.list()?;
    if !files.iter().any(|name| name == names::MANIFEST) {
        let is_data = |name: &String| {
            super::snapshot::number(name).is_some()
                || matches!(names::kind(name), names::Kind::Journal(_) | names::Kind::Segment(_))
        };
        if files.iter().any(is_data) {
            let why = "there are snapshots or journals that only it can explain";
            return Err(Error::Missing { path: names::MANIFEST.to_owned(), why });
        }
        return Ok(None);
    }
    let bytes = sealed::read(storage, names::MANIFEST, LONGEST)?;
    Manifest::decode(&bytes).map(Some)
}

fn damaged(what: &'static str) -> Error {
    Error::Damaged { path: names::MANIFEST.to_owned(), offset: 0, what }
}
