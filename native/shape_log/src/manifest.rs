//! The manifest of a store's directory: which checkpoint counts, and which part of the redo log is
//! needed beside it.

use lane_index::storage::{Storage, names};
use lane_index::{Error, sealed};
use serde::{Deserialize, Serialize};

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// What tells it from the manifest of an index or a router.
const FORMAT: &str = "shape_log";

/// A manifest longer than this was not written by us.
const LONGEST: u64 = 1 << 16;

/// Serialised as `docs/formats.md` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    format: String,
    /// How many times it was replaced.
    pub generation: u64,
    /// The secret that the salts of the logs are derived from: 32 hex digits.
    hash_key: String,
    /// The checkpoint has what happened up to this frame of the redo log.
    pub applied_seq: u64,
    /// Frames up to this one have no record that somebody may still need.
    pub records_seq: u64,
    /// The oldest file of the redo log that is needed.
    pub journal: Option<u64>,
    /// The checkpoint; none until there is one.
    pub checkpoint: Option<CheckpointEntry>,
    /// Above the number of every checkpoint that there was: a name is never used again.
    pub next_number: u64,
}

/// A checkpoint, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckpointEntry {
    /// The number in its name.
    pub number: u64,
    /// The length of its file.
    pub bytes: u64,
    /// How many logs it has.
    pub logs: u64,
    /// The last transaction that it has.
    pub lsn: u64,
    /// The salt of its checksums, 16 hex digits.
    pub salt: String,
}

impl Manifest {
    /// The manifest of a directory that holds nothing yet.
    pub fn new(hash_key: [u8; 16]) -> Self {
        Self {
            format: FORMAT.to_owned(),
            generation: 0,
            hash_key: format!("{:032x}", u128::from_be_bytes(hash_key)),
            applied_seq: 0,
            records_seq: 0,
            journal: None,
            checkpoint: None,
            next_number: 1,
        }
    }

    pub fn hash_key(&self) -> [u8; 16] {
        u128::from_str_radix(&self.hash_key, 16).unwrap_or_default().to_be_bytes()
    }

    fn encode(&self) -> Result<String, Error> {
        sealed::write_manifest(names::MANIFEST, VERSION, self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: Self = sealed::read_manifest(names::MANIFEST, VERSION, bytes)?;
        manifest.check().map_or(Ok(manifest), |what| Err(damaged(what)))
    }

    fn check(&self) -> Option<&'static str> {
        let digits = |text: &str, length| {
            text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if self.format != FORMAT {
            return Some("it is not the manifest of logs");
        }
        if !digits(&self.hash_key, 32) {
            return Some("the hash key is not 32 hex digits");
        }
        let number = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
        if number >= self.next_number || self.applied_seq == u64::MAX {
            return Some("a number was not given away yet");
        }
        if self.records_seq > self.applied_seq {
            return Some("records are given up that the checkpoint has not seen");
        }
        if self.checkpoint.is_none() && self.applied_seq > 0 {
            return Some("frames are given up that no checkpoint has");
        }
        if self.checkpoint.as_ref().is_some_and(|checkpoint| !digits(&checkpoint.salt, 16)) {
            return Some("a salt is not 16 hex digits");
        }
        None
    }

    /// Reads the manifest of a directory; `None` where there never was a store.
    pub fn read(storage: &dyn Storage) -> Result<Option<Self>, Error> {
        let files = storage.list()?;
        if !files.iter().any(|name| name == names::MANIFEST) {
            let is_data = |name: &String| {
                crate::checkpoint::number(name).is_some()
                    || matches!(names::kind(name), names::Kind::Journal(_))
            };
            if files.iter().any(is_data) {
                let why = "there are checkpoints or journals that only it can explain";
                return Err(Error::Missing { path: names::MANIFEST.to_owned(), why });
            }
            return Ok(None);
        }
        let bytes = sealed::read(storage, names::MANIFEST, LONGEST)?;
        let manifest = Self::decode(&bytes)?;
        // What is read may only be in the page cache, when the process before was killed between the
        // rename and the sync of the directory. What is built on it must not outlive it.
        storage.sync_file(names::MANIFEST)?;
        storage.sync_directory()?;
        Ok(Some(manifest))
    }

    /// Writes it under its temporary name. An error has changed nothing that matters.
    pub fn write(&self, storage: &dyn Storage) -> Result<(), Error> {
        let text = self.encode()?;
        // A reader must accept what we write, or the store would be lost with this commit.
        Self::decode(text.as_bytes())?;
        sealed::write_temporary(storage, names::MANIFEST, &text)
    }

    /// Puts what [`Manifest::write`] wrote in place. After an error either may be there.
    pub fn put_in_place(storage: &dyn Storage) -> Result<(), Error> {
        sealed::put_in_place(storage, names::MANIFEST)
    }
}

fn damaged(what: &'static str) -> Error {
    Error::Damaged { path: names::MANIFEST.to_owned(), offset: 0, what }
}
