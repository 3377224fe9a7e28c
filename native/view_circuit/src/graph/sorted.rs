//! [`Sorted`]: rows in an order, found by their place in it: a treap that knows the size of each of its
//! parts. Everything costs the logarithm of the number of rows.

use std::cmp::Ordering;
use std::ops::Range;

use crate::row::Row;

/// No node.
const NONE: u32 = u32::MAX;

struct TreeNode {
    row: Row,
    /// Greater than those below: chance keeps the tree flat.
    priority: u32,
    /// How many nodes there are from here down.
    size: u32,
    left: u32,
    right: u32,
}

pub(super) struct Sorted {
    nodes: Vec<Option<TreeNode>>,
    free: Vec<u32>,
    root: u32,
    /// The state of the generator of priorities.
    state: u64,
}

impl Default for Sorted {
    fn default() -> Sorted {
        Sorted { nodes: Vec::new(), free: Vec::new(), root: NONE, state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl Sorted {
    pub fn len(&self) -> usize {
        self.size(self.root) as usize
    }

    /// How many rows come before this one.
    pub fn rank(&self, row: &Row, compare: &impl Fn(&Row, &Row) -> Ordering) -> usize {
        let (mut at, mut before) = (self.root, 0);
        while let Some(node) = self.node(at) {
            if compare(&node.row, row).is_lt() {
                before += 1 + self.size(node.left) as usize;
                at = node.right;
            } else {
                at = node.left;
            }
        }
        before
    }

    /// The rows at these places.
    pub fn range(&self, places: Range<usize>) -> impl Iterator<Item = &Row> {
        // The way down to the first one; what lies right of it comes later.
        let (mut at, mut skip) = (self.root, places.start);
        let mut open = Vec::new();
        while let Some(node) = self.node(at) {
            let left = self.size(node.left) as usize;
            match skip.cmp(&left) {
                Ordering::Less => {
                    open.push(node);
                    at = node.left;
                }
                Ordering::Equal => {
                    open.push(node);
                    break;
                }
                Ordering::Greater => {
                    skip -= left + 1;
                    at = node.right;
                }
            }
        }
        let next = move || {
            let node = open.pop()?;
            let mut at = node.right;
            while let Some(below) = self.node(at) {
                open.push(below);
                at = below.left;
            }
            Some(&node.row)
        };
        std::iter::from_fn(next).take(places.len())
    }

    /// Of rows that are in order.
    pub fn of_sorted(rows: Vec<Row>) -> Sorted {
        let mut sorted = Sorted { nodes: Vec::with_capacity(rows.len()), ..Sorted::default() };
        // From the root to the last row so far; what leaves it has all that will ever be below it.
        let mut edge: Vec<u32> = Vec::new();
        for row in rows {
            let new = sorted.add(row);
            let mut below = NONE;
            while let Some(last) = edge.pop_if(|last| sorted.is_above(new, *last)) {
                sorted.resize(last);
                below = last;
            }
            if let Some(node) = sorted.node_mut(new) {
                node.left = below;
            }
            if let Some(node) = edge.last().and_then(|last| sorted.node_mut(*last)) {
                node.right = new;
            }
            edge.push(new);
        }
        for at in edge.into_iter().rev() {
            sorted.resize(at);
            sorted.root = at;
        }
        sorted
    }

    /// Puts a row in its place.
    pub fn insert(&mut self, row: Row, compare: &impl Fn(&Row, &Row) -> Ordering) {
        let place = self.rank(&row, compare);
        let new = self.add(row);
        let (left, right) = self.split(self.root, place);
        let left = self.merge(left, new);
        self.root = self.merge(left, right);
    }

    /// A node that is not in the tree yet.
    fn add(&mut self, row: Row) -> u32 {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let priority = (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32;
        let node = TreeNode { row, priority, size: 1, left: NONE, right: NONE };
        match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = Some(node);
                at
            }
            None => {
                self.nodes.push(Some(node));
                (self.nodes.len() - 1) as u32
            }
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: &Row, compare: &impl Fn(&Row, &Row) -> Ordering) {
        let place = self.rank(row, compare);
        let (left, rest) = self.split(self.root, place);
        let (found, right) = self.split(rest, 1);
        let is_it = self.node(found).is_some_and(|node| node.row == *row);
        debug_assert!(is_it, "only what is there goes");
        if is_it {
            self.nodes[found as usize] = None;
            self.free.push(found);
            self.root = self.merge(left, right);
        } else {
            let rest = self.merge(found, right);
            self.root = self.merge(left, rest);
        }
    }

    fn node(&self, at: u32) -> Option<&TreeNode> {
        self.nodes.get(at as usize).and_then(Option::as_ref)
    }

    fn node_mut(&mut self, at: u32) -> Option<&mut TreeNode> {
        self.nodes.get_mut(at as usize).and_then(Option::as_mut)
    }

    /// Does the first belong above the second?
    fn is_above(&self, first: u32, second: u32) -> bool {
        let priority = |at: u32| self.node(at).map_or(0, |node| node.priority);
        priority(first) > priority(second)
    }

    fn size(&self, at: u32) -> u32 {
        self.node(at).map_or(0, |node| node.size)
    }

    fn resize(&mut self, at: u32) {
        let Some((left, right)) = self.node(at).map(|node| (node.left, node.right)) else { return };
        let size = 1 + self.size(left) + self.size(right);
        if let Some(node) = self.node_mut(at) {
            node.size = size;
        }
    }

    /// The first so many rows, and the others.
    fn split(&mut self, at: u32, count: usize) -> (u32, u32) {
        let Some((left, right)) = self.node(at).map(|node| (node.left, node.right)) else {
            return (NONE, NONE);
        };
        let before = self.size(left) as usize;
        let parts = if count <= before {
            let (first, rest) = self.split(left, count);
            if let Some(node) = self.node_mut(at) {
                node.left = rest;
            }
            (first, at)
        } else {
            let (first, rest) = self.split(right, count - before - 1);
            if let Some(node) = self.node_mut(at) {
                node.right = first;
            }
            (at, rest)
        };
        self.resize(at);
        parts
    }

    /// One tree of two, all of the first before all of the second.
    fn merge(&mut self, first: u32, second: u32) -> u32 {
        let (Some(a), Some(b)) = (self.node(first), self.node(second)) else {
            return if first == NONE { second } else { first };
        };
        let (above, inner) = match a.priority >= b.priority {
            true => (first, (a.right, second)),
            false => (second, (first, b.left)),
        };
        let merged = self.merge(inner.0, inner.1);
        if let Some(node) = self.node_mut(above) {
            match above == first {
                true => node.right = merged,
                false => node.left = merged,
            }
        }
        self.resize(above);
        above
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shape_expr::Owned;

    fn row(i: i64) -> Row {
        Row::from(vec![Owned::from(i)])
    }

    #[test]
    fn rows_are_where_a_sorted_list_has_them() {
        let compare = |a: &Row, b: &Row| a.exact_cmp(b);
        let mut rng = fastrand::Rng::with_seed(7);
        let mut list: Vec<i64> = (0..300).filter(|_| rng.bool()).collect();
        let mut sorted = Sorted::of_sorted(list.iter().map(|i| row(*i)).collect());
        for _ in 0..5_000 {
            let i = rng.i64(0..300);
            match list.binary_search(&i) {
                Ok(at) if rng.u8(..3) > 0 => {
                    list.remove(at);
                    sorted.remove(&row(i), &compare);
                }
                Ok(at) => assert_eq!(sorted.rank(&row(i), &compare), at),
                Err(at) => {
                    assert_eq!(sorted.rank(&row(i), &compare), at);
                    list.insert(at, i);
                    sorted.insert(row(i), &compare);
                }
            }
            let start = rng.usize(..=list.len());
            let end = rng.usize(start..=list.len());
            let found: Vec<Row> = sorted.range(start..end).cloned().collect();
            let expected: Vec<Row> = list[start..end].iter().map(|i| row(*i)).collect();
            assert_eq!(found, expected);
            assert_eq!(sorted.len(), list.len());
        }
    }
}
