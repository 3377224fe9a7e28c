//! [`Row`]: one row's values, shared by all that hold it.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::iter::FusedIterator;
use std::ops::Deref;

use shape_expr::Owned;
use smallvec::SmallVec;
use triomphe::ThinArc;

/// So many values are put together without a detour over the heap.
pub(crate) type Values = SmallVec<[Owned; 8]>;

/// The values of a row, in the order of its columns. Cloning it copies a pointer.
///
/// Rows are equal if their values are the same bit by bit: a Z-set must tell `1.0` from `1.00`, which
/// PostgreSQL shows differently. PostgreSQL's own equality is that of a [`Key`](crate::Key).
// One word: tables and arrangements hold a million of them.
#[derive(Clone)]
pub struct Row(ThinArc<(), Owned>);

impl Row {
    /// A total order, column by column: PostgreSQL's, NULL last, and of values that are equal there but
    /// written differently by their bits.
    #[must_use]
    pub fn exact_cmp(&self, other: &Row) -> Ordering {
        let mut pairs = self.iter().zip(other.iter()).map(|(a, b)| a.exact_cmp(b));
        let first = pairs.find(|order| order.is_ne());
        first.unwrap_or_else(|| self.len().cmp(&other.len()))
    }

    /// The values, in order.
    #[must_use]
    pub fn values(&self) -> &[Owned] {
        &self.0.slice
    }

    /// Of so many values, copied one by one into their place.
    pub(crate) fn of(values: impl ExactSizeIterator<Item = Owned>) -> Row {
        Row(ThinArc::from_header_and_iter((), values))
    }

    /// Both rows' values, those of the other one behind.
    pub(crate) fn beside(&self, other: &Row) -> Row {
        Row::of(Beside { left: self.iter(), right: other.iter() }.cloned())
    }

    /// Are they one and the same? Whoever asks looks at neither.
    #[inline]
    pub(crate) fn is_identical(&self, other: &Row) -> bool {
        self.0.as_ptr() == other.0.as_ptr()
    }
}

/// Values of two rows, of which it is known how many they are.
struct Beside<'r> {
    left: std::slice::Iter<'r, Owned>,
    right: std::slice::Iter<'r, Owned>,
}

impl<'r> Iterator for Beside<'r> {
    type Item = &'r Owned;

    #[inline]
    fn next(&mut self) -> Option<&'r Owned> {
        self.left.next().or_else(|| self.right.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.left.len() + self.right.len();
        (left, Some(left))
    }
}

impl ExactSizeIterator for Beside<'_> {}
impl FusedIterator for Beside<'_> {}

impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.is_identical(other) || self.values() == other.values()
    }
}

impl Eq for Row {}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.values().hash(state);
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Row").field(&self.values()).finish()
    }
}

impl Deref for Row {
    type Target = [Owned];

    #[inline]
    fn deref(&self) -> &[Owned] {
        &self.0.slice
    }
}

impl From<Vec<Owned>> for Row {
    fn from(values: Vec<Owned>) -> Row {
        Row::of(values.into_iter())
    }
}

impl FromIterator<Owned> for Row {
    fn from_iter<I: IntoIterator<Item = Owned>>(values: I) -> Row {
        Row::of(values.into_iter().collect::<Values>().into_iter())
    }
}
