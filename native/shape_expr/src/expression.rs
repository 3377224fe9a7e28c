//! [`Expression`]: a compiled expression of any type; and [`Analysed`]: one before it is compiled,
//! which can be taken apart.

use std::fmt;
use std::sync::Arc;

use crate::column_set::ColumnSet;
use crate::constants::Constants;
use crate::error::Error;
use crate::expr::{Expr, Node, Strategy};
use crate::predicate::Predicate;
use crate::program::{Op, Template};
use crate::row::Row;
use crate::types::Type;
use crate::value::Eval;
use crate::vm::Vm;

/// A compiled expression: what gives a value where a [`Predicate`] gives an answer.
#[derive(Clone, Debug)]
pub struct Expression {
    pub(crate) template: Arc<Template>,
    pub(crate) constants: Constants,
    pub(crate) ty: Type,
}

impl Expression {
    /// Its value for a row.
    ///
    /// # Errors
    /// PostgreSQL would raise for this row, a column is unreadable, or a limit was reached.
    #[inline]
    pub fn eval<'a>(&'a self, row: &Row<'a>, vm: &mut Vm) -> Eval<'a> {
        vm.run_value(&self.template, self.constants.borrow(), row)
    }

    /// The type of its values.
    #[must_use]
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// The columns it reads.
    #[must_use]
    pub fn columns(&self) -> &ColumnSet {
        &self.template.columns
    }

    /// The column that it is, if it is nothing but one.
    #[must_use]
    pub fn as_column(&self) -> Option<usize> {
        match *self.template.ops {
            [Op::Column(column)] => Some(column as usize),
            _ => None,
        }
    }

    /// Does it compute the same in the same way?
    #[must_use]
    pub fn is_same(&self, other: &Expression) -> bool {
        self.template.id == other.template.id && self.constants.is_same(&other.constants)
    }

    /// The same number for expressions that differ in their constants only.
    #[must_use]
    pub fn template_id(&self) -> u64 {
        self.template.id
    }
}

impl Predicate {
    /// Does it ask the same in the same way?
    #[must_use]
    pub fn is_same(&self, other: &Predicate) -> bool {
        self.template.id == other.template.id && self.constants.is_same(&other.constants)
    }
}

/// An expression with its types resolved: what a query planner looks at, before it is compiled.
#[derive(Clone)]
pub struct Analysed {
    pub(crate) expr: Expr,
    /// What is wrong if a function that an array's elements lack is still there at the end.
    pub(crate) late: Option<Error>,
    pub(crate) depth: usize,
}

impl fmt::Debug for Analysed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Analysed").field("expr", &self.expr).finish_non_exhaustive()
    }
}

impl Analysed {
    /// The column of this place and type.
    #[must_use]
    pub fn column(column: usize, ty: Type, position: usize) -> Analysed {
        Analysed { expr: Expr::new(ty, position, Node::Column(column)), late: None, depth: 1 }
    }

    /// The type of its values.
    #[must_use]
    pub fn ty(&self) -> &Type {
        &self.expr.ty
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> usize {
        self.expr.position
    }

    /// The column that it is, if it is nothing but one.
    #[must_use]
    pub fn as_column(&self) -> Option<usize> {
        match self.expr.node {
            Node::Column(column) => Some(column),
            _ => None,
        }
    }

    /// Is `test` true of every column it reads?
    pub fn reads_only(&self, mut test: impl FnMut(usize) -> bool) -> bool {
        let mut all = true;
        self.expr.columns(&mut |column| all &= test(column));
        all
    }

    /// The first column it reads that passes, and where it stands.
    pub fn find_column(&self, mut test: impl FnMut(usize) -> bool) -> Option<(usize, usize)> {
        self.expr.find_column(&mut test)
    }

    /// Does it compute the same, wherever it stands?
    #[must_use]
    pub fn is_same(&self, other: &Analysed) -> bool {
        self.expr.is_same(&other.expr)
    }

    /// The same with columns, from `first` on, in the place of parts that are the same as one of these.
    #[must_use]
    pub fn replaced(mut self, parts: &[Analysed], first: usize) -> Analysed {
        let parts: Vec<&Expr> = parts.iter().map(|part| &part.expr).collect();
        self.expr.replace(&parts, first);
        self
    }

    /// Does it read a column?
    #[must_use]
    pub fn reads_columns(&self) -> bool {
        self.expr.reads_columns()
    }

    /// Both sides, if it is an equality by the operator that keys and hashes go by; the sides have
    /// been cast to what that operator compares.
    #[must_use]
    pub fn equality(&self) -> Option<[Analysed; 2]> {
        let Node::Call { function, args } = &self.expr.node else { return None };
        let (Strategy::Equal, [left, right]) = (function.strategy, args.as_slice()) else {
            return None;
        };
        let side = |expr: &Expr| Analysed { expr: expr.clone(), ..self.clone() };
        Some([side(left), side(right)])
    }

    /// The same over a row whose columns stand elsewhere.
    #[must_use]
    pub fn moved(mut self, mut to: impl FnMut(usize) -> usize) -> Analysed {
        self.expr.move_columns(&mut to);
        self
    }
}
