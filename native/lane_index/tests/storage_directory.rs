//! What every storage keeps, the real one and the simulated one alike.

use std::sync::Arc;

use lane_index::Error;
use lane_index::storage::simulation::SimDisk;
use lane_index::storage::{Directory, Storage, Transfer, copy};

fn each(test: impl Fn(Arc<dyn Storage>, Arc<dyn Storage>)) {
    let folder = tempfile::tempdir().expect("folder");
    let real = |name| Arc::new(Directory::open(folder.path().join(name)).expect("directory"));
    test(real("deep/er/one"), real("two"));
    let disk = SimDisk::new();
    test(Arc::new(disk.directory("one")), Arc::new(disk.directory("two")));
}

fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) {
    let mut file = storage.create(name).expect("create");
    file.write_all(bytes).expect("write");
    file.sync().expect("sync");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    each(|storage, target| {
        put(&*storage, "a", b"a");
        let bad = ["", ".", "..", "../a", "a/b", "/etc/passwd", "a\\b", "C:a", "a\0b", "a\nb"];
        let long = "x".repeat(256);
        for name in bad.into_iter().chain([&*long]) {
            let refused = |result: Result<(), Error>| {
                assert!(matches!(result, Err(Error::InvalidName { .. })), "{name:?} {result:?}");
            };
            refused(storage.create(name).map(drop));
            refused(storage.open(name).map(drop));
            refused(storage.map(name, true).map(drop));
            refused(storage.map(name, false).map(drop));
            refused(storage.rename("a", name));
            refused(storage.rename(name, "b"));
            refused(storage.remove(name));
            refused(storage.sync_file(name));
            refused(storage.link_into(name, &*target, "b").map(drop));
            refused(storage.link_into("a", &*target, name).map(drop));
        }
        assert_eq!(storage.list().expect("list"), ["a"]);
    });
}

#[test]
fn maps_are_aligned_and_outlive_the_name() {
    each(|storage, _| {
        for length in [0, 1, 63, 64, 65, 5000] {
            let bytes: Vec<u8> = (0..length).map(|byte| byte as u8).collect();
            put(&*storage, "file", &bytes);
            let maps = [true, false].map(|mmap| storage.map("file", mmap).expect("map"));
            storage.remove("file").expect("remove");
            for map in maps {
                assert_eq!(**map, *bytes);
                assert_eq!(map.as_ptr().align_offset(64), 0);
            }
        }
    });
}

#[test]
fn a_file_is_created_once_and_reads_zeros_where_it_is_allocated() {
    each(|storage, _| {
        let mut file = storage.create("file").expect("create");
        assert!(matches!(storage.create("file"), Err(Error::Io { operation: "create", .. })));
        file.preallocate(10_000).expect("allocate");
        file.write_all(b"abc").expect("write");
        file.preallocate(2).expect("allocated already");
        file.syncer().expect("syncer").sync().expect("sync");
        let map = storage.map("file", true).expect("map");
        assert_eq!((map.len(), &map[..4]), (10_000, &b"abc\0"[..]));
        let open = storage.open("file").expect("open");
        let mut buffer = [0; 3];
        open.read_exact_at(&mut buffer, 0).expect("read");
        assert_eq!((&buffer, open.len()), (b"abc", 10_000));
        assert!(open.read_exact_at(&mut buffer, 9_998).is_err());
        assert!(storage.open("none").is_err() && storage.remove("none").is_err());
        assert!(storage.rename("none", "some").is_err() && storage.sync_file("none").is_err());
    });
}

#[test]
fn files_are_renamed_linked_and_copied() {
    each(|storage, target| {
        put(&*storage, "a", b"one");
        put(&*storage, "b", b"two");
        storage.rename("a", "b").expect("rename over");
        assert_eq!(storage.list().expect("list"), ["b"]);
        assert_eq!(storage.link_into("b", &*target, "c").expect("link"), Transfer::Linked);
        assert!(storage.link_into("b", &*target, "c").is_err());
        copy(&*storage, "b", &*target, "d").expect("copy");
        storage.remove("b").expect("remove");
        for name in ["c", "d"] {
            assert_eq!(**target.map(name, true).expect("map"), *b"one");
        }
        target.sync_file("c").expect("sync");
        target.sync_directory().expect("sync");
    });
}

