//! Power cuts and kills at any moment: what was waited for is there, of what came later the first events
//! or none, and nothing else; over several generations, and in the middle of an opening too.

mod support;

use std::sync::Arc;

use lane_index::storage::simulation::{Fault, FaultStorage, Faults, SimDisk, SimStorage};
use support::{World, small};

/// Runs histories that each end with a power cut or a kill.
fn generations(seed: u64) {
    let mut directory = SimDisk::new().directory("logs");
    let mut world = World::new(Arc::new(directory.clone()), small(), seed);
    for generation in 0..6 {
        world.open().expect("whatever was left can be opened");
        for _ in 0..world.rng.usize(..80) {
            world.step().expect("a step");
        }
        directory = cut(&mut world, &directory, seed * 100 + generation);
    }
    world.open().expect("whatever was left can be opened");
    world.check();
}

/// Ends the process, by a power cut or a kill; gives the directory as the next one finds it.
fn cut(world: &mut World, directory: &SimStorage, seed: u64) -> SimStorage {
    let found = if world.rng.u8(..4) == 0 {
        // All that was written is there.
        world.settle();
        directory.kill()
    } else {
        directory.crash(seed)
    };
    // What the old process does from now on is nobody's business.
    world.store = None;
    world.storage = Arc::new(found.clone());
    found
}

#[test]
fn what_was_waited_for_outlives_power_cuts() {
    for seed in 0..400 {
        generations(seed);
    }
}

#[test]
fn an_opening_that_is_cut_off_can_be_done_again() {
    for seed in 0..60 {
        let directory = SimDisk::new().directory("logs");
        let mut world = World::new(Arc::new(directory.clone()), small(), seed);
        world.open().expect("a new one");
        for _ in 0..100 {
            world.step().expect("a step");
        }
        // What a kill leaves is lost by a power cut before anybody has opened it: nothing is certain.
        let events = std::mem::take(&mut world.events);
        let mut directory = cut(&mut world, &directory, seed);
        world.events = events;
        for attempt in 0..12 {
            // The opening fails at some step, and the power goes.
            let faults = Faults::new();
            faults.arm(Fault { lasting: true, ..Fault::nth(world.rng.u64(1..60)) });
            let faulty = FaultStorage::new(Arc::new(directory.clone()), faults);
            world.storage = Arc::new(faulty);
            let events = world.events.clone();
            if world.open().is_err() {
                world.events = events;
            }
            let events = std::mem::take(&mut world.events);
            directory = cut(&mut world, &directory, seed * 31 + attempt);
            world.events = events;
        }
        world.storage = Arc::new(directory);
        world.open().expect("whatever was left can be opened");
        world.check();
    }
}

#[test]
fn a_checkpoint_of_many_logs_outlives_power_cuts() {
    for seed in 0..12 {
        let directory = SimDisk::new().directory("logs");
        let options = shape_log::Options { memory_bytes: 1 << 20, ..small() };
        let mut world = World::new(Arc::new(directory.clone()), options, seed);
        world.open().expect("a new one");
        for log in 1..60 {
            world.create_log(log).expect("create");
        }
        let mut directory = directory;
        for round in 0..4 {
            for _ in 0..40 {
                world.transact().expect("transact");
            }
            world.store().checkpoint().expect("checkpoint");
            world.settle();
            for _ in 0..world.rng.usize(..20) {
                world.transact().expect("transact");
            }
            directory = cut(&mut world, &directory, seed * 10 + round);
            world.open().expect("whatever was left can be opened");
        }
        world.check();
    }
}
