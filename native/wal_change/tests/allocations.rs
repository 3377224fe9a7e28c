//! Routing a row allocates nothing once its memory is warm, whether it hits or misses.

mod support;

use bumpalo::Bump;
use pg_wal::decode::Streaming;
use shape_router::{Budget, GROUP, RouteOptions, Router, Scratch, ShapeSpec};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::{Old, Step, Table, Val, encode, relation, router};
use wal_change::{TableName, Target, WalDecoder};

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends allocates without its counter.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocated(run: impl FnOnce()) -> usize {
    let before = COUNT.get();
    run();
    COUNT.get() - before
}

fn row(user: i64) -> Vec<Val> {
    let text = |t: &str| Val::Text(t.into());
    vec![text("1"), text(&user.to_string()), text("a"), Val::Null, text("t")]
}

fn filled() -> Router {
    let router = router();
    let clauses: Vec<String> = (0..500).map(|user| format!("user_id = {user}")).collect();
    let specs = (0..).zip(&clauses).map(|(id, clause)| ShapeSpec::new(id, Some(clause)));
    router.add_shapes(specs).expect("shapes");
    router
}

struct Call<'c> {
    router: &'c Router,
    table: &'c TableName,
    decoder: WalDecoder,
    arena: Bump,
    scratch: Scratch,
}

impl Call<'_> {
    fn route(&mut self, bytes: &[u8]) -> usize {
        let target = Target { number: 1, table: self.table, router: self.router };
        let message = self.decoder.decode(bytes).expect("a message");
        self.decoder.prepare(&message, &target).expect("a known table");
        self.arena.reset();
        let change = self.decoder.change(&message, &target, &self.arena).expect("a known table");
        let mut change = change.expect("a row of the table");
        let (options, mut budget) = (RouteOptions::default(), Budget::slice());
        let change = change.as_change();
        self.router
            .route(&change, options, &mut self.scratch, &mut budget, None)
            .expect("an answer");
        self.scratch.routed().len()
    }
}

#[test]
fn a_rows_bytes_are_routed_without_an_allocation() {
    let (router, table) = (filled(), "todos".parse().expect("a name"));
    let mut decoder = WalDecoder::new(1, Streaming::Off).expect("a decoder");
    decoder.decode(&relation(&Table::plain(), support::OID, None)).expect("a table");
    let mut call = Call {
        router: &router,
        table: &table,
        decoder,
        arena: Bump::new(),
        scratch: <_>::default(),
    };
    let steps = [
        (Step::Insert(row(1_000)), 0),
        (Step::Insert(row(7)), 1),
        (Step::Update(Old::Full(row(7)), row(8)), 2),
        (Step::Delete(Old::Full(row(9))), 1),
    ];
    for (step, hits) in &steps {
        let bytes = encode(step, &Table::plain(), None);
        (0..3).for_each(|_| assert_eq!(call.route(&bytes), *hits));
        let count = allocated(|| (0..100).for_each(|_| assert_eq!(call.route(&bytes), *hits)));
        assert_eq!(count, 0, "{step:?}");
    }
}

#[test]
fn a_group_is_routed_without_an_allocation() {
    let router = filled();
    let rows: Vec<_> = (0..GROUP as i64)
        .map(|n| vec![shape_expr::Datum::Int(1), shape_expr::Datum::Int(n * 100)])
        .collect();
    let changes: Vec<_> = rows
        .iter()
        .map(|row| shape_router::Change {
            new: Some(row),
            ..shape_router::Change::new(shape_router::Op::Insert)
        })
        .collect();
    let (mut scratch, mut hits) = (Scratch::default(), 0);
    let mut route = || {
        let (options, mut budget) = (RouteOptions::default(), Budget::slice());
        let answered = router.route_group(&changes, options, &mut scratch, &mut budget, |answer| {
            hits += answer.routed.len();
        });
        assert_eq!(answered.expect("answers"), GROUP);
    };
    (0..3).for_each(|_| route());
    assert_eq!(allocated(|| (0..100).for_each(|_| route())), 0);
    assert_eq!(hits, 103 * 5, "of users 0, 100 ... 1500 there are five");
}
