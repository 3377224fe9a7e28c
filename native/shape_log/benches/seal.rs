//! How fast a chunk is sealed and verified and a range compacted, and how much memory that takes, for
//! 10 MiB and 1 GiB.
//!
//! `cargo bench -p shape_log --bench seal [-- <MiB>...]`. In a directory of the system's temporary files,
//! synced. Memory is what the process had at most beside what it had before.

use std::sync::Arc;
use std::time::Instant;

use lane_index::storage::Directory;
use shape_log::chunk::{ChunkOptions, ChunkStore};
use shape_log::collapse::{CollapseOptions, Plan};
use shape_log::{Entry, EntrySource, Error, Offset, Op};

struct Entries {
    number: u64,
    left: u64,
    json: Vec<u8>,
    /// Whose keys are numbers below this.
    rows: u64,
    key: [u8; 8],
}

impl EntrySource for Entries {
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        use std::io::Write;
        if self.left == 0 {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        self.json.clear();
        // About 200 bytes, and not all alike.
        let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let _ = write!(
            self.json,
            "{{\"key\":\"\\\"public\\\".\\\"todos\\\"/\\\"{number}\\\"\",\"value\":{{\"id\":\"{number}\",\
             \"title\":\"task {noise:x}\",\"done\":\"f\",\"user_id\":\"{}\"}},\
             \"headers\":{{\"operation\":\"update\",\"lsn\":\"{}\"}}}}",
            noise % 1_000,
            number * 100
        );
        self.key = (number % self.rows).to_le_bytes();
        self.left = self.left.saturating_sub(self.json.len() as u64 + 1);
        let offset = Offset::new(number, 0);
        Ok(Some(Entry { offset, op: Op::Update, key: &self.key, json: &self.json }))
    }
}

/// Compacts a range of updates of so many rows.
fn collapse(mib: u64, rows: u64) {
    let source = || Entries { number: 0, left: mib << 20, json: Vec::new(), rows, key: [0; 8] };
    let count = |source: &mut dyn EntrySource| {
        let (mut count, mut bytes) = (0_u64, 0_u64);
        while let Some(entry) = source.next().expect("an entry") {
            (count, bytes) = (count + 1, bytes + entry.json.len() as u64);
        }
        (count, bytes)
    };
    let began = Instant::now();
    let (_, bytes) = count(&mut source());
    let generate = began.elapsed().as_secs_f64();
    let before = peak();
    let began = Instant::now();
    let plan = Plan::read(&mut source(), CollapseOptions::default()).expect("ascending");
    let (left, _) = count(&mut plan.collapse(&mut source()));
    let seconds = began.elapsed().as_secs_f64() - 2.0 * generate;
    println!(
        "{mib} MiB, {rows} rows: {} entries become {left} at {:.0} MB/s (both readings); peak of \
         memory grew by {} KiB",
        plan.summary().read,
        bytes as f64 / 1e6 / seconds,
        peak() - before
    );
}

/// The most memory that the process ever had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok()).unwrap_or(0)
}

fn main() {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10, 1024];
    }
    for mib in sizes {
        collapse(mib, 10_000);
        let generate = {
            let began = Instant::now();
            let mut entries = Entries {
                number: 0,
                left: mib << 20,
                json: Vec::new(),
                rows: u64::MAX,
                key: [0; 8],
            };
            while entries.next().expect("an entry").is_some() {}
            began.elapsed().as_secs_f64()
        };
        for gzip in [None, Some(1), Some(6)] {
            let directory = tempfile::tempdir().expect("a directory");
            let storage = Arc::new(Directory::open(directory.path()).expect("open"));
            let options = ChunkOptions { gzip_level: gzip.unwrap_or(6) };
            let store = ChunkStore::open(storage, options).expect("open");
            let before = peak();
            let began = Instant::now();
            let mut entries = Entries {
                number: 0,
                left: mib << 20,
                json: Vec::new(),
                rows: u64::MAX,
                key: [0; 8],
            };
            let chunk =
                store.seal(Offset::ZERO, Offset::MAX, &mut entries, gzip.is_some()).expect("seal");
            let seal = began.elapsed().as_secs_f64() - generate;
            let began = Instant::now();
            store.verify(chunk.seq).expect("whole");
            let verify = began.elapsed().as_secs_f64();
            let rate = |seconds: f64| chunk.bytes as f64 / 1e6 / seconds;
            println!(
                "{mib} MiB, {} entries, gzip {gzip:?} ({} bytes): sealed in {:.0} ms, {:.0} MB/s; \
                 verified at {:.0} MB/s; peak of memory grew by {} KiB",
                chunk.count,
                chunk.gzip.map_or(0, |gzip| gzip.bytes),
                seal * 1e3,
                rate(seal),
                rate(verify),
                peak() - before
            );
        }
    }
}
