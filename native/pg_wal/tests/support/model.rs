//! An owned model of every message, with an encoder: the other side of the decoder.

use pg_wal::decode::{Column, Delete, Insert, Message, OldTuple, ReplicaIdentity, Tuple, Update};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Toast,
    Text(Vec<u8>),
    Binary(Vec<u8>),
}

pub type Row = Vec<Value>;

#[derive(Clone, Debug, PartialEq)]
pub struct Prepared(pub u64, pub u64, pub i64, pub u32, pub String);

#[derive(Clone, Debug, PartialEq)]
pub enum Msg {
    Begin {
        lsn: u64,
        time: i64,
        xid: u32,
    },
    Commit {
        lsn: u64,
        end: u64,
        time: i64,
    },
    Origin {
        lsn: u64,
        name: String,
    },
    Relation {
        oid: u32,
        ns: String,
        name: String,
        identity: u8,
        columns: Vec<(bool, String, u32, i32)>,
    },
    Type {
        oid: u32,
        ns: String,
        name: String,
    },
    Insert {
        oid: u32,
        new: Row,
    },
    Update {
        oid: u32,
        old: Option<(bool, Row)>,
        new: Row,
    },
    Delete {
        oid: u32,
        full: bool,
        old: Row,
    },
    Truncate {
        oids: Vec<u32>,
        cascade: bool,
        restart: bool,
    },
    Message {
        transactional: bool,
        lsn: u64,
        prefix: String,
        content: Vec<u8>,
    },
    StreamStart {
        xid: u32,
        first: bool,
    },
    StreamStop,
    StreamCommit {
        xid: u32,
        lsn: u64,
        end: u64,
        time: i64,
    },
    StreamAbort {
        xid: u32,
        subxid: u32,
        abort: Option<(u64, i64)>,
    },
    BeginPrepare(Prepared),
    Prepare(Prepared),
    CommitPrepared(Prepared),
    StreamPrepare(Prepared),
    RollbackPrepared {
        prepare_end: u64,
        end: u64,
        prepare_time: i64,
        time: i64,
        xid: u32,
        gid: String,
    },
}

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }
    fn byte(self, byte: u8) -> Self {
        self.bytes([byte])
    }
    fn u16(self, value: usize) -> Self {
        self.bytes((value as u16).to_be_bytes())
    }
    fn u32(self, value: u32) -> Self {
        self.bytes(value.to_be_bytes())
    }
    fn u64(self, value: u64) -> Self {
        self.bytes(value.to_be_bytes())
    }
    fn i64(self, value: i64) -> Self {
        self.bytes(value.to_be_bytes())
    }
    fn text(self, text: &str) -> Self {
        self.bytes(text).byte(0)
    }
    fn xid(self, xid: Option<u32>) -> Self {
        match xid {
            Some(xid) => self.u32(xid),
            None => self,
        }
    }
    fn row(self, row: &[Value]) -> Self {
        row.iter().fold(self.u16(row.len()), |out, value| match value {
            Value::Null => out.byte(b'n'),
            Value::Toast => out.byte(b'u'),
            Value::Text(bytes) => out.byte(b't').u32(bytes.len() as u32).bytes(bytes),
            Value::Binary(bytes) => out.byte(b'b').u32(bytes.len() as u32).bytes(bytes),
        })
    }
    fn prepared(self, p: &Prepared) -> Self {
        self.u64(p.0).u64(p.1).i64(p.2).u32(p.3).text(&p.4)
    }
}

