//! Trees, as text: a row's values with commas between them, and each branch in braces.

use std::collections::{BTreeMap, HashMap};

use bumpalo::Bump;
use shape_expr::{Owned, Type};
use view_circuit::{Branch, Change, Circuit, ContentHash, Key, TreeRow, ViewId, ViewUpdate};

/// A tree, and what PostgreSQL makes the same text of.
pub const TREES: &[(&str, &str)] = &[
    (
        "SELECT id, name, ARRAY(SELECT p.id, p.code FROM projects p WHERE p.owner = u.id) AS projects \
           FROM users u",
        "SELECT concat_ws(',', id, coalesce(name, '-'), '{' || (SELECT string_agg(concat_ws(',', p.id, \
           coalesce(rpad(p.code, 4), '-')), ';' ORDER BY p.id) FROM projects p WHERE p.owner = u.id) || '}') \
           FROM users u",
    ),
    (
        "SELECT ARRAY(SELECT t.title, t.done FROM todos t WHERE t.project = p.id \
           ORDER BY t.due DESC, t.title LIMIT 2 OFFSET 1) AS todos, id, owner FROM projects p WHERE budget >= 0",
        "SELECT concat_ws(',', id, coalesce(owner::text, '-'), '{' || (SELECT string_agg(concat_ws(',', q.title, \
           coalesce(left(q.done::text, 1), '-')), ';' ORDER BY q.due DESC, q.title COLLATE \"C\") FROM (SELECT * \
           FROM todos t WHERE t.project = p.id ORDER BY t.due DESC, t.title COLLATE \"C\" LIMIT 2 OFFSET 1) q) \
           || '}') FROM projects p WHERE budget >= 0",
    ),
    (
        "SELECT org, ARRAY(SELECT p.id, ARRAY(SELECT title FROM todos t WHERE project = p.id AND NOT done) \
           FROM projects p WHERE owner = u.id ORDER BY budget, p.id), ARRAY(SELECT v.id FROM users v \
           WHERE v.org = u.org AND v.id <> 3) FROM users u ORDER BY score, id LIMIT 4",
        "SELECT concat_ws(',', coalesce(org::text, '-'), '{' || (SELECT string_agg(concat_ws(',', p.id, '{' || \
           (SELECT string_agg(title, ';' ORDER BY title COLLATE \"C\") FROM todos WHERE project = p.id AND NOT \
           done) || '}'), ';' ORDER BY budget, p.id) FROM projects p WHERE owner = u.id) || '}', '{' || (SELECT \
           string_agg(v.id::text, ';' ORDER BY v.id) FROM users v WHERE v.org = u.org AND v.id <> 3) || '}') \
           FROM (SELECT * FROM users ORDER BY score, id LIMIT 4) u ORDER BY score, id",
    ),
    (
        "SELECT id, ARRAY(SELECT u.id, u.name FROM users u WHERE u.score = p.budget AND u.org = p.id), \
           ARRAY(SELECT title FROM todos) FROM projects p",
        "SELECT concat_ws(',', id, '{' || (SELECT string_agg(concat_ws(',', u.id, coalesce(u.name, '-')), ';' \
           ORDER BY u.id) FROM users u WHERE u.score = p.budget AND u.org = p.id) || '}', '{' || (SELECT \
           string_agg(title, ';' ORDER BY project, title COLLATE \"C\") FROM todos) || '}') FROM projects p",
    ),
];

/// So many contents of a view are compared by their hashes, and then others.
pub const REMEMBERED: usize = 1_000;

pub fn id(tree: usize) -> ViewId {
    ViewId(2000 + tree as u64)
}

/// What a client has of a tree: values, and rows below by branch and id.
#[derive(Debug, Default)]
pub struct Client {
    rows: Rows,
    contents: HashMap<u128, String>,
    hashes: HashMap<String, ContentHash>,
}

type Rows = BTreeMap<Key, Node>;

#[derive(Debug, Default)]
struct Node {
    values: String,
    sorted: String,
    children: Vec<Rows>,
}

struct Shape {
    types: Vec<Type>,
    branches: Vec<Shape>,
}

fn shape(types: Vec<Type>, branches: &[Branch]) -> Shape {
    let of = |branch: &Branch| {
        let types = branch.columns.iter().map(|column| column.ty.clone()).collect();
        shape(types, &branch.branches)
    };
    Shape { types, branches: branches.iter().map(of).collect() }
}

fn shape_of(circuit: &Circuit, view: ViewId) -> Shape {
    let columns = circuit.columns(view).expect("a view");
    let types = columns.iter().map(|column| column.ty.clone()).collect();
    shape(types, &circuit.branches(view).expect("a view"))
}

