//! Lost connections: nothing is lost, nothing comes twice beyond what was not confirmed.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_fixture::Server;
use pg_wal::Error;
use pg_wal::source::{Event, State};
use std::time::{Duration, Instant};
use support::live::{Consumer, DEADLINE, PLENTY, database, options, options_for, server, sql};

/// Events up to `Reconnected`.
fn reconnected(consumer: &Consumer) -> usize {
    let deadline = Instant::now() + DEADLINE;
    let mut attempts = 0;
    loop {
        assert!(Instant::now() < deadline, "never reconnected");
        match consumer.next() {
            Event::Disconnected { error, retry_in } => {
                assert!(error.is_transient(), "{error}");
                assert!(retry_in <= Duration::from_secs(1));
                attempts += 1;
            }
            Event::Reconnected { .. } => return attempts,
            other => panic!("unexpected: {other:?}"),
        }
    }
}

#[test]
fn a_server_that_crashes_and_comes_back() {
    let mut server = Server::start().unwrap();
    server.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let mut options = options_for(&server, "postgres", &["t"]);
    options.limits.fragment_messages = 10;
    let consumer = Consumer::without_credit(options);
    consumer.handle.grant(4);
    consumer.started();
    server
        .psql(
            "postgres",
            "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);
             INSERT INTO t SELECT generate_series(101, 200);",
        )
        .unwrap();
    assert_eq!(consumer.changes(), ["insert t id=1"]);
    assert_eq!(consumer.transaction().changes, ["insert t id=2"]); // not confirmed
    let half = [consumer.fragment(), consumer.fragment()];
    assert_eq!((half[0].index, half[1].index), (0, 1));

    server.stop_hard().unwrap();
    assert!(matches!(consumer.next(), Event::Disconnected { .. }));
    server.restart().unwrap();
    server.psql("postgres", "INSERT INTO t VALUES (3)").unwrap();
    reconnected(&consumer);
    consumer.handle.grant(PLENTY);

    // What was confirmed does not come again, even though the server had not written it down.
    assert_eq!(consumer.changes(), ["insert t id=2"]);
    let whole = consumer.transaction();
    assert_eq!((whole.changes.len(), whole.commit_lsn), (100, half[0].commit_lsn));
    consumer.handle.confirm(whole.end_lsn);
    assert_eq!(consumer.changes(), ["insert t id=3"]);
    assert!(consumer.next_within(Duration::from_millis(200)).is_none());

    // A stop while it waits to connect again.
    server.stop_hard().unwrap();
    assert!(matches!(consumer.next(), Event::Disconnected { .. }));
    let began = Instant::now();
    consumer.handle.stop().unwrap();
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[test]
fn a_killed_connection_comes_back() {
    database("killed", "CREATE TABLE t (id int PRIMARY KEY)");
    let consumer = Consumer::start(options("killed", &["t"]));
    for id in 0..5 {
        sql("killed", &format!("INSERT INTO t VALUES ({id})"));
        assert_eq!(consumer.changes(), [format!("insert t id={id}")]);
        sql(
            "killed",
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
             WHERE slot_name = 'slot_killed'",
        );
        assert!(reconnected(&consumer) >= 1);
    }
    assert_eq!(consumer.handle.status().state, State::Streaming);
    consumer.stop();
}

#[test]
fn a_server_that_is_not_there_yet() {
    let mut server = Server::start().unwrap();
    server.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let options = options_for(&server, "postgres", &["t"]);
    server.stop_hard().unwrap();
    let consumer = Consumer::without_credit(options);
    consumer.handle.grant(PLENTY);
    assert!(matches!(consumer.next(), Event::Disconnected { .. }));
    server.restart().unwrap();
    assert!(consumer.started().0);
    server.psql("postgres", "INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(consumer.changes(), ["insert t id=1"]);
    consumer.stop();
}

#[test]
fn a_slot_still_held_by_another_is_waited_for() {
    database("held", "CREATE TABLE t (id int PRIMARY KEY)");
    let first = Consumer::start(options("held", &["t"]));
    let second = Consumer::without_credit(options("held", &["t"]));
    match second.next() {
        Event::Disconnected { error: Error::Server { code, .. }, .. } => assert_eq!(code, "55006"),
        other => panic!("{other:?}"),
    }
    first.stop();
    second.started();
    second.stop();
}

#[test]
fn a_slot_that_was_dropped_is_lost() {
    database("dropped", "CREATE TABLE t (id int PRIMARY KEY)");
    // A pause long enough to drop the slot in.
    let mut options = options("dropped", &["t"]);
    (options.backoff_min, options.backoff_max) = (Duration::from_secs(4), Duration::from_secs(4));
    let consumer = Consumer::start(options);
    sql(
        "dropped",
        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
           WHERE slot_name = 'slot_dropped';
         SELECT pg_drop_replication_slot('slot_dropped');",
    );
    let end = loop {
        match consumer.next() {
            Event::Disconnected { .. } => {}
            other => break other,
        }
    };
    match end {
        Event::Stopped(Some(Error::SlotLost { slot, .. })) => assert_eq!(slot, "slot_dropped"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_temporary_slot_is_lost_with_its_connection() {
    database("temporary", "CREATE TABLE t (id int PRIMARY KEY)");
    let mut options = options("temporary", &["t"]);
    options.temporary_slot = true;
    let consumer = Consumer::start(options);
    sql("temporary", "INSERT INTO t VALUES (1)");
    assert_eq!(consumer.changes(), ["insert t id=1"]);
    let pid = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
               WHERE slot_name = 'slot_temporary' AND temporary";
    assert_eq!(server().psql("temporary", pid).unwrap(), "t\n");
    assert!(matches!(consumer.next(), Event::Disconnected { .. }));
    assert!(matches!(consumer.next(), Event::Stopped(Some(Error::SlotLost { .. }))));
}
