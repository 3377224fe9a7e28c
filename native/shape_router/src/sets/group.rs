//! Many feeders of one set: what each of them says of it, kept once where they agree.
//!
//! A set's content holds what *any* of its members has. Beside it stands, for the few rows on which they
//! differ, who has them. A row of the table that is compared with the set is therefore in what one member
//! has somewhere between the answer of what all have and that of what any has.

use super::content::Contents;
use super::row::{Hashed, Key};
use crate::index::SlotSet;
use hashbrown::HashMap;
use shape_expr::Truth;

/// A member's number within its group.
pub(crate) type MemberNumber = u32;

type Map<K, V> = HashMap<K, V, ahash::RandomState>;

/// A row that some have and others have not.
struct Dispute {
    row: Hashed,
    holders: SlotSet,
}

/// Who feeds a set, and in what they differ.
#[derive(Default)]
pub(crate) struct Group {
    /// The members that count: of the others nobody knows all that they have.
    counted: SlotSet,
    /// What members said that do not count yet.
    pending: Map<MemberNumber, Map<Key, Hashed>>,
    disputes: Map<Key, Dispute>,
    /// How many of the disputed rows count under a key.
    excess: Map<Key, u32>,
    /// All rows, where a row does not follow from its hash: of several columns.
    rows: Map<Key, Hashed>,
    next: MemberNumber,
    free: Vec<MemberNumber>,
}

/// The content that a group feeds.
pub(crate) struct Fed<'c> {
    pub contents: &'c mut Contents,
    pub content: u32,
}

impl Fed<'_> {
    fn own(&self, row: &Hashed) -> Key {
        row.own(self.contents.secret())
    }

    fn has(&self, row: &Hashed) -> bool {
        self.contents.contains(self.content, row)
    }
}

impl Group {
    /// A new member, which does not count.
    pub fn enter(&mut self) -> MemberNumber {
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.pending.insert(number, Map::default());
        number
    }

    /// A member's own rows, as long as it does not count.
    pub fn pending(&self, member: MemberNumber) -> Option<impl Iterator<Item = &Hashed>> {
        self.pending.get(&member).map(|rows| rows.values())
    }

    /// True if members that count differ in nothing.
    #[inline]
    pub fn agrees(&self) -> bool {
        self.disputes.is_empty()
    }

    /// By how much the count of what any member has exceeds that of what all have.
    pub fn excess(&self, key: Key) -> i64 {
        self.excess.get(&key).map_or(0, |count| i64::from(*count))
    }

    /// Whether a member has a row.
    pub fn is_member(&self, fed: (&Contents, u32), member: MemberNumber, row: &Hashed) -> bool {
        let (contents, content) = fed;
        let own = row.own(contents.secret());
        match self.pending.get(&member) {
            Some(pending) => pending.contains_key(&own),
            None => {
                let disputed = self.disputes.get(&own);
                contents.contains(content, row)
                    && disputed.is_none_or(|dispute| dispute.holders.contains(member))
            }
        }
    }

    /// From now on a member counts. It is taken to have whatever any other has: what it has beside that
    /// is added then, and what it has not is taken away.
    pub fn join(&mut self, member: MemberNumber) {
        if self.pending.remove(&member).is_some() {
            self.counted.insert(member);
            self.disputes.values_mut().for_each(|dispute| dispute.holders.insert(member));
        }
    }

    /// A row comes to what a member has.
    pub fn add(&mut self, fed: &mut Fed<'_>, member: MemberNumber, row: &Hashed) {
        let own = fed.own(row);
        if let Some(pending) = self.pending.get_mut(&member) {
            pending.insert(own, *row);
            return;
        }
        if !fed.has(row) {
            fed.contents.set(fed.content, row, true);
            if row.columns > 1 {
                self.rows.insert(own, *row);
            }
            if self.counted.len() > 1 {
                let mut holders = SlotSet::default();
                holders.insert(member);
                self.dispute(fed, own, row, holders);
            }
            return;
        }
        let Some(dispute) = self.disputes.get_mut(&own) else { return };
        dispute.holders.insert(member);
        if dispute.holders.len() == self.counted.len() {
            self.settle(fed, own);
        }
    }

