//! Any text as a clause that may have subqueries: it is refused with a place inside the text, or what is
//! known of it where a set is unknown holds whatever the set has in it, and more values in a set do to it
//! what the set's polarity says.

use std::sync::LazyLock;

use shape_expr::{
    Access, Bulk, Column, ColumnType, Compiler, Datum, Error, Limits, Options, Param, Polarity,
    Predicate, Row, RowSource, Schema, SetColumn, Sets, Subqueries, Subquery, Truth, Value, Vm,
};

const COLUMNS: &[(&str, &str, [&str; 2])] = &[
    ("a", "int8", ["1", "2"]),
    ("i", "int4", ["1", "-7"]),
    ("n", "numeric", ["1.00", "NaN"]),
    ("f", "float8", ["1", "-0"]),
    ("t", "text", ["1", ""]),
    ("c", "character(4)", ["1   ", "    "]),
    ("b", "bool", ["t", "f"]),
    ("d", "date", ["2024-02-29", "infinity"]),
    ("ia", "int4[]", ["{1}", "{1,NULL}"]),
    ("jb", "jsonb", ["1", "{\"a\": 1}"]),
];

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let column = |(name, ty, _): &(&str, &str, _)| Column::new(name, ty.parse().expect("a type"));
    Schema::new("t", COLUMNS.iter().map(column).collect()).expect("a schema")
});

/// So many clauses have no more sets than this; what they hold is tried out.
const MOST_SETS: usize = 6;

#[derive(Clone, Copy)]
enum Values {
    First,
    Second,
    Null,
    Absent,
}

impl RowSource for Values {
    fn datum(&self, column: usize) -> Datum<'_> {
        match self {
            Values::First => Datum::Text(COLUMNS[column].2[0].as_bytes()),
            Values::Second => Datum::Text(COLUMNS[column].2[1].as_bytes()),
            Values::Null => Datum::Null,
            Values::Absent => Datum::Absent,
        }
    }
}

/// Numbers subqueries by their texts.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
}

impl Subqueries for Texts {
    fn types(&mut self, subquery: &Subquery) -> Result<Option<Vec<ColumnType>>, Error> {
        assert!(subquery.columns > 0 && !subquery.text.is_empty());
        // Of every other one the types are told.
        let told = subquery.text.len().is_multiple_of(2);
        let types = ["int8", "numeric", "text"].map(|ty| ty.parse::<ColumnType>().expect("a type"));
        let ty = types[subquery.text.len() % 3].clone();
        Ok(told.then(|| vec![ty; subquery.columns]))
    }

    fn set(&mut self, subquery: &Subquery, columns: Vec<SetColumn>) -> Result<u32, Error> {
        assert_eq!(columns.len(), subquery.columns);
        let known = self.texts.iter().position(|text| *text == subquery.text);
        Ok(known.unwrap_or_else(|| {
            self.texts.push(subquery.text.clone());
            self.texts.len() - 1
        }) as u32)
    }
}

/// What a set answers: nothing is known, it is empty, has NULL only, or has everything.
#[derive(Clone, Copy, PartialEq)]
enum Set {
    Unknown,
    Empty,
    Null,
    All,
}

struct All([Set; MOST_SETS]);

