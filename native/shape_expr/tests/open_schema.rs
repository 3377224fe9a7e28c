//! Open schemas: columns come into being with the first clause that uses them.

mod common;

use bumpalo::Bump;
use common::{compile, compiler};
use shape_expr::{Datum, Param, Row, Schema, Truth, Type, Vm};

fn type_of(schema: &Schema, name: &str) -> Option<Type> {
    let column = &schema.columns()[schema.position(name)?];
    column.ty.as_ref().map(|ty| ty.ty.clone())
}

#[test]
fn literals_fix_types() {
    for (clause, ty) in [
        ("x = 5", Type::Int8),
        ("x IN (1, 2, 3)", Type::Int8),
        ("5 = x", Type::Int8),
        ("x = 1.5", Type::Numeric),
        ("x = 'a'", Type::Text),
        ("x LIKE 'a%'", Type::Text),
        ("x", Type::Bool),
        ("NOT x", Type::Bool),
        ("x = true", Type::Bool),
        ("x BETWEEN 1 AND 2", Type::Int8),
        ("x = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", Type::Uuid),
        ("x IS NOT DISTINCT FROM 4", Type::Int8),
        ("y = x AND y = 3", Type::Int8),
        ("x = ANY ('{a,b}')", Type::Text),
        ("x = ANY (ARRAY[1, 2])", Type::Int8),
        ("'a' = ANY (x)", Type::TEXT_ARRAY),
        ("x @> '{a,b}'", Type::TEXT_ARRAY),
        ("x && ARRAY['a']", Type::TEXT_ARRAY),
        ("COALESCE(x, 'a') = 'b'", Type::Text),
    ] {
        let compiled = compile(clause, &Schema::open("t")).expect(clause);
        let schema = compiled.schema.expect("it grew");
        assert_eq!(type_of(&schema, "x"), Some(ty), "{clause}");
    }
    let mut compiler = compiler();
    let compiled = compiler.compile("x = $1", &Schema::open("t"), &[Param::Int(3)]);
    let schema = compiled.expect("compiles").schema.expect("it grew");
    assert_eq!(type_of(&schema, "x"), Some(Type::Int8));
}

#[test]
fn a_null_test_leaves_the_type_open() {
    let compiled = compile("x IS NULL", &Schema::open("t")).expect("compiles");
    let schema = compiled.schema.expect("it grew");
    assert_eq!(type_of(&schema, "x"), None);
    let arena = Bump::new();
    for (datum, outcome) in [
        (Datum::Null, Truth::TRUE),
        (Datum::Text(b"\xff"), Truth::FALSE),
        (Datum::Absent, Truth::TRUE_OR_FALSE),
        (Datum::Unreadable, Truth::FALSE),
    ] {
        let data = vec![datum];
        let row = Row::new(&arena, &schema, &data);
        assert_eq!(compiled.predicate.eval(&row, &mut Vm::default()), Ok(outcome));
    }
    // The next clause fixes it, at the same position.
    let next = compile("y = 1 AND x = 2", &schema).expect("compiles").schema.expect("it grew");
    assert_eq!((next.position("x"), next.position("y")), (Some(0), Some(1)));
    assert_eq!(type_of(&next, "x"), Some(Type::Int8));
}

#[test]
fn what_contradicts_an_earlier_clause_is_a_conflict() {
    let schema = compile("x = 5", &Schema::open("t")).expect("compiles").schema.expect("it grew");
    for clause in ["x = 'abc'", "x = true", "x LIKE 'a'", "x", "x IN ('a', 'b')"] {
        let error = compile(clause, &schema).expect_err(clause);
        assert_eq!(error.code(), "datatype_mismatch", "{clause}");
        assert!(error.to_string().contains("column x"), "{clause}: {error}");
    }
    assert!(compile("x = '7'", &schema).expect("compiles").schema.is_none());
    assert!(compile("x > 1.5", &schema).is_ok());
}

#[test]
fn nothing_to_tell_the_type_by() {
    for clause in ["x = y", "x < NULL", "x::text = 'a'", "x IN (y, z)"] {
        let error = compile(clause, &Schema::open("t")).expect_err(clause);
        assert_eq!(error.code(), "undetermined_type", "{clause}");
    }
}

#[test]
fn a_failed_clause_leaves_the_schema_alone() {
    let schema = Schema::open("t");
    assert!(compile("x = 5 AND x = 'abc'", &schema).is_err());
    assert!(schema.columns().is_empty());
}

#[test]
fn an_older_row_does_not_know_newer_columns() {
    let old = Schema::open("t");
    let compiled = compile("x = 5", &old).expect("compiles");
    let arena = Bump::new();
    let data = vec![Datum::Int(5)];
    let row = Row::new(&arena, &old, &data);
    assert_eq!(compiled.predicate.eval(&row, &mut Vm::default()), Ok(Truth::ANY));
}
