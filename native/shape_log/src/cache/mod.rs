//! The newest operations of each shape, in memory.
//!
//! A cache answers "everything after X" exactly when it has all of it: when X is at or behind its *floor*,
//! the offset just before its oldest operation, and not behind its newest. It is fed with what is durable,
//! in ascending order, and evicts from the old end only, so that what it has is without a gap.
//!
//! Operations lie back to back in a few blocks, separated by commas already: an answer is one or two
//! copies of bytes. Readers take no lock. Caches of one [`CachePool`] share a budget.
//!
//! ```
//! use shape_log::cache::{CacheOptions, CachePool};
//! use shape_log::Offset;
//!
//! # fn main() -> Result<(), shape_log::Error> {
//! let pool = CachePool::new(CacheOptions::default())?;
//! let cache = pool.cache(Offset::new(7, 0));
//! let now = 0; // milliseconds of a clock that does not go back
//! cache.append(&[(Offset::new(8, 0), b"{\"a\":1}"), (Offset::new(8, 1), b"{\"a\":2}")], now)?;
//!
//! let answer = cache.read_since(Offset::new(7, 0), 100, now).expect("it is at the floor");
//! assert_eq!(answer.to_vec(), b"[{\"a\":1},{\"a\":2}]");
//! assert_eq!(answer.last(), Offset::new(8, 1));
//! assert!(cache.read_since(Offset::new(6, 0), 100, now).is_none());
//! # Ok(())
//! # }
//! ```

mod block;
mod pool;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use block::{Block, OVERHEAD};
pub use pool::{CacheOptions, CachePool};
pub use view::Answer;
use view::View;

use crate::{Error, Offset};

/// No block is made smaller; a larger one may only hold one operation that is larger itself.
const BLOCK: std::ops::RangeInclusive<usize> = 512..=64 << 10;

/// The newest operations of one shape. Clones are the same cache.
#[derive(Clone)]
pub struct OperationCache(Arc<Inner>);

struct Inner {
    pool: CachePool,
    view: ArcSwap<View>,
    writer: Mutex<Writer>,
    /// When it was read or written last.
    used: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What only a writer looks at.
struct Writer {
    newest: Offset,
    now: u64,
    /// Operations that are not evicted, and the bytes of their JSON.
    count: usize,
    bytes: usize,
    /// What the blocks take of the budget.
    allocated: usize,
    evicted: u64,
    /// Whether the pool knows that there is something to evict.
    listed: bool,
}

/// What a cache holds, and how often it could answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStats {
    /// Operations.
    pub size: usize,
    /// Bytes of their JSON.
    pub bytes: usize,
    /// What they take of the budget.
    pub allocated_bytes: usize,
    /// The offset just before the oldest operation; from here on everything is answered.
    pub floor: Offset,
    /// The oldest operation.
    pub oldest_offset: Option<Offset>,
    /// The newest operation that there ever was; the floor before the first one.
    pub newest_offset: Offset,
    /// Reads that were answered.
    pub hit_count: u64,
    /// Reads that were not.
    pub miss_count: u64,
    /// Operations that were evicted.
    pub evict_count: u64,
}

impl CacheStats {
    /// Which part of the reads was answered; 0 before the first one.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        match self.hit_count + self.miss_count {
            0 => 0.0,
            reads => self.hit_count as f64 / reads as f64,
        }
    }
}

impl OperationCache {
    /// Takes operations that are durable, ascending and behind all that came before; all or none.
    /// Readers that are faster may see the first of them before the last. `now`, here and elsewhere, is
    /// in milliseconds, of a clock of the caller's that all calls share.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`].
    pub fn append(&self, operations: &[(Offset, &[u8])], now: u64) -> Result<(), Error> {
        let inner = &*self.0;
        let mut writer = inner.writer.lock();
        let mut last = writer.newest;
        for &(offset, _) in operations {
            if offset <= last {
                return Err(Error::OutOfOrder { last, offset });
            }
            last = offset;
        }
        writer.now = writer.now.max(now);
        inner.touch(writer.now);
        writer.newest = last;
        inner.add(&mut writer, operations);
        if writer.allocated > 0 && !writer.listed {
            writer.listed = true;
            inner.pool.list(&self.0, writer.now);
        }
        drop(writer);
        inner.pool.evict_over_budget();
        Ok(())
    }

