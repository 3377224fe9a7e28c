//! A router with several writers, transactions and folds in the background, ended at random moments: by
//! `kill -9` on the real file system, by a power cut on the simulated one. What was acknowledged is
//! there; of what was being done all or nothing; and nothing else.
#![allow(clippy::unwrap_used)]

mod common;
mod durable_support;

use common::*;
use durable_support::histories;
use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use shape_router::catalogue::Options;
use shape_router::{Change, Keys, Op, Router, ShapeSpec, Transaction};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Writers 0 and 1 add and remove shapes, writer 2 routes transactions.
const WRITERS: u64 = 3;
const ROUTES: u64 = 2;
const CHILD: &str = "SHAPE_ROUTER_KILLED_CHILD";
/// The shape whose rows the transactions change.
const WATCHED: u64 = u64::MAX;

/// The journal is folded all the time, and the indexes of every snapshot are stored.
fn options() -> Options {
    Options {
        journal_file_bytes: 512,
        fold_above_bytes: Some(2 << 10),
        indexes_above: Some(0),
        ..Options::default()
    }
}

/// What a writer has done, and what is there of it.
#[derive(Clone, Debug)]
struct Model {
    writer: u64,
    acts: u64,
    ids: BTreeSet<u64>,
}

impl Model {
    fn new(writer: u64) -> Self {
        Self { writer, acts: 0, ids: BTreeSet::new() }
    }

    /// What its next act adds and removes.
    fn next(&self) -> (Vec<u64>, Option<u64>) {
        let number = self.acts + 1;
        let mut rng = fastrand::Rng::with_seed(self.writer << 40 | number);
        if self.writer == ROUTES {
            // Row n comes, row n - 5 goes.
            return (vec![number], number.checked_sub(5));
        }
        if rng.u8(0..3) == 0 && !self.ids.is_empty() {
            return (Vec::new(), self.ids.iter().nth(rng.usize(0..self.ids.len())).copied());
        }
        let ids = (0..rng.u64(1..4)).map(|i| self.writer << 40 | number << 8 | i);
        (ids.collect(), None)
    }

    fn advance(&mut self) {
        let (added, removed) = self.next();
        self.ids.extend(added);
        self.ids.retain(|id| removed != Some(*id));
        self.acts += 1;
    }

    /// Does its next act with a router.
    fn act(&mut self, router: &Router) -> Result<(), shape_router::Error> {
        let (added, removed) = self.next();
        if self.writer == ROUTES {
            let record = Record { id: added[0] as i64, a: Some(1), b: None };
            let new = Carried::whole(&record);
            let mut changes = vec![insert(&new)];
            changes.extend(
                removed
                    .map(|id| Change { old_key: Some(key(id as i64)), ..Change::new(Op::Delete) }),
            );
            txn(router, Transaction::at(added[0]), &changes, u64::MAX);
            while !router.ack(added[0], 1)? {}
        } else {
            let clause = |id: u64| format!("a = {}", 1000 + id % 7);
            let clauses: Vec<String> = added.iter().map(|id| clause(*id)).collect();
            if !added.is_empty() {
                router.add_shapes(added.iter().zip(&clauses).map(|(id, clause)| ShapeSpec {
                    keys: Keys::Known(vec![key(1 << 50 | *id as i64)]),
                    ..ShapeSpec::new(*id, Some(clause))
                }))?;
            }
            removed.map_or(Ok(()), |id| router.remove_shape(id))?;
        }
        self.advance();
        Ok(())
    }

    /// Moves to the first state from `acknowledged` acts on, and up to `begun`, that is `found`.
    fn meet(&mut self, found: &BTreeSet<u64>, acknowledged: u64, begun: u64) {
        while self.acts < acknowledged {
            self.advance();
        }
        while self.ids != *found {
            assert!(
                self.acts < begun,
                "writer {}: {acknowledged} acknowledged, {begun} begun: {:?} is neither",
                self.writer,
                found.symmetric_difference(&self.ids).collect::<Vec<_>>()
            );
            self.advance();
        }
    }
}

/// What the router holds, by writer.
fn contents(router: &Router) -> Vec<BTreeSet<u64>> {
    let mut found = vec![BTreeSet::new(); WRITERS as usize];
    for id in router.shapes().into_iter().filter(|id| *id != WATCHED) {
        found[(id >> 40) as usize].insert(id);
        let delete = Change { old_key: Some(key(1 << 50 | id as i64)), ..Change::new(Op::Delete) };
        assert_eq!(ids(router, &delete), [id], "its key came with it");
    }
    let acked = router.metrics().acked_lsn;
    for row in acked.saturating_sub(12)..acked + 3 {
        let delete = Change { old_key: Some(key(row as i64)), ..Change::new(Op::Delete) };
        if !ids(router, &delete).is_empty() {
            found[ROUTES as usize].insert(row);
        }
    }
    found
}

fn models() -> Vec<Model> {
    (0..WRITERS).map(Model::new).collect()
}

