//! What Erlang holds: routers, cursors, predicates.

use crate::circuit::CircuitHandle;
use crate::columns::ColumnKeys;
use bumpalo::Bump;
use parking_lot::Mutex;
use rustler::{Resource, ResourceArc};
use shape_expr::{ColumnType, Predicate, Schema, Subquery};
use shape_router::{Cursor, ItemTypes, Router, Scratch};
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, RefUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use wal_change::{TableName, Target};

/// A router, as Erlang [holds](crate::direct) it.
pub(crate) struct RouterHandle {
    /// Tells routers apart; never given twice.
    number: u64,
    pub router: Router,
    /// Whose changes it routes: by name, as a connection announces it.
    table: TableName,
    /// The names of its columns, and the version of the schema that they are of.
    keys: Mutex<(u64, Arc<ColumnKeys>)>,
    /// What subqueries select.
    pub types: SubqueryTypes,
}

/// What subqueries select, by their texts, as far as it is told.
pub(crate) type SubqueryTypes = Arc<Mutex<HashMap<String, Vec<ColumnType>>>>;

/// What a router asks of it, and then of the circuit, if there is one, whose tables subqueries read.
pub(crate) fn item_types(
    circuit: Option<ResourceArc<CircuitHandle>>,
) -> (SubqueryTypes, ItemTypes) {
    let types = SubqueryTypes::default();
    let asked = AssertUnwindSafe((types.clone(), circuit));
    let tell = move |subquery: &Subquery| {
        // All of it is caught, not its fields alone.
        let asked = &asked;
        let (told, circuit) = &**asked;
        if let Some(types) = told.lock().get(&subquery.text) {
            return Ok(Some(types.clone()));
        }
        // What the circuit refuses has the types of what it is compared with: the host may feed it.
        let types = circuit.as_ref().and_then(|circuit| circuit.types_of(&subquery.text));
        if let Some(types) = &types {
            told.lock().insert(subquery.text.clone(), types.clone());
        }
        Ok(types)
    };
    (types, ItemTypes(Arc::new(tell)))
}

// A panic while a lock is held leaves it unlocked (parking_lot does not poison), and every critical
// section of the router leaves a state that later calls can read.
impl RefUnwindSafe for RouterHandle {}

/// The names of the columns of the router that a thread served last.
struct Cached {
    number: u64,
    version: u64,
    keys: Arc<ColumnKeys>,
}

/// What a thread's calls use again and again, so that a call allocates nothing.
#[derive(Default)]
pub(crate) struct Local {
    pub scratch: Scratch,
    arena: Bump,
    cached: Option<Cached>,
    calls: u32,
}

thread_local! {
    static LOCAL: Cell<Option<Box<Local>>> = const { Cell::new(None) };
}

impl Local {
    /// The names of a router's columns (without touching a count that other threads share), memory for
    /// what is read of a change, and for what is answered.
    pub fn parts(&mut self, handle: &RouterHandle) -> (&ColumnKeys, &Bump, &mut Scratch) {
        let version = handle.router.schema_version();
        let fits = |c: &Cached| c.number == handle.number && c.version == version;
        if !self.cached.as_ref().is_some_and(fits) {
            self.cached = None;
        }
        let cached = self.cached.get_or_insert_with(|| handle.refreshed(version));
        self.arena.reset();
        (&cached.keys, &self.arena, &mut self.scratch)
    }

    /// Whether this call is the one in 64 that telemetry is told of.
    pub fn is_sampled(&mut self) -> bool {
        self.calls = self.calls.wrapping_add(1);
        self.calls.is_multiple_of(64)
    }

    /// Memory for what is read of a change, and for what is answered.
    pub fn memory(&mut self) -> (&Bump, &mut Scratch) {
        self.arena.reset();
        (&self.arena, &mut self.scratch)
    }
}

/// Runs with what this thread keeps.
pub(crate) fn with_local<R>(run: impl FnOnce(&mut Local) -> R) -> R {
    /// What an unusually large change took is given back.
    const KEEP: usize = 1 << 18;
    LOCAL.with(|cell| {
        // Taken, not borrowed: after a panic the next call simply makes a new one.
        let mut local = cell.take().unwrap_or_default();
        let result = run(&mut local);
        if local.arena.allocated_bytes() > KEEP {
            local.arena = Bump::new();
        }
        cell.set(Some(local));
        result
    })
}

impl RouterHandle {
    pub fn new(router: Router, table: &str, types: SubqueryTypes) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (schema, version) = router.schema();
        let keys = Mutex::new((version, Arc::new(ColumnKeys::new(&schema))));
        // Text that is no name as SQL writes it is the table's name itself.
        let table = table.parse().unwrap_or_else(|_| TableName::new("public", table));
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), router, table, keys, types }
    }

    /// The names of the router's columns.
    pub fn keys(&self) -> Arc<ColumnKeys> {
        self.refreshed(self.router.schema_version()).keys
    }

    /// The router, as the target of a connection's changes.
    pub fn target(&self) -> Target<'_> {
        Target { number: self.number, table: &self.table, router: &self.router }
    }

    #[cold]
    fn refreshed(&self, version: u64) -> Cached {
        let mut keys = self.keys.lock();
        if keys.0 != version {
            let (schema, _) = self.router.schema();
            *keys = (version, Arc::new(ColumnKeys::new(&schema)));
        }
        Cached { number: self.number, version, keys: keys.1.clone() }
    }
}

/// Where an answer goes on; used once.
pub(crate) struct CursorHandle(Mutex<Option<Cursor>>);

#[rustler::resource_impl]
impl Resource for CursorHandle {}

impl RefUnwindSafe for CursorHandle {}

impl CursorHandle {
    pub fn wrap(cursor: Cursor) -> ResourceArc<Self> {
        ResourceArc::new(Self(Mutex::new(Some(cursor))))
    }

    pub fn take(&self) -> Option<Cursor> {
        self.0.lock().take()
    }
}

/// A compiled clause.
pub(crate) struct PredicateHandle {
    pub predicate: Predicate,
    pub schema: Schema,
    pub keys: ColumnKeys,
}

#[rustler::resource_impl]
impl Resource for PredicateHandle {}

impl RefUnwindSafe for PredicateHandle {}
