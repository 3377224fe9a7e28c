//! A log of the collector's own, read back as rows: what was logged of each, in order.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::log_store::{StoreHandle, binary};
use parking_lot::Mutex;
use rustler::{Encoder, Env, Resource, ResourceArc, Term};
use serde_json::Value;
use shape_log::{Entry, Limits, LogReader, Offset, Op};
use std::panic::RefUnwindSafe;

/// So many rows are handed over at once.
const AT_ONCE: usize = 500;

/// A log that is being read.
struct ReplayHandle(Mutex<LogReader>);

#[rustler::resource_impl]
impl Resource for ReplayHandle {}

// Whoever meets a panic reads no further.
impl RefUnwindSafe for ReplayHandle {}

/// `{:ok, replay}`: of all that is durable.
#[rustler::nif(schedule = "DirtyIo")]
fn log_replay<'a>(env: Env<'a>, handle: &StoreHandle, log: u64) -> Term<'a> {
    let replay = handle.with(|store| {
        let reader = store.entries_after(log, Offset::ZERO, Limits::NONE)?;
        Ok((atoms::ok(), ResourceArc::new(ReplayHandle(Mutex::new(reader)))).encode(env))
    });
    reply(env, replay)
}

/// `{:ok, [{operation, values}]}`, the operation `insert`, `update`, `delete` or `truncate`; none at the end.
#[rustler::nif(schedule = "DirtyIo")]
fn log_replay_next<'a>(env: Env<'a>, handle: ResourceArc<ReplayHandle>) -> Term<'a> {
    let next = || -> Result<Term<'a>, NifError> {
        let mut reader = handle.0.lock();
        let mut rows = Vec::with_capacity(AT_ONCE);
        while rows.len() < AT_ONCE {
            let Some(entry) = reader.next()? else { break };
            rows.push(row(env, &entry)?);
        }
        Ok((atoms::ok(), rows).encode(env))
    };
    reply(env, next())
}

fn row<'a>(env: Env<'a>, entry: &Entry<'_>) -> Result<Term<'a>, NifError> {
    let strange = || NifError::new("damaged", "an entry of a table's log is none of a row");
    // Not what the JSON says: compaction makes one insert of an insert and its updates.
    let operation = match entry.op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
        _ => return Err(strange()),
    };
    let message: Value = serde_json::from_slice(entry.json).map_err(|_| strange())?;
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (name, value) in message.get("value").and_then(Value::as_object).into_iter().flatten() {
        names.push(binary(env, name.as_bytes()));
        values.push(match value {
            Value::Null => atoms::nil().to_term(env),
            Value::String(text) => binary(env, text.as_bytes()),
            _ => return Err(strange()),
        });
    }
    let row = Term::map_from_term_arrays(env, &names, &values).map_err(|_| strange())?;
    Ok((operation, row).encode(env))
}
