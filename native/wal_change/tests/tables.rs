//! Which rows are whose: tables are known by OID, and columns by name.

mod support;

use bumpalo::Bump;
use pg_wal::decode::Streaming;
use shape_expr::Datum;
use shape_router::{KeyParts, Keys, Router, ShapeSpec};
use support::{Old, Step, Table, Val, encode, relation, router};
use wal_change::{Error, TableName, Target, WalDecoder};

fn ids(decoder: &mut WalDecoder, router: &Router, name: &str, bytes: &[u8]) -> Option<Vec<u64>> {
    let table: TableName = name.parse().expect("a name");
    let target = Target { number: 1, table: &table, router };
    let message = decoder.decode(bytes).expect("a message");
    decoder.prepare(&message, &target).expect("a known table");
    let arena = Bump::new();
    let mut change = decoder.change(&message, &target, &arena).expect("a known table")?;
    Some(support::route(router, &change.as_change()).iter().map(|r| r.id).collect())
}

fn decoder() -> WalDecoder {
    WalDecoder::new(1, Streaming::Off).expect("a decoder")
}

fn row(id: i64, user: &str) -> Vec<Val> {
    let text = |t: &str| Val::Text(t.into());
    vec![text(&id.to_string()), text(user), text("a"), Val::Null, text("t")]
}

fn one_shape(clause: &str) -> Router {
    let router = router();
    router.add_shape(ShapeSpec::new(7, Some(clause))).expect("a shape");
    router
}

#[test]
fn a_renamed_table_stays_the_routers_until_another_takes_its_name() {
    let (mut decoder, router) = (decoder(), one_shape("user_id = 1"));
    let insert = encode(&Step::Insert(row(1, "1")), &Table::plain(), None);
    decoder.decode(&relation(&Table::plain(), support::OID, None)).expect("a table");
    assert_eq!(ids(&mut decoder, &router, "todos", &insert), Some(vec![7]));
    assert_eq!(ids(&mut decoder, &router, "app.todos", &insert), None, "another schema");

    let renamed = Table { name: "old_todos", ..Table::plain() };
    decoder.decode(&relation(&renamed, support::OID, None)).expect("a table");
    assert_eq!(ids(&mut decoder, &router, "todos", &insert), Some(vec![7]));

    decoder.decode(&relation(&Table::plain(), 99, None)).expect("a table");
    assert_eq!(ids(&mut decoder, &router, "todos", &insert), None);
    let mut other = insert.clone();
    other[1..5].copy_from_slice(&99u32.to_be_bytes());
    assert_eq!(ids(&mut decoder, &router, "todos", &other), Some(vec![7]));
}

#[test]
fn columns_are_found_by_name_when_their_order_changes() {
    let (mut decoder, router) = (decoder(), one_shape("user_id = 1 AND status = 'a'"));
    for order in [vec![0, 1, 2, 3, 4], vec![4, 2, 9, 1, 0, 3], vec![2, 1, 0]] {
        let table = Table { order, ..Table::plain() };
        decoder.decode(&relation(&table, support::OID, None)).expect("a table");
        let insert = encode(&Step::Insert(row(1, "1")), &table, None);
        assert_eq!(ids(&mut decoder, &router, "todos", &insert), Some(vec![7]));
        let miss = encode(&Step::Insert(row(1, "2")), &table, None);
        assert_eq!(ids(&mut decoder, &router, "todos", &miss), Some(vec![]));
    }
}

#[test]
fn a_column_that_a_shape_brings_is_read_from_rows_that_follow() {
    let router = Router::new(shape_router::Config::open("todos")).expect("a router");
    router.add_shape(ShapeSpec::new(1, Some("user_id = 1"))).expect("a shape");
    let mut decoder = decoder();
    decoder.decode(&relation(&Table::plain(), support::OID, None)).expect("a table");
    let insert = encode(&Step::Insert(row(1, "1")), &Table::plain(), None);
    assert_eq!(ids(&mut decoder, &router, "todos", &insert), Some(vec![1]));
    router.add_shape(ShapeSpec::new(2, Some("status = 'a'"))).expect("a shape");
    router.add_shape(ShapeSpec::new(3, Some("status = 'b'"))).expect("a shape");
    assert_eq!(ids(&mut decoder, &router, "todos", &insert), Some(vec![1, 2]));
}

/// Under REPLICA IDENTITY USING INDEX an update that leaves the index's columns alone comes without an
/// old row, also when it changes the primary key: who held the row under the old key is not known then.
#[test]
fn silence_about_the_old_row_tells_nothing_of_a_key_that_is_not_marked() {
    let router = router();
    let mut shape = ShapeSpec::new(7, Some("user_id = 1"));
    shape.keys = Keys::Known(vec![KeyParts::one(Datum::Int(5))]);
    router.add_shape(shape).expect("a shape");
    let mut decoder = decoder();
    let mut told = relation(&Table::plain(), support::OID, None);
    let update = encode(&Step::Update(Old::Nothing, row(6, "2")), &Table::plain(), None);
    decoder.decode(&told).expect("a table");
    assert_eq!(ids(&mut decoder, &router, "todos", &update), Some(vec![]), "key 6 was never held");

    // The mark moves from id, the first column, to another.
    let identity = 1 + 4 + "public\0todos\0".len();
    told[identity] = b'i';
    let first = identity + 3;
    assert_eq!(&told[first..first + 3], b"\x01id");
    told[first] = 0;
    decoder.decode(&told).expect("a table");
    assert_eq!(ids(&mut decoder, &router, "todos", &update), Some(vec![7]));
}

#[test]
fn rows_that_fit_no_known_table_are_refused() {
    let mut decoder = decoder();
    let insert = encode(&Step::Insert(row(1, "1")), &Table::plain(), None);
    let unknown = decoder.decode(&insert).expect_err("nobody defined it");
    assert!(matches!(unknown, Error::Wal(pg_wal::Error::UnknownRelation { oid: support::OID })));
    let smaller = Table { order: vec![0, 1], ..Table::plain() };
    decoder.decode(&relation(&smaller, support::OID, None)).expect("a table");
    let error = decoder.decode(&insert).expect_err("five columns, not two");
    assert!(matches!(error, Error::ColumnCount { expected: 2, found: 5, .. }), "{error}");
    let cut = decoder.decode(&insert[..9]).expect_err("cut");
    assert_eq!(cut.to_string(), "malformed `I` message at byte 9: expected a column's length");
}
