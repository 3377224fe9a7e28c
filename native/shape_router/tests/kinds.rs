//! Random clauses of every kind that an index can hold, against evaluating each of them: what is true
//! is routed, and nothing is that is neither true nor raises nor depends on what is unknown.
#![allow(clippy::unwrap_used)]

mod common;

use common::in_parts;
use lane_index::storage::simulation::SimStorage;
use proptest::prelude::*;
use shape_expr::{Column, Compiler, Datum, Options, Predicate, Row, RowSource, Schema, Vm};
use shape_router::{Change, Config, KeyParts, Keys, Op, RouteOptions, Router, ShapeSpec};
use shape_router::{Class, Transaction};
use std::collections::BTreeMap;
use std::sync::Arc;

const COLUMNS: &[(&str, &str)] = &[
    ("id", "int8"),
    ("n", "int4"),
    ("f", "float8"),
    ("q", "numeric"),
    ("s", "text"),
    ("c", "char(4)"),
    ("tags", "text[]"),
    ("nums", "int4[]"),
    ("j", "jsonb"),
    ("ok", "bool"),
    ("ts", "timestamp"),
];

/// The columns in an order of their own.
fn schema(order: &[usize]) -> Schema {
    let column = |&at: &usize| Column::new(COLUMNS[at].0, COLUMNS[at].1.parse().unwrap());
    Schema::new("t", order.iter().map(column).collect()).unwrap()
}

/// What a change carries of a column: `None` is absent, `Some(None)` NULL.
type Cell = Option<Option<String>>;

#[derive(Clone, Debug)]
struct Record(Vec<Cell>);

/// A record whose columns stand in the order of the world's schema.
struct InOrder<'r> {
    record: &'r Record,
    order: &'r [usize],
}

impl RowSource for InOrder<'_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        match self.order.get(column).and_then(|&at| self.record.0.get(at)) {
            None | Some(None) => Datum::Absent,
            Some(Some(None)) => Datum::Null,
            Some(Some(Some(text))) => Datum::Text(text.as_bytes()),
        }
    }
}

