//! Changes that are routed as a group are answered as each by itself.

use proptest::prelude::*;
use shape_expr::{Column, Datum, Schema};
use shape_router::{
    Budget, Change, Config, KeyParts, Keys, Op, RouteOptions, Routed, Router, Scratch, ShapeSpec,
};

const CLAUSES: [Option<&str>; 7] = [
    None,
    Some("user_id = 1"),
    Some("user_id IN (0, 2) AND status = 'a'"),
    Some("status LIKE '%b%'"),
    Some("user_id > 1"),
    Some("length(status) > 1"),
    Some("1 / user_id > 0"),
];

type Row = (Option<i64>, Option<&'static str>);

#[derive(Clone, Debug)]
enum Told {
    Insert(Row),
    Update(Option<Row>, Row),
    Delete(Row),
    DeleteKey(i64),
    Truncate,
}

fn router(shapes: &[(usize, bool)], copies: u64) -> Router {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().expect("a type"));
    let columns = vec![column("id", "int8"), column("user_id", "int8"), column("status", "text")];
    let schema = Schema::new("todos", columns).expect("a schema");
    let config = Config { primary_key: vec!["id".into()], ..Config::new(schema) };
    let router = Router::new(config).expect("a router");
    for (id, &(clause, known)) in (0..).zip(shapes) {
        for copy in 0..copies {
            let mut spec = ShapeSpec::new(id * copies + copy, CLAUSES[clause]);
            if known {
                spec.keys = Keys::Known(vec![KeyParts::one(Datum::Int(7))]);
            }
            router.add_shape(spec).expect("a shape");
        }
    }
    router
}

fn row() -> impl Strategy<Value = Row> {
    let status = proptest::sample::select(vec!["a", "ab", "b", ""]);
    (proptest::option::of(0i64..4), proptest::option::of(status))
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        4 => row().prop_map(Told::Insert),
        4 => (proptest::option::of(row()), row()).prop_map(|(old, new)| Told::Update(old, new)),
        2 => row().prop_map(Told::Delete),
        1 => (6i64..9).prop_map(Told::DeleteKey),
        1 => Just(Told::Truncate),
    ]
}

fn datums(row: &Row) -> Vec<Datum<'static>> {
    vec![
        Datum::Int(7),
        row.0.map_or(Datum::Null, Datum::Int),
        row.1.map_or(Datum::Null, |text| Datum::Text(text.as_bytes())),
    ]
}

/// The rows that changes refer to, new and old.
fn rows(told: &[Told]) -> Vec<[Option<Vec<Datum<'static>>>; 2]> {
    let rows = |told: &Told| match told {
        Told::Insert(new) => [Some(datums(new)), None],
        Told::Update(old, new) => [Some(datums(new)), old.as_ref().map(datums)],
        Told::Delete(old) => [None, Some(datums(old))],
        Told::DeleteKey(_) | Told::Truncate => [None, None],
    };
    told.iter().map(rows).collect()
}

fn changes<'r>(told: &[Told], rows: &'r [[Option<Vec<Datum<'static>>>; 2]]) -> Vec<Change<'r>> {
    let change = |(told, [new, old]): (&Told, &'r [Option<Vec<Datum<'static>>>; 2])| {
        let op = match told {
            Told::Insert(_) => Op::Insert,
            Told::Update(..) => Op::Update,
            Told::Delete(_) | Told::DeleteKey(_) => Op::Delete,
            Told::Truncate => Op::Truncate,
        };
        let mut change = Change::new(op);
        change.new = new.as_ref().map(|row| row as _);
        change.old = old.as_ref().map(|row| row as _);
        if let Told::DeleteKey(key) = told {
            change.old_key = Some(KeyParts::one(Datum::Int(*key)));
        }
        change
    };
    told.iter().zip(rows).map(change).collect()
}

fn alone(router: &Router, change: &Change<'_>, options: RouteOptions) -> Vec<Routed> {
    let mut scratch = Scratch::default();
    let mut budget = Budget::unlimited();
    router.route(change, options, &mut scratch, &mut budget, None).expect("an answer");
    scratch.routed().to_vec()
}

fn grouped(
    router: &Router,
    changes: &[Change<'_>],
    options: RouteOptions,
    budget: &mut Budget,
) -> Vec<Vec<Routed>> {
    let (mut scratch, mut answers) = (Scratch::default(), Vec::new());
    let count = router
        .route_group(changes, options, &mut scratch, budget, |a| answers.push(a.routed.to_vec()))
        .expect("answers");
    assert_eq!(count, answers.len());
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_group_is_answered_as_its_changes_are(
        shapes in proptest::collection::vec((0..CLAUSES.len(), any::<bool>()), 0..10),
        told in proptest::collection::vec(told(), 0..40),
        copies in prop_oneof![Just(1), Just(80)],
        classify: bool,
    ) {
        let (router, apart) = (router(&shapes, copies), router(&shapes, copies));
        let rows = rows(&told);
        let changes = changes(&told, &rows);
        let options = RouteOptions { classify, ..RouteOptions::default() };
        let expected: Vec<_> = changes.iter().map(|change| alone(&apart, change, options)).collect();
        let mut answers = Vec::new();
        while answers.len() < changes.len() {
            let rest = &changes[answers.len()..];
            let more = grouped(&router, rest, options, &mut Budget::unlimited());
            prop_assert!(!more.is_empty());
            answers.extend(more);
        }
        prop_assert_eq!(answers, expected);
        // They are counted as such, too.
        let (counted, single) = (router.metrics(), apart.metrics());
        prop_assert_eq!(counted.changes, single.changes);
        prop_assert_eq!(counted.changes_with_candidates, single.changes_with_candidates);
        prop_assert_eq!(counted.changes_with_matches, single.changes_with_matches);
        prop_assert_eq!(counted.matches, single.matches);
        prop_assert_eq!(counted.eval_errors, single.eval_errors);
    }
}

#[test]
fn a_group_ends_where_its_budget_does() {
    let router = router(&[(0, false)], 100);
    let told: Vec<Told> = (0..16).map(|_| Told::Insert((Some(1), Some("a")))).collect();
    let rows = rows(&told);
    let changes = changes(&told, &rows);
    let options = RouteOptions::default();
    let mut budget = Budget::new(1_000);
    let answers = grouped(&router, &changes, options, &mut budget);
    assert!((1..16).contains(&answers.len()), "{} answers", answers.len());
    assert!(budget.is_exhausted() && budget.spent() < 2_000, "{} units", budget.spent());
    assert!(answers.iter().all(|ids| ids.len() == 100));
    assert!(grouped(&router, &changes, options, &mut Budget::new(10)).is_empty());
}

#[test]
fn a_change_that_lacks_its_row_is_named() {
    let router = router(&[(1, false)], 1);
    let row = datums(&(Some(1), None));
    let whole = Change { new: Some(&row), ..Change::new(Op::Insert) };
    let changes = [whole.clone(), Change::new(Op::Update), whole];
    let mut scratch = Scratch::default();
    let refused = router.route_group(
        &changes,
        RouteOptions::default(),
        &mut scratch,
        &mut Budget::unlimited(),
        |_| panic!("none is answered"),
    );
    let (index, error) = refused.expect_err("an update needs a new row");
    assert_eq!((index, error.code()), (1, "invalid_change"));
}
