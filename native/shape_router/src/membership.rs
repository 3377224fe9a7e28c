//! Which shapes hold a key.
//!
//! What was acknowledged lies in `base`; what routed transactions did since lies in `overlay`, each
//! entry with the sequence number of the change that caused it, until `ack` moves it down or routing
//! the transaction again drops it.
//!
//! A shape whose membership is *known* holds a key exactly if it says so here (absence means "no").
//! For a shape of *unknown* membership absence means "nobody knows"; with `track_membership` what
//! transactions taught about single keys is kept for those shapes too.

use crate::index::{Making, Multimap, Slot, Walk};
use crate::key::KeyHash;
use crate::shapes::Shape;
use crate::transaction::Transaction;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::VecDeque;

/// Does a shape hold a key?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It does not.
    No = 0,
    /// It does.
    Yes = 1,
    /// A clause raised or met an unknown value when the key was last written.
    Maybe = 2,
}

/// A slot and what it says, in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Member(u32);

impl Member {
    fn new(slot: Slot, held: Held) -> Self {
        Self(slot << 2 | held as u32)
    }
    fn slot(self) -> Slot {
        self.0 >> 2
    }
    fn held(self) -> Held {
        match self.0 & 3 {
            0 => Held::No,
            1 => Held::Yes,
            _ => Held::Maybe,
        }
    }
}

/// What is said of a key, ascending by slot; most keys have one shape.
type Members = SmallVec<[Member; 4]>;

/// What is acknowledged: for each of the three things that can be said, which slots say it of which key.
///
/// A key is known here by 64 bits of its hash, compared in full.
pub(crate) struct Base {
    said: [Multimap; 3],
}

const SAID: [Held; 3] = [Held::No, Held::Yes, Held::Maybe];

/// Both halves of a key's hash are as good as random by themselves.
fn fold(key: KeyHash) -> u64 {
    (key >> 64) as u64 ^ key as u64
}

impl Base {
    pub fn new(making: Making) -> Self {
        Self { said: [(); 3].map(|()| Multimap::new(making)) }
    }

    /// A base that is filled before it is used; see [`Multimap::loading`]. Each key is told once for
    /// each slot.
    pub fn loading() -> Self {
        Self { said: [(); 3].map(|()| Multimap::loading()) }
    }

    /// The base of what was stored of one, in the order of [`Base::multimaps`].
    pub fn stored(said: [Multimap; 3]) -> Self {
        Self { said }
    }

    pub fn end_load(&mut self, making: Making) {
        self.said.iter_mut().for_each(|said| said.end_load(making));
    }

    /// What is said of a key by a slot that has not said anything of it.
    pub fn load(&mut self, key: KeyHash, slot: Slot, held: Held) {
        self.said[held as usize].insert(fold(key), slot);
    }

    #[cfg(test)]
    fn get(&self, key: KeyHash, slot: Slot) -> Option<Held> {
        SAID.into_iter().find(|&held| self.said[held as usize].contains(fold(key), slot))
    }

    pub fn set(&mut self, key: KeyHash, slot: Slot, held: Held) {
        for other in SAID.into_iter().filter(|other| *other != held) {
            self.take(fold(key), slot, other);
        }
        self.said[held as usize].insert(fold(key), slot);
    }

    /// Takes what a slot says of a key, so that its default holds again.
    pub fn unset(&mut self, key: KeyHash, slot: Slot) {
        SAID.into_iter().for_each(|held| self.take(fold(key), slot, held));
    }

    fn take(&mut self, hash: u64, slot: Slot, held: Held) {
        let said = &mut self.said[held as usize];
        if !said.is_empty() {
            said.remove(hash, slot);
        }
    }

