//! What a router is made with against what its directory was made with, and what the table was
//! taught: by clauses, by Relation messages, by rows that made membership unknown.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::*;
use durable_support::*;
use lane_index::storage::simulation::SimStorage;
use shape_expr::{Column, Options as ExprOptions, Param, Schema};
use shape_router::catalogue::{
    AddWriter, Declared, Options, Replay, StoredSchema, StoredShape, Taken,
};
use shape_router::{Change, Class, Config, Error, Keys, Op, Router, ShapeSpec, Transaction};
use std::sync::Arc;

fn open(storage: &SimStorage, config: Config) -> Result<Router, Error> {
    Router::open_in(config, Arc::new(storage.clone()), options())
}

fn columns(columns: &[(&str, &str)]) -> Config {
    let columns = columns.iter().map(|(name, ty)| Column::new(name, ty.parse().unwrap()));
    Config {
        primary_key: vec!["id".into()],
        ..Config::new(Schema::new("t", columns.collect()).unwrap())
    }
}

#[test]
fn another_router_is_refused_with_the_difference() {
    let disk = SimStorage::new();
    open(&disk, config()).unwrap().close().unwrap();
    let zone = |zone: &str| {
        let mut options = ExprOptions::default();
        options.time_zone = zone.to_owned();
        Config { options, ..config() }
    };
    let other_table = Schema::new("u", schema().columns().to_vec()).unwrap();
    for (config, told) in [
        (
            Config { primary_key: vec!["id".into()], ..Config::new(other_table) },
            "table: \"t\" there",
        ),
        (Config { primary_key: vec!["a".into()], ..config() }, "primary key: [\"id\"] there"),
        (zone("Europe/Berlin"), "time zone: \"UTC\" there, \"Europe/Berlin\" asked for"),
        (Config::open("t"), "primary key"),
        (
            Config { primary_key: vec!["id".into()], ..Config::open("t") },
            "columns: \"id, a, b\" there",
        ),
        (columns(&[("id", "int8"), ("a", "int8")]), "column \"b\" is there"),
        (
            columns(&[("id", "int8"), ("a", "text"), ("b", "text")]),
            "column \"a\": bigint there, text asked for",
        ),
    ] {
        let error = open(&disk, config).err().unwrap();
        assert_eq!(error.code(), "mismatch");
        assert!(error.to_string().contains(told), "{error}, not {told}");
    }
    open(&disk, config()).unwrap();
}

#[test]
fn columns_that_came_since_are_accepted() {
    let disk = SimStorage::new();
    let router = open(&disk, config()).unwrap();
    router.add_shape(ShapeSpec::new(1, Some("a = 1"))).unwrap();
    router.close().unwrap();
    let wider = || columns(&[("id", "int8"), ("c", "date"), ("a", "int8"), ("b", "text")]);
    for _ in 0..2 {
        let router = open(&disk, wider()).unwrap();
        let schema = router.schema().0;
        assert_eq!(schema.columns().len(), 4);
        assert!(schema.position("c").is_some());
        let id = router.len() as u64 + 1;
        router.add_shape(ShapeSpec::new(id, Some("c > '2020-01-01'"))).unwrap();
        router.close().unwrap();
    }
    let router = open(&disk, wider()).unwrap();
    assert_eq!(router.shapes(), [1, 2, 3]);
    assert_eq!(router.explain(3).unwrap().columns, ["c"]);
    router.close().unwrap();
    // From then on they are part of it.
    assert_eq!(open(&disk, config()).err().unwrap().code(), "mismatch");
}

/// Once a Relation message told the columns, those that are declared later must be remembered as well,
/// and no column may come to stand elsewhere, in whatever order they are declared.
#[test]
fn columns_that_came_after_a_relation_are_remembered() {
    for folds in [false, true] {
        let disk = SimStorage::new();
        let router = open(&disk, config()).unwrap();
        // Its clause is compiled before the relation is told, also when all of it is read again.
        router.add_shape(ShapeSpec::new(2, Some("a = 5"))).unwrap();
        let relation = relation(&[("id", 20), ("a", 20), ("b", 25)]);
        let told = Change { relation: Some(&relation), ..Change::new(Op::Relation) };
        txn(&router, Transaction::at(1), &[told], u64::MAX);
        ack(&router, 1);
        if folds {
            router.fold().unwrap();
        }
        router.close().unwrap();
        let wider = || columns(&[("c", "int8"), ("id", "int8"), ("a", "int8"), ("b", "text")]);
        let router = open(&disk, wider()).unwrap();
        router.add_shape(ShapeSpec::new(1, Some("c = 5"))).unwrap();
        for round in 0..3 {
            let explained = |id| router_filed(&disk, wider(), id);
            if round == 0 {
                router.close().unwrap();
            }
            assert_eq!(explained(1), ("equality", "c".to_owned()), "folds {folds}, {round}");
            assert_eq!(explained(2), ("equality", "a".to_owned()), "folds {folds}, {round}");
        }
    }
}

