//! [`Circuit`]: tables, views, and the graph between them.

use std::path::Path;

use lane_index::storage::Storage;
use shape_expr::sql::Query;
use shape_expr::{ColumnType, Compiler, EvalError, Options, Owned, Param, Raise, Type};
use smallvec::SmallVec;

use crate::batch::{Cell, IngestBatch};
use crate::builder::Plan;
use crate::definition::{Asked, Definition};
use crate::delta::Map;
use crate::error::Error;
use crate::graph::{Changes, Evaluator, Graph, NodeId, Stats};
use crate::ingest;
use crate::key::Key;
use crate::parallel::Parallel;
use crate::plan::{Level, Planner};
use crate::row::Row;
use crate::snapshot;
use crate::table::{Table, TableSpec, Tables};
use crate::tree::{Branch, Tree, TreeRow};
use crate::view::{Change, ContentHash, Format, OutputColumn, Shape, View, ViewId, ViewUpdate};
use crate::work::Work;

/// Tables and the views over them.
pub struct Circuit {
    tables: Tables,
    graph: Graph,
    compiler: Compiler,
    evaluator: Evaluator,
    parallel: Parallel,
    views: Map<ViewId, View>,
    definitions: Map<ViewId, Definition>,
    options: Options,
    /// The views that show a node's output.
    shown: Map<NodeId, SmallVec<[ViewId; 2]>>,
    /// How many views are trees.
    trees: usize,
}

impl std::fmt::Debug for Circuit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Circuit")
            .field("tables", &self.tables.all.len())
            .field("views", &self.views.len())
            .field("graph", &self.graph.stats())
            .finish_non_exhaustive()
    }
}

impl Circuit {
    /// A circuit of these tables, all empty. The options say what answers depend on, such as the time
    /// zone.
    ///
    /// # Errors
    /// [`Error::InvalidTable`], [`Error::DuplicateTable`], or an option that has no such value.
    pub fn new(tables: Vec<TableSpec>, options: Options) -> Result<Circuit, Error> {
        Circuit::of(Tables::new(tables)?, options)
    }

    fn of(tables: Tables, options: Options) -> Result<Circuit, Error> {
        let keys = tables.all.iter().map(|table| (table.key.as_slice().into(), table.types.len()));
        let graph = Graph::new(keys.collect());
        Ok(Circuit {
            tables,
            graph,
            compiler: Compiler::new(options.clone())?,
            evaluator: Evaluator::default(),
            parallel: Parallel::default(),
            views: Map::default(),
            definitions: Map::default(),
            options,
            shown: Map::default(),
            trees: 0,
        })
    }

