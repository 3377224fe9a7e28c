//! The table of an overlay; see the module above for what it is.
//!
//! `tests/overlay_model.rs` compiles it with loom's atomics in the place of the standard library's.

use super::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// How far a writer looks back for the id it writes.
pub(super) const NEAR: usize = 8;
const REMOVED: u64 = 1 << 63;
/// Entry numbers have 31 bits, and 0 means none.
pub(crate) const MAX_ENTRIES: usize = (1 << 31) - 2;

/// What a write did to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The delta is there now.
    Done,
    /// The table had it already.
    Same,
    /// There is no room: copy the table into a bigger one and try again.
    Full,
}

/// One delta as a flush reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    pub hash: u64,
    pub id: u32,
    pub removed: bool,
}

/// Deltas by key hash.
pub(crate) struct Overlay {
    /// Open addressing: the upper half of the key's hash, and the number of its newest entry plus one.
    slots: Box<[AtomicU64]>,
    /// Two words an entry: the hash; id, next entry plus one (31 bits), removed (1 bit).
    entries: Box<[AtomicU64]>,
    /// Bits of the hashes that have an entry, eight times as many as slots: most keys that are not here
    /// are told by one load, without a branch that the processor cannot foresee.
    seen: Box<[AtomicU64]>,
    used: AtomicU32,
    removes: AtomicU32,
    /// Ids added less ids removed.
    balance: AtomicI64,
}

impl Overlay {
    /// A table with room for `entries` deltas. Room for none costs no memory.
    pub(crate) fn with_room(entries: usize) -> Self {
        let slots = if entries == 0 { 0 } else { (entries + entries / 3 + 1).next_power_of_two() };
        let room = (slots / 4 * 3).min(MAX_ENTRIES);
        let zeroed = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self {
            slots: zeroed(slots),
            entries: zeroed(room * 2),
            seen: zeroed(slots.div_ceil(8)),
            used: AtomicU32::new(0),
            removes: AtomicU32::new(0),
            balance: AtomicI64::new(0),
        }
    }

    /// How many deltas it holds.
    pub(crate) fn len(&self) -> usize {
        self.used.load(Ordering::Acquire) as usize
    }

    /// How many of them are removals.
    pub(crate) fn removes(&self) -> usize {
        self.removes.load(Ordering::Relaxed) as usize
    }

    /// How many ids more the index holds with it than without, if all that was removed was there.
    pub(crate) fn balance(&self) -> i64 {
        self.balance.load(Ordering::Relaxed)
    }

