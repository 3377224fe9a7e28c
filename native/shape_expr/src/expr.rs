//! The typed tree: what resolution makes of a clause, and what code is generated from.

use std::sync::Arc;

use crate::constants::Const;
use crate::error::Raise;
use crate::program::{Implementation, Test};
use crate::types::Type;

/// What an operator means to indexes, hashing and optimisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Nothing in particular.
    Plain,
    /// PostgreSQL calls the operator the other way round: the right operand is evaluated first. The
    /// implementation takes them exchanged, as folding leaves them.
    Turned,
    /// The type's own equality: hashable.
    Equal,
    NotEqual,
    /// What stands for such an equality where no collation is known: it raises.
    ClashingEqual,
    ClashingNotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// PostgreSQL's volatility, without `volatile`: those functions are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Volatility {
    /// Folded when its arguments are constant; if it raises then, every row raises.
    Immutable,
    /// Evaluated once as well, but what raises does so only where it is evaluated.
    Stable,
    /// Depends on time or chance: refused.
    Volatile,
    /// PostgreSQL has it, this crate has not: refused.
    Missing,
}

/// A function as the tree and the code generator see it, whatever table it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub name: &'static str,
    pub implementation: Implementation,
    pub result: Type,
    pub strict: bool,
    pub volatility: Volatility,
    pub strategy: Strategy,
    pub is_cast: bool,
}

/// A typed expression.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub ty: Type,
    /// Where it stands in the clause.
    pub position: usize,
    pub node: Node,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Const(Const),
    /// A constant that PostgreSQL's planner does not know, since a stable function made it: what
    /// raises because of it does so only where it is evaluated.
    Late(Const),
    Column(usize),
    Call {
        function: Function,
        args: Vec<Expr>,
    },
    /// `value[...]`: where the first argument, the value, is NULL, the subscripts are not looked at.
    Subscript {
        function: Function,
        args: Vec<Expr>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Test(Test, Box<Expr>),
    Distinct {
        function: Function,
        args: Box<[Expr; 2]>,
        negated: bool,
    },
    /// `left op ANY (items)`, or ALL.
    AnyOf {
        function: Function,
        left: Box<Expr>,
        items: Vec<Expr>,
        all: bool,
    },
    /// `CASE WHEN condition THEN value ... ELSE otherwise END`.
    Case {
        arms: Vec<(Expr, Expr)>,
        otherwise: Box<Expr>,
    },
    Coalesce(Vec<Expr>),
    /// The left operand, or NULL where this equality holds.
    NullIf {
        function: Function,
        args: Box<[Expr; 2]>,
    },
    /// GREATEST or LEAST, by this `<`.
    MinMax {
        less: Function,
        args: Vec<Expr>,
        greatest: bool,
    },
    /// `(a, b) < (c, d)` and the other orders: the first pair that differs decides.
    RowCompare {
        strategy: Strategy,
        pairs: Vec<RowPair>,
    },
    /// `ROW(...)`, which only null tests leave in the tree, and those until they are folded.
    Row(Vec<Expr>),
    /// An expression under an explicit collation; `bytewise` for C and its kin.
    Collate {
        name: Arc<str>,
        bytewise: bool,
        inner: Box<Expr>,
    },
    /// `left op ANY (array)`, or ALL, for an array that no constant is.
    AnyArray {
        function: Function,
        all: bool,
        args: Box<[Expr; 2]>,
    },
    /// A strict function of each element of the first argument, an array; the others stay as they
    /// are.
    Map {
        function: Function,
        args: Vec<Expr>,
    },
    /// `(left) IN (set)`: the set's number, and until that is known the subquery's; `items` is what the
    /// subquery selects, cast to what is compared. Those are not of this row, and no children.
    InSet {
        set: u32,
        left: Vec<Expr>,
        items: Vec<Expr>,
    },
    Raise(Raise),
}

impl Function {
    /// The same name, given the same operands, is the same function.
    fn is_same(&self, other: &Function) -> bool {
        (self.name, &self.result, self.strict, self.strategy, self.is_cast)
            == (other.name, &other.result, other.strict, other.strategy, other.is_cast)
    }
}

