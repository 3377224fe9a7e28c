//! An index with several writers, flushes and merges in the background, and changes of the lane
//! count, ended at random moments: by `kill -9` on the real file system, by a power cut on the
//! simulated one. What was acknowledged is there; of what was being written all of a batch or
//! nothing; and nothing else.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{histories, rng};
use lane_index::journal::Op;
use lane_index::lock::DirectoryLock;
use lane_index::storage::Directory;
use lane_index::storage::simulation::SimStorage;
use lane_index::{Answer, Error, LaneIndex, Options};

const WRITERS: u64 = 3;
const CHILD: &str = "LANE_INDEX_KILLED_CHILD";

type State = BTreeMap<u64, BTreeSet<u32>>;

/// The `number`-th batch of a writer, which has keys of its own.
fn batch(writer: u64, number: u64) -> Vec<Op> {
    let mut rng = rng(writer << 40 | number);
    (0..rng.u8(1..4))
        .map(|_| {
            let hash = writer << 60 | rng.u64(0..60).wrapping_mul(0x01f3_57bd_9acd_1234) >> 4;
            let id = rng.u32(0..30);
            if rng.u8(0..5) < 3 { Op::Insert { hash, id } } else { Op::Remove { hash, id } }
        })
        .collect()
}

/// What a writer's keys hold after some of its batches.
#[derive(Clone)]
struct Model {
    writer: u64,
    batches: u64,
    state: State,
}

impl Model {
    fn new(writer: u64) -> Self {
        Self { writer, batches: 0, state: State::new() }
    }

    fn advance(&mut self) {
        self.batches += 1;
        for op in batch(self.writer, self.batches) {
            match op {
                Op::Insert { hash, id } => {
                    self.state.entry(hash).or_default().insert(id);
                }
                Op::Remove { hash, id } => {
                    let ids = self.state.entry(hash).or_default();
                    ids.remove(&id);
                    if ids.is_empty() {
                        self.state.remove(&hash);
                    }
                }
            }
        }
    }

    /// Moves to the first state from `acknowledged` batches on, and up to `begun`, that is `found`.
    fn meet(&mut self, found: &State, acknowledged: u64, begun: u64) {
        while self.batches < acknowledged {
            self.advance();
        }
        while self.state != *found {
            assert!(
                self.batches < begun,
                "writer {}: {acknowledged} batches acknowledged, {begun} begun, and none of these \
                 states is there",
                self.writer
            );
            self.advance();
        }
    }
}

fn models() -> Vec<Model> {
    (0..WRITERS).map(Model::new).collect()
}

/// What the index holds, by writer.
fn contents(index: &LaneIndex) -> Vec<State> {
    let mut found = vec![State::new(); WRITERS as usize];
    let answer = index
        .for_each(|hash, ids| {
            found[(hash >> 60) as usize].insert(hash, ids.iter().copied().collect());
            Ok(())
        })
        .expect("whole");
    assert_eq!(answer, Answer::Complete);
    for (hash, ids) in found.iter().flatten() {
        let mut got = Vec::new();
        assert_eq!(index.get_verified(*hash, &mut got), Answer::Complete);
        assert!(got.iter().eq(ids), "{hash:#x}");
    }
    found
}

/// Small overlays, so that there are always flushes and merges to be met.
fn options() -> Options {
    Options { overlay_limit: Some(25), ..Options::default() }
}

/// Writes a batch; waits where merges are behind.
fn write(index: &LaneIndex, ops: &[Op]) -> Result<(), Error> {
    loop {
        match index.write(ops) {
            Err(Error::Behind { .. }) => thread::sleep(Duration::from_millis(1)),
            result => return result.map(drop),
        }
    }
}

/// Flushes, merges everything, or changes the lane count.
fn upheave(index: &LaneIndex, rng: &mut fastrand::Rng) -> Result<(), Error> {
    let result = match rng.u8(0..4) {
        0 | 1 => index.flush(),
        2 => index.compact(),
        _ => index.reshard(rng.u16(1..9)),
    };
    match result {
        // A merge in the background was faster.
        Err(Error::Superseded { .. }) => Ok(()),
        result => result,
    }
}

