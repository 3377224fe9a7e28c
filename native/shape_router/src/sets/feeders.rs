//! Shapes that feed their sets themselves, each at its own time.
//!
//! A shape comes with nothing known of what its subqueries select: it uses *twins* of its sets, which are
//! never ready. It says what it sees of each, and then that it is ready; then it uses the sets that it
//! shares with the other shapes of the same subquery.

use super::group::{Fed, MemberNumber};
use super::registry::{Told, ValueSets, same};
use super::row::{Hashed, Key};
use crate::index::Slot;
use hashbrown::HashMap;
use shape_expr::{ColumnType, Error, SetColumn, Subqueries, Subquery};
use smallvec::SmallVec;

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// What a shape that feeds its sets itself is compiled from, and the sets of its subqueries.
#[derive(Clone, Debug)]
pub(crate) struct Enrolled {
    pub clause: Box<str>,
    pub sets: SmallVec<[u32; 1]>,
    pub told: Vec<Told>,
}

/// A subquery of a shape, as often as it stands in its clause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// What its host calls it.
    pub reference: u32,
    pub set: u32,
    pub member: MemberNumber,
}

struct Feeder {
    /// `None`: it is ready.
    clause: Option<Box<str>>,
    /// What its subqueries select, as long as it is not ready.
    told: Vec<Told>,
    sets: SmallVec<[u32; 1]>,
    uses: SmallVec<[Use; 1]>,
    references: SmallVec<[u32; 1]>,
}

/// All that feed their sets themselves.
#[derive(Default)]
pub(crate) struct Feeders {
    by_slot: Map<Slot, Feeder>,
}

impl Feeders {
    pub fn memory_bytes(&self) -> usize {
        let clause = |feeder: &Feeder| feeder.clause.as_ref().map_or(0, |clause| clause.len());
        self.by_slot.allocation_size() + self.by_slot.values().map(clause).sum::<usize>()
    }
}

impl ValueSets {
    fn feeder(&self, slot: Slot) -> Option<&Feeder> {
        self.feeders.as_ref()?.by_slot.get(&slot)
    }

    fn feeder_mut(&mut self, slot: Slot) -> Option<&mut Feeder> {
        self.feeders.as_mut()?.by_slot.get_mut(&slot)
    }

    /// A shape comes that feeds its sets.
    pub fn enroll(&mut self, slot: Slot, enrolled: Enrolled) {
        let Enrolled { clause, sets, told } = enrolled;
        for set in &sets {
            if let Some(set) = self.get_mut(*set) {
                set.feeders += 1;
                set.ready = true;
            }
            self.unready.remove(set);
        }
        let (uses, references) = Default::default();
        let feeder = Feeder { clause: Some(clause), told, sets, uses, references };
        self.feeders.get_or_insert_default().by_slot.insert(slot, feeder);
    }

    /// Says what a shape's host calls its subqueries, by their texts, in the place of what it said before.
    pub fn refer(&mut self, slot: Slot, references: &[(u32, String)]) {
        let Some(feeder) = self.feeder_mut(slot) else { return };
        feeder.references = references.iter().map(|(reference, _)| *reference).collect();
        let (before, sets) = (std::mem::take(&mut feeder.uses), feeder.sets.clone());
        before.iter().for_each(|used| self.leave(used));
        let mut uses = SmallVec::new();
        for (reference, text) in references {
            for &number in &sets {
                let Some(set) = self.get_mut(number).filter(|set| set.subquery == *text) else {
                    continue;
                };
                let member = set.group.get_or_insert_default().enter();
                uses.push(Use { reference: *reference, set: number, member });
            }
        }
        if let Some(feeder) = self.feeder_mut(slot) {
            feeder.uses = uses;
        }
    }

    /// A shape goes. Whether there are values to forget with it.
    pub fn expel(&mut self, slot: Slot) -> bool {
        let Some(feeder) = self.feeders.as_mut().and_then(|all| all.by_slot.remove(&slot)) else {
            return false;
        };
        feeder.uses.iter().for_each(|used| self.leave(used));
        for number in feeder.sets {
            if let Some(set) = self.get_mut(number) {
                set.feeders = set.feeders.saturating_sub(1);
            }
            self.free_unused(number);
        }
        true
    }

    fn leave(&mut self, used: &Use) {
        let member = used.member;
        if self.with_group(used.set, |group, fed| group.leave(fed, member)) == Some(true) {
            let content = self.contents.open(used.set);
            if let Some(set) = self.get_mut(used.set) {
                let old = std::mem::replace(&mut set.content, content);
                self.contents.close(old);
            }
        }
        if let Some(set) = self.get_mut(used.set) {
            set.group = set.group.take().filter(|group| !group.is_empty());
        }
    }

