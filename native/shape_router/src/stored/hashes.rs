//! An index of hashes: where it belongs, its figures, its short list, and of a large one the segment.

use super::file::{Kind, Reader, Writer};
use super::filed::{HASHED, column, put_word, word};
use crate::conditions::Conditions;
use crate::index::{Hashed, InfixIndex, Making, Multimap, Parts, PrefixIndex, Slot};
use crate::membership::Base;
use lane_index::codec::{Bad, Input, put};
use lane_index::storage::Storage;
use lane_index::{Error, OpenOptions, Segment, SegmentMeta};

/// Where an index belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The membership: what is said of keys.
    Said(usize),
    Hashed(u32, Hashed),
    /// With the lengths that are in use.
    Prefixes(u32, Vec<(u32, u32)>),
    /// With how many literals have grams of each length.
    Infixes(u32, bool, [u32; 7]),
}

const SAID: u8 = 0;
const HASHES: u8 = 8;
const PREFIXES: u8 = 16;
const INFIXES: u8 = 17;
const INFIXES_FOLDED: u8 = 18;

impl Place {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Said(held) => out.push(SAID + *held as u8),
            Self::Hashed(column, kind) => {
                out.push(HASHES + *kind as u8);
                put(out, u64::from(*column));
            }
            Self::Prefixes(column, lengths) => {
                out.push(PREFIXES);
                put(out, u64::from(*column));
                put(out, lengths.len() as u64);
                for (length, filed) in lengths {
                    put(out, u64::from(*length));
                    put(out, u64::from(*filed));
                }
            }
            Self::Infixes(column, fold, lengths) => {
                out.push(if *fold { INFIXES_FOLDED } else { INFIXES });
                put(out, u64::from(*column));
                lengths.iter().for_each(|filed| put(out, u64::from(*filed)));
            }
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Bad> {
        let code = input.byte()?;
        Ok(match code {
            0..3 => Self::Said(usize::from(code - SAID)),
            HASHES..13 => Self::Hashed(column(input)?, HASHED[usize::from(code - HASHES)]),
            PREFIXES => {
                let column = column(input)?;
                let count = input.count(2)?;
                let mut lengths = Vec::with_capacity(count);
                for _ in 0..count {
                    lengths.push((small(input)?, small(input)?));
                }
                if !lengths.is_sorted_by(|one, next| one.0 < next.0) {
                    return input.bad("lengths out of order");
                }
                Self::Prefixes(column, lengths)
            }
            INFIXES | INFIXES_FOLDED => {
                let column = column(input)?;
                let mut lengths = [0; 7];
                for filed in &mut lengths {
                    *filed = small(input)?;
                }
                Self::Infixes(column, code == INFIXES_FOLDED, lengths)
            }
            _ => return input.bad("an index of no known place"),
        })
    }
}

fn small(input: &mut Input<'_>) -> Result<u32, Bad> {
    u32::try_from(input.number()?).or_else(|_| input.bad("a number of more than 32 bits"))
}

fn size(input: &mut Input<'_>) -> Result<usize, Bad> {
    usize::try_from(input.number()?).or_else(|_| input.bad("a number of more than a word"))
}

/// Writes all indexes of hashes, as long as `go_on` says nothing against it.
pub(super) fn write(
    to: &mut Writer,
    conditions: &Conditions,
    base: &Base,
    go_on: &dyn Fn() -> Result<(), Error>,
) -> Result<(), Error> {
    let mut each = |place: Place, index: &Multimap| {
        go_on()?;
        if index.is_empty() { Ok(()) } else { write_one(to, &place, index) }
    };
    for (held, index) in base.multimaps().enumerate() {
        each(Place::Said(held), index)?;
    }
    for (column, index) in conditions.columns() {
        let column = column as u32;
        for kind in HASHED {
            if let Some(index) = index.hashed(kind) {
                each(Place::Hashed(column, kind), index)?;
            }
        }
        if let Some(prefixes) = index.prefixes() {
            each(Place::Prefixes(column, prefixes.lengths().to_vec()), prefixes.hashes())?;
        }
        for fold in [false, true] {
            if let Some(infixes) = index.infixes(fold) {
                each(Place::Infixes(column, fold, *infixes.lengths()), infixes.hashes())?;
            }
        }
    }
    Ok(())
}

