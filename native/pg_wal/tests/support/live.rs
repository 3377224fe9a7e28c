//! A server, a database of its own for each test, and a source that can be asked.

use pg_fixture::Server;
use pg_wal::decode::{Column, Message, OldTuple, Tuple};
use pg_wal::source::{Event, Handle, Options, Source, TableName, Tables};
use pg_wal::{Fragment, Lsn, Relation};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Enough credit for everything.
pub const PLENTY: u64 = 1 << 40;

/// The server that the tests of one file share.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::start_with(&[("logical_decoding_work_mem", "64kB"), ("wal_sender_timeout", "2s")])
            .unwrap()
    })
}

/// Runs SQL in a database of the shared server.
pub fn sql(database: &str, text: &str) -> String {
    server().psql(database, text).unwrap().trim_end().to_owned()
}

/// A new database, with what the statements make in it.
pub fn database(name: &str, text: &str) {
    sql("postgres", &format!("CREATE DATABASE {name}"));
    sql(name, text);
}

/// Options for a database of the shared server; slot and publication are named after it.
pub fn options(database: &str, tables: &[&str]) -> Options {
    options_for(server(), database, tables)
}

pub fn options_for(server: &Server, database: &str, tables: &[&str]) -> Options {
    Options {
        host: server.host().into(),
        port: server.port(),
        user: server.user().into(),
        database: database.into(),
        slot: format!("slot_{database}"),
        publication: format!("pub {database}"), // a name that needs quoting
        tables: Tables::Only(tables.iter().map(|name| TableName::new("public", *name)).collect()),
        status_interval: Duration::from_millis(200),
        backoff_max: Duration::from_secs(1),
        ..Options::default()
    }
}

/// Polls until a condition holds.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A whole transaction, its changes as text.
#[derive(Debug)]
pub struct Transaction {
    pub xid: u32,
    pub commit_lsn: Lsn,
    pub end_lsn: Lsn,
    pub fragments: usize,
    pub changes: Vec<String>,
}

/// A source and the events that it has sent.
pub struct Consumer {
    pub handle: Handle,
    events: Receiver<Event>,
}

impl Consumer {
    /// A source that has credit for everything, and has started.
    pub fn start(options: Options) -> Consumer {
        let consumer = Consumer::without_credit(options);
        consumer.handle.grant(PLENTY);
        consumer.started();
        consumer
    }

    /// A source without credit, perhaps not even connected yet.
    pub fn without_credit(options: Options) -> Consumer {
        let (sender, events) = channel();
        let sink = move |event| sender.send(event).unwrap_or(());
        Consumer { handle: Source::start(options, sink).unwrap(), events }
    }

    /// The next event.
    pub fn next(&self) -> Event {
        self.events
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|e| panic!("no event ({e}); the source is {:?}", self.handle.status()))
    }

    /// The next event, if one comes within the time.
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        self.events.recv_timeout(time).ok()
    }

    /// Waits for `Started`: whether the slot was created, and the start.
    pub fn started(&self) -> (bool, Lsn) {
        loop {
            match self.next() {
                Event::Started { slot_created, start_lsn, .. } => return (slot_created, start_lsn),
                Event::Disconnected { .. } => {}
                other => panic!("not started: {other:?}"),
            }
        }
    }

    pub fn fragment(&self) -> Fragment {
        match self.next() {
            Event::Fragment(fragment) => fragment,
            other => panic!("not a fragment: {other:?}"),
        }
    }

    /// The next transaction, from its first fragment to its last.
    pub fn transaction(&self) -> Transaction {
        let first = self.fragment();
        self.transaction_from(first)
    }

    pub fn transaction_from(&self, mut fragment: Fragment) -> Transaction {
        let (mut changes, mut fragments) = (Vec::new(), 0);
        loop {
            assert_eq!(fragment.index as usize, fragments, "fragments come in order");
            fragments += 1;
            changes.extend(describe(&fragment));
            if fragment.last {
                let end_lsn = fragment.end_lsn.unwrap();
                let (xid, commit_lsn) = (fragment.xid, fragment.commit_lsn);
                return Transaction { xid, commit_lsn, end_lsn, fragments, changes };
            }
            assert_eq!(fragment.end_lsn, None);
            let (xid, commit_lsn) = (fragment.xid, fragment.commit_lsn);
            fragment = self.fragment();
            assert_eq!((fragment.xid, fragment.commit_lsn), (xid, commit_lsn), "not interleaved");
        }
    }

    /// The changes of the next transaction, which is confirmed.
    pub fn changes(&self) -> Vec<String> {
        let transaction = self.transaction();
        self.handle.confirm(transaction.end_lsn);
        transaction.changes
    }

    /// Stops, which must be quick.
    pub fn stop(self) {
        let began = Instant::now();
        self.handle.stop().unwrap();
        assert!(began.elapsed() < Duration::from_secs(3), "stop took {:?}", began.elapsed());
    }
}

/// A fragment's changes as text; it must explain itself.
pub fn describe(fragment: &Fragment) -> Vec<String> {
    let mut relations: HashMap<u32, Arc<Relation>> =
        fragment.relations.iter().map(|relation| (relation.oid, Arc::clone(relation))).collect();
    let mut changes = Vec::new();
    for message in fragment.decode() {
        let text = match message.unwrap() {
            Message::Relation(relation) => {
                relations.insert(relation.oid, Arc::new(Relation::from(&relation)));
                continue;
            }
            Message::Insert(row) => {
                let relation = &relations[&row.relation];
                format!("insert {} {}", relation.name, text(relation, row.new))
            }
            Message::Update(row) => {
                let relation = &relations[&row.relation];
                let old = match row.old {
                    None => String::new(),
                    Some(old) => format!("[{}] ", old_text(relation, old)),
                };
                format!("update {} {old}{}", relation.name, text(relation, row.new))
            }
            Message::Delete(row) => {
                let relation = &relations[&row.relation];
                format!("delete {} [{}]", relation.name, old_text(relation, row.old))
            }
            Message::Truncate(truncate) => {
                let mut names: Vec<&str> =
                    truncate.relations().map(|oid| relations[&oid].name.as_str()).collect();
                names.sort_unstable();
                let cascade = if truncate.cascade { " cascade" } else { "" };
                let restart = if truncate.restart_identity { " restart" } else { "" };
                format!("truncate {}{cascade}{restart}", names.join(","))
            }
            Message::Message(message) => {
                format!("message {} {}", message.prefix, String::from_utf8_lossy(message.content))
            }
            Message::Type(kind) => format!("type {}", kind.name),
            other => panic!("unexpected in a fragment: {other:?}"),
        };
        changes.push(text);
    }
    changes
}

fn old_text(relation: &Relation, old: OldTuple<'_>) -> String {
    match old {
        OldTuple::Key(tuple) => format!("key {}", text(relation, tuple)),
        OldTuple::Full(tuple) => format!("full {}", text(relation, tuple)),
    }
}

fn text(relation: &Relation, tuple: Tuple<'_>) -> String {
    assert_eq!(relation.columns.len(), tuple.len());
    let columns = relation.columns.iter().zip(tuple).map(|(column, value)| {
        let value = match value {
            Column::Null => "NULL".to_owned(),
            Column::UnchangedToast => "TOAST".to_owned(),
            Column::Text(bytes) if bytes.len() > 100 => format!("<{} bytes>", bytes.len()),
            Column::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Column::Binary(bytes) => format!("{bytes:?}"),
        };
        format!("{}={value}", column.name)
    });
    columns.collect::<Vec<_>>().join(" ")
}
