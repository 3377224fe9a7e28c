//! The facade: shapes come and go, changes are routed.

use crate::answer::{Effects, Request, answer};
use crate::budget::Budget;
use crate::candidates::Cursor;
use crate::catalogue::{AddWriter, StoredShape};
use crate::change::{Change, KeyParts, Op};
use crate::classify::RouteOptions;
use crate::conditions::Conditions;
use crate::durable::{Durable, Untold};
use crate::error::Error;
use crate::explain::{self, Explanation, Reason};
use crate::index::{Making, Slot};
use crate::key::KeyHasher;
use crate::membership::{Base, Held, Membership, Overlay};
use crate::metrics::{Counters, Metrics, Tally};
use crate::relation::{self, Relation};
use crate::scratch::Scratch;
use crate::sets::{Asked, Enrolled, ItemTypes, Staged, ValueSets};
use crate::shapes::Shapes;
use crate::spec::{Config, Keys, ShapeSpec};
use crate::state::{Pace, Prepared, State};
use crate::transaction::Open;
use crate::upkeep;
use bumpalo::Bump;
use lane_index::{ReadGuard, ReadMostly};
use parking_lot::{Mutex, MutexGuard};
use shape_expr::{ColumnType, Compiler, Options, Predicate, Schema, Subquery};
use smallvec::SmallVec;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod declare;
mod feed;
mod feeders;
mod transact;

pub use feed::SetRow;

/// Whether an answer is whole.
#[derive(Debug)]
pub enum Progress {
    /// It is.
    Done,
    /// The budget was spent: call again with this.
    More(Cursor),
    /// The next evaluation does not fit into a slice: call again with this and a
    /// [patient](Budget::new) budget, off the normal scheduler.
    Heavy(Cursor),
}

/// What the one writer of transactions has.
#[derive(Default)]
pub(crate) struct Writer {
    pub overlay: Overlay,
    pub staged: Staged,
    open: Option<Open>,
    pub acked: u64,
    /// What the catalogue is not told yet.
    pub untold: Untold,
}

/// Routes the changes of one table to shapes.
///
/// All methods take `&self` and may be called from any thread at once; transactions are for one
/// writer at a time.
///
/// Locks are taken in the order `adder`, `writer`, `feeding`, `state`.
pub struct Router {
    pub(crate) adder: Mutex<Compiler>,
    pub(crate) writer: Mutex<Writer>,
    /// Held by who feeds sets shape by shape, in several steps.
    pub(crate) feeding: Mutex<()>,
    pub(crate) state: Arc<ReadMostly<State>>,
    pub(crate) counters: Counters,
    closed: AtomicBool,
    pub(crate) schema_version: AtomicU64,
    max_shapes: Option<usize>,
    max_bytes: Option<usize>,
    pub(crate) durable: Option<Durable>,
    pub(crate) item_types: Option<ItemTypes>,
}

/// So many shapes (or keys of one) are written under one lock: a fraction of a millisecond.
pub(crate) const LOCKED_SHAPES: usize = 512;

/// So many shapes are looked at, for each that comes or goes, whether they should be filed otherwise;
/// and so many at most under one lock.
pub(crate) const REFILED: usize = 2;
pub(crate) const REFILED_AT_ONCE: usize = 64;

impl Router {
    /// A router without shapes, in memory.
    ///
    /// # Errors
    /// If a primary key column is not one of the table's, or the time zone is unknown.
    pub fn new(config: Config) -> Result<Self, Error> {
        let random = RandomState::new();
        let secret = (random.hash_one(0u8), random.hash_one(1u8));
        Self::with_secret(config, secret, None)
    }

