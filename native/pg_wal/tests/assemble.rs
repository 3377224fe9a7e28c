//! Messages become whole transactions in commit order, in bounded fragments that explain
//! themselves.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use bytes::Bytes;
use pg_wal::decode::Streaming;
use pg_wal::{Assembler, Error, Fragment, Limits, Lsn};
use proptest::prelude::*;
use support::live::describe;
use support::model::{Msg, Value, encode};

fn assembler(limits: Limits) -> Assembler {
    Assembler::new(2, Streaming::On, limits).unwrap()
}

fn push(assembler: &mut Assembler, message: &Msg) {
    assembler.push(Bytes::from(encode(message, None))).unwrap();
}

fn push_in(assembler: &mut Assembler, xid: u32, message: &Msg) {
    assembler.push(Bytes::from(encode(message, Some(xid)))).unwrap();
}

fn fails(assembler: &mut Assembler, message: &Msg) -> Error {
    assembler.push(Bytes::from(encode(message, None))).unwrap_err()
}

fn drain(assembler: &mut Assembler) -> Vec<Fragment> {
    std::iter::from_fn(|| assembler.pop()).collect()
}

fn text(fragments: &[Fragment]) -> Vec<String> {
    fragments.iter().flat_map(describe).collect()
}

fn begin(xid: u32, lsn: u64) -> Msg {
    Msg::Begin { lsn, time: 5, xid }
}

fn commit(lsn: u64) -> Msg {
    Msg::Commit { lsn, end: lsn + 1, time: 5 }
}

fn relation(oid: u32, name: &str, columns: &[&str]) -> Msg {
    let columns = columns.iter().map(|name| (false, (*name).to_owned(), 25, -1)).collect();
    Msg::Relation { oid, ns: "public".into(), name: name.into(), identity: b'd', columns }
}

fn insert(oid: u32, values: &[&str]) -> Msg {
    let new = values.iter().map(|value| Value::Text(value.as_bytes().to_vec())).collect();
    Msg::Insert { oid, new }
}

fn start(xid: u32) -> Msg {
    Msg::StreamStart { xid, first: false }
}

fn stream_commit(xid: u32, lsn: u64) -> Msg {
    Msg::StreamCommit { xid, lsn, end: lsn + 1, time: 5 }
}

fn abort(xid: u32, subxid: u32) -> Msg {
    Msg::StreamAbort { xid, subxid, abort: None }
}

proptest! {
    /// Whatever the limits: all messages, in order, within the limits, numbered, one last.
    #[test]
    fn fragments_are_bounded_and_complete(
        sizes in proptest::collection::vec(proptest::collection::vec(0_usize..60, 1..40), 1..6),
        fragment_messages in 1_usize..10,
        fragment_bytes in 1_usize..300,
        streamed: bool,
    ) {
        let limits = Limits { fragment_messages, fragment_bytes, ..Limits::default() };
        let mut all = assembler(limits);
        for (number, sizes) in sizes.iter().enumerate() {
            let (xid, lsn) = (number as u32 + 1, number as u64 * 10 + 100);
            let mut sent = Vec::new();
            let mut send = |all: &mut Assembler, message: Msg| {
                let bytes = Bytes::from(encode(&message, streamed.then_some(xid)));
                sent.push(bytes.clone());
                all.push(bytes).unwrap();
            };
            push(&mut all, &if streamed { start(xid) } else { begin(xid, lsn) });
            if number == 0 {
                send(&mut all, relation(1, "t", &["v"]));
            }
            for size in sizes {
                send(&mut all, insert(1, &[&"x".repeat(*size)]));
            }
            if streamed {
                push(&mut all, &Msg::StreamStop);
                push(&mut all, &stream_commit(xid, lsn));
            } else {
                push(&mut all, &commit(lsn));
            }
            let fragments = drain(&mut all);
            for (index, fragment) in fragments.iter().enumerate() {
                prop_assert_eq!(fragment.index as usize, index);
                prop_assert_eq!(fragment.last, index + 1 == fragments.len());
                prop_assert_eq!(fragment.end_lsn, fragment.last.then_some(Lsn(lsn + 1)));
                prop_assert_eq!((fragment.xid, fragment.commit_lsn), (xid, Lsn(lsn)));
                prop_assert!(fragment.messages.len() <= fragment_messages);
                prop_assert!(
                    fragment.byte_len() <= fragment_bytes || fragment.messages.len() == 1
                );
                describe(fragment); // explains itself
            }
            let received: Vec<Bytes> =
                fragments.into_iter().flat_map(|fragment| fragment.messages).collect();
            prop_assert_eq!(received, sent);
            prop_assert!(all.is_idle());
            prop_assert_eq!(all.streamed_bytes(), 0);
        }
    }
}

