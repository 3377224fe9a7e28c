//! Any bytes as the messages of a replication connection, routed from their bytes: each is refused with a
//! reason or answered, and what a router with all shapes answers is what routers with one shape each do,
//! in one call and in the smallest parts, read only and as transactions.

use bumpalo::Bump;
use pg_wal::decode::{Message, Streaming};
use shape_expr::{Column, Datum, Schema};
use shape_router::{
    Budget, Change, Config, Cursor, KeyParts, Keys, Progress, RouteOptions, Routed, Router,
    Scratch, ShapeSpec, Transaction,
};
use wal_change::{TableName, Target, WalDecoder};

/// In the first byte: what streaming was asked for (1, 2, 3 as 1, 2, 4 of the protocol's versions).
pub const PROTOCOL: u8 = 3;
/// Changes are staged as transactions.
pub const STAGED: u8 = 4;
/// The router declares no primary key: the Relation messages mark it.
pub const MARKED_KEY: u8 = 8;
/// Messages are cut at a byte that no tag has, so that one input is several messages.
pub const END: u8 = 0xfe;

/// The columns that the routers know, each of a type with a form of its own.
pub const COLUMNS: [(&str, &str); 12] = [
    ("id", "int8"),
    ("user_id", "int4"),
    ("status", "text"),
    ("body", "varchar"),
    ("done", "bool"),
    ("price", "numeric"),
    ("ratio", "float8"),
    ("tags", "text[]"),
    ("meta", "jsonb"),
    ("code", "uuid"),
    ("raw", "bytea"),
    ("at", "timestamptz"),
];

/// A shape for each way of being filed, and one that raises.
const CLAUSES: [Option<&str>; 15] = [
    None,
    Some("user_id = 1"),
    Some("user_id IN (0, 2) AND status = 'a'"),
    Some("status LIKE 'a%'"),
    Some("body LIKE '%b%'"),
    Some("body IS NULL"),
    Some("length(body) > 2"),
    Some("id BETWEEN 2 AND 9"),
    Some("done OR price > 1.5"),
    Some("ratio = 'NaN'"),
    Some("tags @> '{x}'"),
    Some("meta @> '{\"k\": 1}'"),
    Some("code = '00010203-0405-0607-0809-0a0b0c0d0e0f' OR raw = '\\x00'"),
    Some("at > '2020-01-01Z' AND status IS DISTINCT FROM 'b'"),
    Some("10 / user_id = 5"),
];

/// The routers of one connection: one with all shapes, and one for each shape.
struct Routers {
    all: Router,
    single: Vec<Router>,
}

impl Routers {
    fn new(marked_key: bool) -> Self {
        let router = |ids: &mut dyn Iterator<Item = usize>| {
            let columns = COLUMNS.map(|(name, ty)| Column::new(name, ty.parse().expect("a type")));
            let schema = Schema::new("todos", columns.to_vec()).expect("a schema");
            let primary_key = if marked_key { Vec::new() } else { vec!["id".into()] };
            let config = Config { primary_key, ..Config::new(schema) };
            let router = Router::new(config).expect("a router");
            for id in ids {
                let mut spec = ShapeSpec::new(id as u64, CLAUSES[id]);
                if !marked_key && id % 3 == 0 {
                    spec.keys = Keys::Known([0, 2].map(|k| KeyParts::one(Datum::Int(k))).to_vec());
                }
                router.add_shape(spec).expect("a shape");
            }
            router
        };
        let all = router(&mut (0..CLAUSES.len()));
        let single = (0..CLAUSES.len()).map(|id| router(&mut std::iter::once(id))).collect();
        Self { all, single }
    }

    fn each(&self) -> impl Iterator<Item = &Router> {
        std::iter::once(&self.all).chain(&self.single)
    }
}

