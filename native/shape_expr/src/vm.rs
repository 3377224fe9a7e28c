//! The stack machine that runs a template on a row.

pub(crate) mod bulk;
pub(crate) mod control;

use bumpalo::Bump;

use crate::constants::{Borrowed, InSet};
use crate::error::{EvalError, Raise};
use crate::program::{Implementation, Op, Template, Test};
use crate::row::Row;
use crate::truth::Truth;
use crate::value::{Eval, Value};
use crate::values::datetime::{self, Zone};

/// For signatures that name the lifetime.
pub(crate) type Answer<'a> = Eval<'a>;

/// How much one evaluation may do before it raises 54000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps: one an instruction, more for functions whose work grows with their arguments.
    pub fuel: u64,
    /// Bytes of the values it builds.
    pub bytes: usize,
}

impl Default for Limits {
    /// Ten million steps and 64 MiB.
    fn default() -> Limits {
        Limits { fuel: 10_000_000, bytes: 64 << 20 }
    }
}

/// What functions may use and must account for.
pub(crate) struct Context<'a> {
    arena: &'a Bump,
    zone: &'a Zone,
    fuel: u64,
    bytes: usize,
}

impl<'a> Context<'a> {
    pub(crate) fn new(arena: &'a Bump, limits: Limits) -> Context<'a> {
        Context { arena, zone: &datetime::UTC, fuel: limits.fuel, bytes: limits.bytes }
    }

    /// The same with this session time zone; without it, UTC.
    pub(crate) fn with_zone(self, zone: &'a Zone) -> Context<'a> {
        Context { zone, ..self }
    }

    /// The session's time zone.
    pub(crate) fn zone(&self) -> &'a Zone {
        self.zone
    }

    /// Where results that do not fit a [`Value`] go, after their size was charged.
    pub(crate) fn arena(&self) -> &'a Bump {
        self.arena
    }

    /// What is left to pay with.
    pub(crate) fn fuel(&self) -> u64 {
        self.fuel
    }

    /// Pays for `steps` of work.
    #[inline]
    pub(crate) fn charge(&mut self, steps: u64) -> Result<(), EvalError> {
        match self.fuel.checked_sub(steps) {
            Some(rest) => {
                self.fuel = rest;
                Ok(())
            }
            None => Err(EvalError::new(Raise::LimitExceeded)),
        }
    }

    /// Pays for `bytes` of result, before they are built.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.charge(bytes as u64 / 16)?;
        match self.bytes.checked_sub(bytes) {
            Some(rest) => {
                self.bytes = rest;
                Ok(())
            }
            None => Err(EvalError::new(Raise::LimitExceeded)),
        }
    }
}

/// Evaluates predicates, and counts what that costs.
#[derive(Debug)]
pub struct Vm {
    limits: Limits,
    used: u64,
}

impl Default for Vm {
    fn default() -> Vm {
        Vm::new(Limits::default())
    }
}

/// Values a program needs at most, for nearly all programs: those live on the machine's stack.
const INLINE_DEPTH: usize = 4;

impl Vm {
    /// A machine with these limits for each evaluation.
    #[must_use]
    pub fn new(limits: Limits) -> Vm {
        Vm { limits, used: 0 }
    }

    /// Fuel used since the last [`Vm::take_fuel`]. Decoding columns counts for the evaluation that
    /// comes to each of them first; it does not count for the limit, or answers would depend on
    /// who that is.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.used
    }

    /// Fuel used since it was last asked, and starts the count again.
    pub fn take_fuel(&mut self) -> u64 {
        std::mem::take(&mut self.used)
    }

    pub(crate) fn run<'a>(
        &mut self,
        template: &'a Template,
        constants: Borrowed<'a>,
        row: &Row<'a>,
    ) -> Result<Truth, EvalError> {
        let mut context = Context::new(row.arena(), self.limits).with_zone(&template.zone);
        // The commonest clauses by far need no stack.
        let result = if template.is_conjunction {
            conjunction(template, constants, row, &mut context)
        } else {
            with_stack(template.depth, row, |stack| {
                execute(&template.ops, constants, row, &mut context, stack, &mut [])
            })
        };
        self.used += self.limits.fuel - context.fuel + row.take_work();
        result
    }

    /// The value of an expression, of whatever type.
    pub(crate) fn run_value<'a>(
        &mut self,
        template: &'a Template,
        constants: Borrowed<'a>,
        row: &Row<'a>,
    ) -> Eval<'a> {
        let mut context = Context::new(row.arena(), self.limits).with_zone(&template.zone);
        let result = with_stack(template.depth, row, |stack| {
            execute_value(&template.ops, constants, row, &mut context, stack, &mut [])
        });
        self.used += self.limits.fuel - context.fuel + row.take_work();
        result
    }

    pub(crate) fn run_residual<'a>(
        &mut self,
        template: &'a Template,
        constants: Borrowed<'a>,
        row: &Row<'a>,
    ) -> Result<Truth, EvalError> {
        let Some(residual) = &template.residual else { return Ok(Truth::TRUE) };
        let mut context = Context::new(row.arena(), self.limits).with_zone(&template.zone);
        let result = with_stack(residual.depth, row, |stack| {
            execute(&residual.ops, constants, row, &mut context, stack, &mut [])
        });
        self.used += self.limits.fuel - context.fuel + row.take_work();
        result
    }
}

