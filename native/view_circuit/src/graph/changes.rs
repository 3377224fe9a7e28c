//! [`Changes`]: what a step does to each node that it touches.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::{KeyedDelta, NodeId, aggregate};
use crate::delta::Delta;

/// What a step does to each node that it touches.
#[derive(Default)]
pub(crate) struct Changes {
    touched: Vec<Touched>,
    /// Places in `touched`, once those are more than a few.
    places: HashMap<NodeId, u32, BuildHasherDefault<Spread>>,
}

/// One node.
pub(super) struct Touched {
    pub node: NodeId,
    /// By what its output changes; of an arrangement that is `keyed`.
    pub rows: Delta,
    pub keyed: KeyedDelta,
    pub groups: Option<aggregate::Changes>,
    /// Does it keep rows, sorted or counted, that its input's change brings?
    pub takes_in: bool,
    /// Of a filter that is shown some rows only: the places of those in the input's delta.
    pub shown: Vec<u32>,
}

/// So many nodes are found by looking through them.
const FEW: usize = 12;

impl Changes {
    /// The nodes whose output changes, arrangements apart.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Delta)> {
        let changed = self.touched.iter().filter(|touched| !touched.rows.is_empty());
        changed.map(|touched| (touched.node, &touched.rows))
    }

    /// What comes and goes of a node's output.
    pub fn rows(&self, id: NodeId) -> &Delta {
        static NONE: Delta = Delta::new();
        self.get(id).map_or(&NONE, |touched| &touched.rows)
    }

    /// The same of an arrangement.
    pub fn keyed(&self, id: NodeId) -> &KeyedDelta {
        static NONE: KeyedDelta = KeyedDelta::new();
        self.get(id).map_or(&NONE, |touched| &touched.keyed)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Touched> {
        self.touched.get(self.place(id)?)
    }

    /// The node's entry, made if there is none.
    pub(super) fn entry(&mut self, id: NodeId) -> &mut Touched {
        let place = self.place(id).unwrap_or_else(|| {
            let place = self.touched.len();
            if place >= FEW {
                let new = if self.places.is_empty() { 0 } else { place };
                let known = self.touched[new..].iter().map(|touched| touched.node);
                self.places.extend(known.chain([id]).zip(new as u32..));
            } else if place == 0 {
                self.touched.reserve(FEW / 2);
            }
            self.touched.push(Touched::new(id));
            place
        });
        &mut self.touched[place]
    }

    /// The rows by which a node's output changes, if it does.
    pub(super) fn rows_of(&self, id: NodeId) -> Option<&Delta> {
        self.get(id).map(|touched| &touched.rows).filter(|rows| !rows.is_empty())
    }

    /// The nodes that keep what their inputs' changes bring.
    pub(super) fn taking_in(&self) -> impl Iterator<Item = NodeId> {
        self.touched.iter().filter(|touched| touched.takes_in).map(|touched| touched.node)
    }

    /// Every node that is touched.
    pub(super) fn into_touched(self) -> Vec<Touched> {
        self.touched
    }

    fn place(&self, id: NodeId) -> Option<usize> {
        match self.touched.len() <= FEW {
            true => self.touched.iter().position(|touched| touched.node == id),
            false => self.places.get(&id).map(|place| *place as usize),
        }
    }
}

impl Touched {
    fn new(node: NodeId) -> Touched {
        let (rows, keyed, shown) = (Delta::new(), KeyedDelta::new(), Vec::new());
        Touched { node, rows, keyed, groups: None, takes_in: false, shown }
    }
}

/// Spreads the places of nodes, which are ours and no client's: they need no secret.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = (self.0.rotate_left(5) ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use shape_expr::Owned;

    #[test]
    fn every_node_has_one_entry() {
        let mut changes = Changes::default();
        for round in 0..3_i64 {
            for node in 0..100 {
                changes.entry(node * 7).rows.push((Row::from(vec![Owned::from(round)]), 1));
                assert_eq!(changes.rows(node * 7).len() as i64, round + 1);
                assert!(changes.rows(node * 7 + 1).is_empty());
            }
        }
        assert_eq!(changes.nodes().count(), 100);
        assert_eq!(changes.into_touched().len(), 100);
    }
}
