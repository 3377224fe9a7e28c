//! What a router tells its catalogue, and how it comes back from it.
//!
//! What changes the shapes is written before it is done and acknowledged when it is durable: in
//! between, readers see it already. What a transaction does is written when it is acknowledged; what
//! was not is routed again by whoever replays the WAL, and answered as it was the first time.

use crate::catalogue::{
    AckWriter, AddWriter, Catalogue, Copied, Declared, Figures, GoOn, Held, IndexFigures, Manifest,
    Options, RelationChange, Replay, StoredIndexes, StoredSchema, StoredShape, StoredType, Taken,
    removal, snapshot::Snapshot,
};
use crate::error::Error;
use crate::index::{Making, Slot};
use crate::key::KeyHash;
use crate::membership::{self, Account, Base};
use crate::relation::Relation;
use crate::router::{LOCKED_SHAPES, REFILED, Router, Writer};
use crate::sets::Asked;
use crate::shapes::Shapes;
use crate::spec::Config;
use crate::state::{Prepared, State};
use crate::stored::Loaded;
use crate::upkeep;
use lane_index::run_after;
use lane_index::storage::{Directory, Storage};
use parking_lot::Mutex;
use shape_expr::{Column, ColumnType, Schema, Subquery};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The catalogue of a router, and what it was told of the columns.
pub(crate) struct Durable {
    catalogue: Arc<Catalogue>,
    /// The columns as the catalogue knows them.
    schema: Mutex<Arc<Schema>>,
    /// How long opening took.
    opened_in: Duration,
}

/// What the catalogue is to be told with the next record.
#[derive(Default)]
pub(crate) struct Untold {
    /// Relation messages by the transactions that they came with.
    relations: Vec<(u64, Relation)>,
    /// Shapes that lost track.
    pub lost: Vec<u64>,
    /// Shapes that became stale.
    stale: Vec<u64>,
    /// The record of an acknowledgement that is being carried out.
    pub acked: Option<u64>,
}

impl Untold {
    pub fn relation(&mut self, lsn: u64, relation: &Relation, stale: Vec<u64>) {
        self.stale.extend(stale);
        // In order: a definition that no transaction brought may come while others are staged.
        let lsn = self.relations.last().map_or(lsn, |(last, _)| lsn.max(*last));
        self.relations.push((lsn, relation.clone()));
    }
}

impl Durable {
    pub fn figures(&self) -> Figures {
        self.catalogue.figures()
    }

    pub fn index_figures(&self) -> IndexFigures {
        self.catalogue.index_figures()
    }

    pub fn opened_in(&self) -> Duration {
        self.opened_in
    }

    pub fn close(&self) -> Result<(), Error> {
        Ok(self.catalogue.close()?)
    }

    /// Closes it where nobody waits for a disk.
    pub fn close_soon(self) {
        run_after(Duration::ZERO, move || drop(self.catalogue.close()));
    }
}

/// Gives a router's directory back, from wherever; the router refuses what would be written from then on.
pub struct Closer(Weak<Catalogue>);

impl Closer {
    /// Makes durable what was written and gives the directory back, if the router is still there.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn close(&self) -> Result<(), Error> {
        Ok(self.0.upgrade().map_or(Ok(()), |catalogue| catalogue.close())?)
    }
}

impl Router {
    /// What gives the directory back, for whoever ends with something else than the router; none in memory.
    pub fn closer(&self) -> Option<Closer> {
        self.durable.as_ref().map(|durable| Closer(Arc::downgrade(&durable.catalogue)))
    }

    /// The router of a directory, which is created if it does not exist.
    ///
    /// # Errors
    /// As [`Router::open_in`].
    pub fn open(config: Config, path: impl AsRef<Path>, options: Options) -> Result<Self, Error> {
        Self::open_in(config, Arc::new(Directory::open(path)?), options)
    }

    /// As [`Router::open`], wherever the files lie.
    ///
    /// # Errors
    /// [`Error::Storage`] where the directory is held by another handle, damaged, of another version or
    /// cannot be read or written; [`Error::Mismatch`] where it holds a router of another table, other
    /// columns, key or settings; those of [`Router::new`].
    pub fn open_in(
        config: Config,
        storage: Arc<dyn Storage>,
        options: Options,
    ) -> Result<Self, Error> {
        Self::open_after(config, storage, options, &[])
    }

