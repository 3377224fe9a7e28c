//! A table (id, x, y) and clauses over sets, with an evaluator of their own: what every test compares
//! with.
#![allow(dead_code, clippy::unwrap_used)]

use proptest::prelude::*;
use shape_expr::{Column, Datum, RowSource, Schema};
use shape_router::{
    Budget, Change, Class, Config, Move, MoveKind, Moves, Op, Progress, Routed, Router, Scratch,
    SetRow, ShapeSpec, Transaction,
};
use std::collections::{BTreeMap, BTreeSet};

pub type Value = Option<i64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: i64,
    pub x: Value,
    pub y: Value,
}

impl RowSource for Row {
    fn datum(&self, column: usize) -> Datum<'_> {
        let value = match column {
            0 => Some(self.id),
            1 => self.x,
            _ => self.y,
        };
        value.map_or(Datum::Null, Datum::Int)
    }
}

pub fn config() -> Config {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap());
    let columns = vec![column("id", "int8"), column("x", "int4"), column("y", "int8")];
    let primary_key = vec!["id".into()];
    Config { primary_key, ..Config::new(Schema::new("t", columns).unwrap()) }
}

/// How many sets of one column there are, and of two.
pub const SINGLES: usize = 3;
pub const PAIRS: usize = 2;

/// The subquery of a set.
pub fn subquery(set: usize) -> String {
    match set < SINGLES {
        true => format!("SELECT v FROM s{set}"),
        false => format!("SELECT v, w FROM s{set}"),
    }
}

/// A clause.
#[derive(Clone, Debug)]
pub enum Clause {
    /// `x IN (set)`, of a column or what is computed of it.
    Member {
        left: Left,
        set: usize,
        negated: bool,
    },
    Equal(char, i64),
    IsNull(char),
    Not(Box<Clause>),
    IsTrue(Box<Clause>, bool),
    And(Vec<Clause>),
    Or(Vec<Clause>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    X,
    Y,
    Next,
    Both,
}

impl Left {
    pub fn of(self, row: &Row) -> Vec<Value> {
        match self {
            Left::X => vec![row.x],
            Left::Y => vec![row.y],
            Left::Next => vec![row.y.map(|y| y + 1)],
            Left::Both => vec![row.x, row.y],
        }
    }
}

impl Clause {
    pub fn sql(&self) -> String {
        let join = |all: &[Clause], word: &str| {
            let all: Vec<String> = all.iter().map(|c| format!("({})", c.sql())).collect();
            all.join(word)
        };
        match self {
            Clause::Member { left, set, negated } => {
                let left = match left {
                    Left::X => "x",
                    Left::Y => "y",
                    Left::Next => "y + 1",
                    Left::Both => "(x, y)",
                };
                let word = if *negated { "NOT IN" } else { "IN" };
                format!("{left} {word} ({})", subquery(*set))
            }
            Clause::Equal(column, value) => format!("{column} = {value}"),
            Clause::IsNull(column) => format!("{column} IS NULL"),
            Clause::Not(inner) => format!("NOT ({})", inner.sql()),
            Clause::IsTrue(inner, is) => {
                format!("({}) IS {}TRUE", inner.sql(), if *is { "" } else { "NOT " })
            }
            Clause::And(all) => join(all, " AND "),
            Clause::Or(all) => join(all, " OR "),
        }
    }

    pub fn eval(&self, row: &Row, sets: &Sets) -> Option<bool> {
        let column = |name: char| if name == 'x' { row.x } else { row.y };
        match self {
            Clause::Member { left, set, negated } => {
                let is_in = sets.contains(*set, &left.of(row));
                is_in.map(|is_in| is_in != *negated)
            }
            Clause::Equal(name, value) => column(*name).map(|v| v == *value),
            Clause::IsNull(name) => Some(column(*name).is_none()),
            Clause::Not(inner) => inner.eval(row, sets).map(|b| !b),
            Clause::IsTrue(inner, is) => Some((inner.eval(row, sets) == Some(true)) == *is),
            Clause::And(all) => fold(all.iter().map(|c| c.eval(row, sets)), false),
            Clause::Or(all) => fold(all.iter().map(|c| c.eval(row, sets)), true),
        }
    }

    pub fn uses(&self, into: &mut Vec<(usize, Left)>) {
        match self {
            Clause::Member { set, left, .. } => into.push((*set, *left)),
            Clause::Equal(..) | Clause::IsNull(_) => {}
            Clause::Not(inner) | Clause::IsTrue(inner, _) => inner.uses(into),
            Clause::And(all) | Clause::Or(all) => all.iter().for_each(|c| c.uses(into)),
        }
    }
}

/// AND, or OR where `strong` is true.
fn fold(all: impl Iterator<Item = Option<bool>>, strong: bool) -> Option<bool> {
    let mut answer = Some(!strong);
    for one in all {
        match one {
            Some(b) if b == strong => return Some(strong),
            None => answer = None,
            _ => {}
        }
    }
    answer
}

/// What the sets hold; `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets(pub BTreeMap<usize, BTreeSet<Vec<Value>>>);

impl Sets {
    /// By the book: NULL unless a comparison says otherwise.
    pub fn contains(&self, set: usize, left: &[Value]) -> Option<bool> {
        let rows = self.0.get(&set).into_iter().flatten();
        let compare = |row: &Vec<Value>| {
            let pairs = row.iter().zip(left);
            fold(pairs.map(|(a, b)| Some((*a)? == (*b)?)), false)
        };
        fold(rows.map(compare), true)
    }
}

pub fn set_row(row: &[Value]) -> SetRow<'static> {
    row.iter().map(|value| value.map_or(Datum::Null, Datum::Int)).collect()
}

