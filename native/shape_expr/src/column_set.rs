//! [`ColumnSet`]: a set of column positions.

use smallvec::{SmallVec, smallvec};

/// A set of column positions: a bitmap, inline for tables of up to 128 columns.
///
/// ```
/// use shape_expr::ColumnSet;
/// let set: ColumnSet = [0, 70, 500].into_iter().collect();
/// assert!(set.contains(500) && !set.contains(499));
/// assert_eq!(set.iter().collect::<Vec<_>>(), [0, 70, 500]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ColumnSet {
    words: SmallVec<[u64; 2]>,
}

impl ColumnSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> ColumnSet {
        ColumnSet::default()
    }

    /// Adds a column.
    pub fn insert(&mut self, column: usize) {
        let word = column / 64;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (column % 64);
    }

    /// Is the column in the set?
    #[must_use]
    pub fn contains(&self, column: usize) -> bool {
        self.words.get(column / 64).is_some_and(|word| word & (1 << (column % 64)) != 0)
    }

    /// Is every column of this set in `other`?
    #[must_use]
    pub fn is_subset(&self, other: &ColumnSet) -> bool {
        self.words
            .iter()
            .enumerate()
            .all(|(i, word)| word & !other.words.get(i).copied().unwrap_or(0) == 0)
    }

    /// Do the two sets share a column?
    #[must_use]
    pub fn intersects(&self, other: &ColumnSet) -> bool {
        self.words.iter().zip(other.words.iter()).any(|(a, b)| a & b != 0)
    }

    /// Adds all columns of `other`.
    pub fn union_with(&mut self, other: &ColumnSet) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(other.words.iter()) {
            *word |= more;
        }
    }

    /// Is it empty?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// How many columns it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The columns, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(i * 64 + bit)
            })
        })
    }
}

// Trailing empty words do not make two sets different.
impl PartialEq for ColumnSet {
    fn eq(&self, other: &ColumnSet) -> bool {
        self.is_subset(other) && other.is_subset(self)
    }
}

impl Eq for ColumnSet {}

impl FromIterator<usize> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = usize>>(columns: I) -> ColumnSet {
        let mut set = ColumnSet { words: smallvec![] };
        for column in columns {
            set.insert(column);
        }
        set
    }
}
