//! [`Row`]: one row's values, shared by all that hold it.

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
