//! Shapes over subqueries: what moves when a set changes, how they are filed, and what is refused.
#![allow(clippy::unwrap_used)]

mod subquery_support;

use shape_expr::{ColumnType, Datum};
use shape_router::{
    Change, Class, ItemTypes, KeyParts, Keys, MoveKind, Op, Router, ShapeSpec, Snapshot,
    Transaction,
};
use std::sync::Arc;
use subquery_support::*;

const IN: MoveKind = MoveKind::In;
const OUT: MoveKind = MoveKind::Out;

fn router() -> Router {
    Router::new(config()).unwrap()
}

fn one(value: i64) -> Vec<Value> {
    vec![Some(value)]
}

/// A shape, which way, and which values; `None`: all.
type ShapeMove = (u64, MoveKind, Option<Vec<Vec<Value>>>);

/// The moves of a transaction of its own, which is acknowledged.
fn moved(
    router: &Router,
    lsn: u64,
    set: usize,
    added: &[Vec<Value>],
    removed: &[Vec<Value>],
) -> Vec<ShapeMove> {
    let (transaction, come, go) = (Transaction::at(lsn), set_rows(added), set_rows(removed));
    router.begin_txn(transaction).unwrap();
    let moves = router.move_values(transaction, 0, &subquery(set), &come, &go).unwrap();
    router.finish_txn(transaction).unwrap();
    assert!(router.ack(lsn, u64::MAX).unwrap());
    written(&moves, added, removed).into_iter().map(|m| (m.id, m.kind, m.values)).collect()
}

#[test]
fn an_unseeded_set_includes_its_shapes_in_everything() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    add(&router, 2, "x NOT IN (SELECT v FROM s0)");
    add(&router, 3, "x IN (SELECT v FROM s0) AND y = 5");
    let row = Row { id: 1, x: Some(1), y: Some(2) };
    let unknown = [(1, Class::Unknown), (2, Class::Unknown)];
    assert_eq!(route(&router, &insert(&row)), unknown);
    // NULL is in no set, whatever that holds.
    let null = Row { x: None, ..row };
    assert_eq!(route(&router, &insert(&null)), [(2, Class::Unknown)]);
    seed(&router, 0, &[one(1)]);
    assert_eq!(route(&router, &insert(&row)), [(1, Class::Insert)]);
    router.mark_values(&subquery(0), false).unwrap();
    assert_eq!(route(&router, &insert(&row)), unknown);
}

#[test]
fn later_changes_of_a_transaction_see_what_its_earlier_ones_did() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    let (row, transaction) = (Row { id: 1, x: Some(7), y: None }, Transaction::at(10));
    let run = || {
        router.begin_txn(transaction).unwrap();
        assert_eq!(route_txn(&router, transaction, 0, &insert(&row)), []);
        let come = set_rows(&[one(7)]);
        let moves = router.move_values(transaction, 1, &subquery(0), &come, &[]).unwrap();
        assert_eq!(moves.moves.len(), 1);
        assert_eq!(route_txn(&router, transaction, 2, &insert(&row)), [(1, Class::Insert)]);
        router.finish_txn(transaction).unwrap();
    };
    run();
    assert_eq!(route(&router, &insert(&row)), [], "nobody else sees it");
    // After a crash of whoever asked, the same input has the same answer.
    run();
    router.ack(10, u64::MAX).unwrap();
    assert_eq!(route(&router, &insert(&row)), [(1, Class::Insert)]);
}

/// Rows, each of its values.
type Rows<'r> = &'r [Vec<Value>];

/// Stages a value's coming and going.
fn stage(router: &Router, lsn: u64, steps: &[(Rows<'_>, Rows<'_>)]) {
    let transaction = Transaction::at(lsn);
    router.begin_txn(transaction).unwrap();
    for (at, (come, go)) in steps.iter().enumerate() {
        let (come, go) = (set_rows(come), set_rows(go));
        router.move_values(transaction, at, &subquery(0), &come, &go).unwrap();
    }
    router.finish_txn(transaction).unwrap();
}

