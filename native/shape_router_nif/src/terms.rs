//! Which number stands for which term: a router knows shapes by numbers, a host by any term.
//!
//! A term is kept as its bytes (a binary as it is, others in the external term format), short ones
//! within their record of 32 bytes. Records never move, and are found by their number without a
//! search. From the term to the number leads a hash table that holds nothing but numbers, cut into
//! parts, so that none of them takes long to grow.

use crate::error::NifError;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use rustler::{Binary, Env, NewBinary, OwnedBinary, Resource, Term};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::panic::RefUnwindSafe;

const CHUNK: usize = 1 << 12;
const PARTS: usize = 1 << 8;
/// A number that was given back rests until so many others were: who still has it from an answer
/// finds no term, and not the wrong one.
const RESTING: usize = 1 << 12;
/// So many bytes fit into a record.
const INLINE: usize = 26;
/// In an inline record's length: the bytes are the external format of a term that is no binary.
const EXTERNAL: u8 = 0x80;

enum Record {
    Free,
    Inline { length: u8, bytes: [u8; INLINE], place: u32 },
    Apart { is_external: bool, place: u32, bytes: Box<[u8]> },
}

const _: () = assert!(size_of::<Record>() == 32);

/// A term's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Bytes<'a> {
    is_external: bool,
    bytes: &'a [u8],
}

impl Record {
    fn new(term: Bytes<'_>, place: u32) -> Self {
        let length = term.bytes.len();
        if length > INLINE {
            let bytes = term.bytes.into();
            return Self::Apart { is_external: term.is_external, place, bytes };
        }
        let mut bytes = [0; INLINE];
        bytes[..length].copy_from_slice(term.bytes);
        let mark = if term.is_external { EXTERNAL } else { 0 };
        Self::Inline { length: length as u8 | mark, bytes, place }
    }

    fn get(&self) -> Option<(Bytes<'_>, u32)> {
        match self {
            Self::Free => None,
            Self::Inline { length, bytes, place } => {
                let (is_external, length) = (length & EXTERNAL != 0, length & !EXTERNAL);
                Some((Bytes { is_external, bytes: &bytes[..usize::from(length)] }, *place))
            }
            Self::Apart { is_external, place, bytes } => {
                Some((Bytes { is_external: *is_external, bytes }, *place))
            }
        }
    }
}

/// The records, by number.
#[derive(Default)]
struct Records {
    chunks: Vec<Vec<Record>>,
    free: VecDeque<u32>,
    apart_bytes: usize,
}

impl Records {
    fn get(&self, number: u32) -> Option<(Bytes<'_>, u32)> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)?.get()
    }

    fn add(&mut self, record: Record) -> Option<u32> {
        if let Record::Apart { bytes, .. } = &record {
            self.apart_bytes += bytes.len();
        }
        if self.free.len() > RESTING
            && let Some(number) = self.free.pop_front()
        {
            self.chunks[number as usize / CHUNK][number as usize % CHUNK] = record;
            return Some(number);
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // Small filters are small.
            let room = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(room));
        }
        let before = self.chunks.len() - 1;
        let chunk = self.chunks.last_mut()?;
        chunk.push(record);
        u32::try_from(before * CHUNK + chunk.len() - 1).ok()
    }

    fn free(&mut self, number: u32) {
        let place = &mut self.chunks[number as usize / CHUNK][number as usize % CHUNK];
        if let Record::Apart { bytes, .. } = std::mem::replace(place, Record::Free) {
            self.apart_bytes -= bytes.len();
        }
        self.free.push_back(number);
    }
}

/// The terms of a filter, as Erlang holds them.
pub(crate) struct Terms {
    records: RwLock<Records>,
    parts: Box<[Mutex<HashTable<u32>>]>,
    random: RandomState,
}

#[rustler::resource_impl]
impl Resource for Terms {}

// A panic while a lock is held leaves it unlocked, and what it guards can be read by later calls.
impl RefUnwindSafe for Terms {}

/// A caller's term, as bytes.
enum Key<'a> {
    Binary(Binary<'a>),
    External(OwnedBinary),
}

impl<'a> Key<'a> {
    fn of(term: Term<'a>) -> Self {
        // A bitstring that is no binary is refused here, and kept as other terms are.
        match Binary::from_term(term) {
            Ok(binary) => Self::Binary(binary),
            Err(_) => Self::External(term.to_binary()),
        }
    }

    fn bytes(&self) -> Bytes<'_> {
        match self {
            Self::Binary(binary) => Bytes { is_external: false, bytes: binary.as_slice() },
            Self::External(binary) => Bytes { is_external: true, bytes: binary.as_slice() },
        }
    }
}

