//! [`Predicates`]: many clauses in little memory.
//!
//! A clause is a number for its template and eight bytes for its constants: the one integer that most
//! clauses have, or the place of what else they have. Each text, list or document is kept once,
//! however many clauses have it.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use hashbrown::{HashMap, HashTable};

use crate::constants::{Borrowed, Const, Constants};
use crate::predicate::{Predicate, PredicateRef};
use crate::program::Template;

/// A clause that is kept in [`Predicates`]: twelve bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The integer, or the place of the constants.
    pub constants: u64,
    /// The number of the template, and in the two highest bits what `constants` means.
    pub template: u32,
}

/// What [`Packed::constants`] means.
const NOTHING: u32 = 0;
const INTEGER: u32 = 1;
/// One constant, by its place in the pool.
const SINGLE: u32 = 2;
/// Several: how many, and the place among the lists of that length.
const LIST: u32 = 3;
const KIND: u32 = 30;

/// Clauses by template and constants.
#[derive(Debug, Default)]
pub struct Predicates {
    templates: Vec<Option<Counted>>,
    vacant: Vec<u32>,
    by_id: HashMap<u64, u32, ahash::RandomState>,
    pool: Pool,
    lists: Lists,
}

/// A template, and how many clauses have it.
#[derive(Debug)]
struct Counted {
    template: Arc<Template>,
    count: u32,
}

impl Predicates {
    /// Keeps a clause until it is [removed](Predicates::remove).
    pub fn insert(&mut self, predicate: Predicate) -> Packed {
        let Predicate { template, constants } = predicate;
        let number = self.template(template);
        let (kind, constants) = match constants {
            Constants::None => (NOTHING, 0),
            Constants::Int(i) => (INTEGER, i.cast_unsigned()),
            Constants::Many(all) => match &*all {
                [single] => (SINGLE, u64::from(self.pool.insert(single.clone()).0)),
                all => (LIST, self.lists.insert(all, &mut self.pool)),
            },
        };
        Packed { constants, template: kind << KIND | number }
    }

    fn template(&mut self, template: Arc<Template>) -> u32 {
        if let Some(&number) = self.by_id.get(&template.id)
            && let Some(Some(known)) = self.templates.get_mut(number as usize)
        {
            known.count += 1;
            return number;
        }
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.templates.push(None);
            (self.templates.len() - 1) as u32
        });
        self.by_id.insert(template.id, number);
        self.templates[number as usize] = Some(Counted { template, count: 1 });
        number
    }

    /// A clause that is kept here. `None`: it is not.
    #[inline]
    #[must_use]
    pub fn get(&self, packed: Packed) -> Option<PredicateRef<'_>> {
        let number = packed.template & ((1 << KIND) - 1);
        let template: &Template = &self.templates.get(number as usize)?.as_ref()?.template;
        let constants = match packed.template >> KIND {
            NOTHING => Borrowed::None,
            INTEGER => Borrowed::Int(packed.constants.cast_signed()),
            SINGLE => Borrowed::Many(std::slice::from_ref(self.pool.get(packed.constants)?)),
            _ => Borrowed::Many(self.lists.get(packed.constants)?),
        };
        Some(PredicateRef { template, constants })
    }

    /// Lets go of a clause. One that was inserted twice is kept once more.
    pub fn remove(&mut self, packed: Packed) {
        let number = packed.template & ((1 << KIND) - 1);
        let Some(entry) = self.templates.get_mut(number as usize) else { return };
        let Some(known) = entry else { return };
        known.count -= 1;
        if known.count == 0 {
            self.by_id.remove(&known.template.id);
            *entry = None;
            self.vacant.push(number);
        }
        match packed.template >> KIND {
            SINGLE => self.pool.remove(packed.constants as u32),
            LIST => self.lists.remove(packed.constants, &mut self.pool),
            _ => {}
        }
    }

    /// Bytes of what is kept here, the templates' programs not counted.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.templates.capacity() * size_of::<Option<Counted>>()
            + self.vacant.capacity() * 4
            + self.by_id.allocation_size()
            + self.pool.memory_bytes()
            + self.lists.memory_bytes()
    }
}

