//! Wherever a clause is true, the condition it is filed under holds; with its residual it says
//! exactly what the clause says.

mod common;

use std::cmp::Ordering;
use std::ops::Bound;

use bumpalo::Bump;
use common::{compile, schema};
use proptest::prelude::*;
use shape_expr::{Access, Datum, Row, Schema, Value, Vm, lower_case};

const COLUMNS: &[(&str, &str)] = &[
    ("a", "int8"),
    ("n", "numeric"),
    ("f", "float8"),
    ("s", "text"),
    ("c", "bpchar"),
    ("m", "name"),
    ("b", "bool"),
    ("t", "text[]"),
];

fn order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Numeric(a), Value::Numeric(b)) => a.compare(b),
        (Value::Float(a), Value::Float(b)) => match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(b).expect("numbers"),
            (a, b) => a.cmp(&b),
        },
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Bpchar(a), Value::Bpchar(b)) => {
            a.trim_end_matches(' ').cmp(b.trim_end_matches(' '))
        }
        _ => panic!("{a:?} beside {b:?}"),
    }
}

fn text<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(s) | Value::Bpchar(s) => Some(s),
        _ => None,
    }
}

fn holds(access: &Access<'_>, row: &Row<'_>) -> bool {
    let value = |column: usize| row.value(column).expect("readable");
    match access {
        Access::Never => false,
        Access::Scan => true,
        Access::Equal { column, values } => values.iter().any(|v| v.equals(&value(*column))),
        Access::Range { column, low, high } => {
            let value = value(*column);
            let above = match low {
                Bound::Unbounded => true,
                Bound::Included(low) => !value.is_null() && order(&value, low).is_ge(),
                Bound::Excluded(low) => !value.is_null() && order(&value, low).is_gt(),
            };
            above
                && match high {
                    Bound::Unbounded => true,
                    Bound::Included(high) => !value.is_null() && order(&value, high).is_le(),
                    Bound::Excluded(high) => !value.is_null() && order(&value, high).is_lt(),
                }
        }
        Access::Prefix { column, prefix } => {
            assert!(!prefix.is_empty());
            text(&value(*column)).is_some_and(|text| text.starts_with(prefix))
        }
        Access::Infix { column, literal, case_insensitive } => {
            assert!(!literal.is_empty());
            text(&value(*column)).is_some_and(|text| match case_insensitive {
                true => lower_case(text).contains(&**literal),
                false => text.contains(&**literal),
            })
        }
        Access::Contains { column, elements } => match value(*column) {
            Value::Array(array) => {
                elements.iter().all(|wanted| array.iter().any(|item| item.equals(wanted)))
            }
            _ => false,
        },
        Access::Overlaps { column, elements } => match value(*column) {
            Value::Array(array) => {
                elements.iter().any(|wanted| array.iter().any(|item| item.equals(wanted)))
            }
            _ => false,
        },
        Access::IsNull { column } => value(*column).is_null(),
        Access::And(parts) => parts.iter().all(|part| holds(part, row)),
        Access::Or(parts) => parts.iter().any(|part| holds(part, row)),
        other => panic!("{other:?}"),
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-3_i64..4).prop_map(|i| i.to_string()),
        (-30_i64..40).prop_map(|i| format!("{}.{}", i / 10, i.abs() % 10)),
        Just("9223372036854775807".to_owned()),
        Just("-9223372036854775808".to_owned()),
        Just("'NaN'".to_owned()),
        Just("NULL".to_owned()),
    ]
}

fn word() -> impl Strategy<Value = String> {
    "[abAB%_Ääİ ]{0,4}"
}