fn cell(value: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Cell> {
    prop_oneof![
        10 => value.prop_map(|text| Some(Some(text))),
        2 => Just(Some(None)),
        1 => Just(None),
        1 => Just(Some(Some("{\"unreadable".to_owned()))),
    ]
    .boxed()
}

fn list(item: &'static str, least: usize) -> BoxedStrategy<String> {
    let items = proptest::collection::vec(item, least..5);
    items.prop_map(|items| format!("{{{}}}", items.join(","))).boxed()
}

fn json() -> BoxedStrategy<String> {
    let scalar = || "[0-2]|true|null|\"[abk]\"|2\\.0";
    prop_oneof![
        scalar(),
        proptest::collection::vec(scalar(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
        (scalar(), scalar()).prop_map(|(a, b)| format!("{{\"k\":{a},\"a\":{b}}}")),
        (scalar(), scalar()).prop_map(|(a, b)| format!("{{\"k\":[{a},{{\"a\":{b}}}]}}")),
    ]
    .boxed()
}

fn record() -> impl Strategy<Value = Record> {
    let rest = (
        cell("-?[0-5]"),
        cell("-?[0-5]|[0-2]\\.5|NaN|Infinity|-0"),
        cell("-?[0-5](\\.[05]{1,2})?|NaN|1e30"),
        cell("[abAB]{0,9}"),
        cell("[ab]{0,2} {0,2}"),
        cell(list("[a-f]|NULL", 0)),
        cell(list("[0-5]|NULL", 0)),
        cell(json()),
        cell("[tf]"),
        cell("2024-01-0[1-5] 00:00:00|infinity"),
    );
    rest.prop_map(|(n, f, q, s, c, tags, nums, j, ok, ts)| {
        Record(vec![Some(Some("1".into())), n, f, q, s, c, tags, nums, j, ok, ts])
    })
}

fn atom() -> BoxedStrategy<String> {
    let order = || proptest::sample::select(&["<", "<=", ">", ">=", "="][..]);
    prop_oneof![
        2 => (prop_oneof![Just("n"), Just("id")], order(), "-?[0-5]").prop_map(|(c, o, k)| format!("{c} {o} {k}")),
        2 => (prop_oneof![Just("f"), Just("q")], order(), "-?[0-5](\\.5)?").prop_map(|(c, o, k)| format!("{c} {o} {k}")),
        1 => ("[0-3]", "[0-5]").prop_map(|(a, b)| format!("n BETWEEN {a} AND {b}")),
        1 => ("[0-3]", "[0-5]").prop_map(|(a, b)| format!("q >= {a} AND q < {b}.5")),
        1 => (order(), "[1-5]").prop_map(|(o, d)| format!("ts {o} '2024-01-0{d}'")),
        2 => "[0-5]".prop_map(|k| format!("n IN ({k}, 2)")),
        2 => (order(), "[abAB]{0,4}").prop_map(|(o, t)| format!("s COLLATE \"C\" {o} '{t}'")),
        3 => "[ab]{1,5}".prop_map(|t| format!("s LIKE '{t}%'")),
        1 => "[ab]{1,3}".prop_map(|t| format!("s ^@ '{t}'")),
        6 => "[abAB]{1,6}".prop_map(|t| format!("s LIKE '%{t}%'")),
        4 => "[abAB]{1,5}".prop_map(|t| format!("s ILIKE '%{t}_%'")),
        1 => "[ab]{1,3}".prop_map(|t| format!("s ~ '{t}'")),
        1 => "[ab]{0,2} ?".prop_map(|t| format!("c = '{t}'")),
        1 => "[ab]{1,2}".prop_map(|t| format!("c LIKE '{t}%'")),
        3 => list("[a-f]", 0).prop_map(|l| format!("tags @> '{l}'")),
        1 => list("[a-f]", 1).prop_map(|l| format!("tags && '{l}'")),
        1 => "[a-f]".prop_map(|t| format!("'{t}' = ANY (tags)")),
        1 => list("[0-5]", 0).prop_map(|l| format!("nums @> '{l}'")),
        3 => json().prop_map(|j| format!("j @> '{j}'")),
        1 => "[abk]".prop_map(|k| format!("j ? '{k}'")),
        1 => "[abk012]".prop_map(|v| format!("j ->> 'k' = '{v}'")),
        1 => Just("ok".to_owned()),
        1 => proptest::sample::select(&["n", "s", "tags", "j", "ok"][..]).prop_map(|c| format!("{c} IS NULL")),
        1 => "[1-4]".prop_map(|k| format!("length(s) > {k}")),
        1 => Just("10 / n > 2".to_owned()),
    ]
    .boxed()
}

fn clause() -> BoxedStrategy<String> {
    let two = (atom(), atom());
    let three = (atom(), atom(), atom());
    prop_oneof![
        6 => atom(),
        3 => two.clone().prop_map(|(a, b)| format!("({a}) AND ({b})")),
        2 => two.prop_map(|(a, b)| format!("({a}) OR ({b})")),
        1 => three.clone().prop_map(|(a, b, c)| format!("(({a}) OR ({b})) AND ({c})")),
        1 => three.prop_map(|(a, b, c)| format!("({a}) OR (({b}) AND ({c}))")),
        1 => atom().prop_map(|a| format!("NOT ({a})")),
    ]
    .boxed()
}

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<String>),
    /// The same clause, so often that its conditions are no longer selective.
    Crowd(String, u8),
    Remove(usize),
    Rebuild,
    /// Close and open again a router that has a directory; with its journal folded, and so the indexes
    /// stored, or without.
    Reopen(bool),
    Insert(Record, u64),
    Update(Record, Record),
    Transact(Record),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(clause(), 1..40).prop_map(Step::Add),
        1 => (atom(), 10u8..60).prop_map(|(clause, times)| Step::Crowd(clause, times)),
        6 => (0usize..10_000).prop_map(Step::Remove),
        1 => Just(Step::Rebuild),
        2 => any::<bool>().prop_map(Step::Reopen),
        4 => (record(), prop_oneof![Just(1u64), Just(100), Just(u64::MAX)])
            .prop_map(|(record, units)| Step::Insert(record, units)),
        3 => (record(), record()).prop_map(|(old, new)| Step::Update(old, new)),
        2 => record().prop_map(Step::Transact),
    ]
}