    /// Up to `limit` operations behind `offset`; `None` where they are not all here.
    #[must_use]
    pub fn read_since(&self, offset: Offset, limit: usize, now: u64) -> Option<Answer> {
        let inner = &*self.0;
        inner.touch(now);
        let view = inner.view.load();
        let reaches = offset >= view.oldest(inner.pool.options().expired(now)).floor;
        let answer = if reaches { Answer::new(view, offset, limit) } else { None };
        let counter = if answer.is_some() { &inner.hits } else { &inner.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// Whether [`OperationCache::read_since`] would answer from this offset on, as far as its oldest operation
    /// goes. Nothing is counted.
    #[must_use]
    pub fn reaches(&self, offset: Offset, now: u64) -> bool {
        let inner = &*self.0;
        offset >= inner.view.load().oldest(inner.pool.options().expired(now)).floor
    }

    /// Evicts what is at or before `offset`, and nothing that would be behind it is missed: a cache that
    /// did not come so far starts anew there. Needed before entries up to `offset` are served in another
    /// form than they had when they came here.
    pub fn evict_through(&self, offset: Offset) {
        let inner = &*self.0;
        let mut writer = inner.writer.lock();
        if offset > writer.newest {
            inner.clear(&mut writer, offset);
        } else {
            inner.evict(&mut writer, |_, held, number| held.offset(number) <= offset);
        }
    }

    /// What is held at this time.
    #[must_use]
    pub fn stats(&self, now: u64) -> CacheStats {
        let inner = &*self.0;
        let mut writer = inner.writer.lock();
        writer.now = writer.now.max(now);
        inner.evict_by_bounds(&mut writer);
        let view = inner.view.load();
        let oldest = view.oldest(None);
        CacheStats {
            size: writer.count,
            bytes: writer.bytes,
            allocated_bytes: writer.allocated,
            floor: oldest.floor,
            oldest_offset: oldest
                .place
                .map(|(block, number)| view.blocks[block].published().offset(number)),
            newest_offset: writer.newest,
            hit_count: inner.hits.load(Ordering::Relaxed),
            miss_count: inner.misses.load(Ordering::Relaxed),
            evict_count: writer.evicted,
        }
    }
}

impl Inner {
    fn new(pool: CachePool, floor: Offset) -> Self {
        Self {
            pool,
            view: ArcSwap::from_pointee(View::empty(floor)),
            writer: Mutex::new(Writer {
                newest: floor,
                now: 0,
                count: 0,
                bytes: 0,
                allocated: 0,
                evicted: 0,
                listed: false,
            }),
            used: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Readers that come in the same millisecond leave the line alone.
    fn touch(&self, now: u64) {
        if self.used.load(Ordering::Relaxed) < now {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    fn add(&self, writer: &mut Writer, operations: &[(Offset, &[u8])]) {
        let options = self.pool.options();
        // What the bounds would evict at once is not copied, and then nothing older stays either.
        let mut bytes = 0;
        let fits = operations.iter().rev().take(options.max_operations).take_while(|(_, json)| {
            bytes += json.len();
            bytes <= options.max_bytes
        });
        let skipped = operations.len() - fits.count();
        let (gone, mut left) = operations.split_at(skipped);
        if let Some(&(floor, _)) = gone.last() {
            self.clear(writer, floor);
            self.count_evicted(writer, gone.len());
        }
        let view = self.view.load();
        let mut blocks = Vec::new();
        let mut floor = view.newest();
        let mut open = view.blocks.last();
        while let Some((&(offset, json), rest)) = left.split_first() {
            // SAFETY: the lock on the writer is held.
            if !open.is_some_and(|block| unsafe { block.push(offset, json, writer.now) }) {
                let block = Arc::new(Block::new(block_size(writer, left), floor, writer.now));
                writer.allocated += block.allocated();
                self.pool.take(block.allocated());
                blocks.push(block);
                open = blocks.last();
                continue;
            }
            writer.count += 1;
            writer.bytes += json.len();
            floor = offset;
            left = rest;
        }
        if !blocks.is_empty() {
            let blocks = view.blocks.iter().cloned().chain(blocks).collect();
            self.view.store(Arc::new(View { floor: view.floor, blocks }));
        }
        drop(view);
        self.evict_by_bounds(writer);
    }

    /// Forgets everything: the next operation is the first one behind `floor`.
    fn clear(&self, writer: &mut Writer, floor: Offset) {
        self.count_evicted(writer, writer.count);
        (writer.count, writer.bytes) = (0, 0);
        writer.newest = writer.newest.max(floor);
        self.replace(writer, View::empty(floor));
    }

    fn count_evicted(&self, writer: &mut Writer, count: usize) {
        writer.evicted += count as u64;
        self.pool.count_evicted(count);
    }

    fn evict_by_bounds(&self, writer: &mut Writer) {
        let options = self.pool.options();
        let expired = options.expired(writer.now);
        self.evict(writer, |writer, held, number| {
            writer.count > options.max_operations
                || writer.bytes > options.max_bytes
                || expired.is_some_and(|time| held.time(number) <= time)
        });
    }

    /// Evicts from the old end as long as that must be; the second argument of `must` has the oldest
    /// operation, with the number that is the third.
    fn evict(
        &self,
        writer: &mut Writer,
        must: impl Fn(&Writer, &block::Published<'_>, usize) -> bool,
    ) {
        let view = self.view.load();
        let (mut empty, mut floor) = (0, view.floor);
        for block in &view.blocks {
            let held = block.published();
            let before = block.evicted();
            let mut gone = before;
            while gone < held.len() && must(writer, &held, gone) {
                writer.count -= 1;
                writer.bytes -= held.size(gone);
                gone += 1;
            }
            if gone > before {
                self.count_evicted(writer, gone - before);
                block.set_evicted(gone);
            }
            if gone < held.len() {
                break;
            }
            (empty, floor) = (empty + 1, held.offset(gone - 1));
        }
        if empty > 0 {
            let blocks = view.blocks[empty..].iter().cloned().collect();
            drop(view);
            self.replace(writer, View { floor, blocks });
        }
    }

    /// Evicts the oldest block; whether there is another one.
    fn evict_block(&self, writer: &mut Writer) -> bool {
        let view = self.view.load();
        if let Some(block) = view.blocks.first() {
            let held = block.published();
            let last = held.offset(held.len() - 1);
            self.evict(writer, |_, held, number| held.offset(number) <= last);
        }
        drop(view);
        !self.view.load().blocks.is_empty()
    }

    /// Readers that have the view before keep its blocks as long as they read.
    fn replace(&self, writer: &mut Writer, view: View) {
        let allocated = view.blocks.iter().map(|block| block.allocated()).sum();
        self.pool.give_back(writer.allocated - allocated);
        writer.allocated = allocated;
        self.view.store(Arc::new(view));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let writer = self.writer.get_mut();
        self.pool.give_back(writer.allocated);
        if writer.listed {
            self.pool.unlist();
        }
    }
}

/// The size of a block for these operations. It grows with what the cache holds, so that of a block that
/// is half evicted only a part of the cache is wasted, and that a quiet shape takes little.
fn block_size(writer: &Writer, operations: &[(Offset, &[u8])]) -> usize {
    let held = (writer.bytes + writer.count * OVERHEAD) / 8;
    let mut needed = operations.iter().map(|(_, json)| json.len() + OVERHEAD);
    let first = needed.next().unwrap_or(0);
    let mut all = first;
    for next in needed {
        all += next;
        if all >= *BLOCK.end() {
            break;
        }
    }
    held.max(all).clamp(*BLOCK.start(), *BLOCK.end()).max(first)
}
