//! How long a router takes to come back from its directory, and how large that is.
//!
//! `cargo run --release -p shape_router --example reopen [shapes ...]`: shapes `user_id = K`, added in
//! one call, of unknown membership and with one key each.
#![allow(clippy::unwrap_used)]

use shape_expr::{Column, Datum, Schema};
use shape_router::catalogue::Options;
use shape_router::{Config, KeyParts, Keys, Router, ShapeSpec};
use std::path::Path;
use std::time::{Duration, Instant};

fn config() -> Config {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap());
    let columns = vec![column("id", "int8"), column("user_id", "int8"), column("title", "text")];
    Config { primary_key: vec!["id".into()], ..Config::new(Schema::new("todos", columns).unwrap()) }
}

fn add(router: &Router, shapes: u64, keys: bool) -> Duration {
    let clauses: Vec<String> = (0..shapes).map(|k| format!("user_id = {}", k * 7)).collect();
    let specs = clauses.iter().enumerate().map(|(id, clause)| {
        let key = KeyParts::one(Datum::Int(id as i64));
        let keys = if keys { Keys::Known(vec![key]) } else { Keys::Unknown };
        ShapeSpec { keys, ..ShapeSpec::new(id as u64, Some(clause)) }
    });
    let start = Instant::now();
    router.add_shapes(specs).unwrap();
    start.elapsed()
}

fn bytes(path: &Path) -> u64 {
    std::fs::read_dir(path).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// How long this thread has run: on a machine that is shared, time passes without it.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// The router, and how long it took: by the clock, and of the processor.
fn open(path: &Path) -> (Router, [Duration; 2]) {
    let options = Options { fold_above_bytes: None, ..Options::default() };
    let (start, before) = (Instant::now(), processor_time());
    let router = Router::open(config(), path, options).unwrap();
    (router, [start.elapsed(), processor_time() - before])
}

fn measure(shapes: u64, keys: bool) {
    let folder =
        std::env::temp_dir().join(format!("reopen-{}-{shapes}-{keys}", std::process::id()));
    let memory = Router::new(config()).unwrap();
    let in_memory = add(&memory, shapes, keys);
    drop(memory);
    let (router, _) = open(&folder);
    let added = add(&router, shapes, keys);
    router.close().unwrap();
    let journal = bytes(&folder);
    let (router, from_journal) = open(&folder);
    assert_eq!(router.len() as u64, shapes);
    let start = Instant::now();
    router.fold().unwrap();
    let folded = start.elapsed();
    router.close().unwrap();
    drop(router);
    let times: Vec<[Duration; 2]> = (0..5)
        .map(|_| {
            let (router, time) = open(&folder);
            assert_eq!(router.len() as u64, shapes);
            router.close().unwrap();
            time
        })
        .collect();
    let is_snapshot = |name: &std::ffi::OsStr| name.to_string_lossy().ends_with(".snap");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap());
    let snapshot: u64 = files
        .filter(|file| is_snapshot(&file.file_name()))
        .map(|file| file.metadata().unwrap().len())
        .sum();
    let best = |which: usize| times.iter().map(|times| times[which]).min().unwrap();
    println!("{shapes} shapes, {}:", if keys { "one key each" } else { "no keys" });
    println!("  added in one call: {in_memory:.2?} in memory, {added:.2?} in a directory");
    let [clock, processor] = from_journal;
    let each = journal as f64 / shapes as f64;
    println!(
        "  reopened from the journal ({each:.1} B a shape): {clock:.2?}, processor {processor:.2?}"
    );
    let each = snapshot as f64 / shapes as f64;
    let (clock, processor) = (best(0), best(1));
    println!("  from the snapshot ({each:.1} B a shape): {clock:.2?}, processor {processor:.2?}");
    println!("  the snapshot was written in {folded:.2?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn main() {
    let counts: Vec<u64> = std::env::args().skip(1).map(|count| count.parse().unwrap()).collect();
    let counts = if counts.is_empty() { vec![100_000, 1_000_000] } else { counts };
    for count in counts {
        measure(count, false);
        measure(count, true);
    }
}
