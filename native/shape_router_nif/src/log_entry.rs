//! A change's term -> entries of a log: the row's key as text, and the JSON that clients are sent.
//!
//! Values are PostgreSQL's text, as JSON strings; NULL is `null`. A column that the WAL left out has no
//! member. A key is `"schema"."table"/"value"/"value"`, with what stands in quotes escaped as SQL and
//! paths escape it.

use crate::atoms;
use crate::columns::Kind;
use crate::error::NifError;
use crate::json;
use crate::list;
use crate::value;
use bumpalo::Bump;
use rustler::{Atom, MapIterator, Term, TermType};
use shape_expr::Datum;
use shape_log::Op;
use std::fmt::Write as _;
use std::io::Write as _;
use std::ops::Range;

/// Which table's rows.
pub(crate) struct Table {
    /// `["schema","table"]`.
    relation: String,
    /// `"schema"."table"`.
    name: String,
    primary_key: Vec<String>,
}

impl Table {
    pub fn new(schema: &str, table: &str, primary_key: Vec<String>) -> Self {
        let quoted = |name: &str| name.replace('"', "\"\"");
        let mut relation = Vec::new();
        relation.push(b'[');
        string(&mut relation, schema);
        relation.push(b',');
        string(&mut relation, table);
        relation.push(b']');
        let name = format!("\"{}\".\"{}\"", quoted(schema), quoted(table));
        Self { relation: String::from_utf8_lossy(&relation).into_owned(), name, primary_key }
    }
}

/// An entry, as ranges of the buffer that it was written to.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub op: Op,
    /// 0, and 1 for the second of the two entries that a new key makes.
    pub part: u64,
    pub key: Range<usize>,
    pub json: Range<usize>,
}

/// The parts of a change that an entry is made of.
struct Parts<'t> {
    new: Option<Term<'t>>,
    old: Option<Term<'t>>,
    old_key: Option<Term<'t>>,
    pk: Option<Term<'t>>,
}

impl<'t> Parts<'t> {
    fn read(change: Term<'t>) -> Self {
        let get = |key: Atom| {
            let value = change.map_get(key).ok()?;
            (value.as_c_arg() != atoms::nil().as_c_arg()).then_some(value)
        };
        Self {
            new: get(atoms::new_record()).or_else(|| get(atoms::record())),
            old: get(atoms::old_record()),
            // Elsewhere `old_key` is a text that stands for the key.
            old_key: get(atoms::old_key())
                .filter(|term| change.map_get(atoms::__struct__()).is_err() || !term.is_binary()),
            pk: get(atoms::pk()),
        }
    }
}

/// Writes the entries of a change that has this class; `op` is the number of its operation.
pub(crate) fn write<'t>(
    table: &Table,
    change: Term<'t>,
    op: Op,
    (lsn, position): (u64, u64),
    arena: &Bump,
    out: &mut Vec<u8>,
    each: &mut impl FnMut(Written),
) -> Result<(), NifError> {
    let parts = Parts::read(change);
    let writer = Writer { table, lsn, arena };
    match op {
        Op::Truncate => {
            each(writer.entry(out, (op, 0, position), None, None, "")?);
        }
        Op::Delete | Op::DeleteIfPresent => {
            let key = parts.old_key.or(parts.old).or(parts.pk).or(parts.new);
            each(writer.entry(out, (op, 0, position), key, key, "")?);
        }
        // The row gets another key: whoever has it under the old one must hear of that.
        Op::Rekey | Op::Upsert | Op::Unknown
            if op == Op::Rekey || writer.is_rekeyed(&parts, out)? =>
        {
            let old = parts.old_key.or(parts.old);
            let new = parts.new.or(parts.pk);
            let (first, then) = match op {
                Op::Rekey => (Op::Delete, Op::Insert),
                op => (Op::DeleteIfPresent, op),
            };
            let to = writer.header("key_change_to", new)?;
            let from = writer.header("key_change_from", old)?;
            each(writer.entry(out, (first, 0, position), old, old, &to)?);
            each(writer.entry(out, (then, 1, position + 1), new, parts.new, &from)?);
        }
        Op::Insert | Op::Update | Op::Upsert | Op::Unknown | Op::Rekey => {
            // A deletion can be of an unknown answer too: then there is only the old row.
            let row = parts.new.or(parts.old).or(parts.old_key);
            each(writer.entry(out, (op, 0, position), row.or(parts.pk), row, "")?);
        }
    }
    Ok(())
}

