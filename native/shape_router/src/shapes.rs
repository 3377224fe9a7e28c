//! The table of shapes, by slot and by id.
//!
//! A shape is a record of half a cache line: its id, its constant, the number of its template. What few
//! shapes have (a snapshot, a filing that does not follow from the clause) stands in tables of its own.

use crate::filing::{Filed, Filing};
use crate::index::{ScanList, Slot, SlotSet};
use crate::sharded::{ByNumber, SlotMap};
use crate::spec::Snapshot;
use crate::transaction::Transaction;
use shape_expr::{Packed, Predicate, PredicateRef, Predicates};
use std::collections::VecDeque;

/// A shape, read from its record.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'s> {
    pub id: u64,
    /// Never given twice: tells a slot's later tenant from an earlier one.
    pub serial: u64,
    /// `None`: all rows.
    pub predicate: Option<PredicateRef<'s>>,
    pub filing: Filing,
    /// Membership is known: it was seeded with the keys that the shape held.
    pub known: bool,
    /// A column that the clause reads was dropped or retyped: the shape is included in everything.
    pub stale: bool,
    /// The snapshot that its keys were taken from: what it shows is not applied again.
    pub snapshot: Option<&'s Snapshot>,
    /// The sequence number of staged changes at which its keys were seeded.
    pub born: u64,
}

impl Shape<'_> {
    /// Whether what transactions teach about single keys is kept for it. What a subquery selects moves
    /// rows whose keys nobody tells.
    pub fn is_tracked(&self, track: bool) -> bool {
        self.known || track && !self.predicate.is_some_and(PredicateRef::uses_sets)
    }

    /// True if its keys were taken from a snapshot that shows this transaction.
    pub fn has_seen(&self, transaction: &Transaction) -> bool {
        self.snapshot.is_some_and(|snapshot| snapshot.shows(transaction))
    }
}

/// What a shape is made of.
pub(crate) struct NewShape {
    pub id: u64,
    pub predicate: Option<Predicate>,
    pub filed: Filed,
    pub choice: bool,
    pub known: bool,
    pub stale: bool,
    pub snapshot: Option<Snapshot>,
    /// 0 where nothing is staged that it matters to.
    pub born: u64,
}

/// What a shape was that is stored.
pub(crate) struct StoredShape {
    pub id: u64,
    pub serial: u64,
    pub predicate: Option<Predicate>,
    pub filing: Filing,
    /// Where it is [`Filing::Kept`].
    pub kept: Option<Filed>,
    pub choice: bool,
    pub known: bool,
    pub stale: bool,
    pub snapshot: Option<Snapshot>,
}

/// Marks of a record.
const LIVE: u64 = 1;
const KNOWN: u64 = 1 << 1;
const STALE: u64 = 1 << 2;
const CHOICE: u64 = 1 << 3;
/// There is more about it in `rare`.
const RARE: u64 = 1 << 4;
const CLAUSE: u64 = 1 << 5;
const FILING: u32 = 6;
const SERIAL: u32 = 8;

/// All that most shapes are. Two of them share a cache line, and none lies across two.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Record {
    id: u64,
    constants: u64,
    /// The serial, and below it the marks.
    tags: Tags,
    template: u32,
}

/// What a record says of its shape in bits.
#[derive(Clone, Copy)]
pub(crate) struct Tags(u64);

impl Tags {
    fn has(self, mark: u64) -> bool {
        self.0 & mark != 0
    }
    fn set(&mut self, mark: u64, on: bool) {
        self.0 = if on { self.0 | mark } else { self.0 & !mark };
    }
    pub fn known(self) -> bool {
        self.has(KNOWN)
    }
    pub fn choice(self) -> bool {
        self.has(CHOICE)
    }
    pub fn stale(self) -> bool {
        self.has(STALE)
    }
    pub fn filing(self) -> Filing {
        match self.0 >> FILING & 3 {
            0 => Filing::Never,
            1 => Filing::Scan,
            2 => Filing::Derived,
            _ => Filing::Kept,
        }
    }
    fn set_filing(&mut self, filing: Filing) {
        self.0 = self.0 & !(3 << FILING) | (filing as u64) << FILING;
    }
}

const EMPTY: Record = Record { id: 0, constants: 0, tags: Tags(0), template: 0 };

/// So many records are allocated together: adding a shape never copies those that there are.
const CHUNK: usize = 4096;
/// Beyond as many records as a large chunk has, chunks are large: as large as the pages in which a
/// processor finds the way to a random record without a further look-up.
const LARGE_CHUNK: usize = 16 * CHUNK;
const SMALL_CHUNKS: usize = LARGE_CHUNK / CHUNK;
const _: () = assert!(LARGE_CHUNK * size_of::<Record>() == 2 << 20);

