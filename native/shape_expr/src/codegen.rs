//! From the typed tree to bytecode, with the constants apart.

use crate::analysis::{self, Plan};
use crate::catalog;
use crate::column_set::ColumnSet;
use crate::constants::{Const, InSet, Search};
use crate::error::{Error, Raise};
use crate::expr::{Expr, Function, Node};
use crate::fold;
use crate::program::Op;
use crate::sets::{Polarity, polarities};
use crate::values::regex::Refused;

/// A clause's program and its constants.
pub(crate) struct Code {
    pub ops: Vec<Op>,
    pub constants: Vec<Const>,
    pub depth: usize,
    pub columns: ColumnSet,
    /// The slots of the numbers of sets, each with how the clause depends on it.
    pub sets: Vec<(u32, Polarity)>,
    pub access: Plan,
    /// What the access plan leaves open; `None` if it says everything.
    pub residual: Option<Residual>,
    /// Where each constant comes from.
    pub origins: Vec<Origin>,
}

/// The program of what an access plan leaves open, with the clause's own constants.
pub(crate) struct Residual {
    pub ops: Vec<Op>,
    pub depth: usize,
    pub columns: ColumnSet,
    /// Which arms of the AND it has.
    pub arms: Vec<u32>,
}

/// Where a constant comes from: what a clause of the same template needs to make its own.
pub(crate) enum Origin {
    /// The constant expression that stands here.
    One { position: usize },
    /// The same, prepared as this function's pattern.
    Pattern { position: usize, function: Function },
    /// A set of the constant expressions that stand here.
    Set { items: Vec<(usize, Const)>, search: Search },
    /// Nothing in the text.
    None,
}

#[derive(Default)]
struct Generator {
    ops: Vec<Op>,
    constants: Vec<Const>,
    origins: Vec<Origin>,
    /// Which node got which slot, by the node's address: the access plan names slots too.
    slots: Vec<(usize, u32)>,
    columns: ColumnSet,
    depth: usize,
    most: usize,
    /// The slots are known already: this is a part of a clause that has its code.
    again: bool,
    /// The first constant pattern that cannot be compiled here.
    refused: Option<Error>,
}

/// Generates code for a folded tree.
///
/// # Errors
/// A constant pattern that PostgreSQL accepts and this crate does not.
pub(crate) fn generate(expr: &Expr) -> Result<Code, Error> {
    let mut generator = Generator::default();
    generator.expression(expr);
    if let Some(error) = generator.refused {
        return Err(error);
    }
    let mut slots = generator.slots;
    slots.sort_unstable();
    let slot_of = |node: &Expr| {
        let key = std::ptr::from_ref(node) as usize;
        slots.binary_search_by_key(&key, |(at, _)| *at).ok().map(|found| slots[found].1)
    };
    let access = analysis::plan(expr, false, &slot_of);
    let mut sets = Vec::new();
    polarities(expr, Polarity::Positive, &mut |node, polarity| {
        sets.extend(slot_of(node).map(|slot| (slot, polarity)));
    });
    // Arms of an AND that the plan says all about need no evaluation.
    let arms = match &expr.node {
        Node::And(arms) => arms.as_slice(),
        _ => std::slice::from_ref(expr),
    };
    let is_open = |at: &u32| !analysis::is_exact(&arms[*at as usize], false, &slot_of);
    let open: Vec<u32> = (0..arms.len() as u32).filter(is_open).collect();
    let residual = (!open.is_empty()).then(|| match open.len() == arms.len() {
        true => Residual {
            ops: generator.ops.clone(),
            depth: generator.most,
            columns: generator.columns.clone(),
            arms: open,
        },
        false => {
            let mut rest = Generator { slots: slots.clone(), again: true, ..Generator::default() };
            let chosen = open.iter().map(|at| &arms[*at as usize]);
            match open.as_slice() {
                [one] => rest.expression(&arms[*one as usize]),
                _ => rest.arms(chosen, Op::AndFirst, Op::And),
            }
            Residual { ops: rest.ops, depth: rest.most, columns: rest.columns, arms: open }
        }
    });
    Ok(Code {
        ops: generator.ops,
        constants: generator.constants,
        origins: generator.origins,
        depth: generator.most,
        columns: generator.columns,
        sets,
        access,
        residual,
    })
}

impl Generator {
    fn push(&mut self) {
        self.depth += 1;
        self.most = self.most.max(self.depth);
    }

    fn constant(&mut self, node: &Expr, value: Const, origin: Origin) -> u32 {
        if self.again {
            let key = std::ptr::from_ref(node) as usize;
            let found = self.slots.binary_search_by_key(&key, |(at, _)| *at);
            return found.map_or(0, |found| self.slots[found].1);
        }
        let slot = self.constants.len() as u32;
        self.constants.push(value);
        self.origins.push(origin);
        self.slots.push((std::ptr::from_ref(node) as usize, slot));
        slot
    }

