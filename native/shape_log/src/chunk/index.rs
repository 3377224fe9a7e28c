//! The index of a shape's chunks: which there are and what is in their files, in one file that is
//! replaced as a whole and ends with its own checksum.

use lane_index::sealed;
use lane_index::{Error as StorageError, Storage};
use serde::{Deserialize, Serialize};

use super::names::INDEX;
use super::{ChunkMeta, GzipMeta};
use crate::Offset;

/// The version that is written, and the newest that is read.
pub(super) const VERSION: u32 = 1;
const FORMAT: &str = "sealed_chunks";
/// A longer index was not written by us: it would name a million chunks.
const LONGEST: u64 = 1 << 28;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// Above the number of every chunk that was ever committed.
    pub next_seq: u64,
    /// By their start; no two of them overlap.
    pub chunks: Vec<ChunkMeta>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    format: String,
    next_seq: u64,
    chunks: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    seq: u64,
    start: String,
    end: String,
    count: u64,
    bytes: u64,
    checksum: String,
    gzip: Option<Gzip>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gzip {
    bytes: u64,
    checksum: String,
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u32,
}

fn hex(checksum: u64) -> String {
    format!("{checksum:016x}")
}

fn from_hex(digits: &str) -> Option<u64> {
    let checksum = u64::from_str_radix(digits, 16).ok()?;
    (hex(checksum) == digits).then_some(checksum)
}

impl Row {
    fn of(chunk: &ChunkMeta) -> Self {
        Self {
            seq: chunk.seq,
            start: chunk.start.to_string(),
            end: chunk.end.to_string(),
            count: chunk.count,
            bytes: chunk.bytes,
            checksum: hex(chunk.checksum),
            gzip: chunk.gzip.map(|gzip| Gzip { bytes: gzip.bytes, checksum: hex(gzip.checksum) }),
        }
    }

    fn meta(&self) -> Option<ChunkMeta> {
        let gzip = match &self.gzip {
            None => None,
            Some(gzip) => Some(GzipMeta { bytes: gzip.bytes, checksum: from_hex(&gzip.checksum)? }),
        };
        Some(ChunkMeta {
            seq: self.seq,
            start: self.start.parse().ok()?,
            end: self.end.parse().ok()?,
            count: self.count,
            bytes: self.bytes,
            checksum: from_hex(&self.checksum)?,
            gzip,
        })
    }
}

impl Index {
    /// The text of the file.
    pub(super) fn text(&self) -> Result<String, StorageError> {
        let document = Document {
            version: VERSION,
            format: FORMAT.to_owned(),
            next_seq: self.next_seq,
            chunks: self.chunks.iter().map(Row::of).collect(),
        };
        let text = serde_json::to_string(&document).map_err(|error| StorageError::Io {
            operation: "serialise",
            path: INDEX.to_owned(),
            source: error.into(),
        })?;
        Ok(sealed::seal(text))
    }

    /// Reads the file; its errors are those of one that is not there, of the disk, of damage, and of
    /// another version.
    pub(super) fn read(storage: &dyn Storage) -> Result<Self, StorageError> {
        Self::parse(&sealed::read(storage, INDEX, LONGEST)?)
    }

    fn parse(bytes: &[u8]) -> Result<Self, StorageError> {
        let damaged = |what| StorageError::Damaged { path: INDEX.to_owned(), offset: 0, what };
        let mut text = sealed::verified_body(bytes, INDEX)?.to_vec();
        text.push(b'}');
        let found: OnlyVersion = serde_json::from_slice(&text)
            .map_err(|_| damaged("it is no JSON object with a version"))?;
        if found.version != VERSION {
            return Err(StorageError::UnknownVersion {
                path: INDEX.to_owned(),
                version: found.version,
                supported: VERSION,
            });
        }
        let document: Document = serde_json::from_slice(&text)
            .map_err(|_| damaged("its fields are not those of its version"))?;
        if document.format != FORMAT {
            return Err(damaged("it is the index of something else"));
        }
        let chunks: Option<Vec<_>> = document.chunks.iter().map(Row::meta).collect();
        let chunks = chunks.ok_or_else(|| damaged("a chunk has a field that makes no sense"))?;
        let mut last = Offset::ZERO;
        for chunk in &chunks {
            if chunk.start < last || chunk.start >= chunk.end || chunk.seq >= document.next_seq {
                return Err(damaged("the chunks do not follow each other"));
            }
            last = chunk.end;
        }
        Ok(Self { next_seq: document.next_seq, chunks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_damage_also_with_a_right_checksum() {
        let row = |seq: u64, start: &str, end: &str| {
            let rest = "\"count\":1,\"bytes\":2,\"checksum\":\"00000000000000ff\",\"gzip\":null";
            format!("{{\"seq\":{seq},\"start\":\"{start}\",\"end\":\"{end}\",{rest}}}")
        };
        let index = |rows: &[String]| {
            let rows = rows.join(",");
            let front = "\"version\":1,\"format\":\"sealed_chunks\",\"next_seq\":9";
            Index::parse(sealed::seal(format!("{{{front},\"chunks\":[{rows}]}}")).as_bytes())
        };
        assert!(index(&[]).is_ok());
        assert!(index(&[row(8, "0_0", "2_1"), row(3, "2_1", "2_2")]).is_ok());
        for rows in [
            vec![row(9, "0_0", "2_1")],
            vec![row(1, "2_1", "2_1")],
            vec![row(1, "0_0", "2_1"), row(2, "2_0", "3_0")],
            vec![row(1, "00_0", "2_1")],
        ] {
            let error = index(&rows).expect_err("no sense");
            assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
        }
        let newer = sealed::seal("{\"version\":2,\"chunks\":{}}".to_owned());
        let error = Index::parse(newer.as_bytes()).expect_err("newer");
        assert!(matches!(error, StorageError::UnknownVersion { version: 2, .. }), "{error}");
    }
}
