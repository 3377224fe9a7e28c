//! A random table, and its rows as the WAL would carry them.

use std::collections::BTreeMap;
use std::io::Read;

use postgres::Client;
use shape_expr::{Collation, Column, ColumnType, Schema};

use crate::datetime;
use crate::random::Random;
use crate::samples::{self, ARRAYS, KINDS, Kind};

pub struct Table {
    pub columns: Vec<(String, Kind, String)>,
    /// Columns of another collation than the database's, which is C.UTF-8.
    pub collated: BTreeMap<String, Collation>,
    pub schema: Schema,
    /// The session's time zone.
    pub zone: &'static str,
}

const ROWS: usize = 40;
const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "Mixed Case", "select", "üñï"];

impl Table {
    pub fn create(client: &mut Client, random: &mut Random) -> Table {
        let zone = random.pick(datetime::SESSION_ZONES);
        client.batch_execute(&format!("SET TimeZone = '{zone}'")).expect("the zone");
        let steady = |kinds: &[Kind]| -> Vec<Kind> {
            let kinds = kinds.iter().copied();
            kinds.filter(|k| datetime::is_steady(zone) || k.element() != Kind::Timetz).collect()
        };
        let (kinds, arrays) = (steady(KINDS), steady(ARRAYS));
        let count = 6 + random.below(NAMES.len() - 5);
        let mut columns = vec![("pk".to_owned(), Kind::Int8, "bigint".to_owned())];
        for name in &NAMES[..count] {
            let kind = match random.one_in(3) {
                true => arrays[random.below(arrays.len())],
                false => kinds[random.below(kinds.len())],
            };
            let ty = match kind {
                Kind::Numeric if random.one_in(3) => "numeric(12,3)".to_owned(),
                Kind::Varchar if random.one_in(2) => "varchar(12)".to_owned(),
                Kind::Bpchar if random.one_in(2) => "character(5)".to_owned(),
                Kind::Timestamptz if random.one_in(3) => "timestamp(2) with time zone".to_owned(),
                Kind::Array(Kind::Varchar) if random.one_in(2) => "varchar(12)[]".to_owned(),
                Kind::Array(Kind::Bpchar) if random.one_in(2) => "character(5)[]".to_owned(),
                Kind::Timestamp if random.one_in(3) => "timestamp(3)".to_owned(),
                Kind::Time if random.one_in(3) => "time(1)".to_owned(),
                Kind::Interval if random.one_in(3) => datetime::modified(random, kind).to_owned(),
                kind => kind.name().to_owned(),
            };
            columns.push(((*name).to_owned(), kind, ty));
        }
        // Clauses cast to the enum by its name, which the schema must tell.
        columns.push(("mood".to_owned(), Kind::Mood, "mood".to_owned()));
        let mut collated = BTreeMap::new();
        for (name, kind, _) in &columns {
            if kind.is_string() && random.one_in(3) {
                let collation = if random.one_in(3) { Collation::CUtf8 } else { Collation::C };
                collated.insert(name.clone(), collation);
            }
        }
        let definitions: Vec<String> = columns
            .iter()
            .map(|(name, _, ty)| format!("\"{name}\" {ty}{}", clause(collated.get(name))))
            .collect();
        let create = format!(
            "DROP TABLE IF EXISTS t; DROP TYPE IF EXISTS mood; CREATE TYPE mood AS ENUM ('{}'); \
             CREATE TABLE t ({})",
            crate::arrays::MOODS.join("', '"),
            definitions.join(", ")
        );
        client.batch_execute(&create).expect("the table");
        let schema = columns.iter().map(|(name, kind, ty)| {
            let mut ty: ColumnType = kind.column_type(ty);
            ty.collation = collated.get(name).copied().unwrap_or_default();
            Column::new(name, ty)
        });
        let schema = Schema::new("public.t", schema.collect()).expect("the schema");
        let table = Table { columns, collated, schema, zone };
        table.fill(client, random);
        table
    }

    /// Does no value depend on today's date?
    pub fn steady(&self) -> bool {
        datetime::is_steady(self.zone)
    }

    fn fill(&self, client: &mut Client, random: &mut Random) {
        for pk in 0..ROWS {
            // A value the column does not take leaves a NULL there.
            client.batch_execute(&format!("INSERT INTO t (pk) VALUES ({pk})")).expect("a row");
            for (name, kind, _) in &self.columns[1..] {
                if random.one_in(8) {
                    continue;
                }
                let value = samples::valid(random, *kind).replace('\'', "''");
                let set = format!("UPDATE t SET \"{name}\" = '{value}' WHERE pk = {pk}");
                let _ = client.batch_execute(&set);
            }
        }
    }

    /// Key -> columns, from COPY's text format.
    pub fn rows(&self, client: &mut Client) -> BTreeMap<i64, Vec<Option<String>>> {
        let mut text = String::new();
        let mut reader = client.copy_out("COPY t TO STDOUT").expect("copy");
        reader.read_to_string(&mut text).expect("copied text");
        let mut rows = BTreeMap::new();
        for line in text.lines() {
            let row: Vec<Option<String>> = line.split('\t').map(unescape).collect();
            let pk = row[0].as_ref().and_then(|pk| pk.parse().ok()).expect("a key");
            rows.insert(pk, row);
        }
        rows
    }

    pub fn describe(&self) -> Vec<String> {
        let collate = |name| clause(self.collated.get(name));
        self.columns.iter().map(|(name, _, ty)| format!("{name} {ty}{}", collate(name))).collect()
    }

    pub fn of_kind(&self, random: &mut Random, kind: Kind) -> Option<String> {
        let fitting: Vec<&String> =
            self.columns.iter().filter(|(_, k, _)| *k == kind).map(|(name, _, _)| name).collect();
        if fitting.is_empty() {
            return None;
        }
        let name = fitting[random.below(fitting.len())];
        Some(match random.below(12) {
            0 => format!("t.\"{name}\""),
            1 => format!("public.t.\"{name}\""),
            _ => format!("\"{name}\""),
        })
    }
}

fn clause(collation: Option<&Collation>) -> &'static str {
    match collation {
        Some(Collation::C) => " COLLATE \"C\"",
        Some(Collation::CUtf8) => " COLLATE \"C.utf8\"",
        _ => "",
    }
}

fn unescape(field: &str) -> Option<String> {
    if field == "\\N" {
        return None;
    }
    let mut text = String::new();
    let mut characters = field.chars();
    while let Some(c) = characters.next() {
        text.push(match c {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            c => c,
        });
    }
    Some(text)
}