    /// What is said of a key.
    fn members(&self, key: KeyHash) -> Members {
        // The lane index appends to a vector; this one's memory is used again and again.
        thread_local!(static FOUND: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) });
        const KEEP: usize = 1 << 16;
        let mut members = Members::new();
        if self.is_empty() {
            return members;
        }
        FOUND.with_borrow_mut(|found| {
            for held in SAID {
                let said = &self.said[held as usize];
                if !said.is_empty() {
                    said.get_verified(fold(key), found);
                    members.extend(found.drain(..).map(|slot| Member::new(slot, held)));
                }
            }
            found.shrink_to(KEEP);
        });
        if !members.is_sorted() {
            members.sort_unstable();
        }
        members
    }

    /// Forgets everything but what the kept slots (ascending) say. The old content is freed elsewhere.
    pub fn clear_but(&mut self, kept: &[Slot]) {
        for said in &mut self.said {
            let empty = Multimap::new(said.making());
            let old = std::mem::replace(said, empty);
            let keep = |hash, slot| {
                if kept.binary_search(&slot).is_ok() {
                    said.insert(hash, slot);
                }
            };
            // What cannot be read is kept: a delete too many does no harm, one too few would.
            if !kept.is_empty() && old.walk().for_each(keep).is_err() {
                *said = old;
            } else {
                crate::reaper::dispose(old);
            }
        }
    }

    /// Begins to forget what dead slots say.
    pub fn purge(&self) -> Purge {
        Purge { walks: self.said.each_ref().map(Multimap::walk), found: Vec::new() }
    }

    /// Forgets some of what a purge has found; true when nothing is left.
    pub fn purge_step(&mut self, purge: &mut Purge, at_most: usize) -> bool {
        let rest = purge.found.len().saturating_sub(at_most);
        for (held, hash, slot) in purge.found.drain(rest..) {
            self.take(hash, slot, held);
        }
        purge.found.is_empty()
    }

    /// What it lies in.
    pub fn multimaps(&self) -> impl Iterator<Item = &Multimap> {
        self.said.iter()
    }
    pub fn multimaps_mut(&mut self) -> impl Iterator<Item = &mut Multimap> {
        self.said.iter_mut()
    }

    pub fn is_empty(&self) -> bool {
        self.said.iter().all(Multimap::is_empty)
    }

    pub fn keys(&self) -> usize {
        self.said.iter().map(Multimap::keys).sum()
    }

    pub fn memory_bytes(&self) -> usize {
        self.said.iter().map(Multimap::memory_bytes).sum()
    }
}

/// Finds what dead slots say of keys, while others read and write the base: nothing more is written
/// for a slot that is dead.
pub(crate) struct Purge {
    walks: [Walk; 3],
    found: Vec<(Held, u64, Slot)>,
}

impl Purge {
    /// Reads everything that was acknowledged when the purge began.
    pub fn find(&mut self, mut dead: Vec<Slot>) -> Result<(), lane_index::Error> {
        dead.sort_unstable();
        for (held, walk) in SAID.into_iter().zip(&self.walks) {
            walk.for_each(|hash, slot| {
                if dead.binary_search(&slot).is_ok() {
                    self.found.push((held, hash, slot));
                }
            })?;
        }
        Ok(())
    }
}

/// A staged TRUNCATE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Truncate {
    sequence: u64,
    transaction: Transaction,
}

impl Truncate {
    /// A shape whose keys were seeded after it, or from a snapshot that shows it, keeps them.
    pub fn applies_to(&self, shape: &Shape) -> bool {
        self.sequence > shape.born && !shape.has_seen(&self.transaction)
    }
}

/// What a transaction that is not acknowledged did.
struct Stage {
    transaction: Transaction,
    /// The sequence number of its first change.
    first: u64,
    /// What it wrote, in order.
    touched: Vec<(u64, KeyHash, Slot)>,
}

type Versions = SmallVec<[(u64, Held); 2]>;

/// The effects of transactions that are routed and not acknowledged.
#[derive(Default)]
pub(crate) struct Overlay {
    stages: VecDeque<Stage>,
    entries: HashMap<KeyHash, HashMap<Slot, Versions, ahash::RandomState>, ahash::RandomState>,
    /// Oldest first.
    truncates: Vec<Truncate>,
    sequence: u64,
}

impl Overlay {
    /// Opens a stage for a transaction; whatever was staged for it, and after it, is dropped.
    pub fn begin(&mut self, transaction: Transaction) {
        let place = transaction.place();
        while self.stages.back().is_some_and(|s| s.transaction.place() >= place) {
            self.drop_last();
        }
        let first = self.sequence + 1;
        self.stages.push_back(Stage { transaction, first, touched: Vec::new() });
    }

    fn drop_last(&mut self) {
        let Some(stage) = self.stages.pop_back() else { return };
        for (sequence, key, slot) in stage.touched {
            self.forget(key, slot, |s| s != sequence);
        }
        self.truncates.retain(|t| t.sequence < stage.first);
    }

