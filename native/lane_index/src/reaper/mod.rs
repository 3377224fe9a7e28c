//! Frees what readers have let go of, on a thread of its own.
//!
//! A view that was replaced may still be read. Whoever drops the last reference to it pays for
//! freeing its tables and maps, and that must never be a reader on a scheduler. So the one who
//! replaces a view hands it over to this thread, which keeps a reference until it is the only one
//! left. One thread serves all indexes of the process; it starts with the first thing to free.

mod queue;
/// The locks of the queue; its model (`tests/view_swap_model.rs`) puts loom's in place.
mod sync {
    pub(super) use crate::swap::{heavy, is_held};
    pub(super) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    /// Lets go of the lock for so long, or until somebody notifies.
    pub(super) fn pause<'a, T>(
        _mutex: &'a Mutex<T>,
        changed: &Condvar,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> MutexGuard<'a, T> {
        changed.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
    }
}

use std::sync::{Arc, OnceLock};

use queue::Reaper;

/// Hands over a reference; what it refers to is freed by the reaper once no hazard names it and nobody
/// else holds it.
///
/// The caller must have made sure that no new reference can be had from elsewhere, and hands a value
/// over once: two references here would wait for each other for ever.
pub(crate) fn retire<T: Send + Sync + 'static>(retired: Arc<T>) {
    static REAPER: OnceLock<Reaper> = OnceLock::new();
    let reaper = REAPER.get_or_init(Reaper::default);
    reaper.hand_over(retired, || {
        std::thread::Builder::new()
            .name("lane-reaper".to_owned())
            .spawn(|| REAPER.get_or_init(Reaper::default).run())
            .is_ok()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;
    use std::time::Duration;

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