fn open(storage: Arc<dyn Storage>) -> Router {
    let router = Router::open_in(config(), storage, options()).unwrap();
    if !router.shapes().contains(&WATCHED) {
        let keys = Keys::Known(Vec::new());
        router.add_shape(ShapeSpec { keys, ..ShapeSpec::new(WATCHED, Some("a = 1")) }).unwrap();
    }
    router
}

#[test]
fn a_power_cut_in_the_middle_of_everything() {
    let (mut acknowledged_in_all, mut folds) = (0, 0);
    for seed in 0..histories(20) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut storage = SimStorage::new();
        let mut models = models();
        let mut counts = vec![(0, 0); WRITERS as usize];
        for _ in 0..4 {
            let router = open(Arc::new(storage.clone()));
            for ((model, found), (acknowledged, begun)) in
                models.iter_mut().zip(contents(&router)).zip(&counts)
            {
                model.meet(&found, *acknowledged, *begun);
            }
            let ended = AtomicBool::new(false);
            let progress: Vec<_> = models
                .iter()
                .map(|model| (AtomicU64::new(model.acts), AtomicU64::new(model.acts)))
                .collect();
            thread::scope(|scope| {
                for (model, (acknowledged, begun)) in models.iter().zip(&progress) {
                    let (router, ended, mut model) = (&router, &ended, model.clone());
                    scope.spawn(move || {
                        while !ended.load(Ordering::SeqCst) {
                            begun.fetch_add(1, Ordering::SeqCst);
                            model.act(router).unwrap();
                            acknowledged.store(model.acts, Ordering::SeqCst);
                        }
                    });
                }
                thread::sleep(Duration::from_micros(random.u64(0..20_000)));
                // In this order: what is acknowledged by now is on the disk that is left, and what
                // is there was begun by then.
                let before: Vec<u64> =
                    progress.iter().map(|(done, _)| done.load(Ordering::SeqCst)).collect();
                storage = match random.u8(0..3) {
                    0 => storage.kill(),
                    1 => storage.kill().crash(random.u64(..)),
                    _ => storage.crash(random.u64(..)),
                };
                counts = before
                    .into_iter()
                    .zip(&progress)
                    .map(|(done, (_, begun))| (done, begun.load(Ordering::SeqCst)))
                    .collect();
                ended.store(true, Ordering::SeqCst);
            });
            folds += u64::from(router.metrics().snapshot_bytes > 0);
        }
        acknowledged_in_all += counts.iter().map(|(done, _)| done).sum::<u64>();
    }
    assert!(acknowledged_in_all > 1000 && folds > 5, "{acknowledged_in_all} {folds}");
}

fn notes(folder: &Path, writer: u64) -> PathBuf {
    folder.join(format!("expected-{writer}"))
}

/// Acts until it is killed. Each writer notes a `b` before an act and an `a` when it is acknowledged.
fn child(folder: &Path) {
    let directory = lane_index::storage::Directory::open(folder.join("router")).unwrap();
    let router = open(Arc::new(directory));
    let mut models = models();
    for model in &mut models {
        let acts = fs::read_to_string(folder.join(format!("start-{}", model.writer))).unwrap();
        (0..acts.parse().unwrap()).for_each(|_| model.advance());
    }
    thread::scope(|scope| {
        for mut model in models {
            let router = &router;
            scope.spawn(move || {
                let mut log = File::create(notes(folder, model.writer)).unwrap();
                loop {
                    log.write_all(b"b").unwrap();
                    if let Err(error) = model.act(router) {
                        eprintln!("writer {}: {error}", model.writer);
                        std::process::exit(3);
                    }
                    log.write_all(b"a").unwrap();
                }
            });
        }
    });
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = fastrand::Rng::with_seed(0x6b69_6c6c);
    let mut models = models();
    let (mut acknowledged_in_all, mut met) = (0, 0);
    for cycle in 0..histories(10) {
        for model in &models {
            let start = folder.join(format!("start-{}", model.writer));
            fs::write(start, model.acts.to_string()).unwrap();
            drop(fs::remove_file(notes(folder, model.writer)));
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_kill_at_any_moment_loses_nothing_acknowledged", "--nocapture"])
            .env(CHILD, folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_micros(random.u64(1000..400_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "cycle {cycle}: it ended by itself: {status}");

        // Some children are killed while they recover what the one before left.
        let directory = lane_index::storage::Directory::open(folder.join("router")).unwrap();
        let router = open(Arc::new(directory));
        for (model, found) in models.iter_mut().zip(contents(&router)) {
            let notes = fs::read(notes(folder, model.writer)).unwrap_or_default();
            let count = |what| notes.iter().filter(|note| **note == what).count() as u64;
            let (done, begun) = (model.acts + count(b'a'), model.acts + count(b'b'));
            model.meet(&found, done, begun);
            acknowledged_in_all += count(b'a');
            met += u64::from(begun > done);
        }
        router.close().unwrap();
    }
    assert!(acknowledged_in_all > 50 && met > 0, "{acknowledged_in_all} {met}");
}
