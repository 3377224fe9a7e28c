//! Queries that are refused, with the reason and the byte it stands at; and views that share.

mod common;

use common::{circuit, flat, ints, shown};
use shape_expr::Param;
use view_circuit::{Error, Format, IngestBatch, ViewId};

/// The error's code, and the text from where it points on.
fn refusal(sql: &str) -> (&'static str, String) {
    let mut circuit = circuit();
    let error = circuit.register(ViewId(1), sql, &[], Format::Flat).expect_err(sql);
    assert_eq!(circuit.stats().nodes, 0, "{sql}: nothing is left of it");
    let at = match &error {
        Error::Query(error) => error.position().expect(sql),
        Error::UnknownTable { at, .. } | Error::DuplicateName { at, .. } => *at,
        other => panic!("{sql}: {other:?}"),
    };
    (error.code(), sql[at..].to_owned())
}

fn check(sql: &str, code: &str, from: &str) {
    let (found, rest) = refusal(sql);
    assert_eq!(found, code, "{sql}");
    assert!(rest.starts_with(from), "{sql}: points at {rest:?}");
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_place() {
    check("SELECT DISTINCT ON (x) x FROM a", "not_supported", "DISTINCT");
    check("SELECT x FROM a GROUP BY ROLLUP (x)", "not_supported", "GROUP BY");
    check("SELECT x FROM a ORDER BY x USING <", "not_supported", "USING");
    check("SELECT x FROM a ORDER BY x FETCH FIRST 3 ROWS WITH TIES", "not_supported", "FETCH");
    check("WITH RECURSIVE q AS (SELECT 1) SELECT x FROM a", "not_supported", "WITH");
    check("SELECT array_agg(x) FROM a", "not_supported", "array_agg");
    check("SELECT sum(x ORDER BY n) FROM a", "not_supported", "sum");
    check("SELECT x FROM a FOR UPDATE", "not_supported", "FOR UPDATE");
    check("VALUES (1)", "not_supported", "VALUES");
    check("SELECT rank() OVER () FROM a", "not_supported", "rank");
    check("SELECT a.id FROM a LEFT JOIN b ON b.a_id = a.id", "not_supported", "b ON");
    check("SELECT id FROM a NATURAL JOIN b", "not_supported", "b");
    check("SELECT id FROM a JOIN b USING (id)", "not_supported", "b USING");
    check("SELECT id FROM a, LATERAL (SELECT id FROM b) q", "not_supported", "FROM a");
    check("SELECT (SELECT 1) FROM a", "not_supported", "(SELECT 1)");
    check("SELECT id FROM a WHERE x > (SELECT 1 FROM b)", "not_supported", "(SELECT 1");
    check("SELECT id FROM a WHERE x > ANY (SELECT y FROM b)", "not_supported", "> ANY");
    check("SELECT id FROM a WHERE x < now()", "volatile_function", "now()");
    check("SELECT 1", "not_supported", "SELECT 1");
    check("DELETE FROM a", "not_supported", "DELETE");
    let sql = "SELECT id FROM a WHERE x NOT IN (SELECT y FROM b WHERE b.id = a.n)";
    check(sql, "not_supported", "NOT IN");
    let sql = "SELECT id FROM a WHERE (x, n) NOT IN (SELECT y, id FROM b)";
    check(sql, "not_supported", "NOT IN");
    let sql = "SELECT id FROM a WHERE EXISTS (SELECT FROM b WHERE b.y > a.x)";
    check(sql, "not_supported", "> a.x");
}

#[test]
fn names_lead_to_one_thing_or_are_refused() {
    check("SELECT id FROM nowhere", "unknown_table", "nowhere");
    check("SELECT id FROM a, other.b", "unknown_table", "other.b");
    check("SELECT z FROM a", "unknown_column", "z");
    check("SELECT b.id FROM a", "unknown_table", "b.id");
    check("SELECT a.id FROM a AS q", "unknown_table", "a.id");
    check("SELECT id FROM a, b", "ambiguous_column", "id");
    check("SELECT a.id FROM a, a", "duplicate_name", "a");
    check("SELECT a.id FROM a JOIN b ON c.id = a.id JOIN b c ON true", "unknown_table", "c.id =");
    check("SELECT q.* FROM a", "unknown_table", "q.*");
    check("SELECT id FROM a WHERE x IN (SELECT id, y FROM b)", "syntax_error", "IN");
    check("SELECT id FROM a WHERE x IN (SELECT true FROM b)", "unknown_operator", "x IN");
    check("SELECT id FROM a WHERE id = $1", "unknown_parameter", "$1");
    check("SELECT id FROM a WHERE ä", "unknown_column", "ä");
    check("SELECT id FROM a WHERE 'ä' = ;", "syntax_error", ";");
    check("SELECT id FROM a; SELECT id FROM a", "syntax_error", "SELECT id FROM a");
}

/// The SQLSTATE is PostgreSQL's.
fn check_state(sql: &str, state: &str, from: &str) {
    let mut circuit = circuit();
    let error = circuit.register(ViewId(1), sql, &[], Format::Flat).expect_err(sql);
    assert_eq!(error.sqlstate(), Some(state), "{sql}: {error}");
    let at = error.position().expect(sql);
    assert!(sql[at..].starts_with(from), "{sql}: points at {:?}", &sql[at..]);
    assert_eq!(circuit.stats().nodes, 0, "{sql}: nothing is left of it");
}

#[test]
fn groups_windows_and_sets_that_postgresql_refuses() {
    check_state("SELECT id, count(*) FROM a GROUP BY x", "42803", "id, count");
    check_state("SELECT x + n FROM a GROUP BY x", "42803", "n FROM");
    check_state("SELECT id, count(*) FROM a", "42803", "id, count");
    check_state("SELECT x FROM a HAVING count(*) > 1", "42803", "x FROM");
    check_state("SELECT a.x FROM a JOIN b ON b.a_id = a.id GROUP BY b.id", "42803", "a.x FROM");
    check_state("SELECT sum(count(*)) FROM a", "42803", "count(*))");
    check_state("SELECT sum(max(x)) FROM a", "42803", "max(x))");
    check_state("SELECT count(*) FROM a GROUP BY count(*)", "42803", "count(*)");
    check_state("SELECT max(x) FROM a GROUP BY max(x)", "42803", "max(x)");
    check_state("SELECT count(*) FROM a GROUP BY 1", "42803", "count(*) FROM");
    check_state("SELECT x FROM a WHERE count(*) > 1", "42803", "count(*) >");
    check_state("SELECT count(*) FILTER (WHERE count(*) > 1) FROM a", "42803", "count(*) > 1");
    check_state("SELECT x FROM a GROUP BY 2", "42P10", "2");
    check_state("SELECT x FROM a GROUP BY 'x'", "42601", "'x'");
    check_state("SELECT x FROM a ORDER BY 2", "42P10", "2");
    check_state("SELECT x FROM a ORDER BY nope", "42703", "nope");
    check_state("SELECT x AS q, n AS q FROM a ORDER BY q", "42702", "q");
    check_state("SELECT DISTINCT x FROM a ORDER BY n", "42P10", "n");
    check_state("SELECT x FROM a LIMIT -1", "2201W", "-1");
    check_state("SELECT x FROM a OFFSET -1", "2201X", "-1");
    check_state("SELECT x FROM a LIMIT 'many'", "22P02", "'many'");
    check_state("SELECT x FROM a LIMIT x", "42703", "x");
    check_state("SELECT sum(true) FROM a", "42883", "sum(");
    check_state("SELECT min(x = n) FROM a", "42883", "min(");
    check_state("SELECT count() FROM a", "42809", "count()");
    check_state("SELECT sum(*) FROM a", "42883", "sum(*)");
    check_state("SELECT max(x, n) FROM a", "42883", "max(");
    check_state("SELECT string_agg(x, n) FROM a", "0A000", "string_agg(");
    check_state("SELECT x FROM a UNION SELECT y, id FROM b", "42601", "UNION");
    check_state("SELECT x FROM a UNION SELECT 'ä' || 'x' FROM b", "42804", "UNION");
    check_state("SELECT x FROM a UNION SELECT 'x' FROM b", "22P02", "'x'");
    check_state("SELECT x FROM a UNION SELECT y FROM b ORDER BY x + 1", "0A000", "+ 1");
    check_state("SELECT x FROM a EXCEPT SELECT y FROM b ORDER BY z", "0A000", "z");
    check_state("SELECT q.z FROM (SELECT x FROM a) q", "42703", "q.z");
    check_state("SELECT x FROM (SELECT x FROM a)", "42601", "FROM (");
    check_state("SELECT q.x FROM (SELECT x, n AS x FROM a) q", "42702", "q.x");
    let sql = "SELECT id FROM a WHERE x IN (SELECT max(y) FROM b WHERE b.id = a.n)";
    check_state(sql, "0A000", "= a.n");
}

#[test]
fn types_without_an_equality_or_an_order_are_neither_grouped_nor_sorted_by() {
    let columns = [("id", "int8"), ("j", "json"), ("p", "jsonb")];
    let documents = common::table("d", &columns, &["id"]);
    let mut circuit = view_circuit::Circuit::new(vec![documents], shape_expr::Options::default())
        .expect("a table");
    for sql in [
        "SELECT DISTINCT j FROM d",
        "SELECT count(*) FROM d GROUP BY j",
        "SELECT id FROM d ORDER BY j",
        "SELECT count(DISTINCT j) FROM d",
        "SELECT j FROM d UNION SELECT j FROM d",
        "SELECT j FROM d EXCEPT ALL SELECT j FROM d",
    ] {
        let error = circuit.register(ViewId(1), sql, &[], Format::Flat).expect_err(sql);
        assert_eq!(error.sqlstate(), Some("42883"), "{sql}: {error}");
        assert_eq!(circuit.stats().nodes, 0, "{sql}: nothing is left of it");
    }
    flat(&mut circuit, "SELECT DISTINCT p FROM d ORDER BY p");
    flat(&mut circuit, "SELECT j FROM d UNION ALL SELECT j FROM d");
}

#[test]
fn an_inner_name_hides_an_outer_one() {
    let mut circuit = circuit();
    // `id` is b's, so this asks nothing of a's rows.
    let sql = "SELECT x FROM a WHERE EXISTS (SELECT FROM b WHERE id = a_id)";
    let view = flat(&mut circuit, sql);
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[1, 10, 0])).create("b", ints(&[5, 5, 0]));
    circuit.step(&batch).expect("rows");
    assert_eq!(shown(&circuit, view), [["10"]]);
}

