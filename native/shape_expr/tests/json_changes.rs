//! Documents looked into by any path, changed, and made of values (checked against PostgreSQL; the
//! oracle checks the rest).

mod common;

use bumpalo::Bump;
use common::{compile, constant, eval, refusal, schema};
use shape_expr::{Datum, Limits, Row, Vm};

#[test]
fn a_path_may_be_any_array_of_texts() {
    let columns = [("j", "jsonb"), ("k", "json"), ("p", "text[]"), ("t", "text")];
    let document = r#"{"a": [1, {"b": "x"}], "1": null}"#;
    for (path, clause, answer) in [
        ("{a,1,b}", "j #>> p = 'x' AND k #>> p = 'x'", Some(true)),
        ("{a,1,b}", "j #> p = '\"x\"'", Some(true)),
        ("{a,NULL}", "(j #> p) IS NULL", Some(true)),
        ("{{a},{0}}", "j #>> p = '1'", Some(true)),
        ("{}", "j #> p = j", Some(true)),
        ("{a}", "j #> ARRAY[t, '-1', 'b'] = '\"x\"'", Some(true)),
        ("{x,a}", "j ?| p AND NOT j ?& p", Some(true)),
        ("{NULL}", "NOT j ?| p AND j ?& p", Some(true)),
        ("{a,1,b}", "j #- p = '{\"a\": [1, {}], \"1\": null}'", Some(true)),
        ("{a,1}", "j - p = '{}'", Some(true)),
    ] {
        let row = [Some(document), Some(document), Some(path), Some("a")];
        assert_eq!(eval(clause, &columns, &row), Ok(answer), "{path} {clause}");
    }
    let row = [Some(document), Some(document), Some("{{a},{0}}"), None];
    assert_eq!(eval("(j #- p) IS NULL", &columns, &row).map_err(|e| e.sqlstate()), Err("2202E"));
    let row = [Some(document), Some(document), None, None];
    assert_eq!(eval("(j #> p) IS NULL AND (j #- p) IS NULL", &columns, &row), Ok(Some(true)));
}