    /// Registers a query as a view, and gives its first result as rows created.
    ///
    /// # Errors
    /// [`Error::DuplicateView`]; [`Error::Query`] and [`Error::UnknownTable`] for a query that is
    /// refused; [`Error::Raised`] if it raises for a row that is there. The circuit is as before.
    pub fn register(
        &mut self,
        id: ViewId,
        sql: &str,
        params: &[Param<'_>],
        format: Format,
    ) -> Result<ViewUpdate, Error> {
        if self.views.contains_key(&id) {
            return Err(Error::DuplicateView(id));
        }
        let query = Query::parse(sql)?;
        let update = self.build_or_sweep(id, &query, params, format)?;
        self.definitions.insert(id, Definition::new(Asked::Sql(sql.into()), params, format));
        Ok(update)
    }

    /// Registers a query that was put together by calls.
    ///
    /// # Errors
    /// Those of [`Circuit::register`].
    pub fn register_plan(
        &mut self,
        id: ViewId,
        plan: &Plan,
        params: &[Param<'_>],
        format: Format,
    ) -> Result<ViewUpdate, Error> {
        if self.views.contains_key(&id) {
            return Err(Error::DuplicateView(id));
        }
        let update = self.build_or_sweep(id, &plan.query()?, params, format)?;
        self.definitions
            .insert(id, Definition::new(Asked::Plan(Box::new(plan.clone())), params, format));
        Ok(update)
    }

    fn build_or_sweep(
        &mut self,
        id: ViewId,
        query: &Query,
        params: &[Param<'_>],
        format: Format,
    ) -> Result<ViewUpdate, Error> {
        let mut made = Vec::new();
        let result = self.build(id, query, params, format, &mut made);
        if result.is_err() {
            self.graph.sweep(made);
        }
        result
    }

    /// The types of what a query selects. Nothing is registered.
    ///
    /// # Errors
    /// Those of [`Circuit::register`] for a query that is refused.
    pub fn types_of(&mut self, sql: &str, params: &[Param<'_>]) -> Result<Vec<ColumnType>, Error> {
        let query = Query::parse(sql)?;
        let mut made = Vec::new();
        let Circuit { tables, graph, compiler, .. } = self;
        let planned =
            Planner { graph, tables, compiler, params, made: &mut made }.query(&query, None);
        self.graph.sweep(made);
        let relation = planned?;
        Ok(relation.types.into_iter().take(relation.columns.len()).collect())
    }

    fn build(
        &mut self,
        id: ViewId,
        query: &Query,
        params: &[Param<'_>],
        format: Format,
        made: &mut Vec<NodeId>,
    ) -> Result<ViewUpdate, Error> {
        let Circuit { tables, graph, compiler, evaluator, .. } = self;
        let mut planner = Planner { graph, tables, compiler, params, made };
        let (level, is_tree) = match format {
            Format::Tree => (planner.tree(query)?, true),
            _ => {
                let relation = planner.query(query, None)?;
                (Level { relation, links: 0, branches: Vec::new() }, false)
            }
        };
        let node = level.relation.node;
        let raised = |(_, raised)| Error::Raised { view: id, raised };
        graph.fill(made, tables, evaluator).map_err(raised)?;
        let rows = graph.snapshot(node, tables, evaluator).map_err(raised)?;
        let shape = Shape::new(&level.relation, level.links);
        let tree = is_tree.then(|| Tree::new(level));
        let mut view = View::new(id, node, shape, tree, format);
        let update = match &view.tree {
            None => view.apply(&rows),
            Some(tree) => {
                let told = tree.whole(graph, &rows, &mut evaluator.work);
                let (changes, hash) = told.map_err(|error| raised((node, error)))?;
                view.apply_tree(&rows, changes, hash)
            }
        };
        for node in view.nodes() {
            graph.retain(*node);
            let shown = self.shown.entry(*node).or_default();
            if !shown.contains(&id) {
                shown.push(id);
            }
        }
        self.trees += usize::from(view.tree.is_some());
        self.views.insert(id, view);
        Ok(update)
    }

    /// Removes a view, and frees what only it needed.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn unregister(&mut self, id: ViewId) -> Result<(), Error> {
        let view = self.views.remove(&id).ok_or(Error::UnknownView(id))?;
        self.definitions.remove(&id);
        self.trees -= usize::from(view.tree.is_some());
        for node in view.nodes() {
            if let Some(ids) = self.shown.get_mut(node) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.shown.remove(node);
                }
            }
            self.graph.release(*node);
        }
        Ok(())
    }

    /// Applies a batch, and says what it did to each view that it changed, by id.
    ///
    /// # Errors
    /// The batch is malformed, or an expression raises for one of its rows. Nothing is changed then.
    pub fn step(&mut self, batch: &IngestBatch) -> Result<Vec<ViewUpdate>, Error> {
        self.apply(batch, None)
    }

    /// The same for a caller who must not be held: `None`, and nothing is changed, where it would take
    /// more than about so many times 10 ns. Reading the batch is not counted: its size is known. `more`
    /// says what the caller will do for each view that changes, of which so many rows are kept.
    ///
    /// # Errors
    /// Those of [`Circuit::step`].
    pub fn step_within(
        &mut self,
        batch: &IngestBatch,
        units: u64,
        more: impl Fn(ViewId, Option<usize>) -> u64,
    ) -> Result<Option<Vec<ViewUpdate>>, Error> {
        self.evaluator.allow(Work::bounded(units));
        let result = self.apply(batch, Some(&more));
        self.evaluator.allow(Work::unbounded());
        match result {
            // It may raise that without bounds too: whoever asks again without will see.
            Err(Error::Raised { raised, .. }) if raised.raise() == Raise::LimitExceeded => Ok(None),
            other => other.map(Some),
        }
    }

    fn apply(
        &mut self,
        batch: &IngestBatch,
        bounded: Option<&dyn Fn(ViewId, Option<usize>) -> u64>,
    ) -> Result<Vec<ViewUpdate>, Error> {
        let staged = ingest::stage(&self.tables, batch)?;
        let deltas = staged.iter().filter_map(|staged| {
            let scan = self.graph.scan(staged.table)?;
            Some((scan, staged.delta()))
        });
        let computed = self.graph.compute(deltas, &mut self.evaluator, &self.parallel);
        let changes = computed.map_err(|(node, raised)| self.raised(node, raised))?;
        if let Some(more) = bounded {
            self.count_shown(&changes, more).map_err(|(node, raised)| self.raised(node, raised))?;
        }
        let trees = self.trees(&changes)?;
        let mut updates = Vec::new();
        for (id, (told, hash)) in trees {
            let Some(view) = self.views.get_mut(&id) else { continue };
            let update = view.apply_tree(changes.rows(view.node), told, hash);
            updates.extend(Some(update).filter(|update| !update.changes.is_empty()));
        }
        for (node, delta) in changes.nodes() {
            for id in self.shown.get(&node).into_iter().flatten() {
                let view = self.views.get_mut(id).filter(|view| view.tree.is_none());
                updates.extend(view.map(|view| view.apply(delta)));
            }
        }
        self.graph.commit(changes);
        for staged in staged {
            staged.commit(&mut self.tables);
        }
        updates.sort_unstable_by_key(|update| update.view);
        Ok(updates)
    }

    /// What happens to trees.
    fn trees(&mut self, changes: &Changes) -> Result<Map<ViewId, (Vec<Change>, u128)>, Error> {
        let mut trees = Map::default();
        if self.trees == 0 {
            return Ok(trees);
        }
        for (node, _) in changes.nodes() {
            for id in self.shown.get(&node).into_iter().flatten() {
                let Some(tree) = self.views.get(id).and_then(|view| view.tree.as_ref()) else {
                    continue;
                };
                if !trees.contains_key(id) {
                    let told = tree.change(&self.graph, changes, &mut self.evaluator.work);
                    let told = told.map_err(|raised| Error::Raised { view: *id, raised })?;
                    trees.insert(*id, told);
                }
            }
        }
        Ok(trees)
    }

    /// What it will take to show these changes.
    fn count_shown(
        &mut self,
        changes: &Changes,
        more: &dyn Fn(ViewId, Option<usize>) -> u64,
    ) -> Result<(), (NodeId, EvalError)> {
        for (node, delta) in changes.nodes() {
            let Some(views) = self.shown.get(&node) else { continue };
            let work = &mut self.evaluator.work;
            let mut count = || {
                for (row, _) in delta {
                    work.shown(row, views.len())?;
                }
                for view in views.iter().filter_map(|id| self.views.get(id)) {
                    work.spend(more(view.id, view.len()))?;
                }
                Ok(())
            };
            count().map_err(|raised| (node, raised))?;
        }
        Ok(())
    }

    fn raised(&self, node: NodeId, raised: EvalError) -> Error {
        let node = self.graph.result_of(node);
        let view = self.shown.get(&node).and_then(|ids| ids.first());
        Error::Raised { view: view.copied().unwrap_or(ViewId(0)), raised }
    }

    /// The tables, as they were given.
    #[must_use]
    pub fn tables(&self) -> Vec<TableSpec> {
        self.tables.all.iter().map(Table::spec).collect()
    }

    /// The names of the tables that a view reads.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn tables_of(&self, id: ViewId) -> Result<Vec<&str>, Error> {
        let tables = self.graph.tables(self.view(id)?.nodes());
        Ok(tables.into_iter().map(|table| self.tables.all[table].name()).collect())
    }

    /// The columns of a view's rows.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn columns(&self, id: ViewId) -> Result<&[OutputColumn], Error> {
        Ok(&self.view(id)?.shape.columns)
    }

