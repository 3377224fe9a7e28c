//! What a clause can be filed under.

mod common;

use common::{compile, schema};
use std::ops::Bound;

use shape_expr::{Access, Value};

fn access(clause: &str) -> String {
    let schema = schema(&[
        ("a", "int8"),
        ("b", "bool"),
        ("s", "text"),
        ("i", "int4"),
        ("c", "bpchar"),
        ("f", "float8"),
        ("t", "text[]"),
        ("n", "int4[]"),
        ("p", "bpchar[]"),
        ("v", "varchar(20)"),
        ("y", "bytea"),
    ]);
    let compiled = compile(clause, &schema).unwrap_or_else(|e| panic!("{clause}: {e:?}"));
    show(&compiled.predicate.access())
}

fn print(value: &Value<'_>) -> String {
    match value {
        Value::Int(i) => i.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Text(s) | Value::Bpchar(s) => (*s).to_owned(),
        other => format!("{other:?}"),
    }
}

fn values(values: &[Value<'_>]) -> String {
    let values: Vec<String> = values.iter().map(print).collect();
    values.join("|")
}

fn show(access: &Access<'_>) -> String {
    let all = |parts: &[Access<'_>]| parts.iter().map(show).collect::<Vec<_>>().join(" ");
    match access {
        Access::Never => "never".to_owned(),
        Access::Scan => "scan".to_owned(),
        Access::Equal { column, values } => {
            format!("{column}={}", self::values(values))
        }
        Access::Contains { column, elements } => format!("{column}@>{}", values(elements)),
        Access::Overlaps { column, elements } => format!("{column}&&{}", values(elements)),
        Access::Range { column, low, high } => {
            let low = match low {
                Bound::Included(value) => format!("[{}", print(value)),
                Bound::Excluded(value) => format!("({}", print(value)),
                Bound::Unbounded => "*".to_owned(),
            };
            let high = match high {
                Bound::Included(value) => format!("{}]", print(value)),
                Bound::Excluded(value) => format!("{})", print(value)),
                Bound::Unbounded => "*".to_owned(),
            };
            format!("{column} in {low}..{high}")
        }
        Access::Prefix { column, prefix } => format!("{column}^@{prefix}"),
        Access::Infix { column, literal, case_insensitive: false } => format!("{column}~{literal}"),
        Access::Infix { column, literal, .. } => format!("{column}~*{literal}"),
        Access::IsNull { column } => format!("{column} null"),
        Access::And(parts) => format!("and({})", all(parts)),
        Access::Or(parts) => format!("or({})", all(parts)),
        _ => "?".to_owned(),
    }
}

#[test]
fn equality_is_found_wherever_it_must_hold() {
    for (clause, expected) in [
        ("a = 5", "0=5"),
        ("5 = a", "0=5"),
        ("a IN (1, 2, NULL)", "0=1|2"),
        ("a = 1 AND s = 'x'", "and(0=1 2=x)"),
        ("a = 1 AND f > 2", "and(0=1 5 in (2..*)"),
        ("a = 1 OR a = 2", "or(0=1 0=2)"),
        ("a = 1 OR f > 2", "or(0=1 5 in (2..*)"),
        ("a = 1 OR length(s) > 2", "scan"),
        ("(a = 1 OR s = 'x') AND length(s) > 2", "or(0=1 2=x)"),
        ("a IN (1, 2) AND length(s) > 3", "0=1|2"),
        ("b", "1=true"),
        ("NOT b", "1=false"),
        ("b IS TRUE", "1=true"),
        ("b IS FALSE", "1=false"),
        ("b IS NOT TRUE", "scan"),
        ("NOT (a <> 5)", "0=5"),
        ("NOT (a <> 5 OR f < 1)", "and(0=5 5 in [1..*)"),
        ("NOT (a NOT IN (5, 6))", "0=5|6"),
        ("a NOT IN (5, 6)", "scan"),
        ("a = 1.5", "never"),
        ("a = 7.00", "0=7"),
        ("i = 5000000000", "3=5000000000"),
        ("a = NULL", "never"),
        ("false", "never"),
        ("true", "scan"),
        ("a = 1 AND false", "never"),
        ("c = 'x  '", "4=x  "),
        ("c = 'x'::text", "4=x"),
        ("a = f", "scan"),
        ("a = i", "scan"),
        ("a::text = '5'", "scan"),
    ] {
        assert_eq!(access(clause), expected, "{clause}");
    }
}

#[test]
fn elements_of_arrays_are_found() {
    for (clause, expected) in [
        ("t @> '{a,b}'", "6@>a|b"),
        ("'{a}' <@ t", "6@>a"),
        ("t @> ARRAY['a'] AND a = 1", "and(6@>a 0=1)"),
        ("t @> '{}'", "6@>"),
        ("t @> '{a,NULL}'", "never"),
        ("t @> NULL", "never"),
        ("t && '{a,NULL,b}'", "6&&a|b"),
        ("'{a}' && t", "6&&a"),
        ("t && '{}'", "never"),
        ("'a' = ANY (t)", "6@>a"),
        ("NOT ('a' <> ALL (t))", "6@>a"),
        ("'a' <> ANY (t)", "scan"),
        ("'a' = ALL (t)", "scan"),
        ("NOT (t @> '{a}')", "scan"),
        ("t <@ '{a,b}'", "scan"),
        ("NULL = ANY (t)", "never"),
        ("5 = ANY (n)", "7@>5"),
        ("5.0 = ANY (n)", "7@>5"),
        ("5.5 = ANY (n)", "never"),
        ("'a ' = ANY (p)", "8@>a "),
        ("s = ANY ('{x,y}')", "2=x|y"),
        ("s = ANY (ARRAY['x', NULL])", "2=x"),
        ("s = ANY ('{}')", "never"),
        ("NOT (s <> ALL ('{x,y}'))", "2=x|y"),
        ("s = ANY (t)", "scan"),
        ("t @> '{a}' OR t && '{b,c}'", "or(6@>a 6&&b|c)"),
        ("CASE WHEN b THEN a = 1 ELSE a = 2 END", "scan"),
        ("(a, s) = (1, 'x')", "and(0=1 2=x)"),
        ("(a, s) IN ((1, 'x'), (2, 'y'))", "or(and(0=1 2=x) and(0=2 2=y))"),
    ] {
        assert_eq!(access(clause), expected, "{clause}");
    }
}

#[test]
fn ranges_patterns_and_nulls_are_found() {
    for (clause, expected) in [
        ("a > 5", "0 in (5..*"),
        ("5 >= a", "0 in *..5]"),
        ("NOT a > 5", "0 in *..5]"),
        ("a BETWEEN 1 AND 9", "0 in [1..9]"),
        ("NOT a NOT BETWEEN 1 AND 9", "0 in [1..9]"),
        ("a NOT BETWEEN 1 AND 9", "or(0 in *..1) 0 in (9..*)"),
        ("a > 1 AND a < 9 AND i >= 2", "and(0 in (1..9) 3 in [2..*)"),
        ("a > 1.5", "0 in [1..*"),
        ("a < 1e30", "scan"),
        ("s < 'm'", "2 in *..m)"),
        ("c::text < 'm'", "scan"),
        ("a < NULL", "never"),
        ("s LIKE 'pfx-%'", "2^@pfx-"),
        ("s LIKE 'a_b%'", "2^@a"),
        ("s LIKE '%abc%'", "2~abc"),
        ("s LIKE '%abc'", "2~abc"),
        ("s LIKE '%a%bcd%e%'", "2~bcd"),
        ("s LIKE 'x\\%'", "2=x%"),
        ("s LIKE 'x!%%' ESCAPE '!'", "2^@x%"),
        ("s LIKE '%'", "scan"),
        ("s LIKE '_%'", "scan"),
        ("s NOT LIKE 'a%'", "scan"),
        ("NOT s NOT LIKE 'a%'", "2^@a"),
        ("s ILIKE 'ÄBC%'", "2~*äbc"),
        ("c LIKE 'ab%'", "4^@ab"),
        ("c LIKE 'ab'", "4=ab"),
        ("v LIKE 'ab%'", "9^@ab"),
        ("s ^@ 'ab'", "2^@ab"),
        ("starts_with(s, 'ab')", "2^@ab"),
        ("s ^@ ''", "scan"),
        ("s ~ '^ab'", "scan"),
        ("s ~ '('", "never"),
        ("y LIKE 'ab%'", "scan"),
        ("s IS NULL", "2 null"),
        ("NOT (s IS NOT NULL)", "2 null"),
        ("s IS NOT NULL", "scan"),
        ("a IS NOT DISTINCT FROM 5", "0=5"),
        ("NOT (a IS DISTINCT FROM 5)", "0=5"),
        ("a IS DISTINCT FROM 5", "scan"),
        // NULL is not distinct from NULL: such rows must not be missed.
        ("a IS NOT DISTINCT FROM NULL::int8", "0 null"),
        ("NOT (NULL::int8 IS DISTINCT FROM a)", "0 null"),
        (
            "a IN (1, 2) AND (b OR (s LIKE 'x%' AND f < 1))",
            "and(0=1|2 or(1=true and(2^@x 5 in *..1))))",
        ),
        ("(a = 1 OR a = 2) OR i = 3", "or(0=1 0=2 3=3)"),
        ("s LIKE 'a%' OR s LIKE '%'", "scan"),
    ] {
        assert_eq!(access(clause), expected, "{clause}");
    }
}
