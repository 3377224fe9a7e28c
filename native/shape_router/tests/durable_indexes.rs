//! Indexes that are stored beside a snapshot: used where they are intact and of that snapshot, and of no
//! consequence otherwise.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::*;
use durable_support::*;
use lane_index::storage::simulation::{Fault, FaultStorage, Faults, SimStorage};
use lane_index::storage::{Directory, Storage};
use shape_expr::{Column, Schema};
use shape_router::catalogue::Options;
use shape_router::{Change, Class, Config, Keys, Op, Router, ShapeSpec, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Files = BTreeMap<String, Vec<u8>>;

/// Small indexes lie in segments as well.
fn lanes() -> Config {
    Config { short_list: 0, ..config() }
}

fn files(storage: &SimStorage) -> Files {
    let names = storage.list().unwrap().into_iter().filter(|name| name != "LOCK");
    names.map(|name| (name.clone(), storage.read(&name).unwrap())).collect()
}

fn directory(files: &Files) -> SimStorage {
    let storage = SimStorage::new();
    files.iter().for_each(|(name, bytes)| storage.put(name, bytes.clone()));
    storage
}

fn open_as(storage: &SimStorage, config: Config, options: Options) -> Router {
    Router::open_in(config, Arc::new(storage.clone()), options).unwrap()
}

fn open(storage: &SimStorage) -> Router {
    open_as(storage, lanes(), options())
}

/// What opening did with what was stored: used it, refused it.
fn used(router: &Router) -> (u64, u64) {
    let metrics = router.metrics();
    (metrics.open_loaded, metrics.open_refused)
}

const LOADED: (u64, u64) = (1, 0);
const DERIVED: (u64, u64) = (0, 0);
const REFUSED: (u64, u64) = (0, 1);

fn index(files: &Files) -> String {
    files.keys().rfind(|name| name.ends_with(".index")).unwrap().clone()
}

/// How each shape is filed, and all that can be seen otherwise.
fn inside(router: &Router) -> String {
    let explained = router.shapes().into_iter().map(|id| {
        let mut explained = router.explain(id).unwrap();
        // They stand in the order of hashes under a secret.
        explained.conditions.sort_by_key(|c| (c.column.clone(), c.index, c.shapes));
        explained
    });
    let metrics = router.metrics();
    let figures = (metrics.shapes, metrics.templates, metrics.scan_shapes, metrics.known_shapes);
    format!(
        "{} {figures:?} {} {:?}",
        shown(router),
        metrics.membership_keys,
        explained.collect::<Vec<_>>()
    )
}

/// A directory with stored indexes and a journal after them, and what its router showed.
fn small(config: Config) -> (Files, String) {
    let mut history = History::new(7);
    let disk = SimStorage::new();
    let router = open_as(&disk, config, options());
    for _ in 0..25 {
        act(&router, &history.next()).unwrap();
    }
    act(&router, &Act::Fold).unwrap();
    let new = New { id: 1, clause: 1, param: None, keys: Some(vec![1, 2]), snapshot: None };
    act(&router, &Act::Add(vec![new])).unwrap();
    let shown = shown(&router);
    router.close().unwrap();
    (files(&disk), shown)
}

#[test]
fn what_is_loaded_is_what_would_be_derived() {
    let mut loaded = 0;
    for seed in 0..histories(60) {
        let mut history = History::new(seed);
        let disk = SimStorage::new();
        let config = if seed % 2 == 0 { lanes() } else { config() };
        let router = open_as(&disk, config.clone(), options());
        for _ in 0..history.rng.usize(1..60) {
            act(&router, &history.next()).unwrap();
        }
        act(&router, &Act::Fold).unwrap();
        let behind = history.rng.usize(0..8);
        for _ in 0..behind {
            // What comes after the snapshot is filed as it came.
            let next = history.next();
            if !matches!(next, Act::Fold) {
                act(&router, &next).unwrap();
            }
        }
        drop(router);
        let (one, other) = (disk.kill(), disk.kill());
        let stored = open_as(&one, config.clone(), options());
        let derived = open_as(&other, config.clone(), Options { indexes_above: None, ..options() });
        assert_eq!(derived.metrics().open_loaded, 0);
        loaded += stored.metrics().open_loaded;
        assert_eq!(shown(&stored), shown(&derived), "seed {seed}");
        if behind == 0 {
            assert_eq!(inside(&stored), inside(&derived), "seed {seed}");
        }
        // They go on as one, and shapes that were loaded can go.
        history.resume(&derived);
        for _ in 0..20 {
            let next = history.next();
            let place = format!("seed {seed}: {next:?}");
            assert_eq!(act(&stored, &next).unwrap(), act(&derived, &next).unwrap(), "{place}");
            assert_eq!(shown(&stored), shown(&derived), "{place}");
        }
        stored.rebuild().unwrap();
        assert_eq!(shown(&stored), shown(&derived), "seed {seed}, rebuilt");
        for id in stored.shapes() {
            stored.remove_shape(id).unwrap();
        }
        assert_eq!(stored.metrics().scan_shapes, 0, "seed {seed}");
    }
    assert!(loaded > histories(60) * 3 / 4, "{loaded}");
}

#[test]
fn damage_at_any_byte_means_that_everything_is_derived() {
    for config in [config(), lanes()] {
        let (whole, expected) = small(config.clone());
        let router = open_as(&directory(&whole), config.clone(), options());
        assert_eq!((used(&router), shown(&router)), (LOADED, expected.clone()));
        let name = index(&whole);
        let length = whole[&name].len();
        let is_derived = |bytes: Vec<u8>, what: &str| {
            let mut files = whole.clone();
            files.insert(name.clone(), bytes);
            let storage = directory(&files);
            let router = open_as(&storage, config.clone(), options());
            assert_eq!(used(&router), REFUSED, "{what}");
            assert_eq!(shown(&router), expected, "{what}");
            let left = self::files(&storage);
            assert!(!left.contains_key(&name), "{what}: it is still there");
            assert_eq!(router.metrics().index_bytes, 0);
        };
        // With segments in it the file is long, and most of it gaps before them.
        let step = if length > 4096 { 13 } else { 1 };
        for at in (0..length).step_by(step) {
            let mut bytes = whole[&name].clone();
            bytes[at] ^= 1 << (at % 8);
            is_derived(bytes, &format!("byte {at} of {length}"));
        }
        for at in (0..length).step_by(5 * step) {
            is_derived(whole[&name][..at].to_vec(), &format!("cut at {at} of {length}"));
        }
        is_derived([&whole[&name][..], &[0]].concat(), "a byte more");
    }
}

#[test]
fn what_was_made_of_another_snapshot_is_refused() {
    let disk = SimStorage::new();
    let router = open(&disk);
    let add = |router: &Router, id| router.add_shape(ShapeSpec::new(id, Some("a = 1"))).unwrap();
    add(&router, 1);
    router.fold().unwrap();
    let before = files(&disk);
    add(&router, 2);
    router.fold().unwrap();
    router.close().unwrap();
    let after = files(&disk);
    let (old, new) = (index(&before), index(&after));
    assert_ne!(old, new);
    assert!(!after.contains_key(&old), "what is of no use any more is gone");
    let is_refused = |bytes: Vec<u8>, what: &str| {
        let mut files = after.clone();
        files.insert(new.clone(), bytes);
        let router = open(&directory(&files));
        assert_eq!((used(&router), router.shapes()), (REFUSED, vec![1, 2]), "{what}");
    };
    is_refused(before[&old].clone(), "the one before");
    // Even one that says that it is the new one: its blocks know better.
    let mut forged = before[&old].clone();
    forged[16..56].copy_from_slice(&after[&new][16..56]);
    let checksum = xxhash_rust::xxh3::xxh3_64(&forged[..56]);
    forged[56..64].copy_from_slice(&checksum.to_le_bytes());
    is_refused(forged, "a forged one");
    // Another router's of the same name and shape.
    let other = SimStorage::new();
    let router = open(&other);
    add(&router, 1);
    router.fold().unwrap();
    add(&router, 2);
    router.fold().unwrap();
    is_refused(files(&other)[&new].clone(), "another router's");
    // Of the old name it is none of this snapshot's, and goes.
    let mut two = after.clone();
    two.insert(old.clone(), before[&old].clone());
    two.remove(&new);
    two.insert(format!("{new}.tmp"), b"left over".to_vec());
    let storage = directory(&two);
    let router = open(&storage);
    assert_eq!((used(&router), router.shapes()), (DERIVED, vec![1, 2]));
    assert!(files(&storage).keys().all(|name| !name.contains(".index")));
    // A snapshot that was put back, from before the indexes.
    let mut back = before.clone();
    back.remove(&old);
    back.insert(new.clone(), after[&new].clone());
    let router = open(&directory(&back));
    assert_eq!((used(&router), router.shapes()), (DERIVED, vec![1]));
}

#[test]
fn another_version_is_not_used() {
    let (mut files, expected) = small(lanes());
    let name = index(&files);
    let bytes = files.get_mut(&name).unwrap();
    bytes[8] = 2;
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    let router = open(&directory(&files));
    assert_eq!((used(&router), shown(&router)), (REFUSED, expected));
}

/// Where the blocks of a file begin and end.
fn blocks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (mut found, mut at) = (Vec::new(), 64);
    while at + 32 <= bytes.len() {
        // Blocks know where they begin; what lies between two of them is a segment.
        let end = at + 32 + (number(at + 8) >> 32) as usize;
        if number(at + 16) == at as u64 && end <= bytes.len() {
            found.push((at, end));
            at = end;
        } else {
            at += 1;
        }
    }
    found
}

