//! The threads that flush and merge: a few for all indexes of the process, started when first used.
//!
//! Not `rayon`'s global pool: a job here may run for seconds and wait for a disk, and must neither
//! starve nor be starved by a host's short parallel loops. Jobs can be put off, which serves as the
//! clock of retries and age triggers.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

const MAX_THREADS: usize = 4;

type Work = Box<dyn FnOnce() + Send>;

struct Job {
    due: Instant,
    number: u64,
    work: Work,
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Job {}
impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[derive(Default)]
struct Queue {
    jobs: BinaryHeap<Reverse<Job>>,
    next_number: u64,
    idle: usize,
    threads: usize,
}

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    changed: Condvar,
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(Pool::default)
}

/// How many threads there are at most: half of the processors, for the other half serves readers.
pub(crate) fn max_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).clamp(1, MAX_THREADS)
}

thread_local! {
    /// Whether the thread is one of the pool.
    static IS_OF_POOL: Cell<bool> = const { Cell::new(false) };
}

/// How many threads of the library there are to help this one, which flushes or merges. A caller that
/// waits for its own merge has all of them; in the background there is one less, so that readers keep
/// their half of the processors.
pub(crate) fn helpers() -> usize {
    max_threads() - usize::from(IS_OF_POOL.get())
}

/// Runs `work` on a thread of the library, `delay` from now at the earliest.
///
/// A panic ends the job, not the thread; a job that must report one catches it itself.
pub fn run_after(delay: Duration, work: impl FnOnce() + Send + 'static) {
    let pool = pool();
    let mut queue = pool.queue.lock();
    let number = queue.next_number;
    queue.next_number += 1;
    queue.jobs.push(Reverse(Job { due: Instant::now() + delay, number, work: Box::new(work) }));
    if queue.idle == 0 && queue.threads < max_threads() {
        // Where no thread can be had, the job waits for one that runs, or for the next attempt.
        let started =
            std::thread::Builder::new().name("lane-merge".to_owned()).spawn(|| pool_thread(pool));
        queue.threads += usize::from(started.is_ok());
    }
    pool.changed.notify_one();
}

fn pool_thread(pool: &'static Pool) {
    IS_OF_POOL.set(true);
    let mut queue = pool.queue.lock();
    loop {
        let now = Instant::now();
        match queue.jobs.peek().map(|Reverse(job)| job.due) {
            Some(due) if due <= now => {
                let Some(Reverse(job)) = queue.jobs.pop() else { continue };
                drop(queue);
                // What the job shares with others is behind locks that a panic does not poison, and
                // a job that changes an index reports its own panics.
                let _ = catch_unwind(AssertUnwindSafe(job.work));
                queue = pool.queue.lock();
            }
            Some(due) => {
                queue.idle += 1;
                pool.changed.wait_until(&mut queue, due);
                queue.idle -= 1;
            }
            None => {
                queue.idle += 1;
                pool.changed.wait(&mut queue);
                queue.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn jobs_run_when_due_and_survive_a_panic() {
        let (sender, done) = channel();
        run_after(Duration::ZERO, || panic!("a job of a test panics on purpose"));
        for (delay, name) in [(60, "late"), (0, "now"), (20, "soon")] {
            let sender = sender.clone();
            run_after(Duration::from_millis(delay), move || {
                sender.send(name).expect("the test listens");
            });
        }
        let order: Vec<_> = (0..3)
            .map(|_| done.recv_timeout(Duration::from_secs(10)).expect("all jobs run"))
            .collect();
        assert_eq!(order, ["now", "soon", "late"]);
    }

    #[test]
    fn readers_keep_half_of_the_processors() {
        assert_eq!(helpers(), max_threads());
        let (sender, done) = channel();
        run_after(Duration::ZERO, move || sender.send(helpers()).expect("the test listens"));
        let helpers = done.recv_timeout(Duration::from_secs(10)).expect("it runs");
        assert_eq!(helpers, max_threads() - 1);
    }
}
