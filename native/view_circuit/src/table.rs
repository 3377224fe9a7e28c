//! Tables: their columns, and their rows by primary key.

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use shape_expr::{Column, ColumnType, Owned, Schema, Value};

use crate::delta::Map;
use crate::error::Error;
use crate::key::Key;
use crate::lookup::Lookups;
use crate::row::Row;

/// A table as a circuit is given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name: `todos`, or `public.todos`.
    pub name: String,
    /// Its columns, in the order of records.
    pub columns: Vec<Column>,
    /// The columns of its primary key, in the order of keys.
    pub primary_key: Vec<String>,
}

impl TableSpec {
    /// A table of these columns and this primary key.
    #[must_use]
    pub fn new(name: &str, columns: Vec<Column>, primary_key: &[&str]) -> TableSpec {
        let primary_key = primary_key.iter().map(|column| (*column).to_owned()).collect();
        TableSpec { name: name.to_owned(), columns, primary_key }
    }
}

/// A row and its version.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub row: Row,
    pub version: u64,
}

/// So many values of a row are fetched ahead: a wide row has more than there is time for.
const FETCHED: usize = 16;

/// The rows of a table by their keys, which the rows have in their columns.
pub(crate) struct Rows {
    key: Vec<usize>,
    rows: HashTable<Stored>,
    hasher: RandomState,
    lookups: Lookups,
}

impl Rows {
    fn new(key: Vec<usize>) -> Rows {
        Rows {
            key,
            rows: HashTable::new(),
            hasher: RandomState::new(),
            lookups: Lookups::default(),
        }
    }

    /// The hash by which a key is found, for those who look more than once.
    pub fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key)
    }

    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.get_hashed(self.hash(key), key)
    }

    pub fn get_hashed(&self, hash: u64, key: &Key) -> Option<&Stored> {
        self.rows.find(hash, |stored| key.is_of(&stored.row, &self.key))
    }

    /// Has the row of this hash fetched from memory, for those who will look at it, and at others.
    pub fn fetch(&self, hash: u64) {
        let row = self.rows.iter_hash(hash).next().map(|stored| &stored.row);
        let ends = row.and_then(|row| Some((row.first()?.is_null(), row.last()?.is_null())));
        // A load that nobody waits for does what a prefetch would, without `unsafe`.
        std::hint::black_box(ends);
    }

    /// The same with what its values have elsewhere in memory, once the row itself is fetched.
    pub fn fetch_values(&self, hash: u64) {
        let row = self.rows.iter_hash(hash).next().map(|stored| &stored.row);
        for value in row.into_iter().flat_map(|row| row.iter().take(FETCHED)) {
            if let Value::Text(text) | Value::Bpchar(text) = value.value() {
                std::hint::black_box(text.as_bytes().first().copied());
            }
        }
    }

    /// The rows that have one of these values in a column, where that is known without a look at each.
    pub fn with_values(&mut self, column: usize, values: &[Owned]) -> Option<Vec<Row>> {
        let Rows { key, rows, hasher, lookups } = self;
        let hash_of = |row: &Row| Key::hash_of(row, key, hasher);
        let all = || rows.iter().map(|stored| (&stored.row[column], hash_of(&stored.row)));
        let hashes = lookups.find(column, values, rows.len(), all)?;
        let has_one = |row: &Row| {
            let value = row[column].value();
            values.iter().any(|own| own.value().equals(&value))
        };
        let mut found = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let alike = rows.iter_hash(hash).map(|stored| &stored.row);
            found.extend(alike.filter(|row| hash_of(row) == hash && has_one(row)).cloned());
        }
        Some(found)
    }

    /// The row under the key from now on, or none.
    pub fn put_hashed(&mut self, hash: u64, key: &Key, new: Option<Stored>) {
        let Rows { key: columns, rows, hasher, lookups } = self;
        if let Some(new) = &new {
            lookups.add(&new.row, hash);
        }
        let is_same = |stored: &Stored| key.is_of(&stored.row, columns);
        let rehash = |stored: &Stored| Key::hash_of(&stored.row, columns, hasher);
        match (rows.entry(hash, is_same, rehash), new) {
            (Entry::Vacant(entry), Some(new)) => {
                entry.insert(new);
            }
            (Entry::Occupied(mut entry), Some(new)) => *entry.get_mut() = new,
            (Entry::Occupied(entry), None) => {
                entry.remove();
            }
            (Entry::Vacant(_), None) => {}
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn values(&self) -> impl Iterator<Item = &Stored> {
        self.rows.iter()
    }
}

pub(crate) struct Table {
    pub schema: Arc<Schema>,
    /// The columns' types, in their order.
    pub types: Vec<ColumnType>,
    /// Where the key's columns stand.
    pub key: Vec<usize>,
    pub rows: Rows,
}

impl Table {
    pub fn new(spec: TableSpec) -> Result<Table, Error> {
        let TableSpec { name, columns, primary_key } = spec;
        let invalid = |message: String| Error::InvalidTable { table: name.clone(), message };
        let types: Option<Vec<ColumnType>> = columns.iter().map(|c| c.ty.clone()).collect();
        let schema = Schema::new(&name, columns).map_err(|error| invalid(error.to_string()))?;
        let Some(types) = types else { return Err(invalid("a column has no type".to_owned())) };
        if primary_key.is_empty() {
            return Err(invalid("it has no primary key".to_owned()));
        }
        let mut key = Vec::with_capacity(primary_key.len());
        for column in &primary_key {
            match schema.position(column) {
                None => return Err(invalid(format!("it has no column {column} for its key"))),
                Some(at) if key.contains(&at) => {
                    return Err(invalid(format!("column {column} is in its key twice")));
                }
                Some(at) => key.push(at),
            }
        }
        Ok(Table { schema: Arc::new(schema), types, rows: Rows::new(key.clone()), key })
    }

    /// As it was given.
    pub fn spec(&self) -> TableSpec {
        let columns = self.schema.columns().to_vec();
        let name = |column: &usize| columns[*column].name.clone();
        let primary_key = self.key.iter().map(name).collect();
        TableSpec { name: self.name().to_owned(), columns, primary_key }
    }

    pub fn name(&self) -> &str {
        self.schema.table()
    }
}

/// The tables of a circuit, by name.
pub(crate) struct Tables {
    pub all: Vec<Table>,
    names: Map<String, usize>,
}

impl Tables {
    pub fn new(specs: Vec<TableSpec>) -> Result<Tables, Error> {
        let mut names = Map::default();
        let mut all = Vec::with_capacity(specs.len());
        for spec in specs {
            let table = Table::new(spec)?;
            let name = full_name(table.name()).into_owned();
            // Without its schema too, so that finding it puts no name together.
            let bare = name.strip_prefix("public.").filter(|bare| !bare.contains('.'));
            let bare = bare.map(str::to_owned);
            if names.insert(name, all.len()).is_some() {
                return Err(Error::DuplicateTable { table: table.name().to_owned() });
            }
            names.extend(bare.map(|bare| (bare, all.len())));
            all.push(table);
        }
        Ok(Tables { all, names })
    }

    /// The table of this name; without a schema it is that of `public`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }
}

fn full_name(name: &str) -> std::borrow::Cow<'_, str> {
    match name.contains('.') {
        true => name.into(),
        false => format!("public.{name}").into(),
    }
}
