//! A table, its changes, and two ways to tell them: as pgoutput's bytes, written here after
//! PostgreSQL's documentation of the format, and as changes in memory.

// Each file of tests uses its part of this.
#![allow(dead_code)]

use proptest::prelude::*;
use shape_expr::{Column, Datum, RowSource, Schema};
use shape_router::{
    Budget, Change, Config, KeyParts, Op, Relation, RelationColumn, RouteOptions, Routed, Router,
    Scratch,
};

pub const OID: u32 = 16_385;
/// The columns that the router knows; the first is the key.
pub const COLUMNS: [(&str, &str, u32); 5] = [
    ("id", "int8", 20),
    ("user_id", "int4", 23),
    ("status", "text", 25),
    ("body", "text", 25),
    ("done", "bool", 16),
];
pub const CLAUSES: [Option<&str>; 11] = [
    None,
    Some("user_id = 1"),
    Some("user_id = 2 AND status = 'a'"),
    Some("user_id IN (0, 2)"),
    Some("status LIKE 'a%'"),
    Some("body IS NULL"),
    Some("length(body) > 2"),
    Some("id > 2"),
    Some("done OR body = 'abc'"),
    Some("status IS DISTINCT FROM 'b'"),
    Some("id = 1 AND user_id = 1"),
];

#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    Null,
    Toast,
    Text(String),
    Binary(Vec<u8>),
}

/// Values of [`COLUMNS`].
pub type Row = Vec<Val>;

#[derive(Clone, Debug)]
pub enum Old {
    Nothing,
    Key(Row),
    Full(Row),
}

#[derive(Clone, Debug)]
pub enum Step {
    Insert(Row),
    Update(Old, Row),
    Delete(Old),
    Truncate,
    Relation(Table),
    /// Another table's rows, logical messages and the like.
    Noise(u8),
}

/// The table as a Relation message tells it.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: &'static str,
    pub full: bool,
    /// Which of [`COLUMNS`] it has, in which order; 9 is one that the router does not know.
    pub order: Vec<usize>,
}

impl Table {
    pub fn plain() -> Self {
        Self { name: "todos", full: false, order: vec![0, 1, 2, 3, 4] }
    }
}

pub fn router() -> Router {
    let columns = COLUMNS.map(|(name, ty, _)| Column::new(name, ty.parse().expect("a type")));
    let schema = Schema::new("todos", columns.to_vec()).expect("a schema");
    let config = Config { primary_key: vec!["id".into()], ..Config::new(schema) };
    Router::new(config).expect("a router")
}

fn value(column: usize) -> BoxedStrategy<Val> {
    let text = |texts: &'static [&'static str]| {
        proptest::sample::select(texts).prop_map(|t| Val::Text(t.into())).boxed()
    };
    let int4 = (0i32..4).prop_map(|i| Val::Binary(i.to_be_bytes().to_vec()));
    match column {
        0 => prop_oneof![
            (0i64..5).prop_map(|i| Val::Text(i.to_string())),
            (0i64..5).prop_map(|i| Val::Binary(i.to_be_bytes().to_vec())),
        ]
        .boxed(),
        1 => prop_oneof![2 => text(&["0", "1", "2", "no number"]), 1 => int4, 1 => Just(Val::Null)]
            .boxed(),
        2 => prop_oneof![4 => text(&["a", "ab", "b", ""]), 1 => Just(Val::Null)].boxed(),
        3 => prop_oneof![2 => text(&["abc", "x", "xyz"]), 1 => Just(Val::Null), 1 => Just(Val::Toast)]
            .boxed(),
        _ => prop_oneof![2 => text(&["t", "f"]), 1 => Just(Val::Binary(vec![1]))].boxed(),
    }
}

pub fn row() -> impl Strategy<Value = Row> {
    (value(0), value(1), value(2), value(3), value(4))
        .prop_map(|(a, b, c, d, e)| vec![a, b, c, d, e])
}

fn old() -> impl Strategy<Value = Old> {
    prop_oneof![row().prop_map(Old::Key), row().prop_map(Old::Full)]
}

