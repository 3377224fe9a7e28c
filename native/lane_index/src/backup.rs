//! Backups: a directory with the segments of an index and its manifest, and back.
//!
//! Segments are immutable, so a backup on the same file system is made of hard links, in no time
//! and no space, while the index goes on working. On another file system an *incremental* backup
//! copies only what the one before does not have and links the rest from there. Every backup is
//! whole: it opens as an index as it is, and older ones can be deleted.
//!
//! A backup holds what the segments cover (`applied_seq`), and no journal: flush first.

use crate::Error;
use crate::lock::DirectoryLock;
use crate::manifest::{self, Manifest, SegmentEntry};
use crate::segment::{OpenOptions, Segment};
use crate::storage::names::{self, Kind};
use crate::storage::{Storage, Transfer, copy};

/// How a file gets into another directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// By a hard link; copied where the two directories are not on one file system. One bad sector
    /// then hits all that share the file.
    #[default]
    Link,
    /// By a copy.
    Copy,
}

/// What a backup or a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Report {
    /// How many segments there are.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them share their file with the base or the source.
    pub linked: usize,
    /// How many were copied.
    pub copied: usize,
    /// The bytes of those.
    pub copied_bytes: u64,
    /// How many came from the base.
    pub from_base: usize,
}

/// What a verification found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The manifest.
    pub manifest: Manifest,
    /// How many segments are whole.
    pub whole: usize,
    /// What is wrong with the others: their files and the errors.
    pub broken: Vec<(String, Error)>,
}

/// Backs up what `manifest` names from the directory of an index, open or not, to an empty one.
///
/// `base` is an earlier backup, of this index or not: a segment that its manifest has with the same
/// id, length and checksum is taken from there. The caller sees to it that the segments of
/// `manifest` are not removed meanwhile.
///
/// The manifest comes last: an interrupted backup has none, and is refused wherever it is opened.
///
/// # Errors
/// [`Error::NotEmpty`], [`Error::Locked`], [`Error::Io`]; those of reading the base's manifest.
pub fn snapshot(
    source: &dyn Storage,
    manifest: &Manifest,
    target: &dyn Storage,
    base: Option<&dyn Storage>,
    sharing: Sharing,
) -> Result<Report, Error> {
    let _lock = DirectoryLock::acquire(target)?;
    require_empty(target)?;
    let known = base.map(manifest::read).transpose()?.flatten();
    let known = known.map(|manifest| manifest.segments).unwrap_or_default();
    let mut report = Report::default();
    for entry in &manifest.segments {
        // Not only the id: an index that was restored gives ids of its own to segments of its own.
        let (from, sharing) = match base {
            Some(base) if known.contains(entry) => {
                report.from_base += 1;
                (base, Sharing::Link)
            }
            _ => (source, sharing),
        };
        transfer(from, entry, target, sharing, &mut report)?;
    }
    finish(target, manifest)?;
    Ok(report)
}

/// Verifies every byte of a backup, or of the directory of an index that is not open.
///
/// # Errors
/// What makes the manifest unreadable; [`Error::Missing`] where there is none. What is wrong with
/// segments is in the answer.
pub fn verify(backup: &dyn Storage) -> Result<Verification, Error> {
    let manifest = required_manifest(backup)?;
    let mut found = Verification { manifest, whole: 0, broken: Vec::new() };
    for entry in &found.manifest.segments {
        match Segment::open(backup, &entry.meta(), OpenOptions { mmap: true }) {
            Ok(_) => found.whole += 1,
            Err(error) => found.broken.push((entry.path.clone(), error)),
        }
    }
    Ok(found)
}

/// Makes an index of a backup in an empty directory, after verifying the backup.
///
/// # Errors
/// The first thing that is wrong with the backup; [`Error::NotEmpty`], [`Error::Locked`],
/// [`Error::Io`].
pub fn restore(
    backup: &dyn Storage,
    target: &dyn Storage,
    sharing: Sharing,
) -> Result<Report, Error> {
    let _lock = DirectoryLock::acquire(target)?;
    require_empty(target)?;
    let mut verified = verify(backup)?;
    if !verified.broken.is_empty() {
        return Err(verified.broken.swap_remove(0).1);
    }
    let mut report = Report::default();
    for entry in &verified.manifest.segments {
        transfer(backup, entry, target, sharing, &mut report)?;
    }
    finish(target, &verified.manifest)?;
    Ok(report)
}

fn required_manifest(storage: &dyn Storage) -> Result<Manifest, Error> {
    manifest::read(storage)?.ok_or_else(|| Error::Missing {
        path: names::MANIFEST.to_owned(),
        why: "without it a directory is no backup",
    })
}

fn require_empty(target: &dyn Storage) -> Result<(), Error> {
    let files = target.list()?;
    match files.into_iter().find(|name| names::kind(name) != Kind::Lock) {
        None => Ok(()),
        Some(found) => Err(Error::NotEmpty { found }),
    }
}

fn transfer(
    source: &dyn Storage,
    entry: &SegmentEntry,
    target: &dyn Storage,
    sharing: Sharing,
    report: &mut Report,
) -> Result<(), Error> {
    let done = match sharing {
        Sharing::Link => source.link_into(&entry.path, target, &entry.path)?,
        Sharing::Copy => {
            copy(source, &entry.path, target, &entry.path)?;
            Transfer::Copied
        }
    };
    report.segments += 1;
    report.bytes += entry.bytes;
    match done {
        Transfer::Linked => report.linked += 1,
        Transfer::Copied => {
            report.copied += 1;
            report.copied_bytes += entry.bytes;
        }
    }
    Ok(())
}

/// The manifest of what was transferred: the same, without the journal that was not.
fn finish(target: &dyn Storage, manifest: &Manifest) -> Result<(), Error> {
    let mut manifest = manifest.clone();
    manifest.journal = None;
    manifest::install(target, &manifest)
}
