//! [`Key`]: values compared as PostgreSQL compares them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use shape_expr::Owned;
use smallvec::SmallVec;

/// The values by which rows are found: a primary key, or the columns of a join.
///
/// Keys are equal as PostgreSQL's `=` has it for each value (`1.0` and `1.00`, 0 and -0, a bpchar with
/// and without its blanks), except that NULL equals NULL: whoever must not match NULLs asks
/// [`Key::has_null`]. They are ordered column by column, NULL last.
#[derive(Clone)]
pub struct Key(SmallVec<[Owned; 1]>);

impl Key {
    /// The columns at these positions.
    pub(crate) fn of(row: &[Owned], columns: &[usize]) -> Key {
        Key(columns.iter().map(|&column| row[column].clone()).collect())
    }

    /// Is it that of the columns at these positions?
    pub(crate) fn is_of(&self, row: &[Owned], columns: &[usize]) -> bool {
        let same = |(value, column): (&Owned, &usize)| is_same(value, &row[*column]);
        self.0.len() == columns.len() && self.0.iter().zip(columns).all(same)
    }

    /// The order of the keys of these columns of two rows.
    pub(crate) fn compare_of(a: &[Owned], b: &[Owned], columns: &[usize]) -> Ordering {
        let mut pairs = columns.iter().map(|column| compare(&a[*column], &b[*column]));
        pairs.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The hash that the key of these columns has.
    pub(crate) fn hash_of(row: &[Owned], columns: &[usize], hasher: &impl BuildHasher) -> u64 {
        let mut state = hasher.build_hasher();
        columns.iter().for_each(|column| row[*column].hash(&mut state));
        state.finish()
    }

    /// The values, in order.
    #[must_use]
    pub fn values(&self) -> &[Owned] {
        &self.0
    }

    /// Is one of the values NULL?
    #[must_use]
    pub fn has_null(&self) -> bool {
        self.0.iter().any(Owned::is_null)
    }
}

impl FromIterator<Owned> for Key {
    fn from_iter<I: IntoIterator<Item = Owned>>(values: I) -> Key {
        Key(values.into_iter().collect())
    }
}

/// By PostgreSQL's equality, NULL being NULL.
fn is_same(a: &Owned, b: &Owned) -> bool {
    match (a.is_null(), b.is_null()) {
        (true, true) => true,
        (false, false) => a.value().equals(&b.value()),
        _ => false,
    }
}

/// PostgreSQL's order, NULL last.
fn compare(a: &Owned, b: &Owned) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => a.value().compare(&b.value()),
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        let same = |(a, b): (&Owned, &Owned)| is_same(a, b);
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in &self.0 {
            value.hash(state);
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        for (a, b) in self.0.iter().zip(&other.0) {
            let order = compare(a, b);
            if order.is_ne() {
                return order;
            }
        }
        self.0.len().cmp(&other.0.len())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}