fn write_one(to: &mut Writer, place: &Place, index: &Multimap) -> Result<(), Error> {
    let mut out = Vec::new();
    place.put(&mut out);
    put(&mut out, index.keys() as u64);
    put(&mut out, index.entries() as u64);
    put(&mut out, index.small().len() as u64);
    for (hash, slot) in index.small() {
        put_word(&mut out, *hash);
        put(&mut out, u64::from(*slot));
    }
    let long = index.long();
    put(&mut out, long.len() as u64);
    for (hash, count) in long {
        put_word(&mut out, hash);
        put(&mut out, u64::from(count));
    }
    let with_segment = |meta: &SegmentMeta, bytes: &[u8]| {
        let mut out = out.clone();
        out.push(1);
        put(&mut out, u64::from(meta.level));
        for count in [meta.keys, meta.adds, meta.removes, meta.bytes] {
            put(&mut out, count);
        }
        put_word(&mut out, meta.checksum);
        to.block(Kind::Hashes, 1, &out)?;
        to.segment(bytes)
    };
    let exported = match index.lanes() {
        Some(lanes) => lanes.export(with_segment)?,
        None => None,
    };
    match exported {
        Some(written) => written,
        None => {
            out.push(0);
            to.block(Kind::Hashes, 1, &out)
        }
    }
}

/// A multimap that was read.
pub(super) struct Read {
    place: Place,
    index: Multimap,
}

/// What a block says of an index, before its segment is opened.
pub(super) struct Described {
    place: Place,
    parts: Parts,
    meta: Option<SegmentMeta>,
}

/// Reads a block.
pub(super) fn describe(payload: &[u8], path: &str) -> Result<Described, Bad> {
    let mut input = Input::new(payload);
    let place = Place::read(&mut input)?;
    let (keys, entries) = (size(&mut input)?, size(&mut input)?);
    let count = input.count(9)?;
    let mut list: Vec<(u64, Slot)> = Vec::with_capacity(count);
    for _ in 0..count {
        list.push((word(&mut input)?, small(&mut input)?));
    }
    if !list.is_sorted_by(|one, next| one < next) {
        return input.bad("a list out of order");
    }
    let count = input.count(9)?;
    let mut long = Vec::with_capacity(count);
    for _ in 0..count {
        long.push((word(&mut input)?, small(&mut input)?));
    }
    let meta = match input.byte()? {
        0 => None,
        _ => Some(SegmentMeta {
            name: path.to_owned(),
            level: small(&mut input)?,
            keys: input.number()?,
            adds: input.number()?,
            removes: input.number()?,
            bytes: input.number()?,
            checksum: word(&mut input)?,
        }),
    };
    input.end()?;
    let parts = Parts { keys, entries, small: list, long, segment: None };
    Ok(Described { place, parts, meta })
}

/// Opens the segment behind the block that was read last, if there is one.
pub(super) fn open(
    described: Described,
    from: &mut Reader,
    storage: &dyn Storage,
    mmap: bool,
    making: Making,
) -> Result<Read, Error> {
    let Described { place, mut parts, meta } = described;
    if let Some(meta) = meta {
        let at = from.segment(meta.bytes)?;
        let segment = Segment::open_within(storage, at, &meta, OpenOptions { mmap })?;
        parts.segment = Some(segment);
    }
    Ok(Read { place, index: Multimap::of_parts(making, parts)? })
}

/// Puts indexes where they belong.
pub(super) fn adopt(read: Vec<Read>, conditions: &mut Conditions, making: Making) -> Base {
    let mut said = [(); 3].map(|()| Multimap::new(making));
    for Read { place, index } in read {
        match place {
            Place::Said(held) => said[held] = index,
            Place::Hashed(column, kind) => conditions.adopt_hashes(column as usize, kind, index),
            Place::Prefixes(column, lengths) => {
                conditions.adopt_prefixes(column as usize, PrefixIndex::stored(index, lengths));
            }
            Place::Infixes(column, fold, lengths) => {
                let index = InfixIndex::stored(index, lengths);
                conditions.adopt_infixes(column as usize, fold, index);
            }
        }
    }
    Base::stored(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_comes_back() {
        let mut places: Vec<Place> = (0..3).map(Place::Said).collect();
        places.extend(HASHED.map(|kind| Place::Hashed(300, kind)));
        places.push(Place::Prefixes(1, Vec::new()));
        places.push(Place::Prefixes(1, vec![(0, 5), (300, 1)]));
        places.extend([false, true].map(|fold| Place::Infixes(2, fold, [0, 1, 2, 3, 4, 5, 600])));
        for place in places {
            let mut bytes = Vec::new();
            place.put(&mut bytes);
            let mut input = Input::new(&bytes);
            assert_eq!(Place::read(&mut input), Ok(place));
            assert_eq!(input.end(), Ok(()));
        }
        for code in [3, 7, 13, 15, 19, 255] {
            assert!(Place::read(&mut Input::new(&[code, 0, 0, 0, 0, 0, 0, 0, 0])).is_err());
        }
    }
}