/// Runs with a stack of this depth, which for nearly all programs is the machine's.
#[inline]
fn with_stack<'a, R>(depth: usize, row: &Row<'a>, run: impl FnOnce(&mut [Value<'a>]) -> R) -> R {
    if depth <= INLINE_DEPTH {
        let mut stack = [Value::Null; INLINE_DEPTH];
        run(&mut stack)
    } else {
        run(row.arena().alloc_slice_fill_copy(depth, Value::Null))
    }
}

/// `column op constant AND column op constant ...`: as `execute` would do it, with the outcome so far
/// in a register.
fn conjunction<'a>(
    template: &'a Template,
    constants: Borrowed<'a>,
    row: &Row<'a>,
    context: &mut Context<'a>,
) -> Result<Truth, EvalError> {
    context.charge(template.ops.len() as u64)?;
    let mut outcome = Truth::TRUE;
    for op in &template.ops {
        if let Op::Compare { function, column, constant, .. } = *op {
            let arguments = [row.value(column as usize)?, constants.value(constant)];
            let answer = match call(function, true, context, &arguments)? {
                Value::Bool(true) => continue,
                Value::Bool(false) => return Ok(Truth::FALSE),
                other => other.truth(),
            };
            outcome = outcome.and(answer);
            if outcome == Truth::FALSE {
                return Ok(outcome);
            }
        }
    }
    Ok(outcome)
}

