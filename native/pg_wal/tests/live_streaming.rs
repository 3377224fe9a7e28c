//! Transactions streamed in progress (protocol version 2): kept until they commit, without what
//! their aborted subtransactions did.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_wal::Error;
use pg_wal::decode::Streaming;
use pg_wal::source::{Event, Options};
use std::time::Duration;
use support::live::{Consumer, database, options, sql};

fn streaming(name: &str) -> Options {
    Options { streaming: Streaming::On, ..options(name, &["t"]) }
}

fn streamed(name: &str) -> u64 {
    sql(
        name,
        &format!(
            "SELECT coalesce(sum(stream_txns), 0) FROM pg_stat_replication_slots
             WHERE slot_name = 'slot_{name}'"
        ),
    )
    .parse()
    .unwrap()
}

#[test]
fn a_large_transaction_with_a_savepoint_rolled_back() {
    database("streams", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let consumer = Consumer::start(streaming("streams"));
    sql(
        "streams",
        "BEGIN;
         INSERT INTO t SELECT i, 'kept' FROM generate_series(1, 5000) i;
         SAVEPOINT a;
         INSERT INTO t SELECT i, 'gone' FROM generate_series(5001, 10000) i;
         SAVEPOINT b;
         INSERT INTO t SELECT i, 'gone too' FROM generate_series(10001, 15000) i;
         ROLLBACK TO a;
         INSERT INTO t SELECT i, 'kept' FROM generate_series(5001, 9000) i;
         ALTER TABLE t ADD w int;
         INSERT INTO t VALUES (9001, 'last', 1);
         COMMIT;
         INSERT INTO t VALUES (0, 'small', 2);",
    );
    let large = consumer.transaction();
    assert!(large.fragments > 1);
    assert_eq!(large.changes.len(), 9_001);
    for (index, change) in large.changes[..9_000].iter().enumerate() {
        assert_eq!(*change, format!("insert t id={} v=kept", index + 1));
    }
    assert_eq!(large.changes[9_000], "insert t id=9001 v=last w=1");
    consumer.handle.confirm(large.end_lsn);
    assert_eq!(consumer.changes(), ["insert t id=0 v=small w=2"]);
    assert!(consumer.next_within(Duration::from_millis(100)).is_none());
    consumer.stop();
    support::live::wait_for("it was streamed", || streamed("streams") >= 1);
}

#[test]
fn a_large_transaction_that_rolls_back_leaves_nothing() {
    database("aborts", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let consumer = Consumer::start(streaming("aborts"));
    sql(
        "aborts",
        "BEGIN; INSERT INTO t SELECT i, 'x' FROM generate_series(1, 10000) i; ROLLBACK;
         INSERT INTO t VALUES (1, 'y');",
    );
    assert_eq!(consumer.changes(), ["insert t id=1 v=y"]);
    consumer.stop();
}

#[test]
fn small_transactions_pass_a_large_one_in_commit_order() {
    database("passes", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let consumer = Consumer::start(streaming("passes"));
    // The large one is in progress, and partly streamed, while the small one commits.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sql(
                "passes",
                "BEGIN; INSERT INTO t SELECT i, 'large' FROM generate_series(1, 5000) i;
                 SELECT pg_sleep(1); INSERT INTO t VALUES (5001, 'large'); COMMIT;",
            )
        });
        support::live::wait_for("the large one has begun", || {
            let query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1)%'
                         AND state = 'active' AND pid <> pg_backend_pid()";
            sql("passes", query) == "1"
        });
        sql("passes", "INSERT INTO t VALUES (-1, 'small')");
        assert_eq!(consumer.changes(), ["insert t id=-1 v=small"]);
    });
    assert_eq!(consumer.changes().len(), 5_001);
    consumer.stop();
}

#[test]
fn what_is_kept_is_bounded() {
    database("bounded", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let mut options = streaming("bounded");
    options.limits.streamed_bytes = 100_000;
    let consumer = Consumer::start(options);
    sql("bounded", "INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i");
    match consumer.next() {
        Event::Stopped(Some(Error::StreamedTooLarge { limit, .. })) => assert_eq!(limit, 100_000),
        other => panic!("{other:?}"),
    }
}
