//! Arrays, enums, rows and the control forms where implementations go wrong (checked against
//! PostgreSQL; the oracle checks the rest).

mod common;

use bumpalo::Bump;
use common::{compile, compiler, constant, eval, eval_data, schema};
use shape_expr::{Column, ColumnType, Datum, Row, Schema, Truth, Value, Vm, decode};

#[test]
fn constants() {
    for (clause, answer) in [
        ("CASE WHEN false THEN 1/0 = 1 ELSE true END", Ok(Some(true))),
        ("CASE 1 WHEN 2 THEN false WHEN 1 THEN true END", Ok(Some(true))),
        ("CASE WHEN NULL THEN true END", Ok(None)),
        ("CASE WHEN true THEN 1 ELSE 2.5 END = 1.0", Ok(Some(true))),
        ("COALESCE(NULL, 1, 1/0) = 1", Ok(Some(true))),
        ("COALESCE(NULL, NULL) IS NULL", Ok(Some(true))),
        ("NULLIF(1, 1.0) IS NULL", Ok(Some(true))),
        ("NULLIF(NULL, 1) IS NULL", Ok(Some(true))),
        ("GREATEST(1, NULL, 2.5) = 2.5", Ok(Some(true))),
        ("LEAST(NULL, NULL) IS NULL", Ok(Some(true))),
        ("(1, 2) < (1, 3)", Ok(Some(true))),
        ("(1, NULL) < (2, 0)", Ok(Some(true))),
        ("(1, NULL) < (1, 0)", Ok(None)),
        ("(1, 2) = (1, NULL)", Ok(None)),
        ("(1, 2) <> (2, NULL)", Ok(Some(true))),
        ("(1, 2) IN ((3, 4), (1, 2))", Ok(Some(true))),
        ("ROW(NULL, 1) IS NULL", Ok(Some(false))),
        ("ROW(NULL, 1) IS NOT NULL", Ok(Some(false))),
        ("ROW(1, NULL) IS DISTINCT FROM ROW(1, NULL)", Ok(Some(false))),
        ("'{1,NULL}'::int[] = '{1,NULL}'", Ok(Some(true))),
        ("'{1,NULL}'::int[] > '{1,5}'", Ok(Some(true))),
        ("'[0:1]={1,2}'::int[] = '{1,2}'", Ok(Some(false))),
        ("'{1,2}'::int[] @> '{NULL}'", Ok(Some(false))),
        ("'{1,NULL}'::int[] && '{NULL}'", Ok(Some(false))),
        ("'{}'::int[] <@ '{}'", Ok(Some(true))),
        ("NULL = ANY ('{}'::int[])", Ok(Some(false))),
        ("NULL = ALL ('{}'::int[])", Ok(Some(true))),
        ("1 = ANY ('{2,NULL}')", Ok(None)),
        ("1 <> ALL ('{1,NULL}')", Ok(Some(false))),
        ("ARRAY[1,2] || 3 = '{1,2,3}'", Ok(Some(true))),
        ("ARRAY[[1],[2]] || ARRAY[3] = '{{1},{2},{3}}'", Ok(Some(true))),
        ("ARRAY[1,2] || ARRAY[[1]] = '{1}'", Err("2202E")),
        ("(ARRAY[1,2,3])[2:] = '{2,3}'", Ok(Some(true))),
        ("(ARRAY[1,2,3])[4] IS NULL", Ok(Some(true))),
        ("(ARRAY[[1,2],[3,4]])[2][1] = 3", Ok(Some(true))),
        ("(ARRAY[[1,2],[3,4]])[2] IS NULL", Ok(Some(true))),
        ("ARRAY[1.5,2.5]::int[] = '{2,3}'", Ok(Some(true))),
        ("ARRAY['a b', NULL, 'NULL', '']::text = '{\"a b\",NULL,\"NULL\",\"\"}'", Ok(Some(true))),
        ("'{abc,de}'::varchar(2)[] = '{ab,de}'", Ok(Some(true))),
        ("array_length('{}'::int[], 1) IS NULL", Ok(Some(true))),
        ("cardinality('{{1,2},{3,4}}'::int[]) = 4", Ok(Some(true))),
        ("array_position(ARRAY['a',NULL,'b'], NULL) = 2", Ok(Some(true))),
        ("array_to_string(ARRAY[1,NULL,3], '-', 'x') = '1-x-3'", Ok(Some(true))),
        ("string_to_array('a,,b', ',', '') = ARRAY['a',NULL,'b']", Ok(Some(true))),
        ("array_append('{{1}}'::int[], 2) IS NULL", Err("22000")),
        ("array_fill(7, '{2}', '{5}')::text = '[5:6]={7,7}'", Ok(Some(true))),
        ("array_fill(7, '{0,3}') = '{}'", Ok(Some(true))),
        ("array_fill(7, '{-1}') IS NULL", Err("54000")),
        ("array_fill(7, '{0,2}', '{1,2147483647}') IS NULL", Err("54000")),
        ("array_fill(7, '{1,NULL}') IS NULL", Err("22004")),
        ("array_fill(7, NULL) IS NULL", Err("22004")),
        ("array_fill(7, '{1}', '{1,2}') IS NULL", Err("2202E")),
        ("trim_array('[5:7]={1,2,3}'::int[], 1)::text = '{1,2}'", Ok(Some(true))),
        ("trim_array(ARRAY[[1,2],[3,4]], 1) = '{{1,2}}'", Ok(Some(true))),
        ("trim_array(ARRAY[1], 2) IS NULL", Err("2202E")),
        ("ARRAY['1'::json] = ARRAY['1'::json]", Err("42883")),
        ("NULL::json[] = ARRAY['1'::json]", Ok(None)),
        ("'a' || 5 = 'a5'", Ok(Some(true))),
        ("(-1)::int::oid = 4294967295", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn literals_that_are_no_arrays() {
    for (literal, sqlstate) in [
        ("", "22P02"),
        ("{1", "22P02"),
        ("{1}}", "22P02"),
        ("{{}}", "22P02"),
        ("{1,{2}}", "22P02"),
        ("{{1},{2,3}}", "22P02"),
        ("{1,}", "22P02"),
        ("[1:2]={1}", "22P02"),
        ("[2:1]={1}", "2202E"),
        ("{{{{{{{1}}}}}}}", "54000"),
        ("{99999999999}", "22003"),
    ] {
        let error =
            compile(&format!("'{literal}'::int[] IS NULL"), &schema(&[])).expect_err(literal);
        assert_eq!(error.sqlstate(), Some(sqlstate), "{literal}");
    }
    assert_eq!(
        compile("ARRAY[] = '{}'", &schema(&[])).expect_err("no type").sqlstate(),
        Some("42P18")
    );
}

#[test]
fn columns() {
    for (ty, value, clause, answer) in [
        ("text[]", "{a,\"b c\",NULL}", "'b c' = ANY (x)", Some(true)),
        ("text[]", "{a,NULL}", "'b' = ANY (x)", None),
        ("int4[]", "[2:3]={7,8}", "x[2] = 7 AND array_lower(x, 1) = 2", Some(true)),
        ("int4[]", "{1,2}", "x::text = '{1,2}'", Some(true)),
        ("int4[]", "{1,2}", "x::int8[] = '{1,2}'::int8[]", Some(true)),
        ("float4[]", "{0.1}", "x::text = '{0.1}'", Some(true)),
        ("numeric(5,2) array", "{1.50}", "1.5 = ANY (x)", Some(true)),
        ("_int8", "{{1,2},{3,4}}", "x @> '{4}'", Some(true)),
        ("int4", "3", "x = ANY ('{1,2,3,4,5,6,7,8,9,10}')", Some(true)),
        ("int4", "3", "x < ALL (ARRAY[4, x + 1])", Some(true)),
        ("int4", "3", "CASE x WHEN 1 THEN false WHEN 3 THEN true END", Some(true)),
        ("int4", "0", "CASE WHEN x = 0 THEN true ELSE 1 / x = 1 END", Some(true)),
        ("text", "b", "x COLLATE \"C\" > 'a'", Some(true)),
    ] {
        assert_eq!(eval(clause, &[("x", ty)], &[Some(value)]), Ok(answer), "{ty} {clause}");
    }
}

#[test]
fn enums_are_ordered_by_their_labels() {
    let mood = ColumnType::enumeration(&["sad", "ok", "happy"]).named("mood");
    let columns = vec![Column::new("m", mood.clone()), Column::new("ms", mood.clone().array_of())];
    let schema = Schema::new("t", columns).expect("schema");
    let row = vec![Datum::Text(b"ok"), Datum::Text(b"{happy,sad}")];
    for (clause, answer) in [
        ("m = 'ok'", true),
        ("m > 'sad' AND m < 'happy'", true),
        ("m IN ('happy', 'ok')", true),
        ("m = ANY (ms)", false),
        ("ms @> '{sad}'", true),
        ("m::text = 'ok'", true),
        ("m = 'ok'::mood", true),
        ("GREATEST(m, 'happy') = 'happy'", true),
        ("ms::text = '{happy,sad}'", true),
        ("m || '!' = 'ok!'", true),
    ] {
        let compiled = compile(clause, &schema).unwrap_or_else(|e| panic!("{clause}: {e:?}"));
        let arena = Bump::new();
        let row = Row::new(&arena, &schema, &row);
        let truth = compiled.predicate.eval(&row, &mut Vm::default()).expect(clause);
        assert_eq!(truth.known(), Some(Some(answer)), "{clause}");
    }
    let error = compile("m = 'angry'", &schema).expect_err("no label");
    assert_eq!(error.sqlstate(), Some("22P02"));
    assert_eq!(compile("m LIKE 'o%'", &schema).expect_err("no text").sqlstate(), Some("42883"));
    let arena = Bump::new();
    assert!(matches!(decode(&mood, Datum::Text(b"ok"), &arena), Ok(Value::Enum(1, "ok"))));
}

#[test]
fn unknown_values_leave_open_only_what_depends_on_them() {
    let columns = [("a", "int8"), ("b", "bool"), ("t", "text[]")];
    let row = [Datum::Absent, Datum::Absent, Datum::Absent];
    for (clause, outcome) in [
        ("CASE WHEN b THEN 1 ELSE 2 END = 1", Truth::ANY),
        ("CASE WHEN a = 1 AND false THEN 1 ELSE 2 END = 2", Truth::TRUE),
        ("COALESCE(a, 1) = 1", Truth::ANY),
        ("COALESCE(1, a) = 1", Truth::TRUE),
        ("'x' = ANY (t)", Truth::ANY),
        ("a = ANY ('{}')", Truth::FALSE),
        ("t @> NULL", Truth::NULL),
        ("ARRAY[a] = '{1}'", Truth::ANY),
        ("(1, a) < (2, 3)", Truth::TRUE),
        ("(1, a) < (1, 3)", Truth::ANY),
        ("array_append(t, 'x') IS NULL", Truth::TRUE_OR_FALSE),
    ] {
        assert_eq!(eval_data(clause, &columns, &row), Ok(outcome), "{clause}");
    }
}

#[test]
fn arrays_share_templates() {
    let schema = schema(&[("t", "text[]"), ("s", "text")]);
    let mut compiler = compiler();
    let mut id = |clause: &str| {
        compiler.compile(clause, &schema, &[]).expect(clause).predicate.template_id()
    };
    // Templates are dropped with their last predicate: keep one.
    let kept = common::compiler().compile("t @> '{a}'", &schema, &[]).expect("compiles");
    assert!(kept.predicate.memory_bytes() < 400);
    assert_ne!(id("t @> '{a}'"), id("t && '{a}'"));
}

/// What the oracle found.
#[test]
fn regressions() {
    let columns = [("p", "int8"), ("e", "int8[]")];
    let row = [Some("4"), Some("{{1},{2}}")];
    // A NULL subscript makes the slice NULL only once it is evaluated.
    let raised = eval("e[NULL:9] && (e || p)", &columns, &row).map_err(|e| e.sqlstate());
    assert_eq!(raised, Err("22000"));
    // The planner does not see through a null test of a constant row.
    let clause =
        "CASE WHEN ROW(NULL::int) IS NULL THEN true WHEN p < 'x'::text::int THEN false END";
    assert_eq!(eval(clause, &columns, &row).map_err(|e| e.sqlstate()), Err("22P02"));
    // Where there is no NULL, NULL is not searched for, from wherever.
    assert_eq!(constant("array_position('{1}'::int[], NULL, NULL) IS NULL"), Ok(Some(true)));
    assert_eq!(constant("array_position('{1}'::int[], 1, NULL) IS NULL"), Err("22004"));
    assert_eq!(constant("true = ((NULL COLLATE \"C\") COLLATE \"POSIX\")"), Ok(None));
    for (clause, sqlstate) in [
        ("'{a}' && '{b}'", "42725"),
        ("'{a}' @> ('a' || 'b')", "42725"),
        ("('a' COLLATE \"C\") = ('b' COLLATE \"POSIX\")", "42P21"),
        ("CASE WHEN true THEN true::int8 ELSE 'x'::int = 1 END", "42846"),
        ("ROW('a' = 1, 2) = ROW(true::int8, 2)", "22P02"),
        ("ROW(1, ('{1}')[1]) = ROW('x'::text, 1)", "42804"),
    ] {
        let error = compile(clause, &schema(&columns)).expect_err(clause);
        assert_eq!(error.sqlstate(), Some(sqlstate), "{clause}");
    }
}

#[test]
fn labels_of_an_enum() {
    let mood = || ColumnType::enumeration(&["sad", "ok", "happy"]).named("mood");
    let schema = Schema::new("t", vec![Column::new("m", mood())]).expect("a schema");
    let data = vec![Datum::Text(b"ok")];
    for (clause, answer) in [
        ("enum_first(m) = 'sad'", Some(true)),
        ("enum_last(NULL::mood) = 'happy'", Some(true)),
        ("enum_range(m) = '{sad,ok,happy}'", Some(true)),
        ("enum_range(m, NULL) = '{ok,happy}'", Some(true)),
        ("enum_range(NULL, m)::text = '{sad,ok}'", Some(true)),
        ("enum_range('happy', m) = '{}'", Some(true)),
        ("to_jsonb(enum_range(m, 'happy')) = '[\"ok\", \"happy\"]'", Some(true)),
    ] {
        let predicate = compile(clause, &schema).expect(clause).predicate;
        let arena = Bump::new();
        let row = Row::new(&arena, &schema, &data);
        let truth = predicate.eval(&row, &mut Vm::default()).expect(clause);
        assert_eq!(truth.known(), Some(answer), "{clause}");
    }
    assert_eq!(
        compile("enum_first('ok') = m", &schema).expect_err("an enum").sqlstate(),
        Some("42883")
    );
}