#[test]
fn a_power_cut_in_the_middle_of_everything() {
    let mut acknowledged_in_all = 0;
    for seed in 0..histories(25) {
        let mut random = rng(seed);
        let mut storage = SimStorage::new();
        let mut models = models();
        let mut counts = vec![(0, 0); WRITERS as usize];
        for _ in 0..4 {
            let index = LaneIndex::open_in(Arc::new(storage.clone()), options())
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for ((model, found), (acknowledged, begun)) in
                models.iter_mut().zip(contents(&index)).zip(&counts)
            {
                model.meet(&found, *acknowledged, *begun);
            }
            let ended = AtomicBool::new(false);
            let progress: Vec<_> = models
                .iter()
                .map(|model| (AtomicU64::new(model.batches), AtomicU64::new(model.batches)))
                .collect();
            let upheavals = random.fork();
            thread::scope(|scope| {
                for (writer, (acknowledged, begun)) in progress.iter().enumerate() {
                    let (index, ended) = (&index, &ended);
                    scope.spawn(move || {
                        while !ended.load(Ordering::SeqCst) {
                            let number = begun.fetch_add(1, Ordering::SeqCst) + 1;
                            write(index, &batch(writer as u64, number)).expect("written");
                            acknowledged.store(number, Ordering::SeqCst);
                        }
                    });
                }
                let (index, ended) = (&index, &ended);
                scope.spawn(move || {
                    let mut random = upheavals;
                    while !ended.load(Ordering::SeqCst) {
                        upheave(index, &mut random).expect("upheaval");
                        thread::sleep(Duration::from_micros(random.u64(0..3000)));
                    }
                });
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
        }
        acknowledged_in_all += counts.iter().map(|(done, _)| done).sum::<u64>();
    }
    assert!(acknowledged_in_all > 1000, "{acknowledged_in_all}");
}

/// The files beside the index that say what is expected of it.
fn begun_log(folder: &Path, writer: u64) -> std::path::PathBuf {
    folder.join(format!("expected-{writer}"))
}

/// Writes until it is killed. Each writer notes a `b` before a batch and an `a` when it is
/// acknowledged; a kill leaves what was noted.
fn child(folder: &Path) -> Result<(), Error> {
    let index = LaneIndex::open(folder.join("index"), options())?;
    let seed = fs::read_to_string(folder.join("seed")).expect("seed").parse().expect("number");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let index = &index;
            scope.spawn(move || {
                let start = fs::read_to_string(folder.join(format!("start-{writer}")));
                let mut number: u64 = start.expect("start").parse().expect("number");
                let mut log = File::create(begun_log(folder, writer)).expect("log");
                loop {
                    number += 1;
                    log.write_all(b"b").expect("note");
                    if let Err(error) = write(index, &batch(writer, number)) {
                        eprintln!("writer {writer}: {error}");
                        std::process::exit(3);
                    }
                    log.write_all(b"a").expect("note");
                }
            });
        }
        let mut random = rng(seed);
        loop {
            thread::sleep(Duration::from_micros(random.u64(0..10_000)));
            if let Err(error) = upheave(&index, &mut random) {
                eprintln!("upheaval: {error}");
                std::process::exit(4);
            }
        }
    })
}

#[test]
fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(CHILD) {
        child(Path::new(&folder)).expect("open");
        return;
    }
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let mut random = rng(0x6b69_6c6c);
    let mut models = models();
    let (mut acknowledged_in_all, mut met) = (0, 0);
    for cycle in 0..histories(10) {
        for model in &models {
            fs::write(folder.join(format!("start-{}", model.writer)), model.batches.to_string())
                .expect("start");
            drop(fs::remove_file(begun_log(folder, model.writer)));
        }
        fs::write(folder.join("seed"), random.u32(..).to_string()).expect("seed");
        let mut child = Command::new(std::env::current_exe().expect("test binary"))
            .args(["--exact", "a_kill_at_any_moment_loses_nothing_acknowledged", "--nocapture"])
            .env(CHILD, folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("child");
        thread::sleep(Duration::from_micros(random.u64(1000..400_000)));
        child.kill().expect("kill");
        let status = child.wait().expect("end");
        assert_eq!(status.signal(), Some(9), "cycle {cycle}: it ended by itself: {status}");

        // Some children are killed while they recover what the one before left.
        let index = LaneIndex::open(folder.join("index"), options())
            .unwrap_or_else(|error| panic!("cycle {cycle}: {error}"));
        for (model, found) in models.iter_mut().zip(contents(&index)) {
            let notes = fs::read(begun_log(folder, model.writer)).unwrap_or_default();
            let count = |what| notes.iter().filter(|note| **note == what).count() as u64;
            let (done, begun) = (model.batches + count(b'a'), model.batches + count(b'b'));
            model.meet(&found, done, begun);
            acknowledged_in_all += count(b'a');
            met += u64::from(begun > done);
        }
        if random.bool() {
            index.close().expect("close");
        } else {
            // It gives the directory back a little later.
            drop(index);
            let directory = Directory::open(folder.join("index")).expect("directory");
            let free = (0..1000).any(|_| {
                thread::sleep(Duration::from_millis(2));
                DirectoryLock::acquire(&directory).is_ok()
            });
            assert!(free, "cycle {cycle}: a dropped index keeps its directory");
        }
    }
    assert!(acknowledged_in_all > 100 && met > 0, "{acknowledged_in_all} {met}");
}