/// What a row of this x is told within a transaction that comes then, which is dropped.
fn told_within(router: &Router, lsn: u64, x: i64) -> Vec<(u64, Class)> {
    let transaction = Transaction::at(lsn);
    router.begin_txn(transaction).unwrap();
    let told = route_txn(router, transaction, 0, &insert(&Row { id: 1, x: Some(x), y: None }));
    router.finish_txn(transaction).unwrap();
    told
}

#[test]
fn a_staged_value_is_found_after_a_later_transaction_is_dropped_that_had_it_go_and_come() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    let (seven, none) = ([one(7)], [].as_slice());
    stage(&router, 10, &[(&seven, none)]);
    stage(&router, 20, &[(none, &seven), (&seven, none)]);
    assert_eq!(told_within(&router, 30, 7), [(1, Class::Insert)]);
    // It comes again: its steps are undone, the last one first.
    assert_eq!(told_within(&router, 20, 7), [(1, Class::Insert)]);
    router.ack(10, u64::MAX).unwrap();
    assert_eq!(told_within(&router, 20, 7), [(1, Class::Insert)]);
}

#[test]
fn a_value_that_comes_back_is_found_when_its_coming_and_going_are_acknowledged() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    let (seven, none) = ([one(7)], [].as_slice());
    stage(&router, 10, &[(&seven, none)]);
    stage(&router, 20, &[(none, &seven)]);
    stage(&router, 30, &[(&seven, none)]);
    for lsn in [0, 10, 20, 30] {
        router.ack(lsn, u64::MAX).unwrap();
        assert_eq!(told_within(&router, 40, 7), [(1, Class::Insert)], "acknowledged up to {lsn}");
    }
}

#[test]
fn the_kind_of_a_move_follows_how_the_clause_has_the_set() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    add(&router, 2, "x NOT IN (SELECT v FROM s0)");
    add(&router, 3, "(x IN (SELECT v FROM s0)) IS NOT TRUE");
    add(&router, 4, "y IN (SELECT v FROM s1)");
    seed(&router, 0, &[one(1)]);
    let (two, these) = (vec![one(2)], Some(vec![one(2)]));
    let expected = [
        (1, IN, these.clone()),
        (2, OUT, these.clone()),
        (3, OUT, these.clone()),
        (3, IN, these.clone()),
    ];
    assert_eq!(moved(&router, 10, 0, &two, &[]), expected);
    let expected =
        [(1, OUT, these.clone()), (2, IN, these.clone()), (3, OUT, these.clone()), (3, IN, these)];
    assert_eq!(moved(&router, 20, 0, &[], &two), expected);
    assert_eq!(moved(&router, 30, 0, &[], &two), [], "it is gone already");
    assert_eq!(moved(&router, 40, 0, &[one(1)], &[]), [], "it is there already");
    assert_eq!(moved(&router, 50, 0, &[one(1)], &[one(1)]), [], "it goes and comes");
}

#[test]
fn null_in_the_set_of_a_not_in_moves_everything() {
    let router = router();
    add(&router, 1, "x NOT IN (SELECT v FROM s0)");
    add(&router, 2, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[one(1)]);
    assert_eq!(moved(&router, 10, 0, &[vec![None]], &[]), [(1, OUT, None)]);
    // No row is in it as long as the NULL is.
    assert_eq!(moved(&router, 20, 0, &[one(2)], &[]), [(2, IN, Some(vec![one(2)]))]);
    assert_eq!(moved(&router, 30, 0, &[], &[vec![None]]), [(1, IN, None)]);
}

