//! What readers read, and the steps in which it is changed.

use crate::choose;
use crate::conditions::Conditions;
use crate::filing::{Filed, Filing};
use crate::index::{Multimap, Slot};
use crate::key::KeyHasher;
use crate::membership::{Base, Defaults, Held, Truncate};
use crate::relation::{self, Difference, Relation};
use crate::sets::{Enrolled, ValueSets};
use crate::shapes::{NewShape, Shapes};
use crate::spec::Snapshot;
use bumpalo::Bump;
use lane_index::LaneIndex;
use parking_lot::Mutex;
use shape_expr::{Predicate, PredicateRef, Schema};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// A shape that is compiled and checked, and not visible yet.
pub(crate) struct Prepared {
    pub id: u64,
    pub predicate: Option<Predicate>,
    pub keys: Option<Vec<u128>>,
    pub snapshot: Option<Snapshot>,
    /// What it is known by as one that feeds its sets itself.
    pub enrolled: Option<Enrolled>,
}

/// What readers read.
pub(crate) struct State {
    pub schema: Arc<Schema>,
    /// The columns before any Relation message: what the first one is compared with.
    pub declared: Arc<Schema>,
    pub key_columns: Vec<usize>,
    pub keys: KeyHasher,
    pub conditions: Conditions,
    pub shapes: Shapes,
    pub sets: ValueSets,
    pub base: Base,
    /// Held by the purge of the membership that runs; taken before the state's lock.
    pub purging: Arc<Mutex<()>>,
    /// See [`Config::rebuild_threshold`](crate::Config).
    pub rebuild_threshold: f64,
    pub pace: Pace,
    pub track: bool,
    pub relation: Option<Relation>,
}

/// When lane indexes are merged in the background.
#[derive(Default)]
pub(crate) struct Pace {
    /// It is seen to already.
    pub queued: bool,
    /// Not before this, so that it takes no more than a share of a processor.
    pub not_before: Option<Instant>,
}

impl State {
    /// How a table's definition differs from what is known of it.
    pub fn difference(&self, now: &Relation) -> Difference {
        relation::difference(self.relation.as_ref(), &self.declared, &self.schema, now)
    }

    /// Everything that is looked up by hashes.
    pub fn multimaps(&self) -> impl Iterator<Item = &Multimap> {
        self.conditions.multimaps().chain(self.base.multimaps()).chain(self.sets.multimaps())
    }

    /// True if a lane index should be merged and nobody sees to it yet.
    pub fn is_unsettled(&self) -> bool {
        let share = self.rebuild_threshold;
        !self.pace.queued && self.multimaps().any(|index| index.is_unsettled(share))
    }

    /// The lane indexes to merge now.
    pub fn settle(&mut self) -> Vec<Arc<LaneIndex>> {
        let share = self.rebuild_threshold;
        let all = self.conditions.multimaps_mut().chain(self.base.multimaps_mut());
        let all = all.chain(self.sets.multimaps_mut());
        all.filter_map(|index| index.settle(share)).collect()
    }

    /// Makes a shape visible. A Relation message may have redefined the columns that its clause was
    /// compiled against meanwhile: then it is stale from the start.
    pub fn publish(&mut self, slot: Slot, prepared: Prepared, compiled: &Arc<Schema>, born: u64) {
        let predicate = prepared.predicate.as_ref();
        let type_in = |schema: &Schema, c: usize| schema.columns().get(c).map(|c| c.ty.clone());
        let stale = !self.schema.is_open()
            && !Arc::ptr_eq(&self.schema, compiled)
            && predicate.is_some_and(|p| {
                p.columns().iter().any(|c| type_in(&self.schema, c) != type_in(compiled, c))
            });
        self.file(slot, prepared, stale, born);
    }

    /// Makes a shape visible that was stored. Nothing is staged that it could come before.
    pub fn publish_stored(&mut self, slot: Slot, prepared: Prepared, stale: bool) {
        self.file(slot, prepared, stale, 0);
    }

    fn file(&mut self, slot: Slot, prepared: Prepared, stale: bool, born: u64) {
        let predicate = prepared.predicate.as_ref();
        let (mut filed, mut choice) = (Filed::Scan, false);
        if let Some(predicate) = predicate.filter(|_| !stale) {
            let (access, arena) = (predicate.access(), Bump::new());
            let wanted = self.conditions.choose(&access, &arena);
            filed = self.conditions.insert(wanted, slot);
            choice = !filed.conditions().is_empty() && choose::has_choice(&access);
        }
        if let Some(predicate) = predicate.filter(|p| p.by_ref().uses_sets()) {
            self.sets.attach(predicate.by_ref(), slot);
        }
        if let Some(enrolled) = prepared.enrolled {
            self.sets.enroll(slot, enrolled);
        }
        let shape = NewShape {
            id: prepared.id,
            predicate: prepared.predicate,
            filed,
            choice,
            known: prepared.keys.is_some(),
            stale,
            snapshot: prepared.snapshot,
            born,
        };
        self.shapes.publish(slot, shape);
    }

