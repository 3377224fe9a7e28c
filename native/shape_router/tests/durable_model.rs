//! A router in a directory against one in memory that got what was acknowledged: over random histories
//! with crashes, on a disk that loses what was not synced.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::config;
use durable_support::*;
use lane_index::journal::Fsync;
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimStorage};
use shape_router::catalogue::Options;
use shape_router::{Error, Router};
use std::sync::Arc;

fn open(storage: &SimStorage, options: Options) -> Router {
    Router::open_in(config(), Arc::new(storage.clone()), options).unwrap()
}

#[test]
fn what_was_acknowledged_is_there_after_any_crash() {
    for seed in 0..histories(60) {
        let mut history = History::new(seed);
        let mut storage = SimStorage::new();
        let mut acts: Vec<Act> = Vec::new();
        for generation in 0..4 {
            let router = open(&storage, options());
            let memory = remembered(&acts);
            let place = format!("seed {seed}, generation {generation}");
            assert_eq!(shown(&router), shown(&memory), "{place}: opened");
            history.resume(&router);
            acts.retain(
                |act| !matches!(act, Act::Route(lsn, _) if *lsn > memory.metrics().acked_lsn),
            );
            for _ in 0..history.rng.usize(1..25) {
                let next = history.next();
                let place = format!("{place}: {next:?}");
                assert_eq!(act(&router, &next).unwrap(), act(&memory, &next).unwrap(), "{place}");
                assert_eq!(shown(&router), shown(&memory), "{place}");
                acts.push(next);
            }
            storage = match history.rng.u8(0..4) {
                0 => {
                    router.close().unwrap();
                    storage.crash(seed)
                }
                1 => storage.kill(),
                2 => storage.kill().crash(seed),
                _ => storage.crash(seed),
            };
        }
    }
}

#[test]
fn without_syncs_a_crash_leaves_what_was_some_time_ago() {
    let mut lost = 0;
    for seed in 0..histories(40) {
        let mut history = History::new(seed);
        let mut storage = SimStorage::new();
        let (mut acts, mut certain): (Vec<Act>, usize) = (Vec::new(), 0);
        for generation in 0..3 {
            let router = open(&storage, Options { fsync: Fsync::Never, ..options() });
            let found = shown(&router);
            let kept =
                (certain..=acts.len()).rev().find(|&k| shown(&remembered(&acts[..k])) == found);
            let kept = kept.unwrap_or_else(|| {
                panic!("seed {seed}, generation {generation}: no state from {certain} on is there")
            });
            lost += acts.len() - kept;
            acts.truncate(kept);
            let acked = router.metrics().acked_lsn;
            acts.retain(|act| !matches!(act, Act::Route(lsn, _) if *lsn > acked));
            history.resume(&router);
            certain = acts.len();
            for _ in 0..history.rng.usize(1..20) {
                let next = history.next();
                act(&router, &next).unwrap();
                let folds = matches!(next, Act::Fold);
                acts.push(next);
                if folds {
                    certain = acts.len();
                }
            }
            if history.rng.u8(0..4) == 0 {
                router.close().unwrap();
                certain = acts.len();
            }
            storage = storage.crash(seed);
        }
    }
    assert!(lost > 20, "nothing was ever lost, so nothing was shown: {lost}");
}

/// Whether the router shows the acts, each of the doubtful ones done or not.
fn is_one_of(found: &str, acts: &[(Act, bool)]) -> bool {
    let doubtful: Vec<usize> =
        acts.iter().enumerate().filter(|(_, (_, certain))| !certain).map(|(at, _)| at).collect();
    (0..1u32 << doubtful.len()).any(|choice| {
        let done = acts.iter().enumerate().filter(|(at, (_, certain))| {
            *certain || doubtful.iter().position(|d| d == at).is_some_and(|i| choice >> i & 1 == 1)
        });
        let done: Vec<Act> = done.map(|(_, (act, _))| act.clone()).collect();
        shown(&remembered(&done)) == found
    })
}

