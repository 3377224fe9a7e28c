//! Rows as they stand now: by their keys, and whole tables from one snapshot.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_wal::Error;
use pg_wal::query::{Reader, Rows, Scan, Snapshot};
use pg_wal::source::{Options, TableName};
use std::time::Duration;
use support::live::{Consumer, database, options, sql};

fn reader(database: &str) -> Reader {
    Reader::new(options(database, &["none"])).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Rows as text, NULL as `-`.
fn text(rows: &Rows) -> Vec<String> {
    let value = |value: Option<&[u8]>| {
        value.map_or("-".to_owned(), |bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    rows.rows.iter().map(|row| row.values().map(value).collect::<Vec<_>>().join("|")).collect()
}

fn key<'a>(values: &[&'a str]) -> Vec<Option<&'a [u8]>> {
    values.iter().map(|value| Some(value.as_bytes())).collect()
}

#[test]
fn rows_come_by_their_keys_and_what_is_gone_does_not() {
    database(
        "bykey",
        "CREATE TABLE t (a int8, b text, c text, d numeric, PRIMARY KEY (b, a));
        INSERT INTO t VALUES (1, 'x', NULL, 1.50), (2, 'it''s', '', 2), (3, '\\', 'z', NULL)",
    );
    let mut reader = reader("bykey");
    let table = TableName::new("public", "t");
    let keys = [key(&["x", "1"]), key(&["it's", "2"]), key(&["x", "2"]), key(&["\\", "3"])];
    let rows = reader.read(&table, &names(&["b", "a"]), &keys, None).unwrap();
    assert_eq!(rows.columns, ["a", "b", "c", "d"]);
    assert_eq!(text(&rows), ["1|x|-|1.50", "2|it's||2", "3|\\|z|-"]);
    // Only what is asked for, the key first.
    let some = Some(names(&["d", "a"]));
    let rows = reader.read(&table, &names(&["b", "a"]), &keys[..1], some.as_deref()).unwrap();
    assert_eq!((rows.columns.join(","), text(&rows)), ("b,a,d".into(), vec!["x|1|1.50".into()]));
    // Many keys are several portions.
    let numbers: Vec<String> = (0..2_500).map(|n| n.to_string()).collect();
    let many: Vec<_> = numbers.iter().map(|n| key(&["x", n])).collect();
    assert_eq!(
        text(&reader.read(&table, &names(&["b", "a"]), &many, None).unwrap()),
        ["1|x|-|1.50"]
    );
    assert!(reader.read(&table, &names(&["b", "a"]), &[], None).unwrap().rows.is_empty());
}