    fn with_group<T>(
        &mut self,
        number: u32,
        change: impl FnOnce(&mut super::group::Group, &mut Fed<'_>) -> T,
    ) -> Option<T> {
        let (sets, contents) = self.parts();
        let set = sets.get_mut(number as usize)?.as_mut()?;
        let mut fed = Fed { content: set.content, contents };
        Some(change(set.group.as_mut()?, &mut fed))
    }

    /// A shape's subqueries of this name; `None`: it has none.
    pub fn uses(&self, slot: Slot, reference: u32) -> Option<SmallVec<[Use; 1]>> {
        let feeder = self.feeder(slot)?;
        let named = |used: &&Use| used.reference == reference;
        feeder
            .references
            .contains(&reference)
            .then(|| feeder.uses.iter().filter(named).copied().collect())
    }

    /// All of a shape's subqueries.
    pub fn all_uses(&self, slot: Slot) -> SmallVec<[Use; 1]> {
        self.feeder(slot).map(|feeder| feeder.uses.clone()).unwrap_or_default()
    }

    /// What a shape is to be compiled from once it is ready; `None`: it is, or has no subqueries.
    pub fn awaited(&self, slot: Slot) -> Option<&str> {
        self.feeder(slot)?.clause.as_deref()
    }

    /// A shape is ready from now on.
    pub fn ready(&mut self, slot: Slot) {
        if let Some(feeder) = self.feeder_mut(slot) {
            (feeder.clause, feeder.told) = Default::default();
        }
    }

    /// The sets that a shape is compiled against once it is ready.
    pub fn own(&self, slot: Slot) -> Own {
        let sets = self.feeder(slot).map(|feeder| feeder.sets.clone()).unwrap_or_default();
        let own = |number: u32| {
            let set = self.get(number)?;
            Some((number, set.subquery.clone(), set.columns.clone()))
        };
        let told = self.feeder(slot).map(|feeder| feeder.told.clone()).unwrap_or_default();
        Own { sets: sets.into_iter().filter_map(own).collect(), told, missing: None }
    }

    /// A row comes to what a shape sees of a subquery, or goes.
    pub fn feed(&mut self, used: &Use, row: &Hashed, there: bool) {
        let member = used.member;
        self.with_group(used.set, |group, fed| match there {
            true => group.add(fed, member, row),
            false => group.remove(fed, member, row),
        });
    }

    /// From now on a shape counts among those that feed a set, as one that has what any has.
    pub fn join(&mut self, used: &Use) {
        let member = used.member;
        self.with_group(used.set, |group, _fed| group.join(member));
    }

    /// What a shape said that does not count yet; `None`: it counts.
    pub fn pending(&self, used: &Use) -> Option<Vec<Hashed>> {
        let group = self.get(used.set)?.group.as_ref()?;
        group.pending(used.member).map(|rows| rows.copied().collect())
    }

    /// The rows of a set beside these, all of which it has.
    pub fn beside(&self, number: u32, rows: &Map<Key, Hashed>) -> Vec<Hashed> {
        let Some(set) = self.get(number) else { return Vec::new() };
        if self.contents.rows(set.content) == rows.len() as u64 {
            return Vec::new();
        }
        if set.width() > 1 {
            return set.group.as_ref().map_or_else(Vec::new, |group| group.rows_beside(rows));
        }
        let secret = self.contents.secret();
        let all = self.contents.singles(set.content);
        all.filter(|row| !rows.contains_key(&row.own(secret))).collect()
    }

    /// Whether a shape sees a row among those that a subquery selects.
    pub fn is_member(&self, used: &Use, row: &Hashed) -> bool {
        let Some(set) = self.get(used.set) else { return false };
        let fed = (&self.contents, set.content);
        set.group.as_ref().is_some_and(|group| group.is_member(fed, used.member, row))
    }
}

/// The sets of one shape, for compiling its clause against them.
pub(crate) struct Own {
    sets: Vec<(u32, String, Vec<SetColumn>)>,
    told: Vec<Told>,
    missing: Option<String>,
}

impl Own {
    /// A subquery that is none of them: what was compiled is of no use.
    pub fn missing(self) -> Option<String> {
        self.missing
    }
}

impl Subqueries for Own {
    fn types(&mut self, subquery: &Subquery) -> Result<Option<Vec<ColumnType>>, Error> {
        let told = self.told.iter().find(|(text, _)| *text == subquery.text);
        Ok(told.and_then(|(_, types)| types.clone()))
    }

    fn set(&mut self, subquery: &Subquery, columns: Vec<SetColumn>) -> Result<u32, Error> {
        let is = |(_, text, found): &&(u32, String, Vec<SetColumn>)| {
            *text == subquery.text && same(found, &columns)
        };
        match self.sets.iter().find(is) {
            Some((number, ..)) => Ok(*number),
            None => {
                self.missing = Some(subquery.text.clone());
                Ok(0)
            }
        }
    }
}
