//! A snapshot from the one before and what the journal says since: what makes a journal short again.
//!
//! Nothing of the router is asked, so nothing of it waits. What the journal says of shapes is read a
//! second time, instead of being held in memory; what it says of keys is.

use super::meta::{Meta, RelationChange, StoredSchema};
use super::record::Replay;
use super::shape::StoredShape;
use super::snapshot::{Snapshot, SnapshotWriter};
use crate::membership::Held;
use lane_index::Error;
use std::collections::{BTreeMap, HashSet};

/// What the journal says, but for the shapes that came.
#[derive(Default)]
pub(super) struct Delta {
    pub meta: Meta,
    removed: HashSet<u64>,
    lost: HashSet<u64>,
    stale: HashSet<u64>,
    cuts: Vec<(u64, HashSet<u64>)>,
    held: BTreeMap<(u128, u64), Option<Held>>,
}

impl Delta {
    /// What there was before.
    pub fn over(meta: Meta) -> Self {
        Self { meta, ..Self::default() }
    }

    /// Whether what a shape said before the journal began still counts.
    fn keeps(&self, serial: u64) -> bool {
        !self.removed.contains(&serial)
            && self.cuts.iter().all(|(below, spared)| serial >= *below || spared.contains(&serial))
    }

    /// A shape as it is now; `None`: it is gone.
    fn now<'s>(&self, shape: &StoredShape<'s>) -> Option<StoredShape<'s>> {
        (!self.removed.contains(&shape.serial)).then(|| StoredShape {
            known: shape.known && !self.lost.contains(&shape.serial),
            stale: shape.stale || self.stale.contains(&shape.serial),
            ..*shape
        })
    }

    /// Writes the shapes of the old snapshot, as long as `go_on` says nothing against it.
    pub fn write_shapes(
        &self,
        old: &Snapshot,
        to: &mut SnapshotWriter,
        go_on: impl Fn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        old.shapes(|shape| {
            go_on()?;
            self.now(shape).map_or(Ok(()), |shape| to.shape(&shape))
        })
    }

    /// Writes what is said of keys, after all shapes.
    pub fn write_keys(&self, old: Option<&Snapshot>, to: &mut SnapshotWriter) -> Result<(), Error> {
        let mut new = self.held.iter().peekable();
        let write = |(&(key, serial), held): (&(u128, u64), &Option<Held>),
                     to: &mut SnapshotWriter| {
            match held {
                Some(held) if !self.removed.contains(&serial) => to.held(key, serial, *held),
                _ => Ok(()),
            }
        };
        if let Some(old) = old {
            old.keys(|key, serial, held| {
                while let Some(entry) = new.next_if(|(at, _)| **at < (key, serial)) {
                    write(entry, to)?;
                }
                match new.next_if(|(at, _)| **at == (key, serial)) {
                    Some(entry) => write(entry, to),
                    None if self.keeps(serial) => to.held(key, serial, held),
                    None => Ok(()),
                }
            })?;
        }
        new.try_for_each(|entry| write(entry, to))
    }
}

impl Replay for Delta {
    fn schema(&mut self, schema: StoredSchema) {
        self.meta.schema = Some(schema);
    }
    fn relation(&mut self, change: RelationChange) {
        self.meta.schema = Some(change.schema.clone());
        self.meta.relation = Some(change);
    }
    fn acked(&mut self, lsn: u64) {
        self.meta.acked = self.meta.acked.max(lsn);
    }
    fn serials_below(&mut self, next: u64) {
        self.meta.next_serial = self.meta.next_serial.max(next);
    }
    fn shape(&mut self, shape: &StoredShape<'_>) {
        self.meta.next_serial = self.meta.next_serial.max(shape.serial.saturating_add(1));
    }
    fn removed(&mut self, serial: u64) {
        self.removed.insert(serial);
    }
    fn lost_track(&mut self, serial: u64) {
        self.lost.insert(serial);
    }
    fn stale(&mut self, serial: u64) {
        self.stale.insert(serial);
    }
    fn held(&mut self, key: u128, serial: u64, held: Option<Held>) {
        // What is unset is kept too: it hides what the old snapshot has.
        self.held.insert((key, serial), held);
    }
    fn truncated(&mut self, below: u64, spared: &[u64]) {
        let spared: HashSet<u64> = spared.iter().copied().collect();
        self.held.retain(|(_, serial), _| *serial >= below || spared.contains(serial));
        self.cuts.push((below, spared));
    }
}

/// Writes the shapes that came, when the journal is read again.
pub(super) struct Came<'a> {
    pub delta: &'a Delta,
    pub to: &'a mut SnapshotWriter,
    /// What went wrong; nothing is written after it.
    pub failed: Option<Error>,
}

impl Replay for Came<'_> {
    fn schema(&mut self, _: StoredSchema) {}
    fn relation(&mut self, _: RelationChange) {}
    fn acked(&mut self, _: u64) {}
    fn serials_below(&mut self, _: u64) {}
    fn shape(&mut self, shape: &StoredShape<'_>) {
        if self.failed.is_none()
            && let Some(shape) = self.delta.now(shape)
        {
            self.failed = self.to.shape(&shape).err();
        }
    }
    fn removed(&mut self, _: u64) {}
    fn lost_track(&mut self, _: u64) {}
    fn stale(&mut self, _: u64) {}
    fn held(&mut self, _: u128, _: u64, _: Option<Held>) {}
    fn truncated(&mut self, _: u64, _: &[u64]) {}
}
