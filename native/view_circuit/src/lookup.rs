//! [`Lookups`]: a table's rows by the values of single columns, for views that are registered.
//!
//! The first view `owner = K` looks at each row of a loaded table. Whoever registers a second one that
//! compares the same column will register a thousand, and each should cost what it finds: from then on the
//! column's values are kept sorted by their hashes, each with the hash of its row's key. Both are hashes, so
//! that there is nothing to take out when a row goes: what is found is looked up in the table, and counts if
//! it is there with that value.
//!
//! A step only adds what comes, in no order. Once more has come than there was, and nobody has asked for
//! that, the column is forgotten: no table pays for long for views that were registered long ago.

use ahash::RandomState;
use shape_expr::Owned;

/// Tables of fewer rows are looked through.
const LEAST_ROWS: usize = 1_000;
/// So many values that came are looked through before they are sorted in.
const UNSORTED: usize = 16_384;
/// So many entries that nobody needs are given back to the system at a time: all of them could take a
/// scheduler's millisecond.
const RELEASED: usize = 16_384;

/// A value and the key of the row that has it, by their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    value: u64,
    key: u64,
}

/// One column.
struct Column {
    column: usize,
    sorted: Vec<Entry>,
    more: Vec<Entry>,
}

/// The columns that are known, and how often others were asked for.
#[derive(Default)]
pub(crate) struct Lookups {
    hasher: RandomState,
    columns: Vec<Column>,
    asked: Vec<usize>,
    released: Vec<Vec<Entry>>,
}

impl Lookups {
    /// The hashes of the keys of rows that may have one of these values in a column; `None` if it is not
    /// known, or not worth knowing. `all` gives every row's value and the hash of its key.
    pub fn find<'r, A>(
        &mut self,
        column: usize,
        values: &[Owned],
        rows: usize,
        all: impl FnOnce() -> A,
    ) -> Option<Vec<u64>>
    where
        A: Iterator<Item = (&'r Owned, u64)>,
    {
        if rows < LEAST_ROWS {
            return None;
        }
        // What went is still there; once it is the most of it, all is read anew.
        self.columns.retain(|known| known.column != column || known.len() <= 2 * rows);
        let known = self.columns.iter().position(|known| known.column == column);
        let known = match known {
            Some(known) => known,
            None if !self.asked.contains(&column) => {
                self.asked.push(column);
                return None;
            }
            None => {
                let (sorted, more) = (Vec::with_capacity(rows), Vec::new());
                let mut new = Column { column, sorted, more };
                let values = all().filter(|(value, _)| !value.is_null());
                new.sorted.extend(
                    values.map(|(value, key)| Entry { value: self.hasher.hash_one(value), key }),
                );
                new.sorted.sort_unstable();
                self.columns.push(new);
                self.columns.len() - 1
            }
        };
        let known = &mut self.columns[known];
        known.sort_in();
        let mut keys = Vec::new();
        for value in values {
            let hash = self.hasher.hash_one(value);
            let start = known.sorted.partition_point(|entry| entry.value < hash);
            let found = known.sorted[start..].iter().take_while(|entry| entry.value == hash);
            keys.extend(found.map(|entry| entry.key));
            keys.extend(known.more.iter().filter(|e| e.value == hash).map(|e| e.key));
        }
        keys.sort_unstable();
        keys.dedup();
        Some(keys)
    }

    /// A row that came, by its values and the hash of its key.
    pub fn add(&mut self, row: &[Owned], key: u64) {
        if self.columns.is_empty() && self.released.is_empty() {
            return;
        }
        let Lookups { hasher, columns, asked, released } = self;
        let mut forgotten = columns.extract_if(.., |known| {
            let value = &row[known.column];
            if !value.is_null() {
                known.more.push(Entry { value: hasher.hash_one(value), key });
            }
            known.more.len() > known.sorted.len().max(LEAST_ROWS)
        });
        for known in &mut forgotten {
            asked.retain(|column| *column != known.column);
            released.extend([known.sorted, known.more]);
        }
        drop(forgotten);
        if let Some(last) = released.last_mut() {
            last.truncate(last.len().saturating_sub(RELEASED));
            last.shrink_to_fit();
            released.pop_if(|last| last.is_empty());
        }
    }
}

impl Column {
    fn len(&self) -> usize {
        self.sorted.len() + self.more.len()
    }

    /// Sorts in what came, once it is much.
    fn sort_in(&mut self) {
        if self.more.len() > UNSORTED {
            self.sorted.append(&mut self.more);
            // Finds that the most of it is sorted.
            self.sorted.sort();
            self.sorted.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows by key, of which the hash is the key itself.
    fn keys(lookups: &mut Lookups, rows: &[Owned], value: i64) -> Option<Vec<u64>> {
        let all = || rows.iter().zip(0..);
        lookups.find(0, &[Owned::from(value)], rows.len(), all)
    }

    #[test]
    fn the_second_who_asks_finds_what_has_the_value() {
        let rows: Vec<Owned> = (0..5_000).map(|i| Owned::from(i % 100)).collect();
        let mut lookups = Lookups::default();
        assert_eq!(keys(&mut lookups, &rows, 7), None);
        let expected: Vec<u64> = (0..50).map(|i| 100 * i + 7).collect();
        assert_eq!(keys(&mut lookups, &rows, 7), Some(expected));
        assert_eq!(keys(&mut lookups, &rows, 100), Some(Vec::new()));
    }

    #[test]
    fn what_comes_is_found_and_what_is_churned_over_is_forgotten() {
        let mut rows: Vec<Owned> = (0..20_000).map(|i| Owned::from(i % 100)).collect();
        let mut lookups = Lookups::default();
        keys(&mut lookups, &rows, 7);
        keys(&mut lookups, &rows, 7);
        for key in 0..20_000_u64 {
            lookups.add(&[Owned::from(1_000)], key);
            rows[key as usize] = Owned::from(1_000);
            if key == 100 || key == 17_000 {
                let found = keys(&mut lookups, &rows, 1_000).expect("it is known");
                assert_eq!(found, (0..=key).collect::<Vec<_>>());
            }
        }
        assert!(!lookups.columns.is_empty());
        // What was sorted in counts, too.
        (0..40_000).for_each(|key| lookups.add(&[Owned::from(1_001)], key));
        assert!(lookups.columns.is_empty() && lookups.released.is_empty());
        assert_eq!(keys(&mut lookups, &rows, 1_000), None);
        assert_eq!(keys(&mut lookups, &rows, 1_000).map(|found| found.len()), Some(20_000));
    }

    #[test]
    fn null_is_no_value_and_few_rows_are_not_worth_it() {
        let mut lookups = Lookups::default();
        let rows = vec![Owned::NULL; 2_000];
        for _ in 0..2 {
            keys(&mut lookups, &rows, 7);
        }
        lookups.add(&[Owned::NULL], 1);
        assert_eq!(keys(&mut lookups, &rows, 7), Some(Vec::new()));
        let rows = vec![Owned::from(7); 10];
        let mut lookups = Lookups::default();
        assert!((0..3).all(|_| keys(&mut lookups, &rows, 7).is_none()));
    }
}