    fn forget(&mut self, key: KeyHash, slot: Slot, keep: impl Fn(u64) -> bool) {
        let Some(slots) = self.entries.get_mut(&key) else { return };
        if let Some(versions) = slots.get_mut(&slot) {
            versions.retain(|(s, _)| keep(*s));
            if versions.is_empty() {
                slots.remove(&slot);
            }
        }
        if slots.is_empty() {
            self.entries.remove(&key);
        }
    }

    /// The sequence number of the next change.
    pub fn next_change(&mut self) {
        self.sequence += 1;
    }

    /// Stages that no shape holds any key from the current change on.
    pub fn truncate(&mut self, transaction: Transaction) {
        self.truncates.push(Truncate { sequence: self.sequence, transaction });
    }

    /// Stages what a shape says of a key from the current change on.
    pub fn set(&mut self, key: KeyHash, slot: Slot, held: Held) {
        let sequence = self.sequence;
        let versions = self.entries.entry(key).or_default().entry(slot).or_default();
        match versions.last_mut() {
            Some((last, value)) if *last == sequence => *value = held,
            _ => {
                versions.push((sequence, held));
                if let Some(stage) = self.stages.back_mut() {
                    stage.touched.push((sequence, key, slot));
                }
            }
        }
    }

    /// The sequence number of the last staged TRUNCATE that concerns a shape.
    fn truncated(&self, shape: &Shape) -> Option<u64> {
        self.truncates.iter().rev().find(|t| t.applies_to(shape)).map(|t| t.sequence)
    }

    fn last(&self, key: KeyHash, slot: Slot) -> Option<(u64, Held)> {
        self.entries.get(&key)?.get(&slot)?.last().copied()
    }

    /// The oldest stage that `lsn` acknowledges.
    fn oldest_up_to(&self, lsn: u64) -> bool {
        self.stages.front().is_some_and(|s| s.transaction.lsn <= lsn)
    }

    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Nothing staged is older than this sequence number.
    pub fn oldest_sequence(&self) -> u64 {
        self.stages.front().map_or(u64::MAX, |s| s.first)
    }

    /// What a shape that is seeded now must know of the truncates that are staged: which of them came
    /// before it. 0 if there are none, as any that comes later comes after it.
    pub fn born(&self) -> u64 {
        if self.truncates.is_empty() { 0 } else { self.sequence }
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Membership as the routing of one change sees it.
pub(crate) struct Membership<'m> {
    base: &'m Base,
    /// `None`: only what was acknowledged counts.
    overlay: Option<&'m Overlay>,
    /// What the base says of the keys of the change, so that it is asked once however many shapes
    /// are candidates.
    asked: RefCell<[Option<(KeyHash, Members)>; 2]>,
}

impl<'m> Membership<'m> {
    pub fn new(base: &'m Base, overlay: Option<&'m Overlay>) -> Self {
        Self { base, overlay, asked: RefCell::default() }
    }

    fn with_members<T>(&self, key: KeyHash, answer: impl FnOnce(&[Member]) -> T) -> T {
        let mut asked = self.asked.borrow_mut();
        let known = |one: &Option<(KeyHash, Members)>| one.as_ref().is_some_and(|o| o.0 == key);
        let at = asked.iter().position(known).unwrap_or_else(|| {
            // A change has an old key and a new one at most.
            let at = usize::from(asked[0].is_some());
            asked[at] = Some((key, self.base.members(key)));
            at
        });
        answer(asked[at].as_ref().map_or(&[], |(_, members)| members))
    }

    /// What is recorded of a key for a shape; `None`: nothing, the shape's default holds.
    pub fn get(&self, key: KeyHash, slot: Slot, shape: &Shape) -> Option<Held> {
        if let Some(overlay) = self.overlay {
            let truncated = overlay.truncated(shape);
            match overlay.last(key, slot) {
                Some((sequence, held)) if truncated.is_none_or(|t| sequence > t) => {
                    return Some(held);
                }
                _ if truncated.is_some() => return Some(Held::No),
                _ => {}
            }
        }
        self.with_members(key, |members| {
            let at = members.binary_search_by_key(&slot, |m| m.slot()).ok()?;
            Some(members[at].held())
        })
    }

