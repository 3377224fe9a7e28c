//! The logs of a collector: transactions' terms -> entries, and what becomes of them.

use crate::atoms;
use crate::error::{NifError, reply};
use crate::list::{self, List};
use crate::log_entry::{self, Table, Written};
use crate::notify::Notifier;
use crate::operation_cache::pair;
use bumpalo::Bump;
use lane_index::storage::Directory;
use parking_lot::{Mutex, RwLock};
use rustler::{
    Atom, Binary, Encoder, Env, LocalPid, Monitor, NewBinary, Resource, ResourceArc, Term, TermType,
};
use shape_log::cache::CacheOptions;
use shape_log::{Appended, Entry, LogStore, NewLog, Offset, Op, Options, Record, Transaction};
use shape_router::{Closer, Router};
use std::panic::RefUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// A store, and the routers whose records it keeps. They belong to the process that opened it: when that
/// ends, they are closed, whoever still has a log in hand.
pub(crate) struct StoreHandle(Arc<Inner>);

struct Inner {
    /// `None` once it was closed.
    store: RwLock<Option<LogStore>>,
    routers: Mutex<Vec<Closer>>,
    notifier: Notifier,
}

#[rustler::resource_impl]
impl Resource for StoreHandle {
    fn down<'a>(&'a self, _env: Env<'a>, _owner: LocalPid, _monitor: Monitor) {
        self.close_soon();
    }
}

// A panic while a lock is held leaves it unlocked, and the store refuses work after a failure.
impl RefUnwindSafe for StoreHandle {}

impl Drop for StoreHandle {
    fn drop(&mut self) {
        self.close_soon();
    }
}

impl Inner {
    /// In order, so that the next opening is quick; or at once, for whoever waits for the directory.
    fn close(&self, in_order: bool) -> Result<(), NifError> {
        self.notifier.stop();
        let store = self.store.write().take().filter(|_| in_order);
        let closed = store.map_or(Ok(()), |store| store.close().map_err(NifError::from));
        let routers = std::mem::take(&mut *self.routers.lock());
        routers.iter().try_for_each(|router| router.close()).map_err(NifError::from).and(closed)
    }
}

impl StoreHandle {
    /// Closing waits for a disk; whoever says so may be a scheduler.
    fn close_soon(&self) {
        let inner = Arc::clone(&self.0);
        // Nobody is there to be told; what is durable is there on the next opening.
        lane_index::run_after(Duration::ZERO, move || drop(inner.close(false)));
    }

    /// A router that is closed with the store.
    pub fn keep(&self, router: &Router) {
        self.0.routers.lock().extend(router.closer());
    }

    pub fn with<R>(
        &self,
        run: impl FnOnce(&LogStore) -> Result<R, NifError>,
    ) -> Result<R, NifError> {
        match &*self.0.store.read() {
            Some(store) => run(store),
            None => Err(NifError::new("closed", "the logs were closed")),
        }
    }
}

/// The rows that a log begins with, as they are written.
pub(crate) struct RowsHandle(Mutex<Option<shape_log::SnapshotWriter>>);

#[rustler::resource_impl]
impl Resource for RowsHandle {}

// What was written is of no use after a panic, and goes with the writer.
impl RefUnwindSafe for RowsHandle {}

type RecordTerms<'a> = List<(u32, u64, Binary<'a>)>;

fn records<'t>(terms: &'t RecordTerms<'_>) -> Vec<Record<'t>> {
    let record = |(source, seq, bytes): &'t (u32, u64, Binary<'_>)| Record {
        source: *source,
        seq: *seq,
        bytes,
    };
    terms.0.iter().map(record).collect()
}

/// How a store works: names and values of `shape_log::Options`.
fn options(settings: Term<'_>) -> Result<Options, NifError> {
    let get = |name: Atom| {
        let term = settings.map_get(name);
        term.map_err(|_| NifError::argument(format!("the setting {name:?} is missing")))
    };
    let number = |name: Atom| {
        let term = get(name)?;
        let invalid = |_| NifError::argument(format!("{name:?} is no number: {term:?}"));
        term.decode::<u64>().map_err(invalid)
    };
    Ok(Options {
        fsync: crate::durable::fsync(get(atoms::fsync())?)?,
        chunk_bytes_threshold: number(atoms::chunk_bytes_threshold())?,
        keep_complete_chunks: number(atoms::keep_complete_chunks())? as usize,
        flush_period: Duration::from_millis(number(atoms::flush_period())?),
        compaction_period: Duration::from_millis(number(atoms::compaction_period())?),
        tables_from: get(atoms::tables_from())?.decode().ok(),
        gzip: get(atoms::gzip())?.decode().unwrap_or(false),
        cache: Some(CacheOptions {
            max_operations: number(atoms::operation_cache_max_operations())? as usize,
            ttl_ms: Some(number(atoms::operation_cache_ttl_ms())?),
            budget: number(atoms::operation_cache_total_bytes())? as usize,
            ..CacheOptions::default()
        }),
        ..Options::default()
    })
}

