//! Many predicates on one row: what depends on columns alone is computed once for neighbours that
//! share a template.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::{Answer, Context, Vm, call, conjunction, execute, with_stack};
use crate::constants::Borrowed;
use crate::error::{EvalError, Raise};
use crate::predicate::PredicateRef;
use crate::program::{Implementation, Op, Template};
use crate::row::Row;
use crate::truth::Truth;
use crate::value::Value;

/// What a run of operations on columns made, and what that cost: everyone who uses it pays the same,
/// so that limits strike as if each had made it for itself.
pub(super) struct Shared<'a> {
    ops: &'a [Op],
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
    pub(super) fn value(&mut self, row: &Row<'a>, context: &mut Context<'a>) -> Answer<'a> {
        match &self.made {
            Some(made) => {
                context.charge(made.fuel)?;
                match context.bytes.checked_sub(made.bytes) {
                    Some(rest) => context.bytes = rest,
                    None => return Err(EvalError::new(Raise::LimitExceeded)),
                }
                made.result
            }
            None => self.make(row, context),
        }
    }

    #[cold]
    fn make(&mut self, row: &Row<'a>, context: &mut Context<'a>) -> Answer<'a> {
        let (fuel, bytes) = (context.fuel, context.bytes);
        let result = run(self.ops, row, context);
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

/// How the predicates of the template at hand are run.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// One value of the row, one constant: the commonest clauses that no index can hold.
    Pair {
        slot: u32,
        function: Implementation,
        strict: bool,
    },
    /// The program with what depends on columns alone marked.
    Marked(&'a [Op]),
    Conjunction,
    Plain,
}

/// A [`Way::Pair`] whose value of the row is made. It stays where it is: moving it about would take
/// longer than most functions do.
struct Pair<'a> {
    template: &'a Template,
    slot: u32,
    function: Implementation,
    strict: bool,
    /// The row's value is one that strict functions are called with.
    is_known: bool,
    values: [Value<'a>; 2],
    /// What everything but the function itself costs.
    fuel: u64,
    bytes: usize,
}

impl<'a> Pair<'a> {
    #[inline]
    fn eval(
        &mut self,
        constants: Borrowed<'a>,
        arena: &'a Bump,
        vm: &mut Vm,
    ) -> Result<Truth, EvalError> {
        let fuel = vm.limits.fuel - self.fuel;
        let bytes = vm.limits.bytes - self.bytes;
        let mut context = Context { arena, zone: &self.template.zone, fuel, bytes };
        let answer = match constants {
            Borrowed::Int(i) if self.is_known => {
                self.values[1] = Value::Int(i);
                (self.function)(&mut context, &self.values)
            }
            constants => {
                self.values[1] = constants.value(self.slot);
                call(self.function, self.strict, &mut context, &self.values)
            }
        };
        vm.used += vm.limits.fuel - context.fuel;
        match &answer {
            Ok(Value::Bool(true)) => Ok(Truth::TRUE),
            Ok(Value::Bool(false)) => Ok(Truth::FALSE),
            Ok(other) => Ok(other.truth()),
            Err(error) => Err(*error),
        }
    }
}

/// A row, and what the predicates of one template make of it alone.
///
/// Predicates are evaluated one after the other, and each gets the answer of [`PredicateRef::eval`],
/// with limits, costs and errors of its own. What depends on the row alone is computed once as long as
/// the template stays the same.
pub struct Bulk<'a> {
    row: Row<'a>,
    /// Made with the first predicate: most rows are asked for none, and it is large. In the row's arena,
    /// so that a `Bulk` may lie there too and need not be dropped.
    memo: Option<&'a mut Memo<'a>>,
}

/// What the predicates of the template at hand make of the row alone.
struct Memo<'a> {
    current: Option<(&'a Template, Way<'a>)>,
    shared: BumpVec<'a, Shared<'a>>,
    pair: Option<Pair<'a>>,
}

impl<'a> Bulk<'a> {
    /// Nothing is computed yet.
    #[must_use]
    pub fn new(row: Row<'a>) -> Bulk<'a> {
        Bulk { row, memo: None }
    }

    /// The row.
    #[must_use]
    pub fn row(&self) -> &Row<'a> {
        &self.row
    }