#[test]
fn a_fragment_brings_the_definition_in_force_at_its_start() {
    let mut all = assembler(Limits { fragment_messages: 2, ..Limits::default() });
    push(&mut all, &begin(1, 10));
    push(&mut all, &relation(1, "t", &["a"]));
    push(&mut all, &insert(1, &["1"]));
    push(&mut all, &insert(1, &["2"])); // the second fragment
    push(&mut all, &relation(1, "t", &["a", "b"]));
    push(&mut all, &insert(1, &["3", "x"])); // the third
    push(&mut all, &commit(10));
    let fragments = drain(&mut all);
    let columns = |fragment: &Fragment| -> Vec<usize> {
        fragment.relations.iter().map(|relation| relation.columns.len()).collect()
    };
    assert_eq!(fragments.iter().map(columns).collect::<Vec<_>>(), [vec![], vec![1], vec![2]]);
    assert_eq!(text(&fragments), ["insert t a=1", "insert t a=2", "insert t a=3 b=x"]);

    // And so does a later transaction, for truncates too.
    push(&mut all, &begin(2, 20));
    push(&mut all, &Msg::Truncate { oids: vec![1], cascade: false, restart: false });
    push(&mut all, &commit(20));
    assert_eq!(text(&drain(&mut all)), ["truncate t"]);
}

