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

fn open(path: &Path) -> (Router, Duration) {
    let options = Options { fold_above_bytes: None, ..Options::default() };
    let start = Instant::now();
    let router = Router::open(config(), path, options).unwrap();
    (router, start.elapsed())
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
    let times: Vec<Duration> = (0..3)
        .map(|_| {
            let (router, time) = open(&folder);
            assert_eq!(router.len() as u64, shapes);
            router.close().unwrap();
            time
        })
        .collect();
    let snapshot = bytes(&folder);
    println!(
        "{shapes} shapes, {}: added {in_memory:?} in memory, {added:?} in a directory; reopened \
         {from_journal:?} from the journal ({:.1} B a shape), {:?} from the snapshot ({:.1} B a \
         shape, written in {folded:?})",
        if keys { "one key each" } else { "no keys" },
        journal as f64 / shapes as f64,
        times.iter().min().unwrap(),
        snapshot as f64 / shapes as f64,
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