impl Terms {
    pub fn new() -> Self {
        Self {
            records: RwLock::default(),
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            random: RandomState::new(),
        }
    }

    fn part(&self, hash: u64) -> &Mutex<HashTable<u32>> {
        // By bits that the hash tables themselves do not look at: those use the lowest and highest.
        &self.parts[(hash >> 40) as usize % PARTS]
    }

    fn hash(&self, term: Bytes<'_>) -> u64 {
        self.random.hash_one(term)
    }

    /// Gives a term a number; `None` if it has one.
    pub fn add(&self, term: Term<'_>, place: u32) -> Result<Option<u32>, NifError> {
        let key = Key::of(term);
        let hash = self.hash(key.bytes());
        let mut part = self.part(hash).lock();
        let mut records = self.records.write();
        let same = |&number: &u32| records.get(number).is_some_and(|(b, _)| b == key.bytes());
        if part.find(hash, same).is_some() {
            return Ok(None);
        }
        let number = records.add(Record::new(key.bytes(), place));
        let number = number.ok_or_else(|| NifError::new("limit_reached", "4294967296 shapes"))?;
        let rehash = |&number: &u32| records.get(number).map_or(0, |(b, _)| self.hash(b));
        part.insert_unique(hash, number, rehash);
        Ok(Some(number))
    }

    /// A term's number and place.
    pub fn find(&self, term: Term<'_>) -> Option<(u32, u32)> {
        let key = Key::of(term);
        let hash = self.hash(key.bytes());
        let part = self.part(hash).lock();
        let records = self.records.read();
        let same = |&number: &u32| records.get(number).is_some_and(|(b, _)| b == key.bytes());
        let number = part.find(hash, same).copied()?;
        Some((number, records.get(number)?.1))
    }

    /// Forgets a term, and tells what its number was.
    pub fn remove(&self, term: Term<'_>) -> Option<u32> {
        let key = Key::of(term);
        let hash = self.hash(key.bytes());
        let mut part = self.part(hash).lock();
        let mut records = self.records.write();
        let same = |&number: &u32| records.get(number).is_some_and(|(b, _)| b == key.bytes());
        let (number, _) = part.find_entry(hash, same).ok()?.remove();
        records.free(number);
        Some(number)
    }

    /// The terms of numbers, as a list; those that were removed meanwhile are left out.
    pub fn list<'a>(&self, env: Env<'a>, numbers: impl Iterator<Item = u64>) -> Term<'a> {
        let records = self.records.read();
        let mut list = Term::list_new_empty(env);
        for number in numbers {
            let found = u32::try_from(number).ok().and_then(|number| records.get(number));
            if let Some(term) = found.and_then(|(bytes, _)| bytes.term(env)) {
                list = list.list_prepend(term);
            }
        }
        list
    }

    /// The terms at places (of `None`: at all) from the `chunk`th chunk of records, and whether there
    /// are further chunks.
    pub fn chunk<'a>(
        &self,
        env: Env<'a>,
        chunk: usize,
        places: Option<&[u32]>,
    ) -> (Term<'a>, bool) {
        let records = self.records.read();
        let mut list = Term::list_new_empty(env);
        for record in records.chunks.get(chunk).into_iter().flatten() {
            let Some((bytes, place)) = record.get() else { continue };
            if places.is_none_or(|places| places.contains(&place))
                && let Some(term) = bytes.term(env)
            {
                list = list.list_prepend(term);
            }
        }
        (list, chunk + 1 < records.chunks.len())
    }

    pub fn memory_bytes(&self) -> usize {
        let tables = self.parts.iter().map(|part| part.lock().allocation_size()).sum::<usize>();
        let records = self.records.read();
        let capacity: usize = records.chunks.iter().map(Vec::capacity).sum();
        tables
            + size_of_val(&*self.parts)
            + capacity * size_of::<Record>()
            + records.apart_bytes
            + records.free.capacity() * size_of::<u32>()
    }
}

impl Drop for Terms {
    fn drop(&mut self) {
        let chunks = std::mem::take(&mut self.records.get_mut().chunks);
        // A million records are not freed on a scheduler. If there is no thread, they are.
        if chunks.len() > 8 {
            let _ = std::thread::Builder::new().spawn(move || drop(chunks));
        }
    }
}

impl Bytes<'_> {
    fn term<'a>(&self, env: Env<'a>) -> Option<Term<'a>> {
        if self.is_external {
            env.binary_to_term(self.bytes).map(|(term, _)| term)
        } else {
            Some(NewBinary::from_slice(env, self.bytes).into())
        }
    }
}
