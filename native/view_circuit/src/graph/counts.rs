//! Values of one column, once each: how often each of them is there.
//!
//! DISTINCT in general is an arrangement of rows, since rows that are equal may be written differently, and
//! of those that are left the first is shown. Most sets of values are of a type of which there is only one
//! way to write a value. Then a count is all that must be known of it, and it is kept in the bytes that the
//! value has: the values of a subquery are counted in hundreds of thousands.

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use shape_expr::{EvalError, Owned, Type, Value};

use crate::delta::{Delta, Map};
use crate::row::Row;
use crate::work::Work;

/// What the values of a column are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    /// Integers of any width.
    Integers,
    Uuids,
    /// Others of which equal ones are the same bit by bit.
    Values,
}

impl Counted {
    /// `None` if equal values of this type may be written differently.
    pub fn of(ty: &Type) -> Option<Counted> {
        match ty {
            Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Some(Counted::Integers),
            Type::Uuid => Some(Counted::Uuids),
            Type::Bool
            | Type::Text
            | Type::Varchar
            | Type::Name
            | Type::Bytea
            | Type::Timestamp
            | Type::Timestamptz
            | Type::Date
            | Type::Time
            | Type::Enum(_) => Some(Counted::Values),
            _ => None,
        }
    }
}

/// The values and their counts.
pub(super) struct Counts {
    table: Table,
    /// What does not fit there: NULL, and what had a count beyond its bounds until it is gone.
    rest: Map<Owned, i64>,
}

enum Table {
    Integers(Packed<[u32; 2]>),
    Uuids(Packed<[u32; 4]>),
    Values(Packed<Owned>),
}

impl Counts {
    pub fn new(kind: Counted) -> Counts {
        let table = match kind {
            Counted::Integers => Table::Integers(Packed::default()),
            Counted::Uuids => Table::Uuids(Packed::default()),
            Counted::Values => Table::Values(Packed::default()),
        };
        Counts { table, rest: Map::default() }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        let table = match &self.table {
            Table::Integers(values) => values.table.len(),
            Table::Uuids(values) => values.table.len(),
            Table::Values(values) => values.table.len(),
        };
        table + self.rest.len()
    }

    /// What a change of the input, in which each row is once, does to the values that there are.
    pub fn change(&self, rows: &Delta, work: &mut Work) -> Result<Delta, EvalError> {
        work.rows(rows.len(), 1)?;
        let mut out = Delta::new();
        for (row, weight) in rows {
            let before = self.count(&row[0]);
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
            let value = &row[0];
            if !self.rest.is_empty()
                && let Some(sum) = self.rest.get_mut(value)
            {
                *sum += weight;
                if *sum == 0 {
                    self.rest.remove(value);
                }
                continue;
            }
            let fits = match &mut self.table {
                Table::Integers(values) => values.add(value, *weight),
                Table::Uuids(values) => values.add(value, *weight),
                Table::Values(values) => values.add(value, *weight),
            };
            if let Err(count) = fits {
                self.rest.insert(value.clone(), count);
            }
        }
    }

    /// Each value once.
    pub fn whole(&self) -> Delta {
        let mut rows = Delta::with_capacity(self.len());
        let mut tell = |value: Owned| rows.push((Row::from(vec![value]), 1));
        match &self.table {
            Table::Integers(values) => values.for_each(&mut tell),
            Table::Uuids(values) => values.for_each(&mut tell),
            Table::Values(values) => values.for_each(&mut tell),
        }
        self.rest.keys().for_each(|value| tell(value.clone()));
        rows
    }

    fn count(&self, value: &Owned) -> i64 {
        if !self.rest.is_empty()
            && let Some(count) = self.rest.get(value)
        {
            return *count;
        }
        match &self.table {
            Table::Integers(values) => values.count(value),
            Table::Uuids(values) => values.count(value),
            Table::Values(values) => values.count(value),
        }
    }
}

/// A value as it is kept: aligned to four bytes where that saves some.
trait Stored: Sized + Eq + std::hash::Hash {
    fn of(value: &Owned) -> Option<Self>;
    fn value(&self) -> Owned;
}

impl Stored for [u32; 2] {
    fn of(value: &Owned) -> Option<Self> {
        match value.value() {
            Value::Int(i) => Some([(i as u64 >> 32) as u32, i as u32]),
            _ => None,
        }
    }

    fn value(&self) -> Owned {
        Owned::from((u64::from(self[0]) << 32 | u64::from(self[1])) as i64)
    }
}

