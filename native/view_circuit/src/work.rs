//! [`Work`]: how much one step may do, for callers on threads that others wait for.
//!
//! What a batch leads to is not known before: one row may join a million. A bounded step counts while
//! it computes, where nothing is changed yet, and gives up when it is too much.

use shape_expr::{EvalError, Limits, Raise};

use crate::row::Row;

/// Work that is left, in units of about 10 ns.
pub(crate) struct Work {
    left: u64,
    bounded: bool,
}

impl Work {
    /// A row that is read, compared or put together.
    const ROW: u64 = 15;
    /// A row that a view takes in and tells: hashed, stored, shown.
    const SHOWN: u64 = 100;
    /// A value of such a row.
    const VALUE: u64 = 8;
    /// So many bytes of a value are a unit.
    const BYTES: u64 = 4;

    /// As much as it takes.
    pub fn unbounded() -> Work {
        Work { left: u64::MAX, bounded: false }
    }

    /// So many units.
    pub fn bounded(units: u64) -> Work {
        Work { left: units, bounded: true }
    }

    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// What a single evaluation may do.
    pub fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits { fuel: limits.fuel.min(self.left), ..limits }
    }

    /// Takes so many units; without them it raises as an evaluation without fuel does.
    pub fn spend(&mut self, units: u64) -> Result<(), EvalError> {
        match (self.left.checked_sub(units), self.bounded) {
            (Some(left), true) => self.left = left,
            (None, true) => return Err(EvalError::new(Raise::LimitExceeded)),
            (_, false) => {}
        }
        Ok(())
    }

    /// Takes what so many rows of so many values cost.
    pub fn rows(&mut self, rows: usize, width: usize) -> Result<(), EvalError> {
        self.spend((Self::ROW + width as u64 / 2) * rows as u64)
    }

    /// Takes what it costs so many views to show the row.
    pub fn shown(&mut self, row: &Row, views: usize) -> Result<(), EvalError> {
        let bytes: usize = row.iter().map(shape_expr::Owned::heap_bytes).sum();
        let one = Self::SHOWN + Self::VALUE * row.len() as u64 + bytes as u64 / Self::BYTES;
        self.spend(one * views as u64)
    }
}
