//! The manifest: replaced as a whole, read back as it was, and what it does not name is swept.

mod common;

use std::sync::Arc;

use common::{KEY, histories, rng};
use fastrand::Rng;
use lane_index::Error;
use lane_index::manifest::{self, Manifest, ManifestStore, SegmentEntry};
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, Operation, SimStorage};
use lane_index::storage::{Directory, Storage, names};

fn segment(id: u64) -> SegmentEntry {
    SegmentEntry {
        id,
        level: (id % 7) as u32,
        keys: id.wrapping_mul(1000),
        adds: u64::MAX - id,
        removes: id,
        bytes: 1,
        path: names::segment(id),
        checksum: id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

fn put(storage: &dyn Storage, name: &str) {
    let mut file = storage.create(name).expect("create");
    file.write_all(b"x").expect("write");
    file.sync().expect("sync");
}

/// Commits a manifest with one more segment, whose file is there.
fn grow(store: &mut ManifestStore, storage: &dyn Storage) -> Result<(), Error> {
    let id = store.take_id();
    write_segment(storage, id)?;
    let mut next = store.current().clone();
    next.segments.push(segment(id));
    next.applied_seq += 10;
    store.commit(next)
}

fn write_segment(storage: &dyn Storage, id: u64) -> Result<(), Error> {
    let mut file = storage.create(&names::segment(id))?;
    file.write_all(b"x")?;
    file.sync()
}

fn created(storage: &SimStorage) -> ManifestStore {
    ManifestStore::create(Arc::new(storage.clone()), Manifest::new(8, KEY)).expect("create")
}

fn sweep(store: &ManifestStore) -> Vec<String> {
    let mut removed = store.sweep(&mut |_, _| Ok(true)).expect("sweep");
    removed.sort();
    removed
}

#[test]
fn it_is_read_back_as_it_was() {
    let folder = tempfile::tempdir().expect("folder");
    let real: Arc<dyn Storage> = Arc::new(Directory::open(folder.path()).expect("directory"));
    for storage in [real, Arc::new(SimStorage::new())] {
        assert!(ManifestStore::open(Arc::clone(&storage)).expect("nothing yet").is_none());
        let mut store =
            ManifestStore::create(Arc::clone(&storage), Manifest::new(8, KEY)).expect("create");
        for generation in 2..20 {
            grow(&mut store, &*storage).expect("commit");
            assert_eq!(store.current().generation, generation);
            let read = manifest::read(&*storage).expect("read").expect("there");
            assert_eq!(read, *store.current());
        }
        let last = store.current().clone();
        drop(store);
        let store = ManifestStore::open(Arc::clone(&storage)).expect("open").expect("there");
        assert_eq!(*store.current(), last);
        assert!(ManifestStore::create(storage, Manifest::new(8, KEY)).is_err());
    }
}

#[test]
fn numbers_of_64_bits_survive() {
    let mut manifest = Manifest::new(u32::MAX, [0xff; 16]);
    (manifest.applied_seq, manifest.next_id) = (u64::MAX, u64::MAX);
    (manifest.generation, manifest.journal) = (u64::MAX, Some(u64::MAX));
    manifest.segments.push(segment(u64::MAX - 1));
    let text = manifest.encode().expect("encode");
    assert_eq!(Manifest::decode(text.as_bytes()).expect("decode"), manifest);
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(json["version"], 1);
}

#[test]
fn what_is_not_named_is_swept_and_nothing_else() {
    let storage = SimStorage::new();
    let mut store = created(&storage);
    grow(&mut store, &storage).expect("commit");
    let stray = store.take_id();
    let mut next = store.current().clone();
    next.journal = Some(5);
    store.commit(next).expect("commit");
    drop(store);
    let swept = [
        names::journal(3),
        names::journal(4),
        names::temporary(&names::journal(7)),
        names::temporary(names::MANIFEST),
        names::segment(stray),
        names::temporary(&names::segment(stray + 1)),
    ];
    let other_version = names::segment(stray + 2);
    let kept = [
        names::journal(5),
        names::journal(6),
        other_version.clone(),
        format!("{}{}", names::segment(1), names::CORRUPT),
        "notes.txt".into(),
        "segment-1.seg".into(),
        "segment-000000000000000A.seg".into(),
        "notes.tmp".into(),
    ];
    swept.iter().chain(&kept).for_each(|name| put(&storage, name));

    let mut store = ManifestStore::open(Arc::new(storage.clone())).expect("open").expect("there");
    let mut removed = store.sweep(&mut |name, _| Ok(name != other_version)).expect("sweep");
    removed.sort();
    let mut expected = swept.to_vec();
    expected.sort();
    assert_eq!(removed, expected);
    let left = storage.list().expect("list");
    for name in kept.iter().chain([&names::segment(1), &names::MANIFEST.into()]) {
        assert!(left.contains(name), "{name}");
    }
    // No name of a file that is or was there is given again.
    assert_eq!(store.take_id(), stray + 3);
}

#[test]
fn an_id_is_never_given_twice() {
    let storage = SimStorage::new();
    let mut store = created(&storage);
    let ids: Vec<u64> = (0..5).map(|_| store.take_id()).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    // A caller that works on an old copy cannot take the number back.
    store.commit(Manifest::new(8, KEY)).expect("commit");
    assert_eq!(store.take_id(), 6);
    drop(store);
    let mut store = ManifestStore::open(Arc::new(storage)).expect("open").expect("there");
    assert_eq!(store.take_id(), 6);
}

#[test]
fn a_lost_manifest_is_not_taken_for_a_new_index() {
    for name in [names::segment(1), names::journal(1)] {
        let storage = SimStorage::new();
        put(&storage, &name);
        let arc = || Arc::new(storage.clone());
        assert!(matches!(ManifestStore::open(arc()), Err(Error::Missing { .. })));
        let create = ManifestStore::create(arc(), Manifest::new(8, KEY));
        assert!(matches!(create, Err(Error::Missing { .. })));
        assert!(storage.read(&name).is_some());
    }
}

#[test]
fn a_manifest_that_a_reader_would_refuse_is_not_committed() {
    let storage = SimStorage::new();
    let mut store = created(&storage);
    let mut refused = |change: &dyn Fn(&mut Manifest)| {
        let mut next = store.current().clone();
        next.next_id = 10;
        next.segments = vec![segment(1), segment(2)];
        change(&mut next);
        assert!(matches!(store.commit(next), Err(Error::Damaged { .. })));
    };
    refused(&|next| next.num_lanes = 0);
    refused(&|next| next.segments[1].path = "../elsewhere".into());
    refused(&|next| next.segments[1] = segment(1));
    refused(&|next| next.segments[1] = segment(10));
    grow(&mut store, &storage).expect("the store works on");
}

/// A store under a history of commits, some of which fail, then a crash; over generations.
#[test]
fn a_crash_leaves_the_old_manifest_or_the_new_one() {
    for seed in 0..histories(1000) {
        let mut rng = rng(seed);
        let mut storage = SimStorage::new();
        let mut possible: Vec<Option<Manifest>> = vec![None];
        for _ in 0..6 {
            manifest_generation(&storage, &mut possible, &mut rng);
            storage = match rng.u8(0..3) {
                0 => storage.kill(),
                1 => storage.kill().crash(rng.u64(..)),
                _ => storage.crash(rng.u64(..)),
            };
            let found = manifest::read(&storage).expect("a crash never damages a manifest");
            assert!(possible.contains(&found), "seed {seed}: {found:?}");
            for entry in found.iter().flat_map(|manifest| &manifest.segments) {
                let file = storage.read(&entry.path);
                assert_eq!(file.as_deref(), Some(&b"x"[..]), "seed {seed}: {}", entry.path);
            }
        }
    }
}

/// Opens or creates, and commits some. `possible` is what may be on the disk after a crash.
fn manifest_generation(storage: &SimStorage, possible: &mut Vec<Option<Manifest>>, rng: &mut Rng) {
    let faults = Faults::new();
    let faulty: Arc<dyn Storage> =
        Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
    if rng.bool() {
        let effect = [Effect::Nothing, Effect::Half, Effect::All][rng.usize(0..3)];
        faults.arm(Fault { nth: rng.u64(1..40), only: None, effect, lasting: rng.bool() });
    }
    let opened = match manifest::read(storage).expect("whole") {
        Some(_) => ManifestStore::open(Arc::clone(&faulty)).map(|store| store.expect("there")),
        None => {
            let mut first = Manifest::new(8, KEY);
            first.generation = 1;
            possible.push(Some(first.clone()));
            ManifestStore::create(Arc::clone(&faulty), first)
        }
    };
    // Nothing is certain, but nothing was served either.
    let Ok(mut store) = opened else { return };
    *possible = vec![Some(store.current().clone())];
    // Files that nothing names may go; that must not touch what the manifest names.
    drop(store.sweep(&mut |_, _| Ok(true)));
    let mut refused = false;
    for _ in 0..rng.u8(0..8) {
        let mut next = store.current().clone();
        let mut gone = None;
        if rng.bool() && !next.segments.is_empty() {
            // A merge: the old file goes once the new manifest is there.
            gone = Some(next.segments.remove(0).path);
        } else {
            let id = store.take_id();
            if write_segment(&*faulty, id).is_err() {
                continue;
            }
            next.segments.push(segment(id));
        }
        next.applied_seq += 1;
        let mut attempt = next.clone();
        attempt.generation += 1;
        // The id may have been taken without a commit in between.
        attempt.next_id = store.next_id();
        match store.commit(next) {
            Ok(()) => {
                assert!(!refused, "a store that refused works again");
                assert_eq!(*store.current(), attempt);
                *possible = vec![Some(attempt)];
                gone.into_iter().for_each(|path| drop(faulty.remove(&path)));
            }
            Err(Error::Failed { .. }) => refused = true,
            Err(_) => possible.push(Some(attempt)),
        }
    }
}

#[test]
fn every_step_of_a_commit_may_fail() {
    let counting = Faults::new();
    let base = SimStorage::new();
    grow(&mut created(&base), &base).expect("commit");
    let commit = |storage: &SimStorage, faults: &Faults| {
        let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
        let mut store = ManifestStore::open(faulty)?.expect("there");
        let mut next = store.current().clone();
        next.applied_seq = 77;
        let first = store.commit(next.clone());
        faults.disarm();
        if first.is_err() {
            // From the rename on it is unknown which one is on disk.
            let unknown = faults.steps().iter().any(|step| step.0 == Operation::Rename);
            let second = store.commit(next);
            assert_eq!(matches!(second, Err(Error::Failed { .. })), unknown, "{second:?}");
            assert_eq!(store.is_failed(), unknown);
            // Then no file of either may go.
            let swept = store.sweep(&mut |_, _| Ok(true));
            assert_eq!(matches!(swept, Err(Error::Failed { .. })), unknown, "{swept:?}");
        }
        first
    };
    commit(&base.kill(), &counting).expect("nothing fails");
    let old = manifest::read(&base).expect("read").expect("there");
    for effect in [Effect::Nothing, Effect::Half, Effect::All] {
        for nth in 1..=counting.operations() {
            let storage = base.kill();
            let faults = Faults::new();
            faults.arm(Fault { nth, only: None, effect, lasting: false });
            let step = &counting.steps()[nth as usize - 1];
            let result = commit(&storage, &faults);
            assert!(matches!(result, Err(Error::Io { .. })), "{step:?} {effect:?}");
            for seed in 0..8 {
                let found = manifest::read(&storage.crash(seed)).expect("read").expect("there");
                let new = found.applied_seq == 77 && found.generation == old.generation + 1;
                assert!(found == old || new, "{step:?} {found:?}");
            }
        }
    }
}

/// A process that is killed between the rename and the sync leaves a manifest that only the page
/// cache has. The next process builds on it, so a power cut must not bring the old one back.
#[test]
fn a_manifest_that_was_opened_stays() {
    for seed in 0..50 {
        let storage = SimStorage::new();
        let faults = Faults::new();
        let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
        let mut store = ManifestStore::create(faulty, Manifest::new(8, KEY)).expect("create");
        let mut next = store.current().clone();
        next.applied_seq = 77;
        // The sync before the rename succeeds, the one after it does not.
        faults.arm(Fault { only: Some(Operation::SyncDirectory), ..Fault::nth(2) });
        store.commit(next).expect_err("the sync fails");
        let storage = storage.kill();
        let opened = ManifestStore::open(Arc::new(storage.clone())).expect("open").expect("there");
        assert_eq!(opened.current().applied_seq, 77);
        let found = manifest::read(&storage.crash(seed)).expect("read").expect("there");
        assert_eq!(found, *opened.current(), "seed {seed}");
    }
}

#[test]
fn a_full_disk_leaves_the_old_manifest_and_can_be_tried_again() {
    let storage = SimStorage::new();
    let faults = Faults::new();
    let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
    let mut store = ManifestStore::create(faulty, Manifest::new(8, KEY)).expect("create");
    let old = store.current().clone();
    faults.limit_space(40);
    let mut next = old.clone();
    next.applied_seq = 5;
    match store.commit(next.clone()) {
        Err(Error::Io { source, .. }) => {
            assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(*store.current(), old);
    assert_eq!(manifest::read(&storage.crash(1)).expect("read"), Some(old));
    faults.disarm();
    store.commit(next).expect("room again");
    assert_eq!(store.current().applied_seq, 5);
    assert_eq!(faults.count(Operation::Rename), 2);
    assert!(sweep(&store).is_empty());
}

#[test]
fn a_damaged_file_is_put_aside_and_stays() {
    let storage = SimStorage::new();
    let mut store = created(&storage);
    grow(&mut store, &storage).expect("commit");
    let aside = manifest::quarantine(&storage, &names::segment(1)).expect("aside");
    assert_eq!(names::kind(&aside), names::Kind::Corrupt);
    assert!(sweep(&store).is_empty());
    assert_eq!(storage.crash(1).read(&aside).as_deref(), Some(&b"x"[..]));
}
