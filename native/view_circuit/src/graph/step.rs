//! One step: deltas from tables to views, at the cost of what changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shape_expr::{EvalError, Predicate};

use super::operator::{Operator, Output};
use super::{
    Evaluator, Graph, KeyedDelta, Node, NodeId, State, aggregate, distinct, existence, join, set,
    topk,
};
use crate::delta::{Delta, Map, consolidate};
use crate::key::Key;
use crate::parallel::Parallel;
use crate::row::Row;

/// What a step does to each node that it touches.
#[derive(Default)]
pub(crate) struct Changes {
    rows: Map<NodeId, Delta>,
    keyed: Map<NodeId, KeyedDelta>,
    groups: Map<NodeId, aggregate::Changes>,
    /// Nodes that sort or count what their input's change brings.
    taken_in: Vec<NodeId>,
    /// Of filters that are shown some rows only: the places of those in the input's delta.
    shown: Map<NodeId, Vec<u32>>,
}

impl Changes {
    /// The nodes whose output changes, arrangements apart.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Delta)> {
        self.rows.iter().map(|(id, delta)| (*id, delta))
    }

    /// What comes and goes of a node's output.
    pub fn rows(&self, id: NodeId) -> &Delta {
        static NONE: Delta = Delta::new();
        self.rows.get(&id).unwrap_or(&NONE)
    }

    /// The same of an arrangement.
    pub fn keyed(&self, id: NodeId) -> &KeyedDelta {
        self.keyed.get(&id).unwrap_or(&NOTHING)
    }
}

static NOTHING: KeyedDelta = KeyedDelta::new();

/// Nodes whose input changed, by rank, so that all inputs of a node are done before it is.
type Due = BinaryHeap<Reverse<(u32, NodeId)>>;

/// What one node's output changes by.
enum Change {
    Rows(Delta),
    Keyed(KeyedDelta),
    /// Also what becomes of the groups.
    Grouped(Delta, aggregate::Changes),
}

impl Graph {
    /// Works out what these changes of tables lead to. Nothing is changed yet.
    ///
    /// Nodes of one rank do not read each other, and where there is enough for them to do they are
    /// worked out in parallel.
    pub fn compute(
        &self,
        tables: Vec<(NodeId, Delta)>,
        evaluator: &mut Evaluator,
        parallel: &Parallel,
    ) -> Result<Changes, (NodeId, EvalError)> {
        let mut changes = Changes::default();
        let (mut due, mut level) = (Due::new(), Vec::new());
        for (scan, delta) in tables {
            self.note(scan, Change::Rows(delta), &mut changes, &mut due);
        }
        while let Some(Reverse((rank, first))) = due.pop() {
            level.clear();
            level.push(first);
            while let Some(Reverse((_, next))) = due.peek().filter(|next| next.0.0 == rank) {
                // It is there once for each input that changed.
                if level.last() != Some(next) {
                    level.push(*next);
                }
                due.pop();
            }
            let work = || level.iter().map(|id| self.work(*id, &changes)).sum();
            if level.len() == 1 || evaluator.work.is_bounded() || !parallel.pays(work) {
                for id in &level {
                    let change = self.change(*id, &changes, evaluator);
                    let change = change.map_err(|error| (*id, error))?;
                    self.note(*id, change, &mut changes, &mut due);
                }
                continue;
            }
            let compute = |id: &NodeId, evaluator: &mut Evaluator| {
                self.change(*id, &changes, evaluator).map_err(|error| (*id, error))
            };
            let done = parallel.map(&level, evaluator, Evaluator::default, compute);
            // In the order of the nodes, so that of two errors it is the same one as without threads.
            for (id, change) in level.iter().zip(done) {
                self.note(*id, change?, &mut changes, &mut due);
            }
        }
        Ok(changes)
    }

    /// Keeps a change, and wakes whom it concerns.
    fn note(&self, id: NodeId, change: Change, changes: &mut Changes, due: &mut Due) {
        let Some(node) = &self.nodes[id] else { return };
        let mut wake = |consumer: NodeId| due.push(Reverse((self.rank(consumer), consumer)));
        let change = match change {
            Change::Grouped(delta, groups) => {
                changes.groups.insert(id, groups);
                Change::Rows(delta)
            }
            other => other,
        };
        if let Operator::TopK(_) | Operator::Counted(_) = &node.operator {
            changes.taken_in.push(id);
        }
        match change {
            Change::Grouped(..) => {}
            Change::Rows(delta) if delta.is_empty() => {}
            Change::Rows(delta) => {
                node.consumers.iter().for_each(|consumer| wake(*consumer));
                if let Some(filters) = &node.filters {
                    for ((row, _), at) in delta.iter().zip(0..) {
                        filters.candidates(row, |filter| {
                            let shown = changes.shown.entry(filter).or_default();
                            if shown.is_empty() {
                                wake(filter);
                            }
                            shown.push(at);
                        });
                    }
                }
                changes.rows.insert(id, delta);
            }
            Change::Keyed(delta) => {
                node.consumers.iter().for_each(|consumer| wake(*consumer));
                changes.keyed.insert(id, delta);
            }
        }
    }

    /// How many rows a node has to look at, about.
    fn work(&self, id: NodeId, changes: &Changes) -> usize {
        if let Some(shown) = changes.shown.get(&id) {
            return shown.len();
        }
        let rows = |input: &NodeId| {
            let rows = changes.rows.get(input).map_or(0, Vec::len);
            rows + changes.keyed.get(input).map_or(0, Vec::len)
        };
        self.nodes[id].as_ref().map_or(0, |node| node.inputs.iter().map(rows).sum())
    }

