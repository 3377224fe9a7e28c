//! [`Row`]: the columns of one row, each decoded at most once.

use std::cell::Cell;
use std::fmt;

use bumpalo::Bump;

use crate::error::{EvalError, Raise};
use crate::schema::Schema;
use crate::sets::Sets;
use crate::types::ColumnType;
use crate::value::{Eval, Value};
use crate::values;

/// What a caller has for a column.
#[derive(Clone, Copy, Debug)]
pub enum Datum<'a> {
    /// Nothing: the column may have any value.
    Absent,
    /// NULL.
    Null,
    /// PostgreSQL's text output of the column, as the WAL and COPY carry it.
    Text(&'a [u8]),
    /// A boolean, for a boolean column.
    Bool(bool),
    /// An integer, for a column of a number type that can hold it.
    Int(i64),
    /// A float, for a column of a floating-point type or numeric.
    Float(f64),
    /// The elements of an array, for a column of an array type; lists among them are its further
    /// dimensions.
    List(&'a [Datum<'a>]),
    /// Something that can be no column's value.
    Unreadable,
}

/// Where a row's columns come from.
pub trait RowSource {
    /// The column at this position. Asked at most once per column and row.
    fn datum(&self, column: usize) -> Datum<'_>;
}

impl RowSource for [Datum<'_>] {
    fn datum(&self, column: usize) -> Datum<'_> {
        self.get(column).copied().unwrap_or(Datum::Absent)
    }
}

impl RowSource for Vec<Datum<'_>> {
    fn datum(&self, column: usize) -> Datum<'_> {
        self.as_slice().datum(column)
    }
}

/// The source of rows whose columns are all read.
struct Nothing;

static NOTHING: Nothing = Nothing;

impl RowSource for Nothing {
    fn datum(&self, _: usize) -> Datum<'_> {
        Datum::Absent
    }
}

#[derive(Clone, Copy)]
enum Slot<'a> {
    Unread,
    Ready(Value<'a>),
    Failed(EvalError),
}

/// How many bytes of a column's text are decoded in a step, about.
const BYTES_A_STEP: u64 = 16;

/// One row. Columns are decoded when first asked for and kept, whatever the number of predicates.
pub struct Row<'a> {
    arena: &'a Bump,
    schema: &'a Schema,
    source: &'a dyn RowSource,
    slots: &'a [Cell<Slot<'a>>],
    /// Bytes decoded that nobody has accounted for.
    decoded: Cell<u64>,
    sets: Option<&'a dyn Sets>,
}

impl<'a> Row<'a> {
    /// A row of this schema. Allocates in the arena only.
    pub fn new(arena: &'a Bump, schema: &'a Schema, source: &'a dyn RowSource) -> Row<'a> {
        let count = schema.columns().len();
        let slots = arena.alloc_slice_fill_with(count, |_| Cell::new(Slot::Unread));
        Row { arena, schema, source, slots, decoded: Cell::new(0), sets: None }
    }

    /// A row of values that are decoded already.
    pub fn of_values(
        arena: &'a Bump,
        schema: &'a Schema,
        values: impl ExactSizeIterator<Item = Value<'a>>,
    ) -> Row<'a> {
        let slots = arena.alloc_slice_fill_iter(values.map(|v| Cell::new(Slot::Ready(v))));
        Row { arena, schema, source: &NOTHING, slots, decoded: Cell::new(0), sets: None }
    }

    /// The same row, with answers for the sets that clauses name. Without them nothing is known of any.
    #[must_use]
    pub fn with_sets(self, sets: Option<&'a dyn Sets>) -> Row<'a> {
        Row { sets, ..self }
    }

    /// What answers for sets.
    #[inline]
    pub(crate) fn sets(&self) -> Option<&'a dyn Sets> {
        self.sets
    }

    /// The column's value.
    ///
    /// # Errors
    /// Its text is no value of its type; [`EvalError::column`] names it.
    #[inline]
    pub fn value(&self, column: usize) -> Result<Value<'a>, EvalError> {
        // A clause compiled after the open schema grew: this row's maker did not know the column.
        let Some(slot) = self.slots.get(column) else { return Ok(Value::Unknown) };
        match slot.get() {
            Slot::Ready(value) => Ok(value),
            Slot::Failed(error) => Err(error),
            Slot::Unread => self.read(column, slot),
        }
    }

    #[inline(never)]
    fn read(&self, column: usize, slot: &Cell<Slot<'a>>) -> Eval<'a> {
        let datum = self.source.datum(column);
        if let Datum::Text(bytes) = datum {
            self.decoded.set(self.decoded.get() + bytes.len() as u64);
        }
        let ty = &self.schema.columns()[column].ty;
        // The commonest by far, without handing results on.
        if let (Some(ty), Datum::Text(bytes)) = (ty, datum)
            && let Some(int) = values::plain_int(&ty.ty, bytes)
        {
            slot.set(Slot::Ready(Value::Int(int)));
            return Ok(Value::Int(int));
        }
        let result = match ty {
            Some(ty) => decode(ty, datum, self.arena),
            None => Ok(match datum {
                Datum::Absent => Value::Unknown,
                Datum::Null => Value::Null,
                _ => Value::Opaque,
            }),
        };
        let result = result.map_err(|error| error.in_column(column));
        slot.set(match result {
            Ok(value) => Slot::Ready(value),
            Err(error) => Slot::Failed(error),
        });
        result
    }

    /// Fuel for what was decoded since this was last asked.
    pub(crate) fn take_work(&self) -> u64 {
        self.decoded.take() / BYTES_A_STEP
    }

    /// The arena that values built for this row live in.
    #[must_use]
    pub fn arena(&self) -> &'a Bump {
        self.arena
    }

    /// The schema the row was made with.
    #[must_use]
    pub fn schema(&self) -> &'a Schema {
        self.schema
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("columns", &self.slots.len()).finish_non_exhaustive()
    }
}

/// Reads a datum as a value of this type.
///
/// ```
/// use shape_expr::{ColumnType, Datum, Type, Value, decode};
/// let arena = bumpalo::Bump::new();
/// let int8 = ColumnType::new(Type::Int8);
/// assert!(matches!(decode(&int8, Datum::Text(b"42"), &arena), Ok(Value::Int(42))));
/// assert_eq!(decode(&int8, Datum::Text(b"x"), &arena).unwrap_err().sqlstate(), "22P02");
/// ```
///
/// # Errors
/// The datum is no value of the type: SQLSTATE 22P02, 22003, 22007, 22008 or 22021.
pub fn decode<'a>(ty: &ColumnType, datum: Datum<'a>, arena: &'a Bump) -> Eval<'a> {
    match datum {
        Datum::Absent => Ok(Value::Unknown),
        Datum::Null => Ok(Value::Null),
        Datum::Text(bytes) => values::from_text(&ty.ty, bytes, arena),
        Datum::Bool(b) => values::from_bool(&ty.ty, b),
        Datum::Int(i) => values::from_int(&ty.ty, i, arena),
        Datum::Float(x) => values::from_float(&ty.ty, x, arena),
        Datum::List(items) => values::array_list::read(&ty.ty, items, arena),
        Datum::Unreadable => Err(EvalError::new(Raise::InvalidText)),
    }
}
