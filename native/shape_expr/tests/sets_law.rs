//! Random clauses with subqueries beside a direct three-valued evaluation of them: the answer, what is
//! known where a set or a column is not, what the polarity of a set promises, and the access condition.
//!
//! `SETS_LAW_CASES` says how many clauses, `SETS_LAW_SEED` repeats a run.

use bumpalo::Bump;
use fastrand::Rng;
use shape_expr::{
    Access, Bulk, Column, ColumnType, Compiler, Datum, Error, Options, Polarity, Predicate, Row,
    RowSource, Schema, SetColumn, Sets, Subqueries, Subquery, Truth, Value, Vm, has_subquery,
};

/// An integer or a text; NULL is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scalar {
    Int(i64),
    Text(&'static str),
}

type Cell = Option<Scalar>;

/// a int4, b int8, c text, done bool.
#[derive(Clone, Copy, Debug)]
struct Line {
    values: [Cell; 3],
    done: Option<bool>,
}

/// What sets hold: two of one integer, one of a text, one of two integers.
const WIDTHS: [usize; 4] = [1, 1, 1, 2];
const TEXT_SET: usize = 2;
type Contents = [Vec<Vec<Cell>>; WIDTHS.len()];

#[derive(Clone, Debug)]
enum Term {
    Column(usize),
    Constant(Cell),
    Next(usize),
}

#[derive(Clone, Debug)]
enum Clause {
    In { left: Vec<Term>, set: usize, negated: bool, quantified: bool },
    Compare(Term, &'static str, Term),
    Done,
    Constant(Option<bool>),
    Not(Box<Clause>),
    And(Vec<Clause>),
    Or(Vec<Clause>),
    Is(Box<Clause>, &'static str),
    Same(Box<Clause>, Box<Clause>),
    Case(Box<Clause>, Box<Clause>, Box<Clause>),
    Coalesce(Box<Clause>, Box<Clause>),
}

fn cell(rng: &mut Rng, text: bool) -> Cell {
    match (rng.u8(..5), text) {
        (0, _) => None,
        (_, true) => Some(Scalar::Text(["", "x", "y"][rng.usize(..3)])),
        (_, false) => Some(Scalar::Int(rng.i64(0..4))),
    }
}

fn integer(rng: &mut Rng) -> Term {
    match rng.u8(..8) {
        0 => Term::Constant(cell(rng, false)),
        1 => Term::Next(rng.usize(..2)),
        _ => Term::Column(rng.usize(..2)),
    }
}

fn text(rng: &mut Rng) -> Term {
    if rng.u8(..6) == 0 { Term::Constant(cell(rng, true)) } else { Term::Column(2) }
}

fn clause(rng: &mut Rng, depth: usize) -> Clause {
    let some = if depth == 0 { 7 } else { 18 };
    let inner = |rng: &mut Rng| Box::new(clause(rng, depth - 1));
    let several =
        |rng: &mut Rng| (0..rng.usize(2..4)).map(|_| clause(rng, depth - 1)).collect::<Vec<_>>();
    match rng.u8(..some) {
        0..=3 => {
            let set = rng.usize(..WIDTHS.len());
            let term = if set == TEXT_SET { text } else { integer };
            let left: Vec<Term> = (0..WIDTHS[set]).map(|_| term(rng)).collect();
            let quantified = left.len() == 1 && rng.u8(..4) == 0;
            Clause::In { left, set, negated: rng.bool(), quantified }
        }
        4 => Clause::Compare(integer(rng), ["=", "<>", "<"][rng.usize(..3)], integer(rng)),
        5 => Clause::Done,
        6 => Clause::Constant([None, Some(true), Some(false)][rng.usize(..3)]),
        7..=8 => Clause::Not(inner(rng)),
        9..=11 => Clause::And(several(rng)),
        12..=13 => Clause::Or(several(rng)),
        14 => {
            let what = ["TRUE", "NOT TRUE", "FALSE", "NOT FALSE", "UNKNOWN", "NOT UNKNOWN"];
            Clause::Is(inner(rng), what[rng.usize(..what.len())])
        }
        15 => Clause::Same(inner(rng), inner(rng)),
        16 => Clause::Case(inner(rng), inner(rng), inner(rng)),
        _ => Clause::Coalesce(inner(rng), inner(rng)),
    }
}

impl Term {
    fn sql(&self) -> String {
        match self {
            Term::Column(at) => ["a", "b", "c"][*at].to_owned(),
            Term::Next(at) => format!("{} + 1", ["a", "b"][*at]),
            Term::Constant(None) => "NULL".to_owned(),
            Term::Constant(Some(Scalar::Int(i))) => i.to_string(),
            Term::Constant(Some(Scalar::Text(text))) => format!("'{text}'"),
        }
    }

    fn value(&self, line: &Line) -> Cell {
        match self {
            Term::Column(at) => line.values[*at],
            Term::Constant(value) => *value,
            Term::Next(at) => match line.values[*at] {
                Some(Scalar::Int(i)) => Some(Scalar::Int(i + 1)),
                other => other,
            },
        }
    }
}

fn and(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut all = Some(true);
    for truth in truths {
        all = match (all, truth) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (None, _) | (_, None) => None,
            _ => Some(true),
        };
    }
    all
}

fn or(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    and(truths.map(|truth| truth.map(|t| !t))).map(|t| !t)
}

/// `left IN rows`, straight from its definition.
fn is_in(left: &[Cell], rows: &[Vec<Cell>]) -> Option<bool> {
    let equal = |row: &Vec<Cell>| and(left.iter().zip(row).map(|(l, r)| Some((*l)? == (*r)?)));
    or(rows.iter().map(equal))
}

impl Clause {
    fn sql(&self) -> String {
        let join = |arms: &[Clause], word: &str| {
            let arms: Vec<String> = arms.iter().map(Clause::sql).collect();
            format!("({})", arms.join(word))
        };
        match self {
            Clause::In { left, set, negated, quantified } => {
                let terms: Vec<String> = left.iter().map(Term::sql).collect();
                let left = if terms.len() == 1 {
                    terms[0].clone()
                } else {
                    format!("({})", terms.join(", "))
                };
                let word = match (negated, quantified) {
                    (false, false) => "IN",
                    (true, false) => "NOT IN",
                    (false, true) => "= ANY",
                    (true, true) => "<> ALL",
                };
                let items = if WIDTHS[*set] == 1 { "x" } else { "x, y" };
                format!("{left} {word} (SELECT {items} FROM s{set})")
            }
            Clause::Compare(left, operator, right) => {
                format!("{}::int8 {operator} {}", bracketed(left), right.sql())
            }
            Clause::Done => "done".to_owned(),
            Clause::Constant(None) => "NULL::bool".to_owned(),
            Clause::Constant(Some(truth)) => truth.to_string(),
            Clause::Not(inner) => format!("NOT ({})", inner.sql()),
            Clause::And(arms) => join(arms, " AND "),
            Clause::Or(arms) => join(arms, " OR "),
            Clause::Is(inner, what) => format!("({}) IS {what}", inner.sql()),
            Clause::Same(left, right) => format!("({}) = ({})", left.sql(), right.sql()),
            Clause::Case(when, then, other) => {
                format!("CASE WHEN {} THEN {} ELSE {} END", when.sql(), then.sql(), other.sql())
            }
            Clause::Coalesce(first, second) => {
                format!("coalesce({}, {})", first.sql(), second.sql())
            }
        }
    }