#[test]
fn the_first_and_the_last_value_of_a_not_in_move_the_rows_of_null() {
    let router = router();
    add(&router, 1, "x NOT IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    let with_null = Some(vec![vec![None], one(1)]);
    assert_eq!(moved(&router, 10, 0, &[one(1)], &[]), [(1, OUT, with_null.clone())]);
    assert_eq!(moved(&router, 20, 0, &[one(2)], &[]), [(1, OUT, Some(vec![one(2)]))]);
    assert_eq!(moved(&router, 30, 0, &[], &[one(2)]), [(1, IN, Some(vec![one(2)]))]);
    assert_eq!(moved(&router, 40, 0, &[], &[one(1)]), [(1, IN, with_null)]);
    // One takes the other's place: the set was never empty.
    moved(&router, 50, 0, &[one(1)], &[]);
    let swapped = [(1, OUT, Some(vec![one(2)])), (1, IN, Some(vec![one(1)]))];
    assert_eq!(moved(&router, 60, 0, &[one(2)], &[one(1)]), swapped);
}

#[test]
fn rows_of_several_columns_are_compared_column_by_column() {
    let router = router();
    add(&router, 1, "(x, y) IN (SELECT v, w FROM s3)");
    add(&router, 2, "(x, y) NOT IN (SELECT v, w FROM s3)");
    seed(&router, 3, &[vec![Some(1), Some(2)], vec![None, Some(3)]]);
    let asked = |x, y| {
        let found = route(&router, &insert(&Row { id: 1, x, y }));
        found.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(asked(Some(1), Some(2)), [1]);
    assert_eq!(asked(Some(2), Some(1)), [2]);
    // NULL where it agrees as far as can be told, false where it does not.
    assert_eq!(asked(Some(1), Some(3)), [0u64; 0]);
    assert_eq!(asked(Some(1), None), [0u64; 0]);
    assert_eq!(asked(Some(2), None), [0u64; 0]);
    seed(&router, 3, &[vec![Some(1), Some(2)]]);
    assert_eq!(asked(Some(1), None), [0u64; 0]);
    assert_eq!(asked(Some(2), None), [2]);
    let come = [vec![Some(1), Some(4)]];
    // Rows with a NULL already agreed with (1, 2), but for those with nothing in x.
    let values = vec![vec![None, Some(4)], vec![Some(1), Some(4)]];
    let expected = [(1, IN, Some(vec![vec![Some(1), Some(4)]])), (2, OUT, Some(values))];
    assert_eq!(moved(&router, 10, 3, &come, &[]), expected);
}

#[test]
fn shapes_of_one_subquery_share_its_values() {
    let router = router();
    for id in 0..100 {
        add(&router, id, "x IN (select V from S0 )");
    }
    seed(&router, 0, &[one(1), one(2)]);
    let sets = router.value_sets();
    assert_eq!(sets.len(), 1);
    assert_eq!((sets[0].shapes, sets[0].values, sets[0].ready), (100, 2, true));
    assert_eq!(sets[0].subquery, "select v from s0");
    let explained = router.explain(5).unwrap();
    assert_eq!((explained.filed, explained.conditions[0].shapes), ("set", 100));
    assert_eq!(explained.conditions[0].column, "x");
    assert_eq!(explained.sets, sets);
    assert_eq!(router.subqueries(5).unwrap(), ["select v from s0"]);
    for id in 0..100 {
        router.remove_shape(id).unwrap();
    }
    assert_eq!(router.value_sets(), []);
    assert_eq!(router.seed_values(&subquery(0), &[]).unwrap_err().code(), "unknown_set");
}

#[test]
fn why_tells_of_sets() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    let row = Row { id: 1, x: Some(1), y: None };
    let why = || router.why(&insert(&row), 1).unwrap();
    assert_eq!(why().new.as_deref(), Some("unknown"));
    seed(&router, 0, &[one(1)]);
    assert_eq!((why().candidate, why().class), (true, Some(Class::Insert)));
    seed(&router, 0, &[]);
    assert_eq!((why().candidate, why().class), (false, None));
}

#[test]
fn a_shape_that_is_refused_leaves_no_set_behind() {
    let router = router();
    let spec = |id, clause| ShapeSpec::new(id, Some(clause));
    let both = [spec(1, "x IN (SELECT v FROM s0)"), spec(2, "nowhere = 1")];
    assert_eq!(router.add_shapes(both).unwrap_err().code(), "unknown_column");
    assert_eq!(router.value_sets(), []);
    add(&router, 1, "x IN (SELECT v FROM s0)");
    let twice = router.add_shape(spec(1, "x IN (SELECT v FROM s1)"));
    assert_eq!(twice.unwrap_err().code(), "duplicate_shape");
    assert_eq!(router.value_sets().len(), 1);
}

#[test]
fn a_value_that_is_none_is_refused_and_nothing_changes() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[one(1)]);
    let bad = [KeyParts::one(Datum::Int(2)), KeyParts::one(Datum::Text(b"two"))];
    let error = router.seed_values(&subquery(0), &bad).unwrap_err();
    assert_eq!(error.code(), "invalid_value");
    assert!(error.to_string().contains("value 1"), "{error}");
    let wide = [set_row(&[Some(1), Some(2)])];
    assert_eq!(router.feed_values(&subquery(0), &wide, &[]).unwrap_err().code(), "invalid_value");
    let open = Transaction::at(10);
    router.begin_txn(open).unwrap();
    let refused = router.move_values(open, 0, &subquery(0), &bad, &[]);
    assert_eq!(refused.unwrap_err().code(), "invalid_value");
    assert_eq!(router.value_sets()[0].values, 1);
    assert_eq!(router.mark_values("SELECT 1", true).unwrap_err().code(), "unknown_set");
    assert_eq!(router.mark_values("SELECT (1", true).unwrap_err().code(), "syntax_error");
    assert_eq!(router.mark_values("SELECT 1)) -- (", true).unwrap_err().code(), "syntax_error");
}

