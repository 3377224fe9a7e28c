//! Intervals, and which of them hold a point: a B-tree of the lower ends that knows the greatest
//! upper end below each of its branches.
//!
//! | operation | cost for n intervals |
//! |---|---|
//! | insert, remove | O(log n), nothing is ever rebuilt |
//! | which hold a point | O(log n), and O(log n) for each of them at worst: neighbours share their way |
//! | memory | an entry of 24 bytes (two words and a slot) or 40 (two edges), nodes half full at least when they were split, a quarter when entries went |

use super::Slot;
use super::edge::End;

/// Entries of a node at most. A node is read through, so that it should be a few cache lines.
const CAPACITY: usize = 32;
/// A node of fewer looks for a neighbour to be joined with.
const FEW: usize = CAPACITY / 4;
/// Joined nodes have room left, so that the next insertion does not split them again.
const JOINED: usize = CAPACITY * 3 / 4;

/// An interval with both its ends, and whose it is. In this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<E> {
    low: E,
    slot: Slot,
    high: E,
}

enum Node<E> {
    Leaf(Vec<Entry<E>>),
    Inner(Vec<Branch<E>>),
}

/// A part of the tree, with what is needed to know whether to go there.
struct Branch<E> {
    /// Its first entry.
    first: Entry<E>,
    /// The greatest high end in it.
    high: E,
    node: Box<Node<E>>,
}

/// The intervals of one column.
pub(crate) struct IntervalTree<E> {
    root: Node<E>,
    len: usize,
}

impl<E: End> Default for IntervalTree<E> {
    fn default() -> Self {
        Self { root: Node::Leaf(Vec::new()), len: 0 }
    }
}

impl<E: End> IntervalTree<E> {
    /// Files a slot under an interval; the same slot under the same interval only once.
    pub fn insert(&mut self, low: E, high: E, slot: Slot) {
        let entry = Entry { low, slot, high };
        let (added, split) = self.root.insert(entry);
        self.len += usize::from(added);
        if let Some(right) = split {
            let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
            let both = [Branch::of(left), Some(right)];
            let mut branches = Vec::with_capacity(CAPACITY + 1);
            branches.extend(both.into_iter().flatten());
            self.root = Node::Inner(branches);
        }
    }

    /// Takes a slot from an interval.
    pub fn remove(&mut self, low: &E, high: &E, slot: Slot) {
        let entry = Entry { low: low.clone(), slot, high: high.clone() };
        if self.root.remove(&entry) {
            self.len -= 1;
        }
        while let Node::Inner(branches) = &mut self.root
            && branches.len() <= 1
        {
            self.root = branches.pop().map_or_else(|| Node::Leaf(Vec::new()), |b| *b.node);
        }
    }

    /// Appends the slots whose interval holds a point.
    pub fn stab(&self, point: E::Point<'_>, out: &mut Vec<Slot>) {
        self.root.stab(point, out);
    }

    /// Appends all slots.
    pub fn all(&self, out: &mut Vec<Slot>) {
        self.root.all(out);
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// About the bytes of the tree: nodes are three quarters full on the average.
    pub fn memory_bytes(&self) -> usize {
        let branch = size_of::<Branch<E>>() + size_of::<Node<E>>();
        self.len * (size_of::<Entry<E>>() + branch / CAPACITY) * 4 / 3
    }
}

impl<E: End> Branch<E> {
    /// `None` for a node without entries.
    fn of(node: Node<E>) -> Option<Self> {
        let (first, high) = (node.first()?.clone(), node.high()?);
        Some(Self { first, high, node: Box::new(node) })
    }

    /// Looks again at what the node holds.
    fn refresh(&mut self) {
        if let (Some(first), Some(high)) = (self.node.first(), self.node.high()) {
            (self.first, self.high) = (first.clone(), high);
        }
    }
}

impl<E: End> Node<E> {
    fn first(&self) -> Option<&Entry<E>> {
        match self {
            Self::Leaf(entries) => entries.first(),
            Self::Inner(branches) => branches.first().map(|b| &b.first),
        }
    }

