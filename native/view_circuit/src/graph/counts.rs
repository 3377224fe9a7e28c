//! Rows once each: how often each of them is there.
//!
//! DISTINCT in general is an arrangement of rows, since rows that are equal may be written differently, and
//! of those that are left the first is shown. Of most types there is only one way to write a value. Then
//! a count is all that must be known of a row, and the row itself need not be kept: the values of
//! subqueries are counted in hundreds of thousands. An integer is known by itself; other rows are known by
//! 128 bits of SipHash under a random secret: of 10^9 of them two collide with a probability of 10^-21,
//! and nobody can look for such two.

use std::hash::{Hash, Hasher};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use shape_expr::{EvalError, Owned, Type, Value};
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::delta::{Delta, Map};
use crate::row::Row;
use crate::work::Work;

/// What rows are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// Their only column, an integer of any width.
    Integers,
    /// A hash.
    Hashed,
}

impl Counted {
    /// `None` if equal rows of these types may be written differently.
    pub fn of<'t>(types: impl IntoIterator<Item = &'t Type>) -> Option<Counted> {
        let (mut columns, mut integers) = (0, true);
        for ty in types {
            columns += 1;
            match ty {
                Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => {}
                Type::Bool
                | Type::Text
                | Type::Varchar
                | Type::Name
                | Type::Uuid
                | Type::Bytea
                | Type::Timestamp
                | Type::Timestamptz
                | Type::Date
                | Type::Time
                | Type::Enum(_) => integers = false,
                _ => return None,
            }
        }
        Some(if columns == 1 && integers { Counted::Integers } else { Counted::Hashed })
    }
}

/// The rows and their counts.
pub(super) struct Counts {
    table: Table,
    /// What does not fit there: a NULL among integers, and what had a count beyond its bounds, until it is gone.
    rest: Map<Row, i64>,
}

enum Table {
    Integers(Packed<[u32; 2]>, RandomState),
    Hashed(Packed<[u32; 4]>, [u64; 2]),
}

impl Counts {
    pub fn new(kind: Counted) -> Counts {
        let random = RandomState::new();
        let table = match kind {
            Counted::Integers => Table::Integers(Packed::default(), random),
            Counted::Hashed => {
                Table::Hashed(Packed::default(), [random.hash_one(0), random.hash_one(1)])
            }
        };
        Counts { table, rest: Map::default() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        let table = match &self.table {
            Table::Integers(rows, _) => rows.0.len(),
            Table::Hashed(rows, _) => rows.0.len(),
        };
        table + self.rest.len()
    }

    /// What a change of the input, in which each row is once, does to the rows that there are.
    pub fn change(&self, rows: &Delta, work: &mut Work) -> Result<Delta, EvalError> {
        work.rows(rows.len(), rows.first().map_or(0, |(row, _)| row.len()))?;
        let mut out = Delta::new();
        for (row, weight) in rows {
            let before = self.count(row);
            match (before > 0, before + weight > 0) {
                (false, true) => out.push((row.clone(), 1)),
                (true, false) => out.push((row.clone(), -1)),
                _ => {}
            }
        }
        Ok(out)
    }

    pub fn apply(&mut self, rows: &Delta) {
        for (row, weight) in rows {
            if !self.rest.is_empty()
                && let Some(sum) = self.rest.get_mut(row)
            {
                *sum += weight;
                if *sum == 0 {
                    self.rest.remove(row);
                }
                continue;
            }
            let fits = match &mut self.table {
                Table::Integers(rows, random) => match integer(row) {
                    Some(known) => rows.add(known, *weight, |known| random.hash_one(known)),
                    None => Err(*weight),
                },
                Table::Hashed(rows, secret) => rows.add(hash(row, *secret), *weight, begins),
            };
            if let Err(count) = fits {
                self.rest.insert(row.clone(), count);
            }
        }
    }

    /// Each row once; `None` where rows are known by their hashes only.
    pub fn whole(&self) -> Option<Delta> {
        let Table::Integers(known, _) = &self.table else { return None };
        let [known, rest] = [
            known.0.iter().map(|(known, _)| Row::from(vec![value(*known)])).collect::<Vec<_>>(),
            self.rest.keys().cloned().collect(),
        ];
        Some(known.into_iter().chain(rest).map(|row| (row, 1)).collect())
    }

    fn count(&self, row: &Row) -> i64 {
        if !self.rest.is_empty()
            && let Some(count) = self.rest.get(row)
        {
            return *count;
        }
        match &self.table {
            Table::Integers(rows, random) => {
                integer(row).map_or(0, |known| rows.count(known, random.hash_one(known)))
            }
            Table::Hashed(rows, secret) => {
                let known = hash(row, *secret);
                rows.count(known, begins(&known))
            }
        }
    }
}

fn integer(row: &Row) -> Option<[u32; 2]> {
    match row[0].value() {
        Value::Int(i) => Some([(i as u64 >> 32) as u32, i as u32]),
        _ => None,
    }
}

fn value(known: [u32; 2]) -> Owned {
    Owned::from((u64::from(known[0]) << 32 | u64::from(known[1])) as i64)
}

fn hash(row: &Row, [a, b]: [u64; 2]) -> [u32; 4] {
    let mut hasher = SipHasher13::new_with_keys(a, b);
    for value in row.iter() {
        // Other values begin with any byte, and a row may have several.
        hasher.write_u8(u8::from(value.is_null()));
        value.hash(&mut hasher);
    }
    let hash = hasher.finish128();
    let (high, low) = (hash.h1, hash.h2);
    [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32]
}

/// A hash is as random as it can be.
fn begins(known: &[u32; 4]) -> u64 {
    u64::from(known[0]) << 32 | u64::from(known[1])
}

/// What is known of rows, and counts of 32 bits: in as few bytes as alignment to four allows.
struct Packed<T>(HashTable<(T, u32)>);

impl<T> Default for Packed<T> {
    fn default() -> Packed<T> {
        Packed(HashTable::new())
    }
}

impl<T: Eq + Copy> Packed<T> {
    fn count(&self, row: T, hash: u64) -> i64 {
        let found = self.0.find(hash, |(known, _)| *known == row);
        found.map_or(0, |(_, count)| i64::from(*count))
    }

