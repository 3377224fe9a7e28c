//! [`Parallel`]: one step's independent parts on more than one thread, where there is enough to do.
//!
//! The threads are one small pool of the process, however many circuits it has: the host has schedulers
//! of its own to run. Whoever steps takes parts as they come, as do those of the pool that are awake by
//! then. It never waits for a thread to begin, only for parts that are begun: on a busy machine a thread
//! may be woken ten milliseconds late, when there is nothing left to do.

mod help;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The most threads that work on one step, the caller's among them.
const MOST_THREADS: usize = 4;

/// From so many rows on to look at, threads are worth waking.
const ROWS: usize = 10_000;

/// How many parts there are for each thread, so that none waits long for another.
const PARTS: usize = 8;

/// How work is shared out.
pub(crate) struct Parallel {
    /// From so many rows on there is enough to do.
    pub rows: usize,
}

impl Default for Parallel {
    fn default() -> Parallel {
        Parallel { rows: ROWS }
    }
}

/// The pool, with one thread fewer than may work; `None` where there is only one processor, or the
/// system gives no thread.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let start = || {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = processors.min(MOST_THREADS).checked_sub(1).filter(|more| *more > 0)?;
        let name = |at| format!("view_circuit-{at}");
        ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build().ok()
    };
    POOL.get_or_init(start).as_ref()
}

impl Parallel {
    /// Is it worth waking threads for so many rows?
    pub fn pays(&self, rows: impl FnOnce() -> usize) -> bool {
        self.rows < usize::MAX && rows() >= self.rows && pool().is_some()
    }

    /// What `each` makes of the items, in their order. The caller's thread uses `own`, others what
    /// `another` makes.
    pub fn map<T: Sync, S, R: Send>(
        &self,
        items: &[T],
        own: &mut S,
        another: impl Fn() -> S + Sync,
        each: impl Fn(&T, &mut S) -> R + Sync,
    ) -> Vec<R> {
        let Some(pool) = pool() else { return items.iter().map(|item| each(item, own)).collect() };
        let threads = pool.current_num_threads() + 1;
        let part = items.len().div_ceil(threads * PARTS).max(1);
        let parts: Vec<&[T]> = items.chunks(part).collect();
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Vec<R>)>> = Mutex::new(Vec::with_capacity(parts.len()));
        let run = |state: &mut S| {
            while let at = next.fetch_add(1, Ordering::Relaxed)
                && let Some(part) = parts.get(at)
            {
                let made = part.iter().map(|item| each(item, state)).collect();
                done.lock().unwrap_or_else(PoisonError::into_inner).push((at, made));
            }
        };
        let is_left = || next.load(Ordering::Relaxed) < parts.len();
        let help = || {
            if is_left() {
                run(&mut another());
            }
        };
        help::with_helpers(threads - 1, |job| pool.spawn(job), &help, || run(own));
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(at, _)| *at);
        done.into_iter().flat_map(|(_, made)| made).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order() {
        for count in [0, 1, 2, 7, 100, 5_000] {
            let items: Vec<usize> = (0..count).collect();
            let mut calls = 0;
            let each = |item: &usize, _: &mut usize| item * 2;
            let made = Parallel { rows: 0 }.map(&items, &mut calls, || 0, each);
            assert_eq!(made, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
