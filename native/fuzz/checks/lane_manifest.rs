//! Any bytes as a manifest: read or refused with a place; what is read can be written and read again.

use std::sync::Arc;

use lane_index::Error;
use lane_index::manifest::{Manifest, ManifestStore};
use lane_index::storage::names;
use lane_index::storage::simulation::SimStorage;
use xxhash_rust::xxh3::xxh3_64;

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    read(bytes);
    // The same under a checksum that fits.
    let end = bytes.windows(12).rposition(|at| at == b",\"checksum\":").unwrap_or(bytes.len());
    let body = &bytes[..end];
    read(&[body, format!(",\"checksum\":\"{:016x}\"}}\n", xxh3_64(body)).as_bytes()].concat());
}

fn read(bytes: &[u8]) {
    let storage = SimStorage::new();
    storage.put(names::MANIFEST, bytes.to_vec());
    let opened = ManifestStore::open(Arc::new(storage.clone()));
    match Manifest::decode(bytes) {
        Ok(manifest) => {
            let text = manifest.encode().expect("what was read can be written");
            assert_eq!(Manifest::decode(text.as_bytes()).expect("and read again"), manifest);
            let mut store = opened.expect("opened").expect("there");
            assert_eq!(store.current(), &manifest);
            let id = store.take_id();
            assert!(manifest.segments.iter().all(|segment| segment.id != id));
            // At the end of the numbers there is no next manifest, but a refusal.
            match store.commit(manifest.clone()) {
                Ok(()) => {
                    let again = ManifestStore::open(Arc::new(storage));
                    let again = again.expect("what was committed opens").expect("there");
                    assert_eq!(again.current().segments, manifest.segments);
                    assert_eq!(again.current().generation, manifest.generation + 1);
                    assert!(again.next_id() > id || id == u64::MAX);
                }
                Err(Error::Limit { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        Err(error) => {
            match &error {
                Error::Damaged { path, offset, .. } => {
                    assert_eq!(path, names::MANIFEST);
                    assert!(*offset <= bytes.len() as u64, "{error}");
                }
                Error::UnknownVersion { path, .. } => assert_eq!(path, names::MANIFEST),
                other => panic!("{other:?}"),
            }
            let refused = opened.err().expect("refused as well");
            assert_eq!(refused.to_string(), error.to_string());
            assert_eq!(storage.read(names::MANIFEST).as_deref(), Some(bytes), "left as it is");
        }
    }
}