/// Bytes that nobody has written, with checksums that say so: loaded or refused, and never a panic. What
/// they say may be wrong then; whoever can write checksums can write a snapshot.
#[test]
fn whatever_a_block_says_nothing_panics() {
    let mut random = fastrand::Rng::with_seed(3);
    let (mut loaded, mut refused) = (0, 0);
    for config in [config(), lanes()] {
        let (whole, _) = small(config.clone());
        let name = index(&whole);
        let salt = u64::from_le_bytes(whole[&name][32..40].try_into().unwrap());
        let blocks = blocks(&whole[&name]);
        assert!(blocks.len() > 4);
        for _ in 0..histories(1500) {
            let mut files = whole.clone();
            let bytes = files.get_mut(&name).unwrap();
            let (start, end) = blocks[random.usize(0..blocks.len())];
            for _ in 0..random.usize(1..4) {
                let at = random.usize(start + 24..end);
                bytes[at] = match random.u8(0..3) {
                    0 => random.u8(..),
                    1 => bytes[at].wrapping_add(1),
                    _ => [0, 1, 0x7f, 0x80, 0xff][random.usize(0..5)],
                };
            }
            let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[start + 8..end], salt);
            bytes[start..start + 8].copy_from_slice(&sum.to_le_bytes());
            let changed = bytes.clone();
            let outcome = std::panic::catch_unwind(|| {
                let router = open_as(&directory(&files), config.clone(), options());
                shown(&router);
                used(&router)
            });
            match outcome {
                Ok(LOADED) => loaded += 1,
                Ok(REFUSED) => refused += 1,
                other => panic!("{other:?}: {changed:?}"),
            }
        }
    }
    assert!(loaded > 100 && refused > 100, "{loaded} {refused}");
}

