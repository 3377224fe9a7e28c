//! Plans put together by calls: the same views as queries say, of the same nodes.

mod common;

use common::{circuit, flat, ints, shown};
use shape_expr::Param;
use view_circuit::{Circuit, Error, Format, IngestBatch, Plan, ViewId};

fn loaded() -> Circuit {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    for id in 0..12 {
        batch.create("a", ints(&[id, id % 4, id % 3]));
        batch.create("b", ints(&[id, id / 2, id % 5]));
    }
    circuit.step(&batch).expect("rows");
    circuit
}

/// Each plan beside the query that says the same.
fn pairs() -> Vec<(Result<Plan, Error>, &'static str)> {
    vec![
        (Ok(Plan::scan("a")), "SELECT * FROM a"),
        (Plan::scan("a").filter("x = 1"), "SELECT * FROM a WHERE x = 1"),
        (
            Plan::scan("public.a").filter("x > $1").and_then(|p| p.project(["id", "x + 1"])),
            "SELECT id, x + 1 FROM a WHERE x > $1",
        ),
        (
            // Both have a column id: each filter speaks of its own table.
            Plan::scan("a")
                .filter("id > 2")
                .and_then(|p| p.join(Plan::scan("b").filter("id < 9")?, [("id", "a_id")]))
                .and_then(|p| p.filter("x <> y"))
                .and_then(|p| p.project(["a.*", "b.y"])),
            "SELECT a.*, b.y FROM a JOIN b ON a.id = b.a_id WHERE a.id > 2 AND b.id < 9 AND x <> y",
        ),
        (
            Plan::scan("a")
                .join(Plan::scan("b"), [("id", "a_id")])
                .and_then(|p| p.join(Plan::scan("a").alias("c"), [("b.y", "x"), ("a.n", "n")]))
                .and_then(|p| p.project([("c.id", "id"), ("b.y * 2", "twice")])),
            "SELECT c.id, b.y * 2 AS twice FROM a JOIN b ON a.id = b.a_id \
             JOIN a c ON b.y = c.x AND a.n = c.n",
        ),
        (
            Plan::scan("a")
                .semi_join(Plan::scan("b").filter("y = 1").expect("one"), [("id", "a_id")]),
            "SELECT * FROM a WHERE id IN (SELECT a_id FROM b WHERE y = 1)",
        ),
        (
            Plan::scan("a")
                .anti_join(Plan::scan("b").filter("y = 1").expect("one"), [("x", "a_id")]),
            "SELECT * FROM a WHERE NOT EXISTS (SELECT FROM b WHERE y = 1 AND b.a_id = a.x)",
        ),
        (Plan::scan("a").project(["x"]).map(Plan::distinct), "SELECT DISTINCT x FROM a"),
        (
            Plan::scan("a")
                .filter("id > 1")
                .and_then(|p| p.join(Plan::scan("b"), [("id", "a_id")]))
                .and_then(|p| {
                    p.aggregate(["a.x"], [("a.x", "x"), ("count(*)", "rows"), ("sum(y)", "y")])
                })
                .and_then(|p| p.having("sum(y) > 1"))
                .and_then(|p| p.top_k(["count(*) DESC", "a.x"], Some(2), 1)),
            "SELECT a.x AS x, count(*) AS rows, sum(y) AS y FROM a JOIN b ON a.id = b.a_id WHERE a.id > 1 \
             GROUP BY a.x HAVING sum(y) > 1 ORDER BY count(*) DESC, a.x LIMIT 2 OFFSET 1",
        ),
        (
            Plan::scan("a").top_k(["x DESC", "id"], Some(3), 0),
            "SELECT * FROM a ORDER BY x DESC, id LIMIT 3",
        ),
        (
            Plan::scan("a")
                .project(["x"])
                .and_then(|p| p.union(Plan::scan("b").project(["y"])?, true))
                .and_then(|p| p.except(Plan::scan("b").filter("id > 5")?.project(["a_id"])?, false))
                .and_then(|p| p.top_k(["x"], Some(3), 0)),
            "SELECT x FROM a UNION ALL SELECT y FROM b EXCEPT SELECT a_id FROM b WHERE id > 5 ORDER BY x LIMIT 3",
        ),
    ]
}

