//! Any bytes as a column's text, of every type: read or refused, never a panic. What was read is
//! equal to itself, and to what its own text output is read as.

use shape_expr::{
    Column, ColumnType, Compiler, Datum, Limits, Options, Predicate, Row, Schema, Truth, Type,
    Value, Vm, decode,
};
use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

const TYPES: &[&str] = &[
    "bool",
    "int2",
    "int4",
    "int8",
    "oid",
    "float4",
    "float8",
    "numeric",
    "numeric(10,2)",
    "text",
    "varchar(5)",
    "character(8)",
    "name",
    "uuid",
    "bytea",
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "interval",
    "json",
    "jsonb",
    "mood",
    "bool[]",
    "int4[]",
    "float8[]",
    "numeric[]",
    "text[]",
    "bytea[]",
    "date[]",
    "timestamptz[]",
    "interval[]",
    "jsonb[]",
    "mood[]",
];

const LIMITS: Limits = Limits { fuel: 10_000_000, bytes: 1 << 24 };

/// A type, and the clause that reads a value's text output back.
struct Case {
    ty: ColumnType,
    schema: Schema,
    round_trip: Predicate,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let mut compiler = Compiler::new(Options::default()).expect("a compiler");
    let mut case = |name: &&str| {
        let mood = || ColumnType::enumeration(&["sad", "ok", "happy"]).named("mood");
        let ty: ColumnType = match *name {
            "mood" => mood(),
            "mood[]" => mood().array_of(),
            name => name.parse().expect("a type"),
        };
        let clause = match *name {
            // There is no `=` of json.
            "json" => "x::text IS NOT DISTINCT FROM x::text::json::text".to_owned(),
            // A cast to these would cut what the column's text is longer.
            "varchar(5)" | "character(8)" | "numeric(10,2)" => {
                let plain = name.split('(').next().expect("a name").replace("character", "bpchar");
                format!("x IS NOT DISTINCT FROM x::text::{plain}")
            }
            name => format!("x IS NOT DISTINCT FROM x::text::{name}"),
        };
        let schema = Schema::new("t", vec![Column::new("x", ty.clone())]).expect("a schema");
        let compiled = compiler.compile(&clause, &schema, &[]).expect(&clause);
        Case { ty, schema, round_trip: compiled.predicate }
    };
    TYPES.iter().map(&mut case).collect()
});

fn is_time(ty: &Type) -> bool {
    use Type::{Date, Interval, Time, Timestamp, Timestamptz, Timetz};
    matches!(ty.element().unwrap_or(ty), Date | Interval | Time | Timestamp | Timestamptz | Timetz)
}

/// What must hold for all bytes.
pub fn check(bytes: &[u8]) {
    let mut arena = bumpalo::Bump::new();
    for Case { ty, schema, round_trip } in CASES.iter() {
        if let Ok(value) = decode(ty, Datum::Text(bytes), &arena) {
            let hash = |value: &Value<'_>| {
                let mut hasher = DefaultHasher::new();
                value.hash_equality(&mut hasher);
                hasher.finish()
            };
            let again = decode(ty, Datum::Text(bytes), &arena).expect("it was read before");
            if ty.ty != Type::Json {
                assert!(value.equals(&again), "{ty} {bytes:?}");
                assert!(value.compare(&again).is_eq(), "{ty} {bytes:?}");
            }
            assert_eq!(hash(&value), hash(&again));
            // What PostgreSQL writes for a zone that far away, it reads as another one.
            if matches!(value, Value::TimeTz(_, west) if west.abs() >= 16 * 3600) {
                continue;
            }
            let data = vec![Datum::Text(bytes)];
            let row = Row::new(&arena, schema, &data);
            match round_trip.eval(&row, &mut Vm::new(LIMITS)) {
                Ok(same) => assert_eq!(same, Truth::TRUE, "{ty} {bytes:?}"),
                Err(raised) => {
                    // PostgreSQL too does not read its own text of the least interval, say.
                    let time = raised.sqlstate().starts_with("2200") && is_time(&ty.ty);
                    assert!(time || raised.sqlstate() == "54000", "{ty} {bytes:?} {raised}");
                }
            }
        }
        arena.reset();
    }
}