    /// Adds to a row's count. The error is a sum that does not fit: then the row is not here.
    fn add(&mut self, row: T, weight: i64, hash: impl Fn(&T) -> u64) -> Result<(), i64> {
        match self.0.entry(hash(&row), |(known, _)| *known == row, |(known, _)| hash(known)) {
            Entry::Vacant(entry) => {
                entry.insert((row, u32::try_from(weight).map_err(|_| weight)?));
            }
            Entry::Occupied(mut entry) => {
                let sum = i64::from(entry.get().1) + weight;
                match u32::try_from(sum) {
                    Ok(count) if count > 0 => entry.get_mut().1 = count,
                    fits => {
                        entry.remove();
                        return if fits.is_ok() { Ok(()) } else { Err(sum) };
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Owned {
        Owned::new(&Value::Text(text)).expect("a row can hold it")
    }

    fn sorted(mut rows: Delta) -> Delta {
        rows.sort_by(|(a, _), (b, _)| a.exact_cmp(b));
        rows
    }

    #[test]
    fn rows_come_with_the_first_and_go_with_the_last() {
        let ints = [i64::MIN, -1, 0, 1, i64::MAX].map(Owned::from);
        let ints = ints.into_iter().chain([Owned::NULL]).map(|i| Row::from(vec![i])).collect();
        let pair = |a: &Owned, b: &Owned| Row::from(vec![a.clone(), b.clone()]);
        let (null, zero) = (Owned::NULL, Owned::from(0));
        let pairs = vec![
            pair(&null, &null),
            pair(&null, &zero),
            pair(&zero, &null),
            pair(&zero, &zero),
            pair(&text("a"), &text("bc")),
            pair(&text("ab"), &text("c")),
        ];
        let kinds: [(Counted, Vec<Row>); 2] = [(Counted::Integers, ints), (Counted::Hashed, pairs)];
        for (kind, rows) in kinds {
            let mut counts = Counts::new(kind);
            let delta =
                |weight: i64| -> Delta { rows.iter().map(|row| (row.clone(), weight)).collect() };
            for (weight, told) in [(2, 1), (1, 0), (-2, 0), (-1, -1)] {
                let change = counts.change(&delta(weight), &mut Work::unbounded());
                let expected = if told == 0 { Delta::new() } else { delta(told) };
                assert_eq!(change.expect("unbounded"), expected, "{kind:?} by {weight}");
                counts.apply(&delta(weight));
                let left = if told < 0 { Delta::new() } else { delta(1) };
                assert_eq!(counts.len(), left.len(), "{kind:?}");
                if let Some(whole) = counts.whole() {
                    assert_eq!(sorted(whole), sorted(left), "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn counts_beyond_their_bytes_are_kept_elsewhere() {
        for kind in [Counted::Integers, Counted::Hashed] {
            let mut counts = Counts::new(kind);
            let most = i64::from(u32::MAX);
            let row = Row::from(vec![Owned::from(7)]);
            let delta = |weight| -> Delta { vec![(row.clone(), weight)] };
            for weight in [most, most, 5, -most, -most] {
                counts.apply(&delta(weight));
                assert_eq!(counts.len(), 1);
            }
            assert_eq!(counts.count(&row), 5);
            counts.apply(&delta(-5));
            assert_eq!(counts.len(), 0);
        }
    }

    #[test]
    fn a_row_takes_no_more_bytes_than_what_is_known_of_it() {
        assert_eq!(size_of::<([u32; 2], u32)>(), 12);
        assert_eq!(size_of::<([u32; 4], u32)>(), 20);
    }
}
