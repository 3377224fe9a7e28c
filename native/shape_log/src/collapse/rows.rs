//! A table's log -> the rows that there are.
//!
//! Such a log is read from its beginning or not at all ([`Options::tables_from`](crate::Options::tables_from)),
//! so nothing has to stay for readers in between: a row that is gone leaves nothing, and one that is there is one
//! insert with all its values, at the place of the last entry about it. The size follows the rows, not what
//! happened to them.
//!
//! What an entry does is its [`Op`]; the JSON of one that became an insert may still tell its first operation.
//!
//! Values wait in memory only for updates that leave out columns of their row: the rows of those, once.

use std::collections::HashMap;

use super::plan::{Decision, Notes, Plan};
use super::value;
use crate::{Entry, EntrySource, Error, Op};

/// A row that is there.
struct Row {
    /// The last entry about it.
    at: usize,
    /// The columns that are known of it, as a number of [`Folding::columns`].
    columns: usize,
}

#[derive(Default)]
struct Folding {
    decisions: Vec<Decision>,
    rows: HashMap<Box<[u8]>, Row>,
    /// The sets of columns that were met: of a table there are few.
    columns: Vec<Vec<Box<str>>>,
}

impl Plan {
    /// Reads all of a table's log for the first time.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`]; [`Error::NoRow`] where an entry cannot be one about a row of a table; those of
    /// the source.
    pub fn read_rows(source: &mut dyn EntrySource) -> Result<Self, Error> {
        let mut folding = Folding::default();
        let mut notes = Notes::default();
        while let Some(entry) = source.next()? {
            notes.add(&entry)?;
            folding.add(&entry)?;
        }
        Ok(Self::new(folding.decisions, notes, true))
    }
}

impl Folding {
    fn add(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let number = self.decisions.len();
        let no_row = || Error::NoRow { offset: entry.offset };
        let decision = match entry.op {
            Op::Insert => {
                let columns = self.columns(value::names(entry.json).ok_or_else(no_row)?);
                self.put(entry.key, Row { at: number, columns });
                Decision::Stay
            }
            Op::Update => {
                let names = value::names(entry.json).ok_or_else(no_row)?;
                let row = self.rows.get_mut(entry.key).ok_or_else(no_row)?;
                let before = std::mem::replace(&mut row.at, number);
                let known = &self.columns[row.columns];
                let is_whole = known.iter().all(|name| names.contains(name));
                self.decisions[before] = if is_whole { Decision::Drop } else { Decision::Hold };
                if names.iter().any(|name| !known.contains(name)) {
                    let mut both = [known.clone(), names].concat();
                    both.sort_unstable();
                    both.dedup();
                    let columns = self.columns(both);
                    if let Some(row) = self.rows.get_mut(entry.key) {
                        row.columns = columns;
                    }
                }
                if is_whole { Decision::Stay } else { Decision::Merge }
            }
            Op::Delete | Op::DeleteIfPresent => {
                if let Some(row) = self.rows.remove(entry.key) {
                    self.decisions[row.at] = Decision::Drop;
                }
                Decision::Drop
            }
            Op::Truncate => {
                for (_, row) in self.rows.drain() {
                    self.decisions[row.at] = Decision::Drop;
                }
                Decision::Drop
            }
            Op::Upsert | Op::Rekey | Op::Unknown => return Err(no_row()),
        };
        self.decisions.push(decision);
        Ok(())
    }

    fn put(&mut self, key: &[u8], row: Row) {
        match self.rows.get_mut(key) {
            Some(known) => self.decisions[std::mem::replace(known, row).at] = Decision::Drop,
            None => drop(self.rows.insert(key.into(), row)),
        }
    }

    /// The number of a set of columns; `names` ascend.
    fn columns(&mut self, names: Vec<Box<str>>) -> usize {
        if let Some(known) = self.columns.iter().position(|known| *known == names) {
            return known;
        }
        self.columns.push(names);
        self.columns.len() - 1
    }
}
