//! One step: deltas from tables to views, at the cost of what changes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shape_expr::{EvalError, Predicate};

use super::operator::{Operator, Output};
use super::{Evaluator, Graph, KeyedDelta, Node, NodeId, distinct, existence, join};
use crate::delta::{Delta, Map, consolidate};
use crate::key::Key;

/// What a step does to each node that it touches.
#[derive(Default)]
pub(crate) struct Changes {
    rows: Map<NodeId, Delta>,
    keyed: Map<NodeId, KeyedDelta>,
}

impl Changes {
    /// The nodes whose output changes, arrangements apart.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Delta)> {
        self.rows.iter().map(|(id, delta)| (*id, delta))
    }
}

static NOTHING: KeyedDelta = KeyedDelta::new();

impl Graph {
    /// Works out what these changes of tables lead to. Nothing is changed yet.
    pub fn compute(
        &self,
        tables: Vec<(NodeId, Delta)>,
        evaluator: &mut Evaluator,
    ) -> Result<Changes, (NodeId, EvalError)> {
        let mut changes = Changes::default();
        // By rank, so that both inputs of a node are done before it is.
        let mut due: BinaryHeap<Reverse<(u32, NodeId)>> = BinaryHeap::new();
        for (scan, delta) in tables {
            if !delta.is_empty() {
                changes.rows.insert(scan, delta);
                self.wake(scan, &mut due);
            }
        }
        while let Some(Reverse(next)) = due.pop() {
            while due.peek().is_some_and(|Reverse(other)| *other == next) {
                due.pop();
            }
            let id = next.1;
            let Some(node) = &self.nodes[id] else { continue };
            if let Operator::Arrange(columns) = &node.operator {
                if let Some(rows) = changes.rows.get(&node.inputs[0]) {
                    evaluator.work.rows(rows.len(), columns.len()).map_err(|error| (id, error))?;
                    let keyed = keyed(rows, columns);
                    changes.keyed.insert(id, keyed);
                    self.wake(id, &mut due);
                }
                continue;
            }
            let delta = self.delta(node, &changes, evaluator).map_err(|error| (id, error))?;
            if !delta.is_empty() {
                changes.rows.insert(id, delta);
                self.wake(id, &mut due);
            }
        }
        Ok(changes)
    }

    fn wake(&self, id: NodeId, due: &mut BinaryHeap<Reverse<(u32, NodeId)>>) {
        let consumers = self.nodes[id].iter().flat_map(|node| &node.consumers);
        due.extend(consumers.map(|consumer| Reverse((self.rank(*consumer), *consumer))));
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
        let mut delta = match &node.operator {
            // Scans are where changes come from; arrangements are seen to above.
            Operator::Scan(_) | Operator::Arrange(_) => return Ok(Delta::new()),
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
                self.index(node.inputs[0]).map(|index| Ok(distinct::change(index, keyed(0))))
            }
            Operator::Existence(kind) => {
                two().map(|indexes| existence::change(*kind, indexes, [keyed(0), keyed(1)], work))
            }
        }
        .transpose()?
        .unwrap_or_default();
        consolidate(&mut delta);
        Ok(delta)
    }

    /// Brings the arrangements up to date.
    pub fn commit(&mut self, changes: Changes) {
        for (id, delta) in changes.keyed {
            if let Some(index) = self.nodes[id].as_mut().and_then(|node| node.index.as_mut()) {
                index.apply(delta);
            }
        }
    }
}

pub(super) fn keyed(rows: &Delta, columns: &[usize]) -> KeyedDelta {
    rows.iter().map(|(row, weight)| (Key::of(row, columns), row.clone(), *weight)).collect()
}

/// Linear: the change of the output is that of the input, filtered.
pub(super) fn filter(
    predicate: &Predicate,
    rows: &Delta,
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
