//! From a batch to each table's delta: operations on one row composed, everything checked, nothing
//! changed yet.

use bumpalo::Bump;
use hashbrown::HashTable;
use shape_expr::{Owned, Value, decode};
use smallvec::SmallVec;

use crate::batch::{Cell, IngestBatch, Operation, Record};
use crate::delta::Delta;
use crate::error::Error;
use crate::key::Key;
use crate::row::{Row, Values};
use crate::table::{Stored, Table, Tables};

/// What a batch does to one table: what will be there under each key that it touches.
pub(crate) struct Staged {
    pub table: usize,
    rows: Vec<Touched>,
    /// Places in `rows` by hash, once those are more than a few.
    places: HashTable<usize>,
}

/// A row that is touched.
struct Touched {
    key: Key,
    hash: u64,
    old: Option<Stored>,
    /// What it is by now; `None` while that is what it was.
    now: Option<Option<Stored>>,
}

impl Touched {
    fn now(&self) -> Option<&Stored> {
        self.now.as_ref().unwrap_or(&self.old).as_ref()
    }
}

/// A key that was read ahead, with its hash.
type KeyAhead = Option<(Key, u64)>;

/// So many operations' rows are fetched from memory at once.
const AHEAD: usize = 16;

/// So many rows are found by looking through them.
const FEW: usize = 8;

/// Reads a batch, by table.
pub(crate) fn stage(tables: &Tables, batch: &IngestBatch) -> Result<Vec<Staged>, Error> {
    let mut staged: Vec<Staged> = Vec::new();
    // A name's place in the batch -> its place among what is staged.
    let mut places: SmallVec<[Option<usize>; 4]> = SmallVec::from_elem(None, batch.tables.len());
    let mut arena = Bump::new();
    let mut ahead: SmallVec<[KeyAhead; AHEAD]> = SmallVec::new();
    for (at, (name, operation)) in batch.operations.iter().enumerate() {
        if at % AHEAD == 0 && batch.operations.len() > 1 {
            let next = &batch.operations[at..batch.operations.len().min(at + AHEAD)];
            look_ahead(tables, batch, next, &mut ahead, &mut arena);
        }
        let key = ahead.get_mut(at % AHEAD).and_then(Option::take);
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
                    staged.push(Staged::new(table));
                    staged.len() - 1
                });
                places[*name] = Some(place);
                place
            }
        };
        let staged = &mut staged[place];
        let reader = Reader { table: &tables.all[staged.table], operation: at, arena: &arena };
        staged.apply(&reader, operation, key, batch.optimistic)?;
        arena.reset();
    }
    Ok(staged)
}

/// Reads the keys of rows that come next, and has all those rows fetched from memory together: whoever
/// looks at them one after the other waits for each. What cannot be read is told when its turn comes.
fn look_ahead(
    tables: &Tables,
    batch: &IngestBatch,
    operations: &[(usize, Operation)],
    ahead: &mut SmallVec<[KeyAhead; AHEAD]>,
    arena: &mut Bump,
) {
    ahead.clear();
    let mut read: SmallVec<[(usize, u64); AHEAD]> = SmallVec::new();
    let mut known: Option<(usize, Option<usize>)> = None;
    for (name, operation) in operations {
        let table = match known {
            Some((known, table)) if known == *name => table,
            _ => tables.find(&batch.tables[*name]),
        };
        known = Some((*name, table));
        let (Some(at), Operation::Update(key, _) | Operation::Delete(key)) = (table, operation)
        else {
            ahead.push(None);
            continue;
        };
        let table = &tables.all[at];
        let key = Reader { table, operation: 0, arena }.key(key).ok();
        ahead.push(key.map(|key| {
            let hash = table.rows.hash(&key);
            read.push((at, hash));
            (key, hash)
        }));
        arena.reset();
    }
    read.iter().for_each(|(table, hash)| tables.all[*table].rows.fetch(*hash));
    read.iter().for_each(|(table, hash)| tables.all[*table].rows.fetch_values(*hash));
}

/// Reads a key on its own.
pub(crate) fn read_key(table: &Table, key: &[Cell]) -> Result<Key, Error> {
    Reader { table, operation: 0, arena: &Bump::new() }.key(key)
}