#[test]
fn any_failing_step_leaves_the_state_before_or_after() {
    let (mut fired, mut refused) = (0, 0);
    for (seed, effect) in
        [Effect::Nothing, Effect::Half, Effect::All].into_iter().enumerate().cycle().take(6)
    {
        let seed = seed as u64 + histories(1);
        for nth in 1.. {
            let disk = SimStorage::new();
            let faults = Faults::new();
            let storage = || Arc::new(FaultStorage::new(Arc::new(disk.clone()), faults.clone()));
            let mut history = History::new(seed);
            let mut acts: Vec<(Act, bool)> = Vec::new();
            faults.arm(Fault { effect, lasting: nth % 2 == 0, ..Fault::nth(nth) });
            let opened = Router::open_in(config(), storage(), options());
            if let Ok(router) = &opened {
                for _ in 0..14 {
                    let next = history.next();
                    let before = shown(router);
                    match act(router, &next) {
                        Ok(_) => acts.push((next, true)),
                        Err(Error::Storage(_)) => {
                            refused += 1;
                            // Nothing after a refusal is half done: routing goes on, by the state
                            // before or after.
                            acts.push((next, false));
                            assert_eq!(shown(router).lines().count(), before.lines().count());
                            if acts.iter().filter(|(_, certain)| !certain).count() > 4 {
                                break;
                            }
                        }
                        // What a refused act would have added cannot be removed.
                        Err(Error::UnknownShape(_)) => {}
                        Err(other) => panic!("seed {seed}, step {nth}: {next:?}: {other}"),
                    }
                }
            }
            let done = faults.fired() == 0;
            fired += u64::from(!done);
            faults.disarm();
            for left in [disk.kill(), disk.crash(nth)] {
                let router = open(&left, options());
                let acked = acts.iter().filter_map(|(act, _)| match act {
                    Act::Ack(lsn) => Some(*lsn),
                    _ => None,
                });
                let most = acked.max().unwrap_or(0);
                let mut seen = acts.clone();
                seen.retain(|(act, _)| !matches!(act, Act::Route(lsn, _) if *lsn > most));
                assert!(
                    is_one_of(&shown(&router), &seen),
                    "seed {seed}, step {nth}, {effect:?}: {:?}",
                    faults.steps().last()
                );
            }
            if done {
                break;
            }
        }
    }
    assert!(fired > 100 && refused > 100, "{fired} {refused}");
}

#[test]
fn a_recovery_that_is_interrupted_is_recovered_from() {
    for seed in 0..histories(6) {
        let mut history = History::new(seed);
        let disk = SimStorage::new();
        let router = open(&disk, options());
        let mut acts = Vec::new();
        for _ in 0..30 {
            let next = history.next();
            act(&router, &next).unwrap();
            acts.push(next);
        }
        let expected = shown(&remembered(&acts));
        let left = disk.crash(seed);
        for nth in 1.. {
            let (left, faults) = (left.kill(), Faults::new());
            faults.arm(Fault { lasting: true, ..Fault::nth(nth) });
            let storage = FaultStorage::new(Arc::new(left.clone()), faults.clone());
            let opened = Router::open_in(config(), Arc::new(storage), options());
            // Half of them go on as far as a fold.
            if let (Ok(router), 0) = (&opened, nth % 2) {
                drop(router.fold());
            }
            let complete = faults.fired() == 0 && opened.is_ok() && nth % 2 == 0;
            for again in [left.kill(), left.crash(nth)] {
                assert_eq!(shown(&open(&again, options())), expected, "seed {seed}, step {nth}");
            }
            if complete {
                break;
            }
        }
    }
}

#[test]
fn a_copy_is_the_router_as_it_was() {
    for seed in 0..histories(20) {
        let mut history = History::new(seed);
        let disk = SimStorage::new();
        let router = open(&disk, options());
        for round in 0..3 {
            let mut acts = Vec::new();
            for _ in 0..history.rng.usize(0..12) {
                let next = history.next();
                act(&router, &next).unwrap();
                acts.push(next);
            }
            let copy = disk.disk().directory(&format!("copy-{round}"));
            // What is staged is not part of a copy, nor of what `route` shows.
            let expected = shown(&router);
            router.snapshot_into(&copy).unwrap();
            assert!(matches!(router.snapshot_into(&copy), Err(Error::Storage(_))), "not empty");
            let copied = open(&copy.crash(seed), options());
            assert_eq!(shown(&copied), expected, "seed {seed}");
            // The two go their own ways.
            act(
                &copied,
                &Act::Add(vec![New { id: 1, clause: 1, param: None, keys: None, snapshot: None }]),
            )
            .unwrap();
            assert_eq!(shown(&router), expected, "seed {seed}");
        }
    }
}
