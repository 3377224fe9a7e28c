//! Clauses that differ only in constants share a program.

mod common;

use common::{compiler, schema};
use shape_expr::Param;

#[test]
fn constants_do_not_make_a_template() {
    let schema = schema(&[("a", "int8"), ("s", "text"), ("n", "numeric")]);
    let mut compiler = compiler();
    let mut keep = Vec::new();
    for i in 0..50i64 {
        for clause in [
            format!("a = {}", i * 1_000_000_007),
            format!("a = {i} AND s = 'x{i}'"),
            format!("a IN ({i}, {}, {})", i + 1, i * 7_000_000_000),
            format!("n > {i}.{i}"),
        ] {
            keep.push(compiler.compile(&clause, &schema, &[]).expect("compiles").predicate);
        }
    }
    let by_param = compiler.compile("a = $1", &schema, &[Param::Int(3)]).expect("compiles");
    assert_eq!(by_param.predicate.template_id(), keep[0].template_id());
    assert_eq!(compiler.templates(), 4);
    // One integer constant needs no memory of its own beyond the predicate.
    assert_eq!(keep[0].memory_bytes(), size_of::<shape_expr::Predicate>());
    assert!(size_of::<shape_expr::Predicate>() <= 32);
    assert!(size_of::<shape_expr::Value<'_>>() <= 24);
    assert!(size_of::<shape_expr::EvalError>() <= 8);
    drop(keep);
    drop(by_param);
    assert_eq!(compiler.templates(), 0);
}

#[test]
fn columns_and_operators_do() {
    let schema = schema(&[("a", "int8"), ("b", "int8")]);
    let mut compiler = compiler();
    let keep: Vec<_> =
        ["a = 1", "b = 1", "a < 1", "a = 1 AND b = 1", "a = 1 OR b = 1", "a IS NULL"]
            .iter()
            .map(|clause| compiler.compile(clause, &schema, &[]).expect("compiles").predicate)
            .collect();
    assert_eq!(compiler.templates(), keep.len());
    assert!(keep[3].columns().contains(0) && keep[3].columns().contains(1));
    assert!(keep[0].describe().contains("column 0"));
}
