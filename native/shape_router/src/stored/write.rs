//! From a snapshot to the file of its indexes.

use super::file::{Kind, Writer};
use super::hashes;
use super::row::RowWriter;
use super::{Source, columns};
use crate::catalogue::snapshot::Snapshot;
use crate::index::Slot;
use crate::router::Router;
use lane_index::{Error, StorageFile};

/// A block is written when it has come to this length.
const FULL: usize = 64 << 10;

/// Writes what was derived of a snapshot: `router` has opened it, nothing else, and nobody uses it. How
/// long the file is.
pub(crate) fn write(
    router: &Router,
    snapshot: &Snapshot,
    source: Source,
    file: Box<dyn StorageFile>,
    go_on: &dyn Fn() -> Result<(), Error>,
) -> Result<u64, Error> {
    let state = router.state.read();
    let mut to = Writer::begin(file, source)?;
    let secret = state.conditions.secret();
    let basis = [secret.0.0, secret.0.1, columns(&state.schema)].map(u64::to_le_bytes);
    to.block(Kind::Basis, 1, basis.as_flattened())?;
    let mut rows = RowWriter::new(secret);
    let mut slot: Slot = 0;
    snapshot.shapes(|told| {
        let (Some(shape), Some(tags)) = (state.shapes.get(slot), state.shapes.tags(slot)) else {
            return Err(other());
        };
        if shape.serial != told.serial {
            return Err(other());
        }
        rows.write(told, &shape, tags, &state.filed(shape.filing, slot));
        slot += 1;
        if rows.bytes.len() >= FULL {
            go_on()?;
            to.block(Kind::Shapes, rows.count, &rows.bytes)?;
            rows.clear();
        }
        Ok(())
    })?;
    if rows.count > 0 {
        to.block(Kind::Shapes, rows.count, &rows.bytes)?;
    }
    hashes::write(&mut to, &state.conditions, &state.base, go_on)?;
    to.finish()
}

fn other() -> Error {
    Error::WrongKind { call: "store", of: "that is of another snapshot" }
}
