//! The table of meanings, row by row: what a change is routed to, and with which class.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use shape_expr::{ColumnSet, Datum, RowSource};
use shape_router::{Change, Class, KeyParts, Keys, OldRow, Op, RouteOptions, Router, ShapeSpec};
use shape_router::{Relation, RelationColumn, Snapshot, Transaction};

const KNOWN: u64 = 1;
const UNKNOWN: u64 = 2;
const OTHER: u64 = 3;

/// Two shapes `a = 1`, one that knows that it holds the keys 10 and 11; and one `a = 9`.
fn shapes() -> Router {
    let router = router();
    let keys = Keys::Known(vec![key(10), key(11)]);
    router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(KNOWN, Some("a = 1")) }).unwrap();
    router.add_shape(ShapeSpec::new(UNKNOWN, Some("a = 1"))).unwrap();
    router
        .add_shape(ShapeSpec { keys: Keys::Known(vec![]), ..ShapeSpec::new(OTHER, Some("a = 9")) })
        .unwrap();
    router
}

fn row(id: i64, a: i64) -> Carried {
    Carried::whole(&Record { id, a: Some(a), b: Some("x".into()) })
}

fn without_b(id: i64, a: i64) -> Carried {
    Carried { has: [true, true, false], ..row(id, a) }
}

fn update<'a>(new: &'a Carried, old: Option<&'a Carried>) -> Change<'a> {
    Change { new: Some(new), old: old.map(|o| o as _), ..Change::new(Op::Update) }
}

#[test]
fn an_insert_goes_where_the_clause_is_true() {
    let router = shapes();
    assert_eq!(
        classes(&router, &insert(&row(5, 1))),
        [(KNOWN, Class::Insert), (UNKNOWN, Class::Insert)]
    );
    assert_eq!(classes(&router, &insert(&row(5, 9))), [(OTHER, Class::Insert)]);
    assert!(ids(&router, &insert(&row(5, 2))).is_empty());
}

#[test]
fn an_update_with_its_old_row_tells_all() {
    let router = shapes();
    let is = |old: i64, new: i64| classes(&router, &update(&row(5, new), Some(&row(5, old))));
    assert_eq!(is(1, 1), [(KNOWN, Class::Update), (UNKNOWN, Class::Update)]);
    assert_eq!(
        is(1, 9),
        [(KNOWN, Class::Delete), (UNKNOWN, Class::Delete), (OTHER, Class::Insert)]
    );
    assert_eq!(is(2, 3), []);
    assert_eq!(ids(&router, &update(&row(5, 3), Some(&row(5, 1)))), [KNOWN, UNKNOWN]);
}

#[test]
fn an_update_without_its_old_row_asks_the_membership() {
    let router = shapes();
    let is = |id: i64, new: i64| classes(&router, &update(&row(id, new), None));
    assert_eq!(is(10, 1), [(KNOWN, Class::Update), (UNKNOWN, Class::Upsert)]);
    assert_eq!(is(5, 1), [(KNOWN, Class::Insert), (UNKNOWN, Class::Upsert)]);
    assert_eq!(is(10, 2), [(KNOWN, Class::Delete), (UNKNOWN, Class::DeleteIfPresent)]);
    assert_eq!(is(5, 2), [(UNKNOWN, Class::DeleteIfPresent)]);
}

#[test]
fn the_caller_may_ignore_old_rows() {
    let router = shapes();
    let options = RouteOptions { classify: true, old_row: OldRow::Ignore };
    let is = |id: i64, new: i64| {
        let row = row(id, new);
        let (all, _) = in_parts(u64::MAX, |scratch, budget, cursor| {
            router.route(&update(&row, None), options, scratch, budget, cursor).unwrap()
        });
        all.iter().map(|r| (r.id, r.class)).collect::<Vec<_>>()
    };
    assert_eq!(is(10, 1), [(KNOWN, Class::Update), (UNKNOWN, Class::Upsert)]);
    assert_eq!(is(10, 2), [(KNOWN, Class::Delete)], "known membership still loses no delete");
    assert_eq!(is(5, 2), []);
}

#[test]
fn a_delete_goes_by_its_old_row_or_by_its_key() {
    let router = shapes();
    let old = row(77, 1);
    let full = Change { old: Some(&old), ..Change::new(Op::Delete) };
    assert_eq!(classes(&router, &full), [(KNOWN, Class::Delete), (UNKNOWN, Class::Delete)]);
    let by_key =
        |id: i64| classes(&router, &Change { old_key: Some(key(id)), ..Change::new(Op::Delete) });
    assert_eq!(by_key(10), [(KNOWN, Class::Delete), (UNKNOWN, Class::DeleteIfPresent)]);
    assert_eq!(by_key(5), [(UNKNOWN, Class::DeleteIfPresent)]);
}

