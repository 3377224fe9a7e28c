//! A clause compiled by what is known of its text is the clause compiled from scratch: program,
//! constants, access, errors with their positions, and answers.

use pg_fixture::Server;
use postgres::{Client, NoTls};
use shape_expr::{Compiled, Compiler, Error, Options, Param};

use crate::random::Random;
use crate::samples::{self, ARRAYS, KINDS};
use crate::table::Table;
use crate::{clauses, evaluate, from_environment, seed};

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "7",
    "007",
    "40",
    "100",
    "2147483647",
    "2147483648",
    "2147483649",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "9223372036854775809",
    "1.5",
    "2.",
    ".5",
    "1e3",
    "1.25e-2",
    "99999999999999999999999",
    "1e",
    "1x",
];

const STRINGS: &[&str] = &[
    "",
    "a",
    "ab%",
    "%b_",
    "\\",
    "\\%",
    "it's",
    "NULL",
    "null",
    "{a,b}",
    "{}",
    "{1,NULL}",
    "[1]",
    "{\"a\": 1}",
    "true",
    "t",
    "(",
    "a(b",
    "NaN",
    "-1",
    "5",
    " 7 ",
    "2024-02-29",
    "now",
    "epoch",
    "ä",
    "1 day",
    "%",
    "x\ny",
];

/// The text with its literals exchanged, some for parameters.
pub fn vary(random: &mut Random, clause: &str, params: &mut Vec<Value>) -> String {
    let bytes = clause.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    let rate = 1 + random.below(4);
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes[at] != b'"' {
                    at += 1;
                }
                at += 1;
                out.push_str(&clause[start..at]);
            }
            b'\'' => {
                at += 1;
                loop {
                    if bytes[at] == b'\'' && bytes.get(at + 1) == Some(&b'\'') {
                        at += 2;
                    } else if bytes[at] == b'\'' {
                        break;
                    } else {
                        at += 1;
                    }
                }
                at += 1;
                let escaped = out.ends_with(['e', 'E', 'x', 'b', 'n', '&']);
                if escaped || !random.one_in(rate) {
                    out.push_str(&clause[start..at]);
                } else {
                    let text = string(random);
                    spell(random, text, params, &mut out);
                }
            }
            b'0'..=b'9' => {
                while at < bytes.len() && matches!(bytes[at], b'0'..=b'9' | b'.' | b'e') {
                    at += 1;
                }
                if !random.one_in(rate) {
                    out.push_str(&clause[start..at]);
                } else if random.one_in(6) {
                    let i = random.next() as i64 >> random.below(64);
                    params.push(Value::Int(i));
                    out.push_str(&format!("${}", params.len()));
                } else {
                    out.push_str(random.pick(NUMBERS));
                }
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                while at < bytes.len()
                    && (bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || bytes[at] >= 0x80)
                {
                    at += 1;
                }
                out.push_str(&clause[start..at]);
            }
            _ => {
                at += 1;
                out.push_str(&clause[start..at]);
            }
        }
    }
    out
}

fn string(random: &mut Random) -> String {
    match random.below(3) {
        0 => random.pick(STRINGS).to_owned(),
        1 => {
            let kind = KINDS[random.below(KINDS.len())];
            samples::any(random, kind)
        }
        _ => {
            let kind = ARRAYS[random.below(ARRAYS.len())];
            samples::any(random, kind)
        }
    }
}

/// In one of the ways that PostgreSQL has for strings.
fn spell(random: &mut Random, text: String, params: &mut Vec<Value>, out: &mut String) {
    match random.below(10) {
        0 => {
            out.push_str("E'");
            out.push_str(&text.replace('\\', "\\\\").replace('\n', "\\n").replace('\'', "''"));
            out.push('\'');
        }
        1 if !text.contains('$') => out.push_str(&format!("$q${text}$q$")),
        2 => out.push_str(&format!("/* 'x' */ {}", clauses::quote(&text))),
        3 => out.push_str(&format!("U&{}", clauses::quote(&text))),
        4 | 5 => {
            params.push(match random.below(12) {
                0 => Value::Null,
                1 => Value::Bool(random.one_in(2)),
                2 => Value::Float(random.below(1000) as f64 / 8.0),
                _ => Value::Text(text),
            });
            out.push_str(&format!("${}", params.len()));
        }
        _ => out.push_str(&clauses::quote(&text)),
    }
}