/// Writes a row that was there from the beginning.
pub(crate) fn row(
    table: &Table,
    row: Term<'_>,
    arena: &Bump,
    out: &mut Vec<u8>,
) -> Result<Written, NifError> {
    if !row.is_map() {
        return Err(NifError::argument(format!("a row is no map: {row:?}")));
    }
    let writer = Writer { table, lsn: 0, arena };
    writer.entry(out, (Op::Insert, 0, 0), Some(row), Some(row), "")
}

struct Writer<'w> {
    table: &'w Table,
    lsn: u64,
    arena: &'w Bump,
}

impl Writer<'_> {
    fn entry(
        &self,
        out: &mut Vec<u8>,
        (op, part, position): (Op, u64, u64),
        key: Option<Term<'_>>,
        row: Option<Term<'_>>,
        more_headers: &str,
    ) -> Result<Written, NifError> {
        let key_from = out.len();
        if op != Op::Truncate {
            self.key(out, key)?;
        }
        let key = key_from..out.len();
        let json_from = out.len();
        out.push(b'{');
        if op != Op::Truncate {
            out.extend_from_slice(b"\"key\":");
            let text = out[key.clone()].to_vec();
            string(out, std::str::from_utf8(&text).map_err(|_| not_text("the key"))?);
            out.extend_from_slice(b",\"value\":");
            let keys_only = matches!(op, Op::Delete | Op::DeleteIfPresent);
            self.value(out, row, keys_only)?;
            out.push(b',');
        }
        let (relation, lsn, name) = (&self.table.relation, self.lsn, name(op));
        // Writing to a vector does not fail.
        let _ = write!(
            out,
            "\"headers\":{{\"operation\":\"{name}\",\"relation\":{relation},\"lsn\":\"{lsn}\",\
             \"op_position\":{position}{more_headers}}}}}"
        );
        Ok(Written { op, part, key, json: json_from..out.len() })
    }

    /// Whether the change says that the row had another key before.
    fn is_rekeyed(&self, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<bool, NifError> {
        let (Some(old), Some(new)) = (parts.old_key.or(parts.old), parts.new) else {
            return Ok(false);
        };
        let from = out.len();
        self.key(out, Some(old))?;
        let between = out.len();
        self.key(out, Some(new))?;
        let rekeyed = out[from..between] != out[between..];
        out.truncate(from);
        Ok(rekeyed)
    }

    fn header(&self, name: &str, key: Option<Term<'_>>) -> Result<String, NifError> {
        let mut text = Vec::new();
        self.key(&mut text, key)?;
        let mut quoted = Vec::new();
        string(&mut quoted, std::str::from_utf8(&text).map_err(|_| not_text("the key"))?);
        let mut header = String::new();
        let _ = write!(header, ",\"{name}\":{}", String::from_utf8_lossy(&quoted));
        Ok(header)
    }

    /// The key of a row, of the key itself (one value, a list, a map by name), or, without a primary
    /// key, all of the row.
    fn key(&self, out: &mut Vec<u8>, term: Option<Term<'_>>) -> Result<(), NifError> {
        out.extend_from_slice(self.table.name.as_bytes());
        let missing = || NifError::new("invalid_change", "the change does not tell the row's key");
        let term = term.ok_or_else(missing)?;
        match term.get_type() {
            TermType::Map if term.map_get(atoms::__struct__()).is_err() => {
                let mut found = false;
                for name in &self.table.primary_key {
                    let Some(value) = column(term, name) else { continue };
                    found = true;
                    self.key_part(out, value)?;
                }
                if !found {
                    for (_, value) in MapIterator::new(term).into_iter().flatten() {
                        self.key_part(out, value)?;
                    }
                }
                Ok(())
            }
            TermType::List => {
                let improper = || NifError::new("invalid_key", "an improper list");
                for value in list::items(term).ok_or_else(improper)? {
                    self.key_part(out, value)?;
                }
                Ok(())
            }
            TermType::Tuple => {
                let values = rustler::types::tuple::get_tuple(term);
                let values = values.map_err(|_| NifError::new("invalid_key", "not a tuple"))?;
                values.into_iter().try_for_each(|value| self.key_part(out, value))
            }
            _ => self.key_part(out, term),
        }
    }

    fn key_part(&self, out: &mut Vec<u8>, value: Term<'_>) -> Result<(), NifError> {
        match self.text(value, "a part of the key")? {
            // NULL is told from every text by standing without quotes.
            None => out.extend_from_slice(b"/_"),
            Some(text) => {
                out.extend_from_slice(b"/\"");
                for byte in text.bytes() {
                    if byte == b'"' || byte == b'/' {
                        out.push(byte);
                    }
                    out.push(byte);
                }
                out.push(b'"');
            }
        }
        Ok(())
    }

    fn value(
        &self,
        out: &mut Vec<u8>,
        row: Option<Term<'_>>,
        keys_only: bool,
    ) -> Result<(), NifError> {
        out.push(b'{');
        let pairs = row.filter(|row| row.is_map()).and_then(MapIterator::new);
        let mut first = true;
        for (name, value) in pairs.into_iter().flatten() {
            let owned;
            let name = if let Ok(name) = name.decode::<&str>() {
                name
            } else {
                let not_a_name = |_| NifError::new("invalid_change", "a column's name is no name");
                owned = name.atom_to_string().map_err(not_a_name)?;
                &owned
            };
            let key = &self.table.primary_key;
            if keys_only && !key.is_empty() && !key.iter().any(|column| column == name) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            string(out, name);
            out.push(b':');
            match self.text(value, name)? {
                None => out.extend_from_slice(b"null"),
                Some(text) => string(out, text),
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// A value as PostgreSQL writes it; `None` is NULL.
    fn text<'r, 't: 'r>(&'r self, term: Term<'t>, what: &str) -> Result<Option<&'r str>, NifError> {
        let formatted = |text: std::fmt::Arguments<'_>| {
            let mut out = bumpalo::collections::String::new_in(self.arena);
            let _ = out.write_fmt(text);
            Ok(Some(out.into_bump_str()))
        };
        match value::datum(term, Kind::ANY, self.arena) {
            Datum::Null => Ok(None),
            Datum::Text(text) => Ok(Some(std::str::from_utf8(text).map_err(|_| not_text(what))?)),
            Datum::Bool(bool) => Ok(Some(if bool { "t" } else { "f" })),
            Datum::Int(int) => formatted(format_args!("{int}")),
            Datum::Float(float) => formatted(format_args!("{float}")),
            Datum::List(_) | Datum::Absent | Datum::Unreadable => {
                let text = json::text(term, self.arena).ok_or_else(|| not_text(what))?;
                Ok(Some(std::str::from_utf8(text).map_err(|_| not_text(what))?))
            }
        }
    }
}

fn not_text(what: &str) -> NifError {
    NifError::new("invalid_change", format!("{what} is no text: it cannot be sent as JSON"))
}

/// A record's column, under its name as a text or an atom.
fn column<'t>(record: Term<'t>, name: &str) -> Option<Term<'t>> {
    let env = record.get_env();
    record.map_get(name).ok().or_else(|| {
        let atom = Atom::existing_from_str(env, name).ok()?;
        record.map_get(atom).ok()
    })
}

/// What clients read in `operation`.
fn name(op: Op) -> &'static str {
    match op {
        Op::Insert | Op::Rekey => "insert",
        Op::Update => "update",
        Op::Delete | Op::DeleteIfPresent => "delete",
        Op::Upsert => "upsert",
        Op::Truncate => "truncate",
        Op::Unknown => "unknown",
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            byte => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}