    /// Appends the slots that hold, or may hold, a key; some that no longer do may be among them.
    pub fn slots(&self, key: KeyHash, out: &mut Vec<Slot>) {
        if let Some(slots) = self.overlay.and_then(|overlay| overlay.entries.get(&key)) {
            out.extend(slots.keys());
        }
        self.with_members(key, |members| {
            out.extend(members.iter().filter(|m| m.held() != Held::No).map(|m| m.slot()));
        });
    }
}

/// What acknowledging needs to know of the shapes.
pub(crate) trait Defaults {
    /// What a slot's shape says of a key that is not recorded; `None`: there is no shape any more.
    fn default_of(&self, slot: Slot) -> Option<Held>;
    /// The slots whose keys a TRUNCATE does not touch, ascending.
    fn spared(&self, truncate: &Truncate) -> Vec<Slot>;
}

/// What acknowledging does, for whoever keeps an account of it.
pub(crate) trait Account {
    /// A slot says this of a key; `None`: its default.
    fn held(&mut self, key: KeyHash, slot: Slot, held: Option<Held>);
    /// No slot says anything of any key, but these (ascending).
    fn truncate(&mut self, spared: &[Slot]);
}

/// Tells what [`acknowledge`] will do, and changes nothing.
pub(crate) fn account(
    overlay: &Overlay,
    lsn: u64,
    shapes: &impl Defaults,
    account: &mut impl Account,
) {
    let mut done = 0;
    for (index, stage) in overlay.stages.iter().enumerate() {
        if stage.transaction.lsn > lsn {
            break;
        }
        let end = overlay.stages.get(index + 1).map_or(u64::MAX, |next| next.first);
        let in_stage = |t: &Truncate| t.sequence < end && t.sequence > done;
        let mut kept: Option<(u64, Vec<Slot>)> = None;
        if let Some(cut) = overlay.truncates.iter().copied().rfind(in_stage) {
            let spared = shapes.spared(&cut);
            account.truncate(&spared);
            done = cut.sequence;
            kept = Some((cut.sequence, spared));
        }
        for &(sequence, key, slot) in &stage.touched {
            if let Some((cut, spared)) = &kept
                && sequence <= *cut
                && spared.binary_search(&slot).is_err()
            {
                continue;
            }
            let versions = overlay.entries.get(&key).and_then(|slots| slots.get(&slot));
            let held = versions.and_then(|v| v.iter().find(|(s, _)| *s == sequence));
            if let (Some(&(_, held)), Some(default)) = (held, shapes.default_of(slot)) {
                account.held(key, slot, (held != default).then_some(held));
            }
        }
    }
}

/// Moves what transactions up to `lsn` staged into the base, at most `units` entries at a time; true
/// when it is done.
pub(crate) fn acknowledge(
    base: &mut Base,
    overlay: &mut Overlay,
    lsn: u64,
    mut units: u64,
    shapes: &impl Defaults,
) -> bool {
    while overlay.oldest_up_to(lsn) {
        let Some(mut stage) = overlay.stages.pop_front() else { break };
        let end = overlay.stages.front().map_or(u64::MAX, |next| next.first);
        // Only what a TRUNCATE of this stage left behind counts.
        if let Some(cut) = overlay.truncates.iter().copied().rfind(|t| t.sequence < end) {
            let spared = shapes.spared(&cut);
            base.clear_but(&spared);
            overlay.truncates.retain(|t| t.sequence > cut.sequence);
            stage.touched.retain(|&(sequence, key, slot)| {
                let keep = sequence > cut.sequence || spared.binary_search(&slot).is_ok();
                if !keep {
                    overlay.forget(key, slot, |s| s != sequence);
                }
                keep
            });
        }
        let part = stage.touched.len().min(usize::try_from(units).unwrap_or(usize::MAX));
        units -= part as u64;
        for (sequence, key, slot) in stage.touched.drain(..part) {
            let versions = overlay.entries.get(&key).and_then(|slots| slots.get(&slot));
            let held = versions.and_then(|v| v.iter().find(|(s, _)| *s == sequence));
            match (held, shapes.default_of(slot)) {
                (Some(&(_, held)), Some(default)) if held != default => base.set(key, slot, held),
                (Some(_), Some(_)) => base.unset(key, slot),
                _ => {}
            }
            overlay.forget(key, slot, |s| s != sequence);
        }
        if !stage.touched.is_empty() {
            overlay.stages.push_front(stage);
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filing::Filing;

    fn shape() -> Shape<'static> {
        Shape {
            id: 0,
            serial: 0,
            predicate: None,
            filing: Filing::Scan,
            known: true,
            stale: false,
            snapshot: None,
            born: 0,
        }
    }

    struct AllKnown;

    impl Defaults for AllKnown {
        fn default_of(&self, _slot: Slot) -> Option<Held> {
            Some(Held::No)
        }
        fn spared(&self, _truncate: &Truncate) -> Vec<Slot> {
            Vec::new()
        }
    }

    fn staged(base: &Base, overlay: &Overlay, key: KeyHash) -> Option<Held> {
        Membership::new(base, Some(overlay)).get(key, 7, &shape())
    }

    fn ack_all(base: &mut Base, overlay: &mut Overlay, lsn: u64) {
        while !acknowledge(base, overlay, lsn, 1, &AllKnown) {}
    }

    #[test]
    fn staged_effects_become_real_with_ack_and_vanish_when_routed_again() {
        let (mut base, mut overlay) =
            (Base::new(Making { short_list: 0, lanes: None }), Overlay::default());
        base.set(1, 7, Held::Yes);
        overlay.begin(Transaction::at(100));
        overlay.next_change();
        overlay.set(1, 7, Held::No);
        overlay.next_change();
        overlay.set(2, 7, Held::Yes);
        assert_eq!(staged(&base, &overlay, 1), Some(Held::No));
        assert_eq!(base.get(1, 7), Some(Held::Yes));

        overlay.begin(Transaction::at(100));
        assert_eq!(staged(&base, &overlay, 1), Some(Held::Yes));
        assert_eq!(staged(&base, &overlay, 2), None);
        overlay.next_change();
        overlay.set(2, 7, Held::Yes);
        ack_all(&mut base, &mut overlay, 100);
        assert_eq!(base.get(2, 7), Some(Held::Yes));
        assert_eq!(overlay.stages(), 0);
        assert!(overlay.entries.is_empty());
    }

    #[test]
    fn an_earlier_ack_keeps_later_stages() {
        let (mut base, mut overlay) =
            (Base::new(Making { short_list: 0, lanes: None }), Overlay::default());
        for (lsn, held) in [(10, Held::Yes), (20, Held::No), (30, Held::Maybe)] {
            overlay.begin(Transaction::at(lsn));
            overlay.next_change();
            overlay.set(5, 7, held);
        }
        ack_all(&mut base, &mut overlay, 10);
        assert_eq!(base.get(5, 7), Some(Held::Yes));
        assert_eq!(staged(&base, &overlay, 5), Some(Held::Maybe));
        ack_all(&mut base, &mut overlay, 20);
        assert_eq!(base.get(5, 7), None);
        overlay.begin(Transaction::at(30));
        assert_eq!(staged(&base, &overlay, 5), None);
    }

    #[test]
    fn a_truncate_hides_what_came_before_it() {
        let (mut base, mut overlay) =
            (Base::new(Making { short_list: 0, lanes: None }), Overlay::default());
        base.set(1, 7, Held::Yes);
        overlay.begin(Transaction::at(10));
        overlay.next_change();
        overlay.set(2, 7, Held::Yes);
        overlay.next_change();
        overlay.truncate(Transaction::at(10));
        overlay.next_change();
        overlay.set(3, 7, Held::Yes);
        let seen = [1, 2, 3].map(|key| staged(&base, &overlay, key));
        assert_eq!(seen, [Some(Held::No), Some(Held::No), Some(Held::Yes)]);
        ack_all(&mut base, &mut overlay, 10);
        assert_eq!([base.get(1, 7), base.get(2, 7)], [None, None]);
        assert_eq!(base.get(3, 7), Some(Held::Yes));
        assert!(overlay.truncates.is_empty() && overlay.entries.is_empty());
    }

    #[test]
    fn purging_forgets_dead_slots() {
        let mut base = Base::new(Making { short_list: 0, lanes: None });
        let keys = (0..1000u128).map(|key| key << 112);
        for key in keys {
            base.set(key, 1, Held::Yes);
            base.set(key, 2, Held::Yes);
        }
        let purge = |base: &mut Base, dead: Vec<Slot>| {
            let mut purge = base.purge();
            purge.find(dead).expect("memory suffices");
            while !base.purge_step(&mut purge, 300) {}
        };
        purge(&mut base, vec![9, 1]);
        assert_eq!((base.get(5 << 112, 1), base.get(5 << 112, 2)), (None, Some(Held::Yes)));
        purge(&mut base, vec![2]);
        assert_eq!(base.keys(), 0);
    }
}
