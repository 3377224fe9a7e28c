//! Every mismatch the oracle has found, by name.

mod common;

use common::{compile, constant, eval, schema};

#[test]
fn a_column_may_hold_what_rounding_took_past_the_end_of_time() {
    let columns = [("a", "timestamp(2) with time zone")];
    let row = [Some("294277-01-01 00:00:00+00")];
    assert_eq!(eval("a IS NULL", &columns, &row), Ok(Some(false)));
    assert_eq!(eval("a > '2024-06-01'", &columns, &row), Ok(Some(true)));
    assert!(compile("a = '294277-01-01'", &schema(&columns)).is_err());
}

#[test]
fn the_prefix_plus_of_an_untyped_literal_is_float8() {
    assert_eq!(constant("+ '8' = 8"), Ok(Some(true)));
    assert!(compile("- '8' = 8", &schema(&[])).is_err());
}
