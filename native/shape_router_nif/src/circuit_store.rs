//! A circuit in a directory: the snapshot of `view_circuit`, and beside it what Erlang calls its views.
//!
//! The snapshot knows views by numbers. What each is called, and how it is told, is in a file of its own,
//! `views.` with a number that the snapshot names as its mark: it is synced before the snapshot is written,
//! so that a snapshot that is there has its names, and the caller's mark, which is kept in it too.

use crate::atoms;
use crate::circuit::{CircuitHandle, Open, State};
use crate::circuit_view::{Telling, ViewInfo, ViewName, Views};
use crate::error::{NifError, reply};
use crate::list::List;
use lane_index::sealed::{create_anew, read, seal, verified_body};
use lane_index::storage::{Directory, Storage};
use rustler::{Atom, Encoder, Env, ResourceArc, Term};
use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};
use view_circuit::{Circuit, ViewId};

const PREFIX: &str = "views.";
const BEFORE: &str = "{\"version\":1,\"views\":\"";
const LONGEST: u64 = 1 << 30;

/// `{number, name, format, most_ids, as_text}`.
type ViewTerms<'a> = (u64, Term<'a>, Atom, Option<usize>, bool);

fn names<'a>(env: Env<'a>, open: &Open, mark: u64) -> String {
    let view = |(id, info): (&ViewId, &std::sync::Arc<ViewInfo>)| {
        let Telling { format, most_ids, as_text } = info.telling;
        let most_ids = (most_ids < usize::MAX).then_some(most_ids);
        (id.0, info.name.encode(env), format, most_ids, as_text).encode(env)
    };
    let views: Vec<Term<'a>> = open.views.numbered().map(view).collect();
    let terms = (mark, open.views.next_number(), views).encode(env).to_binary();
    let mut text = String::with_capacity(BEFORE.len() + 2 * terms.len() + 2);
    text.push_str(BEFORE);
    for byte in terms.as_slice() {
        // Into a string nothing fails.
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("\"}");
    seal(text)
}

fn damaged(file: &str, what: &str) -> NifError {
    NifError::new("damaged", format!("{file}: {what}"))
}

/// The caller's mark, and the views' names.
fn read_names(
    env: Env<'_>,
    storage: &dyn Storage,
    number: u64,
    circuit: &Circuit,
) -> Result<(u64, Views), NifError> {
    let file = format!("{PREFIX}{number:016x}");
    let bytes = read(storage, &file, LONGEST)?;
    let body = verified_body(&bytes, &file)?;
    let digits = body.strip_prefix(BEFORE.as_bytes()).and_then(|rest| rest.strip_suffix(b"\""));
    let digits = digits.ok_or_else(|| {
        NifError::new("unknown_version", format!("{file} was written by another version"))
    })?;
    let byte = |pair: &[u8]| {
        std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes.ok_or_else(|| damaged(&file, "it has no names"))?;
    // SAFETY: the bytes are what `to_binary` gave, as the checksum says; names may be atoms that this VM
    // has not met yet, which the restricted form would refuse.
    let term = unsafe { env.binary_to_term_trusted(&bytes) };
    let term = term.ok_or_else(|| damaged(&file, "its names are no terms"))?.0;
    let (mark, next, List(terms)): (u64, u64, List<ViewTerms<'_>>) =
        term.decode().map_err(|_| damaged(&file, "its names are of another form"))?;
    let mut views = Views::default();
    for (number, name, format, most_ids, as_text) in terms {
        let most_ids = most_ids.unwrap_or(usize::MAX);
        let telling = Telling { format, most_ids, as_text };
        let id = ViewId(number);
        views.add(id, ViewInfo::new(ViewName::read(name)?, telling, circuit, id)?);
    }
    views.skip_to(next);
    Ok((mark, views))
}

/// Removes what names other snapshots than this one; what cannot be removed is removed the next time.
fn sweep(storage: &dyn Storage, keep: &str) {
    for file in storage.list().unwrap_or_default() {
        if file.starts_with(PREFIX) && file != keep {
            let _ = storage.remove(&file);
        }
    }
}

/// `:ok`. Steps wait meanwhile.
#[rustler::nif(schedule = "DirtyIo")]
fn circuit_snapshot<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    directory: &str,
    mark: u64,
) -> Term<'a> {
    let snapshot = || -> Result<Term<'a>, NifError> {
        let storage = Directory::open(directory)?;
        let mut state = handle.lock_waiting();
        let open = state.open()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Another one than those before it, whatever they were.
        let number = now.as_nanos() as u64;
        let file = format!("{PREFIX}{number:016x}");
        let mut names_file = create_anew(&storage, &file)?;
        names_file.write_all(names(env, open, mark).as_bytes())?;
        names_file.sync()?;
        storage.sync_directory()?;
        open.circuit.snapshot_to(&storage, number)?;
        handle.mark.store(mark, Ordering::Relaxed);
        drop(state);
        sweep(&storage, &file);
        Ok(atoms::ok().to_term(env))
    };
    reply(env, snapshot())
}

/// `{:ok, circuit}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn circuit_restore<'a>(env: Env<'a>, directory: &str) -> Term<'a> {
    let restore = || -> Result<Term<'a>, NifError> {
        let (circuit, number) = Circuit::restore(directory)?;
        let (mark, views) = read_names(env, &Directory::open(directory)?, number, &circuit)?;
        let specs = circuit.tables();
        let handle = CircuitHandle::new(&specs, State::Open(Box::new(Open { circuit, views })))?;
        handle.mark.store(mark, Ordering::Relaxed);
        Ok((atoms::ok(), ResourceArc::new(handle)).encode(env))
    };
    reply(env, restore())
}
