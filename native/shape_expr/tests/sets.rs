//! Clauses with subqueries: what they ask of a set, and what they know about it.

use bumpalo::Bump;
use shape_expr::{
    Access, Column, ColumnType, Compiled, Compiler, Datum, Error, Options, Param, Polarity, Row,
    Schema, SetColumn, Sets, Subqueries, Subquery, Truth, Value, Vm,
};

/// Numbers subqueries by their text.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    columns: Vec<Vec<SetColumn>>,
    types: Option<Vec<ColumnType>>,
}

impl Subqueries for Texts {
    fn types(&mut self, _: &Subquery) -> Result<Option<Vec<ColumnType>>, Error> {
        Ok(self.types.clone())
    }

    fn set(&mut self, subquery: &Subquery, columns: Vec<SetColumn>) -> Result<u32, Error> {
        let known = self.texts.iter().position(|text| *text == subquery.text);
        Ok(known.unwrap_or_else(|| {
            self.texts.push(subquery.text.clone());
            self.columns.push(columns);
            self.texts.len() - 1
        }) as u32)
    }
}

fn schema() -> Schema {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().expect(ty));
    Schema::new("todos", vec![column("a", "int4"), column("b", "text"), column("done", "bool")])
        .expect("a schema")
}

fn compiler() -> Compiler {
    Compiler::new(Options::default()).expect("a compiler")
}

fn compile(compiler: &mut Compiler, clause: &str, texts: &mut Texts) -> Result<Compiled, Error> {
    compiler.compile_with_sets(clause, &schema(), &[], texts)
}

/// The set holds 1 and maybe NULL; or it is not known.
struct One {
    has_null: bool,
    known: bool,
}

