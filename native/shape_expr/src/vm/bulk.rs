//! Many predicates of one template on one row: what depends on columns alone is computed once.

use super::{Answer, Context, Vm, call, conjunction, execute, with_stack};
use crate::error::{EvalError, Raise};
use crate::predicate::Predicate;
use crate::program::{Op, Template};
use crate::row::Row;
use crate::truth::Truth;
use crate::value::Value;

/// What a run of operations on columns made, and what that cost: everyone who uses it pays the same,
/// so that limits strike as if each had made it for itself.
pub(super) struct Shared<'a> {
    ops: &'a [Op],
    row: &'a Row<'a>,
    made: Option<Made<'a>>,
}

#[derive(Clone, Copy)]
struct Made<'a> {
    result: Result<Value<'a>, EvalError>,
    fuel: u64,
    bytes: usize,
}

impl<'a> Shared<'a> {
    #[inline]
    pub(super) fn value(&mut self, context: &mut Context<'a>) -> Answer<'a> {
        match self.made {
            Some(made) => {
                context.charge(made.fuel)?;
                match context.bytes.checked_sub(made.bytes) {
                    Some(rest) => context.bytes = rest,
                    None => return Err(EvalError::new(Raise::LimitExceeded)),
                }
                made.result
            }
            None => self.make(context),
        }
    }

    #[cold]
    fn make(&mut self, context: &mut Context<'a>) -> Answer<'a> {
        let (fuel, bytes) = (context.fuel, context.bytes);
        let result = run(self.ops, self.row, context);
        // Who runs out says nothing about others, who may have more left.
        if !result.as_ref().is_err_and(|error| error.raise() == Raise::LimitExceeded) {
            let (fuel, bytes) = (fuel - context.fuel, bytes - context.bytes);
            self.made = Some(Made { result, fuel, bytes });
        }
        result
    }
}

/// Columns and calls of them, which leave one value.
fn run<'a>(ops: &[Op], row: &Row<'a>, context: &mut Context<'a>) -> Answer<'a> {
    with_stack(ops.len(), row, |stack| {
        let mut top = 0;
        for op in ops {
            match *op {
                Op::Column(column) => {
                    stack[top] = row.value(column as usize)?;
                    top += 1;
                }
                Op::Call { function, argc, strict, .. } => {
                    let base = top - usize::from(argc);
                    stack[base] = call(function, strict, context, &stack[base..top])?;
                    top = base + 1;
                }
                _ => return Err(EvalError::new(Raise::NotSupported)),
            }
        }
        Ok(stack[0])
    })
}

impl Vm {
    /// Evaluates many predicates on one row, and tells each one's answer with its place in the order
    /// given.
    ///
    /// The answers are those of [`Predicate::eval`], limits and errors of each by itself. Where
    /// neighbours share a template, what depends on the row alone is computed once for all of them.
    pub fn eval_many<'a>(
        &mut self,
        predicates: impl IntoIterator<Item = &'a Predicate>,
        row: &'a Row<'a>,
        mut answer: impl FnMut(usize, Result<Truth, EvalError>),
    ) {
        let mut current: Option<&'a Template> = None;
        let mut shared: Vec<Shared<'a>> = Vec::new();
        for (place, predicate) in predicates.into_iter().enumerate() {
            let template: &'a Template = &predicate.template;
            if !current.is_some_and(|current| std::ptr::eq(current, template)) {
                current = Some(template);
                shared.clear();
                let marked = template.shared_ops.iter().flat_map(|ops| ops.iter().enumerate());
                for (start, op) in marked {
                    if let Op::Shared { end, .. } = op {
                        let ops = &template.ops[start..*end as usize];
                        shared.push(Shared { ops, row, made: None });
                    }
                }
            }
            let mut context = Context::new(row.arena(), self.limits).with_zone(&template.zone);
            let result = match template.shared_ops.as_deref() {
                // One value of the row, one constant: the commonest clauses that no index can hold.
                Some(
                    [
                        Op::Shared { end, .. },
                        ..,
                        Op::Constant(slot),
                        Op::Call { function, argc: 2, strict, .. },
                    ],
                ) if *end as usize + 2 == template.ops.len() => {
                    let constant = predicate.constants.value(*slot);
                    let charged = context.charge(template.ops.len() as u64);
                    charged.and_then(|()| {
                        let value = shared[0].value(&mut context)?;
                        let pair = [value, constant];
                        Ok(call(*function, *strict, &mut context, &pair)?.truth())
                    })
                }
                Some(ops) => with_stack(template.depth, row, |stack| {
                    let constants = &predicate.constants;
                    execute(ops, constants, row, &mut context, stack, &mut shared)
                }),
                None if template.is_conjunction => {
                    conjunction(template, &predicate.constants, row, &mut context)
                }
                None => with_stack(template.depth, row, |stack| {
                    let constants = &predicate.constants;
                    execute(&template.ops, constants, row, &mut context, stack, &mut [])
                }),
            };
            self.used += self.limits.fuel - context.fuel;
            answer(place, result);
        }
    }
}
