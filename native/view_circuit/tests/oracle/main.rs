//! Every view equals PostgreSQL's own SELECT after every one of many random transactions.
//!
//! `VIEW_ORACLE_TRANSACTIONS` says how many (2,000 without it, 200,000 with `SHAPE_ROUTER_LONG`),
//! `VIEW_ORACLE_SEED` repeats a run.

#[path = "../common/mod.rs"]
mod common;
mod trees;
mod views;

use std::collections::{BTreeMap, HashMap};

use bumpalo::Bump;
use common::table;
use fastrand::Rng;
use pg_fixture::Server;
use postgres::{Client, NoTls, SimpleQueryMessage};
use shape_expr::{Options, Owned, Param, Type};
use trees::TREES;
use view_circuit::{Cell, Circuit, ContentHash, Format, IngestBatch, Key, ViewId, ViewUpdate};
use views::{TABLES, View};

const PARAMS: &[Param<'static>] = &[Param::Int(2), Param::Text("bob")];

fn sample(rng: &mut Rng, table: &str, column: &str) -> Option<String> {
    let pick = |rng: &mut Rng, from: &[&str]| from[rng.usize(..from.len())].to_owned();
    let is_key = matches!((table, column), (_, "id") | ("todos", "project" | "title"));
    if !is_key && rng.u8(..6) == 0 {
        return None;
    }
    Some(match column {
        "id" | "project" => rng.u8(1..12).to_string(),
        "org" => rng.u8(1..5).to_string(),
        "owner" => rng.u8(1..12).to_string(),
        "name" | "title" => pick(rng, &["ada", "bob", "a", "Cy", "ab", "ä"]),
        "score" | "budget" => pick(rng, &["0", "0.0", "1", "1.0", "1.00", "2.5", "-1", "NaN"]),
        "rate" | "weight" => pick(rng, &["0", "-0", "1", "2.5", "NaN", "-1e300", "Infinity"]),
        "code" => pick(rng, &["a", "ada", "bob", "", "ab"]),
        "done" => pick(rng, &["t", "f"]),
        "due" => pick(rng, &["2023-12-31", "2024-03-01", "2024-09-01", "infinity"]),
        other => panic!("no samples of {other}"),
    })
}

fn literal(value: &Option<String>) -> String {
    value.as_ref().map_or("NULL".to_owned(), |text| format!("'{text}'"))
}

type TextRow = Vec<Option<String>>;
type Content = Vec<TextRow>;

struct Run {
    trees: Vec<trees::Client>,
    views: Vec<View>,
    client: Client,
    rng: Rng,
    circuit: Circuit,
    /// Each table's keys.
    keys: Vec<Vec<Vec<String>>>,
    /// What streaming twins of the views told, added up.
    told: Vec<BTreeMap<Key, TextRow>>,
    /// What their rows are sorted by.
    sorted: Vec<BTreeMap<Key, String>>,
    /// Contents by hash, and hashes by content, for each view.
    hashes: Vec<(HashMap<u128, Content>, HashMap<Content, ContentHash>)>,
}

#[test]
fn every_view_is_postgresqls_own_select_after_every_transaction() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let by_default = match std::env::var_os("SHAPE_ROUTER_LONG") {
        Some(_) => 200_000,
        None => 2_000,
    };
    let transactions = number("VIEW_ORACLE_TRANSACTIONS").unwrap_or(by_default);
    let seed = number("VIEW_ORACLE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("view oracle: seed {seed}, {transactions} transactions");
    let server = Server::start().expect("PostgreSQL starts");
    let mut client = Client::connect(&server.url("postgres"), NoTls).expect("connect");
    for (name, columns, key) in TABLES {
        let columns: Vec<String> = columns.iter().map(|(n, ty)| format!("{n} {ty}")).collect();
        let (columns, key) = (columns.join(", "), key.join(", "));
        let create = format!("CREATE TABLE {name} ({columns}, PRIMARY KEY ({key}))");
        client.batch_execute(&create).expect("a table");
    }
    let specs = TABLES.iter().map(|(name, columns, key)| table(name, columns, key)).collect();
    let views = views::all();
    let count = views.len();
    let mut run = Run {
        client,
        rng: Rng::with_seed(seed),
        circuit: Circuit::new(specs, Options::default()).expect("tables"),
        keys: vec![Vec::new(); TABLES.len()],
        told: vec![BTreeMap::new(); count],
        sorted: vec![BTreeMap::new(); count],
        hashes: vec![Default::default(); count],
        trees: TREES.iter().map(|_| trees::Client::default()).collect(),
        views,
    };
    for view in 0..count {
        run.register(view);
    }
    for tree in 0..TREES.len() {
        run.register_tree(tree);
    }
    // Parameters that have their own types there are literals here.
    let literal = |sql: &str| sql.replace("$1", "2").replace("$2", "'bob'");
    let views = run.views.iter().map(|view| literal(view.asked));
    let trees = TREES.iter().map(|(_, asked)| (*asked).to_owned());
    // Planned once: planning takes longer than so few rows do.
    let mut asked = Vec::new();
    for (at, select) in views.chain(trees).enumerate() {
        let prepare = format!("PREPARE view_{at} AS {select}");
        run.client.batch_execute(&prepare).unwrap_or_else(|error| panic!("{select}: {error}"));
        asked.push(format!("EXECUTE view_{at}"));
    }
    let asked = asked.join(";");
    let mut rows = 0;
    for at in 0..transactions {
        run.transaction();
        if at % 10 == 9 {
            // On loaded tables.
            let view = run.rng.usize(..count);
            run.unregister(view);
            run.register(view);
            let tree = run.rng.usize(..TREES.len());
            run.circuit.unregister(trees::id(tree)).expect("a view");
            run.register_tree(tree);
        }
        let when = format!("seed {seed}, transaction {at}");
        let mut theirs = queries(&mut run.client, &asked).into_iter();
        for view in 0..count {
            rows += run.check(view, theirs.next().expect("an answer"), &when);
        }
        for tree in 0..TREES.len() {
            let theirs = theirs.next().expect("an answer").into_iter();
            let theirs = theirs.map(|mut row| row.remove(0).expect("a text")).collect();
            rows += run.trees[tree].check(&run.circuit, tree, theirs, &when);
        }
        if at % 10_000 == 9_999 {
            // A long run says how far it is.
            println!("view oracle: {} transactions, {rows} rows compared", at + 1);
        }
    }
    for view in 0..count {
        run.unregister(view);
    }
    for tree in 0..TREES.len() {
        run.circuit.unregister(trees::id(tree)).expect("a view");
    }
    assert_eq!(run.circuit.stats().nodes, 0, "what no view needs is freed");
    println!("view oracle: {} views, {rows} rows compared", count);
    assert!(rows > transactions * 10, "the views were empty");
}

fn flat(view: usize) -> ViewId {
    ViewId(view as u64)
}

fn streaming(view: usize) -> ViewId {
    ViewId(1000 + view as u64)
}

impl Run {
    fn register(&mut self, view: usize) {
        let sql = self.views[view].sql;
        let refused = |error| panic!("{sql}: {error}");
        let circuit = &mut self.circuit;
        circuit.register(flat(view), sql, PARAMS, Format::Flat).unwrap_or_else(refused);
        let nodes = circuit.stats();
        let first = circuit.register(streaming(view), sql, PARAMS, Format::Streaming);
        let first = first.unwrap_or_else(refused);
        assert_eq!(self.circuit.stats(), nodes, "{sql}: the same view twice shares every node");
        self.told[view].clear();
        self.sorted[view].clear();
        self.tell(&first);
    }

    fn register_tree(&mut self, tree: usize) {
        let sql = TREES[tree].0;
        let first = self.circuit.register(trees::id(tree), sql, &[], Format::Tree);
        let first = first.unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.trees[tree].clear();
        self.trees[tree].apply(&self.circuit, &first);
    }

    fn unregister(&mut self, view: usize) {
        self.circuit.unregister(flat(view)).expect("a view");
        self.circuit.unregister(streaming(view)).expect("a view");
    }

    fn tell(&mut self, update: &ViewUpdate) {
        if let Some(tree) = update.view.0.checked_sub(2000) {
            return self.trees[tree as usize].apply(&self.circuit, update);
        }
        let Some(view) = update.view.0.checked_sub(1000) else { return };
        let columns = self.circuit.columns(update.view).expect("a view");
        let types: Vec<Type> = columns.iter().map(|column| column.ty.clone()).collect();
        let told = &mut self.told[view as usize];
        for change in &update.changes {
            let id = change.id().clone();
            let sorted = format!("{:?}", change.sorted_by().collect::<Vec<_>>());
            self.sorted[view as usize].insert(id.clone(), sorted);
            let before = match change.after() {
                Some(new) => told.insert(id, text(new, &types)),
                None => told.remove(&id),
            };
            let old = change.before().map(|old| text(old, &types));
            assert_eq!(
                old, before,
                "{}: the old row is what it was",
                self.views[view as usize].sql
            );
        }
    }

    fn transaction(&mut self) {
        let mut transaction = self.client.transaction().expect("a transaction");
        let mut batch = IngestBatch::new();
        for _ in 0..self.rng.u8(1..7) {
            let at = self.rng.usize(..TABLES.len());
            let (name, columns, key) = TABLES[at];
            let rng = &mut self.rng;
            let row: TextRow =
                columns.iter().map(|(column, _)| sample(rng, name, column)).collect();
            let place = |column: &&str| {
                columns.iter().position(|(name, _)| name == column).expect("a key column")
            };
            let new: Vec<String> =
                key.iter().map(|column| row[place(column)].clone().expect("a key")).collect();
            let keys = &mut self.keys[at];
            let taken = keys.contains(&new);
            let old = (!keys.is_empty()).then(|| rng.usize(..keys.len()));
            let condition = |of: &[String]| {
                let all = key.iter().zip(of).map(|(column, value)| format!("{column} = '{value}'"));
                all.collect::<Vec<_>>().join(" AND ")
            };
            let values: Vec<String> = row.iter().map(literal).collect();
            let cells = |of: &[String]| of.iter().map(|text| Cell::from(text.as_str())).collect();
            let (sql, old) = match (rng.u8(..10), old) {
                (0..=3, _) | (_, None) if !taken => {
                    keys.push(new);
                    (format!("INSERT INTO {name} VALUES ({}) RETURNING *", values.join(", ")), None)
                }
                (4..=7, Some(old)) => {
                    let old_key = keys[old].clone();
                    let is_key = |column: &str| key.contains(&column);
                    // Now and then the key changes too.
                    let moves = !taken && rng.u8(..4) == 0;
                    let sets: Vec<String> = columns
                        .iter()
                        .zip(&values)
                        .filter(|((column, _), _)| moves || !is_key(column))
                        .map(|((column, _), value)| format!("{column} = {value}"))
                        .collect();
                    if moves {
                        keys[old] = new;
                    }
                    let (sets, condition) = (sets.join(", "), condition(&old_key));
                    let sql = format!("UPDATE {name} SET {sets} WHERE {condition} RETURNING *");
                    (sql, Some(old_key))
                }
                (_, Some(old)) => {
                    let old_key = keys.swap_remove(old);
                    let sql = format!("DELETE FROM {name} WHERE {}", condition(&old_key));
                    transaction.batch_execute(&sql).expect("a deletion");
                    batch.delete(name, cells(&old_key));
                    continue;
                }
                _ => continue,
            };
            // What PostgreSQL made of the values is what its WAL carries.
            let stored = query(&mut transaction, &sql).pop().expect("a row");
            let record: Vec<Cell> = stored.iter().map(|v| v.as_deref().into()).collect();
            match old {
                None => batch.create(name, record),
                Some(old) => batch.update(name, cells(&old), record),
            };
        }
        transaction.commit().expect("commit");
        let updates = self.circuit.step(&batch).expect("a step");
        for update in &updates {
            assert!(!update.changes.is_empty(), "only views that changed are told of");
            self.tell(update);
        }
    }

    fn check(&mut self, view: usize, mut theirs: Content, when: &str) -> u64 {
        let View { sql, loose, ordered, .. } = self.views[view];
        let columns = self.circuit.columns(flat(view)).expect("a view");
        let types: Vec<Type> = columns.iter().map(|column| column.ty.clone()).collect();
        let kept = self.circuit.rows(flat(view)).expect("a view");
        let mut ours: Vec<TextRow> = kept.map(|(_, row)| text(row, &types)).collect();
        let by_id = ours.clone();
        let mut told: Vec<TextRow> = self.told[view].values().cloned().collect();
        for rows in [&mut ours, &mut theirs, &mut told] {
            if loose {
                rows.iter_mut().for_each(|row| simplify(row, &types));
            }
        }
        if ordered {
            assert_eq!(ours, theirs, "{when}, in order: {sql}");
        }
        for rows in [&mut ours, &mut theirs, &mut told] {
            rows.sort();
        }
        assert_eq!(ours, theirs, "{when}: {sql}");
        assert_eq!(told, theirs, "{when}, as told: {sql}");
        // Equal content has equal hashes, and other content others; ids are a part of it, and so is what
        // rows are sorted by.
        let hash = self.circuit.hash(flat(view)).expect("a view").expect("it is flat");
        let ids = self.circuit.rows(flat(view)).expect("a view");
        let ids =
            ids.map(|(id, _)| vec![Some(format!("{id:?}")), self.sorted[view].get(id).cloned()]);
        let content: Vec<TextRow> = by_id.into_iter().chain(ids).collect();
        let (contents, hashes) = &mut self.hashes[view];
        if contents.len() > trees::REMEMBERED {
            contents.clear();
            hashes.clear();
        }
        let known = contents.entry(hash.0).or_insert_with(|| content.clone());
        assert_eq!(*known, content, "{when}: {sql}");
        let known = hashes.entry(content).or_insert(hash);
        assert_eq!(*known, hash, "{when}: {sql}");
        theirs.len() as u64
    }
}

fn text(row: &[Owned], types: &[Type]) -> TextRow {
    let arena = Bump::new();
    row.iter().zip(types).map(|(value, ty)| value.text(ty, &arena).map(str::to_owned)).collect()
}

/// One way of writing for all that PostgreSQL takes for equal.
fn simplify(row: &mut TextRow, types: &[Type]) {
    for (text, ty) in row.iter_mut().zip(types) {
        let Some(text) = text else { continue };
        let simple = |text: &str| match (text.contains('.'), text) {
            (_, "-0") => "0".to_owned(),
            (true, _) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            _ => text.to_owned(),
        };
        *text = match ty {
            Type::Numeric | Type::Float8 => simple(text),
            Type::Bpchar => text.trim_end().to_owned(),
            Type::Array(_) => {
                let inner = text.trim_matches(['{', '}']).split(',').map(simple);
                format!("{{{}}}", inner.collect::<Vec<_>>().join(","))
            }
            _ => continue,
        };
    }
}

fn query(client: &mut impl Simple, sql: &str) -> Content {
    queries(client, sql).pop().expect("an answer")
}

/// What several statements give, asked at once.
fn queries(client: &mut impl Simple, sql: &str) -> Vec<Content> {
    let mut answers = vec![Content::new()];
    for message in client.ask(sql) {
        match message {
            SimpleQueryMessage::Row(row) => {
                let row = (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect();
                answers.last_mut().expect("an answer").push(row);
            }
            SimpleQueryMessage::CommandComplete(_) => answers.push(Content::new()),
            _ => {}
        }
    }
    // Nothing follows the last statement.
    answers.pop();
    answers
}

/// A connection, or a transaction on it.
trait Simple {
    fn ask(&mut self, sql: &str) -> Vec<SimpleQueryMessage>;
}

impl Simple for Client {
    fn ask(&mut self, sql: &str) -> Vec<SimpleQueryMessage> {
        self.simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Simple for postgres::Transaction<'_> {
    fn ask(&mut self, sql: &str) -> Vec<SimpleQueryMessage> {
        self.simple_query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}
