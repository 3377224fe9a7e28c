//! What caches take: many of them, mostly empty, and beside the bytes of what they hold.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use shape_log::Offset;
use shape_log::cache::{CacheOptions, CachePool};

static HELD: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, with the bytes counted that are held.
struct Counting;

// SAFETY: every call is handed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// One test, since others would allocate beside it.
#[test]
fn caches_take_little() {
    let pool = CachePool::new(CacheOptions::default()).expect("options");
    let mut caches = Vec::with_capacity(50_000);
    let before = held();
    caches.extend((0..50_000).map(|number| pool.cache(Offset::new(number, 0))));
    let empty = (held() - before) / caches.len();
    assert!(empty <= 256, "{empty} bytes an empty cache");

    // One small operation each.
    let before = held();
    for (cache, number) in caches.iter().zip(0..) {
        cache.append(&[(Offset::new(number, 1), &[b'1'; 100])], 0).expect("append");
    }
    let small = (held() - before) / caches.len();
    assert!(small <= 800, "{small} bytes a cache with one operation of 100");
    // The pool knows what it is, but for the list of blocks.
    let known = pool.allocated_bytes() / caches.len();
    assert!(known <= small && small - known < 160, "{known} of {small}");

    // Full ones, for whom operations came and went.
    for size in [20, 200, 2_000] {
        let json = vec![b'1'; size];
        let cache = pool.cache(Offset::ZERO);
        let before = held();
        for number in 1..=10_000 {
            cache.append(&[(Offset::new(number, 0), &json)], 0).expect("append");
        }
        let stats = cache.stats(0);
        assert_eq!(stats.size, 1_000);
        let overhead = (held() - before - stats.bytes) as f64 / stats.size as f64;
        // The slot and the comma, and blocks that are half evicted.
        let bound = 35.0 + 0.25 * (size + 25) as f64;
        assert!(overhead <= bound, "{overhead} bytes an operation of {size}");
        println!("{size}: {overhead:.0} bytes an operation; empty {empty}, with one {small}");
    }
    drop(caches);
    pool.expire(1_000_000);
    assert_eq!(pool.allocated_bytes(), 0);
}
