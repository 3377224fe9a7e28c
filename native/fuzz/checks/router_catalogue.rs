//! Any bytes as a record of the journal, as a snapshot or as a manifest of a router's directory: the
//! router opens or says which file is damaged; where it opens, a fold changes nothing that is seen. Or
//! as the indexes that are stored beside a snapshot: the router opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use lane_index::sealed;
use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use shape_expr::{Column, Schema};
use shape_router::catalogue::{Declared, Options, StoredSchema, Taken};
use shape_router::{Config, Error, Router};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// What the first byte says that the others are.
pub const RECORD: u8 = 0;
pub const SNAPSHOT: u8 = 1;
pub const MANIFEST: u8 = 2;
pub const INDEXES: u8 = 3;

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    match bytes.split_first() {
        Some((&RECORD, record)) => check_record(record),
        Some((&SNAPSHOT, [shapes, snapshot @ ..])) => check_snapshot(*shapes, snapshot),
        Some((&MANIFEST, manifest)) => check_manifest(manifest),
        Some((&INDEXES, indexes)) => check_indexes(indexes),
        _ => {}
    }
}

pub fn config() -> Config {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().expect("a type"));
    let columns = vec![column("id", "int8"), column("a", "int8"), column("b", "text")];
    let schema = Schema::new("t", columns).expect("a schema");
    Config { primary_key: vec!["id".into()], ..Config::new(schema) }
}

pub fn options() -> Options {
    Options {
        journal_file_bytes: 1024,
        fold_above_bytes: None,
        // What was folded is loaded the next time.
        indexes_above: Some(0),
        ..Options::default()
    }
}

fn open(storage: &SimStorage) -> Result<Router, Error> {
    Router::open_in(config(), Arc::new(storage.clone()), options())
}

fn files(storage: &SimStorage) -> BTreeMap<String, Vec<u8>> {
    let names = storage.list().expect("a list").into_iter().filter(|name| name != "LOCK");
    names.map(|name| (name.clone(), storage.read(&name).expect("there"))).collect()
}

fn shown(router: &Router) -> (Vec<u64>, u64, u64, Arc<Schema>) {
    let metrics = router.metrics();
    (router.shapes(), metrics.known_shapes, metrics.acked_lsn, router.schema().0)
}

fn opens_or_refuses(storage: &SimStorage) {
    let before = files(storage);
    match open(storage) {
        Ok(router) => {
            let found = shown(&router);
            router.fold().expect("what was read can be written");
            assert_eq!(shown(&router), found);
            router.close().expect("closed");
            drop(router);
            let again = open(storage).expect("what was written can be read");
            assert_eq!(shown(&again), found);
            again.close().expect("closed");
        }
        Err(error) => {
            assert!(["damaged", "unknown_version", "mismatch"].contains(&error.code()), "{error}");
            assert_eq!(files(storage), before, "{error}");
        }
    }
}

/// A directory without shapes.
fn empty() -> SimStorage {
    let storage = SimStorage::new();
    open(&storage).expect("a new directory").close().expect("closed");
    storage
}

fn check_record(record: &[u8]) {
    // Its length and its padding as given, and as they should be.
    let mut whole = (record.len() as u32).to_le_bytes().to_vec();
    whole.extend_from_slice(record);
    for mut payload in [record.to_vec(), whole] {
        payload.resize(payload.len().next_multiple_of(16), 0);
        if payload.is_empty() {
            continue;
        }
        let storage = empty();
        let taken = Taken::take(Arc::new(storage.clone())).expect("taken");
        let catalogue = taken.open(options(), &[], &mut Deaf).expect("opened");
        let seq = catalogue.write(&payload).expect("written");
        catalogue.acknowledge(seq).expect("durable");
        catalogue.close().expect("closed");
        opens_or_refuses(&storage);
    }
}

const HASH_KEY: [u8; 16] = *b"0123456789abcdef";
const SALT: u64 = 7;

