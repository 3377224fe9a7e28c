//! What is in memory while a chunk is sealed and verified does not grow with it.

use std::sync::Arc;

use lane_index::storage::Directory;
use shape_log::chunk::{ChunkOptions, ChunkStore};
use shape_log::{Entry, EntrySource, Error, Offset, Op};

struct Entries {
    number: u64,
    last: u64,
    json: Vec<u8>,
}

impl EntrySource for Entries {
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        if self.number == self.last {
            return Ok(None);
        }
        self.number += 1;
        // Some entries are longer than any buffer.
        let length = if self.number.is_multiple_of(1_000) { 300_000 } else { 900 };
        self.json.clear();
        self.json.extend_from_slice(format!("{{\"n\":{},\"text\":\"", self.number).as_bytes());
        let mut noise = self.number;
        self.json.extend((0..length).map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b'a' + (noise >> 60) as u8
        }));
        self.json.extend_from_slice(b"\"}");
        let offset = Offset::new(self.number, 0);
        Ok(Some(Entry { offset, op: Op::Insert, key: b"", json: &self.json }))
    }
}

/// The most memory that the process ever had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim()
        .strip_suffix(" kB")
        .and_then(|line| line.trim().parse().ok())
        .map_or(0, |kib: u64| kib << 10)
}

fn grows(mib: u64, gzip: bool) -> u64 {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Arc::new(Directory::open(directory.path()).expect("open"));
    let store = ChunkStore::open(storage, ChunkOptions { gzip_level: 1 }).expect("open");
    let before = peak();
    let last = (mib << 20) / 1_215;
    let mut entries = Entries { number: 0, last, json: Vec::new() };
    let chunk = store.seal(Offset::ZERO, Offset::MAX, &mut entries, gzip).expect("seal");
    assert!(chunk.bytes > (mib << 20) * 9 / 10, "{}", chunk.bytes);
    assert_eq!(chunk.count, last);
    store.verify(chunk.seq).expect("whole");
    peak() - before
}

const MOST: u64 = 2 << 20;

#[test]
fn a_chunk_of_32_mib_takes_few() {
    let grown = grows(32, true);
    assert!(grown < MOST, "{grown} bytes");
}

#[test]
#[ignore = "writes a GiB and takes a minute"]
fn a_chunk_of_a_gib_takes_few() {
    let grown = grows(1_024, true);
    assert!(grown < MOST, "{grown} bytes");
}
