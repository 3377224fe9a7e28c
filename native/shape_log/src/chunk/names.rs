//! The names of the files of sealed chunks. Nothing that comes from outside becomes one: they are made of
//! numbers, and a name that was found counts only where it is spelled as we spell it.

use lane_index::storage::names::CORRUPT;
pub(super) use lane_index::storage::names::{TEMPORARY, temporary};

use crate::Offset;

/// The index of the chunks.
pub(super) const INDEX: &str = "index.json";
const JSON: &str = ".json";
const GZIP: &str = ".json.gz";

/// The name of a chunk's file, or of its compressed twin.
pub(super) fn chunk(seq: u64, start: Offset, end: Offset, gzip: bool) -> String {
    format!("{seq:06}.{start}.{end}{}", if gzip { GZIP } else { JSON })
}

/// A name of a chunk's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChunkName {
    pub seq: u64,
    pub start: Offset,
    pub end: Offset,
    pub gzip: bool,
}

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Chunk(ChunkName),
    /// A file of ours that was not finished; of a chunk, its number.
    Temporary(Option<u64>),
    /// A damaged chunk that was put aside.
    Corrupt(u64),
    /// Nothing of ours.
    Foreign,
}

pub(super) fn kind(name: &str) -> Kind {
    if name == INDEX {
        Kind::Index
    } else if let Some(of) = name.strip_suffix(TEMPORARY) {
        match parse(of) {
            Some(chunk) => Kind::Temporary(Some(chunk.seq)),
            None if of == INDEX => Kind::Temporary(None),
            None => Kind::Foreign,
        }
    } else if let Some(of) = name.strip_suffix(CORRUPT) {
        parse(of).map_or(Kind::Foreign, |chunk| Kind::Corrupt(chunk.seq))
    } else {
        parse(name).map_or(Kind::Foreign, Kind::Chunk)
    }
}

fn parse(name: &str) -> Option<ChunkName> {
    let (stem, gzip) = match name.strip_suffix(GZIP) {
        Some(stem) => (stem, true),
        None => (name.strip_suffix(JSON)?, false),
    };
    let mut parts = stem.split('.');
    let mut next = || parts.next();
    let (seq, start, end) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.parse().ok()?);
    // Two names must not mean one chunk, and its range must be one.
    let ours = start < end && chunk(seq, start, end, gzip) == name;
    ours.then_some(ChunkName { seq, start, end, gzip })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chunk_has_one_name() {
        let (start, end) = (Offset::new(10, 2), Offset::new(u64::MAX, 0));
        for seq in [0, 1, 999_999, 1_000_000, u64::MAX] {
            for gzip in [false, true] {
                let name = chunk(seq, start, end, gzip);
                lane_index::storage::names::validate(&name).expect("a name");
                assert_eq!(kind(&name), Kind::Chunk(ChunkName { seq, start, end, gzip }));
                assert_eq!(kind(&format!("{name}.tmp")), Kind::Temporary(Some(seq)));
                assert_eq!(kind(&format!("{name}.corrupt")), Kind::Corrupt(seq));
            }
        }
        assert_eq!(
            kind("000007.1_0.2_5.json"),
            kind(&chunk(7, Offset::new(1, 0), Offset::new(2, 5), false))
        );
        assert_eq!(
            (kind("index.json"), kind("index.json.tmp")),
            (Kind::Index, Kind::Temporary(None))
        );
    }

    #[test]
    fn any_other_spelling_is_not_ours() {
        for name in [
            "",
            ".json",
            "7.1_0.2_0.json",
            "0000007.1_0.2_0.json",
            "+00007.1_0.2_0.json",
            "000007.01_0.2_0.json",
            "000007.1_0.2_0.jsonx",
            "000007.1_0.2_0",
            "000007.1_0.json",
            "000007.1_0.2_0.3_0.json",
            "000007.2_0.2_0.json",
            "000007.3_0.2_0.json",
            "../000007.1_0.2_0.json",
            "000007.1_0.2_0.json.gz.gz",
            "000007.1_0.2_0.json.tmp.tmp",
            "index.json.corrupt",
            "LOCK",
            "1000000000000000000000.1_0.2_0.json",
            "000007.1_0.-2_0.json",
            "000007..json",
            "000007.1_0.18446744073709551616_0.json",
        ] {
            assert_eq!(kind(name), Kind::Foreign, "{name}");
        }
    }
}
