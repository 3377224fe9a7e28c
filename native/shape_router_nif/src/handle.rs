//! What Erlang holds: routers, cursors, predicates.

use crate::columns::ColumnKeys;
use parking_lot::Mutex;
use rustler::{Resource, ResourceArc};
use shape_expr::{Predicate, Schema};
use shape_router::{Cursor, Router, Scratch};
use std::cell::Cell;
use std::ops::Deref;
use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// A router, as Erlang holds it.
pub(crate) struct RouterHandle {
    /// Tells routers apart; never given twice.
    number: u64,
    pub router: Router,
    /// The names of its columns, and the version of the schema that they are of.
    keys: Mutex<(u64, Arc<ColumnKeys>)>,
}

#[rustler::resource_impl]
impl Resource for RouterHandle {}

// A panic while a lock is held leaves it unlocked (parking_lot does not poison), and every critical
// section of the router leaves a state that later calls can read.
impl RefUnwindSafe for RouterHandle {}

/// The names of the columns of the router that a thread served last.
struct Cached {
    number: u64,
    version: u64,
    keys: Arc<ColumnKeys>,
}

thread_local! {
    static KEYS: Cell<Option<Cached>> = const { Cell::new(None) };
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// A router's column names, on loan from the thread: no count that other threads share is touched.
pub(crate) struct Keys(Option<Cached>);

impl Deref for Keys {
    type Target = ColumnKeys;

    fn deref(&self) -> &ColumnKeys {
        static NONE: LazyLock<ColumnKeys> = LazyLock::new(ColumnKeys::none);
        self.0.as_ref().map_or(&NONE, |cached| &cached.keys)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        KEYS.set(self.0.take());
    }
}

impl RouterHandle {
    pub fn new(router: Router) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (schema, version) = router.schema();
        let keys = Mutex::new((version, Arc::new(ColumnKeys::new(&schema))));
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), router, keys }
    }

    /// The names of the router's columns.
    pub fn keys(&self) -> Keys {
        let version = self.router.schema_version();
        let fits = |cached: &Cached| cached.number == self.number && cached.version == version;
        Keys(Some(KEYS.take().filter(fits).unwrap_or_else(|| self.refreshed(version))))
    }

    fn refreshed(&self, version: u64) -> Cached {
        let mut keys = self.keys.lock();
        if keys.0 != version {
            let (schema, _) = self.router.schema();
            *keys = (version, Arc::new(ColumnKeys::new(&schema)));
        }
        Cached { number: self.number, version, keys: keys.1.clone() }
    }
}

/// Runs with this thread's scratch memory.
pub(crate) fn with_scratch<R>(run: impl FnOnce(&mut Scratch) -> R) -> R {
    SCRATCH.with(|cell| {
        // Taken, not borrowed: after a panic the next call simply makes a new one.
        let mut scratch = cell.take().unwrap_or_default();
        let result = run(&mut scratch);
        cell.set(Some(scratch));
        result
    })
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
