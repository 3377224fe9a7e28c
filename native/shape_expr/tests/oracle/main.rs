//! The oracle: PostgreSQL itself. Random tables, rows and clauses; every answer must be the same,
//! false and NULL told apart, and so must every error.
//!
//! `SHAPE_EXPR_ORACLE_PAIRS` sets how many (clause, row) pairs are checked, `SHAPE_EXPR_ORACLE_SEED`
//! repeats a run, and `SHAPE_EXPR_ORACLE_FAMILY` (`json`, `arrays`, `rows`, `control`) narrows it down.

mod arrays;
mod cached;
mod clauses;
mod datetime;
mod digits;
mod directed;
mod floats;
mod functions;
mod json;
mod literals;
mod math;
mod random;
mod regexps;
mod samples;
mod table;
mod text;

use std::collections::BTreeMap;

use bumpalo::Bump;
use directed::Coverage;
use pg_fixture::Server;
use postgres::{Client, NoTls, SimpleQueryMessage};
use random::Random;
use shape_expr::{Compiler, Datum, Error, Options, Predicate, Row, Vm};
use table::Table;

/// What either side says about a clause and a row.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    True,
    False,
    Null,
    Raises(String),
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The only conditions to ask about, if some are named.
fn family() -> Option<&'static str> {
    static FAMILY: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("SHAPE_EXPR_ORACLE_FAMILY").ok());
    FAMILY.as_deref()
}

/// The given seed, or a fresh one.
fn seed() -> u64 {
    from_environment("SHAPE_EXPR_ORACLE_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.expect("a clock after 1970").as_nanos() as u64
    })
}

/// How many pairs are asked for: two million in the long form.
fn pairs() -> u64 {
    let long = std::env::var("SHAPE_ROUTER_LONG").is_ok_and(|long| !matches!(&*long, "" | "0"));
    from_environment("SHAPE_EXPR_ORACLE_PAIRS").unwrap_or(if long { 2_000_000 } else { 30_000 })
}

#[test]
fn answers_are_postgresqls() {
    let pairs = pairs();
    let seed = seed();
    println!("oracle: seed {seed}, {pairs} pairs");
    let server = Server::start().expect("PostgreSQL starts");
    let mut client = Client::connect(&server.url("postgres"), NoTls).expect("connect");
    client.batch_execute("SET TimeZone = 'UTC'; SET extra_float_digits = 1").expect("settings");
    let mut run = Run {
        client,
        random: Random::new(seed),
        pairs: 0,
        clauses: 0,
        refused: 0,
        seen: [0; 4],
        mismatches: Vec::new(),
        coverage: Coverage::start(),
    };
    while run.pairs < pairs {
        run.table();
    }
    run.coverage.report("random clauses");
    // A clause for each row of the catalogue; more of them where more pairs are asked for.
    for _ in 0..1 + pairs / 500_000 {
        let rows = run.coverage.rows();
        run.directed(&rows);
    }
    // Some rows need a time zone, or operands, that are not drawn at once.
    for _ in 0..20 {
        let missing = run.coverage.missing();
        if !missing.is_empty() {
            run.directed(&missing);
        }
    }
    run.coverage.report("with directed ones");
    println!(
        "oracle: {} pairs of {} clauses agreed ({} true, {} false, {} null, {} raise), \
         {} clauses refused by both",
        run.pairs, run.clauses, run.seen[0], run.seen[1], run.seen[2], run.seen[3], run.refused
    );
    assert!(run.mismatches.is_empty(), "seed {seed}:\n{}", run.mismatches.join("\n"));
    let missing: Vec<String> = run.coverage.missing().into_iter().map(|row| row.key).collect();
    assert!(missing.is_empty(), "seed {seed}: no clause had any of {missing:#?}");
    let forms = run.coverage.missing_forms();
    assert!(forms.is_empty(), "seed {seed}: no clause had any of {forms:#?}");
}

struct Run {
    client: Client,
    random: Random,
    pairs: u64,
    clauses: u64,
    refused: u64,
    seen: [u64; 4],
    mismatches: Vec<String>,
    coverage: Coverage,
}

impl Run {
    /// One table, its rows, and some clauses.
    fn table(&mut self) {
        let table = Table::create(&mut self.client, &mut self.random);
        let mut options = Options::default();
        options.time_zone = table.zone.to_owned();
        let mut compiler = Compiler::new(options).expect("the options");
        let rows = table.rows(&mut self.client);
        for _ in 0..150 {
            let clause = clauses::condition(&mut self.random, &table);
            self.clause(&clause, &table, &rows, &mut compiler);
            assert!(self.mismatches.len() < 25, "{}", self.mismatches.join("\n"));
        }
    }

