//! The group commit of the journal under every interleaving that loom finds.
//!
//! The module is compiled into this test with loom's locks in the place of the standard library's.

#[path = "../src/journal/group.rs"]
#[allow(dead_code)]
mod group;

/// What `group` finds as its parent's `sync`.
mod sync {
    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
}

use std::io;

use group::{GroupCommit, Writer};
use lane_index::Error;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use loom::thread;

/// A file: how far it is written, how far it is durable, and whether the next sync fails. After a
/// failure later syncs succeed and write nothing, as on Linux.
struct File {
    written: AtomicU64,
    durable: AtomicU64,
    fails: AtomicBool,
    broken: AtomicBool,
    syncing: AtomicBool,
}

struct Log(Arc<File>);

impl Writer for Log {
    type Sync = Arc<File>;

    fn syncer(&self) -> Arc<File> {
        Arc::clone(&self.0)
    }

    fn sync(file: Arc<File>) -> Result<(), Error> {
        assert!(!file.syncing.swap(true, Ordering::SeqCst), "two threads sync");
        let upto = file.written.load(Ordering::SeqCst);
        let failed = file.fails.swap(false, Ordering::SeqCst);
        if failed {
            file.broken.store(true, Ordering::SeqCst);
        } else if !file.broken.load(Ordering::SeqCst) {
            file.durable.fetch_max(upto, Ordering::SeqCst);
        }
        file.syncing.store(false, Ordering::SeqCst);
        let error = io::Error::other("sync");
        if failed {
            return Err(Error::Io { operation: "sync", path: "journal".into(), source: error });
        }
        Ok(())
    }
}

fn commit(fails: bool) -> (Arc<GroupCommit<Log>>, Arc<File>) {
    let file = Arc::new(File {
        written: AtomicU64::new(0),
        durable: AtomicU64::new(0),
        fails: AtomicBool::new(fails),
        broken: AtomicBool::new(false),
        syncing: AtomicBool::new(false),
    });
    (Arc::new(GroupCommit::new(Log(Arc::clone(&file)), 0)), file)
}

/// Writes one batch, as the journal does; `None` where it is refused.
fn write(commit: &GroupCommit<Log>) -> Option<u64> {
    let mut state = commit.lock();
    state.check().ok()?;
    state.written += 1;
    let seq = state.written;
    state.writer.0.written.store(seq, Ordering::SeqCst);
    Some(seq)
}

/// What every thread does: write, wait, and see that what is acknowledged is durable.
fn append(commit: &GroupCommit<Log>, file: &File) -> bool {
    let Some(seq) = write(commit) else { return false };
    let acknowledged = commit.make_durable(seq).is_ok();
    if acknowledged {
        assert!(file.durable.load(Ordering::SeqCst) >= seq, "{seq} is not durable");
    }
    acknowledged
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

#[test]
fn what_is_acknowledged_is_durable_and_everybody_returns() {
    model(|| {
        let (commit, file) = commit(false);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (commit, file) = (Arc::clone(&commit), Arc::clone(&file));
                thread::spawn(move || assert!(append(&commit, &file)))
            })
            .collect();
        assert!(append(&commit, &file));
        threads.into_iter().for_each(|thread| thread.join().expect("thread"));
        assert_eq!(file.durable.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn after_a_failed_sync_nothing_more_is_acknowledged() {
    model(|| {
        let (commit, file) = commit(true);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (commit, file) = (Arc::clone(&commit), Arc::clone(&file));
                thread::spawn(move || append(&commit, &file))
            })
            .collect();
        let mut acknowledged = u32::from(append(&commit, &file));
        for thread in threads {
            acknowledged += u32::from(thread.join().expect("thread"));
        }
        // The first sync fails, and there is no second one.
        assert_eq!(acknowledged, 0);
        assert!(!append(&commit, &file));
    });
}

/// The end of a file: synced with the lock held, while nobody else syncs.
#[test]
fn a_file_is_ended_between_two_syncs() {
    model(|| {
        let (commit, file) = commit(false);
        let other = {
            let (commit, file) = (Arc::clone(&commit), Arc::clone(&file));
            thread::spawn(move || assert!(append(&commit, &file)))
        };
        let seq = write(&commit).expect("accepted");
        let mut state = commit.lock_quiet();
        Log::sync(state.writer.syncer()).expect("sync");
        state.synced = state.written;
        drop(state);
        commit.notify();
        commit.make_durable(seq).expect("durable");
        other.join().expect("thread");
        assert_eq!(file.durable.load(Ordering::SeqCst), 2);
    });
}
