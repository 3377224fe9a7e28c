//! Entries and chunks whose content is known from their range.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use lane_index::Storage;
use shape_log::chunk::{ChunkMeta, ChunkOptions, ChunkStore};
use shape_log::{Entry, EntrySource, Error, Offset, Op};

pub fn at(number: u64) -> Offset {
    Offset::new(number, 0)
}

/// What an entry says; lengths differ.
pub fn json(number: u64) -> String {
    format!("{{\"n\":{number},\"text\":\"{}\"}}", "ab]\\\"[,".repeat((number % 5) as usize))
}

/// Entries behind the first number, up to the second, one after the other.
pub struct Numbers {
    next: u64,
    end: u64,
    json: String,
}

impl Numbers {
    pub fn new(start: u64, end: u64) -> Self {
        Self { next: start, end, json: String::new() }
    }
}

impl EntrySource for Numbers {
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        if self.next == self.end {
            return Ok(None);
        }
        self.next += 1;
        self.json = json(self.next);
        let (offset, json) = (at(self.next), self.json.as_bytes());
        Ok(Some(Entry { offset, op: Op::Insert, key: b"key", json }))
    }
}

pub fn content(start: u64, end: u64) -> Vec<u8> {
    let all: Vec<_> = (start + 1..=end).map(json).collect();
    format!("[{}]", all.join(",")).into_bytes()
}

pub fn open(storage: &Arc<dyn Storage>) -> Result<ChunkStore, Error> {
    ChunkStore::open(Arc::clone(storage), ChunkOptions::default())
}

pub fn seal(store: &ChunkStore, start: u64, end: u64, gzip: bool) -> Result<ChunkMeta, Error> {
    store.seal(at(start), at(end), &mut Numbers::new(start, end), gzip)
}

pub fn ranges(store: &ChunkStore) -> Vec<(u64, u64)> {
    store.list().iter().map(|chunk| (chunk.start.tx, chunk.end.tx)).collect()
}

pub fn read(storage: &dyn Storage, name: &str) -> Vec<u8> {
    let file = storage.open(name).expect("open");
    let mut bytes = vec![0; file.len() as usize];
    file.read_exact_at(&mut bytes, 0).expect("read");
    bytes
}

/// Every chunk is whole and what its range says.
pub fn check(storage: &dyn Storage, store: &ChunkStore) {
    for chunk in store.list() {
        store.verify(chunk.seq).expect("whole");
        let found = read(storage, &chunk.name());
        assert_eq!(found, content(chunk.start.tx, chunk.end.tx), "{}", chunk.name());
    }
}
