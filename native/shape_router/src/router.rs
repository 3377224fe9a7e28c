//! The facade: shapes come and go, changes are routed.

use crate::answer::{Effects, Request, answer};
use crate::budget::Budget;
use crate::candidates::Cursor;
use crate::change::{Change, KeyParts, Op};
use crate::classify::RouteOptions;
use crate::conditions::Conditions;
use crate::error::Error;
use crate::explain::{self, Explanation, Reason};
use crate::filing::{Filed, Filing};
use crate::index::Slot;
use crate::key::KeyHasher;
use crate::membership::{self, Base, Defaults, Held, Membership, Overlay, Truncate};
use crate::metrics::{Counters, Metrics};
use crate::relation::{self, Relation};
use crate::scratch::Scratch;
use crate::shapes::{NewShape, Shapes};
use crate::transaction::{Open, Transaction};
use crate::{choose, upkeep};
use bumpalo::Bump;
use parking_lot::{Mutex, RwLock};
use shape_expr::{Column, ColumnType, Compiler, Options, Param, Predicate, PredicateRef, Schema};
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

mod declare;

/// What a router is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table's columns; an open schema learns them from the clauses.
    pub schema: Schema,
    /// The names of the primary key's columns, in order; empty: the key comes with each change.
    pub primary_key: Vec<String>,
    /// Keep what transactions teach about single keys for shapes of unknown membership too.
    pub track_membership: bool,
    /// At most so many shapes.
    pub max_shapes: Option<usize>,
    /// At most so many accounted bytes.
    pub max_bytes: Option<usize>,
    /// How clauses are compiled.
    pub options: Options,
}

impl Config {
    /// A table of which no columns are declared.
    pub fn open(table: &str) -> Self {
        Self::new(Schema::open(table))
    }

    /// A table with these columns.
    pub fn new(schema: Schema) -> Self {
        Self {
            schema,
            primary_key: Vec::new(),
            track_membership: false,
            max_shapes: None,
            max_bytes: None,
            options: Options::default(),
        }
    }
}

/// The keys that a shape held when it was added.
#[derive(Clone, Debug, Default)]
pub enum Keys<'a> {
    /// Nobody knows.
    #[default]
    Unknown,
    /// Exactly these.
    Known(Vec<KeyParts<'a>>),
}

/// The snapshot that a shape's keys were taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// It shows the transactions whose commit record stands before this LSN.
    Lsn(u64),
    /// It shows what `pg_current_snapshot()` says.
    Xids {
        /// The oldest xid that was still running.
        xmin: u64,
        /// One past the newest xid that had finished.
        xmax: u64,
        /// Those in between that were still running.
        xip: Vec<u64>,
    },
}

impl Snapshot {
    pub(crate) fn shows(&self, transaction: &Transaction) -> bool {
        match self {
            Self::Lsn(lsn) => transaction.lsn < *lsn,
            Self::Xids { xmin, xmax, xip } => transaction.xid.is_some_and(|xid| {
                // The WAL has the low 32 bits of an xid; within 2^31 of the snapshot they order.
                let before = |full: u64| (xid.wrapping_sub(full as u32) as i32) < 0;
                before(*xmin) || (before(*xmax) && !xip.iter().any(|&x| x as u32 == xid))
            }),
        }
    }
}

/// A parameter's value that outlives its caller.
pub type OwnedParam = Param<'static>;

/// A shape to add.
#[derive(Clone, Debug)]
pub struct ShapeSpec<'a> {
    /// Its id.
    pub id: u64,
    /// Its clause; `None`: all rows.
    pub clause: Option<&'a str>,
    /// The values of `$1`, `$2` ...
    pub params: Vec<Param<'a>>,
    /// The keys that it holds.
    pub keys: Keys<'a>,
    /// What the keys were taken from.
    pub snapshot: Option<Snapshot>,
}

