//! Arrays of every element type: any number of dimensions up to six, any lower bounds, NULLs.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use bumpalo::Bump;

use crate::constants::Const;
use crate::error::{EvalError, Raise};
use crate::value::Value;

/// PostgreSQL's MAXDIM.
pub(crate) const MAX_DIMENSIONS: usize = 6;

/// PostgreSQL's MaxArraySize: as many elements as fit a gigabyte of pointers.
const MAX_ITEMS: i64 = 0x3fff_ffff / 8;

/// One dimension of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dimension {
    /// The subscript of the first element.
    pub lower: i32,
    /// How many there are, never 0: the empty array has no dimension.
    pub length: i32,
}

impl Dimension {
    /// The subscript of the last element.
    #[must_use]
    pub fn upper(self) -> i32 {
        self.lower + (self.length - 1)
    }
}

/// An array: dimensions and elements, the last subscript running fastest.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a>(Repr<'a>);

#[derive(Clone, Copy, Debug)]
enum Repr<'a> {
    Built(&'a Built<'a>),
    Constant(&'a ConstArray),
}

#[derive(Debug)]
struct Built<'a> {
    dimensions: &'a [Dimension],
    items: &'a [Value<'a>],
}

/// An array that outlives the arena.
#[derive(Debug)]
pub(crate) struct ConstArray {
    dimensions: Box<[Dimension]>,
    items: Box<[Const]>,
}

impl ConstArray {
    /// `None` if an element is not known.
    pub(crate) fn new(array: &Array<'_>) -> Option<ConstArray> {
        let items = array.iter().map(|item| Const::from_value(&item));
        Some(ConstArray {
            dimensions: array.dimensions().into(),
            items: items.collect::<Option<_>>()?,
        })
    }

    pub(crate) fn view(&self) -> Array<'_> {
        Array(Repr::Constant(self))
    }

    pub(crate) fn items(&self) -> &[Const] {
        &self.items
    }

    /// Is it the same array, bit by bit?
    pub(crate) fn is_same(&self, other: &ConstArray) -> bool {
        self.dimensions == other.dimensions
            && self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(a, b)| a.is_same(b))
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<ConstArray>()
            + size_of_val(&*self.dimensions)
            + size_of_val(&*self.items)
            + self.items.iter().map(Const::heap_bytes).sum::<usize>()
    }
}

impl<'a> Array<'a> {
    /// The empty array.
    pub(crate) const NONE: Array<'static> =
        Array(Repr::Built(&Built { dimensions: &[], items: &[] }));

    /// An array of these elements; their number must be what the dimensions say.
    pub(crate) fn build(
        arena: &'a Bump,
        dimensions: &'a [Dimension],
        items: &'a [Value<'a>],
    ) -> Array<'a> {
        let dimensions = if items.is_empty() { &[] } else { dimensions };
        Array(Repr::Built(arena.alloc(Built { dimensions, items })))
    }

    /// An array of one dimension that starts at 1.
    pub(crate) fn list(arena: &'a Bump, items: &'a [Value<'a>]) -> Array<'a> {
        let length = items.len() as i32;
        Array::build(arena, arena.alloc_slice_copy(&[Dimension { lower: 1, length }]), items)
    }

    /// The dimensions; none for the empty array.
    #[must_use]
    pub fn dimensions(&self) -> &'a [Dimension] {
        match self.0 {
            Repr::Built(built) => built.dimensions,
            Repr::Constant(constant) => &constant.dimensions,
        }
    }

    /// How many elements, NULLs among them.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            Repr::Built(built) => built.items.len(),
            Repr::Constant(constant) => constant.items.len(),
        }
    }

    /// Has it no elements?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at this place of the storage order.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self.0 {
            Repr::Built(built) => built.items.get(at).copied(),
            Repr::Constant(constant) => constant.items.get(at).map(Const::value),
        }
    }

    /// The elements in storage order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let array = *self;
        (0..self.len()).map(move |at| array.get(at).unwrap_or(Value::Null))
    }

    /// Equal as `=` has it: dimensions, lower bounds and elements, NULL being equal to NULL.
    #[must_use]
    pub fn equals(&self, other: &Array<'_>) -> bool {
        self.dimensions() == other.dimensions()
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| if a.is_null() { b.is_null() } else { a.equals(&b) })
    }

    /// The order of `<`: elements first, NULL the greatest, then their number, then dimensions.
    #[must_use]
    pub fn compare(&self, other: &Array<'_>) -> Ordering {
        let lengths = |array: &Array<'_>| array.dimensions().iter().map(|d| d.length).collect();
        let lowers = |array: &Array<'_>| array.dimensions().iter().map(|d| d.lower).collect();
        let mut pairs = self.iter().zip(other.iter());
        pairs
            .find_map(|(a, b)| {
                let order = match (a.is_null(), b.is_null()) {
                    (false, false) => a.compare(&b),
                    (a, b) => a.cmp(&b),
                };
                order.is_ne().then_some(order)
            })
            .unwrap_or(Ordering::Equal)
            .then_with(|| self.len().cmp(&other.len()))
            .then_with(|| self.dimensions().len().cmp(&other.dimensions().len()))
            .then_with(|| {
                let (a, b): (Small, Small) = (lengths(self), lengths(other));
                a.cmp(&b)
            })
            .then_with(|| {
                let (a, b): (Small, Small) = (lowers(self), lowers(other));
                a.cmp(&b)
            })
    }

    pub(crate) fn hash_equality<H: Hasher>(&self, state: &mut H) {
        self.dimensions().hash(state);
        for item in self.iter() {
            // Said apart: `{NULL,1}` and `{256,NULL}` would otherwise feed the same bytes.
            state.write_u8(u8::from(!item.is_null()));
            if !item.is_null() {
                item.hash_equality(state);
            }
        }
    }
}

type Small = smallvec::SmallVec<[i32; MAX_DIMENSIONS]>;

/// How many elements these dimensions hold, if PostgreSQL can hold them at all.
pub(crate) fn count(dimensions: &[Dimension]) -> Result<usize, EvalError> {
    let too_many = EvalError::new(Raise::LimitExceeded);
    let mut count = 1i64;
    for dimension in dimensions {
        if dimension.length == 0 {
            return Ok(0);
        }
        count = count.checked_mul(dimension.length.into()).ok_or(too_many)?;
        // Every subscript must be an int4.
        if dimension.lower.checked_add(dimension.length).is_none() {
            return Err(too_many);
        }
    }
    match count > MAX_ITEMS {
        true => Err(too_many),
        false => Ok(usize::try_from(count).unwrap_or(0)),
    }
}