    fn column(&mut self, column: usize) -> u32 {
        self.columns.insert(column);
        column as u32
    }

    /// A pattern operator's constant pattern, compiled.
    fn prepare(&mut self, function: &Function, args: &[Expr]) -> Option<Const> {
        let pattern = args.get(1)?;
        pattern.as_value()?;
        let known: Vec<Option<&Const>> = args.iter().map(Expr::as_value).collect();
        match catalog::prepare(function, &known)? {
            Ok(prepared) => Some(Const::Pattern(prepared.into())),
            Err(refused) => {
                let what = match refused {
                    Refused::Unsupported(what) => what,
                    _ => "a regex this large",
                };
                self.refused.get_or_insert(Error::unsupported(what, pattern.position));
                None
            }
        }
    }

    fn expression(&mut self, expr: &Expr) {
        match &expr.node {
            Node::Const(value) | Node::Late(value) => {
                let origin = Origin::One { position: expr.position };
                let slot = self.constant(expr, value.clone(), origin);
                self.ops.push(Op::Constant(slot));
                self.push();
            }
            Node::Column(column) => {
                let column = self.column(*column);
                self.ops.push(Op::Column(column));
                self.push();
            }
            Node::Raise(raise) => {
                self.ops.push(Op::Raise(*raise));
                self.push();
            }
            Node::Call { function, args } => {
                let (implementation, name) = (function.implementation, function.name);
                let mut prepared = self.prepare(function, args);
                if let (true, [left, right]) = (function.strict, args.as_slice())
                    && let (Node::Column(column), Some(value)) = (&left.node, right.as_value())
                {
                    let column = self.column(*column);
                    let position = right.position;
                    let (constant, origin) = match prepared.take() {
                        Some(pattern) => {
                            (pattern, Origin::Pattern { position, function: function.clone() })
                        }
                        None => (value.clone(), Origin::One { position }),
                    };
                    let constant = self.constant(right, constant, origin);
                    let function = implementation;
                    self.ops.push(Op::Compare { function, name, column, constant });
                    self.push();
                    return;
                }
                for (at, arg) in args.iter().enumerate() {
                    match prepared.take_if(|_| at == 1) {
                        None => self.expression(arg),
                        Some(pattern) => {
                            let function = function.clone();
                            let origin = Origin::Pattern { position: arg.position, function };
                            let slot = self.constant(arg, pattern, origin);
                            self.ops.push(Op::Constant(slot));
                            self.push();
                        }
                    }
                }
                // ARRAY[...] has as many as a clause of 64 KiB can hold.
                let argc = args.len() as u16;
                let strict = function.strict;
                self.ops.push(Op::Call { function: implementation, name, argc, strict });
                self.depth -= args.len();
                self.push();
            }
            Node::And(arms) => self.arms(arms.iter(), Op::AndFirst, Op::And),
            Node::Or(arms) => self.arms(arms.iter(), Op::OrFirst, Op::Or),
            Node::Not(inner) => {
                self.expression(inner);
                self.ops.push(Op::Not);
            }
            Node::Test(test, inner) => {
                self.expression(inner);
                self.ops.push(Op::Test(*test));
            }
            Node::Distinct { function, args, negated } => {
                for arg in args.iter() {
                    self.expression(arg);
                }
                let (implementation, name) = (function.implementation, function.name);
                let negated = *negated;
                self.ops.push(Op::Distinct { function: implementation, name, negated });
                self.depth -= 1;
            }
            Node::AnyOf { function, left, items, all } => {
                self.expression(left);
                let search = fold::search(function, left, items, *all);
                let value = |item: &Expr| Some((item.position, item.as_value()?.clone()));
                let origins: Vec<(usize, Const)> = items.iter().filter_map(value).collect();
                let items = origins.iter().map(|(_, item)| item.clone()).collect();
                let set = Const::Set(InSet::new(items, search).into());
                let set = self.constant(expr, set, Origin::Set { items: origins, search });
                self.ops.push(match search {
                    Search::Hashed => Op::InSet { set, negated: *all },
                    Search::InTurn | Search::Clash { .. } => {
                        let (function, name) = (function.implementation, function.name);
                        Op::AnyOf { function, name, set, all: *all }
                    }
                });
            }
            _ => self.other(expr),
        }
    }

    /// CASE: a false condition leads to the next arm, a value to the end.
    fn case(&mut self, arms: &[(Expr, Expr)], otherwise: &Expr) {
        let mut jumps = Vec::with_capacity(2 * arms.len());
        for (condition, value) in arms {
            self.expression(condition);
            let when = self.ops.len();
            jumps.push(when);
            self.ops.push(Op::When { next: 0, end: 0 });
            self.depth -= 1;
            self.expression(value);
            jumps.push(self.ops.len());
            self.ops.push(Op::Jump(0));
            self.depth -= 1;
            let after = self.ops.len() as u32;
            if let Op::When { next, .. } = &mut self.ops[when] {
                *next = after;
            }
        }
        self.expression(otherwise);
        self.land(&jumps);
    }