impl<'a> ShapeSpec<'a> {
    /// A shape of unknown membership.
    pub fn new(id: u64, clause: Option<&'a str>) -> Self {
        Self { id, clause, params: Vec::new(), keys: Keys::Unknown, snapshot: None }
    }
}

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

/// What readers read.
pub(crate) struct State {
    pub schema: Arc<Schema>,
    pub key_columns: Vec<usize>,
    pub keys: KeyHasher,
    pub conditions: Conditions,
    pub shapes: Shapes,
    pub base: Base,
    pub track: bool,
    pub relation: Option<Relation>,
}

/// What the one writer of transactions has.
#[derive(Default)]
struct Writer {
    overlay: Overlay,
    open: Option<Open>,
    acked: u64,
}

/// Routes the changes of one table to shapes.
///
/// All methods take `&self` and may be called from any thread at once; transactions are for one
/// writer at a time.
///
/// Locks are taken in the order `adder`, `writer`, `state`.
pub struct Router {
    adder: Mutex<Compiler>,
    writer: Mutex<Writer>,
    state: Arc<RwLock<State>>,
    counters: Counters,
    closed: AtomicBool,
    schema_version: AtomicU64,
    max_shapes: Option<usize>,
    max_bytes: Option<usize>,
}

/// So many shapes (or keys of one) are written under one lock: a fraction of a millisecond.
const LOCKED_SHAPES: usize = 512;

/// So many shapes are looked at, for each that comes or goes, whether they should be filed otherwise;
/// and so many at most under one lock.
const REFILED: usize = 2;
const REFILED_AT_ONCE: usize = 64;

/// A shape that is compiled and checked, and not visible yet.
struct Prepared {
    id: u64,
    predicate: Option<Predicate>,
    keys: Option<Vec<u128>>,
    snapshot: Option<Snapshot>,
}

