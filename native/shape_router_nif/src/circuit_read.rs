//! What a circuit is asked. On a normal scheduler nobody waits for its lock, and nothing long is told:
//! the answer is `:dirty` then, and the same is asked off the scheduler.

use crate::atoms;
use crate::circuit::{CircuitHandle, Open};
use crate::circuit_answer::{self, RowWriter, text};
use crate::circuit_batch::BatchReader;
use crate::circuit_view::{Level, ViewInfo, ViewName};
use crate::error::{NifError, reply};
use bumpalo::Bump;
use rustler::{Atom, Encoder, Env, Term};
use shape_expr::Type;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use view_circuit::{Key, TreeRow};

/// More rows than this are not told on a normal scheduler.
const MOST_ROWS: usize = 100;

/// What was found under the lock, and is told without it.
enum Found {
    Rows(Arc<ViewInfo>, Vec<TreeRow>),
    Ids(Arc<ViewInfo>, Vec<Key>),
    Hash(Option<view_circuit::ContentHash>),
    Columns(Arc<ViewInfo>),
    Tables(Vec<String>),
}

/// Asks; `None`: not here.
fn ask<R>(
    handle: &CircuitHandle,
    at_once: bool,
    run: impl FnOnce(&Open) -> Result<Option<R>, NifError>,
) -> Result<Option<R>, NifError> {
    match handle.lock(!at_once) {
        Some(mut state) => run(state.open()?),
        None => Ok(None),
    }
}

fn find(open: &Open, id: Term<'_>, what: Atom, at_once: bool) -> Result<Option<Found>, NifError> {
    let (view, info) = open.views.find(&ViewName::read(id)?)?;
    let info = Arc::clone(info);
    if what == atoms::columns() {
        return Ok(Some(Found::Columns(info)));
    }
    if what == atoms::tables() {
        let tables = open.circuit.tables_of(view)?;
        return Ok(Some(Found::Tables(tables.into_iter().map(str::to_owned).collect())));
    }
    if what == atoms::hash() {
        return Ok(Some(Found::Hash(open.circuit.hash(view)?)));
    }
    let Some(count) = open.circuit.row_count(view)? else {
        let message =
            format!("view {} keeps no rows: register it with materialize: true", info.name);
        return Err(NifError::new("not_materialized", message));
    };
    let is_ids = what == atoms::ids();
    // How many rows hang on those of a tree is not known.
    let may_be_long = count > MOST_ROWS || !(is_ids || info.level.branches.is_empty());
    if at_once && may_be_long {
        return Ok(None);
    }
    Ok(Some(if is_ids {
        let rows = open.circuit.rows(view)?;
        Found::Ids(info, rows.map(|(id, _)| id.clone()).collect())
    } else {
        Found::Rows(info, open.circuit.tree(view)?.collect())
    }))
}

/// `[{name, type}]`, for a branch `{name, columns}`.
fn columns<'a>(env: Env<'a>, level: &Level) -> Term<'a> {
    let types = level.types.iter().map(|ty| text(env, &ty.to_string()));
    let types = types.chain(level.branches.iter().map(|branch| columns(env, branch)));
    let names = level.names.iter().map(|name| text(env, name));
    names.zip(types).collect::<Vec<_>>().encode(env)
}

fn view<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    id: Term<'a>,
    what: Atom,
    at_once: bool,
) -> Term<'a> {
    let tell = || -> Result<Term<'a>, NifError> {
        let found = ask(handle, at_once, |open| find(open, id, what, at_once))?;
        Ok(match found {
            None => atoms::dirty().to_term(env),
            Some(Found::Hash(hash)) => (atoms::ok(), circuit_answer::hash(env, hash)).encode(env),
            Some(Found::Tables(tables)) => (atoms::ok(), tables).encode(env),
            Some(Found::Columns(info)) => (atoms::ok(), columns(env, &info.level)).encode(env),
            Some(Found::Ids(info, ids)) => {
                let mut rows = RowWriter::of(env, &info);
                let ids: Vec<_> = ids.iter().map(|id| rows.id(id)).collect();
                (atoms::ok(), ids).encode(env)
            }
            Some(Found::Rows(info, found)) => {
                let mut rows = RowWriter::of(env, &info);
                (atoms::ok(), rows.rows(&found)?).encode(env)
            }
        })
    };
    reply(env, tell())
}

