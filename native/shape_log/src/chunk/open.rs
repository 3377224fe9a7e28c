//! What is found in the directory of a shape's chunks, and what an interrupted seal or removal left.
//!
//! The index is the truth: a file that it does not name was never acknowledged, or was removed. Where it
//! is lost or damaged it is made anew from the files, each of which is whole once it has its name.

use std::io::ErrorKind;

use lane_index::manifest::quarantine;
use lane_index::sealed::{put_in_place, write_temporary};
use lane_index::{Error as StorageError, Storage};

use super::index::Index;
use super::names::{self, ChunkName, Kind};
use super::{ChunkMeta, verify};
use crate::Offset;

/// What opening found amiss.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Why the index was made anew from the files.
    pub rebuilt: Option<String>,
    /// Chunks of the index whose file is not there; they are no longer listed.
    pub missing: Vec<u64>,
    /// Files that were removed: unfinished, or nobody's.
    pub swept: Vec<String>,
    /// Damaged files that were put aside, under their new names. Only looked for when the index is made
    /// anew; [`ChunkStore::verify`](super::ChunkStore::verify) looks for more.
    pub quarantined: Vec<String>,
}

/// The chunks of a directory; and which chunks and other files of ours there are.
pub(super) fn open(storage: &dyn Storage) -> Result<(Index, Opened), StorageError> {
    let files = storage.list()?;
    let kinds: Vec<Kind> = files.iter().map(|name| names::kind(name)).collect();
    let mut opened = Opened::default();
    let index = match Index::read(storage) {
        Ok(index) => Some(index),
        Err(error @ StorageError::Damaged { .. }) => {
            opened.rebuilt = Some(error.to_string());
            None
        }
        Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            if kinds.iter().any(|kind| matches!(kind, Kind::Chunk(_))) {
                opened.rebuilt = Some("there is none".to_owned());
            }
            None
        }
        Err(error) => return Err(error),
    };
    let rebuilt = opened.rebuilt.is_some();
    let mut index = match index {
        Some(index) => with_files(index, &kinds, &mut opened),
        None => Index { next_seq: 1, chunks: rebuild(storage, &kinds, &mut opened)? },
    };
    let used = kinds.iter().filter_map(|kind| match kind {
        Kind::Chunk(ChunkName { seq, .. }) | Kind::Temporary(Some(seq)) | Kind::Corrupt(seq) => {
            Some(seq.saturating_add(1))
        }
        _ => None,
    });
    index.next_seq = used.fold(index.next_seq, u64::max);
    if rebuilt {
        write(storage, &index)?;
    }
    sweep(storage, &files, &kinds, &index, &mut opened)?;
    Ok((index, opened))
}

/// Replaces the index.
pub(super) fn write(storage: &dyn Storage, index: &Index) -> Result<(), StorageError> {
    write_temporary(storage, names::INDEX, &index.text()?)?;
    put_in_place(storage, names::INDEX)
}

/// The index without the files that are not there.
fn with_files(mut index: Index, kinds: &[Kind], opened: &mut Opened) -> Index {
    let mut files: Vec<ChunkName> = kinds
        .iter()
        .filter_map(|kind| if let Kind::Chunk(name) = kind { Some(*name) } else { None })
        .collect();
    files.sort_unstable();
    let is_there = |chunk: &ChunkMeta, gzip| {
        let ChunkMeta { seq, start, end, .. } = *chunk;
        files.binary_search(&ChunkName { seq, start, end, gzip }).is_ok()
    };
    index.chunks.retain_mut(|chunk| {
        if !is_there(chunk, false) {
            opened.missing.push(chunk.seq);
            return false;
        }
        if !is_there(chunk, true) {
            chunk.gzip = None;
        }
        true
    });
    index
}

/// The chunks that the files are, read whole. Of those that overlap the newest counts: what it was sealed
/// over was to be removed.
fn rebuild(
    storage: &dyn Storage,
    kinds: &[Kind],
    opened: &mut Opened,
) -> Result<Vec<ChunkMeta>, StorageError> {
    let mut files: Vec<ChunkName> = kinds
        .iter()
        .filter_map(|kind| if let Kind::Chunk(name) = kind { Some(*name) } else { None })
        .collect();
    files.sort_unstable_by_key(|name| std::cmp::Reverse((name.seq, name.start, name.end)));
    let mut chunks: Vec<ChunkMeta> = Vec::new();
    for ChunkName { seq, start, end, .. } in files.iter().filter(|name| !name.gzip) {
        let (seq, start, end) = (*seq, *start, *end);
        if chunks.iter().any(|chunk| chunk.seq == seq || overlap(chunk, start, end)) {
            continue;
        }
        let name = names::chunk(seq, start, end, false);
        let found = verify::scan(storage, &name)?;
        let (bytes, checksum) = (found.bytes, found.checksum);
        let Ok(count) = found.count else {
            opened.quarantined.push(quarantine(storage, &name)?);
            continue;
        };
        let mut chunk = ChunkMeta { seq, start, end, count, bytes, checksum, gzip: None };
        if files.contains(&ChunkName { seq, start, end, gzip: true }) {
            let name = names::chunk(seq, start, end, true);
            let (gzip, held) = verify::scan_gzip(storage, &name)?;
            if held == Some((bytes, checksum)) {
                chunk.gzip = Some(gzip);
            } else {
                opened.quarantined.push(quarantine(storage, &name)?);
            }
        }
        chunks.push(chunk);
    }
    chunks.sort_unstable_by_key(|chunk| chunk.start);
    Ok(chunks)
}

fn overlap(chunk: &ChunkMeta, start: Offset, end: Offset) -> bool {
    chunk.start < end && start < chunk.end
}

/// Removes what is unfinished, and the files of chunks that the index does not name.
fn sweep(
    storage: &dyn Storage,
    files: &[String],
    kinds: &[Kind],
    index: &Index,
    opened: &mut Opened,
) -> Result<(), StorageError> {
    let mut named: Vec<String> = index
        .chunks
        .iter()
        .flat_map(|chunk| [Some(chunk.name()), chunk.gzip_name()])
        .flatten()
        .collect();
    named.sort_unstable();
    let stray = |(name, kind): &(&String, &Kind)| match kind {
        Kind::Temporary(_) => true,
        Kind::Chunk(_) => named.binary_search(name).is_err(),
        _ => false,
    };
    let swept: Vec<String> =
        files.iter().zip(kinds).filter(stray).map(|(name, _)| name.clone()).collect();
    if swept.is_empty() {
        return Ok(());
    }
    // The index may be in the page cache only, when the process before was killed while it replaced it.
    // What an older one names must not go before that is over.
    match storage.sync_file(names::INDEX) {
        Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        result => result?,
    }
    storage.sync_directory()?;
    for name in swept {
        match storage.remove(&name) {
            Ok(()) => opened.swept.push(name),
            // Put aside, or the unfinished index that was just finished.
            Err(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
