//! A clause put together of its template and its constants' bytes is the clause.

mod common;

use common::{compiler, schema};
use shape_expr::{Compiler, Predicate, Schema};

fn columns() -> Schema {
    schema(&[
        ("a", "int8"),
        ("f", "float8"),
        ("q", "numeric"),
        ("s", "text"),
        ("c", "char(4)"),
        ("b", "bytea"),
        ("u", "uuid"),
        ("d", "date"),
        ("t", "time"),
        ("tz", "timetz"),
        ("ts", "timestamp"),
        ("i", "interval"),
        ("ok", "bool"),
        ("tags", "text[]"),
        ("j", "jsonb"),
    ])
}

fn compile(compiler: &mut Compiler, clause: &str) -> Predicate {
    compiler.compile(clause, &columns(), &[]).expect("compiles").predicate
}

fn told(predicate: &Predicate) -> String {
    format!("{} {:?} {:?}", predicate.describe(), predicate.access(), predicate.residual())
}

/// Two clauses of one template, of each kind of constant.
const PAIRS: &[(&str, &str)] = &[
    ("a = 1", "a = -9223372036854775808"),
    ("a = 1", "a = 300"),
    ("f = 1.5::float8", "f = 'NaN'::float8"),
    ("q > 1.50", "q > -12345678901234567890.000012"),
    ("s = 'x'", "s = 'it is longer, and é'"),
    ("s = 'x'", "s = ''"),
    ("c = 'ab'", "c = 'abcd'"),
    ("b = '\\x00ff'", "b = '\\x'"),
    ("u = '00000000-0000-0000-0000-000000000001'", "u = 'ffffffff-0000-0000-0000-000000000002'"),
    ("d = '2024-01-01'", "d = '1999-12-31'"),
    ("t < '10:00'", "t < '23:59:59.999999'"),
    ("tz = '10:00+02'", "tz = '23:00-11'"),
    ("ts > '2024-01-01 00:00:00'", "ts > '1066-10-14 09:00:00'"),
    ("i = '1 day'", "i = '-3 months 2 days 00:00:01'"),
    ("a = 1 AND s = 'x' AND d > '2024-01-01'", "a = 7 AND s = 'yy' AND d > '2025-01-01'"),
    ("s IS NULL", "s IS NULL"),
];

#[test]
fn the_constants_of_a_template_make_the_clause() {
    let mut compiler = compiler();
    for (first, second) in PAIRS {
        let (first, second) = (compile(&mut compiler, first), compile(&mut compiler, second));
        assert_eq!(first.template_id(), second.template_id(), "{}", told(&second));
        let mut bytes = Vec::new();
        assert!(second.by_ref().put_constants(&mut bytes), "{}", told(&second));
        let length = bytes.len();
        bytes.extend_from_slice(b"what follows");
        let (back, read) = first.with_constants(&bytes).expect("they are constants");
        assert_eq!((told(&back), read), (told(&second), length));
        for short in 0..length {
            assert!(first.with_constants(&bytes[..short]).is_none(), "{} cut", told(&second));
        }
    }
}

#[test]
fn what_is_prepared_from_its_text_is_not_written() {
    let mut compiler = compiler();
    for clause in [
        "s LIKE '%x%'",
        "a IN (1, 2, 3)",
        "tags @> '{a}'",
        "j @> '{\"a\": 1}'",
        "a = 1 AND s ~ 'x+'",
    ] {
        let predicate = compile(&mut compiler, clause);
        let mut bytes = b"before".to_vec();
        assert!(!predicate.by_ref().put_constants(&mut bytes), "{clause}");
        assert_eq!(bytes, b"before");
    }
}

/// A program never meets a constant of a kind that its own clause did not have.
#[test]
fn constants_of_another_kind_are_refused() {
    let mut compiler = compiler();
    let all: Vec<Predicate> = PAIRS.iter().map(|(one, _)| compile(&mut compiler, one)).collect();
    let kinds = |predicate: &Predicate| {
        let mut kinds = Vec::new();
        predicate.by_ref().put_kinds(&mut kinds);
        kinds
    };
    for one in &all {
        let mut bytes = Vec::new();
        assert!(one.by_ref().put_constants(&mut bytes));
        for other in &all {
            let taken = other.with_constants(&bytes).is_some_and(|(_, read)| read == bytes.len());
            assert_eq!(taken, kinds(one) == kinds(other), "{} in {}", told(one), told(other));
        }
    }
    // Whatever bytes come: a constant or none, and no panic.
    for seed in 0..2000u32 {
        let bytes: Vec<u8> = (0..24u32)
            .map(|at| (seed.wrapping_mul(2_654_435_761).rotate_left(at) >> 7) as u8 % 17)
            .collect();
        for one in &all {
            let _ = one.with_constants(&bytes);
        }
    }
}