#[test]
fn the_truth_is_verified_all_the_same() {
    let (whole, _) = small(lanes());
    let name = whole.keys().find(|name| name.ends_with(".snap")).unwrap().clone();
    for at in 0..whole[&name].len() {
        let mut files = whole.clone();
        files.get_mut(&name).unwrap()[at] ^= 4;
        let storage = directory(&files);
        let opened = Router::open_in(lanes(), Arc::new(storage.clone()), options());
        assert_eq!(opened.err().unwrap().code(), "damaged", "byte {at}");
        assert_eq!(self::files(&storage), files, "byte {at}");
    }
}

#[test]
fn a_store_that_is_cut_off_anywhere_is_of_no_consequence() {
    let mut stages = [0; 2];
    for nth in 1.. {
        let (disk, faults) = (SimStorage::new(), Faults::new());
        let storage = FaultStorage::new(Arc::new(disk.clone()), faults.clone());
        let mut history = History::new(3);
        let router = Router::open_in(lanes(), Arc::new(storage), options()).unwrap();
        for _ in 0..12 {
            let next = history.next();
            if !matches!(next, Act::Fold) {
                act(&router, &next).unwrap();
            }
        }
        let expected = shown(&router);
        let lasting = nth % 2 == 0;
        faults.arm(Fault { lasting, ..Fault::nth(faults.operations() + nth) });
        let folded = router.fold().is_ok();
        let fired = faults.fired() > 0;
        faults.disarm();
        if fired && folded {
            assert_eq!(shown(&router), expected, "step {nth}");
            let metrics = router.metrics();
            // Only an error of the store itself can be told; one while a file goes is nobody's.
            assert!(metrics.index_failed == 1 || metrics.index_bytes > 0, "step {nth}");
        }
        for left in [disk.kill(), disk.crash(nth)] {
            let router = open(&left);
            assert_eq!(shown(&router), expected, "step {nth}");
            // What is there is whole, or it is not there: no crash leaves one that is refused.
            assert_eq!(used(&router).1, 0, "step {nth}");
            stages[used(&router).0 as usize] += 1;
            // The next attempt succeeds.
            router.fold().unwrap();
            assert!(router.metrics().index_bytes > 0, "step {nth}");
            router.close().unwrap();
            assert_eq!(
                (used(&open(&left)), shown(&open(&left.kill()))),
                (LOADED, expected.clone())
            );
        }
        if !fired {
            break;
        }
    }
    assert!(stages[0] > 20 && stages[1] > 2, "{stages:?}");
}