#[test]
fn views_share_what_they_have_in_common_and_free_it_with_the_last() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    for id in 0..10 {
        batch.create("a", ints(&[id, id % 3, 0])).create("b", ints(&[id, id, 0]));
    }
    circuit.step(&batch).expect("rows");
    let first = flat(&mut circuit, "SELECT a.id FROM a JOIN b ON b.a_id = a.id WHERE a.x = 1");
    let alone = circuit.stats();
    assert_eq!((alone.arrangements, alone.arranged_rows), (2, 13));
    // The same join with something else selected: one node more.
    let second = flat(&mut circuit, "SELECT b.y FROM b, a WHERE a.x = 1 AND a.id = b.a_id");
    let third = flat(&mut circuit, "SELECT b.y FROM a JOIN b ON b.a_id = a.id WHERE a.x = 1");
    let all = circuit.stats();
    assert_eq!(all.arrangements, 2);
    circuit.unregister(second).expect("a view");
    circuit.unregister(third).expect("a view");
    assert_eq!(circuit.stats(), alone);
    circuit.unregister(first).expect("a view");
    let empty = view_circuit::Stats { table_rows: 20, ..Default::default() };
    assert_eq!(circuit.stats(), empty);
    assert_eq!(circuit.unregister(first), Err(Error::UnknownView(first)));
}