/// Opens the logs of a directory. The process hears `{:shape_log, {:durable, lsn}}` when more is durable.
/// `{:ok, store, [{source, number, bytes}]}`: what was appended for others, and not released.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_open<'a>(
    env: Env<'a>,
    directory: &str,
    settings: Term<'a>,
    owner: LocalPid,
) -> Term<'a> {
    let open = || -> Result<Term<'a>, NifError> {
        let notifier = Notifier::start(owner)?;
        let (durable, sealed) = (notifier.clone(), notifier.clone());
        let options = Options {
            on_durable: Some(Arc::new(move |lsn| durable.durable(lsn))),
            on_sealed: Some(Arc::new(move |log, chunk| {
                let news = chunk.map(|chunk| (chunk.seq, chunk.bytes));
                sealed.sealed(log, news.map_err(|error| error.to_string()));
            })),
            ..options(settings)?
        };
        let mut found: Vec<(u32, u64, Vec<u8>)> = Vec::new();
        let storage = Arc::new(Directory::open(directory).map_err(shape_log::Error::from)?);
        let (store, _) = LogStore::open(
            storage,
            options,
            |_| 0,
            |record| {
                found.push((record.source, record.seq, record.bytes.to_vec()));
            },
        )?;
        let found: Vec<Term<'a>> = found
            .iter()
            .map(|(source, seq, bytes)| (*source, *seq, binary(env, bytes)).encode(env))
            .collect();
        let (store, routers) = (RwLock::new(Some(store)), Mutex::default());
        let store = ResourceArc::new(StoreHandle(Arc::new(Inner { store, routers, notifier })));
        if store.monitor(Some(env), &owner).is_none() {
            return Err(NifError::new("closed", "the process that the logs belong to has ended"));
        }
        Ok((atoms::ok(), store, found).encode(env))
    };
    reply(env, open())
}

pub(crate) fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    let mut binary = NewBinary::new(env, bytes.len());
    binary.as_mut_slice().copy_from_slice(bytes);
    binary.into()
}

/// Makes everything durable, writes a checkpoint, and gives the directory back.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_close<'a>(env: Env<'a>, handle: &StoreHandle) -> Term<'a> {
    reply(env, handle.0.close(true).map(|()| atoms::ok().to_term(env)))
}

/// `[{id, descriptor, awaits_snapshot}]`.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_logs<'a>(env: Env<'a>, handle: &StoreHandle) -> Term<'a> {
    let logs = handle.with(|store| {
        let log = |id| -> Result<Term<'a>, NifError> {
            let stats = store.log_stats(id)?;
            Ok((id, binary(env, &stats.descriptor), stats.awaits_snapshot).encode(env))
        };
        store.logs().into_iter().map(log).collect::<Result<Vec<_>, _>>()
    });
    reply(env, logs.map(|logs| logs.encode(env)))
}

/// The last transaction that is durable.
#[rustler::nif]
fn log_store_durable<'a>(env: Env<'a>, handle: &StoreHandle) -> Term<'a> {
    reply(env, handle.with(|store| Ok(store.durable_lsn().encode(env))))
}

/// Creates logs, `[{id, descriptor, awaits_snapshot}]`; durable after `log_store_keep`.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_create<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    List(logs): List<(u64, Binary<'a>, bool)>,
) -> Term<'a> {
    let created = handle.with(|store| {
        for (log, descriptor, awaits_snapshot) in &logs {
            let new = NewLog { log: *log, descriptor, awaits_snapshot: *awaits_snapshot };
            let _ = store.create_log(&new)?;
        }
        Ok(atoms::ok().to_term(env))
    });
    reply(env, created)
}

/// Removes a log; durable after `log_store_keep`.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_remove<'a>(env: Env<'a>, handle: &StoreHandle, log: u64) -> Term<'a> {
    let removed = handle.with(|store| {
        let _ = store.remove_log(log)?;
        Ok(atoms::ok().to_term(env))
    });
    reply(env, removed)
}

/// Writes records, and waits until they and everything before are durable.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_keep<'a>(env: Env<'a>, handle: &StoreHandle, terms: RecordTerms<'a>) -> Term<'a> {
    let kept = handle.with(|store| {
        let ticket = store.append_records(&records(&terms))?;
        store.wait(ticket)?;
        Ok(atoms::ok().to_term(env))
    });
    reply(env, kept)
}

