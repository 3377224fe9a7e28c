//! What a node does.

use std::hash::{Hash, Hasher};

use std::sync::Arc;

use shape_expr::{Expression, Owned, Predicate};

use super::aggregate::Grouping;
use super::counts::Counted;
use super::existence::Existence;
use super::set::SetOperation;
use super::topk::Window;

/// A column of what [`Operator::Map`] makes.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// A column of the input, as it is.
    Column(usize),
    /// A computed one.
    Computed(Expression),
    /// The same for every row.
    Constant(Owned),
}

#[derive(Clone, Debug)]
pub(crate) enum Operator {
    /// The rows of a table.
    Scan(usize),
    /// Those rows of which the predicate is true.
    Filter(Predicate),
    /// Rows of these columns.
    Map(Vec<Output>),
    /// The input's rows, indexed by these columns.
    Arrange(Vec<usize>),
    /// Rows of two arrangements with equal keys, side by side.
    Join,
    /// One row for each key of an arrangement.
    Distinct,
    /// The input's rows, once each.
    Counted(Counted),
    /// Rows of the first arrangement, by whether their keys are in the second.
    Existence(Existence),
    /// The rows of all inputs.
    Union,
    /// Rows of the first arrangement, by how often they are in the second.
    Set(SetOperation),
    /// A row for each group.
    Aggregate(Arc<Grouping>),
    /// Rows from one place of an order to another.
    TopK(Arc<Window>),
}

impl Operator {
    /// Does the other do the same?
    pub fn is_same(&self, other: &Operator) -> bool {
        match (self, other) {
            (Operator::Scan(a), Operator::Scan(b)) => a == b,
            (Operator::Filter(a), Operator::Filter(b)) => a.is_same(b),
            (Operator::Map(a), Operator::Map(b)) => {
                let same = |(a, b): (&Output, &Output)| match (a, b) {
                    (Output::Column(a), Output::Column(b)) => a == b,
                    (Output::Computed(a), Output::Computed(b)) => a.is_same(b),
                    (Output::Constant(a), Output::Constant(b)) => a == b,
                    _ => false,
                };
                a.len() == b.len() && a.iter().zip(b).all(same)
            }
            (Operator::Arrange(a), Operator::Arrange(b)) => a == b,
            (Operator::Join, Operator::Join)
            | (Operator::Distinct, Operator::Distinct)
            | (Operator::Union, Operator::Union) => true,
            (Operator::Counted(a), Operator::Counted(b)) => a == b,
            (Operator::Set(a), Operator::Set(b)) => a == b,
            (Operator::Aggregate(a), Operator::Aggregate(b)) => a == b,
            (Operator::TopK(a), Operator::TopK(b)) => a == b,
            (Operator::Existence(a), Operator::Existence(b)) => a == b,
            _ => false,
        }
    }

    /// Feeds the hasher alike for operators that do the same.
    pub fn hash_identity<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Operator::Scan(table) => table.hash(state),
            // With its constants: there may be many filters that differ in nothing else.
            Operator::Filter(predicate) => {
                predicate.template_id().hash(state);
                predicate.describe().hash(state);
            }
            Operator::Map(outputs) => {
                for output in outputs {
                    match output {
                        Output::Column(column) => column.hash(state),
                        Output::Computed(expression) => expression.template_id().hash(state),
                        Output::Constant(value) => value.hash(state),
                    }
                }
            }
            Operator::Arrange(columns) => columns.hash(state),
            Operator::Join | Operator::Distinct | Operator::Union => {}
            Operator::Counted(kind) => kind.hash(state),
            Operator::Set(operation) => operation.hash(state),
            Operator::Aggregate(grouping) => grouping.hash(state),
            Operator::TopK(window) => window.hash(state),
            Operator::Existence(existence) => existence.hash(state),
        }
    }
}
