//! [`Circuit`]: tables, views, and the graph between them.

use shape_expr::sql::Select;
use shape_expr::{Compiler, EvalError, Options, Owned, Param, Raise, Type};

use crate::batch::{Cell, IngestBatch};
use crate::delta::Map;
use crate::error::Error;
use crate::graph::{Changes, Evaluator, Graph, NodeId, Operator, Stats};
use crate::ingest;
use crate::key::Key;
use crate::parallel::Parallel;
use crate::plan::Planner;
use crate::row::Row;
use crate::table::{TableSpec, Tables};
use crate::view::{ContentHash, Format, OutputColumn, View, ViewId, ViewUpdate};
use crate::work::Work;

/// Tables and the views over them.
pub struct Circuit {
    tables: Tables,
    graph: Graph,
    compiler: Compiler,
    evaluator: Evaluator,
    parallel: Parallel,
    views: Map<ViewId, View>,
    /// The views that show a node's output.
    shown: Map<NodeId, Vec<ViewId>>,
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
        Ok(Circuit {
            tables: Tables::new(tables)?,
            graph: Graph::default(),
            compiler: Compiler::new(options)?,
            evaluator: Evaluator::default(),
            parallel: Parallel::default(),
            views: Map::default(),
            shown: Map::default(),
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
        let select = Select::parse(sql)?;
        let mut made = Vec::new();
        let result = self.build(id, &select, params, format, &mut made);
        if result.is_err() {
            self.graph.sweep(made);
        }
        result
    }

    fn build(
        &mut self,
        id: ViewId,
        select: &Select,
        params: &[Param<'_>],
        format: Format,
        made: &mut Vec<NodeId>,
    ) -> Result<ViewUpdate, Error> {
        let Circuit { tables, graph, compiler, evaluator, .. } = self;
        let mut planner = Planner { graph, tables, compiler, params, made };
        let relation = planner.view(select)?;
        let node = relation.node;
        let raised = |(_, raised)| Error::Raised { view: id, raised };
        graph.fill(made, tables, evaluator).map_err(raised)?;
        let rows = graph.snapshot(node, tables, evaluator).map_err(raised)?;
        let mut view = View::new(id, relation, format);
        let update = view.apply(&rows);
        graph.retain(node);
        self.shown.entry(node).or_default().push(id);
        self.views.insert(id, view);
        Ok(update)
    }

    /// Removes a view, and frees what only it needed.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn unregister(&mut self, id: ViewId) -> Result<(), Error> {
        let view = self.views.remove(&id).ok_or(Error::UnknownView(id))?;
        if let Some(ids) = self.shown.get_mut(&view.node) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.shown.remove(&view.node);
            }
        }
        self.graph.release(view.node);
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
        let mut deltas = Vec::with_capacity(staged.len());
        for staged in &staged {
            if let Some(scan) = self.graph.find(&Operator::Scan(staged.table), &[]) {
                deltas.push((scan, staged.delta()));
            }
        }
        let computed = self.graph.compute(deltas, &mut self.evaluator, &self.parallel);
        let changes = computed.map_err(|(node, raised)| self.raised(node, raised))?;
        if let Some(more) = bounded {
            self.count_shown(&changes, more).map_err(|(node, raised)| self.raised(node, raised))?;
        }
        let mut updates = Vec::new();
        for (node, delta) in changes.nodes() {
            for id in self.shown.get(&node).into_iter().flatten() {
                updates.extend(self.views.get_mut(id).map(|view| view.apply(delta)));
            }
        }
        self.graph.commit(changes);
        for staged in staged {
            staged.commit(&mut self.tables);
        }
        updates.sort_unstable_by_key(|update| update.view);
        Ok(updates)
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

    /// The columns of a view's rows.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn columns(&self, id: ViewId) -> Result<&[OutputColumn], Error> {
        Ok(&self.view(id)?.columns)
    }

    /// The types of the values that ids of a view's rows are made of.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn id_types(&self, id: ViewId) -> Result<&[Type], Error> {
        Ok(self.view(id)?.id_types())
    }

    /// The rows of a flat view with their ids, in the order of the ids; a streaming view keeps none.
    ///
    /// # Errors
    /// [`Error::UnknownView`].
    pub fn rows(&self, id: ViewId) -> Result<impl Iterator<Item = (&Key, &[Owned])>, Error> {
        Ok(self.view(id)?.rows())
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
