//! Frees what readers have let go of, on a thread of its own.
//!
//! A view that was replaced may still be read. Whoever drops the last reference to it pays for
//! freeing its tables and maps, and that must never be a reader on a scheduler. So the one who
//! replaces a view hands it over to this thread, which keeps a reference until it is the only one
//! left. One thread serves all indexes of the process; it starts with the first thing to free.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Readers hold a view for microseconds; asking again after this long frees it soon enough.
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// A long iteration may hold one for minutes; it is not worth asking a thousand times a second.
const LONGEST_WAIT: Duration = Duration::from_millis(64);

trait Retired: Send {
    fn is_unreferenced(&self) -> bool;
}

impl<T: Send + Sync> Retired for Arc<T> {
    fn is_unreferenced(&self) -> bool {
        Arc::strong_count(self) == 1
    }
}

#[derive(Default)]
struct Reaper {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Box<dyn Retired>>,
    running: bool,
}

/// Hands over a reference; what it refers to is freed by the reaper once nobody else holds it.
///
/// The caller must have made sure that no new reference can be had from elsewhere.
pub(crate) fn retire<T: Send + Sync + 'static>(retired: Arc<T>) {
    static REAPER: OnceLock<Reaper> = OnceLock::new();
    let reaper = REAPER.get_or_init(Reaper::default);
    let mut queue = reaper.queue.lock();
    queue.waiting.push(Box::new(retired));
    if !queue.running {
        // Where no thread can be had now, the queue waits for the next one to try.
        let started = std::thread::Builder::new()
            .name("lane-reaper".to_owned())
            .spawn(|| REAPER.get_or_init(Reaper::default).run());
        queue.running = started.is_ok();
    }
    reaper.arrived.notify_one();
}

impl Reaper {
    fn run(&self) {
        let mut wait = FIRST_WAIT;
        let mut held: Vec<Box<dyn Retired>> = Vec::new();
        loop {
            {
                let mut queue = self.queue.lock();
                if held.is_empty() {
                    while queue.waiting.is_empty() {
                        self.arrived.wait(&mut queue);
                    }
                } else if queue.waiting.is_empty() {
                    self.arrived.wait_for(&mut queue, wait);
                }
                if !queue.waiting.is_empty() {
                    held.append(&mut queue.waiting);
                    wait = FIRST_WAIT;
                }
            }
            // Dropped outside of the lock: freeing takes its time, handing over must not.
            held.retain(|retired| !retired.is_unreferenced());
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;

    struct Tells(Sender<ThreadId>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).expect("the test listens");
        }
    }

    #[test]
    fn the_last_reader_does_not_free() {
        let (sender, freed) = channel();
        let value = Arc::new(Tells(sender));
        let reader = Arc::clone(&value);
        retire(value);
        assert!(freed.recv_timeout(Duration::from_millis(20)).is_err(), "freed under a reader");
        drop(reader);
        let by = freed.recv_timeout(Duration::from_secs(5)).expect("freed");
        assert_ne!(by, std::thread::current().id());
    }
}
