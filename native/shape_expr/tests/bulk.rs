//! Predicates evaluated together give what each gives by itself.

mod common;

use bumpalo::Bump;
use common::{compiler, schema};
use proptest::prelude::*;
use shape_expr::{Bulk, Datum, Limits, Predicate, Row, Vm};

const CLAUSES: &[&str] = &[
    "length(s) > {K}",
    "{K} < length(s)",
    "lower(s) = '{K}'",
    "length(s) + a > {K} OR upper(s) LIKE 'A%{K}%'",
    "a / b > {K}",
    "abs(a / b) = {K}",
    "CASE WHEN a > {K} THEN length(s) = 1 ELSE lower(t) = '{K}' END",
    "COALESCE(lower(s), upper(t)) = '{K}'",
    "COALESCE(lower(s), upper(t)) || lower(s) > '{K}'",
    "repeat(s, abs(a)::int4) = '{K}'",
    "length(repeat(s, abs(b)::int4)) > {K}",
    "a = {K} AND s = 'x'",
    "(lower(s), a) < ('{K}', 1)",
    "NULLIF(lower(s), '{K}') IS NULL",
    "lower(s) IN ('{K}', 'a', NULL)",
    "(lower(s) = '{K}' AND a / b > 0) IS UNKNOWN",
];

fn datum(text: Option<&'static str>) -> Datum<'static> {
    text.map_or(Datum::Null, |text| Datum::Text(text.as_bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn together_is_one_by_one(
        clauses in prop::collection::vec((0..CLAUSES.len(), -3_i64..6, 1_usize..5), 1..8),
        a in prop::sample::select(vec![None, Some("-3"), Some("0"), Some("2"), Some("x")]),
        b in prop::sample::select(vec![None, Some("0"), Some("1"), Some("40")]),
        s in prop::sample::select(vec![None, Some(""), Some("a"), Some("ABCK"), Some("\u{e4}bc")]),
        absent in 0_usize..8,
        fuel in prop::sample::select(vec![4, 8, 12, 20, 40, 1_000_000]),
        bytes in prop::sample::select(vec![4, 40, 1 << 20]),
    ) {
        let schema = schema(&[("a", "int8"), ("b", "int8"), ("s", "text"), ("t", "text")]);
        let mut compiler = compiler();
        let mut predicates: Vec<Predicate> = Vec::new();
        for (clause, k, times) in &clauses {
            for i in 0..*times as i64 {
                let clause = CLAUSES[*clause].replace("{K}", &(k + i).to_string());
                predicates.push(compiler.compile(&clause, &schema, &[]).expect("compiles").predicate);
            }
        }
        let mut data = vec![datum(a), datum(b), datum(s), datum(Some("tK"))];
        if let Some(column) = data.get_mut(absent) {
            *column = Datum::Absent;
        }
        let arena = Bump::new();
        let limits = Limits { fuel, bytes };
        let row = Row::new(&arena, &schema, &data);
        let mut one_by_one = Vm::new(limits);
        let expected: Vec<_> = predicates.iter().map(|p| p.eval(&row, &mut one_by_one)).collect();
        let row = Row::new(&arena, &schema, &data);
        let mut together = Vm::new(limits);
        let mut bulk = Bulk::new(row);
        let answers: Vec<_> =
            predicates.iter().map(|p| bulk.eval(&p.by_ref(), &mut together)).collect();
        let show = |answer: &Result<shape_expr::Truth, shape_expr::EvalError>| match answer {
            Ok(truth) => format!("{truth:?}"),
            Err(error) => format!("{} {:?}", error.sqlstate(), error.column()),
        };
        let shown = |all: &[_]| all.iter().map(show).collect::<Vec<_>>();
        prop_assert_eq!(shown(&answers), shown(&expected));
        if fuel == 1_000_000 && bytes > 40 {
            prop_assert_eq!(together.fuel_used(), one_by_one.fuel_used());
        }
    }
}
