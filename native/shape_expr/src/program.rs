//! Bytecode: what a template is, and what a clause is compiled to.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::analysis::Plan;
use crate::codegen::Residual;
use crate::column_set::ColumnSet;
use crate::error::Raise;
use crate::expr::Strategy;
use crate::sets::Polarity;
use crate::value::Eval;
use crate::value::Value;
use crate::values::datetime::Zone;
use crate::vm::Context;

/// What every function and operator is to the VM.
///
/// The VM itself takes care of NULL and unknown arguments of strict functions.
pub(crate) type Implementation = for<'a> fn(&mut Context<'a>, &[Value<'a>]) -> Eval<'a>;

/// A test that gives true or false whatever it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Test {
    Null,
    NotNull,
    True,
    NotTrue,
    False,
    NotFalse,
    Unknown,
    NotUnknown,
}

/// One instruction of the stack machine.
#[derive(Clone, Copy)]
pub(crate) enum Op {
    /// Push a column.
    Column(u32),
    /// Push a constant.
    Constant(u32),
    /// Replace the top `argc` values by the function's result.
    Call { function: Implementation, name: &'static str, argc: u16, strict: bool },
    /// Push `column op constant`, for a strict two-argument function: the commonest three in one.
    Compare { function: Implementation, name: &'static str, column: u32, constant: u32 },
    /// Replace the top by `top = ANY(set)`, or with `negated` by `top <> ALL(set)`.
    InSet { set: u32, negated: bool },
    /// The same by calling the operator on each element, for operators that are no plain equality.
    AnyOf { function: Implementation, name: &'static str, set: u32, all: bool },
    /// Make a condition of the top; where it is certainly false, jump over the other arms.
    AndFirst(u32),
    /// AND the top into the value below it; where that is certainly false, jump.
    And(u32),
    /// The same for OR and certainly true.
    OrFirst(u32),
    /// OR the top into the value below it; where that is certainly true, jump.
    Or(u32),
    /// Negate the top.
    Not,
    /// Replace the top by a test's answer.
    Test(Test),
    /// Replace two values by whether they are distinct, by this equality.
    Distinct { function: Implementation, name: &'static str, negated: bool },
    /// Raise.
    Raise(Raise),
    /// Take a condition off: go on where it is certainly true, to `next` where it certainly is not;
    /// where it may be either, push an unknown value and go to `end`.
    When { next: u32, end: u32 },
    /// Go there.
    Jump(u32),
    /// Where the top is NULL or not known, jump: then so is what would be made of it.
    UnlessKnown(u32),
    /// Where the top is certainly NULL, take it off; otherwise jump, an unknown value being unknown
    /// from there on.
    Coalesce(u32),
    /// Replace two values by the first, or by NULL where they are equal.
    NullIf { function: Implementation, name: &'static str },
    /// Replace `argc` values by the least or greatest of those that are not NULL.
    MinMax { less: Implementation, name: &'static str, argc: u16, greatest: bool },
    /// Take two values off; where they differ, push how (as an integer, or NULL or unknown), and
    /// jump.
    RowStep { equal: Implementation, less: Implementation, end: u32 },
    /// Replace how two rows differ by whether that is what was asked for.
    RowEnd(Strategy),
    /// Replace a value and an array by `value op ANY (array)`, or ALL.
    AnyArray { function: Implementation, name: &'static str, all: bool },
    /// Replace an array and `argc - 1` values by the array of the function's results.
    Map { function: Implementation, name: &'static str, argc: u16 },
    /// Replace `argc` values by whether they are in the set whose number is in this slot.
    InValues { set: u32, argc: u16 },
    /// Push what this and the following operations up to `end` make of columns alone: once for all
    /// predicates of the template. Only in [`Template::shared_ops`].
    Shared { index: u32, end: u32 },
}

/// A compiled clause without its constants.
pub(crate) struct Template {
    pub id: u64,
    pub ops: Box<[Op]>,
    /// The deepest the stack gets.
    pub depth: usize,
    /// Comparisons of a column with a constant, joined by AND, and nothing else.
    pub is_conjunction: bool,
    pub columns: ColumnSet,
    /// Where the numbers of sets are, and how the clause depends on them.
    pub sets: Box<[(u32, Polarity)]>,
    pub access: Plan,
    /// What the access plan leaves open.
    pub residual: Option<Residual>,
    /// The program with what depends on columns alone marked, if there is any.
    pub shared_ops: Option<Box<[Op]>>,
    /// The session's time zone.
    pub zone: Zone,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template")
            .field("id", &self.id)
            .field("ops", &self.ops.len())
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

/// Is it nothing but comparisons joined by AND?
pub(crate) fn is_conjunction(ops: &[Op]) -> bool {
    ops.iter().all(|op| matches!(op, Op::Compare { .. } | Op::AndFirst(_) | Op::And(_)))
}

/// The program with its operations on columns alone marked, if there are any calls among them.
pub(crate) fn share(ops: &[Op]) -> Option<Box<[Op]>> {
    let mut targets: Vec<u32> = Vec::new();
    for op in ops {
        match *op {
            Op::AndFirst(to) | Op::And(to) | Op::OrFirst(to) | Op::Or(to) => targets.push(to),
            Op::Jump(to) | Op::Coalesce(to) | Op::RowStep { end: to, .. } => targets.push(to),
            Op::When { next, end } => targets.extend([next, end]),
            _ => {}
        }
    }
    targets.sort_unstable();
    let mut shared: Vec<Op> = ops.to_vec();
    let (mut at, mut index) = (0, 0);
    while at < ops.len() {
        // The longest run from here that takes nothing from below and leaves one value.
        let (mut depth, mut end) = (0, at);
        for (i, op) in ops.iter().enumerate().skip(at) {
            // What is jumped into is no run.
            if i > at && targets.binary_search(&(i as u32)).is_ok() {
                break;
            }
            match *op {
                Op::Column(_) => depth += 1,
                Op::Call { argc, .. } if argc > 0 && usize::from(argc) <= depth => {
                    depth = depth - usize::from(argc) + 1;
                    if depth == 1 {
                        end = i + 1;
                    }
                }
                _ => break,
            }
        }
        if end > at {
            shared[at] = Op::Shared { index, end: end as u32 };
            index += 1;
            at = end;
        } else {
            at += 1;
        }
    }
    (index > 0).then(|| shared.into())
}

/// A program's identity: two clauses with the same words share a template.
///
/// Functions count by address. Should two of them share one, they are the same code; should one have
/// two, some sharing is lost and nothing else.
pub(crate) fn key(ops: &[Op], access: &Plan, residual: Option<&Residual>) -> Arc<[u64]> {
    let mut words = Vec::with_capacity(2 * ops.len() + 4);
    let mut word = |tag: u64, a: u64, b: u64| {
        words.push(tag << 56 | (a & 0xff_ffff) << 32 | b & 0xffff_ffff);
    };
    let mut functions = Vec::new();
    for op in ops {
        match *op {
            Op::Column(c) => word(1, 0, c.into()),
            Op::Constant(c) => word(2, 0, c.into()),
            Op::Call { function, argc, strict, .. } => {
                functions.push(function as usize as u64);
                word(3, argc.into(), strict.into());
            }
            Op::Compare { function, column, constant, .. } => {
                functions.push(function as usize as u64);
                word(4, 0, column.into());
                word(4, 1, constant.into());
            }
            Op::InSet { set, negated } => word(5, negated.into(), set.into()),
            Op::AnyOf { function, set, all, .. } => {
                functions.push(function as usize as u64);
                word(6, all.into(), set.into());
            }
            Op::AndFirst(to) => word(7, 0, to.into()),
            Op::And(to) => word(8, 0, to.into()),
            Op::OrFirst(to) => word(9, 0, to.into()),
            Op::Or(to) => word(10, 0, to.into()),
            Op::Not => word(11, 0, 0),
            Op::Test(test) => word(12, 0, test as u64),
            Op::Distinct { function, negated, .. } => {
                functions.push(function as usize as u64);
                word(13, 0, negated.into());
            }
            Op::Raise(raise) => word(14, 0, raise as u64),
            // 15 is the access plan's.
            Op::When { next, end } => {
                word(16, 0, next.into());
                word(16, 1, end.into());
            }
            Op::Jump(to) => word(17, 0, to.into()),
            Op::Coalesce(to) => word(18, 0, to.into()),
            Op::UnlessKnown(to) => word(25, 0, to.into()),
            Op::NullIf { function, .. } => {
                functions.push(function as usize as u64);
                word(19, 0, 0);
            }
            Op::MinMax { less, argc, greatest, .. } => {
                functions.push(less as usize as u64);
                word(20, greatest.into(), argc.into());
            }
            Op::RowStep { equal, less, end } => {
                functions.push(equal as usize as u64);
                functions.push(less as usize as u64);
                word(21, 0, end.into());
            }
            Op::RowEnd(strategy) => word(22, 0, strategy as u64),
            Op::AnyArray { function, all, .. } => {
                functions.push(function as usize as u64);
                word(23, 0, all.into());
            }
            Op::Map { function, argc, .. } => {
                functions.push(function as usize as u64);
                word(24, 0, argc.into());
            }
            Op::InValues { set, argc } => word(27, argc.into(), set.into()),
            Op::Shared { index, end } => word(25, index.into(), end.into()),
        }
    }
    access.key(&mut |a, b| word(15, a, b));
    for arm in residual.iter().flat_map(|residual| &residual.arms) {
        word(26, 0, u64::from(*arm));
    }
    words.extend(functions);
    words.into()
}

/// The listing that `Predicate::describe` prints.
pub(crate) fn listing(ops: &[Op], constant: &dyn Fn(u32) -> String) -> String {
    let mut text = String::new();
    for (at, op) in ops.iter().enumerate() {
        let line = match op {
            Op::Column(c) => format!("column {c}"),
            Op::Constant(c) => format!("constant {}", constant(*c)),
            Op::Call { name, argc, .. } => format!("call {name}/{argc}"),
            Op::Compare { name, column, constant: c, .. } => {
                format!("compare column {column} {name} {}", constant(*c))
            }
            Op::InSet { set, negated: false } => format!("in {}", constant(*set)),
            Op::InSet { set, negated: true } => format!("not in {}", constant(*set)),
            Op::AnyOf { name, set, all, .. } => {
                format!("{name} {} of {}", if *all { "all" } else { "any" }, constant(*set))
            }
            Op::AndFirst(to) | Op::And(to) => format!("and -> {to}"),
            Op::OrFirst(to) | Op::Or(to) => format!("or -> {to}"),
            Op::Not => "not".to_owned(),
            Op::Test(test) => format!("is {test:?}"),
            Op::Distinct { name, negated: false, .. } => format!("distinct by {name}"),
            Op::Distinct { name, negated: true, .. } => format!("not distinct by {name}"),
            Op::Raise(raise) => format!("raise {}", raise.sqlstate()),
            Op::When { next, end } => format!("when, else -> {next}, unknown -> {end}"),
            Op::Jump(to) => format!("jump -> {to}"),
            Op::Coalesce(to) => format!("coalesce -> {to}"),
            Op::UnlessKnown(to) => format!("unless known -> {to}"),
            Op::NullIf { name, .. } => format!("nullif by {name}"),
            Op::MinMax { name, argc, greatest, .. } => {
                format!("{}/{argc} by {name}", if *greatest { "greatest" } else { "least" })
            }
            Op::RowStep { end, .. } => format!("row differs -> {end}"),
            Op::RowEnd(strategy) => format!("row is {strategy:?}"),
            Op::AnyArray { name, all, .. } => {
                format!("{name} {} of an array", if *all { "all" } else { "any" })
            }
            Op::Map { name, argc, .. } => format!("map {name}/{argc}"),
            Op::InValues { set, argc } => format!("in set {}/{argc}", constant(*set)),
            Op::Shared { index, end } => format!("shared {index} -> {end}"),
        };
        let _ = writeln!(text, "{at:4}  {line}");
    }
    text
}
