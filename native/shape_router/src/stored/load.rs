//! From the file of a snapshot's indexes to the tables of a router.

use super::file::{Kind, Reader};
use super::hashes;
use super::row::RowReader;
use super::{StoredIndexes, columns};
use crate::conditions::Conditions;
use crate::index::{Making, Secret};
use crate::membership::Base;
use crate::shapes::Shapes;
use lane_index::Error;
use lane_index::codec::Bad;
use shape_expr::{Compiler, PredicateRef, Schema};

/// What a router has where it has opened the snapshot and nothing else.
pub(crate) struct Loaded {
    pub shapes: Shapes,
    pub conditions: Conditions,
    pub base: Base,
    /// The serials of the shapes, ascending; each has its place here as its slot.
    pub serials: Vec<u64>,
}

impl Loaded {
    /// Reads the file. The columns are those of the snapshot.
    pub fn read(
        from: &StoredIndexes<'_>,
        compiler: &mut Compiler,
        schema: &Schema,
        making: Making,
    ) -> Result<Self, Error> {
        let mut reader = Reader::open(from.storage, from.source)?;
        let secret = basis(&mut reader, schema)?;
        let path = reader.path().to_owned();
        let bad = |at: u64, bad: Bad| Error::Damaged {
            path: path.clone(),
            offset: at + bad.at as u64,
            what: bad.what,
        };
        let expected = usize::try_from(from.source.shapes).unwrap_or(usize::MAX);
        let mut loaded = Self {
            shapes: Shapes::new(),
            conditions: Conditions::stored(secret, making),
            base: Base::new(making),
            serials: Vec::new(),
        };
        let mut rows = RowReader::new(compiler, schema, secret);
        let mut indexes = Vec::new();
        loop {
            let block = reader.next()?;
            let at = block.at;
            match block.kind {
                Kind::Shapes => {
                    let count = usize::try_from(block.count).unwrap_or(usize::MAX);
                    // A shape takes four bytes at least.
                    let found = loaded.serials.len().saturating_add(count);
                    if count > block.payload.len() || found > expected {
                        return Err(reader.damaged(at, "more shapes than there are"));
                    }
                    if loaded.serials.is_empty() {
                        loaded.serials.reserve_exact(expected);
                    }
                    let mut twice = false;
                    let Self { shapes, conditions, serials, .. } = &mut loaded;
                    let read = rows.read(block.payload, block.count, |shape, again| {
                        twice |= serials.last().is_some_and(|last| *last >= shape.serial);
                        serials.push(shape.serial);
                        let slot = shapes.load(shape);
                        if again {
                            let access = shapes.get(slot).and_then(|shape| shape.predicate);
                            let access = access.map(PredicateRef::access);
                            match (shapes.kept(slot), access) {
                                (Some(kept), _) => conditions.file_again(kept, slot),
                                (None, Some(access)) => {
                                    let filed = conditions.derive(&access);
                                    conditions.file_again(&filed, slot);
                                }
                                (None, None) => {}
                            }
                        }
                    });
                    read.map_err(|found| bad(at, found))?;
                    if twice {
                        return Err(reader.damaged(at, "serials that do not ascend"));
                    }
                }
                Kind::Hashes => {
                    let described = hashes::describe(block.payload, &path);
                    let described = described.map_err(|found| bad(at, found))?;
                    indexes.push(hashes::open(
                        described,
                        &mut reader,
                        from.storage,
                        from.mmap,
                        making,
                    )?);
                }
                Kind::End => break,
                Kind::Basis => return Err(reader.damaged(at, "a block out of its place")),
            }
        }
        if loaded.serials.len() != expected {
            return Err(reader.damaged(0, "shapes are missing"));
        }
        loaded.shapes.end_load();
        loaded.base = hashes::adopt(indexes, &mut loaded.conditions, making);
        Ok(loaded)
    }
}

/// The secret that values are hashed with. Everything names columns by their places.
fn basis(reader: &mut Reader, schema: &Schema) -> Result<Secret, Error> {
    let block = reader.next()?;
    let at = block.at;
    let (words, rest) = block.payload.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>();
    match (&words[..], rest) {
        ([_, _, found], []) if *found != columns(schema) => {
            Err(reader.damaged(at, "it was made with other columns"))
        }
        ([one, two, _], []) => Ok(Secret((*one, *two))),
        _ => Err(reader.damaged(at, "a basis of another length")),
    }
}