#[test]
fn between_storages_of_two_kinds_a_file_is_copied() {
    let folder = tempfile::tempdir().expect("folder");
    let real = Directory::open(folder.path()).expect("directory");
    let simulated = SimDisk::new().directory("index");
    put(&real, "file", b"bytes");
    assert_eq!(real.link_into("file", &simulated, "copy").expect("copy"), Transfer::Copied);
    assert_eq!(simulated.link_into("copy", &real, "back").expect("copy"), Transfer::Copied);
    assert_eq!(**real.map("back", false).expect("map"), *b"bytes");
}

#[test]
fn writing_goes_on_behind_a_length_and_cuts_the_rest() {
    each(|storage, _| {
        put(&*storage, "file", b"0123456789");
        let mut file = storage.append("file", 4).expect("append");
        file.write_all(b"ab").expect("write");
        drop(file);
        assert_eq!(**storage.map("file", false).expect("map"), *b"0123ab");
        let short = storage.append("file", 7).map(drop);
        assert!(matches!(short, Err(Error::Damaged { offset: 6, .. })), "{short:?}");
        assert!(matches!(storage.append("none", 0).map(drop), Err(Error::Io { .. })));
    });
}

#[test]
fn directories_within_are_their_own() {
    each(|storage, _| {
        let inner = storage.subdirectory("inner").expect("subdirectory");
        put(&*inner, "file", b"inner");
        put(&*inner.subdirectory("deep").expect("subdirectory"), "file", b"deep");
        put(&*storage, "file", b"outer");
        let again = storage.subdirectory("inner").expect("it is there already");
        assert_eq!(**again.map("file", false).expect("map"), *b"inner");
        assert_eq!(storage.list().expect("list"), ["file"]);
        assert_eq!(storage.subdirectories().expect("list"), ["inner"]);
        assert_eq!(inner.subdirectories().expect("list"), ["deep"]);
        inner.sync_directory().expect("sync");
        storage.remove_subdirectory("inner").expect("remove");
        assert_eq!(storage.subdirectories().expect("list"), [""; 0]);
        assert!(inner.open("file").is_err());
        assert!(storage.remove_subdirectory("inner").is_err());
        assert!(matches!(storage.subdirectory("a/b").map(drop), Err(Error::InvalidName { .. })));
    });
}

#[test]
fn a_directory_within_is_durable_once_the_one_above_is_synced() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..64 {
        let disk = SimDisk::new();
        let outer = disk.directory("outer");
        outer.subdirectory("synced").expect("subdirectory");
        outer.sync_directory().expect("sync");
        outer.subdirectory("unsynced").expect("subdirectory");
        let found = outer.crash(seed).subdirectories().expect("list");
        assert!(found.contains(&"synced".to_owned()));
        if found.len() == 2 { kept += 1 } else { lost += 1 }
    }
    assert!(lost > 0 && kept > 0);
}

#[test]
fn all_within_a_directory_can_be_synced_at_once() {
    for seed in 0..32 {
        let disk = SimDisk::new();
        let outer = disk.directory("outer");
        let inner = outer.inside("inner").expect("subdirectory");
        inner.create("file").expect("create").write_all(b"bytes").expect("write");
        assert!(outer.sync_all_within().expect("sync"));
        let found = outer.crash(seed).inside("inner").expect("inner");
        assert_eq!(found.read("file").as_deref(), Some(&b"bytes"[..]));
    }
    let folder = tempfile::tempdir().expect("folder");
    let real = Directory::open(folder.path()).expect("directory");
    assert_eq!(real.sync_all_within().expect("sync"), cfg!(target_os = "linux"));
}

#[test]
fn a_cut_that_was_not_synced_may_not_have_happened() {
    let mut found = std::collections::BTreeSet::new();
    for seed in 0..256 {
        let storage = SimDisk::new().directory("one");
        put(&storage, "file", b"durable, old");
        storage.sync_directory().expect("sync");
        let mut file = storage.append("file", 8).expect("append");
        file.write_all(b"new").expect("write");
        let bytes = storage.crash(seed).read("file").expect("it was durable");
        // What the cut left untouched is never lost.
        assert_eq!(bytes[..8], *b"durable,");
        found.insert(bytes);
    }
    assert!(found.contains(&b"durable,new"[..]) && found.contains(&b"durable, old"[..]));
    assert!(found.contains(&b"durable,"[..]), "{found:?}");
}