fn table() -> impl Strategy<Value = Table> {
    let columns = vec![0usize, 1, 2, 3, 4, 9];
    (any::<bool>(), Just(columns).prop_shuffle(), proptest::option::weighted(0.3, 1usize..5))
        .prop_map(|(full, mut order, dropped)| {
            order.retain(|c| Some(*c) != dropped);
            Table { name: "todos", full, order }
        })
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => row().prop_map(Step::Insert),
        6 => (prop_oneof![Just(Old::Nothing), old()], row()).prop_map(|(old, new)| Step::Update(old, new)),
        4 => old().prop_map(Step::Delete),
        1 => Just(Step::Truncate),
        1 => table().prop_map(Step::Relation),
        2 => (0u8..4).prop_map(Step::Noise),
    ]
}

// As bytes.

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

pub fn relation(table: &Table, oid: u32, xid: Option<u32>) -> Vec<u8> {
    let mut out = vec![b'R'];
    out.extend(xid.iter().flat_map(|xid| xid.to_be_bytes()));
    out.extend(oid.to_be_bytes());
    text(&mut out, "public");
    text(&mut out, table.name);
    out.push(if table.full { b'f' } else { b'd' });
    out.extend((table.order.len() as u16).to_be_bytes());
    for &column in &table.order {
        let (name, _, type_oid) = COLUMNS.get(column).copied().unwrap_or(("unheard_of", "", 600));
        out.push(u8::from(table.full || column == 0));
        text(&mut out, name);
        out.extend(type_oid.to_be_bytes());
        out.extend((-1i32).to_be_bytes());
    }
    out
}

