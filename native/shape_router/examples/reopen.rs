//! How long a router takes to come back from its directory, and how large that is: with the indexes of
//! its snapshot stored and intact, and derived again, taking turns.
//!
//! `cargo run --release -p shape_router --example reopen [shapes ...]`: shapes `user_id = K`, added in
//! one call, of unknown membership and with one key each; or those of the clause in `CLAUSE`, where
//! `{K}` stands for the shape's number.
#![allow(clippy::unwrap_used)]

use shape_expr::{Column, Datum, Schema};
use shape_router::catalogue::Options;
use shape_router::{Config, KeyParts, Keys, Router, ShapeSpec};
use std::path::Path;
use std::time::{Duration, Instant};

// As the library has it inside of a host.
#[global_allocator]
static ALLOCATOR: lane_index::Allocator = lane_index::Allocator;

fn config() -> Config {
    let column = |name: &str, ty: &str| Column::new(name, ty.parse().unwrap());
    let columns = vec![column("id", "int8"), column("user_id", "int8"), column("title", "text")];
    Config { primary_key: vec!["id".into()], ..Config::new(Schema::new("todos", columns).unwrap()) }
}

fn add(router: &Router, shapes: u64, keys: bool) -> Duration {
    let clause = std::env::var("CLAUSE").unwrap_or_else(|_| "user_id = {K}".to_owned());
    let clauses: Vec<String> =
        (0..shapes).map(|k| clause.replace("{K}", &(k * 7).to_string())).collect();
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

/// Resident bytes of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// The most resident bytes that there were.
fn most_resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// The router, and how long it took: by the clock, and of the processor.
fn open(path: &Path, indexes_above: Option<u64>) -> (Router, [Duration; 2]) {
    let options = Options { fold_above_bytes: None, indexes_above, ..Options::default() };
    let (start, before) = (Instant::now(), processor_time());
    let router = Router::open(config(), path, options).unwrap();
    (router, [start.elapsed(), processor_time() - before])
}

const ROUNDS: usize = 7;

/// The best and the median of some times.
fn best(times: &[[Duration; 2]], which: usize) -> (Duration, Duration) {
    let mut times: Vec<Duration> = times.iter().map(|times| times[which]).collect();
    times.sort();
    (times[0], times[times.len() / 2])
}

fn measure(shapes: u64, keys: bool) {
    let folder =
        std::env::temp_dir().join(format!("reopen-{}-{shapes}-{keys}", std::process::id()));
    let memory = Router::new(config()).unwrap();
    let in_memory = add(&memory, shapes, keys);
    drop(memory);
    let (router, _) = open(&folder, None);
    let added = add(&router, shapes, keys);
    router.close().unwrap();
    let journal = bytes(&folder);
    let (router, from_journal) = open(&folder, None);
    assert_eq!(router.len() as u64, shapes);
    let start = Instant::now();
    router.fold().unwrap();
    let folded = start.elapsed();
    router.close().unwrap();
    let (router, _) = open(&folder, Some(0));
    let before = resident();
    // The most that there ever was is now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let start = Instant::now();
    router.fold().unwrap();
    let stored = start.elapsed();
    let most = (most_resident() - before) as f64 / shapes as f64;
    let figures = router.metrics();
    assert!(figures.index_bytes > 0);
    router.close().unwrap();
    drop(router);
    // Replaced parts are freed a moment later.
    std::thread::sleep(Duration::from_secs(1));
    let (mut loaded, mut derived) = (Vec::new(), Vec::new());
    let mut grown = Vec::new();
    for round in 0..2 * ROUNDS {
        let is_loaded = round % 2 == 0;
        let before = resident();
        let (router, time) = open(&folder, is_loaded.then_some(0));
        assert_eq!(router.len() as u64, shapes);
        assert_eq!(router.metrics().open_loaded, u64::from(is_loaded));
        if round < 2 {
            std::thread::sleep(Duration::from_secs(1));
            grown.push(resident().saturating_sub(before) as f64 / shapes as f64);
        }
        if is_loaded {
            loaded.push(time)
        } else {
            derived.push(time)
        }
        router.close().unwrap();
        drop(router);
        std::thread::sleep(Duration::from_millis(300));
    }
    println!("{shapes} shapes, {}:", if keys { "one key each" } else { "no keys" });
    println!("  added in one call: {in_memory:.2?} in memory, {added:.2?} in a directory");
    let [clock, processor] = from_journal;
    let each = journal as f64 / shapes as f64;
    println!(
        "  reopened from the journal ({each:.1} B a shape): {clock:.2?}, processor {processor:.2?}"
    );
    let each = |bytes: u64| bytes as f64 / shapes as f64;
    let told = |name: &str, bytes: u64, times: &[[Duration; 2]], grown: f64| {
        let ((clock, median), (processor, _)) = (best(times, 0), best(times, 1));
        println!(
            "  {name} ({:.1} B a shape): {clock:.2?}, median {median:.2?}, processor {processor:.2?}; \
             {grown:.1} B a shape resident",
            each(bytes)
        );
    };
    told("derived from the snapshot", figures.snapshot_bytes, &derived, grown[1]);
    told("with its indexes stored", figures.index_bytes, &loaded, grown[0]);
    let ratio =
        |which| best(&derived, which).0.as_secs_f64() / best(&loaded, which).0.as_secs_f64();
    println!("  that is {:.1} times as fast, processor {:.1}", ratio(0), ratio(1));
    println!(
        "  the snapshot was written in {folded:.2?}, its indexes in {stored:.2?}, which took up to \
         {most:.1} B a shape meanwhile"
    );
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