    fn change(
        &self,
        id: NodeId,
        changes: &Changes,
        evaluator: &mut Evaluator,
    ) -> Result<Change, EvalError> {
        let Some(node) = &self.nodes[id] else { return Ok(Change::Rows(Delta::new())) };
        let rows = || node.inputs.first().and_then(|input| changes.rows.get(input));
        match (&node.operator, changes.shown.get(&id)) {
            (Operator::Arrange(columns), _) => {
                let Some(rows) = rows() else { return Ok(Change::Rows(Delta::new())) };
                evaluator.work.rows(rows.len(), columns.len())?;
                Ok(Change::Keyed(keyed(rows, columns)))
            }
            (Operator::Aggregate(grouping), _) => match (&node.state, rows()) {
                (State::Grouped(groups), Some(rows)) => {
                    let (delta, groups) = groups.change(grouping, rows, &mut evaluator.work)?;
                    Ok(Change::Grouped(delta, groups))
                }
                _ => Ok(Change::Rows(Delta::new())),
            },
            (Operator::Filter(predicate), Some(shown)) => {
                let Some(rows) = rows() else { return Ok(Change::Rows(Delta::new())) };
                let shown = shown.iter().map(|at| &rows[*at as usize]);
                filter(predicate, shown, evaluator).map(Change::Rows)
            }
            _ => self.delta(node, changes, evaluator).map(Change::Rows),
        }
    }

    fn delta(
        &self,
        node: &Node,
        changes: &Changes,
        evaluator: &mut Evaluator,
    ) -> Result<Delta, EvalError> {
        let rows = || node.inputs.first().and_then(|input| changes.rows.get(input));
        let keyed = |at: usize| changes.keyed.get(&node.inputs[at]).unwrap_or(&NOTHING);
        let two = || Some([self.index(node.inputs[0])?, self.index(node.inputs[1])?]);
        let work = &mut evaluator.work;
        let mut delta =
            match &node.operator {
                // Scans are where changes come from; these others are seen to above.
                Operator::Scan(_) | Operator::Arrange(_) | Operator::Aggregate(_) => {
                    return Ok(Delta::new());
                }
                Operator::Filter(predicate) => match rows() {
                    Some(rows) => return filter(predicate, rows, evaluator),
                    None => return Ok(Delta::new()),
                },
                Operator::Map(outputs) => match rows() {
                    Some(rows) => return map(outputs, rows, evaluator),
                    None => return Ok(Delta::new()),
                },
                Operator::Join => {
                    two().map(|indexes| join::change(indexes, [keyed(0), keyed(1)], work))
                }
                Operator::Distinct => {
                    self.index(node.inputs[0]).map(|index| distinct::change(index, keyed(0), work))
                }
                Operator::Existence(kind) => two()
                    .map(|indexes| existence::change(*kind, indexes, [keyed(0), keyed(1)], work)),
                Operator::Set(operation) => two()
                    .map(|indexes| set::change(*operation, indexes, [keyed(0), keyed(1)], work)),
                Operator::Union => {
                    let all = node.inputs.iter().filter_map(|input| changes.rows.get(input));
                    Some(Ok(all.flatten().cloned().collect()))
                }
                Operator::TopK(window) => match (&node.state, rows()) {
                    (State::Sorted(sorted), Some(rows)) => {
                        Some(topk::change(window, sorted, rows, work))
                    }
                    _ => None,
                },
                Operator::Counted(_) => match (&node.state, rows()) {
                    (State::Counted(counts), Some(rows)) => return counts.change(rows, work),
                    _ => None,
                },
            }
            .transpose()?
            .unwrap_or_default();
        consolidate(&mut delta);
        Ok(delta)
    }

    /// Brings what nodes keep up to date.
    pub fn commit(&mut self, changes: Changes) {
        let Changes { rows, keyed, groups, taken_in, .. } = changes;
        for (id, delta) in keyed {
            if let Some(Node { state: State::Arranged(index), .. }) = &mut self.nodes[id] {
                index.apply(delta);
            }
        }
        for (id, change) in groups {
            if let Some(Node {
                operator: Operator::Aggregate(grouping),
                state: State::Grouped(groups),
                ..
            }) = &mut self.nodes[id]
            {
                groups.apply(grouping, change);
            }
        }
        for id in taken_in {
            let Some(Node { operator, state, inputs, .. }) = &mut self.nodes[id] else { continue };
            let Some(delta) = rows.get(&inputs[0]) else { continue };
            match (operator, state) {
                (Operator::TopK(window), State::Sorted(sorted)) => {
                    topk::apply(window, sorted, delta);
                }
                (Operator::Counted(_), State::Counted(counts)) => counts.apply(delta),
                _ => {}
            }
        }
    }
}

pub(super) fn keyed(rows: &Delta, columns: &[usize]) -> KeyedDelta {
    rows.iter().map(|(row, weight)| (Key::of(row, columns), row.clone(), *weight)).collect()
}

/// Linear: the change of the output is that of the input, filtered.
pub(super) fn filter<'d>(
    predicate: &Predicate,
    rows: impl IntoIterator<Item = &'d (Row, i64)>,
    evaluator: &mut Evaluator,
) -> Result<Delta, EvalError> {
    let mut out = Delta::new();
    for (row, weight) in rows {
        if evaluator.test(predicate, row)? {
            out.push((row.clone(), *weight));
        }
    }
    Ok(out)
}

/// Linear, but rows that differed may be alike now.
pub(super) fn map(
    outputs: &[Output],
    rows: &Delta,
    evaluator: &mut Evaluator,
) -> Result<Delta, EvalError> {
    let map = |(row, weight): &(_, i64)| Ok((evaluator.map(outputs, row)?, *weight));
    let mut out: Delta = rows.iter().map(map).collect::<Result<_, EvalError>>()?;
    consolidate(&mut out);
    Ok(out)
}
