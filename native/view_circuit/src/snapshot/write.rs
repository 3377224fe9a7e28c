//! Writing a snapshot.

use bumpalo::Bump;
use lane_index::blocks::{BlockWriter, Header};
use lane_index::codec::put;
use lane_index::sealed;
use lane_index::storage::{Storage, names};
use shape_expr::Options;

use super::{END, FILE, FULL, MAGIC, META, ROWS, VERSION, VIEWS, describe};
use crate::definition::Definition;
use crate::error::Error;
use crate::table::{Stored, Table, Tables};
use crate::view::ViewId;

/// Writes everything, and then puts it in the place of what was there.
pub(crate) fn write(
    storage: &dyn Storage,
    options: &Options,
    tables: &Tables,
    views: &[(ViewId, &Definition)],
    mark: u64,
) -> Result<(), Error> {
    let temporary = names::temporary(FILE);
    let written = write_file(storage, &temporary, options, tables, views, mark);
    // The removal is best effort: the next attempt removes it too.
    written.inspect_err(|_| drop(storage.remove(&temporary)))?;
    Ok(sealed::put_in_place(storage, FILE)?)
}

/// Things of one kind, until they fill a block.
#[derive(Default)]
struct Pending {
    count: u64,
    bytes: Vec<u8>,
}

impl Pending {
    fn flush(&mut self, kind: u32, file: &mut BlockWriter) -> Result<(), Error> {
        if self.count > 0 {
            file.block(kind, self.count, &self.bytes)?;
        }
        self.count = 0;
        self.bytes.clear();
        Ok(())
    }
}

fn write_file(
    storage: &dyn Storage,
    path: &str,
    options: &Options,
    tables: &Tables,
    views: &[(ViewId, &Definition)],
    mark: u64,
) -> Result<(), Error> {
    // Only has to differ from that of other snapshots.
    let salt = ahash::RandomState::new().hash_one(mark);
    let rows = tables.all.iter().map(|table| table.rows.len() as u64).sum();
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        fields: [mark, salt, tables.all.len() as u64, rows, views.len() as u64],
    };
    let mut file = BlockWriter::begin(sealed::create_anew(storage, path)?, &header, salt)?;
    let mut meta = Vec::new();
    describe::put_options(&mut meta, options);
    tables.all.iter().for_each(|table| describe::put_table(&mut meta, table));
    file.block(META, tables.all.len() as u64, &meta)?;
    let (mut pending, mut arena) = (Pending::default(), Bump::new());
    for (number, table) in tables.all.iter().enumerate() {
        for stored in table.rows.values() {
            if pending.count == 0 {
                put(&mut pending.bytes, number as u64);
            }
            put_row(&mut pending.bytes, table, stored, &arena);
            pending.count += 1;
            arena.reset();
            if pending.bytes.len() >= FULL {
                pending.flush(ROWS, &mut file)?;
            }
        }
        pending.flush(ROWS, &mut file)?;
    }
    for (id, definition) in views {
        put(&mut pending.bytes, id.0);
        describe::put_definition(&mut pending.bytes, definition);
        pending.count += 1;
        if pending.bytes.len() >= FULL {
            pending.flush(VIEWS, &mut file)?;
        }
    }
    pending.flush(VIEWS, &mut file)?;
    file.finish(END, &[])?;
    Ok(())
}

/// The version, and each value: 0 for NULL, or its text, one added to the length.
fn put_row(out: &mut Vec<u8>, table: &Table, stored: &Stored, arena: &Bump) {
    put(out, stored.version);
    for (value, ty) in stored.row.iter().zip(&table.types) {
        match value.text(&ty.ty, arena) {
            None => put(out, 0),
            Some(text) => {
                put(out, text.len() as u64 + 1);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}
