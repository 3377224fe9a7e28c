//! The shapes that no index can hold, by template: those of one template are evaluated one after the
//! other, so that its program and the columns that it reads stay at hand.

use super::Slot;
use hashbrown::HashMap;

/// The slots of one template.
struct Group {
    template: Option<u64>,
    slots: Vec<Slot>,
    /// Where it stands among the groups that have slots.
    place: u32,
}

/// Slots with O(1) add and remove, grouped by template.
#[derive(Default)]
pub(crate) struct ScanList {
    groups: Vec<Group>,
    /// The groups that have slots.
    live: Vec<u32>,
    /// The others.
    vacant: Vec<u32>,
    by_template: HashMap<Option<u64>, u32, ahash::RandomState>,
    /// For each slot its group and its place in it: few shapes are here, of many.
    position: HashMap<Slot, (u32, u32), ahash::RandomState>,
}

impl ScanList {
    /// Adds a slot, if it is not there; `None` is the template of shapes without a clause.
    pub fn insert(&mut self, slot: Slot, template: Option<u64>) {
        if self.position.contains_key(&slot) {
            return;
        }
        let id = match self.by_template.get(&template) {
            Some(&id) => id,
            None => self.add_group(template),
        };
        let slots = &mut self.groups[id as usize].slots;
        self.position.insert(slot, (id, slots.len() as u32));
        slots.push(slot);
    }

    fn add_group(&mut self, template: Option<u64>) -> u32 {
        let group = Group { template, slots: Vec::new(), place: self.live.len() as u32 };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.groups[id as usize] = group;
                id
            }
            None => {
                self.groups.push(group);
                (self.groups.len() - 1) as u32
            }
        };
        self.live.push(id);
        self.by_template.insert(template, id);
        id
    }

    /// Takes a slot out, if it is there.
    pub fn remove(&mut self, slot: Slot) {
        let Some((id, at)) = self.position.remove(&slot) else { return };
        let group = &mut self.groups[id as usize];
        group.slots.swap_remove(at as usize);
        let moved = group.slots.get(at as usize);
        if let Some((_, place)) = moved.and_then(|slot| self.position.get_mut(slot)) {
            *place = at;
        }
        if group.slots.is_empty() {
            group.slots = Vec::new();
            let (template, place) = (group.template, group.place);
            self.by_template.remove(&template);
            self.live.swap_remove(place as usize);
            if let Some(&moved) = self.live.get(place as usize) {
                self.groups[moved as usize].place = place;
            }
            self.vacant.push(id);
        }
    }

    fn lists(&self) -> impl Iterator<Item = &[Slot]> {
        self.live.iter().map(|&id| self.groups[id as usize].slots.as_slice())
    }

    /// The slots, those of a template together.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.lists().flatten().copied()
    }

    /// Appends the slots, those of a template together.
    pub fn append_to(&self, out: &mut Vec<Slot>) {
        self.lists().for_each(|slots| out.extend_from_slice(slots));
    }

    pub fn len(&self) -> usize {
        self.position.len()
    }

    pub fn memory_bytes(&self) -> usize {
        self.len() * size_of::<Slot>()
            + self.groups.capacity() * (size_of::<Group>() + 8)
            + self.position.allocation_size()
            + self.by_template.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// The list against a plain map, after every step.
        #[test]
        fn is_a_set_in_groups(ops in proptest::collection::vec((any::<bool>(), 0u32..20, 0u64..4), 0..200)) {
            let mut list = ScanList::default();
            let mut model: BTreeMap<u32, Option<u64>> = BTreeMap::new();
            for (add, slot, template) in ops {
                if add {
                    let template = (template > 0).then_some(template);
                    list.insert(slot, template);
                    model.entry(slot).or_insert(template);
                } else {
                    list.remove(slot);
                    model.remove(&slot);
                }
                let mut slots: Vec<_> = list.iter().collect();
                let templates: Vec<_> = slots.iter().map(|s| model[s]).collect();
                let changes = templates.windows(2).filter(|pair| pair[0] != pair[1]).count();
                let mut distinct = templates;
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(changes, distinct.len().saturating_sub(1), "a group is in one piece");
                slots.sort_unstable();
                prop_assert_eq!(&slots, &model.keys().copied().collect::<Vec<_>>());
                prop_assert_eq!(list.len(), model.len());
                let mut appended = Vec::new();
                list.append_to(&mut appended);
                appended.sort_unstable();
                prop_assert_eq!(appended, slots);
            }
        }
    }
}