#[test]
fn a_subscript_is_a_key_or_a_place() {
    let columns = [("j", "jsonb"), ("n", "int4"), ("t", "varchar(5)")];
    let row = [Some(r#"{"a": [1, [2, 3]], "0": "zero"}"#), Some("1"), Some("a")];
    for clause in [
        "j['a'][1][-1] = '3'",
        "j[t][n][0] = '2'",
        "j['a']['1']['0'] = '2'",
        "j[0] = '\"zero\"'",
        "j['x'] IS NULL",
        "j['a'][NULL] IS NULL",
        "j['a']['x'] IS NULL",
        "(j -> 'a')[0] = '1'",
    ] {
        assert_eq!(eval(clause, &columns, &row), Ok(Some(true)), "{clause}");
    }
    for (clause, position) in
        [("j['a':'b'] IS NULL", 2), ("j[n::int8] IS NULL", 2), ("j[1.5] IS NULL", 2)]
    {
        let found = refusal(clause, &columns);
        assert_eq!(found, ("datatype_mismatch", Some(position)), "{clause}");
    }
}

#[test]
fn subscripts_of_nothing_are_not_looked_at() {
    let columns = [("j", "jsonb"), ("l", "int4[]"), ("n", "int4")];
    let row = [None, None, Some("0")];
    for clause in ["j[1 / n] IS NULL", "l[1 / n] IS NULL", "l[1:1 / n] IS NULL"] {
        assert_eq!(eval(clause, &columns, &row), Ok(Some(true)), "{clause}");
    }
    let row = [Some("{}"), Some("{1}"), Some("0")];
    for clause in ["j[1 / n] IS NULL", "l[1 / n] IS NULL", "l[1:1 / n] IS NULL"] {
        let raised = eval(clause, &columns, &row).map_err(|error| error.sqlstate());
        assert_eq!(raised, Err("22012"), "{clause}");
    }
    // What is constant is evaluated before any row.
    assert_eq!(constant("(NULL::int[])[1 / 0] IS NULL"), Err("22012"));
}

#[test]
fn documents_are_changed_where_a_path_leads() {
    for (expression, result) in [
        (r#"'{"a":1}'::jsonb #- '{a}'"#, "{}"),
        (r#"'[1,2,3]'::jsonb #- '{-1}'"#, "[1, 2]"),
        (r#"'{"a":{"b":1}}'::jsonb #- '{a,x}'"#, r#"{"a": {"b": 1}}"#),
        ("jsonb_set('[1,2]', '{-9}', '0')", "[0, 1, 2]"),
        ("jsonb_set('[1,2]', '{-2147483648}', '0')", "[0, 1, 2]"),
        ("jsonb_set('[1,2]', '{9}', '0')", "[1, 2, 0]"),
        ("jsonb_set('[1,2]', '{9}', '0', false)", "[1, 2]"),
        ("jsonb_set('{}', '{a,b}', '0')", "{}"),
        (r#"jsonb_set('{"a":{}}', '{a,b}', '0')"#, r#"{"a": {"b": 0}}"#),
        ("jsonb_insert('[1,2]', '{1}', '0')", "[1, 0, 2]"),
        ("jsonb_insert('[1,2]', '{1}', '0', true)", "[1, 2, 0]"),
        (r#"jsonb_insert('{"a":1}', '{b}', 'null')"#, r#"{"a": 1, "b": null}"#),
        (r#"jsonb_set_lax('{"a":1}', '{a}', NULL)"#, r#"{"a": null}"#),
        (r#"jsonb_set_lax('{"a":1}', '{a}', NULL, true, 'delete_key')"#, "{}"),
        (r#"jsonb_set_lax('{"a":1}', '{b}', NULL, true, 'return_target')"#, r#"{"a": 1}"#),
        (r#"'{"a":1}'::jsonb || '[2]'"#, r#"[{"a": 1}, 2]"#),
        (r#"'{"a":1}'::jsonb || '{"a":2,"b":3}'"#, r#"{"a": 2, "b": 3}"#),
        (r#"jsonb_delete('{"a":1,"b":2,"c":3}', 'a', NULL, 'c')"#, r#"{"b": 2}"#),
        (r#"jsonb_strip_nulls('{"a":null,"b":[null,{"c":null}]}')"#, r#"{"b": [null, {}]}"#),
    ] {
        let clause = format!("({expression})::text = '{result}'");
        assert_eq!(constant(&clause), Ok(Some(true)), "{expression}");
    }
    for (expression, code) in [
        ("'1'::jsonb #- '{a}'", "22023"),
        ("'[1]'::jsonb #- '{a}'", "22P02"),
        ("'[1]'::jsonb #- '{{0}}'", "2202E"),
        ("'{\"a\":1}'::jsonb #- '{NULL}'", "22004"),
        ("jsonb_set('1', '{a}', '2')", "22023"),
        ("jsonb_insert('{\"a\":1}', '{a}', '2')", "22023"),
        ("jsonb_set_lax('{}', '{a}', NULL, true, 'raise_exception')", "22004"),
        ("jsonb_set_lax('{}', '{a}', '1', true, NULL)", "22023"),
        ("'{}'::jsonb - 1", "22023"),
    ] {
        let clause = format!("({expression}) IS NULL");
        assert_eq!(constant(&clause), Err(code), "{expression}");
    }
}

#[test]
fn documents_are_made_of_values() {
    for (expression, result) in [
        ("to_jsonb(ARRAY[[1,2],[3,NULL]])", "[[1, 2], [3, null]]"),
        ("to_jsonb('infinity'::date)", "\"infinity\""),
        ("to_jsonb('2020-01-02 03:04:05.6+05:30'::timestamptz)", "\"2020-01-01T21:34:05.6+00:00\""),
        ("to_jsonb('0044-01-02 03:04 BC'::timestamp)", "\"0044-01-02T03:04:00 BC\""),
        ("to_jsonb('NaN'::float8)", "\"NaN\""),
        ("to_jsonb(1.50)", "1.50"),
        ("to_jsonb(5::oid)", "\"5\""),
        ("to_jsonb('a '::char(3))", "\"a  \""),
        ("to_json('{\"a\":  1}'::json)", "{\"a\":  1}"),
        ("to_json('{\"a\":  1}'::jsonb)", "{\"a\": 1}"),
        ("to_json('a\"b'::text)", "\"a\\\"b\""),
        ("array_to_json(ARRAY[[1,2],[3,4]], true)", "[[1,2],\n [3,4]]"),
        (
            "json_build_object('a', 1, true, NULL, 2.5, ARRAY[1,2])",
            "{\"a\" : 1, \"true\" : null, \"2.5\" : [1,2]}",
        ),
        ("jsonb_build_object('b', 1, 'a', NULL)", "{\"a\": null, \"b\": 1}"),
        ("json_build_array(1, 'a', NULL, '{}'::json)", "[1, \"a\", null, {}]"),
        ("jsonb_build_array()", "[]"),
        ("json_object('{a,1,b,NULL}')", "{\"a\" : \"1\", \"b\" : null}"),
        ("jsonb_object('{{a,1},{b,2}}')", "{\"a\": \"1\", \"b\": \"2\"}"),
        ("jsonb_object('{a,a}', '{1,NULL}')", "{\"a\": null}"),
        (
            "json_strip_nulls('{\"a\":null, \"b\" : [null, {\"c\":null}], \"a\":\"\\u0041\"}')",
            "{\"b\":[null,{}],\"a\":\"A\"}",
        ),
        (
            "jsonb_pretty('{\"a\":[1,{}],\"b\":\"x\"}')",
            "{\n    \"a\": [\n        1,\n        {\n        }\n    ],\n    \"b\": \"x\"\n}",
        ),
    ] {
        let clause = format!("({expression})::text = '{result}'");
        assert_eq!(constant(&clause), Ok(Some(true)), "{expression}");
    }
    for (expression, code) in [
        ("jsonb_build_object('a')", "22023"),
        ("jsonb_build_object(NULL, 1)", "22023"),
        ("json_build_object(ARRAY[1], 1)", "22023"),
        ("json_object('{a,1,b}')", "2202E"),
        ("json_object('{NULL,1}')", "22004"),
        ("json_object('{a}', '{1,2}')", "2202E"),
    ] {
        let raised = constant(&format!("({expression}) IS NULL"));
        assert_eq!(raised, Err(code), "{expression}");
    }
    let refused = compile("to_jsonb('x') IS NULL", &schema(&[])).expect_err("unknown");
    assert_eq!(refused.sqlstate(), Some("42804"));
}

#[test]
fn what_is_not_here_is_refused_with_its_reason() {
    let columns = [("j", "jsonb"), ("a", "int4")];
    for (clause, reason, position) in [
        ("j @? '$.a'", "operator @?, which takes a jsonpath, is not supported", 2),
        ("a = 1 AND j @@ '$.a'", "operator @@, which takes a jsonpath, is not supported", 12),
        (
            "jsonb_path_exists(j, '$')",
            "function jsonb_path_exists, which takes a jsonpath, is not supported",
            0,
        ),
        (
            "jsonb_object_keys(j) = 'a'",
            "function jsonb_object_keys, which returns a set, is not supported",
            0,
        ),
        ("unnest('{1}'::int[]) = 1", "function unnest, which returns a set, is not supported", 0),
        ("to_jsonb(ROW(1, a)) = j", "a row as an argument of to_jsonb is not supported", 0),
    ] {
        let error = compile(clause, &schema(&columns)).expect_err(clause);
        assert_eq!((error.to_string().as_str(), error.position()), (reason, Some(position)));
        assert_eq!(error.sqlstate(), Some("0A000"));
    }
}

#[test]
fn comparing_documents_and_decoding_them_costs_what_they_are_long() {
    let long = format!("[{}]", vec!["\"0123456789\""; 20_000].join(","));
    let columns = [("j", "jsonb"), ("k", "jsonb")];
    let used = |clause: &str, document: &str, runs: usize| {
        let schema = schema(&columns);
        let predicate = compile(clause, &schema).expect(clause).predicate;
        let arena = Bump::new();
        let data = vec![Datum::Text(document.as_bytes()); 2];
        let row = Row::new(&arena, &schema, &data);
        let mut vm = Vm::default();
        for _ in 0..runs {
            predicate.eval(&row, &mut vm).expect("an answer");
        }
        vm.take_fuel()
    };
    let bytes = long.len() as u64;
    // Decoded once, however often it is asked about.
    let first = used("j IS NULL", &long, 1);
    assert!(first > bytes / 32, "{first} of {bytes}");
    assert!(used("j IS NULL", &long, 10) < first + 100);
    assert!(used("j IS NULL", "[]", 1) < 10);
    // Compared each time.
    let compared = used("j = k", &long, 10) - used("j = k", &long, 1);
    assert!(compared > 9 * bytes / 32, "{compared} of {bytes}");
    let schema = schema(&columns);
    let predicate = compile("j >= k", &schema).expect("a clause").predicate;
    let arena = Bump::new();
    let data = vec![Datum::Text(long.as_bytes()); 2];
    let row = Row::new(&arena, &schema, &data);
    let limits = Limits { fuel: 1_000, ..Limits::default() };
    let raised = predicate.eval(&row, &mut Vm::new(limits)).map_err(|error| error.sqlstate());
    assert_eq!(raised, Err("54000"));
}
