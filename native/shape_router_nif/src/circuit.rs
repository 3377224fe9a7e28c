//! Circuits: tables, views, and steps.
//!
//! A circuit has one lock. On a normal scheduler nobody waits for it: where it is taken, and where a
//! call would take long, the answer is `:dirty`, and Elixir asks again off the scheduler. A step is
//! bounded by what it reads (operations and bytes) and, while it computes, by counted work: what is too
//! much is given up with nothing changed.

use crate::atoms;
use crate::circuit_answer::{self, Told};
use crate::circuit_batch::{BatchReader, CircuitTables, Heavy};
use crate::circuit_view::{Telling, ViewInfo, ViewName, Views};
use crate::error::{NifError, reply};
use crate::handle::with_local;
use crate::list::List;
use crate::param::params;
use crate::router::compile_options;
use crate::schema::schema;
use bumpalo::Bump;
use parking_lot::{Mutex, MutexGuard};
use rustler::schedule::consume_timeslice;
use rustler::{Atom, Encoder, Env, Resource, ResourceArc, Term};
use shape_expr::{ColumnType, Schema};
use shape_router::Budget;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use view_circuit::{Circuit, Error, Format, TableSpec, ViewUpdate};

/// What telling one id takes, in the units of a step's work.
const ID_UNITS: u64 = 4;

/// A circuit, as Erlang holds it.
pub(crate) struct CircuitHandle {
    pub tables: CircuitTables,
    state: Mutex<State>,
    pub steps: AtomicU64,
    /// Those of them that were not done on a normal scheduler.
    pub dirty_steps: AtomicU64,
    /// The caller's, of the snapshot that was written or restored last.
    pub mark: AtomicU64,
    attempts: Attempts,
}

/// Whether a step is tried on a normal scheduler at all: what is given up there is worked out twice. After
/// a step that was too much the next one is not tried, after another one the next two, and so on.
#[derive(Default)]
struct Attempts {
    left_out: AtomicU32,
    in_a_row: AtomicU32,
}

impl Attempts {
    const MOST: u32 = 64;

    /// May this one be tried?
    fn begin(&self) -> bool {
        // Counts may be a little off where several ask at once.
        let left = self.left_out.load(Ordering::Relaxed);
        self.left_out.store(left.saturating_sub(1), Ordering::Relaxed);
        left == 0
    }

    fn end(&self, was_done: bool) {
        let next = match was_done {
            true => 0,
            false => (2 * self.in_a_row.load(Ordering::Relaxed)).clamp(1, Self::MOST),
        };
        self.in_a_row.store(next, Ordering::Relaxed);
        self.left_out.store(next, Ordering::Relaxed);
    }
}

pub(crate) enum State {
    Open(Box<Open>),
    Closed,
    /// Something panicked within: what it left is not trusted.
    Failed,
}

pub(crate) struct Open {
    pub circuit: Circuit,
    pub views: Views,
}

#[rustler::resource_impl]
impl Resource for CircuitHandle {}

// A panic within leaves `State::Failed`.
impl RefUnwindSafe for CircuitHandle {}

impl Drop for CircuitHandle {
    fn drop(&mut self) {
        // The VM drops it on a scheduler, and there may be much to free.
        free(std::mem::replace(self.state.get_mut(), State::Closed));
    }
}

fn free(state: State) {
    if let State::Open(open) = state {
        lane_index::run_after(Duration::ZERO, move || drop(open));
    }
}

impl CircuitHandle {
    /// Of tables that the circuit has accepted.
    pub fn new(specs: &[TableSpec], state: State) -> Result<Self, NifError> {
        let schema = |spec: &TableSpec| Schema::new(&spec.name, spec.columns.clone());
        let schemas = specs.iter().map(schema).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            tables: CircuitTables::new(specs, &schemas),
            state: Mutex::new(state),
            steps: AtomicU64::new(0),
            dirty_steps: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            attempts: Attempts::default(),
        })
    }

    /// For whoever may wait.
    pub fn lock_waiting(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The types of what a query selects, if it takes it.
    pub fn types_of(&self, sql: &str) -> Option<Vec<ColumnType>> {
        self.lock_waiting().open().ok()?.circuit.types_of(sql, &[]).ok()
    }

    /// The state; where it is taken, only those who may wait get it.
    pub fn lock(&self, may_wait: bool) -> Option<MutexGuard<'_, State>> {
        if may_wait { Some(self.state.lock()) } else { self.state.try_lock() }
    }
}