    /// As [`Router::open_in`], with records that a router with [`Options::hold_back`] handed out before
    /// ([`Router::held_back`]): those that the directory lacks are carried out and written to it.
    ///
    /// # Errors
    /// As [`Router::open_in`]; [`Error::Storage`] where a record is missing before them, or is none.
    pub fn open_after(
        config: Config,
        storage: Arc<dyn Storage>,
        options: Options,
        tail: &[(u64, Vec<u8>)],
    ) -> Result<Self, Error> {
        let start = Instant::now();
        let declared = Declared {
            schema: StoredSchema::new(&config.schema),
            primary_key: config.primary_key.clone(),
            time_zone: config.options.time_zone.clone(),
            ascii_case: config.options.ascii_case,
            order_any_collation_by_bytes: config.options.order_any_collation_by_bytes,
        };
        let mut taken = Taken::take(storage)?;
        let stored = taken.manifest().map(|manifest| manifest.declared.clone());
        let retyped = match &stored {
            Some(stored) => compare(stored, &declared)?,
            None => Vec::new(),
        };
        let (asked, making) = (config.schema.clone(), config.making());
        let settings = config.clone();
        let router = match taken.manifest() {
            Some(manifest) => Self::declared(config, manifest)?,
            None => {
                // Whatever is wrong with the settings shows before anything is written.
                let router = Self::with_secret(config, (0, 0), None)?;
                let key_types = || {
                    let state = router.state.read();
                    let types = state.keys.types()?;
                    Some(types.iter().map(StoredType::new).collect())
                };
                let manifest = taken.declare(declared.clone(), key_types)?;
                router.state.write().keys.set_secret(secret(manifest.hash_key()));
                router
            }
        };
        let mut restore = Restore::new(&router, making);
        let catalogue = taken.open(options, tail, &mut restore)?;
        router.state.write().shapes.skip_serials(restore.next.saturating_sub(1));
        router.release_sets();
        upkeep::run(&router.state);
        // What the catalogue was told of the columns, if they come from it: then it has to be told of
        // others as well.
        let schema = Mutex::new(router.state.read().schema.clone());
        router.widen(&asked, &retyped)?;
        if let Some(stored) = stored {
            let declared = in_place(&stored, declared);
            if stored != declared {
                catalogue.redeclare(declared)?;
            }
        }
        catalogue.derive_with(Box::new(move |manifest, snapshot, go_on| {
            derived(&settings, manifest, snapshot, go_on)
        }));
        let mut router = router;
        router.durable = Some(Durable { catalogue, schema, opened_in: start.elapsed() });
        Ok(router)
    }

    /// A router without shapes, as a manifest declares it.
    fn declared(config: Config, manifest: &Manifest) -> Result<Self, Error> {
        let types = manifest.key_types.as_ref();
        let types = types.map(|types| types.iter().filter_map(StoredType::column_type).collect());
        let schema = manifest.declared.schema.schema().unwrap_or(config.schema);
        let secret = secret(manifest.hash_key());
        Self::with_secret(Config { schema, ..config }, secret, Some(types))
    }

    /// Columns that were declared since the directory was last open come behind those that there are.
    /// Those that were declared with another type must have got it by a Relation message.
    fn widen(&self, asked: &Schema, retyped: &[(String, String)]) -> Result<(), Error> {
        let mut state = self.state.write();
        let type_in = |schema: &Schema, name: &str| {
            let position = schema.position(name)?;
            schema.columns()[position].ty.clone()
        };
        for (name, difference) in retyped {
            if type_in(&state.schema, name) != type_in(asked, name) {
                return Err(Error::Mismatch(difference.clone()));
            }
        }
        if asked.is_open() {
            return Ok(());
        }
        let widened = |schema: &Arc<Schema>| {
            let is_new = |column: &&Column| schema.position(&column.name).is_none();
            let new: Vec<Column> = asked.columns().iter().filter(is_new).cloned().collect();
            if new.is_empty() {
                return Ok(schema.clone());
            }
            let columns = [schema.columns(), &new].concat();
            Schema::new(schema.table(), columns).map(Arc::new)
        };
        (state.schema, state.declared) = (widened(&state.schema)?, widened(&state.declared)?);
        Ok(())
    }

