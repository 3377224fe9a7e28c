//! Clauses kept together say what they say by themselves, and each text is kept once.

mod common;

use bumpalo::Bump;
use common::{compiler, schema};
use proptest::prelude::*;
use shape_expr::{Datum, Packed, Predicate, Predicates, Row, Vm};

const CLAUSES: &[&str] = &[
    "a = {K}",
    "a > {K}",
    "s = 'text {K}'",
    "a = {K} AND s = 'text'",
    "a = {K} AND s = 'text {K}' AND d > '2024-01-0{K}'",
    "s IN ('x', 'text {K}', 'a third one')",
    "s LIKE '%ext {K}%'",
    "s LIKE ANY (ARRAY['%{K}', 'te%'])",
    "a IN ({K}, 2, 3) OR s ILIKE 'T%{K}'",
    "u = '00000000-0000-0000-0000-00000000000{K}'",
    "d = '2024-01-0{K}'",
    "tags @> '{text,t{K}}'",
    "s IS NULL",
];

fn predicate(compiler: &mut shape_expr::Compiler, clause: usize, k: u32) -> Predicate {
    let columns = [("a", "int8"), ("s", "text"), ("d", "date"), ("u", "uuid"), ("tags", "text[]")];
    let clause = CLAUSES[clause].replace("{K}", &k.to_string());
    compiler.compile(&clause, &schema(&columns), &[]).expect("compiles").predicate
}

/// All that a clause says: of some rows, to an index, and to people.
fn sayings(predicate: shape_expr::PredicateRef<'_>) -> Vec<String> {
    let columns = [("a", "int8"), ("s", "text"), ("d", "date"), ("u", "uuid"), ("tags", "text[]")];
    let schema = schema(&columns);
    let row = |k: u32| {
        let texts = [
            k.to_string(),
            format!("text {k}"),
            format!("2024-01-0{k}"),
            format!("00000000-0000-0000-0000-00000000000{k}"),
            format!("{{text,t{k}}}"),
        ];
        let data: Vec<Datum<'_>> = texts.iter().map(|t| Datum::Text(t.as_bytes())).collect();
        let arena = Bump::new();
        format!("{:?}", predicate.eval(&Row::new(&arena, &schema, &data), &mut Vm::default()))
    };
    let mut all: Vec<String> = (1..6).map(row).collect();
    all.extend([format!("{:?}", predicate.access()), predicate.describe()]);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn together_is_by_itself(
        ops in prop::collection::vec((any::<bool>(), 0..CLAUSES.len(), 1u32..6, any::<prop::sample::Index>()), 1..60),
    ) {
        let (mut compiler, mut kept) = (compiler(), Predicates::default());
        let mut model: Vec<(Packed, Predicate)> = Vec::new();
        for (add, clause, k, which) in ops {
            if add || model.is_empty() {
                let predicate = predicate(&mut compiler, clause, k);
                model.push((kept.insert(predicate.clone()), predicate));
            } else {
                let (packed, _) = model.swap_remove(which.index(model.len()));
                kept.remove(packed);
            }
        }
        for (packed, predicate) in &model {
            let found = kept.get(*packed).expect("is kept");
            prop_assert_eq!(found.template_id(), predicate.template_id());
            prop_assert_eq!(sayings(found), sayings(predicate.by_ref()));
        }
        let packed: Vec<Packed> = model.into_iter().map(|(packed, _)| packed).collect();
        packed.iter().for_each(|&packed| kept.remove(packed));
        prop_assert_eq!(compiler.templates(), 0, "nobody has a template any more");
        prop_assert!(packed.iter().all(|&packed| kept.get(packed).is_none()));
    }
}

#[test]
fn an_integer_needs_no_memory_and_a_text_is_kept_once() {
    let (mut compiler, mut kept) = (compiler(), Predicates::default());
    let schema = schema(&[("a", "int8"), ("s", "text")]);
    let mut add = |kept: &mut Predicates, clause: &str| {
        kept.insert(compiler.compile(clause, &schema, &[]).expect("compiles").predicate)
    };
    add(&mut kept, "a = 0");
    let before = kept.memory_bytes();
    for k in 1..1000 {
        add(&mut kept, &format!("a = {k}"));
    }
    assert_eq!(kept.memory_bytes(), before);

    let long = "x".repeat(10_000);
    for k in 0..1000 {
        add(&mut kept, &format!("s = '{long}'"));
        add(&mut kept, &format!("a = {k} AND s = '{long}'"));
        add(&mut kept, &format!("s IN ('{long}', 'y')"));
    }
    let grown = kept.memory_bytes() - before;
    // Once as a text and once in a list; two constants of 24 bytes for each that has two.
    assert!((20_000..20_000 + 1000 * 60).contains(&grown), "{grown} bytes");
}

#[test]
fn what_is_removed_makes_room() {
    let (mut compiler, mut kept) = (compiler(), Predicates::default());
    let schema = schema(&[("a", "int8"), ("s", "text")]);
    let mut round = |kept: &mut Predicates| {
        let mut add = |clause: String| {
            kept.insert(compiler.compile(&clause, &schema, &[]).expect("compiles").predicate)
        };
        let all: Vec<Packed> = (0..3000)
            .flat_map(|k| {
                [
                    add(format!("s = 'text {k}'")),
                    add(format!("a = {k} AND s = 'other {k}'")),
                    add(format!("s LIKE '%pattern {k}%' OR a = {k}")),
                ]
            })
            .collect();
        let full = kept.memory_bytes();
        all.into_iter().for_each(|packed| kept.remove(packed));
        (full, kept.memory_bytes())
    };
    let (full, empty) = round(&mut kept);
    assert!(empty < full / 2, "{empty} of {full} bytes stay");
    let (again, after) = round(&mut kept);
    assert!(
        again <= full + full / 8 && after <= empty + empty / 8,
        "{full} {again} {empty} {after}"
    );
}
