//! What PostgreSQL sends for each kind of change.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_wal::source::{Event, Options, State};
use std::time::Duration;
use support::live::{Consumer, database, describe, options, sql};

#[test]
fn every_kind_of_change_under_both_replica_identities() {
    database(
        "kinds",
        "CREATE TABLE d (id int PRIMARY KEY, v text, n int);
         CREATE TABLE f (id int PRIMARY KEY, v text, n int);
         ALTER TABLE f REPLICA IDENTITY FULL;",
    );
    let consumer = Consumer::start(options("kinds", &["d", "f"]));
    for table in ["d", "f"] {
        sql(
            "kinds",
            &format!(
                "BEGIN;
                 INSERT INTO {table} VALUES (1, 'a', NULL);
                 UPDATE {table} SET v = 'b' WHERE id = 1;
                 UPDATE {table} SET id = 2 WHERE id = 1;
                 DELETE FROM {table} WHERE id = 2;
                 COMMIT;"
            ),
        );
    }
    assert_eq!(
        consumer.changes(),
        [
            "insert d id=1 v=a n=NULL",
            "update d id=1 v=b n=NULL",
            "update d [key id=1 v=NULL n=NULL] id=2 v=b n=NULL",
            "delete d [key id=2 v=NULL n=NULL]",
        ]
    );
    assert_eq!(
        consumer.changes(),
        [
            "insert f id=1 v=a n=NULL",
            "update f [full id=1 v=a n=NULL] id=1 v=b n=NULL",
            "update f [full id=1 v=b n=NULL] id=2 v=b n=NULL",
            "delete f [full id=2 v=b n=NULL]",
        ]
    );
    consumer.stop();
}

#[test]
fn an_unchanged_large_value_is_not_null() {
    // 20,000 bytes that do not compress, so that they are stored out of line.
    let large = "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 625) i)";
    database(
        "toast",
        "CREATE TABLE t (id int PRIMARY KEY, big text, small text);
         ALTER TABLE t ALTER big SET STORAGE EXTERNAL;",
    );
    let consumer = Consumer::start(options("toast", &["t"]));
    sql(
        "toast",
        &format!(
            "INSERT INTO t VALUES (1, {large}, NULL);
             UPDATE t SET small = 'x' WHERE id = 1;
             UPDATE t SET big = NULL WHERE id = 1;"
        ),
    );
    assert_eq!(consumer.changes(), ["insert t id=1 big=<20000 bytes> small=NULL"]);
    assert_eq!(consumer.changes(), ["update t id=1 big=TOAST small=x"]);
    assert_eq!(consumer.changes(), ["update t id=1 big=NULL small=x"]);
    consumer.stop();
}

#[test]
fn truncate_names_all_its_tables() {
    database(
        "truncates",
        "CREATE TABLE a (id serial PRIMARY KEY);
         CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
         CREATE TABLE other (id int PRIMARY KEY);",
    );
    let consumer = Consumer::start(options("truncates", &["a", "b"]));
    sql("truncates", "TRUNCATE a, b, other; TRUNCATE a RESTART IDENTITY CASCADE; TRUNCATE b;");
    assert_eq!(consumer.changes(), ["truncate a,b"]);
    assert_eq!(consumer.changes(), ["truncate a,b cascade restart"]);
    assert_eq!(consumer.changes(), ["truncate b"]);
    consumer.stop();
}

#[test]
fn partitions_come_under_their_root() {
    database(
        "parts",
        "CREATE TABLE p (id int, v int, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);",
    );
    let consumer = Consumer::start(options("parts", &["p"]));
    sql(
        "parts",
        "BEGIN; INSERT INTO p VALUES (1, 1), (11, 1); UPDATE p SET v = 2 WHERE id = 11;
         UPDATE p SET id = 12 WHERE id = 1; COMMIT;",
    );
    let changes = consumer.changes();
    assert_eq!(changes.len(), 5, "{changes:?}");
    assert_eq!(changes[..3], ["insert p id=1 v=1", "insert p id=11 v=1", "update p id=11 v=2"]);
    // A row that moves to another partition is deleted there and inserted here.
    assert_eq!(changes[3..], ["delete p [key id=1 v=NULL]", "insert p id=12 v=1"]);
    consumer.stop();
}

#[test]
fn what_was_rolled_back_is_not_delivered() {
    database("rolls", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("rolls", &["t"]));
    sql(
        "rolls",
        "BEGIN; INSERT INTO t VALUES (1); ROLLBACK;
         BEGIN; INSERT INTO t VALUES (2); SAVEPOINT s; INSERT INTO t VALUES (3);
         ROLLBACK TO s; INSERT INTO t VALUES (4); COMMIT;
         INSERT INTO t VALUES (5);",
    );
    assert_eq!(consumer.changes(), ["insert t id=2", "insert t id=4"]);
    assert_eq!(consumer.changes(), ["insert t id=5"]);
    assert!(consumer.next_within(Duration::from_millis(200)).is_none());
    consumer.stop();
}

