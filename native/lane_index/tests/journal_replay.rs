//! What was written is handed out again, in order, from where the segments end.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{batch, batches, open, options, start};
use lane_index::Error;
use lane_index::journal::{Fsync, Op};
use lane_index::storage::simulation::{FaultStorage, Faults, Operation, SimStorage};
use lane_index::storage::{Directory, Storage, names};

fn write(storage: &Arc<dyn Storage>, fsync: Fsync, file_bytes: u64, first: u64, last: u64) {
    let (journal, recovered, _) =
        open(Arc::clone(storage), options(fsync, file_bytes), start(0, None)).expect("open");
    assert_eq!(recovered.last_seq, first - 1);
    for seq in first..=last {
        assert_eq!(journal.append(&batch(seq)).expect("append"), seq);
    }
    journal.close().expect("close");
}

#[test]
fn batches_come_back_in_order_under_every_policy() {
    for fsync in [Fsync::Always, Fsync::Interval(Duration::from_millis(1)), Fsync::Never] {
        let folder = tempfile::tempdir().expect("folder");
        let real: Arc<dyn Storage> = Arc::new(Directory::open(folder.path()).expect("directory"));
        let simulated: Arc<dyn Storage> = Arc::new(SimStorage::new());
        for storage in [real, simulated] {
            write(&storage, fsync, 1 << 16, 1, 50);
            write(&storage, fsync, 1 << 16, 51, 60);
            let (_, recovered, found) =
                open(Arc::clone(&storage), options(fsync, 1 << 16), start(0, None)).expect("open");
            assert_eq!(found, batches(1, 60));
            assert_eq!((recovered.frames, recovered.last_seq, recovered.torn), (60, 60, None));
        }
    }
}

#[test]
fn files_are_rotated_and_what_the_segments_cover_is_left_out() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
    write(&storage, Fsync::Always, 512, 1, 100);
    assert!(storage.list().expect("list").len() > 10);
    for applied in [0, 1, 37, 99, 100] {
        let (_, recovered, found) =
            open(Arc::clone(&storage), options(Fsync::Always, 512), start(applied, Some(1)))
                .expect("open");
        assert_eq!(found, batches(applied + 1, 100));
        assert_eq!(recovered.last_seq, 100);
    }
    // The segments can be ahead of a journal that was never synced.
    let (journal, recovered, found) =
        open(Arc::clone(&storage), options(Fsync::Always, 512), start(120, None)).expect("open");
    assert_eq!((recovered.last_seq, found), (120, vec![]));
    assert_eq!(journal.append(&batch(121)).expect("append"), 121);
    drop(journal);
    let (_, _, found) = open(storage, options(Fsync::Always, 512), start(120, None)).expect("open");
    assert_eq!(found, batches(121, 121));
}

#[test]
fn files_go_when_the_segments_cover_them_and_the_newest_stays() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
    let opened = || open(Arc::clone(&storage), options(Fsync::Always, 512), start(0, None));
    let (journal, ..) = opened().expect("open");
    assert_eq!(journal.oldest_needed(0), None);
    for seq in 1..=100 {
        journal.append(&batch(seq)).expect("append");
    }
    assert_eq!(journal.oldest_needed(0), Some(1));
    let oldest = journal.oldest_needed(60).expect("a file");
    assert!(oldest > 1);
    assert_eq!(journal.release(oldest).expect("release") as u64, oldest - 1);
    journal.close().expect("close");

    let reopen = |applied, oldest| {
        open(Arc::clone(&storage), options(Fsync::Always, 512), start(applied, oldest))
    };
    let (journal, _, found) = reopen(60, Some(oldest)).expect("open");
    assert_eq!(found, batches(61, 100));
    journal.release(journal.oldest_needed(100).expect("a file")).expect("release");
    let newest = journal.oldest_needed(100);
    let left = storage.list().expect("list");
    assert_eq!(left, [names::journal(newest.expect("a file"))]);
    // Without the segments that cover the rest, the gap is seen.
    drop(journal);
    assert!(matches!(reopen(60, newest), Err(Error::Damaged { offset: 24, .. })));
}

#[test]
fn a_file_that_is_missing_is_named() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
    write(&storage, Fsync::Always, 512, 1, 100);
    storage.remove(&names::journal(3)).expect("remove");
    let reopen = |oldest| {
        open(Arc::clone(&storage), options(Fsync::Always, 512), start(0, oldest)).map(drop)
    };
    match reopen(Some(1)) {
        Err(Error::Missing { path, .. }) => assert_eq!(path, names::journal(3)),
        other => panic!("{other:?}"),
    }
    storage.remove(&names::journal(1)).expect("remove");
    assert!(matches!(reopen(Some(1)), Err(Error::Missing { .. })));
}

#[test]
fn a_file_of_another_index_is_refused() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
    write(&storage, Fsync::Always, 512, 1, 3);
    let mut other = start(0, None);
    other.hash_key[0] ^= 1;
    let result = open(storage, options(Fsync::Always, 512), other).map(drop);
    assert!(matches!(result, Err(Error::Damaged { offset: 48, .. })), "{result:?}");
}

#[test]
fn a_batch_longer_than_a_file_gets_its_own() {
    let storage: Arc<dyn Storage> = Arc::new(SimStorage::new());
    let long: Vec<Op> = (0..1000).map(|id| Op::Insert { hash: u64::from(id) << 40, id }).collect();
    let (journal, ..) =
        open(Arc::clone(&storage), options(Fsync::Always, 512), start(0, None)).expect("open");
    journal.append(&batch(1)).expect("append");
    journal.append(&long).expect("append");
    journal.append(&batch(3)).expect("append");
    assert_eq!(journal.append(&[]).expect("nothing"), 3);
    drop(journal);
    let (_, _, found) = open(storage, options(Fsync::Always, 512), start(0, None)).expect("open");
    assert_eq!(found, [(1, batch(1)), (2, long), (3, batch(3))]);
}

#[test]
fn only_always_syncs_each_batch() {
    let syncs = |fsync| {
        let faults = Faults::new();
        let storage = FaultStorage::new(Arc::new(SimStorage::new()), faults.clone());
        let (journal, ..) =
            open(Arc::new(storage), options(fsync, 1 << 16), start(0, None)).expect("open");
        journal.append(&batch(1)).expect("append");
        let before = faults.count(Operation::Sync);
        for seq in 2..=101 {
            journal.append(&batch(seq)).expect("append");
        }
        (faults.count(Operation::Sync) - before, journal.durable_seq())
    };
    assert_eq!(syncs(Fsync::Always), (100, 101));
    assert_eq!(syncs(Fsync::Never), (0, 0));
    assert_eq!(syncs(Fsync::Interval(Duration::from_secs(3600))), (0, 0));
    assert_eq!(syncs(Fsync::Interval(Duration::ZERO)), (100, 101));
}

#[test]
fn an_idle_journal_is_synced_by_its_tick() {
    let fsync = Fsync::Interval(Duration::from_millis(5));
    let (journal, ..) =
        open(Arc::new(SimStorage::new()), options(fsync, 1 << 16), start(0, None)).expect("open");
    journal.write(&batch(1)).expect("write");
    assert_eq!(journal.durable_seq(), 0);
    std::thread::sleep(Duration::from_millis(10));
    journal.tick().expect("tick");
    assert_eq!(journal.durable_seq(), 1);
}
