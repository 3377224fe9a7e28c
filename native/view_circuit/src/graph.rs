//! The graph: operators as nodes, one for each distinct part of a plan, shared by all views that need
//! it.
//!
//! A step has two halves. [`Graph::compute`] works out every node's delta from the deltas below it and
//! from arrangements as they were before the step; it changes nothing, so an expression that raises
//! leaves the circuit as it was. [`Graph::commit`] then brings the arrangements up to date and cannot
//! fail.

mod aggregate;
mod arrangement;
mod counts;
mod dispatch;
mod distinct;
mod evaluate;
mod existence;
mod join;
mod multiset;
mod operator;
mod set;
mod snapshot;
mod sorted;
mod step;
mod topk;

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::RandomState;
use smallvec::SmallVec;

use crate::delta::Map;
use crate::key::Key;
use crate::row::Row;
use aggregate::Groups;
pub(crate) use aggregate::{Call, Grouping};
use arrangement::Arrangement;
pub(crate) use counts::Counted;
use counts::Counts;
use dispatch::{Dispatch, Target};
pub(crate) use evaluate::Evaluator;
pub(crate) use existence::Existence;
pub(crate) use operator::{Operator, Output};
pub(crate) use set::SetOperation;
pub(crate) use step::Changes;
use topk::Partitions;
pub(crate) use topk::Window;

/// A node's place.
pub(crate) type NodeId = usize;

/// An arrangement's delta: rows under their keys.
pub(crate) type KeyedDelta = Vec<(Key, Row, i64)>;

struct Node {
    operator: Operator,
    inputs: SmallVec<[NodeId; 2]>,
    /// Those that every change of its output concerns.
    consumers: Vec<NodeId>,
    /// Filters of its output that concern some rows only.
    filters: Option<Box<Dispatch>>,
    /// Views whose result this node's output is.
    views: usize,
    /// More than that of any input: nodes run in the order of their ranks.
    rank: u32,
    state: State,
}

/// What a node keeps of the rows it has seen.
enum State {
    Nothing,
    Arranged(Arrangement),
    Grouped(Groups),
    Sorted(Partitions),
    Counted(Counts),
}

impl State {
    /// Of no rows.
    fn of(operator: &Operator) -> State {
        match operator {
            Operator::Arrange(columns) => State::Arranged(Arrangement::new(columns)),
            Operator::Aggregate(_) => State::Grouped(Groups::default()),
            Operator::TopK(_) => State::Sorted(Partitions::default()),
            Operator::Counted(kind) => State::Counted(Counts::new(*kind)),
            _ => State::Nothing,
        }
    }
}

/// What a circuit is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Rows in tables.
    pub table_rows: usize,
    /// Operators, arrangements among them.
    pub nodes: usize,
    /// Arrangements: indexes of rows by key.
    pub arrangements: usize,
    /// Rows in arrangements.
    pub arranged_rows: usize,
    /// Rows of DISTINCT that are counted, once each.
    pub counted_rows: usize,
    /// Groups of aggregate functions.
    pub groups: usize,
    /// Values kept in order for `min`, `max` and `DISTINCT` in aggregate functions.
    pub ordered_values: usize,
    /// Rows kept in order for LIMIT and OFFSET.
    pub sorted_rows: usize,
}

#[derive(Default)]
pub(crate) struct Graph {
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    /// Nodes by a hash of operator and inputs.
    known: Map<u64, SmallVec<[NodeId; 1]>>,
    hasher: RandomState,
}

impl Node {
    /// One of those that read its output.
    fn consumer(&self) -> Option<NodeId> {
        let filter = || self.filters.as_ref().and_then(|filters| filters.any());
        self.consumers.first().copied().or_else(filter)
    }
}

impl Graph {
    /// The node that does this to these inputs; made if there is none. New ones are noted in `made`.
    pub fn node(
        &mut self,
        operator: Operator,
        inputs: &[NodeId],
        made: &mut Vec<NodeId>,
    ) -> NodeId {
        if let Some(known) = self.find(&operator, inputs) {
            return known;
        }
        let hash = self.hash(&operator, inputs);
        let rank = inputs.iter().map(|input| self.rank(*input) + 1).max().unwrap_or(0);
        let state = State::of(&operator);
        let (inputs, consumers) = (SmallVec::from_slice(inputs), Vec::new());
        let target = Target::of(&operator);
        let node = Node { operator, inputs, consumers, filters: None, views: 0, rank, state };
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        match (target, node.inputs.first()) {
            (Some(target), Some(input)) => {
                if let Some(input) = &mut self.nodes[*input] {
                    input.filters.get_or_insert_default().add(target, id);
                }
            }
            _ => {
                for input in node.inputs.clone() {
                    if let Some(input) = &mut self.nodes[input] {
                        input.consumers.push(id);
                    }
                }
            }
        }
        self.nodes[id] = Some(node);
        self.known.entry(hash).or_default().push(id);
        made.push(id);
        id
    }