    fn has_set(&self) -> bool {
        match self {
            Clause::In { .. } => true,
            Clause::Compare(..) | Clause::Done | Clause::Constant(_) => false,
            Clause::Not(inner) | Clause::Is(inner, _) => inner.has_set(),
            Clause::And(arms) | Clause::Or(arms) => arms.iter().any(Clause::has_set),
            Clause::Same(a, b) | Clause::Coalesce(a, b) => a.has_set() || b.has_set(),
            Clause::Case(a, b, c) => a.has_set() || b.has_set() || c.has_set(),
        }
    }

    /// Its answer; `contains` answers for the sets.
    fn truth(
        &self,
        line: &Line,
        contains: &dyn Fn(usize, &[Cell]) -> Option<bool>,
    ) -> Option<bool> {
        let of = |clause: &Clause| clause.truth(line, contains);
        match self {
            Clause::In { left, set, negated, .. } => {
                let left: Vec<Cell> = left.iter().map(|term| term.value(line)).collect();
                contains(*set, &left).map(|found| found != *negated)
            }
            Clause::Compare(left, operator, right) => {
                let (Scalar::Int(left), Scalar::Int(right)) =
                    (left.value(line)?, right.value(line)?)
                else {
                    panic!("integers are compared");
                };
                Some(match *operator {
                    "=" => left == right,
                    "<>" => left != right,
                    _ => left < right,
                })
            }
            Clause::Done => line.done,
            Clause::Constant(truth) => *truth,
            Clause::Not(inner) => of(inner).map(|truth| !truth),
            Clause::And(arms) => and(arms.iter().map(of)),
            Clause::Or(arms) => or(arms.iter().map(of)),
            Clause::Is(inner, what) => {
                let truth = of(inner);
                Some(match *what {
                    "TRUE" => truth == Some(true),
                    "NOT TRUE" => truth != Some(true),
                    "FALSE" => truth == Some(false),
                    "NOT FALSE" => truth != Some(false),
                    "UNKNOWN" => truth.is_none(),
                    _ => truth.is_some(),
                })
            }
            Clause::Same(left, right) => Some(of(left)? == of(right)?),
            Clause::Case(when, then, other) => {
                of(if of(when) == Some(true) { then } else { other })
            }
            Clause::Coalesce(first, second) => of(first).or_else(|| of(second)),
        }
    }
}

fn bracketed(term: &Term) -> String {
    format!("({})", term.sql())
}

/// Numbers sets by the table that they select from.
struct Tables {
    wide: bool,
}

impl Subqueries for Tables {
    fn types(&mut self, subquery: &Subquery) -> Result<Option<Vec<ColumnType>>, Error> {
        let ty = if subquery.text.ends_with("s2") { "varchar" } else { "int8" };
        let ty = || ty.parse().expect("a type");
        Ok(self.wide.then(|| (0..subquery.columns).map(|_| ty()).collect()))
    }

