//! What the fuzzer's committed inputs must hold, without a fuzzer.
//!
//! `SHAPE_ROUTER_WRITE_SEEDS=1` writes the seeds anew.

#[path = "../../fuzz/checks/wal_change.rs"]
mod check;
mod support;

use check::{COLUMNS, END, MARKED_KEY, STAGED};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::fs;
use std::path::Path;
use support::{Step, Table, encode, other_table, step};

/// Messages as an input of the fuzzer; those that have the byte which ends one are left out.
fn input(how: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![how];
    for message in messages.iter().filter(|message| !message.contains(&END)) {
        out.extend_from_slice(message);
        out.push(END);
    }
    out
}

fn begin(lsn: u64) -> Vec<u8> {
    [&b"B"[..], &lsn.to_be_bytes(), &[0; 8], &[0, 0, 0, 7]].concat()
}

fn commit(lsn: u64) -> Vec<u8> {
    [&b"C\0"[..], &lsn.to_be_bytes(), &lsn.to_be_bytes(), &[0; 8]].concat()
}

/// Random steps: of a table, of transactions, within a streamed block.
fn random(runner: &mut TestRunner, how: u8) -> Vec<u8> {
    let streamed = how & check::PROTOCOL == 2;
    let xid = streamed.then_some(9);
    let mut table = Table::plain();
    let mut messages = vec![other_table(), support::relation(&table, support::OID, None)];
    if streamed {
        messages.push(b"S\0\0\0\x09\x01".to_vec());
    }
    for lsn in 1..4 {
        if how & STAGED != 0 && !streamed {
            messages.push(begin(lsn));
        }
        for _ in 0..5 {
            let step = step().new_tree(runner).expect("a step").current();
            if let Step::Relation(now) = &step {
                table = now.clone();
            }
            messages.push(encode(&step, &table, xid));
        }
        if how & STAGED != 0 && !streamed {
            messages.push(commit(lsn));
        }
    }
    if streamed {
        messages.push(b"E".to_vec());
    }
    input(how, &messages)
}

/// A value of each column, as text and in its binary form.
const VALUES: [(&str, u32, &[u8]); 12] = [
    ("3", 20, &[0, 0, 0, 0, 0, 0, 0, 3]),
    ("2", 23, &[0, 0, 0, 2]),
    ("ab", 25, b"a"),
    ("abc", 1043, b"abc"),
    ("t", 16, &[1]),
    ("1.50001", 1700, &[0; 8]),
    ("NaN", 701, &[0x7f, 0xf8, 0, 0, 0, 0, 0, 0]),
    ("{x,\"y\",NULL}", 1009, &[0; 12]),
    ("{\"k\": 1.0}", 3802, b"\x01{\"k\":1}"),
    (
        "00010203-0405-0607-0809-0a0b0c0d0e0f",
        2950,
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    ),
    ("\\x00", 17, &[0]),
    ("2020-06-01 12:00:00+02", 1184, &[0; 8]),
];

/// A row of all columns, inserted, updated with the old row and without it, deleted.
fn every_type(how: u8, form: u8) -> Vec<u8> {
    let mut relation = b"R\0\0\x40\x01public\0todos\0d\0\x0c".to_vec();
    for ((name, _), (_, oid, _)) in COLUMNS.iter().zip(VALUES) {
        relation.push(u8::from(*name == "id"));
        relation.extend_from_slice(name.as_bytes());
        relation.push(0);
        relation.extend(oid.to_be_bytes());
        relation.extend([0xff; 4]);
    }
    let mut tuple = vec![0, 12];
    for (text, _, binary) in VALUES {
        let value = if form == b't' { text.as_bytes() } else { binary };
        tuple.push(form);
        tuple.extend((value.len() as u32).to_be_bytes());
        tuple.extend_from_slice(value);
    }
    let row = |head: &[u8], tail: &[&[u8]]| {
        [&head[..1], &[0, 0, 0x40, 1], &head[1..], &tail.concat()].concat()
    };
    let mut key = vec![0, 12, b't', 0, 0, 0, 1, b'3'];
    key.extend([b'n'; 11]);
    input(
        how,
        &[
            relation,
            row(b"IN", &[&tuple]),
            row(b"UO", &[&tuple, b"N", &tuple]),
            row(b"UK", &[&key, b"N", &tuple]),
            row(b"UN", &[&tuple]),
            row(b"DK", &[&key]),
            row(b"DO", &[&tuple]),
        ],
    )
}

fn seeds() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let ways = [1, 2, 3, 1 | STAGED, 2 | STAGED, 1 | MARKED_KEY, 1 | MARKED_KEY | STAGED];
    let mut seeds: Vec<_> =
        ways.iter().flat_map(|&how| [how; 4]).map(|how| random(&mut runner, how)).collect();
    for how in [1, 1 | STAGED, 1 | MARKED_KEY] {
        seeds.extend([b't', b'b'].map(|form| every_type(how, form)));
    }
    seeds
}

#[test]
fn every_input_of_the_corpus_is_refused_or_answered_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/wal_change");
    if std::env::var_os("SHAPE_ROUTER_WRITE_SEEDS").is_some() {
        fs::create_dir_all(&folder).expect("a folder");
        for (number, bytes) in seeds().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), bytes).expect("written");
        }
    }
    let mut inputs = 0;
    for file in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = file.expect("an entry").path();
        let bytes = fs::read(&path).expect("a readable file");
        let outcome = std::panic::catch_unwind(|| check::check(&bytes));
        assert!(outcome.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs >= 30, "{} has only {inputs} inputs", folder.display());
}

/// The seeds, some bytes changed: what a fuzzer would do in its first minute.
#[test]
fn what_is_close_to_an_input_is_refused_or_answered_alike() {
    let mut random = fastrand::Rng::with_seed(11);
    let all = seeds();
    let long = std::env::var_os("SHAPE_ROUTER_LONG").is_some_and(|long| long != "0");
    for _ in 0..if long { 60_000 } else { 2_000 } {
        let mut bytes = all[random.usize(0..all.len())].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..4) {
                0 => bytes[at] = random.u8(..),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.usize(0..5)],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let outcome = std::panic::catch_unwind(|| check::check(&bytes));
        assert!(outcome.is_ok(), "{bytes:?} fails");
    }
}
