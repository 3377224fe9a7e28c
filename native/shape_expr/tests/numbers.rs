//! Functions of numbers: what the oracle taught, and what is refused.

mod common;

use common::{compile, constant, schema};

#[test]
fn places_and_digits_are_numerics_own() {
    for (expression, text) in [
        ("sqrt(0.0001)", "0.01000000000000000"),
        ("sqrt(2::numeric)", "1.414213562373095"),
        ("sqrt(1e20::numeric)", "10000000000.00000"),
        ("sqrt(119414108.5)", "10927.67626259124"),
        ("sqrt(12576658777169442.7)", "112145703.3379765"),
        ("exp(1.0)", "2.7182818284590452"),
        ("ln(2.0)", "0.6931471805599453"),
        ("log(100.0)", "2.0000000000000000"),
        ("log(2.0, 64.0)", "6.0000000000000000"),
        ("power(2.0, 10)", "1024.0000000000000000"),
        ("power(1.5, 17)", "985.2612533569335938"),
        ("100 ^ 0.5::numeric", "10.000000000000000"),
        ("7.0 ^ (-2)", "0.0204081632653061"),
        ("power('-inf'::numeric, 3)", "-Infinity"),
        ("round(1.25, 1)", "1.3"),
        ("trunc(1299.99, -2)", "1200"),
        ("ceil(-0.5)", "0"),
        ("ceil(-0.5::float8)", "-0"),
        ("round(2.5::float8)", "2"),
        ("div(-7.5, 2)", "-3"),
        ("lcm(1.5, 0.25)", "1.50"),
        ("gcd(0.0, 0.00)", "0.00"),
        ("trim_scale(1.500)", "1.5"),
        ("1::int2 << 15", "-32768"),
        ("1 << 33", "2"),
    ] {
        let shown = constant(&format!("({expression})::text = '{text}'"));
        // sqrt of 2 is checked by its beginning: how far it goes is the oracle's affair.
        let begins = constant(&format!("({expression})::text LIKE '{text}%'"));
        assert!(shown == Ok(Some(true)) || begins == Ok(Some(true)), "{expression}: {shown:?}");
    }
}

#[test]
fn numeric_places_are_limited_as_numeric_itself_is() {
    assert_eq!(constant("scale(round(1.5, 3000)) = 3000"), Ok(Some(true)));
    assert_eq!(constant("scale(trunc(1.5, 20000)) = 16383"), Ok(Some(true)));
    assert_eq!(constant("round(1.5, -2147483648) = 0"), Ok(Some(true)));
}

#[test]
fn errors_have_their_codes() {
    for (clause, code) in [
        ("sqrt(-1.0) = 0", "2201F"),
        ("sqrt(-1::float8) = 0", "2201F"),
        ("power(0.0, -1) = 0", "2201F"),
        ("power(-1.0, 0.5) = 0", "2201F"),
        ("ln(0.0) = 0", "2201E"),
        ("log(1.0, 2.0) = 0", "22012"),
        ("exp(6000.0) = 0", "22003"),
        ("power(10.0, 200000) = 0", "22003"),
        ("gcd((-2147483647 - 1), 0) = 0", "22003"),
        ("abs((-32768)::int2) = 0", "22003"),
        ("10::float8 ^ 400 = 0", "22003"),
        ("power(3.0, 100000000) = 0", "22003"),
    ] {
        assert_eq!(constant(clause), Err(code), "{clause}");
    }
}

#[test]
fn what_a_mathematics_library_decides_is_refused() {
    let schema = schema(&[("x", "float8"), ("i", "int4")]);
    for clause in
        ["exp(x) > 1", "ln(i) > 1", "log(x) > 1", "cbrt(x) > 1", "||/ x > 1", "sin(x) > 0"]
    {
        assert_eq!(compile(clause, &schema).expect_err(clause).code(), "not_supported", "{clause}");
    }
    // Exact powers are done, others raise rather than being a bit off.
    assert_eq!(constant("12345 ^ 2 = 152399025"), Ok(Some(true)));
    assert_eq!(constant("0.5::float8 ^ 20 = 9.5367431640625e-07"), Ok(Some(true)));
    assert_eq!(constant("1.5::float8 ^ 0.5::float8 = 1"), Err("0A000"));
}

#[test]
fn an_untyped_argument_may_be_a_network_card() {
    assert_eq!(
        compile("trunc(NULL) = 1", &schema(&[])).expect_err("trunc").sqlstate(),
        Some("42725")
    );
}

#[test]
fn long_logarithms_are_within_the_limits() {
    let clause = "scale(abs(-1e-100) ^ (-20.8876)) = 100 AND power(1e-100, 24.5)::text LIKE '0.0%'";
    assert_eq!(constant(clause), Ok(Some(true)));
}

#[test]
fn long_numbers_are_paid_for() {
    for clause in
        ["power(7.0, 30000) * 0 = 0", "sqrt(1e131000::numeric) > 0", "ln(2.0 + 1e-16000) > 0"]
    {
        match constant(clause) {
            Ok(_) => {}
            Err(code) => assert_eq!(code, "54000", "{clause}"),
        }
    }
}