    fn set(&mut self, subquery: &Subquery, columns: Vec<SetColumn>) -> Result<u32, Error> {
        let digit = subquery.text.bytes().last().expect("a table") - b'0';
        assert_eq!(columns.len(), WIDTHS[usize::from(digit)]);
        Ok(u32::from(digit) + 10)
    }
}

struct Known<'s> {
    contents: &'s Contents,
    unknown: Option<usize>,
}

fn cells(left: &[Value<'_>]) -> Vec<Cell> {
    let one = |value: &Value<'_>| match value {
        Value::Null => None,
        Value::Int(i) => Some(Scalar::Int(*i)),
        Value::Text(text) => {
            let known = ["", "x", "y"].into_iter().find(|known| known == text);
            Some(Scalar::Text(known.expect("a text of ours")))
        }
        other => panic!("no value of ours: {other:?}"),
    };
    left.iter().map(one).collect()
}

impl Sets for Known<'_> {
    fn contains(&self, set: u32, left: &[Value<'_>]) -> Truth {
        let set = set as usize - 10;
        if self.unknown == Some(set) {
            return Truth::ANY;
        }
        is_in(&cells(left), &self.contents[set]).into()
    }
}

fn evaluate(
    predicate: &Predicate,
    schema: &Schema,
    record: &dyn RowSource,
    sets: &dyn Sets,
) -> Truth {
    let arena = Bump::new();
    let row = || Row::new(&arena, schema, record).with_sets(Some(sets));
    let told = predicate.eval(&row(), &mut Vm::default()).expect("it does not raise");
    let bulk = Bulk::new(row()).eval(&predicate.by_ref(), &mut Vm::default());
    assert_eq!(bulk, Ok(told), "one by one and in bulk");
    told
}

fn may_be(told: Truth, truth: Option<bool>) -> bool {
    match truth {
        Some(true) => told.may_be_true(),
        Some(false) => told.may_be_false(),
        None => told.may_be_null(),
    }
}

fn record(line: &Line) -> Vec<Datum<'static>> {
    let one = |cell: &Cell| match cell {
        None => Datum::Null,
        Some(Scalar::Int(i)) => Datum::Int(*i),
        Some(Scalar::Text(text)) => Datum::Text(text.as_bytes()),
    };
    let mut record: Vec<Datum<'static>> = line.values.iter().map(one).collect();
    record.push(line.done.map_or(Datum::Null, Datum::Bool));
    record
}

/// Does the row fulfil the condition, as far as it speaks of sets and equalities?
fn fulfils(access: &Access<'_>, line: &Line, contents: &Contents) -> bool {
    match access {
        Access::Never => false,
        Access::InSet { columns, set } => {
            let left: Vec<Cell> = columns.iter().map(|column| line.values[*column]).collect();
            is_in(&left, &contents[*set as usize - 10]) == Some(true)
        }
        Access::Equal { column, values } if *column < 3 => {
            line.values[*column].is_some_and(|value| cells(values).contains(&Some(value)))
        }
        Access::IsNull { column } if *column < 3 => line.values[*column].is_none(),
        Access::And(all) => all.iter().all(|access| fulfils(access, line, contents)),
        Access::Or(any) => any.iter().any(|access| fulfils(access, line, contents)),
        _ => true,
    }
}

fn rows(rng: &mut Rng, set: usize, most: usize) -> Vec<Vec<Cell>> {
    let row = |rng: &mut Rng| (0..WIDTHS[set]).map(|_| cell(rng, set == TEXT_SET)).collect();
    (0..rng.usize(..=most)).map(|_| row(rng)).collect()
}