impl State {
    pub fn open(&mut self) -> Result<&mut Open, NifError> {
        match self {
            State::Open(open) => Ok(open),
            State::Closed => Err(NifError::new("closed", "the circuit was closed")),
            State::Failed => {
                let message = "the circuit failed: a bug of this library left it half changed";
                Err(NifError::new("failed", message))
            }
        }
    }

    /// Runs what changes the circuit. After a panic there is none any more.
    fn change<R>(
        &mut self,
        run: impl FnOnce(&mut Open) -> Result<R, NifError>,
    ) -> Result<R, NifError> {
        let open = self.open()?;
        catch_unwind(AssertUnwindSafe(|| run(open))).unwrap_or_else(|_| {
            free(std::mem::replace(self, State::Failed));
            self.open().and(Err(NifError::new("failed", "the circuit failed")))
        })
    }
}

/// An error with the caller's names for views.
fn told(error: Error, views: &Views, new: Option<&ViewName>) -> NifError {
    let message = match &error {
        Error::Raised { view, raised } => {
            let name = views.info(*view).map(|info| &info.name).or(new);
            match name {
                Some(name) => format!("evaluating view {name}: {raised}"),
                None => format!("evaluating a view: {raised}"),
            }
        }
        error => error.to_string(),
    };
    NifError::new(error.code(), message)
        .with_position(error.position())
        .with_sqlstate(error.sqlstate())
}

impl From<Error> for NifError {
    fn from(error: Error) -> Self {
        told(error, &Views::default(), None)
    }
}

/// `[{name, columns, primary_key}]`.
#[rustler::nif(schedule = "DirtyCpu")]
fn circuit_new<'a>(
    env: Env<'a>,
    List(tables): List<(String, Term<'a>, List<String>)>,
    time_zone: &str,
) -> Term<'a> {
    let new = || -> Result<Term<'a>, NifError> {
        let mut specs = Vec::new();
        for (name, columns, List(primary_key)) in tables {
            let in_table = |error: NifError| error.at(format_args!("table {name}"));
            let schema = schema(&name, columns).map_err(in_table)?;
            let columns = schema.columns().to_vec();
            specs.push(TableSpec { name, columns, primary_key });
        }
        let circuit = Circuit::new(specs.clone(), compile_options(time_zone))?;
        let open = Open { circuit, views: Views::default() };
        let handle = CircuitHandle::new(&specs, State::Open(Box::new(open)))?;
        Ok((atoms::ok(), ResourceArc::new(handle)).encode(env))
    };
    reply(env, new())
}

/// What was there is freed by a thread of the library.
#[rustler::nif(schedule = "DirtyIo")]
fn circuit_close(handle: &CircuitHandle) -> Atom {
    free(std::mem::replace(&mut *handle.state.lock(), State::Closed));
    atoms::ok()
}

/// `{:ok, update}`. `settings`: `{format, materialize, most_ids, as_text}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn circuit_register<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    id: Term<'a>,
    sql: &str,
    parameters: Term<'a>,
    settings: (Atom, bool, Option<usize>, bool),
) -> Term<'a> {
    let register = || -> Result<Term<'a>, NifError> {
        let name = ViewName::read(id)?;
        let arena = Bump::new();
        let parameters = params(parameters, &arena)?;
        let (format, materialize, most_ids, as_text) = settings;
        let most_ids = most_ids.unwrap_or(usize::MAX);
        let telling = Telling { format, most_ids, as_text };
        let kept = match format {
            format if format == atoms::tree() => Format::Tree,
            format if format == atoms::flat() || materialize => Format::Flat,
            _ => Format::Streaming,
        };
        let told = handle.state.lock().change(|open| {
            let number = open.views.number(&name)?;
            let update = open
                .circuit
                .register(number, sql, &parameters, kept)
                .map_err(|error| told(error, &open.views, Some(&name)))?;
            let info = ViewInfo::new(name, telling, &open.circuit, number)?;
            let info = open.views.add(number, info);
            Ok(open.tell(info, update))
        })?;
        Ok((atoms::ok(), circuit_answer::update(env, &told)?).encode(env))
    };
    reply(env, register())
}

