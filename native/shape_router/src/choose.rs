//! Of all that a clause could be filed under, the most selective.
//!
//! A clause is a tree of AND and OR over conditions that an index can hold. Of an AND one part
//! suffices, of an OR all are needed; so each disjunct is filed under one of its conjuncts: the one
//! that would bring the fewest candidates, as far as the shapes that are filed now tell.

use crate::conditions::{Conditions, Wanted};
use crate::filing::{Condition, Filed};
use crate::index::{Elements, Hashed, Multimap, edges, infix_has_choice, mark, words};
use bumpalo::Bump;
use shape_expr::{Access, Json, OrderKey, Value};
use std::ops::Bound;

/// A filing is worth changing if another has a tenth of its cost, and its cost is worth a thought.
const MAGNITUDE: usize = 10;
const CHEAP: usize = 16;

/// True if a clause could be filed in more than one way.
pub(crate) fn has_choice(access: &Access<'_>) -> bool {
    match access {
        Access::And(_) | Access::JsonContains { .. } => true,
        Access::Contains { elements, .. } => elements.len() > 1,
        Access::Infix { literal, .. } => infix_has_choice(literal.as_bytes()),
        Access::Or(any) => any.iter().any(has_choice),
        _ => false,
    }
}

impl Conditions {
    /// The conditions one of which holds wherever the clause is true; `None`: there are none.
    pub fn choose<'p>(&self, access: &'p Access<'p>, arena: &'p Bump) -> Option<Vec<Wanted<'p>>> {
        let hashes = |column: &usize, kind, hashes: &mut dyn Iterator<Item = u64>| {
            let column = *column as u32;
            let ready = |hash| Wanted::Ready(Condition::Hash { column, kind, hash });
            Some(hashes.map(ready).collect())
        };
        let secret = self.secret();
        match access {
            Access::Never => Some(Vec::new()),
            Access::Equal { column, values } => {
                hashes(column, Hashed::Equal, &mut values.iter().map(|v| secret.hash(v)))
            }
            Access::IsNull { column } => hashes(column, Hashed::Null, &mut [0].into_iter()),
            Access::Contains { column, elements } if elements.is_empty() => {
                hashes(column, Hashed::AnyArray, &mut [0].into_iter())
            }
            Access::Contains { column, elements } => {
                let mut all = elements.iter().map(|v| secret.hash(v)).collect();
                Some(vec![self.rarest(*column, Elements::Array, &mut all)?])
            }
            Access::Overlaps { column, elements } => {
                let any = |v| Condition::Element {
                    column: *column as u32,
                    kind: Elements::Array,
                    also: 0,
                    hash: secret.hash(v),
                };
                Some(elements.iter().map(any).map(Wanted::Ready).collect())
            }
            Access::JsonContains { column, value } => {
                let mut all = Vec::new();
                value.leaf_hashes(&secret, &mut |hash| all.push(hash));
                Some(vec![self.rarest(*column, Elements::Leaf, &mut all)?])
            }
            Access::JsonKey { column, key } => {
                hashes(column, Hashed::Key, &mut [Json::key_hash(key, &secret)].into_iter())
            }
            Access::JsonField { column, key, values } => {
                let hash = |value: &&str| Json::field_hash(key, value, &secret);
                hashes(column, Hashed::Field, &mut values.iter().map(hash))
            }
            Access::Range { column, low, high } => range(*column, low, high, arena),
            Access::Prefix { column, prefix } => {
                Some(vec![Wanted::Prefix { column: *column as u32, prefix: prefix.as_bytes() }])
            }
            Access::InSet { columns, set } => {
                let columns = columns.iter().map(|&column| column as u32).collect();
                Some(vec![Wanted::Ready(Condition::Member { columns, set: *set })])
            }
            Access::Infix { column, literal, case_insensitive } => Some(vec![Wanted::Infix {
                column: *column as u32,
                fold: *case_insensitive,
                literal: literal.as_bytes(),
            }]),
            Access::And(all) => {
                let found = all.iter().filter_map(|access| self.choose(access, arena));
                found.min_by_key(|wanted| self.rank(wanted))
            }
            Access::Or(any) => {
                let mut wanted = Vec::new();
                for access in any {
                    wanted.extend(self.choose(access, arena)?);
                }
                Some(wanted)
            }
            _ => None,
        }
    }

    /// The element that the fewest shapes are filed under, with the mark of the next.
    fn rarest(
        &self,
        column: usize,
        kind: Elements,
        hashes: &mut Vec<u64>,
    ) -> Option<Wanted<'static>> {
        let index = self.column(column).and_then(|index| index.elements(kind));
        hashes.sort_unstable();
        hashes.dedup();
        hashes.sort_by_cached_key(|&hash| index.map_or(0, |i| i.count(hash)));
        let &hash = hashes.first()?;
        let also = hashes.get(1).map_or(0, |&hash| mark(hash));
        Some(Wanted::Ready(Condition::Element { column: column as u32, kind, also, hash }))
    }

    /// The cost; then how many conditions there are; then how few values their columns have, since a
    /// column of few values will share sooner.
    fn rank(&self, wanted: &[Wanted<'_>]) -> (usize, usize, usize) {
        let distinct = |wanted: &Wanted<'_>| {
            let Wanted::Ready(Condition::Hash { column, kind, .. }) = wanted else { return 0 };
            let index = self.column(*column as usize);
            index.and_then(|i| i.hashed(*kind)).map_or(0, Multimap::keys)
        };
        let values: usize = wanted.iter().map(distinct).sum();
        (self.cost(wanted), wanted.len(), usize::MAX - values)
    }

    fn cost(&self, wanted: &[Wanted<'_>]) -> usize {
        let cost = |wanted: &Wanted<'_>| match wanted {
            Wanted::Ready(condition) => self.cost_of(condition),
            Wanted::Prefix { column, prefix } => {
                let index = self.column(*column as usize).and_then(|i| i.prefixes());
                let shared = index.map_or(0, |i| i.count(i.place(self.secret().0, prefix)));
                shared + PREFIX
            }
            Wanted::Infix { column, fold, literal } => {
                let index = self.column(*column as usize).and_then(|i| i.infixes(*fold));
                index.map_or(0, |i| i.count(i.place(self.secret().0, literal))) + INFIX
            }
        };
        wanted.iter().map(cost).sum()
    }

    /// How many candidates a condition is likely to bring when it holds of a row, itself excluded: the
    /// shapes that share it, and what its kind is worth beside an equality that nobody shares.
    fn cost_of(&self, condition: &Condition) -> usize {
        let shared = self.count(condition);
        match condition {
            Condition::Hash { kind: Hashed::Equal | Hashed::Field, .. } => shared,
            Condition::Hash { kind: Hashed::Key, .. } => shared + KEY,
            Condition::Hash { kind: Hashed::Null | Hashed::AnyArray, .. } => shared + COMMON,
            Condition::Element { also: 0, .. } => shared,
            Condition::Element { .. } => shared / MAGNITUDE,
            Condition::Prefix { .. } => shared + PREFIX,
            Condition::Infix { .. } => shared + INFIX,
            // A value is in many sets, or one set has many rows' values.
            Condition::Member { .. } => shared + COMMON,
            // A value lies within half of the intervals that are open to one side.
            Condition::Words { low, high, .. } => match *low == 0 || *high == u64::MAX {
                true => shared / 2 + COMMON,
                false => shared / 8 + PREFIX,
            },
            Condition::Edges { edges, .. } => match edges.0.is_least() || edges.1.is_greatest() {
                true => shared / 2 + COMMON,
                false => shared / 8 + PREFIX,
            },
        }
    }

    /// True if a filing has become so much worse than what could be chosen now that it should be
    /// changed.
    pub fn is_outdated(&self, filed: &Filed, better: &[Wanted<'_>]) -> bool {
        let own = filed.conditions().len();
        let now: usize = filed.conditions().iter().map(|c| self.cost_of(c)).sum();
        now > CHEAP + own && now - own > MAGNITUDE * self.cost(better)
    }
}

