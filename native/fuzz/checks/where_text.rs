//! Any text as a clause: it is refused with a place inside the text, or it compiles and evaluates.

use shape_expr::{
    Column, ColumnType, Compiler, Datum, Limits, Options, Param, Predicate, Row, RowSource, Schema,
    Truth, Vm,
};
use std::sync::LazyLock;

/// Columns of every family of types, with two readable values each.
const COLUMNS: &[(&str, &str, &str, &str)] = &[
    ("a", "int8", "42", "-9223372036854775808"),
    ("i", "int4", "-7", "2147483647"),
    ("s", "int2", "3", "-32768"),
    ("o", "oid", "5", "4294967295"),
    ("n", "numeric", "12.340", "NaN"),
    ("p", "numeric(10,2)", "99.95", "-99999999.99"),
    ("f", "float8", "-0", "Infinity"),
    ("g", "float4", "0.1", "-3.4028235e+38"),
    ("t", "text", "a text, ünïcode", ""),
    ("v", "varchar(20)", "abc", "日本 e\u{301}"),
    ("c", "character(8)", "ab      ", "        "),
    ("w", "name", "a_name", ""),
    ("y", "bytea", "\\x00ff61", "\\x"),
    ("b", "bool", "t", "f"),
    ("u", "uuid", "00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ("z", "timestamptz", "2024-02-29 12:00:00+00", "infinity"),
    ("ts", "timestamp", "2024-12-31 23:59:59.999999", "4713-01-01 00:00:00 BC"),
    ("d", "date", "2024-02-29", "-infinity"),
    ("h", "time", "23:59:59.5", "24:00:00"),
    ("tz", "timetz", "12:00:00+02", "00:00:00-15:59:59"),
    ("iv", "interval", "1 year 2 mons -3 days 04:05:06.789", "-178000000 years"),
    ("j", "json", "{\"a\": [1, {\"b\": null}], \"a\": 2}", "[]"),
    ("jb", "jsonb", "{\"a\": [1, 2.50, \"x\"], \"b\": {\"c\": true}}", "1e30"),
    ("e", "enum", "ok", "sad"),
    ("ia", "int4[]", "{1,NULL,3}", "[-2:-1][3:4]={{1,2},{3,4}}"),
    ("ta", "text[]", "{a,\"b c\",\"\",NULL}", "{}"),
    ("na", "numeric[]", "{1.0,NaN,-Infinity}", "{{1},{2}}"),
    ("da", "timestamptz[]", "{\"2024-02-29 12:00:00+00\",infinity}", "{}"),
    ("ea", "enum[]", "{ok,happy}", "{NULL}"),
    ("ja", "jsonb[]", "{\"{\\\"a\\\": 1}\",null}", "{1,2}"),
];

const LIMITS: Limits = Limits { fuel: 1_000_000, bytes: 1 << 20 };

fn column_type(name: &str) -> ColumnType {
    let mood = || ColumnType::enumeration(&["sad", "ok", "happy"]).named("mood");
    match name {
        "enum" => mood(),
        "enum[]" => mood().array_of(),
        name => name.parse().expect("a type"),
    }
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let columns = COLUMNS.iter().map(|(name, ty, ..)| Column::new(name, column_type(ty)));
    Schema::new("t", columns.collect()).expect("a schema")
});

/// The rows that every clause is asked of.
#[derive(Clone, Copy)]
enum Values {
    Usual,
    Extreme,
    Null,
    Absent,
}

impl RowSource for Values {
    fn datum(&self, column: usize) -> Datum<'_> {
        match self {
            Values::Usual => Datum::Text(COLUMNS[column].2.as_bytes()),
            Values::Extreme => Datum::Text(COLUMNS[column].3.as_bytes()),
            Values::Null => Datum::Null,
            Values::Absent => Datum::Absent,
        }
    }
}

fn answer(predicate: &Predicate, values: Values) -> Result<Truth, &'static str> {
    let arena = bumpalo::Bump::new();
    let row = Row::new(&arena, &SCHEMA, &values);
    predicate.eval(&row, &mut Vm::new(LIMITS)).map_err(|raised| raised.sqlstate())
}

/// What must hold for every text.
pub fn check(clause: &str) {
    let mut compiler = Compiler::new(Options::default()).expect("a compiler");
    let params = [Param::Int(1), Param::Text("x"), Param::Null];
    match compiler.compile(clause, &SCHEMA, &params) {
        Err(error) => {
            assert!(error.position().is_none_or(|at| at <= clause.len()), "{error:?}");
            let _ = error.to_string();
        }
        Ok(compiled) => {
            let predicate = &compiled.predicate;
            // The same clause, the same template, the same answer.
            let again = compiler.compile(clause, &SCHEMA, &params).expect("it compiled before");
            assert_eq!(again.predicate.template_id(), predicate.template_id());
            let unknown = answer(predicate, Values::Absent).ok().and_then(Truth::known);
            for values in [Values::Usual, Values::Extreme, Values::Null] {
                let told = answer(predicate, values);
                assert_eq!(answer(&again.predicate, values), told);
                // What is known without the columns is so whatever they hold, unless they raise.
                if let (Some(unknown), Ok(told)) = (unknown, told) {
                    assert_eq!(told.known(), Some(unknown));
                }
            }
            let _ = (predicate.access(), predicate.describe(), predicate.memory_bytes());
        }
    }
    let _ = compiler.compile(clause, &Schema::open("t"), &params);
}
