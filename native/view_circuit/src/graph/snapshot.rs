//! A node's whole output, for views that are registered on loaded tables.

use shape_expr::EvalError;

use super::dispatch::Target;
use super::operator::Operator;
use super::{
    Evaluator, Graph, Grouping, Groups, Node, NodeId, State, distinct, existence, join, set, step,
    topk,
};
use crate::delta::{Delta, consolidate};
use crate::plan::{STACK_LEFT, STACK_MORE};
use crate::row::Row;
use crate::table::Tables;
use crate::work::Work;

impl Graph {
    /// Fills those new nodes that keep rows, which are in the order they were made.
    pub fn fill(
        &mut self,
        made: &[NodeId],
        tables: &Tables,
        evaluator: &mut Evaluator,
    ) -> Result<(), (NodeId, EvalError)> {
        for id in made {
            let Some(node) = &self.nodes[*id] else { continue };
            if matches!(node.state, State::Nothing) {
                continue;
            }
            let (operator, input) = (node.operator.clone(), node.inputs[0]);
            let rows = self.snapshot(input, tables, evaluator)?;
            let Some(node) = self.nodes[*id].as_mut() else { continue };
            match (&operator, &mut node.state) {
                (Operator::Arrange(columns), State::Arranged(index)) => {
                    index.fill(step::keyed(&rows, columns));
                }
                (Operator::Aggregate(grouping), State::Grouped(groups)) => {
                    let filled = fill_groups(grouping, &rows);
                    *groups = filled.map_err(|raised| (*id, raised))?;
                }
                (Operator::TopK(window), State::Sorted(sorted)) => {
                    topk::apply(window, sorted, &rows);
                }
                (Operator::Counted(_), State::Counted(counts)) => counts.apply(&rows),
                _ => {}
            }
        }
        Ok(())
    }

    /// Everything that the node gives. A row may be there more than once.
    pub fn snapshot(
        &self,
        id: NodeId,
        tables: &Tables,
        evaluator: &mut Evaluator,
    ) -> Result<Delta, (NodeId, EvalError)> {
        // A long WHERE is a long chain of filters, and stacks may be small: first down, then up.
        let (mut at, mut chain) = (id, Vec::new());
        while let Some(Node { operator: Operator::Filter(_) | Operator::Map(_), inputs, .. }) =
            &self.nodes[at]
        {
            chain.push((at, self.nodes[at].as_ref().and_then(|node| Target::of(&node.operator))));
            at = inputs[0];
        }
        chain.reverse();
        let mut out = Delta::new();
        if let Some(Node { operator: Operator::Scan(table), .. }) = &self.nodes[at] {
            // Most of a table may not pass, and is not copied.
            for stored in tables.all[*table].rows.values() {
                let row = self.through(&chain, &stored.row, evaluator)?;
                out.extend(row.map(|row| (row, 1)));
            }
            return Ok(out);
        }
        let rows = self.source(at, tables, evaluator)?;
        if chain.is_empty() {
            return Ok(rows);
        }
        for (row, weight) in rows {
            let row = self.through(&chain, &row, evaluator)?;
            out.extend(row.map(|row| (row, weight)));
        }
        Ok(out)
    }

    /// What these filters and maps make of a row.
    fn through(
        &self,
        chain: &[(NodeId, Option<Target>)],
        row: &Row,
        evaluator: &mut Evaluator,
    ) -> Result<Option<Row>, (NodeId, EvalError)> {
        let mut made: Option<Row> = None;
        for (at, target) in chain {
            let Some(node) = &self.nodes[*at] else { continue };
            let row = made.as_ref().unwrap_or(row);
            let raised = |raised| (*at, raised);
            if target.as_ref().is_some_and(|target| !target.may_pass(row)) {
                return Ok(None);
            }
            match &node.operator {
                Operator::Filter(predicate) => {
                    let passes = evaluator.test(predicate, row).map_err(raised)?;
                    if !passes {
                        return Ok(None);
                    }
                }
                Operator::Map(outputs) => {
                    made = Some(evaluator.map(outputs, row).map_err(raised)?);
                }
                _ => {}
            }
        }
        Ok(Some(made.unwrap_or_else(|| row.clone())))
    }

    /// The same of a node that needs no other but such as keep rows.
    fn source(
        &self,
        id: NodeId,
        tables: &Tables,
        evaluator: &mut Evaluator,
    ) -> Result<Delta, (NodeId, EvalError)> {
        let Some(node) = &self.nodes[id] else { return Ok(Delta::new()) };
        let two = || Some((self.index(node.inputs[0])?, self.index(node.inputs[1])?));
        let rows = match &node.operator {
            Operator::Join => two().map(|(left, right)| join::whole(left, right)),
            Operator::Distinct => self.index(node.inputs[0]).map(distinct::whole),
            Operator::Existence(kind) => {
                two().map(|(left, right)| existence::whole(*kind, left, right))
            }
            Operator::Set(operation) => {
                two().map(|(left, right)| set::whole(*operation, left, right))
            }
            Operator::Union => {
                let mut rows = Delta::new();
                for input in &node.inputs {
                    // Unions nest as deep as queries do.
                    let snapshot = || self.snapshot(*input, tables, evaluator);
                    rows.extend(stacker::maybe_grow(STACK_LEFT, STACK_MORE, snapshot)?);
                }
                Some(rows)
            }
            Operator::Aggregate(_) => match &node.state {
                State::Grouped(groups) => Some(groups.whole()),
                _ => None,
            },
            Operator::TopK(window) => match &node.state {
                State::Sorted(sorted) => Some(topk::whole(window, sorted)),
                _ => None,
            },
            Operator::Counted(_) => match &node.state {
                State::Counted(counts) => match counts.whole() {
                    Some(rows) => Some(rows),
                    // They are where they are counted from. Queries nest, and so does this.
                    None => {
                        let input = || self.snapshot(node.inputs[0], tables, evaluator);
                        let mut rows = stacker::maybe_grow(STACK_LEFT, STACK_MORE, input)?;
                        consolidate(&mut rows);
                        rows.iter_mut().for_each(|(_, weight)| *weight = 1);
                        Some(rows)
                    }
                },
                _ => None,
            },
            // Nothing reads an arrangement as rows.
            Operator::Scan(_) | Operator::Arrange(_) | Operator::Filter(_) | Operator::Map(_) => {
                None
            }
        };
        Ok(rows.unwrap_or_default())
    }
}

fn fill_groups(grouping: &Grouping, rows: &Delta) -> Result<Groups, EvalError> {
    let mut groups = Groups::empty(grouping)?;
    let (_, changes) = groups.change(grouping, rows, &mut Work::unbounded())?;
    groups.apply(grouping, changes);
    Ok(groups)
}
