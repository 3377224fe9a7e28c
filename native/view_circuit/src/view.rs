//! Views: what is kept of a result, and how its changes are told.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bumpalo::Bump;
use shape_expr::{Owned, Type, Value};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128;

use crate::delta::Delta;
use crate::graph::NodeId;
use crate::key::Key;
use crate::plan::{Relation, SortColumn};
use crate::row::Row;
use crate::tree::Tree;

/// A view's id, chosen by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub u64);

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is kept of a view's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// The rows by id, and a hash of the content.
    Flat,
    /// Nothing: changes are told and forgotten.
    Streaming,
    /// The rows, each with those that hang on it: `ARRAY (SELECT ...)` among what is selected, correlated
    /// by equalities, of any number of columns, and nested as deep as need be. A hash of all of it.
    Tree,
}

/// A hash of a view's content: it changes when the content does, and is the same for the same content
/// however it came about. Two contents share one by chance only (128 bits); it is no defence against
/// somebody who constructs rows to that end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ContentHash(pub u128);

/// A column of a view's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// What the query calls it.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

/// What became of one row of a view.
///
/// A row's id is made of the primary keys of the rows it comes from, in the order of the query's
/// tables, so that rows are told apart whatever is selected of them. Of SELECT DISTINCT, whose rows come
/// from many, and of UNION, INTERSECT and EXCEPT it is all that is selected; of GROUP BY it is what is
/// grouped by; of UNION ALL it is the number of the query, from 0, and the ids that rows of each query
/// have, NULL for the other one; copies of a row that EXCEPT ALL or INTERSECT ALL give are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    id: Key,
    old: Option<Row>,
    new: Option<Row>,
    width: usize,
    order: Arc<[SortColumn]>,
    children: Vec<Vec<Change>>,
}

impl Change {
    /// The row's id.
    #[must_use]
    pub fn id(&self) -> &Key {
        &self.id
    }

    /// The values before; of a row that was created there are none.
    #[must_use]
    pub fn before(&self) -> Option<&[Owned]> {
        self.old.as_ref().map(|row| &row[..self.width])
    }

    /// The values now; of a row that was deleted there are none.
    #[must_use]
    pub fn after(&self) -> Option<&[Owned]> {
        self.new.as_ref().map(|row| &row[..self.width])
    }

    /// In a tree, what became of the rows that hang on this one, branch by branch. Of a row that was
    /// created all of them are created with it; with a row that was deleted all of them are gone, and
    /// none is named. A row that changed only below has the same values before and after.
    #[must_use]
    pub fn children(&self) -> &[Vec<Change>] {
        &self.children
    }

    pub(crate) fn set_children(&mut self, children: Vec<Vec<Change>>) {
        self.children = children;
    }

    pub(crate) fn rows(&self) -> (Option<&Row>, Option<&Row>) {
        (self.old.as_ref(), self.new.as_ref())
    }

    /// The values that the row is sorted by now, in the order of ORDER BY. They are a part of the row
    /// though they may not be among what is selected: a row whose place changes is updated.
    pub fn sorted_by(&self) -> impl Iterator<Item = &Owned> {
        let row = self.new.as_ref();
        row.into_iter().flat_map(|row| self.order.iter().map(|by| &row[by.column]))
    }
}

/// What a batch, or its registration, did to a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewUpdate {
    /// The view.
    pub view: ViewId,
    /// The rows that changed, by id.
    pub changes: Vec<Change>,
    /// The hash of the content as it is now; `None` for a streaming view.
    pub hash: Option<ContentHash>,
}

impl ViewUpdate {
    /// The rows that came.
    pub fn created(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.old.is_none())
    }

    /// The rows that stayed with other values.
    pub fn updated(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.old.is_some() && change.new.is_some())
    }

    /// The rows that went.
    pub fn deleted(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.new.is_none())
    }
}

/// What a relation's rows look like to whoever shows them. They begin with the columns that are shown.
pub(crate) struct Shape {
    pub columns: Vec<OutputColumn>,
    /// The types of all columns that count, those of the id too.
    types: Vec<Type>,
    key: Vec<usize>,
    order: Arc<[SortColumn]>,
}