#[test]
fn a_copy_takes_them_along() {
    let disk = SimStorage::new();
    let router = open(&disk);
    for id in 0..50 {
        let clause = format!("a = {id}");
        let keys = Keys::Known(vec![key(id as i64 % 6)]);
        router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(id, Some(&clause)) }).unwrap();
    }
    router.fold().unwrap();
    let expected = shown(&router);
    let copy = disk.disk().directory("copy");
    router.snapshot_into(&copy).unwrap();
    // The one goes on, the other does not know.
    router.remove_shape(7).unwrap();
    router.fold().unwrap();
    let copied = open(&copy.crash(1));
    assert_eq!((used(&copied), shown(&copied)), (LOADED, expected.clone()));
    // A copy that had to fold first has none, and is none the worse.
    router.add_shape(ShapeSpec::new(7, Some("a = 7"))).unwrap();
    let (late, expected) = (disk.disk().directory("late"), shown(&router));
    router.snapshot_into(&late).unwrap();
    let copied = open(&late.crash(1));
    assert_eq!((used(&copied), shown(&copied)), (DERIVED, expected));
}

fn columns(columns: &[(&str, &str)]) -> Config {
    let columns = columns.iter().map(|(name, ty)| Column::new(name, ty.parse().unwrap()));
    let schema = Schema::new("t", columns.collect()).unwrap();
    Config { primary_key: vec!["id".into()], short_list: 0, ..Config::new(schema) }
}

/// A definition of the table comes with a transaction, or without one; before the indexes are stored,
/// and after.
#[test]
fn what_a_relation_changed_is_changed_after_loading() {
    for (told_by_define, folded_before) in
        [(false, false), (false, true), (true, false), (true, true)]
    {
        let place = format!("define {told_by_define}, folded before {folded_before}");
        let disk = SimStorage::new();
        let router = open(&disk);
        for (id, clause) in
            [(1, "a = 1"), (2, "b = 'x'"), (3, "a = 1 AND b LIKE 'x%'"), (4, "id > 0")]
        {
            let keys = if id == 2 { Keys::Known(vec![key(1)]) } else { Keys::Unknown };
            router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(id, Some(clause)) }).unwrap();
        }
        if folded_before {
            router.fold().unwrap();
        }
        // `a` is dropped: its shapes are included in everything.
        let relation = relation(&[("id", 20), ("b", 25)]);
        if told_by_define {
            router.define(&relation).unwrap();
            txn(&router, Transaction::at(10), &[], u64::MAX);
        } else {
            let told = Change { relation: Some(&relation), ..Change::new(Op::Relation) };
            txn(&router, Transaction::at(10), &[told], u64::MAX);
        }
        ack(&router, 10);
        router.add_shape(ShapeSpec::new(5, Some("b = 'y'"))).unwrap();
        if !folded_before {
            router.fold().unwrap();
        }
        let expected = shown(&router);
        assert!(expected.contains("Unknown"), "{place}");
        router.close().unwrap();
        for _ in 0..2 {
            let router = open(&disk);
            assert_eq!((used(&router), shown(&router)), (LOADED, expected.clone()), "{place}");
            let record = Record { id: 9, a: None, b: Some("z".into()) };
            let new = Carried { record, has: [true, false, true] };
            let classes = classes(&router, &insert(&new));
            assert_eq!(
                classes,
                [(1, Class::Unknown), (3, Class::Unknown), (4, Class::Insert)],
                "{place}"
            );
            // A definition that was told before changes nothing.
            router.define(&relation).unwrap();
            router.fold().unwrap();
            router.close().unwrap();
        }
    }
}

