//! What the fuzzers' committed inputs must hold, without a fuzzer; and inputs near them.
//!
//! `SHAPE_LOG_WRITE_SEEDS=1` writes the seeds anew.

#[path = "../../fuzz/checks/chunk_index.rs"]
mod chunk_index;
#[path = "../../fuzz/checks/collapse.rs"]
mod collapse;
#[path = "../../fuzz/checks/log_redo.rs"]
mod log_redo;

use std::fs;
use std::path::{Path, PathBuf};

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// Runs all of them, and changes of them; a failure names its input.
fn replay(target: &str, seeds: &[(&str, Vec<u8>)], changes: u64, check: fn(&[u8])) {
    let folder = corpus(target);
    if std::env::var_os("SHAPE_LOG_WRITE_SEEDS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in seeds {
            fs::write(folder.join(format!("seed-{name}")), bytes).expect("written");
        }
    }
    let run = |bytes: &[u8], what: &str| {
        let outcome = std::panic::catch_unwind(|| check(bytes));
        assert!(outcome.is_ok(), "{what} fails: {:?}", String::from_utf8_lossy(bytes));
    };
    let files = fs::read_dir(&folder).expect("the corpus is part of the repository");
    let mut inputs = 0;
    let mut random = fastrand::Rng::with_seed(7);
    for file in files {
        let path = file.expect("an entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        run(&bytes, &path.display().to_string());
        for _ in 0..changes {
            let mut changed = bytes.clone();
            for _ in 0..random.usize(1..4) {
                if changed.is_empty() {
                    break;
                }
                let place = random.usize(..changed.len());
                match random.u8(0..4) {
                    0 => changed[place] ^= 1 << random.u8(0..8),
                    1 => drop(changed.remove(place)),
                    2 => changed.insert(
                        place,
                        *b"{}[],:\"\\0-9e.nullu\n \xff".get(random.usize(..21)).unwrap_or(&b'0'),
                    ),
                    _ => changed[place] = random.u8(b'0'..=b'9'),
                }
            }
            run(&changed, "a changed input");
        }
        inputs += 1;
    }
    assert!(inputs >= seeds.len(), "{} has only {inputs} inputs", folder.display());
}

#[test]
fn the_corpus_of_chunk_indexes_holds() {
    let index = chunk_index::sealed_chunks().read("index.json").expect("written");
    let text = String::from_utf8(index.clone()).expect("text");
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1).into_bytes()
    };
    let seeds = [
        ("whole", index),
        ("empty", Vec::new()),
        ("last-number", with("\"next_seq\":3", "\"next_seq\":18446744073709551615")),
        ("version-2", with("\"version\":1", "\"version\":2")),
        ("overlap", with("\"start\":\"1_0\"", "\"start\":\"0_5\"")),
        ("elsewhere", with("\"end\":\"2_0\"", "\"end\":\"9_0\"")),
        ("other-bytes", with("\"bytes\":9", "\"bytes\":8")),
        ("no-twin", with("\"gzip\":{", "\"gzip\":null,\"x\":{")),
        ("other-format", with("sealed_chunks", "sealed_things")),
    ];
    replay("chunk_index", &seeds, 60, chunk_index::check);
}

#[test]
fn the_corpus_of_compaction_holds() {
    let entry =
        |value: &str| format!("{{\"key\":\"1\",\"value\":{value},\"headers\":{{\"n\":1}}}}");
    let lines = |values: &[&str]| {
        values.iter().map(|value| entry(value)).collect::<Vec<_>>().join("\n").into_bytes()
    };
    let seeds = [
        ("two", lines(&["{\"a\":1}", "{\"b\":2}"])),
        ("same", lines(&["{\"a\":1,\"b\":null}", "{\"a\":{\"c\":[1,2]}}", "{\"a\":\"x\"}"])),
        ("escapes", lines(&["{\"\\u0061\":\"\\ud83d\\ude00\"}", "{\"a\":\"\\\"\\\\\"}"])),
        ("numbers", lines(&["{\"a\":1.10,\"b\":-0}", "{\"a\":12345678901234567890,\"c\":1e5}"])),
        ("foreign", lines(&["{\"a\":1}", "null", "{\"a\":2}", "{\"a\":3}"])),
        ("twice", lines(&["{\"a\":1,\"a\":2}", "{\"a\":2}", "{}"])),
        ("empty", Vec::new()),
        ("spaces", b" {\"headers\" : 1 , \"value\":{ \"a\" : [ ] } ,\"key\":[]} \n{\"key\":0,\"headers\":0,\"value\":{}}".to_vec()),
    ];
    replay("collapse", &seeds, 2_000, collapse::check);
}

#[test]
fn the_corpus_of_redo_records_holds() {
    let frames = |records: &[&[u8]]| {
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend_from_slice(&(record.len() as u16).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        bytes
    };
    // Kind; LSN, fragment, last; records; entries: log, operation, kind, key, JSON.
    let whole = b"\x01\x05\x00\x01\x01\x03\x09\x01r\x02\x01\x00\x01\x01k\x02{}\x02\x07\x82";
    let first = b"\x01\x06\x00\x00\x00\x01\x01\x00\x02\x01k\x02{}";
    let second = b"\x01\x06\x01\x01\x00\x01\x01\x05\x02\x01k\x02{}";
    let created = b"\x02\x02\x00\x01d";
    let awaiting = b"\x02\x03\x01\x00";
    let seeds = [
        ("created", frames(&[created, whole])),
        ("unknown-log", frames(&[whole])),
        ("fragments", frames(&[created, first, awaiting, second])),
        ("cut-off", frames(&[created, first])),
        ("begun-again", frames(&[first, first, second])),
        ("out-of-turn", frames(&[second])),
        ("removed", frames(&[created, whole, b"\x03\x02", created, first, second])),
        ("snapshot", frames(&[awaiting, b"\x04\x03\x40\x00\x00\x00\x00"])),
        ("no-snapshot", frames(&[awaiting, b"\x04\x03\xff\x01\x02\x03\x00\x05"])),
        ("records", frames(&[b"\x05\x02\x01\x01\x01a\x02\x01\x01b"])),
        ("twice", frames(&[created, created])),
        ("empty", Vec::new()),
        ("nothing", frames(&[b""])),
    ];
    replay("log_redo", &seeds, 60, log_redo::check);
}
