//! Data that is no text, data that is unreadable, and the equality hash.

mod common;

use std::hash::Hasher;

use bumpalo::Bump;
use common::{eval, eval_data};
use shape_expr::{ColumnType, Datum, Truth, Value, decode};

#[test]
fn terms_become_values_where_they_fit() {
    for (ty, datum, expected) in [
        ("int2", Datum::Int(32767), Ok(())),
        ("int2", Datum::Int(32768), Err("22003")),
        ("int4", Datum::Int(1 << 31), Err("22003")),
        ("int8", Datum::Int(i64::MIN), Ok(())),
        ("float8", Datum::Int(1), Ok(())),
        ("numeric", Datum::Int(1), Ok(())),
        ("numeric", Datum::Float(0.1), Ok(())),
        ("float4", Datum::Float(1e300), Err("22003")),
        ("text", Datum::Int(1), Err("22P02")),
        ("text", Datum::Bool(true), Err("22P02")),
        ("bool", Datum::Bool(true), Ok(())),
        ("bool", Datum::Int(1), Err("22P02")),
        ("int8", Datum::Float(1.5), Err("22P02")),
        ("int8", Datum::Text(b"x"), Err("22P02")),
        ("text", Datum::Text(b"\xff"), Err("22021")),
        ("text", Datum::Text(b"a\0"), Err("22021")),
        ("timestamptz", Datum::Text(b"x"), Err("22007")),
        ("uuid", Datum::Unreadable, Err("22P02")),
    ] {
        let arena = Bump::new();
        let ty: ColumnType = ty.parse().expect("a type");
        let result = decode(&ty, datum, &arena).map(|_| ()).map_err(|error| error.sqlstate());
        assert_eq!(result, expected, "{ty} {datum:?}");
    }
}

#[test]
fn an_unreadable_column_is_named_and_only_where_it_is_read() {
    let columns = [("a", "int8"), ("b", "int8")];
    let error = eval("a = 1 OR b = 1", &columns, &[Some("2"), Some("x")]).expect_err("unreadable");
    assert_eq!((error.column(), error.sqlstate()), (Some(1), "22P02"));
    assert_eq!(eval("a = 1 OR b = 1", &columns, &[Some("1"), Some("x")]), Ok(Some(true)));
    assert_eq!(eval("a = 1/0", &columns, &[Some("1"), None]).map_err(|e| e.column()), Err(None));
}

fn hash(ty: &str, text: &str) -> u64 {
    let arena = Bump::new();
    let ty: ColumnType = ty.parse().expect("a type");
    let value = decode(&ty, Datum::Text(text.as_bytes()), &arena).expect(text);
    hash_value(&value)
}

fn hash_value(value: &Value<'_>) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    value.hash_equality(&mut hasher);
    hasher.finish()
}

#[test]
fn equal_values_hash_alike() {
    for (ty, a, b) in [
        ("float8", "0", "-0"),
        ("float8", "NaN", "-NaN"),
        ("float4", "NaN", "NaN"),
        ("numeric", "1", "1.000"),
        ("numeric", "0.10", "0.1"),
        ("numeric", "0", "-0.000"),
        ("numeric", "10000", "1e4"),
        ("bpchar", "a", "a   "),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc999c0b4ef8bb6d6bb9bd380a11}"),
        ("timestamptz", "2024-01-01 00:00:00+00", "2024-01-01 02:00:00+02"),
    ] {
        assert_eq!(hash(ty, a), hash(ty, b), "{ty} {a} {b}");
    }
    assert_ne!(hash("text", "a"), hash("text", "a "));
    assert_eq!(hash("int2", "5"), hash("int8", "5"));
    assert_eq!(hash("float4", "0.5"), hash("float8", "0.5"));
}

#[test]
fn integers_from_terms_and_texts_meet() {
    let columns = [("a", "numeric"), ("b", "float8")];
    let row = [Datum::Float(0.1), Datum::Int(3)];
    assert_eq!(eval_data("a = 0.1 AND b = 3", &columns, &row), Ok(Truth::TRUE));
}