/// What must be told of a row, and what may be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    True,
    No,
    Unknown,
    Raises,
}

fn says(predicate: &Predicate, schema: &Schema, record: &dyn RowSource) -> Says {
    let arena = bumpalo::Bump::new();
    let row = Row::new(&arena, schema, record);
    match predicate.eval(&row, &mut Vm::default()) {
        Ok(truth) if truth.is_true() => Says::True,
        Ok(truth) if truth.may_be_true() => Says::Unknown,
        Ok(_) => Says::No,
        Err(_) => Says::Raises,
    }
}

fn open(config: &Config, disk: &SimStorage) -> Router {
    let options = shape_router::catalogue::Options {
        fold_above_bytes: None,
        indexes_above: Some(0),
        ..Default::default()
    };
    Router::open_in(config.clone(), Arc::new(disk.clone()), options).unwrap()
}

struct World {
    router: Router,
    /// Where the router lies, if it is not in memory.
    disk: Option<SimStorage>,
    config: Config,
    order: Vec<usize>,
    schema: Schema,
    compiler: Compiler,
    shapes: BTreeMap<u64, (String, Predicate)>,
    next: u64,
    lsn: u64,
}

impl World {
    /// `lanes`: indexes lie in lane indexes from their first entry on, not in a list.
    fn new(order: Vec<usize>, lanes: bool, durable: bool) -> Self {
        let schema = schema(&order);
        let mut config = Config { primary_key: vec!["id".into()], ..Config::new(schema.clone()) };
        if lanes {
            config.short_list = 0;
        }
        let disk = durable.then(SimStorage::new);
        Self {
            router: match &disk {
                None => Router::new(config.clone()).unwrap(),
                Some(disk) => open(&config, disk),
            },
            disk,
            config,
            order,
            schema,
            compiler: Compiler::new(Options::default()).unwrap(),
            shapes: BTreeMap::new(),
            next: 1,
            lsn: 10,
        }
    }

    fn reopen(&mut self, fold: bool) {
        let Some(disk) = &self.disk else { return };
        if fold {
            self.router.fold().unwrap();
        }
        let stored = self.router.metrics().index_bytes > 0;
        let none = self.shapes.is_empty();
        assert!(stored || !fold || none, "indexes are stored with each fold that has shapes");
        self.router.close().unwrap();
        self.router = open(&self.config, disk);
        let metrics = self.router.metrics();
        assert_eq!((metrics.open_loaded, metrics.open_refused), (u64::from(stored), 0));
    }

    fn add(&mut self, clauses: &[String]) {
        let specs: Vec<_> = clauses.iter().zip(self.next..).collect();
        let specs: Vec<ShapeSpec<'_>> = specs
            .iter()
            .map(|(clause, id)| ShapeSpec {
                keys: if id % 2 == 0 { Keys::Known(vec![]) } else { Keys::Unknown },
                ..ShapeSpec::new(*id, Some(clause.as_str()))
            })
            .collect();
        self.router.add_shapes(specs).unwrap();
        for clause in clauses {
            let compiled = self.compiler.compile(clause, &self.schema, &[]).unwrap();
            self.shapes.insert(self.next, (clause.clone(), compiled.predicate));
            self.next += 1;
        }
    }

    /// Checks an answer against what each clause says of these rows.
    fn check(&self, ids: &[u64], records: &[&Record]) -> Result<(), TestCaseError> {
        prop_assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        for (id, (clause, predicate)) in &self.shapes {
            let said: Vec<Says> =
                records.iter().map(|r| says(predicate, &self.schema, &self.row(r))).collect();
            let routed = ids.binary_search(id).is_ok();
            // Of an old row that leaves it open, a known membership tells: it was not in the shape.
            let known = id % 2 == 0;
            let open = match said[..] {
                [old, new] => new == Says::Unknown || old == Says::Unknown && !known,
                _ => said.contains(&Says::Unknown),
            };
            let must = open || said.contains(&Says::True);
            let may = must || said.iter().any(|s| matches!(s, Says::Raises | Says::Unknown));
            prop_assert!(
                routed && may || !routed && !must,
                "shape {} {:?}: {:?} for {:?}, filed {:?}",
                id,
                clause,
                said,
                records,
                self.router.explain(*id)
            );
        }
        prop_assert!(ids.iter().all(|id| self.shapes.contains_key(id)));
        Ok(())
    }