impl Node {
    /// Are they the same but for what lies below them?
    fn is_alike(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Const(a), Node::Const(b)) | (Node::Late(a), Node::Late(b)) => a.is_same(b),
            (Node::Column(a), Node::Column(b)) => a == b,
            (Node::Call { function: a, .. }, Node::Call { function: b, .. })
            | (Node::Subscript { function: a, .. }, Node::Subscript { function: b, .. })
            | (Node::NullIf { function: a, .. }, Node::NullIf { function: b, .. })
            | (Node::Map { function: a, .. }, Node::Map { function: b, .. }) => a.is_same(b),
            (
                Node::Distinct { function: a, negated: x, .. },
                Node::Distinct { function: b, negated: y, .. },
            )
            | (Node::AnyOf { function: a, all: x, .. }, Node::AnyOf { function: b, all: y, .. })
            | (
                Node::AnyArray { function: a, all: x, .. },
                Node::AnyArray { function: b, all: y, .. },
            )
            | (
                Node::MinMax { less: a, greatest: x, .. },
                Node::MinMax { less: b, greatest: y, .. },
            ) => a.is_same(b) && x == y,
            (Node::And(_), Node::And(_))
            | (Node::Or(_), Node::Or(_))
            | (Node::Not(_), Node::Not(_))
            | (Node::Coalesce(_), Node::Coalesce(_))
            | (Node::Row(_), Node::Row(_)) => true,
            (Node::Case { arms: a, .. }, Node::Case { arms: b, .. }) => a.len() == b.len(),
            (Node::Test(a, _), Node::Test(b, _)) => a == b,
            (Node::Collate { name: a, .. }, Node::Collate { name: b, .. }) => a == b,
            (Node::Raise(a), Node::Raise(b)) => a == b,
            (
                Node::RowCompare { strategy: a, pairs: x },
                Node::RowCompare { strategy: b, pairs: y },
            ) => {
                let same = |(x, y): (&RowPair, &RowPair)| {
                    x.equal.is_same(&y.equal) && x.less.is_same(&y.less)
                };
                a == b && x.len() == y.len() && x.iter().zip(y).all(same)
            }
            _ => false,
        }
    }
}

/// Two columns of a row comparison.
#[derive(Clone, Debug)]
pub(crate) struct RowPair {
    pub equal: Function,
    pub less: Function,
    pub args: [Expr; 2],
}

impl Expr {
    pub(crate) fn new(ty: Type, position: usize, node: Node) -> Expr {
        Expr { ty, position, node }
    }

    pub(crate) fn constant(ty: Type, position: usize, value: Const) -> Expr {
        Expr { ty, position, node: Node::Const(value) }
    }

    pub(crate) fn as_const(&self) -> Option<&Const> {
        match &self.node {
            Node::Const(value) => Some(value),
            _ => None,
        }
    }

    /// Its value, if it is known before any row is.
    pub(crate) fn as_value(&self) -> Option<&Const> {
        match &self.node {
            Node::Const(value) | Node::Late(value) => Some(value),
            _ => None,
        }
    }