    /// The bytes it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        (self.slots.len() + self.entries.len() + self.seen.len()) * size_of::<AtomicU64>()
    }

    /// Writes a delta. Only one thread may write at a time; the caller's lock sees to it.
    ///
    /// `oldest` says that nothing lies below this table, so that a removal of what is not here has
    /// nothing to hide.
    pub(crate) fn write(&self, hash: u64, id: u32, removed: bool, oldest: bool) -> Written {
        self.put(hash, id, removed, oldest, 1)
    }

    /// As `write`; `in_place` of the newest deltas of the key may be changed where they are.
    ///
    /// Under readers that is only the newest one: a reader that has come past a delta must not see an
    /// older one change, or it would see a later write without an earlier one.
    fn put(&self, hash: u64, id: u32, removed: bool, oldest: bool, in_place: usize) -> Written {
        let Some((slot, head)) = self.find_slot(hash) else {
            return if removed && oldest { Written::Same } else { Written::Full };
        };
        let (mut entry, mut looked_at) = (head, 0);
        while entry != 0 && looked_at < NEAR {
            let word = self.word(entry);
            let at = word.load(Ordering::Relaxed);
            if at as u32 == id {
                if (at & REMOVED != 0) == removed {
                    return Written::Same;
                }
                if looked_at >= in_place {
                    break;
                }
                word.store(at ^ REMOVED, Ordering::Release);
                if removed {
                    self.removes.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.removes.fetch_sub(1, Ordering::Relaxed);
                }
                self.balance.fetch_add(if removed { -1 } else { 1 }, Ordering::Relaxed);
                return Written::Done;
            }
            entry = next(at);
            looked_at += 1;
        }
        if removed && oldest && entry == 0 {
            return Written::Same;
        }
        let used = self.used.load(Ordering::Relaxed);
        if used as usize * 2 >= self.entries.len() {
            return Written::Full;
        }
        let number = used + 1;
        self.entries[used as usize * 2].store(hash, Ordering::Relaxed);
        let flag = if removed { REMOVED } else { 0 };
        self.word(number).store(u64::from(id) | u64::from(head) << 32 | flag, Ordering::Relaxed);
        let (word, bit) = self.bit(hash);
        let bits = self.seen[word].load(Ordering::Relaxed);
        self.seen[word].store(bits | bit, Ordering::Relaxed);
        // Whoever sees the slot sees the entry, and everything behind it. Whoever has to see it, since
        // the write came before the look-up, sees the bit too.
        self.slots[slot].store(tag(hash) | u64::from(number), Ordering::Release);
        self.used.store(number, Ordering::Release);
        self.balance.fetch_add(if removed { -1 } else { 1 }, Ordering::Relaxed);
        if removed {
            self.removes.fetch_add(1, Ordering::Relaxed);
        }
        Written::Done
    }

    /// Where `seen` has the bit of `hash`. Other bits of it choose the slot.
    #[inline(always)]
    fn bit(&self, hash: u64) -> (usize, u64) {
        let at = (hash >> 32) as usize;
        ((at >> 6) & (self.seen.len() - 1), 1 << (at & 63))
    }

    /// Whether the key may be here; a `false` is certain.
    #[inline(always)]
    fn may_have(&self, hash: u64) -> bool {
        if self.seen.is_empty() {
            return false;
        }
        let (word, bit) = self.bit(hash);
        self.seen[word].load(Ordering::Relaxed) & bit != 0
    }

    /// Asks the processor for the slot of `hash`, where it will be read.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if self.may_have(hash) {
            // A relaxed load that nobody waits for does what a prefetch would, without `unsafe`.
            let slot = &self.slots[hash as usize & (self.slots.len() - 1)];
            std::hint::black_box(slot.load(Ordering::Relaxed));
        }
    }

    /// The deltas of one key, newest first; none where the key is not here.
    #[inline(always)]
    pub(crate) fn chain(&self, hash: u64) -> Chain<'_> {
        if !self.may_have(hash) {
            return Chain { overlay: self, entry: 0 };
        }
        // What was found, not the slot read again: one that was empty may be another key's by now.
        let entry = self.find_slot(hash).map_or(0, |(_, head)| head);
        Chain { overlay: self, entry }
    }

    /// All deltas, oldest first; of two mentions of an id under a key, the later one counts.
    pub(crate) fn deltas(&self) -> impl Iterator<Item = Delta> + '_ {
        (0..self.len()).map(|entry| {
            let at = self.entries[entry * 2 + 1].load(Ordering::Acquire);
            Delta {
                hash: self.entries[entry * 2].load(Ordering::Relaxed),
                id: at as u32,
                removed: at & REMOVED != 0,
            }
        })
    }

    /// A copy with room for more. Where nothing lies below, removals have nothing left to hide and are
    /// left behind.
    pub(crate) fn grown(&self, oldest: bool) -> Self {
        let kept = self.len() - if oldest { self.removes().min(self.len()) } else { 0 };
        let mut room = (kept * 2).max(3);
        loop {
            let copy = Self::with_room(room);
            // Nobody reads the copy yet: older mentions of an id may give way.
            let is_full = self.deltas().any(|delta| {
                copy.put(delta.hash, delta.id, delta.removed, oldest, NEAR) == Written::Full
            });
            // Removals of an id whose older mention is far back in its chain have to be kept as well,
            // and a copy that they fill would have to be copied for every further write.
            let has_room = copy.len() + copy.len() / 4 < copy.entries.len() / 2;
            if !is_full && has_room {
                copy.balance.store(self.balance(), Ordering::Relaxed);
                return copy;
            }
            room *= 2;
        }
    }

    /// The slot of `hash` and its newest entry, or the empty one where it would be and 0; none where the
    /// table has no slots.
    #[inline]
    fn find_slot(&self, hash: u64) -> Option<(usize, u32)> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash as usize & mask;
        loop {
            let at = self.slots[slot].load(Ordering::Acquire);
            // A quarter of the slots is empty at least, so that this ends.
            if at == 0 || (at & !u64::from(u32::MAX) == tag(hash) && self.is(at as u32, hash)) {
                return Some((slot, at as u32));
            }
            slot = (slot + 1) & mask;
        }
    }

    #[inline]
    fn is(&self, entry: u32, hash: u64) -> bool {
        self.entries[(entry as usize - 1) * 2].load(Ordering::Relaxed) == hash
    }

    #[inline]
    fn word(&self, entry: u32) -> &AtomicU64 {
        &self.entries[(entry as usize - 1) * 2 + 1]
    }
}

#[inline]
fn tag(hash: u64) -> u64 {
    hash & !u64::from(u32::MAX)
}

#[inline]
fn next(word: u64) -> u32 {
    (word >> 32) as u32 & (u32::MAX >> 1)
}

/// The deltas of one key, newest first.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a> {
    overlay: &'a Overlay,
    entry: u32,
}

impl Chain<'_> {
    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.entry == 0
    }

    /// The id of a chain of one delta that adds it.
    #[inline(always)]
    pub(super) fn single(self) -> Option<u32> {
        let at = self.overlay.word(self.entry).load(Ordering::Acquire);
        // Neither removed nor followed by an older one.
        if at >> 32 == 0 { Some(at as u32) } else { None }
    }
}

impl Iterator for Chain<'_> {
    type Item = (u32, bool);

    #[inline]
    fn next(&mut self) -> Option<(u32, bool)> {
        if self.entry == 0 {
            return None;
        }
        let at = self.overlay.word(self.entry).load(Ordering::Acquire);
        self.entry = next(at);
        Some((at as u32, at & REMOVED != 0))
    }
}
