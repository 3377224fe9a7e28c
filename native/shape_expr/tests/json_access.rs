//! What a clause on jsonb can be filed under, and that this is sound: where the clause is true, the
//! row has every hash it is filed under.

mod common;

use std::collections::HashSet;
use std::hash::BuildHasher;

use bumpalo::Bump;
use common::{compile, schema};
use shape_expr::{Access, Datum, Json, Row, Value, Vm};

const DOCUMENTS: &[&str] = &[
    "null",
    "1",
    "\"a\"",
    "[]",
    "{}",
    "[1]",
    "[\"a\", \"b\"]",
    "{\"a\": 1}",
    "{\"a\": 1.00}",
    "{\"a\": \"1\"}",
    "{\"a\": true}",
    "{\"a\": \"true\"}",
    "{\"a\": null}",
    "{\"a\": []}",
    "{\"a\": {}}",
    "{\"a\": [1, {\"b\": [2]}]}",
    "{\"a\": {\"b\": 2}, \"b\": \"a\"}",
    "[[1], {\"a\": [1]}]",
    "{\"a\": [[1]], \"c\": 1e2}",
    "{\"c\": 100}",
    "{\"a\": \"[]\"}",
    "{\"a\": \"\"}",
    "{\"\": \"a\"}",
];

fn show(access: &Access<'_>) -> String {
    let all = |parts: &[Access<'_>]| parts.iter().map(show).collect::<Vec<_>>().join(" ");
    match access {
        Access::Never => "never".to_owned(),
        Access::Scan => "scan".to_owned(),
        Access::JsonContains { column, value } => format!("{column}@>{value:?}"),
        Access::JsonKey { column, key } => format!("{column}?{key}"),
        Access::JsonField { column, key, values } => format!("{column}.{key}={}", values.join("|")),
        Access::And(parts) => format!("and({})", all(parts)),
        Access::Or(parts) => format!("or({})", all(parts)),
        _ => "other".to_owned(),
    }
}

#[test]
fn conditions_on_jsonb_are_found() {
    let schema = schema(&[("j", "jsonb"), ("t", "json"), ("a", "int8")]);
    for (clause, expected) in [
        ("j @> '{\"a\":1}'", "0@>{\"a\": 1}"),
        ("'[1]' <@ j", "0@>[1]"),
        ("j <@ '[1]'", "scan"),
        ("j @> '{}'", "scan"),
        ("j @> '{\"a\":[]}'", "scan"),
        ("j @> NULL", "never"),
        ("NOT j @> '1'", "scan"),
        ("j ? 'k'", "0?k"),
        ("NOT (NOT j ? 'k')", "0?k"),
        ("j ->> 'k' = 'v'", "0.k=v"),
        ("'v' = j ->> 'k'", "0.k=v"),
        ("j ->> 'k' IN ('v', 'w', NULL)", "0.k=v|w"),
        ("NOT (j ->> 'k' NOT IN ('v', 'w'))", "0.k=v|w"),
        ("NOT (j ->> 'k' <> 'v')", "0.k=v"),
        ("j ->> 'k' <> 'v'", "scan"),
        ("j ->> 'k' = '{}'", "scan"),
        ("j ->> 'k' = '[1]' AND j ? 'x'", "0?x"),
        ("j ->> 'k' = '[1]' OR j ? 'x'", "scan"),
        ("j ->> 0 = 'v'", "scan"),
        ("t ->> 'k' = 'v'", "scan"),
        ("(j ->> 'k')::int = 5", "scan"),
        ("a = 5 AND j @> '2'", "and(other 0@>2)"),
        ("j ? 'a' OR j ? 'b'", "or(0?a 0?b)"),
    ] {
        let compiled = compile(clause, &schema).unwrap_or_else(|e| panic!("{clause}: {e:?}"));
        assert_eq!(show(&compiled.predicate.access()), expected, "{clause}");
    }
}

/// The hashes a clause is filed under, and for any of which one suffices.
fn wanted(access: &Access<'_>, state: &impl BuildHasher) -> Option<(Vec<u64>, bool)> {
    let mut hashes = Vec::new();
    match access {
        Access::JsonContains { value, .. } => {
            value.leaf_hashes(state, &mut |hash| hashes.push(hash));
            Some((hashes, true))
        }
        Access::JsonKey { key, .. } => Some((vec![Json::key_hash(key, state)], true)),
        Access::JsonField { key, values, .. } => {
            hashes.extend(values.iter().map(|text| Json::field_hash(key, text, state)));
            Some((hashes, false))
        }
        _ => None,
    }
}

#[test]
fn what_a_clause_is_filed_under_the_row_has() {
    let state = ahash::RandomState::new();
    let schema = schema(&[("j", "jsonb")]);
    let mut clauses = Vec::new();
    for document in DOCUMENTS {
        clauses.push(format!("j @> '{document}'"));
        clauses.push(format!("j ->> 'a' = '{document}'"));
        clauses.push(format!("j ->> 'c' IN ('{document}', '1', '100')"));
    }
    for key in ["a", "b", "c", "", "1"] {
        clauses.push(format!("j ? '{key}'"));
        clauses.push(format!("j ->> 'a' = '{key}'"));
    }
    let mut met = 0;
    for clause in &clauses {
        let compiled = compile(clause, &schema).expect(clause).predicate;
        let Some((hashes, all)) = wanted(&compiled.access(), &state) else { continue };
        for document in DOCUMENTS {
            let arena = Bump::new();
            let record = vec![Datum::Text(document.as_bytes())];
            let row = Row::new(&arena, &schema, &record);
            let Ok(Value::Json(json)) = row.value(0) else { panic!("{document}") };
            if !compiled.eval(&row, &mut Vm::default()).expect(clause).is_true() {
                continue;
            }
            let mut has = HashSet::new();
            json.leaf_hashes(&state, &mut |hash| {
                has.insert(hash);
            });
            json.key_hashes(&state, &mut |hash| {
                has.insert(hash);
            });
            json.field_hashes(&state, &mut |hash| {
                has.insert(hash);
            });
            let mut held = hashes.iter().map(|hash| has.contains(hash));
            let sound = if all { held.all(|held| held) } else { held.any(|held| held) };
            assert!(sound, "{clause} on {document}");
            met += 1;
        }
    }
    assert!(met > 40, "{met}");
}
