//! Columns that are declared while shapes are there: their types are not those of the first literal.
#![allow(clippy::unwrap_used)]

use shape_expr::{Column, Datum};
use shape_router::{Budget, Change, Config, Op, Router, Scratch, ShapeSpec};

fn column(name: &str, ty: &str) -> Column {
    Column::new(name, ty.parse().unwrap())
}

fn route(router: &Router, row: Vec<Datum<'_>>) -> Vec<u64> {
    let mut scratch = Scratch::default();
    let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
    let options = Default::default();
    router.route(&change, options, &mut scratch, &mut Budget::unlimited(), None).unwrap();
    scratch.ids().collect()
}

#[test]
fn a_declared_type_goes_before_a_literal() {
    let router = Router::new(Config::open("todos")).unwrap();
    router.declare([column("n", "numeric")]).unwrap();
    router.add_shape(ShapeSpec::new(1, Some("n = 5"))).unwrap();
    assert_eq!(route(&router, vec![Datum::Text(b"5.00")]), [1]);
    assert_eq!(route(&router, vec![Datum::Text(b"5.01")]), Vec::<u64>::new());
}

#[test]
fn columns_may_be_declared_later_and_again() {
    let router = Router::new(Config::open("todos")).unwrap();
    router.declare([column("a", "int4")]).unwrap();
    router.add_shape(ShapeSpec::new(1, Some("a = 1"))).unwrap();
    let version = router.schema_version();
    router.declare([column("a", "int4")]).unwrap();
    assert_eq!(router.schema_version(), version, "nothing came");
    router.declare([column("b", "text"), column("a", "int4")]).unwrap();
    assert!(router.schema_version() > version);
    router.add_shape(ShapeSpec::new(2, Some("b = 'x' AND a = 1"))).unwrap();
    assert_eq!(route(&router, vec![Datum::Text(b"1"), Datum::Text(b"x")]), [1, 2]);
    assert_eq!(route(&router, vec![Datum::Text(b"1"), Datum::Text(b"y")]), [1]);
}

#[test]
fn another_type_is_refused_and_nothing_is_declared() {
    let router = Router::new(Config::open("todos")).unwrap();
    router.declare([column("a", "int4")]).unwrap();
    let error = router.declare([column("b", "text"), column("a", "text")]).unwrap_err();
    assert_eq!(error.code(), "invalid_schema");
    assert!(router.schema().0.position("b").is_none());
    router.close().unwrap();
    assert_eq!(router.declare([column("c", "text")]).unwrap_err().code(), "closed");
}

#[test]
fn the_columns_of_a_declared_table_are_known() {
    let schema = shape_expr::Schema::new("todos", vec![column("a", "int4")]).unwrap();
    let router = Router::new(Config::new(schema)).unwrap();
    router.declare([column("a", "int4")]).unwrap();
    assert_eq!(router.declare([column("b", "int4")]).unwrap_err().code(), "invalid_schema");
}
