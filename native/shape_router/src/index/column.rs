//! All that is filed under conditions on one column.

use super::edge::Edge;
use super::element::{ElementIndex, Mark};
use super::infix::{Gram, InfixIndex};
use super::interval::IntervalTree;
use super::prefix::{Beginning, PrefixIndex};
use super::{Making, Multimap, Slot};
use shape_expr::{Json, OrderKey, Row, Value};
use siphasher::sip::SipHasher13;
use std::hash::{BuildHasher, Hasher};

/// What is looked up by one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hashed {
    /// The column's value.
    Equal,
    /// NULL, under hash 0.
    Null,
    /// Any array that is not NULL, under hash 0.
    AnyArray,
    /// A key or string of a document.
    Key,
    /// A field of a document, with its text.
    Field,
}

const HASHED: usize = 5;

/// What is looked up by the hashes of a row's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Elements {
    /// Of an array.
    Array,
    /// The leaves of a document.
    Leaf,
}

/// The secret that values are hashed with: clients choose the values, and must not choose collisions.
#[derive(Clone, Copy)]
pub(crate) struct Secret(pub (u64, u64));

impl BuildHasher for Secret {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0.0, self.0.1)
    }
}

impl Secret {
    /// The keyed hash of a value that can be equal to something.
    pub fn hash(&self, value: &Value<'_>) -> u64 {
        let mut hasher = self.build_hasher();
        value.hash_equality(&mut hasher);
        hasher.finish()
    }
}

/// The indexes of one column; those in which nothing is filed are empty.
#[derive(Default)]
pub(crate) struct ColumnIndex {
    hashed: [Option<Multimap>; HASHED],
    elements: [Option<ElementIndex>; 2],
    prefixes: Option<PrefixIndex>,
    words: Option<IntervalTree<u64>>,
    edges: Option<IntervalTree<Edge>>,
    edge_bytes: usize,
    infixes: [Option<InfixIndex>; 2],
    /// How many conditions are filed.
    filed: usize,
}

/// Lets go of an index in which nothing is left.
fn tidy<I>(index: &mut Option<I>, is_empty: impl FnOnce(&I) -> bool) {
    if index.as_ref().is_some_and(is_empty) {
        *index = None;
    }
}

impl ColumnIndex {
    pub fn is_empty(&self) -> bool {
        self.filed == 0
    }

    pub fn hashed(&self, kind: Hashed) -> Option<&Multimap> {
        self.hashed[kind as usize].as_ref()
    }
    pub fn elements(&self, kind: Elements) -> Option<&ElementIndex> {
        self.elements[kind as usize].as_ref()
    }
    pub fn prefixes(&self) -> Option<&PrefixIndex> {
        self.prefixes.as_ref()
    }
    pub fn infixes(&self, fold: bool) -> Option<&InfixIndex> {
        self.infixes[usize::from(fold)].as_ref()
    }

    /// How many intervals there are.
    pub fn intervals(&self) -> usize {
        let words = self.words.as_ref().map_or(0, IntervalTree::len);
        words + self.edges.as_ref().map_or(0, IntervalTree::len)
    }

    /// Puts an index of hashes in place that was stored.
    pub fn adopt_hashes(&mut self, kind: Hashed, index: Multimap) {
        self.filed += index.entries();
        self.hashed[kind as usize] = Some(index);
    }

    /// Puts an index of beginnings in place that was stored.
    pub fn adopt_prefixes(&mut self, index: PrefixIndex) {
        self.filed += index.lengths().iter().map(|length| length.1 as usize).sum::<usize>();
        self.prefixes = Some(index);
    }

    /// Puts an index of literals in place that was stored.
    pub fn adopt_infixes(&mut self, fold: bool, index: InfixIndex) {
        self.filed += index.lengths().iter().map(|filed| *filed as usize).sum::<usize>();
        self.infixes[usize::from(fold)] = Some(index);
    }