    /// The types of the values that ids of a view's rows are made of.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn id_types(&self, id: ViewId) -> Result<impl Iterator<Item = &Type>, Error> {
        Ok(self.view(id)?.shape.id_types())
    }

    /// The rows of a flat view with their ids, in the order of the ids; a streaming view keeps none.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn rows(&self, id: ViewId) -> Result<impl Iterator<Item = (&Key, &[Owned])>, Error> {
        Ok(self.view(id)?.rows())
    }

    /// What hangs on each row of a view that is a tree; on rows of others nothing does.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn branches(&self, id: ViewId) -> Result<Vec<Branch>, Error> {
        Ok(self.view(id)?.tree.as_ref().map(Tree::branches).unwrap_or_default())
    }

    /// The rows of a tree with all that hangs on them, in the order the query says, and by id.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn tree(&self, id: ViewId) -> Result<impl Iterator<Item = TreeRow>, Error> {
        let view = self.view(id)?;
        let width = view.shape.width();
        Ok(view.whole_rows().map(move |(id, row)| TreeRow {
            id: id.clone(),
            values: row[..width].to_vec(),
            children: view.tree.as_ref().map_or_else(Vec::new, |tree| tree.below(&self.graph, row)),
        }))
    }

    /// How many rows are kept of a view; `None` for one that keeps none.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn row_count(&self, id: ViewId) -> Result<Option<usize>, Error> {
        Ok(self.view(id)?.len())
    }

    /// The hash of a flat view's content.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn hash(&self, id: ViewId) -> Result<Option<ContentHash>, Error> {
        Ok(self.view(id)?.hash())
    }

    /// A table's row under a key, and its version.
    ///
    /// # Errors
    /// [`Error::UnknownTable`], or what a batch says of such a key.
    pub fn row(&self, table: &str, key: &[Cell]) -> Result<Option<(&Row, u64)>, Error> {
        let unknown = || Error::UnknownTable { table: table.to_owned(), at: 0 };
        let table = &self.tables.all[self.tables.find(table).ok_or_else(unknown)?];
        let key = ingest::read_key(table, key)?;
        Ok(table.rows.get(&key).map(|stored| (&stored.row, stored.version)))
    }

    /// Writes everything into a directory, in the place of what an earlier call wrote there: tables with
    /// all rows and versions, and the views as they were asked for. The mark is the caller's, a position in
    /// the WAL say, and comes back with [`Circuit::restore`]. A crash leaves the old snapshot or the new
    /// one. Two must not write to one directory at once.
    ///
    /// # Errors
    /// [`Error::Io`]; the old snapshot is there then, or, where only the end of the call failed, the new
    /// one.
    pub fn snapshot(&self, directory: impl AsRef<Path>, mark: u64) -> Result<(), Error> {
        self.snapshot_to(&snapshot::directory(directory.as_ref())?, mark)
    }

    /// The same to any storage.
    ///
    /// # Errors
    /// Those of [`Circuit::snapshot`].
    pub fn snapshot_to(&self, storage: &dyn Storage, mark: u64) -> Result<(), Error> {
        let mut views: Vec<_> = self.definitions.iter().map(|(id, view)| (*id, view)).collect();
        views.sort_unstable_by_key(|(id, _)| *id);
        snapshot::write(storage, &self.options, &self.tables, &views, mark)
    }

    /// The circuit that a snapshot holds, and the mark that was given with it. Views are computed anew,
    /// and tell nothing: their contents are those of before, and so are their hashes.
    ///
    /// # Errors
    /// [`Error::Io`] where there is none or it cannot be read; [`Error::Damaged`],
    /// [`Error::UnknownVersion`]; [`Error::NotRestored`].
    pub fn restore(directory: impl AsRef<Path>) -> Result<(Circuit, u64), Error> {
        let directory = directory.as_ref();
        if let Err(error) = std::fs::metadata(directory) {
            let (path, kind) = (directory.display().to_string(), error.kind());
            return Err(Error::Io { operation: "open", path, kind, message: error.to_string() });
        }
        Circuit::restore_from(&snapshot::directory(directory)?)
    }

    /// The same from any storage.
    ///
    /// # Errors
    /// Those of [`Circuit::restore`].
    pub fn restore_from(storage: &dyn Storage) -> Result<(Circuit, u64), Error> {
        let found = snapshot::read(storage)?;
        let mut circuit = Circuit::of(found.tables, found.options)?;
        for (id, definition) in found.views {
            let (params, format) = (definition.params(), definition.format);
            let registered = match &definition.query {
                Asked::Sql(sql) => circuit.register(id, sql, &params, format),
                Asked::Plan(plan) => circuit.register_plan(id, plan, &params, format),
            };
            let error = |error| Error::NotRestored { view: id, error: Box::new(error) };
            registered.map_err(error)?;
        }
        Ok((circuit, found.mark))
    }

    /// From so many rows to look at on, a step uses more than one thread; `usize::MAX` for never. What comes
    /// of it is the same. Without this it is a number that was measured.
    pub fn parallel_from(&mut self, rows: usize) {
        self.parallel.rows = rows;
    }

    /// What the circuit is made of.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let table_rows = self.tables.all.iter().map(|table| table.rows.len()).sum();
        Stats { table_rows, ..self.graph.stats() }
    }

    fn view(&self, id: ViewId) -> Result<&View, Error> {
        self.views.get(&id).ok_or(Error::UnknownView(id))
    }
}
