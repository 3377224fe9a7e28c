//! A clause for every row of the catalogue: what random clauses rarely say is said here on purpose.

use std::collections::{BTreeMap, BTreeSet};

use postgres::{Client, SimpleQueryMessage};
use shape_expr::coverage::{self, Row};

use crate::clauses::quote;
use crate::random::Random;
use crate::samples::{self, ARRAYS, KINDS, Kind};
use crate::table::Table;

/// Which rows were resolved in clauses that both sides accepted, and how often.
pub struct Coverage {
    rows: Vec<Row>,
    seen: BTreeMap<String, u64>,
}

impl Coverage {
    pub fn start() -> Coverage {
        coverage::start();
        Coverage { rows: coverage::rows(), seen: BTreeMap::new() }
    }

    /// Counts what was resolved since the last call, if the clause was compared.
    pub fn count(&mut self, compared: bool) {
        let keys = coverage::take();
        for key in keys.into_iter().filter(|_| compared) {
            *self.seen.entry(key).or_default() += 1;
        }
    }

    /// The rows, types and forms that no clause had yet.
    pub fn missing(&self) -> Vec<Row> {
        let rows = self.rows.iter();
        rows.filter(|row| !self.seen.contains_key(&row.key)).cloned().collect()
    }

    pub fn missing_forms(&self) -> Vec<&'static str> {
        let forms = coverage::FORMS.iter().copied();
        forms.filter(|form| !self.seen.contains_key(*form)).collect()
    }

    /// One line, and how many rows there are.
    pub fn report(&self, how: &str) {
        let rows: BTreeSet<&str> = self.rows.iter().map(|row| row.key.as_str()).collect();
        let covered = rows.iter().filter(|key| self.seen.contains_key(**key)).count();
        let forms = coverage::FORMS.len();
        println!(
            "oracle: {how}: {covered} of {} rows of the catalogue, {} of {forms} forms",
            rows.len(),
            forms - self.missing_forms().len()
        );
    }

    pub fn rows(&self) -> Vec<Row> {
        self.rows.clone()
    }
}

/// The kind of this type; of a polymorphic one, what `element` says.
fn kind_of(ty: &str, element: Kind) -> Option<Kind> {
    let array =
        ARRAYS.iter().copied().find(|kind| *kind != kind.element() && kind.element() == element);
    let is = |kind: &Kind| kind.column_type(kind.name()).ty.to_string() == ty;
    match ty {
        "anyelement" | "anycompatible" | "anynonarray" => Some(element),
        "anyarray" | "anycompatiblearray" => array,
        "anyenum" => Some(Kind::Mood),
        _ => KINDS.iter().chain(ARRAYS).copied().find(is),
    }
}

/// What a function's argument at this place must be one of, for it to do more than to raise, or to be
/// refused as what depends on more than the row.
const WORDS: &[(&[&str], usize, &[&str])] = &[
    (
        &["date_trunc", "date_part", "extract"],
        0,
        &["year", "month", "day", "hour", "minute", "second", "week", "quarter", "epoch", "dow"],
    ),
    // Zones without a rule: what a time of day is there does not depend on today.
    (&["timezone"], 0, &["UTC", "+03", "-05:30", "MSK"]),
    (&["encode", "decode"], 1, &["hex", "base64", "escape"]),
    // Lengths that the bounds of an evaluation allow, or that PostgreSQL refuses too.
    (&["repeat"], 1, &["-2147483648", "-1", "0", "1", "2", "3", "7", "40"]),
    (&["lpad", "rpad"], 1, &["-1", "0", "1", "2", "3", "7", "40", "2147483647"]),
    (&["array_fill"], 1, &["{}", "{0}", "{1}", "{3}", "{2,3}", "{1,1,2}", "{-1}", "{NULL}"]),
];

/// Flags of regular expressions: `b`, which makes a basic one, is refused.
const FLAGS: &[&str] =
    &["", "i", "c", "n", "s", "p", "w", "x", "t", "q", "m", "in", "xi", "g", "z", "ic"];

fn words(row: &Row, at: usize, kind: Kind) -> Option<&'static [&'static str]> {
    let name = row.name.as_str();
    // Behind the text and the expression, and what replaces it.
    let flags_from = if name == "regexp_replace" { 3 } else { 2 };
    if name.starts_with("regexp_") && at >= flags_from && kind == Kind::Text {
        return Some(FLAGS);
    }
    let takes_words =
        matches!(kind, Kind::Text | Kind::Name | Kind::Int4 | Kind::Array(Kind::Int4));
    let found = WORDS.iter().find(|(names, place, _)| *place == at && names.contains(&name));
    found.filter(|_| takes_words).map(|(.., words)| *words)
}

/// Encodings must be literals; NULL and what is none may stand for one too.
const ENCODINGS: &[&str] =
    &["'UTF8'", "'utf-8'", "'LATIN1'", "'iso_8859_1'", "'unicode'", "'no encoding'", "NULL"];