    pub fn insert_hash(&mut self, kind: Hashed, hash: u64, slot: Slot, making: Option<Making>) {
        self.filed += 1;
        let index = &mut self.hashed[kind as usize];
        let new = || making.map_or_else(Multimap::loading, Multimap::new);
        index.get_or_insert_with(new).insert(hash, slot);
    }

    pub fn remove_hash(&mut self, kind: Hashed, hash: u64, slot: Slot) {
        let Some(index) = &mut self.hashed[kind as usize] else { return };
        self.filed -= 1;
        index.remove(hash, slot);
        tidy(&mut self.hashed[kind as usize], |i| i.keys() == 0);
    }

    pub fn insert_element(&mut self, kind: Elements, hash: u64, also: Mark, slot: Slot) {
        self.filed += 1;
        self.elements[kind as usize].get_or_insert_default().insert(hash, also, slot);
    }

    pub fn remove_element(&mut self, kind: Elements, hash: u64, also: Mark, slot: Slot) {
        let Some(index) = &mut self.elements[kind as usize] else { return };
        self.filed -= 1;
        index.remove(hash, also, slot);
        tidy(&mut self.elements[kind as usize], |i| i.keys() == 0);
    }

    pub fn insert_prefix(
        &mut self,
        secret: Secret,
        prefix: &[u8],
        slot: Slot,
        making: Making,
    ) -> Beginning {
        self.filed += 1;
        let index = self.prefixes.get_or_insert_with(|| PrefixIndex::new(making));
        let beginning = index.place(secret.0, prefix);
        index.insert(beginning, slot);
        beginning
    }

    pub fn remove_prefix(&mut self, beginning: Beginning, slot: Slot) {
        let Some(index) = &mut self.prefixes else { return };
        self.filed -= 1;
        index.remove(beginning, slot);
        tidy(&mut self.prefixes, |i| i.keys() == 0);
    }

    pub fn insert_words(&mut self, low: u64, high: u64, slot: Slot) {
        self.filed += 1;
        self.words.get_or_insert_default().insert(low, high, slot);
    }

    pub fn remove_words(&mut self, low: u64, high: u64, slot: Slot) {
        let Some(tree) = &mut self.words else { return };
        self.filed -= 1;
        tree.remove(&low, &high, slot);
        tidy(&mut self.words, |t| t.len() == 0);
    }

    pub fn insert_edges(&mut self, edges: &(Edge, Edge), slot: Slot) {
        self.filed += 1;
        self.edge_bytes += edges.0.heap_bytes() + edges.1.heap_bytes();
        let tree = self.edges.get_or_insert_default();
        tree.insert(edges.0.clone(), edges.1.clone(), slot);
    }

    pub fn remove_edges(&mut self, edges: &(Edge, Edge), slot: Slot) {
        let Some(tree) = &mut self.edges else { return };
        self.filed -= 1;
        self.edge_bytes -= edges.0.heap_bytes() + edges.1.heap_bytes();
        tree.remove(&edges.0, &edges.1, slot);
        tidy(&mut self.edges, |t| t.len() == 0);
    }

    pub fn insert_infix(
        &mut self,
        secret: Secret,
        fold: bool,
        literal: &[u8],
        slot: Slot,
        making: Making,
    ) -> Gram {
        self.filed += 1;
        let index = &mut self.infixes[usize::from(fold)];
        let index = index.get_or_insert_with(|| InfixIndex::new(making));
        let gram = index.place(secret.0, literal);
        index.insert(gram, slot);
        gram
    }

    pub fn remove_infix(&mut self, fold: bool, gram: Gram, slot: Slot) {
        let index = &mut self.infixes[usize::from(fold)];
        let Some(filed) = index else { return };
        self.filed -= 1;
        filed.remove(gram, slot);
        tidy(index, InfixIndex::is_empty);
    }

