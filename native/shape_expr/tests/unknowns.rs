//! Absent columns: the answer is unknown only where it depends on them.

mod common;

use common::eval_data;
use shape_expr::{Datum, Truth};

const COLUMNS: &[(&str, &str)] = &[("a", "int8"), ("b", "bool"), ("s", "text")];

#[test]
fn keeps_exactly_the_outcomes_that_are_possible() {
    let row = [Datum::Absent, Datum::Absent, Datum::Text(b"x")];
    for (clause, outcome) in [
        ("a = 1", Truth::ANY),
        ("a = NULL", Truth::NULL),
        ("a = 1 AND s = 'y'", Truth::FALSE),
        ("s = 'y' AND a = 1", Truth::FALSE),
        ("a = 1 OR s = 'x'", Truth::TRUE),
        ("a IS NULL", Truth::TRUE_OR_FALSE),
        ("(a IS NULL) IS NOT NULL", Truth::TRUE),
        ("NOT b", Truth::ANY),
        ("b IS TRUE", Truth::TRUE_OR_FALSE),
        ("b IS NOT UNKNOWN", Truth::TRUE_OR_FALSE),
        ("a IN (1, 2)", Truth::ANY),
        ("a IS DISTINCT FROM 1", Truth::TRUE_OR_FALSE),
        ("a = 1 AND s IS NULL AND b", Truth::FALSE),
        ("s = 'x'", Truth::TRUE),
    ] {
        assert_eq!(eval_data(clause, COLUMNS, &row), Ok(outcome), "{clause}");
    }
    // NULL AND unknown: false or null, never true.
    let truth = eval_data("s = NULL AND b", COLUMNS, &row).expect("no error");
    assert!(!truth.may_be_true() && truth.known().is_none());
}

#[test]
fn a_column_that_the_row_does_not_know_is_unknown() {
    let row: [Datum<'_>; 0] = [];
    assert_eq!(eval_data("a = 1", COLUMNS, &row), Ok(Truth::ANY));
}
