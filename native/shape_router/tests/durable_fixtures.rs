//! Directories that version 1 wrote, whole and damaged, frozen: they open, or are refused, as they
//! always did.
//!
//! `SHAPE_ROUTER_WRITE_FIXTURES=1` writes them anew, when a new version comes.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::*;
use durable_support::*;
use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use shape_router::{Change, Op, Router, Transaction};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Files = BTreeMap<String, Vec<u8>>;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/catalogue_v1")
}

fn open(files: &Files) -> Result<Router, shape_router::Error> {
    let storage = SimStorage::new();
    files.iter().for_each(|(name, bytes)| storage.put(name, bytes.clone()));
    Router::open_in(config(), Arc::new(storage), options())
}

/// A directory in which everything occurs that is stored, in the snapshot and in the journal.
fn whole() -> (Files, String) {
    let disk = SimStorage::new();
    let router = Router::open_in(config(), Arc::new(disk.clone()), options()).unwrap();
    let mut history = History::new(11);
    for round in 0..2 {
        for _ in 0..25 {
            let next = history.next();
            if !matches!(next, Act::Fold) {
                act(&router, &next).unwrap();
            }
        }
        // A row under an unknown key, a TRUNCATE, and a column that is dropped in the end.
        history.lsn += 10;
        let record = Record { id: 0, a: Some(1), b: Some("x".into()) };
        let new = Carried { record, has: [false, true, true] };
        let columns: &[_] =
            if round == 0 { &[("id", 20), ("a", 20), ("b", 25)] } else { &[("id", 20), ("b", 25)] };
        let relation = relation(columns);
        let told = Change { relation: Some(&relation), ..Change::new(Op::Relation) };
        let changes = [insert(&new), Change::new(Op::Truncate), insert(&new), told];
        txn(&router, Transaction::at(history.lsn), &changes, u64::MAX);
        ack(&router, history.lsn);
        history.routed.clear();
        let known =
            |id, clause| New { id, clause, param: None, keys: Some(vec![1, 2]), snapshot: None };
        act(&router, &Act::Add(vec![known(900 + round, 4), known(800 + round, 5)])).unwrap();
        if round == 0 {
            router.fold().unwrap();
        }
    }
    let shown = shown(&router);
    router.close().unwrap();
    let names = disk.list().unwrap().into_iter().filter(|name| name != "LOCK");
    (names.map(|name| (name.clone(), disk.read(&name).unwrap())).collect(), shown)
}

/// The whole directory and damaged ones, each with a name.
fn all() -> Vec<(&'static str, Files, String)> {
    let (files, shown) = whole();
    let last = |prefix: &str| files.keys().rfind(|name| name.starts_with(prefix)).unwrap().clone();
    let (snapshot, journal) = (last("shapes-"), last("journal-"));
    let damaged = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = files.clone();
        change(files.get_mut(name).unwrap());
        let refused = open(&files).err().expect("it is refused").to_string();
        (files, refused)
    };
    let mut all = vec![("whole", files.clone(), shown)];
    let mut add = |name, (files, told): (Files, String)| all.push((name, files, told));
    add("snapshot-flipped", damaged(&snapshot, &|bytes| bytes[200] ^= 1));
    add("snapshot-cut", damaged(&snapshot, &|bytes| bytes.truncate(150)));
    add("snapshot-header", damaged(&snapshot, &|bytes| bytes[17] ^= 1));
    add("journal-flipped", damaged(&journal, &|bytes| bytes[100] ^= 1));
    add("journal-cut", damaged(&journal, &|bytes| bytes.truncate(300)));
    add("manifest-flipped", damaged("manifest.json", &|bytes| bytes[60] ^= 1));
    all
}