#[test]
fn values_are_compared_as_postgresql_compares_them() {
    let told: Arc<_> = Arc::new(|subquery: &shape_expr::Subquery| {
        let ty: &str = match subquery.text.rsplit(' ').next() {
            Some("numerics") => "numeric",
            Some("longs") => "int8",
            _ => return Ok(None),
        };
        Ok(Some(vec![ty.parse::<ColumnType>().unwrap()]))
    });
    let config = shape_router::Config { item_types: Some(ItemTypes(told)), ..config() };
    let router = Router::new(config).unwrap();
    add(&router, 1, "x IN (SELECT v FROM numerics)");
    add(&router, 2, "x IN (SELECT v FROM longs)");
    add(&router, 3, "y::numeric IN (SELECT v FROM longs)");
    let text = |text: &'static str| KeyParts::one(Datum::Text(text.as_bytes()));
    router.seed_values("select v from numerics", &[text("5.00"), text("6.5")]).unwrap();
    router.seed_values("select v from longs", &[text("5"), text("9000000000")]).unwrap();
    let asked = |x, y| route(&router, &insert(&Row { id: 1, x, y }));
    let ids = |found: Vec<(u64, Class)>| found.into_iter().map(|f| f.0).collect::<Vec<_>>();
    assert_eq!(ids(asked(Some(5), None)), [1, 2]);
    assert_eq!(ids(asked(Some(6), Some(5))), [3]);
    assert_eq!(ids(asked(None, Some(9_000_000_000))), [3]);
    let sets = router.value_sets();
    assert_eq!(sets.len(), 3, "of what is compared as other types, each is a set of its own");
}

#[test]
fn keys_are_not_believed_of_what_a_subquery_moves() {
    let config = shape_router::Config { track_membership: true, ..config() };
    let router = Router::new(config).unwrap();
    let keys = Keys::Known(vec![KeyParts::one(Datum::Int(1))]);
    let clause = Some("x IN (SELECT v FROM s0)");
    router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(1, clause) }).unwrap();
    seed(&router, 0, &[one(1)]);
    let (row, transaction) = (Row { id: 1, x: Some(1), y: None }, Transaction::at(10));
    router.begin_txn(transaction).unwrap();
    assert_eq!(route_txn(&router, transaction, 0, &insert(&row)), [(1, Class::Insert)]);
    router.move_values(transaction, 1, &subquery(0), &[], &set_rows(&[one(1)])).unwrap();
    // The row is no member any more, and only its key is told.
    let gone = Change { old_key: Some(KeyParts::one(Datum::Int(1))), ..Change::new(Op::Delete) };
    assert_eq!(route_txn(&router, transaction, 2, &gone), [(1, Class::DeleteIfPresent)]);
}