    fn high(&self) -> Option<E> {
        match self {
            Self::Leaf(entries) => entries.iter().map(|e| &e.high).max().cloned(),
            Self::Inner(branches) => branches.iter().map(|b| &b.high).max().cloned(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(branches) => branches.len(),
        }
    }

    /// The branch that an entry belongs to.
    fn place(branches: &[Branch<E>], entry: &Entry<E>) -> usize {
        branches.partition_point(|b| b.first <= *entry).saturating_sub(1)
    }

    /// Whether the entry is new, and what was split off to the right.
    fn insert(&mut self, entry: Entry<E>) -> (bool, Option<Branch<E>>) {
        match self {
            Self::Leaf(entries) => {
                let Err(at) = entries.binary_search(&entry) else { return (false, None) };
                if entries.capacity() == 0 {
                    entries.reserve_exact(4);
                }
                let last = at == entries.len();
                entries.insert(at, entry);
                (true, cut(entries, last).and_then(|right| Branch::of(Self::Leaf(right))))
            }
            Self::Inner(branches) => {
                let at = Self::place(branches, &entry);
                let branch = &mut branches[at];
                if entry < branch.first {
                    branch.first = entry.clone();
                }
                if entry.high > branch.high {
                    branch.high = entry.high.clone();
                }
                let (added, split) = branch.node.insert(entry);
                let Some(right) = split else { return (added, None) };
                branch.refresh();
                let last = at + 1 == branches.len();
                branches.insert(at + 1, right);
                (added, cut(branches, last).and_then(|right| Branch::of(Self::Inner(right))))
            }
        }
    }

    /// Whether the entry was there.
    fn remove(&mut self, entry: &Entry<E>) -> bool {
        match self {
            Self::Leaf(entries) => {
                let Ok(at) = entries.binary_search(entry) else { return false };
                entries.remove(at);
                if entries.capacity() > 2 * entries.len() + 8 {
                    entries.shrink_to(entries.len() + 4);
                }
                true
            }
            Self::Inner(branches) => {
                let at = Self::place(branches, entry);
                if !branches[at].node.remove(entry) {
                    return false;
                }
                match branches[at].node.len() {
                    0 => drop(branches.remove(at)),
                    left => {
                        branches[at].refresh();
                        if left < FEW {
                            join(branches, at);
                        }
                    }
                }
                true
            }
        }
    }

    fn stab(&self, point: E::Point<'_>, out: &mut Vec<Slot>) {
        match self {
            Self::Leaf(entries) => {
                for entry in entries.iter().take_while(|e| !e.low.is_after(point)) {
                    if !entry.high.is_before(point) {
                        out.push(entry.slot);
                    }
                }
            }
            Self::Inner(branches) => {
                for branch in branches.iter().take_while(|b| !b.first.low.is_after(point)) {
                    if !branch.high.is_before(point) {
                        branch.node.stab(point, out);
                    }
                }
            }
        }
    }

    fn all(&self, out: &mut Vec<Slot>) {
        match self {
            Self::Leaf(entries) => out.extend(entries.iter().map(|e| e.slot)),
            Self::Inner(branches) => branches.iter().for_each(|b| b.node.all(out)),
        }
    }
}

/// What leaves a full node. One that grows at its end is left full: keys that come in order would
/// otherwise leave every node half empty.
fn cut<T>(items: &mut Vec<T>, at_end: bool) -> Option<Vec<T>> {
    (items.len() > CAPACITY).then(|| {
        let rest = items.split_off(if at_end { CAPACITY } else { CAPACITY / 2 });
        items.shrink_to_fit();
        rest
    })
}

/// Joins a node of few entries with a neighbour that has room for them.
fn join<E: End>(branches: &mut Vec<Branch<E>>, at: usize) {
    let fits = |left: usize| {
        let [a, b] = branches.get(left..left + 2)? else { return None };
        // All leaves are equally deep.
        debug_assert!(matches!(&*a.node, Node::Leaf(_)) == matches!(&*b.node, Node::Leaf(_)));
        (a.node.len() + b.node.len() <= JOINED).then_some(left)
    };
    let Some(left) = fits(at).or_else(|| fits(at.checked_sub(1)?)) else { return };
    let right = branches.remove(left + 1);
    let into = &mut branches[left];
    match (&mut *into.node, *right.node) {
        (Node::Leaf(entries), Node::Leaf(more)) => entries.extend(more),
        (Node::Inner(inner), Node::Inner(more)) => inner.extend(more),
        (_, node) => branches.extend(Branch::of(node)),
    }
    branches[left].refresh();
}

#[cfg(test)]
mod tests {
    use super::super::edge::{Edge, edges, words};
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::ops::{Bound, RangeBounds};

