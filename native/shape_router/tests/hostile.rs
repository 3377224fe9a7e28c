//! Sets of shapes that are meant to hurt: only the changes that concern them pay, work is counted,
//! and every call stays within its budget.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use shape_router::{Budget, Class, RouteOptions, Router, Scratch, ShapeSpec};

fn row(a: i64, b: &str) -> Carried {
    Carried::whole(&Record { id: 1, a: Some(a), b: Some(b.to_owned()) })
}

fn add(router: &Router, first: u64, clauses: &[String]) {
    let specs = clauses.iter().zip(first..).map(|(c, id)| ShapeSpec::new(id, Some(c)));
    router.add_shapes(specs).unwrap();
}

/// The units that a change takes and the shapes it belongs to, in one call.
fn cost(router: &Router, record: &Carried) -> (u64, usize) {
    let (mut scratch, mut budget) = (Scratch::default(), Budget::unlimited());
    let change = insert(record);
    router.route(&change, RouteOptions::default(), &mut scratch, &mut budget, None).unwrap();
    (budget.spent(), scratch.ids().len())
}

/// A change's answer under small budgets is the whole one, and no call goes far beyond its own.
fn in_small_parts(router: &Router, record: &Carried, units: u64) {
    let change = insert(record);
    let mut most = 0;
    let (all, _) = in_parts(units, |scratch, budget, cursor| {
        let options = RouteOptions::default();
        let progress = router.route(&change, options, scratch, budget, cursor).unwrap();
        most = most.max(budget.spent());
        progress
    });
    assert_eq!(all.len(), cost(router, record).1);
    assert!(most < 2 * units, "a call did {most} units of {units}");
}

#[test]
fn ten_thousand_shapes_of_one_value_cost_the_rows_that_have_it() {
    for clause in [
        "a = 7",
        "a > 7 AND a < 9",
        "b LIKE 'hot%'",
        "b LIKE '%hot%'",
        "b ILIKE '%HOT%'",
        "a IS NULL",
    ] {
        let router = router();
        add(&router, 0, &vec![clause.to_owned(); 10_000]);
        let (units, hits) = cost(&router, &row(1, "cold"));
        assert!(units < 60 && hits == 0, "{clause}: a row apart takes {units} units");
        let hot = match clause {
            "a IS NULL" => Carried::whole(&Record { id: 1, a: None, b: None }),
            "a = 7" => row(7, ""),
            _ => row(8, "hot"),
        };
        assert_eq!(cost(&router, &hot).1, 10_000, "{clause}");
        in_small_parts(&router, &hot, 5_000);
        for id in 0..10_000 {
            router.remove_shape(id).unwrap();
        }
        assert_eq!(cost(&router, &hot).1, 0, "{clause}");
    }
}

#[test]
fn a_disjunction_of_64_is_found_by_each_and_named_once() {
    let router = router();
    let kinds = |i: u64| match i % 4 {
        0 => format!("a = {i}"),
        1 => format!("b LIKE '%<{i}>%'"),
        2 => format!("b LIKE 'p{i}-%'"),
        _ => format!("a BETWEEN {} AND {}", 1000 * i, 1000 * i + 5),
    };
    let clause: Vec<String> = (0..64).map(kinds).collect();
    add(&router, 0, &vec![clause.join(" OR "); 100]);
    assert_eq!(router.explain(0).unwrap().filed, "several");
    assert_eq!(router.explain(0).unwrap().conditions.len(), 64);
    for i in 0..64u64 {
        let record = match i % 4 {
            0 => row(i as i64, ""),
            1 => row(-1, &format!("x<{i}>y<1>z")),
            2 => row(-1, &format!("p{i}-")),
            _ => row(1000 * i as i64 + 5, "<5><9>"),
        };
        assert_eq!(cost(&router, &record).1, 100, "disjunct {i}");
    }
    let (units, hits) = cost(&router, &row(-1, "nothing of it"));
    assert!(units < 250 && hits == 0, "{units} units");
}

