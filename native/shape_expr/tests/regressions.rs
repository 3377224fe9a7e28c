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

#[test]
fn a_boolean_as_a_name_is_one_letter() {
    assert_eq!(constant("true::name = 't'"), Ok(Some(true)));
    assert_eq!(constant("true::text = 'true'"), Ok(Some(true)));
    let row = [Some("true"), Some("t")];
    let columns = [("e", "name"), ("f", "boolean")];
    assert_eq!(eval("e NOT IN ('a', f::name)", &columns, &row), Ok(Some(true)));
}

#[test]
fn what_a_stable_function_made_raises_only_where_it_is_evaluated() {
    let columns = [("a", "int4")];
    let clause = "a = 1 OR '2024-01-01'::timestamptz::text::int = 2";
    assert_eq!(eval(clause, &columns, &[Some("1")]), Ok(Some(true)));
    assert_eq!(eval(clause, &columns, &[Some("2")]).map_err(|e| e.sqlstate()), Err("22P02"));
    let clause = "a = 1 OR '2024-01-01' IN ('x'::text::timestamptz, '2024-01-01')";
    assert_eq!(eval(clause, &columns, &[Some("1")]), Ok(Some(true)));
    assert_eq!(eval(clause, &columns, &[Some("2")]).map_err(|e| e.sqlstate()), Err("22007"));
}

#[test]
fn a_list_with_one_constant_is_compared_in_its_own_order() {
    let columns = [("a", "int4"), ("s", "text")];
    let row = [Some("42"), Some("x")];
    let raised = eval("a IN (s::int, 42)", &columns, &row).map_err(|e| e.sqlstate());
    assert_eq!(raised, Err("22P02"));
    assert_eq!(eval("a IN (42, s::int)", &columns, &row), Ok(Some(true)));
    assert_eq!(eval("a IN (s::int, 42, 43)", &columns, &row), Ok(Some(true)));
}

