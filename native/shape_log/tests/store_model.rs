//! A store does what plain vectors do, over histories of all that can be done to it.

mod support;

use std::sync::Arc;
use std::time::Duration;

use lane_index::Fsync;
use lane_index::storage::simulation::SimDisk;
use support::{World, small};

fn history(seed: u64, fsync: Fsync) -> u64 {
    let disk = SimDisk::new().directory("logs");
    let options = shape_log::Options { fsync, ..small() };
    let mut world = World::new(Arc::new(disk.clone()), options, seed);
    world.open().expect("a new one");
    for _ in 0..400 {
        if world.rng.u8(..30) == 0 {
            let store = world.store.take().expect("it is open");
            if world.rng.bool() {
                store.close().expect("close");
                world.settle();
            } else {
                drop(store);
            }
            world.open().expect("reopen");
        }
        world.step().expect("a step");
        if world.rng.u8(..20) == 0 {
            world.check();
        }
    }
    world.check();
    world.compactions
}

#[test]
fn a_store_is_what_was_done_to_it() {
    let compactions: u64 = (0..60).map(|seed| history(seed, Fsync::Always)).sum();
    assert!(compactions > 20, "{compactions}");
}

#[test]
fn a_store_that_trusts_the_system_is_too() {
    for seed in 0..20 {
        history(seed, Fsync::Never);
    }
}

#[test]
fn a_store_that_syncs_now_and_then_is_too() {
    for seed in 0..4 {
        history(seed, Fsync::Interval(Duration::from_millis(1)));
    }
}