impl Router {
    /// A router without shapes.
    ///
    /// # Errors
    /// If a primary key column is not one of the table's, or the time zone is unknown.
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut compiler = Compiler::new(config.options)?;
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
        let random = RandomState::new();
        let secret = |part: u8| (random.hash_one((part, 0u8)), random.hash_one((part, 1u8)));
        Ok(Self {
            adder: Mutex::new(compiler),
            writer: Mutex::default(),
            state: Arc::new(RwLock::new(State {
                schema: Arc::new(schema),
                keys: KeyHasher::new(secret(0), types.filter(|t| !t.is_empty())),
                key_columns,
                conditions: Conditions::new(secret(1)),
                shapes: Shapes::new(),
                base: Base::default(),
                track: config.track_membership,
                relation: None,
            })),
            counters: Counters::default(),
            closed: AtomicBool::new(false),
            schema_version: AtomicU64::new(1),
            max_shapes: config.max_shapes,
            max_bytes: config.max_bytes,
        })
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::Acquire) { Err(Error::Closed) } else { Ok(()) }
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
        let (prepared, schema, grown) = self.prepare(&mut compiler, specs)?;
        self.check(&prepared)?;
        if grown {
            self.state.write().schema = schema.clone();
            self.schema_version.fetch_add(1, Ordering::AcqRel);
        }
        // Nothing can go wrong from here on: nobody else adds while the adder's lock is held. The
        // state is locked for some shapes at a time, so that readers never wait for a bulk load.
        let bulk = prepared.len() > 1;
        let mut prepared = prepared.into_iter();
        while prepared.len() > 0 {
            let some: Vec<Prepared> = prepared.by_ref().take(LOCKED_SHAPES).collect();
            let slots: Vec<Slot> = {
                let mut state = self.state.write();
                some.iter().map(|p| state.shapes.reserve(p.id)).collect()
            };
            self.seed(&some, &slots);
            let born = self.writer.lock().overlay.born();
            let mut state = self.state.write();
            let mut refile = REFILED * some.len();
            for (prepared, slot) in some.into_iter().zip(slots) {
                state.publish(slot, prepared, &schema, born);
            }
            drop(state);
            while refile > 0 {
                refile -= self.state.write().refile(refile.min(REFILED_AT_ONCE)).min(refile);
            }
            upkeep::run(&self.state, bulk);
        }
        Ok(())
    }

    /// Compiles and checks shapes; with the schema that they were compiled against, and whether it
    /// grew.
    fn prepare<'a>(
        &self,
        compiler: &mut Compiler,
        specs: impl IntoIterator<Item = ShapeSpec<'a>>,
    ) -> Result<(Vec<Prepared>, Arc<Schema>, bool), Error> {
        let mut schema = self.state.read().schema.clone();
        let mut grown = false;
        let mut prepared = Vec::new();
        let mut arena = Bump::new();
        for spec in specs {
            let id = spec.id;
            let compile = |clause| {
                let compiled = compiler.compile(clause, &schema, &spec.params);
                compiled.map_err(|source| Error::Clause { id, source })
            };
            let compiled = spec.clause.map(compile).transpose()?;
            let (predicate, new_schema) =
                compiled.map_or((None, None), |c| (Some(c.predicate), c.schema));
            if let Some(new_schema) = new_schema {
                schema = Arc::new(new_schema);
                grown = true;
            }
            let keys = match &spec.keys {
                Keys::Unknown => None,
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
            prepared.push(Prepared { id, predicate, keys, snapshot: spec.snapshot });
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
    /// If there is none with this id.
    pub fn remove_shape(&self, id: u64) -> Result<(), Error> {
        self.check_open()?;
        let writer = self.writer.lock();
        let mut state = self.state.write();
        let sequence = writer.overlay.sequence();
        let slot = state.shapes.slot(id).ok_or(Error::UnknownShape(id))?;
        state.unfile(slot);
        state.shapes.remove(slot, sequence);
        state.refile(REFILED);
        state.purge_step();
        state.shapes.free_dead(writer.overlay.oldest_sequence());
        drop(state);
        drop(writer);
        upkeep::run(&self.state, false);
        Ok(())
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
        self.check_open()?;
        check(change)?;
        scratch.reset();
        let started = self.counters.start();
        let state = self.state.read();
        let membership = Membership { base: &state.base, overlay: None };
        let request = Request { change, options, membership, transaction: None };
        let mut none = Effects::default();
        let (progress, tally) = answer(&state, request, scratch, budget, cursor, &mut none);
        drop(state);
        self.counters.record(tally, started);
        Ok(progress)
    }

    /// Routes one change of a transaction, classified, and stages its effects on membership.
    ///
    /// `index` counts the transaction's changes from 0: index 0 (without a cursor) opens it, and drops
    /// whatever was staged for it or after it. A transaction at or before the one acknowledged last is
    /// answered and stages nothing.
    ///
    /// # Errors
    /// As [`Router::route`]; [`Error::StaleTransaction`] if another transaction was opened meanwhile.
    pub fn route_txn(
        &self,
        transaction: Transaction,
        index: usize,
        change: &Change<'_>,
        scratch: &mut Scratch,
        budget: &mut Budget,
        cursor: Option<Cursor>,
    ) -> Result<Progress, Error> {
        self.check_open()?;
        check(change)?;
        scratch.reset();
        let started = self.counters.start();
        let mut writer = self.writer.lock();
        let writer = &mut *writer;
        let replay = transaction.lsn <= writer.acked;
        let resumes = cursor.is_some();
        if index == 0 && !resumes {
            self.begin(writer, transaction);
        }
        let here = |open: &Open| open.transaction == transaction && open.next == index;
        if !writer.open.as_ref().is_some_and(here) {
            return Err(Error::StaleTransaction { lsn: transaction.lsn });
        }
        if !replay && !resumes {
            writer.overlay.next_change();
            if change.op == Op::Truncate {
                writer.overlay.truncate(transaction);
            }
        }
        let mut effects = Effects::default();
        let state = self.state.read();
        let request = Request {
            change,
            options: RouteOptions { classify: true, ..RouteOptions::default() },
            membership: Membership { base: &state.base, overlay: Some(&writer.overlay) },
            transaction: Some(transaction),
        };
        let (progress, tally) = answer(&state, request, scratch, budget, cursor, &mut effects);
        drop(state);
        if !replay {
            for (key, slot, held) in effects.held {
                writer.overlay.set(key, slot, held);
            }
            if !effects.lost.is_empty() {
                let mut state = self.state.write();
                effects.lost.iter().for_each(|&slot| state.shapes.lose_track(slot));
            }
        }
        if matches!(progress, Progress::Done) {
            if let Some(open) = &mut writer.open {
                open.next += 1;
            }
            if let Some(relation) = change.relation {
                self.apply(relation);
            }
        }
        self.counters.record(tally, started);
        Ok(progress)
    }

    fn begin(&self, writer: &mut Writer, transaction: Transaction) {
        writer.open = Some(Open { transaction, next: 0 });
        if transaction.lsn > writer.acked {
            writer.overlay.begin(transaction);
        }
    }

    /// Opens a transaction (or fragment) that has no changes for this table.
    ///
    /// # Errors
    /// If the router is closed.
    pub fn begin_txn(&self, transaction: Transaction) -> Result<(), Error> {
        self.check_open()?;
        self.begin(&mut self.writer.lock(), transaction);
        Ok(())
    }

    /// Ends the routing of a transaction (or fragment): now it may be acknowledged.
    ///
    /// # Errors
    /// [`Error::StaleTransaction`] if another transaction was opened meanwhile.
    pub fn finish_txn(&self, transaction: Transaction) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        match writer.open {
            Some(open) if open.transaction == transaction => {
                writer.open = None;
                Ok(())
            }
            _ => Err(Error::StaleTransaction { lsn: transaction.lsn }),
        }
    }

    /// Makes the effects of all transactions up to an LSN real: at most `units` of them, and true
    /// once nothing is left to do.
    ///
    /// # Errors
    /// [`Error::TransactionInProgress`] if one of them is still being routed.
    pub fn ack(&self, lsn: u64, units: u64) -> Result<bool, Error> {
        self.check_open()?;
        let mut writer = self.writer.lock();
        if let Some(open) = &writer.open
            && open.transaction.lsn <= lsn
            && open.transaction.lsn > writer.acked
        {
            return Err(Error::TransactionInProgress { lsn: open.transaction.lsn });
        }
        let mut state = self.state.write();
        let State { base, shapes, .. } = &mut *state;
        let done = membership::acknowledge(base, &mut writer.overlay, lsn, units.max(1), shapes);
        if done {
            writer.acked = writer.acked.max(lsn);
            shapes.free_dead(writer.overlay.oldest_sequence());
        }
        Ok(done)
    }

    /// Takes over a table's new definition: shapes whose columns went or were retyped are included in
    /// everything from now on.
    fn apply(&self, now: &Relation) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        let difference = relation::difference(state.relation.as_ref(), &state.schema, now);
        for &column in &difference.broken {
            for slot in state.shapes.live().iter().collect::<Vec<_>>() {
                let Some(shape) = state.shapes.get(slot) else { continue };
                let reads = shape.predicate.is_some_and(|p| p.columns().contains(column));
                if reads && !shape.stale {
                    state.unfile(slot);
                    state.shapes.make_stale(slot);
                }
            }
        }
        if difference.columns && !state.schema.is_open() {
            state.schema = Arc::new(redefined(&state.schema, now));
            self.schema_version.fetch_add(1, Ordering::AcqRel);
        }
        let told = matches!(now.replica_identity, Some(b'd' | b'i'));
        if state.key_columns.is_empty() && told && !state.schema.is_open() {
            let marked = now.columns.iter().filter(|c| c.key);
            state.key_columns = marked.filter_map(|c| state.schema.position(&c.name)).collect();
        }
        state.relation = Some(now.clone());
    }

    /// How a shape is filed.
    ///
    /// # Errors
    /// If there is none with this id.
    pub fn explain(&self, id: u64) -> Result<Explanation, Error> {
        self.check_open()?;
        explain::explain(&self.state.read(), id).ok_or(Error::UnknownShape(id))
    }

    /// Why a change belongs to a shape, or does not.
    ///
    /// # Errors
    /// If there is none with this id.
    pub fn why(&self, change: &Change<'_>, id: u64) -> Result<Reason, Error> {
        self.check_open()?;
        check(change)?;
        let mut scratch = Scratch::default();
        let state = self.state.read();
        explain::why(&state, change, id, &mut scratch).ok_or(Error::UnknownShape(id))
    }

    /// What the router has done and what it holds.
    pub fn metrics(&self) -> Metrics {
        let templates = self.adder.lock().templates() as u64;
        let (staged_transactions, acked_lsn) = {
            let writer = self.writer.lock();
            (writer.overlay.stages() as u64, writer.acked)
        };
        let state = self.state.read();
        let shapes = state.shapes.len();
        Metrics {
            shapes: shapes as u64,
            templates,
            scan_shapes: state.shapes.scan().len() as u64,
            known_shapes: state.shapes.known() as u64,
            membership_keys: state.base.keys() as u64,
            staged_transactions,
            acked_lsn,
            memory_bytes: state.memory_bytes() as u64,
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
        for _ in 0..Base::shard_count() {
            let writer = self.writer.lock();
            let mut state = self.state.write();
            state.purge_next();
            state.shapes.free_dead(writer.overlay.oldest_sequence());
        }
        let mut left = self.state.read().shapes.choices();
        while left > 0 {
            left -= self.state.write().refile(left.min(REFILED_AT_ONCE)).min(left);
        }
        upkeep::run(&self.state, true);
        Ok(())
    }

    /// Refuses every further call. What the router held is freed on a thread of its own.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let overlay = std::mem::take(&mut *self.writer.lock());
        let mut state = self.state.write();
        let shapes = std::mem::take(&mut state.shapes);
        let base = std::mem::take(&mut state.base);
        let conditions = std::mem::replace(&mut state.conditions, Conditions::new((0, 0)));
        drop(state);
        crate::reaper::dispose((overlay, shapes, base, conditions));
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.close();
        if let Ok(empty) = Compiler::new(Options::default()) {
            crate::reaper::dispose(std::mem::replace(self.adder.get_mut(), empty));
        }
    }
}