impl Sets for All {
    fn contains(&self, set: u32, left: &[Value<'_>]) -> Truth {
        assert!(!left.is_empty());
        let has_null = left.iter().any(|value| matches!(value, Value::Null));
        match self.0[set as usize] {
            Set::Unknown => Truth::ANY,
            Set::Empty => Truth::FALSE,
            Set::All if !has_null => Truth::TRUE,
            Set::Null | Set::All => Truth::NULL,
        }
    }
}

fn answer(predicate: &Predicate, values: Values, sets: &All) -> Result<Truth, String> {
    let arena = bumpalo::Bump::new();
    let limits = Limits { fuel: 200_000, bytes: 1 << 18 };
    let row = || Row::new(&arena, &SCHEMA, &values).with_sets(Some(sets));
    let told = predicate.eval(&row(), &mut Vm::new(limits)).map_err(|e| e.sqlstate().to_owned());
    let bulk = Bulk::new(row()).eval(&predicate.by_ref(), &mut Vm::new(limits));
    let bulk = bulk.map_err(|e| e.sqlstate().to_owned());
    // The one may run out of fuel where the other has done a part before.
    let ran_out = |answer: &Result<Truth, String>| matches!(answer, Err(state) if state == "54000");
    assert!(bulk == told || ran_out(&bulk) || ran_out(&told), "{bulk:?} in bulk, {told:?} alone");
    told
}

fn sets_of(access: &Access<'_>, found: &mut Vec<u32>) {
    match access {
        Access::InSet { set, .. } => found.push(*set),
        Access::And(some) | Access::Or(some) => some.iter().for_each(|one| sets_of(one, found)),
        _ => {}
    }
}

fn check_sets(predicate: &Predicate, count: usize) {
    let mut polarity = [None; MOST_SETS];
    for used in predicate.by_ref().sets() {
        let known = &mut polarity[used.set as usize];
        *known = Some(known.map_or(used.polarity, |known: Polarity| known.with(used.polarity)));
    }
    let mut filed = Vec::new();
    sets_of(&predicate.access(), &mut filed);
    assert!(filed.iter().all(|set| (*set as usize) < count), "an access of no set");
    for values in [Values::First, Values::Second, Values::Null, Values::Absent] {
        for base in [Set::Empty, Set::Null, Set::All] {
            let base = [base; MOST_SETS];
            let told = answer(predicate, values, &All(base));
            for set in 0..count {
                let with = |what: Set| {
                    let mut sets = base;
                    sets[set] = what;
                    answer(predicate, values, &All(sets))
                };
                // What is certain without the set is so with it, unless that raises.
                let without = with(Set::Unknown).ok().and_then(Truth::known);
                if let (Some(without), Ok(told)) = (without, &told) {
                    assert_eq!(told.known(), Some(without), "set {set} was not needed");
                }
                let (Ok(none), Ok(all)) = (with(Set::Empty), with(Set::All)) else { continue };
                match polarity[set] {
                    Some(Polarity::Positive) => {
                        assert!(all.is_true() || !none.is_true(), "more is less")
                    }
                    Some(Polarity::Negative) => {
                        assert!(none.is_true() || !all.is_true(), "less is more")
                    }
                    Some(_) => {}
                    None => assert_eq!(none, all, "set {set} is used by nothing"),
                }
            }
        }
    }
}

/// What must hold for every text.
pub fn check(clause: &str) {
    let mut compiler = Compiler::new(Options::default()).expect("a compiler");
    let params = [Param::Int(1), Param::Text("x"), Param::Null];
    let mut texts = Texts::default();
    let has = shape_expr::has_subquery(clause);
    if let Err(error) = &has {
        assert!(error.position().is_none_or(|at| at <= clause.len()), "{error:?}");
    }
    match compiler.compile_with_sets(clause, &SCHEMA, &params, &mut texts) {
        Err(error) => {
            assert!(error.position().is_none_or(|at| at <= clause.len()), "{error:?}");
            assert!(!error.to_string().is_empty());
        }
        Ok(compiled) => {
            let predicate = &compiled.predicate;
            assert!(has == Ok(true) || (has == Ok(false) && texts.texts.is_empty()), "{has:?}");
            // A text of one form is its own form, and the same clause gives the same.
            for text in &texts.texts {
                assert_eq!(shape_expr::canonical_subquery(text).as_ref(), Ok(text));
            }
            let count = texts.texts.len();
            let again = compiler.compile_with_sets(clause, &SCHEMA, &params, &mut texts);
            let again = again.expect("it compiled before").predicate;
            assert_eq!(again.template_id(), predicate.template_id());
            assert_eq!(texts.texts.len(), count);
            if count <= MOST_SETS {
                check_sets(predicate, count);
            }
            let _ = (predicate.describe(), predicate.memory_bytes());
        }
    }
}