#[test]
fn what_a_snapshot_shows_does_not_move_again() {
    let router = router();
    let snapshot = Some(Snapshot::Lsn(15));
    let clause = Some("x IN (SELECT v FROM s0)");
    router.add_shape(ShapeSpec { snapshot, ..ShapeSpec::new(1, clause) }).unwrap();
    add(&router, 2, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    assert_eq!(moved(&router, 10, 0, &[one(1)], &[]), [(2, IN, Some(vec![one(1)]))]);
    assert_eq!(moved(&router, 20, 0, &[one(2)], &[]).len(), 2);
}

#[test]
fn a_transaction_that_was_opened_meanwhile_is_told() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    router.begin_txn(Transaction::at(10)).unwrap();
    router.begin_txn(Transaction::at(20)).unwrap();
    let refused = router.move_values(Transaction::at(10), 1, &subquery(0), &[], &[]);
    assert_eq!(refused.unwrap_err().code(), "stale_transaction");
    let unused = router.move_values(Transaction::at(20), 0, "SELECT 1", &[], &[]);
    assert!(unused.unwrap().moves.is_empty(), "a subquery of nobody's");
}

#[test]
fn a_hundred_thousand_values_move_at_once() {
    let router = router();
    add(&router, 1, "x IN (SELECT v FROM s0)");
    add(&router, 2, "x NOT IN (SELECT v FROM s0)");
    seed(&router, 0, &[]);
    let all: Vec<Vec<Value>> = (0..100_000).map(one).collect();
    let moves = moved(&router, 10, 0, &all, &[]);
    assert_eq!(moves[0].2.as_ref().map(Vec::len), Some(100_000));
    assert_eq!(moves[1].2.as_ref().map(Vec::len), Some(100_001), "and NULL");
    assert_eq!(router.metrics().set_values, 100_000);
    // All of them change places with others.
    let others: Vec<Vec<Value>> = (100_000..200_000).map(one).collect();
    assert_eq!(moved(&router, 20, 0, &others, &all).len(), 4);
    let found = |x| route(&router, &insert(&Row { id: 1, x: Some(x), y: None }))[0].0;
    assert_eq!((found(5), found(150_000)), (2, 1));
    assert_eq!(moved(&router, 30, 0, &[], &others).len(), 2);
    assert_eq!(router.metrics().set_values, 0);
    seed(&router, 0, &all);
    seed(&router, 0, &[]);
    assert_eq!(router.metrics().set_values, 0);
}

#[test]
fn text_in_other_types_and_long_lists_of_owners() {
    let router = router();
    // One value in many sets: each comes and goes by itself.
    for id in 0..200 {
        add(&router, id, &format!("y IN (SELECT v FROM t WHERE k = {id})"));
        let subquery = format!("SELECT v FROM t WHERE k = {id}");
        router.seed_values(&subquery, &set_rows(&[one(1), one(1000 + id as i64)])).unwrap();
    }
    let asked = |y| route(&router, &insert(&Row { id: 1, x: None, y: Some(y) })).len();
    assert_eq!((asked(1), asked(1007), asked(5)), (200, 1, 0));
    for id in (0..200).step_by(2) {
        router.remove_shape(id).unwrap();
    }
    assert_eq!((asked(1), asked(1007), asked(1008)), (100, 1, 0));
    for id in (1..199).step_by(2) {
        let subquery = format!("SELECT v FROM t WHERE k = {id}");
        router.feed_values(&subquery, &[], &set_rows(&[one(1)])).unwrap();
    }
    assert_eq!(asked(1), 1);
}