    /// A row goes from what a member has.
    pub fn remove(&mut self, fed: &mut Fed<'_>, member: MemberNumber, row: &Hashed) {
        let own = fed.own(row);
        if let Some(pending) = self.pending.get_mut(&member) {
            pending.remove(&own);
            return;
        }
        if !fed.has(row) {
            return;
        }
        match self.disputes.get_mut(&own) {
            Some(dispute) => {
                dispute.holders.remove(member);
                if dispute.holders.len() == 0 {
                    self.settle(fed, own);
                    self.forget(fed, own, row);
                }
            }
            None if self.counted.len() == 1 => self.forget(fed, own, row),
            None => {
                let mut holders = self.counted.clone();
                holders.remove(member);
                self.dispute(fed, own, row, holders);
            }
        }
    }

    /// A member goes. `true`: it was the last that counted, and what the set held is to be dropped.
    pub fn leave(&mut self, fed: &mut Fed<'_>, member: MemberNumber) -> bool {
        self.free.push(member);
        if self.pending.remove(&member).is_some() {
            return false;
        }
        self.counted.remove(member);
        let counted = self.counted.len();
        if counted == 0 {
            (self.disputes, self.excess) = Default::default();
            self.rows = Map::default();
            return true;
        }
        let mut decided = Vec::new();
        for (own, dispute) in &mut self.disputes {
            dispute.holders.remove(member);
            if dispute.holders.len() == 0 || dispute.holders.len() == counted {
                decided.push((*own, dispute.row, dispute.holders.len() == 0));
            }
        }
        for (own, row, is_gone) in decided {
            self.settle(fed, own);
            if is_gone {
                self.forget(fed, own, &row);
            }
        }
        false
    }

    /// True if it has no members at all.
    pub fn is_empty(&self) -> bool {
        self.counted.len() == 0 && self.pending.is_empty()
    }

    /// The rows that a set of so many columns holds and that are not among these, as far as they do not
    /// follow from their hashes; `None`: they all do.
    pub fn rows_beside(&self, own: &Map<Key, Hashed>) -> Vec<Hashed> {
        let beside = self.rows.iter().filter(|(key, _)| !own.contains_key(*key));
        beside.map(|(_, row)| *row).collect()
    }

    fn dispute(&mut self, fed: &Fed<'_>, own: Key, row: &Hashed, holders: SlotSet) {
        for key in row.keys(fed.contents.secret()) {
            *self.excess.entry(key).or_insert(0) += 1;
        }
        self.disputes.insert(own, Dispute { row: *row, holders });
    }

    /// All that count have a row, or none has.
    fn settle(&mut self, fed: &Fed<'_>, own: Key) {
        let Some(dispute) = self.disputes.remove(&own) else { return };
        for key in dispute.row.keys(fed.contents.secret()) {
            if let Some(count) = self.excess.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.excess.remove(&key);
                }
            }
        }
        if self.disputes.is_empty() {
            // What a quarrel took is given back with its end.
            (self.disputes, self.excess) = Default::default();
        }
    }

    fn forget(&mut self, fed: &mut Fed<'_>, own: Key, row: &Hashed) {
        fed.contents.set(fed.content, row, false);
        self.rows.remove(&own);
    }

    pub fn memory_bytes(&self) -> usize {
        let disputes: usize = self.disputes.values().map(|d| d.holders.memory_bytes()).sum();
        let pending: usize = self.pending.values().map(Map::allocation_size).sum();
        disputes
            + pending
            + self.disputes.allocation_size()
            + self.pending.allocation_size()
            + self.excess.allocation_size()
            + self.rows.allocation_size()
            + self.counted.memory_bytes()
            + 4 * self.free.capacity()
    }
}

/// What members may answer of which one has the least and one the most: false is less than NULL, and NULL
/// less than true, since a row more can only raise the answer.
pub(crate) fn between(least: Truth, most: Truth) -> Truth {
    match (least, most) {
        (Truth::FALSE, Truth::TRUE) => Truth::ANY,
        (least, most) => least.union(most),
    }
}