fn execute<'a>(
    ops: &[Op],
    constants: Borrowed<'a>,
    row: &Row<'a>,
    context: &mut Context<'a>,
    stack: &mut [Value<'a>],
    shared: &mut [bulk::Shared<'a>],
) -> Result<Truth, EvalError> {
    Ok(execute_value(ops, constants, row, context, stack, shared)?.truth())
}

/// What the program leaves on the stack.
fn execute_value<'a>(
    ops: &[Op],
    constants: Borrowed<'a>,
    row: &Row<'a>,
    context: &mut Context<'a>,
    stack: &mut [Value<'a>],
    shared: &mut [bulk::Shared<'a>],
) -> Eval<'a> {
    // Jumps go forward only, so no program runs longer than it is.
    context.charge(ops.len() as u64)?;
    let mut top = 0;
    let mut at = 0;
    while let Some(op) = ops.get(at) {
        at += 1;
        match *op {
            Op::Column(column) => {
                stack[top] = row.value(column as usize)?;
                top += 1;
            }
            Op::Constant(slot) => {
                stack[top] = constants.value(slot);
                top += 1;
            }
            Op::Compare { function, column, constant, .. } => {
                let arguments = [row.value(column as usize)?, constants.value(constant)];
                stack[top] = call(function, true, context, &arguments)?;
                top += 1;
            }
            Op::Call { function, argc, strict, .. } => {
                let base = top - usize::from(argc);
                stack[base] = call(function, strict, context, &stack[base..top])?;
                top = base + 1;
            }
            Op::InSet { set, negated } => {
                let value = stack[top - 1];
                stack[top - 1] = in_set(constants, set, negated, &value, context)?;
            }
            Op::AnyOf { function, set, all, .. } => {
                let value = stack[top - 1];
                stack[top - 1] = match constants.set(set) {
                    Some(set) => any_of(set, function, all, value, context)?,
                    None => Value::Null,
                };
            }
            Op::AndFirst(target) => {
                if let Value::Bool(false) = stack[top - 1] {
                    at = target as usize;
                }
            }
            Op::OrFirst(target) => {
                if let Value::Bool(true) = stack[top - 1] {
                    at = target as usize;
                }
            }
            Op::And(target) => {
                let truth = stack[top - 2].truth().and(stack[top - 1].truth());
                top -= 1;
                stack[top - 1] = truth.into();
                if truth == Truth::FALSE {
                    at = target as usize;
                }
            }
            Op::Or(target) => {
                let truth = stack[top - 2].truth().or(stack[top - 1].truth());
                top -= 1;
                stack[top - 1] = truth.into();
                if truth == Truth::TRUE {
                    at = target as usize;
                }
            }
            Op::Not => stack[top - 1] = stack[top - 1].truth().negate().into(),
            Op::Test(kind) => stack[top - 1] = test(kind, &stack[top - 1]).into(),
            Op::Distinct { function, negated, .. } => {
                let answer = distinct(function, [stack[top - 2], stack[top - 1]], context)?;
                top -= 1;
                stack[top - 1] = if negated { answer.negate() } else { answer }.into();
            }
            Op::Raise(raise) => return Err(EvalError::new(raise)),
            Op::When { next, end } => {
                top -= 1;
                let truth = stack[top].truth();
                if !truth.may_be_true() {
                    at = next as usize;
                } else if !truth.is_true() {
                    stack[top] = Value::Unknown;
                    top += 1;
                    at = end as usize;
                }
            }
            Op::Jump(target) => at = target as usize,
            Op::UnlessKnown(target) => match stack[top - 1] {
                Value::Null => at = target as usize,
                Value::Unknown | Value::Maybe(_) | Value::Opaque => {
                    stack[top - 1] = Value::Unknown;
                    at = target as usize;
                }
                _ => {}
            },
            Op::Shared { index, end } => {
                let Some(shared) = shared.get_mut(index as usize) else {
                    return Err(EvalError::new(Raise::NotSupported));
                };
                stack[top] = shared.value(row, context)?;
                top += 1;
                at = end as usize;
            }
            Op::Coalesce(target) => match stack[top - 1] {
                Value::Null => top -= 1,
                Value::Maybe(truth) if !truth.may_be_null() => at = target as usize,
                Value::Unknown | Value::Maybe(_) => {
                    stack[top - 1] = Value::Unknown;
                    at = target as usize;
                }
                _ => at = target as usize,
            },
            Op::NullIf { function, .. } => {
                let pair = [stack[top - 2], stack[top - 1]];
                top -= 1;
                stack[top - 1] = control::null_if(function, pair, context)?;
            }
            Op::MinMax { less, argc, greatest, .. } => {
                let base = top - usize::from(argc);
                stack[base] = control::min_max(less, greatest, &stack[base..top], context)?;
                top = base + 1;
            }
            Op::RowStep { equal, less, end } => {
                let pair = [stack[top - 2], stack[top - 1]];
                top -= 2;
                if let Some(differs) = control::row_step(equal, less, pair, context)? {
                    stack[top] = differs;
                    top += 1;
                    at = end as usize;
                }
            }
            Op::RowEnd(strategy) => stack[top - 1] = control::row_end(strategy, stack[top - 1]),
            Op::AnyArray { function, all, .. } => {
                let pair = [stack[top - 2], stack[top - 1]];
                top -= 1;
                stack[top - 1] = control::any_array(function, all, pair, context)?;
            }
            Op::InValues { set, argc } => {
                let base = top - usize::from(argc);
                stack[base] = in_values(constants, set, &stack[base..top], row, context)?;
                top = base + 1;
            }
            Op::Map { function, argc, .. } => {
                let base = top - usize::from(argc);
                stack[base] = control::map(function, &stack[base..top], context)?;
                top = base + 1;
            }
        }
    }
    Ok(stack[0])
}

/// NULL makes a strict function's result NULL; failing that, an unknown argument makes it unknown.
#[inline]
pub(crate) fn call<'a>(
    function: Implementation,
    strict: bool,
    context: &mut Context<'a>,
    arguments: &[Value<'a>],
) -> Eval<'a> {
    if strict {
        let mut unknown = false;
        for argument in arguments {
            match argument {
                Value::Null => return Ok(Value::Null),
                Value::Unknown | Value::Maybe(_) | Value::Opaque => unknown = true,
                _ => {}
            }
        }
        if unknown {
            return Ok(Value::Unknown);
        }
    }
    function(context, arguments)
}

fn in_set<'a>(
    constants: Borrowed<'_>,
    slot: u32,
    negated: bool,
    value: &Value<'a>,
    context: &mut Context<'a>,
) -> Eval<'a> {
    let Some(set) = constants.set(slot) else { return Ok(Value::Null) };
    context.charge(2)?;
    // `= ANY ('{}')`: false whatever the value, NULL too.
    if set.len() == 0 && !set.has_null() {
        return Ok(Value::Bool(negated));
    }
    let found = match value {
        Value::Null => return Ok(Value::Null),
        Value::Unknown | Value::Maybe(_) | Value::Opaque => return Ok(Value::Unknown),
        Value::Json(json) => {
            // It is read through for its hash.
            context.charge(json.bytes().len() as u64 / 16)?;
            set.contains(value)
        }
        value => set.contains(value),
    };
    Ok(match (found, set.has_null()) {
        (true, _) => Value::Bool(!negated),
        (false, true) => Value::Null,
        (false, false) => Value::Bool(negated),
    })
}