impl Shape {
    /// Of rows whose last columns, so many, are no part of what is shown.
    pub fn new(relation: &Relation, hidden: usize) -> Shape {
        let Relation { columns, types, id: key, order, .. } = relation;
        let types = types[..types.len() - hidden].iter().map(|ty| ty.ty.clone()).collect();
        let (columns, key) = (columns.clone(), key.clone());
        Shape { columns, types, key, order: order.as_slice().into() }
    }

    /// How many columns are shown.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// The types of what ids are made of.
    pub fn id_types(&self) -> impl Iterator<Item = &Type> {
        self.key.iter().map(|column| &self.types[*column])
    }

    pub fn id(&self, row: &Row) -> Key {
        Key::of(row, &self.key)
    }

    /// The order in which rows are shown.
    pub fn compare(&self, a: &Row, b: &Row) -> Ordering {
        let mut by = self.order.iter().map(|by| by.compare(&a[by.column], &b[by.column]));
        let first = by.find(|order| order.is_ne());
        first.unwrap_or_else(|| self.id(a).cmp(&self.id(b)))
    }

    fn place(&self, row: &Row, id: &Key) -> Place {
        let values = self.order.iter().map(|by| row[by.column].clone()).collect();
        Place { order: self.order.clone(), values, id: id.clone() }
    }

    pub fn hash(&self, row: &Row, arena: &mut Bump) -> u128 {
        hash(row, &self.types, arena)
    }

    /// Are they the same in all that counts?
    pub fn is_same(&self, old: Option<&Row>, new: Option<&Row>) -> bool {
        let counts = self.types.len();
        old.map(|row| &row[..counts]) == new.map(|row| &row[..counts])
    }

    /// A row that stays as it is.
    pub fn unchanged(&self, row: &Row) -> Change {
        let (id, old, new) = (self.id(row), Some(row.clone()), Some(row.clone()));
        let (width, order) = (self.width(), self.order.clone());
        Change { id, old, new, width, order, children: Vec::new() }
    }

    /// A delta row by row, by id.
    pub fn changes(&self, delta: &Delta) -> Vec<Change> {
        // By id, and what goes before what comes.
        let mut rows: SmallVec<[&(Row, i64); 4]> = delta.iter().collect();
        rows.sort_unstable_by(|(a, x), (b, y)| Key::compare_of(a, b, &self.key).then(x.cmp(y)));
        let width = self.width();
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
        let mut before: Option<&Row> = None;
        for (row, weight) in rows {
            debug_assert!(weight.abs() == 1, "ids are unique");
            let is_same = |gone: &&Row| Key::compare_of(gone, row, &self.key).is_eq();
            let gone = before.take().filter(|_| *weight > 0).filter(is_same);
            match (gone, changes.last_mut()) {
                (Some(gone), Some(last)) => {
                    // An equal id may be written differently now.
                    if self.key.iter().any(|column| gone[*column] != row[*column]) {
                        last.id = self.id(row);
                    }
                    last.new = Some(row.clone());
                }
                _ => {
                    let (id, order) = (self.id(row), self.order.clone());
                    let (row_of, children) = (Some(row.clone()), Vec::new());
                    let (old, new) = if *weight < 0 { (row_of, None) } else { (None, row_of) };
                    changes.push(Change { id, old, new, width, order, children });
                    before = (*weight < 0).then_some(row);
                }
            }
        }
        changes
    }
}

/// The rows that are kept of a view.
enum Kept {
    Nothing,
    ById(BTreeMap<Key, Row>),
    Sorted(BTreeMap<Place, Row>),
}

/// A registered view.
pub(crate) struct View {
    pub id: ViewId,
    pub node: NodeId,
    pub shape: Shape,
    rows: Kept,
    hash: u128,
    /// What hangs on the rows.
    pub tree: Option<Tree>,
}

impl View {
    pub fn new(id: ViewId, node: NodeId, shape: Shape, tree: Option<Tree>, format: Format) -> View {
        let rows = match format {
            Format::Streaming => Kept::Nothing,
            _ if shape.order.is_empty() => Kept::ById(BTreeMap::new()),
            _ => Kept::Sorted(BTreeMap::new()),
        };
        View { id, node, shape, rows, hash: 0, tree }
    }

    /// Every node whose changes concern it.
    pub fn nodes(&self) -> &[NodeId] {
        match &self.tree {
            Some(tree) => &tree.nodes,
            None => std::slice::from_ref(&self.node),
        }
    }

