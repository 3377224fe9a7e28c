//! Arrays of elements that the caller holds one by one: lists in lists.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use smallvec::SmallVec;

use super::array::{Array, Dimension, MAX_DIMENSIONS, count};
use crate::error::{EvalError, Raise};
use crate::row::{Datum, decode};
use crate::types::{ColumnType, Type};
use crate::value::{Eval, Value};

/// Each element is read as a column of the element's type would be. Sub-arrays must be of one shape
/// and not empty, as in the text form.
pub(crate) fn read<'a>(ty: &Type, items: &'a [Datum<'a>], arena: &'a Bump) -> Eval<'a> {
    let Some(element) = ty.element() else {
        return Err(EvalError::new(Raise::InvalidText));
    };
    let mut reader = Reader {
        element: ColumnType::new(element.clone()),
        arena,
        lengths: SmallVec::new(),
        leaf: None,
        values: BumpVec::with_capacity_in(items.len(), arena),
    };
    reader.level(items, 0)?;
    if reader.values.is_empty() {
        return Ok(Value::Array(Array::build(arena, &[], &[])));
    }
    let dimension = |length: &usize| {
        let length = i32::try_from(*length).map_err(|_| EvalError::new(Raise::LimitExceeded))?;
        Ok(Dimension { lower: 1, length })
    };
    let dimensions = reader.lengths.iter().map(dimension);
    let dimensions = dimensions.collect::<Result<SmallVec<[_; MAX_DIMENSIONS]>, EvalError>>()?;
    count(&dimensions)?;
    let dimensions = arena.alloc_slice_copy(&dimensions);
    Ok(Value::Array(Array::build(arena, dimensions, reader.values.into_bump_slice())))
}

struct Reader<'a> {
    element: ColumnType,
    arena: &'a Bump,
    /// How long the first list of each level was: all others must be as long.
    lengths: SmallVec<[usize; MAX_DIMENSIONS]>,
    /// The level that elements stand at: the one of the first of them.
    leaf: Option<usize>,
    values: BumpVec<'a, Value<'a>>,
}

impl<'a> Reader<'a> {
    /// Recurses as deep as an array may have dimensions.
    fn level(&mut self, items: &'a [Datum<'a>], level: usize) -> Result<(), EvalError> {
        if level >= MAX_DIMENSIONS {
            return Err(EvalError::new(Raise::LimitExceeded));
        }
        let ragged = EvalError::new(Raise::InvalidText);
        match self.lengths.get(level) {
            // `{{}}` is no array.
            None if level > 0 && items.is_empty() => return Err(ragged),
            None => self.lengths.push(items.len()),
            Some(length) if *length != items.len() => return Err(ragged),
            Some(_) => {}
        }
        for item in items {
            if let Datum::List(items) = item {
                if self.leaf.is_some_and(|leaf| leaf <= level) {
                    return Err(ragged);
                }
                self.level(items, level + 1)?;
                continue;
            }
            if *self.leaf.get_or_insert(level) != level {
                return Err(ragged);
            }
            match decode(&self.element, *item, self.arena)? {
                // An array cannot have an element that is not known.
                Value::Unknown => return Err(ragged),
                value => self.values.push(value),
            }
        }
        Ok(())
    }
}
