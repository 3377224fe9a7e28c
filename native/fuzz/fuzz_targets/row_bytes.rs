//! Any bytes as a column's text, of every type: read or refused, never a panic; and what was read is
//! equal to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shape_expr::{ColumnType, Datum, Value, decode};
use std::hash::{DefaultHasher, Hasher};
use std::sync::LazyLock;

const TYPES: &[&str] = &[
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "numeric(10,2)",
    "text",
    "varchar(5)",
    "character(8)",
    "name",
    "uuid",
    "timestamptz",
];

static PARSED: LazyLock<Vec<ColumnType>> =
    LazyLock::new(|| TYPES.iter().map(|ty| ty.parse().expect("a type")).collect());

fuzz_target!(|bytes: &[u8]| {
    let arena = bumpalo::Bump::new();
    for ty in PARSED.iter() {
        if let Ok(value) = decode(ty, Datum::Text(bytes), &arena) {
            let hash = |value: &Value<'_>| {
                let mut hasher = DefaultHasher::new();
                value.hash_equality(&mut hasher);
                hasher.finish()
            };
            let again = decode(ty, Datum::Text(bytes), &arena).expect("it was read before");
            assert!(value.equals(&again), "{ty} {bytes:?}");
            assert_eq!(hash(&value), hash(&again));
        }
    }
});
