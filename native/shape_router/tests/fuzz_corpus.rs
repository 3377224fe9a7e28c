//! What the fuzzer's committed inputs must hold, without a fuzzer: every input that once failed, and the
//! corpus that reaches what the fuzzer has reached.
//!
//! `SHAPE_ROUTER_WRITE_SEEDS=1` writes the seeds anew, from random histories.
#![allow(clippy::unwrap_used, dead_code)]

mod common;
mod durable_support;
#[path = "../../fuzz/checks/router_catalogue.rs"]
mod router_catalogue;

use durable_support::{Act, History, act};
use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use router_catalogue::{INDEXES, MANIFEST, RECORD, SNAPSHOT};
use shape_router::Router;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The payloads of the frames of a journal.
fn payloads(journal: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut at = 64;
    while journal.get(at + 8..at + 12) == Some(b"FRAM") {
        let length = u32::from_le_bytes(journal[at + 12..at + 16].try_into().unwrap()) as usize;
        found.push(&journal[at + 32..at + 32 + length]);
        at += 32 + length;
    }
    found.retain(|payload| !payload.is_empty());
    found
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for seed in 0..6 {
        let mut history = History::new(seed);
        let disk = SimStorage::new();
        let (config, options) = (router_catalogue::config(), router_catalogue::options());
        let router = Router::open_in(config, Arc::new(disk.clone()), options).unwrap();
        for _ in 0..12 {
            let next = history.next();
            if !matches!(next, Act::Fold) {
                act(&router, &next).unwrap();
            }
        }
        for name in disk.list().unwrap().into_iter().filter(|name| name.starts_with("journal-")) {
            let journal = disk.read(&name).unwrap();
            seeds.extend(payloads(&journal).into_iter().map(|p| [&[RECORD], p].concat()));
        }
        router.fold().unwrap();
        let name = disk.list().unwrap().into_iter().find(|name| name.ends_with(".snap")).unwrap();
        let snapshot = disk.read(&name).unwrap();
        seeds.push([&[SNAPSHOT, router.len() as u8], &*snapshot].concat());
        seeds.push([&[MANIFEST], &*disk.read("manifest.json").unwrap()].concat());
    }
    seeds.push([&[INDEXES], &*router_catalogue::indexed().2].concat());
    seeds
}

#[test]
fn every_input_of_the_corpus_is_opened_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/router_catalogue");
    if std::env::var_os("SHAPE_ROUTER_WRITE_SEEDS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (number, bytes) in seeds().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), bytes).unwrap();
        }
    }
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let outcome = std::panic::catch_unwind(|| router_catalogue::check(&bytes));
        assert!(outcome.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs > 20, "{} has only {inputs} inputs", folder.display());
}

/// The seeds, each byte changed in turn: what a fuzzer would do in its first minute.
#[test]
fn what_is_close_to_an_input_is_opened_or_refused() {
    let mut random = fastrand::Rng::with_seed(5);
    let all = seeds();
    for _ in 0..durable_support::histories(4000) {
        let mut bytes = all[random.usize(0..all.len())].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(1..bytes.len());
            match random.u8(0..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.usize(0..5)],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let outcome = std::panic::catch_unwind(|| router_catalogue::check(&bytes));
        assert!(outcome.is_ok(), "{bytes:?} fails");
    }
}