#[test]
fn version_1_is_read_as_ever() {
    let folder = folder();
    if std::env::var_os("SHAPE_ROUTER_WRITE_FIXTURES").is_some() {
        for (name, files, told) in all() {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
            fs::write(folder.join("expected.txt"), told).unwrap();
        }
    }
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut files = Files::new();
        for file in fs::read_dir(&path).unwrap() {
            let file = file.unwrap();
            files.insert(file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap());
        }
        let expected = String::from_utf8(files.remove("expected.txt").unwrap()).unwrap();
        let found = match open(&files) {
            Ok(router) => shown(&router),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// A directory with stored indexes in which everything occurs that they have: short lists and segments,
/// shapes with and without choice, clauses by constants and by text, every kind of condition.
fn indexes() -> (Files, String) {
    let disk = SimStorage::new();
    let router = Router::open_in(indexed(), Arc::new(disk.clone()), options()).unwrap();
    let clauses = [
        "a = {K}",
        "a = {K} AND b = 'x'",
        "b = 'x{K}'",
        "a IN ({K}, 100)",
        "a IS NULL",
        "a > {K}",
        "b COLLATE \"C\" > 'y{K}'",
        "b LIKE 'x%'",
        "b LIKE '%y{K}%' AND a > 1",
        "b ILIKE '%XYZ{K}%'",
        "tags @> '{a{K}}'",
        "tags @> '{a{K},b}'",
        "tags @> '{}'",
        "doc @> '{\"k\": {K}}'",
        "doc ? 'k'",
        "doc ->> 'k' = '{K}'",
        "length(b) > {K}",
        "false",
    ];
    let mut id = 0;
    for k in 0..6 {
        for clause in clauses {
            let clause = clause.replace("{K}", &k.to_string());
            let snapshot = match id % 7 {
                1 => Some(shape_router::Snapshot::Lsn(id)),
                2 => Some(shape_router::Snapshot::Xids { xmin: 1, xmax: id, xip: vec![1, 2] }),
                _ => None,
            };
            let keys = (id % 3 > 0).then(|| vec![key(id as i64 % 5)]);
            let keys = keys.map_or(shape_router::Keys::Unknown, shape_router::Keys::Known);
            let spec = shape_router::ShapeSpec::new(id * 3, Some(&clause));
            router.add_shape(shape_router::ShapeSpec { keys, snapshot, ..spec }).unwrap();
            id += 1;
        }
    }
    router.add_shape(shape_router::ShapeSpec::new(1, None)).unwrap();
    let params = vec![shape_expr::Param::Int(4)];
    let spec = shape_router::ShapeSpec::new(2, Some("a = $1"));
    router.add_shape(shape_router::ShapeSpec { params, ..spec }).unwrap();
    router.fold().unwrap();
    router.remove_shape(1).unwrap();
    router.close().unwrap();
    // Which of several conditions a shape is filed under depends on what was there when it came.
    let router = Router::open_in(indexed(), Arc::new(disk.clone()), options()).unwrap();
    let shown = filed(&router);
    router.close().unwrap();
    let names = disk.list().unwrap().into_iter().filter(|name| name != "LOCK");
    (names.map(|name| (name.clone(), disk.read(&name).unwrap())).collect(), shown)
}

fn indexed() -> shape_router::Config {
    let columns =
        [("id", "int8"), ("a", "int8"), ("b", "text"), ("tags", "text[]"), ("doc", "jsonb")];
    let columns =
        columns.map(|(name, ty)| shape_expr::Column::new(name, ty.parse().unwrap())).to_vec();
    let schema = shape_expr::Schema::new("t", columns).unwrap();
    let config = shape_router::Config::new(schema);
    shape_router::Config { primary_key: vec!["id".into()], short_list: 4, ..config }
}

/// What a router shows, and how each of its shapes is filed.
fn filed(router: &Router) -> String {
    use std::fmt::Write;
    let mut shown = shown(router);
    for id in router.shapes() {
        let explained = router.explain(id).unwrap();
        let conditions = explained.conditions.iter().map(|c| (&c.column, c.index, c.shapes));
        let conditions: Vec<_> = conditions.collect();
        writeln!(shown, "{id}: {} {conditions:?}", explained.filed).unwrap();
    }
    shown
}

/// If this fails because the file is refused, clauses are compiled or values are hashed otherwise than
/// before: files of earlier versions are derived again then, once, which is right. Say so in the
/// changelog, and write the fixture anew. If it loads and shows something else, what the bytes mean has
/// changed, and the version of stored indexes has to change with it.
#[test]
fn stored_indexes_of_version_1_are_loaded_as_ever() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/indexes_v1");
    if std::env::var_os("SHAPE_ROUTER_WRITE_FIXTURES").is_some() {
        let (files, told) = indexes();
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
        fs::write(folder.join("expected.txt"), told).unwrap();
    }
    let mut files = Files::new();
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        files.insert(file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap());
    }
    let expected = String::from_utf8(files.remove("expected.txt").unwrap()).unwrap();
    for indexes_above in [Some(0), None] {
        let storage = SimStorage::new();
        files.iter().for_each(|(name, bytes)| storage.put(name, bytes.clone()));
        let options = shape_router::catalogue::Options { indexes_above, ..options() };
        let router = Router::open_in(indexed(), Arc::new(storage), options).unwrap();
        let metrics = router.metrics();
        let loaded = u64::from(indexes_above.is_some());
        assert_eq!((metrics.open_loaded, metrics.open_refused), (loaded, 0));
        if loaded == 1 {
            assert_eq!(filed(&router), expected);
        }
        let shown_first = expected.split_inclusive('\n').take(shown(&router).lines().count());
        assert_eq!(shown(&router), shown_first.collect::<String>());
    }
}

#[test]
fn the_fixture_has_everything_that_is_stored() {
    let (files, shown) = whole();
    assert!(files.keys().any(|name| name.starts_with("shapes-")));
    assert!(shown.contains("Unknown"), "a shape is stale");
    let router = open(&files).unwrap();
    let metrics = router.metrics();
    assert!(metrics.membership_keys > 0 && metrics.known_shapes > 0);
    assert!(metrics.known_shapes < metrics.shapes);
}
