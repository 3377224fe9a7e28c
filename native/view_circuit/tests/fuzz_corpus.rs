//! What the fuzzers' committed inputs must hold, without a fuzzer; and inputs near them.
//!
//! `VIEW_CIRCUIT_WRITE_SEEDS=1` writes the seeds anew; `VIEW_CIRCUIT_CHANGES` is by how many times more
//! inputs near them are tried.

#[path = "../../fuzz/checks/view_batch.rs"]
mod view_batch;
#[path = "../../fuzz/checks/view_query.rs"]
mod view_query;
#[path = "../../fuzz/checks/view_snapshot.rs"]
mod view_snapshot;

use std::fs;
use std::path::Path;

/// Runs all of them, and changes of them; a failure names its input.
fn replay(target: &str, seeds: &[(&str, Vec<u8>)], changes: u64, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    if std::env::var_os("VIEW_CIRCUIT_WRITE_SEEDS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for (name, bytes) in seeds {
            fs::write(folder.join(format!("seed-{name}")), bytes).expect("written");
        }
    }
    let run = |bytes: &[u8], what: &str| {
        let outcome = std::panic::catch_unwind(|| check(bytes));
        assert!(outcome.is_ok(), "{what} fails: {:?}", bytes.escape_ascii().to_string());
    };
    let more = std::env::var("VIEW_CIRCUIT_CHANGES").ok().and_then(|n| n.parse::<u64>().ok());
    let changes = changes * more.unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(7);
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = file.expect("an entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        run(&bytes, &path.display().to_string());
        for _ in 0..changes {
            let mut changed = bytes.clone();
            for _ in 0..1 + random.usize(..3) {
                if !changed.is_empty() {
                    let at = random.usize(..changed.len());
                    changed[at] = random.u8(..);
                }
            }
            run(&changed, "a changed input");
        }
        inputs += 1;
    }
    assert!(inputs >= seeds.len(), "the corpus of {target} has only {inputs} inputs");
}

#[test]
fn every_query_is_kept_as_it_is_computed() {
    let queries = [
        ("all", "SELECT * FROM a"),
        ("filter", "SELECT id FROM a WHERE x = 1"),
        ("raises", "SELECT id, 10 / x FROM a WHERE n > 0"),
        ("range", "SELECT id FROM a WHERE x > 1 AND x <= 3"),
        ("join", "SELECT a.id, b.t FROM a JOIN b ON b.a_id = a.id WHERE a.x > 1"),
        ("self", "SELECT u.id, v.id FROM a u JOIN a v ON u.x = v.x WHERE u.n < v.n"),
        ("cross", "SELECT a.id FROM a, b WHERE b.t = 'a'"),
        ("in", "SELECT id FROM a WHERE x IN (SELECT a_id FROM b WHERE t <> '')"),
        ("not-in", "SELECT id FROM a WHERE x NOT IN (SELECT a_id FROM b)"),
        ("exists", "SELECT id FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.a_id = a.x)"),
        ("mark", "SELECT id FROM a WHERE x = 1 OR x IN (SELECT a_id FROM b)"),
        ("distinct", "SELECT DISTINCT n FROM a"),
        ("in-list", "SELECT id FROM b WHERE t IN ('a', 'b', NULL) OR a_id BETWEEN 1 AND 3"),
        (
            "group",
            "SELECT x, count(*), sum(n), min(n), avg(n) FROM a GROUP BY x HAVING count(*) > 1",
        ),
        ("top", "SELECT id, n FROM a ORDER BY n DESC NULLS LAST, id LIMIT 2 OFFSET 1"),
        ("union", "SELECT x FROM a UNION SELECT a_id FROM b"),
        ("except", "SELECT x FROM a EXCEPT ALL SELECT a_id FROM b"),
    ];
    let mut random = fastrand::Rng::with_seed(3);
    let mut seed = |(name, sql): (&'static str, &str)| {
        let mut bytes = sql.as_bytes().to_vec();
        bytes.push(0);
        // Rows of both tables first, each in its own batch, then anything.
        for id in 0..8 {
            bytes.extend([192, id, random.u8(..), random.u8(..)]);
            bytes.extend([193, id, random.u8(..), random.u8(..)]);
        }
        (0..24).for_each(|_| bytes.extend(std::array::from_fn::<u8, 4, _>(|_| random.u8(..))));
        (name, bytes)
    };
    let seeds: Vec<(&str, Vec<u8>)> = queries.into_iter().map(&mut seed).collect();
    replay("view_query", &seeds, 40, view_query::check);
}

#[test]
fn every_batch_is_applied_or_refused_as_a_whole() {
    let mut random = fastrand::Rng::with_seed(5);
    let names = ["one", "two", "three", "four", "five", "six"];
    let seeds: Vec<(&str, Vec<u8>)> = names
        .into_iter()
        .map(|name| (name, (0..200).map(|_| random.u8(..)).collect()))
        .chain([("empty", Vec::new())])
        .collect();
    replay("view_batch", &seeds, 60, view_batch::check);
}

#[test]
fn every_snapshot_is_read_or_refused() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/snapshot");
    let mut seeds = vec![("empty", Vec::new())];
    for (name, folder) in [("small", "v1"), ("types", "v1-types")] {
        let file = fs::read(fixtures.join(folder).join("circuit.snap")).expect("a fixture");
        // Its numbers and blocks as the check wants them; the mark is cut to a byte.
        let mut bytes = vec![file[16], file[32], file[40], file[48]];
        let mut at = 64;
        while at < file.len() {
            let length = u32::from_le_bytes(file[at + 12..at + 16].try_into().expect("4 bytes"));
            if file[at + 8] != 4 {
                bytes.extend([file[at + 8], file[at + 24]]);
                bytes.extend((length as u16).to_le_bytes());
                bytes.extend(&file[at + 32..at + 32 + length as usize]);
            }
            at += 32 + length as usize;
        }
        seeds.push((name, bytes));
    }
    let whole = fs::read(fixtures.join("v1/circuit.snap")).expect("a fixture");
    seeds.push(("file", whole));
    replay("view_snapshot", &seeds, 300, view_snapshot::check);
}