impl State {
    /// Makes a shape visible. A Relation message may have redefined the columns that its clause was
    /// compiled against meanwhile: then it is stale from the start.
    fn publish(&mut self, slot: Slot, prepared: Prepared, compiled: &Arc<Schema>, born: u64) {
        let predicate = prepared.predicate.as_ref();
        let type_in = |schema: &Schema, c: usize| schema.columns().get(c).map(|c| c.ty.clone());
        let stale = !self.schema.is_open()
            && !Arc::ptr_eq(&self.schema, compiled)
            && predicate.is_some_and(|p| {
                p.columns().iter().any(|c| type_in(&self.schema, c) != type_in(compiled, c))
            });
        let (mut filed, mut choice) = (Filed::Scan, false);
        if let Some(predicate) = predicate.filter(|_| !stale) {
            let (access, arena) = (predicate.access(), Bump::new());
            let wanted = self.conditions.choose(&access, &arena);
            filed = self.conditions.insert(wanted, slot);
            choice = !filed.conditions().is_empty() && choose::has_choice(&access);
        }
        let shape = NewShape {
            id: prepared.id,
            predicate: prepared.predicate,
            filed,
            choice,
            known: prepared.keys.is_some(),
            stale,
            snapshot: prepared.snapshot,
            born,
        };
        self.shapes.publish(slot, shape);
    }

