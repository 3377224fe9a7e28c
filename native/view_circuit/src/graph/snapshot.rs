//! A node's whole output, for views that are registered on loaded tables.

use shape_expr::EvalError;

use super::operator::Operator;
use super::{Evaluator, Graph, Node, NodeId, distinct, existence, join, step};
use crate::delta::{Delta, consolidate};
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

    /// Everything that the node gives, each row once.
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
        let mut rows = self.source(at, tables);
        for at in chain.into_iter().rev() {
            let Some(node) = &self.nodes[at] else { continue };
            rows = match &node.operator {
                Operator::Filter(predicate) => step::filter(predicate, &rows, evaluator),
                Operator::Map(outputs) => step::map(outputs, &rows, evaluator),
                _ => Ok(rows),
            }
            .map_err(|raised| (at, raised))?;
        }
        Ok(rows)
    }

    /// The same of a node that needs no other but arrangements.
    fn source(&self, id: NodeId, tables: &Tables) -> Delta {
        let Some(node) = &self.nodes[id] else { return Delta::new() };
        let two = || Some((self.index(node.inputs[0])?, self.index(node.inputs[1])?));
        let mut rows = match &node.operator {
            Operator::Scan(table) => {
                let rows = tables.all[*table].rows.values();
                return rows.map(|stored| (stored.row.clone(), 1)).collect();
            }
            Operator::Join => two().map(|(left, right)| join::whole(left, right)),
            Operator::Distinct => self.index(node.inputs[0]).map(distinct::whole),
            Operator::Existence(kind) => {
                two().map(|(left, right)| existence::whole(*kind, left, right))
            }
            // Nothing reads an arrangement as rows.
            Operator::Arrange(_) | Operator::Filter(_) | Operator::Map(_) => None,
        }
        .unwrap_or_default();
        consolidate(&mut rows);
        rows
    }
}