    impl<E: End> Node<E> {
        /// Depth, entries, and whether every branch tells the truth.
        fn check(&self) -> (usize, usize) {
            match self {
                Self::Leaf(entries) => {
                    assert!(entries.is_sorted() && entries.len() <= CAPACITY);
                    (1, entries.len())
                }
                Self::Inner(branches) => {
                    assert!(!branches.is_empty() && branches.len() <= CAPACITY);
                    assert!(branches.is_sorted_by(|a, b| a.first < b.first));
                    let mut below = Vec::new();
                    for branch in branches {
                        below.push(branch.node.check());
                        assert!(Some(&branch.high) == branch.node.high().as_ref());
                        assert!(Some(&branch.first) == branch.node.first());
                    }
                    assert!(below.iter().all(|b| b.0 == below[0].0), "leaves are equally deep");
                    (below[0].0 + 1, below.iter().map(|b| b.1).sum())
                }
            }
        }
    }

    fn bound() -> impl Strategy<Value = Bound<u64>> {
        prop_oneof![
            Just(Bound::Unbounded),
            (0u64..12).prop_map(Bound::Included),
            (0u64..12).prop_map(Bound::Excluded)
        ]
    }

    /// The word as bytes, so that an order of other lengths than eight is met too.
    fn bytes(word: u64) -> &'static [u8] {
        const ALL: &[&[u8]] = &[
            b"",
            b"\0",
            b"\0\0",
            b"\x01",
            b"a",
            b"a\0",
            b"a\x01",
            b"ab",
            b"b",
            b"\xfe",
            b"\xff",
            b"\xff\xff",
        ];
        ALL[word as usize]
    }

    proptest! {
        /// The tree against a plain set, after many steps, for words and for bytes.
        #[test]
        fn finds_what_holds_a_point(
            ops in proptest::collection::vec((0u8..5, bound(), bound(), 0u32..30), 0..600),
        ) {
            let mut tree = IntervalTree::<u64>::default();
            let mut texts = IntervalTree::<Edge>::default();
            let mut model: BTreeSet<(usize, u32)> = BTreeSet::new();
            let bounds: Vec<_> = ops.iter().map(|op| (op.1, op.2)).collect();
            // An interval is known by the first op that has its ends.
            let first = |low: Bound<u64>, high: Bound<u64>| {
                bounds.iter().position(|b| words(b.0, b.1) == words(low, high)).unwrap_or(0)
            };
            for (kind, low, high, slot) in &ops {
                let text = |b: Bound<u64>| match b {
                    Bound::Unbounded => Bound::Unbounded,
                    Bound::Included(word) => Bound::Included(bytes(word)),
                    Bound::Excluded(word) => Bound::Excluded(bytes(word)),
                };
                let (from, to) = words(*low, *high);
                let key = (first(*low, *high), *slot);
                let (low, high) = bounds[key.0];
                let ends = edges(text(low), text(high));
                if *kind > 0 {
                    tree.insert(from, to, *slot);
                    texts.insert(ends.0, ends.1, *slot);
                    model.insert(key);
                } else if let Some(&key) = model.iter().nth(*slot as usize) {
                    let (low, high) = bounds[key.0];
                    let (from, to) = words(low, high);
                    tree.remove(&from, &to, key.1);
                    let ends = edges(text(low), text(high));
                    texts.remove(&ends.0, &ends.1, key.1);
                    model.remove(&key);
                }
            }
            prop_assert_eq!(tree.root.check().1, model.len());
            prop_assert_eq!(tree.len(), model.len());
            texts.root.check();
            for point in 0..12 {
                let holds = |&&(at, _): &&(usize, u32)| {
                    let (low, high) = bounds[at];
                    (low, high).contains(&point)
                };
                let mut expected: Vec<u32> = model.iter().filter(holds).map(|k| k.1).collect();
                let (mut found, mut found_text) = (Vec::new(), Vec::new());
                tree.stab(point, &mut found);
                texts.stab(bytes(point), &mut found_text);
                for slots in [&mut expected, &mut found, &mut found_text] {
                    slots.sort_unstable();
                }
                prop_assert_eq!(&found, &expected);
                prop_assert_eq!(&found_text, &expected);
            }
            let mut all = Vec::new();
            tree.all(&mut all);
            prop_assert_eq!(all.len(), model.len());
        }
    }

    #[test]
    fn stays_shallow_and_gives_back_what_goes() {
        let mut tree = IntervalTree::<u64>::default();
        let scattered = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        for i in 0..20_000 {
            tree.insert(scattered(i), scattered(i) + i % 100, i as u32);
        }
        let (depth, len) = tree.root.check();
        assert!(depth <= 4 && len == 20_000, "{depth} levels");
        for i in 0..19_990 {
            tree.remove(&scattered(i), &(scattered(i) + i % 100), i as u32);
        }
        let (depth, len) = tree.root.check();
        assert!(depth <= 3 && len == 10, "{depth} levels for {len}");
    }
}