/// What a view has: `:rows`, `:ids`, `:hash`, `:columns` or `:tables`; `{:ok, _}`, `:dirty` or an error.
#[rustler::nif]
fn circuit_view<'a>(env: Env<'a>, handle: &CircuitHandle, id: Term<'a>, what: Atom) -> Term<'a> {
    view(env, handle, id, what, true)
}

/// The same after `:dirty`. What it takes long for is mostly to wait.
#[rustler::nif(schedule = "DirtyIo")]
fn circuit_view_dirty<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    id: Term<'a>,
    what: Atom,
) -> Term<'a> {
    view(env, handle, id, what, false)
}

fn row<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    table: Term<'a>,
    id: Term<'a>,
    as_text: bool,
    at_once: bool,
) -> Term<'a> {
    let tell = || -> Result<Term<'a>, NifError> {
        let table = handle.tables.find(table)?;
        let in_table = |error: NifError| error.at(format_args!("table {}", table.name));
        let arena = Bump::new();
        let mut reader = BatchReader::new(&handle.tables, &arena, at_once);
        let dirty = || Ok(atoms::dirty().to_term(env));
        let Ok(key) = reader.id(table, id).map_err(in_table)? else { return dirty() };
        let found = ask(handle, at_once, |open| {
            let row = open.circuit.row(&table.name, &key)?;
            Ok(Some(row.map(|(row, version)| (row.clone(), version))))
        })?;
        let found = match found {
            None => return dirty(),
            Some(None) => return Ok((atoms::ok(), atoms::nil()).encode(env)),
            Some(Some(found)) => found,
        };
        let types: Vec<Type> = table.types.iter().map(|ty| ty.ty.clone()).collect();
        let names = (0..types.len()).filter_map(|column| table.keys.name(column));
        let record = RowWriter::new(env, names, &types, &[]).with_texts(as_text).row(&found.0)?;
        let keys = [atoms::record(), atoms::version()].map(|key| key.to_term(env));
        let row = circuit_answer::map(env, &keys, &[record, found.1.encode(env)])?;
        Ok((atoms::ok(), row).encode(env))
    };
    reply(env, tell())
}

/// A table's row: `{:ok, %{record:, version:} | nil}`, `:dirty` or an error.
#[rustler::nif]
fn circuit_row<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    table: Term<'a>,
    id: Term<'a>,
    as_text: bool,
) -> Term<'a> {
    row(env, handle, table, id, as_text, true)
}

/// The same after `:dirty`.
#[rustler::nif(schedule = "DirtyIo")]
fn circuit_row_dirty<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    table: Term<'a>,
    id: Term<'a>,
    as_text: bool,
) -> Term<'a> {
    row(env, handle, table, id, as_text, false)
}

/// The views' ids, in the order of their registration.
#[rustler::nif(schedule = "DirtyIo")]
fn circuit_views<'a>(env: Env<'a>, handle: &CircuitHandle) -> Term<'a> {
    let names = ask(handle, false, |open| {
        let names = open.views.all().map(|info| info.name.clone());
        Ok(Some(names.collect::<Vec<_>>()))
    });
    reply(env, names.map(|names| (atoms::ok(), names.unwrap_or_default()).encode(env)))
}

/// `{:ok, figures}`. Arrangements are gone through to count their rows.
#[rustler::nif(schedule = "DirtyCpu")]
fn circuit_stats<'a>(env: Env<'a>, handle: &CircuitHandle) -> Term<'a> {
    let figures =
        ask(handle, false, |open| Ok(Some((open.circuit.stats(), open.views.all().count()))));
    let tell = |found: Option<(view_circuit::Stats, usize)>| {
        let (stats, views) = found.unwrap_or_default();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let figures = [
            (atoms::views(), views as u64),
            (atoms::rows(), stats.table_rows as u64),
            (atoms::nodes(), stats.nodes as u64),
            (atoms::arrangements(), stats.arrangements as u64),
            (atoms::arranged_rows(), stats.arranged_rows as u64),
            (atoms::counted_rows(), stats.counted_rows as u64),
            (atoms::groups(), stats.groups as u64),
            (atoms::sorted_rows(), stats.sorted_rows as u64),
            (atoms::steps(), count(&handle.steps)),
            (atoms::dirty_steps(), count(&handle.dirty_steps)),
            (atoms::mark(), count(&handle.mark)),
        ];
        let keys = figures.map(|(key, _)| key.to_term(env));
        let values = figures.map(|(_, value)| value.encode(env));
        Ok((atoms::ok(), circuit_answer::map(env, &keys, &values)?).encode(env))
    };
    reply(env, figures.and_then(tell))
}