/// An owned parameter.
pub enum Value {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Value {
    fn param(&self) -> Param<'_> {
        match self {
            Value::Null => Param::Null,
            Value::Text(text) => Param::Text(text),
            Value::Int(i) => Param::Int(*i),
            Value::Float(x) => Param::Float(*x),
            Value::Bool(b) => Param::Bool(*b),
        }
    }
}

/// A listing without the names of what is called: a template is shared by the names of one function
/// (`length` and `char_length`, `?` and `jsonb_exists`, a cast and its type's name called), and tells the first.
fn nameless(listing: &str) -> String {
    let line = |line: &str| match (line.find("  call "), line.rfind('/')) {
        (Some(at), Some(count)) => format!("{}{}\n", &line[..at], &line[count..]),
        // "compare column 2 ? 'b'" is jsonb_exists(column, 'b') as well.
        _ => match line.split_once("  compare column ").map(|(at, rest)| (at, rest.split(' '))) {
            Some((at, mut words)) => {
                let column = words.next().unwrap_or_default();
                let operands: Vec<&str> = words.skip(1).collect();
                format!("{at}  compare column {column} {}\n", operands.join(" "))
            }
            None => format!("{line}\n"),
        },
    };
    listing.lines().map(line).collect()
}

fn show(result: &Result<Compiled, Error>) -> String {
    match result {
        Err(error) => format!("{error:?}"),
        Ok(compiled) => format!(
            "{}{:?}\n{:?}\n{}",
            nameless(&compiled.predicate.describe()),
            compiled.predicate.access(),
            compiled.predicate.columns(),
            compiled.predicate.memory_bytes(),
        ),
    }
}

#[test]
fn known_texts_compile_as_from_scratch() {
    let clauses = from_environment("SHAPE_EXPR_CACHED_CLAUSES").unwrap_or(6_000);
    let seed = seed();
    println!("cached: seed {seed}, {clauses} clauses");
    let mut random = Random::new(seed);
    let server = Server::start().expect("PostgreSQL starts");
    let mut client = Client::connect(&server.url("postgres"), NoTls).expect("connect");
    client.batch_execute("SET TimeZone = 'UTC'; SET extra_float_digits = 1").expect("settings");
    let (mut done, mut variants, mut trees) = (0, 0, 0);
    while done < clauses {
        let table = Table::create(&mut client, &mut random);
        let rows = table.rows(&mut client);
        let mut options = Options::default();
        options.time_zone = table.zone.to_owned();
        let mut cached = Compiler::new(options.clone()).expect("the options");
        options.text_cache_bytes = 0;
        let mut cold = Compiler::new(options).expect("the options");
        // The templates of the first clauses stay alive, as a router's do.
        let mut keep = Vec::new();
        for _ in 0..150 {
            done += 1;
            let clause = clauses::condition(&mut random, &table);
            for round in 0..6 {
                let mut values = Vec::new();
                let text = match round {
                    0 => clause.clone(),
                    _ => vary(&mut random, &clause, &mut values),
                };
                let params: Vec<Param<'_>> = values.iter().map(Value::param).collect();
                let known = cached.compile(&text, &table.schema, &params);
                let fresh = cold.compile(&text, &table.schema, &params);
                assert_eq!(show(&known), show(&fresh), "seed {seed}: {text}\nafter {clause}");
                if let (Ok(known), Ok(fresh)) = (known, fresh) {
                    for row in rows.values().take(12) {
                        let ours = evaluate(&known.predicate, &table, row);
                        let theirs = evaluate(&fresh.predicate, &table, row);
                        assert_eq!(ours, theirs, "seed {seed}: {text}\nafter {clause}\n{row:?}");
                    }
                    keep.push(known.predicate);
                }
            }
        }
        let hits = cached.text_cache_hits();
        variants += hits.0;
        trees += hits.1;
    }
    println!("cached: {variants} by their literals alone, {trees} without the parser");
    assert!(variants > done / 10 && trees > done / 10);
}