    /// Writes down shapes that come. `grown`: the columns, if these shapes taught some.
    pub(crate) fn tell_added(
        &self,
        record: Option<AddWriter>,
        grown: Option<&Arc<Schema>>,
    ) -> Result<Option<u64>, Error> {
        let (Some(durable), Some(record)) = (&self.durable, record) else { return Ok(None) };
        let mut writer = self.writer.lock();
        let schema = grown.cloned().unwrap_or_else(|| self.state.read().schema.clone());
        let mut known = durable.schema.lock();
        let is_new = **known != *schema;
        let stored = is_new.then(|| StoredSchema::new(&schema));
        let record = record.finish(stored.as_ref(), &writer.untold.stale);
        let seq = durable.catalogue.write(&record)?;
        writer.untold.stale.clear();
        *known = schema;
        Ok(Some(seq))
    }

    pub(crate) fn tell_removed(&self, serial: u64) -> Result<Option<u64>, Error> {
        let Some(durable) = &self.durable else { return Ok(None) };
        Ok(Some(durable.catalogue.write(&removal(serial))?))
    }

    /// Writes down what acknowledging up to `lsn` does. From here on it is acknowledged: what is routed
    /// again is a replay, even if carrying it out takes several calls.
    pub(crate) fn tell_acked(&self, writer: &mut Writer, lsn: u64) -> Result<(), Error> {
        let Some(durable) = &self.durable else { return Ok(()) };
        let state = self.state.read();
        let mut told = writer.untold.relations.iter().rev();
        let relation = told.find(|(at, _)| *at <= lsn).map(|(_, relation)| RelationChange {
            relation: relation.clone(),
            // Not as they were then: later shapes are compiled against these.
            schema: StoredSchema::new(&state.schema),
            key_columns: state.key_columns.clone(),
        });
        let untold = &writer.untold;
        let record = AckWriter::new(lsn, relation.as_ref(), &untold.lost, &untold.stale);
        let mut ledger = Ledger { shapes: &state.shapes, record };
        membership::account(&writer.overlay, lsn, &state.shapes, &mut ledger);
        let record = ledger.record.finish();
        let schema = relation.is_some().then(|| state.schema.clone());
        drop(state);
        let seq = durable.catalogue.write(&record)?;
        if let Some(schema) = schema {
            *durable.schema.lock() = schema;
        }
        writer.untold.relations.retain(|(at, _)| *at > lsn);
        writer.untold.lost.clear();
        writer.untold.stale.clear();
        writer.untold.acked = Some(seq);
        writer.acked = lsn;
        Ok(())
    }

    /// Waits until a record is as durable as was asked for.
    pub(crate) fn make_durable(&self, told: Option<u64>) -> Result<(), Error> {
        match (&self.durable, told) {
            (Some(durable), Some(seq)) => Ok(durable.catalogue.acknowledge(seq)?),
            _ => Ok(()),
        }
    }

    /// Whether the router lies in a directory, so that what changes it may wait for a disk.
    pub fn is_durable(&self) -> bool {
        self.durable.is_some()
    }

