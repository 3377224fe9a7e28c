//! A set of slots with O(1) add and remove, dense to walk.

use super::Slot;

const NONE: u32 = u32::MAX;

/// The slots, densely, and for each slot where it stands.
#[derive(Default)]
pub(crate) struct SlotSet {
    items: Vec<Slot>,
    position: Vec<u32>,
}

impl SlotSet {
    pub fn insert(&mut self, slot: Slot) {
        let at = slot as usize;
        if self.position.len() <= at {
            self.position.resize(at + 1, NONE);
        }
        if self.position[at] == NONE {
            self.position[at] = self.items.len() as u32;
            self.items.push(slot);
        }
    }

    pub fn remove(&mut self, slot: Slot) {
        let Some(place) = self.position.get_mut(slot as usize) else { return };
        let at = std::mem::replace(place, NONE);
        if at == NONE {
            return;
        }
        self.items.swap_remove(at as usize);
        if let Some(&moved) = self.items.get(at as usize) {
            self.position[moved as usize] = at;
        }
    }

    pub fn as_slice(&self) -> &[Slot] {
        &self.items
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn memory_bytes(&self) -> usize {
        4 * (self.items.capacity() + self.position.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_and_removes_in_any_order() {
        let mut set = SlotSet::default();
        for slot in [5, 1, 9, 1] {
            set.insert(slot);
        }
        set.remove(5);
        set.remove(5);
        set.remove(77);
        let mut left = set.as_slice().to_vec();
        left.sort_unstable();
        assert_eq!(left, [1, 9]);
        set.insert(5);
        assert_eq!(set.len(), 3);
    }
}
