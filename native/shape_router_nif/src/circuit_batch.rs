//! A batch's terms -> an [`IngestBatch`]: rows by their columns' names, ids beside them.

use crate::atoms;
use crate::bare::Bare;
use crate::circuit_view::Shown;
use crate::columns::{ColumnKeys, Family, Kind};
use crate::error::NifError;
use crate::param;
use crate::row::MapRow;
use crate::value;
use bumpalo::Bump;
use bumpalo::collections::String as BumpString;
use hashbrown::HashMap;
use rustler::types::tuple::get_tuple;
use rustler::{Atom, MapIterator, Term, TermType};
use shape_expr::{ColumnType, Datum, Schema, decode};
use smallvec::SmallVec;
use view_circuit::{Cell, IngestBatch, Record, TableSpec};

/// More operations, or more bytes of values, are not read on a normal scheduler.
const MOST_OPERATIONS: usize = 64;
const MOST_BYTES: usize = 1 << 16;

/// A table as records and ids are read for it.
pub(crate) struct CircuitTable {
    pub name: String,
    pub keys: ColumnKeys,
    pub types: Vec<ColumnType>,
    /// Where the primary key's columns stand.
    pub key: Vec<usize>,
}

/// The tables of a circuit by name.
pub(crate) struct CircuitTables {
    all: Vec<CircuitTable>,
    names: HashMap<String, usize>,
}

impl CircuitTables {
    /// Of schemas that the circuit has accepted.
    pub fn new(specs: &[TableSpec], schemas: &[Schema]) -> Self {
        let table = |(spec, schema): (&TableSpec, &Schema)| CircuitTable {
            name: spec.name.clone(),
            keys: ColumnKeys::new(schema),
            types: schema.columns().iter().filter_map(|column| column.ty.clone()).collect(),
            key: spec.primary_key.iter().filter_map(|name| schema.position(name)).collect(),
        };
        let all: Vec<CircuitTable> = specs.iter().zip(schemas).map(table).collect();
        let mut names = HashMap::new();
        for (at, table) in all.iter().enumerate() {
            // Who names no schema means `public`.
            match table.name.strip_prefix("public.") {
                Some(name) => names.insert(name.to_owned(), at),
                None if !table.name.contains('.') => {
                    names.insert(format!("public.{}", table.name), at)
                }
                None => None,
            };
            names.insert(table.name.clone(), at);
        }
        Self { all, names }
    }

    pub fn find(&self, term: Term<'_>) -> Result<&CircuitTable, NifError> {
        let at = match term.get_type() {
            TermType::Binary => term.decode::<&str>().ok().and_then(|name| self.names.get(name)),
            TermType::Atom => {
                term.atom_to_string().ok().and_then(|name| self.names.get(name.as_str()))
            }
            _ => {
                let message = format!("a table's name is a string or an atom, not {}", Shown(term));
                return Err(NifError::argument(message));
            }
        };
        at.map(|at| &self.all[*at]).ok_or_else(|| {
            let message = format!("there is no table {}", Shown(term));
            NifError::new("unknown_table", message).with_sqlstate(Some("42P01"))
        })
    }
}

/// Reads the terms of one call.
pub(crate) struct BatchReader<'r> {
    tables: &'r CircuitTables,
    arena: &'r Bump,
    /// What may still be read on a normal scheduler.
    left: Option<usize>,
}

/// It would take too long here.
pub(crate) struct Heavy;

type Cells = SmallVec<[Cell; 2]>;

impl<'r> BatchReader<'r> {
    pub fn new(tables: &'r CircuitTables, arena: &'r Bump, at_once: bool) -> Self {
        Self { tables, arena, left: at_once.then_some(MOST_BYTES) }
    }

    /// `[{:create | :update, table, id, record, version | nil} | {:delete, table, id}]`, the last of which
    /// comes first.
    pub fn batch<'t: 'r>(
        &mut self,
        operations: Term<'t>,
        optimistic: bool,
    ) -> Result<Result<IngestBatch, Heavy>, NifError> {
        let mut terms = Vec::new();
        let mut rest = operations;
        while let Ok((operation, tail)) = rest.list_get_cell() {
            terms.push(operation);
            rest = tail;
            if self.left.is_some() && terms.len() > MOST_OPERATIONS {
                return Ok(Err(Heavy));
            }
        }
        if !rest.is_empty_list() {
            return Err(NifError::argument("the batch's operations are not a proper list"));
        }
        let mut batch = IngestBatch::new().optimistic(optimistic);
        // Operations on one table come together more often than not.
        let mut known: Option<(Term<'t>, &'r CircuitTable)> = None;
        for (at, term) in terms.into_iter().rev().enumerate() {
            let read = || -> Result<(Atom, &'r CircuitTable, Vec<Term<'t>>), NifError> {
                let parts = get_tuple(term).unwrap_or_default();
                let (Some(kind), Some(table), 3 | 5) =
                    (parts.first().and_then(|kind| kind.decode().ok()), parts.get(1), parts.len())
                else {
                    return Err(NifError::argument("it was not made by ShapeRouter.IngestBatch"));
                };
                let table = match known {
                    Some((name, found)) if name.as_c_arg() == table.as_c_arg() => found,
                    _ => self.tables.find(*table)?,
                };
                Ok((kind, table, parts))
            };
            let in_batch =
                |error: NifError| error.at(format_args!("operation {at}")).with_position(Some(at));
            let (kind, table, parts) = read().map_err(in_batch)?;
            known = Some((parts[1], table));
            let added = self.operation(kind, table, &parts[2..], &mut batch);
            let in_table = |error: NifError| {
                let place = format_args!("operation {at} on table {}", table.name).to_string();
                error.at(place).with_position(Some(at))
            };
            if let Err(Heavy) = added.map_err(in_table)? {
                return Ok(Err(Heavy));
            }
        }
        Ok(Ok(batch))
    }

