//! Rows: within rows, as values, and the whole row of the table (checked against PostgreSQL; the
//! oracle checks the rest).

mod common;

use bumpalo::Bump;
use common::{compile, constant, eval, eval_data, refusal};
use shape_expr::{Collation, Column, ColumnType, Datum, Row, Schema, Truth, Vm};

#[test]
fn rows_within_rows_are_values() {
    for (clause, answer) in [
        // As values, NULL is equal to NULL and the greatest.
        ("ROW(ROW(NULL::int), 1) = ROW(ROW(NULL::int), 1)", Ok(Some(true))),
        ("ROW(ROW(1), 1) <= ROW(ROW(NULL::int), 1)", Ok(Some(true))),
        ("ROW(ROW(NULL::int), 1) <= ROW(ROW(1), 1)", Ok(Some(false))),
        ("ROW(1, ROW(2, 3)) < ROW(1, ROW(2, 4))", Ok(Some(true))),
        ("ROW(ROW(1, 2), 3) IS DISTINCT FROM ROW(ROW(1, 2), 4)", Ok(Some(true))),
        ("ROW(NULL::int, ROW(1)) = ROW(1, ROW(1))", Ok(None)),
        ("ROW(NULL::int, ROW(2)) = ROW(1, ROW(1))", Ok(Some(false))),
        // Of one type each.
        ("ROW(ROW(1), 1) = ROW(ROW(1::int8), 1)", Err("42804")),
        ("ROW(ROW(1), 1) = ROW(ROW(1, 2), 1)", Err("42804")),
        ("ROW(ROW(2), 1) = ROW(ROW(1, 2), 1)", Ok(Some(false))),
        ("ROW(ROW('a'), 1) = ROW(ROW('a'), 1)", Err("42883")),
        ("ROW(ROW('{}'::json), 1) = ROW(ROW('{}'::json), 1)", Err("42883")),
        ("ROW(ROW(ROW(1)), 1) = ROW(ROW(ROW(1)), 1)", Ok(Some(true))),
        // A row within a row is never NULL.
        ("ROW(1, ROW(2)) IS NULL", Ok(Some(false))),
        ("ROW(ROW(NULL)) IS NULL", Ok(Some(false))),
        ("ROW(ROW(NULL)) IS NOT NULL", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn rows_as_values() {
    for (clause, answer) in [
        ("ROW(1, 2) = ANY (ARRAY[ROW(3, 4), ROW(1, 2)])", Ok(Some(true))),
        ("ROW(1, 2) = ANY ('{}')", Ok(Some(false))),
        ("ROW(1) = ANY (ARRAY[ROW(1::int8)])", Err("42804")),
        ("CASE ROW(1, 2) WHEN ROW(1, 2) THEN true END", Ok(Some(true))),
        ("NULLIF(ROW(1, 2), ROW(1, 2)) IS NULL", Ok(Some(true))),
        ("NULLIF(ROW(NULL::int), ROW(1)) IS NULL", Ok(Some(true))),
        ("GREATEST(ROW(1, 2), ROW(1, 3)) = ROW(1, 3)", Ok(Some(true))),
        ("COALESCE(NULL, ROW(1, 2)) = ROW(1, 2)", Ok(Some(true))),
        ("ROW(1, 2) = NULL", Ok(None)),
        ("ROW(NULL, NULL) IS DISTINCT FROM NULL", Ok(Some(true))),
        ("CASE WHEN true THEN ROW(NULL, NULL) END IS NULL", Ok(Some(true))),
        ("CASE WHEN true THEN ROW(1, NULL) END IS NULL", Ok(Some(false))),
        ("CASE WHEN true THEN ROW(1, NULL) END IS NOT NULL", Ok(Some(false))),
        ("ROW(1, 2) IN (ROW(1, 2), NULL)", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
    for clause in [
        "ROW(1, 2)::text = '(1,2)'",
        "ROW(1) || 'x' = '(1)x'",
        "concat(ROW(1)) = '(1)'",
        "array_position(ARRAY[ROW(1)], ROW(1)) = 1",
        "ARRAY[ROW(1)] = ARRAY[ROW(1)]",
        "ROW() = ROW()",
    ] {
        assert_eq!(refusal(clause, &[]).0, "not_supported", "{clause}");
    }
    assert_eq!(refusal("ROW(1, 2)", &[]).0, "datatype_mismatch");
    assert_eq!(refusal("ROW(1) @> ROW(1)", &[]).0, "unknown_operator");
    assert_eq!(refusal("COALESCE(t, ROW(1)) IS NULL", &[("a", "int4")]).0, "datatype_mismatch");
}

#[test]
fn the_whole_row() {
    let columns = [("a", "int4"), ("b", "text")];
    let (full, half, empty) = ([Some("1"), Some("x")], [Some("1"), None], [None::<&str>, None]);
    for (clause, answers) in [
        ("t IS NULL", [false, false, true]),
        ("t IS NOT NULL", [true, false, false]),
        ("t.* IS NULL", [false, false, true]),
        ("ROW(t.*) IS NOT NULL", [true, false, false]),
        ("ROW(t.*, 1) IS NULL", [false, false, false]),
        ("t = t", [true, true, true]),
        ("t IS DISTINCT FROM NULL", [true, true, true]),
        ("t = ROW(1, 'x'::text)", [true, false, false]),
        ("t = ANY (ARRAY[t])", [true, true, true]),
        ("(1, 'x') = (t.a, b) IS TRUE", [true, false, false]),
        ("ROW(t.*) = (1, 'x') IS TRUE", [true, false, false]),
    ] {
        for (row, answer) in [full, half, empty].into_iter().zip(answers) {
            assert_eq!(eval(clause, &columns, &row), Ok(Some(answer)), "{clause} {row:?}");
        }
    }
    // A column of the table's name comes first, and an open schema knows no whole row.
    assert_eq!(eval("t IS NULL", &[("t", "int4"), ("b", "text")], &full), Ok(Some(false)));
    let error = compile("ROW(t.*) IS NULL", &Schema::open("t")).expect_err("open");
    assert_eq!((error.code(), error.position()), ("not_supported", Some(4)));
    assert_eq!(refusal("x.* IS NULL", &columns), ("unknown_table", Some(0)));
    // One column is enough to know.
    let answer = eval_data("t IS NULL", &columns, &[Datum::Int(1), Datum::Absent]);
    assert_eq!(answer, Ok(Truth::FALSE));
    let answer = eval_data("t = t", &columns, &[Datum::Int(1), Datum::Absent]);
    assert!(answer.expect("an answer").known().is_none());
}

#[test]
fn collations_that_contradict_each_other() {
    let text = |collation| {
        let mut ty: ColumnType = "text".parse().expect("text");
        ty.collation = collation;
        ty
    };
    let schema = Schema::new(
        "t",
        vec![
            Column::new("b", text(Collation::Default)),
            Column::new("c", text(Collation::C)),
            Column::new("d", text(Collation::CUtf8)),
        ],
    )
    .expect("a schema");
    let answer = |clause: &str, row: [Option<&str>; 3]| {
        let predicate = compile(clause, &schema).unwrap_or_else(|e| panic!("{clause}: {e}"));
        let data: Vec<Datum<'_>> =
            row.iter().map(|v| v.map_or(Datum::Null, |v| Datum::Text(v.as_bytes()))).collect();
        let arena = Bump::new();
        let row = Row::new(&arena, &schema, &data);
        let truth = predicate.predicate.eval(&row, &mut Vm::default());
        truth.map(|truth| truth.known().expect("known")).map_err(|error| error.sqlstate())
    };
    let (full, empty) = ([Some("x"); 3], [None; 3]);
    for clause in [
        "c = d",
        "c < d",
        "(c || d) = 'x'",
        "COALESCE(c, d) = 'x'",
        "strpos(c, d) = 1",
        "GREATEST(c, d) IS NULL",
        "lower(c || d) = 'xx'",
        "CASE c WHEN d THEN true END",
        "CASE (b COLLATE \"C\") WHEN d THEN true END",
        "ROW(ROW(b), 1) = ROW(ROW(c), 1)",
    ] {
        assert_eq!(answer(clause, full), Err("42P22"), "{clause}");
    }
    // Not where nothing is compared.
    for clause in ["c = d", "(c || d) = 'x'", "CASE c WHEN d THEN true END", "lower(c || d) = ''"] {
        assert_eq!(answer(clause, empty), Ok(None), "{clause}");
    }
    for clause in [
        "c = b",
        "c = d COLLATE \"C\"",
        "c LIKE d",
        "CASE (b COLLATE \"C\") WHEN c THEN true END",
        "CASE (b COLLATE \"C\") WHEN b COLLATE \"POSIX\" THEN true END",
        "(c || d) = 'xx' COLLATE \"C\"",
    ] {
        assert_eq!(answer(clause, full), Ok(Some(true)), "{clause}");
    }
    for (clause, position) in [
        ("b = 'x' AND (b || (c COLLATE \"C\")) = lower(d COLLATE \"POSIX\")", 45),
        ("GREATEST(b COLLATE \"C\", c COLLATE \"POSIX\") = 'x'", 26),
        ("b COLLATE \"C\" IN ('a', 'b' COLLATE \"POSIX\")", 27),
    ] {
        let error = compile(clause, &schema).expect_err(clause);
        assert_eq!(
            (error.sqlstate(), error.position()),
            (Some("42P21"), Some(position)),
            "{clause}"
        );
    }
}
