//! What the fuzzers' committed inputs must hold, without a fuzzer: every input that once failed, and
//! the corpus that reaches what the fuzzers have reached.

#[path = "../../fuzz/checks/row_bytes.rs"]
mod row_bytes;
#[path = "../../fuzz/checks/where_sets.rs"]
mod where_sets;
#[path = "../../fuzz/checks/where_text.rs"]
mod where_text;

use std::path::Path;

/// Every input of a target: file name and bytes.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).expect("the corpus is part of the repository");
    let inputs: Vec<_> = files
        .map(|file| {
            let path = file.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a readable file"))
        })
        .collect();
    assert!(inputs.len() > 20, "{} has only {} inputs", folder.display(), inputs.len());
    inputs
}

/// Runs all of them; a failure names its input.
fn replay(target: &str, check: fn(&[u8])) {
    for (name, bytes) in inputs(target) {
        let outcome = std::panic::catch_unwind(|| check(&bytes));
        assert!(outcome.is_ok(), "native/fuzz/corpus/{target}/{name} fails");
    }
}

#[test]
fn every_text_of_the_corpus_is_answered_or_refused() {
    replay("where_text", |bytes| {
        if let Ok(clause) = std::str::from_utf8(bytes) {
            where_text::check(clause);
        }
    });
}

/// The clauses of both fuzzers, and changes of those that have subqueries.
#[test]
fn every_text_of_the_corpora_keeps_what_is_said_of_its_sets() {
    let more = std::env::var("SETS_CHANGES").ok().and_then(|n| n.parse::<usize>().ok());
    let seeds = include_str!("../../fuzz/seeds/where_sets.txt");
    let mut random = fastrand::Rng::with_seed(11);
    let words =
        [" AND ", " OR ", "NOT ", " IS NULL", "(SELECT 1)", " IN ", "a", "b", "(", ")", "1"];
    for seed in seeds.lines() {
        where_sets::check(seed);
        for _ in 0..more.unwrap_or(40) {
            let mut changed = seed.to_owned();
            for _ in 0..1 + random.usize(..3) {
                let places: Vec<usize> = changed.char_indices().map(|(at, _)| at).collect();
                let Some(at) = (!places.is_empty()).then(|| places[random.usize(..places.len())])
                else {
                    continue;
                };
                match random.u8(..3) {
                    0 => drop(changed.remove(at)),
                    1 => changed.insert_str(at, words[random.usize(..words.len())]),
                    _ => changed.truncate(at),
                }
            }
            let outcome = std::panic::catch_unwind(|| where_sets::check(&changed));
            assert!(outcome.is_ok(), "{changed:?} fails");
        }
    }
    replay("where_text", |bytes| {
        if let Ok(clause) = std::str::from_utf8(bytes) {
            where_sets::check(clause);
        }
    });
}

#[test]
fn every_row_of_the_corpus_is_read_or_refused() {
    replay("row_bytes", row_bytes::check);
}
