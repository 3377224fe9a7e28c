//! What the tests of segments share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use lane_index::{
    Error, Mapped, OpenOptions, ReadAt, Segment, SegmentBuilder, SegmentMeta, SegmentOptions,
    Storage, StorageFile,
};

/// Postings as a plain map: the oracle.
pub type Model = BTreeMap<(u16, u64), (Vec<u32>, Vec<u32>)>;

/// A random number generator whose runs can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub const OPTIONS: SegmentOptions = SegmentOptions { lanes: 1 << 16, level: 1 };

pub fn bytes_of(model: &Model) -> (SegmentMeta, Vec<u8>) {
    let mut builder = SegmentBuilder::in_memory(OPTIONS).expect("memory");
    for (&(lane, hash), (adds, removes)) in model {
        builder.push(lane, hash, adds, removes).expect("in order");
    }
    builder.finish_bytes().expect("memory")
}

pub fn in_memory(model: &Model) -> Segment {
    let mut builder = SegmentBuilder::in_memory(OPTIONS).expect("memory");
    for (&(lane, hash), (adds, removes)) in model {
        builder.push(lane, hash, adds, removes).expect("in order");
    }
    builder.finish().expect("sound")
}

pub fn in_file(model: &Model, storage: &Files, mmap: bool) -> Segment {
    let mut builder = SegmentBuilder::new(storage, "a.seg", OPTIONS).expect("a new file");
    for (&(lane, hash), (adds, removes)) in model {
        builder.push(lane, hash, adds, removes).expect("in order");
    }
    let meta = builder.finish().expect("written");
    Segment::open(storage, &meta, OpenOptions { mmap }).expect("sound")
}

/// Whether `segment` holds exactly what `model` does.
pub fn assert_same(segment: &Segment, model: &Model) {
    for (&(lane, hash), (adds, removes)) in model {
        assert!(segment.may_contain(lane, hash));
        for posting in [segment.get(lane, hash), segment.get_verified(lane, hash)] {
            let posting = posting.expect("a key that was pushed");
            assert!(posting.adds().eq(adds.iter().copied()), "adds of {lane} {hash}");
            assert!(posting.removes().eq(removes.iter().copied()), "removes of {lane} {hash}");
            assert_eq!(posting.has_removes(), !removes.is_empty());
        }
    }
    let mut entries = segment.entries();
    for (&(lane, hash), (adds, removes)) in model {
        let entry = entries.next().expect("as many entries").expect("sound");
        assert_eq!((entry.lane, entry.hash), (lane, hash));
        assert!(entry.posting.adds().eq(adds.iter().copied()));
        assert!(entry.posting.removes().eq(removes.iter().copied()));
    }
    assert!(entries.next().is_none());
    let keys: Vec<_> = model.keys().copied().collect();
    let mut answered = vec![];
    segment.get_batch(&keys, |index, posting| answered.push((index, posting.adds().collect())));
    let expected: Vec<(usize, Vec<u32>)> =
        model.values().enumerate().map(|(index, (adds, _))| (index, adds.clone())).collect();
    assert_eq!(answered, expected);
    let meta = segment.meta();
    assert_eq!(meta.keys, model.len() as u64);
    assert_eq!(meta.adds, model.values().map(|(adds, _)| adds.len() as u64).sum::<u64>());
    assert_eq!(meta.removes, model.values().map(|(_, removes)| removes.len() as u64).sum::<u64>());
}

/// A directory in memory, no more than segments need.
#[derive(Default, Clone)]
pub struct Files(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Files {
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        self.0.lock().expect("lock").insert(name.to_owned(), bytes);
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().expect("lock").get(name).cloned().unwrap_or_default()
    }

    fn error(operation: &'static str, name: &str, kind: io::ErrorKind) -> Error {
        Error::Io { operation, path: name.to_owned(), source: kind.into() }
    }

    fn read(&self, name: &str) -> Result<Bytes, Error> {
        let files = self.0.lock().expect("lock");
        let bytes = files.get(name);
        Ok(Bytes(bytes.ok_or_else(|| Self::error("open", name, io::ErrorKind::NotFound))?.clone()))
    }
}

struct Appender {
    files: Files,
    name: String,
}

impl StorageFile for Appender {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut files = self.files.0.lock().expect("lock");
        files.entry(self.name.clone()).or_default().extend_from_slice(bytes);
        Ok(())
    }
    fn preallocate(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }
    fn sync(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

struct Bytes(Vec<u8>);

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Mapped for Bytes {}

impl ReadAt for Bytes {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let end = offset as usize + buffer.len();
        let part = self.0.get(offset as usize..end);
        let error = || Files::error("read", "", io::ErrorKind::UnexpectedEof);
        buffer.copy_from_slice(part.ok_or_else(error)?);
        Ok(())
    }
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Storage for Files {
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        let mut files = self.0.lock().expect("lock");
        if files.insert(name.to_owned(), vec![]).is_some() {
            return Err(Self::error("create", name, io::ErrorKind::AlreadyExists));
        }
        Ok(Box::new(Appender { files: self.clone(), name: name.to_owned() }))
    }
    fn append(&self, name: &str) -> Result<Box<dyn StorageFile>, Error> {
        Ok(Box::new(Appender { files: self.clone(), name: name.to_owned() }))
    }
    fn open(&self, name: &str) -> Result<Box<dyn ReadAt>, Error> {
        Ok(Box::new(self.read(name)?))
    }
    fn map(&self, name: &str, _: bool) -> Result<Box<dyn Mapped>, Error> {
        Ok(Box::new(self.read(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let mut files = self.0.lock().expect("lock");
        let bytes = files.remove(from);
        let error = || Self::error("rename", from, io::ErrorKind::NotFound);
        files.insert(to.to_owned(), bytes.ok_or_else(error)?);
        Ok(())
    }
    fn remove(&self, name: &str) -> Result<(), Error> {
        self.0.lock().expect("lock").remove(name);
        Ok(())
    }
    fn list(&self) -> Result<Vec<String>, Error> {
        Ok(self.0.lock().expect("lock").keys().cloned().collect())
    }
    fn sync_directory(&self) -> Result<(), Error> {
        Ok(())
    }
}
