//! The hot path allocates nothing: neither on the heap nor, for what needs no decoding, in the arena.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bumpalo::Bump;
use common::{compiler, schema};
use shape_expr::{Datum, Row, Vm};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is the system allocator's, with what was given.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as for this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as for this function.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn evaluation_allocates_nothing() {
    let schema = schema(&[
        ("a", "int8"),
        ("s", "text"),
        ("n", "numeric"),
        ("j", "jsonb"),
        ("d", "timestamptz"),
        ("b", "bool"),
        ("u", "uuid"),
    ]);
    let many: Vec<String> = (0..100).map(|i| (i * 7).to_string()).collect();
    let clauses = [
        "a = 5".to_owned(),
        "a = 42 AND s = 'open'".to_owned(),
        "a > 1 OR b".to_owned(),
        "a BETWEEN 3 AND 90 AND NOT b".to_owned(),
        "a IN (1, 2, 42)".to_owned(),
        format!("a IN ({})", many.join(",")),
        "s IN ('x', 'open', 'late')".to_owned(),
        "s = ANY ('{x,open}')".to_owned(),
        "s LIKE 'op%'".to_owned(),
        "s LIKE '%pe%'".to_owned(),
        "s NOT LIKE 'x%' AND s ^@ 'o'".to_owned(),
        "n > 10.5".to_owned(),
        "d >= '2024-01-01'".to_owned(),
        "u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'".to_owned(),
        "s IS NULL OR a IS NOT DISTINCT FROM 42".to_owned(),
        "length(s) > 3".to_owned(),
        "CASE WHEN a > 3 THEN s = 'open' ELSE b END".to_owned(),
        "j ->> 'k' = 'v'".to_owned(),
        "j ->> 'k' IN ('w', 'v')".to_owned(),
        "j @> '{\"k\": \"v\"}'".to_owned(),
        "j ? 'k'".to_owned(),
        "j -> 'm' = '7'".to_owned(),
    ];
    let data = vec![
        Datum::Text(b"42"),
        Datum::Text(b"open"),
        Datum::Text(b"19.99"),
        Datum::Text(b"{\"k\": \"v\", \"m\": 7}"),
        Datum::Text(b"2024-05-06 07:08:09+00"),
        Datum::Text(b"f"),
        Datum::Text(b"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ];
    let mut compiler = compiler();
    for clause in &clauses {
        let predicate = compiler.compile(clause, &schema, &[]).expect(clause).predicate;
        let again = predicate.clone();
        let mut arena = Bump::with_capacity(1 << 16);
        let mut vm = Vm::default();
        // Once for what is made on first use only.
        {
            let row = Row::new(&arena, &schema, &data);
            predicate.eval(&row, &mut vm).expect(clause);
        }
        arena.reset();
        let before = COUNT.with(Cell::get);
        let row = Row::new(&arena, &schema, &data);
        let first = predicate.eval(&row, &mut vm).expect(clause);
        let decoded = arena.allocated_bytes();
        let second = again.eval(&row, &mut vm).expect(clause);
        let after = COUNT.with(Cell::get);
        assert_eq!(after, before, "{clause} allocates");
        assert_eq!(arena.allocated_bytes(), decoded, "{clause} fills the arena");
        assert_eq!(first, second, "{clause}");
    }
}
