//! Incremental views: SELECTs over tables that are kept up to date at the cost of what changes.
//!
//! A [`Circuit`] holds tables and views. An [`IngestBatch`] changes rows, and [`Circuit::step`] says
//! what that does to each view: rows created, updated and deleted. Inside, tables are Z-sets (rows with
//! integer weights), a batch is a change of those with old and new rows in it, and operators turn
//! changes of their inputs into changes of their outputs; none rescans a table.
//!
//! A view's query is a SELECT, read by PostgreSQL's grammar and typed by its rules:
//!
//! - inner joins, `WHERE` with `IN`, `NOT IN`, `EXISTS` and `NOT EXISTS`, queries in `FROM` and `WITH`;
//! - `SELECT DISTINCT`, `GROUP BY`, `HAVING`, and the aggregate functions `count`, `sum`, `avg`, `min`,
//!   `max`, `bool_and`, `every` and `bool_or`, with `DISTINCT` and `FILTER`;
//! - `ORDER BY`, `LIMIT` and `OFFSET`; `UNION`, `INTERSECT` and `EXCEPT`, with and without `ALL`;
//! - `ARRAY (SELECT ...)` among what is selected, for a view that is a [tree](Format::Tree).
//!
//! Where PostgreSQL's own answer depends on its plan, there is one here that depends on the rows alone:
//!
//! - Of values that are equal but written differently (`1.0` and `1.00`), DISTINCT, GROUP BY and their
//!   kin show the first in the order of [`Row::exact_cmp`]; so do `min` and, the last one, `max`.
//! - Rows that ORDER BY finds equal are sorted by their ids, and without ORDER BY `LIMIT` takes the first
//!   rows by id. Without LIMIT, ORDER BY decides the order of [`Circuit::rows`]. What rows are sorted by
//!   is a part of them, as their ids are, in hashes and in what is told: [`Change::sorted_by`].
//! - Sums and averages of floats are exact and then rounded once. PostgreSQL rounds at each row, so its
//!   last digits depend on the order of rows, and so does whether an intermediate sum overflows.
//!
//! ```
//! use shape_expr::{Column, Options};
//! use view_circuit::{Cell, Circuit, Format, IngestBatch, TableSpec, ViewId};
//!
//! let todos = TableSpec::new(
//!     "todos",
//!     vec![Column::new("id", "int8".parse()?), Column::new("priority", "int4".parse()?)],
//!     &["id"],
//! );
//! let mut circuit = Circuit::new(vec![todos], Options::default())?;
//! let sql = "SELECT id FROM todos WHERE priority > 3";
//! circuit.register(ViewId(1), sql, &[], Format::Streaming)?;
//!
//! let mut batch = IngestBatch::new();
//! batch.create("todos", vec![Cell::from(1), Cell::from(5)]);
//! batch.create("todos", vec![Cell::from(2), Cell::from(1)]);
//! let updates = circuit.step(&batch)?;
//! assert_eq!(updates[0].created().count(), 1);
//!
//! // It leaves the view: the row is deleted from it, though not from its table.
//! let mut batch = IngestBatch::new();
//! batch.update("todos", vec![Cell::from(1)], vec![Cell::from(1), Cell::from(2)]);
//! assert_eq!(circuit.step(&batch)?[0].deleted().count(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batch;
mod builder;
mod circuit;
mod definition;
mod delta;
mod error;
mod graph;
mod ingest;
mod key;
mod lookup;
mod parallel;
mod plan;
mod row;
mod scope;
mod snapshot;
mod table;
mod tree;
mod view;
mod work;

pub use batch::{Cell, IngestBatch, Record};
pub use builder::{IntoColumn, Plan};
pub use circuit::Circuit;
pub use error::Error;
pub use graph::Stats;
pub use key::Key;
pub use row::Row;
pub use table::TableSpec;
pub use tree::{Branch, TreeRow};
pub use view::{Change, ContentHash, Format, OutputColumn, ViewId, ViewUpdate};
