//! From a batch to each table's delta: operations on one row composed, everything checked, nothing
//! changed yet.

use bumpalo::Bump;
use shape_expr::{Owned, Value, decode};

use crate::batch::{Cell, IngestBatch, Operation, Record};
use crate::delta::{Delta, Map};
use crate::error::Error;
use crate::key::Key;
use crate::row::Row;
use crate::table::{Stored, Table, Tables};

/// What a batch does to one table: under each key touched, what will be there.
pub(crate) struct Staged {
    pub table: usize,
    rows: Map<Key, Option<Stored>>,
}

/// Reads a batch, by table.
pub(crate) fn stage(tables: &Tables, batch: &IngestBatch) -> Result<Vec<Staged>, Error> {
    let mut staged: Vec<Staged> = Vec::new();
    // A name's place in the batch -> its place among what is staged.
    let mut places: Vec<Option<usize>> = vec![None; batch.tables.len()];
    let mut arena = Bump::new();
    for (at, (name, operation)) in batch.operations.iter().enumerate() {
        let place = match places[*name] {
            Some(place) => place,
            None => {
                let name_given = &batch.tables[*name];
                let table = tables
                    .find(name_given)
                    .ok_or_else(|| Error::UnknownTable { table: name_given.clone(), at })?;
                // `todos` and `public.todos` are one table.
                let known = staged.iter().position(|staged| staged.table == table);
                let place = known.unwrap_or_else(|| {
                    staged.push(Staged { table, rows: Map::default() });
                    staged.len() - 1
                });
                places[*name] = Some(place);
                place
            }
        };
        let staged = &mut staged[place];
        let reader = Reader { table: &tables.all[staged.table], operation: at, arena: &arena };
        staged.apply(&reader, operation, batch.optimistic)?;
        arena.reset();
    }
    Ok(staged)
}

/// Reads a key on its own.
pub(crate) fn read_key(table: &Table, key: &[Cell]) -> Result<Key, Error> {
    Reader { table, operation: 0, arena: &Bump::new() }.key(key)
}

impl Staged {
    fn now<'s>(&'s self, table: &'s Table, key: &Key) -> Option<&'s Stored> {
        match self.rows.get(key) {
            Some(staged) => staged.as_ref(),
            None => table.rows.get(key),
        }
    }

    fn apply(
        &mut self,
        reader: &Reader<'_>,
        operation: &Operation,
        optimistic: bool,
    ) -> Result<(), Error> {
        let table = reader.table;
        let version = |record: &Record, before: u64| match optimistic {
            true => before.saturating_add(1),
            false => record.version.unwrap_or(before),
        };
        match operation {
            Operation::Create(record) => {
                let row = reader.row(&record.cells, None)?;
                let key = reader.key_of(&row)?;
                if self.now(table, &key).is_some() {
                    return Err(reader.duplicate(&key));
                }
                let version = version(record, record.version.unwrap_or(0));
                self.rows.insert(key, Some(Stored { row, version }));
            }
            Operation::Update(key, record) => {
                let key = reader.key(key)?;
                let old = self.now(table, &key).ok_or_else(|| reader.missing(&key))?;
                let row = reader.row(&record.cells, Some(&old.row))?;
                let version = version(record, old.version);
                let new_key = reader.key_of(&row)?;
                if new_key != key {
                    if self.now(table, &new_key).is_some() {
                        return Err(reader.duplicate(&new_key));
                    }
                    self.rows.insert(key, None);
                }
                self.rows.insert(new_key, Some(Stored { row, version }));
            }
            Operation::Delete(key) => {
                let key = reader.key(key)?;
                if self.now(table, &key).is_none() {
                    return Err(reader.missing(&key));
                }
                self.rows.insert(key, None);
            }
        }
        Ok(())
    }

    /// Minus the old rows, plus the new ones; rows that end as they were are not in it.
    pub fn delta(&self, tables: &Tables) -> Delta {
        let table = &tables.all[self.table];
        let mut delta = Delta::with_capacity(2 * self.rows.len());
        for (key, new) in &self.rows {
            let old = table.rows.get(key).map(|stored| &stored.row);
            let new = new.as_ref().map(|stored| &stored.row);
            if old != new {
                delta.extend(old.map(|row| (row.clone(), -1)));
                delta.extend(new.map(|row| (row.clone(), 1)));
            }
        }
        delta
    }