    /// The expressions right below this one.
    pub(crate) fn children<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match &self.node {
            Node::Const(_) | Node::Late(_) | Node::Raise(_) | Node::Column(_) => {}
            Node::Call { args, .. }
            | Node::Subscript { args, .. }
            | Node::And(args)
            | Node::Or(args)
            | Node::Coalesce(args)
            | Node::MinMax { args, .. }
            | Node::Map { args, .. }
            | Node::Row(args)
            | Node::InSet { left: args, .. } => args.iter().for_each(visit),
            Node::Not(inner) | Node::Test(_, inner) | Node::Collate { inner, .. } => visit(inner),
            Node::Distinct { args, .. }
            | Node::NullIf { args, .. }
            | Node::AnyArray { args, .. } => args.iter().for_each(visit),
            Node::AnyOf { left, items, .. } => {
                visit(left);
                items.iter().for_each(visit);
            }
            Node::Case { arms, otherwise } => {
                for (condition, value) in arms {
                    visit(condition);
                    visit(value);
                }
                visit(otherwise);
            }
            Node::RowCompare { pairs, .. } => {
                pairs.iter().flat_map(|pair| &pair.args).for_each(visit);
            }
        }
    }

    /// The same, to change them.
    pub(crate) fn children_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        match &mut self.node {
            Node::Const(_) | Node::Late(_) | Node::Raise(_) | Node::Column(_) => {}
            Node::Call { args, .. }
            | Node::Subscript { args, .. }
            | Node::And(args)
            | Node::Or(args)
            | Node::Coalesce(args)
            | Node::MinMax { args, .. }
            | Node::Map { args, .. }
            | Node::Row(args)
            | Node::InSet { left: args, .. } => args.iter_mut().for_each(visit),
            Node::Not(inner) | Node::Test(_, inner) | Node::Collate { inner, .. } => visit(inner),
            Node::Distinct { args, .. }
            | Node::NullIf { args, .. }
            | Node::AnyArray { args, .. } => args.iter_mut().for_each(visit),
            Node::AnyOf { left, items, .. } => {
                visit(left);
                items.iter_mut().for_each(visit);
            }
            Node::Case { arms, otherwise } => {
                for (condition, value) in arms {
                    visit(condition);
                    visit(value);
                }
                visit(otherwise);
            }
            Node::RowCompare { pairs, .. } => {
                pairs.iter_mut().flat_map(|pair| &mut pair.args).for_each(visit);
            }
        }
    }

    /// Visits every column read.
    pub(crate) fn columns(&self, visit: &mut dyn FnMut(usize)) {
        if let Node::Column(column) = self.node {
            visit(column);
        }
        self.children(&mut |child| child.columns(visit));
    }

    /// Makes every column another one.
    pub(crate) fn move_columns(&mut self, to: &mut dyn FnMut(usize) -> usize) {
        if let Node::Column(column) = &mut self.node {
            *column = to(*column);
        }
        self.children_mut(&mut |child| child.move_columns(to));
    }

    /// Does it compute the same, wherever it stands?
    pub(crate) fn is_same(&self, other: &Expr) -> bool {
        let mut alike = self.ty == other.ty && self.node.is_alike(&other.node);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        if alike {
            self.children(&mut |child| left.push(child));
            other.children(&mut |child| right.push(child));
            alike = left.len() == right.len();
        }
        alike && left.into_iter().zip(right).all(|(left, right)| left.is_same(right))
    }

    /// Puts columns, from `first` on, in the place of parts that are the same as one of these.
    pub(crate) fn replace(&mut self, parts: &[&Expr], first: usize) {
        match parts.iter().position(|part| part.is_same(self)) {
            Some(at) => self.node = Node::Column(first + at),
            None => self.children_mut(&mut |child| child.replace(parts, first)),
        }
    }

    /// The first column read that passes, and where it stands.
    pub(crate) fn find_column(
        &self,
        test: &mut dyn FnMut(usize) -> bool,
    ) -> Option<(usize, usize)> {
        if let Node::Column(column) = self.node
            && test(column)
        {
            return Some((column, self.position));
        }
        let mut found = None;
        self.children(&mut |child| {
            if found.is_none() {
                found = child.find_column(test);
            }
        });
        found
    }

    /// How many nodes it has.
    pub(crate) fn size(&self) -> usize {
        let mut size = 1;
        self.children(&mut |child| size += child.size());
        size
    }

    /// Is there a node that stands for a function that its operands' type does not have?
    pub(crate) fn lacks_a_function(&self) -> bool {
        let mut found = match &self.node {
            Node::Raise(raise) => *raise == Raise::UndefinedFunction,
            Node::Call { function, .. } => function.name == "undefined" && !function.strict,
            _ => false,
        };
        self.children(&mut |child| found |= child.lacks_a_function());
        found
    }

    /// Does it read a column?
    pub(crate) fn reads_columns(&self) -> bool {
        if let Node::Column(_) = self.node {
            return true;
        }
        let mut reads = false;
        self.children(&mut |child| reads |= child.reads_columns());
        reads
    }
}
