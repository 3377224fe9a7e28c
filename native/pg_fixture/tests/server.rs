//! The fixture itself: it starts, answers, restarts and cleans up.

use pg_fixture::Server;

#[test]
fn starts_answers_restarts_and_is_gone() {
    let mut server = Server::start_with(&[("logical_decoding_work_mem", "64kB")]).unwrap();
    assert_eq!(server.psql("postgres", "SELECT 1").unwrap(), "1\n");
    let shown = server
        .psql("postgres", "SHOW wal_level; SHOW logical_decoding_work_mem; SHOW timezone")
        .unwrap();
    assert_eq!(shown, "logical\n64kB\nUTC\n");
    assert_eq!(server.url("x"), format!("postgresql://postgres@127.0.0.1:{}/x", server.port()));

    server.psql("postgres", "CREATE TABLE t (x int); INSERT INTO t VALUES (7)").unwrap();
    server.stop_hard().unwrap();
    assert!(server.psql("postgres", "SELECT 1").is_err());
    server.restart().unwrap();
    assert_eq!(server.psql("postgres", "SELECT x FROM t").unwrap(), "7\n");

    let dir = server.socket_dir().to_owned();
    assert!(dir.exists());
    drop(server);
    assert!(!dir.exists());
}

#[test]
fn errors_are_clear() {
    let server = Server::start().unwrap();
    let error = server.psql("postgres", "SELECT nonsense").unwrap_err().to_string();
    assert!(error.contains("column \"nonsense\" does not exist"), "{error}");

    let error = Server::start_with(&[("no_such_setting", "1")]).unwrap_err().to_string();
    assert!(error.contains("no_such_setting"), "{error}");
}