    /// Points jumps to what comes next.
    fn land(&mut self, jumps: &[usize]) {
        let to = self.ops.len() as u32;
        for jump in jumps {
            match &mut self.ops[*jump] {
                Op::When { end, .. } | Op::RowStep { end, .. } => *end = to,
                Op::Jump(end) | Op::Coalesce(end) | Op::UnlessKnown(end) => *end = to,
                _ => {}
            }
        }
    }

    fn other(&mut self, expr: &Expr) {
        match &expr.node {
            Node::Case { arms, otherwise } => self.case(arms, otherwise),
            Node::Coalesce(args) => {
                let mut jumps = Vec::with_capacity(args.len());
                for (i, arg) in args.iter().enumerate() {
                    self.expression(arg);
                    if i + 1 < args.len() {
                        jumps.push(self.ops.len());
                        self.ops.push(Op::Coalesce(0));
                        self.depth -= 1;
                    }
                }
                self.land(&jumps);
            }
            Node::NullIf { function, args } => {
                self.all(args.as_slice());
                let (function, name) = (function.implementation, function.name);
                self.ops.push(Op::NullIf { function, name });
                self.push();
            }
            Node::MinMax { less, args, greatest } => {
                self.all(args);
                let (argc, greatest) = (args.len() as u16, *greatest);
                let (less, name) = (less.implementation, less.name);
                self.ops.push(Op::MinMax { less, name, argc, greatest });
                self.push();
            }
            Node::RowCompare { strategy, pairs } => {
                let mut jumps = Vec::with_capacity(pairs.len());
                for pair in pairs {
                    self.all(&pair.args);
                    jumps.push(self.ops.len());
                    let (equal, less) = (pair.equal.implementation, pair.less.implementation);
                    self.ops.push(Op::RowStep { equal, less, end: 0 });
                }
                let equal = self.constant(expr, Const::Int(0), Origin::None);
                self.ops.push(Op::Constant(equal));
                self.push();
                self.land(&jumps);
                self.ops.push(Op::RowEnd(*strategy));
            }
            Node::AnyArray { function, all, args } => {
                self.all(args.as_slice());
                let (function, name) = (function.implementation, function.name);
                self.ops.push(Op::AnyArray { function, name, all: *all });
                self.push();
            }
            Node::Subscript { function, args } => {
                let mut unless = None;
                for (at, arg) in args.iter().enumerate() {
                    self.expression(arg);
                    if at == 0 {
                        unless = Some(self.ops.len());
                        self.ops.push(Op::UnlessKnown(0));
                    }
                }
                let argc = args.len() as u16;
                let (function, name) = (function.implementation, function.name);
                self.ops.push(Op::Call { function, name, argc, strict: false });
                self.depth -= args.len();
                self.push();
                self.land(unless.as_slice());
            }
            Node::Map { function, args } => {
                self.all(args);
                let argc = args.len() as u16;
                let (function, name) = (function.implementation, function.name);
                self.ops.push(Op::Map { function, name, argc });
                self.push();
            }
            Node::Collate { inner, .. } => self.expression(inner),
            Node::InSet { set, left, .. } => {
                self.all(left);
                let number = Const::Int(i64::from(*set));
                let set = self.constant(expr, number, Origin::None);
                self.ops.push(Op::InValues { set, argc: left.len() as u16 });
                self.push();
            }
            // A row stands in null tests only, and folding has taken those apart.
            _ => {
                self.ops.push(Op::Raise(Raise::NotSupported));
                self.push();
            }
        }
    }

    /// Pushes all of these; what takes them off pushes its result.
    fn all(&mut self, args: &[Expr]) {
        for arg in args {
            self.expression(arg);
        }
        self.depth -= args.len();
    }

    /// Arms in order, each with a jump to the end where it decides.
    fn arms<'e>(
        &mut self,
        arms: impl Iterator<Item = &'e Expr>,
        first: fn(u32) -> Op,
        next: fn(u32) -> Op,
    ) {
        let mut jumps = Vec::new();
        for (i, arm) in arms.enumerate() {
            self.expression(arm);
            jumps.push(self.ops.len());
            self.ops.push(if i == 0 { first(0) } else { next(0) });
            if i > 0 {
                self.depth -= 1;
            }
        }
        let end = self.ops.len() as u32;
        for jump in jumps {
            match &mut self.ops[jump] {
                Op::AndFirst(to) | Op::And(to) | Op::OrFirst(to) | Op::Or(to) => *to = end,
                _ => {}
            }
        }
    }
}
