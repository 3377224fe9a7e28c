//! One step: deltas from tables to views, at the cost of what changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shape_expr::{EvalError, Predicate};

use super::operator::{Operator, Output};
use super::{
    Changes, Evaluator, Graph, KeyedDelta, Node, NodeId, State, aggregate, distinct, existence,
    join, set, topk,
};
use crate::delta::{Delta, consolidate};
use crate::key::Key;
use crate::parallel::Parallel;
use crate::row::Row;

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
        tables: impl IntoIterator<Item = (NodeId, Delta)>,
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
                    let (id, change) = self.change(*id, &changes, evaluator)?;
                    self.note(id, change, &mut changes, &mut due);
                }
                continue;
            }
            let compute =
                |id: &NodeId, evaluator: &mut Evaluator| self.change(*id, &changes, evaluator);
            let done = parallel.map(&level, evaluator, Evaluator::default, compute);
            // In the order of the nodes, so that of two errors it is the same one as without threads.
            for change in done {
                let (id, change) = change?;
                self.note(id, change, &mut changes, &mut due);
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
                changes.entry(id).groups = Some(groups);
                Change::Rows(delta)
            }
            other => other,
        };
        if let Operator::TopK(_) | Operator::Counted(_) = &node.operator {
            changes.entry(id).takes_in = true;
        }
        match change {
            Change::Grouped(..) => {}
            Change::Rows(delta) if delta.is_empty() => {}
            Change::Rows(delta) => {
                node.consumers.iter().for_each(|consumer| wake(*consumer));
                if let Some(filters) = &node.filters {
                    for ((row, _), at) in delta.iter().zip(0..) {
                        filters.candidates(row, |filter| {
                            let shown = &mut changes.entry(filter).shown;
                            if shown.is_empty() {
                                wake(filter);
                            }
                            shown.push(at);
                        });
                    }
                }
                changes.entry(id).rows = delta;
            }
            Change::Keyed(delta) => {
                node.consumers.iter().for_each(|consumer| wake(*consumer));
                changes.entry(id).keyed = delta;
            }
        }
    }

    /// How many rows a node has to look at, about.
    fn work(&self, id: NodeId, changes: &Changes) -> usize {
        if let Some(shown) = changes.get(id).map(|touched| touched.shown.len()).filter(|n| *n > 0) {
            return shown;
        }
        let rows = |input: &NodeId| {
            changes.get(*input).map_or(0, |touched| touched.rows.len() + touched.keyed.len())
        };
        self.nodes[id].as_ref().map_or(0, |node| node.inputs.iter().map(rows).sum())
    }

    /// What a node's output changes by. Of a node that only a map reads it is what the map makes of it:
    /// rows in between would be made for nothing else.
    fn change(
        &self,
        id: NodeId,
        changes: &Changes,
        evaluator: &mut Evaluator,
    ) -> Result<(NodeId, Change), (NodeId, EvalError)> {
        let Some(node) = &self.nodes[id] else { return Ok((id, Change::Rows(Delta::new()))) };
        let rows = || node.inputs.first().and_then(|input| changes.rows_of(*input));
        let nothing = || Ok((id, Change::Rows(Delta::new())));
        let failed = |raised| (id, raised);
        match &node.operator {
            Operator::Arrange(columns) => {
                let Some(rows) = rows() else { return nothing() };
                evaluator.work.rows(rows.len(), columns.len()).map_err(failed)?;
                Ok((id, Change::Keyed(keyed(rows, columns))))
            }
            Operator::Aggregate(grouping) => match (&node.state, rows()) {
                (State::Grouped(groups), Some(rows)) => {
                    let change = groups.change(grouping, rows, &mut evaluator.work);
                    let (delta, groups) = change.map_err(failed)?;
                    Ok((id, Change::Grouped(delta, groups)))
                }
                _ => nothing(),
            },
            Operator::Filter(predicate) => {
                let Some(rows) = rows() else { return nothing() };
                let shown = changes.get(id).map(|touched| touched.shown.as_slice());
                let passed = match shown.filter(|shown| !shown.is_empty()) {
                    Some(shown) => {
                        let shown = shown.iter().map(|at| &rows[*at as usize]);
                        filter(predicate, shown, evaluator)
                    }
                    None => filter(predicate, rows, evaluator),
                };
                self.mapped(id, node, passed.map_err(failed)?, evaluator)
            }
            Operator::Join => {
                let (Some(left), Some(right)) =
                    (self.index(node.inputs[0]), self.index(node.inputs[1]))
                else {
                    return nothing();
                };
                let deltas = [changes.keyed(node.inputs[0]), changes.keyed(node.inputs[1])];
                let one_side = deltas.iter().any(|delta| delta.is_empty());
                if let Some((map, outputs)) = self.only_map(node).filter(|_| one_side) {
                    let put = |left: &Row, right: &Row, evaluator: &mut Evaluator| {
                        evaluator.map_pair(outputs, left, right).map_err(|raised| (map, raised))
                    };
                    let mut delta = join::change([left, right], deltas, evaluator, failed, put)?;
                    consolidate(&mut delta);
                    return Ok((map, Change::Rows(delta)));
                }
                let put = |left: &Row, right: &Row, _: &mut Evaluator| Ok(left.beside(right));
                let mut delta = join::change([left, right], deltas, evaluator, failed, put)?;
                // Pairs of rows of which only those of one side change are there once.
                if !one_side {
                    consolidate(&mut delta);
                }
                self.mapped(id, node, delta, evaluator)
            }
            _ => {
                let delta = self.delta(node, changes, evaluator).map_err(failed)?;
                Ok((id, Change::Rows(delta)))
            }
        }
    }

    /// The only one that reads the node, if that is a map.
    fn only_map(&self, node: &Node) -> Option<(NodeId, &[Output])> {
        if node.views > 0 || node.filters.is_some() {
            return None;
        }
        let [only] = node.consumers.as_slice() else { return None };
        match &self.nodes[*only].as_ref()?.operator {
            Operator::Map(outputs) => Some((*only, outputs)),
            _ => None,
        }
    }

    /// What the only map that reads these rows makes of them, if there is one.
    fn mapped(
        &self,
        id: NodeId,
        node: &Node,
        rows: Delta,
        evaluator: &mut Evaluator,
    ) -> Result<(NodeId, Change), (NodeId, EvalError)> {
        match self.only_map(node) {
            Some((at, outputs)) => {
                let rows = map(outputs, &rows, evaluator).map_err(|raised| (at, raised))?;
                Ok((at, Change::Rows(rows)))
            }
            None => Ok((id, Change::Rows(rows))),
        }
    }

    fn delta(
        &self,
        node: &Node,
        changes: &Changes,
        evaluator: &mut Evaluator,
    ) -> Result<Delta, EvalError> {
        let rows = || node.inputs.first().and_then(|input| changes.rows_of(*input));
        let keyed = |at: usize| changes.keyed(node.inputs[at]);
        let two = || Some([self.index(node.inputs[0])?, self.index(node.inputs[1])?]);
        let work = &mut evaluator.work;
        let mut delta =
            match &node.operator {
                // Scans are where changes come from; these others are seen to above.
                Operator::Scan(_)
                | Operator::Arrange(_)
                | Operator::Aggregate(_)
                | Operator::Filter(_)
                | Operator::Join => return Ok(Delta::new()),
                Operator::Map(outputs) => match rows() {
                    Some(rows) => return map(outputs, rows, evaluator),
                    None => return Ok(Delta::new()),
                },
                Operator::Distinct => {
                    self.index(node.inputs[0]).map(|index| distinct::change(index, keyed(0), work))
                }
                Operator::Existence(kind) => two()
                    .map(|indexes| existence::change(*kind, indexes, [keyed(0), keyed(1)], work)),
                Operator::Set(operation) => two()
                    .map(|indexes| set::change(*operation, indexes, [keyed(0), keyed(1)], work)),
                Operator::Union => {
                    let all = node.inputs.iter().filter_map(|input| changes.rows_of(*input));
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
        for id in changes.taking_in() {
            let Some(Node { operator, state, inputs, .. }) = &mut self.nodes[id] else { continue };
            let delta = changes.rows(inputs[0]);
            match (operator, state) {
                (Operator::TopK(window), State::Sorted(sorted)) => {
                    topk::apply(window, sorted, delta);
                }
                (Operator::Counted(_), State::Counted(counts)) => counts.apply(delta),
                _ => {}
            }
        }
        for touched in changes.into_touched() {
            match &mut self.nodes[touched.node] {
                Some(Node { state: State::Arranged(index), .. }) => {
                    index.apply(touched.keyed);
                }
                Some(Node {
                    operator: Operator::Aggregate(grouping),
                    state: State::Grouped(groups),
                    ..
                }) => groups.apply(grouping, touched.groups.unwrap_or_default()),
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
