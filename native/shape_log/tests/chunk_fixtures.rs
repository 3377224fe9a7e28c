//! Chunks of format version 1, as they were written when it was new: they must always be read, and the
//! damaged ones refused for what is wrong with them.
//!
//! `SHAPE_LOG_WRITE_FIXTURES=1` writes them anew; only for a new version, in a new folder.

mod chunks;

use std::path::PathBuf;
use std::sync::Arc;

use chunks::{at, check, open, ranges, seal};
use lane_index::Error as StorageError;
use lane_index::storage::simulation::SimStorage;
use lane_index::storage::{Directory, Storage};
use shape_log::Error;

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chunks-v1").join(name)
}

/// The fixture, in memory: the files themselves are only read.
fn fixture(name: &str) -> (SimStorage, Arc<dyn Storage>) {
    write_anew_if_asked();
    let (stored, found) = (Directory::open(folder(name)).expect("fixture"), SimStorage::new());
    for file in stored.list().expect("list") {
        found.put(&file, stored.map(&file, false).expect("read").to_vec());
    }
    (found.clone(), Arc::new(found))
}

#[test]
fn chunks_of_version_1_are_read() {
    let (_, storage) = fixture("whole");
    let store = open(&storage).expect("open");
    assert_eq!(*store.opened(), Default::default());
    assert_eq!(ranges(&store), [(0, 3), (3, 7), (9, 9 + 5)]);
    check(&*storage, &store);
    let joined = store.find(at(3)).expect("listed");
    assert_eq!((joined.seq, joined.count, joined.bytes), (5, 4, 122));
    assert_eq!(joined.etag(), "\"000005-dcfc57180e5113e9\"");
    assert!(joined.gzip.is_some() && store.find(at(9)).expect("listed").gzip.is_none());
}

#[test]
fn chunks_are_still_written_as_in_version_1() {
    write_anew_if_asked();
    let (written, _) = fixture("whole");
    let anew = SimStorage::new();
    history(&anew);
    // What a compressor makes of it may change with its version.
    let arrays = |name: &&String| name.ends_with("_0.json");
    for name in written.list().expect("list").iter().filter(arrays) {
        assert_eq!(anew.read(name), written.read(name), "{name}");
    }
    let plain = |storage: &SimStorage| {
        let all: Arc<dyn Storage> = Arc::new(storage.clone());
        let mut list = open(&all).expect("open").list();
        list.iter_mut().for_each(|chunk| chunk.gzip = None);
        list
    };
    assert_eq!(plain(&anew), plain(&written));
}

#[test]
fn damaged_chunks_of_version_1_are_known_for_what_they_are() {
    let (_, storage) = fixture("flipped");
    let store = open(&storage).expect("open");
    match store.verify(1) {
        Err(Error::Storage(StorageError::Damaged { path, .. })) => {
            assert_eq!(path, "000001.0_0.3_0.json");
        }
        other => panic!("{other:?}"),
    }
    store.verify(5).expect("the other one is whole");

    let (_, storage) = fixture("cut");
    let store = open(&storage).expect("open");
    assert!(matches!(
        store.lease(5).err(),
        Some(Error::Storage(StorageError::Damaged { offset: 100, .. }))
    ));

    let (_, storage) = fixture("index-flipped");
    let store = open(&storage).expect("open");
    assert!(store.opened().rebuilt.is_some());
    assert_eq!(ranges(&store), [(0, 3), (3, 7), (9, 14)]);
    check(&*storage, &store);

    let (found, storage) = fixture("index-version-2");
    let before = found.read("index.json");
    let error = open(&storage).err().expect("refused");
    assert!(matches!(error, Error::Storage(StorageError::UnknownVersion { version: 2, .. })));
    assert_eq!(found.read("index.json"), before);
}

fn history(storage: &SimStorage) {
    let all: Arc<dyn Storage> = Arc::new(storage.clone());
    let store = open(&all).expect("open");
    seal(&store, 0, 3, true).expect("seal");
    seal(&store, 3, 5, false).expect("seal");
    seal(&store, 5, 7, true).expect("seal");
    seal(&store, 9, 14, false).expect("seal");
    seal(&store, 3, 7, true).expect("seal over whole ones");
}

fn write_anew_if_asked() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if std::env::var_os("SHAPE_LOG_WRITE_FIXTURES").is_some() {
        ONCE.call_once(write_anew);
    }
}

fn write_anew() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, &str, Change); 5] = [
        ("whole", "", |_| {}),
        ("flipped", "000001.0_0.3_0.json", |bytes| bytes[20] ^= 1),
        ("cut", "000005.3_0.7_0.json", |bytes| bytes.truncate(100)),
        ("index-flipped", "index.json", |bytes| bytes[90] ^= 4),
        ("index-version-2", "index.json", |bytes| {
            let text = "{\"version\":2,\"format\":\"sealed_chunks\"}".to_owned();
            *bytes = lane_index::sealed::seal(text).into_bytes();
        }),
    ];
    for (folder, changed, change) in changes {
        let storage = SimStorage::new();
        history(&storage);
        let path = self::folder(folder);
        std::fs::create_dir_all(&path).expect("folder");
        for name in storage.list().expect("list") {
            let mut bytes = storage.read(&name).expect("there");
            if name == changed {
                change(&mut bytes);
            }
            std::fs::write(path.join(&name), bytes).expect("write");
        }
    }
}
