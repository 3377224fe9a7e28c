//! Columns that are declared while shapes are there.

use super::Router;
use crate::error::Error;
use shape_expr::Column;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Router {
    /// Declares columns of a table that was opened without its columns, before a clause fixes their
    /// types by its literals: all of them, or none.
    ///
    /// # Errors
    /// If a column has another type already, or the router is closed; also if it is kept in a directory,
    /// which knows of no columns but those that it was opened with and those that clauses brought.
    pub fn declare(&self, columns: impl IntoIterator<Item = Column>) -> Result<(), Error> {
        self.check_open()?;
        // Nobody else changes the schema while the adder's lock is held.
        let _adder = self.adder.lock();
        let known = self.state.read().schema.clone();
        let mut schema = (*known).clone();
        for column in columns {
            schema.declare(column)?;
        }
        if schema != *known {
            if self.durable.is_some() {
                let message = "columns of a router with a directory are declared when it is opened";
                return Err(shape_expr::Error::InvalidSchema { message: message.into() }.into());
            }
            self.state.write().schema = Arc::new(schema);
            self.schema_version.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }
}