/// Opens a router, and tells how a shape of it is filed; folds it before it is closed.
fn router_filed(disk: &SimStorage, config: Config, id: u64) -> (&'static str, String) {
    let router = open(disk, config).unwrap();
    let explained = router.explain(id).unwrap();
    router.fold().unwrap();
    router.close().unwrap();
    let column = explained.conditions.first().map(|c| c.column.clone());
    (explained.filed, column.unwrap_or_default())
}

#[test]
fn an_open_table_remembers_what_clauses_taught() {
    let disk = SimStorage::new();
    let config = || Config { primary_key: vec!["key".into()], ..Config::open("t") };
    for fold in [false, true] {
        let router = open(&disk, config()).unwrap();
        if !fold {
            router.add_shape(ShapeSpec::new(1, Some("x = 1"))).unwrap();
            let params = vec![Param::Text("it's"), Param::Float(-1.5), Param::Bool(true)];
            let clause = Some("y = $1 AND z < $2 AND w = $3");
            router.add_shape(ShapeSpec { params, ..ShapeSpec::new(2, clause) }).unwrap();
        } else {
            router.fold().unwrap();
        }
        let taught = router.schema().0;
        router.close().unwrap();
        let router = open(&disk, config()).unwrap();
        assert_eq!(*router.schema().0, *taught);
        assert_eq!(router.primary_key(), ["key"]);
        let refused = router.add_shape(ShapeSpec::new(9, Some("x = 'text'"))).unwrap_err();
        assert!(matches!(refused, Error::Clause { id: 9, .. }), "{refused}");
        assert_eq!(router.explain(2).unwrap().columns.len(), 3);
        router.close().unwrap();
    }
}

#[test]
fn limits_count_what_was_there() {
    let disk = SimStorage::new();
    let router = open(&disk, config()).unwrap();
    router.add_shapes((0..3).map(|id| ShapeSpec::new(id, None))).unwrap();
    router.close().unwrap();
    let router = open(&disk, Config { max_shapes: Some(4), ..config() }).unwrap();
    router.add_shape(ShapeSpec::new(3, None)).unwrap();
    assert!(matches!(
        router.add_shape(ShapeSpec::new(4, None)),
        Err(Error::TooManyShapes { limit: 4 })
    ));
    assert!(matches!(router.add_shape(ShapeSpec::new(3, None)), Err(Error::DuplicateShape(3))));
}

fn tell(router: &Router, lsn: u64, relation: &shape_router::Relation) -> Vec<(u64, Class)> {
    let change = Change { relation: Some(relation), ..Change::new(Op::Relation) };
    txn(router, Transaction::at(lsn), &[change], u64::MAX).remove(0)
}

const INT8: u32 = 20;
const TEXT: u32 = 25;

#[test]
fn a_relation_is_told_again_until_it_is_acknowledged() {
    for fold in [false, true] {
        let disk = SimStorage::new();
        let router = open(&disk, config()).unwrap();
        router.add_shape(ShapeSpec::new(1, Some("a = 1"))).unwrap();
        router.add_shape(ShapeSpec::new(2, Some("b = 'x'"))).unwrap();
        // a is text from now on.
        let now = relation(&[("id", INT8), ("a", TEXT), ("b", TEXT)]);
        let first = tell(&router, 100, &now);
        assert!(!first.is_empty());
        // A shape that comes before that is acknowledged is compiled against it.
        router.add_shape(ShapeSpec::new(3, Some("a = 'new'"))).unwrap();
        let crashed = disk.kill();
        let again = open(&crashed, config()).unwrap();
        assert_eq!(again.explain(1).unwrap().filed, "stale");
        let second = tell(&again, 100, &now);
        let ids: Vec<u64> = second.iter().map(|(id, _)| *id).collect();
        assert!(first.iter().all(|(id, _)| ids.contains(id)), "{first:?} {second:?}");

        ack(&router, 100);
        if fold {
            router.fold().unwrap();
        }
        let crashed = disk.kill();
        let after = open(&crashed, config()).unwrap();
        assert_eq!(tell(&after, 200, &now), [], "it is known");
        let filed = [1, 2, 3].map(|id| after.explain(id).unwrap().filed);
        assert_eq!(filed, ["stale", "equality", "equality"]);
        assert_eq!(*after.schema().0, *router.schema().0);
        // The directory may be opened with the new type too.
        after.close().unwrap();
        open(&crashed, columns(&[("id", "int8"), ("a", "text"), ("b", "text")])).unwrap();
    }
}