/// Puts a snapshot into a directory, with checksums and places that fit.
pub fn fitted(shapes: u64, snapshot: &[u8]) -> SimStorage {
    let mut bytes = snapshot.to_vec();
    bytes.resize(bytes.len().max(64), 0);
    let owner = xxh3_64(&HASH_KEY);
    for (at, field) in [(16, 1), (24, 1), (32, SALT), (40, owner)] {
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(field));
    }
    let checksum = xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    let mut at = 64;
    while let Some(length) = bytes.get(at + 12..at + 16) {
        let length = u32::from_le_bytes(length.try_into().expect("four")) as usize;
        let Some(block) = bytes.get_mut(at..at + 32 + length) else { break };
        block[16..24].copy_from_slice(&(at as u64).to_le_bytes());
        let checksum = xxh3_64_with_seed(&block[8..], SALT);
        block[..8].copy_from_slice(&checksum.to_le_bytes());
        at += 32 + length;
    }
    let declared = Declared {
        schema: StoredSchema::new(&config().schema),
        primary_key: vec!["id".into()],
        time_zone: "UTC".into(),
        ascii_case: false,
        order_any_collation_by_bytes: false,
    };
    let manifest = format!(
        "{{\"version\":1,\"format\":\"shape_router\",\"generation\":1,\"hash_key\":\"{:032x}\",\
         \"declared\":{},\"key_types\":[{{\"name\":\"int8\"}}],\"applied_seq\":1,\"journal\":null,\
         \"snapshot\":{{\"number\":1,\"bytes\":{},\"shapes\":{shapes},\"salt\":\"{SALT:016x}\"}},\
         \"next_number\":2}}",
        u128::from_be_bytes(HASH_KEY),
        serde_json::to_string(&declared).expect("JSON"),
        bytes.len(),
    );
    let storage = SimStorage::new();
    storage.put("manifest.json", sealed::seal(manifest).into_bytes());
    storage.put("shapes-0000000000000001.snap", bytes);
    storage
}

fn check_snapshot(shapes: u8, snapshot: &[u8]) {
    opens_or_refuses(&fitted(shapes.into(), snapshot));
}

fn check_manifest(manifest: &[u8]) {
    let end = manifest.windows(12).rposition(|at| at == b",\"checksum\":");
    let body = &manifest[..end.unwrap_or(manifest.len())];
    let fitted = format!(",\"checksum\":\"{:016x}\"}}\n", xxh3_64(body));
    for bytes in [manifest.to_vec(), [body, fitted.as_bytes()].concat()] {
        let storage = SimStorage::new();
        storage.put("manifest.json", bytes);
        opens_or_refuses(&storage);
    }
}

/// Hears nothing: for an empty directory.
struct Deaf;

impl shape_router::catalogue::Replay for Deaf {
    fn schema(&mut self, _: StoredSchema) {}
    fn relation(&mut self, _: shape_router::catalogue::RelationChange) {}
    fn acked(&mut self, _: u64) {}
    fn serials_below(&mut self, _: u64) {}
    fn shape(&mut self, _: &shape_router::catalogue::StoredShape<'_>) {}
    fn removed(&mut self, _: u64) {}
    fn lost_track(&mut self, _: u64) {}
    fn stale(&mut self, _: u64) {}
    fn held(&mut self, _: u128, _: u64, _: Option<shape_router::catalogue::Held>) {}
    fn truncated(&mut self, _: u64, _: &[u64]) {}
}

/// The bytes with the header of `real`, a file of the same snapshot, and checksums that fit.
fn with_checksums(bytes: &[u8], real: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().max(64), 0);
    bytes[..64].copy_from_slice(&real[..64]);
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    };
    let (salt, mut at) = (number(&bytes, 32), 64);
    while at + 32 <= bytes.len() {
        let end = (at + 32).saturating_add((number(&bytes, at + 8) >> 32) as usize);
        // Between two blocks may lie a segment.
        if number(&bytes, at + 16) == at as u64 && end <= bytes.len() {
            let sum = xxh3_64_with_seed(&bytes[at + 8..end], salt);
            bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
            at = end;
        } else {
            at += 1;
        }
    }
    bytes
}

/// A directory with stored indexes, their file and its bytes.
pub fn indexed() -> (SimStorage, String, Vec<u8>) {
    let storage = empty();
    let router = open(&storage).expect("it is empty");
    for (id, clause) in [(1, "a = 1"), (2, "b = 'x'"), (3, "a > 2 AND b LIKE 'x%'"), (4, "a = 2")] {
        router.add_shape(shape_router::ShapeSpec::new(id, Some(clause))).expect("a shape");
    }
    router.fold().expect("it can be written");
    router.close().expect("closed");
    let names = storage.list().expect("a list");
    let name = names.into_iter().find(|name| name.ends_with(".index")).expect("they are stored");
    let bytes = storage.read(&name).expect("there");
    (storage, name, bytes)
}

fn check_indexes(bytes: &[u8]) {
    let (storage, name, real) = indexed();
    storage.put(&name, with_checksums(bytes, &real));
    let router = open(&storage).expect("everything can be derived");
    let metrics = router.metrics();
    if metrics.open_loaded == 0 {
        assert_eq!((router.shapes(), metrics.open_refused), (vec![1, 2, 3, 4], 1));
    }
    shown(&router);
}