fn clause() -> impl Strategy<Value = String> {
    let numeric = || prop::sample::select(vec!["a", "n", "f"]);
    let textual = || prop::sample::select(vec!["s", "c", "m", "c::text", "m::text"]);
    let leaf = prop_oneof![
        (numeric(), prop::sample::select(vec!["<", "<=", ">", ">=", "=", "<>"]), number())
            .prop_map(|(column, op, number)| match (column, number.as_str()) {
                ("a", "'NaN'") => format!("a {op} 'NaN'::numeric"),
                _ => format!("{column} {op} {number}"),
            }),
        (prop::sample::select(vec!["n", "f"]), number(), number())
            .prop_map(|(column, a, b)| format!("{column} BETWEEN SYMMETRIC {a} AND {b}")),
        (textual(), prop::sample::select(vec!["<", "<=", ">", ">=", "="]), word())
            .prop_map(|(column, op, word)| format!("'{word}' {op} {column}")),
        (
            textual(),
            prop::sample::select(vec!["LIKE", "ILIKE", "NOT LIKE", "NOT ILIKE", "^@", "~"]),
            word()
        )
            .prop_map(|(column, op, word)| match op {
                "^@" => format!("{column}::text ^@ '{word}'"),
                _ => format!("{column} {op} '{word}'"),
            }),
        prop::sample::select(vec![
            "a IS NULL",
            "s IS NOT NULL",
            "b",
            "b IS TRUE",
            "b IS NOT FALSE",
            "c IS NOT DISTINCT FROM 'a '",
            "a IS NOT DISTINCT FROM NULL::int8",
            "f IS NOT DISTINCT FROM ('NULL'::text || NULL)::float8",
            "NOT (s IS DISTINCT FROM NULL::text)",
            "a IN (1, NULL, 3)",
            "n NOT IN (1, 2.5)",
            "a BETWEEN -1 AND 2",
            "s = ANY ('{a,b,NULL}')",
            "t @> '{a}'",
            "t @> '{}'",
            "t @> '{a,NULL}'",
            "t && '{a,B,NULL}'",
            "'a' = ANY (t)",
            "t <@ '{a,b}'",
            "(a = 1) IS NOT TRUE",
            "(a > 1 OR b) IS FALSE",
            "length(s) > 1",
            "1 / a = 1",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|arms| format!("({})", arms.join(") AND ("))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|arms| format!("({})", arms.join(") OR ("))),
            inner.prop_map(|arm| format!("NOT ({arm})")),
        ]
    })
}

fn value(column: usize) -> BoxedStrategy<Option<String>> {
    let some = match column {
        0 => (-3_i64..4).prop_map(|i| i.to_string()).boxed(),
        1 | 2 => prop_oneof![
            (-30_i64..40).prop_map(|i| format!("{}.{}", i / 10, i.abs() % 10)),
            Just("NaN".to_owned())
        ]
        .boxed(),
        7 => prop::sample::select(vec!["{}", "{a}", "{a,B}", "{NULL,b}", "{NULL}"])
            .prop_map(str::to_owned)
            .boxed(),
        6 => prop::sample::select(vec!["t", "f"]).prop_map(str::to_owned).boxed(),
        _ => word().boxed(),
    };
    prop::option::weighted(0.9, some).boxed()
}

fn row() -> impl Strategy<Value = Vec<Option<String>>> {
    (0..COLUMNS.len()).map(value).collect::<Vec<_>>()
}

fn check(clause: &str, schema: &Schema, rows: &[Vec<Option<String>>]) {
    let predicate = compile(clause, schema).unwrap_or_else(|e| panic!("{clause}: {e:?}")).predicate;
    let access = predicate.access();
    for data in rows {
        let arena = Bump::new();
        let datum = |text: &'_ Option<String>| -> Datum<'static> {
            match text {
                None => Datum::Null,
                Some(text) => Datum::Text(text.clone().leak().as_bytes()),
            }
        };
        let data: Vec<Datum<'_>> = data.iter().map(datum).collect();
        let row = Row::new(&arena, schema, &data);
        let Ok(truth) = predicate.eval(&row, &mut Vm::default()) else { continue };
        let found = holds(&access, &row);
        if truth.is_true() {
            assert!(found, "{clause}\n{access:?}\n{data:?}");
        }
        // What lets a router skip the rest, if there is one, must not be more than the clause.
        let open = predicate.residual();
        let rest = open.is_none_or(|residual| {
            assert!(residual.columns().is_subset(predicate.columns()));
            found && residual.eval(&row, &mut Vm::default()).expect("it raises no more").is_true()
        });
        let listing = open.map(|residual| residual.describe());
        assert_eq!(found && rest, truth.is_true(), "{clause}\n{access:?}\n{listing:?}\n{data:?}");
        for most in [1, 4, 64] {
            let any =
                access.alternatives(most).iter().any(|all| all.iter().all(|a| holds(a, &row)));
            assert_eq!(any, found, "{clause}\n{access:?}\n{data:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_true_is_found(clause in clause(), rows in prop::collection::vec(row(), 12)) {
        check(&clause, &schema(COLUMNS), &rows);
    }
}