/// `(values) IN (set)`, by what the row says is in it.
fn in_values<'a>(
    constants: Borrowed<'_>,
    slot: u32,
    values: &[Value<'a>],
    row: &Row<'a>,
    context: &mut Context<'a>,
) -> Eval<'a> {
    context.charge(4 * values.len() as u64)?;
    let (Some(sets), Value::Int(set)) = (row.sets(), constants.value(slot)) else {
        return Ok(Value::Unknown);
    };
    for value in values {
        match value {
            Value::Unknown | Value::Maybe(_) | Value::Opaque => return Ok(Value::Unknown),
            // They are read through for their hash.
            Value::Text(text) | Value::Bpchar(text) => context.charge(text.len() as u64 / 16)?,
            Value::Json(json) => context.charge(json.bytes().len() as u64 / 16)?,
            Value::Bytes(bytes) => context.charge(bytes.len() as u64 / 16)?,
            _ => {}
        }
    }
    let Ok(set) = u32::try_from(set) else { return Ok(Value::Unknown) };
    Ok(sets.contains(set, values).into())
}

/// `value op ANY (set)`, or ALL.
pub(crate) fn any_of<'a>(
    set: &'a InSet,
    function: Implementation,
    all: bool,
    value: Value<'a>,
    context: &mut Context<'a>,
) -> Eval<'a> {
    context.charge(set.len() as u64)?;
    let mut truth = match (all, set.has_null()) {
        (true, false) => Truth::TRUE,
        (false, false) => Truth::FALSE,
        (_, true) => Truth::NULL,
    };
    if value.is_null() && (set.len() > 0 || set.has_null()) {
        return Ok(Value::Null);
    }
    if !control::is_open(&value)
        && let Some(clashes) = set.clashes(&value)
    {
        return match clashes {
            true => Err(EvalError::new(Raise::IndeterminateCollation)),
            false => Ok(truth.into()),
        };
    }
    for item in set.values() {
        let answer = call(function, true, context, &[value, item])?.truth();
        truth = if all { truth.and(answer) } else { truth.or(answer) };
        if truth == if all { Truth::FALSE } else { Truth::TRUE } {
            break;
        }
    }
    Ok(truth.into())
}

/// IS [NOT] NULL, TRUE, FALSE, UNKNOWN.
pub(crate) fn test(kind: Test, value: &Value<'_>) -> Truth {
    let truth = match (kind, value) {
        (Test::Null | Test::NotNull, Value::Maybe(truth)) => *truth,
        (Test::Null | Test::NotNull, Value::Unknown) => Truth::ANY,
        (Test::Null | Test::NotNull, Value::Null) => Truth::NULL,
        (Test::Null | Test::NotNull, _) => Truth::TRUE,
        (_, value) => value.truth(),
    };
    let (t, f, n) = (truth.may_be_true(), truth.may_be_false(), truth.may_be_null());
    // Which outcomes make the test true, and which make it false.
    let (yes, no) = match kind {
        Test::Null | Test::Unknown => (n, t || f),
        Test::NotNull | Test::NotUnknown => (t || f, n),
        Test::True => (t, f || n),
        Test::NotTrue => (f || n, t),
        Test::False => (f, t || n),
        Test::NotFalse => (t || n, f),
    };
    match (yes, no) {
        (true, false) => Truth::TRUE,
        (false, true) => Truth::FALSE,
        _ => Truth::TRUE_OR_FALSE,
    }
}

/// IS DISTINCT FROM.
pub(crate) fn distinct<'a>(
    equal: Implementation,
    [left, right]: [Value<'a>; 2],
    context: &mut Context<'a>,
) -> Result<Truth, EvalError> {
    Ok(match (left.is_null(), right.is_null()) {
        (true, true) => Truth::FALSE,
        (true, false) if right.is_unknown() => Truth::TRUE_OR_FALSE,
        (false, true) if left.is_unknown() => Truth::TRUE_OR_FALSE,
        (true, false) | (false, true) => Truth::TRUE,
        (false, false) if left.is_unknown() || right.is_unknown() => Truth::TRUE_OR_FALSE,
        (false, false) => equal(context, &[left, right])?.truth().negate(),
    })
}
