//! Texts that were compiled before need no parser, within bounds, and nobody can tell.

mod common;

use common::{compiler, schema};
use shape_expr::{Compiler, Options, Param};

#[test]
fn literals_alone_tell_known_clauses_apart() {
    let schema = schema(&[("a", "int8"), ("s", "text"), ("t", "text[]"), ("d", "timestamptz")]);
    for (first, second) in [
        ("a = 1", "a = 2"),
        ("a = -1", "a = -20"),
        ("a = 1 AND s = 'x'", "a = 77 AND s = E'y\\n'"),
        ("a IN (1, 2, 3)", "a IN (4, 5, 6)"),
        ("s LIKE 'abc%'", "s LIKE '%d_f'"),
        ("a BETWEEN 1 AND 2", "a BETWEEN 3 AND 4"),
        ("t @> '{a,b}'", "t @> '{c}'"),
        ("s = ANY ('{x,y}')", "s = ANY ('{z}')"),
        ("d > '2024-01-01'::timestamptz", "d > '2025-01-01'::timestamptz"),
        ("a % 10 = 3", "a % 7 = 1"),
        ("a > 1.5", "a > 2.75"),
        (
            "length(s) > 3 /* that ' is no string */",
            "length(s) > $$ 4 $$ /* that ' is no string */",
        ),
    ] {
        let mut compiler = compiler();
        let first = compiler.compile(first, &schema, &[]).expect(first).predicate;
        let made = compiler.compile(second, &schema, &[]).expect(second).predicate;
        if !second.contains("$$") {
            assert_eq!(compiler.text_cache_hits(), (1, 0), "{second}");
        }
        assert_eq!(made.template_id(), first.template_id(), "{second}");
        let fresh = common::compile(second, &schema).expect(second).predicate;
        assert_eq!(made.describe(), fresh.describe(), "{second}");
    }
}

#[test]
fn parameters_are_literals_too() {
    let schema = schema(&[("a", "int8"), ("s", "text")]);
    let mut compiler = compiler();
    let text = "a = $1 AND s = $2";
    let one = compiler.compile(text, &schema, &[Param::Int(1), Param::Text("x")]).expect("one");
    let two = compiler.compile(text, &schema, &[Param::Int(-9), Param::Text("y")]).expect("two");
    assert_eq!(compiler.text_cache_hits(), (1, 0));
    assert_eq!(one.predicate.template_id(), two.predicate.template_id());
    assert!(two.predicate.describe().contains("-9"));
    // A parameter of another kind makes another clause; an error is about the value at hand.
    let null = compiler.compile(text, &schema, &[Param::Null, Param::Text("y")]).expect("null");
    assert_ne!(null.predicate.template_id(), one.predicate.template_id());
    let bad = compiler.compile(text, &schema, &[Param::Text("x"), Param::Text("y")]);
    let bad = bad.expect_err("no integer");
    assert_eq!((bad.sqlstate(), bad.position()), (Some("22P02"), Some(4)));
}

#[test]
fn what_is_wrong_is_wrong_where_it_stands_in_this_text() {
    let schema = schema(&[("a", "int8"), ("d", "timestamptz")]);
    let mut compiler = compiler();
    compiler.compile("a = 1 AND d > '2024-01-01'", &schema, &[]).expect("compiles");
    let text = "a = 1234 AND d > '2024-01-32'";
    let error = compiler.compile(text, &schema, &[]).expect_err("no such day");
    assert_eq!((error.sqlstate(), error.position()), (Some("22008"), text.find('\'')));
}

#[test]
fn a_schema_of_other_contents_is_another_one() {
    let numbers = schema(&[("a", "int8")]);
    let texts = schema(&[("a", "text")]);
    let mut compiler = compiler();
    let one = compiler.compile("a = '1'", &numbers, &[]).expect("compiles").predicate;
    let two = compiler.compile("a = '1'", &texts, &[]).expect("compiles").predicate;
    assert_ne!(one.template_id(), two.template_id());
    let error = compiler.compile("a = 'x'", &numbers, &[]).expect_err("no integer");
    assert_eq!(error.sqlstate(), Some("22P02"));
    compiler.compile("a = 'x'", &texts, &[]).expect("compiles");
}

#[test]
fn hostile_texts_do_not_fill_the_memory() {
    let schema = schema(&[("a", "int8"), ("s", "text")]);
    let mut options = Options::default();
    options.text_cache_bytes = 64 * 1024;
    let mut compiler = Compiler::new(options).expect("options");
    let mut most = 0;
    let usual = compiler.compile("a = 1", &schema, &[]).expect("compiles");
    for i in 0..20_000_usize {
        let clause = match i % 4 {
            // Texts that differ in more than literals,
            0 => format!("a = 1{}", " ".repeat(i % 3_000)),
            // in literals that the grammar takes,
            1 => format!("s::varchar({}) = 'x'", 1 + i),
            // in literals that decide what the program is,
            2 => format!("a = {i} + {i}"),
            _ => format!("a IN ({})", vec!["1"; 1 + i % 700].join(",")),
        };
        if i % 16 < 4 {
            compiler.compile(&clause, &schema, &[]).expect("compiles");
        }
        compiler.compile(&format!("a = {i}"), &schema, &[]).expect("compiles");
        most = most.max(compiler.text_cache_bytes());
    }
    assert!(most > 16 * 1024 && most <= 64 * 1024, "{most}");
    // What is used all the time is still there.
    let (before, _) = compiler.text_cache_hits();
    compiler.compile("a = 5", &schema, &[]).expect("compiles");
    assert_eq!(compiler.text_cache_hits().0, before + 1);
    drop(usual);
}