impl Sets for One {
    fn contains(&self, _: u32, left: &[Value<'_>]) -> Truth {
        if !self.known {
            return Truth::ANY;
        }
        match left {
            [Value::Null] => Truth::NULL,
            [Value::Int(1)] => Truth::TRUE,
            _ if self.has_null => Truth::NULL,
            _ => Truth::FALSE,
        }
    }
}

fn answer(clause: &str, a: Datum<'_>, sets: &One) -> Truth {
    let predicate =
        compile(&mut compiler(), clause, &mut Texts::default()).expect(clause).predicate;
    let (arena, schema) = (Bump::new(), schema());
    let record = vec![a, Datum::Null, Datum::Bool(false)];
    let row = Row::new(&arena, &schema, &record).with_sets(Some(sets));
    let answer = predicate.eval(&row, &mut Vm::default()).expect(clause);
    let mut bulk = shape_expr::Bulk::new(Row::new(&arena, &schema, &record).with_sets(Some(sets)));
    assert_eq!(bulk.eval(&predicate.by_ref(), &mut Vm::default()), Ok(answer));
    answer
}

#[test]
fn in_and_its_negation_follow_what_is_in_the_set() {
    let plain = One { has_null: false, known: true };
    let null = One { has_null: true, known: true };
    let unseeded = One { has_null: false, known: false };
    let (member, other) = ("a IN (SELECT x FROM t)", "a NOT IN (SELECT x FROM t)");
    for (clause, is, is_not) in [
        (member, Truth::TRUE, Truth::FALSE),
        ("a = ANY (SELECT x FROM t)", Truth::TRUE, Truth::FALSE),
        (other, Truth::FALSE, Truth::TRUE),
        ("a <> ALL (SELECT x FROM t)", Truth::FALSE, Truth::TRUE),
        ("NOT (a IN (SELECT x FROM t) OR done)", Truth::FALSE, Truth::TRUE),
    ] {
        assert_eq!(answer(clause, Datum::Int(1), &plain), is, "{clause}");
        assert_eq!(answer(clause, Datum::Int(2), &plain), is_not, "{clause}");
        assert_eq!(answer(clause, Datum::Null, &plain), Truth::NULL, "{clause}");
        assert_eq!(answer(clause, Datum::Int(1), &null), is, "{clause}");
        assert_eq!(answer(clause, Datum::Int(2), &null), Truth::NULL, "{clause}");
        assert_eq!(answer(clause, Datum::Absent, &plain), Truth::ANY, "{clause}");
        assert_eq!(answer(clause, Datum::Int(1), &unseeded), Truth::ANY, "{clause}");
    }
    assert_eq!(answer("done AND a IN (SELECT 1)", Datum::Int(1), &unseeded), Truth::FALSE);
}

#[test]
fn a_row_without_sets_knows_nothing_of_them() {
    let clause = "a IN (SELECT x FROM t)";
    let predicate =
        compile(&mut compiler(), clause, &mut Texts::default()).expect(clause).predicate;
    let (arena, schema) = (Bump::new(), schema());
    let record = vec![Datum::Int(1)];
    let row = Row::new(&arena, &schema, &record);
    assert_eq!(predicate.eval(&row, &mut Vm::default()), Ok(Truth::ANY));
}

#[test]
fn clauses_that_differ_in_sets_and_literals_share_a_template() {
    let (mut compiler, mut texts) = (compiler(), Texts::default());
    let mut one = |clause| compile(&mut compiler, clause, &mut texts).expect("compiles").predicate;
    let first = one("a IN (SELECT id FROM p WHERE owner = 5) AND b = 'x'");
    let second = one("a IN (SELECT id FROM p WHERE owner = 6) AND b = 'y'");
    assert_eq!(first.template_id(), second.template_id());
    let sets = |p: &shape_expr::Predicate| p.by_ref().sets().map(|s| s.set).collect::<Vec<_>>();
    assert_eq!((sets(&first), sets(&second)), (vec![0], vec![1]));
}

#[test]
fn a_subquery_has_one_text_whatever_it_is_written_like() {
    let (mut compiler, mut texts) = (compiler(), Texts::default());
    for clause in [
        "a IN (SELECT id FROM Projects WHERE owner_id=5)",
        "a in ( select  id /* whose */ from projects\n where OWNER_ID = 5 )",
        "(a) NOT IN (SELECT id FROM projects -- all\n WHERE owner_id = 5)",
        "a = ANY (SELECT id FROM projects WHERE owner_id = 5)",
    ] {
        compile(&mut compiler, clause, &mut texts).expect(clause);
    }
    assert_eq!(texts.texts, ["select id from projects where owner_id = 5"]);
    let params = [Param::Int(-5), Param::Text("it's")];
    compiler
        .compile_with_sets(
            "a IN (SELECT id FROM p WHERE o = $1 AND n = $2) AND b = $2",
            &schema(),
            &params,
            &mut texts,
        )
        .expect("compiles");
    assert_eq!(texts.texts[1], "select id from p where o = (-5) and n = 'it''s'");
    // What is quoted is not folded; two of them are told apart.
    compile(&mut compiler, "a IN (SELECT \"Id\" FROM p) OR a IN (SELECT 'X' FROM p)", &mut texts)
        .expect("compiles");
    assert_eq!(texts.texts[2..], ["select \"Id\" from p", "select 'X' from p"]);
}

#[test]
fn the_polarity_of_each_set_is_told() {
    use Polarity::{Both, Negative, Positive};
    for (clause, expected) in [
        ("a IN (SELECT 1)", vec![Positive]),
        ("a NOT IN (SELECT 1)", vec![Negative]),
        ("NOT (done AND a NOT IN (SELECT 1))", vec![Positive]),
        ("(a IN (SELECT 1)) IS TRUE", vec![Positive]),
        ("(a IN (SELECT 1)) IS FALSE", vec![Negative]),
        ("(a IN (SELECT 1)) IS NOT TRUE", vec![Both]),
        ("(a IN (SELECT 1)) IS NULL", vec![Both]),
        ("(a IN (SELECT 1)) = done", vec![Both]),
        ("CASE WHEN a IN (SELECT 1) THEN done ELSE true END", vec![Both]),
        ("a IN (SELECT 1) OR a NOT IN (SELECT 2)", vec![Positive, Negative]),
    ] {
        let compiled = compile(&mut compiler(), clause, &mut Texts::default()).expect(clause);
        let found: Vec<Polarity> = compiled.predicate.by_ref().sets().map(|s| s.polarity).collect();
        assert_eq!(found, expected, "{clause}");
    }
}

#[test]
fn an_index_may_file_a_clause_under_a_positive_condition() {
    let access = |clause: &str| {
        let compiled = compile(&mut compiler(), clause, &mut Texts::default()).expect(clause);
        format!("{:?}", compiled.predicate.access())
    };
    assert_eq!(access("a IN (SELECT 1)"), "InSet { columns: [0], set: 0 }");
    assert_eq!(access("(b, a) IN (SELECT 'x', 1)"), "InSet { columns: [1, 0], set: 0 }");
    assert_eq!(access("a NOT IN (SELECT 1)"), "Scan");
    assert_eq!(access("NOT (a NOT IN (SELECT 1))"), "InSet { columns: [0], set: 0 }");
    assert_eq!(access("a + 1 IN (SELECT 1)"), "Scan");
    let compiled = compile(&mut compiler(), "a IN (SELECT 1) OR b = 'x'", &mut Texts::default());
    let predicate = compiled.expect("compiles").predicate;
    assert!(matches!(predicate.access(), Access::Or(any) if any.len() == 2));
}

#[test]
fn what_is_selected_is_cast_to_what_is_compared() {
    let types = |ty: &str| Texts { types: Some(vec![ty.parse().expect(ty)]), ..Texts::default() };
    for (clause, item, compared, converts) in [
        ("a IN (SELECT x FROM t)", "int8", "integer", false),
        ("a IN (SELECT x FROM t)", "numeric", "numeric", false),
        ("a::numeric IN (SELECT x FROM t)", "int4", "numeric", true),
        ("b IN (SELECT x FROM t)", "varchar(3)", "text", false),
        ("a IN (SELECT x FROM t)", "float8", "double precision", false),
    ] {
        let mut texts = types(item);
        compile(&mut compiler(), clause, &mut texts).expect(clause);
        let column = &texts.columns[0][0];
        assert_eq!(column.compared.to_string(), compared, "{clause} {item}");
        assert_eq!(column.convert.is_some(), converts, "{clause} {item}");
        assert_eq!(column.item.to_string(), item.parse::<ColumnType>().expect(item).to_string());
    }
    let refused =
        |clause, item| compile(&mut compiler(), clause, &mut types(item)).expect_err(clause);
    assert_eq!(refused("a IN (SELECT x FROM t)", "text").code(), "unknown_operator");
    assert_eq!(refused("a::text::date IN (SELECT x FROM t)", "timestamp").code(), "not_supported");
}

#[test]
fn what_is_refused_is_refused_with_its_place() {
    let refused = |clause: &str| {
        let error = compile(&mut compiler(), clause, &mut Texts::default()).expect_err(clause);
        (error.code(), error.position())
    };
    assert_eq!(refused("a IN (SELECT x, y FROM t)"), ("syntax_error", Some(2)));
    assert_eq!(refused("(a, b) IN (SELECT x FROM t)"), ("syntax_error", Some(7)));
    assert_eq!(refused("EXISTS (SELECT 1)"), ("not_supported", Some(0)));
    assert_eq!(refused("a > ANY (SELECT 1)"), ("not_supported", Some(2)));
    assert_eq!(refused("a > ALL (SELECT 1)"), ("not_supported", Some(2)));
    assert_eq!(refused("a = (SELECT 1)"), ("not_supported", Some(4)));
    assert_eq!(refused("a IN (SELECT x FROM t WHERE y = $1)"), ("unknown_parameter", Some(32)));
    assert_eq!(refused("zz IN (SELECT x FROM t)"), ("unknown_column", Some(0)));
    // The entry without sets keeps refusing.
    let error = compiler().compile("a IN (SELECT 1)", &schema(), &[]).expect_err("no sets");
    assert_eq!((error.code(), error.position()), ("not_supported", Some(2)));
}

#[test]
fn a_place_in_the_text_is_found_in_the_clause() {
    struct Places;
    impl Subqueries for Places {
        fn types(&mut self, subquery: &Subquery) -> Result<Option<Vec<ColumnType>>, Error> {
            let at = subquery.text.find("nowhere").expect("the table");
            Err(Error::UnknownTable { name: "nowhere".into(), position: subquery.position_of(at) })
        }
        fn set(&mut self, _: &Subquery, _: Vec<SetColumn>) -> Result<u32, Error> {
            Ok(0)
        }
    }
    let clause = "done AND a IN (  SELECT x   FROM nowhere )";
    let error =
        compiler().compile_with_sets(clause, &schema(), &[], &mut Places).expect_err(clause);
    assert_eq!(error.position(), clause.find("nowhere"));
}

#[test]
fn whether_a_clause_has_a_subquery_is_what_the_grammar_says() {
    let has = |clause: &str| {
        shape_expr::has_subquery(clause).map_err(|error| (error.code(), error.position()))
    };
    for clause in [
        "a IN (SELECT 1)",
        "done OR a NOT IN (/* of */ select x from t)",
        "a = ANY (SELECT x FROM t)",
        "a <> ALL ((SELECT x FROM t))",
        "CASE WHEN (a, b) IN (SELECT x, y FROM t) THEN done END",
        // No table says yet what its columns are.
        "nobody_knows IN (SELECT x FROM nowhere WHERE y = $7)",
    ] {
        assert_eq!(has(clause), Ok(true), "{clause}");
    }
    for clause in [
        "a IN (1, 2)",
        "a = 1",
        "a = ANY ('{1}')",
        "b = 'a IN (SELECT 1)'",
        "\"SELECT\" = 1 -- IN (SELECT 1)",
        "nobody_knows",
    ] {
        assert_eq!(has(clause), Ok(false), "{clause}");
    }
    // What could end the expression, and go on behind it.
    assert_eq!(has(""), Err(("syntax_error", Some(0))));
    assert_eq!(has("a IN (SELECT 1"), Err(("syntax_error", Some(14))));
    assert_eq!(has("a IN (SELECT 1); DELETE FROM t"), Err(("syntax_error", Some(30))));
    assert_eq!(has("a IN (SELECT 1) ORDER BY a"), Err(("syntax_error", Some(16))));
    assert_eq!(has("true) OR (a IN (SELECT 1)"), Err(("syntax_error", Some(4))));
    assert_eq!(has("a IN (SELECT 1)\0"), Err(("syntax_error", Some(15))));
    // What no clause may compare with is a subquery nevertheless; compiling refuses it.
    assert_eq!(has("EXISTS (SELECT 1)"), Ok(true));
    assert_eq!(has("a = (SELECT 1)"), Err(("not_supported", Some(4))));
    let deep = format!("{}a IN (SELECT 1){}", "(".repeat(10_000), ")".repeat(10_000));
    assert_eq!(has(&deep).expect_err("too deep").0, "too_deep");
    let long = format!("a IN (SELECT '{}')", "x".repeat(70_000));
    assert_eq!(has(&long).expect_err("too long").0, "too_long");
    // On a stack as small as a scheduler's it is no other.
    let nested = format!("{}a IN (SELECT 1){}", "(".repeat(200), ")".repeat(200));
    let run = move || shape_expr::has_subquery(&nested);
    let thread = std::thread::Builder::new().stack_size(128 * 1024).spawn(run).expect("a thread");
    assert_eq!(thread.join().expect("it neither panics nor runs out of stack"), Ok(true));
}
