//! Backups by hard link, incremental ones, verification and restore.

mod common;

use std::sync::Arc;

use common::KEY;
use lane_index::backup::{Sharing, restore, snapshot, verify};
use lane_index::lock::DirectoryLock;
use lane_index::manifest::{self, Manifest, ManifestStore, SegmentEntry};
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimDisk};
use lane_index::storage::{Directory, Storage, names};
use lane_index::{Error, OpenOptions, Segment, SegmentBuilder, SegmentOptions};

/// Adds a segment of a few keys to an index.
fn grow(store: &mut ManifestStore, storage: &dyn Storage) {
    let id = store.take_id();
    let options = SegmentOptions { lanes: 8, level: 0 };
    let mut builder = SegmentBuilder::new(storage, &names::segment(id), options).expect("builder");
    for key in 0..20_u64 {
        builder.push((key / 5) as u16, key << 40 | id, &[id as u32], &[]).expect("push");
    }
    let meta = builder.finish().expect("finish");
    let mut next = store.current().clone();
    next.segments.push(SegmentEntry::new(id, &meta));
    next.applied_seq += 20;
    next.journal = Some(4);
    store.commit(next).expect("commit");
}

fn index(storage: &Arc<dyn Storage>, segments: usize) -> ManifestStore {
    let mut store =
        ManifestStore::create(Arc::clone(storage), Manifest::new(8, KEY)).expect("create");
    (0..segments).for_each(|_| grow(&mut store, &**storage));
    store
}

/// Each test on the real file system and on the simulated one.
fn each(test: impl Fn(&dyn Fn(&str) -> Arc<dyn Storage>)) {
    let folder = tempfile::tempdir().expect("folder");
    test(&|name| Arc::new(Directory::open(folder.path().join(name)).expect("directory")));
    let disk = SimDisk::new();
    test(&|name| Arc::new(disk.directory(name)));
}

fn check(storage: &dyn Storage, expected: &Manifest) {
    let found = verify(storage).expect("a manifest");
    let mut expected = expected.clone();
    expected.journal = None;
    assert_eq!(found.manifest, expected);
    assert!(found.broken.is_empty() && found.whole == expected.segments.len());
    for entry in &expected.segments {
        let segment = Segment::open(storage, &entry.meta(), OpenOptions::default()).expect("open");
        let posting = segment.get_verified(2, 12 << 40 | entry.id).expect("answer");
        assert_eq!(posting.adds().collect::<Vec<u32>>(), [entry.id as u32], "{}", entry.path);
    }
}

#[test]
fn a_backup_of_an_open_index_is_linked_and_restored() {
    each(|directory| {
        let source = directory("index");
        let _lock = DirectoryLock::acquire(&*source).expect("open");
        let mut store = index(&source, 3);
        let old = store.current().clone();
        let backup = directory("backup");
        let report = snapshot(&*source, &old, &*backup, None, Sharing::Link).expect("backup");
        assert_eq!((report.segments, report.linked, report.copied), (3, 3, 0));
        assert_eq!(report.bytes, old.segments.iter().map(|entry| entry.bytes).sum::<u64>());
        // The index goes on, and even loses its segments: the backup has them.
        grow(&mut store, &*source);
        for entry in &old.segments {
            source.remove(&entry.path).expect("remove");
        }
        check(&*backup, &old);
        for sharing in [Sharing::Link, Sharing::Copy] {
            let restored = directory(&format!("{sharing:?}"));
            let report = restore(&*backup, &*restored, sharing).expect("restore");
            assert_eq!(report.copied, if sharing == Sharing::Copy { 3 } else { 0 });
            check(&*restored, &old);
            // It is an index again, and gives no id that was given before the backup.
            let mut store = ManifestStore::open(restored).expect("open").expect("there");
            assert_eq!(store.take_id(), old.next_id);
        }
    });
}

#[test]
fn an_incremental_backup_copies_only_what_is_new() {
    let (near, far) = (SimDisk::new(), SimDisk::new());
    let source: Arc<dyn Storage> = Arc::new(near.directory("index"));
    let mut store = index(&source, 3);
    let monday = far.directory("monday");
    let report = snapshot(&*source, store.current(), &monday, None, Sharing::Link).expect("first");
    assert_eq!((report.linked, report.copied), (0, 3), "another disk");
    let first = store.current().clone();

    // A merge takes the first two away, two are new.
    let mut next = store.current().clone();
    next.segments.drain(..2);
    store.commit(next).expect("commit");
    (0..2).for_each(|_| grow(&mut store, &*source));
    let tuesday = far.directory("tuesday");
    let report = snapshot(&*source, store.current(), &tuesday, Some(&monday), Sharing::Link)
        .expect("second");
    assert_eq!((report.segments, report.from_base), (3, 1));
    assert_eq!((report.linked, report.copied), (1, 2));
    let new_bytes: u64 = store.current().segments[1..].iter().map(|entry| entry.bytes).sum();
    assert_eq!(report.copied_bytes, new_bytes);
    check(&tuesday, store.current());
    check(&monday, &first);
    // Each is whole without the other.
    for name in monday.list().expect("list") {
        monday.remove(&name).expect("remove");
    }
    check(&tuesday, store.current());
}