    /// The index of values, if nothing is filed but in it.
    #[inline]
    pub fn only_equal(&self) -> Option<&Multimap> {
        self.hashed(Hashed::Equal).filter(|index| index.entries() == self.filed)
    }

    /// Appends the slots filed under a condition that a row's column satisfies; where its value is
    /// unknown or unreadable, all. How much work that was, in units of the budget.
    pub fn look_up(
        &self,
        secret: Secret,
        row: &Row<'_>,
        column: usize,
        out: &mut Vec<Slot>,
    ) -> u64 {
        match row.value(column) {
            Ok(Value::Null) => {
                if let Some(index) = self.hashed(Hashed::Null) {
                    index.get(0, out);
                }
                1
            }
            Ok(Value::Unknown) | Err(_) => {
                let before = out.len();
                self.all(out);
                (out.len() - before) as u64 / 32
            }
            Ok(value) => {
                if let Some(index) = self.hashed(Hashed::Equal) {
                    index.get(secret.hash(&value), out);
                }
                // Most columns have nothing else.
                match self.only_equal() {
                    Some(_) => 1,
                    None => 1 + self.look_up_others(secret, row, &value, out),
                }
            }
        }
    }

    /// About how many units of the budget it takes to seek literals in a row's text.
    pub fn infix_units(&self, row: &Row<'_>, column: usize) -> u64 {
        let Ok(Value::Text(text) | Value::Bpchar(text)) = row.value(column) else { return 0 };
        self.infixes.iter().flatten().map(|index| index.steps(text.len()) as u64).sum()
    }