#[test]
fn transactions_in_progress_are_kept_and_come_in_commit_order() {
    let mut all = assembler(Limits::default());
    push(&mut all, &start(1));
    push_in(&mut all, 1, &relation(1, "t", &["v"]));
    push_in(&mut all, 1, &insert(1, &["1a"]));
    push(&mut all, &Msg::StreamStop);
    assert!(!all.is_idle() && !all.has_ready());
    push(&mut all, &start(2));
    push_in(&mut all, 2, &relation(1, "t", &["v"]));
    push_in(&mut all, 2, &insert(1, &["2a"]));
    push(&mut all, &Msg::StreamStop);
    push(&mut all, &begin(3, 10));
    push(&mut all, &relation(1, "t", &["v"]));
    push(&mut all, &insert(1, &["3a"]));
    push(&mut all, &commit(10));
    push(&mut all, &start(1));
    push_in(&mut all, 1, &insert(1, &["1b"]));
    push(&mut all, &Msg::StreamStop);
    push(&mut all, &stream_commit(2, 20));
    push(&mut all, &stream_commit(1, 30));
    let fragments = drain(&mut all);
    assert_eq!(fragments.iter().map(|f| f.xid).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(
        text(&fragments),
        ["insert t v=3a", "insert t v=2a", "insert t v=1a", "insert t v=1b"]
    );
}

#[test]
fn aborted_subtransactions_leave_only_definitions() {
    let mut all = assembler(Limits::default());
    push(&mut all, &start(1));
    push_in(&mut all, 2, &relation(1, "t", &["v"])); // the server will not repeat it
    push_in(&mut all, 2, &insert(1, &["gone"]));
    push_in(&mut all, 1, &insert(1, &["kept"]));
    push_in(&mut all, 3, &insert(1, &["gone too"]));
    push(&mut all, &Msg::StreamStop);
    push(&mut all, &abort(1, 2));
    push(&mut all, &abort(1, 3));
    push(&mut all, &abort(1, 99)); // nothing of it was streamed
    push(&mut all, &stream_commit(1, 10));
    assert_eq!(text(&drain(&mut all)), ["insert t v=kept"]);
    assert!(all.is_idle());
}

#[test]
fn an_aborted_transaction_leaves_nothing() {
    let mut all = assembler(Limits::default());
    push(&mut all, &start(1));
    push_in(&mut all, 1, &relation(1, "t", &["v"]));
    push_in(&mut all, 1, &insert(1, &["x"]));
    push(&mut all, &Msg::StreamStop);
    assert!(all.streamed_bytes() > 0);
    push(&mut all, &abort(1, 1));
    assert!(all.is_idle());
    assert_eq!(all.streamed_bytes(), 0);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut all = assembler(Limits { streamed_bytes: 60, ..Limits::default() });
    push(&mut all, &start(7));
    push_in(&mut all, 7, &insert(1, &["x"]));
    push(&mut all, &Msg::StreamStop);
    push(&mut all, &start(8));
    let large = Bytes::from(encode(&insert(1, &[&"y".repeat(60)]), Some(8)));
    match all.push(large).unwrap_err() {
        Error::StreamedTooLarge { xid: 8, bytes, limit: 60 } => assert!(bytes > 60),
        other => panic!("{other}"),
    }
}

#[test]
fn empty_transactions_make_no_fragment_and_messages_outside_make_one() {
    let mut all = assembler(Limits::default());
    push(&mut all, &begin(1, 10));
    assert!(!all.is_idle());
    push(&mut all, &commit(10));
    push(&mut all, &start(2));
    push(&mut all, &Msg::StreamStop);
    push(&mut all, &stream_commit(2, 20));
    assert!(all.is_idle());

    let message = |transactional| Msg::Message {
        transactional,
        lsn: 30,
        prefix: "p".into(),
        content: b"c".to_vec(),
    };
    push(&mut all, &message(false));
    let fragments = drain(&mut all);
    assert_eq!((fragments.len(), fragments[0].xid), (1, 0));
    assert_eq!(fragments[0].end_lsn, Some(Lsn(30)));
    assert!(matches!(fails(&mut all, &message(true)), Error::OutOfPlace { .. }));
}

#[test]
fn messages_out_of_place_are_errors() {
    let all = || assembler(Limits::default());
    assert!(matches!(fails(&mut all(), &commit(1)), Error::OutOfPlace { message: "Commit", .. }));
    assert!(matches!(fails(&mut all(), &insert(1, &[])), Error::OutOfPlace { .. }));
    let open = || {
        let mut open = all();
        push(&mut open, &begin(1, 10));
        open
    };
    assert!(matches!(fails(&mut open(), &begin(2, 20)), Error::OutOfPlace { .. }));
    assert!(matches!(fails(&mut open(), &start(2)), Error::OutOfPlace { .. }));
    assert!(matches!(fails(&mut open(), &insert(9, &[])), Error::UnknownRelation { oid: 9 }));

    let mut two_phase = Assembler::new(3, Streaming::On, Limits::default()).unwrap();
    let prepare = Msg::BeginPrepare(support::model::Prepared(1, 2, 3, 4, "gid".into()));
    assert!(matches!(fails(&mut two_phase, &prepare), Error::Unsupported { .. }));
}

#[test]
fn after_a_reset_a_transaction_starts_over() {
    let mut all = assembler(Limits { fragment_messages: 1, ..Limits::default() });
    for _ in 0..2 {
        push(&mut all, &begin(1, 10));
        push(&mut all, &relation(1, "t", &["v"]));
        push(&mut all, &insert(1, &["x"]));
        assert_eq!(all.pop().unwrap().index, 0);
        all.reset();
        assert!(all.is_idle());
    }
}