fn values(row: &[Owned], types: &[Type]) -> String {
    let arena = Bump::new();
    let text = |(value, ty): (&Owned, &Type)| value.text(ty, &arena).unwrap_or("-").to_owned();
    row.iter().zip(types).map(text).collect::<Vec<_>>().join(",")
}

/// As PostgreSQL has it: of an empty branch there is nothing.
fn whole(values: String, branches: impl Iterator<Item = Vec<String>>) -> String {
    let branch = |rows: Vec<String>| (!rows.is_empty()).then(|| format!("{{{}}}", rows.join(";")));
    let all: Vec<String> = [values].into_iter().chain(branches.filter_map(branch)).collect();
    all.join(",")
}

fn row_text(row: &TreeRow, shape: &Shape) -> String {
    let branches = row.children.iter().zip(&shape.branches);
    let rows = branches.map(|(rows, shape)| rows.iter().map(|row| row_text(row, shape)).collect());
    whole(values(&row.values, &shape.types), rows)
}

/// By ids, which a tree's text does not show, in the order of ids.
fn content(rows: &Rows) -> String {
    let row = |(id, node): (&Key, &Node)| {
        let below: Vec<String> = node.children.iter().map(content).collect();
        format!("{id:?}: {} by {} {below:?}", node.values, node.sorted)
    };
    rows.iter().map(row).collect::<Vec<_>>().join("; ")
}

impl Client {
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    pub fn apply(&mut self, circuit: &Circuit, update: &ViewUpdate) {
        apply(&mut self.rows, &update.changes, &shape_of(circuit, update.view));
    }

    /// Compares with what the circuit has, and that with what PostgreSQL says.
    pub fn check(
        &mut self,
        circuit: &Circuit,
        tree: usize,
        mut theirs: Vec<String>,
        when: &str,
    ) -> u64 {
        let (view, sql) = (id(tree), TREES[tree].0);
        let shape = shape_of(circuit, view);
        let rows: Vec<TreeRow> = circuit.tree(view).expect("a view").collect();
        let mut ours: Vec<String> = rows.iter().map(|row| row_text(row, &shape)).collect();
        let mut kept: Vec<String> = self.rows.values().map(node_text).collect();
        if !sql.contains("LIMIT 4") {
            theirs.sort();
            ours.sort();
        }
        assert_eq!(ours, theirs, "{when}: {sql}");
        let sorted = |rows: &[TreeRow]| {
            let mut all: Vec<String> = rows.iter().map(|row| sorted_text(row, &shape)).collect();
            all.sort();
            all
        };
        kept.sort();
        assert_eq!(kept, sorted(&rows), "{when}, as told: {sql}");
        let (hash, content) =
            (circuit.hash(view).expect("a view").expect("trees have one"), content(&self.rows));
        if self.contents.len() > REMEMBERED {
            self.contents.clear();
            self.hashes.clear();
        }
        let known = self.contents.entry(hash.0).or_insert_with(|| content.clone());
        assert_eq!(*known, content, "{when}: {sql}");
        let known = self.hashes.entry(content).or_insert(hash);
        assert_eq!(*known, hash, "{when}: {sql}");
        ours.len() as u64
    }
}

/// With rows below in the order of their text.
fn sorted_text(row: &TreeRow, shape: &Shape) -> String {
    let branches = row.children.iter().zip(&shape.branches).map(|(rows, shape)| {
        let mut rows: Vec<String> = rows.iter().map(|row| sorted_text(row, shape)).collect();
        rows.sort();
        rows
    });
    whole(values(&row.values, &shape.types), branches)
}

fn node_text(node: &Node) -> String {
    let branches = node.children.iter().map(|rows| {
        let mut rows: Vec<String> = rows.values().map(node_text).collect();
        rows.sort();
        rows
    });
    whole(node.values.clone(), branches)
}

fn apply(rows: &mut Rows, changes: &[Change], shape: &Shape) {
    for change in changes {
        let before = rows.remove(change.id());
        let old = change.before().map(|old| values(old, &shape.types));
        assert_eq!(
            old,
            before.as_ref().map(|node| node.values.clone()),
            "the old row is what it was"
        );
        let Some(new) = change.after() else { continue };
        let sorted = format!("{:?}", change.sorted_by().collect::<Vec<_>>());
        let mut node = before.unwrap_or_default();
        (node.values, node.sorted) = (values(new, &shape.types), sorted);
        node.children.resize_with(shape.branches.len(), Rows::new);
        for ((rows, changes), shape) in
            node.children.iter_mut().zip(change.children()).zip(&shape.branches)
        {
            apply(rows, changes, shape);
        }
        rows.insert(change.id().clone(), node);
    }
}