/// When other columns are declared, what names columns by their places is made anew.
#[test]
fn indexes_of_other_columns_are_not_used() {
    let disk = SimStorage::new();
    let router = open_as(&disk, columns(&[("id", "int8"), ("b", "text")]), options());
    router.add_shape(ShapeSpec::new(1, Some("b = 'x'"))).unwrap();
    router.fold().unwrap();
    router.close().unwrap();
    let before = files(&disk);
    let wider = || columns(&[("c", "int8"), ("id", "int8"), ("b", "text")]);
    let router = open_as(&disk, wider(), options());
    assert_eq!(used(&router), LOADED);
    router.add_shape(ShapeSpec::new(2, Some("c = 5"))).unwrap();
    router.close().unwrap();
    assert!(!files(&disk).contains_key(&index(&before)));
    let right = |router: &Router| {
        let names = |id| router.explain(id).unwrap().conditions.remove(0).column;
        let schema = router.schema().0;
        let named = |column: usize| schema.columns()[column].name.clone();
        assert_eq!([named(0), named(1), named(2)], ["id", "b", "c"], "none moves");
        assert_eq!([names(1), names(2)], ["b", "c"]);
        struct Row;
        impl shape_expr::RowSource for Row {
            fn datum(&self, column: usize) -> shape_expr::Datum<'_> {
                [
                    shape_expr::Datum::Int(1),
                    shape_expr::Datum::Text(b"x"),
                    shape_expr::Datum::Int(5),
                ][column]
            }
        }
        let change = Change { new: Some(&Row), ..Change::new(Op::Insert) };
        assert_eq!(ids(router, &change), [1, 2]);
    };
    let router = open_as(&disk, wider(), options());
    assert_eq!(used(&router), DERIVED);
    right(&router);
    router.close().unwrap();
    // As if the process had ended before they were removed.
    let name = index(&before);
    disk.put(&name, before[&name].clone());
    let router = open_as(&disk, wider(), options());
    assert_eq!(used(&router), REFUSED);
    right(&router);
    router.fold().unwrap();
    router.close().unwrap();
    let router = open_as(&disk, wider(), options());
    assert_eq!(used(&router), LOADED);
    right(&router);
}

#[test]
fn an_open_table_is_loaded_with_what_clauses_taught() {
    let open = |disk: &SimStorage| {
        let config = Config { primary_key: vec!["id".into()], short_list: 0, ..Config::open("t") };
        open_as(disk, config, options())
    };
    let disk = SimStorage::new();
    let router = open(&disk);
    let clauses = ["user_id = 7", "user_id = 8", "name = 'x' AND user_id = 7", "done", "n > 1.5"];
    for (id, clause) in clauses.iter().enumerate() {
        router.add_shape(ShapeSpec::new(id as u64, Some(clause))).unwrap();
    }
    router.fold().unwrap();
    let explained = |router: &Router| -> Vec<String> {
        router.shapes().iter().map(|&id| format!("{:?}", router.explain(id).unwrap())).collect()
    };
    let expected = explained(&router);
    router.close().unwrap();
    let router = open(&disk);
    assert_eq!((used(&router), explained(&router)), (LOADED, expected));
    assert_eq!(router.schema().0.columns().len(), 5);
}

#[test]
fn they_are_stored_in_the_background_and_only_where_it_pays() {
    let background = |above| Options {
        fold_above_bytes: Some(1 << 10),
        indexes_above: above,
        ..Options::default()
    };
    let stored = |router: &Router| {
        let end = Instant::now() + Duration::from_secs(30);
        while router.metrics().index_bytes == 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
        router.metrics().index_bytes > 0
    };
    let disk = SimStorage::new();
    let router = open_as(&disk, lanes(), background(None));
    for id in 0..400 {
        let clause = format!("a = {}", id % 90);
        router.add_shape(ShapeSpec::new(id, Some(&clause))).unwrap();
    }
    router.fold().unwrap();
    router.close().unwrap();
    // Not where nobody wants them, nor of so few shapes.
    for above in [None, Some(400)] {
        let router = open_as(&disk, lanes(), background(above));
        router.fold().unwrap();
        assert_eq!((router.metrics().index_bytes, used(&router)), (0, DERIVED));
        router.close().unwrap();
    }
    // A directory that has none gets them once it is open, and anew with each fold.
    let router = open_as(&disk, lanes(), background(Some(399)));
    assert!(stored(&router));
    router.close().unwrap();
    let router = open_as(&disk, lanes(), background(Some(399)));
    assert_eq!(used(&router), LOADED);
    for id in 400..1200 {
        let clause = format!("a = {}", id % 90);
        router.add_shape(ShapeSpec::new(id, Some(&clause))).unwrap();
    }
    assert!(stored(&router));
    router.close().unwrap();
    let router = open_as(&disk, lanes(), background(Some(0)));
    assert_eq!(router.len(), 1200);
    drop(router);
}

