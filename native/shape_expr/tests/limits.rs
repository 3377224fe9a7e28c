//! Long and deep clauses: answered or refused, never a crash, on the smallest of stacks.

mod common;

use common::{compile, constant, eval, schema};
use shape_expr::{Limits, Row, Vm};

/// Runs on a stack as small as a scheduler's.
fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(160 * 1024).spawn(run).expect("a thread");
    thread.join().expect("no panic");
}

#[test]
fn clauses_over_64_kib_are_refused() {
    let clause = format!("a = 1{}", " ".repeat(64 * 1024));
    let error = compile(&clause, &schema(&[("a", "int8")])).expect_err("too long");
    assert_eq!(error.code(), "too_long");
}

#[test]
fn nesting_over_256_is_refused() {
    on_small_stack(|| {
        let schema = schema(&[("a", "int8"), ("b", "bool")]);
        let nested = |open: &str, inner: &str, close: &str, n: usize| {
            format!("{}{inner}{}", open.repeat(n), close.repeat(n))
        };
        for n in [1_000, 5_000] {
            for clause in [
                nested("(", "b", ")", n),
                nested("NOT ", "b", "", n),
                nested("- ", "a", " = 1", n.min(60)) + &" + 1".repeat(n),
                nested("a = -(", "1", ")", n),
                nested("", "a", "::int8", n) + " = 1",
                nested("", "a", "+a", n) + " = 1",
                nested("", "b", " IS TRUE", n),
                nested("CASE WHEN b THEN ", "b", " END", n),
                nested("a = ANY(ARRAY[", "1", "])", n),
                nested("length(", "a", ")", n),
                nested("(", "b", "", n),
                nested("(t.end + ", "1", ")", n),
            ] {
                if clause.len() > 64 * 1024 {
                    continue;
                }
                let error = compile(&clause, &schema).expect_err("too deep");
                let code = error.code();
                assert_eq!(code, "too_deep", "{}", &clause[..40]);
            }
        }
        for clause in [
            nested("(", "b", ")", 250),
            nested("NOT ", "b", "", 250),
            nested("", "a", "+a", 250) + " = 1",
        ] {
            compile(&clause, &schema).expect("deep, but not too deep");
        }
    });
}

#[test]
fn long_chains_are_flat() {
    on_small_stack(|| {
        let columns = [("a", "int8")];
        let ors: Vec<String> = (0..6_000).map(|i| format!("a={i}")).collect();
        let clause = ors.join(" OR ");
        assert_eq!(eval(&clause, &columns, &[Some("5999")]), Ok(Some(true)));
        assert_eq!(eval(&clause, &columns, &[Some("6000")]), Ok(Some(false)));
        let ands = vec!["a>0"; 6_000].join(" AND ");
        assert_eq!(eval(&ands, &columns, &[Some("1")]), Ok(Some(true)));
        let items: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
        let list = format!("a IN ({})", items.join(","));
        assert_eq!(eval(&list, &columns, &[Some("9999")]), Ok(Some(true)));
        assert_eq!(eval(&list, &columns, &[Some("-1")]), Ok(Some(false)));
        let mixed = vec!["a=1 OR a=2 AND a=3"; 1_000].join(" OR ");
        assert_eq!(eval(&mixed, &columns, &[Some("1")]), Ok(Some(true)));
        let many = format!("a IN ({})", vec!["a"; 5_000].join(","));
        assert_eq!(eval(&many, &columns, &[Some("1")]), Ok(Some(true)));
    });
}

#[test]
fn fuel_runs_out_with_54000() {
    let schema = schema(&[("a", "int8")]);
    let predicate = compile("a = 1 OR a = 2 OR a = 3", &schema).expect("compiles").predicate;
    let arena = bumpalo::Bump::new();
    let data = vec![shape_expr::Datum::Int(9)];
    let row = Row::new(&arena, &schema, &data);
    let mut vm = Vm::new(Limits { fuel: 2, bytes: 1 << 20 });
    assert_eq!(predicate.eval(&row, &mut vm).map_err(|e| e.sqlstate()), Err("54000"));
    let mut vm = Vm::default();
    assert!(predicate.eval(&row, &mut vm).is_ok());
    assert!(vm.fuel_used() > 0);
    assert!(vm.take_fuel() > 0);
    assert_eq!(vm.fuel_used(), 0);
}

#[test]
fn like_is_not_exponential() {
    let text = "a".repeat(20_000);
    let clause = format!("'{text}' LIKE '%{}b'", "a%".repeat(500));
    assert_eq!(constant(&clause), Ok(Some(false)));
}

#[test]
fn forms_that_repeat_their_operand_do_not_explode() {
    let schema = schema(&[("b", "bool"), ("a", "int8")]);
    let mut clause = "b".to_owned();
    for _ in 0..100 {
        clause = format!("({clause}) BETWEEN SYMMETRIC b AND true");
    }
    assert_eq!(compile(&clause, &schema).expect_err("huge").code(), "too_complex");
    let sum = vec!["a"; 200].join("+");
    let clause = format!("({sum}) IN ({})", vec!["a"; 10_000].join(","));
    assert_eq!(compile(&clause, &schema).expect_err("huge").code(), "too_complex");
}

#[test]
fn expensive_values_run_out_of_fuel() {
    let nines = "9".repeat(30_000);
    for clause in [
        format!("{nines} * {nines} = 1"),
        format!("1e130000 / {nines} = 1"),
        format!("'{}' LIKE '{}'", "a".repeat(32_000), "%a".repeat(15_000) + "b"),
    ] {
        let result = constant(&clause);
        assert!(matches!(result, Ok(Some(false)) | Err("54000")), "{result:?}");
    }
}