    /// What a shape is filed under.
    pub fn filed(&self, filing: Filing, slot: Slot) -> Cow<'_, Filed> {
        Cow::Owned(match filing {
            Filing::Never => Filed::Never,
            Filing::Scan => Filed::Scan,
            Filing::Derived => {
                let shape = self.shapes.get(slot);
                let access = shape.and_then(|s| s.predicate).map(PredicateRef::access);
                access.map_or(Filed::Scan, |access| self.conditions.derive(&access))
            }
            Filing::Kept => match self.shapes.kept(slot) {
                Some(filed) => return Cow::Borrowed(filed),
                None => Filed::Scan,
            },
        })
    }

    /// Takes a shape from all that it is filed under.
    fn unfile(&mut self, slot: Slot) {
        let Some(tags) = self.shapes.tags(slot) else { return };
        let filed = self.filed(tags.filing(), slot).into_owned();
        self.conditions.remove(&filed, slot);
    }

    /// Looks at so many of the shapes that could be filed otherwise, and files those otherwise for
    /// which that is better by an order of magnitude now. How many it looked at; if there are none, as
    /// many as were asked for.
    fn refile(&mut self, shapes: usize) -> usize {
        let mut arena = Bump::new();
        for _ in 0..shapes.min(self.shapes.choices()) {
            arena.reset();
            let Some(slot) = self.shapes.next_choice() else { break };
            let Some(shape) = self.shapes.get(slot) else { continue };
            let Some(access) = shape.predicate.map(PredicateRef::access) else { continue };
            let Some(filed) = self.shapes.kept(slot) else { continue };
            let Some(wanted) = self.conditions.choose(&access, &arena) else { continue };
            if self.conditions.is_outdated(filed, &wanted) {
                // One lock is held throughout, so that no reader sees it filed nowhere.
                self.conditions.remove(filed, slot);
                let filed = self.conditions.insert(Some(wanted), slot);
                drop(access);
                self.shapes.refile(slot, filed);
            }
        }
        shapes
    }

    /// Purges one shard of the membership, if enough slots are dead that it pays.
    fn purge_step(&mut self) {
        if self.shapes.purge_pays() {
            self.purge_next();
        }
    }

    fn purge_next(&mut self) {
        let shard = self.shapes.next_shard();
        let shapes = &self.shapes;
        self.base.purge_shard(shard, |slot| shapes.is_taken(slot));
    }

    fn memory_bytes(&self) -> usize {
        self.shapes.memory_bytes() + self.conditions.memory_bytes() + self.base.memory_bytes()
    }
}