#[rustler::nif(schedule = "DirtyCpu")]
fn circuit_unregister<'a>(env: Env<'a>, handle: &CircuitHandle, id: Term<'a>) -> Term<'a> {
    let unregister = || -> Result<Term<'a>, NifError> {
        let name = ViewName::read(id)?;
        handle.state.lock().change(|open| {
            let (number, _) = open.views.find(&name)?;
            open.circuit.unregister(number)?;
            open.views.remove(&name);
            Ok(())
        })?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, unregister())
}

impl Open {
    /// A view's change, with all ids where there are few.
    fn tell(&self, info: Arc<ViewInfo>, update: ViewUpdate) -> Told {
        let ids = self.few_ids(update.view, &info).and_then(|_| {
            let rows = self.circuit.rows(update.view).ok()?;
            Some(rows.map(|(id, _)| id.clone()).collect())
        });
        Told { info, update, ids }
    }

    /// How many ids are told with a view's changes, if they are.
    fn few_ids(&self, view: view_circuit::ViewId, info: &ViewInfo) -> Option<usize> {
        let rows = self.circuit.row_count(view).ok()??;
        let is_told = info.telling.format != atoms::streaming();
        (is_told && rows <= info.telling.most_ids).then_some(rows)
    }
}

/// `[update]`, `:dirty`, or an error.
#[rustler::nif]
fn circuit_step<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    operations: Term<'a>,
    optimistic: bool,
) -> Term<'a> {
    /// A process's turn is about 1 ms.
    const TURN: u128 = 1_000_000;
    let start = Instant::now();
    let answer = step(env, handle, operations, optimistic, true);
    let percent = start.elapsed().as_nanos() * 100 / TURN;
    if percent > 0 {
        consume_timeslice(env, percent.min(100) as i32);
    }
    answer
}

/// The same after `:dirty`.
#[rustler::nif(schedule = "DirtyCpu")]
fn circuit_step_dirty<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    operations: Term<'a>,
    optimistic: bool,
) -> Term<'a> {
    step(env, handle, operations, optimistic, false)
}

fn step<'a>(
    env: Env<'a>,
    handle: &CircuitHandle,
    operations: Term<'a>,
    optimistic: bool,
    at_once: bool,
) -> Term<'a> {
    let told = with_local(|local| -> Result<Option<Vec<Told>>, NifError> {
        if at_once && !handle.attempts.begin() {
            return Ok(None);
        }
        let (arena, _) = local.memory();
        let mut reader = BatchReader::new(&handle.tables, arena, at_once);
        let batch = match reader.batch(operations, optimistic)? {
            Ok(batch) => batch,
            Err(Heavy) => return Ok(None),
        };
        let Some(mut state) = handle.lock(!at_once) else { return Ok(None) };
        state.change(|open| {
            let updates = match at_once {
                true => {
                    let Open { circuit, views } = &mut *open;
                    let ids = |view, rows: Option<usize>| {
                        let most = views.info(view).map_or(0, |info| info.telling.most_ids);
                        rows.filter(|rows| *rows <= most).map_or(0, |n| ID_UNITS * n as u64)
                    };
                    circuit.step_within(&batch, Budget::SCHEDULER_SLICE, ids)
                }
                false => open.circuit.step(&batch).map(Some),
            };
            let updates = updates.map_err(|error| told(error, &open.views, None))?;
            if at_once {
                handle.attempts.end(updates.is_some());
            }
            let Some(updates) = updates else { return Ok(None) };
            let tell = |update: ViewUpdate| {
                let info = open.views.info(update.view)?;
                Some(open.tell(Arc::clone(info), update))
            };
            Ok(Some(updates.into_iter().filter_map(tell).collect()))
        })
    });
    let answer = told.and_then(|told| {
        let Some(told) = told else { return Ok(atoms::dirty().to_term(env)) };
        handle.steps.fetch_add(1, Ordering::Relaxed);
        handle.dirty_steps.fetch_add(u64::from(!at_once), Ordering::Relaxed);
        let updates = told.iter().map(|told| circuit_answer::update(env, told));
        Ok(updates.collect::<Result<Vec<_>, _>>()?.encode(env))
    });
    reply(env, answer)
}