#[test]
fn a_key_rules_out_what_reads_only_the_key() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, Some("id > 100"))).unwrap();
    router.add_shape(ShapeSpec::new(2, Some("id < 100 AND a = 1"))).unwrap();
    router.add_shape(ShapeSpec::new(3, Some("false"))).unwrap();
    let delete = Change { old_key: Some(key(5)), ..Change::new(Op::Delete) };
    assert_eq!(classes(&router, &delete), [(2, Class::DeleteIfPresent)]);
    assert_eq!(classes(&router, &update(&row(5, 7), None)), [(2, Class::DeleteIfPresent)]);
}

#[test]
fn a_changed_key_is_its_parts() {
    let router = shapes();
    let moved = |from: i64, to: i64, a: i64| {
        let new = row(to, a);
        classes(&router, &Change { old_key: Some(key(from)), ..update(&new, None) })
    };
    assert_eq!(moved(10, 20, 1), [(KNOWN, Class::Rekey), (UNKNOWN, Class::Rekey)]);
    assert_eq!(moved(5, 20, 1), [(KNOWN, Class::Insert), (UNKNOWN, Class::Rekey)]);
    assert_eq!(moved(10, 20, 2), [(KNOWN, Class::Delete), (UNKNOWN, Class::DeleteIfPresent)]);
    let (old, new) = (row(10, 1), row(20, 1));
    assert_eq!(classes(&router, &update(&new, Some(&old)))[0], (KNOWN, Class::Rekey));
    let (old, new) = (row(10, 3), row(20, 1));
    assert_eq!(classes(&router, &update(&new, Some(&old)))[0], (KNOWN, Class::Insert));
}

#[test]
fn a_truncate_goes_to_all() {
    let router = shapes();
    router.add_shape(ShapeSpec::new(9, Some("false"))).unwrap();
    let all = [KNOWN, UNKNOWN, OTHER, 9].map(|id| (id, Class::Truncate));
    assert_eq!(classes(&router, &Change::new(Op::Truncate)), all);
}

#[test]
fn what_the_wal_leaves_out_is_taken_from_the_old_row() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, Some("b = 'x'"))).unwrap();
    let (old, new) = (row(5, 1), without_b(5, 2));
    assert_eq!(classes(&router, &update(&new, Some(&old))), [(1, Class::Update)]);
}

#[test]
fn what_nobody_knows_includes_the_shapes_that_depend_on_it() {
    let router = router();
    let known = |keys| Keys::Known(keys);
    let add = |id, clause, keys| {
        router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(id, Some(clause)) }).unwrap();
    };
    add(1, "b = 'x'", known(vec![]));
    add(2, "a = 1 AND b = 'x'", known(vec![]));
    add(3, "a = 1 OR b = 'x'", known(vec![]));
    add(4, "a = 1", known(vec![]));
    add(5, "a = 1", known(vec![key(5)]));
    let in_by = |a: i64| classes(&router, &update(&without_b(5, a), None));
    use Class::*;
    assert_eq!(
        in_by(1),
        [(1, Unknown), (2, Unknown), (3, InsertMissing), (4, InsertMissing), (5, Update)]
    );
    assert_eq!(in_by(2), [(1, Unknown), (3, Unknown), (5, Delete)]);
}

/// A row whose `a` is no integer.
struct Unreadable;

impl RowSource for Unreadable {
    fn datum(&self, column: usize) -> Datum<'_> {
        [Datum::Int(5), Datum::Text(b"one"), Datum::Text(b"x")][column]
    }
}

#[test]
fn an_unreadable_value_concerns_only_those_that_read_it() {
    let router = router();
    for (id, clause) in
        [(1, "a = 1"), (2, "a > 1"), (3, "b = 'x'"), (4, "b = 'y'"), (5, "b = 'y' AND a = 1")]
    {
        router.add_shape(ShapeSpec::new(id, Some(clause))).unwrap();
    }
    let row = Unreadable;
    let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
    use Class::*;
    assert_eq!(classes(&router, &change), [(1, Unknown), (2, Unknown), (3, Insert)]);
    let metrics = router.metrics();
    assert_eq!((metrics.eval_errors, metrics.unknown_answers), (2, 2));
}

#[test]
fn a_raising_clause_concerns_only_itself() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, Some("10 / a > 1"))).unwrap();
    router.add_shape(ShapeSpec::new(2, Some("a = 0"))).unwrap();
    assert_eq!(classes(&router, &insert(&row(5, 0))), [(1, Class::Unknown), (2, Class::Insert)]);
    assert_eq!(classes(&router, &insert(&row(5, 5))), [(1, Class::Insert)]);
}

#[test]
fn unchanged_columns_spare_an_evaluation() {
    let router = shapes();
    let mut changed = ColumnSet::default();
    changed.insert(2);
    let (old, new) = (row(10, 1), row(10, 1));
    let both = Change { changed: Some(changed.clone()), ..update(&new, Some(&old)) };
    assert_eq!(classes(&router, &both), [(KNOWN, Class::Update), (UNKNOWN, Class::Update)]);
    // A member that nothing concerns stays one, even where the row is not carried in full.
    let bare = Carried { has: [true, false, true], ..row(10, 1) };
    let bare = Change { changed: Some(changed), ..update(&bare, None) };
    assert_eq!(classes(&router, &bare)[0], (KNOWN, Class::Update));
}

