//! Entries one after the other, wherever they come from.

use crate::{Entry, Error};

/// Gives the entries of a range of one log, in ascending order of their offsets.
pub trait EntrySource {
    /// The next entry; `None` behind the last one.
    ///
    /// # Errors
    /// What the reading of a log may raise. The source gives nothing more then.
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error>;
}

/// Entries that are in memory already.
impl EntrySource for std::slice::Iter<'_, Entry<'_>> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        Ok(Iterator::next(self).copied())
    }
}
