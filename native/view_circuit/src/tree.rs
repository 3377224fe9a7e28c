//! Trees: views whose rows have rows of other levels hanging on them.
//!
//! Nothing of a tree is kept but what the graph keeps anyway: for each branch its rows, arranged by what
//! links them, and the rows above, arranged by the same. A step finds the rows that changed and those above
//! that a change below concerns, and looks at nothing else.

use std::hash::{Hash, Hasher};

use bumpalo::Bump;
use shape_expr::EvalError;
use shape_expr::Type;
use xxhash_rust::xxh3::Xxh3;

use crate::delta::{Delta, Map};
use crate::graph::{Changes, Graph, NodeId};
use crate::key::Key;
use crate::plan::{self, Level};
use crate::row::Row;
use crate::view::{Change, OutputColumn, Shape};
use crate::work::Work;

/// What a branch of a tree looks like: rows that each row above it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// What the query calls it.
    pub name: String,
    /// Its place among all that is selected.
    pub place: usize,
    /// The columns of its rows.
    pub columns: Vec<OutputColumn>,
    /// The types of the values that ids of its rows are made of.
    pub id_types: Vec<Type>,
    /// The branches of each of its rows.
    pub branches: Vec<Branch>,
}

/// A row of a tree, and the rows that hang on it, branch by branch, each in the order its query says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRow {
    /// Its id, unique among the rows of its branch under one row.
    pub id: Key,
    /// The values.
    pub values: Vec<shape_expr::Owned>,
    /// The rows below, for each branch.
    pub children: Vec<Vec<TreeRow>>,
}

/// A level, as changes of its rows are told.
struct Twig {
    shape: Shape,
    limbs: Vec<Limb>,
}

/// A branch.
struct Limb {
    /// Among all branches of the tree.
    number: usize,
    name: String,
    place: usize,
    own: Vec<usize>,
    link: Vec<usize>,
    children: NodeId,
    parents: NodeId,
    twig: Twig,
}

/// The tree of a view.
pub(crate) struct Tree {
    root: NodeId,
    twig: Twig,
    /// How many branches there are at all depths.
    count: usize,
    /// Every node that is read.
    pub nodes: Vec<NodeId>,
}

impl Tree {
    pub fn new(level: Level) -> Tree {
        let (root, nodes) = (level.relation.node, level.nodes());
        let mut count = 0;
        let twig = Twig::new(level, &mut count);
        Tree { root, twig, count, nodes }
    }

    /// What a step does to it: the changes, and by how much the hash of its content does.
    pub fn change(
        &self,
        graph: &Graph,
        changes: &Changes,
        work: &mut Work,
    ) -> Result<(Vec<Change>, u128), EvalError> {
        let mut step = Step::new(self, graph, Some(changes), work);
        let touched = step.touch(&self.twig)?;
        let delta = changes.rows(self.root);
        let told = step.tell(&self.twig, delta, &touched, 0)?;
        Ok((told, step.hash))
    }

    /// All of these rows of the root as created.
    pub fn whole(
        &self,
        graph: &Graph,
        rows: &Delta,
        work: &mut Work,
    ) -> Result<(Vec<Change>, u128), EvalError> {
        let mut step = Step::new(self, graph, None, work);
        let told = step.tell(&self.twig, rows, &[], 0)?;
        Ok((told, step.hash))
    }

    /// The rows below this one, as they are.
    pub fn below(&self, graph: &Graph, row: &Row) -> Vec<Vec<TreeRow>> {
        self.twig.below(graph, row)
    }

    pub fn branches(&self) -> Vec<Branch> {
        self.twig.branches()
    }
}

impl Twig {
    fn new(level: Level, count: &mut usize) -> Twig {
        let shape = Shape::new(&level.relation, level.links);
        let mut limbs = Vec::with_capacity(level.branches.len());
        for branch in level.branches {
            let plan::Branch { name, place, level, own, link, children, parents } = branch;
            let number = *count;
            *count += 1;
            let twig = Twig::new(level, count);
            limbs.push(Limb { number, name, place, own, link, children, parents, twig });
        }
        Twig { shape, limbs }
    }