/// Whoever closes does not wait for the end, nor leaves half of it behind; whoever drops neither.
#[test]
fn storing_is_given_up_when_the_router_is_closed() {
    let disk = SimStorage::new();
    let router = open_as(&disk, lanes(), Options { indexes_above: None, ..options() });
    let clauses: Vec<String> = (0..20_000).map(|id| format!("a = {id}")).collect();
    let specs = clauses.iter().zip(0..).map(|(clause, id)| ShapeSpec::new(id, Some(clause)));
    router.add_shapes(specs).unwrap();
    router.fold().unwrap();
    router.close().unwrap();
    let mut given_up = 0;
    for round in 0..histories(12) {
        let background = Options { fold_above_bytes: Some(1 << 30), ..options() };
        let router = open_as(&disk, lanes(), background);
        assert_eq!(router.len(), 20_000);
        std::thread::sleep(Duration::from_millis(round % 6 * 20));
        router.close().unwrap();
        assert!(files(&disk).keys().all(|name| !name.ends_with(".tmp")));
        match files(&disk).keys().find(|name| name.ends_with(".index")) {
            // Made anew every other time.
            Some(name) if round % 2 == 1 => disk.remove(name).unwrap(),
            Some(_) => {}
            None => given_up += 1,
        }
    }
    assert!(given_up > 0, "every store was quicker than its close");
}

/// What came since the snapshot is filed one by one, in however many files it lies: each opening begins
/// one.
#[test]
fn what_came_since_is_filed_on_top_of_them() {
    let options = Options { journal_file_bytes: 64 << 10, ..options() };
    let disk = SimStorage::new();
    let router = open_as(&disk, lanes(), options);
    router.add_shape(ShapeSpec::new(0, Some("a = 1"))).unwrap();
    router.fold().unwrap();
    let mut expected = shown(&router);
    router.close().unwrap();
    for round in 1..8 {
        let router = open_as(&disk, lanes(), options);
        assert_eq!((used(&router), shown(&router)), (LOADED, expected), "round {round}");
        for id in [2 * round, 2 * round + 1] {
            let clause = format!("a = {} OR b = '{}'", id % 4, "x".repeat(60_000));
            router.add_shape(ShapeSpec::new(id, Some(&clause))).unwrap();
        }
        router.remove_shape(2 * round).unwrap();
        expected = shown(&router);
        router.close().unwrap();
    }
}

#[test]
fn they_are_read_into_memory_where_nothing_is_to_be_mapped() {
    let folder = tempfile::tempdir().unwrap();
    for mmap in [true, false] {
        let open = || {
            let storage = Directory::open(folder.path()).unwrap();
            let options = Options { mmap, ..options() };
            Router::open_in(lanes(), Arc::new(storage), options).unwrap()
        };
        let router = open();
        if router.is_empty() {
            let clauses: Vec<String> = (0..3000).map(|id| format!("a = {id}")).collect();
            let specs = clauses.iter().zip(0..).map(|(clause, id)| {
                let keys = Keys::Known(vec![key(id as i64)]);
                ShapeSpec { keys, ..ShapeSpec::new(id, Some(clause)) }
            });
            router.add_shapes(specs).unwrap();
        }
        router.fold().unwrap();
        let expected = shown(&router);
        router.close().unwrap();
        let router = open();
        assert_eq!((used(&router), shown(&router)), (LOADED, expected));
        for id in [0, 1, 1500, 2999] {
            let record = Record { id: 1 << 40, a: Some(id), b: None };
            assert_eq!(ids(&router, &insert(&Carried::whole(&record))), [id as u64]);
        }
        router.close().unwrap();
    }
}