/// The bytes of a message; `xid` is what it carries inside a streamed block.
pub fn encode(message: &Msg, xid: Option<u32>) -> Vec<u8> {
    let out = Out::default();
    let schema = |ns: &str| if ns == "pg_catalog" { String::new() } else { ns.to_owned() };
    let out = match message {
        Msg::Begin { lsn, time, xid } => out.byte(b'B').u64(*lsn).i64(*time).u32(*xid),
        Msg::Commit { lsn, end, time } => out.byte(b'C').byte(0).u64(*lsn).u64(*end).i64(*time),
        Msg::Origin { lsn, name } => out.byte(b'O').u64(*lsn).text(name),
        Msg::Relation { oid, ns, name, identity, columns } => {
            let out = out.byte(b'R').xid(xid).u32(*oid).text(&schema(ns)).text(name);
            let out = out.byte(*identity).u16(columns.len());
            columns.iter().fold(out, |out, (key, name, oid, modifier)| {
                out.byte(u8::from(*key)).text(name).u32(*oid).u32(*modifier as u32)
            })
        }
        Msg::Type { oid, ns, name } => {
            out.byte(b'Y').xid(xid).u32(*oid).text(&schema(ns)).text(name)
        }
        Msg::Insert { oid, new } => out.byte(b'I').xid(xid).u32(*oid).byte(b'N').row(new),
        Msg::Update { oid, old, new } => {
            let out = out.byte(b'U').xid(xid).u32(*oid);
            let out = match old {
                Some((full, row)) => out.byte(if *full { b'O' } else { b'K' }).row(row),
                None => out,
            };
            out.byte(b'N').row(new)
        }
        Msg::Delete { oid, full, old } => {
            out.byte(b'D').xid(xid).u32(*oid).byte(if *full { b'O' } else { b'K' }).row(old)
        }
        Msg::Truncate { oids, cascade, restart } => {
            let out = out.byte(b'T').xid(xid).u32(oids.len() as u32);
            let out = out.byte(u8::from(*cascade) | u8::from(*restart) << 1);
            oids.iter().fold(out, |out, oid| out.u32(*oid))
        }
        Msg::Message { transactional, lsn, prefix, content } => {
            let out = out.byte(b'M').xid(xid).byte(u8::from(*transactional)).u64(*lsn);
            out.text(prefix).u32(content.len() as u32).bytes(content)
        }
        Msg::StreamStart { xid, first } => out.byte(b'S').u32(*xid).byte(u8::from(*first)),
        Msg::StreamStop => out.byte(b'E'),
        Msg::StreamCommit { xid, lsn, end, time } => {
            out.byte(b'c').u32(*xid).byte(0).u64(*lsn).u64(*end).i64(*time)
        }
        Msg::StreamAbort { xid, subxid, abort } => {
            let out = out.byte(b'A').u32(*xid).u32(*subxid);
            match abort {
                Some((lsn, time)) => out.u64(*lsn).i64(*time),
                None => out,
            }
        }
        Msg::BeginPrepare(p) => out.byte(b'b').prepared(p),
        Msg::Prepare(p) => out.byte(b'P').byte(0).prepared(p),
        Msg::CommitPrepared(p) => out.byte(b'K').byte(0).prepared(p),
        Msg::StreamPrepare(p) => out.byte(b'p').byte(0).prepared(p),
        Msg::RollbackPrepared { prepare_end, end, prepare_time, time, xid, gid } => {
            let out = out.byte(b'r').byte(0).u64(*prepare_end).u64(*end);
            out.i64(*prepare_time).i64(*time).u32(*xid).text(gid)
        }
    };
    out.0
}

pub fn row(tuple: Tuple<'_>) -> Row {
    assert_eq!(tuple.columns().count(), tuple.len());
    let value = |column| match column {
        Column::Null => Value::Null,
        Column::UnchangedToast => Value::Toast,
        Column::Text(bytes) => Value::Text(bytes.to_vec()),
        Column::Binary(bytes) => Value::Binary(bytes.to_vec()),
    };
    tuple.columns().map(value).collect()
}

fn old_row(old: OldTuple<'_>) -> (bool, Row) {
    (matches!(old, OldTuple::Full(_)), row(old.tuple()))
}

fn prepared(p: &pg_wal::decode::Prepared<'_>) -> Prepared {
    Prepared(p.lsn.0, p.end_lsn.0, p.time, p.xid, p.gid.to_owned())
}