    /// Takes a delta in, and tells it row by row.
    pub fn apply(&mut self, delta: &Delta) -> ViewUpdate {
        let changes = self.shape.changes(delta);
        if !matches!(self.rows, Kept::Nothing) {
            let mut arena = Bump::new();
            for change in &changes {
                if let Some(old) = &change.old {
                    self.hash = self.hash.wrapping_sub(self.shape.hash(old, &mut arena));
                }
                if let Some(new) = &change.new {
                    self.hash = self.hash.wrapping_add(self.shape.hash(new, &mut arena));
                }
            }
        }
        self.keep(&changes);
        ViewUpdate { view: self.id, changes, hash: self.hash() }
    }

    /// The same of a tree, whose changes and what they do to the hash are known. Of what its rows are
    /// linked by, more may change than is told.
    pub fn apply_tree(&mut self, delta: &Delta, changes: Vec<Change>, hash: u128) -> ViewUpdate {
        self.hash = self.hash.wrapping_add(hash);
        self.keep(&self.shape.changes(delta));
        ViewUpdate { view: self.id, changes, hash: self.hash() }
    }

    fn keep(&mut self, changes: &[Change]) {
        for change in changes {
            let id = &change.id;
            match &mut self.rows {
                Kept::Nothing => {}
                Kept::ById(rows) => {
                    // The key too: an equal one may be written differently.
                    rows.remove(id);
                    rows.extend(change.new.iter().map(|new| (id.clone(), new.clone())));
                }
                Kept::Sorted(rows) => {
                    if let Some(old) = &change.old {
                        rows.remove(&self.shape.place(old, id));
                    }
                    if let Some(new) = &change.new {
                        rows.insert(self.shape.place(new, id), new.clone());
                    }
                }
            }
        }
    }

    pub fn hash(&self) -> Option<ContentHash> {
        (!matches!(self.rows, Kept::Nothing)).then_some(ContentHash(self.hash))
    }

    /// How many rows are kept, if they are.
    pub fn len(&self) -> Option<usize> {
        match &self.rows {
            Kept::Nothing => None,
            Kept::ById(rows) => Some(rows.len()),
            Kept::Sorted(rows) => Some(rows.len()),
        }
    }

    /// The rows that are kept, in the order the query says, and by id.
    pub fn whole_rows(&self) -> impl Iterator<Item = (&Key, &Row)> {
        let (by_id, sorted) = match &self.rows {
            Kept::Nothing => (None, None),
            Kept::ById(rows) => (Some(rows), None),
            Kept::Sorted(rows) => (None, Some(rows)),
        };
        let sorted = sorted.into_iter().flatten().map(|(place, row)| (&place.id, row));
        by_id.into_iter().flatten().chain(sorted)
    }

    /// What is shown of them.
    pub fn rows(&self) -> impl Iterator<Item = (&Key, &[Owned])> {
        let width = self.shape.width();
        self.whole_rows().map(move |(id, row)| (id, &row[..width]))
    }
}

/// Where a row stands in its view: by what the query sorts by, and then by id.
struct Place {
    order: Arc<[SortColumn]>,
    values: SmallVec<[Owned; 1]>,
    id: Key,
}

impl Ord for Place {
    fn cmp(&self, other: &Place) -> Ordering {
        let values = self.values.iter().zip(&other.values);
        let mut by_values = self.order.iter().zip(values).map(|(by, (a, b))| by.compare(a, b));
        let first = by_values.find(|order| order.is_ne());
        first.unwrap_or_else(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Place) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Place {}

/// Of everything that can be seen of a row. The hashes of a view's rows are added up, so that one row's
/// change costs one row's work.
fn hash(row: &Row, types: &[Type], arena: &mut Bump) -> u128 {
    arena.reset();
    let mut bytes = bumpalo::collections::Vec::with_capacity_in(32 * row.len(), arena);
    for (value, ty) in row.iter().zip(types) {
        match value.value() {
            Value::Null => bytes.push(0),
            Value::Int(i) => {
                bytes.push(1);
                bytes.extend_from_slice(&i.to_le_bytes());
            }
            _ => {
                let text = value.text(ty, bytes.bump()).unwrap_or_default();
                bytes.push(2);
                bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }
    xxh3_128(&bytes)
}
