//! What a clause can be filed under.

mod common;

use common::{compile, schema};
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
    ]);
    let compiled = compile(clause, &schema).unwrap_or_else(|e| panic!("{clause}: {e:?}"));
    show(&compiled.predicate.access())
}

fn values(values: &[Value<'_>]) -> String {
    let values: Vec<String> = values
        .iter()
        .map(|value| match value {
            Value::Int(i) => i.to_string(),
            Value::Bool(b) => b.to_string(),
            Value::Text(s) | Value::Bpchar(s) => (*s).to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
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
        ("a = 1 AND f > 2", "0=1"),
        ("a = 1 OR a = 2", "or(0=1 0=2)"),
        ("a = 1 OR f > 2", "scan"),
        ("(a = 1 OR s = 'x') AND f > 2", "or(0=1 2=x)"),
        ("a IN (1, 2) AND length(s) > 3", "0=1|2"),
        ("b", "1=true"),
        ("NOT b", "1=false"),
        ("b IS TRUE", "1=true"),
        ("b IS FALSE", "1=false"),
        ("b IS NOT TRUE", "scan"),
        ("NOT (a <> 5)", "0=5"),
        ("NOT (a <> 5 OR f < 1)", "0=5"),
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
