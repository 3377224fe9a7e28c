//! Readers on all threads while shapes come and go, and while the router is closed.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use shape_router::{Budget, Error, Keys, RouteOptions, Scratch, ShapeSpec, Transaction};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn readers_see_every_settled_shape_whatever_the_writers_do() {
    let router = router();
    router.add_shapes((0..100).map(|id| ShapeSpec::new(id, Some("a = 1")))).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let record = Carried::whole(&Record { id: 1, a: Some(1), b: None });
                let change = insert(&record);
                let mut scratch = Scratch::default();
                while !stop.load(Ordering::Relaxed) {
                    let mut budget = Budget::unlimited();
                    router
                        .route(&change, RouteOptions::default(), &mut scratch, &mut budget, None)
                        .unwrap();
                    let settled = scratch.ids().filter(|id| *id < 100).count();
                    assert_eq!(settled, 100);
                    assert!(scratch.routed().is_sorted());
                }
            });
        }
        for round in 0..2000 {
            let keys = Keys::Known(vec![key(round)]);
            let id = 1000 + round as u64;
            router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(id, Some("a = 1")) }).unwrap();
            if round > 5 {
                router.remove_shape(id - 5).unwrap();
            }
            if round % 50 == 0 {
                let record = Carried::whole(&Record { id: round, a: Some(1), b: None });
                let lsn = round as u64 + 1;
                txn(&router, Transaction::at(lsn), &[insert(&record)], 10);
                ack(&router, lsn);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn closing_during_routes_ends_them_with_an_error() {
    let router = router();
    router.add_shapes((0..1000).map(|id| ShapeSpec::new(id, None))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let record = Carried::whole(&Record { id: 1, a: Some(1), b: None });
                let change = insert(&record);
                let mut scratch = Scratch::default();
                loop {
                    let mut budget = Budget::unlimited();
                    match router.route(
                        &change,
                        RouteOptions::default(),
                        &mut scratch,
                        &mut budget,
                        None,
                    ) {
                        Ok(_) => {}
                        Err(Error::Closed) => break,
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        router.close().unwrap();
    });
}

/// It is said to be closed before it is emptied: who had asked in between was told of no shape.
#[test]
fn a_router_that_is_being_closed_answers_with_all_shapes_or_none_at_all() {
    for round in 0..300_u64 {
        let router = router();
        router.add_shape(ShapeSpec::new(1, Some("a = 1"))).unwrap();
        let ready = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let record = Carried::whole(&Record { id: 1, a: Some(1), b: None });
                let (change, mut scratch) = (insert(&record), Scratch::default());
                for index in 0.. {
                    let mut budget = Budget::unlimited();
                    let (scratch, budget) = (&mut scratch, &mut budget);
                    let options = RouteOptions::default();
                    let answer = match round % 3 {
                        0 => router.route(&change, options, scratch, budget, None).map(drop),
                        1 => {
                            let transaction = Transaction::at(10);
                            router
                                .route_txn(transaction, index, &change, scratch, budget, None)
                                .map(drop)
                        }
                        _ => {
                            let told = |answered: &shape_router::Answered<'_>| {
                                assert_eq!(answered.routed.len(), 1, "round {round}");
                            };
                            let changes = std::slice::from_ref(&change);
                            match router.route_group(changes, options, scratch, budget, told) {
                                Err((_, error)) => Err(error),
                                Ok(_) => continue,
                            }
                        }
                    };
                    match answer {
                        Ok(()) => assert_eq!(scratch.ids().count(), 1, "round {round}"),
                        Err(Error::Closed) => break,
                        Err(other) => panic!("{other}"),
                    }
                    ready.store(true, Ordering::Relaxed);
                }
            });
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            while round % 3 != 2 && !ready.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            router.close().unwrap();
        });
    }
}

#[test]
fn readers_find_every_settled_literal_while_others_come_and_go() {
    let router = router();
    let clause = |i: u64| format!("b LIKE '%<{i}>%'");
    let stop = AtomicBool::new(false);
    let settled = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut scratch = Scratch::default();
                let mut turn = 0u64;
                while !stop.load(Ordering::Relaxed) {
                    let known = settled.load(Ordering::Acquire);
                    if known == 0 {
                        continue;
                    }
                    turn += 1;
                    let id = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) % known;
                    let b = Some(format!("x<{id}>y"));
                    let record = Carried::whole(&Record { id: 1, a: None, b });
                    let mut budget = Budget::unlimited();
                    let options = RouteOptions::default();
                    router
                        .route(&insert(&record), options, &mut scratch, &mut budget, None)
                        .unwrap();
                    let expected: &[u64] = if id.is_multiple_of(3) { &[] } else { &[id] };
                    assert_eq!(scratch.ids().filter(|i| *i < known).collect::<Vec<_>>(), expected);
                }
            });
        }
        // One by one; of each three one goes.
        for id in 0..6000u64 {
            router.add_shape(ShapeSpec::new(id, Some(&clause(id)))).unwrap();
            if id.is_multiple_of(3) {
                router.remove_shape(id).unwrap();
            }
            settled.store(id + 1, Ordering::Release);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(router.len(), 4000);
}
