//! Shapes come and go: ids, limits, all or nothing, schemas that are learned.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use shape_expr::Datum;
use shape_router::{Change, Config, Error, KeyParts, Keys, Op, Router, ShapeSpec, Transaction};

fn row(id: i64, a: i64) -> Carried {
    Carried::whole(&Record { id, a: Some(a), b: None })
}

#[test]
fn an_id_is_taken_once_and_free_again() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, Some("a = 1"))).unwrap();
    let again = router.add_shape(ShapeSpec::new(1, None));
    assert!(matches!(again, Err(Error::DuplicateShape(1))));
    router.remove_shape(1).unwrap();
    assert!(matches!(router.remove_shape(1), Err(Error::UnknownShape(1))));
    router.add_shape(ShapeSpec::new(1, Some("a = 2"))).unwrap();
    assert!(ids(&router, &insert(&row(1, 1))).is_empty());
    assert_eq!(ids(&router, &insert(&row(1, 2))), [1]);
}

#[test]
fn all_are_added_or_none() {
    let router = router();
    router.add_shape(ShapeSpec::new(5, None)).unwrap();
    let bad_clause =
        router.add_shapes([ShapeSpec::new(1, Some("a = 1")), ShapeSpec::new(2, Some("a ="))]);
    assert!(matches!(bad_clause, Err(Error::Clause { id: 2, .. })), "{bad_clause:?}");
    let taken = router.add_shapes([ShapeSpec::new(1, Some("a = 1")), ShapeSpec::new(5, None)]);
    assert!(matches!(taken, Err(Error::DuplicateShape(5))));
    let twice = router.add_shapes([ShapeSpec::new(1, Some("a = 1")), ShapeSpec::new(1, None)]);
    assert!(matches!(twice, Err(Error::DuplicateShape(1))));
    assert_eq!(router.shapes(), [5]);
    router.add_shapes((10..2010).map(|id| ShapeSpec::new(id, Some("a = 1")))).unwrap();
    assert_eq!(router.len(), 2001);
}

#[test]
fn limits_are_typed_errors() {
    let router = Router::new(Config { max_shapes: Some(2), ..config() }).unwrap();
    router.add_shape(ShapeSpec::new(1, None)).unwrap();
    let over = router.add_shapes([ShapeSpec::new(2, None), ShapeSpec::new(3, None)]);
    assert!(matches!(over, Err(Error::TooManyShapes { limit: 2 })));
    assert_eq!(router.shapes(), [1]);
    let router = Router::new(Config { max_bytes: Some(100_000), ..config() }).unwrap();
    let refused =
        (0..10_000).find_map(|id| router.add_shape(ShapeSpec::new(id, Some("a = 1"))).err());
    assert_eq!(refused.unwrap().code(), "limit_reached");
    assert!(router.len() > 100, "the limit is not reached at once: {}", router.len());
}

#[test]
fn keys_must_be_keys_of_the_table() {
    let router = router();
    let with = |part: Datum<'static>| {
        let keys = Keys::Known(vec![key(1), KeyParts::one(part)]);
        router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(1, None) })
    };
    for part in [Datum::Null, Datum::Text(b"one"), Datum::Absent] {
        assert!(matches!(with(part), Err(Error::InvalidKey { id: 1, index: 1, .. })), "{part:?}");
    }
    assert!(router.is_empty());
    with(Datum::Text(b"7")).unwrap();
    let delete = Change { old_key: Some(key(7)), ..Change::new(Op::Delete) };
    assert_eq!(ids(&router, &delete), [1], "7 and \"7\" are the same key");
}

#[test]
fn an_open_table_learns_its_columns() {
    let router =
        Router::new(Config { primary_key: vec!["id".into()], ..Config::open("t") }).unwrap();
    let version = router.schema_version();
    router.add_shape(ShapeSpec::new(1, Some("user_id = 5"))).unwrap();
    assert!(router.schema_version() > version);
    let conflict = router.add_shape(ShapeSpec::new(2, Some("user_id = 'x'")));
    assert!(conflict.is_err(), "an integer column is compared with a word");
    assert_eq!(router.shapes(), [1]);
    let unknown_key = Config { primary_key: vec!["nope".into()], ..Config::new(schema()) };
    assert!(
        matches!(Router::new(unknown_key), Err(Error::UnknownKeyColumn(name)) if name == "nope")
    );
}

#[test]
fn slots_are_reused_without_inheriting_keys() {
    let router = router();
    for round in 0..3000u64 {
        let keys = Keys::Known(vec![key(round as i64)]);
        router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(round, Some("a = 1")) }).unwrap();
        if round >= 10 {
            router.remove_shape(round - 10).unwrap();
        }
    }
    for gone in [0, 1500, 2980] {
        let delete = Change { old_key: Some(key(gone)), ..Change::new(Op::Delete) };
        assert!(ids(&router, &delete).is_empty());
    }
    let delete = Change { old_key: Some(key(2995)), ..Change::new(Op::Delete) };
    assert_eq!(ids(&router, &delete), [2995]);
    router.rebuild().unwrap();
    assert_eq!(router.metrics().membership_keys, 10);
}

#[test]
fn a_closed_router_refuses() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, None)).unwrap();
    router.close().unwrap();
    assert!(matches!(router.add_shape(ShapeSpec::new(2, None)), Err(Error::Closed)));
    assert!(matches!(router.begin_txn(Transaction::at(1)), Err(Error::Closed)));
    assert!(matches!(router.explain(1), Err(Error::Closed)));
    router.close().unwrap();
}

#[test]
fn settings_that_no_index_could_be_made_with_are_refused_by_name() {
    let with = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Router::new(config).map(|_| ()).map_err(|e| (e.code(), e.to_string()))
    };
    let lanes = Err(("invalid_argument", "num_lanes: 0 is not between 1 and 256".to_owned()));
    assert_eq!(with(|config| config.num_lanes = Some(0)), lanes);
    for refused in [f64::NAN, 0.0, -1.0] {
        let mut config = config();
        config.rebuild_threshold = refused;
        let error = Router::new(config).map(|_| ()).expect_err("refused").to_string();
        assert!(error.starts_with("rebuild_threshold: "), "{error}");
    }
    assert_eq!(with(|config| config.num_lanes = Some(256)), Ok(()));
    assert_eq!(with(|config| config.rebuild_threshold = f64::INFINITY), Ok(()));
}
