//! The typed tree: what resolution makes of a clause, and what code is generated from.

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
    Raise(Raise),
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

    /// How many nodes it has.
    pub(crate) fn size(&self) -> usize {
        1 + match &self.node {
            Node::Const(_) | Node::Late(_) | Node::Raise(_) | Node::Column(_) => 0,
            Node::Call { args, .. } | Node::And(args) | Node::Or(args) => {
                args.iter().map(Expr::size).sum()
            }
            Node::Not(inner) | Node::Test(_, inner) => inner.size(),
            Node::Distinct { args, .. } => args.iter().map(Expr::size).sum(),
            Node::AnyOf { left, items, .. } => left.size() + items.len(),
        }
    }

    /// Does it read a column?
    pub(crate) fn reads_columns(&self) -> bool {
        match &self.node {
            Node::Const(_) | Node::Late(_) | Node::Raise(_) => false,
            Node::Column(_) => true,
            Node::Call { args, .. } | Node::And(args) | Node::Or(args) => {
                args.iter().any(Expr::reads_columns)
            }
            Node::Not(inner) | Node::Test(_, inner) => inner.reads_columns(),
            Node::Distinct { args, .. } => args.iter().any(Expr::reads_columns),
            Node::AnyOf { left, items, .. } => {
                left.reads_columns() || items.iter().any(Expr::reads_columns)
            }
        }
    }
}
