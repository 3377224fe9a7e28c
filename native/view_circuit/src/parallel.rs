//! [`Parallel`]: one step's independent parts on more than one thread, where there is enough to do.
//!
//! The threads are one small pool of the process, however many circuits it has: the host has schedulers
//! of its own to run. Whoever steps does a share of the work itself.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The most threads that work on one step, the caller's among them.
const MOST_THREADS: usize = 4;

/// From so many rows on to look at, threads are worth waking.
const ROWS: usize = 1_000;

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
        let run = |part: &[T], state: &mut S| -> Vec<R> {
            part.iter().map(|item| each(item, state)).collect()
        };
        let Some(pool) = pool() else { return run(items, own) };
        let part = items.len().div_ceil(pool.current_num_threads() + 1).max(1);
        let mut parts = items.chunks(part);
        let first = parts.next().unwrap_or_default();
        let mut others: Vec<(&[T], Vec<R>)> = parts.map(|part| (part, Vec::new())).collect();
        let mut done = Vec::new();
        pool.in_place_scope(|scope| {
            for (part, result) in &mut others {
                let (run, another) = (&run, &another);
                scope.spawn(move |_| *result = run(part, &mut another()));
            }
            done = run(first, own);
        });
        done.extend(others.into_iter().flat_map(|(_, result)| result));
        done
    }
}
