//! Which shapes are filed under a column (or several) and a set.
//!
//! A row's value leads to the sets that hold it, and those to the shapes: what it costs does not grow
//! with the sets that do not hold it.

use super::registry::spread;
use super::row::{Hashed, Key};
use super::view::SetView;
use crate::index::{Making, Multimap, Slot};
use hashbrown::HashMap;
use shape_expr::{Row, Value};

/// Columns that shapes compare with sets.
struct Left {
    columns: Box<[u32]>,
    number: u64,
    /// How many shapes are filed here, by set.
    sets: HashMap<u32, u32, ahash::RandomState>,
}

/// Shapes by columns and set.
pub(crate) struct MemberIndex {
    lefts: Vec<Left>,
    filed: Multimap,
    next: u64,
}

fn hash(left: u64, set: u32) -> u64 {
    spread(left << 32 | u64::from(set))
}

impl MemberIndex {
    pub fn new(making: Making) -> Self {
        Self { lefts: Vec::new(), filed: Multimap::new(making), next: 0 }
    }

    /// True if nothing is filed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lefts.is_empty()
    }

    fn left(&self, columns: &[u32]) -> Option<&Left> {
        self.lefts.iter().find(|left| *left.columns == *columns)
    }

    /// Files a slot.
    pub fn insert(&mut self, columns: &[u32], set: u32, slot: Slot) {
        let Self { lefts, filed, next } = self;
        let at = lefts.iter().position(|left| *left.columns == *columns).unwrap_or_else(|| {
            *next += 1;
            let sets = HashMap::default();
            lefts.push(Left { columns: columns.into(), number: *next, sets });
            lefts.len() - 1
        });
        let left = &mut lefts[at];
        *left.sets.entry(set).or_insert(0) += 1;
        filed.insert(hash(left.number, set), slot);
    }

    /// Takes a slot away.
    pub fn remove(&mut self, columns: &[u32], set: u32, slot: Slot) {
        let Some(at) = self.lefts.iter().position(|left| *left.columns == *columns) else { return };
        let left = &mut self.lefts[at];
        if !self.filed.remove(hash(left.number, set), slot) {
            return;
        }
        if let Some(count) = left.sets.get_mut(&set) {
            *count -= 1;
            if *count == 0 {
                left.sets.remove(&set);
            }
        }
        if left.sets.is_empty() {
            self.lefts.swap_remove(at);
        }
    }

    /// How many shapes are filed under these columns and this set.
    pub fn count(&self, columns: &[u32], set: u32) -> usize {
        let count = self.left(columns).and_then(|left| left.sets.get(&set));
        count.map_or(0, |count| *count as usize)
    }

    /// Appends the slots that are filed under a set that the row's values are in, or may be in. How much
    /// work that was.
    pub fn look_up(&self, view: SetView<'_>, row: &Row<'_>, out: &mut Vec<Slot>) -> u64 {
        self.lefts.iter().map(|left| 2 + self.look_up_left(left, view, row, out)).sum()
    }

    fn look_up_left(
        &self,
        left: &Left,
        view: SetView<'_>,
        row: &Row<'_>,
        out: &mut Vec<Slot>,
    ) -> u64 {
        let mut values = [Value::Null; shape_expr::MAX_SET_COLUMNS];
        let columns = left.columns.iter().map(|&column| row.value(column as usize));
        let mut known = true;
        for (into, value) in values.iter_mut().zip(columns) {
            match value {
                Ok(Value::Unknown | Value::Maybe(_) | Value::Opaque) | Err(_) => known = false,
                Ok(value) => *into = value,
            }
        }
        let values = &values[..left.columns.len()];
        let secret = view.sets.contents.secret();
        let hashed = Hashed::new(secret, values.iter().copied()).filter(|_| known);
        let Some(hashed) = hashed else {
            left.sets.keys().for_each(|set| self.filed.get(hash(left.number, *set), out));
            return left.sets.len() as u64;
        };
        if !hashed.is_whole() {
            // With a NULL it is certainly in no set.
            return 0;
        }
        let mut work = 0;
        for set in &view.sets.unready {
            work += 1;
            if left.sets.contains_key(set) {
                self.filed.get(hash(left.number, *set), out);
            }
        }
        let Key::Value(value) = hashed.own(secret) else { return work };
        let mut add = |set: u32| {
            work += 1;
            if left.sets.contains_key(&set) {
                self.filed.get(hash(left.number, set), out);
            }
        };
        let owners = view.sets.contents.owners(value);
        if owners.len() <= left.sets.len() {
            owners.iter().filter_map(|owner| view.sets.contents.set_of(*owner)).for_each(&mut add);
        } else {
            let holds = |set: &&u32| {
                let set = view.sets.get(**set);
                set.is_some_and(|set| owners.binary_search(&set.content).is_ok())
            };
            left.sets.keys().filter(holds).copied().for_each(&mut add);
        }
        if let Some(staged) = view.staged {
            let owners = staged.owners(value).iter();
            owners.filter_map(|owner| view.sets.contents.set_of(*owner)).for_each(&mut add);
        }
        work
    }

    pub fn multimaps(&self) -> impl Iterator<Item = &Multimap> {
        std::iter::once(&self.filed)
    }
    pub fn multimaps_mut(&mut self) -> impl Iterator<Item = &mut Multimap> {
        std::iter::once(&mut self.filed)
    }

    pub fn memory_bytes(&self) -> usize {
        let lefts: usize = self.lefts.iter().map(|left| left.sets.allocation_size()).sum();
        self.filed.memory_bytes() + lefts + self.lefts.capacity() * size_of::<Left>()
    }
}
