//! A circuit that was written and read again is the same circuit; a file that is not what was written
//! is refused, whatever was done to it.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{ints, shown, table};
use lane_index::storage::Storage;
use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimStorage};
use shape_expr::{Column, ColumnType, Options, Param, Type};
use view_circuit::{Cell, Circuit, Error, Format, IngestBatch, Plan, TableSpec, ViewId};

const FILE: &str = "circuit.snap";

/// A type, and texts as PostgreSQL prints them.
const VALUES: &[(&str, &[&str])] = &[
    ("boolean", &["t", "f"]),
    ("smallint", &["-32768", "32767", "0"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("real", &["0.1", "-0", "NaN", "Infinity", "1e-45", "3.4028235e+38"]),
    ("double precision", &["0.1", "-0", "NaN", "-Infinity", "5e-324", "1.7976931348623157e+308"]),
    ("numeric", &["0", "0.000", "1.0", "1.00", "NaN", "Infinity", "-12345678901234567890.12345"]),
    ("numeric(5,2)", &["999.99", "-0.10"]),
    ("text", &["", "a", " b ", "ä\u{1f600}", "a\nb\\c'd\"e"]),
    ("character varying(10)", &["", "abc  "]),
    ("character(4)", &["    ", "ab  ", "abcd"]),
    ("name", &["pg_class"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("bytea", &["\\x", "\\x00ff"]),
    (
        "timestamp with time zone",
        &["2024-02-29 12:34:56.789+00", "infinity", "-infinity", "0044-03-15 00:00:00+00 BC"],
    ),
    ("timestamp(3) without time zone", &["2024-02-29 12:34:56.789", "294276-12-31 23:59:59.999"]),
    ("date", &["2024-02-29", "infinity", "4713-01-01 BC"]),
    ("time without time zone", &["00:00:00", "24:00:00", "12:34:56.000001"]),
    ("time with time zone", &["12:34:56+05:30", "00:00:00-15:59:59"]),
    ("interval", &["00:00:00", "1 year 2 mons -3 days +04:05:06.789", "-178956970 years -8 mons"]),
    ("json", &["{\"a\" : 1, \"a\":2}", "null", " [1 ,2]"]),
    ("jsonb", &["{\"a\": 1.00, \"b\": [null, true, \"x\"]}", "null", "\"\"", "-0.10"]),
    ("oid", &["0", "4294967295"]),
    ("integer[]", &["{}", "{1,NULL,-3}", "{{1,2},{3,4}}", "[2:3]={5,6}"]),
    ("text[]", &["{\"\",NULL,\"NULL\",\"a,b\",\"\\\"\"}"]),
    ("numeric[]", &["{1.0,1.00}"]),
];

/// One table with a column of every type.
fn every_type() -> Circuit {
    let mut columns = vec![Column::new("id", ColumnType::new(Type::Int8))];
    for (at, (ty, _)) in VALUES.iter().enumerate() {
        columns.push(Column::new(&format!("c{at}"), ty.parse().expect(ty)));
    }
    let mood = ColumnType::enumeration(&["sad", "o'k \"", "happy"]);
    columns.push(Column::new("mood", mood.clone().named("mood")));
    columns.push(Column::new("moods", mood.array_of()));
    columns.push(Column::new(
        "exact",
        "text".parse::<ColumnType>().expect("text").collated("C").expect("one"),
    ));
    let spec = TableSpec::new("Every", columns, &["id"]);
    let mut circuit = Circuit::new(vec![spec], Options::default()).expect("a table");
    let longest = VALUES.iter().map(|(_, texts)| texts.len()).max().expect("one");
    let mut batch = IngestBatch::new();
    for row in 0..=longest {
        let value = |texts: &[&str]| texts.get(row).map_or(Cell::Null, |text| Cell::from(*text));
        let mut cells = vec![Cell::from(row as i64)];
        cells.extend(VALUES.iter().map(|(_, texts)| value(texts)));
        cells.extend([
            value(&["o'k \"", "sad"]),
            value(&["{happy,\"o'k \\\"\",NULL}"]),
            value(&["x"]),
        ]);
        batch.create("Every", cells);
    }
    circuit.step(&batch).expect("rows");
    circuit.register(ViewId(1), "SELECT * FROM \"Every\"", &[], Format::Flat).expect("a view");
    circuit
}

/// Two tables, rows with versions, and views of all kinds.
fn small() -> Circuit {
    let a = table("a", &[("id", "int8"), ("x", "int8"), ("n", "numeric")], &["id"]);
    let b = table("app.b", &[("id", "int4"), ("a_id", "int8"), ("t", "text")], &["id", "t"]);
    let mut options = Options::default();
    options.time_zone = "Europe/Vienna".to_owned();
    options.ascii_case = true;
    let mut circuit = Circuit::new(vec![a, b], options).expect("tables");
    let mut batch = IngestBatch::new();
    for id in 0..20 {
        let row: Vec<Cell> = vec![id.into(), (id % 3).into(), Cell::from("1.50")];
        batch.create("a", view_circuit::Record::from(row).version(id as u64 * 1000));
        batch.create("app.b", vec![id.into(), (id / 2).into(), Cell::from("ä")]);
    }
    circuit.step(&batch).expect("rows");
    let params =
        [Param::Int(-1), Param::Text("ä"), Param::Null, Param::Float(0.5), Param::Bool(true)];
    let sql = "SELECT a.id, b.t FROM a JOIN app.b b ON b.a_id = a.id \
        WHERE x > $1 AND t = $2 AND ($3::int8 IS NULL) AND n > $4 AND $5";
    circuit.register(ViewId(7), sql, &params, Format::Flat).expect("a view");
    let streaming = "SELECT id FROM a WHERE x IN (SELECT id FROM app.b)";
    circuit.register(ViewId(u64::MAX), streaming, &[], Format::Streaming).expect("a view");
    let plan = Plan::scan("a")
        .filter("x = $1")
        .and_then(|plan| plan.join(Plan::scan("app.b").alias("c"), [("id", "a_id")]))
        .and_then(|plan| {
            plan.anti_join(Plan::scan("a").alias("d").filter("x = 2")?, [("c.id", "id")])
        })
        .and_then(|plan| plan.project([("c.t || '!'", "shout"), ("a.id", "id")]))
        .expect("a plan");
    circuit.register_plan(ViewId(3), &plan, &[Param::Int(1)], Format::Flat).expect("a view");
    let plan = Plan::scan("a")
        .aggregate(["x"], [("x", "x"), ("count(*)", "n")])
        .and_then(|plan| plan.having("count(*) > 1"))
        .and_then(|plan| plan.union(Plan::scan("app.b").project(["a_id", "id"])?, true))
        .and_then(|plan| plan.top_k(["1 DESC", "n"], Some(4), 1))
        .expect("a plan");
    circuit.register_plan(ViewId(4), &plan, &[], Format::Flat).expect("a view");
    circuit
}

fn same(a: &Circuit, b: &Circuit, views: &[u64]) {
    for view in views.iter().map(|id| ViewId(*id)) {
        assert_eq!(a.columns(view), b.columns(view));
        assert_eq!(a.hash(view), b.hash(view), "view {view}");
        let rows = |circuit: &Circuit| {
            let rows = circuit.rows(view).expect("a view");
            rows.map(|(key, row)| (key.clone(), row.to_vec())).collect::<Vec<_>>()
        };
        assert_eq!(rows(a), rows(b), "view {view}");
        assert_eq!(shown(a, view), shown(b, view));
    }
    assert_eq!(a.stats(), b.stats());
}

fn written(circuit: &Circuit, mark: u64) -> Vec<u8> {
    let storage = SimStorage::new();
    circuit.snapshot_to(&storage, mark).expect("written");
    storage.read(FILE).expect("it is there")
}

fn read(bytes: Vec<u8>) -> Result<(Circuit, u64), Error> {
    let storage = SimStorage::new();
    storage.put(FILE, bytes);
    Circuit::restore_from(&storage)
}

#[test]
fn values_of_every_type_come_back_bit_by_bit() {
    let circuit = every_type();
    let (restored, mark) = read(written(&circuit, u64::MAX)).expect("read");
    assert_eq!(mark, u64::MAX);
    same(&circuit, &restored, &[1]);
    // Every column took what it was given.
    let view = shown(&restored, ViewId(1));
    for (at, (ty, texts)) in VALUES.iter().enumerate() {
        for (row, text) in view.iter().zip(*texts) {
            assert_eq!(row[at + 1], *text, "{ty}");
        }
    }
}

#[test]
fn a_restored_circuit_goes_on_as_the_one_before() {
    let folder = tempfile::tempdir().expect("a directory");
    let mut circuit = small();
    circuit.snapshot(folder.path(), 41).expect("written");
    circuit.snapshot(folder.path(), 42).expect("written again");
    let (mut restored, mark) = Circuit::restore(folder.path()).expect("read");
    assert_eq!(mark, 42);
    same(&circuit, &restored, &[3, 4, 7, u64::MAX]);
    let version =
        |circuit: &Circuit| circuit.row("a", &ints(&[19])).expect("a table").expect("a row").1;
    assert_eq!(version(&restored), 19_000);
    let mut batch = IngestBatch::new();
    batch.update("a", ints(&[4]), ints(&[4, 0, 9])).delete("a", ints(&[7]));
    batch.create("app.b", vec![99.into(), 4.into(), Cell::from("ä")]);
    assert_eq!(circuit.step(&batch), restored.step(&batch));
    same(&circuit, &restored, &[3, 4, 7, u64::MAX]);
    // It is a snapshot's to give again, too.
    let (again, _) = read(written(&restored, 43)).expect("read");
    same(&circuit, &again, &[3, 4, 7, u64::MAX]);
    for id in [3, 4, 7, u64::MAX] {
        restored.unregister(ViewId(id)).expect("a view");
    }
    let (empty, _) = read(written(&restored, 44)).expect("read");
    assert_eq!(empty.stats().nodes, 0);
}

#[test]
fn a_file_that_is_cut_or_garbled_anywhere_is_refused() {
    let bytes = written(&small(), 5);
    for end in 0..bytes.len() {
        let error = read(bytes[..end].to_vec()).expect_err("cut off");
        assert_eq!(error.code(), "damaged", "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut garbled = bytes.clone();
            garbled[at] ^= bit;
            let error = read(garbled).expect_err("garbled");
            assert_eq!(error.code(), "damaged", "garbled at {at}: {error}");
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(read(longer).expect_err("longer").code(), "damaged");
}

#[test]
fn blocks_that_are_sealed_but_wrong_are_refused() {
    // As a defect of a writer would leave them: each byte changed, and the checksums made right.
    let bytes = written(&small(), 5);
    let salt = u64::from_le_bytes(bytes[24..32].try_into().expect("8 bytes"));
    let mut blocks = Vec::new();
    let mut at = 64;
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().expect("4 bytes"));
        blocks.push(at..at + 32 + length as usize);
        at += 32 + length as usize;
    }
    assert!(blocks.len() >= 5);
    let mut refused = 0;
    for block in blocks {
        for at in block.start + 8..block.end {
            for value in [0, 1, 0x7f, 0xff, bytes[at] ^ 1] {
                let mut garbled = bytes.clone();
                garbled[at] = value;
                let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(
                    &garbled[block.start + 8..block.end],
                    salt,
                );
                garbled[block.start..block.start + 8].copy_from_slice(&checksum.to_le_bytes());
                // Another value may be as good; a refusal has a code.
                if let Err(error) = read(garbled) {
                    assert!(!error.code().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100);
}

#[test]
fn another_version_is_told_from_damage_and_left_alone() {
    let mut bytes = written(&small(), 5);
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&checksum.to_le_bytes());
    let error = read(bytes).expect_err("another version");
    assert_eq!(error, Error::UnknownVersion { path: FILE.to_owned(), version: 2, supported: 1 });
}

#[test]
fn there_may_be_none() {
    let folder = tempfile::tempdir().expect("a directory");
    let error = Circuit::restore(folder.path()).expect_err("none");
    assert!(matches!(error, Error::Io { kind: std::io::ErrorKind::NotFound, .. }), "{error}");
    let nowhere = folder.path().join("nowhere");
    let error = Circuit::restore(&nowhere).expect_err("none");
    assert!(matches!(error, Error::Io { kind: std::io::ErrorKind::NotFound, .. }), "{error}");
    assert!(!nowhere.exists());
}

#[test]
fn a_power_cut_leaves_the_old_one_or_the_new_one() {
    let old = small();
    let mut new = small();
    let mut batch = IngestBatch::new();
    batch.delete("a", ints(&[3]));
    new.step(&batch).expect("a step");
    let disk = SimStorage::new();
    old.snapshot_to(&disk, 1).expect("written");
    let steps = {
        let faulty = FaultStorage::new(Arc::new(disk.kill()), Faults::new());
        new.snapshot_to(&faulty, 2).expect("written");
        faulty.faults().operations()
    };
    let mut marks = [0, 0];
    for nth in 1..=steps + 1 {
        for effect in [Effect::Nothing, Effect::Half, Effect::All] {
            let disk = disk.kill();
            let faulty = FaultStorage::new(Arc::new(disk.clone()), Faults::new());
            faulty.faults().arm(Fault { effect, ..Fault::nth(nth) });
            let done = new.snapshot_to(&faulty, 2);
            for seed in 0..20 {
                let after = disk.crash(seed);
                let (restored, mark) = Circuit::restore_from(&after).expect("one of them");
                assert!(done.is_err() || mark == 2, "what was written is there");
                same(if mark == 1 { &old } else { &new }, &restored, &[3, 4, 7]);
                marks[mark as usize - 1] += 1;
                // And the next one can be written.
                old.snapshot_to(&after, 9).expect("written");
                assert_eq!(Circuit::restore_from(&after).expect("read").1, 9);
            }
        }
    }
    assert!(marks[0] > 0 && marks[1] > 0, "{marks:?}");
}

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/snapshot")
}

/// Version 1 as it was first written, and as it was damaged.
#[test]
fn version_1_is_read_for_ever() {
    let (restored, mark) = Circuit::restore(fixtures().join("v1")).expect("the fixture");
    assert_eq!(mark, 0x0123_4567_89ab_cdef);
    same(&small(), &restored, &[3, 4, 7, u64::MAX]);
    let (restored, mark) = Circuit::restore(fixtures().join("v1-types")).expect("the fixture");
    assert_eq!(mark, 1);
    same(&every_type(), &restored, &[1]);
    for (folder, offset) in [("v1-cut", 3000), ("v1-garbled", 100)] {
        let error = Circuit::restore(fixtures().join(folder)).expect_err("damaged");
        let Error::Damaged { offset: found, .. } = &error else { panic!("{error}") };
        assert!(*found <= offset, "{error}");
    }
}

/// Writes the fixtures; only for a new version.
#[test]
#[ignore = "fixtures are frozen"]
fn write_the_fixtures() {
    let folder = fixtures();
    small().snapshot(folder.join("v1"), 0x0123_4567_89ab_cdef).expect("written");
    every_type().snapshot(folder.join("v1-types"), 1).expect("written");
    let mut bytes = std::fs::read(folder.join("v1").join(FILE)).expect("it is there");
    for (damage, length) in [("v1-cut", bytes.len() * 2 / 3), ("v1-garbled", bytes.len())] {
        std::fs::create_dir_all(folder.join(damage)).expect("a directory");
        std::fs::write(folder.join(damage).join(FILE), &bytes[..length]).expect("written");
        bytes[100] ^= 4;
    }
}

#[test]
fn a_directory_is_what_a_storage_is() {
    let folder = tempfile::tempdir().expect("a directory");
    small().snapshot(folder.path().join("deep/er"), 1).expect("written");
    let names = lane_index::storage::Directory::open(folder.path().join("deep/er")).expect("open");
    assert_eq!(names.list().expect("names"), [FILE]);
}
