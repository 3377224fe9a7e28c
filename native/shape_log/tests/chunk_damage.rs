//! Files of chunks, and their index, cut and garbled at every byte.

mod chunks;

use std::sync::Arc;

use chunks::{at, check, content, open, ranges, seal};
use lane_index::Error as StorageError;
use lane_index::Storage;
use lane_index::storage::simulation::SimStorage;
use shape_log::Error;

fn sealed() -> (SimStorage, Arc<dyn Storage>) {
    let storage = SimStorage::new();
    let all: Arc<dyn Storage> = Arc::new(storage.clone());
    let store = open(&all).expect("open");
    seal(&store, 0, 12, true).expect("seal");
    seal(&store, 12, 20, false).expect("seal");
    (storage, all)
}

/// The bytes cut at every length, and changed at every byte.
fn damaged(bytes: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let cut = (0..bytes.len()).map(|length| (format!("cut at {length}"), bytes[..length].to_vec()));
    let garbled = (0..bytes.len()).flat_map(move |place| {
        [0x01, 0x20, 0x80, 0xff].into_iter().map(move |flip| {
            let mut bytes = bytes.to_vec();
            bytes[place] ^= flip;
            (format!("{flip:#x} at {place}"), bytes)
        })
    });
    let longer = std::iter::once(("longer".to_owned(), [bytes, b" "].concat()));
    cut.chain(garbled).chain(longer)
}

#[test]
fn every_damage_of_a_file_is_found_and_named() {
    let (storage, all) = sealed();
    for name in ["000001.0_0.12_0.json", "000001.0_0.12_0.json.gz", "000002.12_0.20_0.json"] {
        let seq = name[..6].parse().expect("a number");
        let bytes = storage.read(name).expect("there");
        for (what, bytes) in damaged(&bytes) {
            storage.put(name, bytes);
            let store = open(&all).expect("open");
            match store.verify(seq) {
                Err(Error::Storage(StorageError::Damaged { path, .. })) => assert_eq!(path, name),
                other => panic!("{name}, {what}: {other:?}"),
            }
            if what.starts_with("cut") {
                assert!(store.lease(seq).is_err(), "{name}, {what}");
            }
            store.verify(3 - seq).expect("the other one is whole");
        }
        storage.put(name, bytes);
    }
    check(&*all, &open(&all).expect("open"));
}

#[test]
fn a_damaged_index_is_made_anew_from_the_files() {
    let (storage, all) = sealed();
    let list = open(&all).expect("open").list();
    let bytes = storage.read("index.json").expect("there");
    for (what, bytes) in damaged(&bytes) {
        storage.put("index.json", bytes);
        let store = open(&all).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(store.list(), list, "{what}");
        assert!(store.opened().rebuilt.is_some(), "{what}");
        // And is there again, with the same bytes.
        assert_eq!(storage.read("index.json"), Some(bytes_of(&storage)), "{what}");
        assert_eq!(open(&all).expect("open").opened().rebuilt, None, "{what}");
    }
    all.remove("index.json").expect("remove");
    let store = open(&all).expect("open");
    assert_eq!((store.list(), store.opened().rebuilt.as_deref()), (list, Some("there is none")));
    assert_eq!(seal(&store, 20, 21, false).expect("seal").seq, 3);

    fn bytes_of(storage: &SimStorage) -> Vec<u8> {
        let (undamaged, _) = sealed();
        assert!(storage.read("index.json").is_some());
        undamaged.read("index.json").expect("there")
    }
}

#[test]
fn without_an_index_a_file_that_is_no_array_is_put_aside() {
    let (storage, all) = sealed();
    let name = "000001.0_0.12_0.json";
    let bytes = storage.read(name).expect("there");
    for length in 0..bytes.len() {
        let (storage, all) = sealed();
        storage.put(name, bytes[..length].to_vec());
        all.remove("index.json").expect("remove");
        let store = open(&all).expect("open");
        assert_eq!(ranges(&store), [(12, 20)], "cut at {length}");
        assert_eq!(store.opened().quarantined, [format!("{name}.corrupt")]);
        assert_eq!(store.opened().swept, [format!("{name}.gz")]);
        assert_eq!(storage.read(&format!("{name}.corrupt")), Some(bytes[..length].to_vec()));
        // Its number is not used again.
        all.remove("000002.12_0.20_0.json").expect("remove");
        all.remove("index.json").expect("remove");
        assert_eq!(seal(&open(&all).expect("open"), 0, 1, false).expect("seal").seq, 2);
    }
    // A twin that holds something else is put aside; the chunk stays.
    let gzip = format!("{name}.gz");
    let packed = storage.read(&gzip).expect("there");
    storage.put(&gzip, packed[..packed.len() - 1].to_vec());
    all.remove("index.json").expect("remove");
    let store = open(&all).expect("open");
    assert_eq!(ranges(&store), [(0, 12), (12, 20)]);
    assert_eq!(store.opened().quarantined, [format!("{gzip}.corrupt")]);
    assert_eq!(store.find(at(0)).expect("listed").gzip, None);
    check(&*all, &store);
}

#[test]
fn without_an_index_the_newest_of_two_that_overlap_counts() {
    let (storage, all) = sealed();
    storage.put("000003.0_0.20_0.json", content(0, 20));
    all.remove("index.json").expect("remove");
    let store = open(&all).expect("open");
    assert_eq!(ranges(&store), [(0, 20)]);
    assert_eq!(store.opened().swept.len(), 3);
    check(&*all, &store);
}

#[test]
fn an_index_of_another_version_is_refused_and_left() {
    let (storage, all) = sealed();
    let newer = lane_index::sealed::seal("{\"version\":2,\"format\":\"sealed_chunks\"}".to_owned());
    storage.put("index.json", newer.clone().into_bytes());
    storage.put("000009.50_0.60_0.json.tmp", b"[".to_vec());
    let error = open(&all).err().expect("refused");
    assert!(
        matches!(error, Error::Storage(StorageError::UnknownVersion { version: 2, .. })),
        "{error}"
    );
    assert_eq!(storage.read("index.json"), Some(newer.into_bytes()));
    assert!(storage.read("000009.50_0.60_0.json.tmp").is_some());
    assert!(storage.read("000001.0_0.12_0.json").is_some());
}