    /// The node that does this to these inputs, if there is one.
    pub fn find(&self, operator: &Operator, inputs: &[NodeId]) -> Option<NodeId> {
        let alike = self.known.get(&self.hash(operator, inputs))?;
        let is_same = |id: &&NodeId| match &self.nodes[**id] {
            Some(node) => node.inputs.as_slice() == inputs && node.operator.is_same(operator),
            None => false,
        };
        alike.iter().find(is_same).copied()
    }

    /// The tables that the output of these nodes depends on.
    pub fn tables(&self, nodes: &[NodeId]) -> Vec<usize> {
        let (mut tables, mut seen, mut next) =
            (Vec::new(), vec![false; self.nodes.len()], nodes.to_vec());
        while let Some(id) = next.pop() {
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let Some(node) = &self.nodes[id] else { continue };
            if let Operator::Scan(table) = node.operator {
                tables.push(table);
            }
            next.extend(&node.inputs);
        }
        tables
    }

    /// A view's result is this node's output from now on.
    pub fn retain(&mut self, id: NodeId) {
        if let Some(node) = &mut self.nodes[id] {
            node.views += 1;
        }
    }

    /// No longer. What nothing else needs is freed.
    pub fn release(&mut self, id: NodeId) {
        if let Some(node) = &mut self.nodes[id] {
            node.views -= 1;
        }
        self.sweep(vec![id]);
    }

    /// Frees those of these nodes that nothing needs, and then what they needed.
    pub fn sweep(&mut self, mut candidates: Vec<NodeId>) {
        while let Some(id) = candidates.pop() {
            let needless = |node: &mut Node| {
                node.views == 0 && node.consumers.is_empty() && node.filters.is_none()
            };
            let Some(node) = self.nodes[id].take_if(needless) else { continue };
            let hash = self.hash(&node.operator, &node.inputs);
            if let Some(alike) = self.known.get_mut(&hash) {
                alike.retain(|other| *other != id);
                if alike.is_empty() {
                    self.known.remove(&hash);
                }
            }
            let mut target = Target::of(&node.operator);
            for input in &node.inputs {
                if let Some(input) = &mut self.nodes[*input] {
                    if let (Some(target), Some(filters)) = (target.take(), &mut input.filters) {
                        filters.remove(target, id);
                        if filters.is_empty() {
                            input.filters = None;
                        }
                        continue;
                    }
                    // One entry for each time it is an input: a self-join has two.
                    if let Some(at) = input.consumers.iter().position(|consumer| *consumer == id) {
                        input.consumers.swap_remove(at);
                    }
                }
            }
            candidates.extend(node.inputs.iter().copied());
            self.free.push(id);
        }
    }

    /// A node downstream of this one that is a view's result, itself included.
    pub fn result_of(&self, id: NodeId) -> NodeId {
        let mut at = id;
        loop {
            match &self.nodes[at] {
                Some(node) if node.views == 0 => match node.consumer() {
                    Some(next) => at = next,
                    None => return at,
                },
                _ => return at,
            }
        }
    }

    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        for node in self.nodes.iter().flatten() {
            stats.nodes += 1;
            match &node.state {
                State::Nothing => {}
                State::Arranged(index) => {
                    stats.arrangements += 1;
                    stats.arranged_rows += index.rows();
                }
                State::Grouped(groups) => {
                    stats.groups += groups.len();
                    stats.ordered_values += groups.values();
                }
                State::Sorted(rows) => stats.sorted_rows += rows.len(),
                State::Counted(rows) => stats.counted_rows += rows.len(),
            }
        }
        stats
    }

    fn rank(&self, id: NodeId) -> u32 {
        self.nodes[id].as_ref().map_or(0, |node| node.rank)
    }

    fn hash(&self, operator: &Operator, inputs: &[NodeId]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        operator.hash_identity(&mut hasher);
        inputs.hash(&mut hasher);
        hasher.finish()
    }

    /// The rows under a key of an arrangement, as they were before the step.
    pub fn arranged(&self, id: NodeId, key: &Key) -> impl Iterator<Item = (&Row, i64)> {
        let group = self.index(id).and_then(|index| index.get(key));
        group.into_iter().flat_map(arrangement::Group::rows)
    }

    /// An arrangement's index; of other nodes there is none.
    fn index(&self, id: NodeId) -> Option<&Arrangement> {
        match &self.nodes[id].as_ref()?.state {
            State::Arranged(index) => Some(index),
            _ => None,
        }
    }
}
