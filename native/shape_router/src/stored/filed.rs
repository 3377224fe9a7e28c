//! What a shape is filed under, as bytes.

use crate::filing::{Condition, Filed};
use crate::index::{Beginning, Edge, Elements, Gram, Hashed};
use lane_index::codec::{Bad, Input, put, put_bytes};

const HASH: u8 = 0;
const ELEMENT: u8 = 1;
const PREFIX: u8 = 2;
const WORDS: u8 = 3;
const EDGES: u8 = 4;
const INFIX: u8 = 5;
const INFIX_FOLDED: u8 = 6;
/// Is never read.
const MEMBER: u8 = 7;

pub(super) const HASHED: [Hashed; 5] =
    [Hashed::Equal, Hashed::Null, Hashed::AnyArray, Hashed::Key, Hashed::Field];

pub(super) fn put_filed(out: &mut Vec<u8>, filed: &Filed) {
    put(out, filed.conditions().len() as u64);
    for condition in filed.conditions() {
        put_condition(out, condition);
    }
}

fn put_condition(out: &mut Vec<u8>, condition: &Condition) {
    let kind = match condition {
        Condition::Hash { .. } => HASH,
        Condition::Element { .. } => ELEMENT,
        Condition::Prefix { .. } => PREFIX,
        Condition::Words { .. } => WORDS,
        Condition::Edges { .. } => EDGES,
        Condition::Infix { fold: false, .. } => INFIX,
        // Sets have other numbers in another process: shapes that use them are not stored.
        Condition::Member { .. } => MEMBER,
        Condition::Infix { fold: true, .. } => INFIX_FOLDED,
    };
    out.push(kind);
    put(out, condition.column() as u64);
    match condition {
        Condition::Hash { kind, hash, .. } => {
            out.push(*kind as u8);
            put_word(out, *hash);
        }
        Condition::Element { kind, also, hash, .. } => {
            out.push(*kind as u8);
            out.extend_from_slice(&also.to_le_bytes());
            put_word(out, *hash);
        }
        Condition::Prefix { beginning, .. } => {
            put(out, u64::from(beginning.length));
            put_word(out, beginning.hash);
        }
        Condition::Words { low, high, .. } => {
            put_word(out, *low);
            put_word(out, *high);
        }
        Condition::Edges { edges, .. } => {
            put_bytes(out, edges.0.bytes());
            put_bytes(out, edges.1.bytes());
        }
        Condition::Member { .. } => {}
        Condition::Infix { gram, .. } => {
            out.push(gram.length);
            put_word(out, gram.hash);
        }
    }
}

pub(super) fn put_word(out: &mut Vec<u8>, word: u64) {
    out.extend_from_slice(&word.to_le_bytes());
}

pub(super) fn word(input: &mut Input<'_>) -> Result<u64, Bad> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(input.take(8)?);
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn filed(input: &mut Input<'_>) -> Result<Filed, Bad> {
    let count = input.count(2)?;
    let conditions = (0..count).map(|_| condition(input)).collect::<Result<Vec<_>, _>>()?;
    Ok(Filed::new(conditions))
}

pub(super) fn column(input: &mut Input<'_>) -> Result<u32, Bad> {
    let number = input.number()?;
    // No table has more columns, and memory is taken for as many.
    match u32::try_from(number) {
        Ok(column) if column < 1 << 16 => Ok(column),
        _ => input.bad("a column that is none"),
    }
}

fn condition(input: &mut Input<'_>) -> Result<Condition, Bad> {
    let kind = input.byte()?;
    let column = column(input)?;
    Ok(match kind {
        HASH => {
            let Some(&kind) = HASHED.get(usize::from(input.byte()?)) else {
                return input.bad("a hash of no known kind");
            };
            Condition::Hash { column, kind, hash: word(input)? }
        }
        ELEMENT => {
            let kind = match input.byte()? {
                0 => Elements::Array,
                1 => Elements::Leaf,
                _ => return input.bad("elements of no known kind"),
            };
            let mut also = [0; 4];
            also.copy_from_slice(input.take(4)?);
            let also = u32::from_le_bytes(also);
            Condition::Element { column, kind, also, hash: word(input)? }
        }
        PREFIX => {
            let Ok(length) = u32::try_from(input.number()?) else {
                return input.bad("a beginning that is too long");
            };
            Condition::Prefix { column, beginning: Beginning { length, hash: word(input)? } }
        }
        WORDS => Condition::Words { column, low: word(input)?, high: word(input)? },
        EDGES => {
            let edges = (Edge::of_bytes(input.bytes()?), Edge::of_bytes(input.bytes()?));
            Condition::Edges { column, edges: Box::new(edges) }
        }
        INFIX | INFIX_FOLDED => {
            let Some(gram) = Gram::new(input.byte()?, word(input)?) else {
                return input.bad("a gram of no known length");
            };
            Condition::Infix { column, fold: kind == INFIX_FOLDED, gram }
        }
        _ => return input.bad("a condition of no known kind"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{edges, words};
    use std::ops::Bound;

    #[test]
    fn every_condition_comes_back() {
        let edges = |low, high| Box::new(edges(low, high));
        let (low, high) = words(Bound::Excluded(3), Bound::Unbounded);
        let mut conditions = vec![
            Condition::Element { column: 3, kind: Elements::Array, also: 0, hash: 7 },
            Condition::Element { column: 3, kind: Elements::Leaf, also: u32::MAX, hash: 7 },
            Condition::Prefix { column: 1, beginning: Beginning { length: 300, hash: 1 } },
            Condition::Words { column: 300, low, high },
            Condition::Edges { column: 0, edges: edges(Bound::Unbounded, Bound::Included(b"")) },
            Condition::Edges { column: 0, edges: edges(Bound::Excluded(b"abc"), Bound::Unbounded) },
        ];
        conditions.extend(HASHED.map(|kind| Condition::Hash { column: 9, kind, hash: u64::MAX }));
        for (fold, length) in [(false, 0), (true, 6)] {
            let gram = Gram::new(length, 5).expect("a length");
            conditions.push(Condition::Infix { column: 2, fold, gram });
        }
        for count in 0..=conditions.len() {
            let before = Filed::new(conditions[..count].to_vec());
            let mut bytes = Vec::new();
            put_filed(&mut bytes, &before);
            let mut input = Input::new(&bytes);
            assert_eq!(filed(&mut input), Ok(before));
            assert_eq!(input.end(), Ok(()));
            for short in 0..bytes.len() {
                assert!(filed(&mut Input::new(&bytes[..short])).is_err());
            }
        }
        assert!(Gram::new(7, 5).is_none());
        for (at, kind) in HASHED.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }
}
