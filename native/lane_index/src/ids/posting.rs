//! A posting: what one key has in one segment, the ids it adds and the ids it removes.
//!
//! Encoded: `varint(2 * number of adds + has removes)`, then, where it has removes,
//! `varint(bytes of the removes)` and `varint(number of removes) body`, then the body of the adds.
//! A body is nothing for no ids, varints (the first id, then each step less one) for up to
//! [`DELTA_MAX`] ids, and `varint(bytes)` with a serialised Roaring bitmap for more. The removes
//! come first so that the adds of the usual posting, which has none, are found at once.

use super::roaring_view::RoaringIds;
use super::{DELTA_MAX, varint};

/// What one key has in one segment: ids that it adds, and ids that it hides in older entries.
#[derive(Debug, Clone, Copy)]
pub struct Posting<'a>(Repr<'a>);

#[derive(Debug, Clone, Copy)]
enum Repr<'a> {
    /// One added id and nothing else, kept where the fingerprint is.
    One(u32),
    Encoded(&'a [u8]),
}

impl<'a> Posting<'a> {
    pub(crate) fn one(id: u32) -> Self {
        Posting(Repr::One(id))
    }

    /// A posting whose encoding `bytes` begin with.
    pub(crate) fn encoded(bytes: &'a [u8]) -> Self {
        Posting(Repr::Encoded(bytes))
    }

    /// The id of a posting that adds one id and removes none, which is how most are: a way past
    /// the iterators. `None` says nothing.
    #[inline(always)]
    pub fn single(&self) -> Option<u32> {
        match self.0 {
            Repr::One(id) => Some(id),
            Repr::Encoded(_) => None,
        }
    }

    /// The ids that the key adds, ascending.
    #[inline]
    pub fn adds(&self) -> Ids<'a> {
        match self.0 {
            Repr::One(id) => Ids(State::One(id)),
            Repr::Encoded(bytes) => decode_adds(bytes).unwrap_or(Ids(State::Empty)),
        }
    }

    /// The ids that the key hides in older entries, ascending.
    #[inline]
    pub fn removes(&self) -> Ids<'a> {
        match self.0 {
            Repr::One(_) => Ids(State::Empty),
            Repr::Encoded(bytes) => decode_removes(bytes).unwrap_or(Ids(State::Empty)),
        }
    }

    /// Whether the key hides any id, without reading them.
    #[inline]
    pub fn has_removes(&self) -> bool {
        match self.0 {
            Repr::One(_) => false,
            Repr::Encoded(bytes) => varint::read(&mut { bytes }).is_some_and(|head| head & 1 == 1),
        }
    }
}

#[inline(never)]
fn decode_adds(mut bytes: &[u8]) -> Option<Ids<'_>> {
    let head = varint::read(&mut bytes)?;
    if head & 1 == 1 {
        let skip = usize::try_from(varint::read(&mut bytes)?).ok()?;
        bytes = bytes.get(skip..)?;
    }
    decode_body(head >> 1, bytes)
}

fn decode_removes(mut bytes: &[u8]) -> Option<Ids<'_>> {
    if varint::read(&mut bytes)? & 1 == 0 {
        return Some(Ids(State::Empty));
    }
    let length = usize::try_from(varint::read(&mut bytes)?).ok()?;
    let mut removes = bytes.get(..length)?;
    let count = varint::read(&mut removes)?;
    decode_body(count, removes)
}

fn decode_body(count: u64, mut bytes: &[u8]) -> Option<Ids<'_>> {
    if count == 0 {
        return Some(Ids(State::Empty));
    }
    if count <= DELTA_MAX as u64 {
        return Some(Ids(State::Delta { bytes, left: count as u32, floor: 0 }));
    }
    let length = usize::try_from(varint::read(&mut bytes)?).ok()?;
    let view = RoaringIds::new(bytes.get(..length)?)?;
    Some(Ids(State::Roaring { view, left: count }))
}

/// An iterator over the ids of a list, ascending. It allocates nothing.
#[derive(Debug, Clone)]
pub struct Ids<'a>(State<'a>);

#[derive(Debug, Clone)]
enum State<'a> {
    Empty,
    One(u32),
    /// `floor` is the least value that the next id can have.
    Delta {
        bytes: &'a [u8],
        left: u32,
        floor: u64,
    },
    Roaring {
        view: RoaringIds<'a>,
        left: u64,
    },
}

impl Iterator for Ids<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        match &mut self.0 {
            State::Empty => None,
            State::One(id) => {
                let id = *id;
                self.0 = State::Empty;
                Some(id)
            }
            State::Delta { bytes, left, floor } => {
                *left = left.checked_sub(1)?;
                let id = varint::read(bytes)
                    .and_then(|step| floor.checked_add(step))
                    .and_then(|id| u32::try_from(id).ok());
                match id {
                    Some(id) => *floor = u64::from(id) + 1,
                    None => *left = 0,
                }
                id
            }
            State::Roaring { view, left } => {
                *left = left.saturating_sub(1);
                view.next()
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            State::Empty => 0,
            State::One(_) => 1,
            State::Delta { left, .. } => *left as usize,
            State::Roaring { left, .. } => *left as usize,
        };
        // Bytes that were not written by this module may hold fewer ids than they announce.
        (0, Some(left))
    }
}

impl Ids<'_> {
    /// Whether `id` is in the list. A long one is not read one by one.
    pub fn contains(self, id: u32) -> bool {
        match self.0 {
            State::Roaring { view, .. } => view.contains(id),
            _ => self.take_while(|other| *other <= id).last() == Some(id),
        }
    }

    /// How many ids the list announces.
    pub fn announced(&self) -> usize {
        self.size_hint().1.unwrap_or(0)
    }
}