impl Defaults for Shapes {
    fn default_of(&self, slot: Slot) -> Option<Held> {
        let shape = self.get(slot)?;
        Some(if shape.known { Held::No } else { Held::Maybe })
    }

    fn spared(&self, truncate: &Truncate) -> Vec<Slot> {
        let spared = |slot: &Slot| self.get(*slot).is_some_and(|s| !truncate.applies_to(&s));
        self.live().iter().filter(spared).collect()
    }
}

fn check(change: &Change<'_>) -> Result<(), Error> {
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

/// The declared columns with what a Relation message tells: positions stay, new columns follow.
fn redefined(schema: &Schema, now: &Relation) -> Schema {
    let type_of = |name: &str| {
        let told = now.columns.iter().find(|c| c.name == name);
        told.and_then(|c| ColumnType::from_oid(c.type_oid, c.typmod))
    };
    let mut columns = schema.columns().to_vec();
    for column in &mut columns {
        if let Some(ty) = type_of(&column.name) {
            column.ty = Some(ty);
        }
    }
    for told in &now.columns {
        if schema.position(&told.name).is_none()
            && let Some(ty) = ColumnType::from_oid(told.type_oid, told.typmod)
        {
            columns.push(Column { name: told.name.clone(), ty: Some(ty) });
        }
    }
    Schema::new(&now.table, columns).unwrap_or_else(|_| schema.clone())
}
