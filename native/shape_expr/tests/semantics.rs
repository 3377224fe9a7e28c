//! PostgreSQL's answers in the places where implementations go wrong (checked against it; the
//! oracle checks the rest).

mod common;

use common::{constant, eval};

#[test]
fn constants() {
    for (clause, answer) in [
        ("NULL = NULL", Ok(None)),
        ("NULL IS NOT DISTINCT FROM NULL", Ok(Some(true))),
        ("1 IN (2, NULL)", Ok(None)),
        ("1 NOT IN (1, NULL)", Ok(Some(false))),
        ("NULL::int BETWEEN 1 AND 2", Ok(None)),
        ("3 BETWEEN NULL AND 2", Ok(Some(false))),
        ("3 BETWEEN SYMMETRIC 4 AND 2", Ok(Some(true))),
        ("0.1 + 0.2 = 0.3", Ok(Some(true))),
        ("0.1::float8 + 0.2 = 0.3::float8", Ok(Some(false))),
        ("'NaN'::float8 = 'NaN'", Ok(Some(true))),
        ("'NaN'::numeric > 'Infinity'", Ok(Some(true))),
        ("9007199254740993 = 9007199254740993.0", Ok(Some(true))),
        ("9007199254740993::float8 = 9007199254740992", Ok(Some(true))),
        ("2147483647 + 1 = 0", Err("22003")),
        ("1/0 = 1", Err("22012")),
        ("false AND 1/0 = 1", Ok(Some(false))),
        ("1/0 = 1 AND false", Err("22012")),
        ("NULL AND 1/0 = 1", Err("22012")),
        ("'a' LIKE 'a\\'", Ok(Some(false))),
        ("'ab' LIKE 'a\\'", Err("22025")),
        ("'a%' LIKE 'a!%' ESCAPE '!'", Ok(Some(true))),
        ("'a\\' LIKE 'a\\' ESCAPE ''", Ok(Some(true))),
        ("'a  '::char(3) = 'a'", Ok(Some(true))),
        ("'a  '::char(3)::text = 'a'", Ok(Some(true))),
        ("'abc'::varchar(2) = 'ab'", Ok(Some(true))),
        ("2.5::float8::int = 2", Ok(Some(true))),
        ("2.5::numeric::int = 3", Ok(Some(true))),
        ("-9223372036854775808 = '-9223372036854775808'::int8", Ok(Some(true))),
        ("1e2::text = '100'", Ok(Some(true))),
        ("1e15::float8::text = '1e+15'", Ok(Some(true))),
        ("7 % -2 = 1", Ok(Some(true))),
        ("10.0 / 4 = 2.5", Ok(Some(true))),
        ("(10.0 / 3)::text = '3.3333333333333333'", Ok(Some(true))),
        ("'2024-02-29 12:00+02'::timestamptz = '2024-02-29T10:00Z'", Ok(Some(true))),
        ("'0044-03-15 BC'::timestamptz < '0001-01-01'", Ok(Some(true))),
        ("'infinity'::timestamptz > '294276-01-01'", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn a_constant_that_raises_raises_for_every_row() {
    let columns = [("a", "int4")];
    for row in [Some("1"), Some("2"), None] {
        let result = eval("a = 1 AND 1/0 = a", &columns, &[row]);
        assert_eq!(result.map_err(|e| e.sqlstate()), Err("22012"));
    }
    // What reads a column is not constant, and an arm that is not reached does not raise.
    assert_eq!(eval("a = 1 AND 1/a = 1", &columns, &[Some("0")]), Ok(Some(false)));
    assert!(eval("1/a = 1 AND a = 1", &columns, &[Some("0")]).is_err());
}

#[test]
fn columns_of_many_types() {
    for (ty, value, clause, answer) in [
        ("int8", "9007199254740993", "x = 9007199254740993", Some(true)),
        ("int4", "5", "x = 5.0", Some(true)),
        ("int4", "5", "x = '5'", Some(true)),
        ("float4", "0.1", "x = 0.1", Some(false)),
        ("float4", "0.1", "x = 0.1::float4", Some(true)),
        ("numeric", "1.10", "x = 1.1", Some(true)),
        ("varchar(5)", "ab", "x = 'ab'", Some(true)),
        ("bpchar", "ab  ", "x = 'ab'", Some(true)),
        ("bpchar", "ab  ", "x LIKE 'ab'", Some(false)),
        ("bpchar", "ab  ", "length(x) = 2 AND octet_length(x) = 4", Some(true)),
        ("name", "ab", "x = 'ab'::text", Some(true)),
        ("text", "ä", "x LIKE '_'", Some(true)),
        ("bool", "t", "x", Some(true)),
        ("timestamptz", "2024-01-01 00:00:00+00", "x = '2024-01-01 01:00+01'", Some(true)),
    ] {
        assert_eq!(eval(clause, &[("x", ty)], &[Some(value)]), Ok(answer), "{ty} {clause}");
    }
}
