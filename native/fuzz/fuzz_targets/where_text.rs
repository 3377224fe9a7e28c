//! Any text as a clause: it is refused with a place inside the text, or it compiles and evaluates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shape_expr::{Column, Compiler, Datum, Limits, Options, Param, Row, RowSource, Schema, Vm};
use std::sync::LazyLock;

/// Columns of the types that the clauses of the corpus name, with a readable value each.
const COLUMNS: &[(&str, &str, &str)] = &[
    ("a", "int8", "42"),
    ("i", "int4", "-7"),
    ("n", "numeric", "12.340"),
    ("f", "float8", "-0"),
    ("t", "text", "a text, ünïcode"),
    ("c", "character(8)", "ab      "),
    ("b", "bool", "t"),
    ("u", "uuid", "00000000-0000-0000-0000-000000000001"),
    ("z", "timestamptz", "2024-02-29 12:00:00+00"),
];

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let column = |(name, ty, _): &(&str, &str, &str)| Column {
        name: (*name).into(),
        ty: Some(ty.parse().expect("a type")),
    };
    Schema::new("t", COLUMNS.iter().map(column).collect()).expect("a schema")
});

struct Values;

impl RowSource for Values {
    fn datum(&self, column: usize) -> Datum<'_> {
        Datum::Text(COLUMNS[column].2.as_bytes())
    }
}

fuzz_target!(|clause: &str| {
    let mut compiler = Compiler::new(Options::default()).expect("a compiler");
    let params = [Param::Int(1), Param::Text("x"), Param::Null];
    match compiler.compile(clause, &SCHEMA, &params) {
        Err(error) => {
            assert!(error.position().is_none_or(|at| at <= clause.len()), "{error:?}");
            let _ = error.to_string();
        }
        Ok(compiled) => {
            let arena = bumpalo::Bump::new();
            let limits = Limits { fuel: 1_000_000, bytes: 1 << 20 };
            let row = Row::new(&arena, &SCHEMA, &Values);
            let answer = compiled.predicate.eval(&row, &mut Vm::new(limits));
            // The same clause, the same template, the same answer.
            let again = compiler.compile(clause, &SCHEMA, &params).expect("it compiled before");
            assert_eq!(again.predicate.template_id(), compiled.predicate.template_id());
            assert_eq!(again.predicate.eval(&row, &mut Vm::new(limits)), answer);
            let _ = (compiled.predicate.access(), compiled.predicate.describe());
        }
    }
    let _ = compiler.compile(clause, &Schema::open("t"), &params);
});