impl Staged {
    fn new(table: usize) -> Staged {
        Staged { table, rows: Vec::new(), places: HashTable::new() }
    }

    /// The row under a key as it is by now.
    fn touch(&mut self, table: &Table, key: Key, hash: u64) -> &mut Touched {
        let is_same = |row: &Touched| row.hash == hash && row.key == key;
        let known = match self.rows.len() <= FEW {
            true => self.rows.iter().position(is_same),
            false => self.places.find(hash, |place| is_same(&self.rows[*place])).copied(),
        };
        let place = known.unwrap_or_else(|| {
            let old = table.rows.get_hashed(hash, &key).cloned();
            self.rows.push(Touched { key, hash, old, now: None });
            let rows = &self.rows;
            let unknown = if rows.len() == FEW + 1 { 0 } else { rows.len() - 1 };
            if rows.len() > FEW {
                for place in unknown..rows.len() {
                    self.places.insert_unique(rows[place].hash, place, |place| rows[*place].hash);
                }
            }
            rows.len() - 1
        });
        &mut self.rows[place]
    }

    fn apply(
        &mut self,
        reader: &Reader<'_>,
        operation: &Operation,
        ahead: KeyAhead,
        optimistic: bool,
    ) -> Result<(), Error> {
        let table = reader.table;
        let hashed = |key: Key| {
            let hash = table.rows.hash(&key);
            (key, hash)
        };
        let version = |record: &Record, before: u64| match optimistic {
            true => before.saturating_add(1),
            false => record.version.unwrap_or(before),
        };
        match operation {
            Operation::Create(record) => {
                let row = reader.row(&record.cells, None)?;
                let (key, hash) = hashed(reader.key_of(&row)?);
                let touched = self.touch(table, key, hash);
                if touched.now().is_some() {
                    return Err(reader.duplicate(&touched.key));
                }
                let version = version(record, record.version.unwrap_or(0));
                touched.now = Some(Some(Stored { row, version }));
            }
            Operation::Update(key, record) => {
                let (key, hash) = match ahead {
                    Some(read) => read,
                    None => hashed(reader.key(key)?),
                };
                let touched = self.touch(table, key, hash);
                let Some(old) = touched.now() else { return Err(reader.missing(&touched.key)) };
                let row = reader.row(&record.cells, Some(&old.row))?;
                let version = version(record, old.version);
                if touched.key.is_of(&row, &table.key) {
                    touched.now = Some(Some(Stored { row, version }));
                    return Ok(());
                }
                let (new_key, hash) = hashed(reader.key_of(&row)?);
                touched.now = Some(None);
                let touched = self.touch(table, new_key, hash);
                if touched.now().is_some() {
                    return Err(reader.duplicate(&touched.key));
                }
                touched.now = Some(Some(Stored { row, version }));
            }
            Operation::Delete(key) => {
                let (key, hash) = match ahead {
                    Some(read) => read,
                    None => hashed(reader.key(key)?),
                };
                let touched = self.touch(table, key, hash);
                if touched.now().is_none() {
                    return Err(reader.missing(&touched.key));
                }
                touched.now = Some(None);
            }
        }
        Ok(())
    }

    /// Minus the old rows, plus the new ones; rows that end as they were are not in it.
    pub fn delta(&self) -> Delta {
        let mut delta = Delta::with_capacity(2 * self.rows.len());
        for touched in &self.rows {
            let old = touched.old.as_ref().map(|stored| &stored.row);
            let now = touched.now().map(|stored| &stored.row);
            if old != now {
                delta.extend(old.map(|row| (row.clone(), -1)));
                delta.extend(now.map(|row| (row.clone(), 1)));
            }
        }
        delta
    }

    /// Makes it so.
    pub fn commit(self, tables: &mut Tables) {
        let rows = &mut tables.all[self.table].rows;
        for Touched { key, hash, now, .. } in self.rows {
            if let Some(now) = now {
                rows.put_hashed(hash, &key, now);
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
        let mut values = Values::with_capacity(cells.len());
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
        Ok(Row::of(values.into_iter()))
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
