//! What was handed over and is not freed yet.
//!
//! `tests/view_swap_model.rs` compiles this file with loom's locks in the place of the standard
//! library's.

use std::ptr;
use std::time::Duration;

use super::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, heavy, is_held, pause};

/// Readers hold a view for microseconds; asking again after this long frees it soon enough.
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// A long iteration may hold one for minutes; it is not worth asking a thousand times a second.
const LONGEST_WAIT: Duration = Duration::from_millis(64);

/// Something that is freed by whoever drops it last.
pub(super) trait Retired: Send {
    /// Asked after a heavy barrier.
    fn is_unreferenced(&self) -> bool;
}

impl<T: Send + Sync> Retired for Arc<T> {
    fn is_unreferenced(&self) -> bool {
        // In this order: a reader counts a reference of its own only while it has a hazard.
        !is_held(ptr::from_ref::<T>(self).cast()) && Arc::strong_count(self) == 1
    }
}

#[derive(Default)]
pub(super) struct Reaper {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Box<dyn Retired>>,
    running: bool,
}

/// What the reaper's thread holds until nobody else does.
#[derive(Default)]
pub(super) struct Held {
    retired: Vec<Box<dyn Retired>>,
    wait: Duration,
}

impl Reaper {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts `retired` in line; `start` starts the thread where none runs.
    pub(super) fn hand_over<T: Send + Sync + 'static>(
        &self,
        retired: Arc<T>,
        start: impl FnOnce() -> bool,
    ) {
        let mut queue = self.lock();
        queue.waiting.push(Box::new(retired));
        if !queue.running {
            // Where no thread can be had now, the queue waits for the next one to try.
            queue.running = start();
        }
        self.arrived.notify_one();
    }

    /// What the thread does.
    pub(super) fn run(&self) {
        let mut held = Held::default();
        loop {
            self.round(&mut held);
        }
    }

    /// Waits for something to do and frees what nobody else holds.
    pub(super) fn round(&self, held: &mut Held) {
        {
            let mut queue = self.lock();
            if held.retired.is_empty() {
                while queue.waiting.is_empty() {
                    queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            } else if queue.waiting.is_empty() {
                queue = pause(&self.queue, &self.arrived, queue, held.wait);
            }
            if !queue.waiting.is_empty() {
                held.retired.append(&mut queue.waiting);
                held.wait = FIRST_WAIT;
            }
        }
        // Dropped outside of the lock: freeing takes its time, handing over must not.
        if heavy() {
            held.retired.retain(|retired| !retired.is_unreferenced());
        }
        held.wait = (held.wait * 2).min(LONGEST_WAIT);
    }
}