#[test]
fn ten_thousand_patterns_cost_a_row_no_more_than_a_hundred_do() {
    for (pattern, text) in [("%<i>%", "x<42>-"), ("<i>-%", "<42>-x"), ("%x<i>", "yx<42>")] {
        let costs = [100, 10_000].map(|shapes: u64| {
            let router = router();
            let clause = |i: u64| format!("b LIKE '{}'", pattern.replace('i', &i.to_string()));
            add(&router, 0, &(0..shapes).map(clause).collect::<Vec<_>>());
            assert_eq!(cost(&router, &row(1, text)).1, 1, "{pattern}");
            cost(&router, &row(1, "nothing of the kind")).0
        });
        assert!(costs[1] <= costs[0] + 40, "{pattern}: {costs:?} units");
    }
}

#[test]
fn a_hundred_thousand_hits_come_in_parts_and_cost_only_their_rows() {
    let router = router();
    let specs = (0..100_000).map(|id| ShapeSpec::new(id, Some("a > 7")));
    router.add_shapes(specs).unwrap();
    assert!(cost(&router, &row(7, "")).0 < 20);
    assert_eq!(cost(&router, &row(8, "")).1, 100_000);
    in_small_parts(&router, &row(8, ""), Budget::SCHEDULER_SLICE);
}

/// Finding them is one step, which counts half a unit each; all that follows is cut.
#[test]
fn a_million_hits_cost_only_their_rows() {
    const SHAPES: u64 = 1_000_000;
    let router = router();
    for first in (0..SHAPES).step_by(50_000) {
        let specs = (first..first + 50_000).map(|id| ShapeSpec::new(id, Some("a = 7")));
        router.add_shapes(specs).unwrap();
    }
    router.add_shape(ShapeSpec::new(SHAPES, Some("a = 8"))).unwrap();
    for (apart, hits) in [(row(6, ""), 0), (row(8, ""), 1)] {
        let (units, found) = cost(&router, &apart);
        assert!(units < 60 && found == hits, "a row apart takes {units} units");
    }
    let hot = row(7, "");
    let mut calls = Vec::new();
    let (all, _) = in_parts(Budget::SCHEDULER_SLICE, |scratch, budget, cursor| {
        let change = insert(&hot);
        let options = RouteOptions::default();
        let progress = router.route(&change, options, scratch, budget, cursor).unwrap();
        calls.push(budget.spent());
        progress
    });
    assert_eq!(all.len() as u64, SHAPES);
    assert!(calls[0] <= SHAPES / 2 + Budget::SCHEDULER_SLICE, "{} units", calls[0]);
    assert!(calls[1..].iter().all(|&units| units < 2 * Budget::SCHEDULER_SLICE));
}

/// With a literal within, regexes are found by it; without one, each is evaluated for each row, in parts.
#[test]
fn ten_thousand_distinct_regexes_keep_within_the_budget_and_leave_others_alone() {
    for (pattern, text) in [("^x{i}[a-c]+$", "x42abc"), ("^[a-c]{{n}}[xyz]?$", "abcabc")] {
        let router = router();
        let clause = |i: u64| {
            let pattern = pattern.replace("{n}", &(1 + i % 200).to_string());
            format!("b ~ '{}' AND a < {i}", pattern.replace("{i}", &i.to_string()))
        };
        add(&router, 0, &(0..10_000).map(clause).collect::<Vec<_>>());
        router.add_shape(ShapeSpec::new(20_000, Some("a = 7"))).unwrap();
        router.add_shape(ShapeSpec::new(20_001, Some("b = 'apart'"))).unwrap();
        let hits = cost(&router, &row(-1, text)).1;
        assert!(hits >= 1, "{pattern}");
        in_small_parts(&router, &row(-1, text), Budget::SCHEDULER_SLICE);
        assert_eq!(cost(&router, &row(20_000, "apart")).1, 1, "{pattern}");
        assert_eq!(cost(&router, &row(7, "APART")).1, 1, "{pattern}");
        for id in 0..10_000 {
            router.remove_shape(id).unwrap();
        }
        let (units, found) = cost(&router, &row(7, "apart"));
        assert!(units < 60 && found == 2, "{pattern}: {units} units");
    }
}

