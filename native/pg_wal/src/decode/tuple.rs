//! Rows.

use std::fmt;

/// One column's value, as the server sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column<'a> {
    /// SQL NULL. In a key-only old tuple, columns outside the key also look like this: see
    /// [`OldTuple::Key`](super::OldTuple::Key).
    Null,
    /// A large value stored out of line that this UPDATE did not touch: it is *not* in the WAL.
    UnchangedToast,
    /// The type's text form.
    Text(&'a [u8]),
    /// The type's binary form (only when binary transfer was asked for).
    Binary(&'a [u8]),
}

/// A row: a slice of the message that has been checked, and the number of its columns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Tuple<'a> {
    pub(super) fn from_validated(bytes: &'a [u8], count: usize) -> Tuple<'a> {
        Tuple { bytes, count }
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the row has no columns at all.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns, in the order of the Relation message.
    pub fn columns(&self) -> Columns<'a> {
        Columns { rest: self.bytes, left: self.count }
    }
}

impl<'a> IntoIterator for Tuple<'a> {
    type Item = Column<'a>;
    type IntoIter = Columns<'a>;

    fn into_iter(self) -> Columns<'a> {
        self.columns()
    }
}

impl fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.columns()).finish()
    }
}

/// The iterator of [`Tuple::columns`].
#[derive(Clone, Debug)]
pub struct Columns<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Columns<'a> {
    fn value(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        self.rest = rest;
        Some(value)
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Column<'a>;

    // The bytes were walked when the tuple was made, so a `None` here is the end.
    fn next(&mut self) -> Option<Column<'a>> {
        let (kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        self.left -= 1;
        match kind {
            b'u' => Some(Column::UnchangedToast),
            b't' => self.value().map(Column::Text),
            b'b' => self.value().map(Column::Binary),
            _ => Some(Column::Null),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Columns<'_> {}
impl std::iter::FusedIterator for Columns<'_> {}
