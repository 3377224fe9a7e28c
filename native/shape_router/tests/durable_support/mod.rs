//! What the tests of the catalogue share: random histories, and what a router shows of its state.
#![allow(dead_code, clippy::unwrap_used)]

use crate::common::*;
use shape_expr::Param;
use shape_router::catalogue::Options;
use shape_router::{Change, Error, Keys, Op, Relation, Router, ShapeSpec, Snapshot, Transaction};
use std::fmt::Write;

pub const CLAUSES: &[Option<&str>] = &[
    None,
    Some("a = 1"),
    Some("a = 2 AND b = 'x'"),
    Some("a IN (1, 3)"),
    Some("a > 1"),
    Some("b LIKE 'x%'"),
    Some("b LIKE '%y%'"),
    Some("length(b) > 1"),
    Some("a IS NULL OR b = 'y'"),
    Some("a = 10 / (a - 2)"),
    Some("id = 2"),
    Some("false"),
];

/// A shape to add.
#[derive(Clone, Debug)]
pub struct New {
    pub id: u64,
    pub clause: usize,
    /// Instead of the clause: `a = $1`.
    pub param: Option<i64>,
    pub keys: Option<Vec<i64>>,
    pub snapshot: Option<Snapshot>,
}

/// A change of a row.
#[derive(Clone, Debug)]
pub struct Told {
    pub op: Op,
    pub new: Option<Carried>,
    pub old: Option<Carried>,
    pub key: Option<i64>,
}

impl Told {
    pub fn as_change(&self) -> Change<'_> {
        Change {
            new: self.new.as_ref().map(|c| c as _),
            old: self.old.as_ref().map(|c| c as _),
            old_key: self.key.map(key),
            ..Change::new(self.op)
        }
    }
}

/// What is done to a router.
#[derive(Clone, Debug)]
pub enum Act {
    Add(Vec<New>),
    Remove(u64),
    Route(u64, Vec<Told>),
    Ack(u64),
    Fold,
}

/// Does it; what a transaction was answered.
pub fn act(router: &Router, act: &Act) -> Result<String, Error> {
    let mut answer = String::new();
    match act {
        Act::Add(shapes) => {
            let specs = shapes.iter().map(|new| {
                let keys = match &new.keys {
                    Some(keys) => Keys::Known(keys.iter().map(|&id| key(id)).collect()),
                    None => Keys::Unknown,
                };
                let (clause, params) = match new.param {
                    Some(value) => (Some("a = $1"), vec![Param::Int(value)]),
                    None => (CLAUSES[new.clause], Vec::new()),
                };
                let snapshot = new.snapshot.clone();
                ShapeSpec { keys, params, snapshot, ..ShapeSpec::new(new.id, clause) }
            });
            router.add_shapes(specs)?;
        }
        Act::Remove(id) => router.remove_shape(*id)?,
        Act::Route(lsn, told) => {
            let changes: Vec<Change<'_>> = told.iter().map(Told::as_change).collect();
            let transaction = Transaction { xid: Some(*lsn as u32), ..Transaction::at(*lsn) };
            write!(answer, "{:?}", txn(router, transaction, &changes, u64::MAX)).unwrap();
        }
        Act::Ack(lsn) => while !router.ack(*lsn, 3)? {},
        Act::Fold => router.fold()?,
    }
    Ok(answer)
}

/// Everything that can be seen of a router from outside.
pub fn shown(router: &Router) -> String {
    let mut out = format!("{:?} {}\n", router.shapes(), router.metrics().acked_lsn);
    for id in 0..6 {
        let delete = Change { old_key: Some(key(id)), ..Change::new(Op::Delete) };
        writeln!(out, "{id}: {:?}", classes(router, &delete)).unwrap();
        for (a, b) in [(None, None), (Some(1), Some("x")), (Some(3), Some("yy"))] {
            let record = Record { id, a, b: b.map(str::to_owned) };
            let new = Carried::whole(&record);
            let update = Change { new: Some(&new), ..Change::new(Op::Update) };
            writeln!(out, "{id} {a:?} {b:?}: {:?}", classes(router, &update)).unwrap();
        }
    }
    out
}

/// A history to come.
pub struct History {
    pub rng: fastrand::Rng,
    pub next_id: u64,
    pub lsn: u64,
    /// The ids that there should be.
    pub live: Vec<u64>,
    pub routed: Vec<u64>,
}

impl History {
    pub fn new(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { rng, next_id: 0, lsn: 100, live: Vec::new(), routed: Vec::new() }
    }