pub fn set_rows(rows: &[Vec<Value>]) -> Vec<SetRow<'static>> {
    rows.iter().map(|row| set_row(row)).collect()
}

pub fn seed(router: &Router, set: usize, rows: &[Vec<Value>]) {
    router.seed_values(&subquery(set), &set_rows(rows)).unwrap();
}

pub fn add(router: &Router, id: u64, clause: &str) {
    router.add_shape(ShapeSpec::new(id, Some(clause))).unwrap();
}

pub fn insert(row: &Row) -> Change<'_> {
    Change { new: Some(row), ..Change::new(Op::Insert) }
}

/// What a change is routed to, classified, by what is acknowledged.
pub fn route(router: &Router, change: &Change<'_>) -> Vec<(u64, Class)> {
    let options = shape_router::RouteOptions { classify: true, ..Default::default() };
    whole(|scratch| router.route(change, options, scratch, &mut Budget::unlimited(), None).unwrap())
}

pub fn route_txn(
    router: &Router,
    transaction: Transaction,
    index: usize,
    change: &Change<'_>,
) -> Vec<(u64, Class)> {
    whole(|scratch| {
        router
            .route_txn(transaction, index, change, scratch, &mut Budget::unlimited(), None)
            .unwrap()
    })
}

fn whole(call: impl Fn(&mut Scratch) -> Progress) -> Vec<(u64, Class)> {
    let mut scratch = Scratch::default();
    assert!(matches!(call(&mut scratch), Progress::Done));
    scratch.routed().iter().map(|Routed { id, class }| (*id, *class)).collect()
}

/// One of a shape's moves, its values written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub id: u64,
    pub kind: MoveKind,
    /// `None`: all rows.
    pub values: Option<Vec<Vec<Value>>>,
}

pub fn written(moves: &Moves, added: &[Vec<Value>], removed: &[Vec<Value>]) -> Vec<Moved> {
    let rows: Vec<&Vec<Value>> = added.iter().chain(removed).collect();
    let value = |moved: &shape_router::MovedValue| {
        let row = rows[moved.row as usize].iter().enumerate();
        row.map(|(at, v)| v.filter(|_| moved.columns & 1 << at != 0)).collect()
    };
    let list = |at: usize| moves.lists[at].iter().map(value).collect();
    let one = |m: &Move| Moved { id: m.id, kind: m.kind, values: m.list.map(list) };
    moves.moves.iter().map(one).collect()
}

pub fn value() -> impl Strategy<Value = Value> {
    prop_oneof![6 => (0i64..4).prop_map(Some), 1 => Just(None)]
}

pub fn row() -> impl Strategy<Value = Row> {
    (0i64..6, value(), value()).prop_map(|(id, x, y)| Row { id, x, y })
}

pub fn rows_of(set: usize, most: usize) -> BoxedStrategy<Vec<Vec<Value>>> {
    let columns = if set < SINGLES { 1 } else { 2 };
    prop::collection::vec(prop::collection::vec(value(), columns), 0..=most).boxed()
}

pub fn member() -> impl Strategy<Value = Clause> {
    let one = (prop_oneof![Just(Left::X), Just(Left::Y), Just(Left::Next)], 0..SINGLES);
    let two = (Just(Left::Both), SINGLES..SINGLES + PAIRS);
    (prop_oneof![3 => one.boxed(), 1 => two.boxed()], any::<bool>())
        .prop_map(|((left, set), negated)| Clause::Member { left, set, negated })
}

pub fn clause() -> impl Strategy<Value = Clause> {
    let column = prop_oneof![Just('x'), Just('y')];
    let leaf = prop_oneof![
        4 => member().boxed(),
        1 => (column.clone(), 0i64..4).prop_map(|(c, v)| Clause::Equal(c, v)).boxed(),
        1 => column.prop_map(Clause::IsNull).boxed(),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|c| Clause::Not(Box::new(c))),
            1 => (inner.clone(), any::<bool>()).prop_map(|(c, is)| Clause::IsTrue(Box::new(c), is)),
            2 => prop::collection::vec(inner.clone(), 2..=3).prop_map(Clause::And),
            2 => prop::collection::vec(inner, 2..=3).prop_map(Clause::Or),
        ]
    })
}

/// All rows of the small world.
pub fn world() -> Vec<Row> {
    let values: Vec<Value> = (0..5).map(Some).chain([None]).collect();
    let pairs = values.iter().flat_map(|x| values.iter().map(move |y| (*x, *y)));
    pairs.map(|(x, y)| Row { id: 0, x, y }).collect()
}