    /// Whether a call that changes the router may wait for a disk.
    pub fn may_wait(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| !durable.catalogue.holds_back())
    }

    /// Copies the router into an empty directory, as it is now; the copy can be opened. What is written
    /// meanwhile is not in it.
    ///
    /// # Errors
    /// [`Error::InMemory`]; [`Error::Storage`] where the directory is not empty, or cannot be written.
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<Copied, Error> {
        self.snapshot_into(&Directory::open(path)?)
    }

    /// As [`Router::snapshot`], wherever the files are to lie.
    ///
    /// # Errors
    /// As [`Router::snapshot`].
    pub fn snapshot_into(&self, target: &dyn Storage) -> Result<Copied, Error> {
        let durable = self.durable.as_ref().ok_or(Error::InMemory)?;
        Ok(durable.catalogue.copy_into(target)?)
    }

    /// What the router would have written since this was last asked, where it was opened with
    /// [`Options::hold_back`]: records and their numbers, ascending. The caller makes them durable, then
    /// [releases](Router::release) them.
    pub fn held_back(&self) -> Vec<(u64, Vec<u8>)> {
        self.durable.as_ref().map_or_else(Vec::new, |durable| durable.catalogue.held_back())
    }

    /// Writes the records up to this number to the directory: they are durable elsewhere.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn release(&self, upto: u64) -> Result<(), Error> {
        Ok(self.durable.as_ref().map_or(Ok(()), |durable| durable.catalogue.release(upto))?)
    }

    /// Makes durable what was written to the directory. In memory there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.durable.as_ref().map_or(Ok(()), |durable| durable.catalogue.sync())?)
    }

    /// Folds the journal of the directory into its snapshot now. In memory there is nothing to do.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub fn fold(&self) -> Result<(), Error> {
        Ok(self.durable.as_ref().map_or(Ok(()), |durable| durable.catalogue.fold())?)
    }
}

/// A router that has opened a snapshot and nothing else. `None`: a clause of it was refused.
fn derived(
    settings: &Config,
    manifest: &Manifest,
    snapshot: &Snapshot,
    go_on: &GoOn<'_>,
) -> Result<Option<Router>, lane_index::Error> {
    let Ok(router) = Router::declared(settings.clone(), manifest) else { return Ok(None) };
    let mut restore = Restore::new(&router, settings.making());
    snapshot.read_while(&mut restore, go_on)?;
    restore.settle();
    Ok(if restore.refused { None } else { Some(router) })
}

fn secret(hash_key: [u8; 16]) -> (u64, u64) {
    let both = u128::from_be_bytes(hash_key);
    ((both >> 64) as u64, both as u64)
}

/// Refuses what the directory cannot be opened as; the columns that are declared with another type.
fn compare(stored: &Declared, now: &Declared) -> Result<Vec<(String, String)>, Error> {
    let mismatch = |what: &str, stored: &dyn std::fmt::Debug, now: &dyn std::fmt::Debug| {
        Err(Error::Mismatch(format!("{what}: {stored:?} there, {now:?} asked for")))
    };
    if stored.schema.table != now.schema.table {
        return mismatch("table", &stored.schema.table, &now.schema.table);
    }
    if stored.primary_key != now.primary_key {
        return mismatch("primary key", &stored.primary_key, &now.primary_key);
    }
    if stored.time_zone != now.time_zone {
        return mismatch("time zone", &stored.time_zone, &now.time_zone);
    }
    if stored.ascii_case != now.ascii_case {
        return mismatch("ascii_case", &stored.ascii_case, &now.ascii_case);
    }
    let by_bytes = |d: &Declared| d.order_any_collation_by_bytes;
    if by_bytes(stored) != by_bytes(now) {
        return mismatch("order_any_collation_by_bytes", &by_bytes(stored), &by_bytes(now));
    }
    let names = |d: &Declared| -> Vec<String> {
        d.schema.columns.iter().map(|column| column.name.clone()).collect()
    };
    if stored.schema.open != now.schema.open {
        let told = |d: &Declared| {
            if d.schema.open { "learnt from clauses".to_owned() } else { names(d).join(", ") }
        };
        return mismatch("columns", &told(stored), &told(now));
    }
    let mut retyped = Vec::new();
    for column in &stored.schema.columns {
        let Some(found) = now.schema.columns.iter().find(|c| c.name == column.name) else {
            let what = format!("column {:?} is there, and not asked for", column.name);
            return Err(Error::Mismatch(what));
        };
        if found.ty != column.ty {
            let shown = |ty: &Option<StoredType>| {
                let ty: Option<ColumnType> = ty.as_ref().and_then(StoredType::column_type);
                ty.map_or_else(|| "no type".to_owned(), |ty| ty.to_string())
            };
            let (there, asked) = (shown(&column.ty), shown(&found.ty));
            let what = format!("column {:?}: {there} there, {asked} asked for", column.name);
            retyped.push((column.name.clone(), what));
        }
    }
    Ok(retyped)
}