#[test]
fn a_large_transaction_comes_in_bounded_fragments() {
    database("large", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let mut options = options("large", &["t"]);
    options.limits.fragment_messages = 700;
    options.limits.fragment_bytes = 32 << 10;
    let consumer = Consumer::start(options);
    sql("large", "INSERT INTO t SELECT i, repeat('x', i % 90) FROM generate_series(1, 50000) i");
    sql("large", "INSERT INTO t VALUES (0, 'after')");

    let (mut id, mut index, mut lsn) = (0, 0, None);
    loop {
        let fragment = consumer.fragment();
        assert!(fragment.messages.len() <= 700);
        assert!(fragment.byte_len() <= 32 << 10);
        assert_eq!(fragment.index, index);
        assert_eq!(*lsn.get_or_insert(fragment.commit_lsn), fragment.commit_lsn);
        for change in describe(&fragment) {
            id += 1;
            assert!(change.starts_with(&format!("insert t id={id} ")), "{change}");
        }
        index += 1;
        if fragment.last {
            break;
        }
    }
    assert_eq!(id, 50_000);
    assert!(index >= 50_000 / 700, "{index} fragments");
    assert_eq!(consumer.changes(), ["insert t id=0 v=after"]);
    consumer.stop();
}

#[test]
fn values_come_in_the_declared_text_forms() {
    database(
        "forms",
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, d date, i interval, b bytea, f float8);
         ALTER DATABASE forms SET timezone = 'Asia/Tokyo';
         ALTER DATABASE forms SET datestyle = 'German';
         ALTER DATABASE forms SET intervalstyle = 'iso_8601';
         ALTER DATABASE forms SET bytea_output = 'escape';
         ALTER DATABASE forms SET extra_float_digits = -5;",
    );
    let consumer = Consumer::start(options("forms", &["t"]));
    sql(
        "forms",
        r"INSERT INTO t VALUES (1, '2024-03-01 12:00:00.5+00', '2024-03-01', '1 year 2 days 03:00',
          '\xdeadbeef', 0.1::float8 + 0.2)",
    );
    assert_eq!(
        consumer.changes(),
        [
            r"insert t id=1 at=2024-03-01 12:00:00.5+00 d=2024-03-01 i=1 year 2 days 03:00:00 b=\xdeadbeef f=0.30000000000000004"
        ]
    );
    consumer.stop();
}

#[test]
fn altered_tables_are_described_again() {
    database("alters", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("alters", &["t"]));
    sql(
        "alters",
        "INSERT INTO t VALUES (1);
         BEGIN; INSERT INTO t VALUES (2); ALTER TABLE t ADD v text DEFAULT 'd';
         INSERT INTO t VALUES (3); COMMIT;
         ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (4);",
    );
    assert_eq!(consumer.changes(), ["insert t id=1"]);
    assert_eq!(consumer.changes(), ["insert t id=2", "insert t id=3 v=d"]);
    assert_eq!(consumer.changes(), ["insert u id=4 v=d"]);
    consumer.stop();
}

#[test]
fn logical_messages_come_when_asked_for() {
    database("messages", "CREATE TABLE t (id int PRIMARY KEY)");
    let options = Options { logical_messages: true, ..options("messages", &["t"]) };
    let consumer = Consumer::start(options);
    sql(
        "messages",
        "BEGIN; INSERT INTO t VALUES (1); SELECT pg_logical_emit_message(true, 'in', 'side');
         COMMIT; SELECT pg_logical_emit_message(false, 'out', 'side');",
    );
    assert_eq!(consumer.changes(), ["insert t id=1", "message in side"]);
    let outside = consumer.transaction();
    assert_eq!((outside.xid, outside.changes), (0, vec!["message out side".to_owned()]));
    consumer.stop();
}

#[test]
fn stopping_is_the_last_event() {
    database("stops", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("stops", &["t"]));
    assert_eq!(consumer.handle.status().state, State::Streaming);
    consumer.handle.stop().unwrap();
    assert!(matches!(consumer.next(), Event::Stopped(None)));
    assert_eq!(consumer.handle.status().state, State::Stopped);
    consumer.handle.stop().unwrap();
    assert!(consumer.next_within(Duration::from_secs(5)).is_none());
    assert_eq!(
        sql("stops", "SELECT active FROM pg_replication_slots WHERE slot_name = 'slot_stops'"),
        "f"
    );
}