    fn row<'r>(&'r self, record: &'r Record) -> InOrder<'r> {
        InOrder { record, order: &self.order }
    }

    fn route(&self, change: &Change<'_>, units: u64) -> Vec<u64> {
        let (all, _) = in_parts(units, |scratch, budget, cursor| {
            self.router.route(change, RouteOptions::default(), scratch, budget, cursor).unwrap()
        });
        all.into_iter().map(|r| r.id).collect()
    }
}

fn run(steps: &[Step], order: Vec<usize>, lanes: bool, durable: bool) -> Result<(), TestCaseError> {
    let mut world = World::new(order, lanes, durable);
    for step in steps {
        match step {
            Step::Add(clauses) => world.add(clauses),
            Step::Crowd(clause, times) => {
                // One by one, as subscribers come.
                for _ in 0..*times {
                    world.add(std::slice::from_ref(clause));
                }
            }
            Step::Remove(which) => {
                let count = world.shapes.len().max(1);
                let gone: Vec<u64> =
                    world.shapes.keys().copied().skip(which % count).take(which % 7).collect();
                for id in gone {
                    world.router.remove_shape(id).unwrap();
                    world.shapes.remove(&id);
                }
            }
            Step::Rebuild => world.router.rebuild().unwrap(),
            Step::Reopen(fold) => world.reopen(*fold),
            Step::Insert(record, units) => {
                let row = world.row(record);
                let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
                world.check(&world.route(&change, *units), &[record])?;
            }
            Step::Update(old, new) => {
                let rows = (world.row(old), world.row(new));
                let change =
                    Change { new: Some(&rows.1), old: Some(&rows.0), ..Change::new(Op::Update) };
                let ids = world.route(&change, u64::MAX);
                // What the new row leaves out is as the old one has it.
                let merged = old.0.iter().zip(&new.0).map(|(o, n)| n.clone().or(o.clone()));
                world.check(&ids, &[old, &Record(merged.collect())])?;
            }
            Step::Transact(record) => {
                world.lsn += 1;
                let key = KeyParts::one(Datum::Int(1));
                let row = world.row(record);
                let new = Change { new: Some(&row), key: Some(key), ..Change::new(Op::Insert) };
                let changes = [new];
                let transaction = Transaction::at(world.lsn);
                let answers = common::txn(&world.router, transaction, &changes, 1000);
                let routed = |class: &Class| matches!(class, Class::Insert | Class::Unknown);
                prop_assert!(answers[0].iter().all(|(_, class)| routed(class)));
                let ids: Vec<u64> = answers[0].iter().map(|(id, _)| *id).collect();
                world.check(&ids, &[record])?;
            }
        }
    }
    // What is filed under its old and its new place, or nowhere, would show here.
    world.router.rebuild().unwrap();
    let unknown = Record(Vec::new());
    let row = InOrder { record: &unknown, order: &[] };
    let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
    world.check(&world.route(&change, u64::MAX), &[&unknown])?;
    for id in world.shapes.keys() {
        world.router.remove_shape(*id).unwrap();
    }
    let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
    prop_assert!(world.route(&change, u64::MAX).is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(
        std::env::var("SHAPE_ROUTER_LAW_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
    ) })]

    #[test]
    fn every_kind_of_index_obeys_the_law(
        steps in proptest::collection::vec(step(), 1..25),
        order in Just((0..COLUMNS.len()).collect::<Vec<_>>()).prop_shuffle(),
        lanes in any::<bool>(),
        durable in any::<bool>(),
    ) {
        run(&steps, order, lanes, durable)?;
    }
}
