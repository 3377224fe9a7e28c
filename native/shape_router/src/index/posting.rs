//! The slots under one key.

use super::Slot;

/// A set of slots; most have one.
#[derive(Clone, Debug, Default)]
pub(crate) enum Posting {
    #[default]
    None,
    One(Slot),
    /// Ascending. Slots are given out ascending, so that adding is appending.
    Many(Vec<Slot>),
}

impl Posting {
    pub fn as_slice(&self) -> &[Slot] {
        match self {
            Self::None => &[],
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Many(slots) => slots,
        }
    }

    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Whether the slot is new.
    pub fn insert(&mut self, slot: Slot) -> bool {
        match self {
            Self::None => *self = Self::One(slot),
            Self::One(first) if *first == slot => return false,
            Self::One(first) => *self = Self::Many(vec![slot.min(*first), slot.max(*first)]),
            Self::Many(slots) => match slots.binary_search(&slot) {
                Ok(_) => return false,
                Err(at) => slots.insert(at, slot),
            },
        }
        true
    }

    /// Whether the slot was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        match self {
            Self::One(only) if *only == slot => *self = Self::None,
            Self::None | Self::One(_) => return false,
            Self::Many(slots) => {
                let Ok(at) = slots.binary_search(&slot) else { return false };
                slots.remove(at);
                if slots.capacity() > 4 * slots.len() {
                    slots.shrink_to(2 * slots.len());
                }
                if let [last] = slots[..] {
                    *self = Self::One(last);
                }
            }
        }
        true
    }
}
