//! What happened to a row, as far as the WAL tells.

use crate::relation::Relation;
use shape_expr::{ColumnSet, Datum, RowSource};

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A row came into being.
    Insert,
    /// A row changed.
    Update,
    /// A row went away.
    Delete,
    /// All rows went away.
    Truncate,
    /// The table's definition, as a Relation message tells it.
    Relation,
}

/// The values of a key, in the order of the primary key's columns.
#[derive(Clone, Debug)]
pub struct KeyParts<'a>(Parts<'a>);

// Not a SmallVec: that is invariant, and a change must be able to outlive what it is compared with.
#[derive(Clone, Debug)]
enum Parts<'a> {
    One(Datum<'a>),
    Many(Vec<Datum<'a>>),
}

impl<'a> KeyParts<'a> {
    /// A key of one column.
    pub fn one(value: Datum<'a>) -> Self {
        Self(Parts::One(value))
    }

    /// The values, in order.
    pub fn as_slice(&self) -> &[Datum<'a>] {
        match &self.0 {
            Parts::One(value) => std::slice::from_ref(value),
            Parts::Many(values) => values,
        }
    }
}

impl<'a> FromIterator<Datum<'a>> for KeyParts<'a> {
    fn from_iter<I: IntoIterator<Item = Datum<'a>>>(values: I) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(only), None) => Self::one(only),
            (first, second) => {
                Self(Parts::Many(first.into_iter().chain(second).chain(values).collect()))
            }
        }
    }
}

/// One change of one row. What is `None` is not known.
///
/// A column that a row does not know ([`Datum::Absent`]) is *unknown*, never NULL.
#[derive(Clone)]
pub struct Change<'a> {
    /// What happened.
    pub op: Op,
    /// The row after the change.
    pub new: Option<&'a dyn RowSource>,
    /// The row before the change (`REPLICA IDENTITY FULL`).
    pub old: Option<&'a dyn RowSource>,
    /// The row's key: after the change, or before it where there is no row after it. Where absent, it
    /// is read from the row's primary key columns.
    pub key: Option<KeyParts<'a>>,
    /// The key before the change, where it differs from `key` or where it is all that is known.
    pub old_key: Option<KeyParts<'a>>,
    /// The columns whose value the change altered, where the caller knows them.
    pub changed: Option<ColumnSet>,
    /// For [`Op::Relation`]: the table's definition.
    pub relation: Option<&'a Relation>,
}

impl<'a> Change<'a> {
    /// A change of which nothing is known but its kind.
    pub fn new(op: Op) -> Self {
        Self { op, new: None, old: None, key: None, old_key: None, changed: None, relation: None }
    }

    /// The kind of a change that does not name it: old and new are an update, new alone an insert,
    /// new with an old key an update, old or an old key alone a delete.
    pub fn infer_op(new: bool, old: bool, old_key: bool) -> Option<Op> {
        match (new, old, old_key) {
            (true, false, false) => Some(Op::Insert),
            (true, _, _) => Some(Op::Update),
            (false, true, _) | (false, _, true) => Some(Op::Delete),
            (false, false, false) => None,
        }
    }
}

/// The new row of an update: what it leaves out (an unchanged TOAST value) is as the old row has it.
pub(crate) struct Merged<'a> {
    pub new: &'a dyn RowSource,
    pub old: &'a dyn RowSource,
}

impl RowSource for Merged<'_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        match self.new.datum(column) {
            Datum::Absent => self.old.datum(column),
            known => known,
        }
    }
}

/// A row of which only the key is known.
pub(crate) struct KeyRow<'a> {
    pub columns: &'a [usize],
    pub parts: &'a [Datum<'a>],
}

impl RowSource for KeyRow<'_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        let part = self.columns.iter().position(|&c| c == column);
        part.and_then(|p| self.parts.get(p)).copied().unwrap_or(Datum::Absent)
    }
}

/// A row of which nothing is known.
pub(crate) struct NoRow;

impl RowSource for NoRow {
    fn datum(&self, _column: usize) -> Datum<'_> {
        Datum::Absent
    }
}