const PREFIX: usize = 2;
const INFIX: usize = 3;
const KEY: usize = 4;
const COMMON: usize = 16;

fn range<'p>(
    column: usize,
    low: &Bound<Value<'p>>,
    high: &Bound<Value<'p>>,
    arena: &'p Bump,
) -> Option<Vec<Wanted<'p>>> {
    /// `None`: the value has no key.
    fn key<'p>(bound: &Bound<Value<'p>>, arena: &'p Bump) -> Option<Bound<OrderKey<'p>>> {
        Some(match bound {
            Bound::Unbounded => Bound::Unbounded,
            Bound::Included(value) => Bound::Included(value.order_key(arena)?),
            Bound::Excluded(value) => Bound::Excluded(value.order_key(arena)?),
        })
    }
    let column = column as u32;
    let (low, high) = (key(low, arena)?, key(high, arena)?);
    let (word, bytes) = (
        |key| if let OrderKey::Word(word) = key { Some(word) } else { None },
        |key| if let OrderKey::Bytes(bytes) = key { Some(bytes) } else { None },
    );
    let condition = match (transpose(low.map(word)), transpose(high.map(word))) {
        (Some(low), Some(high)) => {
            let (low, high) = words(low, high);
            Condition::Words { column, low, high }
        }
        _ => {
            let (low, high) = (transpose(low.map(bytes))?, transpose(high.map(bytes))?);
            Condition::Edges { column, edges: Box::new(edges(low, high)) }
        }
    };
    Some(vec![Wanted::Ready(condition)])
}

fn transpose<T>(bound: Bound<Option<T>>) -> Option<Bound<T>> {
    Some(match bound {
        Bound::Unbounded => Bound::Unbounded,
        Bound::Included(value) => Bound::Included(value?),
        Bound::Excluded(value) => Bound::Excluded(value?),
    })
}