#[test]
fn clauses_with_subqueries_are_what_a_direct_evaluation_says() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let cases = number("SETS_LAW_CASES").unwrap_or(4_000);
    let seed = number("SETS_LAW_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("law of sets: seed {seed}, {cases} clauses");
    let mut rng = Rng::with_seed(seed);
    let column = |(name, ty): &(&str, &str)| Column::new(name, ty.parse().expect("a type"));
    let columns = [("a", "int4"), ("b", "int8"), ("c", "text"), ("done", "bool")];
    let schema = Schema::new("t", columns.iter().map(column).collect()).expect("a schema");
    let mut compiler = Compiler::new(Options::default()).expect("a compiler");
    let (mut filed, mut one_sided, mut answers) = (0, 0, [0_usize; 3]);
    for case in 0..cases {
        let depth = rng.usize(..4);
        let clause = clause(&mut rng, depth);
        let sql = clause.sql();
        let when = format!("seed {seed}, case {case}: {sql}");
        assert_eq!(has_subquery(&sql), Ok(clause.has_set()), "{when}");
        let mut tables = Tables { wide: rng.bool() };
        let compiled = compiler.compile_with_sets(&sql, &schema, &[], &mut tables);
        let predicate = compiled.unwrap_or_else(|error| panic!("{when}: {error}")).predicate;
        for _ in 0..8 {
            let line = Line {
                values: [cell(&mut rng, false), cell(&mut rng, false), cell(&mut rng, true)],
                done: [None, Some(true), Some(false)][rng.usize(..3)],
            };
            let contents: Contents = std::array::from_fn(|set| rows(&mut rng, set, 3));
            let in_sets = |set: usize, left: &[Cell]| is_in(left, &contents[set]);
            let truth = clause.truth(&line, &in_sets);
            let sets = Known { contents: &contents, unknown: None };
            let told = evaluate(&predicate, &schema, &record(&line), &sets);
            assert_eq!(told, Truth::from(truth), "{when}: {line:?}, {contents:?}");
            answers[truth.map_or(2, usize::from)] += 1;
            // Of what is not known, anything may be.
            let unknown = rng.bool().then(|| rng.usize(..WIDTHS.len()));
            let mut partly = record(&line);
            if rng.bool() {
                let absent = rng.usize(..partly.len());
                partly[absent] = Datum::Absent;
            }
            let sets = Known { contents: &contents, unknown };
            let told = evaluate(&predicate, &schema, &partly, &sets);
            assert!(
                may_be(told, truth),
                "{when}: {told:?} of {partly:?}, {unknown:?}, {contents:?}"
            );
            if truth == Some(true) {
                let access = predicate.access();
                assert!(fulfils(&access, &line, &contents), "{when}: {access:?}, {line:?}");
                filed += usize::from(format!("{access:?}").contains("InSet"));
            }
            one_sided += polarities(&mut rng, &clause, &predicate, &line, &contents, &when);
        }
    }
    println!("law of sets: {answers:?} false, true, NULL; {filed} filed, {one_sided} one-sided");
    let enough = cases as usize / 8;
    assert!(filed > enough && one_sided > enough && answers.iter().all(|n| *n > enough));
}

/// What the polarity of each set promises of a set with more in it; how many promised something.
fn polarities(
    rng: &mut Rng,
    clause: &Clause,
    predicate: &Predicate,
    line: &Line,
    contents: &Contents,
    when: &str,
) -> usize {
    let mut one_sided = 0;
    for (set, width) in WIDTHS.iter().enumerate() {
        let uses = predicate.by_ref().sets().filter(|used| used.set as usize == set + 10);
        let Some(polarity) = uses.map(|used| used.polarity).reduce(Polarity::with) else {
            continue;
        };
        if polarity == Polarity::Both {
            continue;
        }
        one_sided += 1;
        let mut more = contents.clone();
        more[set].extend(rows(rng, set, 2));
        assert!(more[set].iter().all(|row| row.len() == *width));
        let holds = |contents: &Contents| {
            clause.truth(line, &|set, left| is_in(left, &contents[set])) == Some(true)
        };
        let (before, after) = (holds(contents), holds(&more));
        // NULL among the answers about this set is told as the other answer.
        let blurred = clause.truth(line, &|at, left| match is_in(left, &contents[at]) {
            None if at == set => Some(polarity == Polarity::Negative),
            known => known,
        });
        assert_eq!(
            blurred == Some(true),
            before,
            "{when}: NULL of set {set}, {line:?}, {contents:?}"
        );
        match polarity {
            Polarity::Positive => {
                assert!(after || !before, "{when}: {line:?}, {contents:?}, {more:?}")
            }
            _ => assert!(before || !after, "{when}: {line:?}, {contents:?}, {more:?}"),
        }
    }
    one_sided
}