#[test]
fn shapes_that_always_raise_are_named_and_counted_and_concern_nobody_else() {
    let router = router();
    router.add_shape(ShapeSpec::new(1, Some("a = 1"))).unwrap();
    router.add_shape(ShapeSpec::new(2, Some("a = 2"))).unwrap();
    let raises = |i: u64| format!("1 / (a - a) = {i}");
    add(&router, 1_000, &(0..1_000).map(raises).collect::<Vec<_>>());
    // Filed where an index holds the rest: only rows that come so far raise.
    add(&router, 5_000, &["b = 'hot' AND 1 / (a - a) = 1".to_owned()]);
    let routed = |record: &Carried| {
        let (mut scratch, mut budget) = (Scratch::default(), Budget::unlimited());
        let options = RouteOptions { classify: true, ..RouteOptions::default() };
        let change = insert(record);
        router.route(&change, options, &mut scratch, &mut budget, None).unwrap();
        scratch.routed().to_vec()
    };
    let before = router.metrics().eval_errors;
    let answer = routed(&row(1, "hot"));
    assert_eq!(answer.len(), 1_002);
    assert_eq!((answer[0].id, answer[0].class), (1, Class::Insert));
    assert!(answer[1..].iter().all(|routed| routed.class == Class::Unknown && routed.id >= 1_000));
    assert_eq!(router.metrics().eval_errors - before, 1_001);
    assert_eq!(routed(&row(3, "cold")).len(), 1_000);
    in_small_parts(&router, &row(2, "cold"), 5_000);
    for id in (1_000..2_000).chain([5_000]) {
        router.remove_shape(id).unwrap();
    }
    assert_eq!(routed(&row(1, "hot")).len(), 1);
}

#[test]
fn nested_literals_are_found_in_bounded_work() {
    let router = router();
    let clauses: Vec<String> = (1..=200).map(|n| format!("b LIKE '%{}%'", "a".repeat(n))).collect();
    add(&router, 0, &clauses);
    let long = row(1, &"a".repeat(3000));
    assert_eq!(cost(&router, &long).1, 200);
    assert_eq!(cost(&router, &row(1, &"a".repeat(100))).1, 100);
}

#[test]
fn a_shape_moves_when_its_condition_is_no_longer_selective() {
    let router = router();
    let both = "b = 'open' AND a = 5";
    router.add_shape(ShapeSpec::new(1, Some(both))).unwrap();
    let column = |router: &Router| router.explain(1).unwrap().conditions[0].column.clone();
    let first = column(&router);
    // Many shapes come under the same condition, and share only that.
    let crowd = if first == "b" { "b = 'open'" } else { "a = 5" };
    for id in 0..300 {
        router.add_shape(ShapeSpec::new(100 + id, Some(crowd))).unwrap();
        assert_eq!(cost(&router, &row(5, "open")).1, id as usize + 2);
    }
    assert_ne!(column(&router), first);
    assert_eq!(router.explain(1).unwrap().conditions[0].shapes, 1);
    assert_eq!(cost(&router, &row(4, "open")).1 + cost(&router, &row(5, "x")).1, 300);
    router.remove_shape(1).unwrap();
    assert_eq!(cost(&router, &row(5, "open")).1, 300);
}

#[test]
fn explain_tells_every_kind() {
    let router = router();
    for (id, (clause, filed)) in [
        ("a = 1", "equality"),
        ("a IS NULL", "null"),
        ("a > 1", "range"),
        ("b LIKE 'x%'", "prefix"),
        ("b LIKE '%x%'", "infix"),
        ("b ILIKE 'X%'", "infix"),
        ("a = 1 OR b LIKE 'x%'", "several"),
        ("length(b) > 1", "scan"),
        ("false", "never"),
    ]
    .into_iter()
    .enumerate()
    {
        router.add_shape(ShapeSpec::new(id as u64, Some(clause))).unwrap();
        let explained = router.explain(id as u64).unwrap();
        assert_eq!(explained.filed, filed, "{clause}");
        assert!(explained.conditions.iter().all(|c| c.shapes > 0 && !c.column.is_empty()));
    }
}
