//! Rows as they stand in the database now: by their keys, or a whole table. Who asks waits, off the schedulers.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::list::List;
use crate::source::{connection, get};
use parking_lot::Mutex;
use pg_wal::query::{Reader, Rows, Scan};
use pg_wal::source::{Options, TableName};
use rustler::{Binary, Encoder, Env, NewBinary, Resource, ResourceArc, Term};
use std::panic::RefUnwindSafe;
use std::time::Duration;

/// A reader, as Erlang holds it: one question at a time.
struct ReaderHandle(Mutex<Reader>);

#[rustler::resource_impl]
impl Resource for ReaderHandle {}

impl RefUnwindSafe for ReaderHandle {}

/// A table that is being read.
struct ScanHandle(Mutex<Option<Scan>>);

#[rustler::resource_impl]
impl Resource for ScanHandle {}

impl RefUnwindSafe for ScanHandle {}

fn options(term: Term<'_>) -> Result<Options, NifError> {
    let timeout = Duration::from_millis(get(term, "timeout_ms")?);
    Ok(Options { timeout, ..connection(term)? })
}

/// A reader of a database; it connects when it is first asked.
#[rustler::nif(schedule = "DirtyIo")]
fn reader_new<'a>(env: Env<'a>, options: Term<'a>) -> Term<'a> {
    let new = || -> Result<Term<'a>, NifError> {
        let reader = Reader::new(self::options(options)?)?;
        Ok((atoms::ok(), ResourceArc::new(ReaderHandle(Mutex::new(reader)))).encode(env))
    };
    reply(env, new())
}

/// `{:ok, rows}` as maps of the key's columns and these, or of all.
#[rustler::nif(schedule = "DirtyIo")]
fn reader_read<'a>(
    env: Env<'a>,
    reader: ResourceArc<ReaderHandle>,
    (schema, name): (String, String),
    List(key): List<String>,
    List(keys): List<List<Option<Binary<'a>>>>,
    columns: Option<List<String>>,
) -> Term<'a> {
    let read = || -> Result<Term<'a>, NifError> {
        let keys: Vec<Vec<Option<&[u8]>>> = keys
            .iter()
            .map(|List(key)| key.iter().map(|value| value.as_ref().map(Binary::as_slice)).collect())
            .collect();
        let table = TableName::new(schema, name);
        let rows = reader.0.lock().read(
            &table,
            &key,
            &keys,
            columns.as_ref().map(|List(columns)| columns.as_slice()),
        )?;
        Ok((atoms::ok(), maps(env, &rows)?).encode(env))
    };
    reply(env, read())
}

/// `{:ok, {xmin, xmax, xip, lsn}, scan}`
#[rustler::nif(schedule = "DirtyIo")]
fn scan_begin<'a>(
    env: Env<'a>,
    options: Term<'a>,
    (schema, name): (String, String),
    snapshot: Option<String>,
) -> Term<'a> {
    let begin = || -> Result<Term<'a>, NifError> {
        let table = TableName::new(schema, name);
        let scan = Scan::begin(&self::options(options)?, &table, snapshot.as_deref())?;
        let shown = scan.snapshot();
        let snapshot = (shown.xmin, shown.xmax, shown.xip.clone(), shown.lsn.0).encode(env);
        let scan = ResourceArc::new(ScanHandle(Mutex::new(Some(scan))));
        Ok((atoms::ok(), snapshot, scan).encode(env))
    };
    reply(env, begin())
}

/// `{:ok, rows}`: the next ones, as maps; none at the end.
#[rustler::nif(schedule = "DirtyIo")]
fn scan_next<'a>(env: Env<'a>, scan: ResourceArc<ScanHandle>) -> Term<'a> {
    let next = || -> Result<Term<'a>, NifError> {
        let mut scan = scan.0.lock();
        let scan = scan.as_mut().ok_or_else(|| NifError::argument("the table was closed"))?;
        Ok((atoms::ok(), maps(env, &scan.next_rows()?)?).encode(env))
    };
    reply(env, next())
}

/// Ends its connection. What is forgotten is ended too, but later.
#[rustler::nif(schedule = "DirtyIo")]
fn scan_close(scan: ResourceArc<ScanHandle>) -> rustler::Atom {
    drop(scan.0.lock().take());
    atoms::ok()
}

fn maps<'a>(env: Env<'a>, rows: &Rows) -> Result<Vec<Term<'a>>, NifError> {
    let names: Vec<Term<'a>> = rows.columns.iter().map(|name| name.encode(env)).collect();
    let mut values = Vec::with_capacity(names.len());
    rows.rows
        .iter()
        .map(|row| {
            values.clear();
            values.extend(row.values().map(|value| match value {
                None => atoms::nil().to_term(env),
                Some(bytes) => NewBinary::from_slice(env, bytes).into(),
            }));
            Term::map_from_term_arrays(env, &names, &values)
                .map_err(|_| NifError::new("internal", "a table has two columns of one name"))
        })
        .collect()
}
