//! Results to the last digit: what PostgreSQL prints for an expression without columns, so do we.

use bumpalo::Bump;
use pg_fixture::Server;
use postgres::{Client, NoTls, SimpleQueryMessage};
use shape_expr::{Compiler, Datum, Options, Row, Schema, Vm};

use crate::clauses::{Generator, quote};
use crate::random::Random;
use crate::samples::Kind;
use crate::table::Table;

impl Generator<'_> {
    /// An expression of this kind whose result is worth printing.
    fn printed(&mut self, kind: Kind, depth: usize) -> Option<String> {
        match (kind, self.random.below(7)) {
            (Kind::Text, 3) => Some(self.formed_text()),
            (Kind::Text, 4) => Some(self.identifier_parts()),
            (Kind::Text, 5) => Some(self.formed_bytea()),
            (Kind::Int4, 1 | 2) => Some(self.bucket_or_count()),
            (Kind::Text, 0) => Some(self.regex_text()),
            (Kind::Text, 1) => Some(self.regex_array()),
            (Kind::Text, 2) => Some(self.text_function(depth)),
            (Kind::Int4, 0) => Some(self.regex_number()),
            _ => self.math_operand(kind, depth),
        }
    }
}

/// True, false, null, or an error.
pub fn ours(
    clause: &str,
    compiler: &mut Compiler,
    schema: &Schema,
) -> Result<Option<bool>, String> {
    let refusal = |e: shape_expr::Error| e.sqlstate().unwrap_or("none").to_owned();
    let predicate = compiler.compile(clause, schema, &[]).map_err(refusal)?.predicate;
    let arena = Bump::new();
    let data: Vec<Datum<'_>> = Vec::new();
    let row = Row::new(&arena, schema, &data);
    let truth = predicate.eval(&row, &mut Vm::default()).map_err(|e| e.sqlstate().to_owned())?;
    Ok(truth.known().expect("no column is unknown"))
}

#[test]
fn digits_are_postgresqls() {
    let count = crate::pairs() / 10;
    let seed = crate::seed();
    println!("digits: seed {seed}");
    let server = Server::start().expect("PostgreSQL starts");
    let mut client = Client::connect(&server.url("postgres"), NoTls).expect("connect");
    client.batch_execute("SET TimeZone = 'UTC'; SET extra_float_digits = 1").expect("settings");
    let mut random = Random::new(seed);
    let schema = Schema::new("t", Vec::new()).expect("a schema");
    let table = Table { columns: Vec::new(), collated: Default::default(), schema, zone: "UTC" };
    let mut compiler = Compiler::new(Options::default()).expect("default options");
    let (mut printed, mut raised, mut bad) = (0, 0, Vec::new());
    for _ in 0..count {
        let kinds = [
            Kind::Numeric,
            Kind::Numeric,
            Kind::Numeric,
            Kind::Float8,
            Kind::Int4,
            Kind::Jsonb,
            Kind::Json,
            Kind::Text,
        ];
        let kind = kinds[random.below(kinds.len())];
        let depth = 1 + random.below(2);
        let mut generator = Generator { random: &mut random, table: &table };
        let expression = match generator.printed(kind, depth) {
            Some(expression) => expression,
            None => generator.json_operand(kind, depth).expect("documents have operands"),
        };
        let theirs = client.simple_query(&format!("SELECT ({expression})::text"));
        let clause = match &theirs {
            Ok(messages) => {
                let value = messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
                    _ => None,
                });
                match value.expect("a row") {
                    Some(text) => format!("({expression})::text = {}", quote(&text)),
                    None => format!("({expression}) IS NULL"),
                }
            }
            Err(_) => format!("({expression})::text = ''"),
        };
        let ours = ours(&clause, &mut compiler, &table.schema);
        let expected = match theirs {
            Ok(_) => Ok(Some(true)),
            Err(error) => Err(crate::code(&error)),
        };
        match &expected {
            Ok(_) => printed += 1,
            Err(_) => raised += 1,
        }
        if ours != expected {
            println!("MISMATCH {clause}\n  PostgreSQL {expected:?}, here {ours:?}");
            bad.push(clause);
            assert!(bad.len() < 25, "seed {seed}");
        }
    }
    println!("digits: {printed} printed, {raised} raised");
    assert!(bad.is_empty(), "seed {seed}: {bad:?}");
}