fn tuple(out: &mut Vec<u8>, table: &Table, row: &Row, key_only: bool) {
    out.extend((table.order.len() as u16).to_be_bytes());
    for &column in &table.order {
        match row.get(column) {
            _ if key_only && column != 0 => out.push(b'n'),
            None | Some(Val::Null) => out.push(b'n'),
            Some(Val::Toast) => out.push(b'u'),
            Some(Val::Text(text)) => {
                out.push(b't');
                out.extend((text.len() as u32).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Some(Val::Binary(bytes)) => {
                out.push(b'b');
                out.extend((bytes.len() as u32).to_be_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
}

fn old_tuple(out: &mut Vec<u8>, table: &Table, old: &Old) {
    match old {
        Old::Nothing => {}
        Old::Key(row) => {
            out.push(b'K');
            tuple(out, table, row, true);
        }
        Old::Full(row) => {
            out.push(b'O');
            tuple(out, table, row, false);
        }
    }
}

pub fn encode(step: &Step, table: &Table, xid: Option<u32>) -> Vec<u8> {
    let head = |tag: u8| {
        let mut out = vec![tag];
        out.extend(xid.iter().flat_map(|xid| xid.to_be_bytes()));
        out
    };
    let mut out;
    match step {
        Step::Insert(new) => {
            out = head(b'I');
            out.extend(OID.to_be_bytes());
            out.push(b'N');
            tuple(&mut out, table, new, false);
        }
        Step::Update(old, new) => {
            out = head(b'U');
            out.extend(OID.to_be_bytes());
            old_tuple(&mut out, table, old);
            out.push(b'N');
            tuple(&mut out, table, new, false);
        }
        Step::Delete(old) => {
            out = head(b'D');
            out.extend(OID.to_be_bytes());
            old_tuple(&mut out, table, old);
        }
        Step::Truncate => {
            out = head(b'T');
            out.extend(2u32.to_be_bytes());
            out.push(0);
            out.extend(77u32.to_be_bytes());
            out.extend(OID.to_be_bytes());
        }
        Step::Relation(table) => return relation(table, OID, xid),
        Step::Noise(0) => {
            out = head(b'I');
            out.extend(77u32.to_be_bytes());
            out.push(b'N');
            out.extend([0, 1, b't', 0, 0, 0, 1, b'1']);
        }
        Step::Noise(1) => {
            out = head(b'M');
            out.push(1);
            out.extend(9u64.to_be_bytes());
            text(&mut out, "prefix");
            out.extend([0, 0, 0, 1, b'x']);
        }
        Step::Noise(2) => {
            out = head(b'Y');
            out.extend(88u32.to_be_bytes());
            text(&mut out, "public");
            text(&mut out, "mood");
        }
        Step::Noise(_) => {
            out = vec![b'O'];
            out.extend(9u64.to_be_bytes());
            text(&mut out, "elsewhere");
        }
    }
    out
}

/// A table beside the routed one.
pub fn other_table() -> Vec<u8> {
    relation(&Table { name: "others", full: false, order: vec![0] }, 77, None)
}

// As changes.

struct Known<'r> {
    row: &'r Row,
    table: &'r Table,
}

impl RowSource for Known<'_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        if !self.table.order.contains(&column) {
            return Datum::Absent;
        }
        match (&self.row[column], column) {
            (Val::Null, _) => Datum::Null,
            (Val::Toast, _) => Datum::Absent,
            (Val::Text(text), _) => Datum::Text(text.as_bytes()),
            (Val::Binary(b), 0) => Datum::Int(i64::from_be_bytes(b[..].try_into().expect("8"))),
            (Val::Binary(b), 1) => {
                Datum::Int(i32::from_be_bytes(b[..].try_into().expect("4")).into())
            }
            (Val::Binary(b), _) => Datum::Bool(b[0] == 1),
        }
    }
}

/// Answers a step as a change in memory; `None` for what concerns no row of the table.
pub fn direct<R>(step: &Step, table: &Table, answer: impl FnOnce(&Change<'_>) -> R) -> Option<R> {
    let known = |row| Known { row, table };
    let (new, old);
    let mut change = Change::new(Op::Insert);
    let told;
    match step {
        Step::Insert(row) => {
            new = known(row);
            change.new = Some(&new);
        }
        Step::Update(before, row) => {
            change.op = Op::Update;
            new = known(row);
            change.new = Some(&new);
            match before {
                // Under FULL the marks say nothing of the key, so silence says nothing either.
                Old::Nothing if table.full => {
                    change.old_key = Some(KeyParts::one(Datum::Absent));
                }
                Old::Nothing => {}
                Old::Key(row) => {
                    old = known(row);
                    change.old_key = Some(KeyParts::one(old.datum(0)));
                }
                Old::Full(row) => {
                    old = known(row);
                    change.old = Some(&old);
                }
            }
        }
        Step::Delete(before) => {
            change.op = Op::Delete;
            match before {
                Old::Nothing => return None,
                Old::Key(row) => {
                    old = known(row);
                    change.old_key = Some(KeyParts::one(old.datum(0)));
                }
                Old::Full(row) => {
                    old = known(row);
                    change.old = Some(&old);
                }
            }
        }
        Step::Truncate => change.op = Op::Truncate,
        Step::Relation(table) => {
            change.op = Op::Relation;
            told = definition(table);
            change.relation = Some(&told);
        }
        Step::Noise(_) => return None,
    }
    Some(answer(&change))
}

pub fn definition(table: &Table) -> Relation {
    let column = |&c: &usize| {
        let (name, _, type_oid) = COLUMNS.get(c).copied().unwrap_or(("unheard_of", "", 600));
        RelationColumn { name: name.into(), type_oid, typmod: -1, key: table.full || c == 0 }
    };
    Relation {
        oid: OID,
        schema: "public".into(),
        table: table.name.into(),
        replica_identity: Some(if table.full { b'f' } else { b'd' }),
        columns: table.order.iter().map(column).collect(),
    }
}

/// What a router answers, classified.
pub fn route(router: &Router, change: &Change<'_>) -> Vec<Routed> {
    let mut scratch = Scratch::default();
    let options = RouteOptions { classify: true, ..RouteOptions::default() };
    let mut budget = Budget::unlimited();
    router.route(change, options, &mut scratch, &mut budget, None).expect("an answer");
    scratch.routed().to_vec()
}
