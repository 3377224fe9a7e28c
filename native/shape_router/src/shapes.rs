//! The table of shapes, by slot and by id.

use crate::filing::Filing;
use crate::index::{ScanList, Slot, SlotSet};
use crate::router::Snapshot;
use crate::transaction::Transaction;
use hashbrown::HashMap;
use shape_expr::Predicate;
use std::collections::VecDeque;

/// A shape as the router keeps it.
pub(crate) struct Shape {
    pub id: u64,
    /// Never given twice: tells a slot's later tenant from an earlier one.
    pub serial: u64,
    /// `None`: all rows.
    pub predicate: Option<Predicate>,
    pub filing: Filing,
    /// It could be filed otherwise, and should be when what is filed has changed enough.
    pub choice: bool,
    /// Membership is known: it was seeded with the keys that the shape held.
    pub known: bool,
    /// A column that the clause reads was dropped or retyped: the shape is included in everything.
    pub stale: bool,
    /// The snapshot that its keys were taken from: what it shows is not applied again.
    pub snapshot: Option<Box<Snapshot>>,
    /// The sequence number of staged changes at which its keys were seeded.
    pub born: u64,
}

impl Shape {
    /// True if its keys were taken from a snapshot that shows this transaction.
    pub fn has_seen(&self, transaction: &Transaction) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.shows(transaction))
    }
}

/// A slot whose shape is gone, until nothing refers to it.
struct Dead {
    slot: Slot,
    /// Free once this purge of the membership has ended,
    purge: u64,
    /// and nothing staged is older than this.
    sequence: u64,
}

/// Slots, ids, and the sets that routing walks.
#[derive(Default)]
pub(crate) struct Shapes {
    slots: Vec<Option<Box<Shape>>>,
    by_id: HashMap<u64, Slot, ahash::RandomState>,
    free: Vec<Slot>,
    dead: VecDeque<Dead>,
    dead_slots: SlotSet,
    /// The purge of the membership that began last, and the one that ended last.
    begun: u64,
    ended: u64,
    /// A purge is to begin soon.
    purge_queued: bool,
    serial: u64,
    known: usize,
    live: SlotSet,
    unknown: SlotSet,
    scan: ScanList,
    stale: SlotSet,
    /// Shapes that could be filed otherwise, and where looking at them goes on.
    choices: SlotSet,
    next_choice: usize,
}

impl Shapes {
    pub fn new() -> Self {
        <Self as Default>::default()
    }

    pub fn get(&self, slot: Slot) -> Option<&Shape> {
        self.slots.get(slot as usize)?.as_deref()
    }

    pub fn slot(&self, id: u64) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub fn by_id(&self, id: u64) -> Option<&Shape> {
        self.get(self.slot(id)?)
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// The serial that the next shape gets; all that exist have a smaller one.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Appends the ids of some of the shapes, from a slot on; where to go on, if there are more.
    pub fn ids(&self, from: usize, out: &mut Vec<u64>) -> Option<usize> {
        const STEP: usize = 4096;
        let rest = self.slots.get(from..)?;
        out.extend(rest.iter().take(STEP).flatten().map(|shape| shape.id));
        (rest.len() > STEP).then_some(from + STEP)
    }

    pub fn live(&self) -> &[Slot] {
        self.live.as_slice()
    }
    pub fn unknown(&self) -> &[Slot] {
        self.unknown.as_slice()
    }
    pub fn scan(&self) -> &ScanList {
        &self.scan
    }
    pub fn stale(&self) -> &[Slot] {
        self.stale.as_slice()
    }

    /// Takes a slot and an id for a shape that is not visible yet.
    pub fn reserve(&mut self, id: u64) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        self.by_id.insert(id, slot);
        slot
    }

    /// Makes a shape visible in the slot that was reserved for it.
    pub fn publish(&mut self, slot: Slot, mut shape: Shape) {
        self.serial += 1;
        shape.serial = self.serial;
        self.list(slot, &shape);
        self.slots[slot as usize] = Some(Box::new(shape));
    }

    /// Changes a shape's record in place, with the sets that follow from it.
    pub fn update(&mut self, slot: Slot, change: impl FnOnce(&mut Shape)) {
        let Some(mut shape) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        self.unlist(slot, &shape);
        change(&mut shape);
        self.list(slot, &shape);
        self.slots[slot as usize] = Some(shape);
    }