/// `[{source, number}]`: up to there the records are durable elsewhere.
#[rustler::nif]
fn log_store_release<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    List(upto): List<(u32, u64)>,
) -> Term<'a> {
    let released = handle.with(|store| {
        upto.iter().for_each(|(source, seq)| store.release_records(*source, *seq));
        Ok(atoms::ok().to_term(env))
    });
    reply(env, released)
}

/// Writes what is in memory to the logs' own files.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_flush<'a>(env: Env<'a>, handle: &StoreHandle) -> Term<'a> {
    let flushed = handle.with(|store| {
        store.sync()?;
        store.flush()?;
        Ok(atoms::ok().to_term(env))
    });
    reply(env, flushed)
}

/// An entry to be: which log, where in the buffer its key and its JSON are.
struct Pending {
    log: u64,
    operation: u64,
    written: Written,
}

/// A transaction or a fragment of one, `{lsn, fragment, last?}`, as
/// `[{schema, table, primary_key, [{operation, change, [{id, op}]}]}]`, and the records of others that
/// become durable with it. `:ok | :replay`. Off the scheduler: it writes JSON and to a file.
#[rustler::nif(schedule = "DirtyIo")]
fn log_store_append<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    place: (u64, u32, bool),
    List(parts): List<(&'a str, &'a str, List<String>, Term<'a>)>,
    terms: RecordTerms<'a>,
) -> Term<'a> {
    let append = |store: &LogStore| -> Result<Term<'a>, NifError> {
        let (lsn, fragment, last) = place;
        let (mut buffer, mut pending) = (Vec::new(), Vec::new());
        let mut arena = Bump::new();
        for (schema, name, List(primary_key), answered) in &parts {
            let table = Table::new(schema, name, primary_key.clone());
            let improper = || NifError::argument("the answered changes are no list");
            for item in list::items(*answered).ok_or_else(improper)? {
                arena.reset();
                one_change(&table, lsn, item, &arena, &mut buffer, &mut pending)?;
            }
        }
        // In a log offsets ascend; one change after the other, and of a change what has one body
        // together, is how they came.
        let entries: Vec<(u64, Entry<'_>)> = pending
            .iter()
            .map(|Pending { log, operation, written }| {
                let entry = Entry {
                    offset: Offset::new(lsn, operation + written.part),
                    op: written.op,
                    key: &buffer[written.key.clone()],
                    json: &buffer[written.json.clone()],
                };
                (*log, entry)
            })
            .collect();
        let records = records(&terms);
        let transaction = Transaction { lsn, fragment, last, entries: &entries, records: &records };
        Ok(match store.append(&transaction)? {
            Appended::Written(_) => atoms::ok().to_term(env),
            Appended::Replay { .. } => atoms::replay().to_term(env),
        })
    };
    reply(env, handle.with(append))
}

