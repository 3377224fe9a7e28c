//! Any bytes as the index of sealed chunks: the chunks open, from the index or from their files, unless
//! another version wrote it; what is listed can be leased or is named as damaged, and sealing goes on.

use std::sync::Arc;

use lane_index::sealed;
use lane_index::storage::simulation::SimStorage;
use lane_index::{Error as StorageError, Storage};
use shape_log::chunk::{ChunkOptions, ChunkStore};
use shape_log::{Entry, Error, Offset, Op};

/// Chunks from 0_0 to 1_0 and from 1_0 to 2_0, and their index.
pub fn sealed_chunks() -> SimStorage {
    let storage = SimStorage::new();
    let store = open(&storage).expect("an empty directory");
    for tx in 0..2 {
        seal(&store, tx);
    }
    storage
}

fn open(storage: &SimStorage) -> Result<ChunkStore, Error> {
    ChunkStore::open(Arc::new(storage.clone()), ChunkOptions::default())
}

fn seal(store: &ChunkStore, tx: u64) {
    let (start, offset) = (Offset::new(tx, 0), Offset::new(tx + 1, 0));
    let entry = Entry { offset, op: Op::Insert, key: b"1", json: b"{\"a\":1}" };
    store.seal(start, offset, &mut [entry].iter(), tx == 0).expect("sealed");
}

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    read(bytes);
    // The same under a checksum that fits.
    let end = bytes.windows(12).rposition(|at| at == b",\"checksum\":").unwrap_or(bytes.len());
    if let Ok(body) = std::str::from_utf8(&bytes[..end]) {
        read(sealed::seal(format!("{body}}}")).as_bytes());
    }
}

fn read(bytes: &[u8]) {
    let storage = sealed_chunks();
    storage.put("index.json", bytes.to_vec());
    let store = match open(&storage) {
        Ok(store) => store,
        Err(Error::Storage(StorageError::UnknownVersion { path, .. })) => {
            assert_eq!(path, "index.json");
            assert_eq!(storage.read("index.json").as_deref(), Some(bytes), "left as it is");
            assert_eq!(storage.list().expect("listed").len(), 4, "and so is the rest");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let list = store.list();
    assert!(list.windows(2).all(|pair| pair[0].end <= pair[1].start));
    if store.opened().rebuilt.is_some() {
        assert_eq!(list.len(), 2, "both files are whole");
    }
    for chunk in &list {
        assert!(chunk.start < chunk.end);
        assert_eq!(store.find(chunk.start), Some(*chunk));
        match store.verify(chunk.seq) {
            Ok(()) | Err(Error::Storage(StorageError::Damaged { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // Its number may be the last one.
    let (start, end) = (Offset::new(u64::MAX, 0), Offset::MAX);
    if store.covering(start).is_none() && store.covering(Offset::new(u64::MAX, 5)).is_none() {
        match store.seal(start, end, &mut [].iter(), false) {
            Ok(chunk) => {
                let again = open(&storage).expect("what was written is read");
                assert_eq!(again.list(), store.list());
                again.verify(chunk.seq).expect("whole");
            }
            Err(Error::Storage(StorageError::Limit { .. }) | Error::ChunkOverlap { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