    fn below(&self, graph: &Graph, row: &Row) -> Vec<Vec<TreeRow>> {
        let limb = |limb: &Limb| {
            let key = Key::of(row, &limb.link);
            let rows = graph.arranged(limb.children, &key).filter(|_| !key.has_null());
            let shape = &limb.twig.shape;
            let mut rows: Vec<&Row> = rows.map(|(row, _)| row).collect();
            rows.sort_unstable_by(|a, b| shape.compare(a, b));
            let tree_row = |row: &Row| TreeRow {
                id: shape.id(row),
                values: row[..shape.width()].to_vec(),
                children: limb.twig.below(graph, row),
            };
            rows.into_iter().map(tree_row).collect()
        };
        self.limbs.iter().map(limb).collect()
    }

    fn branches(&self) -> Vec<Branch> {
        let branch = |limb: &Limb| Branch {
            name: limb.name.clone(),
            place: limb.place,
            columns: limb.twig.shape.columns.clone(),
            id_types: limb.twig.shape.id_types().cloned().collect(),
            branches: limb.twig.branches(),
        };
        self.limbs.iter().map(branch).collect()
    }
}

/// What one step does to one branch.
#[derive(Default)]
struct Moved {
    /// Rows that come and go, by what links them to rows above.
    rows: Map<Key, Delta>,
    /// Rows above that come and go, by the same.
    above: Map<Key, Delta>,
    /// Rows that stay, but with changes below them.
    touched: Map<Key, Vec<Row>>,
}

struct Step<'s> {
    graph: &'s Graph,
    moved: Vec<Moved>,
    work: &'s mut Work,
    hash: u128,
    arena: Bump,
}

impl<'s> Step<'s> {
    fn new(
        tree: &Tree,
        graph: &'s Graph,
        changes: Option<&Changes>,
        work: &'s mut Work,
    ) -> Step<'s> {
        let mut moved: Vec<Moved> = (0..tree.count).map(|_| Moved::default()).collect();
        if let Some(changes) = changes {
            collect(&tree.twig, changes, &mut moved);
        }
        Step { graph, moved, work, hash: 0, arena: Bump::new() }
    }

    /// Finds the rows of this level that have changes below them.
    fn touch(&mut self, twig: &Twig) -> Result<Vec<Row>, EvalError> {
        let mut touched: Vec<Row> = Vec::new();
        for limb in &twig.limbs {
            for row in self.touch(&limb.twig)? {
                let key = Key::of(&row, &limb.own);
                self.moved[limb.number].touched.entry(key).or_default().push(row);
            }
            let moved = &self.moved[limb.number];
            let keys: Vec<Key> = moved.rows.keys().chain(moved.touched.keys()).cloned().collect();
            for key in keys.iter().filter(|key| !key.has_null()) {
                let above = self.moved[limb.number].above.get(key);
                let rows = now(self.graph, limb.parents, key, above);
                self.work.rows(1 + rows.len(), 1)?;
                touched.extend(rows);
            }
        }
        // More than one branch of a row may have changed.
        touched.sort_unstable_by(|a, b| a.exact_cmp(b));
        touched.dedup();
        Ok(touched)
    }

    /// Tells what comes and goes of one level under one row, and what happens below the rows that stay.
    fn tell(
        &mut self,
        twig: &Twig,
        delta: &Delta,
        touched: &[Row],
        path: u128,
    ) -> Result<Vec<Change>, EvalError> {
        let shape = &twig.shape;
        self.work.rows(delta.len() + touched.len(), shape.width())?;
        let mut changes = shape.changes(delta);
        let is_told: Vec<bool> = touched
            .iter()
            .map(|row| changes.binary_search_by(|change| change.id().cmp(&shape.id(row))).is_ok())
            .collect();
        for (row, is_told) in touched.iter().zip(is_told) {
            if !is_told {
                changes.push(shape.unchanged(row));
            }
        }
        changes.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        for change in &mut changes {
            let (old, new) = change.rows();
            let (old, new) = (old.cloned(), new.cloned());
            let here = below(path, change.id());
            if !shape.is_same(old.as_ref(), new.as_ref()) {
                if let Some(row) = &old {
                    self.hash = self.hash.wrapping_sub(self.hash_of(shape, row, path));
                }
                if let Some(row) = &new {
                    self.hash = self.hash.wrapping_add(self.hash_of(shape, row, path));
                }
            }
            let mut children = Vec::with_capacity(twig.limbs.len());
            for limb in &twig.limbs {
                children.push(match (&old, &new) {
                    (Some(old), None) => {
                        self.forget(limb, old, here)?;
                        Vec::new()
                    }
                    (old, Some(new)) => self.tell_limb(limb, old.as_ref(), new, here)?,
                    (None, None) => Vec::new(),
                });
            }
            change.set_children(children);
        }
        // What links a row may have changed, but nothing that is shown.
        changes.retain(|change| {
            let (old, new) = change.rows();
            !shape.is_same(old, new)
                || change.children().iter().any(|children| !children.is_empty())
        });
        Ok(changes)
    }

    fn tell_limb(
        &mut self,
        limb: &Limb,
        old: Option<&Row>,
        new: &Row,
        path: u128,
    ) -> Result<Vec<Change>, EvalError> {
        let path = on_limb(path, limb);
        let key = Key::of(new, &limb.link);
        let old_key = old.map(|old| Key::of(old, &limb.link));
        let moved = &self.moved[limb.number];
        let (delta, touched) = if old_key.as_ref() == Some(&key) {
            if key.has_null() {
                return Ok(Vec::new());
            }
            let delta = moved.rows.get(&key).cloned().unwrap_or_default();
            (delta, moved.touched.get(&key).cloned().unwrap_or_default())
        } else {
            let mut delta = Delta::new();
            if let Some(old_key) = old_key.filter(|key| !key.has_null()) {
                let rows = self.graph.arranged(limb.children, &old_key);
                delta.extend(rows.map(|(row, _)| (row.clone(), -1)));
            }
            if !key.has_null() {
                let rows = now(self.graph, limb.children, &key, moved.rows.get(&key));
                delta.extend(rows.into_iter().map(|row| (row, 1)));
            }
            (delta, Vec::new())
        };
        if delta.is_empty() && touched.is_empty() {
            return Ok(Vec::new());
        }
        self.tell(&limb.twig, &delta, &touched, path)
    }

    /// Takes what hung on a row that went out of the hash.
    fn forget(&mut self, limb: &Limb, row: &Row, path: u128) -> Result<(), EvalError> {
        let path = on_limb(path, limb);
        let key = Key::of(row, &limb.link);
        if key.has_null() {
            return Ok(());
        }
        let rows = self.graph.arranged(limb.children, &key).map(|(row, _)| row);
        for row in rows {
            self.work.rows(1, limb.twig.shape.width())?;
            self.hash = self.hash.wrapping_sub(self.hash_of(&limb.twig.shape, row, path));
            let here = below(path, &limb.twig.shape.id(row));
            for inner in &limb.twig.limbs {
                self.forget(inner, row, here)?;
            }
        }
        Ok(())
    }

    /// Of a row in its place: the same row under another one counts for itself.
    fn hash_of(&mut self, shape: &Shape, row: &Row, path: u128) -> u128 {
        let mut hasher = Xxh3::new();
        hasher.update(&path.to_le_bytes());
        hasher.update(&shape.hash(row, &mut self.arena).to_le_bytes());
        hasher.digest128()
    }
}