    /// One table, and a clause for each of these rows of the catalogue.
    fn directed(&mut self, catalogue: &[shape_expr::coverage::Row]) {
        let table = Table::create(&mut self.client, &mut self.random);
        let mut options = Options::default();
        options.time_zone = table.zone.to_owned();
        let mut compiler = Compiler::new(options).expect("the options");
        let rows = table.rows(&mut self.client);
        for row in catalogue {
            let clause = directed::clause(&mut self.random, &table, &mut self.client, row);
            if let Some(clause) = clause {
                self.clause(&clause, &table, &rows, &mut compiler);
            }
        }
        for clause in directed::FORMS {
            self.clause(clause, &table, &rows, &mut compiler);
        }
        assert!(self.mismatches.len() < 25, "{}", self.mismatches.join("\n"));
    }

    fn clause(
        &mut self,
        clause: &str,
        table: &Table,
        rows: &BTreeMap<i64, Vec<Option<String>>>,
        compiler: &mut Compiler,
    ) {
        self.clauses += 1;
        let ours = compiler.compile(clause, &table.schema, &[]);
        let query = format!("SELECT pk, ({clause}) AND true FROM t ORDER BY pk");
        let analysed = self.client.prepare(&query);
        self.coverage.count(analysed.is_ok() && ours.is_ok());
        let predicate = match (&analysed, ours) {
            (Ok(_), Ok(compiled)) => compiled.predicate,
            (Err(theirs), Err(ours)) => {
                self.refused += 1;
                let theirs = code(theirs);
                if ours.sqlstate() != Some(theirs.as_str()) {
                    self.mismatch(format!("{clause}\n  refused with {theirs}, here: {ours:?}"));
                }
                return;
            }
            // What PostgreSQL cannot plan, for whatever rows, it accepts until it is asked to.
            (Ok(_), Err(ours)) if self.never_runs(clause, &ours) => {
                self.refused += 1;
                return;
            }
            (Ok(_), Err(ours)) => {
                self.mismatch(format!("{clause}\n  accepted, refused here: {ours:?}"));
                return;
            }
            (Err(theirs), Ok(_)) => {
                self.mismatch(format!("{clause}\n  refused: {theirs:?}, accepted here"));
                return;
            }
        };
        let mut theirs: BTreeMap<i64, Answer> = BTreeMap::new();
        match self.client.simple_query(&query) {
            Ok(messages) => collect(messages, &mut theirs),
            // Somewhere it raises: ask row by row.
            Err(_) => {
                for pk in rows.keys() {
                    let query = format!("SELECT pk, ({clause}) AND true FROM t WHERE pk = {pk}");
                    match self.client.simple_query(&query) {
                        Ok(messages) => collect(messages, &mut theirs),
                        Err(error) => {
                            theirs.insert(*pk, Answer::Raises(code(&error)));
                        }
                    }
                }
            }
        }
        for (pk, row) in rows {
            let ours = evaluate(&predicate, table, row);
            let theirs = &theirs[pk];
            self.pairs += 1;
            self.seen[match theirs {
                Answer::True => 0,
                Answer::False => 1,
                Answer::Null => 2,
                Answer::Raises(_) => 3,
            }] += 1;
            if ours != *theirs {
                let text = format!("{clause}\n  PostgreSQL {theirs:?}, here {ours:?}, row {row:?}");
                self.mismatch(format!(
                    "{text}\n  zone {}, columns {:?}",
                    table.zone,
                    table.describe()
                ));
                return;
            }
        }
    }

    /// Does PostgreSQL raise the same, even where there is no row?
    fn never_runs(&mut self, clause: &str, ours: &Error) -> bool {
        let query = format!("SELECT ({clause}) AND true FROM t LIMIT 0");
        let theirs = self.client.simple_query(&query).err();
        theirs.is_some_and(|theirs| ours.sqlstate() == Some(code(&theirs).as_str()))
    }

    fn mismatch(&mut self, text: String) {
        println!("MISMATCH {text}");
        self.mismatches.push(text);
    }
}

fn code(error: &postgres::Error) -> String {
    error.code().map_or_else(|| panic!("{error}"), |state| state.code().to_owned())
}

fn collect(messages: Vec<SimpleQueryMessage>, into: &mut BTreeMap<i64, Answer>) {
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let pk = row.get(0).and_then(|pk| pk.parse().ok()).expect("a key");
            into.insert(
                pk,
                match row.get(1) {
                    Some("t") => Answer::True,
                    Some("f") => Answer::False,
                    _ => Answer::Null,
                },
            );
        }
    }
}

fn evaluate(predicate: &Predicate, table: &Table, row: &[Option<String>]) -> Answer {
    let arena = Bump::new();
    let data: Vec<Datum<'_>> = row
        .iter()
        .map(|text| text.as_ref().map_or(Datum::Null, |text| Datum::Text(text.as_bytes())))
        .collect();
    let row = Row::new(&arena, &table.schema, &data);
    match predicate.eval(&row, &mut Vm::default()) {
        Ok(truth) => match truth.known().expect("every column is known") {
            Some(true) => Answer::True,
            Some(false) => Answer::False,
            None => Answer::Null,
        },
        Err(error) => Answer::Raises(error.sqlstate().to_owned()),
    }
}