/// What is declared now, its columns where they stood: what the catalogue says of a table names them by
/// their places. Those that are new come behind them, as [`Router::widen`] has them.
fn in_place(stored: &Declared, mut now: Declared) -> Declared {
    let place = |name: &str| stored.schema.columns.iter().position(|column| column.name == name);
    now.schema.columns.sort_by_key(|column| place(&column.name).unwrap_or(usize::MAX));
    now
}

/// Writes down what an acknowledgement does, by serials.
struct Ledger<'s> {
    shapes: &'s Shapes,
    record: AckWriter,
}

impl Account for Ledger<'_> {
    fn held(&mut self, key: KeyHash, slot: Slot, held: Option<Held>) {
        if let Some(shape) = self.shapes.get(slot) {
            self.record.held(key, shape.serial, held);
        }
    }

    fn truncate(&mut self, spared: &[Slot]) {
        let serial = |&slot: &Slot| self.shapes.get(slot).map(|shape| shape.serial);
        let mut spared: Vec<u64> = spared.iter().filter_map(serial).collect();
        spared.sort_unstable();
        // Shapes that are written down and not visible yet come after it.
        self.record.truncate(self.shapes.serial() + 1, &spared);
    }
}

/// Makes a router what its catalogue says: the shapes that came before anything was changed all at
/// once, then what happened to them, as it happened.
struct Restore<'r> {
    router: &'r Router,
    /// Shapes only came so far: the indexes are loaded, and looked up by nobody.
    loading: bool,
    making: Making,
    /// The serials of the shapes that came; each has its place here as its slot.
    serials: Vec<u64>,
    /// How many shapes since the last upkeep.
    at: usize,
    /// No serial below this is given again.
    next: u64,
    /// A clause was refused of a shape that is not stale.
    refused: bool,
}

impl<'r> Restore<'r> {
    fn new(router: &'r Router, making: Making) -> Self {
        {
            let mut state = router.state.write();
            state.conditions.begin_load();
            state.base = Base::loading();
        }
        Self { router, loading: true, making, serials: Vec::new(), at: 0, next: 0, refused: false }
    }

    fn slot(&self, serial: u64) -> Option<Slot> {
        // Where no shape was ever removed, a serial is its place.
        let guess = serial.checked_sub(*self.serials.first()?)?;
        let guess = usize::try_from(guess).ok()?;
        let at = match self.serials.get(guess) {
            Some(found) if *found == serial => guess,
            _ => self.serials.binary_search(&serial).ok()?,
        };
        Some(at as Slot)
    }

    fn live_slot(&self, serial: u64) -> Option<Slot> {
        let slot = self.slot(serial)?;
        let state = self.router.state.read();
        state.shapes.get(slot).is_some_and(|shape| shape.serial == serial).then_some(slot)
    }

    /// Looks again at all shapes that could be filed otherwise: the first ones were filed when nobody
    /// knew how many the others would be.
    fn refile(&self) {
        let mut left = self.router.state.read().shapes.choices();
        while left > 0 {
            left -= self.router.state.write().refile(left.min(LOCKED_SHAPES)).min(left);
        }
    }
}

