//! Help from threads that live longer than what they help with.
//!
//! A helper that comes too late must not touch what is gone by then. So it enters before it looks, and
//! once the work is closed nobody enters; who closes it waits for those inside. This file has the only
//! unsafe code of the crate: what the helpers look at is borrowed from the closer's stack.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The work, as helpers know it.
struct Job {
    work: *const (dyn Fn() + Sync),
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    inside: usize,
    panicked: bool,
}

// SAFETY: `work` points to something that is `Sync`, and is dereferenced only as `help` says.
unsafe impl Send for Job {}
// SAFETY: as above; the rest is a lock.
unsafe impl Sync for Job {}

impl Job {
    fn help(&self) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return;
            }
            state.inside += 1;
        }
        // SAFETY: it was not closed when this thread went in, and `Closing` waits for it to come out
        // before `with_helpers` returns, or unwinds, and lets go of what this points to.
        let work = unsafe { &*self.work };
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.panicked |= outcome.is_err();
        state.inside -= 1;
        self.left.notify_all();
    }
}

/// Closes the job when it is dropped, and waits until nobody is inside.
struct Closing<'j>(&'j Job);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        while state.inside > 0 {
            state = self.0.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs `own` here and `work` on up to so many threads that `spawn` finds, if they come before it is over.
/// When this returns nobody is at work any more. A panic of a helper becomes one of the caller.
pub(super) fn with_helpers(
    helpers: usize,
    spawn: impl Fn(Box<dyn FnOnce() + Send>),
    work: &(dyn Fn() + Sync),
    own: impl FnOnce(),
) {
    // SAFETY: only the lifetime changes; that nothing outlives it is what `Job::help` and `Closing` see
    // to.
    let work: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(work) };
    let state = Mutex::default();
    let job = Arc::new(Job { work, state, left: Condvar::new() });
    let closing = Closing(&job);
    for _ in 0..helpers {
        let job = Arc::clone(&job);
        spawn(Box::new(move || job.help()));
    }
    own();
    drop(closing);
    if job.state.lock().unwrap_or_else(PoisonError::into_inner).panicked {
        resume_unwind(Box::new("a thread that helped panicked"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_comes_late_finds_it_closed() {
        let (late, jobs) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let calls = AtomicUsize::new(0);
        let work = || {
            calls.fetch_add(1, Ordering::Relaxed);
        };
        with_helpers(3, |job| late.send(job).expect("a receiver"), &work, || {});
        jobs.try_iter().for_each(|job| job());
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_is_inside_is_waited_for() {
        let (entered, wait) = mpsc::channel();
        let entered = Mutex::new(entered);
        let calls = AtomicUsize::new(0);
        let work = || {
            entered.lock().expect("a lock").send(()).expect("a receiver");
            std::thread::sleep(std::time::Duration::from_millis(20));
            calls.fetch_add(1, Ordering::Relaxed);
        };
        let spawn = |job: Box<dyn FnOnce() + Send>| drop(std::thread::spawn(job));
        with_helpers(1, spawn, &work, || wait.recv().expect("it is entered"));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_panic_of_a_helper_is_one_of_the_caller() {
        let (entered, wait) = mpsc::channel();
        let entered = Mutex::new(entered);
        let work = || {
            entered.lock().expect("a lock").send(()).expect("a receiver");
            panic!("on purpose");
        };
        let spawn = |job: Box<dyn FnOnce() + Send>| drop(std::thread::spawn(job));
        let run = || with_helpers(1, spawn, &work, || wait.recv().expect("it is entered"));
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    }
}
