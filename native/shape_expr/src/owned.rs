//! [`Owned`]: a value that outlives its arena.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use bumpalo::Bump;

use crate::constants::Const;
use crate::exact;
use crate::types::Type;
use crate::value::Value;
use crate::values;

/// A value on its own, cheap to clone: long ones are shared.
///
/// Two of them are `==` only if they are the same bit by bit (`1.0` and `1.00` are not, nor are 0 and
/// -0), so that they print alike; what PostgreSQL's `=` makes of them says [`Value::equals`]. The hash
/// serves both.
#[derive(Clone)]
pub struct Owned(Const);

impl Owned {
    /// NULL.
    pub const NULL: Owned = Owned(Const::Null);

    /// A copy of the value; `None` for what no row can hold, such as an unknown value.
    #[must_use]
    pub fn new(value: &Value<'_>) -> Option<Owned> {
        Const::from_value(value).map(Owned)
    }

    pub(crate) fn from_const(value: Const) -> Owned {
        Owned(value)
    }

    /// The value.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        self.0.value()
    }

    /// Is it NULL?
    #[inline]
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// PostgreSQL's text output of the value as one of this type, times in UTC; `None` for NULL.
    #[must_use]
    pub fn text<'a>(&'a self, ty: &Type, arena: &'a Bump) -> Option<&'a str> {
        values::output(ty, &self.value(), arena)
    }

    /// A total order: PostgreSQL's, NULL last, and what is equal there but written differently by its
    /// bits. Only values that are `==` are equal in it.
    #[must_use]
    pub fn exact_cmp(&self, other: &Owned) -> Ordering {
        exact::compare(&self.0, &other.0)
    }

    /// Bytes on the heap behind it.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

impl PartialEq for Owned {
    fn eq(&self, other: &Owned) -> bool {
        self.0.is_same(&other.0)
    }
}

impl Eq for Owned {}

impl Hash for Owned {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash_equality(state);
    }
}

impl From<bool> for Owned {
    fn from(b: bool) -> Owned {
        Owned(Const::Bool(b))
    }
}

impl From<i64> for Owned {
    fn from(i: i64) -> Owned {
        Owned(Const::Int(i))
    }
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.value())
    }
}