fn relation(columns: &[(&str, u32)]) -> Relation {
    let column = |&(name, type_oid): &(&str, u32)| RelationColumn {
        name: name.into(),
        type_oid,
        typmod: -1,
        key: name == "id",
    };
    Relation {
        oid: 77,
        schema: "public".into(),
        table: "t".into(),
        replica_identity: Some(b'd'),
        columns: columns.iter().map(column).collect(),
    }
}

fn tell(router: &Router, lsn: u64, relation: &Relation) -> Vec<(u64, Class)> {
    let change = Change { relation: Some(relation), ..Change::new(Op::Relation) };
    txn(router, Transaction::at(lsn), &[change], u64::MAX).remove(0)
}

const DECLARED: &[(&str, u32)] = &[("id", 20), ("a", 20), ("b", 25)];

#[test]
fn a_relation_message_concerns_shapes_only_when_something_changed() {
    let router = shapes();
    let all = [KNOWN, UNKNOWN, OTHER].map(|id| (id, Class::Unknown));
    assert_eq!(tell(&router, 1, &relation(DECLARED)), []);
    assert_eq!(tell(&router, 2, &relation(DECLARED)), []);
    let renamed = Relation { table: "u".into(), ..relation(DECLARED) };
    assert_eq!(tell(&router, 3, &renamed), all);
    assert_eq!(tell(&router, 4, &renamed), []);
    let another = Relation { oid: 78, ..renamed };
    assert_eq!(tell(&router, 5, &another), all);
    let grown =
        Relation { columns: relation(&[DECLARED, &[("c", 25)]].concat()).columns, ..another };
    assert_eq!(tell(&router, 6, &grown), all);
    assert_eq!(ids(&router, &insert(&row(5, 1))), [KNOWN, UNKNOWN], "no WHERE column was touched");
}

#[test]
fn a_lost_where_column_includes_its_shapes_in_everything() {
    for gone in [&[("id", 20), ("b", 25)][..], &[("id", 20), ("a", 25), ("b", 25)][..]] {
        let router = shapes();
        router.add_shape(ShapeSpec::new(4, Some("b = 'z'"))).unwrap();
        tell(&router, 1, &relation(DECLARED));
        let all = [KNOWN, UNKNOWN, OTHER, 4].map(|id| (id, Class::Unknown));
        assert_eq!(tell(&router, 2, &relation(gone)), all);
        let stale = [KNOWN, UNKNOWN, OTHER].map(|id| (id, Class::Unknown));
        assert_eq!(classes(&router, &insert(&row(5, 3))), stale);
        assert_eq!(router.explain(KNOWN).unwrap().filed, "stale");
        router.remove_shape(KNOWN).unwrap();
        assert_eq!(ids(&router, &insert(&row(5, 3))), [UNKNOWN, OTHER]);
    }
}

#[test]
fn a_snapshot_is_not_applied_twice() {
    let router = router();
    let seeded = |id, snapshot| ShapeSpec {
        keys: Keys::Known(vec![key(1)]),
        snapshot: Some(snapshot),
        ..ShapeSpec::new(id, Some("a = 1"))
    };
    router.add_shape(seeded(1, Snapshot::Lsn(100))).unwrap();
    let xids = Snapshot::Xids { xmin: 50, xmax: 60, xip: vec![55] };
    router.add_shape(seeded(2, xids)).unwrap();
    let at = |lsn, xid| {
        let transaction = Transaction { lsn, fragment: 0, xid: Some(xid) };
        let new = row(7, 1);
        let answer = txn(&router, transaction, &[insert(&new)], u64::MAX).remove(0);
        answer.iter().map(|(id, _)| *id).collect::<Vec<_>>()
    };
    assert!(at(90, 40).is_empty());
    assert_eq!(at(99, 55), [2], "it was still running when the snapshot was taken");
    assert_eq!(at(101, 59), [1]);
    assert_eq!(at(102, 60), [1, 2]);
}

#[test]
fn a_row_under_an_unknown_key_makes_membership_unknown() {
    let router = Router::new(shape_router::Config::new(schema())).unwrap();
    let keys = Keys::Known(vec![KeyParts::one(Datum::Int(1))]);
    router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(1, Some("a = 1")) }).unwrap();
    let delete = |key: i64| Change { old_key: Some(common::key(key)), ..Change::new(Op::Delete) };
    assert_eq!(classes(&router, &delete(2)), []);
    // No primary key is declared and the change brings none.
    txn(&router, Transaction::at(1), &[insert(&row(2, 1))], u64::MAX);
    ack(&router, 1);
    assert_eq!(classes(&router, &delete(2)), [(1, Class::DeleteIfPresent)]);
}