#[test]
fn a_thousand_views_over_one_subquery_keep_its_values_once() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    for id in 0..100 {
        batch.create("b", ints(&[id, id, id % 2]));
    }
    circuit.step(&batch).expect("rows");
    for n in 0..1000 {
        let sql = "SELECT id FROM a WHERE n = $1 AND x IN (SELECT a_id FROM b WHERE y = 1)";
        circuit
            .register(ViewId(n), sql, &[Param::Int(n as i64)], Format::Streaming)
            .expect("a view");
    }
    let stats = circuit.stats();
    // Each has its own filter, and the rows that pass it; the values are there once.
    assert_eq!((stats.arrangements, stats.arranged_rows), (1001, 50));
}

#[test]
fn a_view_that_raises_on_loaded_rows_is_refused_and_leaves_nothing() {
    let mut circuit = circuit();
    let mut batch = IngestBatch::new();
    batch.create("a", ints(&[1, 0, 0]));
    circuit.step(&batch).expect("a row");
    let error = circuit.register(ViewId(3), "SELECT 1 / x FROM a", &[], Format::Flat);
    let error = error.expect_err("a division by zero");
    assert_eq!(error.code(), "raised");
    assert!(error.to_string().contains("22012"), "{error}");
    assert_eq!(circuit.stats().nodes, 0);
    circuit.register(ViewId(3), "SELECT x FROM a", &[], Format::Flat).expect("the id is free");
    let error = circuit.register(ViewId(3), "SELECT x FROM a", &[], Format::Flat);
    assert_eq!(error.expect_err("no longer"), Error::DuplicateView(ViewId(3)));
}