/// The transaction that is being staged.
struct Open {
    transaction: Transaction,
    /// How many of its changes are answered, by every router alike.
    next: usize,
}

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let (protocol, streaming) = match how & PROTOCOL {
        0 | 1 => (1, Streaming::Off),
        2 => (2, Streaming::On),
        _ => (4, Streaming::Parallel),
    };
    let mut decoder = WalDecoder::new(protocol, streaming).expect("a decoder");
    let table: TableName = "todos".parse().expect("a name");
    let routers = Routers::new(how & MARKED_KEY != 0);
    let mut open = (how & STAGED != 0).then(|| begin(&routers, 1));
    for message in bytes.split(|&byte| byte == END) {
        match decoder.decode(message) {
            Err(error) => drop(error.to_string()),
            Ok(message) => {
                answered_alike(&mut decoder, &message, &routers, &table, open.as_mut());
                if let (Some(now), Message::Commit(_)) = (&open, &message) {
                    let lsn = now.transaction.lsn;
                    finish(&routers, now.transaction);
                    open = Some(begin(&routers, lsn + 1));
                }
            }
        }
    }
    if let Some(open) = open {
        finish(&routers, open.transaction);
    }
}

fn begin(routers: &Routers, lsn: u64) -> Open {
    let transaction = Transaction { lsn, fragment: 0, xid: Some(7) };
    for router in routers.each() {
        router.begin_txn(transaction).expect("begun");
    }
    Open { transaction, next: 0 }
}

fn finish(routers: &Routers, transaction: Transaction) {
    for router in routers.each() {
        router.finish_txn(transaction).expect("finished");
        while !router.ack(transaction.lsn, 1).expect("an ack") {}
    }
}

fn answered_alike(
    decoder: &mut WalDecoder,
    message: &Message<'_>,
    routers: &Routers,
    table: &TableName,
    open: Option<&mut Open>,
) {
    let mut answers = Vec::new();
    for (number, router) in routers.each().enumerate() {
        let target = Target { number: number as u64, table, router };
        decoder.prepare(message, &target).expect("a table that was decoded");
        let arena = Bump::new();
        let read = decoder.change(message, &target, &arena).expect("a table that was decoded");
        let Some(mut read) = read else { continue };
        let change = read.as_change();
        assert!(decoder.concerns(message, table), "a change of another table");
        answers.push(match &open {
            Some(open) => staged(router, &change, open),
            None => {
                let whole = read_only(router, &change, &mut Budget::unlimited);
                assert_eq!(read_only(router, &change, &mut || Budget::new(1)), whole, "in parts");
                if let Some(relation) = change.relation {
                    router.define(relation).expect("a definition");
                }
                whole
            }
        });
    }
    let Some((all, single)) = answers.split_first() else { return };
    assert_eq!(single.len(), CLAUSES.len(), "it concerns all routers of the table");
    assert_eq!(*all, single.concat());
    if let Some(open) = open {
        open.next += 1;
    }
}

/// Routes with a budget for each call, until the answer is whole.
fn read_only(
    router: &Router,
    change: &Change<'_>,
    budget: &mut dyn FnMut() -> Budget,
) -> Vec<Routed> {
    let options = RouteOptions { classify: true, ..RouteOptions::default() };
    let mut scratch = Scratch::default();
    whole(&mut scratch, |scratch, cursor| {
        router.route(change, options, scratch, &mut budget(), cursor).expect("an answer")
    })
}

fn staged(router: &Router, change: &Change<'_>, open: &Open) -> Vec<Routed> {
    let mut scratch = Scratch::default();
    whole(&mut scratch, |scratch, cursor| {
        let mut budget = Budget::new(1);
        router
            .route_txn(open.transaction, open.next, change, scratch, &mut budget, cursor)
            .expect("an answer")
    })
}

fn whole(
    scratch: &mut Scratch,
    mut call: impl FnMut(&mut Scratch, Option<Cursor>) -> Progress,
) -> Vec<Routed> {
    let (mut routed, mut cursor) = (Vec::new(), None);
    loop {
        let progress = call(scratch, cursor);
        routed.extend_from_slice(scratch.routed());
        match progress {
            Progress::Done => break,
            Progress::More(next) | Progress::Heavy(next) => cursor = Some(next),
        }
    }
    routed.sort_unstable();
    routed
}
