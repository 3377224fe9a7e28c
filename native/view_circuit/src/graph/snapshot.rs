//! A node's whole output, for views that are registered on loaded tables.

use shape_expr::EvalError;

use super::operator::Operator;
use super::{Evaluator, Graph, NodeId, existence, join, step};
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
        let Some(node) = &self.nodes[id] else { return Ok(Delta::new()) };
        let raised = |error| (id, error);
        let two = || Some((self.index(node.inputs[0])?, self.index(node.inputs[1])?));
        Ok(match &node.operator {
            Operator::Scan(table) => {
                let rows = tables.all[*table].rows.values();
                rows.map(|stored| (stored.row.clone(), 1)).collect()
            }
            Operator::Filter(predicate) => {
                let rows = self.snapshot(node.inputs[0], tables, evaluator)?;
                step::filter(predicate, &rows, evaluator).map_err(raised)?
            }
            Operator::Map(outputs) => {
                let rows = self.snapshot(node.inputs[0], tables, evaluator)?;
                step::map(outputs, &rows, evaluator).map_err(raised)?
            }
            Operator::Arrange(_) => {
                let groups = node.index.iter().flat_map(|index| index.groups());
                groups
                    .flat_map(|(_, group)| group.rows())
                    .map(|(row, weight)| (row.clone(), weight))
                    .collect()
            }
            Operator::Join => {
                let mut rows = two().map(|(left, right)| join::whole(left, right));
                rows.iter_mut().for_each(consolidate);
                rows.unwrap_or_default()
            }
            Operator::Existence(kind) => {
                let mut rows = two().map(|(left, right)| existence::whole(*kind, left, right));
                rows.iter_mut().for_each(consolidate);
                rows.unwrap_or_default()
            }
        })
    }
}
