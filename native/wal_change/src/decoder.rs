//! A connection: its tables, by OID and by name.

use crate::change::WalChange;
use crate::error::Error;
use crate::mapping::Mapping;
use crate::name::TableName;
use bumpalo::Bump;
use pg_wal::Relation;
use pg_wal::decode::{Decoder, Message, OldTuple, Streaming};
use shape_router::{Op, Router};
use std::collections::HashMap;

/// A router, and the table whose changes it wants.
#[derive(Clone, Copy)]
pub struct Target<'r> {
    /// Tells this router from every other that the decoder is ever used with.
    pub number: u64,
    /// Its table.
    pub table: &'r TableName,
    /// The router.
    pub router: &'r Router,
}

/// A table, as its last Relation message defined it.
struct Table {
    relation: Relation,
    /// The names under which it was the last to be announced: of one that was renamed, also the old
    /// one, as long as no other table takes that.
    names: Vec<TableName>,
    /// For each router that asked: its number, the version of its columns, where it finds them.
    mappings: Vec<(u64, u64, Mapping)>,
}

impl Table {
    fn mapping(&self, number: u64) -> Option<&Mapping> {
        self.mappings.iter().find(|m| m.0 == number).map(|m| &m.2)
    }
}

/// Follows one replication connection: knows the tables that its Relation messages defined.
///
/// A table is known by its OID. It belongs to the router of a name when it was the last to be
/// announced under that name, and still does when it is renamed: until another table takes the name.
pub struct WalDecoder {
    decoder: Decoder,
    /// Every definition that came: a row may follow of a table whose name another one has taken.
    tables: HashMap<u32, Table, ahash::RandomState>,
}

impl WalDecoder {
    /// A decoder for what `START_REPLICATION` asked for.
    ///
    /// # Errors
    /// For a protocol version that is not 1 to 4, or does not go with the streaming.
    pub fn new(protocol: u8, streaming: Streaming) -> Result<Self, Error> {
        let decoder = Decoder::new(protocol, streaming)?;
        Ok(Self { decoder, tables: HashMap::default() })
    }

    /// Decodes a message, the next of the connection, and takes in the table it may define.
    ///
    /// # Errors
    /// If it is malformed or out of place, or a row does not fit its table's definition.
    pub fn decode<'m>(&mut self, bytes: &'m [u8]) -> Result<Message<'m>, Error> {
        let message = self.decoder.decode(bytes)?;
        match &message {
            Message::Relation(told) => self.define(Relation::from(told)),
            Message::Insert(row) => self.check(row.relation, [Some(row.new.len()), None])?,
            Message::Update(row) => {
                let old = row.old.as_ref().map(|old| old.tuple().len());
                self.check(row.relation, [Some(row.new.len()), old])?;
            }
            Message::Delete(row) => {
                let (OldTuple::Full(old) | OldTuple::Key(old)) = row.old;
                self.check(row.relation, [Some(old.len()), None])?;
            }
            Message::Truncate(truncate) => {
                for oid in truncate.relations() {
                    self.table(oid)?;
                }
            }
            _ => {}
        }
        Ok(message)
    }

    fn define(&mut self, relation: Relation) {
        let (oid, name) = (relation.oid, TableName::new(&*relation.namespace, &*relation.name));
        for table in self.tables.values_mut() {
            table.names.retain(|known| *known != name);
        }
        match self.tables.get_mut(&oid) {
            Some(table) => {
                table.names.push(name);
                if table.relation != relation {
                    table.relation = relation;
                    table.mappings.clear();
                }
            }
            None => {
                let table = Table { relation, names: vec![name], mappings: Vec::new() };
                self.tables.insert(oid, table);
            }
        }
    }

    fn table(&self, oid: u32) -> Result<&Table, Error> {
        Ok(self.tables.get(&oid).ok_or(pg_wal::Error::UnknownRelation { oid })?)
    }

    fn check(&self, oid: u32, counts: [Option<usize>; 2]) -> Result<(), Error> {
        let expected = self.table(oid)?.relation.columns.len();
        match counts.into_iter().flatten().find(|&found| found != expected) {
            Some(found) => Err(Error::ColumnCount { oid, expected, found }),
            None => Ok(()),
        }
    }

    /// Whether a decoded message concerns a table.
    pub fn concerns(&self, message: &Message<'_>, table: &TableName) -> bool {
        let is = |oid: u32| self.tables.get(&oid).is_some_and(|t| t.names.contains(table));
        match message {
            Message::Relation(told) => is(told.oid),
            Message::Truncate(truncate) => truncate.relations().any(is),
            other => row_of(other).is_some_and(is),
        }
    }

    /// Finds out where a router has its columns in the rows of a message's table, if that is not
    /// known yet. To be called before [`WalDecoder::change`].
    ///
    /// # Errors
    /// If the table is not known.
    pub fn prepare(&mut self, message: &Message<'_>, target: &Target<'_>) -> Result<(), Error> {
        let Some(oid) = row_of(message) else { return Ok(()) };
        let unknown = pg_wal::Error::UnknownRelation { oid };
        let table = self.tables.get_mut(&oid).ok_or(unknown)?;
        let version = target.router.schema_version();
        match table.mappings.iter_mut().find(|m| m.0 == target.number) {
            Some(known) if known.1 == version => {}
            Some(known) => *known = (target.number, version, mapping(target, &table.relation)),
            None => {
                // Routers come and go; what is kept for those that went must not add up.
                if table.mappings.len() >= 16 {
                    table.mappings.clear();
                }
                table.mappings.push((target.number, version, mapping(target, &table.relation)));
            }
        }
        Ok(())
    }

    /// What a message means for a target's router; `None` if it does not concern it.
    ///
    /// # Errors
    /// If the table is not known.
    pub fn change<'r>(
        &'r self,
        message: &Message<'r>,
        target: &Target<'_>,
        arena: &'r Bump,
    ) -> Result<Option<WalChange<'r>>, Error> {
        if !self.concerns(message, target.table) {
            return Ok(None);
        }
        Ok(match message {
            Message::Truncate(_) => Some(WalChange::of(Op::Truncate)),
            Message::Relation(told) => Some(WalChange::definition(&self.table(told.oid)?.relation)),
            other => {
                let Some(oid) = row_of(other) else { return Ok(None) };
                let table = self.table(oid)?;
                let mapping = table.mapping(target.number);
                mapping.and_then(|m| WalChange::of_row(message, &table.relation, m, arena))
            }
        })
    }

    /// Whether the last message left the connection inside a streamed block.
    pub fn in_stream(&self) -> bool {
        self.decoder.in_stream()
    }

    /// The number of tables known.
    pub fn tables(&self) -> usize {
        self.tables.len()
    }
}

fn mapping(target: &Target<'_>, relation: &Relation) -> Mapping {
    Mapping::new(target.router, relation)
}

/// The table of a message that concerns one row.
fn row_of(message: &Message<'_>) -> Option<u32> {
    match message {
        Message::Insert(row) => Some(row.relation),
        Message::Update(row) => Some(row.relation),
        Message::Delete(row) => Some(row.relation),
        _ => None,
    }
}