    fn look_up_others<'a>(
        &self,
        secret: Secret,
        row: &Row<'a>,
        value: &Value<'a>,
        out: &mut Vec<Slot>,
    ) -> u64 {
        let arena = row.arena();
        let mut units = 0;
        if self.words.is_some() || self.edges.is_some() {
            match (value.order_key(arena), &self.words, &self.edges) {
                (Some(OrderKey::Word(point)), Some(words), None) => words.stab(point, out),
                (Some(OrderKey::Bytes(point)), None, Some(edges)) => edges.stab(point, out),
                (_, words, edges) => {
                    words.iter().for_each(|t| t.all(out));
                    edges.iter().for_each(|t| t.all(out));
                }
            }
            units += 10;
        }
        if let Value::Text(text) | Value::Bpchar(text) = *value {
            if let Some(index) = &self.prefixes {
                index.get(secret.0, text.as_bytes(), out);
                units += index.steps(text.len()) as u64;
            }
            if let Some(index) = self.infixes(false) {
                index.get(secret.0, text.as_bytes(), arena, out);
                units += index.steps(text.len()) as u64;
            }
            if let Some(index) = self.infixes(true) {
                let lower = lower_case(text, arena);
                index.get(secret.0, lower.as_bytes(), arena, out);
                units += index.steps(text.len()) as u64;
            }
        } else {
            self.prefixes.iter().for_each(|i| i.all(out));
            self.infixes.iter().flatten().for_each(|i| i.all(out));
        }
        match value {
            Value::Array(array) => {
                if let Some(index) = self.hashed(Hashed::AnyArray) {
                    index.get(0, out);
                }
                if let Some(index) = self.elements(Elements::Array) {
                    let mut hashes =
                        bumpalo::collections::Vec::with_capacity_in(array.len(), arena);
                    let elements = array.iter().filter(|item| !item.is_null());
                    hashes.extend(elements.map(|item| secret.hash(&item)));
                    index.get(&mut hashes, out);
                    units += 3 * hashes.len() as u64;
                }
            }
            Value::Json(json) => units += self.look_up_json(secret, *json, arena, out),
            _ => {
                let kinds = [Hashed::AnyArray, Hashed::Key, Hashed::Field];
                kinds.into_iter().filter_map(|k| self.hashed(k)).for_each(|i| i.all(out));
                self.elements.iter().flatten().for_each(|i| i.all(out));
            }
        }
        units
    }

    fn look_up_json(
        &self,
        secret: Secret,
        json: Json<'_>,
        arena: &bumpalo::Bump,
        out: &mut Vec<Slot>,
    ) -> u64 {
        let mut hashes = bumpalo::collections::Vec::new_in(arena);
        let mut units = 0;
        if let Some(index) = self.elements(Elements::Leaf) {
            json.leaf_hashes(&secret, &mut |hash| hashes.push(hash));
            index.get(&mut hashes, out);
            units += 3 * hashes.len() as u64;
        }
        if let Some(index) = self.hashed(Hashed::Key) {
            hashes.clear();
            json.key_hashes(&secret, &mut |hash| hashes.push(hash));
            units += 3 * hashes.len() as u64;
            get_each(index, &mut hashes, out);
        }
        if let Some(index) = self.hashed(Hashed::Field) {
            hashes.clear();
            json.field_hashes(&secret, &mut |hash| hashes.push(hash));
            units += 3 * hashes.len() as u64;
            get_each(index, &mut hashes, out);
        }
        units
    }

    /// Appends all slots; one that is filed twice comes twice.
    fn all(&self, out: &mut Vec<Slot>) {
        self.hashed.iter().flatten().for_each(|i| i.all(out));
        self.elements.iter().flatten().for_each(|i| i.all(out));
        self.prefixes.iter().for_each(|i| i.all(out));
        self.words.iter().for_each(|i| i.all(out));
        self.edges.iter().for_each(|i| i.all(out));
        self.infixes.iter().flatten().for_each(|i| i.all(out));
    }

    /// What is looked up by hashes.
    pub fn multimaps(&self) -> impl Iterator<Item = &Multimap> {
        let prefixes = self.prefixes.as_ref().map(PrefixIndex::hashes);
        let infixes = self.infixes.iter().flatten().map(InfixIndex::hashes);
        self.hashed.iter().flatten().chain(prefixes).chain(infixes)
    }
    pub fn multimaps_mut(&mut self) -> impl Iterator<Item = &mut Multimap> {
        let prefixes = self.prefixes.as_mut().map(PrefixIndex::hashes_mut);
        let infixes = self.infixes.iter_mut().flatten().map(InfixIndex::hashes_mut);
        self.hashed.iter_mut().flatten().chain(prefixes).chain(infixes)
    }

    pub fn memory_bytes(&self) -> usize {
        let sum = |sizes: &mut dyn Iterator<Item = usize>| sizes.sum::<usize>();
        size_of::<Self>()
            + self.edge_bytes
            + sum(&mut self.hashed.iter().flatten().map(Multimap::memory_bytes))
            + sum(&mut self.elements.iter().flatten().map(ElementIndex::memory_bytes))
            + sum(&mut self.prefixes.iter().map(PrefixIndex::memory_bytes))
            + sum(&mut self.words.iter().map(IntervalTree::memory_bytes))
            + sum(&mut self.edges.iter().map(IntervalTree::memory_bytes))
            + sum(&mut self.infixes.iter().flatten().map(InfixIndex::memory_bytes))
    }
}

/// A document may have one key or field in many places; its slots are wanted once.
fn get_each(index: &Multimap, hashes: &mut bumpalo::collections::Vec<u64>, out: &mut Vec<Slot>) {
    hashes.sort_unstable();
    hashes.dedup();
    index.get_each(hashes, out);
}

/// [`shape_expr::lower_case`], in the arena.
fn lower_case<'a>(text: &'a str, arena: &'a bumpalo::Bump) -> &'a str {
    if text.is_ascii() {
        if !text.bytes().any(|b| b.is_ascii_uppercase()) {
            return text;
        }
        let lower = arena.alloc_str(text);
        lower.make_ascii_lowercase();
        return lower;
    }
    match shape_expr::lower_case(text) {
        std::borrow::Cow::Borrowed(same) => same,
        std::borrow::Cow::Owned(lower) => arena.alloc_str(&lower),
    }
}