/// What a decoded message says, and the xid it carries.
pub fn model(message: &Message<'_>) -> (Msg, Option<u32>) {
    let no_xid = |msg| (msg, None);
    match message {
        Message::Begin(m) => {
            no_xid(Msg::Begin { lsn: m.final_lsn.0, time: m.commit_time, xid: m.xid })
        }
        Message::Commit(m) => {
            no_xid(Msg::Commit { lsn: m.commit_lsn.0, end: m.end_lsn.0, time: m.commit_time })
        }
        Message::Origin(m) => no_xid(Msg::Origin { lsn: m.commit_lsn.0, name: m.name.to_owned() }),
        Message::Relation(m) => {
            let identity = match m.replica_identity {
                ReplicaIdentity::Default => b'd',
                ReplicaIdentity::Nothing => b'n',
                ReplicaIdentity::Full => b'f',
                ReplicaIdentity::Index => b'i',
            };
            let columns = m
                .columns()
                .map(|c| (c.key, c.name.to_owned(), c.type_oid, c.type_modifier))
                .collect();
            let (ns, name) = (m.namespace.to_owned(), m.name.to_owned());
            (Msg::Relation { oid: m.oid, ns, name, identity, columns }, m.xid)
        }
        Message::Type(m) => {
            let (ns, name) = (m.namespace.to_owned(), m.name.to_owned());
            (Msg::Type { oid: m.oid, ns, name }, m.xid)
        }
        Message::Insert(Insert { xid, relation, new }) => {
            (Msg::Insert { oid: *relation, new: row(*new) }, *xid)
        }
        Message::Update(Update { xid, relation, old, new }) => {
            (Msg::Update { oid: *relation, old: old.map(old_row), new: row(*new) }, *xid)
        }
        Message::Delete(Delete { xid, relation, old }) => {
            let (full, old) = old_row(*old);
            (Msg::Delete { oid: *relation, full, old }, *xid)
        }
        Message::Truncate(m) => {
            let (cascade, restart) = (m.cascade, m.restart_identity);
            (Msg::Truncate { oids: m.relations().collect(), cascade, restart }, m.xid)
        }
        Message::Message(m) => {
            let (prefix, content) = (m.prefix.to_owned(), m.content.to_vec());
            let transactional = m.transactional;
            (Msg::Message { transactional, lsn: m.lsn.0, prefix, content }, m.xid)
        }
        Message::StreamStart(m) => no_xid(Msg::StreamStart { xid: m.xid, first: m.first }),
        Message::StreamStop => no_xid(Msg::StreamStop),
        Message::StreamCommit(m) => no_xid(Msg::StreamCommit {
            xid: m.xid,
            lsn: m.commit_lsn.0,
            end: m.end_lsn.0,
            time: m.commit_time,
        }),
        Message::StreamAbort(m) => {
            let abort = m.abort.map(|(lsn, time)| (lsn.0, time));
            no_xid(Msg::StreamAbort { xid: m.xid, subxid: m.subxid, abort })
        }
        Message::BeginPrepare(p) => no_xid(Msg::BeginPrepare(prepared(p))),
        Message::Prepare(p) => no_xid(Msg::Prepare(prepared(p))),
        Message::CommitPrepared(p) => no_xid(Msg::CommitPrepared(prepared(p))),
        Message::StreamPrepare(p) => no_xid(Msg::StreamPrepare(prepared(p))),
        Message::RollbackPrepared(m) => no_xid(Msg::RollbackPrepared {
            prepare_end: m.prepare_end_lsn.0,
            end: m.rollback_end_lsn.0,
            prepare_time: m.prepare_time,
            time: m.rollback_time,
            xid: m.xid,
            gid: m.gid.to_owned(),
        }),
        other => panic!("a message without a model: {other:?}"),
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z_ \u{e4}\u{20ac}]{0,12}"
}

fn schema() -> impl Strategy<Value = String> {
    prop_oneof![Just("pg_catalog".to_owned()), "[a-z]{1,8}"]
}

pub fn rows() -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        Just(Value::Null),
        Just(Value::Toast),
        vec(any::<u8>(), 0..20).prop_map(Value::Text),
        vec(any::<u8>(), 0..20).prop_map(Value::Binary),
    ];
    vec(value, 0..8)
}

