//! The answer to `IN`.

use super::group::{Group, between};
use super::registry::ValueSets;
use super::row::{Hashed, Key, all};
use super::staged::Staged;
use shape_expr::{Sets, Truth, Value};

/// Sets as the routing of one change sees them.
#[derive(Clone, Copy)]
pub(crate) struct SetView<'s> {
    pub sets: &'s ValueSets,
    /// `None`: only what was acknowledged counts.
    pub staged: Option<&'s Staged>,
}

impl SetView<'_> {
    /// How many rows of a content count under a key.
    pub fn count(&self, content: u32, key: Key) -> i64 {
        let staged = self.staged.map_or(0, |staged| staged.count(content, key));
        self.sets.contents.count(content, key) + staged
    }

    /// How many rows of so many columns there are, all or only those with a NULL.
    pub fn rows(&self, content: u32, columns: u8, with_null: bool) -> i64 {
        let masks = 0..=all(columns);
        let masks = masks.filter(|mask| !with_null || *mask != all(columns));
        masks.map(|mask| self.count(content, Key::Present(mask))).sum()
    }

    /// `row IN content`.
    pub fn is_in(&self, content: u32, row: &Hashed) -> Truth {
        self.is_in_counted(row, |key| self.count(content, key))
    }

    /// `row IN content`, as far as all who feed it agree.
    #[cold]
    fn is_in_any(&self, content: u32, group: &Group, row: &Hashed) -> Truth {
        let least = self.is_in_counted(row, |key| self.count(content, key) - group.excess(key));
        between(least, self.is_in(content, row))
    }

    /// `row IN` what has so many rows under each key.
    fn is_in_counted(&self, row: &Hashed, count: impl Fn(Key) -> i64) -> Truth {
        let secret = self.sets.contents.secret();
        if row.is_whole() && count(row.own(secret)) > 0 {
            return Truth::TRUE;
        }
        for present in 0..=row.all() {
            if count(Key::Present(present)) <= 0 {
                continue;
            }
            // The columns that are NULL on neither side.
            let columns = row.present & present;
            if columns == row.all() {
                continue;
            }
            let agrees = columns == 0 || count(row.part(secret, present, columns)) > 0;
            if agrees {
                return Truth::NULL;
            }
        }
        Truth::FALSE
    }
}

impl Sets for SetView<'_> {
    fn contains(&self, set: u32, left: &[Value<'_>]) -> Truth {
        let Some(found) = self.sets.get(set) else { return Truth::ANY };
        let secret = self.sets.contents.secret();
        let Some(row) = Hashed::new(secret, left.iter().copied()) else { return Truth::ANY };
        match found.ready {
            true => match &found.group {
                Some(group) if !group.agrees() => self.is_in_any(found.content, group, &row),
                _ => self.is_in(found.content, &row),
            },
            // Nothing is certainly in it with a NULL.
            false if !row.is_whole() => Truth::FALSE.union(Truth::NULL),
            false => Truth::ANY,
        }
    }
}
