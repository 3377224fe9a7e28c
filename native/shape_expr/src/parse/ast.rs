//! The syntax tree: PostgreSQL's raw tree, reduced to what a WHERE clause can hold.

use crate::program::Test;

/// A node and where it stands in the clause.
#[derive(Clone, Debug)]
pub(crate) struct Ast {
    pub position: usize,
    pub kind: AstKind,
}

/// A type as written.
#[derive(Clone, Debug)]
pub(crate) struct TypeName {
    pub name: String,
    pub modifiers: Vec<i64>,
    /// `[]` as many times as it was written.
    pub dimensions: usize,
    pub position: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum AstKind {
    /// `a`, `t.a`, `s.t.a`.
    Column(Vec<String>),
    Null,
    Bool(bool),
    /// An integer that fits int4.
    Integer(i32),
    /// Any other number, as written.
    Number(String),
    /// A quoted literal.
    String(String),
    Param(i64),
    /// `left op right`, or `op right`.
    Operator {
        name: String,
        left: Option<Box<Ast>>,
        right: Box<Ast>,
    },
    And(Vec<Ast>),
    Or(Vec<Ast>),
    Not(Box<Ast>),
    Test(Test, Box<Ast>),
    Distinct {
        left: Box<Ast>,
        right: Box<Ast>,
        negated: bool,
    },
    In {
        left: Box<Ast>,
        items: Vec<Ast>,
        negated: bool,
    },
    Between {
        value: Box<Ast>,
        low: Box<Ast>,
        high: Box<Ast>,
        negated: bool,
        symmetric: bool,
    },
    Cast {
        value: Box<Ast>,
        ty: TypeName,
    },
    Call {
        name: String,
        args: Vec<Ast>,
    },
    /// `CASE [operand] WHEN .. THEN .. ELSE .. END`.
    Case {
        operand: Option<Box<Ast>>,
        arms: Vec<(Ast, Ast)>,
        otherwise: Option<Box<Ast>>,
    },
    Coalesce(Vec<Ast>),
    NullIf(Box<[Ast; 2]>),
    /// GREATEST, LEAST.
    MinMax {
        args: Vec<Ast>,
        greatest: bool,
    },
    Row(Vec<Ast>),
    /// `t.*`; a table's name alone is a column that no table has.
    WholeRow(Vec<String>),
    Collate {
        value: Box<Ast>,
        name: String,
    },
    Array(Vec<Ast>),
    /// `left op ANY (array)`, or ALL.
    AnyArray {
        name: String,
        left: Box<Ast>,
        array: Box<Ast>,
        all: bool,
    },
    /// `value[1][2:3]`.
    Subscript {
        value: Box<Ast>,
        subscripts: Vec<Subscript>,
    },
}

/// What stands in one pair of brackets.
#[derive(Clone, Debug)]
pub(crate) enum Subscript {
    Index(Ast),
    Slice(Option<Ast>, Option<Ast>),
}

impl Ast {
    pub(crate) fn new(position: usize, kind: AstKind) -> Ast {
        Ast { position, kind }
    }

    /// The nodes right below this one.
    pub(crate) fn children_mut(&mut self, visit: &mut dyn FnMut(&mut Ast)) {
        match &mut self.kind {
            AstKind::Column(_)
            | AstKind::Null
            | AstKind::Bool(_)
            | AstKind::Integer(_)
            | AstKind::Number(_)
            | AstKind::String(_)
            | AstKind::WholeRow(_)
            | AstKind::Param(_) => {}
            AstKind::Operator { left, right, .. } => {
                if let Some(left) = left {
                    visit(left);
                }
                visit(right);
            }
            AstKind::And(all)
            | AstKind::Or(all)
            | AstKind::Coalesce(all)
            | AstKind::Row(all)
            | AstKind::Array(all) => all.iter_mut().for_each(visit),
            AstKind::Call { args, .. } | AstKind::MinMax { args, .. } => {
                args.iter_mut().for_each(visit);
            }
            AstKind::Not(inner) | AstKind::Test(_, inner) => visit(inner),
            AstKind::Distinct { left, right, .. } => {
                visit(left);
                visit(right);
            }
            AstKind::In { left, items, .. } => {
                visit(left);
                items.iter_mut().for_each(visit);
            }
            AstKind::Between { value, low, high, .. } => {
                visit(value);
                visit(low);
                visit(high);
            }
            AstKind::Cast { value, .. } | AstKind::Collate { value, .. } => visit(value),
            AstKind::Case { operand, arms, otherwise } => {
                if let Some(operand) = operand {
                    visit(operand);
                }
                for (condition, value) in arms {
                    visit(condition);
                    visit(value);
                }
                if let Some(otherwise) = otherwise {
                    visit(otherwise);
                }
            }
            AstKind::NullIf(args) => args.iter_mut().for_each(visit),
            AstKind::AnyArray { left, array, .. } => {
                visit(left);
                visit(array);
            }
            AstKind::Subscript { value, subscripts } => {
                visit(value);
                for subscript in subscripts {
                    match subscript {
                        Subscript::Index(index) => visit(index),
                        Subscript::Slice(lower, upper) => {
                            lower.iter_mut().chain(upper).for_each(&mut *visit);
                        }
                    }
                }
            }
        }
    }

    /// The literals below and here, in order.
    pub(crate) fn literals_mut(&mut self, visit: &mut dyn FnMut(&mut Ast)) {
        match self.kind {
            AstKind::Integer(_) | AstKind::Number(_) | AstKind::String(_) | AstKind::Param(_) => {
                visit(self);
            }
            _ => self.children_mut(&mut |child| child.literals_mut(visit)),
        }
    }
}