fn prepares() -> impl Strategy<Value = Prepared> {
    (any::<u64>(), any::<u64>(), any::<i64>(), any::<u32>(), name())
        .prop_map(|(a, b, c, d, e)| Prepared(a, b, c, d, e))
}

/// Any message. An abort carries its extra fields when `parallel`.
pub fn messages(parallel: bool) -> impl Strategy<Value = Msg> {
    let column = (any::<bool>(), name(), any::<u32>(), any::<i32>());
    let identity = prop_oneof![Just(b'd'), Just(b'n'), Just(b'f'), Just(b'i')];
    let control = prop_oneof![
        (any::<u64>(), any::<i64>(), any::<u32>()).prop_map(|(lsn, time, xid)| Msg::Begin {
            lsn,
            time,
            xid
        }),
        (any::<u64>(), any::<u64>(), any::<i64>()).prop_map(|(lsn, end, time)| Msg::Commit {
            lsn,
            end,
            time
        }),
        (any::<u64>(), name()).prop_map(|(lsn, name)| Msg::Origin { lsn, name }),
        (any::<u32>(), any::<bool>()).prop_map(|(xid, first)| Msg::StreamStart { xid, first }),
        Just(Msg::StreamStop),
        (any::<u32>(), any::<u64>(), any::<u64>(), any::<i64>())
            .prop_map(|(xid, lsn, end, time)| Msg::StreamCommit { xid, lsn, end, time }),
        (any::<u32>(), any::<u32>(), any::<(u64, i64)>()).prop_map(move |(xid, subxid, abort)| {
            Msg::StreamAbort { xid, subxid, abort: parallel.then_some(abort) }
        }),
        prepares().prop_map(Msg::BeginPrepare),
        prepares().prop_map(Msg::Prepare),
        prepares().prop_map(Msg::CommitPrepared),
        prepares().prop_map(Msg::StreamPrepare),
        (any::<(u64, u64)>(), any::<(i64, i64)>(), any::<u32>(), name()).prop_map(
            |((prepare_end, end), (prepare_time, time), xid, gid)| Msg::RollbackPrepared {
                prepare_end,
                end,
                prepare_time,
                time,
                xid,
                gid
            }
        ),
    ];
    let data = prop_oneof![
        (any::<u32>(), schema(), name(), identity, vec(column, 0..6)).prop_map(
            |(oid, ns, name, identity, columns)| Msg::Relation { oid, ns, name, identity, columns }
        ),
        (any::<u32>(), schema(), name()).prop_map(|(oid, ns, name)| Msg::Type { oid, ns, name }),
        (any::<u32>(), rows()).prop_map(|(oid, new)| Msg::Insert { oid, new }),
        (any::<u32>(), proptest::option::of((any::<bool>(), rows())), rows())
            .prop_map(|(oid, old, new)| Msg::Update { oid, old, new }),
        (any::<u32>(), any::<bool>(), rows()).prop_map(|(oid, full, old)| Msg::Delete {
            oid,
            full,
            old
        }),
        (vec(any::<u32>(), 0..6), any::<bool>(), any::<bool>())
            .prop_map(|(oids, cascade, restart)| Msg::Truncate { oids, cascade, restart }),
        (any::<bool>(), any::<u64>(), name(), vec(any::<u8>(), 0..20)).prop_map(
            |(transactional, lsn, prefix, content)| Msg::Message {
                transactional,
                lsn,
                prefix,
                content
            }
        ),
    ];
    prop_oneof![control, data]
}

/// Whether a message carries an xid inside a streamed block.
pub fn carries_xid(message: &Msg) -> bool {
    matches!(
        message,
        Msg::Relation { .. }
            | Msg::Type { .. }
            | Msg::Insert { .. }
            | Msg::Update { .. }
            | Msg::Delete { .. }
            | Msg::Truncate { .. }
            | Msg::Message { .. }
    )
}
