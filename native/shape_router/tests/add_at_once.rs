//! A shape that is added without waiting is the shape that is added otherwise.

use shape_expr::{Column, Datum, Schema};
use shape_router::{
    Budget, Change, Config, Error, KeyParts, Keys, Op, RouteOptions, Router, Scratch, ShapeSpec,
    Snapshot,
};

fn router(config: impl FnOnce(Config) -> Config) -> Router {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().expect("a type"));
    let columns = vec![column("user_id", "int8"), column("title", "text")];
    let schema = Schema::new("todos", columns).expect("a schema");
    Router::new(config(Config::new(schema))).expect("a router")
}

fn spec(id: u64, clause: &str) -> ShapeSpec<'_> {
    ShapeSpec::new(id, Some(clause))
}

fn routed(router: &Router, user: i64) -> Vec<u64> {
    let row = vec![Datum::Int(user), Datum::Text(b"a")];
    let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
    let mut scratch = Scratch::default();
    let budget = &mut Budget::unlimited();
    router.route(&change, RouteOptions::default(), &mut scratch, budget, None).expect("an answer");
    scratch.ids().collect()
}

#[test]
fn only_a_clause_like_one_before_is_added_at_once() {
    let router = router(|config| config);
    assert!(router.try_add_shape(&spec(1, "user_id = 1")).is_none());
    assert!(router.is_empty(), "nothing happened");
    router.add_shape(spec(1, "user_id = 1")).expect("a shape");
    for id in 2..100 {
        let clause = format!("user_id = {}", id % 10);
        let added = router.try_add_shape(&spec(id, &clause)).expect("its template is known");
        added.expect("a shape");
    }
    assert_eq!(routed(&router, 3), (0..10).map(|n| 10 * n + 3).collect::<Vec<u64>>());
    assert!(router.try_add_shape(&spec(200, "title = 'a'")).is_none());
    assert!(router.try_add_shape(&spec(200, "user_id = ")).is_none());
    router.remove_shape(13).expect("it is there");
    assert!(!routed(&router, 3).contains(&13));
}

#[test]
fn patterns_and_keys_are_not_for_a_small_stack_or_a_short_time() {
    let router = router(|config| config);
    router.add_shape(spec(1, "title ~ '^a+$'")).expect("a shape");
    assert!(router.try_add_shape(&spec(2, "title ~ '^b+$'")).is_none());
    router.add_shape(spec(3, "user_id = 1")).expect("a shape");
    let keys = Keys::Known(vec![KeyParts::one(Datum::Int(7))]);
    assert!(router.try_add_shape(&ShapeSpec { keys, ..spec(4, "user_id = 1") }).is_none());
    let none = Keys::Known(Vec::new());
    let snapshot = Some(Snapshot::Lsn(5));
    let seeded = ShapeSpec { keys: none, snapshot, ..spec(5, "user_id = 1") };
    router.try_add_shape(&seeded).expect("it holds nothing").expect("a shape");
    assert!(router.explain(5).expect("it is there").known);
    let all = router.try_add_shape(&ShapeSpec::new(6, None)).expect("there is nothing to compile");
    all.expect("a shape");
    assert_eq!(routed(&router, 1), [1, 3, 5, 6]);
}

#[test]
fn what_is_refused_is_refused_at_once_too() {
    let router = router(|config| Config { max_shapes: Some(2), ..config });
    router.add_shape(spec(1, "user_id = 1")).expect("a shape");
    let twice = router.try_add_shape(&spec(1, "user_id = 2"));
    assert!(matches!(twice, Some(Err(Error::DuplicateShape(1)))), "{twice:?}");
    router.try_add_shape(&spec(2, "user_id = 2")).expect("at once").expect("a shape");
    let full = router.try_add_shape(&spec(3, "user_id = 3"));
    assert!(matches!(full, Some(Err(Error::TooManyShapes { limit: 2 }))), "{full:?}");
    router.close().expect("it is in memory");
    let closed = router.try_add_shape(&spec(4, "user_id = 4"));
    assert!(matches!(closed, Some(Err(Error::Closed))), "{closed:?}");
}
