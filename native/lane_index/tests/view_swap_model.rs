//! Swapping a view and freeing the old one, under every interleaving that loom finds.
//!
//! The queue of the reaper is the crate's own, compiled with loom's locks in the place of the standard
//! library's. The cell that readers load the view from stands for `swap`, which has a model of its own
//! (`view_guard_model.rs`): whoever loads gets the old value or the new one, and once a swap has returned nobody gets
//! a reference of the old one any more who does not hold one already.

#[path = "../src/reaper/queue.rs"]
#[allow(dead_code)]
mod queue;

/// What `queue` finds as its parent's `sync`.
mod sync {
    pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;

    /// Guards without a count have a model of their own, `view_guard_model.rs`.
    pub(super) fn heavy() -> bool {
        true
    }

    pub(super) fn is_held(_value: *const ()) -> bool {
        false
    }

    use std::time::Duration;

    /// Time does not pass in a model: it may always be over.
    pub(super) fn pause<'a, T>(
        mutex: &'a Mutex<T>,
        _changed: &Condvar,
        guard: MutexGuard<'a, T>,
        _time: Duration,
    ) -> MutexGuard<'a, T> {
        drop(guard);
        loom::thread::yield_now();
        mutex.lock().expect("not poisoned")
    }
}

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use queue::{Held, Reaper};

/// Which thread frees: set while the reaper is at work.
type Freed = Arc<AtomicUsize>;

/// A view: two layers that together hold everything, whatever is moved between them.
struct View {
    overlay: u32,
    runs: u32,
    freed: Freed,
    reaper: Arc<std::sync::Mutex<Option<thread::ThreadId>>>,
    /// The last view of a model is dropped by the model.
    is_last: bool,
}

impl Drop for View {
    fn drop(&mut self) {
        if !self.is_last {
            let reaper = *self.reaper.lock().expect("not poisoned");
            assert_eq!(Some(thread::current().id()), reaper, "freed by another than the reaper");
            self.freed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Readers load it, and whoever holds the writer's lock swaps it.
struct Index {
    view: Mutex<Arc<View>>,
    writer: Mutex<()>,
    reaper: Reaper,
    freed: Freed,
    reaper_thread: Arc<std::sync::Mutex<Option<thread::ThreadId>>>,
}

impl Index {
    fn new() -> Arc<Self> {
        let (freed, reaper_thread) = (Freed::default(), Arc::default());
        let view = View {
            overlay: 2,
            runs: 0,
            freed: Arc::clone(&freed),
            reaper: Arc::clone(&reaper_thread),
            is_last: false,
        };
        Arc::new(Self {
            view: Mutex::new(Arc::new(view)),
            writer: Mutex::new(()),
            reaper: Reaper::default(),
            freed,
            reaper_thread,
        })
    }

    fn load(&self) -> Arc<View> {
        Arc::clone(&self.view.lock().expect("not poisoned"))
    }

    /// As the index does it: the next view is made of the current one under the writer's lock, put in
    /// its place, and the old one handed over.
    fn swap(&self, last: u32, change: impl FnOnce(&mut View)) {
        let _writer = self.writer.lock().expect("not poisoned");
        let now = self.load();
        let mut next = View {
            overlay: now.overlay,
            runs: now.runs,
            freed: Arc::clone(&self.freed),
            reaper: Arc::clone(&self.reaper_thread),
            is_last: false,
        };
        change(&mut next);
        next.is_last = next.runs == last;
        // A reference that is let go of before the old view is handed over is never the last one.
        drop(now);
        let old = std::mem::replace(&mut *self.view.lock().expect("not poisoned"), Arc::new(next));
        self.reaper.hand_over(old, || true);
    }

    /// Moves one from the overlay to the runs.
    fn flush(&self, last: u32) {
        self.swap(last, |view| {
            view.overlay -= 1;
            view.runs += 1;
        });
    }

    fn look_up(&self) -> u32 {
        let view = self.load();
        assert_eq!(view.overlay + view.runs, 2, "a look-up saw half of a change");
        view.runs
    }

    /// The reaper's thread, until so many are freed.
    fn reap(&self, until: usize) {
        *self.reaper_thread.lock().expect("not poisoned") = Some(thread::current().id());
        let mut held = Held::default();
        while self.freed.load(Ordering::SeqCst) < until {
            self.reaper.round(&mut held);
        }
    }
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

#[test]
fn the_reaper_frees_every_old_view_and_no_reader_does() {
    model(|| {
        let index = Index::new();
        let reaper = {
            let index = Arc::clone(&index);
            thread::spawn(move || index.reap(1))
        };
        let reader = {
            let index = Arc::clone(&index);
            thread::spawn(move || {
                let before = index.look_up();
                assert!(before <= index.look_up(), "a look-up went back in time");
            })
        };
        index.flush(1);
        assert_eq!(index.look_up(), 1, "a change that was made is seen");
        reader.join().expect("reader");
        reaper.join().expect("all is freed");
    });
}

#[test]
fn two_who_change_the_view_lose_nothing_and_all_is_freed() {
    model(|| {
        let index = Index::new();
        let reaper = {
            let index = Arc::clone(&index);
            thread::spawn(move || index.reap(2))
        };
        let other = {
            let index = Arc::clone(&index);
            thread::spawn(move || index.flush(2))
        };
        index.flush(2);
        other.join().expect("the other");
        assert_eq!(index.look_up(), 2);
        reaper.join().expect("all is freed");
    });
}