/// What few shapes have.
struct Rare {
    snapshot: Option<Snapshot>,
    born: u64,
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
    records: Records,
    predicates: Predicates,
    by_id: ByNumber,
    rare: SlotMap<Rare>,
    kept: SlotMap<Filed>,
    kept_bytes: usize,
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
    next_choice: Slot,
    /// Slots whose keys are being recorded, and that are not visible yet.
    pub seeding: Vec<Slot>,
}

#[derive(Default)]
struct Records {
    chunks: Vec<Vec<Record>>,
    len: usize,
}

impl Records {
    /// The chunk of a slot, and its place there.
    #[inline]
    fn place(slot: Slot) -> (usize, usize) {
        let slot = slot as usize;
        if slot < LARGE_CHUNK {
            (slot / CHUNK, slot % CHUNK)
        } else {
            (SMALL_CHUNKS - 1 + slot / LARGE_CHUNK, slot % LARGE_CHUNK)
        }
    }

    #[inline]
    fn get(&self, slot: Slot) -> Option<&Record> {
        let (chunk, at) = Self::place(slot);
        self.chunks.get(chunk)?.get(at)
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Record> {
        let (chunk, at) = Self::place(slot);
        self.chunks.get_mut(chunk)?.get_mut(at)
    }

    /// An empty record more.
    fn push(&mut self) -> Slot {
        if Self::place(self.len as Slot).1 == 0 {
            // The first one grows as it fills: many tables have few shapes.
            let room = match self.chunks.len() {
                0 => 0,
                1..SMALL_CHUNKS => CHUNK,
                _ => LARGE_CHUNK,
            };
            self.chunks.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(EMPTY);
        }
        self.len += 1;
        (self.len - 1) as Slot
    }

    fn id(&self, slot: Slot) -> u64 {
        self.get(slot).map_or(0, |record| record.id)
    }

    fn memory_bytes(&self) -> usize {
        let records: usize = self.chunks.iter().map(Vec::capacity).sum();
        records * size_of::<Record>() + self.chunks.capacity() * size_of::<Vec<Record>>()
    }
}

impl Record {
    fn packed(&self) -> Packed {
        Packed { constants: self.constants, template: self.template }
    }
}

impl Shapes {
    pub fn new() -> Self {
        <Self as Default>::default()
    }

    #[inline]
    fn record(&self, slot: Slot) -> Option<&Record> {
        self.records.get(slot).filter(|record| record.tags.has(LIVE))
    }

    #[inline(always)]
    pub fn get(&self, slot: Slot) -> Option<Shape<'_>> {
        let record = self.record(slot)?;
        let tags = record.tags;
        let rare = if tags.has(RARE) { self.rare.get(slot) } else { None };
        Some(Shape {
            id: record.id,
            serial: tags.0 >> SERIAL,
            predicate: self.predicate(record),
            filing: tags.filing(),
            known: tags.known(),
            stale: tags.stale(),
            snapshot: rare.and_then(|rare| rare.snapshot.as_ref()),
            born: rare.map_or(0, |rare| rare.born),
        })
    }