#[test]
fn a_plan_is_the_view_that_its_query_is() {
    let mut circuit = loaded();
    let params = [Param::Int(1)];
    for (at, (plan, sql)) in pairs().into_iter().enumerate() {
        let (own, other) = (ViewId(2 * at as u64), ViewId(2 * at as u64 + 1));
        let plan = plan.expect(sql);
        let first = circuit.register_plan(own, &plan, &params, Format::Flat).expect(sql);
        assert!(!first.changes.is_empty(), "{sql}: it shows something");
        let nodes = circuit.stats();
        circuit.register(other, sql, &params, Format::Flat).expect(sql);
        assert_eq!(circuit.stats(), nodes, "{sql}: of the same nodes");
        assert_eq!(circuit.columns(own), circuit.columns(other));
        assert_eq!(circuit.hash(own), circuit.hash(other));
        assert_eq!(shown(&circuit, own), shown(&circuit, other));
    }
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[3]), ints(&[3, 1, 1])).delete("b", ints(&[4]));
    circuit.step(&batch).expect("a step");
    for at in 0..pairs().len() as u64 {
        assert_eq!(circuit.hash(ViewId(2 * at)), circuit.hash(ViewId(2 * at + 1)), "{at}");
    }
}

#[test]
fn what_a_plan_cannot_be_is_refused() {
    let code = |plan: Result<Plan, Error>| plan.expect_err("refused").code();
    assert_eq!(code(Plan::scan("a").filter("x >")), "syntax_error");
    assert_eq!(code(Plan::scan("a").filter("x IN (SELECT 1)")), "not_supported");
    assert_eq!(code(Plan::scan("a").project(["x; DROP TABLE a"])), "syntax_error");
    // Nothing can be smuggled in.
    assert_eq!(code(Plan::scan("a").project(["x FROM b --"])), "syntax_error");
    assert_eq!(code(Plan::scan("a").project(["x, x"])), "syntax_error");
    assert_eq!(code(Plan::scan("a").having("true UNION SELECT 1")), "syntax_error");
    assert_eq!(code(Plan::scan("a").having("true ORDER BY 1")), "syntax_error");
    assert_eq!(code(Plan::scan("a").top_k(["x, y"], None, 0)), "syntax_error");
    assert_eq!(code(Plan::scan("a").top_k(["x LIMIT 1"], None, 0)), "syntax_error");
    let cut = Plan::scan("a").top_k(["x"], Some(1), 0).expect("a plan");
    assert_eq!(code(cut.clone().union(Plan::scan("a"), true)), "not_supported");
    assert_eq!(code(cut.filter("x = 1")), "not_supported");
    let chosen = Plan::scan("a").project(["x"]).expect("a plan");
    assert_eq!(code(chosen.clone().filter("x = 1")), "not_supported");
    assert_eq!(code(Plan::scan("b").join(chosen.clone(), [("id", "x")])), "not_supported");
    assert_eq!(code(chosen.project(["x"])), "not_supported");

    let mut circuit = circuit();
    let mut refused = |plan: Result<Plan, Error>| {
        let plan = plan.expect("a plan");
        let error =
            circuit.register_plan(ViewId(1), &plan, &[], Format::Flat).expect_err("refused");
        assert_eq!(circuit.stats().nodes, 0);
        error.code()
    };
    assert_eq!(refused(Ok(Plan::scan("z"))), "unknown_table");
    assert_eq!(refused(Plan::scan("a").filter("z = 1")), "unknown_column");
    assert_eq!(refused(Plan::scan("a").join(Plan::scan("a"), [("id", "x")])), "duplicate_name");
    assert_eq!(
        refused(Plan::scan("a").anti_join(Plan::scan("a"), [("id", "x")])),
        "duplicate_name"
    );
    assert_eq!(
        refused(Plan::scan("a").join(Plan::scan("b"), [("id", "nothing")])),
        "unknown_column"
    );
}

#[test]
fn a_view_of_a_plan_and_one_of_a_query_may_not_share_an_id() {
    let mut circuit = loaded();
    let view = flat(&mut circuit, "SELECT id FROM a");
    let error = circuit.register_plan(view, &Plan::scan("a"), &[], Format::Flat);
    assert_eq!(error, Err(Error::DuplicateView(view)));
}

#[test]
fn a_plan_of_joins_is_joined_as_a_whole() {
    // The names of either side are looked up among its own tables.
    let inner = Plan::scan("b").alias("b1").join(Plan::scan("a").alias("a1"), [("a_id", "id")]);
    let plan = Plan::scan("a").join(inner.expect("a plan"), [("id", "b1.id")]).expect("a plan");
    let plan = plan.project(["a.id", "b1.id", "a1.id"]).expect("a plan");
    let mut circuit = loaded();
    let first = circuit.register_plan(ViewId(1), &plan, &[], Format::Flat).expect("a view");
    assert_eq!(first.changes.len(), 12);
    let sql =
        "SELECT a.id, b1.id, a1.id FROM a JOIN (b b1 JOIN a a1 ON b1.a_id = a1.id) ON a.id = b1.id";
    circuit.register(ViewId(2), sql, &[], Format::Flat).expect("a view");
    assert_eq!(circuit.hash(ViewId(1)), circuit.hash(ViewId(2)));
}