/// Does the function's argument at this place name an encoding?
fn is_encoding(row: &Row, at: usize) -> bool {
    match (row.name.as_str(), row.args.len()) {
        ("convert_from" | "convert_to" | "length", 2) => at == 1,
        ("convert", 3) => at > 0,
        _ => false,
    }
}

/// A clause that uses the row, or `None` where this table cannot have one.
pub fn clause(
    random: &mut Random,
    table: &Table,
    client: &mut Client,
    row: &Row,
) -> Option<String> {
    let elements: Vec<Kind> = KINDS.iter().copied().filter(|k| *k != Kind::Timetz).collect();
    let element = elements[random.below(elements.len())];
    let is_power = matches!(row.name.as_str(), "^" | "power" | "pow");
    let mut args = Vec::with_capacity(row.args.len());
    for (at, ty) in row.args.iter().enumerate() {
        if is_encoding(row, at) {
            args.push(random.pick(ENCODINGS).to_owned());
            continue;
        }
        if ty == "record" {
            args.push(record(random));
            continue;
        }
        let kind = kind_of(ty, element)?;
        if !table.steady() && (kind.element() == Kind::Timetz || row.result.contains("time zone")) {
            return None;
        }
        let words = words(row, at, kind);
        let text = match (words, kind) {
            // The text of a value that can be read.
            _ if row.kind == coverage::Kind::Cast && kind.is_string() => {
                samples::valid(random, kind_of(&row.result, element)?)
            }
            // Where a power of floats has bits that libraries differ in, it is not given at all.
            (_, Kind::Float8) if is_power => {
                let words = [["-2", "0.5", "1", "4", "3"], ["0", "1", "2", "3", "-0"]];
                random.pick(&words[at]).to_owned()
            }
            (Some(words), _) => random.pick(words).to_owned(),
            _ => samples::valid(random, kind),
        };
        let column = table.of_kind(random, kind).filter(|_| !random.one_in(3));
        let column = column.filter(|_| words.is_none());
        let column = column.filter(|_| !is_power || kind != Kind::Float8);
        args.push(match column {
            Some(column) => column,
            None if random.one_in(2) => format!("CAST({} AS {})", quote(&text), kind.name()),
            None => format!("({}::{})", quote(&text), kind.name()),
        });
    }
    let expression = match (row.kind, args.as_slice()) {
        (coverage::Kind::Operator, [right]) => format!("({} {right})", row.name),
        (coverage::Kind::Operator, [left, right]) => format!("({left} {} {right})", row.name),
        (coverage::Kind::Cast, [value]) => {
            let to = kind_of(&row.result, element)?;
            format!("CAST({value} AS {})", to.name())
        }
        _ => format!("\"{}\"({})", row.name, args.join(", ")),
    };
    if row.result == "boolean" {
        return Some(match random.one_in(4) {
            true => format!("NOT {expression}"),
            false => expression,
        });
    }
    // What it gives for some row, as text, must be what it gives here.
    let pk = random.below(40);
    let query = format!("SELECT ({expression})::text FROM t WHERE pk = {pk}");
    let value = client.simple_query(&query).ok().and_then(|messages| {
        messages.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    });
    Some(match value {
        Some(value) if value.len() < 10_000 => {
            format!("({expression})::text = {}", quote(&value))
        }
        _ => format!("({expression}) IS NULL"),
    })
}

/// Clauses of the forms that random ones may miss.
pub const FORMS: &[&str] = &[
    "pk IS DISTINCT FROM 3",
    "(pk, pk) <= (3, 4)",
    "(pk, 1) IN ((1, 1), (2, 1))",
    "(pk, NULL) IS DISTINCT FROM (1, 2)",
    "ROW(pk, 1) IS NOT NULL",
    "pk BETWEEN 3 AND 8",
    "pk NOT BETWEEN SYMMETRIC 8 AND 3",
    "NULLIF(pk, 3) IS NULL",
    "GREATEST(pk, 4) = LEAST(pk, 9)",
    "COALESCE(NULL, pk) > 4",
    "CASE pk WHEN 1 THEN true ELSE false END",
    "CASE WHEN pk > 3 THEN NULL ELSE pk = 1 END",
    "pk = ANY (ARRAY[1, 2, 3])",
    "pk <> ALL ('{4,5}')",
    "(ARRAY[pk, 2])[1] = 5",
    "(ARRAY[pk, 2, 3])[2:] = '{2,3}'",
    "pk::text COLLATE \"C\" < '3'",
    "pk = 12345678901 OR pk = -0.0 OR NOT (pk = 1) AND TRUE",
    "(pk = 1) IS NOT TRUE AND (pk = 2) IS FALSE",
    "(pk > NULL) IS UNKNOWN",
    "t IS NOT NULL",
    "(CASE WHEN pk > 3 THEN ROW(pk, 'x'::text) END) IS NULL",
];

/// A row as a value, which PostgreSQL does not take apart while it resolves names.
fn record(random: &mut Random) -> String {
    let second = random.pick(&["'x'::text", "NULL::text", "'y'::text"]);
    format!("(CASE WHEN pk <> {} THEN ROW(pk / 10, {second}) END)", random.below(40))
}
