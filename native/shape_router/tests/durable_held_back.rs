//! A router whose records somebody else makes durable: after any crash the two together are the router
//! of what became durable there, no more and no less.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::config;
use durable_support::*;
use lane_index::journal::Fsync;
use lane_index::storage::simulation::SimStorage;
use shape_router::catalogue::Options;
use shape_router::{Error, Router};
use std::sync::Arc;

fn held_back() -> Options {
    Options { hold_back: true, fsync: Fsync::Never, ..options() }
}

fn open(storage: &SimStorage, tail: &[(u64, Vec<u8>)]) -> Result<Router, Error> {
    Router::open_after(config(), Arc::new(storage.clone()), held_back(), tail)
}

#[test]
fn what_is_durable_elsewhere_is_there_after_any_crash_and_nothing_else() {
    let (mut forgotten, mut replayed) = (0, 0);
    for seed in 0..histories(120) {
        let mut history = History::new(seed);
        let mut storage = SimStorage::new();
        // The other journal: what is durable there, with the act that it came of.
        let mut elsewhere: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut acts: Vec<Act> = Vec::new();
        for generation in 0..5 {
            let router = open(&storage, &elsewhere).unwrap();
            let memory = remembered(&acts);
            let place = format!("seed {seed}, generation {generation}");
            assert_eq!(shown(&router), shown(&memory), "{place}: opened");
            history.resume(&router);
            let acked = memory.metrics().acked_lsn;
            acts.retain(|act| !matches!(act, Act::Route(lsn, _) if *lsn > acked));
            let (mut done, mut durable) = (acts.clone(), acts.len());
            for _ in 0..history.rng.usize(1..25) {
                let next = history.next();
                let place = format!("{place}: {next:?}");
                assert_eq!(act(&router, &next).unwrap(), act(&memory, &next).unwrap(), "{place}");
                assert_eq!(shown(&router), shown(&memory), "{place}");
                done.push(next);
                if history.rng.bool() {
                    // The other journal has it.
                    elsewhere.extend(router.held_back());
                    durable = done.len();
                }
                if history.rng.u8(0..3) == 0 {
                    let certain = elsewhere.last().map_or(0, |(seq, _)| *seq);
                    router.release(certain.saturating_sub(history.rng.u64(0..3))).unwrap();
                }
                if history.rng.u8(0..6) == 0 {
                    // What the directory has for certain is not kept twice.
                    router.release(elsewhere.last().map_or(0, |(seq, _)| *seq)).unwrap();
                    router.sync().unwrap();
                    elsewhere.clear();
                }
            }
            forgotten += done.len() - durable;
            replayed += elsewhere.len();
            acts = done;
            acts.truncate(durable);
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
    assert!(forgotten > 100 && replayed > 100, "too little was shown: {forgotten} {replayed}");
}

#[test]
fn nothing_is_released_that_was_not_handed_out() {
    let storage = SimStorage::new();
    let router = open(&storage, &[]).unwrap();
    let add = |id| {
        let new = New { id, clause: 1, param: None, keys: None, snapshot: None };
        act(&router, &Act::Add(vec![new])).unwrap();
    };
    add(1);
    let records = router.held_back();
    assert_eq!(records.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1]);
    add(2);
    router.release(u64::MAX).unwrap();
    assert!(router.held_back().iter().all(|(seq, _)| *seq == 2), "the second one was never told");
    drop(router);
    let found = open(&storage.kill(), &[]).unwrap();
    assert_eq!(found.shapes(), [1]);
    // It goes on after what the directory has.
    assert_eq!(open(&storage.kill(), &records).unwrap().shapes(), [1], "it is there already");
}

#[test]
fn a_tail_with_a_gap_or_of_no_records_is_refused() {
    let router = open(&SimStorage::new(), &[]).unwrap();
    for id in 1..4 {
        let new = New { id, clause: 1, param: None, keys: None, snapshot: None };
        act(&router, &Act::Add(vec![new])).unwrap();
    }
    let records = router.held_back();
    assert_eq!(open(&SimStorage::new(), &records).unwrap().shapes(), [1, 2, 3]);
    let gap = open(&SimStorage::new(), &[records[0].clone(), records[2].clone()]).err().unwrap();
    assert!(gap.to_string().contains("record 2"), "{gap}");
    let mut bad = records[1].clone();
    for at in 0..bad.1.len() {
        bad.1[at] ^= 0x40;
        // A record carries no checksum of its own: the journal that it comes from has one. What can be
        // told from its form is; nothing panics.
        let _ = open(&SimStorage::new(), &[records[0].clone(), bad.clone()]);
        bad.1[at] ^= 0x40;
        let cut = (2, bad.1[..at].to_vec());
        assert!(open(&SimStorage::new(), &[records[0].clone(), cut]).is_err(), "cut at {at}");
    }
}
