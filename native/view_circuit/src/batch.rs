//! [`IngestBatch`]: changes of rows, in any mix over any tables.

use shape_expr::Datum;

/// A value as the caller has it, not yet read as its column's type.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// Nothing: an update leaves the column as it is.
    Absent,
    /// NULL.
    Null,
    /// PostgreSQL's text output of the column, as the WAL and COPY carry it.
    Text(Box<[u8]>),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
}

impl Cell {
    /// The value, as it is read.
    #[must_use]
    pub fn datum(&self) -> Datum<'_> {
        match self {
            Cell::Absent => Datum::Absent,
            Cell::Null => Datum::Null,
            Cell::Text(text) => Datum::Text(text),
            Cell::Bool(b) => Datum::Bool(*b),
            Cell::Int(i) => Datum::Int(*i),
            Cell::Float(x) => Datum::Float(*x),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.as_bytes().into())
    }
}

impl From<i64> for Cell {
    fn from(i: i64) -> Cell {
        Cell::Int(i)
    }
}

impl From<bool> for Cell {
    fn from(b: bool) -> Cell {
        Cell::Bool(b)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}

/// A row's values in the order of its columns, and the version it comes with.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub(crate) cells: Vec<Cell>,
    pub(crate) version: Option<u64>,
}

impl Record {
    /// The same with this version.
    #[must_use]
    pub fn version(self, version: u64) -> Record {
        Record { version: Some(version), ..self }
    }
}

impl From<Vec<Cell>> for Record {
    fn from(cells: Vec<Cell>) -> Record {
        Record { cells, version: None }
    }
}

/// One change of one row.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Create(Record),
    Update(Vec<Cell>, Record),
    Delete(Vec<Cell>),
}

/// Changes of rows that happen at once. Those of one row compose in the order they were added.
#[derive(Clone, Debug, Default)]
pub struct IngestBatch {
    /// Names are few and operations many: each has its table's place here.
    pub(crate) tables: Vec<String>,
    pub(crate) operations: Vec<(usize, Operation)>,
    pub(crate) optimistic: bool,
}

impl IngestBatch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> IngestBatch {
        IngestBatch::default()
    }

    /// Are these changes that are shown before the database has them? Then each raises its row's
    /// version by one; otherwise a row has the version it comes with, and without one keeps its own.
    #[must_use]
    pub fn optimistic(self, optimistic: bool) -> IngestBatch {
        IngestBatch { optimistic, ..self }
    }

    /// A new row.
    pub fn create(&mut self, table: &str, record: impl Into<Record>) -> &mut IngestBatch {
        self.push(table, Operation::Create(record.into()))
    }

    /// New values for the row under this key; the key's own columns may be among what changes.
    pub fn update(
        &mut self,
        table: &str,
        key: Vec<Cell>,
        record: impl Into<Record>,
    ) -> &mut IngestBatch {
        self.push(table, Operation::Update(key, record.into()))
    }

    /// The end of the row under this key.
    pub fn delete(&mut self, table: &str, key: Vec<Cell>) -> &mut IngestBatch {
        self.push(table, Operation::Delete(key))
    }

    /// What another batch has, after what this one has. Whether it is optimistic this one says.
    pub fn append(&mut self, other: &IngestBatch) {
        for (table, operation) in &other.operations {
            self.push(&other.tables[*table], operation.clone());
        }
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    fn push(&mut self, table: &str, operation: Operation) -> &mut IngestBatch {
        let known = self.tables.iter().rposition(|name| name == table);
        let place = known.unwrap_or_else(|| {
            self.tables.push(table.to_owned());
            self.tables.len() - 1
        });
        self.operations.push((place, operation));
        self
    }
}
