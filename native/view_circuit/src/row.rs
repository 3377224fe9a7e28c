//! [`Row`]: one row's values, shared by all that hold it.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use shape_expr::Owned;

/// The values of a row, in the order of its columns. Cloning it copies a pointer.
///
/// Rows are equal if their values are the same bit by bit: a Z-set must tell `1.0` from `1.00`, which
/// PostgreSQL shows differently. PostgreSQL's own equality is that of a [`Key`](crate::Key).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row(Arc<[Owned]>);

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
        &self.0
    }
}

impl Deref for Row {
    type Target = [Owned];

    fn deref(&self) -> &[Owned] {
        &self.0
    }
}

impl From<Vec<Owned>> for Row {
    fn from(values: Vec<Owned>) -> Row {
        Row(values.into())
    }
}

impl FromIterator<Owned> for Row {
    fn from_iter<I: IntoIterator<Item = Owned>>(values: I) -> Row {
        Row(values.into_iter().collect())
    }
}