#[test]
fn a_view_reads_the_tables_that_its_query_names_wherever_that_is() {
    let columns = [("id", "int8"), ("x", "int8")];
    let named = |name: &str| common::table(name, &columns, &["id"]);
    let tables = vec![named("a"), named("b"), named("c"), named("other.a"), named("unread")];
    let options = shape_expr::Options::default();
    let mut circuit = view_circuit::Circuit::new(tables, options).expect("tables");
    for (sql, expected) in [
        ("SELECT id FROM a", vec!["a"]),
        ("SELECT p.id FROM a p, a q WHERE p.id = q.x", vec!["a"]),
        ("SELECT c.id FROM c JOIN a ON a.id = c.x", vec!["a", "c"]),
        ("SELECT id FROM other.a", vec!["other.a"]),
        ("SELECT id FROM a WHERE x IN (SELECT x FROM b)", vec!["a", "b"]),
        (
            "SELECT id FROM a WHERE x NOT IN (SELECT x FROM b WHERE EXISTS \
               (SELECT FROM c WHERE c.id = b.id)) OR x = 1",
            vec!["a", "b", "c"],
        ),
        ("SELECT q.n FROM (SELECT x, count(*) AS n FROM b GROUP BY x) q", vec!["b"]),
        ("WITH q AS (SELECT x FROM b), r AS (SELECT x FROM c) SELECT x FROM q", vec!["b"]),
        (
            "SELECT x FROM a UNION SELECT x FROM c EXCEPT SELECT x FROM other.a",
            vec!["a", "c", "other.a"],
        ),
        ("SELECT id FROM a ORDER BY x LIMIT 1", vec!["a"]),
        ("SELECT id FROM a WHERE false", vec!["a"]),
    ] {
        let view = flat(&mut circuit, sql);
        let mut found = circuit.tables_of(view).expect("a view");
        found.sort_unstable();
        assert_eq!(found, expected, "{sql}");
        circuit.unregister(view).expect("a view");
        assert_eq!(circuit.tables_of(view), Err(Error::UnknownView(view)));
    }
    let tree = "SELECT id, ARRAY(SELECT id, ARRAY(SELECT id FROM c WHERE c.x = b.id) FROM b \
                WHERE b.x = a.id) FROM a";
    circuit.register(ViewId(5), tree, &[], Format::Tree).expect("a tree");
    let mut found = circuit.tables_of(ViewId(5)).expect("a view");
    found.sort_unstable();
    assert_eq!(found, ["a", "b", "c"]);
}
