//! Under which conditions a clause is filed.

use crate::index::{ConditionIndex, EqualityIndex};
use shape_expr::{Access, Predicate, Value};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// One condition: a column, and the keyed hash of the value that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Condition {
    pub column: u32,
    pub hash: u64,
}

/// How a shape is filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filing {
    /// It can never be true.
    Never,
    /// No index can hold it.
    Scan,
    /// Under each of these: where the clause is true, one of them holds.
    Conditions(Box<[Condition]>),
}

impl Filing {
    pub fn is_never(&self) -> bool {
        matches!(self, Self::Never)
    }
    pub fn is_scan(&self) -> bool {
        matches!(self, Self::Scan)
    }
}

/// The condition indexes of a table, by column.
pub(crate) struct Conditions {
    secret: (u64, u64),
    by_column: Vec<Option<EqualityIndex>>,
    /// The columns that have an index with something in it.
    indexed: Vec<usize>,
}

impl Conditions {
    pub fn new(secret: (u64, u64)) -> Self {
        Self { secret, by_column: Vec::new(), indexed: Vec::new() }
    }

    /// The keyed hash of a value that can be equal to something.
    pub fn hash(&self, value: &Value<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        value.hash_equality(&mut hasher);
        hasher.finish()
    }

    /// The columns whose value a look-up needs.
    pub fn indexed(&self) -> &[usize] {
        &self.indexed
    }

    pub fn index(&self, column: usize) -> Option<&EqualityIndex> {
        self.by_column.get(column)?.as_ref()
    }

    pub fn insert(&mut self, filing: &Filing, slot: u32) {
        let Filing::Conditions(conditions) = filing else { return };
        for condition in conditions {
            let column = condition.column as usize;
            if self.by_column.len() <= column {
                self.by_column.resize_with(column + 1, || None);
            }
            if self.by_column[column].is_none() {
                self.indexed.push(column);
            }
            self.by_column[column].get_or_insert_default().insert(condition.hash, slot);
        }
    }

    pub fn remove(&mut self, filing: &Filing, slot: u32) {
        let Filing::Conditions(conditions) = filing else { return };
        for condition in conditions {
            let column = condition.column as usize;
            let Some(index) = self.by_column.get_mut(column).and_then(Option::as_mut) else {
                continue;
            };
            index.remove(condition.hash, slot);
            if index.keys() == 0 {
                self.by_column[column] = None;
                self.indexed.retain(|&c| c != column);
            }
        }
    }

    /// Files a clause under its most selective conditions, by what is filed now.
    pub fn file(&self, predicate: Option<&Predicate>) -> Filing {
        match predicate {
            None => Filing::Scan,
            Some(predicate) => match self.choose(&predicate.access()) {
                None => Filing::Scan,
                Some(mut conditions) => {
                    conditions.sort_unstable();
                    conditions.dedup();
                    if conditions.is_empty() {
                        Filing::Never
                    } else {
                        Filing::Conditions(conditions.into_boxed_slice())
                    }
                }
            },
        }
    }

    /// The conditions one of which holds wherever the clause is true; `None`: there are none.
    fn choose(&self, access: &Access<'_>) -> Option<Vec<Condition>> {
        match access {
            Access::Never => Some(Vec::new()),
            Access::Equal { column, values } => {
                let condition =
                    |value| Condition { column: *column as u32, hash: self.hash(value) };
                Some(values.iter().map(condition).collect())
            }
            Access::And(all) => {
                let found = all.iter().filter_map(|access| self.choose(access));
                found.min_by_key(|conditions| self.cost(conditions))
            }
            Access::Or(any) => {
                let mut conditions = Vec::new();
                for access in any {
                    conditions.extend(self.choose(access)?);
                }
                Some(conditions)
            }
            _ => None,
        }
    }

    /// How many shapes share these conditions now; then how many there are; then how few values
    /// their columns have, since a column of few values will share sooner.
    fn cost(&self, conditions: &[Condition]) -> (usize, usize, usize) {
        let index = |c: &Condition| self.index(c.column as usize);
        let shared = conditions.iter().filter_map(|c| Some(index(c)?.count(c.hash))).sum();
        let distinct: usize = conditions.iter().filter_map(|c| Some(index(c)?.keys())).sum();
        (shared, conditions.len(), usize::MAX - distinct)
    }

    pub fn memory_bytes(&self) -> usize {
        self.by_column.iter().flatten().map(ConditionIndex::memory_bytes).sum()
    }
}
