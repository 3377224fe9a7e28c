//! What is routed from bytes is what is routed from the same changes in memory.

mod support;

use bumpalo::Bump;
use pg_wal::decode::Streaming;
use proptest::prelude::*;
use shape_expr::Datum;
use shape_router::{
    Budget, Change, KeyParts, Keys, Routed, Router, Scratch, ShapeSpec, Transaction,
};
use support::{CLAUSES, Step, Table, direct, encode, other_table, relation, router, step};
use wal_change::{TableName, Target, WalDecoder};

fn todos() -> TableName {
    "todos".parse().expect("a name")
}

/// The shapes with these clauses; those of known membership hold the keys 0 and 2.
fn add(router: &Router, shapes: &[(usize, bool)]) {
    for (id, &(clause, known)) in shapes.iter().enumerate() {
        let mut spec = ShapeSpec::new(id as u64, CLAUSES[clause]);
        if known {
            spec.keys = Keys::Known([0, 2].map(|k| KeyParts::one(Datum::Int(k))).to_vec());
        }
        router.add_shape(spec).expect("a shape");
    }
}

/// Decodes a message and answers it, if it concerns the router's table.
fn from_bytes<R>(
    decoder: &mut WalDecoder,
    router: &Router,
    bytes: &[u8],
    answer: impl FnOnce(&Change<'_>) -> R,
) -> Option<R> {
    let table = todos();
    let target = Target { number: 1, table: &table, router };
    let message = decoder.decode(bytes).expect("a message");
    decoder.prepare(&message, &target).expect("a known table");
    let arena = Bump::new();
    let change = decoder.change(&message, &target, &arena).expect("a known table");
    change.map(|mut change| answer(&change.as_change()))
}

fn shapes() -> impl Strategy<Value = Vec<(usize, bool)>> {
    proptest::collection::vec((0..CLAUSES.len(), any::<bool>()), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn routes_alike(shapes in shapes(), steps in proptest::collection::vec(step(), 1..40), streamed: bool) {
        let (wal, plain) = (router(), router());
        add(&wal, &shapes);
        add(&plain, &shapes);
        let protocol = if streamed { (2, Streaming::On) } else { (1, Streaming::Off) };
        let mut decoder = WalDecoder::new(protocol.0, protocol.1).expect("a decoder");
        let mut table = Table::plain();
        decoder.decode(&other_table()).expect("a table");
        let first = Step::Relation(table.clone());
        let block = b"S\0\0\0\x09\x01";
        if streamed {
            decoder.decode(block).expect("a block");
        }
        for step in std::iter::once(&first).chain(&steps) {
            // An origin has no xid; in a streamed block there is none.
            if streamed && matches!(step, Step::Noise(3..)) {
                continue;
            }
            if let Step::Relation(now) = step {
                table = now.clone();
            }
            let expected: Option<Vec<Routed>> = direct(step, &table, |change| {
                let routed = support::route(&plain, change);
                if let Some(relation) = change.relation {
                    plain.define(relation).expect("a definition");
                }
                routed
            });
            let bytes = encode(step, &table, streamed.then_some(9));
            let answered = from_bytes(&mut decoder, &wal, &bytes, |change| {
                let routed = support::route(&wal, change);
                if let Some(relation) = change.relation {
                    wal.define(relation).expect("a definition");
                }
                routed
            });
            prop_assert_eq!(answered, expected, "{:?}", step);
        }
    }

    #[test]
    fn transactions_leave_the_same_behind(
        shapes in shapes(),
        transactions in proptest::collection::vec((proptest::collection::vec(step(), 1..10), any::<bool>()), 1..6),
    ) {
        let (wal, plain) = (router(), router());
        add(&wal, &shapes);
        add(&plain, &shapes);
        let mut decoder = WalDecoder::new(1, Streaming::Off).expect("a decoder");
        let mut table = Table::plain();
        decoder.decode(&other_table()).expect("a table");
        decoder.decode(&relation(&table, support::OID, None)).expect("a table");
        for (number, (steps, ack)) in transactions.iter().enumerate() {
            let transaction = Transaction { lsn: 10 * (number as u64 + 1), fragment: 0, xid: Some(7) };
            let stage = |router: &Router, change: &Change<'_>, next: &mut usize| {
                let mut scratch = Scratch::default();
                let mut budget = Budget::unlimited();
                router.route_txn(transaction, *next, change, &mut scratch, &mut budget, None)
                    .expect("an answer");
                *next += 1;
                scratch.routed().to_vec()
            };
            wal.begin_txn(transaction).expect("a transaction");
            plain.begin_txn(transaction).expect("a transaction");
            let (mut of_wal, mut of_plain) = (0, 0);
            for step in steps {
                if let Step::Relation(now) = step {
                    table = now.clone();
                }
                let expected = direct(step, &table, |change| stage(&plain, change, &mut of_plain));
                let bytes = encode(step, &table, None);
                let answered = from_bytes(&mut decoder, &wal, &bytes, |change| {
                    stage(&wal, change, &mut of_wal)
                });
                prop_assert_eq!(answered, expected, "{:?}", step);
            }
            for router in [&wal, &plain] {
                router.finish_txn(transaction).expect("a transaction");
                if *ack {
                    while !router.ack(transaction.lsn, 1_000).expect("an ack") {}
                }
            }
        }
    }

    /// Whatever bytes come: an error or a message, never a panic.
    #[test]
    fn damaged_bytes_are_refused_or_read(
        step in step(), at in any::<prop::sample::Index>(), with: u8, cut in any::<prop::sample::Index>(),
    ) {
        let router = router();
        add(&router, &[(0, false), (1, true), (6, false)]);
        let mut decoder = WalDecoder::new(1, Streaming::Off).expect("a decoder");
        decoder.decode(&relation(&Table::plain(), support::OID, None)).expect("a table");
        let mut bytes = encode(&step, &Table::plain(), None);
        let at = at.index(bytes.len());
        bytes[at] = with;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let table = todos();
        let target = Target { number: 1, table: &table, router: &router };
        if let Ok(message) = decoder.decode(&bytes) {
            decoder.prepare(&message, &target).expect("a known table");
            let arena = Bump::new();
            let change = decoder.change(&message, &target, &arena).expect("a known table");
            if let Some(mut change) = change {
                support::route(&router, &change.as_change());
            }
        }
    }
}
