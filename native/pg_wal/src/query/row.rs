//! What comes back.

use crate::Error;
use crate::connection::unexpected;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::DataRowBody;
use std::ops::Range;

/// Rows of the same columns.
#[derive(Default)]
pub struct Rows {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each with a value for every column.
    pub rows: Vec<Row>,
}

/// A row, in text form.
pub struct Row {
    body: DataRowBody,
    ranges: Vec<Option<Range<usize>>>,
}

impl Row {
    /// Checks that it has as many values as there are columns.
    pub(super) fn new(
        body: DataRowBody,
        columns: usize,
        doing: &'static str,
    ) -> Result<Row, Error> {
        let broken = || unexpected(doing, b'D');
        let ranges: Vec<_> = body.ranges().collect().map_err(|_| broken())?;
        let inside = |range: &Range<usize>| body.buffer().get(range.clone()).is_some();
        if ranges.len() != columns || !ranges.iter().flatten().all(inside) {
            return Err(broken());
        }
        Ok(Row { body, ranges })
    }

    /// Its values, NULL as `None`.
    pub fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        // The ranges were checked.
        self.ranges.iter().map(|range| range.clone().and_then(|r| self.body.buffer().get(r)))
    }

    /// How many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.body.buffer().len()
    }
}