/// Whether `ids` ascend, each once.
pub(crate) fn is_ascending(ids: &[u32]) -> bool {
    ids.windows(2).all(|pair| pair[0] < pair[1])
}

/// Appends the encoding of a posting; both lists ascend.
pub(crate) fn encode_posting(adds: &[u32], removes: &[u32], out: &mut Vec<u8>) {
    varint::write(adds.len() as u64 * 2 + u64::from(!removes.is_empty()), out);
    if !removes.is_empty() {
        let mut list = Vec::new();
        varint::write(removes.len() as u64, &mut list);
        encode_body(removes, &mut list);
        varint::write(list.len() as u64, out);
        out.extend_from_slice(&list);
    }
    encode_body(adds, out);
}

fn encode_body(ids: &[u32], out: &mut Vec<u8>) {
    if ids.len() > DELTA_MAX {
        let mut bitmap: roaring::RoaringBitmap = ids.iter().copied().collect();
        bitmap.optimize();
        varint::write(bitmap.serialized_size() as u64, out);
        // A vector accepts all that is written to it.
        let written = bitmap.serialize_into(&mut *out);
        debug_assert!(written.is_ok());
        return;
    }
    let mut floor = 0u64;
    for &id in ids {
        varint::write(u64::from(id) - floor, out);
        floor = u64::from(id) + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn round_trip(adds: &[u32], removes: &[u32]) {
        let mut bytes = vec![];
        encode_posting(adds, removes, &mut bytes);
        // What follows in a pool must not matter.
        bytes.extend_from_slice(&[0xff; 9]);
        let posting = Posting::encoded(&bytes);
        assert_eq!(posting.adds().collect::<Vec<_>>(), adds);
        assert_eq!(posting.removes().collect::<Vec<_>>(), removes);
        assert_eq!(posting.has_removes(), !removes.is_empty());
        assert_eq!(posting.adds().announced(), adds.len());
    }

    #[test]
    fn lists_at_the_boundary_of_the_bitmap_form() {
        for count in [DELTA_MAX - 1, DELTA_MAX, DELTA_MAX + 1, 70_000] {
            let dense: Vec<u32> = (5..5 + count as u32).collect();
            let sparse: Vec<u32> = (0..count as u32).map(|i| i * 61_001).collect();
            let top: Vec<u32> = (0..count as u32).rev().map(|i| u32::MAX - i * 3).collect();
            // Half of the values of a container: neither an array nor runs.
            let half: Vec<u32> = (0..count as u32).map(|i| 65_536 + i * 2).collect();
            round_trip(&dense, &[]);
            round_trip(&sparse, &dense);
            round_trip(&[], &top);
            round_trip(&half, &sparse);
            round_trip(&top, &[u32::MAX]);
        }
    }

    #[test]
    fn the_ends_of_the_id_range() {
        round_trip(&[0], &[u32::MAX]);
        round_trip(&[0, u32::MAX], &[0, 1, u32::MAX - 1, u32::MAX]);
        round_trip(&[], &[0]);
        round_trip(&[1, 2], &[]);
    }

    fn ids(max: usize) -> impl Strategy<Value = Vec<u32>> {
        let spread = prop_oneof![Just(u32::MAX), Just(100_000), Just(9_000)];
        (proptest::collection::vec(any::<u32>(), 0..max), spread).prop_map(|(ids, top)| {
            ids.into_iter().map(|id| id % top).collect::<BTreeSet<_>>().into_iter().collect()
        })
    }

    #[test]
    fn a_list_of_any_form_knows_what_it_contains() {
        let dense: Vec<u32> = (0..200_000).filter(|id| id % 3 != 0).collect();
        let runs: Vec<u32> = (0..300_000).filter(|id| id % 1000 < 900).collect();
        let sparse: Vec<u32> = (0..9_000).map(|n| n * 7_001).collect();
        let short: Vec<u32> = (0..300).map(|n| n * n).collect();
        for list in [vec![], vec![5], short, sparse, dense, runs] {
            let mut bytes = vec![];
            encode_posting(&list, &[], &mut bytes);
            let ids = Posting::encoded(&bytes).adds();
            let near = list.iter().step_by(97).flat_map(|id| [id.saturating_sub(1), *id, id + 1]);
            for id in near.chain([0, 65_535, 65_536, u32::MAX]) {
                assert_eq!(ids.clone().contains(id), list.binary_search(&id).is_ok(), "{id}");
            }
            let mut read = ids.clone();
            read.by_ref().take(list.len() / 2).for_each(drop);
            if let Some(last) = list.last() {
                assert!(read.clone().contains(*last) || list.len() / 2 == list.len());
                assert!(list.len() < 2 || !read.contains(list[0]), "what was read is gone");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(adds in ids(40), removes in ids(40)) {
            round_trip(&adds, &removes);
        }

        #[test]
        fn long_lists_too(adds in ids(9_000), removes in ids(9_000)) {
            round_trip(&adds, &removes);
        }

        #[test]
        fn garbage_ends_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let posting = Posting::encoded(&bytes);
            prop_assert!(posting.adds().take(100_000).count() <= 100_000);
            prop_assert!(posting.removes().take(100_000).count() <= 100_000);
        }

        #[test]
        fn a_garbled_bitmap_ends_without_a_panic(at in 0usize..600, byte in any::<u8>()) {
            let ids: Vec<u32> = (0..6_000).map(|i| i * 40 + i % 3).collect();
            let mut bytes = vec![];
            encode_posting(&ids, &[], &mut bytes);
            let at = at % bytes.len();
            bytes[at] = byte;
            prop_assert!(Posting::encoded(&bytes).adds().count() <= 1 << 24);
        }
    }
}
