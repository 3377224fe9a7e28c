//! Work is counted, cut into parts, and the parts make the same answer.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use shape_router::{
    Budget, Change, Class, Op, Progress, RouteOptions, Scratch, ShapeSpec, Transaction,
};
use shape_router::{Error, Keys};

#[test]
fn a_large_answer_comes_in_parts_within_the_budget() {
    let router = router();
    router.add_shapes((0..20_000).map(|id| ShapeSpec::new(id, Some("a > 3")))).unwrap();
    let record = Carried::whole(&Record { id: 1, a: Some(4), b: None });
    let change = insert(&record);
    let options = RouteOptions::default();
    let (whole, parts) = in_parts(u64::MAX, |scratch, budget, cursor| {
        router.route(&change, options, scratch, budget, cursor).unwrap()
    });
    assert_eq!((whole.len(), parts), (20_000, 1));
    let mut most = 0;
    let (cut, parts) = in_parts(10_000, |scratch, budget, cursor| {
        let progress = router.route(&change, options, scratch, budget, cursor).unwrap();
        most = most.max(budget.spent());
        progress
    });
    assert_eq!(cut, whole);
    assert!(parts > 5, "{parts} parts");
    assert!(most < 11_000, "a call did {most} units of 10,000");
    assert_eq!(router.metrics().continuations, parts as u64 - 1);
}

#[test]
fn shapes_that_come_between_the_parts_are_not_meant() {
    let router = router();
    router.add_shapes((0..1000).map(|id| ShapeSpec::new(id, None))).unwrap();
    let (mut scratch, change) = (Scratch::default(), Change::new(Op::Truncate));
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let mut budget = Budget::new(100);
        let options = RouteOptions::default();
        let progress = router.route(&change, options, &mut scratch, &mut budget, cursor).unwrap();
        all.extend(scratch.ids());
        // Churn that reuses slots: a part must neither miss an old shape nor name a new one.
        let new = 100_000 + all.len() as u64;
        router.add_shape(ShapeSpec::new(new, None)).unwrap();
        router.remove_shape(new).unwrap();
        router.rebuild().unwrap();
        match progress {
            Progress::Done => break,
            Progress::More(next) | Progress::Heavy(next) => cursor = Some(next),
        }
    }
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_transaction_in_parts_is_the_same_transaction() {
    let router = router();
    router
        .add_shapes(
            (0..500).map(|id| ShapeSpec {
                keys: Keys::Known(vec![]),
                ..ShapeSpec::new(id, Some("a = 1"))
            }),
        )
        .unwrap();
    let record = Carried::whole(&Record { id: 1, a: Some(1), b: None });
    let changes = [insert(&record), Change { old_key: Some(key(1)), ..Change::new(Op::Delete) }];
    for units in [1, 50, u64::MAX] {
        let answers = txn(&router, Transaction::at(10), &changes, units);
        assert!(answers[0].iter().all(|(_, class)| *class == Class::Insert));
        assert!(answers[1].iter().all(|(_, class)| *class == Class::Delete));
        assert_eq!([answers[0].len(), answers[1].len()], [500, 500]);
    }
}

#[test]
fn an_interrupted_transaction_is_not_acknowledged_nor_continued() {
    let router = router();
    router.add_shapes((0..500).map(|id| ShapeSpec::new(id, None))).unwrap();
    let record = Carried::whole(&Record { id: 1, a: Some(1), b: None });
    let (change, mut scratch) = (insert(&record), Scratch::default());
    let ten = Transaction::at(10);
    let progress =
        router.route_txn(ten, 0, &change, &mut scratch, &mut Budget::new(1), None).unwrap();
    let Progress::More(cursor) = progress else { panic!("one unit is not enough") };
    assert!(matches!(router.ack(10, 100), Err(Error::TransactionInProgress { lsn: 10 })));
    router.begin_txn(Transaction::at(20)).unwrap();
    let stale =
        router.route_txn(ten, 0, &change, &mut scratch, &mut Budget::unlimited(), Some(cursor));
    assert!(matches!(stale, Err(Error::StaleTransaction { lsn: 10 })));
}

#[test]
fn a_heavy_evaluation_leaves_the_slice_and_only_itself() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, Some("b LIKE '%a%a%a%a%a%a%b'"))).unwrap();
    router.add_shape(ShapeSpec::new(2, Some("b LIKE 'ba%'"))).unwrap();
    // It holds every literal of the pattern, so that the pattern is a candidate.
    let b = Some("b".to_owned() + &"a".repeat(400_000));
    let record = Carried::whole(&Record { id: 1, a: None, b });
    let (change, mut scratch) = (insert(&record), Scratch::default());
    let options = RouteOptions::default();
    let first = router.route(&change, options, &mut scratch, &mut Budget::slice(), None).unwrap();
    let mut all: Vec<u64> = scratch.ids().collect();
    let Progress::Heavy(cursor) = first else { panic!("{first:?} is not heavy") };
    let mut patient = Budget::new(1_000_000_000);
    let rest = router.route(&change, options, &mut scratch, &mut patient, Some(cursor)).unwrap();
    assert!(matches!(rest, Progress::Done));
    all.extend(scratch.ids());
    all.sort_unstable();
    assert!(
        all == [2] || all == [1, 2],
        "beyond every limit shape 1 is unknown, so included: {all:?}"
    );
    assert_eq!(router.metrics().changes, 1);
}

#[test]
fn a_long_text_is_sought_for_literals_off_the_slice() {
    let router = router();
    let clauses: Vec<String> = (0..100).map(|i| format!("b LIKE '%<{i}>%'")).collect();
    let specs = clauses.iter().zip(0..).map(|(clause, id)| ShapeSpec::new(id, Some(clause)));
    router.add_shapes(specs).unwrap();
    let options = RouteOptions::default();
    for (text, long) in [("<7>".to_owned(), false), ("<7>".repeat(500_000), true)] {
        let record = Carried::whole(&Record { id: 1, a: None, b: Some(text) });
        let (change, mut scratch) = (insert(&record), Scratch::default());
        let mut slice = Budget::slice();
        let first = router.route(&change, options, &mut scratch, &mut slice, None).unwrap();
        if long {
            let Progress::Heavy(cursor) = first else { panic!("{first:?} is not heavy") };
            assert!(scratch.ids().len() == 0 && slice.spent() < 100, "{} units", slice.spent());
            let patient = &mut Budget::new(1_000_000_000);
            let rest = router.route(&change, options, &mut scratch, patient, Some(cursor)).unwrap();
            assert!(matches!(rest, Progress::Done));
        } else {
            assert!(matches!(first, Progress::Done));
        }
        assert_eq!(scratch.ids().collect::<Vec<_>>(), [7]);
    }
}