    fn list(&mut self, slot: Slot, shape: &Shape) {
        self.live.insert(slot);
        self.known += usize::from(shape.known);
        if shape.stale {
            self.stale.insert(slot);
            return;
        }
        if matches!(shape.filing, Filing::Scan) {
            self.scan.insert(slot, shape.predicate.as_ref().map(Predicate::template_id));
        }
        if shape.choice {
            self.choices.insert(slot);
        }
        if !shape.known && !matches!(shape.filing, Filing::Never) {
            self.unknown.insert(slot);
        }
    }

    fn unlist(&mut self, slot: Slot, shape: &Shape) {
        self.known -= usize::from(shape.known);
        for set in [&mut self.live, &mut self.unknown, &mut self.stale, &mut self.choices] {
            set.remove(slot);
        }
        self.scan.remove(slot);
    }

    /// The next shape that could be filed otherwise; all of them in turn.
    pub fn next_choice(&mut self) -> Option<Slot> {
        let choices = self.choices.as_slice();
        self.next_choice = if self.next_choice < choices.len() { self.next_choice } else { 0 };
        let slot = choices.get(self.next_choice).copied();
        self.next_choice += 1;
        slot
    }

    /// How many shapes could be filed otherwise.
    pub fn choices(&self) -> usize {
        self.choices.len()
    }

    /// Notes how a shape is filed now, under conditions as before.
    pub fn refile(&mut self, slot: Slot, filing: Filing) {
        if let Some(shape) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) {
            shape.filing = filing;
        }
    }

    /// Takes a shape out; its slot is reused only when nothing refers to it any more.
    pub fn remove(&mut self, id: u64, overlay_sequence: u64) -> Option<(Slot, Box<Shape>)> {
        let slot = self.slot(id)?;
        let shape = self.slots.get_mut(slot as usize)?.take()?;
        self.by_id.remove(&id);
        self.unlist(slot, &shape);
        self.bury(slot, overlay_sequence);
        Some((slot, shape))
    }

    fn bury(&mut self, slot: Slot, sequence: u64) {
        self.dead_slots.insert(slot);
        // The one that is under way, if there is one, may have come past this slot's keys.
        self.dead.push_back(Dead { slot, purge: self.begun + 1, sequence });
    }

    /// True, once, if so many slots are dead that purging the membership of them pays.
    pub fn purge_is_due(&mut self) -> bool {
        let covered = self.dead.partition_point(|dead| dead.purge <= self.begun);
        let due = (self.dead.len() - covered) * 8 >= self.live.len() + 512;
        due && !std::mem::replace(&mut self.purge_queued, true)
    }

    /// Begins a purge: its number, and the slots that it is to purge the membership of. One at a time.
    pub fn begin_purge(&mut self) -> (u64, Vec<Slot>) {
        self.purge_queued = false;
        self.begun += 1;
        (self.begun, self.dead_slots.as_slice().to_vec())
    }

    /// Ends a purge: nothing in the membership names its slots any more.
    pub fn end_purge(&mut self, purge: u64) {
        self.ended = purge;
    }

    /// How many shapes have a known membership.
    pub fn known(&self) -> usize {
        self.known
    }

    /// Frees the slots that nothing refers to any more.
    pub fn free_dead(&mut self, oldest_staged: u64) {
        while let Some(dead) = self.dead.front() {
            if dead.purge > self.ended || dead.sequence >= oldest_staged {
                break;
            }
            self.dead_slots.remove(dead.slot);
            self.free.push(dead.slot);
            self.dead.pop_front();
        }
    }

    pub fn memory_bytes(&self) -> usize {
        let records = self.slots.capacity() * size_of::<Option<Box<Shape>>>()
            + self.live.len() * (size_of::<Shape>() + 16);
        let sets = [&self.live, &self.unknown, &self.stale, &self.choices];
        records
            + self.by_id.allocation_size()
            + self.scan.memory_bytes()
            + sets.iter().map(|s| s.memory_bytes()).sum::<usize>()
            + self.free.capacity() * size_of::<Slot>()
    }
}