    /// What a shape is filed under.
    pub fn filed(&self, filing: Filing, slot: Slot) -> Cow<'_, Filed> {
        Cow::Owned(match filing {
            Filing::Never => Filed::Never,
            Filing::Scan => Filed::Scan,
            Filing::Derived => {
                let shape = self.shapes.get(slot);
                let access = shape.and_then(|s| s.predicate).map(PredicateRef::access);
                access.map_or(Filed::Scan, |access| self.conditions.derive(&access))
            }
            Filing::Kept => match self.shapes.kept(slot) {
                Some(filed) => return Cow::Borrowed(filed),
                None => Filed::Scan,
            },
        })
    }

    /// Takes a shape from all that it is filed under.
    pub fn unfile(&mut self, slot: Slot) {
        let Some(tags) = self.shapes.tags(slot) else { return };
        let filed = self.filed(tags.filing(), slot).into_owned();
        self.conditions.remove(&filed, slot);
    }

    /// Takes a shape away for good; whether there are values to forget with it.
    pub fn remove(&mut self, slot: Slot, sequence: u64) -> bool {
        self.unfile(slot);
        let predicate = self.shapes.get(slot).and_then(|shape| shape.predicate);
        let uses_sets = predicate.is_some_and(PredicateRef::uses_sets);
        if let (Some(predicate), true) = (predicate, uses_sets) {
            self.sets.detach(predicate, slot);
        }
        let feeds = self.sets.expel(slot);
        self.shapes.remove(slot, sequence);
        uses_sets || feeds
    }

    /// Puts another clause in the place of a shape's, under one lock, so that no reader sees the shape
    /// filed nowhere. It is one that the columns as they are now are known to.
    pub fn replace(&mut self, slot: Slot, predicate: Predicate) {
        let Some(old) = self.shapes.get(slot).filter(|shape| !shape.stale) else { return };
        if let Some(old) = old.predicate.filter(|old| old.uses_sets()) {
            self.sets.detach(old, slot);
        }
        self.unfile(slot);
        let (access, arena) = (predicate.access(), Bump::new());
        let wanted = self.conditions.choose(&access, &arena);
        let filed = self.conditions.insert(wanted, slot);
        let choice = !filed.conditions().is_empty() && choose::has_choice(&access);
        drop(access);
        if predicate.by_ref().uses_sets() {
            self.sets.attach(predicate.by_ref(), slot);
        }
        self.shapes.replace(slot, predicate, filed, choice);
    }

    /// Looks at so many of the shapes that could be filed otherwise, and files those otherwise for
    /// which that is better by an order of magnitude now. How many it looked at; if there are none, as
    /// many as were asked for.
    pub fn refile(&mut self, shapes: usize) -> usize {
        let mut arena = Bump::new();
        for _ in 0..shapes.min(self.shapes.choices()) {
            arena.reset();
            let Some(slot) = self.shapes.next_choice() else { break };
            let Some(shape) = self.shapes.get(slot) else { continue };
            let Some(access) = shape.predicate.map(PredicateRef::access) else { continue };
            let Some(filed) = self.shapes.kept(slot) else { continue };
            let Some(wanted) = self.conditions.choose(&access, &arena) else { continue };
            if self.conditions.is_outdated(filed, &wanted) {
                // One lock is held throughout, so that no reader sees it filed nowhere.
                self.conditions.remove(filed, slot);
                let filed = self.conditions.insert(Some(wanted), slot);
                drop(access);
                self.shapes.refile(slot, filed);
            }
        }
        shapes
    }

    pub fn memory_bytes(&self) -> usize {
        self.shapes.memory_bytes()
            + self.conditions.memory_bytes()
            + self.base.memory_bytes()
            + self.sets.memory_bytes()
    }
}

impl Defaults for Shapes {
    fn default_of(&self, slot: Slot) -> Option<Held> {
        let shape = self.get(slot)?;
        Some(if shape.known { Held::No } else { Held::Maybe })
    }

    fn spared(&self, truncate: &Truncate) -> Vec<Slot> {
        let spared = |slot: &Slot| self.get(*slot).is_some_and(|s| !truncate.applies_to(&s));
        let spared = self.live().iter().filter(spared);
        if self.seeding.is_empty() {
            return spared.collect();
        }
        // A shape whose keys are being seeded was added after all that is staged.
        let mut spared: Vec<Slot> = spared.chain(self.seeding.iter().copied()).collect();
        spared.sort_unstable();
        spared
    }
}