#[test]
fn a_dangling_escape_behind_a_percent_raises_at_the_end_of_the_text_too() {
    for (clause, answer) in [
        ("'z' LIKE '%_%\\'", Err("22025")),
        ("'äö' LIKE '_%_ä' ESCAPE 'ä'", Err("22025")),
        ("'' LIKE '%\\'", Ok(Some(false))),
        ("'a' LIKE 'a%\\'", Ok(Some(false))),
        ("'a' LIKE '%__'", Ok(Some(false))),
        ("'a' LIKE '%_'", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn a_types_name_called_like_a_function_is_a_cast() {
    let columns = [("a", "int4"), ("s", "text")];
    let row = [Some("42"), Some("2024-02-29")];
    assert_eq!(eval("date(s) = '2024-02-29'", &columns, &row), Ok(Some(true)));
    assert_eq!(eval("text(a) = '42'", &columns, &row), Ok(Some(true)));
    assert_eq!(eval("int4(s) = 1", &columns, &row).map_err(|e| e.sqlstate()), Err("22P02"));
    assert_eq!(eval("date(NULLIF('2024-01-01', '')) = '2024-01-01'", &[], &[]), Ok(Some(true)));
    let schema = schema(&columns);
    assert_eq!(compile("date(a) = '42'", &schema).expect_err("date").sqlstate(), Some("42883"));
}

#[test]
fn a_number_half_way_between_two_texts_prints_the_even_one() {
    assert_eq!(constant("596046447.75390625::float8::text = '596046447.7539062'"), Ok(Some(true)));
    // The shorter 5.684341886080802e-14 lies exactly between this number and the next.
    let clause = "'5.6843418860808015e-14'::float8::text = '5.684341886080802e-14'";
    assert_eq!(constant(clause), Ok(Some(true)));
}

#[test]
fn the_least_of_documents_raises_even_where_its_answer_is_not_needed() {
    let clause = "(GREATEST('1.5', NULL, '\"true\"'::json) #> NULL) IS NULL";
    assert_eq!(compile(clause, &schema(&[])).expect_err(clause).sqlstate(), Some("42883"));
}

#[test]
fn a_text_half_way_between_two_numbers_prints_neither() {
    for (number, text) in [
        ("'-1.53908e9'::float4", "-1.5390799e+09"),
        ("'-2.15784872750306e17'::float8", "-2.1578487275030598e+17"),
        ("'9007199254740993e22'::float8", "9.007199254740994e+37"),
    ] {
        assert_eq!(constant(&format!("({number})::text = '{text}'")), Ok(Some(true)), "{number}");
    }
}

#[test]
fn a_comparison_that_depends_on_the_time_zone_is_no_constant_in_any_form() {
    // What comes first is not known while planning, so what comes second raises there.
    for first in [
        "'2024-01-01'::timestamptz >= ANY ('{2020-01-01}'::timestamp[])",
        "'2024-01-01'::timestamptz IS DISTINCT FROM '2020-01-01'::timestamp",
        "NULLIF('2024-01-01'::timestamptz, '2020-01-01'::timestamp) IS NOT NULL",
    ] {
        assert_eq!(constant(first), Ok(Some(true)), "{first}");
        let clause = format!("({first}) OR (NULL <@ array_fill(1.5, '{{2}}', NULL))");
        assert_eq!(constant(&clause), Err("22004"), "{clause}");
    }
}

#[test]
fn a_null_test_of_a_row_that_case_gives_is_planned_field_by_field() {
    let clause =
        "(CASE WHEN true THEN ROW('{ok}'::text[], a) END) IS NULL AND decode('a', 'foo') = 'b'";
    assert_eq!(eval(clause, &[("a", "int4")], &[None]), Ok(Some(false)));
}

#[test]
fn which_enum_is_meant_must_be_known() {
    for clause in ["enum_range(NULL) = '{}'", "enum_first('ok') = 'ok'"] {
        let error = compile(clause, &schema(&[])).expect_err(clause);
        assert_eq!(error.sqlstate(), Some("42883"), "{clause}");
    }
}

#[test]
fn an_array_of_names_has_the_collation_of_names() {
    use shape_expr::{Collation, Column, Datum, Row, Schema, Vm};
    let mut ty: shape_expr::ColumnType = "text".parse().expect("text");
    ty.collation = Collation::CUtf8;
    let schema = Schema::new("t", vec![Column::new("f", ty)]).expect("a schema");
    for (clause, raises) in [
        ("(CAST('{a}' AS name[]))::text = f", true),
        ("f = CAST(CAST('{}' AS numeric[]) AS name)", true),
        ("CAST(f AS name) = 'x'::text", false),
        // Only where elements are compared.
        ("'{a}'::name[]::text[] && ARRAY[f]", true),
        ("'{}'::name[]::text[] && ARRAY[f]", false),
        ("array_position('{a}'::name[]::text[], f) IS NULL", true),
        ("array_position('{a}'::name[]::text[], f, 2) IS NULL", false),
        ("array_replace('{{a}}'::name[]::text[], f, 'b') IS NULL", true),
    ] {
        let predicate = compile(clause, &schema).expect(clause).predicate;
        let arena = bumpalo::Bump::new();
        let data = vec![Datum::Text(b"x")];
        let row = Row::new(&arena, &schema, &data);
        let raised = predicate.eval(&row, &mut Vm::default()).map_err(|error| error.sqlstate());
        assert_eq!(raised.err(), raises.then_some("42P22"), "{clause}");
    }
}

#[test]
fn of_two_rows_the_left_one_is_planned_first() {
    let clause = "ROW(a, '[]'::jsonb::float8) > ROW(make_time(17, 61, 0), 1)";
    let raised = eval(clause, &[("a", "time")], &[None]).map_err(|error| error.sqlstate());
    assert_eq!(raised, Err("22023"));
}

#[test]
fn the_least_integer_cuts_nothing_off_the_right() {
    assert_eq!(constant("right('ä', -2147483648) = 'ä'"), Ok(Some(true)));
    assert_eq!(constant("right('abc', -2147483647) = ''"), Ok(Some(true)));
}

#[test]
fn a_power_beyond_all_numerics_is_out_of_range_and_not_too_expensive() {
    assert_eq!(constant("(-3837673587028394203.7432) ^ 10000.000 IS NULL"), Err("22003"));
}

#[test]
fn encodings_that_do_not_exist_are_bad_parameters() {
    assert_eq!(constant("length('\\x61'::bytea, 'no encoding') = 1"), Err("22023"));
    assert_eq!(constant("length('\\x61'::bytea, 'UTF-8') = 1"), Ok(Some(true)));
}

#[test]
fn a_variadic_function_takes_no_array_by_its_name() {
    let columns = [("j", "jsonb")];
    assert_eq!(
        common::refusal("jsonb_delete(j, '{a}'::text[]) IS NULL", &columns).0,
        "unknown_function"
    );
    assert_eq!(eval("j - '{a}'::text[] = '{}'", &columns, &[Some("{\"a\": 1}")]), Ok(Some(true)));
}

#[test]
fn a_types_name_called_on_a_literal_with_a_collation_is_a_function() {
    for (clause, answer) in [
        ("oid(' 1' COLLATE \"C\") = 1", None),
        ("oid('x' COLLATE \"C\") = 1", Some("22P02")),
        ("date('2024-01-01' COLLATE \"C\") = '2024-01-01'", None),
        ("name('a' COLLATE \"C\") = 'a'", None),
        ("int4('1' COLLATE \"C\") = 1", Some("42725")),
        ("bool(NULL COLLATE \"C\")", Some("42725")),
        ("uuid('a' COLLATE \"C\") IS NULL", Some("42883")),
        ("jsonb('1' COLLATE \"C\") IS NULL", Some("42883")),
        ("oid(1::int2) = 1", None),
    ] {
        let refused = compile(clause, &schema(&[])).err();
        assert_eq!(refused.as_ref().map(|e| e.sqlstate()), answer.map(Some), "{clause}");
    }
}

/// What a clause about the text `e`, whose collation is another than that of names, answers.
fn clashing(clause: &str, e: &str) -> Result<Option<bool>, &'static str> {
    use shape_expr::{Collation, Column, Datum, Row, Schema, Vm};
    let mut ty: shape_expr::ColumnType = "text".parse().expect("text");
    ty.collation = Collation::CUtf8;
    let schema = Schema::new("t", vec![Column::new("e", ty)]).expect("a schema");
    let predicate = compile(clause, &schema).expect(clause).predicate;
    let arena = bumpalo::Bump::new();
    let data = vec![Datum::Text(e.as_bytes())];
    let row = Row::new(&arena, &schema, &data);
    let answer = predicate.eval(&row, &mut Vm::default());
    answer.map(|truth| truth.known().expect("known")).map_err(|error| error.sqlstate())
}

#[test]
fn a_long_list_of_names_of_two_collations_raises_only_where_two_are_equal() {
    for (clause, answer) in [
        ("e::name = ANY ('{1,2,3,4,5,6,7,8}')", Err("42P22")),
        ("e::name = ANY ('{1,2,3,4,5,6,7,8,9}')", Ok(Some(false))),
        ("e::name <> ALL ('{1,2,3,4,5,6,7,8,9}')", Ok(Some(true))),
        ("e::name = ALL ('{1,2,3,4,5,6,7,8,9}')", Err("42P22")),
        ("e::name = ANY ('{1,2,3,4,5,6,7,8,9,9}')", Err("42P22")),
        ("e::name = ANY ('{1,2,3,4,5,6,7,8,9,a}')", Err("42P22")),
        ("e::name = ANY ('{1,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL}')", Ok(None)),
        ("e::name IN ('1', '2', '3', '4', '5', '6', '7', '8', NULL)", Ok(None)),
        ("e::name NOT IN ('1', '2', '3', '4', '5', '6', '7', '8', '9')", Ok(Some(true))),
        // No constant for the planner: it does not hash it.
        (
            "e::name = ANY (ARRAY['1','2','3','4','5','6','7','8','2024-01-01'::timestamptz::name])",
            Err("42P22"),
        ),
        // Hashing a text asks for the collation.
        ("e = ANY ('{1,2,3,4,5,6,7,8,9}'::name[]::text[])", Err("42P22")),
    ] {
        assert_eq!(clashing(clause, "a"), answer, "{clause}");
    }
}

#[test]
fn searching_a_text_asks_for_its_collation_only_where_it_looks() {
    for (clause, answer) in [
        ("position(e IN 'ab'::name) = 0", Ok(Some(true))),
        ("position(e IN 'abc'::name) = 0", Err("42P22")),
        ("strpos(e, ''::name) = 1", Ok(Some(true))),
        ("octet_length(replace(''::name, e, 'x')) = 0", Ok(Some(true))),
        ("octet_length(replace('a'::name, e, 'x')) = 0", Err("42P22")),
        ("octet_length(split_part(''::name, e, 1)) = 0", Ok(Some(true))),
        ("octet_length(split_part('a'::name, e, 0)) = 0", Err("22023")),
        ("octet_length(split_part('a'::name, e, 1)) = 0", Err("42P22")),
        ("starts_with('a'::name, e)", Err("42P22")),
    ] {
        assert_eq!(clashing(clause, "xyz"), answer, "{clause}");
    }
}

#[test]
fn a_cast_of_an_array_that_is_written_out_cuts_each_item_to_length() {
    let columns = [("a", "int4"), ("g", "int4[]")];
    let row = [Some("123456"), Some("{1,2}")];
    // The item raises before the array is made.
    let clause = "(ARRAY[ARRAY[a], g])::numeric(5,1)[] IS NULL";
    assert_eq!(eval(clause, &columns, &row).map_err(|e| e.sqlstate()), Err("22003"));
    let clause = "(ARRAY[ARRAY[a], g])::numeric(9,1)[] IS NULL";
    assert_eq!(eval(clause, &columns, &row).map_err(|e| e.sqlstate()), Err("2202E"));
    assert_eq!(constant("(ARRAY['1', '2 h'])::interval day[] = '{1 day,0}'"), Ok(Some(true)));
    assert_eq!(
        constant("(ARRAY[ARRAY['abc'], '{xyz}'])::char(2)[] = '{{ab},{xy}}'"),
        Ok(Some(true))
    );
}

#[test]
fn an_oid_beyond_64_bits_is_out_of_range_whatever_follows_it() {
    for (text, answer) in [
        ("-13725714478795727428636.27", Err("22003")),
        ("18446744073709551616x", Err("22003")),
        ("18446744073709551615x", Err("22P02")),
        ("4294967296x", Err("22P02")),
        ("-18446744073709551615", Ok("1")),
        ("-2147483648", Ok("2147483648")),
        ("-2147483649", Err("22003")),
        ("-4294967295", Err("22003")),
    ] {
        let read = |wanted: &str| constant(&format!("'{text}'::text::oid = {wanted}"));
        assert_eq!(answer.map_or_else(|_| read("0"), read), answer.map(|_| Some(true)), "{text}");
    }
}

#[test]
fn subscripts_are_folded_before_what_they_are_subscripts_of() {
    let clause = "(array_fill(1e400::float8, '{1,2}') || -1)[1 / '0'] IS NULL";
    assert_eq!(constant(clause), Err("22012"));
    let clause = "(('{\"a\":1}'::jsonb -> (1 / (1 - 1)))[('x' || 'y')::int]) IS NULL";
    assert_eq!(constant(clause), Err("22P02"));
}

#[test]
fn a_subscript_of_null_is_not_known_while_planning() {
    for (clause, answer) in [
        ("CASE WHEN (NULL::bool[])[a] THEN 1 / 0 ELSE 1 END = 1", Err("22012")),
        ("(NULL::bool[])[a] OR true", Ok(Some(true))),
        ("(NULL::jsonb)[1 / a] IS NULL", Ok(Some(true))),
    ] {
        let raised = eval(clause, &[("a", "int4")], &[Some("0")]).map_err(|e| e.sqlstate());
        assert_eq!(raised, answer, "{clause}");
    }
}

#[test]
fn the_least_interval_as_a_time_is_beyond_the_day_and_printed_as_such() {
    let clause = "('-9223372036854775808 us'::interval)::time::text = '28:00:54.775808'";
    assert_eq!(constant(clause), Ok(Some(true)));
    let listed = "a <> ('-9223372036854775808 us'::interval)::time";
    let compiled = compile(listed, &schema(&[("a", "time")])).expect(listed);
    assert!(
        compiled.predicate.describe().contains("28:00:54.775808"),
        "{}",
        compiled.predicate.describe()
    );
}

#[test]
fn a_list_with_an_item_that_is_known_only_when_evaluated_is_built_then() {
    let columns = [("c", "real")];
    let clause = "c IN (CASE WHEN '2024-06-01'::timestamptz = '2024-11-03'::timestamptz + '3 days' \
                  THEN 1 END, '-1', 7)";
    assert_eq!(eval(clause, &columns, &[Some("7")]), Ok(Some(true)));
    assert_eq!(eval(clause, &columns, &[Some("8")]), Ok(None));
    let columns = [("c", "text")];
    let clause = "c IN ('a', (regexp_match(format('%s', 12::bigint), 'aa', 'z'))[2], 'b')";
    let raised = eval(clause, &columns, &[Some("a")]).map_err(|error| error.sqlstate());
    assert_eq!(raised, Err("22023"));
}

#[test]
fn an_intervals_text_is_not_known_while_planning() {
    // What comes before it is evaluated, and raises.
    let columns = [("d", "date")];
    let row = [Some("5874897-12-31")];
    for (last, answer) in [
        ("'5 min'::interval::text = 'a'", Err("22008")),
        ("('B' || '5 min'::interval) = 'a'", Err("22008")),
        ("('B' || 5) = 'a'", Ok(Some(false))),
    ] {
        let clause = format!("d + 513 = '2024-10-27' AND {last}");
        assert_eq!(eval(&clause, &columns, &row).map_err(|e| e.sqlstate()), answer, "{clause}");
    }
}

#[test]
fn a_name_made_of_a_text_has_the_texts_collation() {
    assert_eq!(clashing("1::text::name = e", "a"), Ok(Some(false)));
    assert_eq!(clashing("CAST(e::name AS text) = e", "a"), Ok(Some(true)));
    assert_eq!(clashing("1::name = e", "a"), Err("42P22"));
    assert_eq!(clashing("name(1.5) > e", "a"), Err("42P22"));
}

#[test]
fn a_whole_row_is_a_form_that_is_noted() {
    use shape_expr::coverage;
    coverage::start();
    compile("t IS NOT NULL", &schema(&[("a", "int4")])).expect("a clause");
    assert!(coverage::take().contains("form whole row"));
}
