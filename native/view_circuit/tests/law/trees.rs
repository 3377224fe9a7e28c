//! Trees: what they mean, by looking at all rows of a branch for each row above it, and what a step
//! tells of them.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use view_circuit::{Change, Format, IngestBatch, TreeRow, ViewId};

use super::naive::{self, Data, Environment, Query, Term, Value};
use super::views::{Order, by_order};
use super::{circuit, in_two_steps, key, number, operation, random, values};

/// A query with queries among its items, which are for each of its rows.
#[derive(Clone, Debug)]
struct Level {
    of: Query,
    order: Vec<Order>,
    offset: usize,
    limit: Option<usize>,
    /// Each with its place among the items.
    branches: Vec<(usize, Level)>,
}

/// A row, and the rows that hang on it, branch by branch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    id: Vec<Value>,
    values: Vec<Value>,
    children: Vec<Vec<Node>>,
}

/// What became of a row: the values before and after, and what became of the rows below.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    id: Vec<Value>,
    before: Option<Vec<Value>>,
    after: Option<Vec<Value>>,
    children: Vec<Vec<Told>>,
}

/// Rows of one depth are named after it, so that what a branch reads of the row above is told from its own.
const DEPTHS: [&str; 3] = ["c", "b", "a"];

fn tree(rng: &mut Rng) -> Level {
    let depth = rng.usize(1..DEPTHS.len());
    level(rng, &[], depth)
}

fn level(rng: &mut Rng, above: &[&str], depth: usize) -> Level {
    let mut of = random::query_of(rng, DEPTHS[depth], 2);
    of.distinct = false;
    // Now and then the same rows hang on every row.
    if !above.is_empty() && rng.u8(..8) != 0 {
        random::correlate(rng, above, &mut of);
    }
    let sortable = |at: &usize| !matches!(of.items[*at], Term::Constant(_));
    let sortable: Vec<usize> = (0..of.items.len()).filter(sortable).collect();
    let sorts = if sortable.is_empty() { 0 } else { rng.usize(..3) };
    let order = (0..sorts).map(|_| (sortable[rng.usize(..sortable.len())], rng.bool(), rng.bool()));
    let order = order.collect();
    let limit = (rng.u8(..3) == 0).then(|| rng.usize(..4));
    let names: Vec<String> = of.tables.iter().map(|(_, name)| name.clone()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let count = match (depth, above.is_empty()) {
        (0, _) => 0,
        (_, true) => rng.usize(1..3),
        (_, false) => rng.usize(..3).min(rng.usize(..3)),
    };
    let mut branches = Vec::new();
    for _ in 0..count {
        branches.push((rng.usize(..=of.items.len()), level(rng, &names, depth - 1)));
    }
    Level { of, order, offset: rng.usize(..5).saturating_sub(3), limit, branches }
}

impl Level {
    fn sql(&self) -> String {
        let mut items: Vec<String> = Vec::new();
        for at in 0..=self.of.items.len() {
            let here = self.branches.iter().filter(|(place, _)| *place == at);
            items.extend(here.map(|(_, branch)| format!("ARRAY({})", branch.sql())));
            items.extend(self.of.items.get(at).map(Term::sql));
        }
        let mut sql = self.of.sql_of(&items.join(", "));
        let by: Vec<String> = self
            .order
            .iter()
            .map(|(item, descending, first)| {
                let way = if *descending { "DESC" } else { "ASC" };
                let nulls = if *first { "FIRST" } else { "LAST" };
                format!("{} {way} NULLS {nulls}", self.of.items[*item].sql())
            })
            .collect();
        if !by.is_empty() {
            sql += &format!(" ORDER BY {}", by.join(", "));
        }
        if let Some(limit) = self.limit {
            sql += &format!(" LIMIT {limit}");
        }
        if self.offset > 0 {
            sql += &format!(" OFFSET {}", self.offset);
        }
        sql
    }

    /// Its rows in their order.
    fn evaluate(&self, data: &Data, above: &Environment<'_>) -> Vec<Node> {
        let mut rows = naive::found(&self.of, data, above);
        rows.sort_by(|a, b| by_order(&self.order, (&a.id, &a.items), (&b.id, &b.items)));
        let shown = rows.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX));
        // In the order in which they stand in the query.
        let mut branches: Vec<&(usize, Level)> = self.branches.iter().collect();
        branches.sort_by_key(|(place, _)| *place);
        let node = |row: naive::Found<'_>| Node {
            children: branches.iter().map(|(_, b)| b.evaluate(data, &row.environment)).collect(),
            id: row.id,
            values: row.items,
        };
        shown.map(node).collect()
    }
}

fn told(changes: &[Change]) -> Vec<Told> {
    let one = |change: &Change| Told {
        id: key(change.id()),
        before: change.before().map(values),
        after: change.after().map(values),
        children: change.children().iter().map(|changes| told(changes)).collect(),
    };
    changes.iter().map(one).collect()
}