/// What a step does to each branch, by what links it.
fn collect(twig: &Twig, changes: &Changes, moved: &mut [Moved]) {
    for limb in &twig.limbs {
        let into = &mut moved[limb.number];
        for (key, row, weight) in changes.keyed(limb.children) {
            into.rows.entry(key.clone()).or_default().push((row.clone(), *weight));
        }
        for (key, row, weight) in changes.keyed(limb.parents) {
            into.above.entry(key.clone()).or_default().push((row.clone(), *weight));
        }
        collect(&limb.twig, changes, moved);
    }
}

/// The rows under a key of an arrangement as they will be after the step.
fn now(graph: &Graph, arrangement: NodeId, key: &Key, delta: Option<&Delta>) -> Vec<Row> {
    let Some(delta) = delta else {
        return graph.arranged(arrangement, key).map(|(row, _)| row.clone()).collect();
    };
    let mut weights: Map<&Row, i64> = graph.arranged(arrangement, key).collect();
    for (row, weight) in delta {
        *weights.entry(row).or_insert(0) += weight;
    }
    weights.into_iter().filter(|(_, weight)| *weight > 0).map(|(row, _)| row.clone()).collect()
}

/// The place of a row's branches; however its id is written.
fn below(path: u128, id: &Key) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&path.to_le_bytes());
    id.hash(&mut hasher);
    hasher.digest128()
}

fn on_limb(path: u128, limb: &Limb) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(&path.to_le_bytes());
    hasher.write_usize(limb.place);
    hasher.digest128()
}
