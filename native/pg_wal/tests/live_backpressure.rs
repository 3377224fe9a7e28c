//! Credits: no fragment beyond them, and the connection lives while they are out.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_wal::source::{Event, Handle, Source, State};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use support::live::{Consumer, PLENTY, database, options, sql, wait_for};

#[test]
fn no_more_fragments_than_granted_and_the_connection_survives() {
    database("credits", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let mut options = options("credits", &["t"]);
    options.status_interval = Duration::from_secs(10); // the server's timeout rules
    options.limits.fragment_messages = 100;
    let consumer = Consumer::without_credit(options);
    consumer.started();
    let pid = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'slot_credits'";
    let walsender = sql("credits", pid);

    // About 20 MB, so that the server cannot send it all into buffers.
    sql("credits", "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i");
    // Longer than wal_sender_timeout (2 s) without a credit.
    assert!(consumer.next_within(Duration::from_secs(5)).is_none());
    assert_eq!(sql("credits", pid), walsender, "the connection was lost");

    consumer.handle.grant(3);
    for index in 0..3 {
        assert_eq!(consumer.fragment().index, index);
    }
    assert!(consumer.next_within(Duration::from_millis(300)).is_none());
    assert_eq!(consumer.handle.status().credits, 0);

    consumer.handle.grant(PLENTY);
    let mut rows = 300;
    loop {
        let fragment = consumer.fragment();
        rows += fragment.messages.len();
        if fragment.last {
            break;
        }
    }
    assert_eq!(rows, 20_001); // and the Relation message
    assert_eq!(sql("credits", pid), walsender, "the connection was lost");
    consumer.stop();
}

#[test]
fn stops_at_once_while_it_waits_for_credit() {
    database("nocredit", "CREATE TABLE t (id int PRIMARY KEY, v text)");
    let consumer = Consumer::without_credit(options("nocredit", &["t"]));
    consumer.started();
    sql("nocredit", "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i");
    wait_for("data has come", || consumer.handle.status().received.0 > 0);
    let began = Instant::now();
    consumer.stop();
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn a_panic_in_the_sink_ends_the_source_only() {
    database("panics", "CREATE TABLE t (id int PRIMARY KEY)");
    let handle = Source::start(options("panics", &["t"]), |event| {
        if matches!(event, Event::Fragment(_)) {
            panic!("no appetite");
        }
    })
    .unwrap();
    handle.grant(PLENTY);
    wait_for("streaming", || handle.status().state == State::Streaming);
    sql("panics", "INSERT INTO t VALUES (1)");
    wait_for("the end", || handle.status().state == State::Stopped);
    assert_eq!(handle.status().last_error.unwrap(), "the sink panicked: no appetite");
    handle.stop().unwrap();
}

#[test]
fn the_sink_may_use_the_handle() {
    database("inside", "CREATE TABLE t (id int PRIMARY KEY)");
    let (sender, events) = channel();
    let own: Arc<OnceLock<Arc<Handle>>> = Arc::default();
    let cell = Arc::clone(&own);
    let handle = Source::start(options("inside", &["t"]), move |event| {
        if let (Event::Fragment(fragment), Some(handle)) = (&event, cell.get()) {
            handle.confirm(fragment.end_lsn.unwrap());
            handle.grant(1);
            if handle.status().delivered == handle.status().confirmed && fragment.messages.len() > 2
            {
                handle.stop().unwrap(); // only asks
            }
        }
        sender.send(event).unwrap();
    })
    .unwrap();
    let handle = Arc::new(handle);
    own.set(Arc::clone(&handle)).unwrap();
    handle.grant(1);
    wait_for("streaming", || handle.status().state == State::Streaming);
    sql("inside", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2), (3), (4);");
    let mut fragments = 0;
    for event in events {
        fragments += u32::from(matches!(event, Event::Fragment(_)));
    }
    assert_eq!(fragments, 2);
    assert_eq!(handle.status().state, State::Stopped);
}

#[test]
fn dropping_the_handle_stops_without_waiting() {
    database("drops", "CREATE TABLE t (id int PRIMARY KEY)");
    let (sender, events) = channel();
    let handle =
        Source::start(options("drops", &["t"]), move |event| sender.send(event).unwrap()).unwrap();
    assert!(matches!(events.recv().unwrap(), Event::Started { .. }));
    let began = Instant::now();
    drop(handle);
    assert!(began.elapsed() < Duration::from_millis(100));
    assert!(matches!(events.recv().unwrap(), Event::Stopped(None)));
}