#[test]
fn hostile_names_and_values_stay_names_and_values() {
    database(
        "hostile",
        "CREATE SCHEMA \"s\"\". x\"; CREATE TABLE \"s\"\". x\".\"t'; DROP\"
        (\"k\"\" = $2 --\" text PRIMARY KEY, \"select\" text, n int GENERATED ALWAYS AS (1) STORED);
        INSERT INTO \"s\"\". x\".\"t'; DROP\" VALUES ('''; DROP TABLE t; --', 'kept')",
    );
    let mut reader = reader("hostile");
    let table = TableName::new("s\". x", "t'; DROP");
    let keys = [key(&["'; DROP TABLE t; --"])];
    let rows = reader.read(&table, &names(&["k\" = $2 --"]), &keys, None).unwrap();
    // What the WAL does not carry (a generated column) does not come.
    assert_eq!(rows.columns, ["k\" = $2 --", "select"]);
    assert_eq!(text(&rows), ["'; DROP TABLE t; --|kept"]);
}

#[test]
fn what_cannot_be_read_is_told_and_the_reader_goes_on() {
    database(
        "told",
        "CREATE TABLE t (id int8 PRIMARY KEY, body text); INSERT INTO t VALUES (7, 'b');
        CREATE VIEW v AS SELECT * FROM t",
    );
    let mut reader = reader("told");
    let (id, seven) = (names(&["id"]), [key(&["7"])]);
    let table = TableName::new("public", "t");
    for missing in ["gone", "v", "T"] {
        let missing = TableName::new("public", missing);
        match reader.read(&missing, &id, &seven, None) {
            Err(Error::TableMissing { table }) => assert_eq!(table, missing),
            other => panic!("{:?}", other.map(|rows| text(&rows))),
        }
    }
    let sqlstate = |result: Result<Rows, Error>| match result {
        Err(Error::Server { code, .. }) => code,
        other => panic!("{:?}", other.map(|rows| text(&rows))),
    };
    assert_eq!(sqlstate(reader.read(&table, &names(&["nope"]), &seven, None)), "42703");
    assert_eq!(sqlstate(reader.read(&table, &id, &seven, Some(&names(&["nope"])))), "42703");
    assert_eq!(sqlstate(reader.read(&table, &id, &[key(&["seven"])], None)), "22P02");
    // An error in the middle of a portion leaves nothing behind.
    let keys = [key(&["7"]), key(&["x"]), key(&["7"])];
    assert_eq!(sqlstate(reader.read(&table, &id, &keys, None)), "22P02");
    for (key_columns, keys) in [(&id[..], vec![key(&["7", "8"])]), (&[], vec![key(&[])])] {
        let refused = reader.read(&table, key_columns, &keys, None);
        assert!(matches!(refused, Err(Error::InvalidOption { option: "keys", .. })));
    }
    assert_eq!(text(&reader.read(&table, &id, &seven, None).unwrap()), ["7|b"]);
    // A policy must not make rows look deleted.
    sql(
        "told",
        "CREATE ROLE reader LOGIN; GRANT SELECT ON t TO reader;
        ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    );
    let mut restricted =
        Reader::new(Options { user: "reader".into(), ..options("told", &["none"]) }).unwrap();
    assert_eq!(sqlstate(restricted.read(&table, &id, &seven, None)), "42501");
}

#[test]
fn a_lost_connection_is_made_again() {
    database("lost", "CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (7)");
    let mut reader = reader("lost");
    let (table, id, seven) = (TableName::new("public", "t"), names(&["id"]), [key(&["7"])]);
    for _ in 0..3 {
        assert_eq!(text(&reader.read(&table, &id, &seven, None).unwrap()), ["7"]);
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = 'lost' AND application_name = 'shape_router'";
        assert_eq!(sql("postgres", kill), "1");
    }
    // In the middle: it waits for a lock when it is killed, and reads after that.
    let locked = std::thread::spawn(|| {
        sql("lost", "BEGIN; LOCK TABLE t; SELECT pg_sleep(1.5); INSERT INTO t VALUES (8); COMMIT")
    });
    let killer = std::thread::spawn(|| {
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = 'lost' AND application_name = 'shape_router' AND wait_event_type = 'Lock'";
        while sql("postgres", kill) != "1" {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(text(&reader.read(&table, &id, &[key(&["8"])], None).unwrap()), ["8"]);
    killer.join().unwrap();
    locked.join().unwrap();
}

#[test]
fn who_cannot_connect_says_so_in_time() {
    let nowhere = Options { port: 1, timeout: Duration::from_millis(700), ..Options::default() };
    let began = std::time::Instant::now();
    let table = TableName::new("public", "t");
    let result = Reader::new(nowhere).unwrap().read(&table, &names(&["id"]), &[key(&["1"])], None);
    assert!(matches!(result, Err(Error::Io { doing: "connecting", .. })));
    assert!(began.elapsed() < Duration::from_secs(5));
    // A statement that waits too long is the server's error.
    database("slow", "CREATE TABLE t (id int8 PRIMARY KEY)");
    let locked = std::thread::spawn(|| sql("slow", "BEGIN; LOCK TABLE t; SELECT pg_sleep(3)"));
    std::thread::sleep(Duration::from_millis(700));
    let hasty = Options { timeout: Duration::from_millis(600), ..options("slow", &["none"]) };
    match Reader::new(hasty).unwrap().read(&table, &names(&["id"]), &[key(&["1"])], None) {
        Err(Error::Server { code, .. }) => assert_eq!(code, "57014"),
        other => panic!("{:?}", other.map(|rows| text(&rows))),
    }
    locked.join().unwrap();
}

#[test]
fn a_scan_shows_one_snapshot_and_says_which() {
    database(
        "scan",
        "CREATE TABLE t (id int8 PRIMARY KEY, body text);
        CREATE TABLE child () INHERITS (t); INSERT INTO child VALUES (-1, 'of another table');
        INSERT INTO t SELECT n, repeat('x', 2000) FROM generate_series(1, 3000) n",
    );
    let options = options("scan", &["none"]);
    let table = TableName::new("public", "t");
    let mut scan = Scan::begin(&options, &table, None).unwrap();
    let xid =
        sql("scan", "BEGIN; INSERT INTO t VALUES (5000, 'later'); SELECT txid_current(); COMMIT");
    let xid: u64 = xid.parse().unwrap();
    let Snapshot { xmin, xmax, xip, lsn } = scan.snapshot().clone();
    let now: pg_wal::Lsn = sql("scan", "SELECT pg_current_wal_insert_lsn()").parse().unwrap();
    assert!(lsn.0 > 0 && lsn < now);
    assert!(xmin <= xmax && xid >= xmax && xip.iter().all(|&x| x >= xmin && x < xmax));
    let (mut ids, mut portions) = (Vec::new(), 0);
    loop {
        let rows = scan.next_rows().unwrap();
        assert_eq!(rows.columns, ["id", "body"]);
        if rows.rows.is_empty() {
            break;
        }
        portions += 1;
        let bytes: usize = text(&rows).iter().map(String::len).sum();
        assert!(bytes < 3 << 20, "{bytes}");
        ids.extend(
            text(&rows).iter().map(|row| row.split('|').next().unwrap().parse::<i64>().unwrap()),
        );
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=3000).collect::<Vec<_>>());
    assert!(portions > 3);
    assert!(scan.next_rows().unwrap().rows.is_empty());
    // One that runs while the snapshot is taken is not shown, and said to be running.
    let running = std::thread::spawn(|| {
        sql(
            "scan",
            "BEGIN; DELETE FROM t WHERE id = 1; SELECT txid_current(), pg_sleep(1.5); COMMIT",
        )
    });
    std::thread::sleep(Duration::from_millis(700));
    let scan = Scan::begin(&options, &table, None).unwrap();
    let xid: u64 = running.join().unwrap().trim_end_matches('|').parse().unwrap();
    assert!(scan.snapshot().xip.contains(&xid) || xid >= scan.snapshot().xmax);
    // A connection lost in the middle ends it.
    let mut scan = Scan::begin(&options, &table, None).unwrap();
    sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'scan'",
    );
    assert!(scan.next_rows().is_err_and(|error| error.is_transient()));
    assert!(matches!(
        Scan::begin(&options, &TableName::new("public", "no"), None),
        Err(Error::TableMissing { .. })
    ));
}

#[test]
fn values_have_the_forms_of_the_wal() {
    let types = [
        ("bool", "true"),
        ("int2", "-5"),
        ("float4", "0.1"),
        ("float8", "1e-30"),
        ("numeric", "1.500"),
        ("char(4)", "'ab'"),
        ("bytea", "'\\x00ff'"),
        ("date", "'0044-03-15 BC'"),
        ("timestamptz", "'2024-02-29 23:59:59.5+05:30'"),
        ("timetz", "'10:00+02'"),
        ("interval", "'1 year -2 days 03:04:05.6'"),
        ("jsonb", "'{\"b\": 1, \"a\": [null]}'"),
        ("json", "'{\"b\" :1}'"),
        ("text[]", "'{a,NULL,\"x y\",\"\"}'"),
        ("int4[]", "'{{1,2},{3,4}}'"),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
        ("inet", "'10.0.0.1/8'"),
        ("point", "'(1,2)'"),
        ("int4range", "'[1,5]'"),
        ("bit(3)", "B'101'"),
        ("money", "'$1,234.50'"),
        ("xml", "'<a/>'"),
        ("tsvector", "'b a'"),
        ("pg_lsn", "'1/2A'"),
        ("mood", "'so ''so'''"),
        ("pair", "'(1,\"a,b\")'"),
        ("text", "E'tab\\t, line\\n, \\\\ and \u{e4}'"),
        ("oid", "7"),
        ("float8", "'NaN'"),
    ];
    let columns: Vec<String> =
        types.iter().enumerate().map(|(n, (name, _))| format!("c{n} {name}")).collect();
    let values: Vec<&str> = types.iter().map(|(_, value)| *value).collect();
    // What roles and databases set must not matter.
    database("forms", &format!("CREATE TYPE mood AS ENUM ('so ''so'''); CREATE TYPE pair AS (n int, t text);
        CREATE TABLE t (id int8 PRIMARY KEY, {});
        ALTER DATABASE forms SET \"TimeZone\" = 'Asia/Tokyo'; ALTER DATABASE forms SET \"DateStyle\" = 'German';
        ALTER DATABASE forms SET bytea_output = 'escape'; ALTER DATABASE forms SET extra_float_digits = -5;
        ALTER DATABASE forms SET \"IntervalStyle\" = 'iso_8601'", columns.join(", ")));
    let consumer = Consumer::start(options("forms", &["t"]));
    sql("forms", &format!("INSERT INTO t VALUES (1, {})", values.join(", ")));
    // The types that are not PostgreSQL's own are told before it.
    let told = consumer.changes().pop().unwrap();
    let mut reader = reader("forms");
    let rows = reader.read(&TableName::new("public", "t"), &names(&["id"]), &[key(&["1"])], None);
    let rows = rows.unwrap();
    let row: Vec<_> = rows.rows.first().unwrap().values().collect();
    let read: Vec<String> = rows
        .columns
        .iter()
        .zip(&row)
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.unwrap())))
        .collect();
    assert_eq!(told, format!("insert t {}", read.join(" ")));
    let mut scan =
        Scan::begin(&options("forms", &["t"]), &TableName::new("public", "t"), None).unwrap();
    assert_eq!(text(&scan.next_rows().unwrap()), text(&rows));
    consumer.stop();
}