    fn operation<'t: 'r>(
        &mut self,
        kind: Atom,
        table: &'r CircuitTable,
        parts: &[Term<'t>],
        batch: &mut IngestBatch,
    ) -> Result<Result<(), Heavy>, NifError> {
        let id = match self.id(table, parts[0])? {
            Ok(id) => id,
            Err(Heavy) => return Ok(Err(Heavy)),
        };
        let [record, version] = match parts[1..] {
            [record, version] => [record, version],
            _ if kind == atoms::delete() => {
                batch.delete(&table.name, id.into_vec());
                return Ok(Ok(()));
            }
            _ => return Err(NifError::argument("it was not made by ShapeRouter.IngestBatch")),
        };
        let mut cells = match self.record(table, record)? {
            Ok(cells) => cells,
            Err(Heavy) => return Ok(Err(Heavy)),
        };
        let version: Option<u64> = version.decode().map_err(|_| {
            let message = "a version is an integer from 0 to 2^64-1, not";
            NifError::argument(format!("{message} {}", Shown(version)))
        })?;
        if kind == atoms::create() {
            self.agree(table, id, &mut cells)?;
            batch.create(&table.name, versioned(cells, version));
        } else if kind == atoms::update() {
            batch.update(&table.name, id.into_vec(), versioned(cells, version));
        } else {
            return Err(NifError::argument("it was not made by ShapeRouter.IngestBatch"));
        }
        Ok(Ok(()))
    }

    /// A row's id: the value of a key of one column, a list or tuple of the values of several.
    pub fn id<'t: 'r>(
        &mut self,
        table: &CircuitTable,
        term: Term<'t>,
    ) -> Result<Result<Cells, Heavy>, NifError> {
        let parts: SmallVec<[Term<'t>; 2]> = match (term.get_type(), table.key.as_slice()) {
            (TermType::Tuple, _) => get_tuple(term).unwrap_or_default().into(),
            (TermType::List, [column]) if takes_lists(table.keys.kind(*column)) => {
                SmallVec::from_slice(&[term])
            }
            (TermType::List, _) => {
                let mut parts = SmallVec::new();
                let mut rest = term;
                while let Ok((part, tail)) = rest.list_get_cell() {
                    parts.push(part);
                    rest = tail;
                    if parts.len() > table.key.len() {
                        break;
                    }
                }
                if parts.len() <= table.key.len() && !rest.is_empty_list() {
                    return Err(NifError::argument("its id is an improper list"));
                }
                parts
            }
            _ => SmallVec::from_slice(&[term]),
        };
        let (expected, found) = (table.key.len(), parts.len());
        if found != expected {
            let more = if found > expected { "more" } else { "fewer" };
            let values = if expected == 1 { "1 value" } else { &format!("{expected} values") };
            let message = format!("an id of this table has {values}, this one has {more}");
            return Err(NifError::new("wrong_length", message));
        }
        let mut cells = Cells::new();
        for (column, part) in table.key.iter().zip(parts) {
            if self.is_heavy(part) {
                return Ok(Err(Heavy));
            }
            let datum = value::datum(part, table.keys.kind(*column), self.arena);
            cells.push(self.cell(table, *column, datum, part)?);
        }
        Ok(Ok(cells))
    }

    /// A row by its columns' names; what it leaves out is absent.
    fn record<'t: 'r>(
        &mut self,
        table: &'r CircuitTable,
        term: Term<'t>,
    ) -> Result<Result<Vec<Cell>, Heavy>, NifError> {
        let Ok(size) = term.map_size() else {
            return Err(NifError::argument(format!("its record is {}, not a map", Shown(term))));
        };
        if term.map_get(atoms::__struct__()).is_ok() {
            return Err(NifError::argument("its record is a struct, not a plain map"));
        }
        let row = MapRow::new(Bare::new(term), &table.keys, self.arena);
        let mut found = 0;
        let mut cells = Vec::with_capacity(table.types.len());
        for column in 0..table.types.len() {
            let Some(value) = row.term(column) else {
                cells.push(Cell::Absent);
                continue;
            };
            found += 1;
            if self.is_heavy(value) {
                return Ok(Err(Heavy));
            }
            let datum = value::datum(value, table.keys.kind(column), self.arena);
            cells.push(self.cell(table, column, datum, value)?);
        }
        match found == size {
            true => Ok(Ok(cells)),
            false => Err(stray(table, term)),
        }
    }

    /// Counts what a value takes to read; true: too much for a normal scheduler.
    fn is_heavy(&mut self, term: Term<'_>) -> bool {
        let Some(left) = self.left else { return false };
        let bytes = match term.get_type() {
            TermType::Binary => Bare::new(term).bytes().map_or(0, <[u8]>::len),
            TermType::Integer if term.decode::<i64>().is_ok() => 8,
            TermType::Atom | TermType::Float => 8,
            // Dates, times and the like; a decimal may have any number of digits.
            TermType::Map if term.map_get(atoms::__struct__()).is_ok() => {
                let digits = term.map_get(atoms::coef());
                if digits.is_ok_and(|digits| digits.is_integer() && digits.decode::<i64>().is_err())
                {
                    return true;
                }
                64
            }
            // Nobody knows how large these are before they have been read.
            _ => return true,
        };
        self.left = left.checked_sub(bytes);
        match self.left {
            Some(_) => false,
            None => {
                self.left = Some(0);
                true
            }
        }
    }

    fn cell(
        &self,
        table: &CircuitTable,
        column: usize,
        datum: Datum<'_>,
        term: Term<'_>,
    ) -> Result<Cell, NifError> {
        Ok(match datum {
            Datum::Absent => Cell::Absent,
            Datum::Null => Cell::Null,
            Datum::Text(text) => Cell::Text(text.into()),
            Datum::Bool(bool) => Cell::Bool(bool),
            Datum::Int(int) => Cell::Int(int),
            Datum::Float(float) => Cell::Float(float),
            Datum::List(items) => {
                let mut out = BumpString::new_in(self.arena);
                match param::array(items, &mut out) {
                    Some(()) => Cell::from(out.as_str()),
                    None => return Err(unreadable(table, column, term)),
                }
            }
            Datum::Unreadable => return Err(unreadable(table, column, term)),
        })
    }

    /// A new row's id and its record say the same; what the record leaves out of the key is the id's.
    fn agree(&self, table: &CircuitTable, id: Cells, cells: &mut [Cell]) -> Result<(), NifError> {
        for (column, id) in table.key.iter().zip(id) {
            let cell = &mut cells[*column];
            if *cell == Cell::Absent {
                *cell = id;
            } else if *cell != id && !self.is_equal(&table.types[*column], &id, cell)? {
                let name = table.keys.name(*column).unwrap_or_default();
                let message = format!("its id and its record differ in column {name}");
                return Err(NifError::new("key_mismatch", message));
            }
        }
        Ok(())
    }

    fn is_equal(&self, ty: &ColumnType, id: &Cell, cell: &Cell) -> Result<bool, NifError> {
        let arena = Bump::new();
        match (decode(ty, id.datum(), &arena), decode(ty, cell.datum(), &arena)) {
            (Ok(id), Ok(value)) => Ok(!id.is_null() && !value.is_null() && id.equals(&value)),
            (Err(raised), Ok(_)) => {
                let message = format!("its id: {raised}");
                let sqlstate = Some(raised.sqlstate());
                Err(NifError::new("type_mismatch", message).with_sqlstate(sqlstate))
            }
            // The circuit says what is wrong with the record.
            (_, Err(_)) => Ok(true),
        }
    }
}

fn versioned(cells: Vec<Cell>, version: Option<u64>) -> Record {
    let record = Record::from(cells);
    match version {
        Some(version) => record.version(version),
        None => record,
    }
}

fn takes_lists(kind: Kind) -> bool {
    kind.array || kind.family == Family::Json
}

#[cold]
fn unreadable(table: &CircuitTable, column: usize, term: Term<'_>) -> NifError {
    let name = table.keys.name(column).unwrap_or_default();
    let ty = &table.types[column];
    let message = format!("column {name}: {} is no {ty}", Shown(term));
    NifError::new("type_mismatch", message).with_sqlstate(Some("22P02"))
}

/// Names the key of a record that is no column of the table, or that names one a second time.
#[cold]
fn stray(table: &CircuitTable, record: Term<'_>) -> NifError {
    for (key, _) in MapIterator::new(record).into_iter().flatten() {
        let name = match key.get_type() {
            TermType::Atom => key.atom_to_string().ok(),
            TermType::Binary => key.decode().ok(),
            _ => None,
        };
        if name.is_none_or(|name: String| table.keys.position(&name).is_none()) {
            let message = format!("there is no column {}", Shown(key));
            return NifError::new("unknown_column", message).with_sqlstate(Some("42703"));
        }
    }
    NifError::argument("its record names a column by an atom and by a string")
}