/// After a restore two indexes give the same ids to different segments.
#[test]
fn a_base_with_another_segment_of_the_same_id_is_not_taken() {
    each(|directory| {
        let source = directory("index");
        let mut store = index(&source, 1);
        let base = directory("base");
        snapshot(&*source, store.current(), &*base, None, Sharing::Link).expect("base");
        let mut next = store.current().clone();
        let other = directory("other");
        drop(index(&other, 3));
        source.remove(&names::segment(1)).expect("remove");
        other.link_into(&names::segment(3), &*source, &names::segment(1)).expect("link");
        let theirs = manifest::read(&*other).expect("read").expect("there");
        next.segments = vec![SegmentEntry::new(1, &theirs.segments[2].meta())];
        store.commit(next).expect("commit");
        let backup = directory("backup");
        let report = snapshot(&*source, store.current(), &*backup, Some(&*base), Sharing::Link)
            .expect("backup");
        assert_eq!(report.from_base, 0);
        assert_eq!(verify(&*backup).expect("manifest").whole, 1);
    });
}

#[test]
fn a_directory_in_use_is_not_written_to() {
    each(|directory| {
        let source = directory("index");
        let store = index(&source, 1);
        let to = |target: &dyn Storage| {
            snapshot(&*source, store.current(), target, None, Sharing::Link).map(drop)
        };
        assert!(matches!(to(&*source), Err(Error::NotEmpty { .. })));
        let notes = directory("notes");
        notes.create("notes.txt").expect("create");
        match to(&*notes) {
            Err(Error::NotEmpty { found }) => assert_eq!(found, "notes.txt"),
            other => panic!("{other:?}"),
        }
        let held = directory("held");
        let _lock = DirectoryLock::acquire(&*held).expect("free");
        assert!(matches!(to(&*held), Err(Error::Locked { .. })));
        assert!(matches!(verify(&*directory("empty")), Err(Error::Missing { .. })));
    });
}

#[test]
fn a_damaged_backup_is_named_and_not_restored() {
    let disk = SimDisk::new();
    let source: Arc<dyn Storage> = Arc::new(disk.directory("index"));
    let store = index(&source, 3);
    let (backup, target) = (disk.directory("backup"), disk.directory("target"));
    snapshot(&*source, store.current(), &backup, None, Sharing::Copy).expect("backup");
    let name = names::segment(2);
    let mut bytes = backup.read(&name).expect("there");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    backup.put(&name, bytes);
    backup.remove(&names::segment(3)).expect("remove");
    let found = verify(&backup).expect("the manifest is whole");
    assert_eq!(found.whole, 1);
    let broken: Vec<&String> = found.broken.iter().map(|(file, _)| file).collect();
    assert_eq!(broken, [&name, &names::segment(3)]);
    match restore(&backup, &target, Sharing::Link) {
        Err(Error::Damaged { path, .. }) => assert_eq!(path, name),
        other => panic!("{other:?}"),
    }
    assert_eq!(target.list().expect("list"), [names::LOCK]);
}

/// An interrupted backup is none: no manifest, or a whole one with all it names.
#[test]
fn every_step_of_a_backup_may_fail_or_be_the_last() {
    let steps = |nth: Option<u64>, effect, sharing, seed: u64| {
        let disk = SimDisk::new();
        let source: Arc<dyn Storage> = Arc::new(disk.directory("index"));
        let store = index(&source, 3);
        let faults = Faults::new();
        if let Some(nth) = nth {
            faults.arm(Fault { nth, only: None, effect, lasting: true });
        }
        let target = FaultStorage::new(Arc::new(disk.directory("backup")), faults.clone());
        let result = snapshot(&*source, store.current(), &target, None, sharing);
        let found = disk.crash(seed).directory("backup");
        match (verify(&found), &result) {
            (Ok(found), _) => assert!(found.broken.is_empty() && found.whole == 3),
            (Err(Error::Missing { .. }), Err(_)) => {}
            (error, _) => panic!("{error:?} after {result:?}"),
        }
        assert_eq!(result.is_err(), nth.is_some());
        faults.operations()
    };
    for sharing in [Sharing::Link, Sharing::Copy] {
        let all = steps(None, Effect::All, sharing, 0);
        assert!(all > 5);
        for effect in [Effect::Nothing, Effect::Half, Effect::All] {
            for nth in 1..=all {
                (0..8).for_each(|seed| {
                    // What a failed backup leaves behind may fail to be removed; that is no step
                    // of a backup that succeeds.
                    steps(Some(nth), effect, sharing, seed);
                });
            }
        }
    }
}
