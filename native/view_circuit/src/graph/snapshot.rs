//! A node's whole output, for views that are registered on loaded tables.

use shape_expr::EvalError;

use super::operator::Operator;
use super::{Evaluator, Graph, Node, NodeId, distinct, existence, join, step};
use crate::delta::Delta;
use crate::row::Row;
use crate::table::Tables;

impl Graph {
    /// Fills the arrangements among new nodes, which are in the order they were made.
    pub fn fill(
        &mut self,
        made: &[NodeId],
        tables: &Tables,
        evaluator: &mut Evaluator,
    ) -> Result<(), (NodeId, EvalError)> {
        for id in made {
            let Some(node) = &self.nodes[*id] else { continue };
            let Operator::Arrange(columns) = &node.operator else { continue };
            let (columns, input) = (columns.clone(), node.inputs[0]);
            let rows = self.snapshot(input, tables, evaluator)?;
            if let Some(index) = self.nodes[*id].as_mut().and_then(|node| node.index.as_mut()) {
                index.apply(step::keyed(&rows, &columns));
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
            chain.push(at);
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
        let rows = self.source(at);
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
        chain: &[NodeId],
        row: &Row,
        evaluator: &mut Evaluator,
    ) -> Result<Option<Row>, (NodeId, EvalError)> {
        let mut made: Option<Row> = None;
        for at in chain {
            let Some(node) = &self.nodes[*at] else { continue };
            let row = made.as_ref().unwrap_or(row);
            let raised = |raised| (*at, raised);
            match &node.operator {
                Operator::Filter(predicate) => {
                    if !evaluator.test(predicate, row).map_err(raised)? {
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

    /// The same of a node that needs no other but arrangements.
    fn source(&self, id: NodeId) -> Delta {
        let Some(node) = &self.nodes[id] else { return Delta::new() };
        let two = || Some((self.index(node.inputs[0])?, self.index(node.inputs[1])?));
        match &node.operator {
            Operator::Join => two().map(|(left, right)| join::whole(left, right)),
            Operator::Distinct => self.index(node.inputs[0]).map(distinct::whole),
            Operator::Existence(kind) => {
                two().map(|(left, right)| existence::whole(*kind, left, right))
            }
            // Nothing reads an arrangement as rows.
            Operator::Scan(_) | Operator::Arrange(_) | Operator::Filter(_) | Operator::Map(_) => {
                None
            }
        }
        .unwrap_or_default()
    }
}
