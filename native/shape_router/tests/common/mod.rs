//! A table in memory, and the clauses that its shapes are made of.
#![allow(dead_code, clippy::unwrap_used)]

use shape_expr::{Column, ColumnType, Compiler, Datum, Options, Row, RowSource, Schema, Vm};
use shape_router::{Budget, Config, Cursor, Progress, RouteOptions, Routed};
use shape_router::{Change, Class, KeyParts, Op, Router, Scratch, Transaction};

/// A row of the table (id int8, a int8, b text); `None` is NULL.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: i64,
    pub a: Option<i64>,
    pub b: Option<String>,
}

/// What a change carries of a row.
#[derive(Clone, Debug)]
pub struct Carried {
    pub record: Record,
    /// Which columns are in it: id, a, b.
    pub has: [bool; 3],
}

impl Carried {
    pub fn whole(record: &Record) -> Self {
        Self { record: record.clone(), has: [true; 3] }
    }
}

impl RowSource for Carried {
    fn datum(&self, column: usize) -> Datum<'_> {
        if !self.has.get(column).copied().unwrap_or(false) {
            return Datum::Absent;
        }
        match column {
            0 => Datum::Int(self.record.id),
            1 => self.record.a.map_or(Datum::Null, Datum::Int),
            _ => self.record.b.as_ref().map_or(Datum::Null, |b| Datum::Text(b.as_bytes())),
        }
    }
}

pub fn schema() -> Schema {
    let column = |name: &str, ty: &str| Column {
        name: name.into(),
        ty: Some(ty.parse::<ColumnType>().unwrap()),
    };
    Schema::new("t", vec![column("id", "int8"), column("a", "int8"), column("b", "text")]).unwrap()
}

pub fn config() -> Config {
    Config { primary_key: vec!["id".into()], ..Config::new(schema()) }
}

pub fn router() -> Router {
    Router::new(config()).unwrap()
}

pub fn key(id: i64) -> KeyParts<'static> {
    KeyParts::one(Datum::Int(id))
}

/// What a clause says of a row: true, false or null, or that it raises.
pub fn truth(clause: Option<&str>, row: &dyn RowSource) -> Result<shape_expr::Truth, ()> {
    let Some(clause) = clause else { return Ok(shape_expr::Truth::TRUE) };
    let schema = schema();
    let arena = bumpalo::Bump::new();
    let compiled =
        Compiler::new(Options::default()).unwrap().compile(clause, &schema, &[]).unwrap();
    let row = Row::new(&arena, &schema, row);
    compiled.predicate.eval(&row, &mut Vm::new(Default::default())).map_err(|_| ())
}

pub fn holds(clause: Option<&str>, record: &Record) -> bool {
    truth(clause, &Carried::whole(record)).is_ok_and(|t| t.is_true())
}

/// Routes with so many units a call, until the answer is whole.
pub fn in_parts(
    units: u64,
    mut call: impl FnMut(&mut Scratch, &mut Budget, Option<Cursor>) -> Progress,
) -> (Vec<Routed>, usize) {
    let (mut scratch, mut cursor, mut all, mut parts) = (Scratch::default(), None, Vec::new(), 0);
    loop {
        let progress = call(&mut scratch, &mut Budget::new(units), cursor.take());
        let part = scratch.routed();
        assert!(part.is_sorted_by_key(|r| r.id), "a part is ascending");
        all.extend_from_slice(part);
        parts += 1;
        match progress {
            Progress::Done => break,
            Progress::More(next) | Progress::Heavy(next) => cursor = Some(next),
        }
    }
    all.sort();
    (all, parts)
}

/// The ids that a change is routed to.
pub fn ids(router: &Router, change: &Change<'_>) -> Vec<u64> {
    let options = RouteOptions::default();
    let (all, _) = in_parts(u64::MAX, |scratch, budget, cursor| {
        router.route(change, options, scratch, budget, cursor).unwrap()
    });
    all.into_iter().map(|r| r.id).collect()
}

/// The classes that a change is routed with.
pub fn classes(router: &Router, change: &Change<'_>) -> Vec<(u64, Class)> {
    let options = RouteOptions { classify: true, ..RouteOptions::default() };
    let (all, _) = in_parts(u64::MAX, |scratch, budget, cursor| {
        router.route(change, options, scratch, budget, cursor).unwrap()
    });
    all.into_iter().map(|r| (r.id, r.class)).collect()
}

/// Routes a whole transaction, and the classes of each of its changes.
pub fn txn(
    router: &Router,
    transaction: Transaction,
    changes: &[Change<'_>],
    units: u64,
) -> Vec<Vec<(u64, Class)>> {
    router.begin_txn(transaction).unwrap();
    let answers = changes.iter().enumerate().map(|(index, change)| {
        let (all, _) = in_parts(units, |scratch, budget, cursor| {
            router.route_txn(transaction, index, change, scratch, budget, cursor).unwrap()
        });
        all.into_iter().map(|r| (r.id, r.class)).collect()
    });
    let answers = answers.collect();
    router.finish_txn(transaction).unwrap();
    answers
}

pub fn ack(router: &Router, lsn: u64) {
    while !router.ack(lsn, 3).unwrap() {}
}

pub fn insert(new: &Carried) -> Change<'_> {
    Change { new: Some(new), ..Change::new(Op::Insert) }
}
