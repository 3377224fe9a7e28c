//! What caches share: their bounds, and a budget of bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Inner, OperationCache};
use crate::{Error, Offset};

/// The bounds of caches. All hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// How many operations a cache holds at most. Default: 1000.
    pub max_operations: usize,
    /// How many bytes of JSON a cache holds at most; up to 1 GiB. Default: 4 MiB.
    pub max_bytes: usize,
    /// How old an operation gets, in milliseconds; `None`: any age. Default: 60,000.
    pub ttl_ms: Option<u64>,
    /// How many bytes all caches of a pool take at most, their own structure not counted. Default:
    /// 256 MiB.
    pub budget: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { max_operations: 1000, max_bytes: 4 << 20, ttl_ms: Some(60_000), budget: 256 << 20 }
    }
}

/// The longest cache, since places in a block are numbers of 32 bits.
const MAX_BYTES: usize = 1 << 30;

impl CacheOptions {
    /// Operations that came at or before this time are too old now.
    pub(super) fn expired(&self, now: u64) -> Option<u64> {
        now.checked_sub(self.ttl_ms?)
    }
}

/// Makes caches, and evicts from the one that was not used for the longest time where they take more than
/// the budget. Clones are the same pool.
#[derive(Clone)]
pub struct CachePool(Arc<Pool>);

struct Pool {
    options: CacheOptions,
    /// What all blocks take.
    taken: AtomicUsize,
    /// Listed caches that are gone.
    dead: AtomicUsize,
    /// Operations that were evicted, from all caches.
    evicted: AtomicU64,
    /// The caches that have blocks. Readers never wait for it.
    listed: Mutex<BinaryHeap<Reverse<Listed>>>,
}

/// A cache that can be evicted from. It was used at this time or later: readers do not touch the list,
/// so what the time was is looked at when it is the oldest one.
struct Listed {
    used: u64,
    cache: Weak<Inner>,
}

impl PartialEq for Listed {
    fn eq(&self, other: &Self) -> bool {
        self.used == other.used
    }
}
impl Eq for Listed {}
impl PartialOrd for Listed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Listed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.used.cmp(&other.used)
    }
}

impl CachePool {
    /// A pool without caches.
    ///
    /// # Errors
    /// [`Error::Storage`] with [`lane_index::Error::BadOption`].
    pub fn new(options: CacheOptions) -> Result<Self, Error> {
        if options.max_bytes > MAX_BYTES {
            let what = format!("{} is more than {MAX_BYTES}", options.max_bytes);
            return Err(lane_index::Error::BadOption { option: "max_bytes", what }.into());
        }
        Ok(Self(Arc::new(Pool {
            options,
            taken: AtomicUsize::new(0),
            dead: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
            listed: Mutex::default(),
        })))
    }

    /// An empty cache of a shape whose log is durable up to `floor`.
    #[must_use]
    pub fn cache(&self, floor: Offset) -> OperationCache {
        OperationCache(Arc::new(Inner::new(self.clone(), floor)))
    }

    /// How many operations were evicted from all caches that there were.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.0.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn count_evicted(&self, count: usize) {
        self.0.evicted.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The bounds.
    #[must_use]
    pub fn options(&self) -> &CacheOptions {
        &self.0.options
    }

    /// How many bytes all caches take now.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// Evicts what is too old, of all caches; to be called now and then, since a cache that nobody writes
    /// to only gives back its memory here. It looks at each cache that has operations.
    pub fn expire(&self, now: u64) {
        let mut listed = self.0.listed.lock();
        let all = std::mem::take(&mut *listed);
        *listed = all
            .into_iter()
            .filter(|Reverse(entry)| {
                let Some(cache) = entry.cache.upgrade() else { return false };
                match cache.writer.try_lock() {
                    // Somebody writes to it, who evicts what is old himself.
                    None => true,
                    Some(mut writer) => {
                        writer.now = writer.now.max(now);
                        cache.evict_by_bounds(&mut writer);
                        writer.listed = writer.allocated > 0;
                        writer.listed
                    }
                }
            })
            .collect();
    }

    pub(super) fn take(&self, bytes: usize) {
        self.0.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.0.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes a cache into the list; its writer's lock is held.
    pub(super) fn list(&self, cache: &Arc<Inner>, used: u64) {
        let mut listed = self.0.listed.lock();
        let dead = self.0.dead.load(Ordering::Relaxed);
        if dead * 2 > listed.len() + 64 {
            listed.retain(|Reverse(entry)| entry.cache.strong_count() > 0);
            self.0.dead.fetch_sub(dead, Ordering::Relaxed);
        }
        listed.push(Reverse(Listed { used, cache: Arc::downgrade(cache) }));
    }

    /// A cache of the list is gone.
    pub(super) fn unlist(&self) {
        self.0.dead.fetch_add(1, Ordering::Relaxed);
    }

    /// No writer's lock is held.
    pub(super) fn evict_over_budget(&self) {
        if self.allocated_bytes() <= self.0.options.budget {
            return;
        }
        let mut listed = self.0.listed.lock();
        // Caches that are just written to are left out; where all are, the next append goes on.
        let mut tries = 2 * listed.len() + 1;
        while self.allocated_bytes() > self.0.options.budget && tries > 0 {
            let Some(Reverse(mut entry)) = listed.pop() else { return };
            let Some(cache) = entry.cache.upgrade() else { continue };
            let used = cache.used.load(Ordering::Relaxed);
            if used > entry.used {
                entry.used = used;
                tries -= 1;
                listed.push(Reverse(entry));
                continue;
            }
            let Some(mut writer) = cache.writer.try_lock() else {
                entry.used = entry.used.saturating_add(1);
                tries -= 1;
                listed.push(Reverse(entry));
                continue;
            };
            if cache.evict_block(&mut writer) {
                listed.push(Reverse(entry));
            } else {
                writer.listed = false;
            }
        }
    }
}
