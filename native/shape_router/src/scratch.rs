//! Memory that routing calls use again and again.

use crate::classify::Class;
use crate::metrics::Meter;
use bumpalo::Bump;

/// One shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Routed {
    /// The shape's id.
    pub id: u64,
    /// What its log must record; meaningful only where classes were asked for.
    pub class: Class,
}

/// What a routing call needs besides its input, and where it leaves its answer. One a thread.
#[derive(Default)]
pub struct Scratch {
    pub(crate) arena: Bump,
    pub(crate) slots: Vec<u32>,
    pub(crate) routed: Vec<Routed>,
    pub(crate) missing: Vec<usize>,
    pub(crate) meter: Meter,
}

impl Scratch {
    /// The answer of the last call: ascending by id, each once.
    pub fn routed(&self) -> &[Routed] {
        &self.routed
    }

    /// The ids of the answer, ascending.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.routed.iter().map(|r| r.id)
    }

    /// For [`Class::InsertMissing`]: the columns (by position) that the new row lacks.
    pub fn missing(&self) -> &[usize] {
        &self.missing
    }

    /// Prepares for a call, and gives back what an unusually large one had taken.
    pub(crate) fn reset(&mut self) {
        const KEEP: usize = 1 << 20;
        if self.arena.allocated_bytes() > KEEP {
            self.arena = Bump::new();
        } else {
            self.arena.reset();
        }
        self.slots.clear();
        self.slots.shrink_to(KEEP);
        self.routed.clear();
        self.routed.shrink_to(KEEP / 16);
        self.missing.clear();
    }
}
