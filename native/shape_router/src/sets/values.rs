//! From a value to the sets that hold it: 20 bytes and what an open table leaves empty, once for each
//! value however many sets and shapes there are.

use crate::sharded::{SHARDS, shard};
use hashbrown::{HashSet, HashTable, hash_table::Entry as Place};

/// Which content holds a value; with the mark, which list of those that do.
#[derive(Clone, Copy)]
struct Entry {
    /// In words, so that an entry has no holes.
    hash: [u32; 4],
    owner: u32,
}

const LIST: u32 = 1 << 31;

impl Entry {
    fn new(hash: u128, owner: u32) -> Self {
        let word = |at: u32| (hash >> (32 * at)) as u32;
        Self { hash: [word(0), word(1), word(2), word(3)], owner }
    }

    fn is(&self, hash: u128) -> bool {
        self.hash == Entry::new(hash, 0).hash
    }

    fn hash(&self) -> u128 {
        let words = self.hash.iter().rev();
        words.fold(0, |hash, word| hash << 32 | u128::from(*word))
    }

    /// What the table goes by. The hash is as good as random in all its bits.
    fn place(&self) -> u64 {
        u64::from(self.hash[1]) << 32 | u64::from(self.hash[0])
    }
}

/// Values by their hashes.
pub(crate) struct Values {
    /// None at all until there is a value.
    shards: Vec<HashTable<Entry>>,
    /// Who holds the values that several do, ascending.
    lists: Vec<Vec<u32>>,
    free: Vec<u32>,
}

impl Values {
    pub fn new() -> Self {
        Self { shards: Vec::new(), lists: Vec::new(), free: Vec::new() }
    }

    fn find(&self, hash: u128) -> Option<&Entry> {
        let place = hash as u64;
        self.shards.get(shard(place))?.find(place, |entry| entry.is(hash))
    }

    /// The contents that hold a value.
    pub fn owners(&self, hash: u128) -> &[u32] {
        match self.find(hash) {
            None => &[],
            Some(entry) if entry.owner & LIST != 0 => &self.lists[(entry.owner & !LIST) as usize],
            Some(entry) => std::slice::from_ref(&entry.owner),
        }
    }

    /// Whether a content holds a value.
    pub fn contains(&self, hash: u128, owner: u32) -> bool {
        match self.owners(hash) {
            [only] => *only == owner,
            owners => owners.binary_search(&owner).is_ok(),
        }
    }

    /// All that a content holds. It takes as long as there are values, whoever holds them.
    pub fn of(&self, owner: u32) -> impl Iterator<Item = u128> {
        let holds = move |entry: &&Entry| match entry.owner & LIST {
            0 => entry.owner == owner,
            _ => self.lists[(entry.owner & !LIST) as usize].binary_search(&owner).is_ok(),
        };
        self.shards.iter().flatten().filter(holds).map(Entry::hash)
    }

    /// Whether it was not there.
    pub fn insert(&mut self, hash: u128, owner: u32) -> bool {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, HashTable::new);
        }
        let place = hash as u64;
        let table = &mut self.shards[shard(place)];
        match table.entry(place, |entry| entry.is(hash), Entry::place) {
            Place::Vacant(vacant) => {
                vacant.insert(Entry::new(hash, owner));
                true
            }
            Place::Occupied(mut occupied) => {
                let entry = occupied.get_mut();
                if entry.owner & LIST != 0 {
                    let list = &mut self.lists[(entry.owner & !LIST) as usize];
                    return match list.binary_search(&owner) {
                        Ok(_) => false,
                        Err(at) => {
                            list.insert(at, owner);
                            true
                        }
                    };
                }
                if entry.owner == owner {
                    return false;
                }
                let both = vec![entry.owner.min(owner), entry.owner.max(owner)];
                let at = self.free.pop().unwrap_or(self.lists.len() as u32);
                match self.lists.get_mut(at as usize) {
                    Some(list) => *list = both,
                    None => self.lists.push(both),
                }
                entry.owner = LIST | at;
                true
            }
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, hash: u128, owner: u32) -> bool {
        let place = hash as u64;
        let Some(table) = self.shards.get_mut(shard(place)) else { return false };
        let Ok(mut occupied) = table.find_entry(place, |entry| entry.is(hash)) else {
            return false;
        };
        let entry = occupied.get_mut();
        if entry.owner & LIST == 0 {
            let found = entry.owner == owner;
            if found {
                occupied.remove();
            }
            return found;
        }
        let at = entry.owner & !LIST;
        let list = &mut self.lists[at as usize];
        let Ok(found) = list.binary_search(&owner) else { return false };
        list.remove(found);
        if let [last] = list[..] {
            entry.owner = last;
            *list = Vec::new();
            self.free.push(at);
        }
        true
    }

    /// Forgets what contents held that are gone, in one of the shards.
    pub fn purge(&mut self, number: usize, gone: &HashSet<u32>) {
        let Self { shards, lists, free } = self;
        let Some(table) = shards.get_mut(number) else { return };
        table.retain(|entry| {
            if entry.owner & LIST == 0 {
                return !gone.contains(&entry.owner);
            }
            let at = entry.owner & !LIST;
            let list = &mut lists[at as usize];
            list.retain(|owner| !gone.contains(owner));
            if let [] | [_] = list[..] {
                entry.owner = list.first().copied().unwrap_or(entry.owner);
                let kept = !list.is_empty();
                *list = Vec::new();
                free.push(at);
                return kept;
            }
            true
        });
        table.shrink_to(table.len(), Entry::place);
    }

    pub fn memory_bytes(&self) -> usize {
        let shards: usize =
            self.shards.iter().map(|s| s.allocation_size() + size_of::<HashTable<Entry>>()).sum();
        let lists: usize = self.lists.iter().map(|l| 4 * l.capacity()).sum();
        shards + lists + self.lists.capacity() * size_of::<Vec<u32>>() + 4 * self.free.capacity()
    }
}