impl Replay for Restore<'_> {
    fn load(&mut self, indexes: &StoredIndexes<'_>) -> Result<bool, lane_index::Error> {
        let schema = self.router.state.read().schema.clone();
        let loaded = Loaded::read(indexes, &mut self.router.adder.lock(), &schema, self.making)?;
        let mut state = self.router.state.write();
        (state.shapes, state.conditions) = (loaded.shapes, loaded.conditions);
        state.base = loaded.base;
        self.serials = loaded.serials;
        self.loading = false;
        Ok(true)
    }

    fn settle(&mut self) {
        if !std::mem::replace(&mut self.loading, false) {
            return;
        }
        {
            let mut state = self.router.state.write();
            state.conditions.end_load();
            state.base.end_load(self.making);
        }
        self.refile();
    }

    fn schema(&mut self, schema: StoredSchema) {
        if let Some(schema) = schema.schema() {
            self.router.state.write().schema = Arc::new(schema);
        }
    }

    fn relation(&mut self, change: RelationChange) {
        let RelationChange { relation, schema, key_columns } = change;
        self.schema(schema);
        let mut state = self.router.state.write();
        state.relation = Some(relation);
        state.key_columns = key_columns;
    }

    fn acked(&mut self, lsn: u64) {
        let mut writer = self.router.writer.lock();
        writer.acked = writer.acked.max(lsn);
    }

    fn serials_below(&mut self, next: u64) {
        // Told before the shapes are: only those to come must be above it.
        self.next = self.next.max(next);
    }

    fn shape(&mut self, shape: &StoredShape<'_>) {
        let mut compiler = self.router.adder.lock();
        let mut guard = self.router.state.write();
        let state = &mut *guard;
        let State { sets, schema, .. } = state;
        let mut open = |subquery: &Subquery, columns| sets.open(subquery, columns);
        let types = self.router.item_types.as_ref();
        let mut asked = Asked { open: &mut open, types, told: Vec::new() };
        let compile = |text| compiler.compile_with_sets(text, schema, shape.params, &mut asked);
        let (predicate, fails) = match shape.clause.map(compile) {
            None => (None, false),
            Some(Ok(compiled)) => (Some(compiled.predicate), false),
            // One clause that this version refuses must not keep all others away: the shape is
            // included in everything, until it is removed.
            Some(Err(_)) => (None, true),
        };
        let uses_sets = predicate.as_ref().is_some_and(|p| p.by_ref().uses_sets());
        // Slots are not used again before the first purge, so each gets the next one.
        let slot = state.shapes.reserve(shape.id);
        state.shapes.skip_serials(shape.serial.saturating_sub(1));
        let prepared = Prepared {
            id: shape.id,
            predicate,
            keys: shape.known.then(Vec::new),
            snapshot: shape.snapshot.cloned(),
            enrolled: None,
        };
        state.publish_stored(slot, prepared, shape.stale || fails);
        // The numbers of sets are not those of another process: what is derived is not stored.
        self.refused |= (fails && !shape.stale) || uses_sets;
        self.serials.push(shape.serial);
        self.at += 1;
        if self.at == LOCKED_SHAPES {
            self.at = 0;
            if !self.loading {
                state.refile(REFILED * LOCKED_SHAPES);
            }
            drop(guard);
            upkeep::run(&self.router.state);
        }
    }

    fn removed(&mut self, serial: u64) {
        let Some(slot) = self.live_slot(serial) else { return };
        self.router.state.write().remove(slot, 0);
    }

    fn lost_track(&mut self, serial: u64) {
        if let Some(slot) = self.live_slot(serial) {
            self.router.state.write().shapes.lose_track(slot);
        }
    }

    fn stale(&mut self, serial: u64) {
        let Some(slot) = self.live_slot(serial) else { return };
        let mut state = self.router.state.write();
        if state.shapes.get(slot).is_some_and(|shape| !shape.stale) {
            state.unfile(slot);
            state.shapes.make_stale(slot);
        }
    }

    fn held(&mut self, key: u128, serial: u64, held: Option<Held>) {
        if self.loading {
            // Nothing was said of it before.
            if let (Some(slot), Some(held)) = (self.slot(serial), held) {
                self.router.state.write().base.load(key, slot, held);
            }
            return;
        }
        let Some(slot) = self.live_slot(serial) else { return };
        let mut state = self.router.state.write();
        match held {
            Some(held) => state.base.set(key, slot, held),
            None => state.base.unset(key, slot),
        }
    }

    fn truncated(&mut self, below: u64, spared: &[u64]) {
        let later = self.serials.partition_point(|serial| *serial < below);
        let mut kept: Vec<Slot> = (later..self.serials.len()).map(|at| at as Slot).collect();
        kept.extend(spared.iter().filter_map(|serial| self.live_slot(*serial)));
        kept.sort_unstable();
        kept.dedup();
        self.router.state.write().base.clear_but(&kept);
    }
}
