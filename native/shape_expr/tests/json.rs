//! jsonb and json: text form, order, limits.

mod common;

use common::{compile, constant, eval, schema};

#[test]
fn jsonb_is_printed_as_postgresql_prints_it() {
    for (document, printed) in [
        (
            "{\"b\":1,\"aa\":2,\"a\":[1,2.50,-0,1e2]}",
            "{\"a\": [1, 2.50, 0, 100], \"b\": 1, \"aa\": 2}",
        ),
        ("{\"a\":1,\"a\":2}", "{\"a\": 2}"),
        (" [ ] ", "[]"),
        ("{}", "{}"),
        ("\"\\u00e4\\ud83d\\ude00\\u001f\\/\\n\"", "\"ä😀\\u001f/\\n\""),
        ("{\"a\":{\"a\":{}},\"\":null}", "{\"\": null, \"a\": {\"a\": {}}}"),
    ] {
        let clause = format!("'{document}'::jsonb::text = '{printed}'");
        assert_eq!(constant(&clause), Ok(Some(true)), "{document}");
    }
}

#[test]
fn json_keeps_its_text_and_its_last_repeated_key() {
    for (clause, answer) in [
        ("'{\"a\": 1,  \"a\":2}'::json::text = '{\"a\": 1,  \"a\":2}'", Ok(Some(true))),
        ("'{\"a\":1,\"a\":2}'::json ->> 'a' = '2'", Ok(Some(true))),
        ("'{\"a\":\"\\u0000\"}'::json ->> 'b' IS NULL", Err("22P05")),
        ("('[[1,2,3],[4]]'::json #> '{1,-1}') IS NULL", Ok(Some(true))),
        ("('[[1,2,3],[4]]'::jsonb #> '{1,-1}') = '4'", Ok(Some(true))),
        ("(' 5 '::json #>> '{}') = ' 5'", Ok(Some(true))),
        ("(' [5] '::json #>> '{}') = '[5]'", Ok(Some(true))),
        ("(' \"5\" '::json #>> '{}') = '5'", Ok(Some(true))),
        ("'{\"a\":{\"b\":1},\"a\":{}}'::json #>> '{a,b}' = '1'", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn a_scalar_alone_is_an_array_at_times() {
    for clause in [
        "'5'::jsonb -> 0 = '5'",
        "'5'::jsonb -> -1 = '5'",
        "('5'::jsonb #> '{0}') IS NULL",
        "'[1]'::jsonb @> '1'",
        "NOT '1'::jsonb @> '[1]'",
        "'\"a\"'::jsonb ? 'a'",
        "'[]'::jsonb < 'null'",
        "'1'::jsonb < '[1]'",
        "'[1,2]'::jsonb > '3'",
    ] {
        assert_eq!(constant(clause), Ok(Some(true)), "{clause}");
    }
}

#[test]
fn depth_is_no_danger() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let columns = [("j", "jsonb"), ("k", "jsonb"), ("t", "json")];
    let deep = nested(20_000);
    let row = [Some(deep.as_str()); 3];
    for clause in
        ["j = k", "j @> k", "j::text = k::text", "j <= k", "(t -> 0) IS NOT NULL", "j IN (k)"]
    {
        assert_eq!(eval(clause, &columns, &row), Ok(Some(true)), "{clause}");
    }
    let deeper = nested(20_001);
    for clause in ["j IS NULL", "t IS NULL"] {
        let row = [Some(deeper.as_str()); 3];
        assert_eq!(
            eval(clause, &columns, &row).map_err(|e| e.sqlstate()),
            Err("54001"),
            "{clause}"
        );
    }
}

#[test]
fn work_is_paid_for() {
    // Numbers whose text is far longer than they are.
    let long = format!("[{}]", vec!["1e131000"; 2_000].join(","));
    let columns = [("j", "jsonb")];
    let raised = eval("length(j::text) > 0", &columns, &[Some(&long)]);
    assert_eq!(raised.map_err(|e| e.sqlstate()), Err("54000"));
    // Containment of arrays compares each with each.
    let many = format!("[{}]", (0..20_000).map(|i| format!("[{i}]")).collect::<Vec<_>>().join(","));
    let columns = [("j", "jsonb")];
    let clause = "j @> jsonb_concat(jsonb_delete(j, 0), '[[-1]]')";
    let raised = eval(clause, &columns, &[Some(&many)]).map_err(|e| e.sqlstate());
    assert_eq!(raised, Err("54000"));
}

#[test]
fn a_json_has_no_equality() {
    let schema = schema(&[("t", "json"), ("j", "jsonb")]);
    for clause in ["t = '{}'", "t = t", "t IN ('1')", "t IS DISTINCT FROM '1'", "j @> t", "j = t"] {
        assert_eq!(
            compile(clause, &schema).expect_err(clause).sqlstate(),
            Some("42883"),
            "{clause}"
        );
    }
    for (clause, code) in [
        ("'{}' #> '{a}' IS NULL", "42725"),
        ("'{}' ?| '{a}'", "42725"),
        ("'{}' @> '{}'", "42725"),
        ("'{}' -> 'a' IS NULL", "42725"),
        ("'{}' @> 4", "42725"),
        ("4 <@ '{}'", "42725"),
        ("4 @> '{}'", "42883"),
        ("'{' ?& '{a}'", "22P02"),
    ] {
        assert_eq!(compile(clause, &schema).expect_err(clause).sqlstate(), Some(code), "{clause}");
    }
}

#[test]
fn an_open_schema_takes_an_arrow_for_jsonb() {
    let open = shape_expr::Schema::open("t");
    let grown = compile("data ->> 'k' = 'v' AND data ? 'x'", &open).expect("a clause").schema;
    let ty = grown.expect("it grew").columns()[0].ty.clone().expect("a type");
    assert_eq!(ty.to_string(), "jsonb");
}
