//! Filters and maps: expressions over rows.

use bumpalo::Bump;
use shape_expr::{EvalError, Owned, Predicate, Raise, Schema, Vm};

use super::operator::Output;
use crate::row::{Row, Values};
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
        self.map_pair(outputs, row, &[])
    }

    /// The row of these columns of two rows, those of the second behind those of the first.
    pub fn map_pair(
        &mut self,
        outputs: &[Output],
        left: &[Owned],
        right: &[Owned],
    ) -> Result<Row, EvalError> {
        self.arena.reset();
        let column = |at: usize| match at.checked_sub(left.len()) {
            None => &left[at],
            Some(at) => &right[at],
        };
        let mut values = Values::new();
        let mut input = None;
        for output in outputs {
            values.push(match output {
                Output::Column(at) => column(*at).clone(),
                Output::Constant(value) => value.clone(),
                Output::Computed(expression) => {
                    let input = input.get_or_insert_with(|| {
                        let all = (0..left.len() + right.len()).map(|at| column(at).value());
                        shape_expr::Row::of_values(&self.arena, &self.schema, all)
                    });
                    let value = expression.eval(input, &mut self.vm)?;
                    Owned::new(&value).ok_or_else(|| EvalError::new(Raise::NotSupported))?
                }
            });
        }
        self.work.spend(self.vm.take_fuel())?;
        self.work.rows(1, values.len())?;
        Ok(Row::of(values.into_iter()))
    }
}