    /// A router without shapes. Keys are hashed under `secret`; `key_types` as they were when the
    /// first was.
    pub(crate) fn with_secret(
        config: Config,
        secret: (u64, u64),
        key_types: Option<Option<Vec<ColumnType>>>,
    ) -> Result<Self, Error> {
        let mut compiler = Compiler::new(config.options.clone())?;
        config.check()?;
        let making = config.making();
        let item_types = config.item_types;
        let mut schema = config.schema;
        let mut key_columns = Vec::new();
        for name in &config.primary_key {
            if schema.is_open() && schema.position(name).is_none() {
                // A clause that fixes no type brings the column into being.
                let clause = format!("\"{}\" IS NULL", name.replace('"', "\"\""));
                if let Some(grown) = compiler.compile(&clause, &schema, &[])?.schema {
                    schema = grown;
                }
            }
            let unknown = || Error::UnknownKeyColumn(name.clone());
            key_columns.push(schema.position(name).ok_or_else(unknown)?);
        }
        let declared = |&c: &usize| schema.columns()[c].ty.clone();
        let types = key_columns.iter().map(declared).collect::<Option<Vec<_>>>();
        let types = key_types.unwrap_or_else(|| types.filter(|types| !types.is_empty()));
        let random = RandomState::new();
        let schema = Arc::new(schema);
        Ok(Self {
            adder: Mutex::new(compiler),
            writer: Mutex::default(),
            feeding: Mutex::default(),
            state: Arc::new(ReadMostly::new(State {
                declared: schema.clone(),
                schema,
                keys: KeyHasher::new(secret, types),
                key_columns,
                conditions: Conditions::new((random.hash_one(0u8), random.hash_one(1u8)), making),
                shapes: Shapes::new(),
                sets: ValueSets::new((random.hash_one(2u8), random.hash_one(3u8)), making),
                base: Base::new(making),
                rebuild_threshold: config.rebuild_threshold,
                pace: Pace::default(),
                purging: Arc::default(),
                track: config.track_membership,
                relation: None,
            })),
            counters: Counters::default(),
            closed: AtomicBool::new(false),
            schema_version: AtomicU64::new(1),
            max_shapes: config.max_shapes,
            max_bytes: config.max_bytes,
            durable: None,
            item_types,
        })
    }

