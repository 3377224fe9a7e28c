//! Text: mismatches the oracle has found, and what it does not reach.

mod common;

use common::{compile, constant, eval, refusal, schema};
use shape_expr::{Collation, Column, ColumnType, Compiler, Options, Schema, Vm};

#[test]
fn a_word_ends_between_characters_and_never_within_one() {
    let columns = [("a", "name")];
    // Between `a` and a no-break space there is a boundary, and within the space there is nothing.
    assert_eq!(eval("a ~* '\\Y'", &columns, &[Some("a\u{a0}b")]), Ok(Some(false)));
    assert_eq!(constant("'a\u{a0}b' ~ '[^[:digit:]]\\Y'"), Ok(Some(false)));
    assert_eq!(constant("'é' ~ '\\M()\\s'"), Ok(Some(false)));
    assert_eq!(constant("'é' ~ '\\M '"), Ok(Some(false)));
    assert_eq!(constant("'é x' ~ '\\M '"), Ok(Some(true)));
    assert_eq!(constant("'e\u{301}' ~ '\\Ye'"), Ok(Some(false)));
}

#[test]
fn more_digits_than_groups_are_an_octal_number() {
    assert_eq!(constant("'@' ~ '^\\100$'"), Ok(Some(true)));
    assert_eq!(constant("'8' ~ '\\89'"), Err("2201B"));
    assert_eq!(refusal("a ~ '(a)\\1'", &[("a", "text")]).0, "not_supported");
}

#[test]
fn an_option_is_unknown_before_it_is_unsupported() {
    assert_eq!(constant("'x' ~ '(?inb[[:graph:]]+'"), Err("2201B"));
    assert_eq!(refusal("a ~ '(?b)a'", &[("a", "text")]).0, "not_supported");
}

#[test]
fn the_left_operand_of_in_is_evaluated_before_a_list_that_raises() {
    let clause = "100 % a IN (1, length('\\344'::bytea, 'UTF8'), 2)";
    let raised = |a| eval(clause, &[("a", "int4")], &[Some(a)]).map_err(|e| e.sqlstate());
    assert_eq!(raised("0"), Err("22012"));
    assert_eq!(raised("1"), Err("22021"));
}

#[test]
fn wide_sets_repeated_beside_word_boundaries_stay_small() {
    let regex = "(?:|)\\m(?:\\.\\Z(?:{*?|\\D|[-[:lower:]\\W[:lower:]]{0,1})|){2,3}?";
    assert_eq!(constant(&format!("'' ~ '{regex}'")), Ok(Some(false)));
}

#[test]
fn what_regexes_cannot_answer_exactly_is_refused() {
    let columns = [("a", "text")];
    for clause in ["a ~ '(a)\\1'", "a ~ '(?=a)b'", "a ~ '(?<!a)b'", "a ~ '[[.hyphen.]]'"] {
        assert_eq!(refusal(clause, &columns).0, "not_supported", "{clause}");
    }
}

#[test]
fn a_regex_that_is_none_raises_where_it_is_evaluated() {
    let columns = [("a", "text")];
    let clause = "a = 'x' OR a ~ '('";
    assert_eq!(eval(clause, &columns, &[Some("x")]), Ok(Some(true)));
    assert_eq!(eval(clause, &columns, &[Some("y")]).map_err(|e| e.sqlstate()), Err("2201B"));
}

#[test]
fn letters_beyond_ascii_have_case_where_the_collation_says_so() {
    let clause = "a ILIKE 'ä' AND lower(a) = 'ä' AND a ~* '[[:lower:]]'";
    let with = |collation, ascii_case| {
        let mut ty = ColumnType::new(shape_expr::Type::Text);
        ty.collation = collation;
        let schema = Schema::new("t", vec![Column::new("a", ty)]).expect("schema");
        let mut options = Options::default();
        options.ascii_case = ascii_case;
        let mut compiler = Compiler::new(options).expect("options");
        let compiled = compiler.compile(clause, &schema, &[]).map_err(|e| e.code())?;
        let arena = bumpalo::Bump::new();
        let data = vec![shape_expr::Datum::Text("Ä".as_bytes())];
        let row = shape_expr::Row::new(&arena, &schema, &data);
        Ok(compiled.predicate.eval(&row, &mut Vm::default()).expect("no error").is_true())
    };
    assert_eq!(with(Collation::Default, false), Ok(true));
    assert_eq!(with(Collation::CUtf8, true), Ok(true));
    assert_eq!(with(Collation::Default, true), Ok(false));
    assert_eq!(with(Collation::C, false), Ok(false));
    assert_eq!(with(Collation::Other, false), Err("not_supported"));
}

#[test]
fn patterns_share_a_template_whatever_their_kind() {
    let schema = schema(&[("a", "text")]);
    let mut compiler = Compiler::new(Options::default()).expect("options");
    let mut compile =
        |clause: &str| compiler.compile(clause, &schema, &[]).expect(clause).predicate;
    let (one, other) = (compile("a LIKE 'x%'"), compile("a LIKE '%y_'"));
    assert_eq!(one.template_id(), other.template_id());
}

#[test]
fn work_is_bounded() {
    let columns = [("a", "text")];
    let long = "a".repeat(100_000);
    let raised = |clause: &str| eval(clause, &columns, &[Some(&long)]).map_err(|e| e.sqlstate());
    assert_eq!(raised("repeat(a, 100000) = 'x'"), Err("54000"));
    assert_eq!(raised("lpad(a, 200000000) = 'x'"), Err("54000"));
    assert_eq!(raised("replace(a, 'a', repeat('b', 100000)) = 'x'"), Err("54000"));
    assert_eq!(raised("translate(a, a, a) = 'x'"), Err("54000"));
    assert_eq!(raised("a ~ '(a*)*b'"), Ok(Some(false)));
    assert_eq!(raised("a ~ '(a|aa)+$'"), Ok(Some(true)));
    // Its automaton would have millions of states.
    let huge = "a ~ '(((([[:alpha:]]{255}){255}){255}){255})'";
    assert_eq!(refusal(huge, &columns).0, "not_supported");
    let deep = format!("a ~ '{}a{}'", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(refusal(&deep, &columns).0, "not_supported");
}

#[test]
fn no_function_takes_more_than_a_hundred_arguments() {
    let args = vec!["a"; 101].join(", ");
    let error = compile(&format!("concat({args}) = 'x'"), &schema(&[("a", "text")]));
    assert_eq!(error.expect_err("too many").sqlstate(), Some("54023"));
}

#[test]
fn concat_of_what_is_not_known_is_not_known() {
    let columns = [("a", "text"), ("b", "text")];
    let data = [shape_expr::Datum::Absent, shape_expr::Datum::Text(b"x")];
    let truth = common::eval_data("concat(a, b) = 'x'", &columns, &data).expect("no error");
    assert_eq!(truth.known(), None);
    let truth = common::eval_data("concat_ws(NULL, a) IS NULL", &columns, &data);
    assert_eq!(truth.expect("no error").known(), Some(Some(true)));
}

#[test]
fn a_float_out_of_range_is_reported_before_what_follows_it() {
    assert_eq!(constant("(' 1e50-1'::text)::real = 0"), Err("22003"));
    assert_eq!(constant("('1e500x'::text)::float8 = 0"), Err("22003"));
    assert_eq!(constant("('1e50-1'::text)::float8 = 0"), Err("22P02"));
    assert_eq!(constant("('1e'::text)::float8 = 0"), Err("22P02"));
}
