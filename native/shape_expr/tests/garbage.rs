//! Nothing a caller can send makes the compiler or the readers panic.

mod common;

use bumpalo::Bump;
use common::{compiler, schema};
use proptest::prelude::*;
use shape_expr::{ColumnType, Datum, Row, Schema, Vm, decode};

const TYPES: &[&str] = &[
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "numeric(5,2)",
    "text",
    "varchar(3)",
    "bpchar",
    "name",
    "uuid",
    "timestamptz",
    "timestamp(2)",
    "date",
    "time",
    "timetz",
    "interval",
];

/// Pieces of SQL in any order: more of it gets past the grammar than random characters would.
fn pieces() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "a",
        "b",
        "s",
        "n",
        "t.a",
        "=",
        "<",
        ">=",
        "<>",
        "(",
        ")",
        "AND",
        "OR",
        "NOT",
        "IS",
        "NULL",
        "TRUE",
        "IN",
        "(1,2)",
        "('x','y')",
        "BETWEEN",
        "LIKE",
        "ESCAPE",
        "'!'",
        "'%a_'",
        "1",
        "-1",
        "1.5",
        "1e9",
        "'5'",
        "::int",
        "::text",
        "::numeric(3,1)",
        "CAST(",
        "AS int8)",
        "+",
        "-",
        "*",
        "/",
        "%",
        "$1",
        "DISTINCT FROM",
        "SYMMETRIC",
        "--",
        "/*",
        "*/",
        "$$x$$",
        "E'\\x'",
        "U&'\\0041'",
        "case",
        "end",
        "when",
        "array[1]",
        "[1]",
        "length(",
        ",",
        ";",
        "\"a\"",
        "ä",
        "'ä'",
        ".5",
        "0x1",
        "9223372036854775808",
        "ANY",
        "now()",
        "count(*)",
        "ILIKE",
        "COLLATE \"C\"",
        "\n",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn random_text_is_answered_or_refused(clause in any::<String>()) {
        let _ = compiler().compile(&clause, &Schema::open("t"), &[]);
    }

    #[test]
    fn random_bytes_of_ascii_are_answered_or_refused(clause in "[ -~]{0,60}") {
        let _ = compiler().compile(&clause, &Schema::open("t"), &[]);
    }

    #[test]
    fn random_sql_is_answered_or_refused(clause in pieces(), open in any::<bool>()) {
        let closed = schema(&[("a", "int4"), ("b", "bool"), ("s", "text"), ("n", "numeric")]);
        let schema = if open { Schema::open("t") } else { closed };
        match compiler().compile(&clause, &schema, &[]) {
            Ok(compiled) => {
                let schema = compiled.schema.unwrap_or(schema);
                let arena = Bump::new();
                let data = vec![Datum::Text(b"1"), Datum::Bool(true), Datum::Null, Datum::Absent];
                let row = Row::new(&arena, &schema, &data);
                let _ = compiled.predicate.eval(&row, &mut Vm::default());
                let _ = compiled.predicate.access();
                let _ = compiled.predicate.describe();
            }
            Err(error) => {
                let within = error.position().is_none_or(|position| position <= clause.len());
                prop_assert!(within, "{error:?}");
            }
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        text in "[-+0-9.eE: TZinfaNy{}BC]{0,30}",
    ) {
        let arena = Bump::new();
        for ty in TYPES {
            let ty: ColumnType = ty.parse().expect("a type");
            let _ = decode(&ty, Datum::Text(&bytes), &arena);
            let _ = decode(&ty, Datum::Text(text.as_bytes()), &arena);
        }
    }

    #[test]
    fn random_terms_are_read_or_refused(i in any::<i64>(), x in any::<f64>()) {
        let arena = Bump::new();
        for ty in TYPES {
            let ty: ColumnType = ty.parse().expect("a type");
            let _ = decode(&ty, Datum::Int(i), &arena);
            let _ = decode(&ty, Datum::Float(x), &arena);
        }
    }

    #[test]
    fn random_type_names_are_read_or_refused(name in "[a-z(),0-9 \\[\\]-]{0,30}") {
        let _ = name.parse::<ColumnType>();
    }
}
