//! What `docs/operations.md` tells an operator to do, on a real directory.

use std::fs;
use std::path::Path;

use lane_index::backup::{self, Sharing, restore};
use lane_index::storage::Directory;
use lane_index::{Answer, Error, LaneIndex, Options, manifest};

fn get(index: &LaneIndex, hash: u64) -> (Answer, Vec<u32>) {
    let mut ids = vec![];
    (index.get_verified(hash, &mut ids), ids)
}

fn directory(base: &Path, name: &str) -> Directory {
    Directory::open(base.join(name)).expect("a directory")
}

fn journals(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).expect("listed").map(|file| file.expect("an entry").path());
    files.filter(|file| file.extension().is_some_and(|end| end == "log")).collect()
}

#[test]
fn backups_are_made_verified_and_restored() {
    let base = tempfile::tempdir().expect("a folder");
    let home = base.path().join("index");
    let index = LaneIndex::open(&home, Options::default()).expect("opened");
    index.insert(1, 10).expect("written");
    let monday = directory(base.path(), "monday");
    let full = index.snapshot(&monday, None, Sharing::Link).expect("backed up");
    assert_eq!((full.segments, full.linked, full.copied), (1, 1, 0));
    index.insert(2, 20).expect("written");
    let tuesday = directory(base.path(), "tuesday");
    let report = index.snapshot(&tuesday, Some(&monday), Sharing::Copy).expect("backed up");
    assert_eq!((report.segments, report.from_base, report.copied), (2, 1, 1));
    assert!(matches!(
        index.snapshot(&tuesday, Some(&monday), Sharing::Copy),
        Err(Error::NotEmpty { .. })
    ));
    assert!(matches!(LaneIndex::open(&home, Options::default()), Err(Error::Locked { .. })));
    index.close().expect("closed");
    // Older backups can go, and the index too.
    drop((monday, index));
    fs::remove_dir_all(base.path().join("monday")).expect("removed");
    fs::remove_dir_all(&home).expect("removed");
    let found = backup::verify(&tuesday).expect("readable");
    assert_eq!((found.whole, found.broken.len()), (2, 0));
    let target = directory(base.path(), "index");
    restore(&tuesday, &target, Sharing::Copy).expect("restored");
    let index = LaneIndex::open(&home, Options::default()).expect("opened");
    assert_eq!(get(&index, 1), (Answer::Complete, vec![10]));
    assert_eq!(get(&index, 2), (Answer::Complete, vec![20]));
    index.reshard(64).expect("resharded");
    assert_eq!(index.stats().num_lanes, 64);
    assert_eq!(get(&index, 2), (Answer::Complete, vec![20]));
}

/// The segments of an index whose journal is damaged.
#[test]
fn what_the_segments_have_is_rescued_from_a_damaged_journal() {
    let base = tempfile::tempdir().expect("a folder");
    let home = base.path().join("index");
    let index = LaneIndex::open(&home, Options::default()).expect("opened");
    index.insert(1, 10).expect("written");
    index.flush().expect("flushed");
    for id in 20..30 {
        index.insert(2, id).expect("written");
    }
    index.close().expect("closed");
    drop(index);
    let file = journals(&home).pop().expect("a journal");
    let mut bytes = fs::read(&file).expect("read");
    // Frames of one operation, from byte 64 on: the third of the insertions above.
    bytes[64 + 3 * 48 + 40] ^= 1;
    fs::write(&file, bytes).expect("written");
    let refused = LaneIndex::open(&home, Options::default());
    assert!(matches!(refused, Err(Error::Damaged { .. })));
    let broken = directory(base.path(), "index");
    let manifest = manifest::read(&broken).expect("readable").expect("a manifest");
    let rescued = directory(base.path(), "rescued");
    backup::snapshot(&broken, &manifest, &rescued, None, Sharing::Copy).expect("rescued");
    let index = LaneIndex::open(base.path().join("rescued"), Options::default()).expect("opened");
    assert_eq!(get(&index, 1), (Answer::Complete, vec![10]));
    assert_eq!(get(&index, 2), (Answer::Complete, vec![]));
}