    /// A predicate's answer for the row.
    ///
    /// # Errors
    /// As [`PredicateRef::eval`].
    #[inline]
    pub fn eval(&mut self, predicate: &PredicateRef<'a>, vm: &mut Vm) -> Result<Truth, EvalError> {
        if let Some(Memo { pair: Some(pair), .. }) = self.memo.as_deref_mut()
            && std::ptr::eq(pair.template, predicate.template)
            && pair.fuel <= vm.limits.fuel
            && pair.bytes <= vm.limits.bytes
        {
            return pair.eval(predicate.constants, self.row.arena(), vm);
        }
        self.eval_first(predicate, vm)
    }

    /// As long as nothing is ready for the template.
    fn eval_first(
        &mut self,
        predicate: &PredicateRef<'a>,
        vm: &mut Vm,
    ) -> Result<Truth, EvalError> {
        let Self { row, memo } = self;
        let PredicateRef { template, constants } = *predicate;
        let mut context = Context::new(row.arena(), vm.limits).with_zone(&template.zone);
        // The commonest clauses by far have nothing to share.
        let result = if template.is_conjunction && template.shared_ops.is_none() {
            conjunction(template, constants, row, &mut context)
        } else {
            let arena = row.arena();
            let memo = memo.get_or_insert_with(|| arena.alloc(Memo::new(arena)));
            memo.eval(row, template, constants, &mut context)
        };
        vm.used += vm.limits.fuel - context.fuel + row.take_work();
        result
    }
}

impl<'a> Memo<'a> {
    fn new(arena: &'a Bump) -> Self {
        Self { current: None, shared: BumpVec::new_in(arena), pair: None }
    }

    fn eval(
        &mut self,
        row: &Row<'a>,
        template: &'a Template,
        constants: Borrowed<'a>,
        context: &mut Context<'a>,
    ) -> Result<Truth, EvalError> {
        let way = match self.current {
            Some((current, way)) if std::ptr::eq(current, template) => way,
            _ => self.enter(template),
        };
        let result = self.run(row, way, template, constants, context);
        if let Way::Pair { slot, function, strict } = way
            && let Some(Made { result: Ok(value), fuel, bytes }) =
                self.shared.first().and_then(|shared| shared.made)
        {
            self.pair = Some(Pair {
                template,
                slot,
                function,
                is_known: !matches!(
                    value,
                    Value::Null | Value::Unknown | Value::Maybe(_) | Value::Opaque
                ),
                strict,
                values: [value, Value::Null],
                fuel: fuel + template.ops.len() as u64,
                bytes,
            });
        }
        result
    }

    #[inline]
    fn run(
        &mut self,
        row: &Row<'a>,
        way: Way<'a>,
        template: &'a Template,
        constants: Borrowed<'a>,
        context: &mut Context<'a>,
    ) -> Result<Truth, EvalError> {
        match (way, self.shared.as_mut_slice()) {
            (Way::Pair { slot, function, strict }, [value]) => {
                context.charge(template.ops.len() as u64)?;
                let pair = [value.value(row, context)?, constants.value(slot)];
                Ok(call(function, strict, context, &pair)?.truth())
            }
            (Way::Conjunction, _) => conjunction(template, constants, row, context),
            (Way::Marked(ops), shared) => with_stack(template.depth, row, |stack| {
                execute(ops, constants, row, context, stack, shared)
            }),
            _ => with_stack(template.depth, row, |stack| {
                execute(&template.ops, constants, row, context, stack, &mut [])
            }),
        }
    }

    /// Turns to another template.
    fn enter(&mut self, template: &'a Template) -> Way<'a> {
        self.shared.clear();
        self.pair = None;
        let way = match template.shared_ops.as_deref() {
            None if template.is_conjunction => Way::Conjunction,
            None => Way::Plain,
            Some(ops) => {
                for (start, op) in ops.iter().enumerate() {
                    if let Op::Shared { end, .. } = op {
                        let ops = &template.ops[start..*end as usize];
                        self.shared.push(Shared { ops, made: None });
                    }
                }
                match *ops {
                    [
                        Op::Shared { end, .. },
                        ..,
                        Op::Constant(slot),
                        Op::Call { function, argc: 2, strict, .. },
                    ] if end as usize + 2 == ops.len() => Way::Pair { slot, function, strict },
                    _ => Way::Marked(ops),
                }
            }
        };
        self.current = Some((template, way));
        way
    }
}

impl std::fmt::Debug for Bulk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bulk").field("row", &self.row).finish_non_exhaustive()
    }
}
