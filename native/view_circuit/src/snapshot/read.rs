//! Reading a snapshot.

use bumpalo::Bump;
use lane_index::blocks::{Block, HEADER, Header};
use lane_index::codec::{Bad, Input};
use lane_index::storage::Storage;
use shape_expr::{Datum, Options, Owned, decode};

use super::{END, FILE, MAGIC, META, ROWS, VERSION, VIEWS, describe};
use crate::definition::Definition;
use crate::error::Error;
use crate::key::Key;
use crate::row::Row;
use crate::table::{Stored, Table, TableSpec, Tables};
use crate::view::ViewId;

/// What a snapshot holds.
pub(crate) struct Snapshot {
    pub mark: u64,
    pub options: Options,
    pub tables: Tables,
    /// By id.
    pub views: Vec<(ViewId, Definition)>,
}

/// Why reading was given up.
enum Stop {
    Bad(Bad),
    Error(Error),
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Stop {
        Stop::Bad(bad)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Error(error)
    }
}

fn damaged(offset: usize, what: impl Into<String>) -> Error {
    Error::Damaged { path: FILE.to_owned(), offset: offset as u64, what: what.into() }
}

/// Reads and verifies the whole file.
pub(crate) fn read(storage: &dyn Storage) -> Result<Snapshot, Error> {
    let bytes = storage.map(FILE, true)?;
    let bytes: &[u8] = &bytes;
    let mut fields = [0; 5];
    if let Some(header) = bytes.get(..HEADER) {
        for (field, place) in fields.iter_mut().zip(header[16..56].chunks_exact(8)) {
            let mut number = [0; 8];
            number.copy_from_slice(place);
            *field = u64::from_le_bytes(number);
        }
    }
    let header = Header { magic: MAGIC, version: VERSION, fields };
    let what = ["it does not start as a snapshot does", "its header has unknown bytes"];
    header.verify(bytes, FILE, what)?;
    let [mark, salt, tables, rows, views] = fields;
    let mut found: Option<Snapshot> = None;
    let (mut at, mut blocks, mut last, mut rows_read) = (HEADER, 0, 0, 0);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let block = Block::read(rest, at as u64, salt).map_err(|what| damaged(at, what))?;
        if block.kind < last || (block.kind == META) != (blocks == 0) {
            return Err(damaged(at, "a block out of its place"));
        }
        last = block.kind;
        let mut input = Input::new(block.payload);
        let read = match (block.kind, &mut found) {
            (META, _) => meta(&mut input, block.count).map(|(options, tables)| {
                found = Some(Snapshot { mark, options, tables, views: Vec::new() });
            }),
            (ROWS, Some(found)) => {
                rows_read += block.count;
                read_rows(&mut input, block.count, &mut found.tables)
            }
            (VIEWS, Some(found)) => read_views(&mut input, block.count, &mut found.views),
            (END, Some(_)) if block.count != blocks => {
                Err(damaged(at, "blocks are missing").into())
            }
            (END, Some(_)) => Ok(()),
            _ => Err(damaged(at + 8, "a block of no known kind").into()),
        };
        let read = read.and_then(|()| Ok(input.end()?));
        read.map_err(|stop| match stop {
            Stop::Bad(bad) => damaged(at + block.bytes() - block.payload.len() + bad.at, bad.what),
            Stop::Error(error) => error,
        })?;
        at += block.bytes();
        blocks += 1;
        if block.kind == END {
            break;
        }
    }
    if at != bytes.len() {
        return Err(damaged(at, "something follows the end"));
    }
    let counts = |found: &Snapshot| {
        [found.tables.all.len() as u64, rows_read, found.views.len() as u64]
            == [tables, rows, views]
    };
    found.filter(counts).ok_or_else(|| damaged(16, "it holds other than it says"))
}

fn meta(input: &mut Input<'_>, tables: u64) -> Result<(Options, Tables), Stop> {
    let options = describe::options(input)?;
    let mut specs: Vec<TableSpec> = Vec::new();
    for _ in 0..tables {
        specs.push(describe::table(input)?);
    }
    Ok((options, Tables::new(specs)?))
}

fn read_rows(input: &mut Input<'_>, count: u64, tables: &mut Tables) -> Result<(), Stop> {
    let number = usize::try_from(input.number()?).ok();
    let Some(table) = number.and_then(|number| tables.all.get_mut(number)) else {
        return Ok(input.bad("rows of a table that is not there")?);
    };
    let mut arena = Bump::new();
    for _ in 0..count {
        let version = input.number()?;
        let row = read_row(input, table, &arena)?;
        arena.reset();
        if table.key.iter().any(|column| row[*column].is_null()) {
            return Ok(input.bad("a row whose key is NULL")?);
        }
        let key = Key::of(&row, &table.key);
        let hash = table.rows.hash(&key);
        if table.rows.get_hashed(hash, &key).is_some() {
            return Ok(input.bad("two rows of one key")?);
        }
        table.rows.put_hashed(hash, &key, Some(Stored { row, version }));
    }
    Ok(())
}

fn read_row(input: &mut Input<'_>, table: &Table, arena: &Bump) -> Result<Row, Bad> {
    let mut values = Vec::with_capacity(table.types.len());
    for ty in &table.types {
        let value = match input.number()?.checked_sub(1) {
            None => Owned::NULL,
            Some(length) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                let text = input.take(length)?;
                let value = decode(ty, Datum::Text(text), arena).ok();
                match value.and_then(|value| Owned::new(&value)) {
                    Some(value) => value,
                    None => return input.bad("a value that is none of its column's type"),
                }
            }
        };
        values.push(value);
    }
    Ok(values.into())
}

fn read_views(
    input: &mut Input<'_>,
    count: u64,
    views: &mut Vec<(ViewId, Definition)>,
) -> Result<(), Stop> {
    for _ in 0..count {
        let id = ViewId(input.number()?);
        if views.last().is_some_and(|(last, _)| *last >= id) {
            return Ok(input.bad("views out of their order")?);
        }
        views.push((id, describe::definition(input)?));
    }
    Ok(())
}
