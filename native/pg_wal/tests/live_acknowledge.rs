//! Only what was confirmed is acknowledged; an idle slot holds no WAL back.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_wal::Lsn;
use std::time::Duration;
use support::live::{Consumer, database, options, sql, wait_for};

fn confirmed_flush(database: &str) -> Lsn {
    let query = format!(
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'slot_{database}'"
    );
    sql(database, &query).parse().unwrap()
}

/// Makes WAL that is not for any slot's publication.
fn noise(database: &str) -> Lsn {
    sql(
        database,
        "CREATE TABLE IF NOT EXISTS noise (x int); INSERT INTO noise VALUES (1);
         SELECT pg_current_wal_insert_lsn()",
    )
    .parse()
    .unwrap()
}

#[test]
fn unconfirmed_work_comes_again_and_confirmed_does_not() {
    database("again", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("again", &["t"]));
    sql("again", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (3);");
    let transactions = [(); 3].map(|()| consumer.transaction());
    consumer.handle.confirm(transactions[0].end_lsn);
    assert_eq!(consumer.handle.status().confirmed, transactions[0].end_lsn);
    assert_eq!(consumer.handle.status().delivered, transactions[2].end_lsn);
    consumer.stop();

    let consumer = Consumer::without_credit(options("again", &["t"]));
    consumer.handle.grant(100);
    let (created, start) = consumer.started();
    assert!(!created);
    assert_eq!(start, transactions[0].end_lsn);
    for before in &transactions[1..] {
        let again = consumer.transaction();
        assert_eq!((again.xid, again.commit_lsn), (before.xid, before.commit_lsn));
        assert_eq!((again.end_lsn, &again.changes), (before.end_lsn, &before.changes));
        consumer.handle.confirm(again.end_lsn);
    }
    consumer.stop();

    let consumer = Consumer::start(options("again", &["t"]));
    sql("again", "INSERT INTO t VALUES (4)");
    assert_eq!(consumer.changes(), ["insert t id=4"]);
    consumer.stop();
}

#[test]
fn more_than_was_delivered_cannot_be_confirmed() {
    database("beyond", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("beyond", &["t"]));
    sql("beyond", "INSERT INTO t VALUES (1)");
    let transaction = consumer.transaction();
    consumer.handle.confirm(Lsn(u64::MAX));
    wait_for("the confirmation", || consumer.handle.status().confirmed >= transaction.end_lsn);
    sql("beyond", "INSERT INTO t VALUES (2)");
    assert_eq!(consumer.changes(), ["insert t id=2"]);
    consumer.stop();
}

#[test]
fn an_idle_slot_moves_on_and_a_busy_one_does_not() {
    database("idle", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("idle", &["t"]));
    let end = noise("idle");
    wait_for("the idle slot moves on", || confirmed_flush("idle") >= end);

    // Something is outstanding: nothing moves, however much WAL passes by.
    sql("idle", "INSERT INTO t VALUES (1)");
    let transaction = consumer.transaction();
    let end = noise("idle");
    wait_for("the noise has passed by", || consumer.handle.status().received >= end);
    std::thread::sleep(Duration::from_millis(700)); // several status intervals
    assert!(confirmed_flush("idle") < transaction.end_lsn);
    assert!(consumer.handle.status().confirmed < transaction.end_lsn);

    consumer.handle.confirm(transaction.end_lsn);
    wait_for("the slot moves on again", || confirmed_flush("idle") >= end);
    consumer.stop();
}

#[test]
fn a_half_delivered_transaction_holds_the_slot() {
    database("half", "CREATE TABLE t (id int PRIMARY KEY)");
    let mut options = options("half", &["t"]);
    options.limits.fragment_messages = 10;
    let consumer = Consumer::without_credit(options.clone());
    consumer.handle.grant(2);
    consumer.started();
    sql("half", "INSERT INTO t SELECT generate_series(1, 100)");
    let first = consumer.fragment();
    assert!(!first.last && !consumer.fragment().last);
    noise("half");
    std::thread::sleep(Duration::from_millis(700)); // several status intervals
    assert!(confirmed_flush("half") <= first.commit_lsn);
    consumer.stop();

    // It comes again from its first fragment.
    let consumer = Consumer::start(options);
    assert_eq!(consumer.transaction().changes.len(), 100);
    consumer.stop();
}

#[test]
fn a_consumer_may_know_better_than_the_slot() {
    database("better", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("better", &["t"]));
    sql("better", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);");
    let first = consumer.transaction();
    consumer.transaction();
    consumer.stop(); // nothing confirmed

    let mut options = options("better", &["t"]);
    options.start_lsn = Some(first.end_lsn);
    let consumer = Consumer::start(options);
    assert_eq!(consumer.changes(), ["insert t id=2"]);
    consumer.stop();
}
