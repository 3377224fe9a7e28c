//! What is refused, with which code, and at which byte.

mod common;

use common::{compile, refusal, schema};

const COLUMNS: &[(&str, &str)] = &[("a", "int8"), ("s", "text"), ("u", "uuid"), ("b", "bool")];

#[test]
fn names_the_code_and_the_place() {
    for (clause, code, position) in [
        ("", "syntax_error", Some(0)),
        ("a =", "syntax_error", Some(3)),
        ("'ä' = s AND a = = 1", "syntax_error", Some(17)),
        ("missing = 1", "unknown_column", Some(0)),
        ("'ä' = s AND missing = 1", "unknown_column", Some(13)),
        ("x.a = 1", "unknown_table", Some(0)),
        ("a = 'x'", "invalid_literal", Some(4)),
        ("u = 'x'", "invalid_literal", Some(4)),
        ("u = 1", "unknown_operator", Some(2)),
        ("s = 1", "unknown_operator", Some(2)),
        ("a AND b", "datatype_mismatch", Some(0)),
        ("a", "datatype_mismatch", Some(0)),
        ("nosuch(a) = 1", "unknown_function", Some(0)),
        ("a = $1", "unknown_parameter", Some(4)),
        ("now() > '2024-01-01'", "volatile_function", Some(0)),
        ("current_timestamp IS NULL", "volatile_function", Some(0)),
        ("'now'::timestamptz IS NULL", "volatile_function", Some(0)),
        ("random() < 0.5", "volatile_function", Some(0)),
        ("count(*) > 1", "aggregate", Some(0)),
        ("sum(a) > 1", "aggregate", Some(0)),
        ("row_number() OVER () = 1", "window_function", Some(0)),
        ("a IN (SELECT 1)", "not_supported", Some(2)),
        ("a = 1 AND EXISTS (SELECT 1)", "not_supported", Some(10)),
        ("a::nosuch = 1", "unknown_type", Some(3)),
        ("s::\"char\" = 'a'", "unknown_type", Some(3)),
        ("a::uuid = u", "datatype_mismatch", Some(1)),
        ("b::numeric(0) = 1", "datatype_mismatch", Some(3)),
        ("- '1' = 1", "ambiguous", Some(0)),
        ("ROW(a, s)", "datatype_mismatch", Some(0)),
        ("ROW(a, s) || s = s", "not_supported", Some(10)),
        ("CASE WHEN b THEN a ELSE s END = s", "datatype_mismatch", None),
        ("s ~ '(a)\\1'", "not_supported", Some(4)),
        ("substring(s FROM '(a)\\1') = 'a'", "not_supported", Some(17)),
        ("a || a = 'a'", "unknown_operator", Some(2)),
        ("s === s", "unknown_operator", Some(2)),
        ("to_char(a, '9') = 'a'", "not_supported", Some(0)),
        ("sin(a) = 1", "not_supported", Some(0)),
        ("s::inet = s::inet", "not_supported", Some(3)),
    ] {
        let (found, at) = refusal(clause, COLUMNS);
        assert_eq!(found, code, "{clause}");
        if position.is_some() {
            assert_eq!(at, position, "{clause}");
        }
    }
}

#[test]
fn leftovers_are_no_part_of_a_clause() {
    for clause in [
        "a = 1 ORDER BY a",
        "a = 1 LIMIT 1",
        "a = 1 OFFSET 1",
        "a = 1 UNION SELECT 1",
        "a = 1 GROUP BY a",
        "true HAVING true",
        "a = 1 FOR UPDATE",
        "a = 1 WINDOW w AS ()",
        "a = 1; SELECT 1",
        "a = 1;",
        "; a = 1",
        "a = 1) OR (a = 2",
        "a = 1)",
        "(a = 1",
        "a = 1 /* open",
        "a = 1 FETCH FIRST 1 ROW ONLY",
        "-- nothing",
        "a = 1 a",
        "\0",
        "a = 1 \0",
    ] {
        assert_eq!(refusal(clause, COLUMNS).0, "syntax_error", "{clause:?}");
    }
}

#[test]
fn comments_are_blanks() {
    let schema = schema(COLUMNS);
    for clause in ["a = 1 -- ) OR true", "/* ( /* [ */ */ a = 1", "a = 1\n-- x\nAND b"] {
        assert!(compile(clause, &schema).is_ok(), "{clause}");
    }
}

#[test]
fn syntax_newer_than_15_is_refused() {
    for clause in ["a = 0x1F", "a = 1_000", "a = 0b11", "a = 0o17", "a = 1.5_5", "a = 12abc"] {
        assert_eq!(refusal(clause, COLUMNS), ("syntax_error", Some(4)), "{clause}");
    }
    for clause in ["s IS JSON", "JSON_OBJECT('a': 1) IS NULL", "JSON_EXISTS(s, '$')"] {
        assert_eq!(refusal(clause, COLUMNS).0, "not_supported", "{clause}");
    }
    assert!(["unknown_function", "aggregate"].contains(&refusal("any_value(a) = 1", COLUMNS).0));
}

#[test]
fn text_order_by_another_collation_is_refused_unless_asked_for() {
    use shape_expr::{Collation, Column, Compiler, Options, Schema};
    let mut ty: shape_expr::ColumnType = "text".parse().expect("text");
    ty.collation = Collation::Other;
    let schema = Schema::new("t", vec![Column::new("s", ty)]).expect("schema");
    let error = compile("s < 'a'", &schema).expect_err("refused");
    assert_eq!((error.code(), error.position()), ("not_supported", Some(2)));
    assert!(compile("s = 'a' AND s LIKE 'a%'", &schema).is_ok());
    let mut options = Options::default();
    options.order_any_collation_by_bytes = true;
    let mut compiler = Compiler::new(options).expect("options");
    assert!(compiler.compile("s < 'a'", &schema, &[]).is_ok());
}