impl Stored for [u32; 4] {
    fn of(value: &Owned) -> Option<Self> {
        let Value::Uuid(bytes) = value.value() else { return None };
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        Some(words)
    }

    fn value(&self) -> Owned {
        let mut bytes = [0; 16];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(self) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Owned::new(&Value::Uuid(bytes)).unwrap_or(Owned::NULL)
    }
}

impl Stored for Owned {
    fn of(value: &Owned) -> Option<Self> {
        (!value.is_null()).then(|| value.clone())
    }

    fn value(&self) -> Owned {
        self.clone()
    }
}

/// Values and counts of 32 bits.
struct Packed<T> {
    table: HashTable<(T, u32)>,
    hasher: RandomState,
}

impl<T> Default for Packed<T> {
    fn default() -> Packed<T> {
        Packed { table: HashTable::new(), hasher: RandomState::new() }
    }
}

impl<T: Stored> Packed<T> {
    fn count(&self, value: &Owned) -> i64 {
        let Some(value) = T::of(value) else { return 0 };
        let found = self.table.find(self.hasher.hash_one(&value), |(known, _)| *known == value);
        found.map_or(0, |(_, count)| i64::from(*count))
    }

    /// Adds to a value's count. The error is a sum that does not fit: then the value is not here.
    fn add(&mut self, value: &Owned, weight: i64) -> Result<(), i64> {
        let Packed { table, hasher } = self;
        let value = T::of(value).ok_or(weight)?;
        let hash = hasher.hash_one(&value);
        match table.entry(hash, |(known, _)| *known == value, |(known, _)| hasher.hash_one(known)) {
            Entry::Vacant(entry) => {
                entry.insert((value, u32::try_from(weight).map_err(|_| weight)?));
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

    fn for_each(&self, tell: &mut impl FnMut(Owned)) {
        self.table.iter().for_each(|(value, _)| tell(value.value()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Owned) -> Row {
        Row::from(vec![value])
    }

    fn uuid(last: u8) -> Owned {
        let mut bytes = [0xa7; 16];
        bytes[15] = last;
        Owned::new(&Value::Uuid(bytes)).expect("a row can hold it")
    }

    fn sorted(delta: Delta) -> Vec<(Row, i64)> {
        let mut rows = delta;
        rows.sort_by(|(a, _), (b, _)| a.exact_cmp(b));
        rows
    }

    #[test]
    fn values_come_with_the_first_row_and_go_with_the_last() {
        let ints = [i64::MIN, -1, 0, 1, i64::MAX].map(Owned::from).to_vec();
        let texts = ["", "a", "b"].map(|t| Owned::new(&Value::Text(t)).expect("a row can hold it"));
        let kinds = [
            (Counted::Integers, ints),
            (Counted::Uuids, vec![uuid(1), uuid(200)]),
            (Counted::Values, texts.to_vec()),
        ];
        for (kind, mut values) in kinds {
            values.push(Owned::NULL);
            let mut counts = Counts::new(kind);
            let mut work = Work::unbounded();
            let delta = |weight: i64| -> Delta {
                values.iter().map(|value| (row(value.clone()), weight)).collect()
            };
            for (weight, told) in [(2, 1), (1, 0), (-2, 0), (-1, -1)] {
                let change = counts.change(&delta(weight), &mut work).expect("unbounded");
                let expected = if told == 0 { Delta::new() } else { delta(told) };
                assert_eq!(change, expected, "{kind:?} by {weight}");
                counts.apply(&delta(weight));
                if told > -1 {
                    assert_eq!(sorted(counts.whole()), sorted(delta(1)), "{kind:?}");
                }
            }
            assert_eq!((counts.len(), counts.whole().len()), (0, 0));
        }
    }

    #[test]
    fn counts_beyond_their_bytes_are_kept_elsewhere() {
        let mut counts = Counts::new(Counted::Integers);
        let most = i64::from(u32::MAX);
        let delta = |weight| -> Delta { vec![(row(Owned::from(7)), weight)] };
        for weight in [most, most, 5, -most, -most] {
            counts.apply(&delta(weight));
            assert_eq!(counts.len(), 1);
        }
        assert_eq!(counts.count(&Owned::from(7)), 5);
        counts.apply(&delta(-5));
        assert_eq!(counts.len(), 0);
    }

    #[test]
    fn an_integer_takes_thirteen_bytes_of_its_table() {
        assert_eq!(size_of::<([u32; 2], u32)>(), 12);
        assert_eq!(size_of::<([u32; 4], u32)>(), 20);
    }
}
