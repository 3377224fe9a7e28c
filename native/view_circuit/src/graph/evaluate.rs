//! Filters and maps: expressions over rows.

use bumpalo::Bump;
use shape_expr::{EvalError, Owned, Predicate, Raise, Schema, Vm};

use super::operator::Output;
use crate::row::Row;
use crate::work::Work;

/// Where expressions are evaluated; reused from row to row.
pub(crate) struct Evaluator {
    arena: Bump,
    vm: Vm,
    /// Values are read already, so nothing asks for their columns' types.
    schema: Schema,
    /// What the step that runs may still do.
    pub work: Work,
}

impl Default for Evaluator {
    fn default() -> Evaluator {
        let schema = Schema::open("");
        Evaluator { arena: Bump::new(), vm: Vm::default(), schema, work: Work::unbounded() }
    }
}

impl Evaluator {
    /// From here on this is what may be done.
    pub fn allow(&mut self, work: Work) {
        self.vm = Vm::new(work.limits());
        self.work = work;
    }

    /// Is it true of the row?
    pub fn test(&mut self, predicate: &Predicate, row: &Row) -> Result<bool, EvalError> {
        self.arena.reset();
        let values = row.iter().map(Owned::value);
        let row = shape_expr::Row::of_values(&self.arena, &self.schema, values);
        let truth = predicate.eval(&row, &mut self.vm)?;
        self.work.spend(self.vm.take_fuel())?;
        self.work.rows(1, 1)?;
        Ok(truth.is_true())
    }

    /// The row of these columns.
    pub fn map(&mut self, outputs: &[Output], row: &Row) -> Result<Row, EvalError> {
        self.arena.reset();
        let values = row.iter().map(Owned::value);
        let input = shape_expr::Row::of_values(&self.arena, &self.schema, values);
        let mut values = Vec::with_capacity(outputs.len());
        for output in outputs {
            values.push(match output {
                Output::Column(column) => row[*column].clone(),
                Output::Constant(value) => value.clone(),
                Output::Computed(expression) => {
                    let value = expression.eval(&input, &mut self.vm)?;
                    Owned::new(&value).ok_or_else(|| EvalError::new(Raise::NotSupported))?
                }
            });
        }
        self.work.spend(self.vm.take_fuel())?;
        self.work.rows(1, values.len())?;
        Ok(values.into())
    }
}