#[test]
fn a_key_that_only_a_relation_told_is_remembered() {
    let disk = SimStorage::new();
    let keyless = || Config { primary_key: Vec::new(), ..config() };
    let router = open(&disk, keyless()).unwrap();
    assert!(router.primary_key().is_empty());
    tell(&router, 100, &relation(&[("id", INT8), ("a", INT8), ("b", TEXT)]));
    ack(&router, 100);
    assert_eq!(router.primary_key(), ["id"]);
    router.close().unwrap();
    let router = open(&disk, keyless()).unwrap();
    assert_eq!(router.primary_key(), ["id"]);
    assert_eq!(router.metrics().acked_lsn, 100);
}

#[test]
fn a_shape_that_lost_track_stays_so() {
    for fold in [false, true] {
        let disk = SimStorage::new();
        let router = open(&disk, config()).unwrap();
        let keys = Keys::Known(vec![key(1)]);
        router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(1, Some("a = 1")) }).unwrap();
        // A row that comes into the shape under a key that nobody knows.
        let record = Record { id: 5, a: Some(1), b: None };
        let new = Carried { record, has: [false, true, true] };
        txn(&router, Transaction::at(100), &[insert(&new)], u64::MAX);
        assert_eq!(router.metrics().known_shapes, 0);
        let before = open(&disk.kill(), config()).unwrap();
        assert_eq!(before.metrics().known_shapes, 1, "what is not acknowledged comes again");
        ack(&router, 100);
        if fold {
            router.fold().unwrap();
        }
        let after = open(&disk.kill(), config()).unwrap();
        assert_eq!(after.metrics().known_shapes, 0);
        assert_eq!(shown(&after), shown(&router));
    }
}

#[test]
fn a_clause_that_is_refused_now_keeps_nobody_away() {
    struct Nothing;
    impl Replay for Nothing {
        fn schema(&mut self, _: StoredSchema) {}
        fn relation(&mut self, _: shape_router::catalogue::RelationChange) {}
        fn acked(&mut self, _: u64) {}
        fn serials_below(&mut self, _: u64) {}
        fn shape(&mut self, _: &StoredShape<'_>) {}
        fn removed(&mut self, _: u64) {}
        fn lost_track(&mut self, _: u64) {}
        fn stale(&mut self, _: u64) {}
        fn held(&mut self, _: u128, _: u64, _: Option<shape_router::catalogue::Held>) {}
        fn truncated(&mut self, _: u64, _: &[u64]) {}
    }
    let disk = SimStorage::new();
    let mut taken = Taken::take(Arc::new(disk.clone())).unwrap();
    let declared = Declared {
        schema: StoredSchema::new(&schema()),
        primary_key: vec!["id".into()],
        time_zone: "UTC".into(),
        ascii_case: false,
        order_any_collation_by_bytes: false,
    };
    let types = vec![shape_router::catalogue::StoredType::new(&"int8".parse().unwrap())];
    taken.declare(declared, || Some(types)).unwrap();
    let catalogue = taken.open(Options::default(), &[], &mut Nothing).unwrap();
    let mut record = AddWriter::default();
    for (serial, clause) in [(1, "a = 1"), (2, "some_day_a_function(a)")] {
        let shape = StoredShape {
            serial,
            id: serial * 10,
            clause: Some(clause),
            params: &[],
            known: false,
            stale: false,
            snapshot: None,
        };
        record.shape(&shape, &[]);
    }
    let seq = catalogue.write(&record.finish(None, &[])).unwrap();
    catalogue.acknowledge(seq).unwrap();
    catalogue.close().unwrap();
    let router = open(&disk, config()).unwrap();
    assert_eq!(router.shapes(), [10, 20]);
    assert_eq!(router.explain(20).unwrap().filed, "stale");
    let new = Carried::whole(&Record { id: 5, a: Some(2), b: None });
    assert_eq!(classes(&router, &insert(&new)), [(20, Class::Unknown)]);
    router.remove_shape(20).unwrap();
    router.close().unwrap();
    assert_eq!(open(&disk, config()).unwrap().shapes(), [10]);
}

#[test]
fn a_router_in_memory_has_nothing_to_copy() {
    let error = router().snapshot_into(&SimStorage::new()).unwrap_err();
    assert!(matches!(error, Error::InMemory));
}
