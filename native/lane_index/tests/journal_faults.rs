//! The n-th step fails, for every n: what was acknowledged stays, and the handle tells the truth.

mod common;

use std::sync::Arc;

use common::{Batches, batch, batches, open, options, start};
use lane_index::Error;
use lane_index::journal::{Fsync, Op};
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, Operation, SimStorage};

const LAST: u64 = 24;
const FILE: u64 = 512;

/// Opens, appends until something fails, and goes on trying. Returns the last batch acknowledged
/// and the last one that may be on disk.
fn history(storage: &SimStorage, faults: &Faults) -> (u64, u64) {
    let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
    let Ok((journal, ..)) = open(faulty, options(Fsync::Always, FILE), start(0, None)) else {
        return (0, 0);
    };
    let (mut acknowledged, mut tried) = (0, 0);
    let mut refused = false;
    for _ in 0..LAST {
        let next = acknowledged + 1;
        tried = tried.max(next);
        match journal.append(&batch(next)) {
            Ok(seq) => {
                assert!(!refused, "a handle that refused works again");
                assert_eq!(seq, next);
                acknowledged = next;
            }
            Err(Error::Failed { cause }) => {
                assert!(cause.contains("injected") || cause.contains("space"), "{cause}");
                refused = true;
            }
            Err(Error::Io { .. }) => assert!(!refused, "a handle that failed must say so"),
            Err(other) => panic!("{other}"),
        }
    }
    if refused {
        assert!(matches!(journal.sync(), Err(Error::Failed { .. })));
        assert!(matches!(journal.close(), Err(Error::Failed { .. })));
    }
    (acknowledged, tried)
}

fn check(found: &Batches, acknowledged: u64, tried: u64) {
    let last = found.len() as u64;
    assert_eq!(*found, batches(1, last));
    assert!((acknowledged..=tried).contains(&last), "{acknowledged} <= {last} <= {tried}");
}

fn reopen(storage: &SimStorage) -> Batches {
    let opened = open(Arc::new(storage.clone()), options(Fsync::Always, FILE), start(0, None));
    opened.expect("open after a failure").2
}

#[test]
fn every_step_of_writing_may_fail() {
    let faults = Faults::new();
    history(&SimStorage::new(), &faults);
    let steps = faults.operations();
    assert!(steps > 60, "{steps}");
    for effect in [Effect::Nothing, Effect::Half, Effect::All] {
        for lasting in [false, true] {
            for nth in 1..=steps {
                let storage = SimStorage::new();
                let faults = Faults::new();
                faults.arm(Fault { nth, only: None, effect, lasting });
                let (acknowledged, tried) = history(&storage, &faults);
                assert!(faults.fired() > 0, "step {nth}");
                check(&reopen(&storage.kill()), acknowledged, tried);
                for seed in 0..4 {
                    let crashed = storage.crash(nth * 100 + seed);
                    check(&reopen(&crashed), acknowledged, tried);
                    check(&reopen(&crashed.crash(seed)), acknowledged, tried);
                }
            }
        }
    }
}

#[test]
fn every_step_of_opening_may_fail() {
    let storage = SimStorage::new();
    history(&storage, &Faults::new());
    let storage = storage.kill();
    let counting = Faults::new();
    let opened = |storage: &SimStorage, faults: &Faults| {
        let faulty = FaultStorage::new(Arc::new(storage.clone()), faults.clone());
        open(Arc::new(faulty), options(Fsync::Always, FILE), start(0, None))
    };
    opened(&storage, &counting).map(drop).expect("open");
    for effect in [Effect::Nothing, Effect::All] {
        for nth in 1..=counting.operations() {
            let storage = storage.kill();
            let faults = Faults::new();
            faults.arm(Fault { nth, only: None, effect, lasting: false });
            let step = &counting.steps()[nth as usize - 1];
            match opened(&storage, &faults) {
                Err(Error::Io { .. }) => {}
                Err(other) => panic!("{step:?}: {other}"),
                Ok(_) => panic!("{step:?} failed, and nobody noticed"),
            }
            assert_eq!(reopen(&storage.crash(nth)), batches(1, LAST));
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_and_ends_when_there_is_room() {
    for space in 0..FILE * 4 {
        let storage = SimStorage::new();
        let faults = Faults::new();
        faults.limit_space(space);
        let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
        let (journal, ..) =
            open(faulty, options(Fsync::Always, FILE), start(0, None)).expect("open");
        let mut seq = 0;
        let error = loop {
            match journal.append(&batch(seq + 1)) {
                Ok(next) => seq = next,
                Err(error) => break error,
            }
        };
        match error {
            Error::Io { source, .. } => {
                assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
            }
            other => panic!("{other}"),
        }
        // Files are allocated before they are used, so nothing was half written.
        assert_eq!(reopen(&storage.crash(space)), batches(1, seq));
        faults.disarm();
        assert_eq!(journal.append(&batch(seq + 1)).expect("room again"), seq + 1);
        assert_eq!(reopen(&storage.crash(space)), batches(1, seq + 1));
    }
}

/// After a failed sync the system may call the lost pages clean: a second sync that succeeds
/// proves nothing, so there must not be one.
#[test]
fn a_failed_sync_is_never_tried_again() {
    let storage = SimStorage::new();
    let faults = Faults::new();
    let faulty = Arc::new(FaultStorage::new(Arc::new(storage.clone()), faults.clone()));
    let (journal, ..) = open(faulty, options(Fsync::Always, FILE), start(0, None)).expect("open");
    journal.append(&batch(1)).expect("append");
    faults.arm(Fault { only: Some(Operation::Sync), ..Fault::nth(1) });
    assert!(matches!(journal.append(&batch(2)), Err(Error::Io { operation: "sync", .. })));
    let syncs = faults.count(Operation::Sync);
    assert!(matches!(journal.append(&batch(2)), Err(Error::Failed { .. })));
    assert!(matches!(journal.acknowledge(2), Err(Error::Failed { .. })));
    journal.acknowledge(1).expect("this one is durable");
    drop(journal);
    assert_eq!(faults.count(Operation::Sync), syncs);
    assert_eq!(reopen(&storage.kill())[0], (1, batch(1)));
}

#[test]
fn a_batch_that_is_too_long_is_refused_before_anything_is_written() {
    let storage = SimStorage::new();
    let (journal, ..) =
        open(Arc::new(storage), options(Fsync::Always, FILE), start(0, None)).expect("open");
    let many = vec![Op::Insert { hash: 1, id: 1 }; (1 << 24) + 1];
    match journal.append(&many) {
        Err(Error::Limit { got, limit, .. }) => assert_eq!((got, limit), ((1 << 24) + 1, 1 << 24)),
        other => panic!("{other:?}"),
    }
    assert_eq!(journal.append(&batch(1)).expect("append"), 1);
}