/// `{operation, change, [{id, op}]}`.
fn one_change(
    table: &Table,
    lsn: u64,
    item: Term<'_>,
    arena: &Bump,
    buffer: &mut Vec<u8>,
    pending: &mut Vec<Pending>,
) -> Result<(), NifError> {
    let invalid = |_| NifError::argument("not a change and its answer");
    let (operation, change, answer): (u64, Term<'_>, Term<'_>) = item.decode().map_err(invalid)?;
    let mut shapes: Vec<(Op, u64)> = Vec::new();
    for pair in list::items(answer).ok_or_else(|| invalid(rustler::Error::BadArg))? {
        let (id, op): (u64, Term<'_>) = pair.decode().map_err(invalid)?;
        shapes.push((self::op(op)?, id));
    }
    // One body for all shapes that have the same operation.
    shapes.sort_unstable_by_key(|(op, id)| (*op as u8, *id));
    let mut rest = &shapes[..];
    while let Some((op, _)) = rest.first() {
        let same = rest.iter().take_while(|(other, _)| other == op).count();
        let mut bodies: Vec<Written> = Vec::with_capacity(2);
        let place = (lsn, operation);
        log_entry::write(table, change, *op, place, arena, buffer, &mut |body| bodies.push(body))?;
        for written in bodies {
            let new = |&(_, log): &(Op, u64)| Pending { log, operation, written: written.clone() };
            pending.extend(rest[..same].iter().map(new));
        }
        rest = &rest[same..];
    }
    Ok(())
}

/// An answer's operation; of a row that could not be read whole, what there is of it.
pub(crate) fn op(term: Term<'_>) -> Result<Op, NifError> {
    let term = match term.get_type() {
        TermType::Tuple => {
            let parts = rustler::types::tuple::get_tuple(term);
            parts.ok().and_then(|parts| parts.first().copied()).unwrap_or(term)
        }
        _ => term,
    };
    let unknown = |_| NifError::argument(format!("not an operation: {term:?}"));
    let atom: Atom = term.decode().map_err(unknown)?;
    let all = [
        (atoms::insert(), Op::Insert),
        (atoms::update(), Op::Update),
        (atoms::delete(), Op::Delete),
        (atoms::rekey(), Op::Rekey),
        (atoms::upsert(), Op::Upsert),
        (atoms::delete_if_present(), Op::DeleteIfPresent),
        (atoms::truncate(), Op::Truncate),
        (atoms::unknown(), Op::Unknown),
    ];
    let found = all.into_iter().find(|(name, _)| *name == atom);
    found.map(|(_, op)| op).ok_or(rustler::Error::BadArg).map_err(unknown)
}

/// Entries of one log, `[{{tx, op}, key, op, json}]`: each transaction in them is whole. Durable when it
/// returns.
#[rustler::nif(schedule = "DirtyIo")]
fn log_append<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    log: u64,
    List(terms): List<((u64, u64), Binary<'a>, Term<'a>, Binary<'a>)>,
) -> Term<'a> {
    let append = |store: &LogStore| -> Result<Term<'a>, NifError> {
        let mut entries: Vec<(u64, Entry<'_>)> = Vec::with_capacity(terms.len());
        let mut last = store.log_stats(log)?.last;
        for ((tx, operation), key, kind, json) in &terms {
            let offset = Offset::new(*tx, *operation);
            if offset <= last {
                return Err(shape_log::Error::OutOfOrder { last, offset }.into());
            }
            last = offset;
            let op = self::op(*kind)?;
            entries.push((log, Entry { offset, op, key, json }));
        }
        let mut ticket = None;
        for entries in entries.chunk_by(|(_, one), (_, next)| one.offset.tx == next.offset.tx) {
            let [(_, first), ..] = entries else { continue };
            let lsn = first.offset.tx;
            let transaction = Transaction { lsn, fragment: 0, last: true, entries, records: &[] };
            match store.append(&transaction)? {
                Appended::Written(written) => ticket = Some(written),
                Appended::Replay { last } => {
                    let message =
                        format!("the transaction {lsn} ended with what was appended up to {last}");
                    return Err(NifError::new("out_of_order", message));
                }
            }
        }
        if let Some(ticket) = ticket {
            store.wait(ticket)?;
        }
        Ok(atoms::ok().to_term(env))
    };
    reply(env, handle.with(append))
}

/// The rows that a log begins with: a writer of them.
#[rustler::nif(schedule = "DirtyIo")]
fn log_rows_begin<'a>(env: Env<'a>, handle: &StoreHandle, log: u64) -> Term<'a> {
    let begun = handle.with(|store| {
        let writer = store.begin_snapshot(log)?;
        Ok((atoms::ok(), ResourceArc::new(RowsHandle(Mutex::new(Some(writer))))).encode(env))
    });
    reply(env, begun)
}

/// Writes rows, as maps; on an error the writer is of no use any more.
#[rustler::nif(schedule = "DirtyIo")]
fn log_rows_write<'a>(
    env: Env<'a>,
    handle: &RowsHandle,
    (schema, name, List(primary_key)): (&'a str, &'a str, List<String>),
    rows: Term<'a>,
) -> Term<'a> {
    let mut writer = handle.0.lock();
    let write = || -> Result<Term<'a>, NifError> {
        let mut held = writer.take().ok_or_else(|| NifError::argument("the rows were ended"))?;
        let table = Table::new(schema, name, primary_key);
        let (mut buffer, mut arena) = (Vec::new(), Bump::new());
        for row in list::items(rows).ok_or_else(|| NifError::argument("no list of rows"))? {
            arena.reset();
            buffer.clear();
            let written = log_entry::row(&table, row, &arena, &mut buffer)?;
            held.push(&buffer[written.key], &buffer[written.json])?;
        }
        *writer = Some(held);
        Ok(atoms::ok().to_term(env))
    };
    reply(env, write())
}

/// Ends the rows of these logs; durable after `log_store_keep`.
#[rustler::nif(schedule = "DirtyIo")]
fn log_rows_end<'a>(
    env: Env<'a>,
    handle: &StoreHandle,
    List(rows): List<ResourceArc<RowsHandle>>,
) -> Term<'a> {
    let ended = || NifError::argument("the rows were ended");
    let writers: Result<Vec<_>, _> =
        rows.iter().map(|rows| rows.0.lock().take().ok_or_else(ended)).collect();
    let finished = writers.and_then(|writers| {
        handle.with(|store| {
            store.finish_snapshots(writers)?;
            Ok(atoms::ok().to_term(env))
        })
    });
    reply(env, finished)
}

/// The last offset of a log that may be read.
#[rustler::nif]
fn log_newest<'a>(env: Env<'a>, handle: &StoreHandle, log: u64) -> Term<'a> {
    reply(env, handle.with(|store| Ok(pair(store.log_stats(log)?.last).encode(env))))
}