/// By ids, and with a deleted row nothing of what hung on it.
fn difference(before: &[Node], after: &[Node]) -> Vec<Told> {
    let by_id = |rows: &[Node]| {
        rows.iter().map(|row| (row.id.clone(), row.clone())).collect::<BTreeMap<_, _>>()
    };
    let (before, after) = (by_id(before), by_id(after));
    let mut ids: Vec<&Vec<Value>> = before.keys().chain(after.keys()).collect();
    ids.sort();
    ids.dedup();
    let mut all = Vec::new();
    for id in ids {
        let (old, new) = (before.get(id), after.get(id));
        if old == new {
            continue;
        }
        let values = |node: Option<&Node>| node.map(|node| node.values.clone());
        let below = |node: Option<&Node>, or: Option<&Node>| match (node, or) {
            (Some(node), _) => node.children.clone(),
            (None, other) => vec![Vec::new(); other.map_or(0, |node| node.children.len())],
        };
        let children = match new {
            Some(_) => {
                let pairs = below(old, new).into_iter().zip(below(new, old));
                pairs.map(|(old, new)| difference(&old, &new)).collect()
            }
            // All that hung on it is gone with it.
            None => below(new, old).iter().map(|_| Vec::new()).collect(),
        };
        all.push(Told { id: id.clone(), before: values(old), after: values(new), children });
    }
    // A row that only moved among the others is not told: its place is what its values say.
    all.retain(|told| told.before != told.after || told.children.iter().any(|c| !c.is_empty()));
    all
}

fn node(row: &TreeRow) -> Node {
    Node {
        id: key(&row.id),
        values: values(&row.values),
        children: row.children.iter().map(|rows| rows.iter().map(node).collect()).collect(),
    }
}

/// What hashes tell apart: rows with what they are sorted by, whatever their order.
fn content(rows: &[Node]) -> Vec<Node> {
    let mut rows: Vec<Node> = rows.to_vec();
    for row in &mut rows {
        row.children = row.children.iter().map(|rows| content(rows)).collect();
    }
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    rows
}

#[test]
fn a_step_tells_the_difference_of_two_trees() {
    let rounds = number("VIEW_LAW_ROUNDS").unwrap_or(200);
    let seed = number("VIEW_LAW_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("law of trees: seed {seed}, {rounds} rounds");
    let mut rng = Rng::with_seed(seed);
    let (mut changes, mut below) = (0, 0);
    for round in 0..rounds {
        let queries: Vec<Level> = (0..2).map(|_| tree(&mut rng)).collect();
        let sql: Vec<String> = queries.iter().map(Level::sql).collect();
        let when = format!("seed {seed}, round {round}");
        let mut data = Data::default();
        let mut split = circuit();
        split.parallel_from(if rng.bool() { 0 } else { usize::MAX });
        let mut batch = IngestBatch::new();
        (0..rng.usize(..20)).for_each(|_| operation(&mut rng, &mut data, &mut batch));
        split.step(&batch).expect("rows");
        let mut history = vec![batch];
        let mut before: Vec<Vec<Node>> = Vec::new();
        let mut hashes = vec![HashMap::new(); queries.len()];
        for (at, query) in queries.iter().enumerate() {
            let first = split.register(ViewId(at as u64), &sql[at], &[], Format::Tree);
            let first = first.unwrap_or_else(|error| panic!("{when}: {error}: {}", sql[at]));
            let rows = query.evaluate(&data, &Vec::new());
            assert_eq!(
                told(&first.changes),
                difference(&[], &rows),
                "{when}, at first: {}",
                sql[at]
            );
            before.push(rows);
        }
        for step in 0..12 {
            let mut batch = IngestBatch::new();
            (0..rng.usize(1..6)).for_each(|_| operation(&mut rng, &mut data, &mut batch));
            let updates = split.step(&batch).expect("a step");
            history.push(batch);
            for (at, query) in queries.iter().enumerate() {
                let (id, sql) = (ViewId(at as u64), &sql[at]);
                let update = updates.iter().find(|update| update.view == id);
                let after = query.evaluate(&data, &Vec::new());
                let expected = difference(&before[at], &after);
                let telling = update.map(|update| told(&update.changes)).unwrap_or_default();
                assert_eq!(telling, expected, "{when}, step {step}: {sql}");
                assert_eq!(update.is_some(), !expected.is_empty(), "{when}, step {step}: {sql}");
                let kept: Vec<Node> =
                    split.tree(id).expect("a view").map(|row| node(&row)).collect();
                assert_eq!(kept, after, "{when}, step {step}: {sql}");
                let hash = split.hash(id).expect("a view").expect("trees have one");
                let known = hashes[at].entry(hash.0).or_insert_with(|| content(&after));
                assert_eq!(*known, content(&after), "{when}, step {step}: one hash: {sql}");
                changes += expected.len();
                let only_below = expected.iter().filter(|told| told.before == told.after);
                below += only_below.count();
                before[at] = after;
            }
        }
        // The same history at once, and views that are registered on what came of it.
        let joined = in_two_steps(&history, rng.usize(..history.len()), &sql, Format::Tree);
        for (at, sql) in sql.iter().enumerate() {
            let id = ViewId(at as u64);
            assert_eq!(joined.hash(id), split.hash(id), "{when}, split: {sql}");
            split.unregister(id).expect("a view");
            let again = split.register(id, sql, &[], Format::Tree).expect("a view");
            assert_eq!(told(&again.changes), difference(&[], &before[at]), "{when}, again: {sql}");
            assert_eq!(joined.hash(id), Ok(again.hash), "{when}, again: {sql}");
            split.unregister(id).expect("a view");
        }
        assert_eq!(split.stats().nodes, 0, "{when}: what no view needs is freed");
    }
    println!("law of trees: {changes} changes, {below} of them only below");
    assert!(changes as u64 > rounds && below as u64 > rounds / 4, "nothing happened");
}