    pub(crate) fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
    }

    /// The state of an open router. It is said to be closed before it is emptied: whoever asks only
    /// before the state is locked may find it empty, and answer that a change belongs to no shape.
    pub(crate) fn open_state(&self) -> Result<ReadGuard<'_, State>, Error> {
        let state = self.state.read();
        self.check_open()?;
        Ok(state)
    }

    /// The same of what is staged. Nobody empties the router while it is held.
    fn open_writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        let writer = self.writer.lock();
        self.check_open()?;
        Ok(writer)
    }

    /// The table's columns as known now, and a number that changes when they do.
    pub fn schema(&self) -> (Arc<Schema>, u64) {
        let state = self.state.read();
        (state.schema.clone(), self.schema_version())
    }

    /// The names of the primary key's columns, in order.
    pub fn primary_key(&self) -> Vec<String> {
        let state = self.state.read();
        let name = |&c: &usize| state.schema.columns().get(c).map(|c| c.name.clone());
        state.key_columns.iter().filter_map(name).collect()
    }

    /// Changes when the table's columns do.
    pub fn schema_version(&self) -> u64 {
        self.schema_version.load(Ordering::Acquire)
    }

    /// Adds a shape.
    ///
    /// # Errors
    /// If its clause is refused, its id is taken, a key is none of this table, or a limit is reached.
    pub fn add_shape(&self, spec: ShapeSpec<'_>) -> Result<(), Error> {
        self.add_shapes([spec])
    }

    /// Adds a shape if that takes some microseconds and waits for nobody: in memory, while nobody else adds
    /// or routes a transaction, with a clause that differs from a known one in plain literals alone, and
    /// without keys to record. `None`: nothing happened, and [`Router::add_shape`] will tell.
    ///
    /// # Errors
    /// As [`Router::add_shape`].
    pub fn try_add_shape(&self, spec: &ShapeSpec<'_>) -> Option<Result<(), Error>> {
        let has_keys = matches!(&spec.keys, Keys::Known(keys) if !keys.is_empty());
        if self.durable.is_some() || self.max_bytes.is_some() || has_keys {
            return None;
        }
        let mut compiler = self.adder.try_lock()?;
        let writer = self.writer.try_lock()?;
        if let Err(error) = self.check_open() {
            return Some(Err(error));
        }
        let schema = self.state.read().schema.clone();
        let predicate = match spec.clause {
            Some(clause) => Some(compiler.compile_known(clause, &schema, &spec.params)?),
            None => None,
        };
        let keys = matches!(spec.keys, Keys::Known(_)).then(Vec::new);
        let snapshot = spec.snapshot.clone();
        let prepared = Prepared { id: spec.id, predicate, keys, snapshot, enrolled: None };
        if let Err(error) = self.check(std::slice::from_ref(&prepared)) {
            return Some(Err(error));
        }
        let mut state = self.state.write();
        let slot = state.shapes.reserve(spec.id);
        state.publish(slot, prepared, &schema, writer.overlay.born());
        state.refile(REFILED);
        drop(state);
        drop((writer, compiler));
        upkeep::run(&self.state);
        Some(Ok(()))
    }

    /// Adds shapes: all of them, or none. Readers see them one after the other.
    ///
    /// # Errors
    /// As [`Router::add_shape`], for the first shape that is refused.
    pub fn add_shapes<'a>(
        &self,
        specs: impl IntoIterator<Item = ShapeSpec<'a>>,
    ) -> Result<(), Error> {
        self.check_open()?;
        let mut compiler = self.adder.lock();
        let mut record = self.durable.as_ref().map(|_| AddWriter::default());
        let ready = self.prepare(&mut compiler, specs, record.as_mut()).and_then(|ready| {
            self.check(&ready.0)?;
            let told = self.tell_added(record, ready.2.then_some(&ready.1))?;
            Ok((ready, told))
        });
        let ((prepared, schema, grown), told) = match ready {
            Ok(ready) => ready,
            Err(error) => {
                self.release_sets();
                return Err(error);
            }
        };
        if grown {
            self.state.write().schema = schema.clone();
            self.schema_version.fetch_add(1, Ordering::AcqRel);
        }
        // Nothing can go wrong from here on, but for the disk: nobody else adds while the adder's lock
        // is held. The state is locked for some shapes at a time, so that readers never wait for a bulk
        // load.
        let mut prepared = prepared.into_iter();
        while prepared.len() > 0 {
            let some: Vec<Prepared> = prepared.by_ref().take(LOCKED_SHAPES).collect();
            let slots: Vec<Slot> = {
                let mut state = self.state.write();
                let slots: Vec<Slot> = some.iter().map(|p| state.shapes.reserve(p.id)).collect();
                if some.iter().any(|p| p.keys.is_some()) {
                    state.shapes.seeding.clone_from(&slots);
                }
                slots
            };
            self.seed(&some, &slots);
            let born = self.writer.lock().overlay.born();
            let mut state = self.state.write();
            state.shapes.seeding.clear();
            let mut refile = REFILED * some.len();
            for (prepared, slot) in some.into_iter().zip(slots) {
                state.publish(slot, prepared, &schema, born);
            }
            drop(state);
            while refile > 0 {
                refile -= self.state.write().refile(refile.min(REFILED_AT_ONCE)).min(refile);
            }
            upkeep::run(&self.state);
        }
        self.release_sets();
        drop(compiler);
        self.make_durable(told)
    }

    /// Compiles and checks shapes; with the schema that they were compiled against, and whether it
    /// grew.
    fn prepare<'a>(
        &self,
        compiler: &mut Compiler,
        specs: impl IntoIterator<Item = ShapeSpec<'a>>,
        mut record: Option<&mut AddWriter>,
    ) -> Result<(Vec<Prepared>, Arc<Schema>, bool), Error> {
        let (mut schema, mut serial) = {
            let state = self.state.read();
            (state.schema.clone(), state.shapes.serial())
        };
        let mut grown = false;
        let mut prepared = Vec::new();
        let mut arena = Bump::new();
        for spec in specs {
            let id = spec.id;
            let (mut own, mut told) = (SmallVec::<[u32; 1]>::new(), Vec::new());
            let compile = |clause| {
                let mut open = |subquery: &Subquery, columns| {
                    let mut state = self.state.write();
                    let set = state.sets.open(subquery, columns);
                    if state.sets.feeders.is_none() {
                        return set;
                    }
                    if !own.contains(&set) {
                        own.push(set);
                    }
                    state.sets.open_twin(set).unwrap_or(set)
                };
                let types = self.item_types.as_ref();
                let mut asked = Asked { open: &mut open, types, told: Vec::new() };
                let compiled =
                    compiler.compile_with_sets(clause, &schema, &spec.params, &mut asked);
                told = asked.told;
                compiled.map_err(|source| Error::Clause { id, source })
            };
            let compiled = spec.clause.map(compile).transpose()?;
            let (predicate, new_schema) =
                compiled.map_or((None, None), |c| (Some(c.predicate), c.schema));
            if let Some(new_schema) = new_schema {
                schema = Arc::new(new_schema);
                grown = true;
            }
            let enrolled = match spec.clause {
                Some(clause) if !own.is_empty() => {
                    if !spec.params.is_empty() {
                        let reason = "a shape that feeds its sets itself has none".to_owned();
                        return Err(Error::InvalidSetting { setting: "params", reason });
                    }
                    Some(Enrolled { clause: clause.into(), sets: own, told })
                }
                _ => None,
            };
            let uses_sets = predicate.as_ref().is_some_and(|p| p.by_ref().uses_sets());
            let keys = match &spec.keys {
                Keys::Unknown => None,
                // A set that changes moves rows whose keys nobody tells.
                Keys::Known(_) if uses_sets => None,
                Keys::Known(keys) => {
                    let state = self.state.read();
                    let hash = |(index, key): (usize, &KeyParts<'_>)| {
                        let invalid =
                            |reason: &str| Error::InvalidKey { id, index, reason: reason.into() };
                        state.keys.hash(key, &arena).map_err(invalid)
                    };
                    Some(keys.iter().enumerate().map(hash).collect::<Result<Vec<_>, _>>()?)
                }
            };
            arena.reset();
            if let Some(record) = &mut record {
                serial += 1;
                let shape = StoredShape {
                    serial,
                    id,
                    clause: spec.clause,
                    params: &spec.params,
                    known: keys.is_some(),
                    stale: false,
                    snapshot: spec.snapshot.as_ref(),
                };
                record.shape(&shape, keys.as_deref().unwrap_or_default());
            }
            let snapshot = spec.snapshot;
            prepared.push(Prepared { id, predicate, keys, snapshot, enrolled });
        }
        Ok((prepared, schema, grown))
    }

    /// Refuses shapes whose id is taken, or that a limit does not allow.
    fn check(&self, prepared: &[Prepared]) -> Result<(), Error> {
        let mut seen = HashSet::new();
        if prepared.len() > 1
            && let Some(twice) = prepared.iter().find(|p| !seen.insert(p.id))
        {
            return Err(Error::DuplicateShape(twice.id));
        }
        for some in prepared.chunks(LOCKED_SHAPES) {
            let state = self.state.read();
            if let Some(taken) = some.iter().find(|p| state.shapes.slot(p.id).is_some()) {
                return Err(Error::DuplicateShape(taken.id));
            }
        }
        let state = self.state.read();
        let limit = self.max_shapes.unwrap_or(usize::MAX);
        if state.shapes.len() + prepared.len() > limit {
            return Err(Error::TooManyShapes { limit });
        }
        if let Some(limit) = self.max_bytes {
            let of_shape = |p: &Prepared| {
                let predicate = p.predicate.as_ref().map_or(0, Predicate::memory_bytes);
                96 + predicate + p.keys.as_ref().map_or(0, |keys| keys.len() * 48)
            };
            let needed = state.memory_bytes() + prepared.iter().map(of_shape).sum::<usize>();
            if needed > limit {
                return Err(Error::TooManyBytes { limit, needed });
            }
        }
        Ok(())
    }

    /// Records the keys that shapes hold, in steps, before they become visible.
    fn seed(&self, prepared: &[Prepared], slots: &[Slot]) {
        for (prepared, &slot) in prepared.iter().zip(slots) {
            for keys in prepared.keys.iter().flat_map(|keys| keys.chunks(LOCKED_SHAPES)) {
                let mut state = self.state.write();
                keys.iter().for_each(|&key| state.base.set(key, slot, Held::Yes));
            }
        }
    }

    /// Removes a shape.
    ///
    /// # Errors
    /// If there is none with this id, or the catalogue cannot be written.
    pub fn remove_shape(&self, id: u64) -> Result<(), Error> {
        let writer = self.open_writer()?;
        let (slot, serial) = {
            let state = self.state.read();
            let slot = state.shapes.slot(id).ok_or(Error::UnknownShape(id))?;
            // One that is reserved only is none yet. It cannot go meanwhile: the writer is locked.
            (slot, state.shapes.get(slot).ok_or(Error::UnknownShape(id))?.serial)
        };
        let told = self.tell_removed(serial)?;
        let feeding = self.feeding.lock();
        let mut state = self.state.write();
        let sequence = writer.overlay.sequence();
        let forget = state.remove(slot, sequence);
        state.refile(REFILED);
        let purge = state.shapes.purge_is_due();
        state.shapes.free_dead(writer.overlay.oldest_sequence());
        drop(state);
        drop((feeding, writer));
        if purge {
            upkeep::purge_soon(&self.state);
        }
        if forget {
            upkeep::forget_values(&self.state);
        }
        upkeep::run(&self.state);
        self.make_durable(told)
    }

    /// The ids of all shapes, ascending.
    pub fn shapes(&self) -> Vec<u64> {
        let (mut ids, mut from) = (Vec::new(), 0);
        // In steps: whoever waits for this lock makes readers wait.
        while let Some(next) = self.state.read().shapes.ids(from, &mut ids) {
            from = next;
        }
        ids.sort_unstable();
        ids
    }

    /// How many shapes there are.
    pub fn len(&self) -> usize {
        self.state.read().shapes.len()
    }

    /// True if there are no shapes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells which shapes a change belongs to, by what was acknowledged; changes nothing.
    ///
    /// The answer lies in `scratch`. With [`Progress::More`] or [`Progress::Heavy`] it is a part, and the call is repeated
    /// with the cursor for the next one; the parts have no id in common.
    ///
    /// # Errors
    /// If the router is closed, or the change lacks what its kind needs.
    pub fn route(
        &self,
        change: &Change<'_>,
        options: RouteOptions,
        scratch: &mut Scratch,
        budget: &mut Budget,
        cursor: Option<Cursor>,
    ) -> Result<Progress, Error> {
        check(change)?;
        scratch.reset();
        let started = self.counters.start(&mut scratch.meter);
        let state = self.open_state()?;
        let membership = Membership::new(&state.base, None);
        let request = Request { change, options, membership, transaction: None, staged: None };
        let (mut none, mut tally) = (Effects::default(), Tally::default());
        let progress = answer(&state, request, scratch, budget, cursor, &mut none, &mut tally);
        drop(state);
        self.counters.record(&scratch.meter, &tally, started);
        Ok(progress)
    }

    /// Takes over a table's definition, as [`Router::route_txn`] does with a Relation message that it
    /// has answered: for callers that only [route](Router::route). A durable router writes it down with
    /// the next acknowledgement.
    ///
    /// # Errors
    /// If the router is closed.
    pub fn define(&self, now: &Relation) -> Result<(), Error> {
        let mut writer = self.open_writer()?;
        let stale = self.apply(now);
        if let (Some(_), Some(stale)) = (&self.durable, stale) {
            let lsn = writer.acked;
            writer.untold.relation(lsn, now, stale);
        }
        Ok(())
    }

    /// Takes over a table's new definition: shapes whose columns went or were retyped are included in
    /// everything from now on; their serials. `None`: it was told before.
    fn apply(&self, now: &Relation) -> Option<Vec<u64>> {
        if self.state.read().relation.as_ref() == Some(now) {
            return None;
        }
        let mut guard = self.state.write();
        let state = &mut *guard;
        let difference = state.difference(now);
        let mut stale = Vec::new();
        for &column in &difference.broken {
            for slot in state.shapes.live().iter().collect::<Vec<_>>() {
                let Some(shape) = state.shapes.get(slot) else { continue };
                let reads = shape.predicate.is_some_and(|p| p.columns().contains(column));
                if reads && !shape.stale {
                    stale.push(shape.serial);
                    state.unfile(slot);
                    state.shapes.make_stale(slot);
                }
            }
        }
        if difference.columns && !state.schema.is_open() {
            state.schema = Arc::new(relation::redefined(&state.schema, now));
            self.schema_version.fetch_add(1, Ordering::AcqRel);
        }
        let told = matches!(now.replica_identity, Some(b'd' | b'i'));
        if state.key_columns.is_empty() && told && !state.schema.is_open() {
            let marked = now.columns.iter().filter(|c| c.key);
            state.key_columns = marked.filter_map(|c| state.schema.position(&c.name)).collect();
        }
        state.relation = Some(now.clone());
        Some(stale)
    }

    /// How a shape is filed.
    ///
    /// # Errors
    /// If there is none with this id.
    pub fn explain(&self, id: u64) -> Result<Explanation, Error> {
        explain::explain(&*self.open_state()?, id).ok_or(Error::UnknownShape(id))
    }

    /// Why a change belongs to a shape, or does not.
    ///
    /// # Errors
    /// If there is none with this id.
    pub fn why(&self, change: &Change<'_>, id: u64) -> Result<Reason, Error> {
        check(change)?;
        let mut scratch = Scratch::default();
        let state = self.open_state()?;
        explain::why(&state, change, id, &mut scratch).ok_or(Error::UnknownShape(id))
    }

    /// What the router has done and what it holds.
    pub fn metrics(&self) -> Metrics {
        let templates = self.adder.lock().templates() as u64;
        let (staged_transactions, acked_lsn) = {
            let writer = self.writer.lock();
            (writer.overlay.stages() as u64, writer.acked)
        };
        let figures = self.durable.as_ref().map(Durable::figures).unwrap_or_default();
        let indexes = self.durable.as_ref().map(Durable::index_figures).unwrap_or_default();
        let opened_in = self.durable.as_ref().map(Durable::opened_in).unwrap_or_default();
        let state = self.state.read();
        let shapes = state.shapes.len();
        Metrics {
            shapes: shapes as u64,
            templates,
            scan_shapes: state.shapes.scan().len() as u64,
            known_shapes: state.shapes.known() as u64,
            membership_keys: state.base.keys() as u64,
            value_sets: state.sets.len() as u64,
            unready_sets: state.sets.unready.len() as u64,
            set_values: state.sets.rows(),
            set_bytes: state.sets.memory_bytes() as u64,
            staged_transactions,
            acked_lsn,
            memory_bytes: state.memory_bytes() as u64,
            journal_bytes: figures.journal_bytes,
            snapshot_bytes: figures.snapshot_bytes,
            index_bytes: indexes.bytes,
            open_ms: opened_in.as_secs_f64() * 1000.0,
            open_loaded: u64::from(indexes.loaded),
            open_refused: u64::from(indexes.refused.is_some()),
            index_failed: u64::from(indexes.last_error.is_some()),
            ..self.counters.read()
        }
    }

    /// Does now what otherwise is done little by little: purges what removed shapes left behind, files
    /// shapes otherwise where that is better by now, and merges what condition indexes are made of.
    ///
    /// # Errors
    /// If the router is closed.
    pub fn rebuild(&self) -> Result<(), Error> {
        self.check_open()?;
        upkeep::purge(&self.state);
        let oldest = self.writer.lock().overlay.oldest_sequence();
        self.state.write().shapes.free_dead(oldest);
        let mut left = self.state.read().shapes.choices();
        while left > 0 {
            left -= self.state.write().refile(left.min(REFILED_AT_ONCE)).min(left);
        }
        upkeep::run(&self.state);
        upkeep::compact(&self.state);
        Ok(())
    }

    /// Refuses every further call. What the router held is freed on a thread of its own; a directory is
    /// brought up to date and given back.
    ///
    /// # Errors
    /// Where the last of what was written could not be made durable.
    pub fn close(&self) -> Result<(), Error> {
        self.free();
        self.durable.as_ref().map_or(Ok(()), Durable::close)
    }

    fn free(&self) {
        self.closed.store(true, Ordering::Release);
        let overlay = std::mem::take(&mut *self.writer.lock());
        let mut state = self.state.write();
        let shapes = std::mem::take(&mut state.shapes);
        let base =
            std::mem::replace(&mut state.base, Base::new(Making { short_list: 0, lanes: None }));
        let conditions =
            std::mem::replace(&mut state.conditions, Conditions::new((0, 0), Making::default()));
        let sets = ValueSets::new((0, 0), Making::default());
        let sets = std::mem::replace(&mut state.sets, sets);
        drop(state);
        crate::reaper::dispose((overlay, shapes, base, conditions, sets));
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.free();
        if let Some(durable) = self.durable.take() {
            durable.close_soon();
        }
        if let Ok(empty) = Compiler::new(Options::default()) {
            crate::reaper::dispose(std::mem::replace(self.adder.get_mut(), empty));
        }
    }
}

pub(crate) fn check(change: &Change<'_>) -> Result<(), Error> {
    let lacks = match change.op {
        Op::Insert | Op::Update => change.new.is_none(),
        Op::Delete => change.old.is_none() && change.old_key.is_none() && change.key.is_none(),
        Op::Truncate => false,
        Op::Relation => change.relation.is_none(),
    };
    match (lacks, change.op) {
        (false, _) => Ok(()),
        (_, Op::Insert) => Err(Error::InvalidChange("an insert needs a new row")),
        (_, Op::Update) => Err(Error::InvalidChange("an update needs a new row")),
        (_, Op::Delete) => Err(Error::InvalidChange("a delete needs an old row or a key")),
        (_, Op::Truncate | Op::Relation) => {
            Err(Error::InvalidChange("a relation change needs the relation"))
        }
    }
}
