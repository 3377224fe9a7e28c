//! Each I/O of a history fails once, in three ways: a store goes on as if nothing had been asked of it, or
//! refuses everything from then on; whatever is found afterwards is what happened up to some event.

mod support;

use std::sync::Arc;

use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimDisk, SimStorage};
use shape_log::{Error, NewLog};
use support::{World, small};

const STEPS: usize = 70;

/// What became of a history with a fault.
#[derive(Default)]
struct Tally {
    steps: u64,
    failed_steps: u64,
    refused: u64,
    went_on: u64,
}

fn world(seed: u64) -> (World, SimStorage, Faults) {
    let directory = SimDisk::new().directory("logs");
    let faults = Faults::new();
    let faulty = FaultStorage::new(Arc::new(directory.clone()), faults.clone());
    (World::new(Arc::new(faulty), small(), seed), directory, faults)
}

fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Storage(lane_index::Error::Failed { .. }))
}

fn history(seed: u64, fault: Option<Fault>, space: Option<u64>, tally: &mut Tally) -> u64 {
    let (mut world, directory, faults) = world(seed);
    world.open().expect("a new one");
    let before = faults.operations();
    if let Some(fault) = fault {
        faults.arm(fault);
    }
    if let Some(space) = space {
        faults.limit_space(space);
    }
    let mut refuses = false;
    for _ in 0..STEPS {
        match world.step() {
            Ok(()) => {}
            Err(error) => {
                let known = matches!(error, Error::Storage(_));
                assert!(known, "{error}");
                tally.failed_steps += 1;
                // One that is over refuses this too.
                refuses |= world.store().flush().is_err_and(|error| is_refusal(&error));
            }
        }
        tally.steps += 1;
        if refuses {
            break;
        }
    }
    let operations = faults.operations() - before;
    faults.disarm();
    refuses |= world.store().sync().is_err();
    if refuses {
        tally.refused += 1;
        let store = world.store();
        let refused = |result: Result<(), Error>| {
            assert!(result.as_ref().is_err_and(is_refusal), "{result:?}");
        };
        let new = NewLog { log: 99, descriptor: b"", awaits_snapshot: false };
        refused(world.send(u64::MAX, 0, true, &[], &[]).map(drop));
        refused(store.create_log(&new).map(drop));
        refused(store.append_records(&[]).map(drop));
        refused(store.sync());
        refused(store.flush());
        refused(store.checkpoint());
        refused(store.seal().map(drop));
        refused(store.compact_all().map(drop));
    } else {
        tally.went_on += 1;
        world.check();
    }
    let events = std::mem::take(&mut world.events);
    let cut = directory.crash(seed + operations);
    world.store = None;
    world.storage = Arc::new(cut);
    world.events = events;
    world.open().expect("whatever was left can be opened");
    world.check();
    operations
}

#[test]
fn each_step_may_fail() {
    for seed in 0..4 {
        let mut tally = Tally::default();
        let operations = history(seed, None, None, &mut tally);
        assert_eq!((tally.failed_steps, tally.refused), (0, 0));
        assert!(operations > 100, "{operations}");
        for effect in [Effect::Nothing, Effect::Half, Effect::All] {
            let mut tally = Tally::default();
            for nth in 1..=operations {
                history(seed, Some(Fault { effect, ..Fault::nth(nth) }), None, &mut tally);
            }
            assert!(tally.failed_steps * 10 > operations * 7, "most faults show");
            assert!(tally.refused > 0 && tally.went_on > 0, "{effect:?}");
        }
    }
}

#[test]
fn a_disk_that_is_full_is_survived() {
    for seed in 0..6 {
        let mut tally = Tally::default();
        for space in (0..60_000).step_by(997) {
            history(seed, None, Some(space), &mut tally);
        }
        assert!(tally.failed_steps > 100 && tally.went_on > 20, "{}", tally.failed_steps);
    }
}