/// So many entries are allocated together: what grows is never copied, and no half of it is idle.
const CHUNK: usize = 1024;

/// Constants, each once.
#[derive(Debug, Default)]
struct Pool {
    chunks: Vec<Vec<Const>>,
    /// How many clauses have each, by its place.
    counts: Vec<u32>,
    free: Vec<u32>,
    places: HashTable<u32>,
    hasher: ahash::RandomState,
    /// Bytes behind the constants.
    heap: usize,
}

impl Pool {
    fn get(&self, place: u64) -> Option<&Const> {
        let place = usize::try_from(place).ok()?;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// The constant's place, and the constant that is kept there.
    fn insert(&mut self, item: Const) -> (u32, &Const) {
        let hash = hash(&self.hasher, &item);
        let Self { chunks, counts, places, .. } = self;
        let at = |place: &u32| &chunks[*place as usize / CHUNK][*place as usize % CHUNK];
        let known = hash.and_then(|hash| places.find(hash, |place| at(place).is_same(&item)));
        let place = match known {
            Some(&place) => {
                counts[place as usize] += 1;
                place
            }
            None => self.add(item, hash),
        };
        (place, &self.chunks[place as usize / CHUNK][place as usize % CHUNK])
    }

    fn add(&mut self, item: Const, hash: Option<u64>) -> u32 {
        self.heap += item.heap_bytes();
        let place = match self.free.pop() {
            Some(place) => {
                self.counts[place as usize] = 1;
                self.chunks[place as usize / CHUNK][place as usize % CHUNK] = item;
                place
            }
            None => {
                self.counts.push(1);
                push(&mut self.chunks, CHUNK, [item]);
                (self.counts.len() - 1) as u32
            }
        };
        if let Some(hash) = hash {
            let (chunks, hasher) = (&self.chunks, &self.hasher);
            self.places.insert_unique(hash, place, |&place| {
                let item = &chunks[place as usize / CHUNK][place as usize % CHUNK];
                self::hash(hasher, item).unwrap_or_default()
            });
        }
        place
    }

    fn remove(&mut self, place: u32) {
        let Some(count) = self.counts.get_mut(place as usize) else { return };
        *count = count.saturating_sub(1);
        if *count > 0 {
            return;
        }
        let item = &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK];
        let item = std::mem::replace(item, Const::Null);
        self.heap -= item.heap_bytes();
        if let Some(hash) = hash(&self.hasher, &item)
            && let Ok(entry) = self.places.find_entry(hash, |&at| at == place)
        {
            entry.remove();
        }
        self.free.push(place);
        if self.free.len() == self.counts.len() {
            *self = Self { hasher: self.hasher.clone(), ..Self::default() };
        }
    }

