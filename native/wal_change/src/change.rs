//! A message -> a change.

use crate::mapping::Mapping;
use crate::row::WalRow;
use bumpalo::Bump;
use pg_wal::Relation;
use pg_wal::decode::{Message, OldTuple};
use shape_expr::Datum;
use shape_router::{Change, KeyParts, Op, RelationColumn};

/// A change whose rows are still the bytes of its message.
pub struct WalChange<'r> {
    op: Op,
    new: Option<WalRow<'r>>,
    old: Option<WalRow<'r>>,
    key: Option<KeyParts<'r>>,
    old_key: Option<KeyParts<'r>>,
    relation: Option<shape_router::Relation>,
}

impl<'r> WalChange<'r> {
    pub(crate) fn of(op: Op) -> Self {
        Self { op, new: None, old: None, key: None, old_key: None, relation: None }
    }

    pub(crate) fn definition(relation: &Relation) -> Self {
        Self { relation: Some(self::definition(relation)), ..Self::of(Op::Relation) }
    }

    /// Of a message that concerns one row; `None` for another one.
    pub(crate) fn of_row(
        message: &Message<'r>,
        relation: &'r Relation,
        mapping: &'r Mapping,
        arena: &'r Bump,
    ) -> Option<Self> {
        let row = |tuple| WalRow::new(tuple, relation, mapping, arena, false);
        let key_row = |tuple| WalRow::new(tuple, relation, mapping, arena, true);
        Some(match message {
            Message::Insert(insert) => {
                let new = row(insert.new);
                let key = marked_key(&new, mapping);
                Self { key, new: Some(new), ..Self::of(Op::Insert) }
            }
            Message::Update(update) => {
                let new = row(update.new);
                let mut change = Self { key: marked_key(&new, mapping), ..Self::of(Op::Update) };
                match update.old {
                    Some(OldTuple::Full(tuple)) => change.old = Some(row(tuple)),
                    Some(OldTuple::Key(tuple)) => {
                        change.old_key = old_key(&key_row(tuple), mapping);
                    }
                    None if mapping.key_is_told() => {}
                    // The key may have changed without a word about it. One whose value is not known
                    // says so; no key at all would say that it is the new row's.
                    None => change.old_key = Some(KeyParts::one(Datum::Absent)),
                }
                change.new = Some(new);
                change
            }
            Message::Delete(delete) => {
                let mut change = Self::of(Op::Delete);
                match delete.old {
                    OldTuple::Full(tuple) => change.old = Some(row(tuple)),
                    OldTuple::Key(tuple) => {
                        let unknown = || KeyParts::one(Datum::Absent);
                        let key = old_key(&key_row(tuple), mapping);
                        change.old_key = Some(key.unwrap_or_else(unknown));
                    }
                }
                change
            }
            _ => return None,
        })
    }

    /// The change, for a router. Its keys move into it: to be asked for once.
    pub fn as_change(&mut self) -> Change<'_> {
        Change {
            op: self.op,
            key: self.key.take(),
            old_key: self.old_key.take(),
            new: self.new.as_ref().map(|row| row as _),
            old: self.old.as_ref().map(|row| row as _),
            changed: None,
            relation: self.relation.as_ref(),
        }
    }
}

/// A row's key, where the router declares none and reads it from no column.
fn marked_key<'r>(row: &WalRow<'r>, mapping: &Mapping) -> Option<KeyParts<'r>> {
    let places = mapping.marked_key();
    (!places.is_empty()).then(|| places.iter().map(|&place| row.at(usize::from(place))).collect())
}

/// The key that a key tuple tells. A column of it that the tuple does not have is unknown.
fn old_key<'r>(row: &WalRow<'r>, mapping: &Mapping) -> Option<KeyParts<'r>> {
    let columns = mapping.primary_key();
    if columns.is_empty() {
        return marked_key(row, mapping);
    }
    Some(columns.iter().map(|&column| row.value(column)).collect())
}

fn definition(relation: &Relation) -> shape_router::Relation {
    let column = |c: &pg_wal::RelationColumn| RelationColumn {
        name: c.name.clone(),
        type_oid: c.type_oid,
        typmod: c.type_modifier,
        key: c.key,
    };
    shape_router::Relation {
        oid: relation.oid,
        schema: relation.namespace.clone(),
        table: relation.name.clone(),
        replica_identity: Some(relation.replica_identity.letter()),
        columns: relation.columns.iter().map(column).collect(),
    }
}
