//! Slots, publications, authentication, encryption, snapshots: made, reused or refused.

#![allow(clippy::unwrap_used)] // helpers of tests, too

mod support;

use pg_fixture::Server;
use pg_wal::Error;
use pg_wal::source::{Event, Options, SslMode, State, TableName, Tables};
use std::process::Command;
use support::live::{Consumer, database, options, options_for, server, sql, wait_for};

/// The error that a source ends with.
fn refusal(options: Options) -> Error {
    let consumer = Consumer::without_credit(options);
    loop {
        match consumer.next() {
            Event::Stopped(Some(error)) => return error,
            Event::Disconnected { .. } => {}
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[test]
fn a_publication_gets_the_tables_it_lacks() {
    database(
        "lacks",
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE \"B c\" (id int PRIMARY KEY);
         CREATE PUBLICATION \"pub lacks\" FOR TABLE a",
    );
    let closed = Options { create_publication: false, ..options("lacks", &["a", "B c"]) };
    match refusal(closed) {
        Error::Publication { reason, .. } => assert_eq!(reason, "it does not have public.B c"),
        other => panic!("{other}"),
    }
    let consumer = Consumer::start(options("lacks", &["a", "B c"]));
    sql("lacks", "INSERT INTO a VALUES (1); INSERT INTO \"B c\" VALUES (2);");
    assert_eq!(consumer.changes(), ["insert a id=1"]);
    assert_eq!(consumer.changes(), ["insert B c id=2"]);
    consumer.stop();
}

#[test]
fn all_tables_may_be_published() {
    database("alltables", "CREATE TABLE a (id int PRIMARY KEY)");
    let consumer = Consumer::start(Options { tables: Tables::All, ..options("alltables", &["a"]) });
    sql("alltables", "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1);");
    assert_eq!(consumer.changes(), ["insert b id=1"]);
    consumer.stop();
    let shown = "SELECT pubviaroot, puballtables FROM pg_publication";
    assert_eq!(sql("alltables", shown), "t|t");
}

#[test]
fn a_publication_of_bare_partitions_is_refused() {
    database(
        "bare",
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE PUBLICATION \"pub bare\" FOR TABLE p",
    );
    assert!(matches!(refusal(options("bare", &["p"])), Error::Publication { .. }));
}

#[test]
fn a_missing_slot_or_publication_is_refused_where_it_may_not_be_made() {
    database("missing", "CREATE TABLE t (id int PRIMARY KEY)");
    let closed = Options { create_publication: false, ..options("missing", &["t"]) };
    assert!(matches!(refusal(closed), Error::Publication { .. }));
    let closed = Options { create_slot: false, ..options("missing", &["t"]) };
    assert!(matches!(refusal(closed), Error::SlotMissing { .. }));
    let table = Tables::Only(vec![TableName::new("public", "no_such_table")]);
    match refusal(Options { tables: table, publication: "x".into(), ..options("missing", &["t"]) })
    {
        Error::Server { code, .. } => assert_eq!(code, "42P01"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_slot_of_another_kind_is_refused() {
    database("kind", "CREATE TABLE t (id int PRIMARY KEY)");
    database("elsewhere", "SELECT pg_create_logical_replication_slot('slot_kind', 'pgoutput')");
    assert!(matches!(refusal(options("kind", &["t"])), Error::SlotMismatch { .. }));
}

#[test]
fn bad_options_are_refused_at_once() {
    type Change = fn(&mut Options);
    let refused = |change: Change| {
        let mut options = Options::default();
        change(&mut options);
        pg_wal::Source::start(options, |_| {}).unwrap_err()
    };
    let cases: [(&str, Change); 5] = [
        ("slot", |o| o.slot = "No".into()),
        ("publication", |o| o.publication = String::new()),
        ("tables", |o| o.tables = Tables::Only(vec![])),
        ("protocol", |o| o.protocol = Some(9)),
        ("fragment_bytes", |o| o.limits.fragment_bytes = 0),
    ];
    for (name, change) in cases {
        match refused(change) {
            Error::InvalidOption { option, .. } => assert_eq!(option, name),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_exported_snapshot_shows_what_was_before_the_stream() {
    database("snaps", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let options = Options { export_snapshot: true, ..options("snaps", &["t"]) };
    let consumer = Consumer::without_credit(options);
    consumer.handle.grant(10);
    let snapshot = match consumer.next() {
        Event::Started { slot_created: true, snapshot: Some(snapshot), .. } => snapshot,
        other => panic!("{other:?}"),
    };
    sql("snaps", "INSERT INTO t VALUES (2)");
    let seen = sql(
        "snaps",
        &format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{snapshot}';
             SELECT id FROM t; COMMIT;"
        ),
    );
    assert_eq!(seen, "1");
    assert_eq!(consumer.handle.status().state, State::HoldingSnapshot);
    consumer.handle.release_snapshot();
    assert_eq!(consumer.changes(), ["insert t id=2"]);
    consumer.stop();
}

#[test]
fn connects_through_the_unix_socket() {
    database("sockets", "CREATE TABLE t (id int PRIMARY KEY)");
    let host = server().socket_dir().to_str().unwrap().to_owned();
    let consumer = Consumer::start(Options { host, ..options("sockets", &["t"]) });
    sql("sockets", "INSERT INTO t VALUES (1)");
    assert_eq!(consumer.changes(), ["insert t id=1"]);
    consumer.stop();
}

#[test]
fn passwords_are_asked_for_and_checked() {
    let server = Server::start().unwrap();
    let sql = |text: &str| server.psql("postgres", text).unwrap();
    sql("CREATE TABLE t (id int PRIMARY KEY);
         CREATE ROLE s SUPERUSER REPLICATION LOGIN PASSWORD 'pässword ''x';
         SET password_encryption = 'md5';
         CREATE ROLE m SUPERUSER REPLICATION LOGIN PASSWORD 'old';");
    let hba = "local all all trust\n\
               host all s 127.0.0.1/32 scram-sha-256\nhost all m 127.0.0.1/32 md5\n\
               host all p 127.0.0.1/32 password\n";
    std::fs::write(server.data_dir().join("pg_hba.conf"), hba).unwrap();
    sql("CREATE ROLE p SUPERUSER REPLICATION LOGIN PASSWORD 'plain'; SELECT pg_reload_conf();");
    wait_for("the new rules", || {
        !server.psql("postgres", "SELECT count(*) FROM pg_hba_file_rules").unwrap().starts_with('0')
    });
    let with = |user: &str, password: Option<&str>| Options {
        user: user.into(),
        password: password.map(str::to_owned),
        slot: format!("slot_{user}"),
        ..options_for(&server, "postgres", &["t"])
    };
    for (user, password) in [("s", "pässword 'x"), ("m", "old"), ("p", "plain")] {
        Consumer::start(with(user, Some(password))).stop();
        match refusal(with(user, Some("wrong"))) {
            Error::Server { code, .. } => assert_eq!(code, "28P01"),
            other => panic!("{other}"),
        }
        assert!(matches!(refusal(with(user, None)), Error::Authentication { .. }));
    }
    match refusal(with("stranger", None)) {
        Error::Server { code, .. } => assert_eq!(code, "28000"),
        other => panic!("{other}"),
    }
}

#[test]
fn encryption_as_asked_for() {
    let mut server = Server::start().unwrap();
    server.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    let with = |server: &Server, ssl_mode, host: &str, slot: &str| Options {
        host: host.into(),
        ssl_mode,
        slot: slot.into(),
        ssl_root_cert: Some(server.data_dir().join("server.crt")),
        ..options_for(server, "postgres", &["t"])
    };
    // A server without TLS.
    Consumer::start(with(&server, SslMode::Prefer, "127.0.0.1", "plain")).stop();
    assert!(matches!(
        refusal(with(&server, SslMode::Require, "127.0.0.1", "plain")),
        Error::Tls { .. }
    ));

    // A server with a certificate for `localhost`, of its own making.
    let data = server.data_dir();
    let made = Command::new("openssl")
        .args(["req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt"))
        .output();
    match made {
        Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
        // The rest needs a certificate.
        Err(_) => return,
    }
    let owner = std::fs::metadata(&data).unwrap();
    for file in ["server.key", "server.crt"] {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let path = data.join(file);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    server.psql("postgres", "ALTER SYSTEM SET ssl = on").unwrap();
    server.restart().unwrap();

    let encrypted = |ssl_mode, host, slot: &str, wanted: &str| {
        let consumer = Consumer::start(with(&server, ssl_mode, host, slot));
        let query = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)";
        assert_eq!(server.psql("postgres", query).unwrap().trim(), wanted, "{ssl_mode:?}");
        server.psql("postgres", "INSERT INTO t VALUES (1); DELETE FROM t;").unwrap();
        assert_eq!(consumer.changes(), ["insert t id=1"]);
        assert_eq!(consumer.changes(), ["delete t [key id=1]"]);
        consumer.stop();
    };
    encrypted(SslMode::Disable, "127.0.0.1", "tls_1", "f");
    encrypted(SslMode::Prefer, "127.0.0.1", "tls_2", "t");
    encrypted(SslMode::Require, "127.0.0.1", "tls_3", "t");
    encrypted(SslMode::VerifyFull, "localhost", "tls_4", "t");
    let error = refusal(with(&server, SslMode::VerifyFull, "127.0.0.1", "tls_5"));
    assert!(matches!(error, Error::Tls { .. }), "the name does not match: {error}");
    let mut system = with(&server, SslMode::VerifyFull, "localhost", "tls_6");
    system.ssl_root_cert = None;
    assert!(matches!(refusal(system), Error::Tls { .. }), "nobody trusts it");
}

#[test]
fn a_server_without_logical_wal_is_refused() {
    let server = Server::start_with(&[("wal_level", "replica")]).unwrap();
    server.psql("postgres", "CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    match refusal(options_for(&server, "postgres", &["t"])) {
        Error::Server { code, message, .. } => {
            assert_eq!(code, "55000");
            assert!(message.contains("wal_level"), "{message}");
        }
        other => panic!("{other}"),
    }
}