    /// Takes back one use of a constant that was inserted.
    fn remove_same(&mut self, item: &Const) {
        let Some(hash) = hash(&self.hasher, item) else { return };
        let at = |place: u32| &self.chunks[place as usize / CHUNK][place as usize % CHUNK];
        let place = self.places.find(hash, |&place| at(place).is_same(item)).copied();
        if let Some(place) = place {
            self.remove(place);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.heap
            + self.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<Const>()
            + (self.counts.capacity() + self.free.capacity()) * 4
            + self.places.allocation_size()
    }
}

/// Lists of several constants, those of one length together.
#[derive(Debug, Default)]
struct Lists {
    by_length: HashMap<u32, Slab, ahash::RandomState>,
    /// Bytes behind constants that are in no pool.
    heap: usize,
}

#[derive(Debug, Default)]
struct Slab {
    chunks: Vec<Vec<Const>>,
    len: u32,
    free: Vec<u32>,
}

impl Lists {
    fn insert(&mut self, all: &[Const], pool: &mut Pool) -> u64 {
        let length = all.len();
        let mut heap = 0;
        let kept = all.iter().map(|item| match (item.heap_bytes(), is_comparable(item)) {
            (0, _) => item.clone(),
            (_, true) => pool.insert(item.clone()).1.clone(),
            (bytes, false) => {
                heap += bytes;
                item.clone()
            }
        });
        let slab = self.by_length.entry(length as u32).or_default();
        let place = match slab.free.pop() {
            Some(place) => {
                let at = place as usize % lists_a_chunk(length) * length;
                let list =
                    &mut slab.chunks[place as usize / lists_a_chunk(length)][at..at + length];
                list.iter_mut().zip(kept).for_each(|(old, new)| *old = new);
                place
            }
            None => {
                push(&mut slab.chunks, lists_a_chunk(length) * length, kept);
                slab.len += 1;
                slab.len - 1
            }
        };
        self.heap += heap;
        (length as u64) << 32 | u64::from(place)
    }

    fn get(&self, word: u64) -> Option<&[Const]> {
        let (length, place) = ((word >> 32) as usize, word as u32 as usize);
        let slab = self.by_length.get(&(length as u32))?;
        let at = place % lists_a_chunk(length) * length;
        slab.chunks.get(place / lists_a_chunk(length))?.get(at..at + length)
    }

    fn remove(&mut self, word: u64, pool: &mut Pool) {
        let (length, place) = ((word >> 32) as usize, word as u32);
        let Some(slab) = self.by_length.get_mut(&(length as u32)) else { return };
        let at = place as usize % lists_a_chunk(length) * length;
        let chunk = slab.chunks.get_mut(place as usize / lists_a_chunk(length));
        for item in chunk.and_then(|c| c.get_mut(at..at + length)).into_iter().flatten() {
            let item = std::mem::replace(item, Const::Null);
            match (item.heap_bytes(), is_comparable(&item)) {
                (0, _) => {}
                (_, true) => pool.remove_same(&item),
                (bytes, false) => self.heap -= bytes,
            }
        }
        slab.free.push(place);
        if slab.free.len() == slab.len as usize {
            self.by_length.remove(&(length as u32));
        }
    }

    fn memory_bytes(&self) -> usize {
        let slab = |slab: &Slab| {
            slab.chunks.iter().map(Vec::capacity).sum::<usize>() * size_of::<Const>()
                + slab.free.capacity() * 4
        };
        self.heap
            + self.by_length.allocation_size()
            + self.by_length.values().map(slab).sum::<usize>()
    }
}

fn lists_a_chunk(length: usize) -> usize {
    (CHUNK / length).max(1)
}

/// Appends items that are kept in one piece.
fn push(chunks: &mut Vec<Vec<Const>>, capacity: usize, items: impl IntoIterator<Item = Const>) {
    if chunks.last().is_none_or(|last| last.len() == capacity) {
        // The first one grows as it fills: many tables have few shapes.
        let first = chunks.is_empty();
        chunks.push(if first { Vec::new() } else { Vec::with_capacity(capacity) });
    }
    if let Some(last) = chunks.last_mut() {
        last.extend(items);
    }
}

/// Patterns do not tell what they were made of.
fn is_comparable(item: &Const) -> bool {
    match item {
        Const::Pattern(_) => false,
        Const::Set(set) => !set.has_pattern(),
        _ => true,
    }
}

/// The same for constants that [are the same](Const::is_same). `None`: it cannot be compared.
fn hash(hasher: &ahash::RandomState, item: &Const) -> Option<u64> {
    if !is_comparable(item) {
        return None;
    }
    let mut state = hasher.build_hasher();
    std::mem::discriminant(item).hash(&mut state);
    match item {
        Const::Set(set) => set.values().for_each(|value| value.hash_equality(&mut state)),
        item => item.value().hash_equality(&mut state),
    }
    Some(state.finish())
}