    fn record(&mut self) -> Carried {
        let rng = &mut self.rng;
        let b = ["x", "xy", "y"].get(rng.usize(0..4)).map(|b| (*b).to_owned());
        let record = Record { id: rng.i64(0..6), a: (rng.u8(0..5) > 0).then(|| rng.i64(0..4)), b };
        Carried { record, has: [true, rng.u8(0..8) > 0, rng.u8(0..5) > 0] }
    }

    fn told(&mut self) -> Told {
        let (new, mut old) = (self.record(), self.record());
        old.has = [true; 3];
        let none = Told { op: Op::Truncate, new: None, old: None, key: None };
        match self.rng.u8(0..20) {
            0 => none,
            1..=7 => Told { op: Op::Insert, new: Some(new), ..none },
            8..=10 => {
                old.record.id = new.record.id;
                Told { op: Op::Update, new: Some(new), old: Some(old), ..none }
            }
            11..=14 => {
                let key = self.rng.bool().then(|| self.rng.i64(0..6));
                Told { op: Op::Update, new: Some(new), key, ..none }
            }
            15..=16 => Told { op: Op::Delete, old: Some(old), ..none },
            _ => Told { op: Op::Delete, key: Some(self.rng.i64(0..6)), ..none },
        }
    }

    fn new_shape(&mut self) -> New {
        self.next_id += 1 + self.rng.u64(0..3);
        let rng = &mut self.rng;
        let snapshot = match rng.u8(0..6) {
            0 => Some(Snapshot::Lsn(self.lsn + rng.u64(0..20))),
            1 => Some(Snapshot::Xids {
                xmin: self.lsn,
                xmax: self.lsn + 10,
                xip: vec![self.lsn, self.lsn + 5],
            }),
            _ => None,
        };
        let keys = (rng.u8(0..3) > 0).then(|| (0..6).filter(|_| rng.u8(0..3) == 0).collect());
        New {
            // Ids come in no order.
            id: self.next_id ^ 5 << 40,
            clause: rng.usize(0..CLAUSES.len()),
            param: (rng.u8(0..6) == 0).then(|| rng.i64(0..4)),
            keys,
            snapshot,
        }
    }

    /// What is done next.
    pub fn next(&mut self) -> Act {
        match self.rng.u8(0..20) {
            0..=5 => {
                let count = if self.rng.u8(0..4) == 0 { self.rng.usize(1..6) } else { 1 };
                let shapes: Vec<New> = (0..count).map(|_| self.new_shape()).collect();
                self.live.extend(shapes.iter().map(|new| new.id));
                Act::Add(shapes)
            }
            6..=8 if !self.live.is_empty() => {
                let at = self.rng.usize(0..self.live.len());
                Act::Remove(self.live.swap_remove(at))
            }
            9..=13 => {
                self.lsn += 10;
                self.routed.push(self.lsn);
                let count = self.rng.usize(0..5);
                Act::Route(self.lsn, (0..count).map(|_| self.told()).collect())
            }
            14..=17 if !self.routed.is_empty() => {
                let at = self.rng.usize(0..self.routed.len());
                let lsn = self.routed[at];
                self.routed.drain(..=at);
                Act::Ack(lsn)
            }
            _ => Act::Fold,
        }
    }

    /// The history goes on from what is left of it.
    pub fn resume(&mut self, router: &Router) {
        self.live = router.shapes();
        self.routed.clear();
    }
}

/// A router in memory that got these acts: of transactions those that were acknowledged.
pub fn remembered(acts: &[Act]) -> Router {
    let acked = acts.iter().filter_map(|act| match act {
        Act::Ack(lsn) => Some(*lsn),
        _ => None,
    });
    let acked = acked.max().unwrap_or(0);
    let router = router();
    for one in acts {
        if !matches!(one, Act::Route(lsn, _) if *lsn > acked) {
            act(&router, one).unwrap();
        }
    }
    router
}

/// Nothing happens in the background, and files are short, so that there are many. Indexes are stored
/// of every snapshot.
pub fn options() -> Options {
    Options {
        journal_file_bytes: 600,
        fold_above_bytes: None,
        indexes_above: Some(0),
        ..Options::default()
    }
}

/// How many histories of a kind to try: more with `SHAPE_ROUTER_LONG=1`.
pub fn histories(normal: u64) -> u64 {
    if std::env::var_os("SHAPE_ROUTER_LONG").is_some() { normal * 20 } else { normal }
}

pub fn relation(columns: &[(&str, u32)]) -> Relation {
    let column = |&(name, type_oid): &(&str, u32)| shape_router::RelationColumn {
        name: name.to_owned(),
        type_oid,
        typmod: -1,
        key: name == "id",
    };
    Relation {
        oid: 5,
        schema: "public".to_owned(),
        table: "t".to_owned(),
        replica_identity: Some(b'd'),
        columns: columns.iter().map(column).collect(),
    }
}
