//! A row's bytes -> the values of the columns that are asked for.

use crate::binary;
use crate::mapping::Mapping;
use bumpalo::Bump;
use pg_wal::Relation;
use pg_wal::decode::{Column, Tuple};
use shape_expr::{Datum, RowSource};

/// A row of a message. Its columns are slices of the message; they are found in one pass over the
/// lengths, and read when they are asked for.
pub(crate) struct WalRow<'r> {
    columns: &'r [Column<'r>],
    relation: &'r Relation,
    mapping: &'r Mapping,
    arena: &'r Bump,
    /// Only the columns of the replica identity are told: the others are unknown, though they look
    /// like NULL.
    key_only: bool,
}

impl<'r> WalRow<'r> {
    pub fn new(
        tuple: Tuple<'r>,
        relation: &'r Relation,
        mapping: &'r Mapping,
        arena: &'r Bump,
        key_only: bool,
    ) -> Self {
        let columns = arena.alloc_slice_fill_iter(tuple.columns());
        Self { columns, relation, mapping, arena, key_only }
    }

    /// The value at a place in the row.
    pub fn at(&self, place: usize) -> Datum<'r> {
        let (Some(column), Some(told)) =
            (self.columns.get(place), self.relation.columns.get(place))
        else {
            return Datum::Absent;
        };
        match *column {
            _ if self.key_only && !told.key => Datum::Absent,
            Column::Null => Datum::Null,
            Column::UnchangedToast => Datum::Absent,
            Column::Text(text) => Datum::Text(text),
            Column::Binary(bytes) => binary::datum(told.type_oid, bytes, self.arena),
        }
    }

    /// The value of one of the router's columns.
    pub fn value(&self, column: usize) -> Datum<'r> {
        self.mapping.place(column).map_or(Datum::Absent, |place| self.at(place))
    }
}

impl RowSource for WalRow<'_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        self.value(column)
    }
}