    /// Makes it so.
    pub fn commit(self, tables: &mut Tables) {
        let rows = &mut tables.all[self.table].rows;
        for (key, new) in self.rows {
            match new {
                // The key too: an equal one may be written differently (1.0 and 1.00).
                Some(stored) => {
                    rows.remove(&key);
                    rows.insert(key, stored);
                }
                None => {
                    rows.remove(&key);
                }
            }
        }
    }
}

/// Reads the values of one operation.
struct Reader<'r> {
    table: &'r Table,
    operation: usize,
    arena: &'r Bump,
}

impl Reader<'_> {
    fn column_name(&self, column: usize) -> String {
        self.table.schema.columns()[column].name.clone()
    }

    fn check_length(&self, found: usize, expected: usize) -> Result<(), Error> {
        let (operation, table) = (self.operation, self.table.name());
        match found == expected {
            true => Ok(()),
            false => {
                Err(Error::WrongLength { operation, table: table.to_owned(), expected, found })
            }
        }
    }

    /// `None` for a value that is not there.
    fn read(&self, column: usize, cell: &Cell) -> Result<Option<Owned>, Error> {
        let mismatch = |raised| Error::TypeMismatch {
            operation: self.operation,
            table: self.table.name().to_owned(),
            column: self.column_name(column),
            raised,
        };
        match decode(&self.table.types[column], cell.datum(), self.arena) {
            Ok(Value::Unknown) => Ok(None),
            Ok(value) => Ok(Owned::new(&value)),
            Err(raised) => Err(mismatch(raised)),
        }
    }

    fn row(&self, cells: &[Cell], old: Option<&Row>) -> Result<Row, Error> {
        self.check_length(cells.len(), self.table.types.len())?;
        let mut values = Vec::with_capacity(cells.len());
        for (column, cell) in cells.iter().enumerate() {
            let value = match (self.read(column, cell)?, old) {
                (Some(value), _) => value,
                (None, Some(old)) => old[column].clone(),
                (None, None) => {
                    let (operation, table) = (self.operation, self.table.name().to_owned());
                    let column = self.column_name(column);
                    return Err(Error::MissingValue { operation, table, column });
                }
            };
            values.push(value);
        }
        Ok(values.into())
    }

    fn key_of(&self, row: &Row) -> Result<Key, Error> {
        let null = self.table.key.iter().find(|column| row[**column].is_null());
        match null {
            Some(column) => Err(self.null_key(*column)),
            None => Ok(Key::of(row, &self.table.key)),
        }
    }

    fn key(&self, cells: &[Cell]) -> Result<Key, Error> {
        self.check_length(cells.len(), self.table.key.len())?;
        let value = |(column, cell): (&usize, &Cell)| match self.read(*column, cell)? {
            Some(value) if !value.is_null() => Ok(value),
            _ => Err(self.null_key(*column)),
        };
        self.table.key.iter().zip(cells).map(value).collect()
    }

    fn null_key(&self, column: usize) -> Error {
        let (operation, table) = (self.operation, self.table.name().to_owned());
        Error::NullKey { operation, table, column: self.column_name(column) }
    }

    fn print(&self, key: &Key) -> String {
        let text = |(column, value): (&usize, &Owned)| {
            value.text(&self.table.types[*column].ty, self.arena).unwrap_or("NULL").to_owned()
        };
        let all: Vec<String> = self.table.key.iter().zip(key.values()).map(text).collect();
        format!("({})", all.join(", "))
    }

    fn missing(&self, key: &Key) -> Error {
        let (operation, table) = (self.operation, self.table.name().to_owned());
        Error::MissingRow { operation, table, key: self.print(key) }
    }

    fn duplicate(&self, key: &Key) -> Error {
        let (operation, table) = (self.operation, self.table.name().to_owned());
        Error::DuplicateRow { operation, table, key: self.print(key) }
    }
}