    #[inline]
    fn predicate(&self, record: &Record) -> Option<PredicateRef<'_>> {
        if record.tags.has(CLAUSE) { self.predicates.get(record.packed()) } else { None }
    }

    /// Asks for a shape's record.
    #[inline]
    pub fn prefetch(&self, slot: Slot) {
        if let Some(record) = self.records.get(slot) {
            lane_index::prefetch(record);
        }
    }

    /// What a shape's record says in bits.
    pub fn tags(&self, slot: Slot) -> Option<Tags> {
        self.record(slot).map(|record| record.tags)
    }

    pub fn slot(&self, id: u64) -> Option<Slot> {
        self.by_id.get(id, |slot| self.records.id(slot))
    }

    pub fn by_id(&self, id: u64) -> Option<Shape<'_>> {
        self.get(self.slot(id)?)
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// The serial that was given last; all that exist have none that is greater.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Goes on at a greater serial: those between were given to shapes that are gone.
    pub fn skip_serials(&mut self, last: u64) {
        self.serial = self.serial.max(last);
    }

    /// Appends the ids of some of the shapes, from a slot on; where to go on, if there are more.
    pub fn ids(&self, from: usize, out: &mut Vec<u64>) -> Option<usize> {
        let slots = from..(from + CHUNK).min(self.records.len);
        let ids = slots.filter_map(|slot| self.record(slot as Slot)).map(|record| record.id);
        out.extend(ids);
        (from + CHUNK < self.records.len).then_some(from + CHUNK)
    }

    pub fn live(&self) -> &SlotSet {
        &self.live
    }
    pub fn unknown(&self) -> &SlotSet {
        &self.unknown
    }
    pub fn scan(&self) -> &ScanList {
        &self.scan
    }
    pub fn stale(&self) -> &SlotSet {
        &self.stale
    }

    /// Takes a slot and an id for a shape that is not visible yet.
    pub fn reserve(&mut self, id: u64) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| self.records.push());
        if let Some(record) = self.records.get_mut(slot) {
            *record = Record { id, ..EMPTY };
        }
        let records = &self.records;
        self.by_id.insert(id, slot, |slot| records.id(slot));
        slot
    }

    /// Makes a shape visible in the slot that was reserved for it.
    pub fn publish(&mut self, slot: Slot, shape: NewShape) {
        let filing = Filing::of(&shape.filed, shape.choice);
        let stored = StoredShape {
            id: shape.id,
            serial: self.serial + 1,
            predicate: shape.predicate,
            filing,
            kept: (filing == Filing::Kept).then_some(shape.filed),
            choice: shape.choice,
            known: shape.known,
            stale: shape.stale,
            snapshot: shape.snapshot,
        };
        self.put(slot, stored, shape.born);
    }

    /// Takes a shape that is stored into the next slot, which it returns. Serials ascend. Nothing is found
    /// before [`Shapes::end_load`].
    pub fn load(&mut self, shape: StoredShape) -> Slot {
        let slot = self.records.push();
        self.write(slot, shape, 0);
        slot
    }

    /// Makes all shapes visible that were loaded.
    pub fn end_load(&mut self) {
        let Self { records, by_id, live, stale, unknown, choices, .. } = self;
        let mut slots = [live, stale, unknown, choices];
        let mut scanned = Vec::new();
        for (word, together) in records.chunks.iter().flat_map(|chunk| chunk.chunks(64)).enumerate()
        {
            let first = (word * 64) as Slot;
            let mut sets = [0u64; 4];
            for (at, record) in together.iter().enumerate() {
                let tags = record.tags;
                let bit = |on: bool| u64::from(on) << at;
                let current = !tags.stale();
                sets[0] |= bit(true);
                sets[1] |= bit(!current);
                sets[2] |= bit(current && !tags.known() && !tags.filing().is_never());
                sets[3] |= bit(current && tags.choice());
                self.known += usize::from(tags.known());
                if current && tags.filing().is_scan() {
                    scanned.push(first + at as Slot);
                }
            }
            for (set, bits) in slots.iter_mut().zip(sets) {
                set.insert_word(first, bits);
            }
        }
        let ids = records.chunks.iter().flatten().map(|record| record.id).zip(0..);
        by_id.extend(records.len, ids, |slot| records.id(slot));
        for slot in scanned {
            let template = self.record(slot).and_then(|record| self.predicate(record));
            self.scan.insert(slot, template.map(PredicateRef::template_id));
        }
    }

    #[inline]
    fn put(&mut self, slot: Slot, shape: StoredShape, born: u64) {
        self.write(slot, shape, born);
        self.list(slot);
    }

    #[inline]
    fn write(&mut self, slot: Slot, shape: StoredShape, born: u64) {
        self.serial = shape.serial;
        let mut tags = Tags(self.serial << SERIAL);
        tags.set(LIVE, true);
        tags.set(KNOWN, shape.known);
        tags.set(STALE, shape.stale);
        tags.set(CHOICE, shape.choice);
        tags.set(CLAUSE, shape.predicate.is_some());
        let packed = match shape.predicate {
            Some(predicate) => self.predicates.insert(predicate),
            None => Packed { constants: 0, template: 0 },
        };
        if shape.snapshot.is_some() || born > 0 {
            tags.set(RARE, true);
            self.rare.insert(slot, Rare { snapshot: shape.snapshot, born });
        }
        tags.set_filing(shape.filing);
        if let Some(kept) = shape.kept {
            self.keep(slot, kept);
        }
        let Packed { constants, template } = packed;
        if let Some(record) = self.records.get_mut(slot) {
            *record = Record { id: shape.id, constants, tags, template };
        }
    }

    fn keep(&mut self, slot: Slot, filed: Filed) {
        self.kept_bytes += filed.heap_bytes();
        if let Some(old) = self.kept.insert(slot, filed) {
            self.kept_bytes -= old.heap_bytes();
        }
    }

    fn forget_filing(&mut self, slot: Slot) {
        if let Some(old) = self.kept.remove(slot) {
            self.kept_bytes -= old.heap_bytes();
        }
    }

    /// What a shape is filed under, where that does not follow from its clause.
    pub fn kept(&self, slot: Slot) -> Option<&Filed> {
        self.kept.get(slot)
    }

    /// The membership of a shape is no longer known.
    pub fn lose_track(&mut self, slot: Slot) {
        self.retag(slot, |tags| tags.set(KNOWN, false));
    }

    /// A shape is included in everything from now on. It must not be filed any more.
    pub fn make_stale(&mut self, slot: Slot) {
        self.retag(slot, |tags| {
            tags.set(STALE, true);
            tags.set(CHOICE, false);
            tags.set_filing(Filing::Scan);
        });
        self.forget_filing(slot);
    }

    /// Changes a record's marks, with the sets that follow from them.
    fn retag(&mut self, slot: Slot, change: impl FnOnce(&mut Tags)) {
        self.unlist(slot);
        if let Some(record) = self.records.get_mut(slot).filter(|r| r.tags.has(LIVE)) {
            change(&mut record.tags);
        }
        self.list(slot);
    }

    fn list(&mut self, slot: Slot) {
        let Some(&record) = self.record(slot) else { return };
        let tags = record.tags;
        self.live.insert(slot);
        self.known += usize::from(tags.known());
        if tags.stale() {
            self.stale.insert(slot);
            return;
        }
        if tags.filing().is_scan() {
            let template = self.predicate(&record).map(PredicateRef::template_id);
            self.scan.insert(slot, template);
        }
        if tags.has(CHOICE) {
            self.choices.insert(slot);
        }
        if !tags.known() && !tags.filing().is_never() {
            self.unknown.insert(slot);
        }
    }

    fn unlist(&mut self, slot: Slot) {
        let Some(tags) = self.tags(slot) else { return };
        self.known -= usize::from(tags.known());
        for set in [&mut self.live, &mut self.unknown, &mut self.stale, &mut self.choices] {
            set.remove(slot);
        }
        self.scan.remove(slot);
    }

    /// The next shape that could be filed otherwise; all of them in turn.
    pub fn next_choice(&mut self) -> Option<Slot> {
        let slot =
            self.choices.next_from(self.next_choice).or_else(|| self.choices.next_from(0))?;
        self.next_choice = slot + 1;
        Some(slot)
    }

    /// How many shapes could be filed otherwise.
    pub fn choices(&self) -> usize {
        self.choices.len()
    }

    /// Notes how a shape that has the choice is filed now.
    pub fn refile(&mut self, slot: Slot, filed: Filed) {
        self.keep(slot, filed);
    }

    /// Puts another clause in the place of a shape's, and says how it is filed now.
    pub fn replace(&mut self, slot: Slot, predicate: Predicate, filed: Filed, choice: bool) {
        let Some(&record) = self.record(slot) else { return };
        self.unlist(slot);
        if record.tags.has(CLAUSE) {
            self.predicates.remove(record.packed());
        }
        self.forget_filing(slot);
        let filing = Filing::of(&filed, choice);
        if filing == Filing::Kept {
            self.keep(slot, filed);
        }
        let Packed { constants, template } = self.predicates.insert(predicate);
        if let Some(record) = self.records.get_mut(slot) {
            record.tags.set(CLAUSE, true);
            record.tags.set(CHOICE, choice);
            record.tags.set_filing(filing);
            (record.constants, record.template) = (constants, template);
        }
        self.list(slot);
    }

    /// Takes a shape out; its slot is reused only when nothing refers to it any more.
    pub fn remove(&mut self, slot: Slot, overlay_sequence: u64) {
        let Some(&record) = self.record(slot) else { return };
        self.unlist(slot);
        self.by_id.remove(record.id, slot);
        if record.tags.has(CLAUSE) {
            self.predicates.remove(record.packed());
        }
        if record.tags.has(RARE) {
            self.rare.remove(slot);
        }
        if record.tags.filing() == Filing::Kept {
            self.forget_filing(slot);
        }
        if let Some(record) = self.records.get_mut(slot) {
            *record = EMPTY;
        }
        self.bury(slot, overlay_sequence);
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
        (self.begun, self.dead_slots.iter().collect())
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
        let sets = [&self.live, &self.unknown, &self.stale, &self.choices, &self.dead_slots];
        self.records.memory_bytes()
            + self.predicates.memory_bytes()
            + self.by_id.memory_bytes()
            + self.rare.memory_bytes()
            + self.kept.memory_bytes()
            + self.kept_bytes
            + self.scan.memory_bytes()
            + sets.iter().map(|s| s.memory_bytes()).sum::<usize>()
            + self.free.capacity() * size_of::<Slot>()
            + self.dead.capacity() * size_of::<Dead>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_in_small_chunks_and_in_large_ones() {
        let mut records = Records::default();
        let count = (2 * LARGE_CHUNK + 3) as Slot;
        for id in 0..count {
            let slot = records.push();
            assert_eq!(slot, id);
            records.get_mut(slot).expect("it was pushed").id = u64::from(id);
        }
        assert!((0..count).all(|slot| records.id(slot) == u64::from(slot)));
        assert!(records.get(count).is_none());
        assert_eq!(records.chunks.len(), SMALL_CHUNKS + 2);
    }
}
